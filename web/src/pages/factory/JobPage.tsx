import { useQuery } from "@tanstack/react-query";
import { useParams } from "react-router";
import type { StreamState } from "../../api/events";
import { count, formatBytes, formatDuration, formatInteger } from "../../lib/format";
import { Button } from "../../ui/Button";
import { cx } from "../../ui/classes";
import { useConfirm } from "../../ui/Dialog";
import { Card, Columns, Page } from "../../ui/Page";
import { Empty, ErrorState, Loading, Notice, QueryView } from "../../ui/states";
import { AccountName, Facts, Progress, Stat, StatRow, Time } from "../../ui/values";
import { useWallet } from "../../wallet/wallet";
import { Curves, Samples } from "./Curves";
import {
  type Action,
  actionsFor,
  currentPhase,
  type JobHistory,
  PHASES,
  remaining,
  tokensPerSecond,
} from "./history";
import { Publish } from "./Publish";
import { DataLinks, formatLoss, ParentIds, SignInNotice, StateBadge } from "./parts";
import { type Job, jobQuery, useAct, useForbidden, useLiveHistory } from "./queries";
import { Refusals } from "./Refusals";
import { describeHeldOut, GROUPS, shown } from "./settings";

export function JobPage() {
  const id = Number(useParams().id);
  if (!Number.isSafeInteger(id) || id < 0) {
    return (
      <Page title="No such job" back={{ to: "/factory", label: "ModelFactory" }}>
        <Empty title="This address names no job">
          Jobs have whole numbers. The list of jobs shows which there are.
        </Empty>
      </Page>
    );
  }
  return <Known id={id} key={id} />;
}

function Known({ id }: { id: number }) {
  const job = useQuery(jobQuery(id));
  const { query: history, stream } = useLiveHistory(id);
  const name = job.data?.name;
  return (
    <Page
      title={name === undefined ? `Job ${id}` : `${name} (job ${id})`}
      heading={name === undefined ? undefined : <Heading name={name} job={job.data} />}
      back={{ to: "/factory", label: "ModelFactory" }}
      intro="A training run. All of it is kept by the node: you can close this page and come back."
    >
      <QueryView query={job} loading="Reading the job" what={`Job ${id}`}>
        {(found) => (
          <>
            <Standing job={found} history={history.data} stream={stream} />
            {history.data === undefined ? (
              history.error ? (
                <ErrorState error={history.error} what="The job's history" retry={() => history.refetch()} />
              ) : (
                <Loading label="Reading the job's history …" />
              )
            ) : (
              <History job={found} history={history.data} />
            )}
            <Recipe job={found} />
          </>
        )}
      </QueryView>
    </Page>
  );
}

function Heading({ name, job }: { name: string; job: Job | undefined }) {
  return (
    <span className="flex flex-wrap items-center gap-2">
      <span className="min-w-0 break-words">{name}</span>
      {job && <StateBadge state={job.state} />}
    </span>
  );
}

/** Where the job stands, and what can be done with it. */
function Standing({
  job,
  history,
  stream,
}: {
  job: Job;
  history: JobHistory | undefined;
  stream: StreamState;
}) {
  const { account } = useWallet();
  const going = job.state === "running" && history !== undefined ? remaining(history) : null;
  const speed = history === undefined ? null : tokensPerSecond(history);
  const step = history?.steps.at(-1)?.step ?? job.step;
  const total = history?.stepsTotal || job.steps;
  return (
    <Card title="Where it stands" actions={<Actions job={job} />}>
      <div className="grid gap-4">
        {job.state === "running" && (
          <Progress
            label={going?.label ?? "Starting"}
            value={going?.part ?? null}
            note={
              going?.seconds === null || going === null
                ? null
                : `about ${formatDuration(going.seconds)} left in this phase`
            }
          />
        )}
        {job.state === "running" && history && <Phases history={history} />}
        {job.state === "running" && stream === "waiting" && (
          <Notice tone="warn">
            The connection to the node broke; trying again. The job goes on without this page.
          </Notice>
        )}
        {job.state === "queued" && (
          <p className="text-sm">It waits for the worker, which trains one job at a time.</p>
        )}
        {job.state === "paused" && (
          <p className="text-sm">It is paused. “Resume” goes on from its last checkpoint; nothing is lost.</p>
        )}
        {job.state === "cancelled" && <p className="text-sm">It was cancelled and makes no model.</p>}
        {job.error && (
          <Notice tone="danger" title="It failed">
            {job.error}
          </Notice>
        )}
        <StatRow>
          <Stat label="Steps">{total > 0 ? `${formatInteger(step)} of ${formatInteger(total)}` : "—"}</Stat>
          <Stat label="Last loss">{job.train_loss === null ? "—" : formatLoss(job.train_loss)}</Stat>
          <Stat label="Speed">{speed === null ? "—" : `${formatInteger(Math.round(speed))} tokens/s`}</Stat>
          <Stat label="Last checkpoint" note="it goes on from here after a crash">
            {history?.checkpoints.at(-1) === undefined ? "—" : `step ${history.checkpoints.at(-1)}`}
          </Stat>
          <Stat label="Started">
            <Time seconds={Math.floor(job.created_at_ms / 1000)} />
          </Stat>
        </StatRow>
        <p className="text-sm text-muted">
          Owner:{" "}
          {job.owner === null ? (
            "nobody; whoever reaches this node may act on it"
          ) : (
            <AccountName value={job.owner} you={account?.address} />
          )}
        </p>
      </div>
    </Card>
  );
}

