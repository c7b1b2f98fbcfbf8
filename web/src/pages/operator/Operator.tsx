import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { statusQuery } from "../../api/queries";
import { useChain } from "../../chain/client";
import { count, formatBytes, formatDuration, formatInteger } from "../../lib/format";
import { LinkButton } from "../../ui/Button";
import { Chart } from "../../ui/Chart";
import { Card, Columns, Page } from "../../ui/Page";
import { Empty, ErrorState, Notice, QueryView } from "../../ui/states";
import { type Column, DataTable } from "../../ui/Table";
import { AccountName, Badge, Facts, Hash, Progress, Stat, StatRow, useNow, Wei } from "../../ui/values";
import {
  type Adapter,
  bondQuery,
  type DisputeList,
  disputesQuery,
  type Epoch,
  LOOK_EVERY_MS,
  type Metrics,
  type OperatorView,
  operatorQuery,
  recentEpochsQuery,
  type Watched,
} from "./queries";
import { mean, rates, rateText, type Sample } from "./throughput";

/** Below this much free space the disk is pointed out. */
const DISK_LOW_BYTES = 2e9;

/** The machine that answers: adapters, load, settlement. */
export function Operator() {
  const query = useQuery(operatorQuery);
  return (
    <Page
      title="Operator"
      intro={`What runs on this node and how busy it is. An operator serves models, signs a receipt for each paid answer, and settles them on chain. This page looks again every ${LOOK_EVERY_MS / 1000} seconds.`}
    >
      {query.error && query.data !== undefined && (
        <ErrorState error={query.error} retry={() => query.refetch()} what="The latest look" />
      )}
      <QueryView query={query} loading="Asking the node how it stands" what="Operator">
        {(watched) => <Details watched={watched} />}
      </QueryView>
    </Page>
  );
}

function Details({ watched: { now, samples } }: { watched: Watched }) {
  return (
    <>
      <LoadCard metrics={now.metrics} samples={samples} />
      <ThroughputCard samples={samples} />
      <AdaptersCard adapters={now.adapters} metrics={now.metrics} />
      <Columns>
        <SettlementCard now={now} />
        <div className="grid gap-5">
          <DisputesCard />
          <MachineCard now={now} />
        </div>
      </Columns>
    </>
  );
}

function LoadCard({ metrics, samples }: { metrics: Metrics; samples: readonly Sample[] }) {
  const average = mean(samples);
  const waiting = metrics.requests_waiting;
  return (
    <Card title="Load">
      <StatRow>
        <Stat label="Answering now">{formatInteger(metrics.requests_running)}</Stat>
        <Stat label="In the queue" note={waiting === 0 ? "nobody waits" : "wait for their turn"}>
          {formatInteger(waiting)}
        </Stat>
        <Stat label="Tokens a second" note="over the last ten seconds of work">
          {rateText(metrics.tokens_out_per_s)}
        </Stat>
        <Stat label="Tokens a second" note="since this page looks, pauses included">
          {average === null ? "—" : rateText(average)}
        </Stat>
        <Stat
          label="Answers"
          note={`${formatInteger(metrics.requests_failed_total)} failed, ${formatInteger(metrics.requests_cancelled_total)} given up`}
        >
          {formatInteger(metrics.requests_done_total)}
        </Stat>
        <Stat label="Tokens out" note={`${formatInteger(metrics.tokens_in_total)} in`}>
          {formatInteger(metrics.tokens_out_total)}
        </Stat>
      </StatRow>
      <div className="mt-4 max-w-xl">
        <Progress
          label="Memory for conversations"
          value={metrics.kv_blocks_total === 0 ? 0 : metrics.kv_blocks_used / metrics.kv_blocks_total}
          note={`${formatInteger(metrics.kv_blocks_used)} of ${count(metrics.kv_blocks_total, "block")} in use`}
        />
      </div>
    </Card>
  );
}

function ThroughputCard({ samples }: { samples: readonly Sample[] }) {
  const points = rates(samples);
  return (
    <Card title="Throughput" intro="Tokens a second between one look and the next.">
      {points.length < 2 ? (
        <p role="status" className="text-sm text-muted">
          Gathering the first numbers; a few seconds.
        </p>
      ) : (
        <Chart
          title="Tokens a second"
          x={{
            label: "Seconds before now",
            values: points.map(({ atS }) => atS),
            format: (value) => (value === 0 ? "now" : `${Math.round(value)} s`),
          }}
          y={{ format: rateText }}
          series={[
            { label: "Generated", values: points.map(({ tokensOut }) => tokensOut), tone: "accent" },
            { label: "Read", values: points.map(({ tokensIn }) => tokensIn), tone: "second", dashed: true },
          ]}
          height={200}
        />
      )}
    </Card>
  );
}

