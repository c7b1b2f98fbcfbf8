/** Where a question is written, and what its answer will cost at most. */
import { useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useRef, useState } from "react";
import { describeError } from "../../api/error";
import { useChain } from "../../chain/client";
import { useChannel } from "../../channel/use-channel";
import { count } from "../../lib/format";
import { Button } from "../../ui/Button";
import { Checkbox, TextField } from "../../ui/fields";
import { Wei } from "../../ui/values";
import { useWallet } from "../../wallet/wallet";
import { ceilingQuery } from "./queries";
import type { AskSettings } from "./useAnswers";

/** Pause in typing after which the price is asked again. */
const TYPING_PAUSE_MS = 500;
/** Most tokens of an answer that can be typed. */
const TOKENS_MAX = 4096;
/** Bytes of text that a request takes, as the node limits them. */
const TEXT_BYTES_MAX = 256 * 1024;

export interface ComposerProps {
  model: { id: string; paid: boolean } | null;
  settings: AskSettings;
  onSettings: (settings: AskSettings) => void;
  busy: boolean;
  /** The request that asking `text` now would make. */
  requestOf: (text: string) => Record<string, unknown>;
  /** False where the question was not asked; its text stays. */
  onAsk: (text: string) => boolean;
}

function useSettled<T>(value: T, pauseMs: number): T {
  const [settled, settle] = useState(value);
  useEffect(() => {
    const timer = window.setTimeout(() => settle(value), pauseMs);
    return () => window.clearTimeout(timer);
  }, [value, pauseMs]);
  return settled;
}

export function Composer({ model, settings, onSettings, busy, requestOf, onAsk }: ComposerProps) {
  const [text, setText] = useState("");
  const form = useRef<HTMLFormElement>(null);
  const question = text.trim();
  const tooLong = new Blob([question]).size > TEXT_BYTES_MAX;
  const ready = question !== "" && !busy && model !== null && !tooLong;
  const ask = () => {
    if (ready && onAsk(question)) setText("");
  };
  return (
    <form
      ref={form}
      className="grid gap-2 rounded-lg border border-line bg-surface p-3"
      onSubmit={(event) => {
        event.preventDefault();
        ask();
      }}
      onKeyDown={(event) => {
        if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing) return;
        // In the settings' fields the key must not send a question.
        if (event.target instanceof HTMLInputElement) event.preventDefault();
        if (!(event.target instanceof HTMLTextAreaElement)) return;
        event.preventDefault();
        ask();
      }}
    >
      <TextField
        label="Your question"
        showLabel={false}
        placeholder={model === null ? "Choose a model first" : `Ask ${model.id}`}
        lines={3}
        value={text}
        onChange={setText}
        error={tooLong ? `The text is longer than ${TEXT_BYTES_MAX / 1024} kB` : null}
      />
      <div className="flex flex-wrap items-center justify-between gap-3">
        <p className="min-w-0 text-sm text-muted" aria-live="polite">
          {model?.paid ? (
            <Price question={busy ? "" : question} requestOf={requestOf} settings={settings} />
          ) : model ? (
            "Answers of the base model are free: it has no builder and no contributors to pay."
          ) : null}
        </p>
        <Button type="submit" tone="primary" isDisabled={!ready}>
          {busy ? "Answering …" : "Ask"}
        </Button>
      </div>
      <details className="text-sm">
        <summary className="w-fit text-muted hover:text-ink">Settings of the answer</summary>
        <Settings settings={settings} onSettings={onSettings} paid={model?.paid ?? false} />
      </details>
    </form>
  );
}

function Price({
  question,
  requestOf,
  settings,
}: {
  question: string;
  requestOf: (text: string) => Record<string, unknown>;
  settings: AskSettings;
}) {
  const info = useChain();
  const { account } = useWallet();
  const channel = useChannel().query.data;
  const settled = useSettled(question, TYPING_PAUSE_MS);
  const request = useMemo(() => (settled === "" ? null : requestOf(settled)), [settled, requestOf]);
  const price = useQuery(ceilingQuery(info, request));
  const left = account !== null && channel && channel.onChain.balance > 0n && (
    <>
      {" "}
      <Wei value={channel.left} /> left in your channel.
    </>
  );
  if (settled === "") {
    return <>Each answer is paid by its tokens; the most it can cost is shown here before you ask.{left}</>;
  }
  if (price.error) return <>The price could not be asked for: {describeError(price.error).detail}</>;
  if (price.data === undefined) return <>Asking for the price …</>;
  if (price.data === null) return <>This answer is free.</>;
  return (
    <>
      At most <Wei value={price.data} /> for up to {count(settings.maxTokens, "token")}; less if the answer is
      shorter.
      {left}
    </>
  );
}

function Settings({
  settings,
  onSettings,
  paid,
}: {
  settings: AskSettings;
  onSettings: (settings: AskSettings) => void;
  paid: boolean;
}) {
  const [tokens, setTokens] = useState(String(settings.maxTokens));
  const [heat, setHeat] = useState(String(settings.temperature));
  const tokensOk = /^\d{1,4}$/.test(tokens) && Number(tokens) >= 1 && Number(tokens) <= TOKENS_MAX;
  const heatOk = /^\d(\.\d{1,3})?$/.test(heat) && Number(heat) <= 2;
  return (
    <div className="mt-3 grid gap-4 sm:grid-cols-2">
      <TextField
        label="Longest answer"
        unit="tokens"
        inputMode="numeric"
        value={tokens}
        onChange={(value) => {
          setTokens(value);
          const whole = Number(value);
          if (/^\d{1,4}$/.test(value) && whole >= 1 && whole <= TOKENS_MAX)
            onSettings({ ...settings, maxTokens: whole });
        }}
        error={tokensOk ? null : `1 to ${TOKENS_MAX}`}
        description="A token is about four characters. The price ceiling grows with it."
      />
      <TextField
        label="Temperature"
        inputMode="decimal"
        value={heat}
        onChange={(value) => {
          setHeat(value);
          if (/^\d(\.\d{1,3})?$/.test(value) && Number(value) <= 2)
            onSettings({ ...settings, temperature: Number(value) });
        }}
        error={heatOk ? null : "0 to 2"}
        description="0 gives everyone the same answer; higher values vary it."
      />
      {paid && (
        <Checkbox
          isSelected={settings.attribution}
          onChange={(attribution) => onSettings({ ...settings, attribution })}
          description="Which records it quotes, whose records shaped it, and who is paid. It costs nothing more."
        >
          Show the sources of the answer
        </Checkbox>
      )}
    </div>
  );
}
