import { useInfiniteQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { Link } from "react-router";
import { formatInteger, formatPercent } from "../../lib/format";
import { LinkButton } from "../../ui/Button";
import { Card } from "../../ui/Page";
import { Empty } from "../../ui/states";
import { type Column, DataTable } from "../../ui/Table";
import { AccountName, Wei } from "../../ui/values";
import { useWallet } from "../../wallet/wallet";
import { useDatanet } from "./Detail";
import { PagesFooter, PagesView } from "./parts";
import { type Contributor, contributorsQuery } from "./queries";

/** Who contributed to a Datanet, and what came of it. */
export function Contributors() {
  const { id, contributors } = useDatanet();
  const { account } = useWallet();
  const query = useInfiniteQuery(contributorsQuery(id));
  const { data, hasNextPage, isFetching, isError, fetchNextPage } = query;
  const rows = useMemo(() => data?.pages.flatMap((page) => page.data) ?? [], [data]);
  const columns = useMemo(() => contributorColumns(id, account?.address ?? null), [id, account?.address]);
  return (
    <PagesView query={query} loading="Reading the contributors">
      {rows.length === 0 ? (
        <Empty
          title="Nobody contributed yet"
          action={
            <LinkButton to={`/datanets/${id}/contribute`} tone="primary">
              Be the first
            </LinkButton>
          }
        >
          Whoever comes first with a record keeps it: later copies of it are not accepted.
        </Empty>
      ) : (
        <Card title="Contributors" intro="Those with the most accepted records first." padded={false}>
          <DataTable
            label="Contributors"
            columns={columns}
            rows={rows}
            rowKey={(row) => row.address}
            total={contributors}
            onEnd={() => hasNextPage && !isFetching && !isError && void fetchNextPage()}
            footer={<PagesFooter query={query} what="contributors" />}
          />
        </Card>
      )}
    </PagesView>
  );
}

function contributorColumns(id: number, you: string | null): Column<Contributor>[] {
  return [
    {
      id: "address",
      header: "Contributor",
      cell: ({ row }) => <AccountName value={row.original.address} you={you} copy={false} />,
    },
    {
      id: "offered",
      header: "Offered",
      accessorFn: (row) => row.offered,
      meta: { numeric: true, className: "max-sm:hidden" },
      cell: ({ row }) => formatInteger(row.original.offered),
    },
    {
      id: "accepted",
      header: "Accepted",
      accessorFn: (row) => row.accepted,
      meta: { numeric: true },
      cell: ({ row }) => (
        <>
          {formatInteger(row.original.accepted)}{" "}
          <span className="text-muted">({formatPercent(row.original.acceptance_per_mille / 1000)})</span>
        </>
      ),
    },
    {
      id: "earned",
      header: "Earned",
      accessorFn: (row) => BigInt(row.earned_wei),
      meta: { numeric: true },
      cell: ({ row }) => <Wei value={row.original.earned_wei} />,
    },
    {
      id: "records",
      header: "Records",
      enableSorting: false,
      meta: { className: "max-sm:hidden" },
      cell: ({ row: { original } }) => (
        <Link
          to={`/datanets/${id}?contributor=${original.address}`}
          aria-label={`Records of ${original.address}`}
          className="link"
        >
          show
        </Link>
      ),
    },
  ];
}
