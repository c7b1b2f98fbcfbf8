// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @notice The terms under which a Datanet's records may be used; hashed as `keccak256(abi.encode(terms))`.
struct LicenceTerms {
    bool commercialUse;
    bool derivatives;
    bool attribution;
    uint16 revenueFloorBps;
    uint64 expiry;
    string uri;
}

/// @notice What creates a Datanet. `acceptancePolicy` is the text (or its URI) that curators apply.
struct DatanetParams {
    string name;
    LicenceTerms terms;
    string acceptancePolicy;
    address[] curators;
}

/// @notice A Datanet as stored. `recordCount` counts the records of all batches that hold.
struct Datanet {
    address owner;
    uint64 batchCount;
    uint64 snapshotCount;
    uint64 recordCount;
    bytes32 licenceHash;
    bytes32 policyHash;
    string name;
}

/// @notice The part of the licence that contracts enforce.
struct LicenceRules {
    bool commercialUse;
    bool derivatives;
    bool attribution;
    uint16 revenueFloorBps;
    uint64 expiry;
}

/// @notice A commitment: who revealed it, once revealed, and its place in the order of commitments.
struct Commitment {
    uint64 priority;
    uint64 committedAt;
    bool revealed;
}

/// @notice A revealed batch of records.
struct Batch {
    address contributor;
    uint32 recordCount;
    uint64 priority;
}

/// @notice An ordered, accepted list of records.
struct Snapshot {
    bytes32 root;
    bytes32 contentHash;
    bytes32 daCommitment;
    uint64 recordCount;
    uint32 contributorCount;
    uint64 publishedAt;
}

/// @notice Place of a leaf and the hashes beside its path, bottom up (RFC 9162, section 2.1.3).
struct MerkleProof {
    uint64 index;
    uint64 size;
    bytes32[] siblings;
}

/// @notice A node of a Merkle-sum tree.
struct SumNode {
    bytes32 hash;
    uint256 sum;
}

/// @notice A snapshot that a model was trained on.
struct SnapshotRef {
    uint64 datanetId;
    uint64 snapshotId;
    bytes32 root;
}

/// @notice Wei per input token and per output token.
struct Price {
    uint128 inputWei;
    uint128 outputWei;
}

/// @notice Parts of the fee in 1/10000; `provenance` is a part of what those before it leave, the data share.
struct SplitBps {
    uint16 burn;
    uint16 operatorBps;
    uint16 builder;
    uint16 parents;
    uint16 stakers;
    uint16 provenance;
}

/// @notice Bounds that governance sets on every model's split. `dataMin` bounds the data share from below.
struct SplitBounds {
    SplitBps min;
    SplitBps max;
    uint16 dataMin;
}

/// @notice What publishes a model.
struct ModelParams {
    string name;
    bytes32 manifestHash;
    bytes32 baseModel;
    bytes32 weightsHash;
    bytes32 indexRoot;
    SnapshotRef[] snapshots;
    bytes32[] parents;
    Price price;
    SplitBps split;
}

/// @notice A published model. Never changes.
struct Model {
    address builder;
    uint64 publishedAt;
    bytes32 manifestHash;
    bytes32 baseModel;
    bytes32 weightsHash;
    bytes32 indexRoot;
    Price price;
    SplitBps split;
    string name;
}

/// @notice A base model that adapters may name.
struct BaseModel {
    address registrant;
    uint64 registeredAt;
    string name;
}

/// @notice The immutable configuration of a payment channel (x402 v2, batch-settlement on EVM).
struct ChannelConfig {
    address payer;
    address payerAuthorizer;
    address receiver;
    address receiverAuthorizer;
    address token;
    uint40 withdrawDelay;
    bytes32 salt;
}

/// @notice A payer's cumulative promise to a channel (x402 v2).
struct Voucher {
    bytes32 channelId;
    uint128 maxClaimableAmount;
}

/// @notice A voucher with the amount that the operator claims under it, cumulative too.
struct VoucherClaim {
    ChannelConfig config;
    uint128 maxClaimableAmount;
    bytes signature;
    uint128 totalClaimed;
}

/// @notice A contributor's weight in one of the two pools of the data share.
struct Share {
    address contributor;
    uint16 weight;
}

/// @notice The fee, divided. The seven parts sum to exactly the fee.
struct Split {
    uint128 burn;
    uint128 operatorShare;
    uint128 builder;
    uint128 parents;
    uint128 stakers;
    uint128 influence;
    uint128 provenance;
}

/// @notice One answered request. Its hash is the EIP-712 hashStruct; the operator signs the digest under the domain
/// {name "OpenLedger Receipt", version "1", chainId, verifyingContract hub}.
struct Receipt {
    uint64 epoch;
    uint64 sequence;
    bytes32 channelId;
    address payer;
    uint128 cumulativeBefore;
    uint128 cumulativeAfter;
    bytes32 voucherHash;
    bytes32 modelId;
    bytes32 baseModel;
    bytes32 weightsHash;
    bytes32 engineId;
    bytes32 quantisationId;
    uint64 seed;
    bytes32 requestHash;
    bytes32 responseHash;
    uint32 tokensIn;
    uint32 tokensOut;
    Price price;
    uint128 fee;
    SplitBps bps;
    Split split;
    address operator;
    address builder;
    bytes32 attributionMethod;
    bytes32[] snapshotRoots;
    bytes32 indexRoot;
    Share[] influence;
    Share[] provenance;
    bytes32 attributionRoot;
    uint64 requestedAt;
    uint64 answeredAt;
    bytes32 offerHash;
}

/// @notice What an operator posts for one epoch. `totalBalance` is the sum of all accounts' cumulative credit.
struct EpochPost {
    uint64 epoch;
    bytes32 receiptsRoot;
    uint64 receiptCount;
    bytes32 balanceRoot;
    uint64 accountCount;
    uint128 totalBalance;
    uint128 fees;
    uint128 burned;
    uint128 stakers;
    bytes32 daCommitment;
}

/// @notice Where an epoch stands. A rejected epoch is forgotten: its number is posted again.
enum EpochStatus {
    None,
    Pending,
    Final
}

/// @notice A posted epoch. `finalAt` is the first second at which it can be made final.
struct Epoch {
    bytes32 receiptsRoot;
    bytes32 balanceRoot;
    uint64 receiptCount;
    uint64 accountCount;
    uint128 totalBalance;
    uint128 fees;
    uint128 burned;
    uint128 stakers;
    address operator;
    uint64 finalAt;
    EpochStatus status;
    bytes32 daCommitment;
}

/// @notice An operator: `bond` backs every pending epoch; `settler` may post in the operator's name.
struct Operator {
    uint128 bond;
    uint64 pendingEpochs;
    bool allowed;
    address settler;
}

/// @notice What is wrong with a receipt.
enum ReceiptFault {
    None,
    WrongEpoch,
    WrongOperator,
    WrongFee,
    WrongCumulative,
    WrongBps,
    WrongSplit,
    UnknownModel,
    WrongTerms
}
