import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link, useParams } from "react-router";
import { useChain } from "../../chain/client";
import { count, formatDuration, formatInteger } from "../../lib/format";
import { LinkButton } from "../../ui/Button";
import { Card, Columns, Page } from "../../ui/Page";
import { Empty, ErrorState, Loading, Notice, QueryView } from "../../ui/states";
import { type Column, DataTable } from "../../ui/Table";
import { Badge, Facts, Hash, Stat, StatRow, Time, useNow, Wei } from "../../ui/values";
import { links } from "./links";
import { Neighbours, Party, Unreadable } from "./parts";
import {
  EPOCH_STATUS,
  type Epoch,
  epochQuery,
  epochReceiptsQuery,
  hubEpochQuery,
  type ReceiptRow,
} from "./queries";

const BACK = { to: links.explorer, label: "Explorer" };

/** What each state means, and what comes next. */
const STATES: Record<Epoch["state"], string> = {
  open: "It still takes receipts. When it is closed, everyone's credits are added up.",
  sealed: "It takes no more receipts; its credits are being added up.",
  closed: "Its credits and roots stand; next, the operator posts them on chain.",
  posted: "It is on chain. Until its challenge window ends, anyone can dispute it; then it becomes final.",
  final: "It is final: everyone can claim what it credits.",
};

export function EpochPage() {
  const { number = "" } = useParams();
  const readable = /^[1-9]\d{0,14}$/.test(number);
  return (
    <Page
      title={`Epoch ${number}`}
      back={BACK}
      intro="Answers are paid by voucher, without a transaction each. An epoch gathers the receipts of many answers and settles them on chain at once."
    >
      {readable ? (
        <Numbered number={Number(number)} />
      ) : (
        <Unreadable what="epoch" example="/explorer/epoch/1" />
      )}
    </Page>
  );
}

function Numbered({ number }: { number: number }) {
  const query = useQuery(epochQuery(number));
  return (
    <>
      <Neighbours
        previous={number === 1 ? null : links.epoch(number - 1)}
        next={query.data === null ? null : links.epoch(number + 1)}
      />
      <QueryView query={query} loading="Reading the epoch" what={`Epoch ${number}`}>
        {(epoch) =>
          epoch === null ? (
            <Empty
              title={`There is no epoch ${formatInteger(number)} yet`}
              action={<LinkButton to={links.explorer}>Back to the explorer</LinkButton>}
            >
              An epoch begins with its first receipt: when somebody asks a published model and pays for the
              answer.
            </Empty>
          ) : (
            <Details epoch={epoch} />
          )
        }
      </QueryView>
    </>
  );
}

function Details({ epoch }: { epoch: Epoch }) {
  return (
    <>
      <StateCard epoch={epoch} />
      {epoch.post && (
        <Columns>
          <TotalsCard post={epoch.post} />
          <RootsCard epoch={epoch} post={epoch.post} />
        </Columns>
      )}
      <ReceiptsCard epoch={epoch} />
    </>
  );
}

function StateCard({ epoch }: { epoch: Epoch }) {
  const now = useNow() / 1000;
  const waits = epoch.state === "posted" && epoch.final_at !== null && epoch.final_at > now;
  return (
    <Card title="State" intro={STATES[epoch.state]}>
      <Facts
        rows={[
          [
            "State",
            <Badge key="state" tone={epoch.state === "final" ? "accent" : "warn"}>
              {epoch.state}
            </Badge>,
          ],
          ["First receipt", <Time key="opened" seconds={epoch.opened_at} absolute />],
          ["Receipts", formatInteger(epoch.receipts)],
          [
            "Challenge window",
            epoch.final_at === null ? (
              "begins when it is posted"
            ) : waits ? (
              `ends in ${formatDuration(epoch.final_at - now)}`
            ) : (
              <span key="window">
                ended <Time seconds={epoch.final_at} />
              </span>
            ),
          ],
          [
            "Posted in",
            epoch.post_tx === null ? (
              "—"
            ) : (
              <Hash
                key="post"
                value={epoch.post_tx}
                to={links.transaction(epoch.post_tx)}
                what="transaction"
              />
            ),
          ],
          [
            "Made final in",
            epoch.final_tx === null ? (
              "—"
            ) : (
              <Hash
                key="final"
                value={epoch.final_tx}
                to={links.transaction(epoch.final_tx)}
                what="transaction"
              />
            ),
          ],
        ]}
      />
    </Card>
  );
}

type Post = NonNullable<Epoch["post"]>;

function TotalsCard({ post }: { post: Post }) {
  const credited = BigInt(post.fees_wei) - BigInt(post.burned_wei) - BigInt(post.stakers_wei);
  return (
    <Card
      title="Totals"
      intro="Where the fees of this epoch went. The parts add up to the fees; the hub checks that too."
    >
      <StatRow>
        <Stat label="Fees">
          <Wei value={post.fees_wei} />
        </Stat>
        <Stat label="Credited to accounts">
          <Wei value={credited} />
        </Stat>
        <Stat label="To stakers">
          <Wei value={post.stakers_wei} />
        </Stat>
        <Stat label="Burned">
          <Wei value={post.burned_wei} />
        </Stat>
        <Stat label="Accounts with credit" note="of all epochs so far">
          {formatInteger(post.account_count)}
        </Stat>
        <Stat label="Credit of all of them" note="of all epochs so far">
          <Wei value={post.total_balance_wei} />
        </Stat>
      </StatRow>
    </Card>
  );
}

