/** What a reader can check of a paid answer without trusting the node: line by line, with what is still open. */
import { type Address, type Hex, isAddressEqual } from "viem";
import { checkTerms, type Terms } from "../../chain/model";
import type { ChannelConfig, Place } from "../../chain/typed-data";
import {
  creditsOf,
  type Disclosure,
  type Inclusion,
  leafHash,
  type PaidBy,
  type PostedEpoch,
  payoutFault,
  type ReceiptJson,
  receiptHash,
  splitPool,
  totals,
  type VoucherJson,
  verifyAmounts,
  verifyDisclosure,
  verifyMerkleProof,
  verifyPayment,
  verifyPosted,
  verifyReceiptSignature,
} from "../../verify";

export type CheckState = "ok" | "failed" | "open";

export interface Check {
  title: string;
  state: CheckState;
  /** What was compared with what, or what is still awaited. */
  detail: string;
}

/** What the receipt names that stands on chain. */
export interface OnChain {
  /** The epoch as the hub holds it; null where it is not posted. */
  epoch: (PostedEpoch & { final: boolean }) | null;
  /** What the registry holds of the receipt's model; null where it does not know it. */
  terms: Terms | null;
}

export interface Material {
  receipt: ReceiptJson;
  /** The hash that the answer named. */
  hash: Hex;
  /** The answer as the page shows it. */
  shownAnswer: string;
  /** The question as the page shows it. */
  shownQuestion: string;
  disclosure: Disclosure;
  payouts: readonly {
    contributor: string;
    influence_wei: string;
    provenance_wei: string;
    total_wei: string;
  }[];
  /** Everyone whom the receipt pays, as the node says; null where it does not say. */
  paid: readonly { account: string; amount: string }[] | null;
  /** What pools are paid by that the receipt does not name. */
  paidBy: PaidBy;
  /** From the bundle: absent while the epoch is open. */
  inclusion: Inclusion | null;
  /** What paid; null where the node does not show it. */
  payment: { channel: ChannelConfig; voucher: VoucherJson } | null;
  /** The node's operator, as its status names it. */
  operator: Address;
  hub: Place;
  chain: OnChain;
}

const same = (one: string, other: string) => one.toLowerCase() === other.toLowerCase();

/** Runs one check; whatever is malformed fails it. */
async function check(title: string, work: () => Promise<Outcome> | Outcome): Promise<Check> {
  try {
    return { title, ...(await work()) };
  } catch (error) {
    const reason = error instanceof Error ? error.message.split("\n")[0] : "no reason";
    return { title, state: "failed", detail: `It could not be read: ${reason}` };
  }
}

type Outcome = { state: CheckState; detail: string };
const verdict = (good: boolean, yes: string, no: string): Outcome =>
  good ? { state: "ok", detail: yes } : { state: "failed", detail: no };

/** All checks, in the order in which they build on each other. */
export function verifyAnswer(material: Material): Promise<Check[]> {
  return Promise.all([
    check("Receipt", () => checkHash(material)),
    check("Operator's signature", () => checkSignature(material)),
    check("Question and answer", () => checkText(material)),
    check("Your payment", () => checkPayment(material)),
    check("Published terms", () => checkPublished(material)),
    check("Fee and its split", () => checkAmounts(material)),
    check("Pay of everyone", () => checkPayouts(material)),
    check("Place in the epoch", () => checkInclusion(material)),
    check("Root on chain", () => checkRoot(material)),
  ]);
}

function checkHash({ receipt, hash }: Material): Outcome {
  return verdict(
    same(receiptHash(receipt), hash),
    `Hashing all its fields again gives ${hash.slice(0, 10)}…, the hash that came with the answer.`,
    "Hashing its fields gives another hash than the one that came with the answer.",
  );
}

async function checkSignature({ receipt, hub, operator }: Material): Promise<Outcome> {
  if (!isAddressEqual(receipt.operator, operator)) {
    return {
      state: "failed",
      detail: `The receipt names operator ${receipt.operator}; this node's is ${operator}.`,
    };
  }
  return verdict(
    await verifyReceiptSignature(receipt, hub),
    "The node's operator signed this receipt, for this chain and this hub.",
    "The signature is not the operator's.",
  );
}

function checkText({ receipt, disclosure, shownAnswer, shownQuestion }: Material): Outcome {
  if (!verifyDisclosure(receipt, disclosure)) {
    return { state: "failed", detail: "The receipt's hashes are of another question or another answer." };
  }
  const asked = lastQuestion(disclosure.request);
  return verdict(
    disclosure.answer === shownAnswer && asked === shownQuestion,
    "With the salt, the hashes in the receipt are exactly those of the question and the answer shown here.",
    "The receipt holds, but for another text than the one shown here.",
  );
}

/** The last thing the person said, as the canonical request has it: pairs of role and text. */
function lastQuestion(request: Disclosure["request"]): string | null {
  if (typeof request !== "object" || request === null || Array.isArray(request)) return null;
  const { messages } = request;
  const last = Array.isArray(messages) ? messages.at(-1) : null;
  const [role, text] = Array.isArray(last) ? last : [];
  return role === "user" && typeof text === "string" ? text : null;
}

