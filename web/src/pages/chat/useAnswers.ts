/** Asks, pays, and writes the answer into the conversation as it comes. */
import { useCallback, useRef, useState } from "react";
import { ApiError, describeError, NetworkError } from "../../api/error";
import { readStream } from "../../api/events";
import { DepositNeeded, type Paid, usePaidAsk } from "../../channel/use-channel";
import { Declined } from "../../wallet/approval";
import { NotConnected } from "../../wallet/send";
import type { Conversations } from "./store";
import { factsOf, NOTHING_STREAMED, STOPPING, type Streamed, takeLine } from "./stream";
import { type AnswerFacts, add, type ChatMessage, type Conversation, change, promptFor } from "./tree";

/** How often text that comes is drawn. */
const DRAW_MS = 60;

export interface AskSettings {
  maxTokens: number;
  temperature: number;
  attribution: boolean;
}

/** The request for an answer to the conversation as it stands below `question`. */
export function requestFor(
  conversation: Conversation,
  question: string,
  model: { id: string; paid: boolean },
  settings: AskSettings,
): Record<string, unknown> {
  return {
    model: model.id,
    messages: promptFor(conversation, question),
    max_tokens: settings.maxTokens,
    temperature: settings.temperature,
    stream: true,
    stream_options: { include_usage: true },
    ...(model.paid && settings.attribution ? { attribution: true } : {}),
  };
}

interface Running {
  abort: AbortController;
  /** Set once the node answers; null before that, and for free answers. */
  paid: Paid | null;
  stopped: boolean;
  /** How far the payment is: nothing signed, signed, sent. */
  payment: "none" | "signed" | "sent";
}

const STEPS: Record<string, string> = {
  asking: "Asking the node …",
  signing: "Signing the payment …",
  "waiting for the channel": "Waiting for the channel: another answer is being charged …",
};

export interface Answers {
  /** What each answer that is being written is waiting for, by message. */
  steps: Readonly<Record<string, string>>;
  /**
   * Asks for an answer below a question of the conversation, which is stored already. Nothing is asked, and so nothing
   * paid, where the answer could not be kept.
   */
  ask: (
    conversation: Conversation,
    question: string,
    model: { id: string; paid: boolean },
    settings: AskSettings,
  ) => void;
  stop: (message: string) => void;
}

export function useAnswers(store: Pick<Conversations, "update" | "put">): Answers {
  const askNode = usePaidAsk();
  const running = useRef(new Map<string, Running>());
  const [steps, setSteps] = useState<Readonly<Record<string, string>>>({});
  const { update, put } = store;

  const ask: Answers["ask"] = (conversation, question, model, settings) => {
    const id = crypto.randomUUID();
    const facts: AnswerFacts = { model: model.id, state: "writing" };
    const atMs = Date.now();
    const begun: ChatMessage = { id, parent: question, role: "assistant", text: "", atMs, answer: facts };
    if (put(add(conversation, begun), true) === null) return;
    const run: Running = { abort: new AbortController(), paid: null, stopped: false, payment: "none" };
    running.current.set(id, run);
    const say = (step: string) => {
      if (step === "signing") run.payment = "signed";
      else if (step === "asking" && run.payment === "signed") run.payment = "sent";
      setSteps((before) => ({ ...before, [id]: STEPS[step] ?? step }));
    };
    const write = (text: string, more: Partial<AnswerFacts>, save: boolean) =>
      update(
        conversation.id,
        (now) =>
          change(now, id, (message) => ({
            ...message,
            text,
            answer: { ...(message.answer ?? facts), ...more },
          })),
        save,
      );
    const request = requestFor(conversation, question, model, settings);
    const work = answer(run, () => askNode(request, { signal: run.abort.signal, onStep: say }), say, write);
    work.finally(() => {
      running.current.delete(id);
      setSteps(({ [id]: _, ...rest }) => rest);
    });
  };

  const stop = useCallback((message: string) => {
    const run = running.current.get(message);
    if (run === undefined) return;
    run.stopped = true;
    // The node sees the connection close and ends the answer there: no more of it is made, or charged.
    run.abort.abort();
  }, []);

  return { steps, ask, stop };
}

type Write = (text: string, more: Partial<AnswerFacts>, save: boolean) => void;

async function answer(
  run: Running,
  askNode: () => ReturnType<ReturnType<typeof usePaidAsk>>,
  say: (step: string) => void,
  write: Write,
): Promise<void> {
  let streamed: Streamed = NOTHING_STREAMED;
  try {
    const { response, paid } = await askNode();
    run.paid = paid;
    const ceiling = paid === null ? { free: true } : { ceiling: paid.ceiling.toString() };
    write("", ceiling, true);
    say("Waiting for the first word …");
    if (response.body === null) throw new ApiError(502, "empty", "the node's answer is empty");
    let drawn = 0;
    try {
      for await (const line of readStream(response.body)) {
        streamed = takeLine(streamed, line);
        if (streamed.text !== "") say("Writing …");
        if (performance.now() - drawn > DRAW_MS) {
          drawn = performance.now();
          write(streamed.text, {}, false);
        }
        if (streamed.ended) break;
      }
    } catch (error) {
      if (!run.stopped || paid === null) throw error;
      say(STOPPING);
      const kept = await collected(paid);
      if (kept === null) return write(streamed.text, { state: "stopped", charged: "0" }, true);
      streamed = kept;
    }
    if (!streamed.ended) throw new ApiError(502, "broken_stream", "the answer broke off before its end");
    const charged = paid?.settle(streamed.settled) ?? null;
    const cost = charged === null ? {} : { charged: charged.toString() };
    write(streamed.text, { ...factsOf(streamed), ...cost }, true);
  } catch (error) {
    const silent = run.stopped || error instanceof NetworkError;
    const unsettled = run.payment === "sent" && run.paid === null && silent;
    write(streamed.text, { ...failure(error, run.stopped), ...(unsettled ? { unsettled } : {}) }, true);
  }
}

/** What there is of a stopped answer: exactly what was charged. Null where nothing was. */
async function collected(paid: Paid): Promise<Streamed | null> {
  const body = (await paid.collect())?.body ?? null;
  if (body === null) return null;
  let streamed: Streamed = NOTHING_STREAMED;
  for await (const line of readStream(body)) {
    streamed = takeLine(streamed, line);
    if (streamed.ended) break;
  }
  return streamed;
}

function failure(error: unknown, stopped: boolean): Partial<AnswerFacts> {
  if (stopped) return { state: "stopped" };
  const { detail } = describeError(error);
  const failed = { state: "failed" as const, error: detail };
  if (error instanceof DepositNeeded) {
    const need = { kind: "deposit", missing: error.missing.toString(), ceiling: error.offer.amount } as const;
    return { ...failed, need };
  }
  if (error instanceof NotConnected) {
    return {
      ...failed,
      error: "This model is paid per answer; connect an account to pay from.",
      need: { kind: "account" },
    };
  }
  if (error instanceof Declined)
    return { ...failed, error: "You declined to pay; nothing was signed and nothing is charged." };
  return failed;
}
