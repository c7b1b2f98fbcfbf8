/** What is read of a registry: one that answers as the contract does. */
import { readFileSync } from "node:fs";
import {
  type Address,
  createClient,
  custom,
  decodeFunctionData,
  encodeFunctionResult,
  type Hex,
  zeroAddress,
} from "viem";
import { describe, expect, it } from "vitest";
import type { ReceiptJson } from "../verify";
import { modelRegistryAbi } from "./abis";
import type { ChainInfo } from "./client";
import { checkTerms, differingTerms, readParents, readTerms } from "./model";

const golden = new URL("../../../crates/settlement/tests/golden/receipt.json", import.meta.url);
const receipt: ReceiptJson = JSON.parse(readFileSync(golden, "utf8"));
const { operator, ...parts } = receipt.bps;
const price = { inputWei: BigInt(receipt.price.inputWei), outputWei: BigInt(receipt.price.outputWei) };
const id = (byte: string): Hex => `0x${byte.repeat(32)}`;
const account = (byte: string): Address => `0x${byte.repeat(20)}`;
const paying: ReceiptJson = { ...receipt, split: { ...receipt.split, parents: "10" } };

/** A chain whose registry names these parents of the receipt's model, and these builders. */
function chainWith(parents: readonly Hex[], builders: Readonly<Record<Hex, Address>>): ChainInfo {
  const request = async ({ params }: { params?: unknown }) => {
    const [{ data }] = params as [{ data: Hex }];
    const call = decodeFunctionData({ abi: modelRegistryAbi, data });
    const [model] = call.args as [Hex];
    if (call.functionName === "getParents") {
      const result = model === receipt.modelId ? parents : [];
      return encodeFunctionResult({ abi: modelRegistryAbi, functionName: "getParents", result });
    }
    const split = { ...parts, operatorBps: operator };
    if (call.functionName === "getSnapshots") {
      const result = receipt.snapshotRoots.map((root) => ({ datanetId: 1n, snapshotId: 1n, root }));
      return encodeFunctionResult({ abi: modelRegistryAbi, functionName: "getSnapshots", result });
    }
    if (call.functionName === "getModel") {
      const { builder, baseModel, weightsHash, indexRoot } = receipt;
      const named = { builder, baseModel, weightsHash, indexRoot, price, split };
      const result = { ...named, publishedAt: 1n, manifestHash: id("07"), name: "golden" };
      return encodeFunctionResult({ abi: modelRegistryAbi, functionName: "getModel", result });
    }
    const result = [builders[model] ?? zeroAddress, price, split] as const;
    return encodeFunctionResult({ abi: modelRegistryAbi, functionName: "termsOf", result });
  };
  const client = createClient({ transport: custom({ request }) });
  return { client, contracts: { modelRegistry: account("11") } } as unknown as ChainInfo;
}

describe("a model's terms", () => {
  it("are those that its receipts state, under the receipt's names", async () => {
    const info = chainWith([], { [receipt.modelId]: receipt.builder });
    const terms = await readTerms(info, receipt.modelId);
    if (terms === null) throw new Error("the registry knows the model");
    expect(differingTerms(receipt, terms)).toEqual([]);
    expect(checkTerms(receipt, terms).holds).toBe(true);
    for (const part of Object.keys(receipt.bps) as (keyof ReceiptJson["bps"])[]) {
      const bps = { ...receipt.bps, [part]: receipt.bps[part] + 1 };
      expect(differingTerms({ ...receipt, bps }, terms), part).toEqual(["split"]);
    }
    const changes: [string, Partial<ReceiptJson>][] = [
      ["builder", { builder: account("22") }],
      ["base model", { baseModel: id("22") }],
      ["weights", { weightsHash: id("22") }],
      ["attribution index", { indexRoot: id("22") }],
      ["snapshots", { snapshotRoots: [id("22")] }],
      ["snapshots", { snapshotRoots: [] }],
      ["snapshots", { snapshotRoots: [...receipt.snapshotRoots, id("22")] }],
      ["price", { price: { ...receipt.price, outputWei: "1" } }],
    ];
    for (const [name, change] of changes) {
      expect(differingTerms({ ...receipt, ...change }, terms), name).toEqual([name]);
    }
    const both = checkTerms({ ...receipt, indexRoot: id("22"), snapshotRoots: [] }, terms);
    expect(both).toMatchObject({
      holds: false,
      text: expect.stringContaining("attribution index, snapshots"),
    });
    expect(checkTerms(receipt, null).holds).toBe(false);
  });

  it("are none for a model that the registry does not know", async () => {
    expect(await readTerms(chainWith([], {}), id("01"))).toBeNull();
  });
});

describe("the builders of a model's parents", () => {
  const builders = { [id("01")]: account("bb"), [id("02")]: account("aa"), [id("03")]: account("bb") };

  it("weigh as many as the parents that they built, in the order of addresses", async () => {
    const info = chainWith([id("01"), id("02"), id("03")], builders);
    expect(await readParents(info, paying)).toEqual({
      shares: [
        { contributor: account("aa"), weight: 1 },
        { contributor: account("bb"), weight: 2 },
      ],
    });
  });

  it("are not asked for where a receipt pays none", async () => {
    expect(await readParents(chainWith([id("01")], builders), receipt)).toBeNull();
  });

  it("cannot be paid where the registry names no parent, and are not guessed where it names no builder", async () => {
    expect(await readParents(chainWith([], builders), paying)).toHaveProperty("wrong");
    expect(await readParents(chainWith([id("01"), id("09")], builders), paying)).toHaveProperty("unknown");
  });
});
