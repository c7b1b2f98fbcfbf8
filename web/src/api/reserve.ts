/** The weights by which a reserve is paid, from the snapshots that a receipt names: their roots are made again here. */
import type { Hex } from "viem";
import {
  type PoolWeights,
  paysReserve,
  type ReceiptJson,
  readSnapshot,
  reserveShares,
  type SnapshotBody,
} from "../verify";
import { ApiError, NetworkError, refusal } from "./error";

/** Records whose hashes are made in a browser: some seconds of work. */
const RECORDS_MAX = 100_000;
const BODY_BYTES_MAX = 25 + 60 * RECORDS_MAX;

/** Null where the receipt pays no reserve. */
export async function readReserve(receipt: ReceiptJson): Promise<PoolWeights | null> {
  if (!paysReserve(receipt)) return null;
  const snapshots: SnapshotBody[] = [];
  for (const root of receipt.snapshotRoots) {
    const body = await fetchBody(root);
    if (typeof body === "string") return { unknown: body };
    const snapshot = readSnapshot(body);
    if (snapshot === null || snapshot.root.toLowerCase() !== root.toLowerCase()) {
      const short = root.slice(0, 10);
      return { wrong: `The list that the node gives for snapshot ${short}… does not have that root.` };
    }
    snapshots.push(snapshot);
  }
  return { shares: reserveShares(snapshots) };
}

/** A snapshot's body, or why it cannot be used. */
async function fetchBody(root: Hex): Promise<Uint8Array | string> {
  const response = await fetch(`/v1/snapshots/${root}`).catch((error: unknown) => {
    throw new NetworkError(error);
  });
  if (response.status === 404) return "This node does not have a snapshot whose reserve is paid";
  if (!response.ok) throw await refusal(response);
  const bytes = Number(response.headers.get("content-length") ?? 0);
  if (bytes > BODY_BYTES_MAX) return `A snapshot whose reserve is paid has more than ${RECORDS_MAX} records`;
  const body = new Uint8Array(await response.arrayBuffer());
  if (body.length > BODY_BYTES_MAX) throw new ApiError(502, "too_large", "the snapshot is too large");
  return body;
}
