/** A job's history, put together from its events: what the page shows comes from here, so it survives everything. */
import type { components } from "../../api/generated/schema";

type Schemas = components["schemas"];
export type JobEvent = Schemas["JobEvent"];
export type JobState = Schemas["JobState"];
export type Phase = Schemas["Phase"];
export type Evaluation = Schemas["Evaluation"];
export type Moment = Schemas["Moment"];

export interface Step {
  step: number;
  loss: number;
  learningRate: number;
  gradNorm: number;
  tokens: number;
  seconds: number;
}

export interface Measured {
  moment: Moment;
  step: number;
  evaluation: Evaluation;
  atMs: number;
}

export interface PhaseRun {
  phase: Phase;
  fromMs: number;
  /** Null while it runs. */
  toMs: number | null;
}

export interface StateChange {
  state: JobState;
  reason: string | null;
  atMs: number;
}

export interface JobHistory {
  /** The last event that was taken over. */
  last: number;
  states: readonly StateChange[];
  phases: readonly PhaseRun[];
  steps: readonly Step[];
  stepsTotal: number;
  measured: readonly Measured[];
  checkpoints: readonly number[];
  encoded: { report: Schemas["EncodeReport"]; heldOut: number; estimate: Schemas["Estimate"] } | null;
  /** Gradients of the influence index; `fromMs` and `fromDone` say when and where this run of it began. */
  indexed: { done: number; total: number; atMs: number; fromMs: number; fromDone: number } | null;
}

export const NO_HISTORY: JobHistory = {
  last: 0,
  states: [],
  phases: [],
  steps: [],
  stepsTotal: 0,
  measured: [],
  checkpoints: [],
  encoded: null,
  indexed: null,
};

/** Takes over events in order; what is known already changes nothing. */
export function take(history: JobHistory, events: readonly JobEvent[]): JobHistory {
  const news = events.filter((event) => event.sequence > history.last);
  return news.sort((one, other) => one.sequence - other.sequence).reduce(takeOne, history);
}

function takeOne(before: JobHistory, { happening, sequence, at_ms: atMs }: JobEvent): JobHistory {
  const history = { ...before, last: sequence };
  switch (happening.kind) {
    case "state": {
      const { state, reason } = happening;
      const phases = state === "running" ? history.phases : endPhase(history.phases, atMs);
      return { ...history, phases, states: [...history.states, { state, reason, atMs }] };
    }
    case "phase":
      return {
        ...history,
        phases: [...endPhase(history.phases, atMs), { phase: happening.phase, fromMs: atMs, toMs: null }],
      };
    case "encoded": {
      const { report, held_out: heldOut, estimate } = happening;
      return { ...history, encoded: { report, heldOut, estimate } };
    }
    case "step": {
      const {
        step,
        steps,
        loss,
        learning_rate: learningRate,
        grad_norm: gradNorm,
        tokens,
        seconds,
      } = happening;
      // After a crash a job goes on from its last checkpoint and takes some steps again: the later ones count.
      const kept = keepBefore(history.steps, step);
      return {
        ...history,
        stepsTotal: steps,
        steps: [...kept, { step, loss, learningRate, gradNorm, tokens, seconds }],
      };
    }
    case "evaluated": {
      const { moment, step, evaluation } = happening;
      const others = history.measured.filter(
        (one) => one.moment !== moment || (moment === "during" && one.step < step),
      );
      return { ...history, measured: [...others, { moment, step, evaluation, atMs }] };
    }
    case "checkpoint":
      return {
        ...history,
        checkpoints: [...history.checkpoints.filter((at) => at < happening.step), happening.step],
      };
    case "indexed": {
      const { done, total } = happening;
      const known = history.indexed;
      const goesOn = known !== null && done >= known.done && sameRun(history, known.fromMs);
      const from = goesOn ? known : { fromMs: atMs, fromDone: done };
      return { ...history, indexed: { done, total, atMs, fromMs: from.fromMs, fromDone: from.fromDone } };
    }
    default:
      // A later node may tell of things that this page does not know.
      return history;
  }
}

/** Steps before `step`; the same array in the usual case, where none has to go. */
function keepBefore(steps: readonly Step[], step: number): readonly Step[] {
  const last = steps.at(-1);
  return last === undefined || last.step < step ? steps : steps.filter((one) => one.step < step);
}

function endPhase(phases: readonly PhaseRun[], atMs: number): readonly PhaseRun[] {
  const last = phases.at(-1);
  return last === undefined || last.toMs !== null
    ? phases
    : [...phases.slice(0, -1), { ...last, toMs: atMs }];
}

/** True when the phase that runs now had begun by then, so that no pause lies between. */
function sameRun({ phases }: JobHistory, sinceMs: number): boolean {
  const last = phases.at(-1);
  return last !== undefined && last.toMs === null && last.fromMs <= sinceMs;
}

export interface Remaining {
  label: string;
  /** 0 to 1; null where nothing says how far it is. */
  part: number | null;
  /** Seconds; null where too little is known. */
  seconds: number | null;
}

