/** Which account this browser used last. */
import { type Hex, isHex, size } from "viem";

export type DevelopmentChoice = { kind: "mnemonic"; index: number } | { kind: "key"; key: Hex };
export type StoredWallet =
  | { kind: "browser"; rdns: string }
  | { kind: "development"; choice: DevelopmentChoice };

const WALLET = "openledger.wallet";
const KEY = "openledger.development-key";
/** Highest index of a development account that is offered. */
const INDEX_MAX = 1000;

function read(name: string): string | null {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

function write(name: string, value: string | null) {
  try {
    if (value === null) localStorage.removeItem(name);
    else localStorage.setItem(name, value);
  } catch {
    // Storage is switched off: the account lasts as long as the page.
  }
}

/** The key made in this browser, if there is one. */
export function storedKey(): Hex | null {
  const key = read(KEY);
  return key !== null && isHex(key) && size(key) === 32 ? key : null;
}

export function storeKey(key: Hex) {
  write(KEY, key);
}

export function storedWallet(): StoredWallet | null {
  const [kind, value = ""] = (read(WALLET) ?? "").split(":");
  if (kind === "browser" && value !== "") return { kind, rdns: value };
  if (kind === "mnemonic" && /^\d{1,4}$/.test(value) && Number(value) <= INDEX_MAX) {
    return { kind: "development", choice: { kind, index: Number(value) } };
  }
  const key = kind === "key" ? storedKey() : null;
  return key === null ? null : { kind: "development", choice: { kind: "key", key } };
}

export function storeWallet(wallet: StoredWallet | null) {
  if (wallet === null) return write(WALLET, null);
  if (wallet.kind === "browser") return write(WALLET, `browser:${wallet.rdns}`);
  const { choice } = wallet;
  return write(WALLET, choice.kind === "key" ? "key:" : `mnemonic:${choice.index}`);
}
