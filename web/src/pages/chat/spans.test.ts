import { describe, expect, it } from "vitest";
import { covered, type HtmlNode, layOut, markTree, textOffset, within } from "./spans";

const span = (start_utf16: number, end_utf16: number) => ({ start_utf16, end_utf16 });
const text = (value: string, start: number, end: number): HtmlNode => ({
  type: "text",
  value,
  position: { start: { offset: start }, end: { offset: end } },
});
const element = (tagName: string, ...children: HtmlNode[]): HtmlNode => ({
  type: "element",
  tagName,
  children,
});
/** The tree as text, with marked runs in brackets. */
const shown = (node: HtmlNode): string => {
  const inner = node.value ?? (node.children ?? []).map(shown).join("");
  return node.tagName === "mark" ? `[${node.properties?.["data-spans"]}:${inner}]` : inner;
};

describe("laying out", () => {
  it("covers the whole text once, in order", () => {
    const pieces = layOut(10, [span(2, 5), span(7, 9)]);
    expect(pieces.map(({ start, end }) => [start, end])).toEqual([
      [0, 2],
      [2, 5],
      [5, 7],
      [7, 9],
      [9, 10],
    ]);
    expect(pieces.map(({ spans }) => spans)).toEqual([[], [0], [], [1], []]);
    expect(covered(10, pieces)).toBe(0.5);
  });

  it("names both passages where two overlap", () => {
    expect(layOut(8, [span(0, 5), span(3, 8)]).map(({ spans }) => spans)).toEqual([[0], [0, 1], [1]]);
  });

  it("leaves out passages that are no passages, and cuts those that reach beyond the text", () => {
    const pieces = layOut(4, [span(3, 3), span(2, 1), span(9, 12), span(Number.NaN, 2), span(2, 99)]);
    expect(pieces.flatMap(({ spans }) => spans)).toEqual([4]);
    expect(pieces.at(-1)).toMatchObject({ start: 2, end: 4 });
  });

  it("knows an empty text", () => {
    expect(layOut(0, [span(0, 1)])).toEqual([]);
    expect(covered(0, [])).toBe(0);
  });

  it("cuts pieces to a part of the text", () => {
    expect(within(layOut(10, [span(2, 8)]), 4, 10)).toEqual([
      { start: 4, end: 8, spans: [0] },
      { start: 8, end: 10, spans: [] },
    ]);
  });
});

describe("marking Markdown", () => {
  it("marks a passage that runs over emphasis, counting UTF-16", () => {
    const source = "😀 one **two** three";
    const tree = element(
      "p",
      text("😀 one ", 0, 7),
      element("strong", text("two", 9, 12)),
      text(" three", 14, 20),
    );
    markTree(tree, source, layOut(source.length, [span(3, 17)]));
    expect(shown(tree)).toBe("😀 [0:one ][0:two][0: th]ree");
  });

  it("finds code behind its fence", () => {
    const source = "```js\nlet a = 1\n```";
    const code = { type: "text", value: "let a = 1\n" };
    const holder = {
      ...element("code", code),
      position: { start: { offset: 0 }, end: { offset: source.length } },
    };
    expect(textOffset(source, code, holder)).toBe(6);
    markTree(element("pre", holder), source, layOut(source.length, [span(6, 9)]));
    expect(shown(holder)).toBe("[0:let] a = 1\n");
  });

  it("puts no button into a link", () => {
    const source = "see [this](https://x.test) now";
    const tree = element("p", text("see ", 0, 4), element("a", text("this", 5, 9)), text(" now", 26, 30));
    markTree(tree, source, layOut(source.length, [span(0, 30)]));
    expect(shown(tree)).toBe("[0:see ]this[0: now]");
  });

  it("leaves text alone that escapes made different from its source", () => {
    const source = "a \\* b";
    const tree = element("p", text("a * b", 0, 6));
    markTree(tree, source, layOut(source.length, [span(0, 6)]));
    expect(shown(tree)).toBe("a * b");
  });
});
