import { readFileSync } from "node:fs";
import type { Hex } from "viem";
import { describe, expect, it } from "vitest";
import { leafHash } from "../../verify/merkle";
import { countedShares, creditsOf, type PaidBy, totals } from "../../verify/payouts";
import type { ReceiptJson } from "../../verify/receipt";
import { readSnapshot, reserveShares } from "../../verify/snapshot";
import { type Against, checkReceipt, verdict } from "./check";
import type { ReceiptBundle } from "./queries";

const read = (path: string) => readFileSync(new URL(`../../../../${path}`, import.meta.url), "utf8");
const receipt: ReceiptJson = JSON.parse(read("crates/settlement/tests/golden/receipt.json"));
const hash = read("crates/settlement/tests/golden/receipt.hash").trim() as Hex;
const SNAPSHOT = "crates/datanet/tests/golden/snapshot_v1.bin";
const hub = { chainId: 161_201, contract: "0x4f50454e00000000000000000000000000000004" } as const;
const root = leafHash(hash);
const inclusion = { receiptsRoot: root, proof: { index: 0, size: 1, siblings: [] } };
const chain = { receiptsRoot: root, receiptCount: 1n, operator: receipt.operator, status: 2 };
const { builder, baseModel, weightsHash, indexRoot, snapshotRoots, price, bps } = receipt;
const wei = { inputWei: BigInt(price.inputWei), outputWei: BigInt(price.outputWei) };
const terms = { builder, baseModel, weightsHash, indexRoot, snapshotRoots, ...wei, bps };
const NOBODY: PaidBy = { reserve: null, parents: null };
const against: Against = { epoch: chain, terms, paidBy: NOBODY };

const payoutsOf = (of: ReceiptJson, paidBy = NOBODY) => {
  const made = creditsOf(of, paidBy);
  if (!("credits" in made)) throw new Error(JSON.stringify(made));
  return [...totals(made.credits)].map(([account, amount]) => ({
    account: account as Hex,
    amount: String(amount),
  }));
};
const bundle = (over: Partial<ReceiptBundle> = {}): ReceiptBundle => ({
  receipt,
  payouts: payoutsOf(receipt),
  inclusion,
  ...over,
});
const failed = async (given: ReceiptBundle, over: Partial<Against> = {}, asked = hash) =>
  (await checkReceipt(given, asked, hub, { ...against, ...over }))
    .filter((check) => check.holds === false)
    .map((check) => check.text);
/** What is said of each payout, behind their sum. */
const ofPayouts = async (given: ReceiptBundle, paidBy: PaidBy) => {
  const checks = await checkReceipt(given, hash, hub, { ...against, paidBy });
  return checks[checks.findIndex(({ text }) => text.includes("add up to exactly")) + 1];
};

