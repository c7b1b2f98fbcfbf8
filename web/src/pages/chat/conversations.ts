/**
 * Conversations in a browser's storage, which all its tabs share. A tab writes a whole conversation at a time, so before
 * it does it takes over what other tabs have written meanwhile: an answer that was paid for is not written over.
 */
import { type Conversation, cameToNothing } from "./tree";

const PREFIX = "openledger.chat.";
/** Most conversations kept, so that the list can be read through; a new one is refused when there are as many. */
export const CONVERSATIONS_MAX = 200;

const NO_STORAGE = "This browser keeps nothing for this page; conversations end with the page.";
const FULL =
  "This browser's storage is full: the latest messages are lost when the page closes. Delete old conversations.";
const TOO_MANY = `This browser keeps ${CONVERSATIONS_MAX} conversations and has as many, so the question was not asked. Delete one first.`;
const DELETED = "This conversation was deleted in another tab; nothing more of it is kept.";

export interface State {
  conversations: readonly Conversation[];
  /** Why the last change was not saved; null when it was. */
  unsaved: string | null;
}

export interface ConversationStore {
  snapshot: () => State;
  /** Gives what ends it. */
  subscribe: (listener: () => void) => () => void;
  /**
   * Puts a conversation; `save` writes it to storage as well. Gives it as it is now, with what other tabs added, or null
   * where it is not kept, not even in this page.
   */
  put: (conversation: Conversation, save: boolean) => Conversation | null;
  /** Changes the conversation as it is now; nothing happens when it is gone. */
  update: (id: string, by: (conversation: Conversation) => Conversation, save: boolean) => void;
  remove: (id: string) => void;
  /** Takes over what another tab did to the entry `key` of the storage; null stands for all entries. */
  receive: (key: string | null) => void;
}

type Messages = Conversation["messages"];

/** A conversation as it is stored; null for what is none. */
export function parse(text: string | null): Conversation | null {
  if (text === null) return null;
  try {
    const found = JSON.parse(text) as Partial<Conversation>;
    const whole =
      typeof found.id === "string" &&
      typeof found.title === "string" &&
      typeof found.model === "string" &&
      typeof found.changedAtMs === "number" &&
      typeof found.messages === "object" &&
      found.messages !== null &&
      typeof found.shown === "object" &&
      found.shown !== null;
    return whole ? (found as Conversation) : null;
  } catch {
    return null;
  }
}

/** An answer that some other page was writing is, as far as this page knows, written no more. */
function settled(messages: Messages): Messages {
  return Object.fromEntries(
    Object.entries(messages).map(([id, message]) =>
      message.answer?.state === "writing"
        ? [id, { ...message, answer: { ...message.answer, state: "stopped" as const } }]
        : [id, message],
    ),
  );
}

/**
 * Messages as stored by now, with what this page did since it `knew` them: what it wrote is in, failed attempts that it
 * took out are out, and whatever it left alone is as stored.
 */
function merged(stored: Messages, own: Messages, knew: Messages): Messages {
  const takenOut = (id: string) => own[id] === undefined && knew[id] !== undefined && cameToNothing(knew[id]);
  const theirs = Object.entries(stored).filter(([id]) => !takenOut(id));
  const ours = Object.entries(own).filter(([id, message]) => message !== knew[id]);
  return Object.fromEntries([...theirs, ...ours]);
}

const sorted = (all: readonly Conversation[]) =>
  [...all].sort((one, other) => other.changedAtMs - one.changedAtMs);

/** The conversations of `storage`, which is asked for at each use, since a browser may refuse it. */
export function conversationStore(storage: () => Storage): ConversationStore {
  let state: State | null = null;
  const listeners = new Set<() => void>();
  /** Of each stored conversation the messages as this page last read or wrote them; the same objects where unchanged. */
  const known = new Map<string, Messages>();

  const load = (): State => {
    const conversations: Conversation[] = [];
    known.clear();
    try {
      const entries = storage();
      for (let at = 0; at < entries.length; at += 1) {
        const key = entries.key(at);
        const found = key?.startsWith(PREFIX) ? parse(entries.getItem(key)) : null;
        if (found !== null) conversations.push(learn({ ...found, messages: settled(found.messages) }));
      }
    } catch {
      return { conversations, unsaved: NO_STORAGE };
    }
    return { conversations: sorted(conversations), unsaved: null };
  };

  const learn = (conversation: Conversation): Conversation => {
    known.set(conversation.id, conversation.messages);
    return conversation;
  };

  const snapshot = (): State => {
    state ??= load();
    return state;
  };

  const publish = (next: State) => {
    state = next;
    for (const listener of listeners) listener();
  };

  const without = (id: string) => snapshot().conversations.filter((one) => one.id !== id);

  const drop = (id: string, unsaved: string | null) => {
    known.delete(id);
    publish({ conversations: without(id), unsaved });
  };

  /** Writes what this page changed; gives the conversation with what others did, or null where they deleted it. */
  const write = (own: Conversation): Conversation | null => {
    const theirs = parse(storage().getItem(PREFIX + own.id));
    const knew = known.get(own.id);
    if (theirs === null && knew !== undefined) return null;
    const shown = { ...theirs?.shown, ...own.shown };
    const together = (stored: Messages) => ({
      ...own,
      shown,
      messages: merged(stored, own.messages, knew ?? {}),
    });
    const stored = theirs?.messages ?? {};
    storage().setItem(PREFIX + own.id, JSON.stringify(together(stored)));
    return learn(together(settled(stored)));
  };

  const put = (conversation: Conversation, save: boolean): Conversation | null => {
    const { conversations, unsaved } = snapshot();
    const { id } = conversation;
    const rest = without(id);
    if (rest.length === conversations.length && rest.length >= CONVERSATIONS_MAX) {
      publish({ conversations, unsaved: TOO_MANY });
      return null;
    }
    let [now, problem]: [Conversation | null, string | null] = [conversation, save ? null : unsaved];
    try {
      if (save) now = write(conversation);
    } catch {
      problem = FULL;
    }
    if (now === null) drop(id, DELETED);
    else publish({ conversations: sorted([now, ...rest]), unsaved: problem });
    return now;
  };

  const update: ConversationStore["update"] = (id, by, save) => {
    const found = snapshot().conversations.find((one) => one.id === id);
    if (found !== undefined) put(by(found), save);
  };

  const remove = (id: string) => {
    try {
      storage().removeItem(PREFIX + id);
      drop(id, null);
    } catch {
      drop(id, NO_STORAGE);
    }
  };

  const receive = (key: string | null) => {
    if (state === null) return;
    if (key === null) return publish(load());
    if (!key.startsWith(PREFIX)) return;
    const id = key.slice(PREFIX.length);
    const theirs = parse(storage().getItem(key));
    if (theirs === null) return drop(id, state.unsaved);
    const own = state.conversations.find((one) => one.id === id);
    const knew = known.get(id) ?? {};
    const stored = learn({ ...theirs, messages: settled(theirs.messages) });
    // What this page has not saved yet stays in, and stays a change of this page.
    const messages = own === undefined ? stored.messages : merged(stored.messages, own.messages, knew);
    const now = { ...stored, messages, shown: { ...theirs.shown, ...own?.shown } };
    publish({ ...state, conversations: sorted([now, ...without(id)]) });
  };

  return {
    snapshot,
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    put,
    update,
    remove,
    receive,
  };
}
