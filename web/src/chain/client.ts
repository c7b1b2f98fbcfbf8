/** The chain as the node's status describes it, and a client that reads it. */
import { createContext, useContext } from "react";
import {
  type Address,
  type Chain,
  type Client,
  createClient,
  defineChain,
  getAddress,
  type HttpTransport,
  http,
} from "viem";
import type { Status } from "../api/queries";
import type { Place } from "./typed-data";

export type ReadClient = Client<HttpTransport, Chain>;

/** Time for one answer of the chain's RPC. */
const RPC_TIMEOUT_MS = 10_000;

export interface ChainInfo {
  chain: Chain;
  /** For viem's actions: `readContract(client, …)`, `getBalance(client, …)`. */
  client: ReadClient;
  contracts: {
    wrappedOpen: Address;
    datanetRegistry: Address;
    modelRegistry: Address;
    inferenceHub: Address;
    stakerPool: Address;
    receiptJudge: Address;
  };
  /** Where vouchers, channels and receipts hold. */
  hub: Place;
  /** Where consents hold. */
  registry: Place;
  operator: Address;
  /** A chain whose coins are worth nothing: it has a faucet and public keys. */
  development: boolean;
  blockTimeS: number;
  challengeWindowS: number;
  faucetWei: bigint | null;
}

/** Addresses are compared and encoded in one form, however the node writes them. */
const address = (text: string): Address => getAddress(text.toLowerCase());

export function chainInfo(status: Status): ChainInfo {
  const { chain: described, operator, faucet_wei } = status;
  const chain = defineChain({
    id: described.id,
    name: described.name,
    nativeCurrency: described.currency,
    rpcUrls: { default: { http: [described.rpc_url] } },
    testnet: described.development,
  });
  const transport = http(described.rpc_url, { timeout: RPC_TIMEOUT_MS, retryCount: 1 });
  const pollingInterval = Math.max(250, described.block_time_s * 500);
  const named = described.contracts;
  const contracts = {
    wrappedOpen: address(named.wrapped_open),
    datanetRegistry: address(named.datanet_registry),
    modelRegistry: address(named.model_registry),
    inferenceHub: address(named.inference_hub),
    stakerPool: address(named.staker_pool),
    receiptJudge: address(named.receipt_judge),
  };
  return {
    chain,
    client: createClient({ chain, transport, pollingInterval }),
    contracts,
    hub: { chainId: chain.id, contract: contracts.inferenceHub },
    registry: { chainId: chain.id, contract: contracts.datanetRegistry },
    operator: address(operator),
    development: described.development,
    blockTimeS: described.block_time_s,
    challengeWindowS: described.challenge_window_s,
    faucetWei: faucet_wei === null || faucet_wei === undefined ? null : BigInt(faucet_wei),
  };
}

export const ChainContext = createContext<ChainInfo | null>(null);

/** The chain; pages are shown only once it is known. */
export function useChain(): ChainInfo {
  const chain = useContext(ChainContext);
  if (chain === null) throw new Error("useChain is used outside of the layout that provides the chain");
  return chain;
}
