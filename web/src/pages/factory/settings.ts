/** Every setting of a recipe: what it means, its limits, and how what is typed becomes a recipe. */
import type { components } from "../../api/generated/schema";

type Schemas = components["schemas"];
export type Recipe = Schemas["Recipe"];
export type Terms = Schemas["Terms"];

/** The trainer's own limits, by the setting's key; of texts and lists, of how long they are. */
export type Limits = ReadonlyMap<string, Schemas["RecipeLimit"]>;

export function limitsOf(limits: readonly Schemas["RecipeLimit"][]): Limits {
  return new Map(limits.map((limit) => [limit.field, limit]));
}

/** Texts as typed, by the setting's key; what was not touched is absent. */
export type Edits = Readonly<Partial<Record<string, string>>>;

export interface Setting {
  key: string;
  label: string;
  /** What it does and which way to turn it. */
  what: string;
  kind: "whole" | "real" | "choice" | "text" | "list";
  choices?: readonly { value: string; label: string }[];
  unit?: string;
  read: (recipe: Recipe) => string;
  write: (recipe: Recipe, text: string) => Recipe;
}

export interface Group {
  title: string;
  settings: readonly Setting[];
}

/** Modules that can be adapted, by their names in PEFT. */
export const MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"] as const;
const SEED_MAX = 2n ** 64n;

const whole = (
  key: string,
  label: string,
  what: string,
  read: (recipe: Recipe) => number,
  write: (recipe: Recipe, value: number) => Recipe,
  unit?: string,
): Setting => ({
  key,
  label,
  what,
  kind: "whole",
  ...(unit ? { unit } : {}),
  read: (recipe) => String(read(recipe)),
  write: (recipe, text) => write(recipe, Number(text)),
});

const real = (
  key: string,
  label: string,
  what: string,
  read: (recipe: Recipe) => number,
  write: (recipe: Recipe, value: number) => Recipe,
): Setting => ({
  key,
  label,
  what,
  kind: "real",
  read: (recipe) => String(read(recipe)),
  write: (recipe, text) => write(recipe, Number(text)),
});

const influence = (recipe: Recipe, change: Partial<Schemas["InfluencePolicy"]>): Recipe => {
  const { attribution } = recipe;
  const { policy } = attribution;
  const changed = { ...policy, influence: { ...policy.influence, ...change } };
  return { ...recipe, attribution: { ...attribution, policy: changed } };
};
const weights = (recipe: Recipe, change: Partial<Schemas["WeightsPolicy"]>): Recipe => {
  const { attribution } = recipe;
  const { policy } = attribution;
  return {
    ...recipe,
    attribution: { ...attribution, policy: { ...policy, weights: { ...policy.weights, ...change } } },
  };
};
const provenance = (recipe: Recipe, change: Partial<Schemas["SuffixPolicy"]>): Recipe => {
  const { attribution } = recipe;
  const { policy } = attribution;
  const changed = { ...policy, provenance: { ...policy.provenance, ...change } };
  return { ...recipe, attribution: { ...attribution, policy: changed } };
};
const evaluation = (recipe: Recipe, change: Partial<Schemas["EvalRecipe"]>): Recipe => ({
  ...recipe,
  evaluation: { ...recipe.evaluation, ...change },
});
const list = (text: string) => text.split(/[\s,]+/).filter(Boolean);

