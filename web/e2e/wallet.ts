/** A wallet as browsers have them (EIP-1193, EIP-6963). Its key stays in the test's process; the page only sends requests. */
import type { Page } from "@playwright/test";
import { createPublicClient, createWalletClient, type Hex, http, isHex, numberToHex } from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";

export const WALLET_NAME = "Test Wallet";
const BINDING = "openledgerTestWallet";

interface Asked {
  method: string;
  params?: unknown[];
}

interface Transaction {
  to: Hex;
  data?: Hex;
  value?: Hex;
  gas?: Hex;
}

export interface TestWallet {
  address: Hex;
  /** Methods that the page asked for, in order. */
  asked: string[];
  /** Chains that were added to it, as it was asked to (EIP-3085). */
  added: { chainId: string; chainName: string; rpcUrls: string[] }[];
  /** What the chain says that the account has. */
  balance: () => Promise<bigint>;
}

/** A wallet that does not know a chain says so with this code (EIP-3085). */
const UNKNOWN_CHAIN = 4902;

class WalletError extends Error {
  constructor(
    readonly code: number,
    message: string,
  ) {
    super(message);
  }
}

export interface WalletOptions {
  key?: Hex;
  /** The chain that it is on, where that is another than the node's, which it does not know then. */
  elsewhere?: number;
}

/** Announces a wallet with a key of its own to the page. */
export async function installWallet(
  page: Page,
  rpc: string,
  { key = generatePrivateKey(), elsewhere }: WalletOptions = {},
): Promise<TestWallet> {
  const account = privateKeyToAccount(key);
  const chain = createPublicClient({ transport: http(rpc), pollingInterval: 200 });
  const wallet = createWalletClient({ account, transport: http(rpc) });
  const asked: string[] = [];
  const added: TestWallet["added"] = [];
  let on = elsewhere === undefined ? null : numberToHex(elsewhere);

  const send = async ({ to, data, value, gas }: Transaction): Promise<Hex> =>
    wallet.sendTransaction({
      chain: null,
      to,
      ...(data === undefined ? {} : { data }),
      ...(value === undefined ? {} : { value: BigInt(value) }),
      ...(gas === undefined ? {} : { gas: BigInt(gas) }),
    });

  const answer = async ({ method, params = [] }: Asked): Promise<unknown> => {
    asked.push(method);
    switch (method) {
      case "eth_requestAccounts":
      case "eth_accounts":
        return [account.address];
      case "personal_sign": {
        const [message] = params as [string];
        return account.signMessage({ message: isHex(message) ? { raw: message } : message });
      }
      case "eth_signTypedData_v4": {
        const [, typed] = params as [Hex, string];
        return account.signTypedData(JSON.parse(typed));
      }
      case "eth_sendTransaction":
        return send((params as [Transaction])[0]);
      case "eth_chainId":
        return on ?? chain.request({ method: "eth_chainId" });
      case "wallet_switchEthereumChain": {
        const [{ chainId }] = params as [{ chainId: Hex }];
        if (on !== null && !added.some((one) => one.chainId === chainId)) {
          throw new WalletError(UNKNOWN_CHAIN, "this wallet does not know the chain");
        }
        if (on !== null) on = chainId;
        return null;
      }
      case "wallet_addEthereumChain":
        added.push((params as [TestWallet["added"][number]])[0]);
        return null;
      default:
        return chain.request({ method, params } as never);
    }
  };

  await page.exposeFunction(BINDING, async (text: string) => {
    try {
      return JSON.stringify({ result: (await answer(JSON.parse(text) as Asked)) ?? null });
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      return JSON.stringify({ error: { code: error instanceof WalletError ? error.code : -32603, message } });
    }
  });
  await page.addInitScript(announce, { binding: BINDING, name: WALLET_NAME });
  return {
    address: account.address,
    asked,
    added,
    balance: () => chain.getBalance({ address: account.address }),
  };
}

/** Runs in the page. */
function announce({ binding, name }: { binding: string; name: string }) {
  const bound = window as unknown as Record<string, (text: string) => Promise<string>>;
  const provider = {
    request: async (asked: { method: string; params?: unknown }) => {
      const text = await bound[binding]?.(JSON.stringify(asked));
      const { result, error } = JSON.parse(text ?? "{}") as {
        result?: unknown;
        error?: { code: number; message: string };
      };
      if (error !== undefined) throw Object.assign(new Error(error.message), { code: error.code });
      return result;
    },
    on: () => provider,
    removeListener: () => provider,
  };
  const info = {
    uuid: "8a5c1f0e-3d6b-4b52-9a07-6f1f4c1d2e3a",
    name,
    icon: "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg'/>",
    rdns: "example.test-wallet",
  };
  const say = () =>
    window.dispatchEvent(
      new CustomEvent("eip6963:announceProvider", { detail: Object.freeze({ info, provider }) }),
    );
  window.addEventListener("eip6963:requestProvider", say);
  say();
}
