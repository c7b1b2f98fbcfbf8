/** Checks in the browser that a record says what its hash names, stands in a snapshot, and that the chain knows that. */
import { encodePacked, type Hex } from "viem";
import { type Json, recordHash, verifySnapshotEntry } from "../../verify/record";
import type { RecordDetail } from "./queries";

export interface Check {
  /** What was checked, in a sentence. */
  text: string;
  /** Null where it could not be checked. */
  holds: boolean | null;
}

const same = (one: string, other: string) => one.toLowerCase() === other.toLowerCase();

/** Whether the text shown is the one that the hash names. */
export function checkText({ salt, body, hash }: Pick<RecordDetail, "salt" | "body" | "hash">): Check {
  const text = "The text shown, hashed with the record's salt, gives the record's hash.";
  if (salt === null) {
    const forgotten =
      "The record was taken back: its salt is kept to itself, so text and hash cannot be tied.";
    return { text: forgotten, holds: null };
  }
  return { text, holds: same(recordHash(salt, body as Json), hash) };
}

/** `chainRoot` is the snapshot's root in the registry; null where the registry has no such snapshot. */
export function checkRecord(record: RecordDetail, chainRoot: Hex | null): Check[] {
  return [checkText(record), ...checkPlace(record, chainRoot)];
}

function checkPlace(record: RecordDetail, chainRoot: Hex | null): Check[] {
  const [place] = record.snapshots;
  if (place?.proof == null)
    return [{ text: "No snapshot holds this record, so there is no proof yet.", holds: null }];
  if (record.cluster === null) {
    return [{ text: "The node says a snapshot holds the record, but not in which cluster.", holds: false }];
  }
  const entry = {
    index: place.index,
    recordHash: record.hash,
    contributor: record.contributor,
    cluster: BigInt(record.cluster),
  };
  const leaf = encodePacked(
    ["uint64", "bytes32", "address", "uint64"],
    [BigInt(entry.index), entry.recordHash, entry.contributor, entry.cluster],
  );
  const inTree = verifySnapshotEntry(entry, place.proof, place.root);
  return [
    {
      text: `The leaf names this record, its contributor and position ${place.index + 1} of ${place.proof.size}.`,
      holds: same(leaf, place.leaf),
    },
    {
      text: `The Merkle proof leads from that leaf to the root of snapshot ${place.snapshot}.`,
      holds: inTree,
    },
    chainRoot === null
      ? {
          text: `Snapshot ${place.snapshot} is not published on chain yet, so its root cannot be compared.`,
          holds: null,
        }
      : {
          text: `The registry on chain has exactly this root for snapshot ${place.snapshot}.`,
          holds: same(chainRoot, place.root),
        },
  ];
}

/** What the checks say together. */
export function verdict(checks: readonly Check[]): { tone: "info" | "warn" | "danger"; text: string } {
  if (checks.some((check) => check.holds === false)) {
    return {
      tone: "danger",
      text: "Something does not fit: do not rely on what the node says about this record.",
    };
  }
  if (checks.some((check) => check.holds === null)) {
    return { tone: "warn", text: "What could be checked holds; something could not be checked yet." };
  }
  return { tone: "info", text: "Everything holds: this very text is in the snapshot that the chain knows." };
}
