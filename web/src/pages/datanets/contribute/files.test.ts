import { describe, expect, it } from "vitest";
import { columnsOf, cutName, FILE_BYTES_MAX, formatOf, mappingKind, mappingOf, refusalOf } from "./files";

describe("a chosen file", () => {
  it("has the format that its ending means", () => {
    expect(["a.JSONL", "b.csv", "c.parquet", "d.txt", "e.md", "f.xlsx", "csv"].map(formatOf)).toEqual([
      "jsonl",
      "csv",
      "parquet",
      "text",
      "markdown",
      null,
      null,
    ]);
  });

  it("is refused when it is empty or too large", () => {
    expect(refusalOf({ size: 0 })).toContain("empty");
    expect(refusalOf({ size: FILE_BYTES_MAX })).toBeNull();
    expect(refusalOf({ size: FILE_BYTES_MAX + 1 })).toContain("at most");
  });

  it("keeps its ending when its name is cut", () => {
    const cut = cutName(`${"ü".repeat(100)}.jsonl`);
    expect(cut.endsWith(".jsonl")).toBe(true);
    expect(new TextEncoder().encode(cut).length).toBeLessThanOrEqual(128);
    expect(cutName("short.csv")).toBe("short.csv");
  });
});

describe("columns", () => {
  it("of a CSV may hold commas, quotes and line breaks", () => {
    expect(columnsOf("csv", '\ufeffprompt,"the ""answer"",\nlong",x\r\n1,2,3')).toEqual([
      "prompt",
      'the "answer",\nlong',
      "x",
    ]);
  });

  it("of JSON Lines are the first object's keys", () => {
    expect(columnsOf("jsonl", '\n{"prompt":"a","response":"b"}\n{"other":1}')).toEqual([
      "prompt",
      "response",
    ]);
    expect(columnsOf("jsonl", "[1,2]\n")).toEqual([]);
    expect(columnsOf("jsonl", "not json")).toEqual([]);
  });

  it("of formats without any are none", () => {
    expect(columnsOf("text", "a,b")).toEqual([]);
  });
});

describe("a mapping", () => {
  it("needs every column, each another", () => {
    expect(mappingOf("prompt", { prompt: "q", response: "a", text: "unused" })).toEqual({
      prompt: "q",
      response: "a",
    });
    expect(mappingOf("prompt", { prompt: "q" })).toBeNull();
    expect(mappingOf("prompt", { prompt: "q", response: "q" })).toBeNull();
  });

  it("is told by its roles", () => {
    expect(mappingKind({ media: "m", text: "t" })).toBe("media");
    expect(mappingKind({ text: "t" })).toBe("text");
    expect(mappingKind({ messages: "t" })).toBe("messages");
    expect(mappingKind({ prompt: "p", response: "r" })).toBe("prompt");
  });
});
