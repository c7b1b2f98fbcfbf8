import { readFileSync } from "node:fs";
import type { Hex } from "viem";
import { describe, expect, it } from "vitest";
import { leafHash } from "../../verify/merkle";
import { payoutsOf, type ReceiptJson } from "../../verify/receipt";
import { readSnapshot, reserveShares } from "../../verify/snapshot";
import { checkReceipt, verdict } from "./check";
import type { ReceiptBundle } from "./queries";

const read = (path: string) => readFileSync(new URL(`../../../../${path}`, import.meta.url), "utf8");
const receipt: ReceiptJson = JSON.parse(read("crates/settlement/tests/golden/receipt.json"));
const hash = read("crates/settlement/tests/golden/receipt.hash").trim() as Hex;
const SNAPSHOT = "crates/datanet/tests/golden/snapshot_v1.bin";
const hub = { chainId: 161_201, contract: "0x4f50454e00000000000000000000000000000004" } as const;
const root = leafHash(hash);
const inclusion = { receiptsRoot: root, proof: { index: 0, size: 1, siblings: [] } };
const chain = { receiptsRoot: root, operator: receipt.operator, status: 2 };

const bundle = (over: Partial<ReceiptBundle> = {}): ReceiptBundle => {
  const payouts = [...(payoutsOf(receipt, null) ?? [])].map(([account, amount]) => ({
    account: account as Hex,
    amount: String(amount),
  }));
  return { receipt, payouts, inclusion, ...over };
};
const failed = async (given: ReceiptBundle, on: typeof chain | null = chain, asked = hash) =>
  (await checkReceipt(given, asked, hub, on, null))
    .filter((check) => check.holds === false)
    .map((check) => check.text);

describe("checking a receipt", () => {
  it("finds nothing wrong with the golden one, and says what could not be checked", async () => {
    const checks = await checkReceipt(bundle(), hash, hub, chain, null);
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
    const payouts = payoutsOf(receipt, null);
    const { fee, split } = receipt;
    const paid = [...(payouts?.values() ?? [])].reduce((sum, amount) => sum + amount, 0n);
    expect(payouts?.size).toBe(6);
    expect(paid).toBe(BigInt(fee) - BigInt(split.burn) - BigInt(split.stakers));
  });

  it("does not guess what a reserve or parents are paid", () => {
    expect(payoutsOf({ ...receipt, provenance: [] }, null)).toBeNull();
    expect(payoutsOf({ ...receipt, split: { ...receipt.split, parents: "1" } }, null)).toBeNull();
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
    const alone = payoutsOf({ ...given, split: { ...given.split, provenance: "0" } }, null);
    const expected = new Map(alone);
    shares.forEach(({ contributor }, index) => {
      expected.set(contributor, (expected.get(contributor) ?? 0n) + (parts[index] ?? 0n));
    });
    const payouts = [...expected].map(([account, amount]) => ({
      account: account as Hex,
      amount: `${amount}`,
    }));
    const of = async (reserve: Parameters<typeof checkReceipt>[4], paid = payouts) => {
      const checks = await checkReceipt(bundle({ receipt: given, payouts: paid }), hash, hub, chain, reserve);
      return checks.find(({ text }) => /payout|list/.test(text) && !text.includes("add up"))?.holds;
    };
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
    expect(await failed(bundle(), { ...chain, receiptsRoot: other })).toHaveLength(1);
    expect(await failed(bundle(), { ...chain, operator: `0x${"22".repeat(20)}` })).toHaveLength(1);
  });

  it("does not claim to have checked what is not on chain yet", async () => {
    const checks = await checkReceipt(bundle({ inclusion: undefined }), hash, hub, null, null);
    expect(checks.at(-1)?.holds).toBeNull();
    expect(verdict(checks).tone).toBe("warn");
  });
});
