/**
 * Contributions under way, kept in this browser by upload: after a reload each goes on where it stopped. What is on
 * chain and at the node is asked there; here stands only what nobody else keeps.
 */
import { useSyncExternalStore } from "react";
import type { Hex } from "viem";
import type { AcceptReport, FileFormat, Mapping, PreparedBatch, Preview } from "../queries";

const PREFIX = "openledger.contribution.";
const VERSION = 1;
/** Contributions kept; of finished ones the oldest make room. */
const KEPT_MAX = 100;
/** Rejections kept of a file's report. */
const REJECTIONS_MAX = 50;

export interface Contribution {
  version: typeof VERSION;
  /** The upload's id at the node. */
  upload: Hex;
  chain: number;
  datanet: number;
  contributor: string;
  fileName: string;
  bytes: number;
  /** Whether all bytes are at the node. */
  uploaded: boolean;
  /** Bytes at the node when that was last heard. */
  sent: number;
  format: FileFormat | null;
  /** Columns as the file's beginning names them. */
  columns: string[];
  /** Null to recognise customary names. */
  mapping: Mapping | null;
  /** Made once: a second one would have other salts, so another commitment. */
  batch: PreparedBatch | null;
  /** What became of the file's rows. */
  file: Preview["report"] | null;
  consent: Hex | null;
  result: AcceptReport | null;
  addedAt: number;
}

let cached: readonly Contribution[] | null = null;
const listeners = new Set<() => void>();

function changed() {
  cached = null;
  for (const listener of listeners) listener();
}

/** Reads one entry; null for what another version, or anything else, wrote. */
export function parseContribution(text: string | null): Contribution | null {
  try {
    const found = JSON.parse(text ?? "null") as Partial<Contribution> | null;
    const whole =
      found?.version === VERSION &&
      /^0x[0-9a-f]{64}$/i.test(String(found.upload)) &&
      /^0x[0-9a-f]{40}$/i.test(String(found.contributor)) &&
      Number.isSafeInteger(found.datanet) &&
      Number.isSafeInteger(found.bytes) &&
      typeof found.fileName === "string" &&
      Array.isArray(found.columns);
    return whole ? (found as Contribution) : null;
  } catch {
    return null;
  }
}

function all(): readonly Contribution[] {
  if (cached === null) {
    const names = Object.keys(localStorage).filter((name) => name.startsWith(PREFIX));
    const found = names.map((name) => parseContribution(localStorage.getItem(name)));
    cached = found.filter((one) => one !== null).sort((one, other) => other.addedAt - one.addedAt);
  }
  return cached;
}

function write(contribution: Contribution) {
  localStorage.setItem(PREFIX + contribution.upload, JSON.stringify(contribution));
  changed();
}

export function contribution(upload: Hex): Contribution | null {
  return all().find((one) => one.upload === upload) ?? null;
}

/** Keeps a new contribution; one that is known already stays as far as it is. */
export function keepContribution(fresh: Omit<Contribution, "version" | "addedAt">): Contribution {
  const known = contribution(fresh.upload);
  const { columns, uploaded, sent } = fresh;
  const kept: Contribution = known
    ? { ...known, columns, uploaded, sent }
    : { ...fresh, version: VERSION, addedAt: Date.now() };
  const oldest = all().findLast((one) => one.result !== null);
  if (known === null && oldest !== undefined && all().length >= KEPT_MAX) dropContribution(oldest.upload);
  write(kept);
  return kept;
}

export function changeContribution(upload: Hex, change: Partial<Contribution>) {
  const known = contribution(upload);
  if (known !== null) write({ ...known, ...change });
}

export function dropContribution(upload: Hex) {
  localStorage.removeItem(PREFIX + upload);
  changed();
}

/** A report as it is kept: with its counts and the first rejections. */
export function keptReport(report: Preview["report"]): Preview["report"] {
  return { ...report, rejections: report.rejections.slice(0, REJECTIONS_MAX) };
}

function subscribe(listener: () => void): () => void {
  const elsewhere = (event: StorageEvent) => {
    if (event.key === null || event.key.startsWith(PREFIX)) changed();
  };
  listeners.add(listener);
  window.addEventListener("storage", elsewhere);
  return () => {
    listeners.delete(listener);
    window.removeEventListener("storage", elsewhere);
  };
}

/** The contributions known to this browser, the newest first; also those that other tabs add. */
export function useContributions(): readonly Contribution[] {
  return useSyncExternalStore(subscribe, all);
}
