/** Accounts for chains whose coins are worth nothing: public keys, or a key that stays in this browser. */
import { type Hex, toHex } from "viem";
import {
  generatePrivateKey,
  mnemonicToAccount,
  type PrivateKeyAccount,
  privateKeyToAccount,
} from "viem/accounts";
import type { DevelopmentChoice } from "./stored";

const MNEMONIC = "test test test test test test test test test test test junk";

/** The accounts of the mnemonic that every Ethereum tool knows. */
export function developmentAccount(choice: DevelopmentChoice): PrivateKeyAccount {
  if (choice.kind === "key") return privateKeyToAccount(choice.key);
  const { privateKey } = mnemonicToAccount(MNEMONIC, { addressIndex: choice.index }).getHdKey();
  if (privateKey === null) throw new Error("the development mnemonic gave no key");
  return privateKeyToAccount(toHex(privateKey));
}

export function freshKey(): Hex {
  return generatePrivateKey();
}
