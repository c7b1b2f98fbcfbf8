/**
 * A conversation as a tree: an edited question or a second answer stands beside the first, and both are kept. What
 * is shown is one way from the root to a leaf.
 */
import type { components } from "../../api/generated/schema";

type Schemas = components["schemas"];
/** What a paid answer brings along; the replay's details are left out, they are larger than everything else. */
export type Evidence = Omit<Schemas["AnswerEvidence"], "attribution"> & {
  attribution: Omit<Schemas["Attribution"], "evidence">;
};
export type Attribution = Evidence["attribution"];
export type Span = Schemas["Span"];
export type PoolShare = Schemas["PoolShare"];
export type ScoredRecord = Schemas["ScoredRecord"];

/** What became of an answer. */
export type AnswerState = "writing" | "done" | "stopped" | "failed";

/** An answer beside its text. Amounts in wei, in decimal. */
export interface AnswerFacts {
  model: string;
  state: AnswerState;
  /** Why it failed. */
  error?: string;
  /** What must be done before it can be asked again; for a deposit, wei missing and wei of the ceiling. */
  need?: { kind: "account" } | { kind: "deposit"; missing: string; ceiling: string };
  /** The most that it could cost; absent for free answers. */
  ceiling?: string;
  /** The node asked for no payment. */
  free?: boolean;
  /** A payment was sent and no answer to it came: nobody here knows whether it was charged. */
  unsettled?: boolean;
  /** What it cost; absent while that is unknown. */
  charged?: string;
  tokensIn?: number;
  tokensOut?: number;
  /** It ended at the length limit. */
  cutOff?: boolean;
  receipt?: string;
  evidence?: Evidence;
}

export interface ChatMessage {
  id: string;
  /** Null for a first question. */
  parent: string | null;
  role: "user" | "assistant";
  text: string;
  atMs: number;
  answer?: AnswerFacts;
}

export interface Conversation {
  id: string;
  title: string;
  model: string;
  changedAtMs: number;
  messages: Readonly<Record<string, ChatMessage>>;
  /** Which child is shown below a message; {@link ROOT} stands for the beginning. */
  shown: Readonly<Record<string, string>>;
}

export const ROOT = "";
/** Characters of a conversation's title. */
const TITLE_CHARS_MAX = 60;

export function emptyConversation(id: string, model: string, nowMs: number): Conversation {
  return { id, title: "New conversation", model, changedAtMs: nowMs, messages: {}, shown: {} };
}

/** Messages below one, in the order in which they were written. */
export function children({ messages }: Conversation, parent: string | null): ChatMessage[] {
  return Object.values(messages)
    .filter((message) => message.parent === parent)
    .sort((one, other) => one.atMs - other.atMs);
}

/** The child of a message that is shown: the chosen one, else the last. */
function shownChild(conversation: Conversation, parent: string | null): ChatMessage | undefined {
  const all = children(conversation, parent);
  const chosen = conversation.shown[parent ?? ROOT];
  return all.find((message) => message.id === chosen) ?? all.at(-1);
}

/** The messages that are shown, from the first. */
export function shownPath(conversation: Conversation): ChatMessage[] {
  const path: ChatMessage[] = [];
  const seen = new Set<string>();
  let next = shownChild(conversation, null);
  while (next !== undefined && !seen.has(next.id)) {
    path.push(next);
    seen.add(next.id);
    next = shownChild(conversation, next.id);
  }
  return path;
}

/** The messages from the first to the given one, whatever is shown. */
export function pathTo({ messages }: Conversation, id: string | null): ChatMessage[] {
  const path: ChatMessage[] = [];
  let at = id === null ? undefined : messages[id];
  while (at !== undefined && path.length <= Object.keys(messages).length) {
    path.unshift(at);
    at = at.parent === null ? undefined : messages[at.parent];
  }
  return path;
}

/** Adds a message below its parent and shows it. The first question gives the title. */
export function add(conversation: Conversation, message: ChatMessage): Conversation {
  const first = Object.keys(conversation.messages).length === 0;
  return {
    ...conversation,
    ...(first ? { title: titleOf(message.text) } : {}),
    changedAtMs: message.atMs,
    messages: { ...conversation.messages, [message.id]: message },
    shown: { ...conversation.shown, [message.parent ?? ROOT]: message.id },
  };
}

/** Changes a message; a message that is gone stays gone. */
export function change(
  conversation: Conversation,
  id: string,
  by: (message: ChatMessage) => ChatMessage,
): Conversation {
  const message = conversation.messages[id];
  if (message === undefined) return conversation;
  return { ...conversation, messages: { ...conversation.messages, [id]: by(message) } };
}

const mayHaveCost = ({ ceiling, unsettled }: AnswerFacts) => ceiling !== undefined || unsettled === true;

/** Whether a message is a failed attempt at an answer, which has no text and cost nothing. */
export const cameToNothing = ({ answer, text }: ChatMessage) =>
  answer?.state === "failed" && text === "" && !mayHaveCost(answer);

/** Takes an attempt that came to nothing out again, so that it is no branch. Whatever something hangs on stays. */
export function dropFailed(conversation: Conversation, id: string): Conversation {
  const { [id]: message, ...messages } = conversation.messages;
  const nothing = message !== undefined && cameToNothing(message);
  return nothing && children(conversation, id).length === 0 ? { ...conversation, messages } : conversation;
}

/** Where a message stands among its siblings. */
export function branch(conversation: Conversation, message: ChatMessage) {
  const all = children(conversation, message.parent);
  return { all, at: all.findIndex((one) => one.id === message.id) };
}

/** Shows the sibling that is `by` places further; nothing changes at the ends. */
export function switchBranch(conversation: Conversation, message: ChatMessage, by: number): Conversation {
  const { all, at } = branch(conversation, message);
  const target = all[at + by];
  if (target === undefined) return conversation;
  return { ...conversation, shown: { ...conversation.shown, [message.parent ?? ROOT]: target.id } };
}

/** What the model is sent for an answer below `parent`: only what was said, without answers that failed. */
export function promptFor(conversation: Conversation, parent: string): { role: string; content: string }[] {
  return pathTo(conversation, parent)
    .filter(({ role, answer, text }) => role === "user" || (answer?.state !== "failed" && text !== ""))
    .map(({ role, text }) => ({ role, content: text }));
}

function titleOf(text: string): string {
  const line = text.replace(/\s+/g, " ").trim();
  const characters = [...line];
  return characters.length > TITLE_CHARS_MAX ? `${characters.slice(0, TITLE_CHARS_MAX).join("")} …` : line;
}
