/** Payouts against the golden receipt and cases worked out by hand; Rust's `epoch::payouts` has the same rules. */
import { readFileSync } from "node:fs";
import type { Address } from "viem";
import { describe, expect, it } from "vitest";
import {
  countedShares,
  creditsOf,
  type PaidBy,
  type PoolWeights,
  payoutFault,
  type ReceiptJson,
  totals,
} from ".";

const golden = new URL("../../../crates/settlement/tests/golden/receipt.json", import.meta.url);
const receipt: ReceiptJson = JSON.parse(readFileSync(golden, "utf8"));
const NOBODY: PaidBy = { reserve: null, parents: null };
const account = (byte: string) => `0x${byte.repeat(20)}` as Address;
const [FIRST, SECOND] = [account("a1"), account("b2")];
/** Ten wei go from the influence pool to the parents. */
const parented: ReceiptJson = {
  ...receipt,
  split: {
    ...receipt.split,
    parents: "10",
    influence: String(BigInt(receipt.split.influence) - 10n),
  },
};
/** The first builder made two of the three parents; written in capitals once, as a checksum would. */
const builders: PoolWeights = {
  shares: countedShares([SECOND, `0x${"A1".repeat(20)}`, FIRST]),
};

function credits(of: ReceiptJson, paidBy: PaidBy) {
  const made = creditsOf(of, paidBy);
  if (!("credits" in made)) throw new Error(JSON.stringify(made));
  return made.credits;
}
const said = (of: ReceiptJson, paidBy: PaidBy) =>
  [...totals(credits(of, paidBy))].map(([who, amount]) => ({ account: who, amount: String(amount) }));

describe("payouts", () => {
  it("come to the fee without what is burned and what stakers get", () => {
    const paid = totals(credits(receipt, NOBODY));
    const { fee, split } = receipt;
    expect(paid.size).toBe(6);
    expect([...paid.values()].reduce((sum, amount) => sum + amount, 0n)).toBe(
      BigInt(fee) - BigInt(split.burn) - BigInt(split.stakers),
    );
  });

  it("go to the builders of parents by how many they built, cut as every pool is", () => {
    // 10 wei over weights 2 and 1: floor(10 * 2 / 3) = 6, then 10 - 6 = 4.
    const parents = credits(parented, { ...NOBODY, parents: builders }).filter(
      ({ role }) => role === "builder of a parent model",
    );
    expect(parents.map(({ account: who, amount }) => [who, amount])).toEqual([
      [FIRST, 6n],
      [SECOND, 4n],
    ]);
  });

  it("add up where one account is paid for several things", () => {
    const parents = { shares: countedShares([receipt.builder, receipt.builder]) };
    const paid = totals(credits(parented, { ...NOBODY, parents }));
    expect(paid.get(receipt.builder.toLowerCase())).toBe(BigInt(receipt.split.builder) + 10n);
  });

  it("are not guessed where it is not known who is paid", () => {
    expect(creditsOf(parented, NOBODY)).toHaveProperty("unknown");
    expect(creditsOf({ ...receipt, provenance: [] }, NOBODY)).toHaveProperty("unknown");
    expect(creditsOf(parented, { ...NOBODY, parents: { wrong: "no parent" } })).toEqual({
      wrong: "no parent",
    });
    const disordered = { ...receipt, influence: [...receipt.influence].reverse() };
    expect(creditsOf(disordered, NOBODY)).toHaveProperty("wrong");
  });
});

describe("the fault among payouts", () => {
  const paidBy = { ...NOBODY, parents: builders };
  const due = credits(parented, paidBy);
  const right = said(parented, paidBy);
  const moved = (changes: Record<string, bigint>) =>
    right.map(({ account: who, amount }) => ({
      account: who,
      amount: String(BigInt(amount) + (changes[who] ?? 0n)),
    }));

  it("is none where every wei is right", () => {
    expect(payoutFault(due, right)).toBeNull();
  });

  it("names a parent's builder whose pay was changed, though the sum is the same", () => {
    expect(payoutFault(due, moved({ [FIRST]: -1n, [SECOND]: 1n }))).toBe(
      `${FIRST} is due 6 wei as builder of a parent model; the node names 5 wei.`,
    );
  });

  it("names a parent's builder who was left out, and one who is none", () => {
    const without = right.filter(({ account: who }) => who !== SECOND);
    expect(payoutFault(due, without)).toBe(
      `${SECOND} is due 4 wei as builder of a parent model; the node names nothing.`,
    );
    const stranger = account("ee");
    expect(payoutFault(due, [...without, { account: stranger, amount: "4" }])).toBe(
      `${stranger} is due nothing; the node names 4 wei.`,
    );
  });

  it("names an account that stands twice in another's place", () => {
    const [one] = right;
    if (one === undefined) throw new Error("nobody is paid");
    expect(payoutFault(due, [one, one, ...right.slice(2)])).toContain("twice");
  });
});
