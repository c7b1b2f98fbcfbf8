/** Records of Datanets: canonical JSON (RFC 8785), their hashes, their place in a snapshot. */
import { type Address, concat, encodePacked, type Hex, keccak256, stringToHex } from "viem";
import { leafHash, type Proof, verifyMerkleProof } from "./merkle";

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** Deepest nesting that has a canonical form. */
const NESTING_MAX = 64;

/** Writes `value` in canonical form: keys sorted by UTF-16 code units, no spaces, numbers as ECMAScript writes them. */
export function canonicalJson(value: Json, depth = 0): string {
  if (depth > NESTING_MAX) throw new RangeError(`the value is nested deeper than ${NESTING_MAX} levels`);
  if (typeof value === "number") {
    const inexact = Number.isInteger(value) && !Number.isSafeInteger(value);
    if (inexact || !Number.isFinite(value))
      throw new RangeError(`the number ${value} has no exact canonical form`);
    return JSON.stringify(value);
  }
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map((item) => canonicalJson(item, depth + 1)).join(",")}]`;
  const entries = Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1));
  return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonicalJson(item, depth + 1)}`).join(",")}}`;
}

/** `H(salt ‖ canonical JSON)`. */
export function recordHash(salt: Hex, body: Json): Hex {
  return keccak256(concat([salt, stringToHex(canonicalJson(body))]));
}

/** What a snapshot says of one record. */
export interface SnapshotEntry {
  index: number;
  recordHash: Hex;
  contributor: Address;
  cluster: bigint;
}

/** A snapshot's leaf for one record. */
export function snapshotLeaf({ index, recordHash, contributor, cluster }: SnapshotEntry): Hex {
  const types = ["uint64", "bytes32", "address", "uint64"] as const;
  return leafHash(encodePacked(types, [BigInt(index), recordHash, contributor, cluster]));
}

/** True when the record stands in the snapshot with this root, at its index. */
export function verifySnapshotEntry(entry: SnapshotEntry, proof: Proof<Hex>, root: Hex): boolean {
  return proof.index === entry.index && verifyMerkleProof(proof, root, snapshotLeaf(entry));
}