/** Where an adapter is, from the slowest to the fastest to answer. */
const TIERS: Record<Adapter["state"], { order: number; tone: "plain" | "accent" | "warn"; about: string }> = {
  registered: { order: 0, tone: "plain", about: "on disk, read when first asked" },
  loading: { order: 1, tone: "warn", about: "being read from disk" },
  cached: { order: 2, tone: "accent", about: "in memory, answers at once" },
  running: { order: 3, tone: "accent", about: "in memory, answering right now" },
};

const ADAPTER_COLUMNS: Column<Adapter>[] = [
  {
    id: "name",
    header: "Adapter",
    accessorFn: ({ id }) => id,
    cell: ({ row: { original } }) => (
      <Link to={`/models/${encodeURIComponent(original.id)}`} className="link break-all">
        {original.id}
      </Link>
    ),
  },
  {
    id: "tier",
    header: "Tier",
    accessorFn: ({ state }) => TIERS[state].order,
    cell: ({ row: { original } }) => {
      const { tone, about } = TIERS[original.state];
      return (
        <span>
          <Badge tone={tone}>{original.state}</Badge>{" "}
          <span className="text-muted max-sm:hidden">{about}</span>
        </span>
      );
    },
  },
  {
    id: "bytes",
    header: "In memory",
    meta: { numeric: true },
    accessorFn: ({ bytes }) => bytes ?? 0,
    cell: ({ row: { original } }) => (original.bytes === null ? "—" : formatBytes(original.bytes)),
  },
  {
    id: "weights",
    header: "Weights",
    enableSorting: false,
    meta: { className: "max-sm:hidden" },
    cell: ({ row: { original } }) => <Hash value={original.weights_hash} what="weights hash" />,
  },
];

function AdaptersCard({ adapters, metrics }: { adapters: readonly Adapter[]; metrics: Metrics }) {
  return (
    <Card
      title="Adapters"
      intro={`${count(metrics.adapters_registered, "adapter")} on disk, ${formatInteger(metrics.adapters_cached)} in memory with ${formatBytes(metrics.adapter_cache_bytes)}. They are read when asked and make room for others when not: ${formatInteger(metrics.adapter_loads_total)} read so far, ${formatInteger(metrics.adapter_evictions_total)} dropped.`}
      padded={adapters.length === 0}
    >
      {adapters.length === 0 ? (
        <Empty title="No adapter yet" action={<LinkButton to="/factory">Train one</LinkButton>}>
          The base model answers by itself. A published model appears here as soon as its transaction is in a
          block.
        </Empty>
      ) : (
        <DataTable
          label="Adapters"
          columns={ADAPTER_COLUMNS}
          rows={adapters}
          rowKey={({ id, generation }) => `${id} ${generation}`}
        />
      )}
    </Card>
  );
}

function SettlementCard({ now }: { now: OperatorView }) {
  const { settlement } = now;
  const epochs = useQuery(recentEpochsQuery(settlement.last_final));
  return (
    <Card
      title="Settlement"
      intro="Receipts gather in an epoch; the epoch is posted on chain, can be challenged for a while, and is final then."
    >
      {settlement.error && (
        <div className="mb-3">
          <Notice tone="warn" title="The latest step did not work">
            {settlement.error}. It is tried again by itself.
          </Notice>
        </div>
      )}
      <StatRow>
        <Stat label="Receipts waiting" note="in epochs that are not on chain">
          {formatInteger(settlement.receipts_waiting)}
        </Stat>
        <Stat label="Epochs pending" note="on chain, not final">
          {formatInteger(settlement.epochs_pending)}
        </Stat>
        <Stat label="Last final epoch">
          {settlement.last_final === 0 ? (
            "none yet"
          ) : (
            <Link to={`/explorer/epoch/${settlement.last_final}`} className="link">
              {formatInteger(settlement.last_final)}
            </Link>
          )}
        </Stat>
        <Stat label="Channels to claim from">{formatInteger(now.channels_unclaimed)}</Stat>
      </StatRow>
      <div className="mt-4">
        <QueryView query={epochs} loading="Reading the epochs" what="Epochs">
          {(list) => <Epochs epochs={list} />}
        </QueryView>
      </div>
    </Card>
  );
}

