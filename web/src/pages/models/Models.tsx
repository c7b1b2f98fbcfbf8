import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { Link, useSearchParams } from "react-router";
import { statusQuery } from "../../api/queries";
import { count, formatInteger } from "../../lib/format";
import { Button, LinkButton } from "../../ui/Button";
import { TextField } from "../../ui/fields";
import { Card, Page } from "../../ui/Page";
import { Empty, QueryView } from "../../ui/states";
import { type Column, DataTable } from "../../ui/Table";
import { AccountName, Time, Wei } from "../../ui/values";
import { links } from "./links";
import { perThousand } from "./price";
import { type RegistryRow, registryQuery } from "./queries";

const SEARCH_MAX = 100;

/** The registry: every model that this node answers with. */
export function Models() {
  return (
    <Page
      title="Models"
      intro="A model here is an adapter: a small file, trained on Datanets, that changes how a base model answers. Each has a builder, a price, and a fee split that pays whoever contributed. Pick one to see what made it, or to ask it something."
      actions={
        <LinkButton to="/factory/new" tone="primary">
          Train your own
        </LinkButton>
      }
    >
      <Registry />
    </Page>
  );
}

function Registry() {
  const [params, setParams] = useSearchParams();
  const search = (params.get("search") ?? "").slice(0, SEARCH_MAX);
  const put = (value: string) =>
    setParams(value ? { search: value } : {}, { replace: true, preventScrollReset: true });
  const query = useInfiniteQuery(registryQuery(search.trim()));
  return (
    <QueryView query={query} loading="Reading the models" what="Models">
      {({ pages }) => (
        <Rows
          rows={pages.flatMap(({ data }) => data)}
          search={search}
          onSearch={put}
          more={
            query.hasNextPage && (
              <Button
                isPending={query.isFetchingNextPage}
                pendingLabel="Reading …"
                onPress={() => void query.fetchNextPage()}
              >
                Show more
              </Button>
            )
          }
        />
      )}
    </QueryView>
  );
}

interface RowsProps {
  rows: readonly RegistryRow[];
  search: string;
  onSearch: (text: string) => void;
  /** A button for further rows, where there are any. */
  more: ReactNode;
}

function Rows({ rows, search, onSearch: put, more }: RowsProps) {
  const { data: status } = useQuery(statusQuery);
  const base = status?.base_model.name;
  if (rows.length === 0 && search.trim() === "") {
    return (
      <Empty
        title="No model is published yet"
        action={
          <>
            <LinkButton to="/factory/new" tone="primary">
              Train the first one
            </LinkButton>
            {base && <LinkButton to={links.chat(base)}>Chat with the base model</LinkButton>}
          </>
        }
      >
        Train an adapter on a Datanet in ModelFactory and publish it; it appears here as soon as its
        transaction is in a block.
      </Empty>
    );
  }
  return (
    <Card padded={false}>
      <div className="flex flex-wrap items-end justify-between gap-3 px-4 pb-3 sm:px-5">
        <TextField
          label="Search models"
          placeholder="Name, builder's address or id"
          type="search"
          value={search}
          maxLength={SEARCH_MAX}
          onChange={put}
          className="w-full max-w-sm"
        />
        <p className="text-sm text-muted" role="status">
          {more ? `The first ${count(rows.length, "model")}` : count(rows.length, "model")}
          {base && (
            <>
              , on <span className="font-medium text-ink">{base}</span>
            </>
          )}
        </p>
      </div>
      {rows.length === 0 ? (
        <div className="px-4 pb-4 sm:px-5">
          <Empty title="No model fits" action={<Button onPress={() => put("")}>Show all models</Button>}>
            The search looks at names, builders and ids.
          </Empty>
        </div>
      ) : (
        <DataTable label="Published models" columns={COLUMNS} rows={rows} rowKey={(row) => row.id} />
      )}
      {more && <div className="px-4 py-3 sm:px-5">{more}</div>}
    </Card>
  );
}

const COLUMNS: Column<RegistryRow>[] = [
  {
    id: "name",
    header: "Name",
    accessorFn: ({ name }) => name,
    cell: ({ row: { original } }) => (
      <Link to={links.model(original.name)} className="link font-medium break-all">
        {original.name}
      </Link>
    ),
  },
  {
    id: "builder",
    header: "Builder",
    accessorFn: ({ builder }) => builder,
    cell: ({ row: { original } }) => <AccountName value={original.builder} copy={false} />,
  },
  {
    id: "input",
    header: "1,000 tokens in",
    meta: { numeric: true },
    accessorFn: ({ price }) => Number(price.input_wei),
    cell: ({ row: { original } }) => <Wei value={perThousand(original.price.input_wei)} />,
  },
  {
    id: "output",
    header: "1,000 tokens out",
    meta: { numeric: true },
    accessorFn: ({ price }) => Number(price.output_wei),
    cell: ({ row: { original } }) => <Wei value={perThousand(original.price.output_wei)} />,
  },
  {
    id: "answers",
    header: "Answers",
    meta: { numeric: true },
    accessorFn: ({ answers }) => answers,
    cell: ({ row: { original } }) => formatInteger(original.answers),
  },
  {
    id: "income",
    header: "Income",
    meta: { numeric: true },
    accessorFn: ({ income_wei }) => Number(income_wei),
    cell: ({ row: { original } }) => <Wei value={original.income_wei} />,
  },
  {
    id: "published",
    header: "Published",
    accessorFn: ({ published_at }) => published_at,
    cell: ({ row: { original } }) => <Time seconds={original.published_at} />,
  },
  {
    id: "chat",
    header: () => <span className="sr-only">Ask</span>,
    enableSorting: false,
    cell: ({ row: { original } }) => (
      <Link to={links.chat(original.name)} className="link" aria-label={`Chat with ${original.name}`}>
        Chat
      </Link>
    ),
  },
];