export const GROUPS: readonly Group[] = [
  {
    title: "How long and how fast it learns",
    settings: [
      whole(
        "epochs",
        "Passes over the data",
        "Every record is seen this often. More passes learn more by heart.",
        (r) => r.epochs,
        (r, epochs) => ({ ...r, epochs }),
      ),
      whole(
        "batch_size",
        "Records in a step",
        "Larger steps are smoother and fewer.",
        (r) => r.batch_size,
        (r, batch_size) => ({ ...r, batch_size }),
      ),
      real(
        "learning_rate",
        "Learning rate",
        "How far each step goes at most. Halve it when the loss jumps.",
        (r) => r.learning_rate,
        (r, learning_rate) => ({ ...r, learning_rate }),
      ),
      {
        key: "schedule",
        label: "Learning rate over time",
        what: "How it goes on after the warm-up.",
        kind: "choice",
        choices: [
          { value: "cosine", label: "Falls along a cosine to zero" },
          { value: "linear", label: "Falls in a line to zero" },
          { value: "constant", label: "Stays" },
        ],
        read: (r) => r.schedule,
        write: (r, schedule) => ({ ...r, schedule: schedule as Recipe["schedule"] }),
      },
      whole(
        "warmup_steps",
        "Warm-up",
        "The rate rises from zero over this many steps.",
        (r) => r.warmup_steps,
        (r, warmup_steps) => ({ ...r, warmup_steps }),
        "steps",
      ),
      real(
        "weight_decay",
        "Weight decay",
        "Pulls weights towards zero; 0 for none.",
        (r) => r.weight_decay,
        (r, weight_decay) => ({ ...r, weight_decay }),
      ),
      real(
        "max_grad_norm",
        "Longest gradient",
        "Longer gradients are scaled down to it; 0 for no limit.",
        (r) => r.max_grad_norm,
        (r, max_grad_norm) => ({ ...r, max_grad_norm }),
      ),
      {
        key: "seed",
        label: "Seed",
        what: "Decides initial weights and the order of records. The same recipe gives the same model.",
        kind: "text",
        read: (r) => r.seed,
        write: (r, seed) => ({ ...r, seed: seed.trim() }),
      },
    ],
  },
  {
    title: "The adapter",
    settings: [
      whole(
        "lora.rank",
        "Rank",
        "Size of the adapter. 8 is enough for most; more learns finer things and takes longer.",
        (r) => r.lora.rank,
        (r, rank) => ({ ...r, lora: { ...r.lora, rank } }),
      ),
      real(
        "lora.alpha",
        "Alpha",
        "The adapter's strength is alpha divided by rank; twice the rank is usual.",
        (r) => r.lora.alpha,
        (r, alpha) => ({ ...r, lora: { ...r.lora, alpha } }),
      ),
      {
        key: "lora.targets",
        label: "Adapted modules",
        what: `Names as in PEFT, separated by spaces: ${MODULES.join(", ")}.`,
        kind: "list",
        read: (r) => r.lora.targets.join(" "),
        write: (r, text) => ({ ...r, lora: { ...r.lora, targets: list(text) } }),
      },
    ],
  },
  {
    title: "How records are read",
    settings: [
      whole(
        "max_sequence_tokens",
        "Longest record",
        "Longer records are handled as chosen below. Memory grows with it.",
        (r) => r.max_sequence_tokens,
        (r, max_sequence_tokens) => ({ ...r, max_sequence_tokens }),
        "tokens",
      ),
      {
        key: "over_long",
        label: "Longer records",
        what: "What happens to a record above the limit.",
        kind: "choice",
        choices: [
          { value: "truncate", label: "Cut off the end" },
          { value: "refuse", label: "Do not train on it" },
        ],
        read: (r) => r.over_long,
        write: (r, over_long) => ({ ...r, over_long: over_long as Recipe["over_long"] }),
      },
      {
        key: "system_prompt",
        label: "System prompt",
        what: "Stands before every conversation, in training and in answers. Empty leaves the base model's own.",
        kind: "text",
        read: (r) => r.system_prompt ?? "",
        write: (r, text) => ({ ...r, system_prompt: text === "" ? null : text }),
      },
    ],
  },
  {
    title: "How it is measured",
    settings: [
      whole(
        "evaluation.every_steps",
        "Measure while training, every",
        "0 measures before and after only.",
        (r) => r.evaluation.every_steps,
        (r, every_steps) => evaluation(r, { every_steps }),
        "steps",
      ),
      whole(
        "evaluation.max_new_tokens",
        "Longest measured answer",
        "Answers to held-out records are cut here.",
        (r) => r.evaluation.max_new_tokens,
        (r, max_new_tokens) => evaluation(r, { max_new_tokens }),
        "tokens",
      ),
    ],
  },
  {
    title: "How answers are traced to records",
    settings: [
      {
        key: "attribution.checkpoints_bps",
        label: "Checkpoints",
        what: "Where in training gradients are taken, in per cent of all steps, ascending. An early one helps; each costs a pass over the data.",
        kind: "list",
        read: (r) => r.attribution.checkpoints_bps.map((bps) => bps / 100).join(" "),
        write: (r, text) => ({
          ...r,
          attribution: {
            ...r.attribution,
            checkpoints_bps: list(text).map((part) => Math.round(Number(part) * 100)),
          },
        }),
      },
      whole(
        "attribution.policy.influence.projection_dim",
        "Projected dimensions",
        "More are more exact and make a larger index.",
        (r) => r.attribution.policy.influence.projection_dim,
        (r, projection_dim) => influence(r, { projection_dim }),
      ),
      whole(
        "attribution.policy.influence.quantise_bits",
        "Bits of a stored value",
        "Fewer make a smaller and coarser index.",
        (r) => r.attribution.policy.influence.quantise_bits,
        (r, quantise_bits) => influence(r, { quantise_bits }),
      ),
      {
        key: "attribution.policy.influence.preconditioner",
        label: "Weighing of gradients",
        what: "How gradients are compared. The first is the most faithful.",
        kind: "choice",
        choices: [
          { value: "block_fisher", label: "Fisher information, by block" },
          { value: "diagonal_fisher", label: "Fisher information, diagonal" },
          { value: "data_inf", label: "DataInf" },
          { value: "identity", label: "Plain dot product" },
        ],
        read: (r) => r.attribution.policy.influence.preconditioner,
        write: (r, preconditioner) => influence(r, { preconditioner }),
      },
      whole(
        "attribution.policy.influence.damping_milli",
        "Damping",
        "In thousandths of the mean eigenvalue. More is steadier and less sharp.",
        (r) => r.attribution.policy.influence.damping_milli,
        (r, damping_milli) => influence(r, { damping_milli }),
      ),
      {
        key: "attribution.policy.influence.normalise",
        label: "Length of gradients",
        what: "Without one length, a few records with high loss dominate.",
        kind: "choice",
        choices: [
          { value: "per_checkpoint", label: "Brought to one length" },
          { value: "none", label: "As they are" },
        ],
        read: (r) => r.attribution.policy.influence.normalise,
        write: (r, normalise) => influence(r, { normalise }),
      },
      whole(
        "attribution.policy.influence.sites.last_layers",
        "Last layers",
        "So many layers, the last ones, are taken into the index; 0 for all. Fewer make answers' records known sooner.",
        (r) => r.attribution.policy.influence.sites.last_layers ?? 0,
        (r, last_layers) => influence(r, { sites: { ...r.attribution.policy.influence.sites, last_layers } }),
      ),
      whole(
        "attribution.policy.influence.sites.layer_stride",
        "Every how many layers",
        "1 takes each of these layers into the index, 2 every second.",
        (r) => r.attribution.policy.influence.sites.layer_stride,
        (r, layer_stride) =>
          influence(r, { sites: { ...r.attribution.policy.influence.sites, layer_stride } }),
      ),
      whole(
        "attribution.policy.weights.mad_factor",
        "What stands out",
        "A record counts when its score is this many median deviations away from the median.",
        (r) => r.attribution.policy.weights.mad_factor,
        (r, mad_factor) => weights(r, { mad_factor }),
      ),
      whole(
        "attribution.policy.weights.top_k",
        "Most paid contributors",
        "So many contributors are paid for one answer at most.",
        (r) => r.attribution.policy.weights.top_k,
        (r, top_k) => weights(r, { top_k }),
      ),
      whole(
        "attribution.policy.weights.background_max",
        "Background sample",
        "Above this many records, what is usual is estimated from a sample of this size.",
        (r) => r.attribution.policy.weights.background_max,
        (r, background_max) => weights(r, { background_max }),
      ),
      {
        key: "attribution.policy.provenance.indexed",
        label: "Text searched for quotations",
        what: "Completions only pays for what was to be learnt, not for what was asked.",
        kind: "choice",
        choices: [
          { value: "completions", label: "What was to be learnt" },
          { value: "all", label: "All text" },
        ],
        read: (r) => r.attribution.policy.provenance.indexed,
        write: (r, indexed) => provenance(r, { indexed }),
      },
      whole(
        "attribution.policy.provenance.span_tokens_min",
        "Shortest quotation",
        "Shorter runs do not count as quoted.",
        (r) => r.attribution.policy.provenance.span_tokens_min,
        (r, span_tokens_min) => provenance(r, { span_tokens_min }),
        "tokens",
      ),
      whole(
        "attribution.policy.provenance.spans_kept_percent",
        "Quotations kept",
        "In per cent of an answer's tokens; the rarest are kept.",
        (r) => r.attribution.policy.provenance.spans_kept_percent,
        (r, spans_kept_percent) => provenance(r, { spans_kept_percent }),
        "%",
      ),
      whole(
        "attribution.policy.provenance.occurrences_max",
        "Too common to pay",
        "A passage that occurs more often pays nobody.",
        (r) => r.attribution.policy.provenance.occurrences_max,
        (r, occurrences_max) => provenance(r, { occurrences_max }),
      ),
    ],
  },
];

