/** Small parts that several pages of Datanets share. */
import { type ReactNode, useEffect, useState } from "react";
import { formatPercent } from "../../lib/format";
import { Button } from "../../ui/Button";
import { ErrorState, Loading } from "../../ui/states";
import { Badge } from "../../ui/values";
import { licenceBadges, licenceLink, licencePoints } from "./licence";
import type { DatanetRecord, LicenceTerms } from "./queries";

/** The terms as a list of sentences, each marked as allowed or not in words too. */
export function LicencePoints({ terms }: { terms: LicenceTerms }) {
  const link = licenceLink(terms.uri ?? "");
  return (
    <ul className="grid gap-1.5 text-sm">
      {licencePoints(terms).map(({ allowed, text }) => (
        <li key={text} className="flex gap-2">
          <span aria-hidden="true" className={allowed ? "text-accent" : "text-warn"}>
            {allowed ? "✓" : "✕"}
          </span>
          <span>{text}</span>
        </li>
      ))}
      {terms.uri && (
        <li className="pl-5 break-all text-muted">
          Full text:{" "}
          {link ? (
            <a href={link} target="_blank" rel="noreferrer noopener" className="link">
              {terms.uri}
            </a>
          ) : (
            <span>{terms.uri}</span>
          )}
        </li>
      )}
    </ul>
  );
}

export function LicenceBadges({ terms }: { terms: LicenceTerms }) {
  return (
    <span className="flex flex-wrap gap-1">
      {licenceBadges(terms).map(({ text, warn }) => (
        <Badge key={text} tone={warn ? "warn" : "plain"}>
          {text}
        </Badge>
      ))}
    </span>
  );
}

export function Acceptance({ part }: { part: number | null }) {
  return part === null ? <span className="text-muted">—</span> : <span>{formatPercent(part)}</span>;
}

const STATUS = {
  accepted: { tone: "accent", text: "accepted" },
  pending: { tone: "plain", text: "pending" },
  duplicate: { tone: "warn", text: "duplicate" },
  revoked: { tone: "danger", text: "taken back" },
} as const;

export function RecordBadge({ status }: { status: DatanetRecord["status"] }) {
  const { tone, text } = STATUS[status];
  return <Badge tone={tone}>{text}</Badge>;
}

/** A value that follows after it has rested, so that typing does not ask with every letter. */
export function useRested<T>(value: T, restMs = 250): T {
  const [rested, setRested] = useState(value);
  useEffect(() => {
    const timer = window.setTimeout(() => setRested(value), restMs);
    return () => window.clearTimeout(timer);
  }, [value, restMs]);
  return rested;
}

/** What an infinite query shows before its first rows, or below them. */
interface Pages {
  data: unknown;
  error: Error | null;
  hasNextPage: boolean;
  isFetchingNextPage: boolean;
  fetchNextPage: () => unknown;
  refetch: () => unknown;
}

/** The states of a listing read page by page; its rows once there are any. */
export function PagesView({
  query,
  loading,
  children,
}: {
  query: Pages;
  loading: string;
  children: ReactNode;
}) {
  if (query.data !== undefined) return <>{children}</>;
  if (query.error) return <ErrorState error={query.error} retry={() => void query.refetch()} />;
  return <Loading label={`${loading} …`} />;
}

/** Below the rows: that more is read, that reading failed, or a button for more. */
export function PagesFooter({ query, what }: { query: Pages; what: string }) {
  if (query.isFetchingNextPage) return <span role="status">Reading more {what} …</span>;
  if (query.error) return <ErrorState error={query.error} retry={() => void query.fetchNextPage()} />;
  if (!query.hasNextPage) return null;
  return (
    <Button size="sm" onPress={() => void query.fetchNextPage()}>
      Read more {what}
    </Button>
  );
}
