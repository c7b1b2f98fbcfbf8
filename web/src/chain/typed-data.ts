/** The structured messages (EIP-712) that accounts sign, and the hashes made of them. */
import { type Address, encodeAbiParameters, type Hex, hashTypedData, keccak256, zeroAddress } from "viem";

/** Where a signed message holds: one chain, one contract. */
export interface Place {
  chainId: number;
  contract: Address;
}

const domain = (name: string, { chainId, contract }: Place) => ({
  name,
  version: "1",
  chainId,
  verifyingContract: contract,
});

/** A payment channel's configuration; its hash is the channel's id. */
export interface ChannelConfig {
  payer: Address;
  payerAuthorizer: Address;
  receiver: Address;
  receiverAuthorizer: Address;
  token: Address;
  withdrawDelay: number;
  salt: Hex;
}

const CHANNEL_TYPES = {
  ChannelConfig: [
    { name: "payer", type: "address" },
    { name: "payerAuthorizer", type: "address" },
    { name: "receiver", type: "address" },
    { name: "receiverAuthorizer", type: "address" },
    { name: "token", type: "address" },
    { name: "withdrawDelay", type: "uint40" },
    { name: "salt", type: "bytes32" },
  ],
} as const;

const VOUCHER_TYPES = {
  Voucher: [
    { name: "channelId", type: "bytes32" },
    { name: "maxClaimableAmount", type: "uint128" },
  ],
} as const;

const CONSENT_TYPES = {
  Consent: [
    { name: "datanetId", type: "uint64" },
    { name: "licenceHash", type: "bytes32" },
    { name: "batchRoot", type: "bytes32" },
    { name: "recordCount", type: "uint32" },
    { name: "contributor", type: "address" },
  ],
} as const;

const CHANNEL_DOMAIN = "x402 Batch Settlement";

/** The channel of `payer` to `operator`: vouchers are signed by the payer itself. */
export function channelConfig(parts: {
  payer: Address;
  operator: Address;
  hub: Address;
  token: Address;
  withdrawDelayS: number;
  salt: Hex;
}): ChannelConfig {
  return {
    payer: parts.payer,
    payerAuthorizer: zeroAddress,
    receiver: parts.hub,
    receiverAuthorizer: parts.operator,
    token: parts.token,
    withdrawDelay: parts.withdrawDelayS,
    salt: parts.salt,
  };
}

/** A channel's id: the digest of its configuration, so it binds chain and hub too. */
export function channelId(config: ChannelConfig, hub: Place): Hex {
  return hashTypedData({
    domain: domain(CHANNEL_DOMAIN, hub),
    types: CHANNEL_TYPES,
    primaryType: "ChannelConfig",
    message: config,
  });
}

/** What a payer signs to let the hub take up to `maxClaimable` wei in total. */
export function voucherMessage(channel: Hex, maxClaimable: bigint, hub: Place) {
  return {
    domain: domain(CHANNEL_DOMAIN, hub),
    types: VOUCHER_TYPES,
    primaryType: "Voucher",
    message: { channelId: channel, maxClaimableAmount: maxClaimable },
  } as const;
}

export function voucherDigest(channel: Hex, maxClaimable: bigint, hub: Place): Hex {
  return hashTypedData(voucherMessage(channel, maxClaimable, hub));
}

/** A contributor's consent to a licence, for one batch. */
export interface Consent {
  datanetId: bigint;
  licenceHash: Hex;
  batchRoot: Hex;
  recordCount: number;
  contributor: Address;
}

/** What a contributor signs over a batch. */
export function consentMessage(consent: Consent, registry: Place) {
  return {
    domain: domain("OpenLedger Datanet", registry),
    types: CONSENT_TYPES,
    primaryType: "Consent",
    message: consent,
  } as const;
}

export function consentDigest(consent: Consent, registry: Place): Hex {
  return hashTypedData(consentMessage(consent, registry));
}

/** Terms under which a Datanet's records may be used; the registry holds their hash. */
export interface LicenceTerms {
  commercialUse: boolean;
  derivatives: boolean;
  attribution: boolean;
  revenueFloorBps: number;
  expiry: bigint;
  uri: string;
}

const LICENCE_TUPLE = [
  {
    type: "tuple",
    components: [
      { name: "commercialUse", type: "bool" },
      { name: "derivatives", type: "bool" },
      { name: "attribution", type: "bool" },
      { name: "revenueFloorBps", type: "uint16" },
      { name: "expiry", type: "uint64" },
      { name: "uri", type: "string" },
    ],
  },
] as const;

export function licenceHash(terms: LicenceTerms): Hex {
  return keccak256(encodeAbiParameters(LICENCE_TUPLE, [terms]));
}

/** What takes a batch's place in the order before the batch is shown. */
export function commitmentHash(
  batch: { datanetId: bigint; contributor: Address; batchRoot: Hex; recordCount: number; salt: Hex },
  registry: Place,
): Hex {
  return keccak256(
    encodeAbiParameters(
      [
        { type: "uint256" },
        { type: "address" },
        { type: "uint64" },
        { type: "address" },
        { type: "bytes32" },
        { type: "uint32" },
        { type: "bytes32" },
      ],
      [
        BigInt(registry.chainId),
        registry.contract,
        batch.datanetId,
        batch.contributor,
        batch.batchRoot,
        batch.recordCount,
        batch.salt,
      ],
    ),
  );
}
