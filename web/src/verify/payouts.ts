/** Whom a receipt pays and how much, part by part, and the first payout that is another. Integers only. */
import type { Address } from "viem";
import type { ReceiptJson, Share } from "./receipt";

export interface Payout {
  account: Address;
  amount: bigint;
}

/** Splits a pool by weights with prefix rounding; the payouts add up to exactly the pool. Null when out of order. */
export function splitPool(pool: bigint, shares: readonly Share[]): Payout[] | null {
  const total = shares.reduce((sum, share) => sum + BigInt(share.weight), 0n);
  if (total === 0n) return null;
  let [prefix, paid, last] = [0n, 0n, -1n];
  const payouts: Payout[] = [];
  for (const { contributor, weight } of shares) {
    if (BigInt(contributor) <= last) return null;
    last = BigInt(contributor);
    prefix += BigInt(weight);
    const cut = (pool * prefix) / total;
    payouts.push({ account: contributor, amount: cut - paid });
    paid = cut;
  }
  return payouts;
}

/** Accounts weighed by how often they stand in the list, in the order of addresses. */
export function countedShares(accounts: readonly Address[]): Share[] {
  const counts = new Map<Address, number>();
  for (const account of accounts) {
    const key = account.toLowerCase() as Address;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  const shares = [...counts].map(([contributor, weight]) => ({ contributor, weight }));
  return shares.sort((one, other) => (BigInt(one.contributor) < BigInt(other.contributor) ? -1 : 1));
}

/** Weights of a pool that the receipt does not name, or in words why they are not known or cannot be right. */
export type PoolWeights = { shares: readonly Share[] } | { unknown: string } | { wrong: string };

/** What pools are paid by beyond the receipt; null where the receipt pays none. All of it is public. */
export interface PaidBy {
  /** Accepted records of the receipt's snapshots, by contributor. */
  reserve: PoolWeights | null;
  /** Builders of the model's parents, each with the number of parents that it built. */
  parents: PoolWeights | null;
}

/** Pools of a receipt that nobody stood out for: they go to the reserve of its snapshots. */
export function paysReserve({ split, influence, provenance }: ReceiptJson): boolean {
  const open = (pool: string, shares: readonly Share[]) => BigInt(pool) > 0n && shares.length === 0;
  return open(split.influence, influence) || open(split.provenance, provenance);
}

/** True when a part of the fee goes to the builders of the model's parents. */
export function paysParents({ split }: ReceiptJson): boolean {
  return BigInt(split.parents) > 0n;
}

/** As what an account is paid, in words. */
export type Role =
  | "the operator"
  | "the model's builder"
  | "builder of a parent model"
  | "contributor by influence"
  | "contributor by quotation"
  | "contributor of accepted records";

export interface Credit extends Payout {
  role: Role;
}

interface Pool {
  role: Role;
  amount: bigint;
  weights: PoolWeights;
}

const UNREAD: PoolWeights = { unknown: "Whom a pool of this receipt pays was not read" };

function poolsOf(receipt: ReceiptJson, { reserve, parents }: PaidBy): Pool[] {
  const { split, influence, provenance } = receipt;
  const data = (role: Role, amount: string, shares: readonly Share[]): Pool =>
    shares.length > 0
      ? { role, amount: BigInt(amount), weights: { shares } }
      : { role: "contributor of accepted records", amount: BigInt(amount), weights: reserve ?? UNREAD };
  const pools: Pool[] = [
    { role: "builder of a parent model", amount: BigInt(split.parents), weights: parents ?? UNREAD },
    data("contributor by influence", split.influence, influence),
    data("contributor by quotation", split.provenance, provenance),
  ];
  return pools.filter(({ amount }) => amount > 0n);
}

/** Who is paid what, part by part; one account may stand in several. Parts of zero are left out. */
export function creditsOf(
  receipt: ReceiptJson,
  paidBy: PaidBy,
): { credits: Credit[] } | { unknown: string } | { wrong: string } {
  const credits: Credit[] = [
    { role: "the operator", account: receipt.operator, amount: BigInt(receipt.split.operator) },
    { role: "the model's builder", account: receipt.builder, amount: BigInt(receipt.split.builder) },
  ];
  for (const { role, amount, weights } of poolsOf(receipt, paidBy)) {
    if (!("shares" in weights)) return weights;
    const paid = splitPool(amount, weights.shares);
    if (paid === null)
      return { wrong: `The weights by which each ${role} is paid are out of order or zero.` };
    credits.push(...paid.map((payout) => ({ role, ...payout })));
  }
  return { credits: credits.filter(({ amount }) => amount > 0n) };
}

/** What each account is paid in all, by lower-case address. */
export function totals(payouts: readonly Payout[]): Map<string, bigint> {
  const sums = new Map<string, bigint>();
  for (const { account, amount } of payouts) {
    const key = account.toLowerCase();
    sums.set(key, (sums.get(key) ?? 0n) + amount);
  }
  return sums;
}

/** The first payout that is not what the credits make it, in a sentence; null when all are, to the last wei. */
export function payoutFault(
  credits: readonly Credit[],
  said: readonly { account: string; amount: string }[],
): string | null {
  const due = totals(credits);
  const seen = new Set<string>();
  for (const { account, amount } of said) {
    const key = account.toLowerCase();
    if (seen.has(key)) return `${account} is named twice among the payouts.`;
    seen.add(key);
    const expected = due.get(key) ?? 0n;
    if (expected !== BigInt(amount)) return difference(credits, key, expected, `${BigInt(amount)} wei`);
  }
  const [missing] = [...due].filter(([account]) => !seen.has(account));
  return missing === undefined ? null : difference(credits, ...missing, "nothing");
}

function difference(credits: readonly Credit[], account: string, expected: bigint, said: string): string {
  const roles = credits.filter((credit) => credit.account.toLowerCase() === account).map(({ role }) => role);
  if (roles.length === 0) return `${account} is due nothing; the node names ${said}.`;
  const as = [...new Set(roles)].join(" and as ");
  return `${account} is due ${expected} wei as ${as}; the node names ${said}.`;
}
