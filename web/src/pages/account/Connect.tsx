import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { useChain } from "../../chain/client";
import { Button } from "../../ui/Button";
import { Select } from "../../ui/fields";
import { Card, Columns } from "../../ui/Page";
import { ErrorState, Notice } from "../../ui/states";
import { type DevelopmentChoice, storedKey } from "../../wallet/stored";
import { DEVELOPMENT_PURPOSES, useWallet } from "../../wallet/wallet";

/** The ways to connect: wallets found in the browser, and development accounts where the chain is one. */
export function Connect() {
  const { development } = useChain();
  return (
    <Columns>
      <Wallets />
      {development && <Development />}
    </Columns>
  );
}

function Wallets() {
  const { providers, connectBrowser } = useWallet();
  const connect = useMutation({ mutationFn: connectBrowser });
  return (
    <Card
      title="A wallet in this browser"
      intro="It keeps your key and asks you before it signs. Connecting shows this page your address and nothing else."
    >
      {providers.length === 0 ? (
        <p className="text-sm text-muted">
          None was found. Any Ethereum wallet that announces itself (EIP-6963) appears here as soon as it is
          installed.
        </p>
      ) : (
        <ul className="grid gap-2">
          {providers.map((wallet) => (
            <li key={wallet.info.uuid}>
              <Button
                className="w-full justify-start"
                isPending={connect.isPending && connect.variables === wallet}
                pendingLabel={`Waiting for ${wallet.info.name} …`}
                onPress={() => connect.mutate(wallet)}
              >
                {wallet.info.icon.startsWith("data:image/") && (
                  <img src={wallet.info.icon} alt="" width={18} height={18} />
                )}
                {wallet.info.name}
              </Button>
            </li>
          ))}
        </ul>
      )}
      {connect.error && (
        <div className="mt-3">
          <ErrorState error={connect.error} what="The wallet did not connect" />
        </div>
      )}
    </Card>
  );
}

const KNOWN = DEVELOPMENT_PURPOSES.map(([index, purpose]) => ({
  value: String(index),
  label: `Account ${index}, ${purpose}`,
}));

function Development() {
  const { connectDevelopment } = useWallet();
  const { faucetWei } = useChain();
  const [index, setIndex] = useState<string>("3");
  const connect = useMutation({
    mutationFn: async (choice: DevelopmentChoice | "fresh") => {
      if (choice !== "fresh") return connectDevelopment(choice);
      const { freshKey } = await import("../../wallet/development");
      return connectDevelopment({ kind: "key", key: storedKey() ?? freshKey() });
    },
  });
  const kept = storedKey() !== null;
  return (
    <Card
      title="An account for trying things"
      intro="This chain is for development. Its coins are worth nothing, so a key may live in this page."
    >
      <div className="grid gap-4">
        <div>
          <Button
            tone="primary"
            isPending={connect.isPending}
            pendingLabel="Making the account …"
            onPress={() => connect.mutate("fresh")}
          >
            {kept ? "Use the account of this browser" : "Make a new account in this browser"}
          </Button>
          <p className="mt-1.5 text-xs text-muted">
            {kept
              ? "Its key is kept in this browser since you last used it."
              : "Its key is kept in this browser, unprotected."}
            {faucetWei !== null && " The faucet gives it coins on the next page."}
          </p>
        </div>
        <div className="flex flex-wrap items-end gap-2 border-t border-line pt-4">
          <Select
            label="Or a funded account that everyone has the key of"
            className="min-w-56 flex-1"
            value={index}
            onChange={setIndex}
            choices={KNOWN}
          />
          <Button
            isPending={connect.isPending}
            onPress={() => connect.mutate({ kind: "mnemonic", index: Number(index) })}
          >
            Use it
          </Button>
        </div>
        <Notice tone="warn">
          Never send anything of value to these accounts on any chain: whoever can read this browser's
          storage, or knows the development phrase, can take it.
        </Notice>
        {connect.error && <ErrorState error={connect.error} />}
      </div>
    </Card>
  );
}
