/** x402 v2 messages of the `batch-settlement` scheme, and the headers they travel in: base64 of JSON. */
import type { Address, Hex } from "viem";
import type { ChannelConfig } from "../chain/typed-data";

export const PAYMENT_REQUIRED = "PAYMENT-REQUIRED";
export const PAYMENT_SIGNATURE = "PAYMENT-SIGNATURE";
export const PAYMENT_RESPONSE = "PAYMENT-RESPONSE";
export const SCHEME = "batch-settlement";
/** Codes of a 402 that the payer can do something about. */
export const BUSY = "invalid_batch_settlement_evm_channel_busy";
export const MISMATCH = "invalid_batch_settlement_evm_cumulative_amount_mismatch";
export const EXCEEDS_BALANCE = "invalid_batch_settlement_evm_cumulative_exceeds_balance";
/** Shortest and longest delay of a withdrawal that is accepted, in seconds. */
const WITHDRAW_DELAY_S = { least: 900, most: 2_592_000 };

/** A channel as the server sees it; amounts in wei. */
export interface ChannelState {
  channelId: Hex;
  balance: string;
  totalClaimed: string;
  withdrawRequestedAt: number;
  refundNonce: string;
  chargedCumulativeAmount: string;
}

/** One way to pay; `amount` is the most that the request can cost. */
export interface Offer {
  scheme: string;
  network: string;
  amount: string;
  asset: Address;
  payTo: Address;
  maxTimeoutSeconds: number;
  extra: {
    receiverAuthorizer: Address;
    withdrawDelay: number;
    name: string;
    version: string;
    minDeposit?: string;
    channelState?: ChannelState;
    voucherState?: { signedMaxClaimable: string; signature: Hex };
  };
}

export interface PaymentRequired {
  x402Version: number;
  error?: string;
  accepts: Offer[];
}

export interface SettleResponse {
  success: boolean;
  errorReason?: string;
  extra?: { chargedAmount: string; channelState: ChannelState; receiptHash?: Hex };
}

/** The offer is not one that this page takes. */
export class BadOffer extends Error {
  override name = "BadOffer";
}

export function toHeader(message: unknown): string {
  const bytes = new TextEncoder().encode(JSON.stringify(message));
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}

/** Reads a header's message; null when it is absent or malformed. */
export function fromHeader<T>(value: string | null): T | null {
  if (value === null) return null;
  try {
    const bytes = Uint8Array.from(atob(value), (character) => character.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes)) as T;
  } catch {
    return null;
  }
}

/** The offer of our scheme in a 402, checked against where this page pays: this chain, this hub, its token. */
export function takeOffer(
  required: PaymentRequired | null,
  expected: { chainId: number; hub: Address; token: Address },
): Offer {
  const offer = required?.accepts?.find((one) => one.scheme === SCHEME);
  if (offer === undefined)
    throw new BadOffer("The node asks for a payment of a kind that this page does not make.");
  const same = (term: string, given: string, taken: string) => {
    if (given.toLowerCase() !== taken.toLowerCase()) {
      throw new BadOffer(`The node's offer names the ${term} ${given}; ${taken} is the only one taken.`);
    }
  };
  same("network", offer.network, `eip155:${expected.chainId}`);
  same("receiver", offer.payTo, expected.hub);
  same("token", offer.asset, expected.token);
  const delay = offer.extra.withdrawDelay;
  if (!(delay >= WITHDRAW_DELAY_S.least && delay <= WITHDRAW_DELAY_S.most)) {
    throw new BadOffer(`The node's offer has a withdrawal delay of ${delay} s.`);
  }
  return offer;
}

/** A payment by voucher, under an identifier that a retry repeats. */
export function voucherPayment(
  accepted: Offer,
  config: ChannelConfig,
  voucher: { channelId: Hex; maxClaimableAmount: bigint; signature: Hex },
  identifier: string,
) {
  return {
    x402Version: 2,
    accepted,
    payload: {
      type: "voucher",
      channelConfig: config,
      voucher: { ...voucher, maxClaimableAmount: voucher.maxClaimableAmount.toString() },
    },
    extensions: { "payment-identifier": { info: { id: identifier } } },
  };
}

export function freshIdentifier(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `pay_${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
