/** The same formats as in Rust and Solidity: their golden files and vectors are read, not copied. */
import { readFileSync } from "node:fs";
import { concat, type Hex, keccak256, numberToHex, stringToHex } from "viem";
import { describe, expect, it } from "vitest";
import {
  channelConfig,
  channelId,
  commitmentHash,
  consentDigest,
  licenceHash,
  voucherDigest,
} from "../chain/typed-data";
import {
  canonicalJson,
  claimLeaf,
  leafHash,
  type Proof,
  type ReceiptJson,
  readSnapshot,
  receiptHash,
  recordHash,
  snapshotLeaf,
  splitFee,
  splitPool,
  verifyAmounts,
  verifyDisclosure,
  verifyMerkleProof,
  verifyReceiptSignature,
  verifySnapshotEntry,
  verifySumProof,
} from ".";

const read = (path: string) => readFileSync(new URL(`../../../${path}`, import.meta.url), "utf8");
const CHAIN_ID = 161_201;
const hub = { chainId: CHAIN_ID, contract: "0x4f50454e00000000000000000000000000000004" } as const;
const registry = { chainId: CHAIN_ID, contract: "0x4f50454e00000000000000000000000000000002" } as const;
const repeat = (byte: string, bytes: number): Hex => `0x${byte.repeat(bytes)}`;

const receipt: ReceiptJson = JSON.parse(read("crates/settlement/tests/golden/receipt.json"));
const hashes = Object.fromEntries(
  read("crates/datanet/tests/golden/hashes_v1.txt")
    .trim()
    .split("\n")
    .map((line) => line.split(" ") as [string, Hex]),
);

describe("a receipt", () => {
  it("has the hash of the golden file", () => {
    expect(receiptHash(receipt)).toBe(read("crates/settlement/tests/golden/receipt.hash").trim());
  });

  it("is signed by its operator, on its chain and hub alone", async () => {
    expect(await verifyReceiptSignature(receipt, hub)).toBe(true);
    expect(await verifyReceiptSignature(receipt, { ...hub, chainId: 1 })).toBe(false);
    expect(await verifyReceiptSignature(receipt, registry)).toBe(false);
    expect(await verifyReceiptSignature({ ...receipt, tokensOut: 11 }, hub)).toBe(false);
  });

  it("is not accepted with a mirrored or shortened signature", async () => {
    const order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
    const s = BigInt(`0x${receipt.signature.slice(66, 130)}`);
    const v = receipt.signature.endsWith("1b") ? "0x1c" : "0x1b";
    const mirrored = concat([receipt.signature.slice(0, 66) as Hex, numberToHex(order - s, { size: 32 }), v]);
    expect(await verifyReceiptSignature({ ...receipt, signature: mirrored }, hub)).toBe(false);
    const shorter = receipt.signature.slice(0, -2) as Hex;
    expect(await verifyReceiptSignature({ ...receipt, signature: shorter }, hub)).toBe(false);
  });

  it("has amounts that add up, and no single part can be changed", () => {
    expect(verifyAmounts(receipt)).toBe(true);
    expect(verifyAmounts({ ...receipt, fee: "80000000000011" })).toBe(false);
    for (const part of Object.keys(receipt.split) as (keyof ReceiptJson["split"])[]) {
      const split = { ...receipt.split, [part]: String(BigInt(receipt.split[part]) + 1n) };
      expect(verifyAmounts({ ...receipt, split })).toBe(false);
    }
  });

  it("pays its pools out to the last wei", () => {
    const payouts = splitPool(BigInt(receipt.split.influence), receipt.influence);
    expect(payouts?.reduce((sum, payout) => sum + payout.amount, 0n)).toBe(BigInt(receipt.split.influence));
    expect(splitPool(10n, [...receipt.influence].reverse())).toBeNull();
    expect(splitPool(10n, [])).toBeNull();
    expect(splitFee(1n, { ...receipt.bps, burn: 9000 })).toBeNull();
  });

  it("names request and answer by salted hashes", () => {
    const salt = repeat("07", 32);
    const request = { model: "m", messages: [{ role: "user", content: "café" }] };
    const of = (text: string) => keccak256(concat([salt, stringToHex(text)]));
    const named = {
      ...receipt,
      requestHash: of('{"messages":[{"content":"café","role":"user"}],"model":"m"}'),
      responseHash: of("yes"),
    };
    expect(verifyDisclosure(named, { request, answer: "yes", salt })).toBe(true);
    expect(verifyDisclosure(named, { request, answer: "no", salt })).toBe(false);
    expect(verifyDisclosure(named, { request, answer: "yes", salt: repeat("08", 32) })).toBe(false);
  });
});

