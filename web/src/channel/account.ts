/**
 * The payer's account of one channel. What a server says about it is believed only as far as the payer's own
 * signature, or the chain, proves it.
 */
import { type Address, type Hex, isAddressEqual, recoverAddress } from "viem";
import { type Place, voucherDigest } from "../chain/typed-data";
import type { Offer, SettleResponse } from "./x402";

/** A channel as the chain has it, in wei. */
export interface OnChainChannel {
  /** Deposits minus withdrawals. */
  balance: bigint;
  totalClaimed: bigint;
  /** Asked back and not yet taken. */
  withdrawAmount: bigint;
  /** When that can be taken, in Unix seconds; 0 for never asked. */
  withdrawableAt: number;
}

/** What is not charged yet; below zero where more was charged than the channel holds. */
const rest = (onChain: OnChainChannel, charged: bigint) => onChain.balance - onChain.withdrawAmount - charged;

/** What can still be spent. */
export function left(onChain: OnChainChannel, charged: bigint): bigint {
  const unspent = rest(onChain, charged);
  return unspent > 0n ? unspent : 0n;
}

/** What must be deposited before a request of at most `amount` can be paid; 0 where it can be already. */
export function missing(onChain: OnChainChannel, charged: bigint, amount: bigint): bigint {
  const lacking = amount - rest(onChain, charged);
  return lacking > 0n ? lacking : 0n;
}

/**
 * What was charged as far as chain and browser know. More than the channel holds cannot have been charged on it: such a
 * count is of another chain's channel with the same id, as the development networks of one machine have them. Where it
 * is wrong all the same, the node corrects it with the payer's own voucher.
 */
export function chargedOf(onChain: OnChainChannel, stored: bigint | null): bigint {
  const known = stored !== null && stored <= onChain.balance ? stored : 0n;
  return known > onChain.totalClaimed ? known : onChain.totalClaimed;
}

/** How many requests of at most `amount` can still be paid. */
export function callsLeft(onChain: OnChainChannel, charged: bigint, amount: bigint): bigint {
  return amount <= 0n ? 0n : left(onChain, charged) / amount;
}

/** The count after a charge; null when the charge does not add up, which changes nothing. */
export function afterCharge(charged: bigint, offer: Offer, settled: SettleResponse | null): bigint | null {
  const extra = settled?.success ? settled.extra : undefined;
  if (extra === undefined) return null;
  const [charge, cumulative] = [
    BigInt(extra.chargedAmount),
    BigInt(extra.channelState.chargedCumulativeAmount),
  ];
  const addsUp = charge >= 0n && charge <= BigInt(offer.amount) && charged + charge === cumulative;
  return addsUp ? cumulative : null;
}

/** The server's count in a corrective 402, if chain or the payer's own voucher proves it; null when nothing does. */
export async function corrected(
  offer: Offer,
  channel: { id: Hex; payer: Address; onChain: OnChainChannel; hub: Place },
): Promise<bigint | null> {
  const { channelState, voucherState } = offer.extra;
  if (channelState?.channelId.toLowerCase() !== channel.id.toLowerCase()) return null;
  const charged = BigInt(channelState.chargedCumulativeAmount);
  if (charged === channel.onChain.totalClaimed) return charged;
  if (voucherState === undefined) return null;
  const signed = BigInt(voucherState.signedMaxClaimable);
  if (charged > signed || charged < 0n) return null;
  try {
    const hash = voucherDigest(channel.id, signed, channel.hub);
    const signer = await recoverAddress({ hash, signature: voucherState.signature });
    return isAddressEqual(signer, channel.payer) ? charged : null;
  } catch {
    return null;
  }
}

const STORED = "openledger.channel.";

/** What was charged as far as this browser knows; null for a channel that it never used. */
export function storedCharge(id: Hex): bigint | null {
  try {
    const stored = localStorage.getItem(STORED + id);
    return stored !== null && /^\d{1,39}$/.test(stored) ? BigInt(stored) : null;
  } catch {
    return null;
  }
}

export function storeCharge(id: Hex, charged: bigint) {
  try {
    localStorage.setItem(STORED + id, charged.toString());
  } catch {
    // Storage is switched off: the next payment's 402 corrects the count.
  }
}
