/** The account that acts: a wallet in the browser, or a development account. */
import { createContext, type ReactNode, useCallback, useContext, useEffect, useMemo, useState } from "react";
import {
  type Account,
  type Address,
  type Chain,
  type Client,
  createClient,
  custom,
  getAddress,
  http,
  numberToHex,
  type Transport,
} from "viem";
import { useChain } from "../chain/client";
import { useWalletProviders, type WalletProvider } from "./providers";
import { type DevelopmentChoice, storedWallet, storeKey, storeWallet } from "./stored";

/** Signs and sends: viem's wallet actions take it. */
export type SigningClient = Client<Transport, Chain, Account>;

export interface ConnectedAccount {
  address: Address;
  kind: "browser" | "development";
  /** The wallet's name, or what the development account is for. */
  name: string;
  icon: string | null;
  client: SigningClient;
}

export interface Wallet {
  account: ConnectedAccount | null;
  /** False while the account used last time is still being looked for. */
  ready: boolean;
  /** True when the wallet is on another chain than this node. */
  wrongChain: boolean;
  providers: readonly WalletProvider[];
  connectBrowser: (provider: WalletProvider) => Promise<void>;
  connectDevelopment: (choice: DevelopmentChoice) => Promise<void>;
  disconnect: () => void;
  /** Switches the wallet to this node's chain, and adds the chain where the wallet does not know it. */
  switchChain: () => Promise<void>;
}

const WalletContext = createContext<Wallet | null>(null);

/** What development accounts are for, by number. */
export const DEVELOPMENT_PURPOSES: readonly [number, string][] = [
  [3, "model builder"],
  [4, "app developer"],
  [5, "contributor"],
  [6, "contributor"],
  [7, "contributor"],
];
/** Code of a wallet that does not know a chain (EIP-3085). */
const UNKNOWN_CHAIN = 4902;
/** How long the wallet used last time is waited for. */
const ANNOUNCE_MS = 1500;

export function developmentName(choice: DevelopmentChoice): string {
  if (choice.kind === "key") return "key in this browser";
  const purpose = DEVELOPMENT_PURPOSES.find(([index]) => index === choice.index)?.[1];
  return purpose === undefined
    ? `development account ${choice.index}`
    : `${purpose} (development ${choice.index})`;
}

async function chainOf(provider: WalletProvider["provider"]): Promise<number> {
  return Number(await provider.request({ method: "eth_chainId" }));
}

/** Provides the account; stands inside of the chain's provider. */
export function WalletProviderContext({ children }: { children: ReactNode }) {
  const chainInfo = useChain();
  const { chain, development } = chainInfo;
  const providers = useWalletProviders();
  const [account, setAccount] = useState<ConnectedAccount | null>(null);
  const [active, setActive] = useState<WalletProvider | null>(null);
  const [walletChain, setWalletChain] = useState<number | null>(null);
  const [ready, setReady] = useState(false);

  const disconnect = useCallback(() => {
    storeWallet(null);
    setAccount(null);
    setActive(null);
  }, []);

  const attach = useCallback(
    async (found: WalletProvider, addresses: readonly Address[]) => {
      const [first] = addresses;
      if (first === undefined) return;
      const address = getAddress(first);
      const client = createClient({ account: address, chain, transport: custom(found.provider) });
      const { name, icon, rdns } = found.info;
      setWalletChain(await chainOf(found.provider));
      setActive(found);
      setAccount({ address, kind: "browser", name, icon: safeIcon(icon), client });
      storeWallet({ kind: "browser", rdns });
    },
    [chain],
  );

  const connectBrowser = useCallback(
    async (found: WalletProvider) =>
      attach(found, await found.provider.request({ method: "eth_requestAccounts" })),
    [attach],
  );

  const connectDevelopment = useCallback(
    async (choice: DevelopmentChoice) => {
      if (!development) throw new Error("Development accounts are offered on development chains only.");
      const { developmentAccount } = await import("./development");
      const local = developmentAccount(choice);
      const transport = http(chain.rpcUrls.default.http[0]);
      const client = createClient({ account: local, chain, transport });
      if (choice.kind === "key") storeKey(choice.key);
      storeWallet({ kind: "development", choice });
      setActive(null);
      setAccount({
        address: local.address,
        kind: "development",
        name: developmentName(choice),
        icon: null,
        client,
      });
    },
    [chain, development],
  );

  useReconnect({ ready, setReady, providers, development, attach, connectDevelopment });
  useProviderEvents(active, attach, setWalletChain, disconnect);

  const switchChain = useCallback(async () => {
    if (active === null) return;
    await switchOrAdd(active, chain);
    setWalletChain(await chainOf(active.provider));
  }, [active, chain]);

  const wrongChain = account?.kind === "browser" && walletChain !== null && walletChain !== chain.id;
  const wallet = useMemo(
    () => ({
      account,
      ready,
      wrongChain,
      providers,
      connectBrowser,
      connectDevelopment,
      disconnect,
      switchChain,
    }),
    [account, ready, wrongChain, providers, connectBrowser, connectDevelopment, disconnect, switchChain],
  );
  return <WalletContext value={wallet}>{children}</WalletContext>;
}

