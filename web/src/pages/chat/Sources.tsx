/** Whom an answer pays: what it quotes, what shaped it, and the records behind both. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";
import { count, formatPercent, shortHex } from "../../lib/format";
import { Button } from "../../ui/Button";
import { cx } from "../../ui/classes";
import { Dialog } from "../../ui/Dialog";
import { ErrorState, Loading } from "../../ui/states";
import { AccountName, Badge, Wei } from "../../ui/values";
import { useWallet } from "../../wallet/wallet";
import { influenceClass } from "./AnswerText";
import { sharePart } from "./cost";
import { proveRecord, type RecordDetail, recordQuery } from "./queries";
import { covered, type Piece } from "./spans";
import type { Attribution, PoolShare, ScoredRecord, Span } from "./tree";

/** Records shown at once, each of which is read from the node. */
const RECORDS_SHOWN = 8;
/** Contributors shown below an answer. */
const CHIPS_MAX = 6;

/** What the drawer shows: some passages, one contributor's influence, or everything. */
export type Shown =
  | { kind: "spans"; spans: readonly number[] }
  | { kind: "contributor"; contributor: string }
  | { kind: "all" };

/** Below an answer: how much is quoted, who shaped it, and what that means. */
export function SourceStrip({
  attribution,
  pieces,
  length,
  onShow,
}: {
  attribution: Attribution;
  pieces: readonly Piece[];
  length: number;
  onShow: (shown: Shown) => void;
}) {
  const { spans, influence, pools } = attribution;
  const [explained, explain] = useState(false);
  const quoted = covered(length, pieces);
  const strongest = [...influence].sort((one, other) => other.weight - one.weight);
  return (
    <section
      aria-label="Sources of this answer"
      className="mt-3 grid gap-2 border-t border-line pt-3 text-sm"
    >
      <p>
        <span className="underline decoration-accent decoration-2 underline-offset-3">Quoted</span>:{" "}
        {spans.length === 0
          ? "no passage stands word for word in the training data."
          : `${count(spans.length, "passage")} (${formatPercent(quoted)} of the text) ${spans.length === 1 ? "stands" : "stand"} word for word in the training data.`}
      </p>
      <div className="flex flex-wrap items-center gap-x-2 gap-y-1.5">
        <span>
          <span className="rounded-xs bg-second/30 px-1">Shaped by</span>:
        </span>
        {influence.length === 0 && (
          <span className="text-muted">
            nobody stood out, as is always so where one person gave all the data;{" "}
            <Wei value={pools.influence_wei} /> go evenly to all accepted records.
          </span>
        )}
        {strongest.slice(0, CHIPS_MAX).map((share) => {
          const part = sharePart(share, influence);
          return (
            <button
              key={share.contributor}
              type="button"
              onClick={() => onShow({ kind: "contributor", contributor: share.contributor })}
              className={cx("rounded px-1.5 py-0.5 font-mono text-xs hover:underline", influenceClass(part))}
              title={`Records of ${share.contributor} that shaped the answer`}
            >
              {shortHex(share.contributor)} <span className="num font-sans">{formatPercent(part)}</span>
            </button>
          );
        })}
        {strongest.length > CHIPS_MAX && (
          <span className="text-muted">and {strongest.length - CHIPS_MAX} more</span>
        )}
      </div>
      <p className="text-muted">
        These records were found after the answer was written; the model did not look them up while writing.
      </p>
      <div className="flex flex-wrap gap-2">
        <Button size="sm" onPress={() => onShow({ kind: "all" })}>
          Show the records
        </Button>
        <Button size="sm" tone="ghost" aria-expanded={explained} onPress={() => explain(!explained)}>
          What does this mean?
        </Button>
      </div>
      {explained && (
        <div className="grid max-w-prose gap-2 text-muted">
          <p>
            <strong className="text-ink">Underlined</strong> passages stand word for word in records of the
            training data. Press one to see them. Whoever contributed them shares the provenance part of the
            fee.
          </p>
          <p>
            A coloured <strong className="text-ink">background</strong> is influence: how much training on
            somebody's records pushed the model towards this answer, estimated from gradients kept during
            training. It is measured for the answer as a whole, so the list above is what counts; a passage is
            the darker, the larger the part of the influence of those who hold it.
          </p>
          <p>Both are estimates of where the answer came from. Neither says that the answer is right.</p>
        </div>
      )}
    </section>
  );
}

