/** The connected account's payment channel to this node's operator, and questions paid out of it. */
import { queryOptions, useQuery, useQueryClient } from "@tanstack/react-query";
import { createElement } from "react";
import { type Address, type Hex, numberToHex } from "viem";
import { readContract } from "viem/actions";
import { api, body, csrfHeaders } from "../api/client";
import { NetworkError, refusal } from "../api/error";
import type { components } from "../api/generated/schema";
import { keys } from "../api/keys";
import { inferenceHubAbi } from "../chain/abis";
import { type ChainInfo, useChain } from "../chain/client";
import { type ChannelConfig, channelConfig, channelId, voucherMessage } from "../chain/typed-data";
import { Wei } from "../ui/values";
import { NotConnected, useSend, useSignTypedData } from "../wallet/send";
import { useWallet } from "../wallet/wallet";
import {
  afterCharge,
  chargedOf,
  corrected,
  left,
  missing,
  type OnChainChannel,
  storeCharge,
  storedCharge,
} from "./account";
import {
  BUSY,
  EXCEEDS_BALANCE,
  freshIdentifier,
  fromHeader,
  MISMATCH,
  type Offer,
  PAYMENT_REQUIRED,
  PAYMENT_RESPONSE,
  PAYMENT_SIGNATURE,
  type PaymentRequired,
  type SettleResponse,
  takeOffer,
  toHeader,
  voucherPayment,
} from "./x402";

const CHAT_PATH = "/v1/chat/completions";
/** Asks for the stored answer of a payment, and for nothing else. */
const STORED_ONLY = { "x-openledger-stored": "only" };
/** Tries of one payment: a busy channel, a correction or a broken connection each cost one. */
const ATTEMPTS_MAX = 8;
const RETRY_PAUSE_MS = 100;
/** The first channel of a payer; this page needs no second. */
const SALT = numberToHex(0, { size: 32 });
/** The delay that nodes ask for unless their offer says otherwise. */
const WITHDRAW_DELAY_S = 900;
const TERMS = "openledger.withdraw-delay";

/** A channel with what the chain and this browser know of it. */
export interface Channel {
  id: Hex;
  config: ChannelConfig;
  onChain: OnChainChannel;
  /** Charged over its life. */
  charged: bigint;
  left: bigint;
}

/** What a paid answer needs afterwards. */
export interface Paid {
  channel: Hex;
  /** The most that the answer may cost. */
  ceiling: bigint;
  /**
   * The answer as the node charged and kept it, for a stream that was closed before its end; null where nothing was
   * charged. The node waits with it until the answer is attributed.
   */
  collect: () => Promise<Response | null>;
  /** Takes over what the node says was charged, from the header or the stream's last comment; gives the charge. */
  settle: (response: SettleResponse | null) => bigint | null;
}

export interface Answer {
  response: Response;
  /** Null for a free answer. */
  paid: Paid | null;
}

/** A deposit that must be made before the question can be paid. */
export class DepositNeeded extends Error {
  override name = "DepositNeeded";
  constructor(
    readonly offer: Offer,
    readonly missing: bigint,
  ) {
    super("The payment channel does not cover this question. Top it up first.");
  }
}

/** The node did not take the payment. */
export class PaymentRefused extends Error {
  override name = "PaymentRefused";
  /** `why` is a sentence of the node's, or of this page. */
  constructor(why: string) {
    super(`The node did not take the payment: ${why}.`);
  }
}

function rememberedDelay(): number {
  try {
    return Number(localStorage.getItem(TERMS)) || WITHDRAW_DELAY_S;
  } catch {
    return WITHDRAW_DELAY_S;
  }
}

function configOf(info: ChainInfo, payer: Address, withdrawDelayS: number): ChannelConfig {
  const { operator, contracts } = info;
  return channelConfig({
    payer,
    operator,
    hub: contracts.inferenceHub,
    token: contracts.wrappedOpen,
    withdrawDelayS,
    salt: SALT,
  });
}

async function readChannel(info: ChainInfo, config: ChannelConfig): Promise<Channel> {
  const id = channelId(config, info.hub);
  const hub = { address: info.contracts.inferenceHub, abi: inferenceHubAbi } as const;
  const [[balance, totalClaimed], [withdrawAmount, withdrawableAt]] = await Promise.all([
    readContract(info.client, { ...hub, functionName: "channels", args: [id] }),
    readContract(info.client, { ...hub, functionName: "pendingWithdrawal", args: [id] }),
  ]);
  const onChain = { balance, totalClaimed, withdrawAmount, withdrawableAt: Number(withdrawableAt) };
  const charged = chargedOf(onChain, storedCharge(id));
  return { id, config, onChain, charged, left: left(onChain, charged) };
}

