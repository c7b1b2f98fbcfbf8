/** What contracts and wallets say when they refuse, in sentences. */
import {
  type Abi,
  BaseError,
  ContractFunctionRevertedError,
  decodeErrorResult,
  type Hex,
  InsufficientFundsError,
} from "viem";
import { formatOpen, formatTime, shortHex } from "../lib/format";
import {
  datanetRegistryAbi,
  inferenceHubAbi,
  modelRegistryAbi,
  receiptJudgeAbi,
  stakerPoolAbi,
  wrappedOpenAbi,
} from "./abis";

const ERRORS: Abi = [
  inferenceHubAbi,
  datanetRegistryAbi,
  modelRegistryAbi,
  stakerPoolAbi,
  receiptJudgeAbi,
  wrappedOpenAbi,
].flatMap((abi) => (abi as Abi).filter((item) => item.type === "error"));

type Arguments = readonly unknown[];
const number = (value: unknown) => String(value);
const open = (value: unknown) => {
  const { amount, unit } = formatOpen(BigInt(String(value)));
  return `${amount} ${unit}`;
};
const time = (value: unknown) => formatTime(Number(value));
const hash = (value: unknown) => shortHex(String(value));
const percent = (value: unknown) => `${Number(value) / 100} %`;

const SENTENCES: Record<string, (values: Arguments) => string> = {
  DatanetRegistry_AlreadyCommitted: () => "This batch is committed already.",
  DatanetRegistry_AlreadyRevealed: () => "This batch is revealed already.",
  DatanetRegistry_AlreadyRevoked: () => "This record is revoked already.",
  DatanetRegistry_BadLength: ([length, limit]) =>
    `A text has ${number(length)} bytes; it must have at least 1 and at most ${number(limit)}.`,
  DatanetRegistry_BatchTaken: () => "Someone committed exactly this batch earlier.",
  DatanetRegistry_BpsTooHigh: ([bps, limit]) => `${percent(bps)} is above the limit of ${percent(limit)}.`,
  DatanetRegistry_EmptyBatch: () => "The batch has no records.",
  DatanetRegistry_EmptySnapshot: () => "The snapshot has no records.",
  DatanetRegistry_InvalidConsent: ([who]) => `The consent was not signed by ${hash(who)}.`,
  DatanetRegistry_LicenceExpired: ([expiry]) => `The licence expired on ${time(expiry)}.`,
  DatanetRegistry_NotCommitted: () => "This batch was never committed.",
  DatanetRegistry_NotContributor: () => "Only the contributor of the batch may do that.",
  DatanetRegistry_NotCurator: () => "Only the Datanet's owner and its curators may do that.",
  DatanetRegistry_NotOwner: () => "Only the Datanet's owner may do that.",
  DatanetRegistry_RecordNotInBatch: () => "The record is not in that batch.",
  DatanetRegistry_SnapshotTooLarge: ([size, limit]) =>
    `The snapshot has ${number(size)} records; at most ${number(limit)} are possible.`,
  DatanetRegistry_TooManyCurators: ([size, limit]) =>
    `${number(size)} curators are more than ${number(limit)}.`,
  DatanetRegistry_UnknownDatanet: ([id]) => `There is no Datanet ${number(id)}.`,
  InferenceHub_AmountTooLarge: () => "The amount is larger than the hub can hold.",
  InferenceHub_BondLocked: () => "The bond is locked until the pending epochs are final.",
  InferenceHub_BondTooLow: ([, least]) => `The bond must be at least ${open(least)}.`,
  InferenceHub_InsufficientChannel: ([, amount, available]) =>
    `The channel has ${open(available)} available; ${open(amount)} were asked for.`,
  InferenceHub_InvalidChannel: () => "The hub does not accept this channel's configuration.",
  InferenceHub_InvalidProof: () =>
    "The proof does not hold under the epoch's root. A newer epoch may have become final.",
  InferenceHub_Insolvent: ([amount, funded]) =>
    `The hub holds ${open(funded)} for claims; ${open(amount)} were asked for.`,
  InferenceHub_NoPendingWithdrawal: () => "No withdrawal was asked for on this channel.",
  InferenceHub_NotOperator: () => "This account is not an operator.",
  InferenceHub_NotPayer: () => "Only the payer of the channel may do that.",
  InferenceHub_NothingToClaim: () => "Everything credited to this account is claimed already.",
  InferenceHub_TooEarly: ([at]) => `That is possible from ${time(at)} on.`,
  InferenceHub_ZeroAmount: () => "The amount is zero.",
  ModelRegistry_BadLength: ([length, limit]) =>
    `The name has ${number(length)} bytes; it must have at least 1 and at most ${number(limit)}.`,
  ModelRegistry_CommercialUseForbidden: ([id]) =>
    `The licence of Datanet ${number(id)} forbids commercial use.`,
  ModelRegistry_DataShareTooLow: ([share, floor]) =>
    `The data contributors' share is ${percent(share)}; a licence asks for at least ${percent(floor)}.`,
  ModelRegistry_DerivativesForbidden: ([id]) => `The licence of Datanet ${number(id)} forbids derivatives.`,
  ModelRegistry_LicenceExpired: ([id, expiry]) =>
    `The licence of Datanet ${number(id)} expired on ${time(expiry)}.`,
  ModelRegistry_ModelExists: () => "This model is published already.",
  ModelRegistry_NoSnapshots: () => "The model names no snapshot.",
  ModelRegistry_ParentsShareWithoutParents: () =>
    "The split has a share for parents, but the model has none.",
  ModelRegistry_SnapshotMismatch: ([id, snapshot]) =>
    `Snapshot ${number(snapshot)} of Datanet ${number(id)} is not on chain with this root. Publish it first.`,
  ModelRegistry_SplitOutOfBounds: () => "The split is outside of the bounds that governance set.",
  ModelRegistry_TooMany: ([size, limit]) => `${number(size)} entries are more than ${number(limit)}.`,
  ModelRegistry_UnknownBase: () => "The base model is not registered on chain.",
  ModelRegistry_UnknownModel: () => "There is no such model.",
  StakerPool_InsufficientStake: ([amount, stake]) =>
    `The stake is ${open(stake)}; ${open(amount)} were asked for.`,
  StakerPool_NothingToWithdraw: () => "There is nothing to withdraw.",
  StakerPool_TooEarly: ([at]) => `That is possible from ${time(at)} on.`,
  StakerPool_ZeroAmount: () => "The amount is zero.",
  ERC20InsufficientBalance: ([, balance, needed]) =>
    `The account has ${open(balance)}; ${open(needed)} are needed.`,
  ERC20InsufficientAllowance: () => "The allowance is too small.",
  OwnableUnauthorizedAccount: () => "Only governance may do that.",
};

