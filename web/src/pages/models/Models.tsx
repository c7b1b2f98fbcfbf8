import { useQueries, useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { Link, useSearchParams } from "react-router";
import { type Model, modelsQuery } from "../../api/queries";
import { count, formatInteger } from "../../lib/format";
import { Button, LinkButton } from "../../ui/Button";
import { TextField } from "../../ui/fields";
import { Card, Page } from "../../ui/Page";
import { Empty, QueryView } from "../../ui/states";
import { type Column, DataTable } from "../../ui/Table";
import { AccountName, Badge, Time, Wei } from "../../ui/values";
import { links } from "./links";
import { perThousand } from "./price";
import { type ModelDetail, modelQuery } from "./queries";

/** Models whose answers and income are read one by one; of further ones the model's own page tells them. */
const DETAILS_MAX = 50;
const SEARCH_MAX = 100;

/** The registry: every model that this node answers with. */
export function Models() {
  const query = useQuery(modelsQuery);
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
      <QueryView query={query} loading="Reading the models" what="Models">
        {(models) => <Registry models={models} />}
      </QueryView>
    </Page>
  );
}

interface Row {
  model: Model;
  detail: ModelDetail | undefined;
}

function matches(model: Model, search: string): boolean {
  const wanted = search.trim().toLowerCase();
  return [model.id, model.owned_by, model.openledger.model_id ?? ""].some((text) =>
    text.toLowerCase().includes(wanted),
  );
}

function Registry({ models }: { models: readonly Model[] }) {
  const [params, setParams] = useSearchParams();
  const search = (params.get("search") ?? "").slice(0, SEARCH_MAX);
  const put = (value: string) =>
    setParams(value ? { search: value } : {}, { replace: true, preventScrollReset: true });
  const published = useMemo(() => models.filter((model) => model.parent !== null), [models]);
  const base = models.find((model) => model.parent === null);
  const details = useQueries({
    queries: published.slice(0, DETAILS_MAX).map((model) => modelQuery(model.id)),
  });
  const rows = published
    .map((model, index): Row => ({ model, detail: details[index]?.data }))
    .filter(({ model }) => matches(model, search));

  if (published.length === 0) {
    return (
      <Empty
        title="No model is published yet"
        action={
          <>
            <LinkButton to="/factory/new" tone="primary">
              Train the first one
            </LinkButton>
            {base && <LinkButton to={links.chat(base.id)}>Chat with the base model</LinkButton>}
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
          {rows.length === published.length
            ? count(published.length, "model")
            : `${formatInteger(rows.length)} of ${count(published.length, "model")}`}
          {base && (
            <>
              , on <span className="font-medium text-ink">{base.id}</span>
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
        <DataTable label="Published models" columns={COLUMNS} rows={rows} rowKey={({ model }) => model.id} />
      )}
    </Card>
  );
}

const COLUMNS: Column<Row>[] = [
  {
    id: "name",
    header: "Name",
    accessorFn: ({ model }) => model.id,
    cell: ({ row: { original } }) => (
      <Link to={links.model(original.model.id)} className="link font-medium break-all">
        {original.model.id}
      </Link>
    ),
  },
  {
    id: "builder",
    header: "Builder",
    accessorFn: ({ model }) => model.owned_by,
    cell: ({ row: { original } }) => <AccountName value={original.model.owned_by} copy={false} />,
  },
  {
    id: "input",
    header: "1,000 tokens in",
    meta: { numeric: true },
    accessorFn: ({ model }) => Number(model.openledger.price?.input_wei ?? 0),
    cell: ({ row: { original } }) => <PriceCell wei={original.model.openledger.price?.input_wei} />,
  },
  {
    id: "output",
    header: "1,000 tokens out",
    meta: { numeric: true },
    accessorFn: ({ model }) => Number(model.openledger.price?.output_wei ?? 0),
    cell: ({ row: { original } }) => <PriceCell wei={original.model.openledger.price?.output_wei} />,
  },
  {
    id: "answers",
    header: "Answers",
    meta: { numeric: true },
    accessorFn: ({ detail }) => detail?.answers ?? -1,
    cell: ({ row: { original } }) => (original.detail ? formatInteger(original.detail.answers) : "—"),
  },
  {
    id: "income",
    header: "Income",
    meta: { numeric: true },
    accessorFn: ({ detail }) => Number(detail?.income_wei ?? -1),
    cell: ({ row: { original } }) => <Wei value={original.detail?.income_wei} />,
  },
  {
    id: "published",
    header: "Published",
    accessorFn: ({ model }) => model.created,
    cell: ({ row: { original } }) => <Time seconds={original.model.created} />,
  },
  {
    id: "chat",
    header: () => <span className="sr-only">Ask</span>,
    enableSorting: false,
    cell: ({ row: { original } }) => (
      <Link to={links.chat(original.model.id)} className="link" aria-label={`Chat with ${original.model.id}`}>
        Chat
      </Link>
    ),
  },
];

function PriceCell({ wei }: { wei: string | undefined }) {
  if (wei === undefined) return <Badge>free</Badge>;
  return <Wei value={perThousand(wei)} />;
}
