import { useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "react";
import { useNavigate, useSearchParams } from "react-router";
import { statusQuery } from "../../api/queries";
import { count, formatPercent } from "../../lib/format";
import { Button } from "../../ui/Button";
import { RadioGroup, Select, TextField } from "../../ui/fields";
import { Card, Page } from "../../ui/Page";
import { ErrorState, Loading, Notice, QueryView } from "../../ui/states";
import { Hash, Wei } from "../../ui/values";
import { useSession } from "../../wallet/session";
import { DataChoice } from "./DataChoice";
import { ParentChoice } from "./ParentChoice";
import { EstimateCard, MaskCard } from "./Preview";
import { PARENTS_MAX, type Parent, parentsProblem, withParents } from "./parents";
import { SignInNotice } from "./parts";
import { answerPrice, openPerMillion, weiPerToken } from "./price";
import {
  type Choice,
  estimateQuery,
  type PresetName,
  presetsQuery,
  recipeQuery,
  type SubmitJob,
  useLaunch,
} from "./queries";
import {
  applyEdits,
  type Edits,
  GROUPS,
  type HeldOutKind,
  heldOutFrom,
  type Limits,
  limitsOf,
  problemOf,
  type Recipe,
  rangeOf,
  type Setting,
  tooLong,
} from "./settings";

/** Pause in typing after which the estimate is made again. */
const TYPING_PAUSE_MS = 600;
/** An answer of usual length, for the example of what it costs. */
const EXAMPLE = { tokensIn: 200, tokensOut: 200 };

export function New() {
  const status = useQuery(statusQuery);
  return (
    <Page
      title="Train a model"
      back={{ to: "/factory", label: "ModelFactory" }}
      intro="Choose data, keep the preset or change what you like, look at what it would take, and start. Nothing is signed and nothing is paid for training."
    >
      <QueryView query={status} loading="Asking the node for its base model" what="The node">
        {(node) => <Form base={node.base_model} />}
      </QueryView>
    </Page>
  );
}

function useSettled<T>(value: T): T {
  const [settled, settle] = useState(value);
  useEffect(() => {
    const timer = window.setTimeout(() => settle(value), TYPING_PAUSE_MS);
    return () => window.clearTimeout(timer);
  }, [value]);
  return settled;
}

interface Draft {
  name: string;
  choices: readonly Choice[];
  preset: PresetName;
  edits: Edits;
  heldOut: HeldOutKind;
  heldOutText: string;
  priceIn: string | null;
  priceOut: string | null;
  parents: readonly Parent[];
}

const FIRST: Draft = {
  name: "",
  choices: [],
  preset: "quick",
  edits: {},
  heldOut: "bps",
  heldOutText: "10",
  priceIn: null,
  priceOut: null,
  parents: [],
};

const NO_LIMITS: Limits = new Map();

/** What the trainer takes; empty until the node has said it, which checks everything again anyway. */
function useLimits(): Limits {
  const { data } = useQuery(presetsQuery);
  return useMemo(() => (data === undefined ? NO_LIMITS : limitsOf(data.limits)), [data]);
}

/** What would be submitted, or what still stands in the way. */
function useSubmission(draft: Draft) {
  const name = draft.name.trim();
  const limits = useLimits();
  const made = useQuery(recipeQuery(draft.preset, useSettled(name) || "model", draft.choices));
  return useMemo(() => {
    const problems: string[] = [];
    const nameProblem = name === "" ? "Give the model a name" : tooLong(name, limits.get("name"));
    if (draft.choices.length === 0) problems.push("Choose at least one Datanet");
    if (nameProblem !== null) problems.push(nameProblem);
    const base = draft.choices.length > 0 ? made.data : undefined;
    if (base === undefined)
      return { made, base: null, edited: null, submission: null, problems, nameProblem };
    const edited = applyEdits(base.recipe, draft.edits, limits);
    if (Object.keys(edited.problems).length > 0)
      problems.push(`Correct ${count(Object.keys(edited.problems).length, "setting")} below`);
    const heldOut = heldOutFrom(draft.heldOut, draft.heldOutText, limits);
    if (heldOut === null) problems.push("Correct what is kept from training");
    const [input, output] = [
      draft.priceIn === null ? BigInt(base.terms.price.input_wei) : weiPerToken(draft.priceIn),
      draft.priceOut === null ? BigInt(base.terms.price.output_wei) : weiPerToken(draft.priceOut),
    ];
    if (input === null || output === null) problems.push("Correct the price");
    const recipe: Recipe = {
      ...edited.recipe,
      name: name || "model",
      evaluation: { ...edited.recipe.evaluation, held_out: heldOut ?? "none" },
    };
    const price = { input_wei: String(input ?? 0n), output_wei: String(output ?? 0n) };
    const terms = withParents({ ...base.terms, price }, draft.parents);
    const submission: SubmitJob = { recipe, terms, held_out: [] };
    return { made, base, edited, submission, problems, nameProblem };
  }, [draft, limits, made, name]);
}

function Form({ base }: { base: { name: string; hash: string } }) {
  const [search] = useSearchParams();
  const [draft, setDraft] = useState<Draft>(FIRST);
  const [touched, touch] = useState(false);
  const set = (change: Partial<Draft>) => setDraft((before) => ({ ...before, ...change }));
  const { made, base: recipe, edited, submission, problems, nameProblem } = useSubmission(draft);
  const usable = submission !== null && problems.length === 0;
  const settled = useSettled(submission === null || !dataOk(problems) ? null : submission);
  const asked = Number(search.get("datanet"));
  const launch = useLaunch();
  const { error } = useQuery(estimateQuery(settled));
  const parentsRefused = parentsProblem(draft.parents, [
    { terms: settled?.terms, error },
    { terms: launch.variables?.terms, error: launch.error },
  ]);
  return (
    <form className="grid gap-5" onSubmit={(event) => event.preventDefault()}>
      <Card title="1. Base model" intro="What it starts from. The adapter adds to it and leaves it as it is.">
        <p className="text-sm">
          <span className="font-medium">{base.name}</span> <Hash value={base.hash} what="base model hash" />
          <span className="block text-muted">
            This node serves one base model; every model trained here shares it, so that many can be served at
            once.
          </span>
        </p>
      </Card>
      <Card
        title="2. Data"
        intro="A snapshot is a fixed state of a Datanet. Its contributors are paid for every answer of the model."
      >
        <DataChoice
          preselected={Number.isSafeInteger(asked) && asked > 0 ? asked : null}
          choices={draft.choices}
          onChange={(choices) => set({ choices })}
        />
      </Card>
      <Card title="3. Name and preset">
        <div className="grid gap-4">
          <TextField
            label="Name"
            description="You can still change it when you publish."
            value={draft.name}
            onChange={(name) => set({ name })}
            error={touched ? nameProblem : null}
          />
          <Presets value={draft.preset} onChange={(preset) => set({ preset, edits: {} })} />
          {Object.keys(draft.edits).length > 0 && (
            <p className="text-sm text-muted">
              {count(Object.keys(draft.edits).length, "setting")} changed; another preset sets all of them
              back.
            </p>
          )}
        </div>
      </Card>
      <HeldOutCard draft={draft} set={set} />
      <PriceCard draft={draft} set={set} terms={recipe?.terms.price ?? null} />
      <Card
        title="6. Built on"
        intro={`Optional: the builders of the models named here get 5 % of each answer's fee, out of the data's part, as far as the data's licences leave room for it; at most ${PARENTS_MAX} can be named.`}
      >
        <ParentChoice
          parents={draft.parents}
          problem={parentsRefused}
          onChange={(parents) => set({ parents })}
        />
      </Card>
      {draft.choices.length > 0 && made.error && !made.data && (
        <ErrorState error={made.error} what="The recipe" retry={() => made.refetch()} />
      )}
      {draft.choices.length > 0 && made.isLoading && <Loading label="Making the recipe …" />}
      {recipe && edited && (
        <SettingsCard
          recipe={recipe.recipe}
          edits={draft.edits}
          problems={edited.problems}
          onEdit={(key, text) => set({ edits: withEdit(draft.edits, key, text, recipe.recipe) })}
          onReset={() => set({ edits: {} })}
        />
      )}
      <EstimateCard submission={settled} chosen={draft.choices.length > 0 && dataOk(problems)} />
      <MaskCard submission={settled} chosen={draft.choices.length > 0 && dataOk(problems)} />
      <Launch
        launch={launch}
        submission={submission}
        parents={draft.parents}
        usable={usable}
        problems={problems}
        onTry={() => touch(true)}
        stale={made.isPlaceholderData}
      />
    </form>
  );
}

/** A name can be missing while the estimate is made; everything else cannot. */
const dataOk = (problems: readonly string[]) =>
  problems.every((problem) => problem === "Give the model a name");

/** An edit that says what the preset says is none. */
function withEdit(edits: Edits, key: string, text: string, recipe: Recipe): Edits {
  const setting = GROUPS.flatMap((group) => group.settings).find((one) => one.key === key);
  const { [key]: _, ...rest } = edits;
  return setting?.read(recipe) === text ? rest : { ...rest, [key]: text };
}

function Presets({ value, onChange }: { value: PresetName; onChange: (preset: PresetName) => void }) {
  const presets = useQuery(presetsQuery);
  return (
    <QueryView query={presets} loading="Reading the presets" what="Presets">
      {({ data: all }) => (
        <RadioGroup
          label="Preset"
          className="md:max-w-2xl"
          value={value}
          onChange={onChange}
          choices={all.map(({ preset, title, description }) => ({
            value: preset,
            label: title,
            description,
          }))}
        />
      )}
    </QueryView>
  );
}

type Set = (change: Partial<Draft>) => void;

function HeldOutCard({ draft, set }: { draft: Draft; set: Set }) {
  const invalid = heldOutFrom(draft.heldOut, draft.heldOutText, useLimits()) === null;
  const units: Record<HeldOutKind, string> = { none: "", bps: "%", per_response: "records" };
  return (
    <Card
      title="4. What is kept from training"
      intro="Records that do not train show whether the model learnt something or only memorised. Without any, there is no evaluation."
    >
      <div className="flex flex-wrap items-start gap-3">
        <Select
          label="Keep"
          className="w-full sm:w-80"
          value={draft.heldOut}
          onChange={(heldOut) => set({ heldOut, heldOutText: heldOut === "per_response" ? "1" : "10" })}
          choices={[
            { value: "bps", label: "A part of all records" },
            {
              value: "per_response",
              label: "So many of each distinct response",
              description: "for data whose responses are categories",
            },
            { value: "none", label: "Nothing" },
          ]}
        />
        {draft.heldOut !== "none" && (
          <TextField
            label="How much"
            className="w-48"
            inputMode="decimal"
            unit={units[draft.heldOut]}
            value={draft.heldOutText}
            onChange={(heldOutText) => set({ heldOutText })}
            error={invalid ? (draft.heldOut === "bps" ? "0.01 to 90" : "A whole number, at least 1") : null}
          />
        )}
      </div>
    </Card>
  );
}

function PriceCard({
  draft,
  set,
  terms,
}: {
  draft: Draft;
  set: Set;
  terms: { input_wei: string; output_wei: string } | null;
}) {
  const priceIn = draft.priceIn ?? (terms === null ? "" : openPerMillion(terms.input_wei));
  const priceOut = draft.priceOut ?? (terms === null ? "" : openPerMillion(terms.output_wei));
  const [input, output] = [weiPerToken(priceIn), weiPerToken(priceOut)];
  const { data: presets } = useQuery(presetsQuery);
  const builder = presets && `, you as the builder ${formatPercent(presets.split.builder / 10_000)}`;
  const problem = (text: string, wei: bigint | null) =>
    text !== "" && wei === null ? "An amount such as 10 or 0.5, with at most 12 decimals" : null;
  return (
    <Card
      title="5. Price"
      intro={`What an answer costs those who ask, by its tokens: a token is about three quarters of a word. It goes into the model's manifest and cannot be changed after training. The contributors of the data get the largest part of every fee${builder ?? ""}.`}
    >
      <div className="grid gap-3">
        <div className="flex flex-wrap items-start gap-3">
          <TextField
            label="A million tokens in"
            className="w-56"
            unit="OPEN"
            inputMode="decimal"
            description="what is sent to the model"
            value={priceIn}
            onChange={(value) => set({ priceIn: value })}
            error={problem(priceIn, input)}
          />
          <TextField
            label="A million tokens out"
            className="w-56"
            unit="OPEN"
            inputMode="decimal"
            description="what the model writes"
            value={priceOut}
            onChange={(value) => set({ priceOut: value })}
            error={problem(priceOut, output)}
          />
        </div>
        {input !== null && output !== null && (
          <p className="text-sm text-muted">
            A question of {EXAMPLE.tokensIn} tokens with an answer of {EXAMPLE.tokensOut} would cost{" "}
            <Wei value={answerPrice({ input, output }, EXAMPLE.tokensIn, EXAMPLE.tokensOut)} />.
          </p>
        )}
      </div>
    </Card>
  );
}

function SettingsCard({
  recipe,
  edits,
  problems,
  onEdit,
  onReset,
}: {
  recipe: Recipe;
  edits: Edits;
  problems: Readonly<Record<string, string>>;
  onEdit: (key: string, text: string) => void;
  onReset: () => void;
}) {
  const changed = Object.keys(edits).length;
  return (
    <Card
      title="Every setting"
      intro="The preset is a good start; nothing here has to be changed."
      actions={
        changed > 0 && (
          <Button size="sm" onPress={onReset}>
            Set {count(changed, "change")} back
          </Button>
        )
      }
    >
      <div className="grid gap-3">
        {GROUPS.map((group) => {
          const wrong = group.settings.filter(({ key }) => problems[key] !== undefined).length;
          return (
            <details key={group.title}>
              <summary className="w-fit text-sm font-medium hover:text-accent">
                {group.title}
                {wrong > 0 && <span className="text-danger"> · {wrong} to correct</span>}
              </summary>
              <div className="mt-3 grid gap-4 pb-3 [grid-template-columns:repeat(auto-fill,minmax(min(16rem,100%),1fr))]">
                {group.settings.map((setting) => (
                  <SettingField
                    key={setting.key}
                    setting={setting}
                    value={edits[setting.key] ?? setting.read(recipe)}
                    onChange={(text) => onEdit(setting.key, text)}
                  />
                ))}
              </div>
            </details>
          );
        })}
      </div>
    </Card>
  );
}

function SettingField({
  setting,
  value,
  onChange,
}: {
  setting: Setting;
  value: string;
  onChange: (text: string) => void;
}) {
  const limits = useLimits();
  const error = problemOf(setting, value, limits);
  const { kind } = setting;
  const range = kind === "whole" || kind === "real" ? rangeOf(setting, limits) : null;
  const description = (
    <>
      {setting.what}
      {range && ` Limits: ${range.text}.`}
    </>
  );
  if (kind === "choice") {
    return (
      <Select
        label={setting.label}
        description={description}
        value={value}
        onChange={onChange}
        choices={setting.choices ?? []}
        error={error}
      />
    );
  }
  return (
    <TextField
      label={setting.label}
      description={description}
      value={value}
      onChange={onChange}
      error={error}
      lines={setting.key === "system_prompt" ? 3 : 1}
      {...(setting.unit ? { unit: setting.unit } : {})}
      inputMode={kind === "whole" ? "numeric" : kind === "real" ? "decimal" : "text"}
    />
  );
}

function Launch({
  launch,
  submission,
  parents,
  usable,
  problems,
  stale,
  onTry,
}: {
  launch: ReturnType<typeof useLaunch>;
  submission: SubmitJob | null;
  parents: readonly Parent[];
  usable: boolean;
  problems: readonly string[];
  stale: boolean;
  onTry: () => void;
}) {
  const navigate = useNavigate();
  const { signedIn } = useSession();
  const [tried, setTried] = useState(false);
  const start = () => {
    setTried(true);
    onTry();
    if (!usable || submission === null) return;
    launch.mutate(submission, { onSuccess: (job) => navigate(`/factory/jobs/${job.id}`) });
  };
  return (
    <Card title="Start">
      <div className="grid gap-3">
        <SignInNotice why="Signed in, the job is yours: only you may pause, stop or publish it. Without signing in it belongs to nobody, and whoever reaches this node may." />
        {tried && problems.length > 0 && (
          <Notice tone="danger" title="Not yet">
            <ul role="alert" className="list-disc pl-5">
              {problems.map((problem) => (
                <li key={problem}>{problem}</li>
              ))}
            </ul>
          </Notice>
        )}
        {parents.length > 0 && (
          <p className="text-sm">
            Built on {parents.map(({ name }) => name).join(", ")}: out of the data's part of each fee,{" "}
            {parents.length === 1 ? "its builder is" : "their builders are"} paid too.
          </p>
        )}
        {launch.error && <ErrorState error={launch.error} what="The job was not started" retry={start} />}
        <div className="flex flex-wrap items-center gap-3">
          <Button
            tone="primary"
            isPending={launch.isPending}
            isDisabled={stale}
            pendingLabel="Starting …"
            onPress={start}
          >
            {signedIn ? "Start training" : "Start training without an owner"}
          </Button>
          <p className="text-sm text-muted">
            It waits its turn if another job runs. You can close the page; pause, stop or cancel it at any
            time.
          </p>
        </div>
      </div>
    </Card>
  );
}
