import { describe, expect, it } from "vitest";
import {
  actionsFor,
  compareSamples,
  currentPhase,
  type Evaluation,
  type JobEvent,
  measuredAt,
  NO_HISTORY,
  overlay,
  remaining,
  smoothed,
  take,
  tokensPerSecond,
} from "./history";

let sequence = 0;
const event = (happening: JobEvent["happening"], at_ms = 0): JobEvent => ({
  job: 1,
  sequence: ++sequence,
  at_ms,
  happening,
});
const step = (at: number, loss: number, steps = 10): JobEvent =>
  event({ kind: "step", step: at, steps, loss, learning_rate: 0.1, grad_norm: 1, tokens: 100, seconds: 2 });
const phase = (name: "training" | "influence", at_ms: number) => event({ kind: "phase", phase: name }, at_ms);
const indexed = (done: number, at_ms: number) => event({ kind: "indexed", done, total: 100 }, at_ms);
const evaluation = (loss: number, samples: Evaluation["samples"] = []): Evaluation => ({
  records: 2,
  loss,
  answers: 2,
  exact: 1,
  samples,
});

describe("a history", () => {
  it("is the same whether events come once, twice or late", () => {
    const events = [phase("training", 1), step(1, 3), step(2, 2)];
    const whole = take(NO_HISTORY, events);
    expect(take(whole, events)).toEqual(whole);
    expect(take(NO_HISTORY, [...events].reverse())).toEqual(whole);
    expect(whole.steps.map(({ loss }) => loss)).toEqual([3, 2]);
    expect(tokensPerSecond(whole)).toBe(50);
  });

  it("lets steps that are taken again after a crash replace the first ones", () => {
    const history = take(NO_HISTORY, [step(1, 3), step(2, 2), step(3, 9), step(2, 1.5), step(3, 1)]);
    expect(history.steps.map((one) => [one.step, one.loss])).toEqual([
      [1, 3],
      [2, 1.5],
      [3, 1],
    ]);
  });

  it("ends a phase with the next one, and with a pause", () => {
    const history = take(NO_HISTORY, [phase("training", 10), phase("influence", 30)]);
    expect(history.phases.map(({ toMs }) => toMs)).toEqual([30, null]);
    expect(currentPhase(history)).toBe("influence");
    const paused = take(history, [event({ kind: "state", state: "paused", reason: null }, 40)]);
    expect(currentPhase(paused)).toBeNull();
    expect(remaining(paused)).toBeNull();
  });

  it("keeps one measurement of base and tuned model, and all while training", () => {
    const measured = (moment: "base" | "during" | "tuned", at: number, loss: number) =>
      event({ kind: "evaluated", moment, step: at, evaluation: evaluation(loss) });
    const history = take(NO_HISTORY, [
      measured("base", 0, 5),
      measured("during", 2, 4),
      measured("during", 4, 3),
      measured("base", 0, 5.5),
      measured("tuned", 5, 2),
    ]);
    expect(history.measured.filter(({ moment }) => moment === "during").map(({ step: at }) => at)).toEqual([
      2, 4,
    ]);
    expect(measuredAt(history, "base")?.loss).toBe(5.5);
    expect(measuredAt(history, "tuned")?.loss).toBe(2);
  });

  it("passes over what it does not know", () => {
    const strange = event({ kind: "danced" } as unknown as JobEvent["happening"]);
    expect(take(NO_HISTORY, [strange])).toEqual({ ...NO_HISTORY, last: strange.sequence });
  });
});

describe("what remains", () => {
  it("follows the speed of the steps", () => {
    const history = take(NO_HISTORY, [phase("training", 0), step(1, 3), step(2, 2)]);
    expect(remaining(history)).toEqual({ label: "Training", part: 0.2, seconds: 16 });
  });

  it("follows the speed of the index since it last began", () => {
    const first = [phase("influence", 1000), indexed(10, 2000), indexed(30, 4000)];
    expect(remaining(take(NO_HISTORY, first))).toEqual({
      label: "Indexing influence",
      part: 0.3,
      seconds: 7,
    });
    const pause = event({ kind: "state", state: "paused", reason: null }, 5000);
    const later = [phase("influence", 900_000), indexed(40, 901_000), indexed(50, 902_000)];
    expect(remaining(take(NO_HISTORY, [...first, pause, ...later]))?.seconds).toBe(5);
  });

  it("says nothing where nothing is known", () => {
    expect(remaining(take(NO_HISTORY, [phase("training", 0)]))).toEqual({
      label: "Training",
      part: null,
      seconds: null,
    });
    expect(remaining(NO_HISTORY)).toBeNull();
  });
});

it("smooths with the mean of what came before", () => {
  expect(smoothed([4, 2, 6, 0], 2)).toEqual([4, 3, 4, 3]);
  expect(smoothed([], 3)).toEqual([]);
});

it("puts the answers of both models beside each other", () => {
  const base = evaluation(1, [{ record: 1, expected: "x", answer: "a" }]);
  const tuned = evaluation(1, [
    { record: 1, expected: "x", answer: "x" },
    { record: 0, expected: "y", answer: "b" },
  ]);
  expect(compareSamples(base, tuned)).toEqual([
    { record: 0, expected: "y", base: null, tuned: "b" },
    { record: 1, expected: "x", base: "a", tuned: "x" },
  ]);
});

it("overlays runs of different length", () => {
  const [short, long] = [take(NO_HISTORY, [step(1, 3)]), take(NO_HISTORY, [step(1, 5), step(2, 4)])];
  expect(overlay([short, long])).toEqual({
    x: [1, 2],
    values: [
      [3, null],
      [5, 4],
    ],
  });
});

it("offers what a state allows", () => {
  expect(actionsFor("running")).toContain("stop");
  expect(actionsFor("failed")).toEqual(["resume", "cancel"]);
  expect(actionsFor("done")).toEqual([]);
});
