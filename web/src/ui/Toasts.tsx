import {
  createContext,
  type FocusEvent,
  type ReactNode,
  useCallback,
  useContext,
  useEffect,
  useMemo,
  useRef,
  useState,
} from "react";
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

type Shown = Toast & { id: number };

const ToastContext = createContext<Toasts | null>(null);
const ShownContext = createContext<readonly Shown[]>([]);
/** How long a message stays. */
const SHOWN_MS = 5000;
/** Messages shown at once; the oldest make room. */
const TOASTS_MAX = 3;

/** Whether a message stays until something is done about it. */
const stays = ({ tone }: Toast) => tone === "busy" || tone === "danger";

/** Keeps the messages; {@link Messages} shows them. */
export function ToastProvider({ children }: { children: ReactNode }) {
  const [toasts, setToasts] = useState<readonly Shown[]>([]);
  const next = useRef(1);
  const dismiss = useCallback(
    (id: number) => setToasts((shown) => shown.filter((toast) => toast.id !== id)),
    [],
  );
  const put = useCallback((id: number, toast: Toast) => {
    setToasts((shown) => {
      const at = shown.findIndex((one) => one.id === id);
      const placed = { ...toast, id };
      if (at >= 0) return shown.with(at, placed);
      // What is done makes room for what is new.
      return [...shown.filter(stays), placed].slice(-TOASTS_MAX);
    });
  }, []);
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
      <ShownContext value={toasts}>{children}</ShownContext>
    </ToastContext>
  );
}

/**
 * The messages, in the flow of the page: they push the content down and so lie over nothing that could be pressed. While the
 * pointer or the focus is on them they stay; Escape closes the one with the focus.
 */
export function Messages({ className }: { className?: string }) {
  const toasts = useContext(ShownContext);
  const { dismiss } = useToasts();
  const [pointed, setPointed] = useState(false);
  const [focused, setFocused] = useState(false);
  const close = (id: number) => {
    dismiss(id);
    // The message that had pointer and focus is gone, and no event says that they left it.
    setPointed(false);
    if (focused) document.getElementById("main")?.focus({ preventScroll: true });
    setFocused(false);
  };
  const blur = ({ currentTarget, relatedTarget }: FocusEvent<HTMLElement>) =>
    setFocused(currentTarget.contains(relatedTarget));
  const cards = (urgent: boolean) =>
    toasts
      .filter(({ tone }) => (tone === "danger") === urgent)
      .map((toast) => (
        <Message
          key={toast.id}
          toast={toast}
          held={pointed || focused}
          onExpire={dismiss}
          onClose={() => close(toast.id)}
        />
      ));
  return (
    <section
      aria-label="Messages"
      // Dialogs hide from screen readers what lies beside them, but not this.
      data-react-aria-top-layer="true"
      data-messages={toasts.length}
      className={cx("max-h-[30dvh] overflow-y-auto", className)}
      onPointerMove={() => setPointed(true)}
      onPointerLeave={() => setPointed(false)}
      onFocus={() => setFocused(true)}
      onBlur={blur}
    >
      <div role="alert" aria-atomic="false">
        {cards(true)}
      </div>
      <div role="status" aria-atomic="false">
        {cards(false)}
      </div>
    </section>
  );
}

const EDGES = {
  info: "border-l-line-strong",
  busy: "border-l-accent",
  success: "border-l-accent",
  danger: "border-l-danger",
};

function Message({
  toast,
  held,
  onExpire,
  onClose,
}: {
  toast: Shown;
  held: boolean;
  onExpire: (id: number) => void;
  onClose: () => void;
}) {
  const { title, detail, tone = "info" } = toast;
  useEffect(() => {
    if (held || stays(toast)) return;
    const timer = window.setTimeout(() => onExpire(toast.id), SHOWN_MS);
    return () => window.clearTimeout(timer);
  }, [toast, held, onExpire]);
  return (
    <div
      className={cx(
        "animate-appear relative border-t border-l-4 border-t-line bg-surface text-sm",
        EDGES[tone],
      )}
    >
      <div className="mx-auto flex max-w-[84rem] items-start justify-between gap-3 px-3 py-1.5 sm:px-6">
        <div className="min-w-0 py-1">
          <p className="font-medium">
            {tone === "success" && <span aria-hidden="true">✓ </span>}
            {title}
          </p>
          {detail && <div className="mt-0.5 text-muted">{detail}</div>}
        </div>
        <Button
          tone="ghost"
          size="sm"
          onPress={onClose}
          onKeyDown={({ key }) => key === "Escape" && onClose()}
          aria-label={`Close the message ${title}`}
          className="text-muted"
        >
          ✕
        </Button>
      </div>
      {tone === "busy" && (
        <span aria-hidden="true" className="absolute inset-x-0 bottom-0 h-0.5 overflow-hidden">
          <span className="animate-sweep absolute inset-y-0 w-1/3 bg-accent" />
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
