import { describe, expect, it } from "vitest";
import { conversationSpent, influenceParts, spent } from "./cost";
import {
  add,
  branch,
  type ChatMessage,
  type Conversation,
  change,
  dropFailed,
  emptyConversation,
  pathTo,
  promptFor,
  shownPath,
  switchBranch,
} from "./tree";

const user = (id: string, parent: string | null, text: string, atMs: number): ChatMessage => ({
  id,
  parent,
  role: "user",
  text,
  atMs,
});
const answer = (
  id: string,
  parent: string,
  text: string,
  atMs: number,
  facts: Partial<NonNullable<ChatMessage["answer"]>> = {},
): ChatMessage => ({
  id,
  parent,
  role: "assistant",
  text,
  atMs,
  answer: { model: "m", state: "done", ...facts },
});

/** q1 → a1 → q2 → a2, then q2 edited (q3 → a3). */
function edited(): Conversation {
  return [
    user("q1", null, "one", 1),
    answer("a1", "q1", "first", 2, { charged: "5" }),
    user("q2", "a1", "two", 3),
    answer("a2", "q2", "second", 4, { charged: "7" }),
    user("q3", "a1", "two, edited", 5),
    answer("a3", "q3", "third", 6, { ceiling: "9", state: "stopped" }),
  ].reduce(add, emptyConversation("c", "m", 0));
}
const ids = (messages: ChatMessage[]) => messages.map((message) => message.id);

describe("branches", () => {
  it("shows the newest branch and keeps the others", () => {
    const conversation = edited();
    expect(ids(shownPath(conversation))).toEqual(["q1", "a1", "q3", "a3"]);
    expect(Object.keys(conversation.messages)).toHaveLength(6);
  });

  it("switches back and forth, and no further than the ends", () => {
    const conversation = edited();
    const [, , q3] = shownPath(conversation);
    if (q3 === undefined) throw new Error("no third message");
    expect(branch(conversation, q3)).toMatchObject({ at: 1 });
    const back = switchBranch(conversation, q3, -1);
    expect(ids(shownPath(back))).toEqual(["q1", "a1", "q2", "a2"]);
    expect(switchBranch(conversation, q3, 1)).toBe(conversation);
  });

  it("sends the model its own branch only, without answers that failed", () => {
    const failed = change(edited(), "a3", (message) => ({
      ...message,
      answer: { model: "m", state: "failed" },
    }));
    const asked = add(failed, user("q4", "a3", "again", 7));
    expect(promptFor(asked, "q4").map(({ content }) => content)).toEqual([
      "one",
      "first",
      "two, edited",
      "again",
    ]);
    expect(ids(pathTo(asked, "a2"))).toEqual(["q1", "a1", "q2", "a2"]);
  });

  it("names the conversation after its first question, cut between characters", () => {
    const long = add(emptyConversation("c", "m", 0), user("q", null, `${"ä".repeat(59)}😀😀`, 1));
    expect(long.title).toBe(`${"ä".repeat(59)}😀 …`);
  });

  it("forgets an attempt that came to nothing, and nothing else", () => {
    const nothing = answer("a9", "q1", "", 9, { state: "failed" });
    expect(dropFailed(add(edited(), nothing), "a9").messages).toEqual(edited().messages);
    const charged = answer("a9", "q1", "", 9, { state: "failed", ceiling: "4" });
    expect(dropFailed(add(edited(), charged), "a9").messages).toHaveProperty("a9");
    const unsettled = answer("a9", "q1", "", 9, { state: "failed", unsettled: true });
    expect(dropFailed(add(edited(), unsettled), "a9").messages).toHaveProperty("a9");
    expect(dropFailed(edited(), "a1")).toEqual(edited());
  });

  it("ends on a circle that storage could hold", () => {
    const messages = { a: user("a", "b", "x", 1), b: user("b", "a", "y", 2), c: user("c", null, "z", 3) };
    const broken = { ...emptyConversation("c", "m", 0), messages };
    expect(ids(shownPath(broken))).toEqual(["c"]);
    expect(pathTo(broken, "a").length).toBeLessThan(10);
  });
});

describe("cost", () => {
  it("counts every branch of the conversation, and what is unknown apart", () => {
    const conversation = edited();
    expect(conversationSpent(conversation)).toEqual({
      charged: 12n,
      answers: 2,
      unknown: 1,
      unknownCeiling: 9n,
    });
    expect(spent(shownPath(conversation)).charged).toBe(5n);
  });

  it("adds amounts that no double holds", () => {
    const big = answer("a", "q", "", 1, { charged: "9007199254740993" });
    expect(spent([big, big]).charged).toBe(18014398509481986n);
  });

  it("gives each contributor's part of the influence", () => {
    const share = (contributor: `0x${string}`, weight: number) => ({ contributor, weight, records: [] });
    const parts = influenceParts([share("0xAA", 30_000), share("0xBB", 10_000)]);
    expect(parts.get("0xaa")).toBe(0.75);
    expect(influenceParts([share("0xAA", 0)]).get("0xaa")).toBe(0);
  });
});
