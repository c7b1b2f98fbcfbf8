import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { useChain } from "../../chain/client";
import { useBalance } from "../../layout/AccountMenu";
import { Button } from "../../ui/Button";
import { Card, Columns, Page } from "../../ui/Page";
import { Loading, Notice } from "../../ui/states";
import { useToasts } from "../../ui/Toasts";
import { AccountName, Badge, Facts, Time, Wei } from "../../ui/values";
import { Declined } from "../../wallet/approval";
import { useSession } from "../../wallet/session";
import { type ConnectedAccount, useWallet } from "../../wallet/wallet";
import { FirstSteps } from "../home/FirstSteps";
import { ChannelCard } from "./ChannelCard";
import { Connect } from "./Connect";
import { Faucet } from "./Faucet";

export function Account() {
  const { account, ready } = useWallet();
  return (
    <Page
      title="Account"
      intro={
        account
          ? "Who you are here, what you have, and what you set aside for questions."
          : "An account signs what you contribute, pays for what you ask, and is paid for what your records and models earn."
      }
    >
      {!ready ? (
        <Loading label="Looking for the account used last time …" />
      ) : account ? (
        <Connected account={account} />
      ) : (
        <Connect />
      )}
    </Page>
  );
}

function Connected({ account }: { account: ConnectedAccount }) {
  const { wrongChain } = useWallet();
  const { faucetWei } = useChain();
  return (
    <>
      {wrongChain && <WrongChain />}
      <Columns>
        <AccountCard account={account} />
        {faucetWei !== null && <Faucet key={account.address} address={account.address} amount={faucetWei} />}
        <SessionCard />
      </Columns>
      <FirstSteps key={account.address} address={account.address} />
      <ChannelCard key={`${account.address} channel`} />
    </>
  );
}

function WrongChain() {
  const { account, switchChain } = useWallet();
  const { chain } = useChain();
  const toasts = useToasts();
  const change = useMutation({ mutationFn: switchChain, onError: (error) => toasts.fail(error) });
  return (
    <Notice
      tone="warn"
      title={`${account?.name} is on another chain`}
      action={
        <Button
          tone="primary"
          size="sm"
          isPending={change.isPending}
          pendingLabel="Asking the wallet …"
          onPress={() => change.mutate()}
        >
          Switch to {chain.name}
        </Button>
      }
    >
      The wallet adds the chain if it does not know it yet.
    </Notice>
  );
}

function AccountCard({ account }: { account: ConnectedAccount }) {
  const { disconnect } = useWallet();
  const { session, signOut } = useSession();
  const balance = useBalance();
  const leave = () => {
    if (session) signOut().catch(() => undefined);
    disconnect();
  };
  return (
    <Card
      title="Your account"
      actions={
        <Button size="sm" onPress={leave}>
          Disconnect
        </Button>
      }
    >
      <Facts
        rows={[
          ["Address", <AccountName key="address" value={account.address} />],
          ["Connected with", account.name],
          [
            "Balance",
            balance.error ? "The chain does not answer" : <Wei key="balance" value={balance.data} />,
          ],
        ]}
      />
      {account.kind === "development" && (
        <p className="mt-3 text-xs text-muted">
          A development key. It is not protected: use it for nothing that is worth anything.
        </p>
      )}
    </Card>
  );
}

function SessionCard() {
  const { session, signedIn, signIn, signOut, pending } = useSession();
  const [error, setError] = useState<string | null>(null);
  const act = (work: () => Promise<unknown>) => {
    setError(null);
    work().catch((failure: unknown) => {
      if (!(failure instanceof Declined))
        setError(failure instanceof Error ? failure.message : "That did not work.");
    });
  };
  return (
    <Card
      title={<>Sign-in {signedIn ? <Badge tone="accent">signed in</Badge> : <Badge>not signed in</Badge>}</>}
      actions={
        signedIn ? (
          <Button size="sm" isPending={pending} onPress={() => act(signOut)}>
            Sign out
          </Button>
        ) : (
          <Button
            size="sm"
            tone="primary"
            isPending={pending}
            pendingLabel="Signing in …"
            onPress={() => act(signIn)}
          >
            Sign in
          </Button>
        )
      }
    >
      <p className="text-sm text-muted">
        Shows this node that the account is yours, so that only you can pause, stop or publish the training
        jobs that you start. It costs nothing; browsing, contributing and asking work without it.
      </p>
      {session && (
        <p className="mt-2 text-sm">
          Signed in as <AccountName value={session.address} copy={false} /> until{" "}
          <Time seconds={session.expires_at} absolute />
        </p>
      )}
      {error && (
        <p role="alert" className="mt-2 text-sm text-danger">
          {error}
        </p>
      )}
    </Card>
  );
}