async function checkPayment({ receipt, payment, hub }: Material): Promise<Outcome> {
  if (payment === null) {
    return { state: "open", detail: "The node does not show the voucher behind this receipt to this page." };
  }
  const { channel, voucher } = await verifyPayment(receipt, payment.channel, payment.voucher, hub);
  return verdict(
    channel && voucher,
    "The payer signed the voucher that the receipt names, on this channel; it covers what was charged.",
    "The voucher is not the payer's or not the one that the receipt names, is on another channel, or does not cover what was charged.",
  );
}

function checkPublished({ receipt, chain: { terms } }: Material): Outcome {
  const { holds, text } = checkTerms(receipt, terms);
  return verdict(holds, text, text);
}

function checkAmounts({ receipt }: Material): Outcome {
  return verdict(
    verifyAmounts(receipt),
    `${receipt.tokensIn} tokens in and ${receipt.tokensOut} out at the price give the fee; its parts, computed again, are the receipt's and add up to it.`,
    "Tokens, price, fee and parts do not fit together.",
  );
}

function checkPayouts(material: Material): Outcome {
  return checkShown(material) ?? checkPaid(material);
}

/** What the page shows of each contributor, held against the two pools; null where it is right. */
function checkShown({ receipt, payouts }: Material): Outcome | null {
  const pools = [
    [receipt.split.influence, receipt.influence],
    [receipt.split.provenance, receipt.provenance],
  ] as const;
  const split = pools.map(([pool, shares]) => (shares.length === 0 ? [] : splitPool(BigInt(pool), shares)));
  if (split.includes(null))
    return { state: "failed", detail: "A pool's shares are out of order or weigh nothing." };
  const expected = totals(split.flatMap((paid) => paid ?? []));
  const shown = new Map(payouts.map((one) => [one.contributor.toLowerCase(), BigInt(one.total_wei)]));
  if (shown.size === expected.size && [...expected].every(([who, wei]) => shown.get(who) === wei))
    return null;
  return {
    state: "failed",
    detail: "Splitting the pools by the receipt's weights gives other amounts than those shown.",
  };
}

/** Everyone's pay: the operator's and the builder's, the parents' builders', the contributors', the reserve's. */
function checkPaid({ receipt, paid, paidBy }: Material): Outcome {
  if (paid === null) return { state: "open", detail: "The node does not say who is paid." };
  const expected = creditsOf(receipt, paidBy);
  if ("wrong" in expected) return { state: "failed", detail: expected.wrong };
  if ("unknown" in expected)
    return { state: "open", detail: `${expected.unknown}; its payouts are not checked.` };
  const fault = payoutFault(expected.credits, paid);
  if (fault !== null) return { state: "failed", detail: fault };
  return { state: "ok", detail: explained(paidBy) };
}

function explained({ parents, reserve }: PaidBy): string {
  const parts = [
    "Splitting the two pools by the receipt's weights gives exactly the amounts shown.",
    ...(parents === null
      ? []
      : ["The parents' part goes to the builders of the parent models that the registry on chain names."]),
    ...(reserve === null
      ? []
      : [
          "Nobody stood out for a pool, so it goes evenly to the accepted records of the snapshots, whose roots were made again here.",
        ]),
    "These are the payouts that the node names, to the last wei.",
  ];
  return parts.join(" ");
}

function checkInclusion({ receipt, inclusion }: Material): Outcome {
  if (inclusion === null) {
    const detail = `Not yet: epoch ${receipt.epoch} still takes receipts. The proof is there once it closes.`;
    return { state: "open", detail };
  }
  const { proof, receiptsRoot } = inclusion;
  return verdict(
    verifyMerkleProof(proof, receiptsRoot, leafHash(receiptHash(receipt))),
    `The Merkle proof leads from this receipt, number ${proof.index + 1} of ${proof.size}, to the root of epoch ${receipt.epoch}.`,
    "The Merkle proof does not lead from this receipt to the epoch's root.",
  );
}

function checkRoot({ receipt, inclusion, chain: { epoch } }: Material): Outcome {
  if (inclusion === null || epoch === null) {
    const detail = `Not yet: epoch ${receipt.epoch} is not posted on chain.`;
    return { state: "open", detail };
  }
  const state = epoch.final ? "It is final." : "It can still be challenged; then it becomes final.";
  return verdict(
    verifyPosted(receipt, inclusion, epoch),
    `The hub on chain holds the same root, of the same number of receipts, posted by this operator. ${state}`,
    "The hub on chain holds another root, another number of receipts or another operator for this epoch.",
  );
}

/** All checks in one sentence. */
export function summary(checks: readonly Check[]): { state: CheckState; text: string } {
  const of = (state: CheckState) => checks.filter((one) => one.state === state).length;
  const [failed, open, ok] = [of("failed"), of("open"), of("ok")];
  if (failed > 0)
    return {
      state: "failed",
      text: `${failed} of ${checks.length} checks failed. Do not trust this receipt.`,
    };
  if (open > 0)
    return { state: "open", text: `${ok} of ${checks.length} checks hold; ${open} cannot be made yet.` };
  return { state: "ok", text: `All ${checks.length} checks hold.` };
}
