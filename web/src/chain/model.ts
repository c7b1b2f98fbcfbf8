/** What the registry on chain holds of a published model: what its receipts must state, and whom its parents' part pays. */
import { type Address, type Hex, zeroAddress } from "viem";
import { readContract } from "viem/actions";
import { countedShares, type PoolWeights, paysParents, type ReceiptJson } from "../verify";
import { modelRegistryAbi } from "./abis";
import type { ChainInfo } from "./client";

/** What receipts of a model must state. */
export interface Terms {
  builder: Address;
  baseModel: Hex;
  weightsHash: Hex;
  indexRoot: Hex;
  /** In the order of publication: pools in which nobody stands out pay their records. */
  snapshotRoots: readonly Hex[];
  inputWei: bigint;
  outputWei: bigint;
  /** Parts in basis points, under the receipt's names. */
  bps: ReceiptJson["bps"];
}

/** Null for a model that the registry does not know. */
export async function readTerms(info: ChainInfo, model: Hex): Promise<Terms | null> {
  if ((await readBuilder(info, model)) === null) return null;
  const registry = { address: info.contracts.modelRegistry, abi: modelRegistryAbi, args: [model] } as const;
  const [{ builder, baseModel, weightsHash, indexRoot, price, split }, snapshots] = await Promise.all([
    readContract(info.client, { ...registry, functionName: "getModel" }),
    readContract(info.client, { ...registry, functionName: "getSnapshots" }),
  ]);
  const { operatorBps: operator, ...parts } = split;
  const snapshotRoots = snapshots.map(({ root }) => root);
  return { builder, baseModel, weightsHash, indexRoot, snapshotRoots, ...price, bps: { ...parts, operator } };
}

/** Who built a model; null for one that the registry does not know. */
async function readBuilder({ client, contracts }: ChainInfo, model: Hex): Promise<Address | null> {
  const [builder] = await readContract(client, {
    address: contracts.modelRegistry,
    abi: modelRegistryAbi,
    functionName: "termsOf",
    args: [model],
  });
  return builder === zeroAddress ? null : builder;
}

/** The builders of a model's parents, each with the number of parents it built; null where a receipt pays none. */
export async function readParents(info: ChainInfo, receipt: ReceiptJson): Promise<PoolWeights | null> {
  if (!paysParents(receipt)) return null;
  const parents = await readContract(info.client, {
    address: info.contracts.modelRegistry,
    abi: modelRegistryAbi,
    functionName: "getParents",
    args: [receipt.modelId],
  });
  if (parents.length === 0) {
    return {
      wrong: "The receipt pays the builders of parent models; the registry on chain names no parent.",
    };
  }
  const found = await Promise.all(parents.map((parent) => readBuilder(info, parent)));
  const builders = found.filter((builder) => builder !== null);
  if (builders.length < parents.length) {
    return { unknown: "The registry on chain does not say who built a parent model" };
  }
  return { shares: countedShares(builders) };
}

/** What a receipt states otherwise than the registry, in words; nothing where it states all of it. */
export function differingTerms(receipt: ReceiptJson, terms: Terms): string[] {
  const { price, bps } = receipt;
  const same = (one: string, other: string) => one.toLowerCase() === other.toLowerCase();
  const sameRoots =
    receipt.snapshotRoots.length === terms.snapshotRoots.length &&
    terms.snapshotRoots.every((root, index) => same(root, receipt.snapshotRoots[index] ?? ""));
  const sameParts = (Object.keys(terms.bps) as (keyof Terms["bps"])[]).every(
    (part) => bps[part] === terms.bps[part],
  );
  const checks: [string, boolean][] = [
    ["builder", same(receipt.builder, terms.builder)],
    ["base model", same(receipt.baseModel, terms.baseModel)],
    ["weights", same(receipt.weightsHash, terms.weightsHash)],
    ["attribution index", same(receipt.indexRoot, terms.indexRoot)],
    ["snapshots", sameRoots],
    ["price", BigInt(price.inputWei) === terms.inputWei && BigInt(price.outputWei) === terms.outputWei],
    ["split", sameParts],
  ];
  return checks.filter(([, holds]) => !holds).map(([name]) => name);
}

/** What is to be said of a receipt's terms: whether they are the published ones, and which are not. */
export function checkTerms(receipt: ReceiptJson, terms: Terms | null): { holds: boolean; text: string } {
  if (terms === null) return { holds: false, text: "The registry on chain does not know this model." };
  const differing = differingTerms(receipt, terms);
  return differing.length === 0
    ? {
        holds: true,
        text: "Builder, base model, weights, index, snapshots, price and split are those that the registry on chain holds for this model.",
      }
    : {
        holds: false,
        text: `The registry on chain holds for this model what the receipt does not say: another ${differing.join(", ")}.`,
      };
}