/** The drawer with the records. */
export function SourceDrawer({
  attribution,
  snapshotRoots,
  shown,
  onClose,
}: {
  attribution: Attribution;
  snapshotRoots: readonly string[];
  shown: Shown | null;
  onClose: () => void;
}) {
  if (shown === null) return null;
  const { spans, influence, pools } = attribution;
  const passages = shown.kind === "spans" ? spans.filter((_, index) => shown.spans.includes(index)) : spans;
  const shares =
    shown.kind === "contributor"
      ? influence.filter((share) => share.contributor === shown.contributor)
      : influence;
  return (
    <Dialog kind="drawer" isOpen onClose={onClose} title="Records behind this answer">
      <div className="grid gap-6 text-sm">
        <p className="text-muted">
          Found after the answer was written. Each record shows who contributed it, to which Datanet, and what
          this answer paid for it.
        </p>
        {shown.kind !== "contributor" && (
          <section className="grid gap-3">
            <h3 className="font-semibold">
              Quoted passages <PoolNote wei={pools.provenance_wei} reserve={pools.provenance_to_reserve} />
            </h3>
            {passages.length === 0 && (
              <p className="text-muted">No passage stands word for word in the training data.</p>
            )}
            {passages.map((span) => (
              <Passage
                key={`${span.start_utf16}-${span.end_utf16}`}
                span={span}
                attribution={attribution}
                roots={snapshotRoots}
              />
            ))}
          </section>
        )}
        {shown.kind !== "spans" && (
          <section className="grid gap-3">
            <h3 className="font-semibold">
              Influence <PoolNote wei={pools.influence_wei} reserve={pools.influence_to_reserve} />
            </h3>
            {shares.length === 0 && (
              <p className="text-muted">
                No contributor's records stood out from the rest for this answer. Contributors are compared
                with each other, so one who gave all the data cannot stand out; the accepted records share
                evenly.
              </p>
            )}
            {[...shares]
              .sort((one, other) => other.weight - one.weight)
              .map((share) => (
                <Contributor
                  key={share.contributor}
                  share={share}
                  attribution={attribution}
                  roots={snapshotRoots}
                />
              ))}
          </section>
        )}
      </div>
    </Dialog>
  );
}

function PoolNote({ wei, reserve }: { wei: string; reserve: boolean }) {
  return (
    <span className="font-normal text-muted">
      · <Wei value={wei} /> {reserve ? "to all contributors evenly" : "to these contributors"}
    </span>
  );
}

function Passage({
  span,
  attribution,
  roots,
}: {
  span: Span;
  attribution: Attribution;
  roots: readonly string[];
}) {
  const earned = (hash: string) => scored(attribution.provenance, hash)?.earned_wei ?? null;
  return (
    <div className="grid gap-2">
      <blockquote className="border-l-3 border-accent pl-3 whitespace-pre-wrap">{span.text}</blockquote>
      <p className="text-muted">
        Occurs {count(span.occurrences, "time")} in the training text, in{" "}
        {count(span.records.length, "record")} named here.
      </p>
      <RecordList
        records={span.records.map(({ hash }) => ({ hash, earned: earned(hash), note: null }))}
        quoted={span.text}
        roots={roots}
      />
    </div>
  );
}

function Contributor({
  share,
  attribution,
  roots,
}: {
  share: PoolShare;
  attribution: Attribution;
  roots: readonly string[];
}) {
  const { account } = useWallet();
  const paid = attribution.payouts.find((one) => one.contributor === share.contributor);
  const part = sharePart(share, attribution.influence);
  return (
    <div className="grid gap-2">
      <p className="flex flex-wrap items-center gap-x-2">
        <AccountName value={share.contributor} you={account?.address} />
        <span className={cx("rounded px-1.5", influenceClass(part))}>
          {formatPercent(part, 1)} of the influence
        </span>
        {paid && (
          <span className="text-muted">
            paid <Wei value={paid.influence_wei} />
          </span>
        )}
      </p>
      <RecordList
        records={share.records.map((record) => ({
          hash: record.hash,
          earned: record.earned_wei,
          note: `Score ${record.score}`,
        }))}
        roots={roots}
      />
    </div>
  );
}

function scored(shares: readonly PoolShare[], hash: string): ScoredRecord | undefined {
  return shares.flatMap((share) => share.records).find((record) => record.hash === hash);
}

interface Listed {
  hash: string;
  earned: string | null;
  note: string | null;
}

function RecordList({
  records,
  quoted,
  roots,
}: {
  records: readonly Listed[];
  quoted?: string;
  roots: readonly string[];
}) {
  const [all, showAll] = useState(false);
  const visible = all ? records : records.slice(0, RECORDS_SHOWN);
  return (
    <ul className="grid gap-2">
      {visible.map((record) => (
        <li key={record.hash}>
          <RecordCard listed={record} quoted={quoted} roots={roots} />
        </li>
      ))}
      {records.length > visible.length && (
        <li>
          <Button size="sm" onPress={() => showAll(true)}>
            Show {records.length - visible.length} more
          </Button>
        </li>
      )}
    </ul>
  );
}

