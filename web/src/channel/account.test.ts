import { privateKeyToAccount } from "viem/accounts";
import { expect, it } from "vitest";
import { voucherMessage } from "../chain/typed-data";
import { afterCharge, callsLeft, chargedOf, corrected, left, missing } from "./account";
import { BadOffer, fromHeader, type Offer, takeOffer, toHeader, voucherPayment } from "./x402";

const hub = { chainId: 161_201, contract: "0x4f50454e00000000000000000000000000000004" } as const;
const token = "0x4f50454e00000000000000000000000000000001";
const id = `0x${"0a".repeat(32)}` as const;
const payer = privateKeyToAccount(`0x${"02".repeat(32)}`);
const other = privateKeyToAccount(`0x${"03".repeat(32)}`);
const onChain = { balance: 100n, totalClaimed: 20n, withdrawAmount: 10n, withdrawableAt: 0 };

const offer: Offer = {
  scheme: "batch-settlement",
  network: "eip155:161201",
  amount: "15",
  asset: token,
  payTo: hub.contract,
  maxTimeoutSeconds: 60,
  extra: { receiverAuthorizer: hub.contract, withdrawDelay: 900, name: "Wrapped OPEN", version: "1" },
};
const state = (charged: string) => ({
  channelId: id,
  balance: "100",
  totalClaimed: "20",
  withdrawRequestedAt: 0,
  refundNonce: "0",
  chargedCumulativeAmount: charged,
});
const settled = (charge: string, cumulative: string, success = true) => ({
  success,
  extra: { chargedAmount: charge, channelState: state(cumulative) },
});

it("counts what is left, and never below zero", () => {
  expect(left(onChain, 30n)).toBe(60n);
  expect(left(onChain, 95n)).toBe(0n);
  expect(callsLeft(onChain, 30n, 15n)).toBe(4n);
  expect(callsLeft(onChain, 30n, 0n)).toBe(0n);
});

it("names a deposit that is enough, also where more was charged than is there", () => {
  expect(missing(onChain, 30n, 60n)).toBe(0n);
  expect(missing(onChain, 30n, 61n)).toBe(1n);
  expect(missing(onChain, 95n, 15n)).toBe(20n);
  const after = { ...onChain, balance: onChain.balance + 20n };
  expect(missing(after, 95n, 15n)).toBe(0n);
});

it("does not take a charge of an earlier chain for one of this chain", () => {
  expect(chargedOf(onChain, 30n)).toBe(30n);
  expect(chargedOf(onChain, null)).toBe(20n);
  expect(chargedOf(onChain, 10n)).toBe(20n);
  expect(chargedOf(onChain, 101n)).toBe(20n);
  expect(chargedOf({ balance: 0n, totalClaimed: 0n, withdrawAmount: 0n, withdrawableAt: 0 }, 500n)).toBe(0n);
});

it("takes over a charge that adds up, and no other", () => {
  expect(afterCharge(30n, offer, settled("15", "45"))).toBe(45n);
  expect(afterCharge(30n, offer, settled("16", "46"))).toBeNull();
  expect(afterCharge(30n, offer, settled("10", "45"))).toBeNull();
  expect(afterCharge(30n, offer, settled("-5", "25"))).toBeNull();
  expect(afterCharge(30n, offer, settled("15", "45", false))).toBeNull();
  expect(afterCharge(30n, offer, null)).toBeNull();
});

it("believes the server's count only with the payer's own voucher or the chain behind it", async () => {
  const channel = { id, payer: payer.address, onChain, hub };
  const claim = async (charged: string, signed: bigint, signer: typeof payer) => {
    const signature = await signer.signTypedData(voucherMessage(id, signed, hub));
    const voucherState = { signedMaxClaimable: String(signed), signature };
    return corrected(
      { ...offer, extra: { ...offer.extra, channelState: state(charged), voucherState } },
      channel,
    );
  };
  expect(await claim("50", 50n, payer)).toBe(50n);
  expect(await claim("50", 49n, payer)).toBeNull();
  expect(await claim("50", 50n, other)).toBeNull();
  const bare = (charged: string) =>
    corrected({ ...offer, extra: { ...offer.extra, channelState: state(charged) } }, channel);
  expect(await bare("20")).toBe(20n);
  expect(await bare("21")).toBeNull();
  expect(await corrected(offer, channel)).toBeNull();
});

it("takes offers of this chain, this hub and its token alone", () => {
  const expected = { chainId: 161_201, hub: hub.contract, token } as const;
  const take = (changed: Partial<Offer>) => () =>
    takeOffer({ x402Version: 2, accepts: [{ ...offer, ...changed }] }, expected);
  expect(take({})()).toEqual(offer);
  expect(take({ network: "eip155:1" })).toThrow(BadOffer);
  expect(take({ payTo: token })).toThrow(BadOffer);
  expect(take({ asset: hub.contract })).toThrow(BadOffer);
  expect(take({ scheme: "exact" })).toThrow(BadOffer);
  expect(take({ extra: { ...offer.extra, withdrawDelay: 1 } })).toThrow(BadOffer);
  expect(() => takeOffer(null, expected)).toThrow(BadOffer);
});

it("writes headers that it reads back, whatever characters they have", () => {
  const voucher = { channelId: id, maxClaimableAmount: 2n ** 100n, signature: "0x01" } as const;
  const config = {
    payer: payer.address,
    payerAuthorizer: token,
    receiver: hub.contract,
    receiverAuthorizer: hub.contract,
    token,
    withdrawDelay: 900,
    salt: id,
  } as const;
  const payment = voucherPayment({ ...offer, network: "é€😀" }, config, voucher, "pay_0123456789abcdef");
  expect(fromHeader(toHeader(payment))).toEqual(payment);
  expect(fromHeader("%%%")).toBeNull();
  expect(fromHeader(null)).toBeNull();
});
