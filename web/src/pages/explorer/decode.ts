/** Calls, events and refusals of our contracts, read with their ABIs. */
import {
  type Abi,
  type AbiParameter,
  type Address,
  decodeEventLog,
  decodeFunctionData,
  type Hex,
  isAddressEqual,
} from "viem";
import {
  datanetRegistryAbi,
  inferenceHubAbi,
  modelRegistryAbi,
  receiptJudgeAbi,
  stakerPoolAbi,
  wrappedOpenAbi,
} from "../../chain/abis";
import type { ChainInfo } from "../../chain/client";

export interface KnownContract {
  address: Address;
  name: string;
  /** What it is for, in a sentence. */
  about: string;
  abi: Abi;
}

/** Our contracts, where this chain has them. */
export function knownContracts({ contracts }: Pick<ChainInfo, "contracts">): KnownContract[] {
  return [
    {
      address: contracts.inferenceHub,
      name: "Inference hub",
      about: "Holds payment channels, takes the epochs that operators post, and pays claims.",
      abi: inferenceHubAbi as Abi,
    },
    {
      address: contracts.datanetRegistry,
      name: "Datanet registry",
      about: "Knows every Datanet, its licence, who contributed what and when, and its snapshots.",
      abi: datanetRegistryAbi as Abi,
    },
    {
      address: contracts.modelRegistry,
      name: "Model registry",
      about: "Knows every published model, its price, its fee split and where it comes from.",
      abi: modelRegistryAbi as Abi,
    },
    {
      address: contracts.stakerPool,
      name: "Staker pool",
      about: "Holds stakes and gives stakers their part of the fees.",
      abi: stakerPoolAbi as Abi,
    },
    {
      address: contracts.wrappedOpen,
      name: "Wrapped OPEN",
      about: "OPEN as an ERC-20 token, one to one.",
      abi: wrappedOpenAbi as Abi,
    },
    {
      address: contracts.receiptJudge,
      name: "Receipt judge",
      about: "Decides whether a receipt that somebody disputes is at fault.",
      abi: receiptJudgeAbi as Abi,
    },
  ];
}

export function contractAt(
  known: readonly KnownContract[],
  address: Address | null | undefined,
): KnownContract | null {
  if (!address) return null;
  return known.find((one) => isAddressEqual(one.address, address)) ?? null;
}

/** What a value is, as far as its type and its name tell. */
export type Meaning = "wei" | "time" | "bps" | "address" | "hash" | "bytes" | "number" | "text" | "flag";

/** A decoded value with its name: plain, or made of others. */
export interface NamedValue {
  name: string;
  type: string;
  meaning: Meaning;
  /** Plain value as text; null where it is made of `parts`. */
  text: string | null;
  parts: NamedValue[];
}

const WEI =
  /^(amount|fees|burned|stakers|credited|totalBalance|cumulative|previousCumulative|balance|bond|bondMin|reward|held|value|sum|totalClaimed|maxClaimableAmount|inputWei|outputWei)$/;
const TIME = /^(finalAt|expiry|withdrawableAt|publishedAt|deadline|validAfter|validBefore)$/;
const BPS = /bps/i;
/** Entries of a list and characters of a text that are shown; what is longer is cut and says so. */
const ENTRIES_MAX = 50;
const TEXT_MAX = 2000;

function meaning({ name = "", type }: AbiParameter): Meaning {
  if (type === "address") return "address";
  if (type === "bool") return "flag";
  if (type === "string") return "text";
  if (type === "bytes32") return "hash";
  if (type.startsWith("bytes")) return "bytes";
  if (TIME.test(name)) return "time";
  if (BPS.test(name)) return "bps";
  return /^uint(128|256)$/.test(type) && WEI.test(name) ? "wei" : "number";
}

function cut(text: string): string {
  return text.length <= TEXT_MAX ? text : `${text.slice(0, TEXT_MAX)}… (${text.length} characters)`;
}

function named(parameter: AbiParameter, value: unknown, position: number): NamedValue {
  const { type } = parameter;
  const name = parameter.name || `value ${position + 1}`;
  const whole = { name, type, meaning: meaning(parameter) };
  if (type.endsWith("]") && Array.isArray(value)) {
    const item = { ...parameter, type: type.slice(0, type.lastIndexOf("[")) } as AbiParameter;
    const parts = value
      .slice(0, ENTRIES_MAX)
      .map((entry, index) => ({ ...named(item, entry, index), name: String(index + 1) }));
    const rest = value.length - parts.length;
    const more: NamedValue[] =
      rest > 0 ? [{ name: "…", type: "string", meaning: "text", text: `${rest} more`, parts: [] }] : [];
    return parts.length === 0
      ? { ...whole, meaning: "text", text: "none", parts: [] }
      : { ...whole, text: null, parts: [...parts, ...more] };
  }
  if ("components" in parameter && typeof value === "object" && value !== null) {
    const fields = value as Record<string, unknown>;
    const parts = parameter.components.map((inner, index) =>
      named(inner, fields[inner.name ?? ""] ?? fields[index], index),
    );
    return { ...whole, text: null, parts };
  }
  return { ...whole, text: cut(String(value)), parts: [] };
}

