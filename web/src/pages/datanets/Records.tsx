import { useInfiniteQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "react";
import { Link, useSearchParams } from "react-router";
import { count, formatInteger, shortHex } from "../../lib/format";
import { Button, LinkButton } from "../../ui/Button";
import { TextField } from "../../ui/fields";
import { Card } from "../../ui/Page";
import { Empty } from "../../ui/states";
import { type Column, DataTable } from "../../ui/Table";
import { AccountName, Wei } from "../../ui/values";
import { useWallet } from "../../wallet/wallet";
import { excerpt, recordParts } from "./bodies";
import { useDatanet } from "./Detail";
import { columnTitle, cutSearch, type RecordFilter, readFilter, writeFilter } from "./filters";
import { Histograms } from "./Histograms";
import { PagesFooter, PagesView, RecordBadge } from "./parts";
import { type DatanetRecord, recordsQuery } from "./queries";

/** Rows wanted before reading waits for someone to scroll: a rare word may need many pages to be found. */
const FIRST_ROWS = 20;
/** Pages read in a row without finding enough. */
const AUTO_PAGES_MAX = 20;
/** Characters of a record shown in its row. */
const EXCERPT = 140;

/** A Datanet's records, with histograms that filter them. */
export function Records() {
  const { id, records_offered } = useDatanet();
  const [params, setParams] = useSearchParams();
  const filter = useMemo(() => readFilter(params), [params]);
  const setFilter = (next: RecordFilter) =>
    setParams(writeFilter(next), { replace: true, preventScrollReset: true });
  if (records_offered === 0) {
    return (
      <Empty
        title="There are no records yet"
        action={
          <LinkButton to={`/datanets/${id}/contribute`} tone="primary">
            Contribute the first ones
          </LinkButton>
        }
      >
        Drop a file with texts, or with questions and answers. Whoever comes first with a record keeps it.
      </Empty>
    );
  }
  return (
    <>
      <Histograms id={id} filter={filter} setFilter={setFilter} />
      <Card title="Records" padded={false}>
        <Search filter={filter} setFilter={setFilter} />
        <RecordTable id={id} filter={filter} clear={() => setFilter({})} />
      </Card>
    </>
  );
}

interface FilterProps {
  filter: RecordFilter;
  setFilter: (filter: RecordFilter) => void;
}

function Search({ filter, setFilter }: FilterProps) {
  const asked = filter.search ?? "";
  const [typed, setTyped] = useState(asked);
  const [known, setKnown] = useState(asked);
  if (known !== asked) {
    setKnown(asked);
    setTyped(asked);
  }
  const submit = () => setFilter({ ...filter, search: cutSearch(typed.trim()) });
  return (
    <div className="grid gap-2 px-4 pt-2 sm:px-5">
      <search>
        <form
          className="flex max-w-xl items-end gap-2"
          onSubmit={(event) => {
            event.preventDefault();
            submit();
          }}
        >
          <TextField
            label="Search the texts"
            type="search"
            value={typed}
            onChange={setTyped}
            className="flex-1"
            placeholder="Words as they stand in the record"
          />
          <Button type="submit">Search</Button>
        </form>
      </search>
      <Chips filter={filter} setFilter={setFilter} />
    </div>
  );
}

/** The filters in force, each with a button that takes it away. */
function Chips({ filter, setFilter }: FilterProps) {
  const { search, contributor, status, column, value } = filter;
  const chips: [string, RecordFilter][] = [];
  if (search) chips.push([`contains “${excerpt(search, 40)}”`, { ...filter, search: "" }]);
  if (contributor) chips.push([`by ${shortHex(contributor)}`, { ...filter, contributor: "" }]);
  if (status) chips.push([status, { ...filter, status: "" }]);
  if (column && value) {
    chips.push([
      `${columnTitle(column)}: ${value.replace("..", " to ")}`,
      { ...filter, column: "", value: "" },
    ]);
  }
  if (chips.length === 0) return null;
  return (
    <ul aria-label="Filters" className="flex flex-wrap gap-1.5">
      {chips.map(([text, without]) => (
        <li key={text}>
          <Button size="sm" onPress={() => setFilter(without)} aria-label={`Remove the filter: ${text}`}>
            {text} <span aria-hidden="true">✕</span>
          </Button>
        </li>
      ))}
    </ul>
  );
}

function RecordTable({ id, filter, clear }: { id: number; filter: RecordFilter; clear: () => void }) {
  const { account } = useWallet();
  const query = useInfiniteQuery(recordsQuery(id, filter));
  const { data, hasNextPage, isFetching, isError, fetchNextPage } = query;
  const rows = useMemo(() => data?.pages.flatMap((page) => page.data) ?? [], [data]);
  const pages = data?.pages.length ?? 0;
  const more = hasNextPage && !isFetching && !isError;
  useEffect(() => {
    if (more && rows.length < FIRST_ROWS && pages < AUTO_PAGES_MAX) void fetchNextPage();
  }, [more, rows.length, pages, fetchNextPage]);
  const columns = useMemo(() => recordColumns(account?.address ?? null), [account?.address]);
  const filtered = Object.values(filter).some(Boolean);
  return (
    <PagesView query={query} loading="Reading the records">
      <p role="status" className="px-4 pt-2 text-sm text-muted sm:px-5">
        {query.isPlaceholderData || (isFetching && rows.length === 0)
          ? "Searching …"
          : `${count(rows.length, "record")}${hasNextPage ? " so far" : ""}`}
      </p>
      {rows.length === 0 && !isFetching ? (
        <div className="p-4">
          {hasNextPage ? (
            <Empty
              title="Nothing found so far"
              action={<Button onPress={() => void fetchNextPage()}>Search further</Button>}
            />
          ) : (
            <Empty
              title={filtered ? "No record fits" : "No batch was revealed yet"}
              action={filtered && <Button onPress={clear}>Show all records</Button>}
            >
              {!filtered && "Records are shown here once their contributor has revealed the batch on chain."}
            </Empty>
          )}
        </div>
      ) : (
        <DataTable
          label="Records"
          columns={columns}
          rows={rows}
          rowKey={(row) => row.hash}
          rowHeight={55}
          sortable={false}
          onEnd={() => more && void fetchNextPage()}
          footer={<PagesFooter query={query} what="records" />}
        />
      )}
    </PagesView>
  );
}

function recordColumns(you: string | null): Column<DatanetRecord>[] {
  return [
    {
      id: "record",
      header: "Record",
      meta: { className: "w-full" },
      cell: ({ row: { original } }) => (
        <Link
          to={`/datanets/${original.datanet}/records/${original.hash}`}
          className="grid min-w-40 gap-0.5 break-words hover:underline"
        >
          {recordParts(original.body)
            .slice(0, 2)
            .map((part, index) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: parts have no other name
              <span key={index} className={index === 0 ? undefined : "text-muted"}>
                <span className="sr-only">{part.label}: </span>
                {excerpt(part.text, EXCERPT)}
              </span>
            ))}
        </Link>
      ),
    },
    {
      id: "status",
      header: "State",
      cell: ({ row }) => (
        <span title={row.original.reason ?? undefined}>
          <RecordBadge status={row.original.status} />
        </span>
      ),
    },
    {
      id: "contributor",
      header: "Contributor",
      meta: { className: "max-md:hidden" },
      cell: ({ row }) => <AccountName value={row.original.contributor} you={you} copy={false} />,
    },
    {
      id: "position",
      header: "Place in batch",
      meta: { numeric: true, className: "max-lg:hidden" },
      cell: ({ row }) => formatInteger(row.original.index + 1),
    },
    {
      id: "earned",
      header: "Earned",
      meta: { numeric: true, className: "max-sm:hidden" },
      cell: ({ row }) => <Wei value={row.original.earned_wei} />,
    },
  ];
}
