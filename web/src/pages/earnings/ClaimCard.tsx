import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import type { Abi, Address } from "viem";
import { keys } from "../../api/keys";
import { claimQuery } from "../../api/queries";
import { inferenceHubAbi } from "../../chain/abis";
import { useChain } from "../../chain/client";
import { shortHex } from "../../lib/format";
import { Button, LinkButton } from "../../ui/Button";
import { Card } from "../../ui/Page";
import { ErrorState, Loading, Notice } from "../../ui/states";
import { Hash, Wei } from "../../ui/values";
import { Declined } from "../../wallet/approval";
import { useSend } from "../../wallet/send";
import { useWallet } from "../../wallet/wallet";
import { type CheckedClaim, checkClaim } from "./claim";
import { type ClaimView, hubClaimQuery } from "./queries";

/** Takes out what is credited, in one transaction, after its proof was checked here. */
export function ClaimCard({ address }: { address: Address }) {
  const info = useChain();
  const claim = useQuery(claimQuery(address));
  const hub = useQuery({
    ...hubClaimQuery(info, address, claim.data?.epoch ?? 0),
    enabled: claim.data !== undefined,
  });
  const error = claim.data === undefined ? claim.error : hub.data === undefined ? hub.error : null;
  const retry = () => {
    claim.refetch();
    hub.refetch();
  };
  return (
    <Card title="Claim" intro="Moves what final epochs credit into the account, in one transaction.">
      {error ? (
        <ErrorState error={error} retry={retry} what="Claim" />
      ) : claim.data === undefined || hub.data === undefined ? (
        <Loading label="Reading the proof and checking it against the chain …" />
      ) : (
        <Checked
          address={address}
          claim={claim.data}
          checked={checkClaim(claim.data, address, info.hub, hub.data)}
          retry={retry}
        />
      )}
    </Card>
  );
}

interface CheckedProps {
  address: Address;
  claim: ClaimView;
  checked: CheckedClaim;
  retry: () => void;
}

function Checked({ address, claim, checked, retry }: CheckedProps) {
  switch (checked.kind) {
    case "none":
      return (
        <p className="text-sm text-muted">
          Nothing to claim yet: no final epoch credits this account. What waits in epochs that are not final
          is below.
        </p>
      );
    case "all-claimed":
      return (
        <p className="text-sm">
          Everything that is final is claimed: <Wei value={checked.cumulative} /> so far.
        </p>
      );
    case "behind":
      return (
        <Notice
          title="The chain has just moved on"
          action={
            <Button size="sm" onPress={retry}>
              Look again
            </Button>
          }
        >
          Node and chain are at different epochs. This settles by itself within moments.
        </Notice>
      );
    case "wrong":
      return (
        <Notice
          tone="danger"
          title="The node's proof does not hold"
          action={
            <Button size="sm" onPress={retry}>
              Ask again
            </Button>
          }
        >
          {checked.reason} The hub would refuse it, so nothing is offered to be signed.
        </Notice>
      );
    case "ready":
      return <Ready address={address} epoch={claim.epoch} checked={checked} />;
  }
}

function Ready({
  address,
  epoch,
  checked,
}: {
  address: Address;
  epoch: number;
  checked: Extract<CheckedClaim, { kind: "ready" }>;
}) {
  const { account } = useWallet();
  const { contracts } = useChain();
  const send = useSend();
  const cache = useQueryClient();
  const own = account?.address === address;
  const claiming = useMutation({
    mutationFn: () =>
      send({
        title: "Claim earnings",
        what: own
          ? "Moves what you earned from the inference hub into your account."
          : `Moves what was earned into the account that earned it, ${shortHex(address)}. You pay the fee; the money is not yours.`,
        address: contracts.inferenceHub,
        abi: inferenceHubAbi as Abi,
        functionName: "claim",
        args: checked.args,
        fields: [
          ["Pays", <Wei key="amount" value={checked.amount} />],
          ["To", <Hash key="to" value={address} what="account" copy={false} />],
          ["Proved under", `epoch ${epoch}`],
        ],
        confirm: "Claim",
      }),
    onSuccess: () => cache.invalidateQueries({ queryKey: keys.accounts }),
  });
  const failed = claiming.error && !(claiming.error instanceof Declined) ? claiming.error : null;
  return (
    <div className="grid gap-3">
      <div className="flex flex-wrap items-center justify-between gap-3">
        <p className="text-sm">
          <Wei value={checked.amount} className="text-lg font-semibold" /> can be claimed.{" "}
          <span className="text-muted">
            <span aria-hidden="true">✓ </span>The proof was checked in this browser against the root of epoch{" "}
            {epoch} on chain.
          </span>
        </p>
        {account === null ? (
          <LinkButton to="/account" tone="primary">
            Connect to claim
          </LinkButton>
        ) : (
          <Button
            tone="primary"
            isPending={claiming.isPending}
            pendingLabel="Claiming …"
            onPress={() => claiming.mutate()}
          >
            {own ? "Claim" : "Claim for this account"}
          </Button>
        )}
      </div>
      {claiming.error instanceof Declined && (
        <p role="status" className="text-sm text-muted">
          {claiming.error.message}
        </p>
      )}
      {failed && <ErrorState error={failed} retry={() => claiming.mutate()} what="Claim" />}
    </div>
  );
}
