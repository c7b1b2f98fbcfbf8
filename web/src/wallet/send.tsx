/** Transactions: tried first, shown before they are signed, followed until they are in a block. */
import { useQueryClient } from "@tanstack/react-query";
import { createElement, type ReactNode } from "react";
import type { TypedDataDefinition } from "viem";
import {
  type Abi,
  type Address,
  BaseError,
  type Hex,
  type TransactionReceipt,
  UserRejectedRequestError,
} from "viem";
import {
  estimateContractGas,
  getGasPrice,
  signTypedData as signTypedDataAction,
  simulateContract,
  waitForTransactionReceipt,
  writeContract,
} from "viem/actions";
import { keys } from "../api/keys";
import { type ChainInfo, useChain } from "../chain/client";
import { shortHex } from "../lib/format";
import { useToasts } from "../ui/Toasts";
import { Wei } from "../ui/values";
import { type ApprovalRequest, Declined, useApprove } from "./approval";
import { type ConnectedAccount, useWallet, type Wallet } from "./wallet";

/** Time until a transaction that is not in a block counts as stuck. */
const RECEIPT_TIMEOUT_MS = 120_000;

/** An account is needed, and none is connected. */
export class NotConnected extends Error {
  override name = "NotConnected";
  constructor() {
    super("Connect an account first.");
  }
}

/** The chain or the wallet refused; the message says why. */
export class ChainRefused extends Error {
  override name = "ChainRefused";
}

export interface Call {
  /** What the transaction is called while it is under way: "Create the Datanet". */
  title: string;
  /** What it does, in a sentence. */
  what: ReactNode;
  address: Address;
  abi: Abi;
  functionName: string;
  args?: readonly unknown[];
  /** Wei sent along. */
  value?: bigint;
  fields?: ApprovalRequest["fields"];
  confirm?: string;
}

export interface Sent {
  hash: Hex;
  receipt: TransactionReceipt;
}

/** Turns what chain and wallet throw into one sentence; a no stays a no. */
async function refused(error: unknown): Promise<Error> {
  if (error instanceof Declined || error instanceof NotConnected || error instanceof ChainRefused)
    return error;
  if (error instanceof BaseError && error.walk((cause) => cause instanceof UserRejectedRequestError)) {
    return new Declined();
  }
  const { explainChainError } = await import("../chain/errors");
  return new ChainRefused(explainChainError(error), { cause: error });
}

async function ready(wallet: Wallet): Promise<ConnectedAccount> {
  if (wallet.account === null) throw new NotConnected();
  if (wallet.wrongChain) await wallet.switchChain();
  return wallet.account;
}

/** Tries the call against the chain as it is now: its refusal, or what it would cost. */
async function tryCall({ client }: ChainInfo, from: Address, call: Call) {
  const { address, abi, functionName, args = [], value } = call;
  const request = {
    account: from,
    address,
    abi,
    functionName,
    args,
    ...(value === undefined ? {} : { value }),
  };
  await simulateContract(client, request);
  const [gas, price] = await Promise.all([estimateContractGas(client, request), getGasPrice(client)]);
  return { request, feeWei: gas * price };
}

function cost(value: bigint | undefined, feeWei: bigint): ReactNode {
  const fee = createElement(Wei, { value: feeWei });
  if (!value) return createElement("span", null, "about ", fee, " transaction fee");
  return createElement("span", null, createElement(Wei, { value }), " and about ", fee, " transaction fee");
}

/**
 * Gives a function that sends a transaction: the call is tried, its card shown, the wallet asked, the block awaited.
 * It throws `Declined`, `NotConnected` or `ChainRefused`, each with a sentence.
 */
export function useSend(): (call: Call) => Promise<Sent> {
  const wallet = useWallet();
  const info = useChain();
  const approve = useApprove();
  const toasts = useToasts();
  const cache = useQueryClient();
  return async (call) => {
    let toast: number | null = null;
    const say = (title: string, tone: "busy" | "success") => {
      if (toast === null) toast = toasts.show({ title, tone });
      else toasts.update(toast, { title, tone });
    };
    try {
      const account = await ready(wallet);
      const { request, feeWei } = await tryCall(info, account.address, call);
      await approve({
        title: call.title,
        what: call.what,
        cost: cost(call.value, feeWei),
        where: "on chain",
        fields: call.fields ?? [],
        confirm: call.confirm ?? "Sign and send",
      });
      say(
        account.kind === "browser" ? `${call.title}: confirm in ${account.name}` : `${call.title}: signing`,
        "busy",
      );
      const signer = account.client.account;
      const hash = await writeContract(account.client, { ...request, account: signer, chain: info.chain });
      say(`${call.title}: sent (${shortHex(hash)}), waiting for a block`, "busy");
      const receipt = await waitForTransactionReceipt(info.client, { hash, timeout: RECEIPT_TIMEOUT_MS });
      if (receipt.status !== "success") {
        throw new ChainRefused(
          "The transaction is in a block, but the contract refused it there. Try again.",
        );
      }
      say(`${call.title}: done in block ${receipt.blockNumber}`, "success");
      await cache.invalidateQueries({ queryKey: keys.chain });
      return { hash, receipt };
    } catch (error) {
      if (toast !== null) toasts.dismiss(toast);
      throw await refused(error);
    }
  };
}

/** Gives a function that shows a message's card and has it signed (EIP-712). */
export function useSignTypedData(): (message: TypedDataDefinition, card: ApprovalRequest) => Promise<Hex> {
  const wallet = useWallet();
  const approve = useApprove();
  return async (message, card) => {
    try {
      const account = await ready(wallet);
      await approve(card);
      return await signTypedDataAction(account.client, { ...message, account: account.client.account });
    } catch (error) {
      throw await refused(error);
    }
  };
}
