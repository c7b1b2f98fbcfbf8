import { createContext, type ReactNode, useCallback, useContext, useRef, useState } from "react";
import { Dialog as AriaDialog, Heading, Modal, ModalOverlay } from "react-aria-components";
import { Button } from "./Button";
import { cx } from "./classes";

export interface DialogProps {
  title: ReactNode;
  isOpen: boolean;
  onClose: () => void;
  /** False where only its buttons close it. */
  dismissable?: boolean;
  /** `drawer` stands at the right edge, over the whole height. */
  kind?: "dialog" | "drawer";
  size?: "md" | "lg";
  footer?: ReactNode;
  children: ReactNode;
}

/** A dialog over the page, or a drawer at its edge. */
export function Dialog({
  title,
  isOpen,
  onClose,
  dismissable = true,
  kind = "dialog",
  size = "md",
  footer,
  children,
}: DialogProps) {
  const drawer = kind === "drawer";
  return (
    <ModalOverlay
      isOpen={isOpen}
      onOpenChange={(open) => !open && onClose()}
      isDismissable={dismissable}
      className={cx(
        "animate-appear fixed inset-0 z-40 flex bg-[rgb(0_0_0/0.45)]",
        drawer ? "justify-end" : "items-end justify-center sm:items-center sm:p-4",
      )}
    >
      <Modal
        className={cx(
          "w-full bg-surface shadow-raised",
          drawer
            ? "h-full max-w-xl border-l border-line"
            : "max-h-[92dvh] rounded-t-lg border border-line sm:rounded-lg",
          !drawer && (size === "lg" ? "max-w-3xl" : "max-w-lg"),
        )}
      >
        <AriaDialog className={cx("flex flex-col outline-none", drawer ? "h-full" : "max-h-[92dvh]")}>
          <div className="flex items-start justify-between gap-4 border-b border-line px-5 py-3.5">
            <Heading slot="title" className="text-base font-semibold">
              {title}
            </Heading>
            <Button tone="ghost" size="sm" aria-label="Close" onPress={onClose} className="-mr-2">
              <svg
                aria-hidden="true"
                viewBox="0 0 16 16"
                className="size-3.5"
                fill="none"
                stroke="currentColor"
                strokeWidth="1.8"
              >
                <path d="m3 3 10 10M13 3 3 13" />
              </svg>
            </Button>
          </div>
          <div className="min-h-0 flex-1 overflow-y-auto px-5 py-4">{children}</div>
          {footer && (
            <div className="flex flex-wrap justify-end gap-2 border-t border-line px-5 py-3">{footer}</div>
          )}
        </AriaDialog>
      </Modal>
    </ModalOverlay>
  );
}

export interface ConfirmRequest {
  title: string;
  /** What happens, and what cannot be undone. */
  children: ReactNode;
  /** Label of the button that does it: "Delete the draft". */
  confirm: string;
  danger?: boolean;
}

type Confirm = (request: ConfirmRequest) => Promise<boolean>;
const ConfirmContext = createContext<Confirm | null>(null);

/** Provides {@link useConfirm}. */
export function ConfirmProvider({ children }: { children: ReactNode }) {
  const [request, setRequest] = useState<ConfirmRequest | null>(null);
  const answer = useRef<(yes: boolean) => void>(undefined);
  const ask = useCallback<Confirm>((asked) => {
    answer.current?.(false);
    setRequest(asked);
    return new Promise((resolve) => {
      answer.current = resolve;
    });
  }, []);
  const close = (yes: boolean) => {
    answer.current?.(yes);
    answer.current = undefined;
    setRequest(null);
  };
  return (
    <ConfirmContext value={ask}>
      {children}
      {request && (
        <Dialog
          title={request.title}
          isOpen
          onClose={() => close(false)}
          footer={
            <>
              <Button onPress={() => close(false)}>Cancel</Button>
              <Button tone={request.danger ? "danger" : "primary"} onPress={() => close(true)}>
                {request.confirm}
              </Button>
            </>
          }
        >
          <div className="text-sm">{request.children}</div>
        </Dialog>
      )}
    </ConfirmContext>
  );
}

/** Asks before something that cannot be undone; gives whether to go on. */
export function useConfirm(): Confirm {
  const confirm = useContext(ConfirmContext);
  if (confirm === null) throw new Error("useConfirm is used outside of ConfirmProvider");
  return confirm;
}
