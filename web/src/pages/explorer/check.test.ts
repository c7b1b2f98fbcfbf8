import { readFileSync } from "node:fs";
import type { Hex } from "viem";
import { describe, expect, it } from "vitest";
import { leafHash } from "../../verify/merkle";
import type { ReceiptJson } from "../../verify/receipt";
import { checkReceipt, payoutsOf, verdict } from "./check";
import type { ReceiptBundle } from "./queries";

const read = (path: string) => readFileSync(new URL(`../../../../${path}`, import.meta.url), "utf8");
const receipt: ReceiptJson = JSON.parse(read("crates/settlement/tests/golden/receipt.json"));
const hash = read("crates/settlement/tests/golden/receipt.hash").trim() as Hex;
const hub = { chainId: 161_201, contract: "0x4f50454e00000000000000000000000000000004" } as const;
const root = leafHash(hash);
const inclusion = { receiptsRoot: root, proof: { index: 0, size: 1, siblings: [] } };
const chain = { receiptsRoot: root, operator: receipt.operator, status: 2 };

const bundle = (over: Partial<ReceiptBundle> = {}): ReceiptBundle => {
  const payouts = [...(payoutsOf(receipt) ?? [])].map(([account, amount]) => ({
    account: account as Hex,
    amount: String(amount),
  }));
  return { receipt, payouts, inclusion, ...over };
};
const failed = async (given: ReceiptBundle, on: typeof chain | null = chain, asked = hash) =>
  (await checkReceipt(given, asked, hub, on))
    .filter((check) => check.holds === false)
    .map((check) => check.text);

describe("checking a receipt", () => {
  it("finds nothing wrong with the golden one, and says what could not be checked", async () => {
    const checks = await checkReceipt(bundle(), hash, hub, chain);
    expect(checks.filter((check) => check.holds === false)).toEqual([]);
    expect(checks.some((check) => check.holds === null && check.text.includes("voucher"))).toBe(true);
    expect(verdict(checks).tone).toBe("warn");
  });

  it("notices another hash than the one asked for", async () => {
    expect(await failed(bundle(), chain, `0x${"00".repeat(32)}`)).toHaveLength(1);
  });

  it("notices a changed amount", async () => {
    const fewer = { ...receipt, tokensOut: receipt.tokensOut + 1 };
    expect((await failed(bundle({ receipt: fewer }))).length).toBeGreaterThanOrEqual(3);
  });

  it("recomputes each payout to the last wei", () => {
    const payouts = payoutsOf(receipt);
    const { fee, split } = receipt;
    const paid = [...(payouts?.values() ?? [])].reduce((sum, amount) => sum + amount, 0n);
    expect(payouts?.size).toBe(6);
    expect(paid).toBe(BigInt(fee) - BigInt(split.burn) - BigInt(split.stakers));
  });

  it("does not guess what a reserve or parents are paid", () => {
    expect(payoutsOf({ ...receipt, provenance: [] })).toBeNull();
    expect(payoutsOf({ ...receipt, split: { ...receipt.split, parents: "1" } })).toBeNull();
  });

  it("notices payouts that give one what is another's", async () => {
    const one = bundle().payouts ?? [];
    const moved = one.map(({ account, amount }, index) => ({
      account,
      amount: String(BigInt(amount) + (index === 0 ? 1n : index === 1 ? -1n : 0n)),
    }));
    expect(await failed(bundle({ payouts: moved }))).toHaveLength(1);
    expect(await failed(bundle({ payouts: one.slice(1) }))).toHaveLength(2);
  });

  it("notices a proof for another root, and a chain that has another root or operator", async () => {
    const other = `0x${"11".repeat(32)}` as const;
    expect(await failed(bundle({ inclusion: { ...inclusion, receiptsRoot: other } }))).toHaveLength(2);
    expect(await failed(bundle(), { ...chain, receiptsRoot: other })).toHaveLength(1);
    expect(await failed(bundle(), { ...chain, operator: `0x${"22".repeat(20)}` })).toHaveLength(1);
  });

  it("does not claim to have checked what is not on chain yet", async () => {
    const checks = await checkReceipt(bundle({ inclusion: undefined }), hash, hub, null);
    expect(checks.at(-1)?.holds).toBeNull();
    expect(verdict(checks).tone).toBe("warn");
  });
});
