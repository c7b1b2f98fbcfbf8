/** What answers cost. Whole wei only. */
import type { ChatMessage, Conversation, PoolShare } from "./tree";

export interface Spent {
  /** Of the answers whose charge is known. */
  charged: bigint;
  answers: number;
  /** Paid answers whose charge is not known, and the most that they can have cost. */
  unknown: number;
  unknownCeiling: bigint;
}

/** What some messages cost together. */
export function spent(messages: readonly ChatMessage[]): Spent {
  const sum: Spent = { charged: 0n, answers: 0, unknown: 0, unknownCeiling: 0n };
  for (const { answer } of messages) {
    if (answer === undefined) continue;
    if (answer.charged !== undefined) {
      sum.charged += BigInt(answer.charged);
      sum.answers += 1;
    } else if (answer.ceiling !== undefined && answer.state !== "writing") {
      sum.unknown += 1;
      sum.unknownCeiling += BigInt(answer.ceiling);
    }
  }
  return sum;
}

/** What a whole conversation cost, all branches included: hidden answers were paid for too. */
export function conversationSpent(conversation: Conversation): Spent {
  return spent(Object.values(conversation.messages));
}

/** A share's part of its pool, 0 to 1. */
export function sharePart(share: { weight: number }, all: readonly { weight: number }[]): number {
  const total = all.reduce((sum, one) => sum + one.weight, 0);
  return total === 0 ? 0 : share.weight / total;
}

/** The part of the influence of each contributor, by lower-case address. */
export function influenceParts(influence: readonly PoolShare[]): Map<string, number> {
  return new Map(influence.map((share) => [share.contributor.toLowerCase(), sharePart(share, influence)]));
}
