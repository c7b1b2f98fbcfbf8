/** What the explorer reads: the chain over JSON-RPC, epochs and receipts from the node. */
import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { type Address, BaseError, formatLog, type Hex, isHex, type Log, RpcRequestError, toHex } from "viem";
import {
  getBalance,
  getBlock,
  getBlockNumber,
  getCode,
  getTransaction,
  getTransactionCount,
  getTransactionReceipt,
  readContract,
} from "viem/actions";
import { api, body } from "../../api/client";
import { ApiError } from "../../api/error";
import type { components } from "../../api/generated/schema";
import { keys } from "../../api/keys";
import { inferenceHubAbi } from "../../chain/abis";
import type { ChainInfo, ReadClient } from "../../chain/client";
import { topicOf } from "./decode";

type Schemas = components["schemas"];
export type Epoch = Schemas["Epoch"];
export type ReceiptRow = Schemas["ReceiptRow"];
export type ReceiptBundle = Schemas["ReceiptBundle"];
export type ReceiptRecord = Schemas["ReceiptRecord"];

/** Blocks of the explorer's first page, and how far back it looks for transactions. */
export const BLOCKS_SHOWN = 10;
const LOOK_BACK_BLOCKS = 30n;
/** Blocks whose events are read in one step. */
export const LOG_BLOCKS = 2000n;
const RECEIPT_ROWS = 100;
/** Pause between two looks at a transaction that waits for its block. */
const WAITING_MS = 1500;
/** Type of the transaction with which the rollup itself begins each block. */
export const SYSTEM_TYPE = "0x7e";

const readBlock = (client: ReadClient, blockNumber: bigint) =>
  getBlock(client, { blockNumber, includeTransactions: true });
export type Block = Awaited<ReturnType<typeof readBlock>>;
export type Transaction = Block["transactions"][number];

/** A block never changes: the chain has one sequencer and only grows. It stands apart from what new blocks change. */
export const blockQuery = ({ client, chain }: ChainInfo, number: bigint) =>
  queryOptions({
    queryKey: ["block", chain.id, number.toString()],
    queryFn: () => readBlock(client, number),
    staleTime: Number.POSITIVE_INFINITY,
    retry: 0,
  });

/** The latest blocks, the newest first; those known already are not read again. */
export const latestQuery = (info: ChainInfo) =>
  queryOptions({
    queryKey: [...keys.chain, info.chain.id, "latest"],
    queryFn: async ({ client: cache }): Promise<Block[]> => {
      const head = await getBlockNumber(info.client, { cacheTime: 0 });
      const count = Number(head < LOOK_BACK_BLOCKS ? head + 1n : LOOK_BACK_BLOCKS);
      const numbers = Array.from({ length: count }, (_, index) => head - BigInt(index));
      return Promise.all(numbers.map((number) => cache.fetchQuery(blockQuery(info, number))));
    },
  });

export const headQuery = ({ client, chain }: ChainInfo) =>
  queryOptions({
    queryKey: [...keys.chain, chain.id, "head"],
    queryFn: () => getBlockNumber(client, { cacheTime: 0 }),
  });

/** Why a transaction failed: what it gave back where the chain can still replay it. */
async function failure({ client }: ChainInfo, hash: Hex): Promise<Hex | null> {
  const request = client.request as (call: { method: string; params: unknown[] }) => Promise<unknown>;
  try {
    const trace = await request({
      method: "debug_traceTransaction",
      params: [hash, { tracer: "callTracer" }],
    });
    const output = typeof trace === "object" && trace !== null && "output" in trace ? trace.output : null;
    return isHex(output) ? output : null;
  } catch {
    // The state that it ran on is no longer kept.
    return null;
  }
}

async function readTransaction(info: ChainInfo, hash: Hex) {
  const { client } = info;
  const transaction = await getTransaction(client, { hash });
  const receipt = transaction.blockNumber === null ? null : await getTransactionReceipt(client, { hash });
  const block = receipt === null ? null : await getBlock(client, { blockNumber: receipt.blockNumber });
  const output = receipt?.status === "reverted" ? await failure(info, hash) : null;
  return { transaction, receipt, timestamp: block?.timestamp ?? null, output };
}

export type FoundTransaction = Awaited<ReturnType<typeof readTransaction>>;

/** One in a block is settled; one that waits is looked at again until it is in one. */
export const transactionQuery = (info: ChainInfo, hash: Hex) =>
  queryOptions({
    queryKey: ["transaction", info.chain.id, hash],
    queryFn: () => readTransaction(info, hash),
    staleTime: Number.POSITIVE_INFINITY,
    refetchInterval: ({ state }) => (state.data?.receipt === null ? WAITING_MS : false),
    retry: 1,
  });

