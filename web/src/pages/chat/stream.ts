/** A streamed answer, line by line: text as it comes, then tokens, receipt, attribution and charge. */
import { ApiError } from "../../api/error";
import type { StreamLine } from "../../api/events";
import type { components } from "../../api/generated/schema";
import type { SettleResponse } from "../../channel/x402";
import type { AnswerFacts, Evidence } from "./tree";

type Schemas = components["schemas"];

export interface Streamed {
  text: string;
  finish: string | null;
  usage: { tokensIn: number; tokensOut: number } | null;
  evidence: Evidence | null;
  settled: SettleResponse | null;
  /** The node said that nothing more comes. */
  ended: boolean;
}

export const NOTHING_STREAMED: Streamed = {
  text: "",
  finish: null,
  usage: null,
  evidence: null,
  settled: null,
  ended: false,
};

/** What a reader is told between stopping an answer and knowing what it cost. */
export const STOPPING = "Stopped. Waiting for what it cost …";

/** What the comment before the end begins with. */
const COMMENT = "openledger ";

/** Takes over one line; throws `ApiError` where the node reports that it failed. */
export function takeLine(before: Streamed, line: StreamLine): Streamed {
  if (line.kind === "comment") return takeComment(before, line.text);
  if (line.text === "[DONE]") return { ...before, ended: true };
  const chunk = JSON.parse(line.text) as Partial<Schemas["ChatChunk"]> & { error?: Schemas["ErrorDetail"] };
  if (chunk.error) throw new ApiError(500, chunk.error.code, chunk.error.message);
  const [choice] = chunk.choices ?? [];
  const piece = choice?.delta?.content ?? "";
  const { usage, openledger } = chunk;
  return {
    ...before,
    text: before.text + piece,
    finish: choice?.finish_reason ?? before.finish,
    usage: usage ? { tokensIn: usage.prompt_tokens, tokensOut: usage.completion_tokens } : before.usage,
    evidence: openledger ? slim(openledger) : before.evidence,
  };
}

function takeComment(before: Streamed, text: string): Streamed {
  if (!text.startsWith(COMMENT)) return before;
  try {
    const said = JSON.parse(text.slice(COMMENT.length)) as { payment_response?: SettleResponse };
    return { ...before, settled: said.payment_response ?? before.settled };
  } catch {
    return before;
  }
}

/** Without the replay's details, which this page does not show. */
function slim({ attribution, ...rest }: Schemas["AnswerEvidence"]): Evidence {
  const { evidence: _, ...shown } = attribution;
  return { ...rest, attribution: shown };
}

/** What an answer that has ended says of itself. */
export function factsOf({ usage, finish, evidence, settled }: Streamed): Partial<AnswerFacts> {
  const receipt = settled?.extra?.receiptHash ?? evidence?.receipt_hash;
  return {
    state: finish === "cancelled" ? "stopped" : "done",
    ...(usage ?? {}),
    ...(finish === "length" ? { cutOff: true } : {}),
    ...(receipt === undefined ? {} : { receipt }),
    ...(evidence === null ? {} : { evidence }),
  };
}
