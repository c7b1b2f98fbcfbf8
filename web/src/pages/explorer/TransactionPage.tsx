import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { Link, useParams } from "react-router";
import { type Hex, isHash } from "viem";
import { useChain } from "../../chain/client";
import { decodeRevert } from "../../chain/errors";
import { formatInteger } from "../../lib/format";
import { LinkButton } from "../../ui/Button";
import { Card, Page } from "../../ui/Page";
import { Empty, ErrorState, Loading, Notice } from "../../ui/states";
import { Badge, Facts, Hash, Time, Wei } from "../../ui/values";
import { decodeCall, wordsOf } from "./decode";
import { links } from "./links";
import { eventName, Party, SystemBadge, Unreadable, useEvents, useKnownContracts, Values } from "./parts";
import { type FoundTransaction as Found, isMissing, transactionQuery } from "./queries";

const BACK = { to: links.explorer, label: "Explorer" };

export function TransactionPage() {
  const { hash = "" } = useParams();
  return (
    <Page
      title="Transaction"
      back={BACK}
      intro="What somebody asked the chain to do, what it did, and what it cost."
    >
      {isHash(hash) ? (
        <Hashed hash={hash} />
      ) : (
        <Unreadable what="transaction" example="/explorer/tx/0x… (64 digits)" />
      )}
    </Page>
  );
}

function Hashed({ hash }: { hash: Hex }) {
  const query = useQuery(transactionQuery(useChain(), hash));
  if (query.data !== undefined) return <Details found={query.data} />;
  if (query.error && isMissing(query.error)) {
    return (
      <Empty
        title="The chain knows no such transaction"
        action={<LinkButton to={links.search(hash)}>Search for the hash</LinkButton>}
      >
        It may be the hash of something else, such as a receipt or a record, or belong to another chain.
      </Empty>
    );
  }
  if (query.error) return <ErrorState error={query.error} retry={() => query.refetch()} what="Transaction" />;
  return <Loading label="Reading the transaction from the chain …" />;
}

function outcome({ receipt }: Found) {
  if (receipt === null) return <Badge tone="warn">waiting for a block</Badge>;
  return receipt.status === "success" ? (
    <Badge tone="accent">done</Badge>
  ) : (
    <Badge tone="danger">refused</Badge>
  );
}

function Details({ found }: { found: Found }) {
  const { transaction, receipt, timestamp } = found;
  const fee = receipt === null ? null : receipt.gasUsed * receipt.effectiveGasPrice;
  const created = receipt?.contractAddress ?? null;
  return (
    <>
      {receipt?.status === "reverted" && <Refusal output={found.output} />}
      <Card title="Overview">
        <Facts
          rows={[
            ["Hash", <Hash key="hash" value={transaction.hash} what="transaction" short={false} />],
            [
              "Outcome",
              <span key="outcome">
                {outcome(found)} <SystemBadge transaction={transaction} />
              </span>,
            ],
            [
              "Block",
              receipt === null ? (
                "—"
              ) : (
                <Link key="block" to={links.block(receipt.blockNumber)} className="link num">
                  {formatInteger(receipt.blockNumber)}
                </Link>
              ),
            ],
            ["When", timestamp === null ? "—" : <Time key="time" seconds={Number(timestamp)} absolute />],
            ["From", <Party key="from" value={transaction.from} copy />],
            created === null
              ? ["To", <Party key="to" value={transaction.to} copy />]
              : ["Created contract", <Party key="created" value={created} copy />],
            ["Amount sent along", <Wei key="value" value={transaction.value} />],
            ["Fee", <Wei key="fee" value={fee} />],
            [
              "Gas",
              receipt === null
                ? `up to ${formatInteger(transaction.gas)}`
                : `${formatInteger(receipt.gasUsed)} of at most ${formatInteger(transaction.gas)}`,
            ],
            ["Number of the sender", formatInteger(transaction.nonce)],
          ]}
        />
      </Card>
      <CallCard found={found} />
      {receipt !== null && <EventsCard found={found} />}
    </>
  );
}

/** Why a contract refused, as a sentence where it gave one that we know. */
function Refusal({ output }: { output: Hex | null }) {
  const why =
    output === null
      ? "The chain no longer keeps the state that this ran on, so the reason cannot be read again."
      : output === "0x"
        ? "The contract gave no reason."
        : (decodeRevert(output) ?? "The contract gave a reason in a form that none of ours uses.");
  return (
    <Notice tone="danger" title="The contract refused this transaction">
      {why} Nothing was changed; the sender paid the fee.
      {output !== null && output !== "0x" && (
        <details className="mt-1">
          <summary className="w-fit text-muted">What it gave back</summary>
          <code className="font-mono text-xs break-all">{output}</code>
        </details>
      )}
    </Notice>
  );
}

function CallCard({ found: { transaction } }: { found: Found }) {
  const known = useKnownContracts();
  const { to, input } = transaction;
  const call = useMemo(() => decodeCall(known, to, input), [known, to, input]);
  if (input === "0x") {
    return (
      <Card title="What it does">
        <p className="text-sm">
          Sends <Wei value={transaction.value} /> to <Party value={to} />. It calls no function.
        </p>
      </Card>
    );
  }
  return (
    <Card
      title="What it does"
      intro={
        call === null
          ? "This is none of our contracts, so only the bytes can be shown."
          : `${call.what ?? wordsOf(call.name)}: calls ${call.name} of the ${call.contract.name}.`
      }
    >
      {call !== null && <Values values={call.args} />}
      <details className="mt-3 text-sm" open={call === null}>
        <summary className="w-fit text-muted hover:text-ink">Bytes of the call</summary>
        <code className="mt-1 block max-h-48 overflow-auto rounded-md bg-sunken p-3 font-mono text-xs break-all">
          {input}
        </code>
      </details>
    </Card>
  );
}

function EventsCard({ found: { receipt } }: { found: Found }) {
  const events = useEvents(receipt?.logs ?? []);
  return (
    <Card title="Events" intro="What the contracts announced while they ran, in order.">
      {events.length === 0 ? (
        <p className="text-sm text-muted">None.</p>
      ) : (
        <ol className="grid gap-4">
          {events.map((event) => (
            <li key={event.key} className="border-t border-line pt-3 first:border-t-0 first:pt-0">
              <h3 className="mb-1 text-sm font-medium">
                {eventName(event)} <span className="font-normal text-muted">by</span>{" "}
                <Party value={event.log.address} />
              </h3>
              {event.decoded === null ? (
                <code className="block font-mono text-xs break-all">
                  {[...event.log.topics, event.log.data].join(" ")}
                </code>
              ) : (
                <Values values={event.decoded.args} />
              )}
            </li>
          ))}
        </ol>
      )}
    </Card>
  );
}
