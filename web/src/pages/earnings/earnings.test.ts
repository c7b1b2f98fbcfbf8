import { type Address, concat, keccak256, numberToHex } from "viem";
import { describe, expect, it } from "vitest";
import { claimLeaf, type SumNode } from "../../verify/merkle";
import { checkClaim, type HubState } from "./claim";
import type { ClaimView } from "./queries";
import { byEpoch, cumulate, drawn, excerpt, sumWaiting, timeLeft, unitFor } from "./sums";

const place = { chainId: 161_201, contract: "0x4f50454e00000000000000000000000000000004" } as const;
const account = `0x${"11".repeat(20)}` as Address;
const other = `0x${"22".repeat(20)}` as Address;

const word = (amount: bigint) => numberToHex(amount, { size: 32 });
const join = (left: SumNode, right: SumNode): SumNode => ({
  hash: keccak256(concat(["0x01", left.hash, word(left.sum), right.hash, word(right.sum)])),
  sum: left.sum + right.sum,
});
const sibling = claimLeaf(place.chainId, place.contract, other, 30n);
const root = join(claimLeaf(place.chainId, place.contract, account, 70n), sibling);

const claim: ClaimView = {
  account,
  epoch: 4,
  proof: { account, cumulative: "70", index: 0, size: 2, siblings: [{ hash: sibling.hash, sum: "30" }] },
};
const hub: HubState = {
  claimed: 20n,
  lastFinal: 4n,
  balanceRoot: root.hash,
  totalBalance: root.sum,
  accountCount: 2n,
};
const proof = (over: Partial<NonNullable<ClaimView["proof"]>>): ClaimView => ({
  ...claim,
  proof: claim.proof && { ...claim.proof, ...over },
});

describe("a claim", () => {
  it("is ready with what was not claimed yet, and the hub's arguments", () => {
    expect(checkClaim(claim, account, place, hub)).toEqual({
      kind: "ready",
      amount: 50n,
      args: [account, 70n, 0n, [{ hash: sibling.hash, sum: 30n }]],
    });
  });

  it("is not signed when its proof does not hold", () => {
    const wrong = [
      checkClaim(proof({ cumulative: "71" }), account, place, hub),
      checkClaim(proof({ index: 1 }), account, place, hub),
      checkClaim(proof({ size: 3 }), account, place, hub),
      checkClaim(proof({ account: other }), account, place, hub),
      checkClaim(proof({ siblings: [] }), account, place, hub),
      checkClaim(claim, account, { ...place, chainId: 1 }, hub),
      checkClaim(claim, account, place, { ...hub, totalBalance: 101n }),
      checkClaim(proof({ cumulative: String(2n ** 128n) }), account, place, hub),
    ];
    expect(wrong.map(({ kind }) => kind)).toEqual(wrong.map(() => "wrong"));
  });

  it("is nothing where nothing is left or was credited", () => {
    expect(checkClaim(claim, account, place, { ...hub, claimed: 70n }).kind).toBe("all-claimed");
    expect(checkClaim({ ...claim, proof: null }, account, place, hub).kind).toBe("none");
    expect(
      checkClaim({ account, epoch: 0, proof: null }, account, place, { ...hub, lastFinal: 0n }).kind,
    ).toBe("none");
  });

  it("waits while node and chain are at different epochs", () => {
    expect(checkClaim(claim, account, place, { ...hub, lastFinal: 5n }).kind).toBe("behind");
  });
});

describe("sums over epochs", () => {
  const lines = [
    { epoch: 2, amount: "5" },
    { epoch: 1, amount: "9007199254740993" },
    { epoch: 2, amount: "7" },
  ];

  it("are exact and in order", () => {
    expect(byEpoch(lines)).toEqual([
      { epoch: 1, wei: 9007199254740993n, answers: 1 },
      { epoch: 2, wei: 12n, answers: 2 },
    ]);
    expect(cumulate(byEpoch(lines))).toEqual([9007199254740993n, 9007199254741005n]);
    expect(byEpoch([])).toEqual([]);
  });

  it("are drawn in a unit with short numbers", () => {
    expect(unitFor(5n * 10n ** 17n).name).toBe("OPEN");
    expect(unitFor(45n * 10n ** 13n).name).toBe("thousandths of an OPEN");
    expect(unitFor(12_345_678_901n).name).toBe("billionths of an OPEN");
    expect(unitFor(0n).name).toBe("wei");
    expect(drawn(0.123456)).toBe("0.1235");
  });
});

describe("what waits", () => {
  /** 150 answers of epoch 4, which waits, and 150 of epoch 3; the newest first. */
  const lines = Array.from({ length: 300 }, (_, at) => ({ epoch: at < 150 ? 4 : 3, amount: "7" }));
  const read = (asked: (number | null)[]) => (after: number | null) => {
    asked.push(after);
    const begin = after ?? 0;
    const end = begin + 100;
    return Promise.resolve({ data: lines.slice(begin, end), next_after: end < lines.length ? end : null });
  };

  it("is summed over all of an epoch's answers, and read no further than to what is final", async () => {
    const asked: (number | null)[] = [];
    const waiting = await sumWaiting(read(asked), 3, 10);
    expect(waiting).toEqual({ sums: [{ epoch: 4, wei: 1050n, answers: 150 }], whole: true });
    expect(asked).toEqual([null, 100]);
  });

  it("is read to the end where nothing is final, and says where it was not", async () => {
    const [third, fourth] = [3, 4].map((epoch) => ({ epoch, wei: 1050n, answers: 150 }));
    expect(await sumWaiting(read([]), 0, 10)).toEqual({ sums: [third, fourth], whole: true });
    expect((await sumWaiting(read([]), 0, 2)).whole).toBe(false);
  });
});

describe("the time left", () => {
  it("follows the epoch's state", () => {
    expect(timeLeft({ state: "posted", final_at: 160 }, 100, 600)).toBe("1 min for challenges");
    expect(timeLeft({ state: "posted", final_at: 90 }, 100, 600)).toContain("any moment");
    expect(timeLeft({ state: "open", final_at: null }, 100, 600)).toContain("10 min");
    expect(timeLeft(undefined, 100, 600)).toBe("not known");
  });
});

describe("a record's excerpt", () => {
  it("is text and nothing else", () => {
    expect(excerpt({ prompt: "When?", response: "At  noon" })).toBe("When? · At noon");
    expect(excerpt({ messages: [{ role: "user", content: "<b>hi</b>" }] })).toBe("<b>hi</b>");
    expect(excerpt({ text: "🙂".repeat(10) }, 4)).toBe("🙂🙂🙂…");
    expect(excerpt(null)).toBe("");
  });
});
