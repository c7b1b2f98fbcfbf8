import { describe, expect, it } from "vitest";
import { addSample, mean, rates, rateText, type Sample } from "./throughput";

const sample = (atMs: number, tokensOut: number): Sample => ({
  atMs,
  done: 0,
  tokensIn: tokensOut * 2,
  tokensOut,
});

describe("throughput", () => {
  it("is what each pause brought, a second", () => {
    const samples = [sample(0, 10), sample(2000, 30), sample(4000, 30)];
    expect(rates(samples)).toEqual([
      { atS: -2, tokensIn: 20, tokensOut: 10 },
      { atS: 0, tokensIn: 0, tokensOut: 0 },
    ]);
    expect(mean(samples)).toBe(5);
  });

  it("is not known from one look or none", () => {
    expect(rates([])).toEqual([]);
    expect(rates([sample(0, 1)])).toEqual([]);
    expect(mean([sample(0, 1)])).toBeNull();
  });

  it("begins anew when the server did", () => {
    const before = [sample(0, 10), sample(1000, 20)];
    expect(addSample(before, sample(2000, 3), 10)).toEqual([sample(2000, 3)]);
    expect(addSample(before, sample(500, 30), 10)).toEqual([sample(500, 30)]);
  });

  it("forgets the oldest looks", () => {
    const before = [sample(0, 0), sample(1000, 1), sample(2000, 2)];
    expect(addSample(before, sample(3000, 3), 3).map(({ atMs }) => atMs)).toEqual([1000, 2000, 3000]);
    expect(addSample(before, sample(2000, 4), 3)).toHaveLength(3);
  });

  it("reads well", () => {
    expect([0, 12.345, 123.4].map(rateText)).toEqual(["0.0", "12.3", "123"]);
  });
});
