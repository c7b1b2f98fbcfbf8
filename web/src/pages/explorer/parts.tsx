/** Pieces that the explorer's pages share. */
import { type FormEvent, type ReactNode, useMemo, useState } from "react";
import { Link, useNavigate } from "react-router";
import type { Address, Log } from "viem";
import { useChain } from "../../chain/client";
import { formatInteger } from "../../lib/format";
import { Button } from "../../ui/Button";
import { TextField } from "../../ui/fields";
import { AccountName, Badge, Hash, Time, Wei } from "../../ui/values";
import {
  contractAt,
  type DecodedEvent,
  decodeEvent,
  type KnownContract,
  knownContracts,
  type NamedValue,
  wordsOf,
} from "./decode";
import { links } from "./links";
import { SYSTEM_TYPE, type Transaction } from "./queries";
import { SEARCH_MAX } from "./search";

export function useKnownContracts(): KnownContract[] {
  const chain = useChain();
  return useMemo(() => knownContracts(chain), [chain]);
}

/** The box that finds everything. */
export function SearchBox({ initial = "" }: { initial?: string }) {
  const [text, setText] = useState(initial);
  const navigate = useNavigate();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (text.trim() !== "") navigate(links.search(text.trim()));
  };
  return (
    <search>
      <form onSubmit={submit} className="flex items-end gap-2">
        <TextField
          label="Find a block, transaction, address, receipt, epoch, model or Datanet"
          placeholder="42, 0x…, epoch 3, or a name"
          type="search"
          maxLength={SEARCH_MAX}
          value={text}
          onChange={setText}
          className="w-full max-w-xl"
        />
        <Button type="submit" tone="primary">
          Search
        </Button>
      </form>
    </search>
  );
}

/** An account, under its contract's name where it is one of ours. */
export function Party({ value, copy = false }: { value: Address | null | undefined; copy?: boolean }) {
  const known = useKnownContracts();
  if (!value) return <span className="text-muted">—</span>;
  const contract = contractAt(known, value);
  if (contract === null) return <AccountName value={value} copy={copy} />;
  return (
    <Link to={links.address(value)} className="link" title={value}>
      {contract.name}
    </Link>
  );
}

/** A decoded plain value in the form that suits what it is. */
function Plain({ value: { meaning, text, type } }: { value: NamedValue }) {
  if (text === null) return null;
  if (meaning === "address") return <Party value={text as Address} copy />;
  if (meaning === "hash") return <Hash value={text} />;
  if (meaning === "wei") return <Wei value={text} />;
  if (meaning === "time") return text === "0" ? <>never</> : <Time seconds={Number(text)} absolute />;
  if (meaning === "bps") return <>{Number(text) / 100} %</>;
  if (meaning === "flag") return <>{text === "true" ? "yes" : "no"}</>;
  if (meaning === "bytes") return <span className="font-mono text-xs break-all">{text}</span>;
  if (meaning === "number" && /^u?int/.test(type))
    return <span className="num">{formatInteger(BigInt(text))}</span>;
  return <span className="break-words whitespace-pre-wrap">{text}</span>;
}

/** Decoded values with their names, what is made of others indented. */
export function Values({ values }: { values: readonly NamedValue[] }) {
  if (values.length === 0) return <p className="text-sm text-muted">No arguments.</p>;
  return (
    <dl className="grid gap-1 text-sm">
      {values.map((value) => (
        <div key={value.name} className={value.text === null ? "" : "flex flex-wrap gap-x-3"}>
          <dt className="min-w-32 text-muted" title={value.type}>
            {value.name}
          </dt>
          <dd className="min-w-0">
            {value.text === null ? (
              <div className="mt-0.5 border-l border-line pl-3">
                <Values values={value.parts} />
              </div>
            ) : (
              <Plain value={value} />
            )}
          </dd>
        </div>
      ))}
    </dl>
  );
}

/** Values in a line, for tables; what is made of others is left to the transaction's page. */
export function ValuesLine({ values }: { values: readonly NamedValue[] }) {
  const plain = values.filter((value) => value.text !== null);
  return (
    <span className="flex flex-wrap gap-x-3 gap-y-0.5">
      {plain.map((value) => (
        <span key={value.name} className="max-w-72 truncate">
          <span className="text-muted">{value.name} </span>
          <Plain value={value} />
        </span>
      ))}
      {plain.length < values.length && <span className="text-muted">and more</span>}
    </span>
  );
}

export interface ShownEvent {
  key: string;
  log: Log;
  decoded: DecodedEvent | null;
}

/** Logs with what they say. */
export function useEvents(logs: readonly Log[]): ShownEvent[] {
  const known = useKnownContracts();
  return useMemo(
    () =>
      logs.map((log) => ({
        key: `${log.blockNumber}-${log.logIndex}`,
        log,
        decoded: decodeEvent(known, log),
      })),
    [logs, known],
  );
}

export function eventName({ decoded }: ShownEvent): string {
  return decoded === null ? "Unknown event" : wordsOf(decoded.name);
}

/** Names what kind a transaction is where that is not an ordinary one. */
export function SystemBadge({ transaction }: { transaction: Pick<Transaction, "typeHex"> }) {
  return transaction.typeHex === SYSTEM_TYPE ? <Badge>system</Badge> : null;
}

/** Steps to the number before and after. */
export function Neighbours({ previous, next }: { previous: string | null; next: string | null }) {
  const step = (to: string | null, label: ReactNode) =>
    to === null ? (
      <span className="text-sm text-muted">{label}</span>
    ) : (
      <Link to={to} className="link text-sm">
        {label}
      </Link>
    );
  return (
    <nav aria-label="Neighbours" className="flex gap-4">
      {step(previous, "← Previous")}
      {step(next, "Next →")}
    </nav>
  );
}

/** What an address in the page's URL that cannot be one is answered with. */
export function Unreadable({ what, example }: { what: string; example: string }) {
  return (
    <div className="grid gap-4">
      <p className="text-sm">
        The address of this page names no {what}. It should look like{" "}
        <code className="font-mono text-xs">{example}</code>.
      </p>
      <SearchBox />
    </div>
  );
}
