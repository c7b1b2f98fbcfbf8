import { describe, expect, it } from "vitest";
import { excerpt, recordParts } from "./bodies";

describe("a record's parts", () => {
  it("follow the order in which they are read", () => {
    expect(recordParts({ response: "b", prompt: "a" })).toEqual([
      { label: "prompt", text: "a" },
      { label: "response", text: "b" },
    ]);
    expect(recordParts({ messages: [{ role: "user", content: "hi" }] })).toEqual([
      { label: "user", text: "hi" },
    ]);
  });

  it("survive what no record should be", () => {
    expect(recordParts({ messages: [null, "x", { content: 3 }] }).map((part) => part.text)).toEqual([
      "null",
      "x",
      "3",
    ]);
    expect(recordParts({ odd: { deep: 1 } })).toEqual([{ label: "odd", text: '{"deep":1}' }]);
  });

  it("are cut between characters", () => {
    expect(excerpt("a\n\n b", 10)).toBe("a b");
    expect(excerpt("🌞🌞🌞", 2)).toBe("🌞🌞 …");
  });
});