export const SETTINGS: readonly Setting[] = GROUPS.flatMap((group) => group.settings);

/** What a setting's number may be; null where the node has not said yet. */
export function rangeOf(
  { key }: Setting,
  limits: Limits,
): { text: string; holds: (value: number) => boolean } | null {
  const limit = limits.get(key);
  if (limit === undefined) return null;
  const { least, most, above, multiple_of } = limit;
  const step = multiple_of === null ? "" : `, a multiple of ${multiple_of}`;
  return {
    text: `${above ? "above " : ""}${least} to ${most}${step}`,
    holds: (value) =>
      (above ? value > least : value >= least) &&
      value <= most &&
      (multiple_of === null || value % multiple_of === 0),
  };
}

/** What is wrong with a text for a setting; null when it will do. */
export function problemOf(setting: Setting, text: string, limits: Limits): string | null {
  const { key, kind } = setting;
  const trimmed = text.trim();
  if (key === "seed") {
    return /^\d{1,20}$/.test(trimmed) && BigInt(trimmed) < SEED_MAX ? null : "A whole number below 2^64";
  }
  if (key === "system_prompt") return tooLong(text, limits.get(key));
  if (key === "lora.targets") return targetsProblem(list(text));
  if (key === "attribution.checkpoints_bps") return checkpointsProblem(list(text), limits.get(key));
  if (kind === "choice") {
    return setting.choices?.some(({ value }) => value === text) ? null : "Choose one of the list";
  }
  const value = trimmed === "" ? Number.NaN : Number(trimmed);
  const range = rangeOf(setting, limits);
  const kindly = kind === "whole" ? "A whole number" : "A number";
  if (
    Number.isNaN(value) ||
    (kind === "whole" && !Number.isInteger(value)) ||
    range?.holds(value) === false
  ) {
    return range === null ? kindly : `${kindly}, ${range.text}`;
  }
  return null;
}

