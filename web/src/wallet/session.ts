/** Sign-in with Ethereum (EIP-4361). The node checks the message; the browser keeps a cookie that no script can read. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { signMessage } from "viem/actions";
import { createSiweMessage } from "viem/siwe";
import { api, body } from "../api/client";
import { keys } from "../api/keys";
import { rememberSession, type Session, sessionQuery } from "../api/queries";
import { useChain } from "../chain/client";
import { useApprove } from "./approval";
import { NotConnected } from "./send";
import { useWallet } from "./wallet";

const STATEMENT = "Sign in to OpenLedger. This costs nothing and moves nothing.";

export interface SessionControl {
  /** Who is signed in; null for nobody, undefined while that is being asked. */
  session: Session | null | undefined;
  /** True when the connected account is the one signed in. */
  signedIn: boolean;
  signIn: () => Promise<Session>;
  signOut: () => Promise<void>;
  pending: boolean;
}

export function useSession(): SessionControl {
  const { account } = useWallet();
  const { chain } = useChain();
  const approve = useApprove();
  const cache = useQueryClient();
  const { data: session } = useQuery(sessionQuery);

  const remember = (next: Session | null) => {
    rememberSession(next);
    cache.setQueryData(keys.session, next);
    // Jobs and their rights depend on who asks.
    cache.invalidateQueries({ queryKey: keys.jobs });
  };

  const signIn = useMutation({
    mutationFn: async () => {
      if (account === null) throw new NotConnected();
      const { address } = account;
      const { nonce, expires_at } = await body(api.POST("/v1/sessions/nonce"));
      await approve({
        title: "Sign in",
        what: "Shows this node that the account is yours, so that the training jobs you start are yours alone.",
        cost: "Nothing",
        where: "off chain",
        fields: [
          ["Account", address],
          ["Site", location.host],
        ],
        confirm: "Sign in",
      });
      const message = createSiweMessage({
        address,
        chainId: chain.id,
        domain: location.host,
        uri: location.origin,
        version: "1",
        nonce,
        statement: STATEMENT,
        issuedAt: new Date(),
        expirationTime: new Date(expires_at * 1000),
      });
      const signature = await signMessage(account.client, { account: account.client.account, message });
      return body(api.POST("/v1/sessions", { body: { message, signature } }));
    },
    onSuccess: remember,
  });
  const signOut = useMutation({
    mutationFn: () => api.DELETE("/v1/sessions/current"),
    onSuccess: () => remember(null),
  });

  const signedIn = account !== null && session?.address.toLowerCase() === account.address.toLowerCase();
  return {
    session,
    signedIn,
    signIn: () => signIn.mutateAsync(),
    signOut: async () => {
      await signOut.mutateAsync();
    },
    pending: signIn.isPending || signOut.isPending,
  };
}