/** Decoded arguments come as a list, or by name where all have one. */
function values(inputs: readonly AbiParameter[], args: unknown): NamedValue[] {
  const list = Array.isArray(args);
  const byName = (args ?? {}) as Record<string, unknown>;
  return inputs.map((input, index) => named(input, list ? args[index] : byName[input.name ?? ""], index));
}

/** Where the same name means different things. */
const CALLS_OF: Record<string, string> = {
  "Inference hub.deposit": "Puts OPEN into a payment channel",
  "Wrapped OPEN.deposit": "Wraps OPEN",
  "Wrapped OPEN.withdraw": "Unwraps OPEN",
  "Staker pool.claim": "Pays out a staker's rewards",
};

export interface DecodedCall {
  contract: KnownContract;
  name: string;
  /** What the call does, in plain words; null where only its name is known. */
  what: string | null;
  args: NamedValue[];
}

/** What calls do, in plain words. */
const CALLS: Record<string, string> = {
  approve: "Lets another account spend wrapped OPEN",
  challengeBalance: "Disputes a balance in a posted epoch",
  challengeSplit: "Disputes how a receipt's fee was split",
  challengeTotal: "Disputes the total of a posted epoch",
  claim: "Pays out what an account earned",
  claimVouchers: "Takes the fees that vouchers allow",
  commit: "Takes a place in the order for records not shown yet",
  createDatanet: "Creates a Datanet",
  depositToken: "Puts wrapped OPEN into a payment channel",
  finalizeEpoch: "Makes an epoch final: its credits can be claimed",
  finalizeWithdraw: "Takes back what was asked for from a payment channel",
  initiateWithdraw: "Asks for unspent OPEN of a payment channel back",
  postEpoch: "Posts an epoch: the roots of its receipts and balances",
  publish: "Publishes a model",
  publishSnapshot: "Publishes a snapshot of a Datanet",
  refund: "Gives unspent OPEN of a payment channel back",
  registerBase: "Registers a base model",
  registerOperator: "Adds to an operator's bond",
  requestUnstake: "Asks for a stake back",
  reveal: "Shows a batch of records that was committed earlier",
  revokeRecord: "Takes a record back",
  setCurator: "Allows or forbids an account to curate a Datanet",
  setSettler: "Lets an account post epochs in an operator's name",
  stake: "Stakes OPEN",
  transfer: "Sends wrapped OPEN",
  transferDatanet: "Gives a Datanet to another owner",
  withdraw: "Takes OPEN out",
};

/** A call's function and arguments; null for contracts and functions that nobody here knows. */
export function decodeCall(
  known: readonly KnownContract[],
  to: Address | null | undefined,
  data: Hex,
): DecodedCall | null {
  const contract = contractAt(known, to);
  if (contract === null || data.length < 10) return null;
  try {
    const { functionName, args } = decodeFunctionData({ abi: contract.abi, data });
    const item = contract.abi.find(
      (one) =>
        one.type === "function" && one.name === functionName && one.inputs.length === (args?.length ?? 0),
    );
    const inputs = item?.type === "function" ? item.inputs : [];
    return {
      contract,
      name: functionName,
      what: CALLS_OF[`${contract.name}.${functionName}`] ?? CALLS[functionName] ?? null,
      args: values(inputs, args ?? []),
    };
  } catch {
    return null;
  }
}

export interface RawLog {
  address: Address;
  topics: readonly Hex[];
  data: Hex;
}

export interface DecodedEvent {
  contract: KnownContract;
  name: string;
  args: NamedValue[];
}

/** An event of one of our contracts; null for any other. */
export function decodeEvent(
  known: readonly KnownContract[],
  { address, topics, data }: RawLog,
): DecodedEvent | null {
  const contract = contractAt(known, address);
  if (contract === null) return null;
  try {
    const decoded = decodeEventLog({ abi: contract.abi, topics: topics as [Hex, ...Hex[]], data });
    const item = contract.abi.find((one) => one.type === "event" && one.name === decoded.eventName);
    const inputs = item?.type === "event" ? item.inputs : [];
    return { contract, name: String(decoded.eventName), args: values(inputs, decoded.args) };
  } catch {
    return null;
  }
}

/** `EpochPosted` as "Epoch posted". */
export function wordsOf(name: string): string {
  const words = name.replace(/([a-z])([A-Z])/g, "$1 $2").toLowerCase();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** Values in one line, for tables and files. */
export function inline(args: readonly NamedValue[]): string {
  return args.map((arg) => `${arg.name}=${arg.text ?? `(${inline(arg.parts)})`}`).join(" ");
}

/** `0x` and 12 zero bytes before an address: how it stands in an event's topics. */
export function topicOf(address: Address): Hex {
  return `0x${address.slice(2).toLowerCase().padStart(64, "0")}`;
}
