/** Prices as people compare them. */
import { formatInteger, formatPercent } from "../../lib/format";

/** The price per token in wei, of prompt and of answer. */
export interface Price {
  input_wei: string;
  output_wei: string;
}

/** Tokens of the example: a question of a few sentences and an answer of a few paragraphs. */
export const EXAMPLE = { tokensIn: 100, tokensOut: 200 };

/** Wei for a thousand tokens. */
export function perThousand(wei: string): bigint {
  return BigInt(wei) * 1000n;
}

/** What a request costs. */
export function cost({ input_wei, output_wei }: Price, tokensIn: number, tokensOut: number): bigint {
  return BigInt(input_wei) * BigInt(tokensIn) + BigInt(output_wei) * BigInt(tokensOut);
}

/** The split of a fee, under the names of the API. */
export interface Split {
  burn: number;
  operator: number;
  builder: number;
  parents: number;
  stakers: number;
  provenance: number;
}

export interface SplitPart {
  /** Who or what gets it. */
  name: string;
  why: string;
  /** Of the whole fee, in basis points; a fraction where the data's part is divided again. */
  bps: number;
}

const WHOLE_BPS = 10_000;

/** What is left of a fee for the data's contributors. */
function dataBps(split: Split): number {
  return WHOLE_BPS - split.burn - split.operator - split.builder - split.parents - split.stakers;
}

/** Where each fee goes, in a sentence; `builder` is what the builder is called. */
export function feeText(split: Split, builder: string): string {
  // A number and its sign stay on one line.
  const part = (bps: number) =>
    formatPercent(bps / WHOLE_BPS, bps % 100 === 0 ? 0 : 2).replace(" ", "\u00a0");
  const parts: [number, string][] = [
    [dataBps(split), "to the data's contributors"],
    [split.operator, "to the operator"],
    [split.builder, `to ${builder}`],
    [split.parents, "to the builders of its parent models"],
    [split.stakers, "to stakers"],
    [split.burn, "is burned"],
  ];
  return parts
    .filter(([bps]) => bps > 0)
    .map(([bps, whom]) => `${part(bps)} ${whom}`)
    .join(", ");
}

/** Who gets which part of a fee; the parts add up to the whole. */
export function splitParts(split: Split): SplitPart[] {
  const data = dataBps(split);
  const provenance = (data * split.provenance) / WHOLE_BPS;
  return [
    { name: "Contributors, by influence", why: "whose records shaped the answer", bps: data - provenance },
    { name: "Contributors, by quotation", why: "whose records the answer repeats", bps: provenance },
    { name: "Operator", why: "runs the model", bps: split.operator },
    { name: "Builder", why: "trained and published it", bps: split.builder },
    { name: "Builders of its parents", why: "built the models that it descends from", bps: split.parents },
    { name: "Stakers", why: "back the network", bps: split.stakers },
    { name: "Burned", why: "leaves circulation", bps: split.burn },
  ];
}

/** Basis points as per cent: "12.5 %". */
export function percent(bps: number): string {
  return `${Math.round(bps) / 100} %`;
}

/** "100 tokens in, 200 tokens out". */
export function tokensText(tokensIn: number, tokensOut: number): string {
  return `${formatInteger(tokensIn)} tokens in, ${formatInteger(tokensOut)} tokens out`;
}
