/** Wallets in the browser, found as EIP-6963 says: they announce themselves, and none hides another. */
import { useSyncExternalStore } from "react";
import type { EIP1193Provider } from "viem";

export interface WalletProvider {
  info: { uuid: string; name: string; icon: string; rdns: string };
  provider: EIP1193Provider;
}

/** Announcements kept; a page that sends more is not a wallet. */
const PROVIDERS_MAX = 32;

let providers: readonly WalletProvider[] = [];
const listeners = new Set<() => void>();

function announced(event: Event) {
  const detail = (event as CustomEvent<WalletProvider>).detail;
  const known = typeof detail?.info?.uuid === "string" && typeof detail.provider?.request === "function";
  if (!known || providers.length >= PROVIDERS_MAX) return;
  if (providers.some((one) => one.info.uuid === detail.info.uuid)) return;
  providers = [...providers, detail];
  for (const listener of listeners) listener();
}

let listening = false;

function listen(listener: () => void): () => void {
  if (!listening) {
    listening = true;
    window.addEventListener("eip6963:announceProvider", announced);
    window.dispatchEvent(new Event("eip6963:requestProvider"));
  }
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** The wallets found so far. */
export function useWalletProviders(): readonly WalletProvider[] {
  return useSyncExternalStore(listen, () => providers);
}
