import { useInfiniteQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import type { Address } from "viem";
import { count, formatInteger } from "../../lib/format";
import { buttonClass } from "../../ui/Button";
import { Card } from "../../ui/Page";
import { Empty, ErrorState, Loading } from "../../ui/states";
import { type Column, DataTable } from "../../ui/Table";
import { Hash, Time, Wei } from "../../ui/values";
import { ModelName } from "./ModelName";
import { type StatementLine, statementQuery } from "./queries";

const COLUMNS: Column<StatementLine>[] = [
  {
    id: "when",
    header: "Answered",
    accessorFn: (line) => line.answered_at,
    cell: ({ row: { original } }) => <Time seconds={original.answered_at} />,
  },
  {
    id: "model",
    header: "Model",
    accessorFn: (line) => line.model,
    cell: ({ row: { original } }) => <ModelName model={original.model} />,
  },
  {
    id: "epoch",
    header: "Epoch",
    meta: { numeric: true, className: "max-sm:hidden" },
    accessorFn: (line) => line.epoch,
    cell: ({ row: { original } }) => (
      <Link to={`/explorer/epoch/${original.epoch}`} className="link num">
        {formatInteger(original.epoch)}
      </Link>
    ),
  },
  {
    id: "receipt",
    header: "Receipt",
    enableSorting: false,
    cell: ({ row: { original } }) => (
      <Hash
        value={original.receipt}
        to={`/explorer/receipt/${original.receipt}`}
        what="receipt"
        copy={false}
      />
    ),
  },
  {
    id: "amount",
    header: "Earned",
    meta: { numeric: true },
    accessorFn: (line) => Number(line.amount),
    cell: ({ row: { original } }) => <Wei value={original.amount} />,
  },
];

/** A line for each answer that paid the account. */
export function StatementCard({ address }: { address: Address }) {
  const query = useInfiniteQuery(statementQuery(address));
  const rows = query.data?.pages.flatMap((page) => page.data) ?? [];
  const more = () => {
    if (query.hasNextPage && !query.isFetchingNextPage && !query.isFetchNextPageError) query.fetchNextPage();
  };
  return (
    <Card
      title="Statement"
      intro="Every answer that paid this account, the newest first. Each leads to its receipt, which anyone can verify."
      padded={rows.length === 0}
      actions={
        rows.length > 0 && (
          <a
            href={`/v1/statements/${address}.csv`}
            download={`statement-${address}.csv`}
            className={buttonClass("secondary", "sm")}
          >
            Save all as CSV
          </a>
        )
      }
    >
      {rows.length > 0 ? (
        <DataTable
          label="Statement"
          columns={COLUMNS}
          rows={rows}
          rowKey={(line) => line.receipt}
          onEnd={more}
          footer={
            query.isFetchingNextPage
              ? "Reading more lines …"
              : `${count(rows.length, "answer")}${query.hasNextPage ? ", more further down" : ", all there are"}`
          }
        />
      ) : query.error ? (
        <ErrorState error={query.error} retry={() => query.refetch()} what="Statement" />
      ) : query.isPending ? (
        <Loading label="Reading the statement …" />
      ) : (
        <Empty title="No answer has paid this account yet">
          A line appears here with the first paid answer that draws on its records or its model.
        </Empty>
      )}
    </Card>
  );
}