describe("a Datanet's batch", () => {
  const seed = repeat("07", 32);
  const terms = {
    commercialUse: true,
    derivatives: true,
    attribution: true,
    revenueFloorBps: 2500,
    expiry: 0n,
    uri: "https://example.org/licence",
  };
  const contributor = "0x1a642f0e3c3af545e7acbd38b07251b3990914f1";

  it("has licence, commitment and consent of the golden file", () => {
    expect(licenceHash(terms)).toBe(hashes.licence);
    const [batchRoot, licence] = [hashes.root as Hex, hashes.licence as Hex];
    const consent = { datanetId: 1n, licenceHash: licence, batchRoot, recordCount: 2, contributor } as const;
    expect(consentDigest(consent, registry)).toBe(hashes.consent);
    expect(consentDigest({ ...consent, recordCount: 3 }, registry)).not.toBe(hashes.consent);
    // The golden commitment's salt comes from a seed that only Rust derives; its layout is compared word by word.
    const word = (value: bigint) => numberToHex(value, { size: 32 });
    const words = [
      BigInt(CHAIN_ID),
      BigInt(registry.contract),
      1n,
      BigInt(contributor),
      BigInt(batchRoot),
      2n,
      BigInt(seed),
    ];
    const batch = { datanetId: 1n, contributor, batchRoot, recordCount: 2, salt: seed } as const;
    expect(commitmentHash(batch, registry)).toBe(keccak256(concat(words.map(word))));
  });

  it("has the root of its snapshot's golden entries", () => {
    const leaf = (n: number) =>
      snapshotLeaf({
        index: n - 1,
        recordHash: repeat(`0${n}`, 32),
        contributor: repeat(`0${n + 1}`, 20),
        cluster: BigInt(n) + 2n,
      });
    const left = keccak256(concat(["0x01", leaf(1), leaf(2)]));
    const proof: Proof<Hex> = { index: 2, size: 3, siblings: [left] };
    const entry = { index: 2, recordHash: repeat("03", 32), contributor: repeat("04", 20), cluster: 5n };
    const root = hashes.snapshot as Hex;
    expect(verifySnapshotEntry(entry, proof, root)).toBe(true);
    expect(verifySnapshotEntry({ ...entry, cluster: 6n }, proof, root)).toBe(false);
    expect(verifySnapshotEntry({ ...entry, index: 1 }, { ...proof, index: 1 }, root)).toBe(false);
  });

  it("makes the root of its snapshot's golden body, and reads nothing else as one", () => {
    const file = new URL("../../../crates/datanet/tests/golden/snapshot_v1.bin", import.meta.url);
    const body = new Uint8Array(readFileSync(file));
    expect(keccak256(body)).toBe(hashes.content);
    const snapshot = readSnapshot(body);
    expect(snapshot?.root).toBe(hashes.snapshot);
    expect(snapshot?.entries[2]).toEqual({
      index: 2,
      recordHash: repeat("03", 32),
      contributor: repeat("04", 20),
      cluster: 5n,
    });
    const other = body.slice();
    other[other.length - 1] = 9;
    expect(readSnapshot(other)?.root).not.toBe(hashes.snapshot);
    expect(readSnapshot(body.subarray(1))).toBeNull();
    expect(readSnapshot(body.subarray(0, -1))).toBeNull();
    expect(readSnapshot(new Uint8Array())).toBeNull();
  });

  it("hashes records in canonical form", () => {
    expect(canonicalJson({ b: [1, 1.5, true, null], a: "é\n", "€": {} })).toBe(
      '{"a":"é\\n","b":[1,1.5,true,null],"€":{}}',
    );
    expect(() => canonicalJson(2 ** 53)).toThrow(RangeError);
    expect(recordHash(seed, { text: "a" })).toBe(keccak256(concat([seed, stringToHex('{"text":"a"}')])));
  });
});

