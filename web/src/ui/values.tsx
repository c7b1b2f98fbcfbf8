/** Values as every page shows them: amounts, hashes, accounts, times. */
import { type ReactNode, useEffect, useState, useSyncExternalStore } from "react";
import { Link } from "react-router";
import { formatAgo, formatInteger, formatOpen, formatTime, openExact, shortHex } from "../lib/format";
import { cx } from "./classes";

/** An amount of OPEN from wei; the exact amount is its title. */
export function Wei({ value, className }: { value: bigint | string | null | undefined; className?: string }) {
  if (value === null || value === undefined) return <span className="text-muted">—</span>;
  const wei = BigInt(value);
  const { amount, unit } = formatOpen(wei);
  return (
    <span
      className={cx("num whitespace-nowrap", className)}
      title={`${openExact(wei)} OPEN = ${formatInteger(wei)} wei`}
    >
      {amount} <span className="text-muted">{unit}</span>
    </span>
  );
}

/** Time for which "copied" stays. */
const COPIED_MS = 1500;

/** Copies `text`; says so to eye and ear. */
export function CopyButton({ text, label = "Copy" }: { text: string; label?: string }) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return undefined;
    const timer = window.setTimeout(() => setCopied(false), COPIED_MS);
    return () => window.clearTimeout(timer);
  }, [copied]);
  const copy = () => {
    navigator.clipboard?.writeText(text).then(
      () => setCopied(true),
      () => setCopied(false),
    );
  };
  return (
    <button
      type="button"
      onClick={copy}
      aria-label={copied ? "Copied" : label}
      title={copied ? "Copied" : label}
      className="-my-1 inline-grid size-6 shrink-0 place-items-center self-center rounded text-muted hover:bg-sunken hover:text-ink"
    >
      <svg
        aria-hidden="true"
        viewBox="0 0 16 16"
        className="size-3.5"
        fill="none"
        stroke="currentColor"
        strokeWidth="1.5"
      >
        {copied ? (
          <path d="m3 8.5 3.2 3L13 4.5" strokeLinecap="round" strokeLinejoin="round" />
        ) : (
          <>
            <rect x="5.5" y="5.5" width="8" height="8" rx="1.5" />
            <path d="M10.5 5.5V4A1.5 1.5 0 0 0 9 2.5H4A1.5 1.5 0 0 0 2.5 4v5A1.5 1.5 0 0 0 4 10.5h1.5" />
          </>
        )}
      </svg>
    </button>
  );
}

export interface HashProps {
  value: string;
  /** Where it leads. */
  to?: string;
  /** What it is, for screen readers: "receipt". */
  what?: string;
  /** False shows all of it. */
  short?: boolean;
  copy?: boolean;
}

/** A hash: shortened, whole in its title, to copy. */
export function Hash({ value, to, what = "hash", short = true, copy = true }: HashProps) {
  const shown = short ? shortHex(value) : value;
  const text = cx("font-mono text-[0.92em]", short ? "whitespace-nowrap" : "break-all");
  return (
    <span className="inline-flex max-w-full items-baseline gap-0.5">
      {to ? (
        <Link to={to} title={value} className={cx("link", text)}>
          {shown}
        </Link>
      ) : (
        <span title={value} className={text}>
          {shown}
        </span>
      )}
      {copy && <CopyButton text={value} label={`Copy ${what} ${shortHex(value)}`} />}
    </span>
  );
}

/** An account, leading to its page in the explorer. */
export function AccountName({
  value,
  you,
  copy = true,
}: {
  value: string;
  you?: string | null;
  copy?: boolean;
}) {
  const own = you?.toLowerCase() === value.toLowerCase();
  return (
    <span className="inline-flex items-baseline gap-1">
      <Hash value={value} to={`/explorer/address/${value}`} what="address" copy={copy} />
      {own && <Badge tone="accent">you</Badge>}
    </span>
  );
}

const TICK_MS = 15_000;
let now = Date.now();

function listenToClock(listener: () => void): () => void {
  const timer = window.setInterval(() => {
    now = Date.now();
    listener();
  }, TICK_MS);
  return () => window.clearInterval(timer);
}

/** The time in milliseconds, advancing every quarter of a minute. */
export function useNow(): number {
  return useSyncExternalStore(listenToClock, () => now);
}

/** A moment from Unix seconds: how long ago, with date and time in its title. */
export function Time({
  seconds,
  absolute = false,
}: {
  seconds: number | null | undefined;
  absolute?: boolean;
}) {
  const current = useNow();
  if (!seconds) return <span className="text-muted">—</span>;
  const [exact, ago] = [formatTime(seconds), formatAgo(seconds, Math.max(current, Date.now()))];
  return (
    <time
      dateTime={new Date(seconds * 1000).toISOString()}
      title={absolute ? ago : exact}
      className="whitespace-nowrap"
    >
      {absolute ? exact : ago}
    </time>
  );
}

/** A short word about a state. */
export function Badge({
  tone = "plain",
  children,
}: {
  tone?: "plain" | "accent" | "warn" | "danger";
  children: ReactNode;
}) {
  const tones = {
    plain: "bg-sunken text-muted",
    accent: "bg-accent-soft text-accent-strong",
    warn: "bg-warn-soft text-warn",
    danger: "bg-danger-soft text-danger",
  };
  return (
    <span className={cx("rounded px-1.5 py-px text-xs font-medium whitespace-nowrap", tones[tone])}>
      {children}
    </span>
  );
}

/** A number with its name; several stand in a `StatRow`. */
export function Stat({ label, children, note }: { label: string; children: ReactNode; note?: ReactNode }) {
  return (
    <div className="min-w-0">
      <dt className="text-xs text-muted">{label}</dt>
      <dd className="num mt-0.5 text-lg font-semibold">{children}</dd>
      {note && <dd className="text-xs text-muted">{note}</dd>}
    </div>
  );
}

export function StatRow({ children }: { children: ReactNode }) {
  return (
    <dl className="grid gap-x-6 gap-y-4 [grid-template-columns:repeat(auto-fill,minmax(7.75rem,1fr))]">
      {children}
    </dl>
  );
}

/** Names and values below each other. */
export function Facts({ rows }: { rows: readonly (readonly [string, ReactNode])[] }) {
  return (
    <dl className="grid gap-x-6 gap-y-1.5 text-sm sm:grid-cols-[minmax(8rem,max-content)_1fr]">
      {rows.map(([name, value]) => (
        <div key={name} className="contents">
          <dt className="text-muted">{name}</dt>
          <dd className="min-w-0 max-sm:mb-1.5">{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** How far something is; without `value`, that it goes on. */
export function Progress({ label, value, note }: { label: string; value?: number | null; note?: ReactNode }) {
  const part = value === null || value === undefined ? null : Math.min(1, Math.max(0, value));
  return (
    <div>
      <div className="mb-1 flex justify-between gap-4 text-sm">
        <span>{label}</span>
        <span className="num text-muted">
          {note ?? (part === null ? null : `${Math.floor(part * 100)} %`)}
        </span>
      </div>
      <div
        role="progressbar"
        aria-label={label}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={part === null ? undefined : Math.floor(part * 100)}
        className="relative h-1.5 overflow-hidden rounded-full bg-sunken"
      >
        {part === null ? (
          <span className="animate-sweep absolute inset-y-0 w-1/3 rounded-full bg-accent" />
        ) : (
          <span
            className="absolute inset-y-0 left-0 rounded-full bg-accent"
            style={{ width: `${part * 100}%` }}
          />
        )}
      </div>
    </div>
  );
}
