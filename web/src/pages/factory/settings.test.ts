import { describe, expect, it } from "vitest";
import { openPerMillion, weiPerToken } from "./price";
import {
  applyEdits,
  compareRecipes,
  heldOutFrom,
  heldOutKind,
  limitsOf,
  problemOf,
  type Recipe,
  SETTINGS,
  shown,
} from "./settings";

const recipe: Recipe = {
  name: "m",
  base_model: "0x00",
  snapshots: [{ datanet: 1, snapshot: 2, root: "0x01" }],
  lora: { rank: 8, alpha: 16, targets: ["q_proj", "v_proj"] },
  epochs: 3,
  batch_size: 8,
  learning_rate: 0.0005,
  schedule: "cosine",
  warmup_steps: 5,
  weight_decay: 0,
  max_grad_norm: 1,
  max_sequence_tokens: 512,
  over_long: "truncate",
  seed: "18446744073709551615",
  system_prompt: null,
  evaluation: { held_out: "none", every_steps: 0, max_new_tokens: 32 },
  attribution: {
    checkpoints_bps: [1000, 5000],
    policy: {
      influence: {
        checkpoints: [],
        projection_dim: 8,
        projection_seed: "0x00",
        sites: { modules: [], layer_stride: 1, last_layers: 7 },
        preconditioner: "block_fisher",
        damping_milli: 1000,
        normalise: "per_checkpoint",
        quantise_bits: 8,
      },
      provenance: {
        indexed: "completions",
        span_tokens_min: 2,
        spans_kept_percent: 5,
        occurrences_max: 1000,
      },
      weights: { mad_factor: 6, top_k: 32, background_max: 65536 },
    },
  },
};
/** As the node tells them; `crates/train` tests that the trainer keeps them. */
const range = (
  field: string,
  least: number,
  most: number,
  above = false,
  multiple_of: number | null = null,
) => ({
  field,
  least,
  most,
  above,
  multiple_of,
});
const PROJECTION = "attribution.policy.influence.projection_dim";
const BITS = "attribution.policy.influence.quantise_bits";
const limits = limitsOf([
  range("epochs", 1, 1000),
  range("batch_size", 1, 1024),
  range("learning_rate", 0, 1, true),
  range("weight_decay", 0, 1),
  range("max_grad_norm", 0, 1e6),
  range("lora.rank", 1, 256),
  range("evaluation.held_out.bps", 1, 9000),
  range("attribution.checkpoints_bps", 1, 3),
  range("system_prompt", 0, 20),
  range(PROJECTION, 8, 256, false, 8),
  range(BITS, 2, 8),
]);
const setting = (key: string) => {
  const found = SETTINGS.find((one) => one.key === key);
  if (found === undefined) throw new Error(`no setting ${key}`);
  return found;
};

describe("settings", () => {
  it("writes back exactly what it reads, for every one of them", () => {
    for (const one of SETTINGS) {
      const text = one.read(recipe);
      expect(problemOf(one, text, limits), one.key).toBeNull();
      expect(one.write(recipe, text), one.key).toEqual(recipe);
    }
    expect(new Set(SETTINGS.map(({ key }) => key)).size).toBe(SETTINGS.length);
  });

  it("takes what is typed and keeps the rest", () => {
    const { recipe: edited, problems } = applyEdits(
      recipe,
      {
        "lora.rank": " 16 ",
        "attribution.checkpoints_bps": "5, 20, 80.5",
        system_prompt: "Answer briefly. ",
      },
      limits,
    );
    expect(problems).toEqual({});
    expect(edited.lora).toEqual({ rank: 16, alpha: 16, targets: ["q_proj", "v_proj"] });
    expect(edited.attribution.checkpoints_bps).toEqual([500, 2000, 8050]);
    expect(edited.system_prompt).toBe("Answer briefly. ");
    expect(edited.epochs).toBe(3);
  });

  it("names what is beyond its limits and leaves it as it was", () => {
    const bad = {
      epochs: "0",
      batch_size: "2.5",
      learning_rate: "0",
      "lora.rank": "257",
      "lora.targets": "q_proj lm_head",
      "attribution.checkpoints_bps": "50 10",
      [PROJECTION]: "12",
      [BITS]: "9",
      seed: "18446744073709551616",
      weight_decay: "",
    };
    const { recipe: edited, problems } = applyEdits(recipe, bad, limits);
    expect(Object.keys(problems).sort()).toEqual(Object.keys(bad).sort());
    expect(edited).toEqual(recipe);
  });

  it("keeps the limits that the node tells, and no others of its own", () => {
    const wider = limitsOf([range("epochs", 1, 2000), range(BITS, 2, 16)]);
    expect(problemOf(setting("epochs"), "1001", limits)).toBe("A whole number, 1 to 1000");
    expect(problemOf(setting("epochs"), "1001", wider)).toBeNull();
    expect(problemOf(setting("epochs"), "many", new Map())).toBe("A whole number");
    expect(problemOf(setting(BITS), "9", limits)).toBe("A whole number, 2 to 8");
    expect(problemOf(setting(BITS), "9", wider)).toBeNull();
    expect(problemOf(setting(PROJECTION), "12", limits)).toBe("A whole number, 8 to 256, a multiple of 8");
    expect(problemOf(setting(PROJECTION), "12", wider)).toBeNull();
    expect(problemOf(setting("system_prompt"), "x".repeat(21), limits)).toBe("At most 20 characters");
    expect(problemOf(setting("attribution.checkpoints_bps"), "1 2 3 4", limits)).toBe("At most 3 of them");
  });

  it("accepts the limits themselves", () => {
    expect(problemOf(setting("epochs"), "1000", limits)).toBeNull();
    expect(problemOf(setting("learning_rate"), "1e-5", limits)).toBeNull();
    expect(problemOf(setting("max_grad_norm"), "0", limits)).toBeNull();
  });
});

it("reads what is kept from training", () => {
  expect(heldOutFrom("bps", "10", limits)).toEqual({ bps: 1000 });
  expect(heldOutFrom("bps", "91", limits)).toBeNull();
  expect(heldOutFrom("per_response", "2", limits)).toEqual({ per_response: 2 });
  expect(heldOutFrom("per_response", "", limits)).toBeNull();
  expect(heldOutFrom("none", "", limits)).toBe("none");
  expect(heldOutKind({ bps: 5 })).toBe("bps");
});

it("compares recipes by what people call the settings", () => {
  const other = { ...recipe, epochs: 5 };
  const rows = compareRecipes([recipe, other]);
  expect(rows.filter(({ differs }) => differs)).toEqual([
    { label: "Passes over the data", values: ["3", "5"], differs: true },
  ]);
  expect(shown(setting("schedule"), recipe)).toBe("Falls along a cosine to zero");
});

it("turns prices for a million tokens into wei for one, and back", () => {
  expect(weiPerToken("10")).toBe(10n ** 13n);
  expect(weiPerToken("0.5")).toBe(5n * 10n ** 11n);
  expect(openPerMillion("10000000000000")).toBe("10");
  expect(weiPerToken("free")).toBeNull();
  // Less than a wei for a token is no price.
  expect(weiPerToken("0.0000000000001")).toBeNull();
});
