/** Before anything starts: what it would take, and what would be learnt of each record. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import type { components } from "../../api/generated/schema";
import { count, formatBytes, formatDuration, formatInteger } from "../../lib/format";
import { Button } from "../../ui/Button";
import { cx } from "../../ui/classes";
import { Card } from "../../ui/Page";
import { ErrorState, Loading, Notice } from "../../ui/states";
import { Stat, StatRow } from "../../ui/values";
import { estimateQuery, maskQuery, type SubmitJob } from "./queries";
import { Refusals } from "./Refusals";

/** Said while nothing can be computed: what is missing, or that it comes. */
function Waiting({ chosen }: { chosen: boolean }) {
  return chosen ? (
    <Loading label="Reading the records …" className="py-1" />
  ) : (
    <p className="text-sm text-muted">Choose data first.</p>
  );
}

export interface BeforeStart {
  /** What would be started; null while something is missing or wrong. */
  submission: SubmitJob | null;
  /** Whether it is only being made, because all that it needs is chosen. */
  chosen: boolean;
}

type Speed = NonNullable<components["schemas"]["Speed"]>;

/** Where the times come from. */
function measuredOn({ jobs, train_tokens_per_s }: Speed): string {
  const from =
    jobs === 0 ? "a short step on this machine" : `${count(jobs, "job")} that ended on this machine`;
  return `The times follow from ${from}: ${formatInteger(Math.round(train_tokens_per_s))} tokens a second.`;
}

export function EstimateCard({ submission, chosen }: BeforeStart) {
  const query = useQuery(estimateQuery(submission));
  const { data, isPlaceholderData, isFetching } = query;
  return (
    <Card
      title="What it would take"
      intro="Estimated for this machine, from your data and settings. Nothing is started by looking."
    >
      {submission === null ? (
        <Waiting chosen={chosen} />
      ) : query.error ? (
        <ErrorState error={query.error} what="This job could not be started" retry={() => query.refetch()} />
      ) : data === undefined ? (
        <Loading label="Reading the records and estimating …" />
      ) : (
        <div className={cx("grid gap-4", isPlaceholderData && "opacity-60")} aria-busy={isFetching}>
          <StatRow>
            <Stat label="Training" note={count(data.estimate.steps, "step")}>
              {formatDuration(data.estimate.train_s)}
            </Stat>
            <Stat label="Indexing" note="so that answers can be traced">
              {formatDuration(data.estimate.index_s)}
            </Stat>
            <Stat label="Memory" note="beside the base model">
              {formatBytes(data.estimate.memory_bytes)}
            </Stat>
            <Stat label="Disk">{formatBytes(data.estimate.disk_bytes)}</Stat>
            <Stat label="Cost" note="publishing it later costs a transaction fee">
              none
            </Stat>
          </StatRow>
          <p className="text-sm">
            {count(data.records.used, "record")} train
            {data.records.truncated > 0 &&
              `, ${formatInteger(data.records.truncated)} of them cut off at the length limit`}
            {data.records.refused > 0 && `; ${count(data.records.refused, "record")} cannot`}.{" "}
            {count(data.estimate.tokens, "token")} are read over all passes, and{" "}
            {count(data.estimate.parameters, "number")} of the adapter are trained.
            {data.estimate.speed && ` ${measuredOn(data.estimate.speed)}`}
          </p>
          <Refusals refusals={data.records.refusals} refused={data.records.refused} />
          {data.records.used === 0 && (
            <Notice tone="danger">
              No record would train. Raise the length limit, or choose other data.
            </Notice>
          )}
        </div>
      )}
    </Card>
  );
}

/** The first records as tokens; those that are learnt stand out. */
export function MaskCard({ submission, chosen }: BeforeStart) {
  const [shown, show] = useState(false);
  const query = useQuery(maskQuery(shown ? submission : null));
  const { data } = query;
  return (
    <Card
      title="What it would learn"
      intro="The first records as the model reads them. Underlined text is learnt; the rest is only read."
      actions={
        <Button size="sm" isDisabled={submission === null} aria-expanded={shown} onPress={() => show(!shown)}>
          {shown ? "Hide it" : "Show the first records"}
        </Button>
      }
    >
      {!shown || submission === null ? (
        submission === null ? (
          <Waiting chosen={chosen} />
        ) : (
          <p className="text-sm text-muted">
            Worth a look: it shows a wrong mapping before hours are spent on it.
          </p>
        )
      ) : query.error ? (
        <ErrorState error={query.error} what="The preview" retry={() => query.refetch()} />
      ) : data === undefined ? (
        <Loading label="Reading the first records …" />
      ) : data.records.length === 0 ? (
        <p className="text-sm text-muted">No record would train.</p>
      ) : (
        <ol className="grid gap-4">
          {data.records.map(({ tokens }, index) => {
            const trained = tokens.filter((token) => token.trained).length;
            return (
              // biome-ignore lint/suspicious/noArrayIndexKey: records of a preview have no other name
              <li key={index} className="grid gap-1">
                <p className="text-sm">
                  Record {index + 1}: {trained} of {count(tokens.length, "token")} learnt
                  {trained === 0 && <span className="text-danger"> (nothing of it is learnt)</span>}
                </p>
                <MaskedText tokens={tokens} index={index} />
              </li>
            );
          })}
        </ol>
      )}
    </Card>
  );
}

function MaskedText({
  tokens,
  index,
}: {
  tokens: readonly { text: string; trained: boolean }[];
  index: number;
}) {
  return (
    <div
      role="region"
      aria-label={`Tokens of record ${index + 1}`}
      tabIndex={0}
      className="max-h-56 overflow-y-auto rounded-md border border-line bg-paper px-3 py-2 font-mono text-xs break-words whitespace-pre-wrap"
    >
      {runs(tokens).map(({ text, trained, from }) =>
        trained ? (
          <ins
            key={from}
            className="rounded-xs bg-accent-soft underline decoration-accent decoration-2 underline-offset-3"
          >
            {text}
          </ins>
        ) : (
          <span key={from} className="text-muted">
            {text}
          </span>
        ),
      )}
    </div>
  );
}

/** Neighbouring tokens of one kind as one run: a screen reader reads sentences, not pieces. */
function runs(tokens: readonly { text: string; trained: boolean }[]) {
  const joined: { text: string; trained: boolean; from: number }[] = [];
  for (const [from, { text, trained }] of tokens.entries()) {
    const last = joined.at(-1);
    if (last !== undefined && last.trained === trained) last.text += text;
    else joined.push({ text, trained, from });
  }
  return joined;
}