function RootsCard({ epoch, post }: { epoch: Epoch; post: Post }) {
  return (
    <Card
      title="Roots"
      intro="Short fingerprints of everything in the epoch: receipts and claims are proved against them."
    >
      <Facts
        rows={[
          ["Receipts", <Hash key="receipts" value={post.receipts_root} what="receipts root" />],
          ["Balances", <Hash key="balances" value={post.balance_root} what="balance root" />],
          ["Published data", <Hash key="data" value={post.da_commitment} what="data commitment" />],
        ]}
      />
      <div className="mt-3">
        <OnChain epoch={epoch} post={post} />
      </div>
    </Card>
  );
}

/** Compares with the hub: the node's word is not taken for it. */
function OnChain({ epoch, post }: { epoch: Epoch; post: Post }) {
  const query = useQuery(hubEpochQuery(useChain(), epoch.number));
  const same = (one: string, other: string) => one.toLowerCase() === other.toLowerCase();
  return (
    <QueryView query={query} loading="Comparing with the hub on chain" what="Hub">
      {(hub) => {
        if (hub.status === 0)
          return <Notice title="Not on chain yet">There is nothing to compare with so far.</Notice>;
        const equal =
          same(hub.receiptsRoot, post.receipts_root) &&
          same(hub.balanceRoot, post.balance_root) &&
          same(hub.daCommitment, post.da_commitment) &&
          hub.fees === BigInt(post.fees_wei) &&
          hub.totalBalance === BigInt(post.total_balance_wei);
        return equal ? (
          <Notice title="The chain has exactly these roots and totals">
            State on chain: {EPOCH_STATUS[hub.status] ?? "unknown"}. Posted for <Party value={hub.operator} />
            .
          </Notice>
        ) : (
          <Notice tone="danger" title="The chain has other roots than this node shows">
            Do not rely on what the node says about this epoch.
          </Notice>
        );
      }}
    </QueryView>
  );
}

const COLUMNS: Column<ReceiptRow>[] = [
  {
    id: "sequence",
    header: "No.",
    meta: { numeric: true },
    accessorFn: ({ receipt }) => receipt.sequence,
    cell: ({ row: { original } }) => formatInteger(original.receipt.sequence),
  },
  {
    id: "hash",
    header: "Receipt",
    enableSorting: false,
    cell: ({ row: { original } }) => (
      <Hash value={original.hash} to={links.receipt(original.hash)} what="receipt" copy={false} />
    ),
  },
  {
    id: "model",
    header: "Model",
    accessorFn: ({ model }) => model ?? "",
    cell: ({
      row: {
        original: { model, receipt },
      },
    }) =>
      model === null ? (
        <Hash value={receipt.modelId} what="model id" copy={false} />
      ) : (
        <Link to={links.model(model)} className="link break-all">
          {model}
        </Link>
      ),
  },
  {
    id: "payer",
    header: "Payer",
    enableSorting: false,
    cell: ({ row: { original } }) => <Party value={original.receipt.payer} />,
  },
  {
    id: "tokens",
    header: "Tokens in / out",
    meta: { numeric: true },
    accessorFn: ({ receipt }) => receipt.tokensIn + receipt.tokensOut,
    cell: ({
      row: {
        original: { receipt },
      },
    }) => `${formatInteger(receipt.tokensIn)} / ${formatInteger(receipt.tokensOut)}`,
  },
  {
    id: "fee",
    header: "Fee",
    meta: { numeric: true },
    accessorFn: ({ receipt }) => Number(receipt.fee),
    cell: ({ row: { original } }) => <Wei value={original.receipt.fee} />,
  },
  {
    id: "answered",
    header: "Answered",
    accessorFn: ({ receipt }) => receipt.answeredAt,
    cell: ({ row: { original } }) => <Time seconds={original.receipt.answeredAt} />,
  },
];

function ReceiptsCard({ epoch }: { epoch: Epoch }) {
  const query = useInfiniteQuery(epochReceiptsQuery(epoch.number));
  const rows = query.data?.pages.flatMap((page) => page.data) ?? [];
  const more = () => {
    if (query.hasNextPage && !query.isFetchingNextPage) query.fetchNextPage();
  };
  return (
    <Card title="Receipts" intro="One for each paid answer." padded={rows.length === 0}>
      {rows.length > 0 ? (
        <DataTable
          label={`Receipts of epoch ${epoch.number}`}
          columns={COLUMNS}
          rows={rows}
          total={epoch.receipts}
          rowKey={(row) => row.hash}
          onEnd={more}
          footer={
            query.isFetchingNextPage ? "Reading more receipts …" : `${count(rows.length, "receipt")} shown`
          }
        />
      ) : query.error ? (
        <ErrorState error={query.error} retry={() => query.refetch()} what="Receipts" />
      ) : query.isPending ? (
        <Loading label="Reading the receipts …" />
      ) : (
        <Empty title="No receipts">Nobody has paid for an answer in this epoch yet.</Empty>
      )}
    </Card>
  );
}