/** Connects to the account of last time, if it is still there, without asking anyone. */
function useReconnect(parts: {
  ready: boolean;
  setReady: (ready: boolean) => void;
  providers: readonly WalletProvider[];
  development: boolean;
  attach: (found: WalletProvider, addresses: readonly Address[]) => Promise<void>;
  connectDevelopment: (choice: DevelopmentChoice) => Promise<void>;
}) {
  const { ready, setReady, providers, development, attach, connectDevelopment } = parts;
  useEffect(() => {
    if (ready) return undefined;
    const done = () => setReady(true);
    const stored = storedWallet();
    if (stored?.kind === "development" && development) {
      connectDevelopment(stored.choice).then(done, done);
      return undefined;
    }
    const found =
      stored?.kind === "browser" ? providers.find((one) => one.info.rdns === stored.rdns) : undefined;
    if (found !== undefined) {
      const connected = found.provider
        .request({ method: "eth_accounts" })
        .then((known) => attach(found, known));
      connected.then(done, done);
      return undefined;
    }
    const timer = window.setTimeout(done, stored?.kind === "browser" ? ANNOUNCE_MS : 0);
    return () => window.clearTimeout(timer);
  }, [ready, setReady, providers, development, attach, connectDevelopment]);
}

/** Follows the wallet when its user changes account or chain there. */
function useProviderEvents(
  active: WalletProvider | null,
  attach: (found: WalletProvider, addresses: readonly Address[]) => Promise<void>,
  setWalletChain: (id: number) => void,
  disconnect: () => void,
) {
  useEffect(() => {
    if (active === null) return undefined;
    const { provider } = active;
    const accounts = (now: readonly Address[]) => {
      if (now.length === 0) disconnect();
      else attach(active, now).catch(disconnect);
    };
    const chainChanged = (id: string) => setWalletChain(Number(id));
    provider.on("accountsChanged", accounts);
    provider.on("chainChanged", chainChanged);
    return () => {
      provider.removeListener("accountsChanged", accounts);
      provider.removeListener("chainChanged", chainChanged);
    };
  }, [active, attach, setWalletChain, disconnect]);
}

async function switchOrAdd({ provider }: WalletProvider, chain: Chain) {
  const chainId = numberToHex(chain.id);
  try {
    await provider.request({ method: "wallet_switchEthereumChain", params: [{ chainId }] });
  } catch (error) {
    if (!isUnknownChain(error)) throw error;
    const { name: chainName, nativeCurrency } = chain;
    const rpcUrls = chain.rpcUrls.default.http;
    await provider.request({
      method: "wallet_addEthereumChain",
      params: [{ chainId, chainName, nativeCurrency, rpcUrls }],
    });
    await provider.request({ method: "wallet_switchEthereumChain", params: [{ chainId }] });
  }
}

/** Wallets on phones hide the code one level deeper. */
function isUnknownChain(error: unknown): boolean {
  const { code, data } = (error ?? {}) as { code?: number; data?: { originalError?: { code?: number } } };
  return code === UNKNOWN_CHAIN || data?.originalError?.code === UNKNOWN_CHAIN;
}

/** Icons are data URIs, as EIP-6963 says; anything else would be a request to a foreign host. */
function safeIcon(icon: string): string | null {
  return /^data:image\/(png|webp|jpeg|svg\+xml)[;,]/.test(icon) ? icon : null;
}

export function useWallet(): Wallet {
  const wallet = useContext(WalletContext);
  if (wallet === null) throw new Error("useWallet is used outside of the layout that provides the wallet");
  return wallet;
}