function Phases({ history }: { history: JobHistory }) {
  const current = currentPhase(history);
  const seen = new Set(history.phases.map(({ phase }) => phase));
  return (
    <ol aria-label="Phases" className="flex flex-wrap gap-x-4 gap-y-1 text-sm">
      {PHASES.map(({ phase, label, what }) => {
        const now = phase === current;
        return (
          <li
            key={phase}
            title={what}
            aria-current={now ? "step" : undefined}
            className={cx(now ? "font-medium" : "text-muted")}
          >
            <span aria-hidden="true">{now ? "▸ " : seen.has(phase) ? "✓ " : "○ "}</span>
            {label}
            <span className="sr-only">{now ? ", running" : seen.has(phase) ? ", done" : ", not begun"}</span>
          </li>
        );
      })}
    </ol>
  );
}

const LABELS: Record<Action, { label: string; doing: string }> = {
  pause: { label: "Pause", doing: "Pausing …" },
  resume: { label: "Resume", doing: "Resuming …" },
  stop: { label: "Stop and save", doing: "Stopping …" },
  cancel: { label: "Cancel", doing: "Cancelling …" },
};

function Actions({ job }: { job: Job }) {
  const act = useAct(job.id);
  const confirm = useConfirm();
  const forbidden = useForbidden(job);
  const actions = actionsFor(job.state);
  if (actions.length === 0) return null;
  const run = async (action: Action) => {
    const question = questionBefore(action, job);
    if (question === null || (await confirm(question))) act.mutate(action);
  };
  return (
    <div className="grid justify-items-end gap-2">
      <div className="flex flex-wrap gap-2">
        {actions.map((action) => (
          <Button
            key={action}
            size="sm"
            tone={action === "cancel" ? "danger" : action === "resume" ? "primary" : "secondary"}
            isDisabled={forbidden !== null || (act.isPending && act.variables !== action)}
            isPending={act.isPending && act.variables === action}
            pendingLabel={LABELS[action].doing}
            onPress={() => run(action)}
          >
            {LABELS[action].label}
          </Button>
        ))}
      </div>
      {forbidden && <p className="text-xs text-muted">{forbidden}</p>}
      {forbidden && <SignInNotice why="Sign in with the account that owns this job." />}
      {act.error && <ErrorState error={act.error} what={LABELS[act.variables ?? "pause"].label} />}
      {act.isSuccess && act.variables === "stop" && job.state === "running" && (
        <p role="status" className="text-xs text-muted">
          It stops after its step, then measures and indexes what it learnt.
        </p>
      )}
    </div>
  );
}

function questionBefore(action: Action, job: Job) {
  if (action === "cancel") {
    return {
      title: "Cancel this job?",
      children: `Job ${job.id} stops for good and makes no model. To keep what it learnt, use “Stop and save” while it runs.`,
      confirm: "Cancel the job",
      danger: true,
    };
  }
  if (action === "stop") {
    return {
      title: "Stop here and save?",
      children: `Training ends after ${count(job.step, "step")} of ${job.steps}. What was learnt so far is measured and indexed and becomes the model; it cannot be trained further.`,
      confirm: "Stop and save",
    };
  }
  return null;
}

function History({ job, history }: { job: Job; history: JobHistory }) {
  return (
    <>
      {job.state === "done" && <Result job={job} />}
      <Curves history={history} />
      <Samples history={history} />
      <Columns>
        <Records history={history} />
        <Log history={history} />
      </Columns>
    </>
  );
}