/** What is wrong with how long a text is. */
export function tooLong(text: string, limit: { most: number } | undefined): string | null {
  return limit !== undefined && [...text].length > limit.most ? `At most ${limit.most} characters` : null;
}

function targetsProblem(names: readonly string[]): string | null {
  if (names.length === 0) return "Name at least one module";
  const unknown = names.find((name) => !(MODULES as readonly string[]).includes(name));
  return unknown === undefined ? null : `${unknown} is none of them`;
}

function checkpointsProblem(parts: readonly string[], limit: { most: number } | undefined): string | null {
  const values = parts.map(Number);
  const most = limit?.most ?? Number.POSITIVE_INFINITY;
  if (values.length === 0) return "Name at least one";
  if (values.length > most) return `At most ${most} of them`;
  if (values.some((value) => !(value >= 0 && value <= 100))) return "Each 0 to 100";
  return values.every((value, index) => index === 0 || (values[index - 1] ?? 0) < value)
    ? null
    : "They must ascend";
}

export interface Edited {
  recipe: Recipe;
  /** What is wrong, by the setting's key. */
  problems: Readonly<Record<string, string>>;
}

/** The recipe with what was typed; settings with a problem keep their value. */
export function applyEdits(recipe: Recipe, edits: Edits, limits: Limits): Edited {
  const problems: Record<string, string> = {};
  let edited = recipe;
  for (const setting of SETTINGS) {
    const text = edits[setting.key];
    if (text === undefined) continue;
    const problem = problemOf(setting, text, limits);
    if (problem === null) edited = setting.write(edited, setting.kind === "text" ? text : text.trim());
    else problems[setting.key] = problem;
  }
  return { recipe: edited, problems };
}

export type HeldOut = Recipe["evaluation"]["held_out"];
export type HeldOutKind = "none" | "per_response" | "bps";

export function heldOutKind(heldOut: HeldOut): HeldOutKind {
  if (heldOut === "none") return "none";
  return "per_response" in heldOut ? "per_response" : "bps";
}

/** What is kept from training, from a choice and a number as typed; null when the number will not do. */
export function heldOutFrom(kind: HeldOutKind, text: string, limits: Limits): HeldOut | null {
  const value = Number(text.trim() || Number.NaN);
  if (kind === "none") return "none";
  if (kind === "per_response")
    return Number.isInteger(value) && value >= 1 && value <= 1e6 ? { per_response: value } : null;
  const bps = Math.round(value * 100);
  const { least, most } = limits.get("evaluation.held_out.bps") ?? { least: 1, most: 10_000 };
  return bps >= least && bps <= most ? { bps } : null;
}

export interface Difference {
  label: string;
  values: readonly string[];
  differs: boolean;
}

/** Recipes setting by setting, beside each other. */
export function compareRecipes(recipes: readonly Recipe[]): Difference[] {
  const row = (label: string, values: readonly string[]): Difference => ({
    label,
    values,
    differs: new Set(values).size > 1,
  });
  const data = recipes.map((recipe) =>
    recipe.snapshots.map((one) => `Datanet ${one.datanet}, snapshot ${one.snapshot}`).join("; "),
  );
  const heldOut = recipes.map(({ evaluation: { held_out } }) => describeHeldOut(held_out));
  return [
    row("Data", data),
    row("Kept from training", heldOut),
    ...SETTINGS.map((setting) =>
      row(
        setting.label,
        recipes.map((recipe) => shown(setting, recipe)),
      ),
    ),
  ];
}

export function shown(setting: Setting, recipe: Recipe): string {
  const value = setting.read(recipe);
  const named = setting.choices?.find((choice) => choice.value === value)?.label ?? value;
  return named === "" ? "—" : setting.unit ? `${named} ${setting.unit}` : named;
}

export function describeHeldOut(heldOut: HeldOut): string {
  if (heldOut === "none") return "nothing";
  if ("per_response" in heldOut) return `${heldOut.per_response} of each response`;
  return `${heldOut.bps / 100} % of the records`;
}
