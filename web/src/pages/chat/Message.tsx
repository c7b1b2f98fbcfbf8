/** One message of a conversation with all that can be done with it. */
import { useCallback, useMemo, useState } from "react";
import { count } from "../../lib/format";
import { Button, LinkButton } from "../../ui/Button";
import { TextField } from "../../ui/fields";
import { Notice } from "../../ui/states";
import { CopyButton, Hash, Wei } from "../../ui/values";
import { AnswerText } from "./AnswerText";
import { influenceParts } from "./cost";
import { DepositCard } from "./Deposit";
import { type Shown, SourceDrawer, SourceStrip } from "./Sources";
import { layOut, type Piece } from "./spans";
import { STOPPING } from "./stream";
import type { AnswerFacts, ChatMessage, Evidence } from "./tree";
import { Verify } from "./Verify";

export interface MessageActions {
  /** Sibling messages and which of them this is. */
  siblings: number;
  at: number;
  onSwitch: (by: number) => void;
}

/** Between the versions of a message. */
function Branches({ siblings, at, onSwitch, what }: MessageActions & { what: string }) {
  if (siblings < 2) return null;
  return (
    <span className="inline-flex items-center gap-0.5 text-xs text-muted">
      <Button
        tone="ghost"
        size="sm"
        aria-label={`Earlier ${what}`}
        isDisabled={at === 0}
        onPress={() => onSwitch(-1)}
      >
        ‹
      </Button>
      <span className="num" aria-live="polite">
        {what} {at + 1} of {siblings}
      </span>
      <Button
        tone="ghost"
        size="sm"
        aria-label={`Later ${what}`}
        isDisabled={at === siblings - 1}
        onPress={() => onSwitch(1)}
      >
        ›
      </Button>
    </span>
  );
}

export function Question({
  message,
  canEdit,
  onEdit,
  ...branches
}: MessageActions & { message: ChatMessage; canEdit: boolean; onEdit: (text: string) => void }) {
  const [draft, setDraft] = useState<string | null>(null);
  const text = draft?.trim() ?? "";
  if (draft !== null) {
    return (
      <form
        className="grid gap-2"
        onSubmit={(event) => {
          event.preventDefault();
          if (text === "") return;
          setDraft(null);
          onEdit(text);
        }}
      >
        <TextField
          label="Your question, edited"
          description="The question and the answers that stand here now are kept; you can switch back to them."
          lines={4}
          value={draft}
          onChange={setDraft}
        />
        <div className="flex gap-2">
          <Button type="submit" tone="primary" size="sm" isDisabled={text === ""}>
            Ask this instead
          </Button>
          <Button size="sm" onPress={() => setDraft(null)}>
            Cancel
          </Button>
        </div>
      </form>
    );
  }
  return (
    <div className="ml-auto grid w-fit max-w-[85%] justify-items-end gap-1">
      <div className="rounded-lg bg-sunken px-4 py-2.5 break-words whitespace-pre-wrap">{message.text}</div>
      <div className="flex flex-wrap items-center justify-end gap-1">
        <Branches {...branches} what="version" />
        <Button tone="ghost" size="sm" isDisabled={!canEdit} onPress={() => setDraft(message.text)}>
          Edit
        </Button>
        <CopyButton text={message.text} label="Copy the question" />
      </div>
    </div>
  );
}

export interface AnswerProps extends MessageActions {
  message: ChatMessage;
  facts: AnswerFacts;
  /** The question that it answers. */
  question: string;
  /** What it is waiting for, while it is being written. */
  step: string | undefined;
  canAsk: boolean;
  onAgain: () => void;
  onStop: () => void;
}