function Result({ job }: { job: Job }) {
  const file = (name: string) => `/v1/fine_tuning/jobs/${job.id}/files/${name}`;
  return (
    <Columns>
      <Publish job={job} />
      <Card
        title="Take it with you"
        intro="The adapter is a small file that other programs load on top of the same base model."
      >
        {job.has_artifact ? (
          <ul className="grid gap-2 text-sm">
            <li>
              <a className="link" href={file("adapter.zip")} download={`${job.name}-peft.zip`}>
                Download for PEFT (zip)
              </a>
              <span className="block text-muted">
                safetensors and its configuration, for Hugging Face's PEFT and vLLM
              </span>
            </li>
            <li>
              <a className="link" href={file("adapter.gguf")} download={`${job.name}.gguf`}>
                Download as GGUF
              </a>
              <span className="block text-muted">a LoRA file for llama.cpp</span>
            </li>
          </ul>
        ) : (
          <p className="text-sm text-muted">Its files are not on this node any more.</p>
        )}
      </Card>
    </Columns>
  );
}

function Records({ history: { encoded } }: { history: JobHistory }) {
  return (
    <Card title="Records" intro="What became of the data when it was read.">
      {encoded === null ? (
        <p className="text-sm text-muted">They are not read yet.</p>
      ) : (
        <div className="grid gap-3">
          <Facts
            rows={[
              ["Train", count(encoded.report.used, "record")],
              ["Cut off at the length limit", formatInteger(encoded.report.truncated)],
              ["Do not train", formatInteger(encoded.report.refused)],
              ["Measured with", count(encoded.heldOut, "held-out record")],
              [
                "Tokens in a pass",
                `${formatInteger(encoded.report.tokens)}, ${formatInteger(encoded.report.targets)} of them learnt`,
              ],
              ["Memory expected", formatBytes(encoded.estimate.memory_bytes)],
              ["Disk expected", formatBytes(encoded.estimate.disk_bytes)],
            ]}
          />
          <Refusals refusals={encoded.report.refusals} refused={encoded.report.refused} />
        </div>
      )}
    </Card>
  );
}

function Log({ history: { states, phases } }: { history: JobHistory }) {
  const lines = [
    ...states.map(({ state, reason, atMs }) => ({
      atMs,
      text: `State: ${state}${reason ? ` (${reason})` : ""}`,
    })),
    ...phases.map(({ phase, fromMs, toMs }) => ({
      atMs: fromMs,
      text: `${PHASES.find((one) => one.phase === phase)?.label ?? phase}${toMs === null ? "" : `, ${formatDuration((toMs - fromMs) / 1000)}`}`,
    })),
  ];
  // What happened in the same millisecond stays in its order, turned round with the rest.
  lines.sort((one, other) => one.atMs - other.atMs).reverse();
  return (
    <Card title="What happened" intro="The newest first.">
      {lines.length === 0 ? (
        <p className="text-sm text-muted">Nothing yet.</p>
      ) : (
        <ol className="grid max-h-80 gap-1 overflow-y-auto text-sm">
          {lines.map(({ atMs, text }) => (
            <li key={`${atMs} ${text}`} className="flex flex-wrap gap-x-3">
              <span className="text-muted">
                <Time seconds={Math.floor(atMs / 1000)} absolute />
              </span>
              {text}
            </li>
          ))}
        </ol>
      )}
    </Card>
  );
}

function Recipe({ job: { recipe, terms } }: { job: Job }) {
  return (
    <Card
      title="Recipe"
      intro="Everything that decided the result. The same recipe on the same data gives the same model, bit for bit."
    >
      <div className="grid gap-5">
        <Facts
          rows={[
            ["Data", <DataLinks key="data" snapshots={recipe.snapshots} />],
            ["Kept from training", describeHeldOut(recipe.evaluation.held_out)],
            ...(terms.parents.length === 0
              ? []
              : [["Built on", <ParentIds key="parents" parents={terms.parents} />] as const]),
          ]}
        />
        {GROUPS.map((group) => (
          <details key={group.title} className="text-sm">
            <summary className="w-fit font-medium hover:text-accent">{group.title}</summary>
            <div className="mt-2">
              <Facts rows={group.settings.map((setting) => [setting.label, shown(setting, recipe)])} />
            </div>
          </details>
        ))}
      </div>
    </Card>
  );
}