export const addressQuery = ({ client, chain }: ChainInfo, address: Address) =>
  queryOptions({
    queryKey: [...keys.chain, chain.id, "address", address],
    queryFn: async () => {
      const [balance, nonce, code] = await Promise.all([
        getBalance(client, { address }),
        getTransactionCount(client, { address }),
        getCode(client, { address }),
      ]);
      return { balance, nonce, codeBytes: code === undefined ? 0 : (code.length - 2) / 2 };
    },
  });

export interface EventPage {
  logs: Log[];
  from: bigint;
  to: bigint;
}

const logKey = ({ blockNumber, logIndex }: Log) => `${blockNumber}-${logIndex}`;

/** Newest first, each once. */
function ordered(logs: Log[]): Log[] {
  const unique = [...new Map(logs.map((log) => [logKey(log), log])).values()];
  const order = (one: Log, other: Log) =>
    Number((other.blockNumber ?? 0n) - (one.blockNumber ?? 0n)) ||
    (other.logIndex ?? 0) - (one.logIndex ?? 0);
  return unique.sort(order);
}

/** Events that an address emitted or that name it, from `head` backwards in steps of blocks. */
export const eventsQuery = ({ client, chain }: ChainInfo, address: Address, head: bigint) =>
  infiniteQueryOptions({
    queryKey: ["events", chain.id, address, head.toString()],
    queryFn: async ({ pageParam: to }): Promise<EventPage> => {
      const from = to < LOG_BLOCKS ? 0n : to - LOG_BLOCKS + 1n;
      const range = { fromBlock: toHex(from), toBlock: toHex(to) };
      const topic = topicOf(address);
      const filters = [
        { ...range, address },
        { ...range, topics: [null, topic] },
        { ...range, topics: [null, null, topic] },
        { ...range, topics: [null, null, null, topic] },
      ];
      const found = await Promise.all(
        filters.map((filter) => client.request({ method: "eth_getLogs", params: [filter] })),
      );
      return { logs: ordered(found.flat().map((log) => formatLog(log) as Log)), from, to };
    },
    initialPageParam: head,
    getNextPageParam: (last) => (last.from === 0n ? null : last.from - 1n),
    staleTime: Number.POSITIVE_INFINITY,
  });

/** An epoch as the node has it; null where there is none of that number. */
export const epochQuery = (number: number) =>
  queryOptions({
    queryKey: [...keys.epochs, number],
    queryFn: async ({ signal }): Promise<Epoch | null> => {
      const query = { after: Math.max(0, number - 1), limit: 1 };
      const { data } = await body(api.GET("/v1/epochs", { params: { query }, signal }));
      return data.find((epoch) => epoch.number === number) ?? null;
    },
  });

export const EPOCH_STATUS = ["not posted", "pending", "final"] as const;

/** An epoch as the hub on chain has it. */
export const hubEpochQuery = ({ client, chain, contracts }: ChainInfo, number: number) =>
  queryOptions({
    queryKey: [...keys.chain, chain.id, "epoch", number],
    queryFn: () =>
      readContract(client, {
        address: contracts.inferenceHub,
        abi: inferenceHubAbi,
        functionName: "getEpoch",
        args: [BigInt(number)],
      }),
  });

export const epochReceiptsQuery = (epoch: number) =>
  infiniteQueryOptions({
    queryKey: [...keys.receipts, "epoch", epoch],
    queryFn: ({ signal, pageParam }) =>
      body(
        api.GET("/v1/receipts", {
          params: { query: { epoch, after: pageParam, limit: RECEIPT_ROWS } },
          signal,
        }),
      ),
    initialPageParam: 0,
    getNextPageParam: (last) => (last.data.length < RECEIPT_ROWS ? null : (last.next_after ?? null)),
  });

export const receiptQuery = (hash: string) =>
  queryOptions({
    queryKey: [...keys.receipts, hash],
    queryFn: ({ signal }) => body(api.GET("/v1/receipts/{hash}", { params: { path: { hash } }, signal })),
  });

/** The records that an answer was paid for; none for an answer older than what the node keeps. */
export const receiptRecordsQuery = (hash: string) =>
  queryOptions({
    queryKey: [...keys.receipts, hash, "records"],
    queryFn: ({ signal }) =>
      body(api.GET("/v1/receipts/{hash}/records", { params: { path: { hash } }, signal })),
  });

/** True for what says that something is not there, as against what could not be asked. */
export function isMissing(error: unknown): boolean {
  if (error instanceof ApiError) return error.status === 404;
  if (!(error instanceof BaseError)) return false;
  if (/^(Transaction|TransactionReceipt|Block)NotFoundError$/.test(error.name)) return true;
  return error.walk((cause) => cause instanceof RpcRequestError && cause.code === -32001) !== null;
}

/** Gives null for what is missing; other failures stay failures. */
export async function orNull<T>(asked: Promise<T>): Promise<T | null> {
  try {
    return await asked;
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}
