import { useQuery } from "@tanstack/react-query";
import { useParams } from "react-router";
import { useChain } from "../../chain/client";
import { formatBytes, formatInteger } from "../../lib/format";
import { LinkButton } from "../../ui/Button";
import { Card, Page } from "../../ui/Page";
import { Empty, Loading, QueryView } from "../../ui/states";
import { type Column, DataTable } from "../../ui/Table";
import { Facts, Hash, Time, Wei } from "../../ui/values";
import { decodeCall, wordsOf } from "./decode";
import { links } from "./links";
import { Neighbours, Party, SystemBadge, Unreadable, useKnownContracts } from "./parts";
import { type Block, blockQuery, headQuery, SYSTEM_TYPE, type Transaction } from "./queries";

const BACK = { to: links.explorer, label: "Explorer" };

export function BlockPage() {
  const { number = "" } = useParams();
  const readable = /^\d{1,15}$/.test(number);
  return (
    <Page
      title={`Block ${number}`}
      back={BACK}
      intro="A block holds the transactions that the chain took in one step. Once it is there, it never changes."
    >
      {readable ? (
        <Numbered number={BigInt(number)} />
      ) : (
        <Unreadable what="block" example="/explorer/block/42" />
      )}
    </Page>
  );
}

function Numbered({ number }: { number: bigint }) {
  const info = useChain();
  const head = useQuery(headQuery(info));
  const there = head.data === undefined ? undefined : number <= head.data;
  const block = useQuery({ ...blockQuery(info, number), enabled: there === true });
  if (there === undefined) {
    return (
      <QueryView query={head} loading="Asking how far the chain is" what="Chain">
        {() => <Loading label="Reading the block …" />}
      </QueryView>
    );
  }
  if (!there) {
    const last = head.data ?? 0n;
    return (
      <Empty
        title={`There is no block ${formatInteger(number)} yet`}
        action={<LinkButton to={links.block(last)}>Open the latest block</LinkButton>}
      >
        The chain is at block {formatInteger(last)}. This page shows the block as soon as it is made.
      </Empty>
    );
  }
  return (
    <>
      <Neighbours
        previous={number === 0n ? null : links.block(number - 1n)}
        next={number === head.data ? null : links.block(number + 1n)}
      />
      <QueryView query={block} loading="Reading the block" what={`Block ${number}`}>
        {(data) => <Details block={data} />}
      </QueryView>
    </>
  );
}

function Details({ block }: { block: Block }) {
  const system = block.transactions.filter((one) => one.typeHex === SYSTEM_TYPE).length;
  return (
    <>
      <Card title="Block">
        <Facts
          rows={[
            ["When", <Time key="time" seconds={Number(block.timestamp)} absolute />],
            ["Hash", <Hash key="hash" value={block.hash} what="block hash" short={false} />],
            ["Before it", <Hash key="parent" value={block.parentHash} what="parent hash" />],
            ["State root", <Hash key="state" value={block.stateRoot} what="state root" />],
            ["Gas used", `${formatInteger(block.gasUsed)} of ${formatInteger(block.gasLimit)}`],
            ["Base fee", <Wei key="fee" value={block.baseFeePerGas} />],
            ["Size", formatBytes(Number(block.size))],
          ]}
        />
      </Card>
      <Card
        title="Transactions"
        intro={
          system > 0
            ? "The system's own transaction at the start carries what the chain learns from outside; nobody pays for it."
            : undefined
        }
        padded={false}
      >
        <TransactionTable transactions={block.transactions} />
      </Card>
    </>
  );
}

function TransactionTable({ transactions }: { transactions: readonly Transaction[] }) {
  const known = useKnownContracts();
  if (transactions.length === 0) {
    return (
      <div className="px-4 pb-4 sm:px-5">
        <Empty title="No transactions">Nobody sent one in this step.</Empty>
      </div>
    );
  }
  const columns: Column<Transaction>[] = [
    {
      id: "hash",
      header: "Transaction",
      cell: ({ row: { original } }) => (
        <span>
          <Hash value={original.hash} to={links.transaction(original.hash)} what="transaction" copy={false} />{" "}
          <SystemBadge transaction={original} />
        </span>
      ),
    },
    {
      id: "call",
      header: "What it does",
      cell: ({ row: { original } }) => {
        const call = decodeCall(known, original.to, original.input);
        if (call !== null) return call.what ?? wordsOf(call.name);
        return original.input === "0x" ? "Sends OPEN" : "Calls a contract";
      },
    },
    { id: "from", header: "From", cell: ({ row: { original } }) => <Party value={original.from} /> },
    { id: "to", header: "To", cell: ({ row: { original } }) => <Party value={original.to} /> },
    {
      id: "value",
      header: "Amount",
      meta: { numeric: true },
      cell: ({ row: { original } }) => <Wei value={original.value} />,
    },
  ];
  return (
    <DataTable
      label="Transactions of the block"
      columns={columns}
      rows={transactions}
      rowKey={(one) => one.hash}
    />
  );
}
