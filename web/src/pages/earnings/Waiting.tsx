import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import type { Address } from "viem";
import { statusQuery } from "../../api/queries";
import { useChain } from "../../chain/client";
import { count } from "../../lib/format";
import { Card } from "../../ui/Page";
import { ErrorState } from "../../ui/states";
import { Badge, useNow, Wei } from "../../ui/values";
import { statementQuery, waitingEpochsQuery } from "./queries";
import { byEpoch, timeLeft } from "./sums";

/** What is earned but not final: by epoch, and what each waits for. Shows nothing where nothing waits. */
export function WaitingCard({ address }: { address: Address }) {
  const { challengeWindowS } = useChain();
  const status = useQuery(statusQuery);
  const lastFinal = status.data?.settlement.last_final;
  const epochs = useQuery({ ...waitingEpochsQuery(lastFinal ?? 0), enabled: lastFinal !== undefined });
  const statement = useInfiniteQuery(statementQuery(address));
  const now = useNow() / 1000;
  if (epochs.error && epochs.data === undefined) {
    return (
      <Card title="Waiting">
        <ErrorState error={epochs.error} retry={() => epochs.refetch()} what="Epochs" />
      </Card>
    );
  }
  const lines = statement.data?.pages.flatMap((page) => page.data) ?? [];
  const open = new Map(
    epochs.data?.filter(({ state }) => state !== "final").map((epoch) => [epoch.number, epoch]),
  );
  const sums = byEpoch(lines).filter(({ epoch }) => open.has(epoch));
  if (sums.length === 0) return null;
  return (
    <Card
      title="Waiting"
      intro="Answers are settled epoch by epoch. After an epoch is posted on chain, anyone may challenge it for a while; then it is final and its credits can be claimed."
    >
      <ul className="grid gap-2 text-sm">
        {sums.map(({ epoch, wei, answers }) => (
          <li
            key={epoch}
            className="flex flex-wrap items-baseline justify-between gap-x-6 gap-y-1 border-t border-line pt-2 first:border-t-0 first:pt-0"
          >
            <span>
              <Link to={`/explorer/epoch/${epoch}`} className="link">
                Epoch {epoch}
              </Link>{" "}
              <Badge tone="warn">{open.get(epoch)?.state}</Badge>{" "}
              <span className="text-muted">
                {count(answers, "answer")}; waits {timeLeft(open.get(epoch), now, challengeWindowS)}
              </span>
            </span>
            <Wei value={wei} />
          </li>
        ))}
      </ul>
    </Card>
  );
}