describe("checking a receipt", () => {
  it("finds nothing wrong with the golden one, and says what could not be checked", async () => {
    const checks = await checkReceipt(bundle(), hash, hub, against);
    expect(checks.filter((check) => check.holds === false)).toEqual([]);
    expect(checks.some((check) => check.holds === null && check.text.includes("voucher"))).toBe(true);
    expect(verdict(checks).tone).toBe("warn");
  });

  it("notices another hash than the one asked for", async () => {
    expect(await failed(bundle(), {}, `0x${"00".repeat(32)}`)).toHaveLength(1);
  });

  it("notices a changed amount", async () => {
    const fewer = { ...receipt, tokensOut: receipt.tokensOut + 1 };
    expect((await failed(bundle({ receipt: fewer }))).length).toBeGreaterThanOrEqual(3);
  });

  it("notices another price, split or builder than the registry's, and a model that it does not know", async () => {
    expect(await failed(bundle(), { terms: { ...terms, inputWei: 1n } })).toHaveLength(1);
    expect(await failed(bundle(), { terms: { ...terms, bps: { ...bps, parents: 1 } } })).toHaveLength(1);
    expect(await failed(bundle(), { terms: { ...terms, builder: hub.contract } })).toHaveLength(1);
    expect(await failed(bundle(), { terms: { ...terms, snapshotRoots: [root] } })).toHaveLength(1);
    expect(await failed(bundle(), { terms: { ...terms, weightsHash: root } })).toHaveLength(1);
    expect(await failed(bundle(), { terms: null })).toHaveLength(1);
  });

  it("does not guess what a reserve or parents are paid", async () => {
    const reserved = { ...receipt, provenance: [] };
    const parented = { ...receipt, split: { ...receipt.split, parents: "1" } };
    expect((await ofPayouts(bundle({ receipt: reserved }), NOBODY))?.holds).toBeNull();
    expect((await ofPayouts(bundle({ receipt: parented }), NOBODY))?.holds).toBeNull();
  });

  it("recomputes what the builders of parents are paid, and names one who is paid something else", async () => {
    const influence = String(BigInt(receipt.split.influence) - 10n);
    const given = { ...receipt, split: { ...receipt.split, parents: "10", influence } };
    const [first, second] = [`0x${"a1".repeat(20)}`, `0x${"b2".repeat(20)}`] as const;
    const paidBy = { ...NOBODY, parents: { shares: countedShares([first, second, first]) } };
    const payouts = payoutsOf(given, paidBy);
    const right = await ofPayouts(bundle({ receipt: given, payouts }), paidBy);
    expect(right).toMatchObject({ holds: true });
    expect(right?.text).toContain("parent models");
    const moved = payouts.map(({ account, amount }) => ({
      account,
      amount: String(BigInt(amount) + (account === first ? 1n : account === second ? -1n : 0n)),
    }));
    expect(await ofPayouts(bundle({ receipt: given, payouts: moved }), paidBy)).toEqual({
      text: `${first} is due 6 wei as builder of a parent model; the node names 7 wei.`,
      holds: false,
    });
    const wrong = { ...NOBODY, parents: { wrong: "The registry names no parent." } };
    expect((await ofPayouts(bundle({ receipt: given, payouts }), wrong))?.holds).toBe(false);
  });

  it("recomputes what a reserve pays from the snapshot's own list of records", async () => {
    const body = new Uint8Array(readFileSync(new URL(`../../../../${SNAPSHOT}`, import.meta.url)));
    const snapshot = readSnapshot(body);
    if (snapshot === null) throw new Error("the golden snapshot cannot be read");
    const shares = reserveShares([snapshot]);
    const given = { ...receipt, provenance: [] };
    const pool = BigInt(receipt.split.provenance);
    // One record each of three contributors: the second and third get what the rounding of the first leaves.
    const cuts = [pool / 3n, (pool * 2n) / 3n, pool];
    const parts = cuts.map((cut, index) => cut - (cuts[index - 1] ?? 0n));
    const alone = payoutsOf({ ...given, split: { ...given.split, provenance: "0" } });
    const expected = new Map(alone.map(({ account, amount }) => [account, BigInt(amount)]));
    shares.forEach(({ contributor }, index) => {
      expected.set(contributor, (expected.get(contributor) ?? 0n) + (parts[index] ?? 0n));
    });
    const payouts = [...expected].map(([account, amount]) => ({ account, amount: `${amount}` }));
    const of = async (reserve: PaidBy["reserve"], paid = payouts) =>
      (await ofPayouts(bundle({ receipt: given, payouts: paid }), { ...NOBODY, reserve }))?.holds;
    expect(await of({ shares })).toBe(true);
    const [first, second, ...rest] = payouts;
    if (first === undefined || second === undefined) throw new Error("it pays fewer than two");
    const more = { ...first, amount: String(BigInt(first.amount) + 1n) };
    const less = { ...second, amount: String(BigInt(second.amount) - 1n) };
    expect(await of({ shares }, [more, less, ...rest])).toBe(false);
    expect(await of({ unknown: "The list is not here" })).toBe(null);
    expect(await of({ wrong: "The list does not have that root." })).toBe(false);
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
    expect(await failed(bundle(), { epoch: { ...chain, receiptsRoot: other } })).toHaveLength(1);
    expect(await failed(bundle(), { epoch: { ...chain, operator: `0x${"22".repeat(20)}` } })).toHaveLength(1);
    expect(await failed(bundle(), { epoch: { ...chain, receiptCount: 2n } })).toHaveLength(1);
  });

  it("does not claim to have checked what is not on chain yet", async () => {
    const checks = await checkReceipt(bundle({ inclusion: undefined }), hash, hub, {
      ...against,
      epoch: null,
    });
    expect(checks.at(-1)?.holds).toBeNull();
    expect(verdict(checks).tone).toBe("warn");
  });
});
