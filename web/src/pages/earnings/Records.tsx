import { useInfiniteQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";
import type { Address } from "viem";
import { count } from "../../lib/format";
import { Button, LinkButton } from "../../ui/Button";
import { Tabs } from "../../ui/navigation";
import { Card } from "../../ui/Page";
import { Empty, ErrorState, Loading } from "../../ui/states";
import { type Column, DataTable } from "../../ui/Table";
import { Badge, Wei } from "../../ui/values";
import { type AccountRecord, accountRecordsQuery } from "./queries";
import { excerpt } from "./sums";

type Earned = "some" | "none";

/** Which of an account's records earned what, and which never did and why. */
export function RecordsCard({ address }: { address: Address }) {
  const [earned, setEarned] = useState<Earned>("some");
  return (
    <Card
      title="Records"
      intro="What each contributed record brought. Payouts go to contributors; how a payout divides over their records is shown for information."
    >
      <Tabs
        label="Records"
        selected={earned}
        onSelect={(id) => setEarned(id === "none" ? "none" : "some")}
        tabs={[
          { id: "some", label: "Earned", content: <List address={address} earned="some" /> },
          { id: "none", label: "Never earned, and why", content: <List address={address} earned="none" /> },
        ]}
      />
    </Card>
  );
}

const RECORD: Column<AccountRecord> = {
  id: "record",
  header: "Record",
  enableSorting: false,
  cell: ({ row: { original } }) => (
    <Link
      to={`/datanets/${original.datanet}/records/${original.hash}`}
      className="link block max-w-xl min-w-48 break-words"
    >
      {excerpt(original.body) || "record without text"}
    </Link>
  ),
};
const DATANET: Column<AccountRecord> = {
  id: "datanet",
  header: "Datanet",
  accessorFn: ({ datanet }) => datanet,
  cell: ({ row: { original } }) => (
    <Link to={`/datanets/${original.datanet}`} className="link whitespace-nowrap">
      Datanet {original.datanet}
    </Link>
  ),
};
const COLUMNS: Record<Earned, Column<AccountRecord>[]> = {
  some: [
    RECORD,
    DATANET,
    {
      id: "earned",
      header: "Earned",
      meta: { numeric: true },
      accessorFn: ({ earned_wei }) => Number(earned_wei),
      cell: ({ row: { original } }) => <Wei value={original.earned_wei} />,
    },
  ],
  none: [
    RECORD,
    DATANET,
    {
      id: "status",
      header: "Status",
      accessorFn: ({ status }) => status,
      cell: ({ row: { original } }) => (
        <Badge tone={original.status === "accepted" ? "accent" : "warn"}>{original.status}</Badge>
      ),
    },
    {
      id: "why",
      header: "Why it never earned",
      accessorFn: ({ never_earned }) => never_earned ?? "",
      cell: ({ row: { original } }) => original.never_earned ?? "—",
    },
  ],
};

const NOTHING: Record<Earned, { title: string; text: string }> = {
  some: {
    title: "No record has earned yet",
    text: "A record earns when a paid answer draws on it. The other tab says what keeps each of them from it.",
  },
  none: {
    title: "No record without earnings",
    text: "Either every record of this account has earned, or it has contributed none.",
  },
};

function List({ address, earned }: { address: Address; earned: Earned }) {
  const query = useInfiniteQuery(accountRecordsQuery(address, earned));
  const rows = query.data?.pages.flatMap((page) => page.data) ?? [];
  const more = () => {
    if (query.hasNextPage && !query.isFetchingNextPage && !query.isFetchNextPageError) query.fetchNextPage();
  };
  if (rows.length > 0) {
    return (
      <div className="-mx-4 -mb-4 sm:-mx-5">
        <DataTable
          label={earned === "some" ? "Records that earned" : "Records that never earned"}
          columns={COLUMNS[earned]}
          rows={rows}
          rowKey={(record) => record.hash}
          onEnd={more}
          maxHeight={440}
          footer={
            query.isFetchingNextPage
              ? "Reading more records …"
              : `${count(rows.length, "record")}${query.hasNextPage ? ", more further down" : ""}`
          }
        />
      </div>
    );
  }
  if (query.error) return <ErrorState error={query.error} retry={() => query.refetch()} what="Records" />;
  if (query.isPending || query.isFetchingNextPage) return <Loading label="Looking through the records …" />;
  if (query.hasNextPage)
    return <Button onPress={() => query.fetchNextPage()}>Look through more records</Button>;
  const { title, text } = NOTHING[earned];
  return (
    <Empty title={title} action={<LinkButton to="/datanets">Contribute to a Datanet</LinkButton>}>
      {text}
    </Empty>
  );
}
