/** What the registry on chain holds of a published model: what its receipts must state, and whom its parents' part pays. */
import { type Address, type Hex, zeroAddress } from "viem";
import { readContract } from "viem/actions";
import { countedShares, type PoolWeights, paysParents, type ReceiptJson } from "../verify";
import { modelRegistryAbi } from "./abis";
import type { ChainInfo } from "./client";

/** What receipts of a model must state. */
export interface Terms {
  builder: Address;
  inputWei: bigint;
  outputWei: bigint;
  /** Parts in basis points, under the receipt's names. */
  bps: ReceiptJson["bps"];
}

/** Null for a model that the registry does not know. */
export async function readTerms({ client, contracts }: ChainInfo, model: Hex): Promise<Terms | null> {
  const [builder, price, split] = await readContract(client, {
    address: contracts.modelRegistry,
    abi: modelRegistryAbi,
    functionName: "termsOf",
    args: [model],
  });
  if (builder === zeroAddress) return null;
  const { operatorBps: operator, ...parts } = split;
  return { builder, ...price, bps: { ...parts, operator } };
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
  const terms = await Promise.all(parents.map((parent) => readTerms(info, parent)));
  const builders = terms.map((one) => one?.builder).filter((builder) => builder !== undefined);
  if (builders.length < parents.length) {
    return { unknown: "The registry on chain does not say who built a parent model" };
  }
  return { shares: countedShares(builders) };
}

/** True when a receipt states the builder, the price and the split that the registry holds. */
export function statesTerms({ builder, price, bps }: ReceiptJson, terms: Terms): boolean {
  return (
    builder.toLowerCase() === terms.builder.toLowerCase() &&
    BigInt(price.inputWei) === terms.inputWei &&
    BigInt(price.outputWei) === terms.outputWei &&
    (Object.keys(terms.bps) as (keyof Terms["bps"])[]).every((part) => bps[part] === terms.bps[part])
  );
}