describe("a payment channel", () => {
  const config = channelConfig({
    payer: "0x5050a4f4b3f9338c3472dcc01a87c76a144b3c9c",
    operator: "0x1a642f0e3c3af545e7acbd38b07251b3990914f1",
    hub: hub.contract,
    token: "0x4f50454e00000000000000000000000000000001",
    withdrawDelayS: 900,
    salt: repeat("00", 32),
  });

  it("has an id that binds every field, the chain and the hub", () => {
    const id = channelId(config, hub);
    const changed = [
      channelId({ ...config, withdrawDelay: 901 }, hub),
      channelId({ ...config, salt: repeat("01", 32) }, hub),
      channelId({ ...config, payerAuthorizer: config.payer }, hub),
      channelId(config, { ...hub, chainId: 1 }),
      channelId(config, registry),
    ];
    expect(new Set([id, ...changed]).size).toBe(6);
  });

  it("has vouchers whose digest binds channel and amount", () => {
    const id = channelId(config, hub);
    const digests = [
      voucherDigest(id, 1n, hub),
      voucherDigest(id, 2n, hub),
      voucherDigest(repeat("01", 32), 1n, hub),
    ];
    expect(new Set(digests).size).toBe(3);
  });
});

interface Vector {
  size: number;
  index: number;
  data: Hex;
  root: Hex;
  siblings: Hex[];
  sum: string;
  sumRoot: Hex;
  sumTotal: string;
  sumSiblingHashes: Hex[];
  sumSiblingSums: string[];
}

describe("Merkle trees", () => {
  const vectors: Vector[] = JSON.parse(read("contracts/test/vectors/merkle.json")).cases;

  it("agree with the vectors of Rust and Solidity", () => {
    expect(vectors.length).toBeGreaterThan(20);
    for (const { index, size, siblings, root, data } of vectors) {
      expect(verifyMerkleProof({ index, size, siblings }, root, leafHash(data))).toBe(true);
    }
  });

  it("take a proof for its own position and size alone", () => {
    for (const { index, size, siblings, root, data } of vectors) {
      const at = (position: number, of: number) =>
        verifyMerkleProof({ index: position, size: of, siblings }, root, leafHash(data));
      for (let other = 0; other < size; other += 1) expect(at(other, size)).toBe(other === index);
      expect(at(size, size)).toBe(false);
      expect(at(-1, size)).toBe(false);
      expect(at(index + 0.5, size)).toBe(false);
    }
  });

  it("carry sums that cannot be changed", () => {
    for (const vector of vectors) {
      const hashes = vector.sumSiblingHashes;
      const siblings = hashes.map((hash, at) => ({ hash, sum: BigInt(vector.sumSiblingSums[at] ?? "0") }));
      const proof = { index: vector.index, size: vector.size, siblings };
      const root = { hash: vector.sumRoot, sum: BigInt(vector.sumTotal) };
      const leaf = { hash: vector.data, sum: BigInt(vector.sum) };
      expect(verifySumProof(proof, root, leaf)).toBe(true);
      expect(verifySumProof(proof, root, { ...leaf, sum: leaf.sum + 1n })).toBe(false);
      expect(verifySumProof(proof, { ...root, sum: root.sum + 1n }, leaf)).toBe(false);
    }
  });

  it("have claim leaves that bind chain, hub, account and amount", () => {
    const account = "0x1a642f0e3c3af545e7acbd38b07251b3990914f1";
    const leaves = [
      claimLeaf(CHAIN_ID, hub.contract, account, 1n),
      claimLeaf(CHAIN_ID, hub.contract, account, 2n),
      claimLeaf(CHAIN_ID, registry.contract, account, 1n),
      claimLeaf(1, hub.contract, account, 1n),
    ];
    expect(new Set(leaves.map((leaf) => leaf.hash)).size).toBe(4);
  });
});