export function Answer({
  message,
  facts,
  question,
  step,
  canAsk,
  onAgain,
  onStop,
  ...branches
}: AnswerProps) {
  const { state, evidence } = facts;
  const { text } = message;
  return (
    <div className="min-w-0">
      <p className="mb-1 text-xs text-muted">{facts.model}</p>
      {evidence && state !== "writing" ? (
        <Attributed text={text} evidence={evidence} question={question} />
      ) : (
        text !== "" && <AnswerText text={text} />
      )}
      {state === "writing" && (
        <div className="mt-2 flex flex-wrap items-center gap-3 text-sm text-muted">
          <span role="status">{step ?? "Waiting for the model …"}</span>
          {step !== STOPPING && (
            <Button size="sm" onPress={onStop}>
              Stop
            </Button>
          )}
        </div>
      )}
      {state === "stopped" && (
        <p className="mt-2 text-sm text-muted">
          {facts.tokensOut === undefined
            ? "Stopped."
            : `You stopped the answer here, after ${count(facts.tokensOut, "token")}; only these are charged.`}
        </p>
      )}
      {state === "failed" && <Failed facts={facts} onAgain={onAgain} canAsk={canAsk} />}
      {facts.cutOff && (
        <p className="mt-2 text-sm text-muted">
          The answer ended at its length limit; a higher limit lets it go on.
        </p>
      )}
      {state !== "writing" && (
        <div className="mt-1.5 flex flex-wrap items-center gap-x-3 gap-y-1 text-xs text-muted">
          <Cost facts={facts} />
          {facts.receipt && (
            <span>
              Receipt{" "}
              <Hash
                value={facts.receipt}
                to={`/explorer/receipt/${facts.receipt}`}
                what="receipt"
                copy={false}
              />
            </span>
          )}
          {message.text !== "" && <CopyButton text={message.text} label="Copy the answer" />}
          {state !== "failed" && (
            <Button tone="ghost" size="sm" isDisabled={!canAsk} onPress={onAgain}>
              Answer again
            </Button>
          )}
          <Branches {...branches} what="answer" />
        </div>
      )}
    </div>
  );
}

/** What the answer cost; while unknown, what it can have cost. */
function Cost({ facts }: { facts: AnswerFacts }) {
  const { tokensIn, tokensOut } = facts;
  const counted = tokensIn !== undefined && tokensOut !== undefined;
  return (
    <span>
      <Charge facts={facts} />
      {counted && ` · ${count(tokensIn, "token")} in, ${tokensOut} out`}
    </span>
  );
}

function Charge({ facts: { charged, ceiling, unsettled, free } }: { facts: AnswerFacts }) {
  if (charged !== undefined) {
    return (
      <>
        Cost <Wei value={charged} />
      </>
    );
  }
  if (ceiling !== undefined) {
    return (
      <>
        Not known what it cost; at most <Wei value={ceiling} />
      </>
    );
  }
  if (unsettled) return <>A payment was sent; whether it was charged shows with the next answer</>;
  return <>{free ? "Free" : "Nothing was charged"}</>;
}

function Failed({
  facts: { error, need },
  onAgain,
  canAsk,
}: {
  facts: AnswerFacts;
  onAgain: () => void;
  canAsk: boolean;
}) {
  if (need?.kind === "deposit") {
    return <DepositCard missing={BigInt(need.missing)} ceiling={BigInt(need.ceiling)} onDone={onAgain} />;
  }
  return (
    <Notice
      tone={need ? "warn" : "danger"}
      title={need ? "An account is needed" : "No answer came"}
      action={
        <>
          {need?.kind === "account" && (
            <LinkButton to="/account" tone="primary" size="sm">
              Connect an account
            </LinkButton>
          )}
          <Button size="sm" isDisabled={!canAsk} onPress={onAgain}>
            Ask again
          </Button>
        </>
      }
    >
      {error ?? "No reason was given."}
    </Notice>
  );
}

/** An answer with its quoted passages, its sources and its proof. */
function Attributed({ text, evidence, question }: { text: string; evidence: Evidence; question: string }) {
  const { attribution, receipt } = evidence;
  const [shown, show] = useState<Shown | null>(null);
  const pieces: readonly Piece[] = useMemo(
    () => layOut(text.length, attribution.spans),
    [text, attribution.spans],
  );
  const influence = useMemo(() => {
    const parts = influenceParts(attribution.influence);
    return attribution.spans.map(({ records }) => {
      const holders = new Set(records.map(({ contributor }) => contributor.toLowerCase()));
      return Math.min(
        1,
        [...holders].reduce((sum, holder) => sum + (parts.get(holder) ?? 0), 0),
      );
    });
  }, [attribution]);
  const showSpans = useCallback((spans: readonly number[]) => show({ kind: "spans", spans }), []);
  return (
    <>
      <AnswerText text={text} pieces={pieces} influence={influence} onSpans={showSpans} />
      <SourceStrip attribution={attribution} pieces={pieces} length={text.length} onShow={show} />
      <Verify evidence={evidence} question={question} answer={text} />
      <SourceDrawer
        attribution={attribution}
        snapshotRoots={receipt.snapshotRoots}
        shown={shown}
        onClose={() => show(null)}
      />
    </>
  );
}
