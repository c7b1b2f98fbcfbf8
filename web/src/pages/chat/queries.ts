/** What the chat reads beside the answers themselves. */
import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import type { Address, Hex } from "viem";
import { readContract } from "viem/actions";
import { api, body } from "../../api/client";
import type { components } from "../../api/generated/schema";
import { keys } from "../../api/keys";
import { inferenceHubAbi } from "../../chain/abis";
import type { ChainInfo } from "../../chain/client";
import { readTerms } from "../../chain/model";
import { priceOf } from "../../channel/use-channel";
import { leafHash, type Proof, verifyMerkleProof } from "../../verify";
import { checkText } from "../datanets/proof";
import type { OnChain } from "./checks";

export type RecordDetail = components["schemas"]["RecordDetail"];

/** The most that a request can cost: its quote; null where it is free. */
export const ceilingQuery = (info: ChainInfo, request: Record<string, unknown> | null) =>
  queryOptions({
    queryKey: ["chat", "ceiling", request],
    queryFn: async ({ signal }) => {
      const offer = request === null ? null : await priceOf(info, request, signal);
      return offer === null ? null : BigInt(offer.amount);
    },
    enabled: request !== null,
    placeholderData: keepPreviousData,
    staleTime: 300_000,
    gcTime: 60_000,
    retry: false,
  });

/** A record of the training data, with its proof. */
export const recordQuery = (hash: string) =>
  queryOptions({
    queryKey: [...keys.records, hash, "chat"],
    queryFn: ({ signal }) => body(api.GET("/v1/records/{hash}", { params: { path: { hash } }, signal })),
    staleTime: 60_000,
  });

/** A receipt with its place in its epoch, once that is closed. */
export const fetchBundle = (hash: string) =>
  body(api.GET("/v1/receipts/{hash}", { params: { path: { hash } } }));

/** Statuses of an epoch in the hub. */
const POSTED = 1;
const FINAL = 2;

/** What the chain holds of a receipt's epoch and model. */
export async function readOnChain(
  info: ChainInfo,
  receipt: { epoch: number; modelId: string },
): Promise<OnChain> {
  const { client, contracts } = info;
  const [epoch, terms] = await Promise.all([
    readContract(client, {
      address: contracts.inferenceHub,
      abi: inferenceHubAbi,
      functionName: "getEpoch",
      args: [BigInt(receipt.epoch)],
    }),
    readTerms(info, receipt.modelId as Hex),
  ]);
  const posted = epoch.status === POSTED || epoch.status === FINAL;
  const { receiptsRoot, receiptCount, operator, status } = epoch;
  return {
    epoch: posted
      ? { receiptsRoot, receiptCount, operator: operator as Address, final: status === FINAL }
      : null,
    terms,
  };
}

export interface RecordProof {
  /** Whether the text is the one that the record's hash names; null where the record was taken back. */
  text: boolean | null;
  snapshot: number;
  /** False where the proof that the node gave does not hold. */
  holds: boolean;
  /** True when the model was trained on exactly this snapshot. */
  trained: boolean;
}

/** First and one past the last hexadecimal digit of a leaf's record hash, behind `0x` and eight bytes of index. */
const LEAF_HASH = [18, 82] as const;

/** Checks the Merkle proof of a record under its Datanet's snapshot; null where the node gives none. */
export function proveRecord(record: RecordDetail, snapshotRoots: readonly string[]): RecordProof | null {
  const found = record.snapshots.find((one) => one.proof);
  if (!found?.proof) return null;
  const leaf = found.leaf as Hex;
  const names = `0x${leaf.slice(...LEAF_HASH)}`.toLowerCase() === record.hash.toLowerCase();
  const proof = found.proof as Proof<Hex>;
  return {
    text: checkText(record).holds,
    snapshot: found.snapshot,
    holds: names && verifyMerkleProof(proof, found.root as Hex, leafHash(leaf)),
    trained: snapshotRoots.some((root) => root.toLowerCase() === found.root.toLowerCase()),
  };
}
