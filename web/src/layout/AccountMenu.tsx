import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "react-router";
import { getBalance } from "viem/actions";
import { keys } from "../api/keys";
import { useChain } from "../chain/client";
import { shortHex } from "../lib/format";
import { Button, LinkButton } from "../ui/Button";
import { Menu } from "../ui/navigation";
import { useToasts } from "../ui/Toasts";
import { Wei } from "../ui/values";
import { useSession } from "../wallet/session";
import { useWallet } from "../wallet/wallet";

/** Balance of the connected account in wei, read again with every block. */
export function useBalance() {
  const { client } = useChain();
  const { account } = useWallet();
  const address = account?.address;
  return useQuery({
    queryKey: [...keys.chain, "balance", address],
    queryFn: () => (address === undefined ? 0n : getBalance(client, { address })),
    enabled: address !== undefined,
  });
}

/** At the right of the header: who acts, with how much, and what can be done about it. */
export function AccountMenu() {
  const { account, ready, wrongChain, switchChain, disconnect } = useWallet();
  const { chain } = useChain();
  const { session, signedIn, signIn, signOut } = useSession();
  const balance = useBalance();
  const navigate = useNavigate();
  const toasts = useToasts();
  if (!ready) return null;
  if (account === null) {
    return (
      <LinkButton to="/account" tone="primary" size="sm">
        Connect
      </LinkButton>
    );
  }
  if (wrongChain) {
    return (
      <Button tone="primary" size="sm" onPress={() => switchChain().catch((error) => toasts.fail(error))}>
        Switch to {chain.name}
      </Button>
    );
  }
  const actions = [
    {
      id: "account",
      label: "Account and channel",
      text: "Account and channel",
      onAction: () => navigate("/account"),
    },
    signedIn
      ? { id: "out", label: "Sign out", text: "Sign out", onAction: () => void signOut().catch(toasts.fail) }
      : { id: "in", label: "Sign in", text: "Sign in", onAction: () => void signIn().catch(toasts.fail) },
    {
      id: "disconnect",
      label: "Disconnect",
      text: "Disconnect",
      onAction: () => {
        if (session) void signOut().catch(toasts.fail);
        disconnect();
      },
    },
  ];
  return (
    <Menu
      label="Account"
      trigger={
        <Button size="sm" aria-label={`Account ${account.address}`}>
          {balance.data !== undefined && (
            <span className="max-sm:hidden">
              <Wei value={balance.data} />
            </span>
          )}
          <span className="font-mono text-xs">{shortHex(account.address)}</span>
        </Button>
      }
      actions={actions}
    />
  );
}
