/** Which Datanets a model learns from, and which state of each. */
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useRef } from "react";
import { Link } from "react-router";
import { type Datanet, datanetsQuery } from "../../api/queries";
import { count, formatPercent } from "../../lib/format";
import { Button, LinkButton } from "../../ui/Button";
import { Checkbox, Select } from "../../ui/fields";
import { Empty, ErrorState, Loading, QueryView } from "../../ui/states";
import { type Choice, snapshotsQuery } from "./queries";

/** Snapshots that a model can be trained on, as the trainer limits them. */
const CHOICES_MAX = 64;

export function DataChoice({
  preselected,
  choices,
  onChange,
}: {
  /** A Datanet that the address names. */
  preselected: number | null;
  choices: readonly Choice[];
  onChange: (choices: readonly Choice[]) => void;
}) {
  const query = useInfiniteQuery(datanetsQuery());
  const all = useMemo(() => {
    const rows = query.data?.pages.flatMap((page) => page.data) ?? [];
    // What the address names stands first, so that it is seen.
    return [...rows].sort((one, other) => Number(other.id === preselected) - Number(one.id === preselected));
  }, [query.data, preselected]);
  const begun = useRef(false);
  useEffect(() => {
    const named = all.find(({ id }) => id === preselected);
    if (begun.current || named === undefined || named.snapshots === 0) return;
    begun.current = true;
    onChange([{ datanet: named.id, snapshot: named.snapshots }]);
  }, [all, preselected, onChange]);
  if (query.data === undefined) {
    return query.error ? (
      <ErrorState error={query.error} what="Datanets" retry={() => query.refetch()} />
    ) : (
      <Loading label="Reading the Datanets …" />
    );
  }
  if (all.length === 0) {
    return (
      <Empty
        title="There is no Datanet yet"
        action={
          <LinkButton to="/datanets/new" tone="primary">
            Create a Datanet
          </LinkButton>
        }
      >
        Create one, add data to it and take a snapshot; then come back here.
      </Empty>
    );
  }
  const choose = (datanet: number, snapshot: number | null) => {
    const others = choices.filter((one) => one.datanet !== datanet);
    const next = snapshot === null ? others : [...others, { datanet, snapshot }];
    onChange(next.sort((one, other) => one.datanet - other.datanet));
  };
  return (
    <div className="grid gap-2">
      <ul aria-label="Datanets" className="relative grid max-h-[28rem] gap-2 overflow-y-auto p-0.5">
        {all.map((datanet) => {
          const chosen = choices.find((one) => one.datanet === datanet.id);
          return (
            <li key={datanet.id} className="rounded-md border border-line px-3 py-2">
              <DatanetRow
                datanet={datanet}
                chosen={chosen?.snapshot ?? null}
                full={choices.length >= CHOICES_MAX}
                onChoose={(snapshot) => choose(datanet.id, snapshot)}
              />
            </li>
          );
        })}
      </ul>
      {query.hasNextPage && (
        <Button
          size="sm"
          className="w-fit"
          isPending={query.isFetchingNextPage}
          pendingLabel="Reading more …"
          onPress={() => query.fetchNextPage()}
        >
          More Datanets
        </Button>
      )}
      <p className="text-sm text-muted">{count(choices.length, "Datanet")} chosen.</p>
    </div>
  );
}

function DatanetRow({
  datanet,
  chosen,
  full,
  onChoose,
}: {
  datanet: Datanet;
  chosen: number | null;
  full: boolean;
  onChoose: (snapshot: number | null) => void;
}) {
  const { terms } = datanet;
  const none = datanet.snapshots === 0;
  const floor = terms.revenue_floor_bps ?? 0;
  const limits = [
    terms.derivatives ? null : "its licence forbids models made from it",
    terms.commercial_use ? null : "its licence forbids paid use",
    floor > 0 ? `at least ${formatPercent(floor / 10_000)} of each fee goes to data` : null,
  ].filter((limit) => limit !== null);
  return (
    <div className="grid gap-2">
      <Checkbox
        isSelected={chosen !== null}
        isDisabled={none || (full && chosen === null)}
        onChange={(on) => onChoose(on ? datanet.snapshots : null)}
        description={
          <>
            {count(datanet.records_accepted, "accepted record")}, {count(datanet.contributors, "contributor")}
            {limits.length > 0 && `; ${limits.join("; ")}`}
          </>
        }
      >
        {datanet.name} <span className="text-muted">(Datanet {datanet.id})</span>
      </Checkbox>
      {none && (
        <p className="pl-6.5 text-xs text-muted">
          It has no snapshot to train on.{" "}
          <Link className="link" to={`/datanets/${datanet.id}/snapshots`}>
            Take one
          </Link>
        </p>
      )}
      {chosen !== null && <SnapshotChoice datanet={datanet} chosen={chosen} onChoose={onChoose} />}
    </div>
  );
}

function SnapshotChoice({
  datanet,
  chosen,
  onChoose,
}: {
  datanet: Datanet;
  chosen: number;
  onChoose: (snapshot: number) => void;
}) {
  const query = useQuery(snapshotsQuery(datanet.id));
  return (
    <div className="pl-6.5">
      <QueryView query={query} loading="Reading the snapshots" what="Snapshots">
        {(snapshots) => (
          <Select
            label={`Snapshot of ${datanet.name}`}
            className="w-full sm:w-80"
            value={String(chosen)}
            onChange={(value) => onChoose(Number(value))}
            choices={snapshots.map((one, index) => ({
              value: String(one.snapshot),
              label: `Snapshot ${one.snapshot}${index === 0 ? " (latest)" : ""}`,
              description: `${count(one.record_count, "record")} of ${count(one.contributor_count, "contributor")}`,
            }))}
          />
        )}
      </QueryView>
    </div>
  );
}
