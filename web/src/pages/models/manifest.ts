/** Reads a manifest: JSON that somebody else wrote, so nothing in it is taken for granted. */

/** A measurement on records that the training did not see. */
export interface Score {
  records: number;
  loss: number;
  answers: number;
  exact: number;
}

export interface SnapshotUse {
  datanet: number;
  snapshot: number;
  root: string;
}

export interface Manifest {
  snapshots: SnapshotUse[];
  base: Score | null;
  tuned: Score | null;
  baseModel: string | null;
  weightsHash: string | null;
  indexRoot: string | null;
  rank: number | null;
  alpha: number | null;
  targets: string[];
  steps: number | null;
  epochs: number | null;
  learningRate: number | null;
  engine: string | null;
  systemPrompt: string | null;
  data: { used: number | null; truncated: number | null; refused: number | null; targets: number | null };
}

/** Snapshots and modules read of a manifest; more than the registry takes. */
const ENTRIES_MAX = 256;

function field(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}

function path(value: unknown, ...names: string[]): unknown {
  return names.reduce(field, value);
}

const number = (value: unknown) => (typeof value === "number" && Number.isFinite(value) ? value : null);
const text = (value: unknown) => (typeof value === "string" ? value : null);
const list = (value: unknown): unknown[] => (Array.isArray(value) ? value.slice(0, ENTRIES_MAX) : []);

function score(value: unknown): Score | null {
  const [records, loss] = [number(field(value, "records")), number(field(value, "loss"))];
  if (records === null || loss === null || records === 0) return null;
  const [answers, exact] = [number(field(value, "answers")) ?? 0, number(field(value, "exact")) ?? 0];
  return { records, loss, answers, exact };
}

function snapshot(value: unknown): SnapshotUse | null {
  const [datanet, at] = [number(field(value, "datanet")), number(field(value, "snapshot"))];
  const root = text(field(value, "root"));
  return datanet === null || at === null || root === null ? null : { datanet, snapshot: at, root };
}

export function readManifest(manifest: unknown): Manifest {
  const engine = [text(path(manifest, "engine", "name")), text(path(manifest, "engine", "version"))];
  const arithmetic = text(path(manifest, "engine", "arithmetic"));
  const named = engine.filter((part) => part !== null).join(" ");
  return {
    snapshots: list(field(manifest, "snapshots"))
      .map(snapshot)
      .filter((one) => one !== null),
    base: score(path(manifest, "evaluation", "base")),
    tuned: score(path(manifest, "evaluation", "tuned")),
    baseModel: text(field(manifest, "base_model")),
    weightsHash: text(field(manifest, "weights_hash")),
    indexRoot: text(path(manifest, "attribution", "index_root")),
    rank: number(path(manifest, "lora", "rank")),
    alpha: number(path(manifest, "lora", "alpha")),
    targets: list(path(manifest, "lora", "targets"))
      .map(text)
      .filter((one) => one !== null),
    steps: number(field(manifest, "steps")),
    epochs: number(path(manifest, "recipe", "epochs")),
    learningRate: number(path(manifest, "recipe", "learning_rate")),
    engine: named === "" ? null : arithmetic === null ? named : `${named}, arithmetic ${arithmetic}`,
    systemPrompt: text(path(manifest, "recipe", "system_prompt")),
    data: {
      used: number(path(manifest, "data", "used")),
      truncated: number(path(manifest, "data", "truncated")),
      refused: number(path(manifest, "data", "refused")),
      targets: number(path(manifest, "data", "targets")),
    },
  };
}

/** Share of answers that are exactly right; null where there was nothing to compare. */
export function accuracy(score: Score): number | null {
  return score.answers > 0 ? score.exact / score.answers : null;
}

/** What the measurements say, in a sentence. */
export function comparison(base: Score | null, tuned: Score | null): string {
  if (base === null || tuned === null) return "No records were held out, so the builder measured nothing.";
  const [before, after] = [accuracy(base), accuracy(tuned)];
  if (before !== null && after !== null && before !== after) {
    const better = after > before ? "more" : "fewer";
    return `The tuned model answers ${better} of the held-out questions exactly: ${tuned.exact} of ${tuned.answers}, against ${base.exact} of ${base.answers} for the base model.`;
  }
  if (tuned.loss < base.loss)
    return "The tuned model predicts the held-out records better than the base model.";
  if (tuned.loss > base.loss)
    return "The tuned model predicts the held-out records worse than the base model.";
  return "Base and tuned model do equally well on the held-out records.";
}
