/** Checks a receipt in the browser: what it says of itself, what the payer signed, and what the chain has. */
import { type Address, type Hex, isAddressEqual, recoverAddress, zeroAddress } from "viem";
import { channelId, type Place, voucherDigest } from "../../chain/typed-data";
import { leafHash, verifyMerkleProof } from "../../verify/merkle";
import { payoutsOf, receiptHash, verifyAmounts, verifyReceiptSignature } from "../../verify/receipt";
import type { Reserve } from "../../verify/snapshot";
import type { ReceiptBundle } from "./queries";

export interface Check {
  /** What was checked, in a sentence. */
  text: string;
  /** Null where it could not be checked. */
  holds: boolean | null;
}

/** The receipt's epoch as the hub has it. */
export interface ChainEpoch {
  receiptsRoot: Hex;
  operator: Address;
  status: number;
}

const same = (one: string, other: string) => one.toLowerCase() === other.toLowerCase();

async function checkVoucher({ receipt, channel, voucher }: ReceiptBundle, hub: Place): Promise<Check[]> {
  if (channel === undefined || voucher === undefined) {
    return [{ text: "The node gave no voucher, so the payment could not be checked.", holds: null }];
  }
  const id = channelId(channel, hub);
  const amount = BigInt(voucher.maxClaimableAmount);
  const digest = voucherDigest(id, amount, hub);
  const authorizer = isAddressEqual(channel.payerAuthorizer, zeroAddress)
    ? channel.payer
    : channel.payerAuthorizer;
  const signer = await recoverAddress({ hash: digest, signature: voucher.signature }).catch(() => null);
  return [
    {
      text: "The channel is the one that the receipt names, between this payer and this operator.",
      holds:
        same(id, receipt.channelId) &&
        same(voucher.channelId, id) &&
        isAddressEqual(channel.payer, receipt.payer) &&
        isAddressEqual(channel.receiverAuthorizer, receipt.operator),
    },
    {
      text: "The payer signed a voucher that covers this answer.",
      holds:
        signer !== null &&
        isAddressEqual(signer, authorizer) &&
        same(digest, receipt.voucherHash) &&
        BigInt(receipt.cumulativeAfter) <= amount,
    },
  ];
}

function checkPayouts({ receipt, payouts }: ReceiptBundle, reserve: Reserve | null): Check[] {
  if (payouts === undefined) return [{ text: "The node did not say who is paid.", holds: null }];
  const { fee, split } = receipt;
  const paid = payouts.reduce((sum, { amount }) => sum + BigInt(amount), 0n);
  const due = BigInt(fee) - BigInt(split.burn) - BigInt(split.stakers);
  const total = {
    text: "Payouts, burned part and stakers' part add up to exactly the fee.",
    holds: paid === due,
  };
  if (reserve !== null && "wrong" in reserve) return [total, { text: reserve.wrong, holds: false }];
  const shares = reserve !== null && "shares" in reserve ? reserve.shares : null;
  const expected = payoutsOf(receipt, shares);
  if (expected === null) {
    const parents = "The builders of parent models are paid too; the receipt does not name them";
    const unknown = reserve !== null && "unknown" in reserve ? reserve.unknown : parents;
    return [total, { text: `${unknown}, so each payout could not be recomputed.`, holds: null }];
  }
  const madeBy =
    shares === null
      ? "the receipt's weights make it"
      : "the receipt's weights and the accepted records of its snapshots, whose roots were made again here, make it";
  const found = payouts.every(
    ({ account, amount }) => expected.get(account.toLowerCase()) === BigInt(amount),
  );
  return [
    total,
    {
      text: `Each payout is what ${madeBy}, to the last wei.`,
      holds: found && expected.size === payouts.length,
    },
  ];
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
      text: `The hub on chain has exactly this root for epoch ${receipt.epoch}, posted for this operator (${state}).`,
      holds: same(chain.receiptsRoot, receiptsRoot) && isAddressEqual(chain.operator, receipt.operator),
    },
  ];
}

/** All checks, in the order in which things happen. `asked` is the hash that the page was opened with. */
export async function checkReceipt(
  bundle: ReceiptBundle,
  asked: Hex,
  hub: Place,
  chain: ChainEpoch | null,
  reserve: Reserve | null,
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
    {
      text: "The fee is price times tokens, and its parts are what the basis points make them.",
      holds: verifyAmounts(receipt),
    },
    ...checkPayouts(bundle, reserve),
    ...checkEpoch(bundle, hash, chain),
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
      text: "Everything that could be checked holds; something could not be checked yet.",
    };
  }
  return { tone: "info", text: "Everything holds: signed, paid for, split as priced, and settled on chain." };
}
