/** Receipts: their hash, the operator's signature, the fee's split, and what it pays everyone. Integers only. */
import {
  type Address,
  concat,
  type Hex,
  hashStruct,
  hashTypedData,
  isAddressEqual,
  keccak256,
  recoverAddress,
  size,
  slice,
  stringToHex,
} from "viem";
import type { Place } from "../chain/typed-data";
import { canonicalJson, type Json } from "./record";

export interface Share {
  contributor: Address;
  weight: number;
}

/** Parts in basis points, under the names of the JSON form. */
export interface Bps {
  burn: number;
  operator: number;
  builder: number;
  parents: number;
  stakers: number;
  provenance: number;
}

/** Amounts as decimal strings of wei. */
export type SplitJson = Record<
  "burn" | "operator" | "builder" | "parents" | "stakers" | "influence" | "provenance",
  string
>;

/** A signed receipt as the API writes it. */
export interface ReceiptJson {
  version: number;
  epoch: number;
  sequence: number;
  channelId: Hex;
  payer: Address;
  cumulativeBefore: string;
  cumulativeAfter: string;
  voucherHash: Hex;
  modelId: Hex;
  baseModel: Hex;
  weightsHash: Hex;
  engineId: Hex;
  quantisationId: Hex;
  seed: string;
  requestHash: Hex;
  responseHash: Hex;
  tokensIn: number;
  tokensOut: number;
  price: { inputWei: string; outputWei: string };
  fee: string;
  bps: Bps;
  split: SplitJson;
  operator: Address;
  builder: Address;
  attributionMethod: Hex;
  snapshotRoots: Hex[];
  indexRoot: Hex;
  influence: Share[];
  provenance: Share[];
  attributionRoot: Hex;
  requestedAt: number;
  answeredAt: number;
  offerHash: Hex;
  signature: Hex;
}

export const RECEIPT_VERSION = 1;
const BPS_WHOLE = 10_000n;
/** Half of secp256k1's order: signatures with a larger s are mirrored copies. */
const S_MAX = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0n;

const fields = (list: string) =>
  list.split(", ").map((field) => {
    const [type = "", name = ""] = field.split(" ");
    return { name, type };
  });

const TYPES = {
  Receipt: fields(
    "uint64 epoch, uint64 sequence, bytes32 channelId, address payer, uint128 cumulativeBefore, uint128 cumulativeAfter, " +
      "bytes32 voucherHash, bytes32 modelId, bytes32 baseModel, bytes32 weightsHash, bytes32 engineId, bytes32 quantisationId, " +
      "uint64 seed, bytes32 requestHash, bytes32 responseHash, uint32 tokensIn, uint32 tokensOut, Price price, uint128 fee, " +
      "SplitBps bps, Split split, address operator, address builder, bytes32 attributionMethod, bytes32[] snapshotRoots, " +
      "bytes32 indexRoot, Share[] influence, Share[] provenance, bytes32 attributionRoot, uint64 requestedAt, " +
      "uint64 answeredAt, bytes32 offerHash",
  ),
  Price: fields("uint128 inputWei, uint128 outputWei"),
  SplitBps: fields(
    "uint16 burn, uint16 operatorBps, uint16 builder, uint16 parents, uint16 stakers, uint16 provenance",
  ),
  Split: fields(
    "uint128 burn, uint128 operatorShare, uint128 builder, uint128 parents, uint128 stakers, uint128 influence, uint128 provenance",
  ),
  Share: fields("address contributor, uint16 weight"),
};

/** The receipt with the contracts' names and types. */
function struct(receipt: ReceiptJson): Record<string, unknown> {
  const { version: _, signature: __, bps, split, ...rest } = receipt;
  const { operator: operatorBps, ...otherBps } = bps;
  const { operator: operatorShare, ...otherParts } = split;
  return { ...rest, bps: { ...otherBps, operatorBps }, split: { ...otherParts, operatorShare } };
}

/** A receipt's hash: its EIP-712 hashStruct. */
export function receiptHash(receipt: ReceiptJson): Hex {
  return hashStruct({ data: struct(receipt), primaryType: "Receipt", types: TYPES });
}

/** True when the operator that the receipt names signed it, for this chain and hub, in the one accepted form. */
export async function verifyReceiptSignature(receipt: ReceiptJson, hub: Place): Promise<boolean> {
  if (receipt.version !== RECEIPT_VERSION) return false;
  const hash = hashTypedData({
    domain: {
      name: "OpenLedger Receipt",
      version: "1",
      chainId: hub.chainId,
      verifyingContract: hub.contract,
    },
    types: TYPES,
    primaryType: "Receipt",
    message: struct(receipt),
  });
  const signer = await signerOf(hash, receipt.signature);
  return signer !== null && isAddressEqual(signer, receipt.operator);
}

/** Who signed a digest, in the one form of a signature that the hub takes; null for any other. */
export async function signerOf(hash: Hex, signature: Hex): Promise<Address | null> {
  try {
    const v = Number(slice(signature, 64));
    if (size(signature) !== 65 || (v !== 27 && v !== 28)) return null;
    if (BigInt(slice(signature, 32, 64)) > S_MAX) return null;
    return await recoverAddress({ hash, signature });
  } catch {
    return null;
  }
}

/** What the tokens cost at the price. */
export function fee(price: ReceiptJson["price"], tokensIn: number, tokensOut: number): bigint {
  return BigInt(price.inputWei) * BigInt(tokensIn) + BigInt(price.outputWei) * BigInt(tokensOut);
}

/** A fee's parts: floors for the named ones, the rest to the data. Null when the parts take more than everything. */
export function splitFee(total: bigint, bps: Bps): Record<keyof SplitJson, bigint> | null {
  const named = bps.burn + bps.operator + bps.builder + bps.parents + bps.stakers;
  if (named > Number(BPS_WHOLE) || bps.provenance > Number(BPS_WHOLE)) return null;
  const part = (amount: bigint, of: number) => (amount * BigInt(of)) / BPS_WHOLE;
  const burn = part(total, bps.burn);
  const operator = part(total, bps.operator);
  const builder = part(total, bps.builder);
  const parents = part(total, bps.parents);
  const stakers = part(total, bps.stakers);
  const data = total - burn - operator - builder - parents - stakers;
  const provenance = part(data, bps.provenance);
  return { burn, operator, builder, parents, stakers, influence: data - provenance, provenance };
}

/** True when fee, cumulative amounts and all parts of the split are what price, tokens and basis points make them. */
export function verifyAmounts(receipt: ReceiptJson): boolean {
  const total = fee(receipt.price, receipt.tokensIn, receipt.tokensOut);
  const parts = splitFee(total, receipt.bps);
  if (parts === null || total !== BigInt(receipt.fee)) return false;
  if (BigInt(receipt.cumulativeBefore) + total !== BigInt(receipt.cumulativeAfter)) return false;
  return (Object.keys(parts) as (keyof SplitJson)[]).every(
    (name) => parts[name] === BigInt(receipt.split[name]),
  );
}

/** What the caller needs to show what was asked and answered; nobody else has the salt. */
export interface Disclosure {
  request: Json;
  answer: string;
  salt: Hex;
}

/** True when request and answer are the ones that the receipt's hashes name. */
export function verifyDisclosure(receipt: ReceiptJson, { request, answer, salt }: Disclosure): boolean {
  const asked = keccak256(concat([salt, stringToHex(canonicalJson(request))]));
  const answered = keccak256(concat([salt, stringToHex(answer)]));
  return asked === receipt.requestHash && answered === receipt.responseHash;
}
