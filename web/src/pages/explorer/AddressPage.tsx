import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useParams } from "react-router";
import { type Address, getAddress, isAddress } from "viem";
import { useChain } from "../../chain/client";
import { formatBytes, formatInteger } from "../../lib/format";
import { saveFile } from "../../lib/save";
import { Button, LinkButton } from "../../ui/Button";
import { Card, Page } from "../../ui/Page";
import { Empty, ErrorState, Loading, QueryView } from "../../ui/states";
import { type Column, DataTable } from "../../ui/Table";
import { Badge, Facts, Hash, Wei } from "../../ui/values";
import { useWallet } from "../../wallet/wallet";
import { toCsv } from "./csv";
import { contractAt, inline } from "./decode";
import { links } from "./links";
import {
  eventName,
  Party,
  type ShownEvent,
  Unreadable,
  useEvents,
  useKnownContracts,
  ValuesLine,
} from "./parts";
import { addressQuery, eventsQuery, headQuery, LOG_BLOCKS } from "./queries";

const BACK = { to: links.explorer, label: "Explorer" };

export function AddressPage() {
  const { address = "" } = useParams();
  const readable = isAddress(address, { strict: false });
  return (
    <Page
      title="Address"
      back={BACK}
      intro="What an account or a contract holds, and what happened to it in recent blocks."
      actions={readable && <LinkButton to={links.earnings(address)}>Its earnings</LinkButton>}
    >
      {readable ? (
        <Known key={address} address={getAddress(address.toLowerCase())} />
      ) : (
        <Unreadable what="account" example="/explorer/address/0x… (40 digits)" />
      )}
    </Page>
  );
}

function Known({ address }: { address: Address }) {
  const info = useChain();
  const query = useQuery(addressQuery(info, address));
  const head = useQuery(headQuery(info));
  const contract = contractAt(useKnownContracts(), address);
  const { account } = useWallet();
  const own = account?.address === address;
  return (
    <>
      <Card title={contract?.name ?? "Overview"} intro={contract?.about}>
        <QueryView query={query} loading="Reading the balance from the chain" what="Balance">
          {({ balance, nonce, codeBytes }) => (
            <Facts
              rows={[
                [
                  "Address",
                  <span key="address">
                    <Hash value={address} what="address" short={false} />{" "}
                    {own && <Badge tone="accent">you</Badge>}
                  </span>,
                ],
                ["Balance", <Wei key="balance" value={balance} />],
                ...(codeBytes === 0 ? ([["Transactions sent", formatInteger(nonce)]] as const) : []),
                [
                  "Kind",
                  codeBytes === 0
                    ? "account of a person or a program"
                    : `contract, ${formatBytes(codeBytes)} of code`,
                ],
              ]}
            />
          )}
        </QueryView>
      </Card>
      {head.data === undefined ? (
        <QueryView query={head} loading="Asking how far the chain is" what="Events">
          {() => null}
        </QueryView>
      ) : (
        <Events address={address} latest={head.data} />
      )}
    </>
  );
}

/** Events are read backwards from the block that was the latest one when the page was opened, or refreshed. */
function Events({ address, latest }: { address: Address; latest: bigint }) {
  const [head, setHead] = useState(latest);
  const query = useInfiniteQuery(eventsQuery(useChain(), address, head));
  const events = useEvents((query.data?.pages ?? []).flatMap((page) => page.logs));
  const reached = query.data?.pages.at(-1)?.from;
  return (
    <Card
      title="Events"
      intro={`What contracts announced about it${reached === undefined ? "" : `, back to block ${formatInteger(reached)}`}. Transfers of OPEN without a contract announce nothing and are not listed.`}
      padded={events.length === 0}
      actions={
        <>
          {latest > head && (
            <Button size="sm" onPress={() => setHead(latest)}>
              Read {formatInteger(latest - head)} newer blocks
            </Button>
          )}
          <Button size="sm" isDisabled={events.length === 0} onPress={() => save(address, events)}>
            Save as CSV
          </Button>
        </>
      }
    >
      {query.isPending ? (
        query.error ? null : (
          <Loading label="Reading events from the chain …" />
        )
      ) : events.length === 0 ? (
        <Empty title="No events here">
          Nothing happened to it in these blocks{reached === 0n ? ", which are all there are" : ""}.
        </Empty>
      ) : (
        <DataTable
          label={`Events of ${address}`}
          columns={COLUMNS}
          rows={events}
          rowKey={(event) => event.key}
        />
      )}
      {query.error && <ErrorState error={query.error} retry={() => query.refetch()} what="Events" />}
      {query.hasNextPage && (
        <div className="px-4 py-3 sm:px-5">
          <Button
            size="sm"
            isPending={query.isFetchingNextPage}
            pendingLabel="Reading older blocks …"
            onPress={() => query.fetchNextPage()}
          >
            Look {formatInteger(LOG_BLOCKS)} blocks further back
          </Button>
        </div>
      )}
    </Card>
  );
}

function save(address: Address, events: readonly ShownEvent[]) {
  const header = ["block", "log_index", "transaction", "contract", "contract_address", "event", "values"];
  const rows = events.map(({ log, decoded }) => [
    log.blockNumber,
    log.logIndex,
    log.transactionHash,
    decoded?.contract.name ?? "",
    log.address,
    decoded?.name ?? log.topics[0] ?? "",
    decoded === null ? log.data : inline(decoded.args),
  ]);
  saveFile(`events-${address}.csv`, toCsv(header, rows));
}

const COLUMNS: Column<ShownEvent>[] = [
  {
    id: "block",
    header: "Block",
    accessorFn: ({ log }) => Number(log.blockNumber ?? 0n),
    cell: ({ row: { original } }) => (
      <Link to={links.block(original.log.blockNumber ?? 0n)} className="link num">
        {formatInteger(original.log.blockNumber ?? 0n)}
      </Link>
    ),
  },
  {
    id: "event",
    header: "Event",
    accessorFn: eventName,
    cell: ({ row: { original } }) => <span className="font-medium">{eventName(original)}</span>,
  },
  { id: "contract", header: "By", cell: ({ row: { original } }) => <Party value={original.log.address} /> },
  {
    id: "values",
    header: "What it says",
    enableSorting: false,
    cell: ({ row: { original } }) =>
      original.decoded === null ? (
        <span className="text-muted">none of our contracts</span>
      ) : (
        <ValuesLine values={original.decoded.args} />
      ),
  },
  {
    id: "transaction",
    header: "Transaction",
    enableSorting: false,
    cell: ({ row: { original } }) =>
      original.log.transactionHash && (
        <Hash
          value={original.log.transactionHash}
          to={links.transaction(original.log.transactionHash)}
          what="transaction"
          copy={false}
        />
      ),
  },
];
