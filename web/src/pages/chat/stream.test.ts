import { expect, it } from "vitest";
import { ApiError } from "../../api/error";
import { factsOf, NOTHING_STREAMED, takeLine } from "./stream";

const data = (value: unknown) => ({ kind: "data", text: JSON.stringify(value) }) as const;
const piece = (content: string, finish_reason: string | null = null) =>
  data({ choices: [{ index: 0, delta: { content }, finish_reason }] });

it("puts an answer together, with tokens, charge and end", () => {
  const end = {
    choices: [{ index: 0, delta: {}, finish_reason: "length" }],
    openledger: { receipt_hash: "0x1", attribution: { spans: [], evidence: { large: true } } },
  };
  const settled = { success: true, extra: { chargedAmount: "7" } };
  const lines = [
    piece(""),
    piece("Hel"),
    piece("lo"),
    data(end),
    data({ choices: [], usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 } }),
    {
      kind: "comment",
      text: `openledger ${JSON.stringify({ payment_response: settled, salt: "0x2" })}`,
    } as const,
    { kind: "data", text: "[DONE]" } as const,
  ];
  const answer = lines.reduce(takeLine, NOTHING_STREAMED);
  expect(answer).toMatchObject({ text: "Hello", finish: "length", settled, ended: true });
  expect(answer.usage).toEqual({ tokensIn: 3, tokensOut: 2 });
  expect(answer.evidence).toEqual({ receipt_hash: "0x1", attribution: { spans: [] } });
});

it("says that an answer was stopped where the node says so, and how much of it there is", () => {
  const lines = [
    piece("Hel", "cancelled"),
    data({ choices: [], usage: { prompt_tokens: 3, completion_tokens: 1, total_tokens: 4 } }),
  ];
  const stopped = factsOf(lines.reduce(takeLine, NOTHING_STREAMED));
  expect(stopped).toEqual({ state: "stopped", tokensIn: 3, tokensOut: 1 });
  expect(factsOf([piece("Hel", "stop")].reduce(takeLine, NOTHING_STREAMED))).toEqual({ state: "done" });
});

it("reports the node's failure in the middle of an answer", () => {
  const failed = data({ error: { message: "the engine stopped", code: "stopping", type: "x", param: null } });
  expect(() => takeLine(NOTHING_STREAMED, failed)).toThrow(ApiError);
});

it("passes over comments of others and broken ones", () => {
  const comments = ["", "ping", "openledger {", "openledger"].map(
    (text) => ({ kind: "comment", text }) as const,
  );
  expect(comments.reduce(takeLine, NOTHING_STREAMED)).toEqual(NOTHING_STREAMED);
});
