import { expect, it } from "vitest";
import { suggestedDeposit } from "./amounts";

it("suggests a round deposit that covers the question and many like it", () => {
  expect(suggestedDeposit(123n, 123n)).toBe(6200n);
  expect(suggestedDeposit(1n, 0n)).toBe(1n);
  for (const ceiling of [7n, 99n, 10n ** 16n + 3n]) {
    expect(suggestedDeposit(ceiling, ceiling)).toBeGreaterThanOrEqual(ceiling * 50n);
  }
});
