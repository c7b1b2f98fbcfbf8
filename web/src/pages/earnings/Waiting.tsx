import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import type { Address } from "viem";
import { statusQuery } from "../../api/queries";
import { useChain } from "../../chain/client";
import { count } from "../../lib/format";
import { Card } from "../../ui/Page";
import { ErrorState } from "../../ui/states";
import { Badge, useNow, Wei } from "../../ui/values";
import { waitingEpochsQuery, waitingSumsQuery } from "./queries";
import { timeLeft } from "./sums";

/** Epochs that are shown one by one, the first to become final first; the others are summed. */
const SHOWN_MAX = 20;

/** What is earned but not final: by epoch, and what each waits for. Shows nothing where nothing waits. */
export function WaitingCard({ address }: { address: Address }) {
  const { challengeWindowS } = useChain();
  const status = useQuery(statusQuery);
  const lastFinal = status.data?.settlement.last_final;
  const epochs = useQuery({ ...waitingEpochsQuery(lastFinal ?? 0), enabled: lastFinal !== undefined });
  const earned = useQuery({ ...waitingSumsQuery(address, lastFinal ?? 0), enabled: lastFinal !== undefined });
  const now = useNow() / 1000;
  if (epochs.error && epochs.data === undefined) {
    return (
      <Card title="Waiting">
        <ErrorState error={epochs.error} retry={() => epochs.refetch()} what="Epochs" />
      </Card>
    );
  }
  if (earned.error && earned.data === undefined) {
    return (
      <Card title="Waiting">
        <ErrorState error={earned.error} retry={() => earned.refetch()} what="Statement" />
      </Card>
    );
  }
  const epochOf = new Map(epochs.data?.map((epoch) => [epoch.number, epoch]));
  const { sums: all = [], whole = true } = earned.data ?? {};
  const sums = all.filter(({ epoch }) => epochOf.get(epoch)?.state !== "final");
  const [shown, later] = [sums.slice(0, SHOWN_MAX), sums.slice(SHOWN_MAX)];
  if (sums.length === 0) return null;
  return (
    <Card
      title="Waiting"
      intro="Answers are settled epoch by epoch. After an epoch is posted on chain, anyone may challenge it for a while; then it is final and its credits can be claimed."
    >
      <ul className="grid gap-2 text-sm">
        {shown.map(({ epoch, wei, answers }) => (
          <li
            key={epoch}
            className="flex flex-wrap items-baseline justify-between gap-x-6 gap-y-1 border-t border-line pt-2 first:border-t-0 first:pt-0"
          >
            <span>
              <Link to={`/explorer/epoch/${epoch}`} className="link">
                Epoch {epoch}
              </Link>{" "}
              {epochOf.has(epoch) && <Badge tone="warn">{epochOf.get(epoch)?.state}</Badge>}{" "}
              <span className="text-muted">
                {count(answers, "answer")}; waits {timeLeft(epochOf.get(epoch), now, challengeWindowS)}
              </span>
            </span>
            <Wei value={wei} />
          </li>
        ))}
        {later.length > 0 && (
          <li className="flex flex-wrap items-baseline justify-between gap-x-6 gap-y-1 border-t border-line pt-2">
            <span className="text-muted">{count(later.length, "later epoch")}, together</span>
            <Wei value={later.reduce((sum, { wei }) => sum + wei, 0n)} />
          </li>
        )}
      </ul>
      {!whole && (
        <p className="mt-2 text-sm text-muted">
          There are more answers than were read here; an epoch may bring more than is shown.
        </p>
      )}
    </Card>
  );
}
