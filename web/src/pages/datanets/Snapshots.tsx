import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useMemo } from "react";
import { api, body } from "../../api/client";
import { keys } from "../../api/keys";
import { datanetRegistryAbi } from "../../chain/abis";
import { useChain } from "../../chain/client";
import { count, formatInteger } from "../../lib/format";
import { Button, LinkButton } from "../../ui/Button";
import { Card } from "../../ui/Page";
import { ErrorState, Notice, QueryView } from "../../ui/states";
import { type Column, DataTable } from "../../ui/Table";
import { useToasts } from "../../ui/Toasts";
import { Badge, Hash, Time } from "../../ui/values";
import { Declined } from "../../wallet/approval";
import { useSend } from "../../wallet/send";
import { useWallet } from "../../wallet/wallet";
import { useDatanet } from "./Detail";
import { links } from "./links";
import { chainSnapshotsQuery, curatorQuery, type Snapshot, snapshotsQuery } from "./queries";
import { type SnapshotState, snapshotState } from "./snapshots";

/** A Datanet's snapshots; its owner and curators take and publish them here. */
export function Snapshots() {
  const { id, records_accepted } = useDatanet();
  const query = useQuery(snapshotsQuery(id));
  return (
    <QueryView query={query} loading="Reading the snapshots" what="Snapshots">
      {(snapshots) => (
        <>
          <TakeCard snapshots={snapshots} accepted={records_accepted} />
          {snapshots.length > 0 && <SnapshotTable snapshots={snapshots} />}
        </>
      )}
    </QueryView>
  );
}

/** Publishes a snapshot's root; the registry gives it the next number. */
function usePublish() {
  const { id } = useDatanet();
  const send = useSend();
  const { contracts } = useChain();
  return (taken: Snapshot) =>
    send({
      title: `Publish snapshot ${taken.snapshot}`,
      what: "Writes the snapshot's root on chain. From then on it cannot be changed, and models may be published that were trained on it.",
      address: contracts.datanetRegistry,
      abi: datanetRegistryAbi,
      functionName: "publishSnapshot",
      args: [
        BigInt(id),
        taken.root,
        BigInt(taken.record_count),
        taken.contributor_count,
        taken.content_hash,
        taken.content_hash,
      ],
      fields: [
        ["Datanet", String(id)],
        ["Records", formatInteger(taken.record_count)],
        ["Contributors", formatInteger(taken.contributor_count)],
        ["Root", <Hash key="root" value={taken.root} what="root" />],
      ],
    });
}

function TakeCard({ snapshots, accepted }: { snapshots: readonly Snapshot[]; accepted: number }) {
  const { id } = useDatanet();
  const info = useChain();
  const { account } = useWallet();
  const curator = useQuery(curatorQuery(info, id, account?.address));
  const onChain = useQuery(chainSnapshotsQuery(info, id));
  const take = useTake(id);
  const latest = snapshots.at(-1);
  const waiting = snapshots.length - (onChain.data?.count ?? snapshots.length);
  const declined = take.error instanceof Declined;
  return (
    <Card
      title="Take a snapshot"
      intro="A snapshot freezes the records that are accepted now, so that everyone trains on exactly the same list. Its root goes on chain; the records stay with the node."
      actions={
        curator.data === true && (
          <Button
            tone={latest === undefined || waiting > 0 ? "primary" : "secondary"}
            isDisabled={accepted === 0}
            isPending={take.isPending}
            pendingLabel="Taking and publishing …"
            onPress={() => take.mutate()}
          >
            {waiting > 0
              ? "Take and publish the latest"
              : latest
                ? "Take and publish another"
                : "Take and publish"}
          </Button>
        )
      }
    >
      <div className="grid gap-3 text-sm">
        {accepted === 0 && <p>No record is accepted yet, so there is nothing to freeze.</p>}
        {curator.data !== true && (
          <p className="text-muted">
            {account === null
              ? "Only the Datanet's owner and its curators take snapshots. Connect that account to do so."
              : curator.isPending
                ? "Asking the chain whether this account may take snapshots …"
                : "Only the Datanet's owner and its curators take snapshots; this account is neither."}
          </p>
        )}
        {curator.error && (
          <ErrorState error={curator.error} retry={() => void curator.refetch()} what="The chain" />
        )}
        {latest && (
          <p className="text-muted">
            {count(latest.record_count, "record")} in the latest snapshot
            {latest.record_count === accepted ? ": all that are accepted." : `, of ${accepted} accepted now.`}
          </p>
        )}
        {waiting > 0 && (
          <Notice tone="warn" title={`${count(waiting, "snapshot")} not on chain yet`}>
            A model can be trained on such a snapshot, but published only once its root is on chain.
          </Notice>
        )}
        {declined && (
          <Notice tone="warn">
            The snapshot was taken; you declined to publish it. You can publish it any time.
          </Notice>
        )}
        {take.error && !declined && <ErrorState error={take.error} />}
      </div>
    </Card>
  );
}

