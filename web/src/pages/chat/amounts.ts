/** Amounts that the page proposes. */

/** Answers that the suggested deposit covers. */
const SUGGESTED_ANSWERS = 50n;

/** A deposit that covers `answers` answers and what is missing now, without digits that say nothing. */
export function suggestedDeposit(missing: bigint, ceiling: bigint): bigint {
  const wanted = missing + ceiling * (SUGGESTED_ANSWERS - 1n);
  // Up to two significant digits: nobody wants to sign for 0.3817264 OPEN.
  const step = 10n ** BigInt(Math.max(0, wanted.toString().length - 2));
  return ((wanted + step - 1n) / step) * step;
}