function RecordCard({
  listed,
  quoted,
  roots,
}: {
  listed: Listed;
  quoted?: string;
  roots: readonly string[];
}) {
  const { account } = useWallet();
  const query = useQuery(recordQuery(listed.hash));
  const record = query.data;
  return (
    <article className="grid gap-2 rounded-md border border-line bg-paper px-3 py-2.5">
      {query.error && !record && (
        <ErrorState
          error={query.error}
          what={`Record ${shortHex(listed.hash)}`}
          retry={() => query.refetch()}
        />
      )}
      {query.isPending && <Loading label="Reading the record …" className="py-1" />}
      {record && (
        <>
          <RecordText record={record} quoted={quoted} />
          <div className="flex flex-wrap items-center gap-x-3 gap-y-1 text-xs text-muted">
            <Link className="link" to={`/datanets/${record.datanet}`}>
              Datanet {record.datanet}
            </Link>
            <AccountName value={record.contributor} you={account?.address} copy={false} />
            <span>
              this answer paid {listed.earned === null ? "nothing for it" : <Wei value={listed.earned} />}
            </span>
            {listed.note && <span>{listed.note}</span>}
            <Link className="link" to={`/datanets/${record.datanet}/records/${record.hash}`}>
              Open the record
            </Link>
          </div>
          <ProofLine record={record} roots={roots} />
        </>
      )}
    </article>
  );
}

/** Whether the record stands in its Datanet's snapshot, checked here. */
function ProofLine({ record, roots }: { record: RecordDetail; roots: readonly string[] }) {
  const proof = proveRecord(record, roots);
  if (proof === null)
    return <p className="text-xs text-muted">The node gives no proof that it is in a snapshot.</p>;
  if (!proof.holds) {
    return (
      <p className="text-xs">
        <Badge tone="danger">proof fails</Badge> The Merkle proof does not lead to snapshot {proof.snapshot}.
      </p>
    );
  }
  if (proof.text === false) {
    return (
      <p className="text-xs">
        <Badge tone="danger">other text</Badge> This text, hashed with its salt, is not the record of the
        proof.
      </p>
    );
  }
  return (
    <p className="text-xs text-muted">
      <Badge tone="accent">proof holds</Badge> The Merkle proof, checked in this browser, leads to snapshot{" "}
      {proof.snapshot}
      {proof.trained ? ", on which the model was trained." : "; the model was trained on another one."}{" "}
      {proof.text === null
        ? "The record was taken back: its text can no longer be tied to its hash."
        : "Its hash, with the salt, is that of this text."}
    </p>
  );
}

/** Characters of a record's text before it is folded. */
const TEXT_CHARS = 480;

function RecordText({ record, quoted }: { record: RecordDetail; quoted?: string }) {
  const [whole, showWhole] = useState(false);
  const fields = textFields(record.body);
  const long = fields.reduce((sum, [, text]) => sum + text.length, 0) > TEXT_CHARS;
  return (
    <div className="grid gap-1.5">
      <dl className={cx("grid gap-1", long && !whole && "max-h-40 overflow-hidden")}>
        {fields.map(([name, text]) => (
          <div key={`${name}:${text.slice(0, 40)}`}>
            <dt className="text-xs text-muted">{name}</dt>
            <dd className="break-words whitespace-pre-wrap">
              <Quoting text={text} quoted={quoted} />
            </dd>
          </div>
        ))}
      </dl>
      {long && (
        <Button
          size="sm"
          tone="ghost"
          className="w-fit"
          aria-expanded={whole}
          onPress={() => showWhole(!whole)}
        >
          {whole ? "Less" : "All of it"}
        </Button>
      )}
    </div>
  );
}

/** A record's text with the first place of the quotation marked. */
function Quoting({ text, quoted }: { text: string; quoted?: string }) {
  const wanted = quoted?.trim() ?? "";
  const at = wanted === "" ? -1 : text.indexOf(wanted);
  if (at < 0) return text;
  return (
    <>
      {text.slice(0, at)}
      <mark className="bg-transparent text-ink underline decoration-accent decoration-2 underline-offset-3">
        {wanted}
      </mark>
      {text.slice(at + wanted.length)}
    </>
  );
}

function textFields(body: Readonly<Record<string, unknown>>): [string, string][] {
  const text = (value: unknown) => (typeof value === "string" ? value : (JSON.stringify(value) ?? ""));
  if (Array.isArray(body.messages)) {
    return body.messages.map((turn: unknown): [string, string] => {
      const { role, content } = (typeof turn === "object" && turn !== null ? turn : {}) as Record<
        string,
        unknown
      >;
      return [text(role ?? "turn"), text(content ?? turn)];
    });
  }
  return Object.entries(body).map(([name, value]) => [name, text(value)]);
}
