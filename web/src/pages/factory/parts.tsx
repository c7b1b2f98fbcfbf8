/** Small parts that the pages of ModelFactory share. */
import { useMutation } from "@tanstack/react-query";
import { Link } from "react-router";
import { Button, LinkButton } from "../../ui/Button";
import { ErrorState, Notice } from "../../ui/states";
import { Badge, Hash } from "../../ui/values";
import { Declined } from "../../wallet/approval";
import { useSession } from "../../wallet/session";
import { useWallet } from "../../wallet/wallet";
import type { JobState } from "./history";
import type { Recipe } from "./settings";

const STATES: Record<JobState, { label: string; tone: "plain" | "accent" | "warn" | "danger" }> = {
  queued: { label: "waiting", tone: "plain" },
  running: { label: "running", tone: "accent" },
  paused: { label: "paused", tone: "warn" },
  cancelled: { label: "cancelled", tone: "plain" },
  failed: { label: "failed", tone: "danger" },
  done: { label: "done", tone: "accent" },
};

export function StateBadge({ state }: { state: JobState }) {
  const { label, tone } = STATES[state] ?? { label: state, tone: "plain" as const };
  return <Badge tone={tone}>{label}</Badge>;
}

/** The data that a recipe trains on, each with a way to it. */
export function DataLinks({ snapshots }: { snapshots: Recipe["snapshots"] }) {
  return (
    <ul className="grid gap-0.5">
      {snapshots.map(({ datanet, snapshot }) => (
        <li key={`${datanet}.${snapshot}`}>
          <Link className="link" to={`/datanets/${datanet}/snapshots`}>
            Datanet {datanet}, snapshot {snapshot}
          </Link>
        </li>
      ))}
    </ul>
  );
}

/** The models that one is built on, by their ids on chain: not every one need be served here. */
export function ParentIds({ parents }: { parents: readonly string[] }) {
  return (
    <span className="grid gap-1">
      {parents.map((parent) => (
        <Hash key={parent} value={parent} what="model id of a parent" />
      ))}
    </span>
  );
}

/** A loss as it is written everywhere. */
export const formatLoss = (loss: number) => loss.toFixed(3);

/** Connect and sign in, with what it is for. */
export function SignInNotice({ why }: { why: string }) {
  const { account } = useWallet();
  const { signedIn, signIn } = useSession();
  const sign = useMutation({ mutationFn: signIn });
  if (signedIn) return null;
  return (
    <>
      <Notice
        tone="warn"
        title={account === null ? "No account is connected" : "You are not signed in"}
        action={
          account === null ? (
            <LinkButton to="/account" size="sm">
              Connect an account
            </LinkButton>
          ) : (
            <Button
              size="sm"
              isPending={sign.isPending}
              pendingLabel="Signing in …"
              onPress={() => sign.mutate()}
            >
              Sign in
            </Button>
          )
        }
      >
        {why}
      </Notice>
      {sign.error && !(sign.error instanceof Declined) && (
        <ErrorState error={sign.error} what="The sign-in" />
      )}
    </>
  );
}
