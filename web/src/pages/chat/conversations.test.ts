import { describe, expect, it } from "vitest";
import { CONVERSATIONS_MAX, type ConversationStore, conversationStore } from "./conversations";
import {
  type AnswerFacts,
  add,
  type ChatMessage,
  type Conversation,
  change,
  dropFailed,
  emptyConversation,
} from "./tree";

/** A browser's storage, and tabs that hear of each other's changes when `deliver` is called. */
class Browser {
  private readonly entries = new Map<string, string>();
  private readonly tabs: { store: ConversationStore; heard: Set<string> }[] = [];

  tab(): ConversationStore {
    const heard = new Set<string>();
    const tell = (key: string) => {
      for (const other of this.tabs) if (other.heard !== heard) other.heard.add(key);
    };
    const { entries } = this;
    const storage: Storage = {
      get length() {
        return entries.size;
      },
      key: (at) => [...entries.keys()][at] ?? null,
      getItem: (key) => entries.get(key) ?? null,
      setItem: (key, value) => {
        entries.set(key, value);
        tell(key);
      },
      removeItem: (key) => {
        entries.delete(key);
        tell(key);
      },
      clear: () => entries.clear(),
    };
    const store = conversationStore(() => storage);
    store.snapshot();
    this.tabs.push({ store, heard });
    return store;
  }

  deliver() {
    for (const { store, heard } of this.tabs) {
      for (const key of heard) store.receive(key);
      heard.clear();
    }
  }
}

const question = (id: string, parent: string | null = null): ChatMessage => ({
  id,
  parent,
  role: "user",
  text: `question ${id}`,
  atMs: 1,
});
const answer = (id: string, parent: string, facts: Partial<AnswerFacts>, text = ""): ChatMessage => ({
  id,
  parent,
  role: "assistant",
  text,
  atMs: 2,
  answer: { model: "m", state: "writing", ...facts },
});
const begun = (id: string) => add(emptyConversation(id, "m", 0), question(`${id}-q`));
const of = (store: ConversationStore, id: string): Conversation | undefined =>
  store.snapshot().conversations.find((one) => one.id === id);
const finish = (store: ConversationStore, id: string, message: string, text: string) =>
  store.update(
    id,
    (now) =>
      change(now, message, (one) => ({
        ...one,
        text,
        answer: { ...(one.answer as AnswerFacts), state: "done", receipt: "0x1" },
      })),
    true,
  );

describe("the limit", () => {
  it("keeps a new conversation out before anything is asked, and takes more into those that are there", () => {
    const store = new Browser().tab();
    for (let at = 0; at < CONVERSATIONS_MAX; at += 1) expect(store.put(begun(`c${at}`), true)).not.toBeNull();
    expect(store.put(begun("one more"), true)).toBeNull();
    expect(store.snapshot().unsaved).toContain("was not asked");
    expect(store.snapshot().conversations).toHaveLength(CONVERSATIONS_MAX);
    expect(store.put(add(begun("c7"), question("next")), true)?.messages).toHaveProperty("next");
    store.remove("c7");
    expect(store.snapshot().unsaved).toBeNull();
    expect(store.put(begun("one more"), true)).not.toBeNull();
  });
});

describe("two tabs", () => {
  it("keep each other's paid answers, even where one has not heard of the other yet", () => {
    const browser = new Browser();
    const first = browser.tab();
    first.put(add(begun("c"), answer("a", "c-q", {})), true);
    const second = browser.tab();
    expect(of(second, "c")?.messages.a?.answer?.state).toBe("stopped");

    finish(first, "c", "a", "paid for");
    second.update("c", (now) => add(now, answer("b", "c-q", {})), true);
    finish(second, "c", "b", "paid for as well");
    expect(of(second, "c")?.messages.a?.text).toBe("paid for");
    browser.deliver();
    for (const store of [first, second, browser.tab()]) {
      const { a, b } = of(store, "c")?.messages ?? {};
      expect([a?.text, b?.text]).toEqual(["paid for", "paid for as well"]);
      expect([a?.answer?.receipt, b?.answer?.receipt]).toEqual(["0x1", "0x1"]);
    }
  });

  it("do not disturb an answer that one of them is writing", () => {
    const browser = new Browser();
    const first = browser.tab();
    const second = browser.tab();
    first.put(add(begun("c"), answer("a", "c-q", {})), true);
    browser.deliver();
    const write = (now: Conversation) => change(now, "a", (one) => ({ ...one, text: "half" }));
    first.update("c", write, false);
    second.update("c", (now) => add(now, question("q2", "a")), true);
    browser.deliver();
    expect(of(first, "c")?.messages.a).toMatchObject({ text: "half", answer: { state: "writing" } });
    expect(of(first, "c")?.messages).toHaveProperty("q2");
    finish(first, "c", "a", "whole");
    expect(of(browser.tab(), "c")?.messages.a?.text).toBe("whole");
  });

  it("leave deleted what one of them deleted", () => {
    const browser = new Browser();
    const first = browser.tab();
    first.put(begun("c"), true);
    const second = browser.tab();
    first.remove("c");
    expect(second.put(add(of(second, "c") as Conversation, question("q2")), true)).toBeNull();
    expect(second.snapshot().unsaved).toContain("deleted in another tab");
    browser.deliver();
    for (const store of [first, second, browser.tab()]) expect(of(store, "c")).toBeUndefined();
  });

  it("leave out a failed attempt that one of them took out", () => {
    const browser = new Browser();
    const first = browser.tab();
    first.put(add(begun("c"), answer("a", "c-q", { state: "failed" })), true);
    const second = browser.tab();
    first.put(dropFailed(of(first, "c") as Conversation, "a"), true);
    browser.deliver();
    second.update("c", (now) => add(now, question("q2")), true);
    expect(Object.keys(of(browser.tab(), "c")?.messages ?? {})).toEqual(["c-q", "q2"]);
  });
});
