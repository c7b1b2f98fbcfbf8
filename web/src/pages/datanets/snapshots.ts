/** Which snapshots are on chain, and which can be published next. */
import type { ChainSnapshot, Snapshot } from "./queries";

export type SnapshotState =
  | { kind: "published"; at: number }
  /** The registry has another root under this number. */
  | { kind: "different" }
  /** The registry's next number is this one's. */
  | { kind: "next" }
  /** Snapshots before it must be published first, because the registry counts by itself. */
  | { kind: "later" }
  /** Too old to be read here. */
  | { kind: "unread" };

export function snapshotState(
  { snapshot, root }: Pick<Snapshot, "snapshot" | "root">,
  chain: { count: number; latest: readonly ChainSnapshot[] },
): SnapshotState {
  if (snapshot === chain.count + 1) return { kind: "next" };
  if (snapshot > chain.count) return { kind: "later" };
  const found = chain.latest.find((one) => one.number === snapshot);
  if (found === undefined) return { kind: "unread" };
  return found.root.toLowerCase() === root.toLowerCase()
    ? { kind: "published", at: found.publishedAt }
    : { kind: "different" };
}