/** One of our contracts' errors as a sentence; by name with its values where no sentence is written. */
export function describeRevert(name: string, values: Arguments): string {
  const known = SENTENCES[name];
  if (known !== undefined) return known(values);
  const plain = name.replace(/^[A-Za-z]+_/, "").replace(/([a-z])([A-Z])/g, "$1 $2");
  return values.length === 0 ? `${plain}.` : `${plain} (${values.map(String).join(", ")}).`;
}

/** Decodes return data of any of our contracts; null when it is none of theirs. */
export function decodeRevert(data: Hex): string | null {
  try {
    const { errorName, args } = decodeErrorResult({ abi: ERRORS, data });
    return describeRevert(errorName, args ?? []);
  } catch {
    return null;
  }
}

/** Why a call or a transaction failed, as a sentence. */
export function explainChainError(error: unknown): string {
  if (!(error instanceof BaseError))
    return error instanceof Error ? error.message : "The chain gave no reason.";
  const reverted = error.walk((cause) => cause instanceof ContractFunctionRevertedError);
  if (reverted instanceof ContractFunctionRevertedError) {
    if (reverted.data !== undefined) return describeRevert(reverted.data.errorName, reverted.data.args ?? []);
    const decoded = reverted.raw === undefined ? null : decodeRevert(reverted.raw);
    return decoded ?? reverted.reason ?? "The contract refused without a reason.";
  }
  if (error.walk((cause) => cause instanceof InsufficientFundsError)) {
    return "The account has too little OPEN for the amount and the fee of the transaction.";
  }
  return error.shortMessage;
}
