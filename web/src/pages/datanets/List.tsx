import { useInfiniteQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "react";
import { Link, useSearchParams } from "react-router";
import { isAddress } from "viem";
import { count, formatInteger } from "../../lib/format";
import { Button, LinkButton } from "../../ui/Button";
import { Select, TextField } from "../../ui/fields";
import { Card, Page } from "../../ui/Page";
import { Empty } from "../../ui/states";
import { type Column, DataTable } from "../../ui/Table";
import { AccountName, Wei } from "../../ui/values";
import { useWallet } from "../../wallet/wallet";
import { acceptance, cutSearch, SORTS, type Sort, sortDatanets } from "./filters";
import { Acceptance, LicenceBadges, PagesFooter, PagesView, useRested } from "./parts";
import { browseQuery, type Datanet } from "./queries";
import { PendingRegistrations } from "./registration";

/** Pages read without being asked for, so that sorting sees every Datanet of all but the largest nodes. */
const EAGER_PAGES = 10;
const SORT_CHOICES = (Object.keys(SORTS) as Sort[]).map((value) => ({ value, label: SORTS[value] }));

export function List() {
  const filter = useListFilter();
  return (
    <Page
      title="Datanets"
      intro="A Datanet is a pool of records on one subject: people contribute to it, models are trained on it, and whoever's records help to answer a paid question is paid. Pick one to look into its records or to add yours."
      actions={
        <LinkButton to="/datanets/new" tone="primary">
          Create a Datanet
        </LinkButton>
      }
    >
      <PendingRegistrations />
      <Card padded={false}>
        <FilterBar filter={filter} />
        <Results filter={filter} />
      </Card>
    </Page>
  );
}

interface ListFilter {
  search: string;
  owner: string;
  sort: Sort;
  set: (name: "search" | "owner" | "sort", value: string) => void;
  clear: () => void;
}

function useListFilter(): ListFilter {
  const [params, setParams] = useSearchParams();
  const sort = params.get("sort") ?? "";
  return {
    search: cutSearch(params.get("search") ?? ""),
    owner: params.get("owner") ?? "",
    sort: sort in SORTS ? (sort as Sort) : "newest",
    set: (name, value) =>
      setParams(
        (before) => {
          if (value) before.set(name, value);
          else before.delete(name);
          return before;
        },
        { replace: true, preventScrollReset: true },
      ),
    clear: () => setParams(new URLSearchParams(), { replace: true, preventScrollReset: true }),
  };
}

/** A search or an owner as typed; it is put into the page's address when typing rests. */
function useTyped(current: string, put: (value: string) => void): [string, (value: string) => void] {
  const [typed, setTyped] = useState(current);
  const [known, setKnown] = useState(current);
  const [own, setOwn] = useState(current);
  const rested = cutSearch(useRested(typed).trim());
  if (known !== current) {
    setKnown(current);
    // Changed from elsewhere, by the way back or a button; what was typed here may have gone on since.
    if (current !== own) setTyped(current);
  }
  // biome-ignore lint/correctness/useExhaustiveDependencies: only what rested is put
  useEffect(() => {
    if (rested === current) return;
    setOwn(rested);
    put(rested);
  }, [rested]);
  return [typed, setTyped];
}

const ownerError = (owner: string) =>
  owner === "" || isAddress(owner, { strict: false }) ? null : "An address has 0x and 40 digits.";

function FilterBar({ filter }: { filter: ListFilter }) {
  const { account } = useWallet();
  const [search, setSearch] = useTyped(filter.search, (value) => filter.set("search", value));
  const [owner, setOwner] = useTyped(filter.owner, (value) => filter.set("owner", value));
  const mine = account?.address ?? "";
  return (
    <search className="grid gap-3 px-4 pt-4 sm:grid-cols-2 sm:px-5 lg:grid-cols-[2fr_2fr_auto_1fr]">
      <TextField
        label="Search"
        type="search"
        placeholder="Part of the name"
        value={search}
        onChange={setSearch}
      />
      <TextField
        label="Owner"
        placeholder="0x…"
        value={owner}
        onChange={setOwner}
        error={ownerError(owner.trim())}
      />
      <div className="flex items-end">
        <Button
          isDisabled={mine === ""}
          aria-label="Show only Datanets that you own"
          onPress={() => setOwner(owner === mine ? "" : mine)}
        >
          {mine !== "" && owner === mine ? "Everyone's" : "Mine"}
        </Button>
      </div>
      <Select
        label="Sort"
        value={filter.sort}
        onChange={(sort) => filter.set("sort", sort)}
        choices={SORT_CHOICES}
      />
    </search>
  );
}

function Results({ filter }: { filter: ListFilter }) {
  const { account } = useWallet();
  const { search, owner, sort } = filter;
  const valid = owner !== "" && ownerError(owner) === null;
  const query = useInfiniteQuery(browseQuery({ ...(search && { search }), ...(valid && { owner }) }));
  const { hasNextPage, isFetching, isError, fetchNextPage, data } = query;
  const pages = data?.pages.length ?? 0;
  useEffect(() => {
    if (hasNextPage && !isFetching && !isError && pages < EAGER_PAGES) void fetchNextPage();
  }, [hasNextPage, isFetching, isError, pages, fetchNextPage]);
  const rows = useMemo(
    () => sortDatanets(data?.pages.flatMap((page) => page.data) ?? [], sort),
    [data, sort],
  );
  const columns = useMemo(() => datanetColumns(account?.address ?? null), [account?.address]);
  return (
    <PagesView query={query} loading="Reading the Datanets">
      {rows.length === 0 && !hasNextPage ? (
        <div className="p-4">
          <NothingFound filter={filter} />
        </div>
      ) : (
        <div className="mt-3">
          <p role="status" className="px-4 pb-1 text-sm text-muted sm:px-5">
            {count(rows.length, "Datanet")}
            {hasNextPage && " so far; sorted among these"}
          </p>
          <DataTable
            label="Datanets"
            columns={columns}
            rows={rows}
            rowKey={(row) => String(row.id)}
            sortable={false}
            rowHeight={58}
            onEnd={() => hasNextPage && !isFetching && !isError && void fetchNextPage()}
            footer={<PagesFooter query={query} what="Datanets" />}
          />
        </div>
      )}
    </PagesView>
  );
}

function NothingFound({ filter }: { filter: ListFilter }) {
  if (filter.search || filter.owner) {
    return (
      <Empty title="No Datanet fits" action={<Button onPress={filter.clear}>Show all Datanets</Button>}>
        Search takes parts of the name.
      </Empty>
    );
  }
  return (
    <Empty
      title="There is no Datanet yet"
      action={
        <LinkButton to="/datanets/new" tone="primary">
          Create the first one
        </LinkButton>
      }
    >
      Creating one takes a name and a licence. Then anyone can contribute records to it.
    </Empty>
  );
}

function datanetColumns(you: string | null): Column<Datanet>[] {
  const numeric = (className?: string) => ({ meta: { numeric: true, ...(className && { className }) } });
  return [
    {
      id: "name",
      header: "Name",
      cell: ({ row: { original } }) => (
        <div className="grid gap-1">
          <Link to={`/datanets/${original.id}`} className="link font-medium break-words">
            {original.name}
          </Link>
          <span className="flex flex-wrap items-center gap-x-2 gap-y-1 text-xs text-muted">
            No. {original.id} <LicenceBadges terms={original.terms} />
          </span>
        </div>
      ),
    },
    {
      id: "owner",
      header: "Owner",
      meta: { className: "max-lg:hidden" },
      cell: ({ row }) => <AccountName value={row.original.owner} you={you} copy={false} />,
    },
    {
      id: "records",
      header: "Records",
      ...numeric(),
      cell: ({ row }) => formatInteger(row.original.records_accepted),
    },
    {
      id: "contributors",
      header: "Contributors",
      ...numeric("max-sm:hidden"),
      cell: ({ row }) => formatInteger(row.original.contributors),
    },
    {
      id: "acceptance",
      header: "Accepted",
      ...numeric("max-md:hidden"),
      cell: ({ row }) => <Acceptance part={acceptance(row.original)} />,
    },
    {
      id: "models",
      header: "Models",
      ...numeric("max-md:hidden"),
      cell: ({ row }) => formatInteger(row.original.models),
    },
    {
      id: "income",
      header: "Income",
      ...numeric(),
      cell: ({ row }) => <Wei value={row.original.income_wei} />,
    },
  ];
}
