/** Says what comes next on the way to the first earned OPEN; gone once it is earned, or put away. */
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useLocation } from "react-router";
import type { Address } from "viem";
import { claimQuery, datanetsQuery, modelsQuery } from "../../api/queries";
import { useChain } from "../../chain/client";
import { useBalance } from "../../layout/AccountMenu";
import { Button, LinkButton } from "../../ui/Button";
import { cx } from "../../ui/classes";
import { Card } from "../../ui/Page";
import { useSession } from "../../wallet/session";
import { earningsQuery } from "../earnings/queries";
import { type FirstStep, firstSteps, nextStep, type Standing } from "./steps";

const PUT_AWAY = "openledger.first-steps";

function isPutAway(): boolean {
  try {
    return localStorage.getItem(PUT_AWAY) !== null;
  } catch {
    return false;
  }
}

/** What the account has done; null while that is being read, or cannot be. */
function useStanding(address: Address): Standing | null {
  const { faucetWei } = useChain();
  const { signedIn } = useSession();
  const balance = useBalance().data;
  const datanets = useInfiniteQuery(datanetsQuery({ owner: address })).data;
  const models = useQuery(modelsQuery).data;
  const earnings = useQuery(earningsQuery(address)).data;
  const claim = useQuery(claimQuery(address)).data;
  if (balance === undefined || !datanets || !models || !earnings || !claim) return null;
  const [furthest] = datanets.pages
    .flatMap((page) => page.data)
    .sort((one, other) => other.snapshots - one.snapshots || other.records_accepted - one.records_accepted);
  const own = models.find(({ owned_by }) => owned_by.toLowerCase() === address.toLowerCase());
  return {
    balance,
    faucet: faucetWei !== null,
    signedIn,
    datanet: furthest
      ? { id: furthest.id, records: furthest.records_accepted, snapshots: furthest.snapshots }
      : null,
    model: own?.id ?? null,
    earned: BigInt(earnings.credited_wei) + BigInt(earnings.pending_wei),
    claimed: BigInt(earnings.claimed_wei),
  };
}

export function FirstSteps({ address }: { address: Address }) {
  const standing = useStanding(address);
  const [away, putAway] = useState(isPutAway);
  if (away || standing === null) return null;
  const steps = firstSteps(standing);
  const next = nextStep(steps);
  if (next === null) return null;
  const hide = () => {
    putAway(true);
    try {
      localStorage.setItem(PUT_AWAY, "1");
    } catch {
      // Storage is switched off: it is gone as long as the page.
    }
  };
  return (
    <Card
      title="From here to your first earned OPEN"
      intro={`Step ${steps.indexOf(next) + 1} of ${steps.length}. Everything happens on these pages.`}
      actions={
        <Button size="sm" tone="ghost" onPress={hide}>
          Put away
        </Button>
      }
    >
      <ol className="grid gap-2 text-sm">
        {steps.map((step, index) => (
          <Line key={step.name} step={step} number={index + 1} now={step === next} />
        ))}
      </ol>
    </Card>
  );
}

function Line({ step, number, now }: { step: FirstStep; number: number; now: boolean }) {
  const { pathname } = useLocation();
  const { name, what, to, action, done } = step;
  return (
    <li className="flex items-start gap-3" aria-current={now ? "step" : undefined}>
      <span
        className={cx(
          "num mt-px grid size-5 shrink-0 place-items-center rounded-full text-xs font-semibold",
          now ? "bg-accent text-on-accent" : "bg-accent-soft text-accent-strong",
        )}
      >
        {done ? <span aria-hidden="true">✓</span> : number}
      </span>
      <div className={cx("min-w-0", now && "grid justify-items-start gap-2")}>
        <p className={cx(now ? "font-medium" : "text-muted")}>
          {name}
          {done && <span className="sr-only">, done</span>}
          {now && <span className="block font-normal text-muted">{what}</span>}
        </p>
        {now && to !== pathname && (
          <LinkButton to={to} tone="primary" size="sm">
            {action}
          </LinkButton>
        )}
      </div>
    </li>
  );
}
