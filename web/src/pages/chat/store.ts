/** Conversations, kept in this browser and nowhere else. */
import { useCallback, useSyncExternalStore } from "react";
import type { Conversation } from "./tree";

const PREFIX = "openledger.chat.";
/** Most conversations kept; the page says so when there are more. */
export const CONVERSATIONS_MAX = 200;

interface State {
  conversations: readonly Conversation[];
  /** Why the last change was not saved; null when it was. */
  unsaved: string | null;
}

let state: State | null = null;
const listeners = new Set<() => void>();

function load(): State {
  const conversations: Conversation[] = [];
  try {
    for (let at = 0; at < localStorage.length; at += 1) {
      const key = localStorage.key(at);
      if (key === null || !key.startsWith(PREFIX)) continue;
      const read = parse(localStorage.getItem(key));
      if (read !== null) conversations.push(read);
    }
  } catch {
    return {
      conversations,
      unsaved: "This browser keeps nothing for this page; conversations end with the page.",
    };
  }
  return { conversations: sorted(conversations), unsaved: null };
}

/** A stored conversation; null for what is none. */
export function parse(text: string | null): Conversation | null {
  if (text === null) return null;
  try {
    const read = JSON.parse(text) as Partial<Conversation>;
    const whole =
      typeof read.id === "string" &&
      typeof read.title === "string" &&
      typeof read.model === "string" &&
      typeof read.changedAtMs === "number" &&
      typeof read.messages === "object" &&
      read.messages !== null &&
      typeof read.shown === "object" &&
      read.shown !== null;
    return whole ? settled(read as Conversation) : null;
  } catch {
    return null;
  }
}

/** An answer that was being written when the page closed is written no more. */
function settled(conversation: Conversation): Conversation {
  const messages = Object.fromEntries(
    Object.entries(conversation.messages).map(([id, message]) =>
      message.answer?.state === "writing"
        ? [id, { ...message, answer: { ...message.answer, state: "stopped" as const } }]
        : [id, message],
    ),
  );
  return { ...conversation, messages };
}

const sorted = (all: readonly Conversation[]) =>
  [...all].sort((one, other) => other.changedAtMs - one.changedAtMs);

function snapshot(): State {
  state ??= load();
  return state;
}

function publish(next: State) {
  state = next;
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function write(id: string, conversation: Conversation | null): string | null {
  try {
    if (conversation === null) localStorage.removeItem(PREFIX + id);
    else localStorage.setItem(PREFIX + id, JSON.stringify(conversation));
    return null;
  } catch {
    return "This browser's storage is full: the latest messages are lost when the page closes. Delete old conversations.";
  }
}

export interface ConversationStore extends State {
  /** Puts a conversation; `save` writes it to storage as well. */
  put: (conversation: Conversation, save: boolean) => void;
  /** Changes the conversation as it is now; nothing happens when it is gone. */
  update: (id: string, by: (conversation: Conversation) => Conversation, save: boolean) => void;
  remove: (id: string) => void;
}

function put(conversation: Conversation, save: boolean) {
  const { conversations, unsaved } = snapshot();
  const others = conversations.filter((one) => one.id !== conversation.id);
  if (others.length >= CONVERSATIONS_MAX) {
    publish({
      conversations,
      unsaved: `More than ${CONVERSATIONS_MAX} conversations are not kept. Delete old ones.`,
    });
    return;
  }
  const problem = save ? write(conversation.id, conversation) : unsaved;
  publish({ conversations: sorted([conversation, ...others]), unsaved: problem });
}

function update(id: string, by: (conversation: Conversation) => Conversation, save: boolean) {
  const found = snapshot().conversations.find((one) => one.id === id);
  if (found !== undefined) put(by(found), save);
}

function remove(id: string) {
  const { conversations } = snapshot();
  publish({ conversations: conversations.filter((one) => one.id !== id), unsaved: write(id, null) });
}

export function useConversations(): ConversationStore {
  const current = useSyncExternalStore(subscribe, snapshot);
  return {
    ...current,
    put: useCallback(put, []),
    update: useCallback(update, []),
    remove: useCallback(remove, []),
  };
}