function Epochs({ epochs }: { epochs: readonly Epoch[] }) {
  const now = useNow() / 1000;
  if (epochs.length === 0) {
    return (
      <Empty title="No epoch yet" action={<LinkButton to="/chat">Ask a model</LinkButton>}>
        The first paid answer opens epoch 1.
      </Empty>
    );
  }
  const left = ({ state, final_at }: Epoch) =>
    state === "posted" && final_at !== null
      ? final_at > now
        ? `, final in ${formatDuration(final_at - now)}`
        : ", about to be final"
      : "";
  return (
    <ul className="grid gap-1.5 text-sm" aria-label="Latest epochs">
      {[...epochs].reverse().map((epoch) => (
        <li key={epoch.number} className="flex flex-wrap justify-between gap-x-4">
          <span>
            <Link to={`/explorer/epoch/${epoch.number}`} className="link">
              Epoch {formatInteger(epoch.number)}
            </Link>{" "}
            <Badge tone={epoch.state === "final" ? "accent" : "warn"}>{epoch.state}</Badge>
            <span className="text-muted">{left(epoch)}</span>
          </span>
          <span className="text-muted">{count(epoch.receipts, "receipt")}</span>
        </li>
      ))}
    </ul>
  );
}

function DisputesCard() {
  const query = useQuery(disputesQuery);
  return (
    <Card
      title="Disputes"
      intro="Anyone may challenge a posted epoch on chain and gets part of the operator's bond when right. The hub decides at once."
    >
      <QueryView query={query} loading="Reading the hub's challenges" what="Disputes">
        {(list) => <Disputes list={list} />}
      </QueryView>
    </Card>
  );
}

const FAULTS: Record<DisputeList["data"][number]["fault"], string> = {
  balances: "its balances do not add up, or one fell",
  receipt_epoch: "a receipt is of another epoch",
  receipt_operator: "a receipt is of another operator",
  receipt_fee: "a receipt's fee is not price times tokens",
  receipt_cumulative: "a receipt's amounts do not fit its fee",
  receipt_bps: "a receipt's parts make no split",
  receipt_split: "a receipt's fee is split wrongly",
  receipt_model: "a receipt's model is not in the registry",
  receipt_terms: "a receipt's terms are not its model's",
};

function Disputes({ list: { data, looked_to, head } }: { list: DisputeList }) {
  const behind = looked_to < head;
  const looked = behind
    ? `Looked through the chain up to block ${formatInteger(looked_to)} of ${formatInteger(head)} so far.`
    : `In all ${count(head + 1, "block")} of the chain.`;
  return (
    <div className="grid gap-2 text-sm">
      {data.length === 0 && <p>{behind ? "None found yet." : "None: no challenge was upheld."}</p>}
      <ul className="grid gap-2" aria-label="Challenges upheld">
        {[...data].reverse().map((one) => (
          <li key={`${one.tx_hash} ${one.epoch}`}>
            <p>
              <Link to={`/explorer/tx/${one.tx_hash}`} className="link">
                Epoch {formatInteger(one.epoch)}
              </Link>
              : {FAULTS[one.fault]}. {count(one.rejected.length, "epoch")} taken back.
            </p>
            <p className="text-muted">
              <AccountName value={one.challenger} copy={false} /> got <Wei value={one.reward_wei} /> of the
              bond of <AccountName value={one.operator} copy={false} />; <Wei value={one.burned_wei} /> was
              burned.
            </p>
          </li>
        ))}
      </ul>
      <p className="text-muted">{looked}</p>
    </div>
  );
}

function MachineCard({ now }: { now: OperatorView }) {
  const info = useChain();
  const bond = useQuery(bondQuery(info, info.operator));
  const status = useQuery(statusQuery);
  const low = now.disk_free_bytes < DISK_LOW_BYTES;
  return (
    <Card title="Machine and bond">
      <Facts
        rows={[
          ["Operator", <AccountName key="operator" value={info.operator} />],
          [
            "Bond",
            <QueryView key="bond" query={bond} loading="Asking the hub" what="Bond">
              {({ bond: amount, least }) => (
                <span>
                  <Wei value={amount} /> <span className="text-muted">of at least</span> <Wei value={least} />
                </span>
              )}
            </QueryView>,
          ],
          ["Base model", status.data?.base_model.name ?? "—"],
          [
            "Disk free",
            <span key="disk">
              {formatBytes(now.disk_free_bytes)} {low && <Badge tone="danger">low</Badge>}
            </span>,
          ],
          [
            "Metrics for dashboards",
            <a key="metrics" href="/metrics" className="link">
              /metrics
            </a>,
          ],
        ]}
      />
    </Card>
  );
}