const channelQuery = (info: ChainInfo, payer: Address | undefined) =>
  queryOptions({
    queryKey: [...keys.chain, "channel", payer],
    queryFn: () => readChannel(info, configOf(info, payer as Address, rememberedDelay())),
    enabled: payer !== undefined,
  });

/** The connected account's channel, and what can be done with its money. Amounts in wei. */
export function useChannel() {
  const info = useChain();
  const { account } = useWallet();
  const send = useSend();
  const query = useQuery(channelQuery(info, account?.address));
  const hub = { address: info.contracts.inferenceHub, abi: inferenceHubAbi } as const;
  const config = () => {
    if (account === null) throw new NotConnected();
    return query.data?.config ?? configOf(info, account.address, rememberedDelay());
  };

  return {
    query,
    /** Opens the channel, or adds to it. */
    deposit: (amount: bigint) => {
      const target = config();
      return send({
        ...hub,
        title: query.data && query.data.onChain.balance > 0n ? "Top up the channel" : "Open the channel",
        what: "Puts OPEN aside for questions to this node. Each answer takes only its price out of it; the rest stays yours and can be asked back.",
        functionName: "deposit",
        args: [target],
        value: amount,
        fields: [["Back after", `${target.withdrawDelay / 60} minutes' notice`]],
        confirm: "Deposit",
      });
    },
    /** Asks for money back; it can be taken after the channel's delay. */
    requestWithdrawal: (amount: bigint) => {
      const target = config();
      return send({
        ...hub,
        title: "Ask for the money back",
        what: "Announces that you take unspent money out of the channel. Until it can be taken, the node may still claim what you owe.",
        functionName: "initiateWithdraw",
        args: [target, amount],
        fields: [["Amount", createElement(Wei, { value: amount })]],
      });
    },
    /** Takes the money that was asked for. */
    finishWithdrawal: () =>
      send({
        ...hub,
        title: "Take the money back",
        what: "Moves the money that you asked back from the channel to your account.",
        functionName: "finalizeWithdraw",
        args: [config()],
      }),
  };
}

async function post(
  text: string,
  payment: string | null,
  signal?: AbortSignal,
  more: Record<string, string> = {},
): Promise<Response> {
  const headers = { "content-type": "application/json", ...csrfHeaders(), ...more };
  const paid = payment === null ? headers : { ...headers, [PAYMENT_SIGNATURE]: payment };
  return fetch(CHAT_PATH, { method: "POST", headers: paid, body: text, ...(signal ? { signal } : {}) });
}

/** The stored answer of a payment that was sent before; null where it paid for nothing. */
async function stored(text: string, payment: string): Promise<Response | null> {
  const response = await post(text, payment, undefined, STORED_ONLY).catch(network);
  return response.status === 204 ? null : accepted(response);
}

async function accepted(response: Response): Promise<Response> {
  if (!response.ok) throw await refusal(response);
  return response;
}

const pause = (attempt: number) =>
  new Promise((resolve) => window.setTimeout(resolve, RETRY_PAUSE_MS * 2 ** attempt));
const offerIn = (response: Response) => fromHeader<PaymentRequired>(response.headers.get(PAYMENT_REQUIRED));

/** The price ceiling of a request: its offer, or null where it is free. Nothing is asked or charged. */
export async function priceOf(
  info: ChainInfo,
  request: Record<string, unknown>,
  signal?: AbortSignal,
): Promise<Offer | null> {
  const question = request as components["schemas"]["ChatRequest"];
  const options = { body: question, ...(signal ? { signal } : {}) };
  const { x402 } = await body(api.POST("/v1/chat/quote", options));
  if (x402 === null) return null;
  const { inferenceHub: hub, wrappedOpen: token } = info.contracts;
  return takeOffer(x402, { chainId: info.chain.id, hub, token });
}

function network(error: unknown): never {
  if (error instanceof DOMException && error.name === "AbortError") throw error;
  throw new NetworkError(error);
}

/** One payment at a time on a channel, across the tabs of this browser. */
async function exclusively<T>(channel: string, work: () => Promise<T>): Promise<T> {
  if (navigator.locks === undefined) return work();
  return navigator.locks.request(`openledger-channel-${channel}`, work) as Promise<T>;
}

export interface AskOptions {
  signal?: AbortSignal;
  /** Called with each step that takes time: "asking", "signing", "waiting for the channel". */
  onStep?: (step: string) => void;
}

/**
 * Gives a function that asks a question and pays for the answer. A retry after a broken connection never pays twice.
 * It throws `DepositNeeded` when the channel does not cover the question; `useChannel().deposit` opens it.
 * For an answer that is not streamed, the charge is taken over already; of a stream, give the last comment's
 * `payment_response` to `paid.settle`.
 */
