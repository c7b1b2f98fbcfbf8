/** Which snapshots are on chain, and which can be published next. */
import type { ChainSnapshot, Snapshot, TakenSnapshot } from "./queries";

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

const PREFIX = "openledger.snapshot.";
const key = (chain: number, datanet: number, snapshot: number) => `${PREFIX}${chain}.${datanet}.${snapshot}`;

/** Remembers what publishing needs, in case the page is closed between taking and publishing. */
export function rememberTaken(chain: number, taken: TakenSnapshot) {
  localStorage.setItem(key(chain, taken.datanet, taken.snapshot), JSON.stringify(taken));
}

export function forgetTaken(chain: number, { datanet, snapshot }: TakenSnapshot) {
  localStorage.removeItem(key(chain, datanet, snapshot));
}

/** What was remembered of a snapshot, if its root is still the one that the node has. */
export function rememberedTaken(
  chain: number,
  datanet: number,
  { snapshot, root }: Snapshot,
): TakenSnapshot | null {
  try {
    const taken = JSON.parse(
      localStorage.getItem(key(chain, datanet, snapshot)) ?? "null",
    ) as TakenSnapshot | null;
    return taken?.root === root && typeof taken.content_hash === "string" ? taken : null;
  } catch {
    return null;
  }
}