/** Takes a snapshot at the node, then publishes it where its number is the next on chain. */
function useTake(id: number) {
  const publish = usePublish();
  const info = useChain();
  const cache = useQueryClient();
  const toasts = useToasts();
  return useMutation({
    mutationFn: async () => {
      const taken = await body(api.POST("/v1/datanets/{id}/snapshots", { params: { path: { id } } }));
      await cache.invalidateQueries({ queryKey: keys.datanets });
      const onChain = await cache.fetchQuery({ ...chainSnapshotsQuery(info, id), staleTime: 0 });
      const state = snapshotState(taken, onChain);
      if (state.kind === "published") {
        toasts.show({
          title: `Nothing new since snapshot ${taken.snapshot}, which is on chain`,
          tone: "info",
        });
        return;
      }
      if (state.kind === "later")
        throw new Error(`Publish snapshot ${onChain.count + 1} first: the chain counts in order.`);
      if (state.kind !== "next")
        throw new Error(`The chain has another root under number ${taken.snapshot}.`);
      await publish(taken);
    },
  });
}

function SnapshotTable({ snapshots }: { snapshots: readonly Snapshot[] }) {
  const { id, terms } = useDatanet();
  const info = useChain();
  const { account } = useWallet();
  const onChain = useQuery(chainSnapshotsQuery(info, id));
  const curator = useQuery(curatorQuery(info, id, account?.address));
  const rows = useMemo(() => [...snapshots].reverse(), [snapshots]);
  const columns: Column<Snapshot>[] = [
    { id: "snapshot", header: "No.", meta: { numeric: true }, cell: ({ row }) => row.original.snapshot },
    {
      id: "records",
      header: "Records",
      meta: { numeric: true },
      cell: ({ row }) => formatInteger(row.original.record_count),
    },
    {
      id: "contributors",
      header: "Contributors",
      meta: { numeric: true, className: "max-sm:hidden" },
      cell: ({ row }) => formatInteger(row.original.contributor_count),
    },
    {
      id: "root",
      header: "Root",
      meta: { className: "max-sm:hidden" },
      cell: ({ row }) => <Hash value={row.original.root} what="root" />,
    },
    {
      id: "chain",
      header: "On chain",
      cell: ({ row }) =>
        onChain.data ? (
          <ChainState
            snapshot={row.original}
            state={snapshotState(row.original, onChain.data)}
            mayPublish={curator.data === true}
          />
        ) : (
          <span className="text-muted">
            {onChain.error ? "the chain does not answer" : "asking the chain …"}
          </span>
        ),
    },
  ];
  return (
    <Card
      title="Snapshots"
      padded={false}
      actions={
        terms.derivatives && (
          <LinkButton to={links.train(id)} tone="primary" size="sm">
            Train a model
          </LinkButton>
        )
      }
    >
      <DataTable
        label="Snapshots"
        columns={columns}
        rows={rows}
        rowKey={(row) => String(row.snapshot)}
        sortable={false}
      />
    </Card>
  );
}

function ChainState({
  snapshot,
  state,
  mayPublish,
}: {
  snapshot: Snapshot;
  state: SnapshotState;
  mayPublish: boolean;
}) {
  switch (state.kind) {
    case "published":
      return (
        <span className="flex flex-wrap items-center gap-x-2">
          <Badge tone="accent">published</Badge>
          <Time seconds={state.at} />
        </span>
      );
    case "different":
      return <Badge tone="danger">another root on chain</Badge>;
    case "unread":
      return <span className="text-muted">older than what is read here</span>;
    case "later":
      return <span className="text-muted">after the one before it</span>;
    case "next":
      return mayPublish ? <PublishButton snapshot={snapshot} /> : <Badge tone="warn">not yet</Badge>;
  }
}

/** Publishes a snapshot that was taken earlier, wherever that was. */
function PublishButton({ snapshot }: { snapshot: Snapshot }) {
  const publish = usePublish();
  const toasts = useToasts();
  const run = useMutation({
    mutationFn: () => publish(snapshot),
    onError: (error) => !(error instanceof Declined) && toasts.fail(error, "The snapshot was not published"),
  });
  return (
    <Button size="sm" isPending={run.isPending} pendingLabel="Publishing …" onPress={() => run.mutate()}>
      Publish
    </Button>
  );
}
