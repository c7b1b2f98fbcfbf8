/** Nothing is signed before its card was shown and agreed to. */
import { createContext, type ReactNode, useCallback, useContext, useRef, useState } from "react";
import { Button } from "../ui/Button";
import { Dialog } from "../ui/Dialog";
import { Checkbox } from "../ui/fields";
import { SignatureCard, type SignatureSummary } from "./SignatureCard";
import { useWallet } from "./wallet";

export interface ApprovalRequest extends SignatureSummary {
  title: string;
  /** Label of the button: "Sign in". */
  confirm?: string;
  /** Lets later requests with the same key pass without asking, as long as the page is open. */
  remember?: { key: string; label: string };
}

/** The person said no; nothing was signed. */
export class Declined extends Error {
  override name = "Declined";
  constructor() {
    super("You declined; nothing was signed.");
  }
}

type Approve = (request: ApprovalRequest) => Promise<void>;
const ApprovalContext = createContext<Approve | null>(null);

interface Asked {
  request: ApprovalRequest;
  resolve: () => void;
  reject: (reason: Declined) => void;
}

export function ApprovalProvider({ children }: { children: ReactNode }) {
  const [asked, setAsked] = useState<readonly Asked[]>([]);
  const remembered = useRef(new Set<string>());
  const approve = useCallback<Approve>((request) => {
    if (request.remember && remembered.current.has(request.remember.key)) return Promise.resolve();
    return new Promise((resolve, reject) => setAsked((before) => [...before, { request, resolve, reject }]));
  }, []);
  const [current] = asked;
  const answer = (yes: boolean, remember: boolean) => {
    if (current === undefined) return;
    if (yes && remember && current.request.remember) remembered.current.add(current.request.remember.key);
    setAsked((before) => before.slice(1));
    if (yes) current.resolve();
    else current.reject(new Declined());
  };
  return (
    <ApprovalContext value={approve}>
      {children}
      {current && <ApprovalDialog key={asked.length} request={current.request} onAnswer={answer} />}
    </ApprovalContext>
  );
}

function ApprovalDialog({
  request,
  onAnswer,
}: {
  request: ApprovalRequest;
  onAnswer: (yes: boolean, remember: boolean) => void;
}) {
  const { account } = useWallet();
  const [remember, setRemember] = useState(false);
  const { title, confirm = "Sign", remember: offer, ...summary } = request;
  return (
    <Dialog
      title={title}
      isOpen
      dismissable={false}
      onClose={() => onAnswer(false, false)}
      footer={
        <>
          <Button onPress={() => onAnswer(false, false)}>Decline</Button>
          <Button tone="primary" autoFocus onPress={() => onAnswer(true, remember)}>
            {account?.kind === "browser" ? `${confirm} with ${account.name}` : confirm}
          </Button>
        </>
      }
    >
      <SignatureCard {...summary} />
      {offer && (
        <div className="mt-4 border-t border-line pt-3">
          <Checkbox isSelected={remember} onChange={setRemember}>
            {offer.label}
          </Checkbox>
        </div>
      )}
    </Dialog>
  );
}

/** Shows a signature's card; resolves when it is agreed to, rejects with {@link Declined} when not. */
export function useApprove(): Approve {
  const approve = useContext(ApprovalContext);
  if (approve === null) throw new Error("useApprove is used outside of ApprovalProvider");
  return approve;
}
