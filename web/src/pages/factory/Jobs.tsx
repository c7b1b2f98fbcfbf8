import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { Link } from "react-router";
import { count, formatPercent } from "../../lib/format";
import { Button, LinkButton } from "../../ui/Button";
import { Checkbox } from "../../ui/fields";
import { Card, Page } from "../../ui/Page";
import { Empty, QueryView } from "../../ui/states";
import { type Column, DataTable } from "../../ui/Table";
import { AccountName, Progress, Time } from "../../ui/values";
import { useWallet } from "../../wallet/wallet";
import { Compare } from "./Compare";
import { formatLoss, StateBadge } from "./parts";
import { type Job, jobsQuery } from "./queries";

/** Runs that can be compared at once; more colours could not be told apart. */
const COMPARED_MAX = 4;

export function Jobs() {
  const jobs = useQuery(jobsQuery);
  return (
    <Page
      title="ModelFactory"
      intro="Here a base model learns from Datanets. A job trains a small adapter, measures it before and after, and indexes the data, so that every answer can later be traced to the records it came from."
      actions={
        <LinkButton to="/factory/new" tone="primary">
          Train a model
        </LinkButton>
      }
    >
      <QueryView query={jobs} loading="Reading the jobs" what="Jobs">
        {(all) => (all.length === 0 ? <None /> : <JobTable jobs={all} />)}
      </QueryView>
    </Page>
  );
}

function None() {
  return (
    <Empty
      title="Nothing was trained here yet"
      action={
        <>
          <LinkButton to="/factory/new" tone="primary">
            Train a model
          </LinkButton>
          <LinkButton to="/datanets">Look at the Datanets</LinkButton>
        </>
      }
    >
      You need a Datanet with a snapshot; training on it takes minutes to hours on this machine, and goes on
      when you close this page.
    </Empty>
  );
}

function JobTable({ jobs }: { jobs: readonly Job[] }) {
  const { account } = useWallet();
  const [chosen, choose] = useState<ReadonlySet<number>>(new Set());
  const [comparing, compare] = useState(false);
  const compared = jobs.filter((job) => chosen.has(job.id));
  const full = compared.length >= COMPARED_MAX;
  const columns = useMemo(
    (): Column<Job>[] => [
      {
        id: "compare",
        header: "Compare",
        enableSorting: false,
        cell: ({ row: { original: job } }) => (
          <Checkbox
            isSelected={chosen.has(job.id)}
            isDisabled={full && !chosen.has(job.id)}
            onChange={(on) =>
              choose(
                (before) => new Set(on ? [...before, job.id] : [...before].filter((id) => id !== job.id)),
              )
            }
          >
            <span className="sr-only">Compare job {job.id}</span>
          </Checkbox>
        ),
      },
      {
        id: "job",
        header: "Job",
        accessorFn: (job) => job.id,
        cell: ({ row: { original: job } }) => (
          <Link className="link" to={`/factory/jobs/${job.id}`}>
            {job.id} · {job.name}
          </Link>
        ),
      },
      {
        id: "state",
        header: "State",
        accessorFn: (job) => job.state,
        cell: ({ row: { original: job } }) => <StateBadge state={job.state} />,
      },
      {
        id: "progress",
        header: "Progress",
        accessorFn: (job) => job.progress,
        cell: ({ row: { original: job } }) => <JobProgress job={job} />,
      },
      {
        id: "loss",
        header: "Last loss",
        meta: { numeric: true },
        accessorFn: (job) => job.train_loss ?? Number.POSITIVE_INFINITY,
        cell: ({ row: { original: job } }) => (job.train_loss === null ? "—" : formatLoss(job.train_loss)),
      },
      {
        id: "data",
        header: "Data",
        meta: { className: "max-md:hidden" },
        enableSorting: false,
        cell: ({ row: { original: job } }) =>
          job.recipe.snapshots.map((one) => `Datanet ${one.datanet}`).join(", "),
      },
      {
        id: "owner",
        header: "Owner",
        meta: { className: "max-lg:hidden" },
        enableSorting: false,
        cell: ({ row: { original: job } }) =>
          job.owner === null ? (
            <span className="text-muted">nobody</span>
          ) : (
            <AccountName value={job.owner} you={account?.address} copy={false} />
          ),
      },
      {
        id: "created",
        header: "Started",
        meta: { className: "max-sm:hidden" },
        accessorFn: (job) => job.created_at_ms,
        cell: ({ row: { original: job } }) => <Time seconds={Math.floor(job.created_at_ms / 1000)} />,
      },
    ],
    [account?.address, chosen, full],
  );
  return (
    <>
      <Card
        title="Jobs"
        intro="Choose two to four of them to lay their curves and recipes over each other."
        padded={false}
        actions={
          <Button
            size="sm"
            isDisabled={compared.length < 2}
            onPress={() => compare(!comparing)}
            aria-expanded={comparing}
          >
            {comparing ? "Close the comparison" : `Compare (${compared.length})`}
          </Button>
        }
      >
        <DataTable label="Jobs" columns={columns} rows={jobs} rowKey={(job) => String(job.id)} />
      </Card>
      {comparing && compared.length >= 2 && <Compare jobs={compared} />}
    </>
  );
}

function JobProgress({ job }: { job: Job }) {
  if (job.state === "queued") return <span className="text-muted">not begun</span>;
  if (job.state === "done") return <span>{count(job.steps, "step")}</span>;
  const note = job.steps === 0 ? "preparing" : `${job.step} of ${count(job.steps, "step")}`;
  if (job.state !== "running") return <span>{`${note} (${formatPercent(job.progress)})`}</span>;
  // After the last step the job still measures and indexes.
  const indexing = job.steps > 0 && job.step >= job.steps;
  return (
    <div className="min-w-36">
      <Progress
        label={indexing ? "measuring and indexing" : "training"}
        value={indexing || job.steps === 0 ? null : job.progress}
        note={indexing ? "" : note}
      />
    </div>
  );
}
