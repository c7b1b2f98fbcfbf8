/** Prices: people think in OPEN for a million tokens, contracts in wei for one. */
import { openExact, parseOpen } from "../../lib/format";

const MILLION = 1_000_000n;

/** Wei for a token from OPEN for a million; null for what is no price, or one that no whole number of wei is. */
export function weiPerToken(open: string): bigint | null {
  const wei = parseOpen(open);
  return wei === null || wei % MILLION !== 0n ? null : wei / MILLION;
}

/** OPEN for a million tokens, as it is typed. */
export function openPerMillion(wei: string | bigint): string {
  return openExact(BigInt(wei) * MILLION).replaceAll(",", "");
}

/** What an answer of some length costs. */
export function answerPrice(
  price: { input: bigint; output: bigint },
  tokensIn: number,
  tokensOut: number,
): bigint {
  return price.input * BigInt(tokensIn) + price.output * BigInt(tokensOut);
}
