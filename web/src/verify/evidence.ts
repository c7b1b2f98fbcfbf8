/** What stands beside a receipt: the voucher that paid it, and the epoch that the chain holds of it. */
import { type Address, type Hex, isAddressEqual, zeroAddress } from "viem";
import { type ChannelConfig, channelId, type Place, voucherDigest } from "../chain/typed-data";
import type { Proof } from "./merkle";
import { type ReceiptJson, signerOf } from "./receipt";

/** A voucher as the API writes it. */
export interface VoucherJson {
  channelId: Hex;
  maxClaimableAmount: string;
  signature: Hex;
}

/** A receipt's place in its epoch, as its operator names it. */
export interface Inclusion {
  receiptsRoot: Hex;
  proof: Proof<Hex>;
}

/** An epoch as the hub holds it. */
export interface PostedEpoch {
  receiptsRoot: Hex;
  receiptCount: bigint;
  operator: Address;
}

const same = (one: string, other: string) => one.toLowerCase() === other.toLowerCase();

export interface PaymentChecks {
  /** The channel is the one that the receipt names, between this payer and this operator. */
  channel: boolean;
  /** Who may sign for the payer signed the voucher that the receipt names, and it covers what was charged. */
  voucher: boolean;
}

/** Holds the voucher and its channel against the receipt that they paid. */
export async function verifyPayment(
  receipt: ReceiptJson,
  channel: ChannelConfig,
  voucher: VoucherJson,
  hub: Place,
): Promise<PaymentChecks> {
  const id = channelId(channel, hub);
  const ceiling = BigInt(voucher.maxClaimableAmount);
  const digest = voucherDigest(id, ceiling, hub);
  const { payer, payerAuthorizer } = channel;
  const entitled = isAddressEqual(payerAuthorizer, zeroAddress) ? payer : payerAuthorizer;
  const signer = await signerOf(digest, voucher.signature);
  return {
    channel:
      same(id, receipt.channelId) &&
      same(voucher.channelId, id) &&
      isAddressEqual(payer, receipt.payer) &&
      isAddressEqual(channel.receiverAuthorizer, receipt.operator),
    voucher:
      signer !== null &&
      isAddressEqual(signer, entitled) &&
      same(digest, receipt.voucherHash) &&
      BigInt(receipt.cumulativeAfter) <= ceiling,
  };
}

/** True when the tree in which the receipt is proved is the one that its operator posted: root, size and poster. */
export function verifyPosted(receipt: ReceiptJson, inclusion: Inclusion, epoch: PostedEpoch): boolean {
  return (
    same(epoch.receiptsRoot, inclusion.receiptsRoot) &&
    epoch.receiptCount === BigInt(inclusion.proof.size) &&
    isAddressEqual(epoch.operator, receipt.operator)
  );
}