export function usePaidAsk(): (request: Record<string, unknown>, options?: AskOptions) => Promise<Answer> {
  const info = useChain();
  const { account } = useWallet();
  const sign = useSignTypedData();
  const cache = useQueryClient();

  const voucher = async (channel: Channel, ceiling: bigint, model: string) => {
    const total = channel.charged + ceiling;
    const signature = await sign(voucherMessage(channel.id, total, info.hub), {
      title: "Pay for the answer",
      what: `Promises this node up to the amount below for one answer of ${model}. It can take no more, and takes only what the answer costs.`,
      cost: createElement("span", null, "at most ", createElement(Wei, { value: ceiling })),
      where: "off chain",
      fields: [
        ["Channel", channel.id.slice(0, 10)],
        ["Promised in all", createElement(Wei, { key: "total", value: total })],
        ["Left in the channel", createElement(Wei, { key: "left", value: channel.left })],
      ],
      confirm: "Pay",
      remember: {
        key: `voucher ${channel.id}`,
        label: "Pay for further answers from this channel without asking, until this page is closed",
      },
    });
    return { channelId: channel.id, maxClaimableAmount: total, signature };
  };

  const fresh = (payer: Address) => cache.fetchQuery({ ...channelQuery(info, payer), staleTime: 0 });

  const pay = async (text: string, model: string, first: Offer, options: AskOptions): Promise<Answer> => {
    if (account === null) throw new NotConnected();
    const payer = account.address;
    rememberDelay(first.extra.withdrawDelay);
    const ceiling = BigInt(first.amount);
    const identifier = freshIdentifier();
    let channel = await fresh(payer);
    let why = "";
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
      const lacking = missing(channel.onChain, channel.charged, ceiling);
      if (lacking > 0n) throw new DepositNeeded(first, lacking);
      options.onStep?.("signing");
      const payment = toHeader(
        voucherPayment(first, channel.config, await voucher(channel, ceiling, model), identifier),
      );
      options.onStep?.("asking");
      let response: Response;
      try {
        response = await post(text, payment, options.signal);
      } catch (error) {
        if (options.signal?.aborted || attempt + 1 === ATTEMPTS_MAX) network(error);
        // The answer may have been lost after the charge; the same payment again gets it for nothing.
        await pause(attempt);
        continue;
      }
      if (response.status !== 402) {
        const changed = () => cache.invalidateQueries({ queryKey: channelQuery(info, payer).queryKey });
        const paid = settlement(channel, first, changed, () => stored(text, payment));
        const answered = { response: await accepted(response), paid };
        const settled = fromHeader<SettleResponse>(response.headers.get(PAYMENT_RESPONSE));
        if (settled !== null) paid.settle(settled);
        return answered;
      }
      const required = offerIn(response);
      const code = required?.error ?? "unknown";
      why = (await refusal(response)).message;
      if (code === BUSY) {
        options.onStep?.("waiting for the channel");
        await pause(attempt);
      } else if (code === MISMATCH) {
        const offer = takeOffer(required, {
          chainId: info.chain.id,
          hub: info.contracts.inferenceHub,
          token: info.contracts.wrappedOpen,
        });
        channel = await fresh(payer);
        const { id, onChain } = channel;
        const charged = await corrected(offer, { id, payer, onChain, hub: info.hub });
        if (charged === null)
          throw new PaymentRefused("the node's count is not backed by a voucher of yours");
        storeCharge(id, charged);
        channel = { ...channel, charged, left: left(onChain, charged) };
      } else if (code === EXCEEDS_BALANCE) {
        channel = await fresh(payer);
      } else {
        throw new PaymentRefused(why);
      }
    }
    throw new PaymentRefused(why);
  };

  return async (request, options = {}) => {
    const text = JSON.stringify(request);
    options.onStep?.("asking");
    const offer = await priceOf(info, request, options.signal);
    if (offer === null) {
      const response = await post(text, null, options.signal).catch(network);
      return { response: await accepted(response), paid: null };
    }
    return exclusively(account?.address ?? "", () => pay(text, String(request.model), offer, options));
  };
}

function rememberDelay(seconds: number) {
  try {
    localStorage.setItem(TERMS, String(seconds));
  } catch {
    // Storage is switched off: the next offer says it again.
  }
}

function settlement(
  channel: Channel,
  offer: Offer,
  changed: () => void,
  collect: () => Promise<Response | null>,
): Paid {
  return {
    channel: channel.id,
    ceiling: BigInt(offer.amount),
    collect,
    settle: (settled) => {
      const after = afterCharge(channel.charged, offer, settled);
      if (after === null) return null;
      storeCharge(channel.id, after);
      changed();
      return after - channel.charged;
    },
  };
}
