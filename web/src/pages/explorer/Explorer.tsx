import { useQuery } from "@tanstack/react-query";
import { Link, Navigate, useSearchParams } from "react-router";
import { useChain } from "../../chain/client";
import { count, formatInteger } from "../../lib/format";
import { LinkButton } from "../../ui/Button";
import { Card, Columns, Page } from "../../ui/Page";
import { Empty, QueryView } from "../../ui/states";
import { type Column, DataTable } from "../../ui/Table";
import { Facts, Hash, Time, Wei } from "../../ui/values";
import { decodeCall, wordsOf } from "./decode";
import { searchQuery } from "./find";
import { links } from "./links";
import { Party, SearchBox, useKnownContracts } from "./parts";
import { BLOCKS_SHOWN, type Block, latestQuery, SYSTEM_TYPE, type Transaction } from "./queries";
import { SEARCH_MAX } from "./search";

/** Transactions of the first page. */
const TRANSACTIONS_SHOWN = 15;

export function Explorer() {
  const [params] = useSearchParams();
  const search = (params.get("q") ?? "").slice(0, SEARCH_MAX);
  return (
    <Page
      title="Explorer"
      intro="Everything that happened on this chain, read from the chain itself and decoded here in your browser. Search for anything whose number, hash or name you have."
    >
      <SearchBox key={search} initial={search} />
      {search === "" ? <Latest /> : <Results search={search} />}
    </Page>
  );
}

function Results({ search }: { search: string }) {
  const query = useQuery(searchQuery(search));
  return (
    <QueryView query={query} loading="Looking on the chain and on this node" what="Search">
      {(found) => {
        const [only, more] = found;
        if (only !== undefined && more === undefined) return <Navigate to={only.to} replace />;
        if (only === undefined) {
          return (
            <Empty
              title={`Nothing is called “${search}”`}
              action={<LinkButton to={links.explorer}>Back to the latest blocks</LinkButton>}
            >
              Neither the chain nor this node knows it. Hashes have 64 hexadecimal digits, addresses 40; names
              may be given in part.
            </Empty>
          );
        }
        return (
          <Card title={`“${search}” may mean`}>
            <ul className="grid gap-1.5 text-sm">
              {found.map(({ what, label, to }) => (
                <li key={to}>
                  <span className="inline-block min-w-28 text-muted">{what}</span>{" "}
                  <Link to={to} className="link break-all">
                    {label}
                  </Link>
                </li>
              ))}
            </ul>
          </Card>
        );
      }}
    </QueryView>
  );
}

function Latest() {
  const info = useChain();
  const query = useQuery(latestQuery(info));
  return (
    <QueryView query={query} loading="Reading the latest blocks from the chain" what="Latest blocks">
      {(blocks) => (
        <>
          <Columns>
            <BlocksCard blocks={blocks.slice(0, BLOCKS_SHOWN)} />
            <ContractsCard />
          </Columns>
          <TransactionsCard blocks={blocks} />
        </>
      )}
    </QueryView>
  );
}

const sent = (block: Block) =>
  block.transactions.filter((transaction) => transaction.typeHex !== SYSTEM_TYPE);

const BLOCK_COLUMNS: Column<Block>[] = [
  {
    id: "number",
    header: "Block",
    cell: ({ row: { original } }) => (
      <Link to={links.block(original.number)} className="link num">
        {formatInteger(original.number)}
      </Link>
    ),
  },
  {
    id: "time",
    header: "When",
    cell: ({ row: { original } }) => <Time seconds={Number(original.timestamp)} />,
  },
  {
    id: "transactions",
    header: "Transactions",
    meta: { numeric: true },
    cell: ({ row: { original } }) => sent(original).length,
  },
  {
    id: "gas",
    header: "Gas used",
    meta: { numeric: true },
    cell: ({ row: { original } }) => formatInteger(original.gasUsed),
  },
];

function BlocksCard({ blocks }: { blocks: readonly Block[] }) {
  return (
    <Card title="Latest blocks" intro="New ones appear by themselves." padded={false}>
      <DataTable
        label="Latest blocks"
        columns={BLOCK_COLUMNS}
        rows={blocks}
        rowKey={(block) => block.number.toString()}
        sortable={false}
      />
    </Card>
  );
}

interface TransactionRow {
  transaction: Transaction;
  block: Block;
}

function TransactionsCard({ blocks }: { blocks: readonly Block[] }) {
  const known = useKnownContracts();
  const rows = blocks
    .flatMap((block) => sent(block).map((transaction): TransactionRow => ({ transaction, block })))
    .slice(0, TRANSACTIONS_SHOWN);
  const columns: Column<TransactionRow>[] = [
    {
      id: "hash",
      header: "Transaction",
      cell: ({ row: { original } }) => (
        <Hash
          value={original.transaction.hash}
          to={links.transaction(original.transaction.hash)}
          what="transaction"
          copy={false}
        />
      ),
    },
    {
      id: "call",
      header: "What it does",
      cell: ({ row: { original } }) => {
        const { to, input } = original.transaction;
        const call = decodeCall(known, to, input);
        if (call !== null) return call.what ?? wordsOf(call.name);
        return to === null ? "Creates a contract" : input === "0x" ? "Sends OPEN" : "Calls a contract";
      },
    },
    {
      id: "from",
      header: "From",
      cell: ({ row: { original } }) => <Party value={original.transaction.from} />,
    },
    { id: "to", header: "To", cell: ({ row: { original } }) => <Party value={original.transaction.to} /> },
    {
      id: "value",
      header: "Amount",
      meta: { numeric: true },
      cell: ({ row: { original } }) => <Wei value={original.transaction.value} />,
    },
    {
      id: "when",
      header: "When",
      cell: ({ row: { original } }) => <Time seconds={Number(original.block.timestamp)} />,
    },
  ];
  return (
    <Card
      title="Latest transactions"
      intro={`In the last ${count(blocks.length, "block")}.`}
      padded={rows.length === 0}
    >
      {rows.length === 0 ? (
        <Empty title="It has been quiet">
          Nobody sent a transaction in the last {count(blocks.length, "block")}. Questions and answers need
          none: they are paid by voucher, and settled together, epoch by epoch. Older transactions are on the
          pages of the contracts above.
        </Empty>
      ) : (
        <DataTable
          label="Latest transactions"
          columns={columns}
          rows={rows}
          rowKey={({ transaction }) => transaction.hash}
          sortable={false}
        />
      )}
    </Card>
  );
}

function ContractsCard() {
  const known = useKnownContracts();
  const { chain, blockTimeS } = useChain();
  return (
    <Card title={chain.name} intro="The contracts that keep the rules. Open one to see what happened there.">
      <Facts
        rows={[
          ["Chain id", String(chain.id)],
          ["Blocks", blockTimeS === 0 ? "one for each transaction" : `every ${blockTimeS} s`],
          ...known.map(
            (contract) =>
              [
                contract.name,
                <span key={contract.address}>
                  <Hash value={contract.address} to={links.address(contract.address)} what={contract.name} />
                  <span className="block text-xs text-muted">{contract.about}</span>
                </span>,
              ] as const,
          ),
        ]}
      />
    </Card>
  );
}
