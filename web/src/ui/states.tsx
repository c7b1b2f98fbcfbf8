import type { UseQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { ApiError, describeError } from "../api/error";
import { Button } from "./Button";
import { cx } from "./classes";

/** Something is on its way. It says what; it is not shown for what takes less than 150 ms. */
export function Loading({ label, className }: { label: string; className?: string }) {
  return (
    <div
      role="status"
      className={cx("animate-late flex items-center gap-3 py-6 text-sm text-muted", className)}
    >
      <span aria-hidden="true" className="relative h-1 w-16 overflow-hidden rounded-full bg-sunken">
        <span className="animate-sweep absolute inset-y-0 w-1/3 rounded-full bg-accent" />
      </span>
      {label}
    </div>
  );
}

/** Something failed: what, why, and a way to try again. */
export function ErrorState({ error, retry, what }: { error: unknown; retry?: () => void; what?: string }) {
  const { title, detail } = describeError(error);
  return (
    <div
      role="alert"
      className="animate-appear rounded-md border border-danger/40 bg-danger-soft px-4 py-3 text-sm"
    >
      <p className="font-medium text-danger">{what ? `${what}: ${title.toLowerCase()}` : title}</p>
      <p className="mt-0.5">{detail}</p>
      {error instanceof ApiError && error.code !== "unknown" && (
        <p className="mt-0.5 text-muted">
          Code <code className="font-mono text-xs">{error.code}</code>
        </p>
      )}
      {retry && (
        <Button size="sm" className="mt-2.5" onPress={retry}>
          Try again
        </Button>
      )}
    </div>
  );
}

/** Nothing is there yet: why, and what to do. */
export function Empty({
  title,
  children,
  action,
}: {
  title: string;
  children?: ReactNode;
  action?: ReactNode;
}) {
  return (
    <div className="animate-appear rounded-md border border-dashed border-line-strong/60 px-4 py-8 text-center">
      <p className="font-medium">{title}</p>
      {children && <div className="mx-auto mt-1 max-w-prose text-sm text-muted">{children}</div>}
      {action && <div className="mt-4 flex flex-wrap justify-center gap-2">{action}</div>}
    </div>
  );
}

/** A remark that stands out: to know, to watch out for, or gone wrong. */
export function Notice({
  tone = "info",
  title,
  children,
  action,
}: {
  tone?: "info" | "warn" | "danger";
  title?: ReactNode;
  children?: ReactNode;
  action?: ReactNode;
}) {
  const tones = {
    info: "border-accent/35 bg-accent-soft",
    warn: "border-warn/40 bg-warn-soft",
    danger: "border-danger/40 bg-danger-soft",
  };
  return (
    <div
      className={cx(
        "flex flex-wrap items-start justify-between gap-3 rounded-md border px-4 py-3 text-sm",
        tones[tone],
      )}
    >
      <div className="min-w-0 max-w-prose">
        {title && <p className="font-semibold">{title}</p>}
        {children && <div className={cx(Boolean(title) && "mt-0.5")}>{children}</div>}
      </div>
      {action && <div className="flex flex-wrap gap-2">{action}</div>}
    </div>
  );
}

/** A query's three states in one place. Data that is there stays there while it is read again. */
export function QueryView<T>({
  query,
  loading,
  what,
  children,
}: {
  query: UseQueryResult<T>;
  /** Said while the first answer is awaited: "Reading the Datanets". */
  loading: string;
  /** Said before the error: "Datanets". */
  what?: string;
  children: (data: T) => ReactNode;
}) {
  if (query.data !== undefined) return <>{children(query.data)}</>;
  if (query.error) return <ErrorState error={query.error} retry={() => query.refetch()} what={what} />;
  return <Loading label={`${loading} …`} />;
}
