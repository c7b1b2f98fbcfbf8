import { createContext, type ReactNode, useCallback, useContext, useMemo, useRef, useState } from "react";
import { describeError } from "../api/error";
import { Button } from "./Button";
import { cx } from "./classes";

export interface Toast {
  title: string;
  detail?: ReactNode;
  /** `busy` stays until it is updated; `danger` until it is closed. */
  tone?: "info" | "busy" | "success" | "danger";
}

export interface Toasts {
  /** Shows a message and gives its number. */
  show: (toast: Toast) => number;
  /** Changes a message that is shown. */
  update: (id: number, toast: Toast) => void;
  dismiss: (id: number) => void;
  /** Shows an error in words. */
  fail: (error: unknown, title?: string) => void;
}

const ToastContext = createContext<Toasts | null>(null);
/** How long a message stays. */
const SHOWN_MS = 5000;
/** Messages shown at once; the oldest make room. */
const TOASTS_MAX = 4;

type Shown = Toast & { id: number };

export function ToastProvider({ children }: { children: ReactNode }) {
  const [toasts, setToasts] = useState<readonly Shown[]>([]);
  const next = useRef(1);
  const dismiss = useCallback(
    (id: number) => setToasts((shown) => shown.filter((toast) => toast.id !== id)),
    [],
  );
  const put = useCallback(
    (id: number, toast: Toast) => {
      setToasts((shown) => {
        const at = shown.findIndex((one) => one.id === id);
        const placed = { ...toast, id };
        if (at >= 0) return shown.with(at, placed);
        // What is done makes room for what is new: messages must not cover the page.
        return [...shown.filter(({ tone }) => tone === "busy" || tone === "danger"), placed].slice(
          -TOASTS_MAX,
        );
      });
      if (toast.tone !== "busy" && toast.tone !== "danger") window.setTimeout(() => dismiss(id), SHOWN_MS);
    },
    [dismiss],
  );
  const value = useMemo<Toasts>(() => {
    const show = (toast: Toast) => {
      const id = next.current++;
      put(id, toast);
      return id;
    };
    const fail = (error: unknown, title?: string) => {
      const described = describeError(error);
      show({ title: title ?? described.title, detail: described.detail, tone: "danger" });
    };
    return { show, update: put, dismiss, fail };
  }, [put, dismiss]);
  return (
    <ToastContext value={value}>
      {children}
      <section
        aria-label="Messages"
        aria-live="polite"
        className="pointer-events-none fixed inset-x-0 bottom-0 z-50 flex flex-col items-end gap-2 p-4"
      >
        {toasts.map((toast) => (
          <ToastCard key={toast.id} toast={toast} onClose={() => dismiss(toast.id)} />
        ))}
      </section>
    </ToastContext>
  );
}

function ToastCard({ toast, onClose }: { toast: Shown; onClose: () => void }) {
  const { title, detail, tone = "info" } = toast;
  const edge = {
    info: "border-l-line-strong",
    busy: "border-l-accent",
    success: "border-l-accent",
    danger: "border-l-danger",
  };
  return (
    <div
      className={cx(
        "animate-appear pointer-events-auto w-full max-w-sm rounded-md border border-l-4 border-line bg-surface px-4 py-3 text-sm shadow-raised",
        edge[tone],
      )}
    >
      <div className="flex items-start justify-between gap-3">
        <p className="font-medium">
          {tone === "success" && <span aria-hidden="true">✓ </span>}
          {title}
        </p>
        <Button
          tone="ghost"
          size="sm"
          onPress={onClose}
          aria-label={`Close the message ${title}`}
          className="-mt-1 -mr-2 text-muted"
        >
          ✕
        </Button>
      </div>
      {detail && <div className="mt-0.5 text-muted">{detail}</div>}
      {tone === "busy" && (
        <span aria-hidden="true" className="relative mt-2 block h-1 overflow-hidden rounded-full bg-sunken">
          <span className="animate-sweep absolute inset-y-0 w-1/3 rounded-full bg-accent" />
        </span>
      )}
    </div>
  );
}

export function useToasts(): Toasts {
  const toasts = useContext(ToastContext);
  if (toasts === null) throw new Error("useToasts is used outside of ToastProvider");
  return toasts;
}
