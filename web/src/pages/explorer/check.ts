/** Checks a receipt in the browser: what it says of itself, what the payer signed, and what the chain has. */
import type { Hex } from "viem";
import { checkTerms, type Terms } from "../../chain/model";
import type { Place } from "../../chain/typed-data";
import { type PostedEpoch, verifyPayment, verifyPosted } from "../../verify/evidence";
import { leafHash, verifyMerkleProof } from "../../verify/merkle";
import { creditsOf, type PaidBy, payoutFault } from "../../verify/payouts";
import { receiptHash, verifyAmounts, verifyReceiptSignature } from "../../verify/receipt";
import type { ReceiptBundle } from "./queries";

export interface Check {
  /** What was checked, in a sentence. */
  text: string;
  /** Null where it could not be checked. */
  holds: boolean | null;
}

/** The receipt's epoch as the hub has it. */
export interface ChainEpoch extends PostedEpoch {
  status: number;
}

/** What a receipt is held against. */
export interface Against {
  /** Null where the hub was not asked. */
  epoch: ChainEpoch | null;
  /** What the registry holds of the receipt's model; null where it does not know it. */
  terms: Terms | null;
  paidBy: PaidBy;
}

const same = (one: string, other: string) => one.toLowerCase() === other.toLowerCase();

async function checkVoucher({ receipt, channel, voucher }: ReceiptBundle, hub: Place): Promise<Check[]> {
  if (channel === undefined || voucher === undefined) {
    return [{ text: "The node gave no voucher, so the payment could not be checked.", holds: null }];
  }
  const payment = await verifyPayment(receipt, channel, voucher, hub);
  return [
    {
      text: "The channel is the one that the receipt names, between this payer and this operator.",
      holds: payment.channel,
    },
    { text: "The payer signed a voucher that covers this answer.", holds: payment.voucher },
  ];
}

function checkPayouts({ receipt, payouts }: ReceiptBundle, paidBy: PaidBy): Check[] {
  if (payouts === undefined) return [{ text: "The node did not say who is paid.", holds: null }];
  const { fee, split } = receipt;
  const paid = payouts.reduce((sum, { amount }) => sum + BigInt(amount), 0n);
  const due = BigInt(fee) - BigInt(split.burn) - BigInt(split.stakers);
  const total = {
    text: "Payouts, burned part and stakers' part add up to exactly the fee.",
    holds: paid === due,
  };
  const expected = creditsOf(receipt, paidBy);
  if ("wrong" in expected) return [total, { text: expected.wrong, holds: false }];
  if ("unknown" in expected) {
    return [total, { text: `${expected.unknown}, so each payout could not be recomputed.`, holds: null }];
  }
  const fault = payoutFault(expected.credits, payouts);
  if (fault !== null) return [total, { text: fault, holds: false }];
  return [total, { text: `Each payout is what ${madeBy(paidBy)}, to the last wei.`, holds: true }];
}

function madeBy({ parents, reserve }: PaidBy): string {
  const sources = [
    "the receipt's weights",
    ...(parents === null ? [] : ["the builders of the parent models that the registry on chain names"]),
    ...(reserve === null ? [] : ["the accepted records of its snapshots, whose roots were made again here,"]),
  ];
  const last = sources.pop();
  return sources.length === 0 ? `${last} make it` : `${sources.join(", ")} and ${last} make it`;
}

function checkEpoch({ receipt, inclusion }: ReceiptBundle, hash: Hex, chain: ChainEpoch | null): Check[] {
  if (inclusion === undefined) {
    return [
      { text: `Epoch ${receipt.epoch} is not closed yet, so there is no proof of inclusion.`, holds: null },
    ];
  }
  const { proof, receiptsRoot } = inclusion;
  const inTree: Check = {
    text: `The Merkle proof leads from this receipt (${proof.index + 1} of ${proof.size}) to the root of epoch ${receipt.epoch}.`,
    holds: verifyMerkleProof(proof, receiptsRoot, leafHash(hash)),
  };
  if (chain === null || chain.status === 0) {
    return [
      inTree,
      { text: `Epoch ${receipt.epoch} is not on chain yet, so its root could not be compared.`, holds: null },
    ];
  }
  const state = chain.status === 2 ? "final" : "posted, still open to challenges";
  return [
    inTree,
    {
      text: `The hub on chain has exactly this root for epoch ${receipt.epoch}, of as many receipts, posted for this operator (${state}).`,
      holds: verifyPosted(receipt, inclusion, chain),
    },
  ];
}

/** All checks, in the order in which things happen. `asked` is the hash that the page was opened with. */
export async function checkReceipt(
  bundle: ReceiptBundle,
  asked: Hex,
  hub: Place,
  { epoch, terms, paidBy }: Against,
): Promise<Check[]> {
  const { receipt } = bundle;
  const hash = receiptHash(receipt);
  return [
    { text: "The receipt's fields give exactly this hash.", holds: same(hash, asked) },
    {
      text: "The operator named in it signed it, for this chain and this hub.",
      holds: await verifyReceiptSignature(receipt, hub),
    },
    ...(await checkVoucher(bundle, hub)),
    checkTerms(receipt, terms),
    {
      text: "The fee is price times tokens, and its parts are what the basis points make them.",
      holds: verifyAmounts(receipt),
    },
    ...checkPayouts(bundle, paidBy),
    ...checkEpoch(bundle, hash, epoch),
  ];
}

/** What the checks say together. */
export function verdict(checks: readonly Check[]): { tone: "info" | "warn" | "danger"; text: string } {
  if (checks.some((check) => check.holds === false)) {
    return { tone: "danger", text: "Something does not fit: this receipt is not what it claims to be." };
  }
  if (checks.some((check) => check.holds === null)) {
    return {
      tone: "warn",
      text: "All checks that could be made hold; something could not be checked yet.",
    };
  }
  return {
    tone: "info",
    text: "All of these checks hold: signed, paid for, split as priced, and settled on chain.",
  };
}