/** Steps whose speed is averaged. */
const SPEED_STEPS = 20;

export const PHASES: readonly { phase: Phase; label: string; what: string }[] = [
  {
    phase: "encoding",
    label: "Reading records",
    what: "Records become tokens; what does not fit is reported.",
  },
  {
    phase: "measuring_base",
    label: "Measuring the base model",
    what: "The base model answers the held-out records.",
  },
  { phase: "training", label: "Training", what: "The adapter learns, step by step." },
  {
    phase: "measuring_tuned",
    label: "Measuring the tuned model",
    what: "The adapter answers the same records.",
  },
  {
    phase: "influence",
    label: "Indexing influence",
    what: "A gradient per record is kept, so that answers can be traced.",
  },
  {
    phase: "suffixes",
    label: "Indexing text",
    what: "The training text is indexed, so that quotations are found.",
  },
  {
    phase: "writing",
    label: "Writing the model",
    what: "Adapter, indexes and manifest are written and hashed.",
  },
];

export function currentPhase(history: JobHistory): Phase | null {
  const last = history.phases.at(-1);
  return last !== undefined && last.toMs === null ? last.phase : null;
}

/** How far the phase that runs now is, and how long it still takes. */
export function remaining(history: JobHistory): Remaining | null {
  const phase = currentPhase(history);
  const label = PHASES.find((one) => one.phase === phase)?.label;
  if (phase === null || label === undefined) return null;
  if (phase === "training") {
    const done = history.steps.at(-1)?.step ?? 0;
    const recent = history.steps.slice(-SPEED_STEPS);
    const perStep = recent.reduce((sum, { seconds }) => sum + seconds, 0) / Math.max(1, recent.length);
    const total = history.stepsTotal || history.encoded?.estimate.steps || 0;
    return {
      label,
      part: total > 0 ? done / total : null,
      seconds: recent.length > 0 && total > 0 ? (total - done) * perStep : null,
    };
  }
  if (phase === "influence" && history.indexed !== null) {
    const { done, total, atMs, fromMs, fromDone } = history.indexed;
    const perMs = done > fromDone && atMs > fromMs ? (done - fromDone) / (atMs - fromMs) : 0;
    return {
      label,
      part: total > 0 ? done / total : null,
      seconds: perMs > 0 ? (total - done) / perMs / 1000 : null,
    };
  }
  return { label, part: null, seconds: null };
}

/** The mean of a window that ends at each value: a quiet line through a restless one. */
export function smoothed(values: readonly number[], window: number): number[] {
  let sum = 0;
  return values.map((value, index) => {
    sum += value - (index >= window ? (values[index - window] ?? 0) : 0);
    return sum / Math.min(index + 1, window);
  });
}

/** Tokens a second over all steps; null before the first. */
export function tokensPerSecond({ steps }: JobHistory): number | null {
  const seconds = steps.reduce((sum, step) => sum + step.seconds, 0);
  return seconds > 0 ? steps.reduce((sum, step) => sum + step.tokens, 0) / seconds : null;
}

export function measuredAt({ measured }: JobHistory, moment: Moment): Evaluation | null {
  return measured.findLast((one) => one.moment === moment)?.evaluation ?? null;
}

export interface Compared {
  record: number;
  expected: string;
  base: string | null;
  tuned: string | null;
}

/** Answers of base and tuned model to the same held-out records, side by side. */
export function compareSamples(base: Evaluation | null, tuned: Evaluation | null): Compared[] {
  const rows = new Map<number, Compared>();
  for (const [which, evaluation] of [
    ["base", base],
    ["tuned", tuned],
  ] as const) {
    for (const { record, expected, answer } of evaluation?.samples ?? []) {
      const row = rows.get(record) ?? { record, expected, base: null, tuned: null };
      rows.set(record, { ...row, [which]: answer });
    }
  }
  return [...rows.values()].sort((one, other) => one.record - other.record);
}

export type Action = "pause" | "resume" | "stop" | "cancel";

/** What can be done with a job in a state. */
export function actionsFor(state: JobState): readonly Action[] {
  const possible: Record<JobState, readonly Action[]> = {
    queued: ["pause", "cancel"],
    running: ["pause", "stop", "cancel"],
    paused: ["resume", "cancel"],
    failed: ["resume", "cancel"],
    cancelled: [],
    done: [],
  };
  return possible[state] ?? [];
}

/** Losses of several runs over one axis of steps; null where a run has no such step. */
export function overlay(runs: readonly JobHistory[]): { x: number[]; values: (number | null)[][] } {
  const x = [...new Set(runs.flatMap(({ steps }) => steps.map(({ step }) => step)))].sort((a, b) => a - b);
  const values = runs.map(({ steps }) => {
    const by = new Map(steps.map(({ step, loss }) => [step, loss]));
    return x.map((step) => by.get(step) ?? null);
  });
  return { x, values };
}
