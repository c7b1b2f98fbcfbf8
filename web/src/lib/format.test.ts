import { expect, it } from "vitest";
import {
  count,
  formatAgo,
  formatBytes,
  formatDuration,
  formatOpen,
  openExact,
  parseOpen,
  shortHex,
} from "./format";

it("writes OPEN exactly, and short without ever showing more than there is", () => {
  expect(openExact(1_500_000_000_000_000_000n)).toBe("1.5");
  expect(openExact(-1n)).toBe("-0.000000000000000001");
  expect(formatOpen(1_999_999_999_999_999_999n)).toEqual({ amount: "1.9999", unit: "OPEN" });
  expect(formatOpen(123_456_789_012_345n)).toEqual({ amount: "0.0001234", unit: "OPEN" });
  expect(formatOpen(1234n * 10n ** 18n + 10n ** 15n)).toEqual({ amount: "1,234", unit: "OPEN" });
  expect(formatOpen(42n)).toEqual({ amount: "42", unit: "wei" });
  expect(formatOpen(0n)).toEqual({ amount: "0", unit: "OPEN" });
});

it("reads amounts as typed and refuses everything else", () => {
  expect(parseOpen("1.5")).toBe(1_500_000_000_000_000_000n);
  expect(parseOpen(" 1,000 ")).toBe(1000n * 10n ** 18n);
  for (const text of ["", "-1", "1e3", "0x1", "1.", ".5", "1.0000000000000000001", "NaN"]) {
    expect(parseOpen(text), text).toBeNull();
  }
});

it("writes times, lengths and counts in words", () => {
  expect(formatAgo(1000, 1_180_000)).toBe("3 minutes ago");
  expect(formatAgo(1000, 1_001_000)).toBe("just now");
  expect(formatDuration(7500)).toBe("2 h 5 min");
  expect(formatDuration(40)).toBe("40 s");
  expect(formatBytes(1_530_000)).toBe("1.5 MB");
  expect(count(1, "record")).toBe("1 record");
  expect(count(2000, "reply", "replies")).toBe("2,000 replies");
  expect(shortHex("0x1234567890abcdef1234")).toBe("0x1234…1234");
});
