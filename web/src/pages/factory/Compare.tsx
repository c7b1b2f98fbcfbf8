/** Runs beside each other: losses over one axis, recipes setting by setting, measurements. */
import { useCallback, useEffect, useState } from "react";
import { formatPercent } from "../../lib/format";
import { Chart, type Series } from "../../ui/Chart";
import { cx } from "../../ui/classes";
import { Checkbox } from "../../ui/fields";
import { Card } from "../../ui/Page";
import { ErrorState, Loading } from "../../ui/states";
import { type JobHistory, measuredAt, overlay, smoothed } from "./history";
import { formatLoss } from "./parts";
import { type Job, useHistory } from "./queries";
import { compareRecipes } from "./settings";

const TONES = ["accent", "second", "warn", "muted"] as const;
/** Steps over which losses are averaged. */
const WINDOW = 10;

type Loaded = { job: Job; history: JobHistory };

export function Compare({ jobs }: { jobs: readonly Job[] }) {
  const [loaded, setLoaded] = useState<Readonly<Record<number, JobHistory>>>({});
  const runs = jobs.flatMap((job): Loaded[] => {
    const history = loaded[job.id];
    return history === undefined ? [] : [{ job, history }];
  });
  const take = useCallback(
    (id: number, history: JobHistory) =>
      setLoaded((before) => (before[id] === history ? before : { ...before, [id]: history })),
    [],
  );
  return (
    <>
      <Card
        title="Losses"
        intro="Mean loss of each step in nats for a token that is learnt; lower is better. Averaged over ten steps."
      >
        {jobs.map((job) => (
          <Feed key={job.id} job={job} onHistory={take} />
        ))}
        {runs.length > 0 && <Losses runs={runs} />}
      </Card>
      <Card
        title="Measurements"
        intro="On records that did not train. Only runs that measured on the same records can be compared."
        padded={false}
      >
        <Measurements runs={runs} />
      </Card>
      <Recipes jobs={jobs} />
    </>
  );
}

/** Reads one run's history; says so while it does, and when it cannot. */
function Feed({ job, onHistory }: { job: Job; onHistory: (id: number, history: JobHistory) => void }) {
  const query = useHistory(job.id, job.state === "running");
  const { data } = query;
  useEffect(() => {
    if (data !== undefined) onHistory(job.id, data);
  }, [data, job.id, onHistory]);
  if (data !== undefined) return null;
  if (query.error)
    return <ErrorState error={query.error} what={`Job ${job.id}`} retry={() => query.refetch()} />;
  return <Loading label={`Reading job ${job.id} …`} />;
}

const nameOf = (job: Job) => `${job.id} · ${job.name}`;

function Losses({ runs }: { runs: readonly Loaded[] }) {
  const quiet = runs.map(({ history }) => {
    const losses = smoothed(
      history.steps.map(({ loss }) => loss),
      WINDOW,
    );
    return {
      ...history,
      steps: history.steps.map((step, index) => ({ ...step, loss: losses[index] ?? step.loss })),
    };
  });
  const { x, values } = overlay(quiet);
  if (x.length === 0) return <p className="text-sm text-muted">None of these runs has taken a step yet.</p>;
  const series = runs.map(
    ({ job }, index): Series => ({
      label: nameOf(job),
      values: values[index] ?? [],
      tone: TONES[index % TONES.length],
    }),
  );
  return (
    <Chart
      title="Training loss by step"
      x={{ label: "step", values: x }}
      y={{ format: formatLoss, ticks: String }}
      series={series}
      height={280}
    />
  );
}

function Measurements({ runs }: { runs: readonly Loaded[] }) {
  const cells = (history: JobHistory, moment: "base" | "tuned") => {
    const found = measuredAt(history, moment);
    if (found === null) return ["—", "—"];
    const exact =
      found.answers > 0 ? `${formatPercent(found.exact / found.answers, 1)} of ${found.answers}` : "—";
    return [formatLoss(found.loss), exact];
  };
  return (
    <ComparisonTable
      label="Measurements"
      head={["Run", "Base loss", "Base exact", "Tuned loss", "Tuned exact"]}
      rows={runs.map(({ job, history }) => ({
        key: String(job.id),
        cells: [nameOf(job), ...cells(history, "base"), ...cells(history, "tuned")],
        strong: false,
      }))}
    />
  );
}

function Recipes({ jobs }: { jobs: readonly Job[] }) {
  const [all, showAll] = useState(false);
  const rows = compareRecipes(jobs.map((job) => job.recipe));
  const differing = rows.filter(({ differs }) => differs);
  const shown = all ? rows : differing;
  return (
    <Card
      title="Recipes"
      intro={
        differing.length === 0
          ? "The recipes are the same but for their names."
          : "What differs between the recipes."
      }
      padded={false}
      actions={
        <Checkbox isSelected={all} onChange={showAll}>
          Show what is the same, too
        </Checkbox>
      }
    >
      {shown.length > 0 && (
        <ComparisonTable
          label="Recipes"
          head={["Setting", ...jobs.map(nameOf)]}
          rows={shown.map(({ label, values, differs }) => ({
            key: label,
            cells: [label, ...values],
            strong: differs && all,
          }))}
        />
      )}
    </Card>
  );
}

function ComparisonTable({
  label,
  head,
  rows,
}: {
  label: string;
  head: readonly string[];
  rows: readonly { key: string; cells: readonly string[]; strong: boolean }[];
}) {
  return (
    <div role="region" aria-label={label} tabIndex={0} className="relative overflow-x-auto">
      <table className="w-full text-sm">
        <thead>
          <tr>
            {head.map((title) => (
              <th
                key={title}
                scope="col"
                className="border-b border-line px-3 py-2 text-left text-xs font-medium text-muted first:pl-5"
              >
                {title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr
              key={row.key}
              className={cx("border-b border-line last:border-b-0", row.strong && "font-medium")}
            >
              {row.cells.map((cell, index) =>
                index === 0 ? (
                  <th key="name" scope="row" className="px-5 py-1.5 text-left font-normal text-muted">
                    {cell}
                  </th>
                ) : (
                  // biome-ignore lint/suspicious/noArrayIndexKey: columns do not move
                  <td key={index} className="px-3 py-1.5 break-words">
                    {cell}
                  </td>
                ),
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
