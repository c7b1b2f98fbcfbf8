/** Snapshots as a whole: their body, the root that is made of it, and whom a reserve pays. */
import { bytesToHex, concat, type Hex, slice } from "viem";
import { leafHash, merkleRoot } from "./merkle";
import { countedShares } from "./payouts";
import type { Share } from "./receipt";
import type { SnapshotEntry } from "./record";

export const SNAPSHOT_BODY_VERSION = 1;
const HEAD_BYTES = 25;
const ENTRY_BYTES = 60;
const HASH_BYTES = 32;
const ADDRESS_BYTES = 20;

export interface SnapshotBody {
  datanet: bigint;
  number: bigint;
  entries: SnapshotEntry[];
  /** The Merkle root over the entries, computed here. */
  root: Hex;
}

/** Reads a snapshot's body; null for bytes that are none. */
export function readSnapshot(body: Uint8Array): SnapshotBody | null {
  if (body.length < HEAD_BYTES || body[0] !== SNAPSHOT_BODY_VERSION) return null;
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const count = view.getBigUint64(17);
  if (count * BigInt(ENTRY_BYTES) !== BigInt(body.length - HEAD_BYTES)) return null;
  const entries: SnapshotEntry[] = [];
  const leaves: Hex[] = [];
  for (let index = 0; index < Number(count); index += 1) {
    const from = HEAD_BYTES + index * ENTRY_BYTES;
    const data = bytesToHex(body.subarray(from, from + ENTRY_BYTES));
    entries.push({
      index,
      recordHash: slice(data, 0, HASH_BYTES),
      contributor: slice(data, HASH_BYTES, HASH_BYTES + ADDRESS_BYTES),
      cluster: BigInt(slice(data, HASH_BYTES + ADDRESS_BYTES)),
    });
    leaves.push(leafHash(concat([`0x${index.toString(16).padStart(16, "0")}`, data])));
  }
  if (leaves.length === 0) return null;
  return { datanet: view.getBigUint64(1), number: view.getBigUint64(9), entries, root: merkleRoot(leaves) };
}

/** The weights of a reserve: each contributor's records in all snapshots of the receipt, in the order of addresses. */
export function reserveShares(snapshots: readonly SnapshotBody[]): Share[] {
  return countedShares(snapshots.flatMap(({ entries }) => entries.map(({ contributor }) => contributor)));
}
