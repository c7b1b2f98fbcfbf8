// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {
    Batch,
    Commitment,
    Datanet,
    DatanetParams,
    LicenceRules,
    LicenceTerms,
    MerkleProof,
    Snapshot
} from "../Types.sol";

/// @title Datanet registry
/// @notice Datanets, contributions by commit and reveal, snapshots, revocations. Content stays elsewhere; hashes and
/// roots are here. EIP-712 domain of consents: {name "OpenLedger Datanet", version "1", chainId, verifyingContract}.
interface IDatanetRegistry {
    /// @notice A Datanet was created. Terms and policy are spelt out here only; storage holds their hashes.
    event DatanetCreated(
        uint64 indexed datanetId,
        address indexed owner,
        bytes32 licenceHash,
        string name,
        LicenceTerms terms,
        string acceptancePolicy
    );
    event DatanetTransferred(uint64 indexed datanetId, address indexed from, address indexed to);
    event CuratorSet(uint64 indexed datanetId, address indexed curator, bool allowed);
    /// @notice `commitment` took place `priority` in the order of all commitments.
    event Committed(uint64 indexed datanetId, bytes32 indexed commitment, uint64 priority);
    event Revealed(
        uint64 indexed datanetId,
        address indexed contributor,
        bytes32 indexed batchRoot,
        bytes32 commitment,
        uint32 recordCount,
        uint64 priority
    );
    /// @notice An earlier commitment to the same root was revealed later, and takes the batch over.
    event BatchSuperseded(uint64 indexed datanetId, bytes32 indexed batchRoot, address indexed from, address to);
    event SnapshotPublished(
        uint64 indexed datanetId,
        uint64 indexed snapshotId,
        bytes32 root,
        uint64 recordCount,
        uint32 contributorCount,
        bytes32 contentHash,
        bytes32 daCommitment,
        address publisher
    );
    /// @notice The contributor took `recordHash` back: it is not part of any later snapshot.
    event RecordRevoked(
        uint64 indexed datanetId, bytes32 indexed recordHash, address indexed contributor, bytes32 batchRoot
    );

    error DatanetRegistry_UnknownDatanet(uint64 datanetId);
    error DatanetRegistry_NotOwner(uint64 datanetId, address caller);
    error DatanetRegistry_NotCurator(uint64 datanetId, address caller);
    error DatanetRegistry_ZeroAddress();
    /// @notice A text is longer than its limit, or empty where it must not be.
    error DatanetRegistry_BadLength(uint256 length, uint256 limit);
    error DatanetRegistry_TooManyCurators(uint256 count, uint256 limit);
    error DatanetRegistry_BpsTooHigh(uint16 bps, uint16 limit);
    error DatanetRegistry_LicenceExpired(uint64 expiry, uint256 now_);
    error DatanetRegistry_AlreadyCommitted(bytes32 commitment);
    error DatanetRegistry_NotCommitted(bytes32 commitment);
    error DatanetRegistry_AlreadyRevealed(bytes32 commitment);
    /// @notice The root was revealed under a commitment of priority `priority`, earlier than this one.
    error DatanetRegistry_BatchTaken(bytes32 batchRoot, uint64 priority);
    error DatanetRegistry_EmptyBatch();
    error DatanetRegistry_InvalidConsent(address contributor);
    error DatanetRegistry_EmptySnapshot();
    /// @notice A snapshot cannot hold more records than were revealed, nor more contributors than records.
    error DatanetRegistry_SnapshotTooLarge(uint64 count, uint64 limit);
    error DatanetRegistry_NotContributor(bytes32 batchRoot, address caller);
    error DatanetRegistry_RecordNotInBatch(bytes32 recordHash, bytes32 batchRoot);
    error DatanetRegistry_AlreadyRevoked(bytes32 recordHash);

    /// @notice Creates a Datanet owned by the caller. Ids run from 1.
    function createDatanet(DatanetParams calldata params) external returns (uint64 datanetId);
    function transferDatanet(uint64 datanetId, address newOwner) external;
    function setCurator(uint64 datanetId, address curator, bool allowed) external;

    /// @notice Records `commitment = keccak256(abi.encode(chainId, registry, datanetId, contributor, batchRoot,
    /// recordCount, salt))`; anyone may submit it. Its place in the order is the batch's priority.
    function commit(uint64 datanetId, bytes32 commitment) external returns (uint64 priority);
    /// @notice Opens a commitment with the contributor's signed consent to the licence; anyone may submit it.
    function reveal(
        uint64 datanetId,
        address contributor,
        bytes32 batchRoot,
        uint32 recordCount,
        bytes32 salt,
        bytes calldata consentSignature
    ) external;
    /// @notice Publishes the next snapshot. Owner or curator only. Ids run from 1 in each Datanet.
    function publishSnapshot(
        uint64 datanetId,
        bytes32 root,
        uint64 recordCount,
        uint32 contributorCount,
        bytes32 contentHash,
        bytes32 daCommitment
    ) external returns (uint64 snapshotId);
    /// @notice Takes back one record of the caller's batch.
    function revokeRecord(uint64 datanetId, bytes32 batchRoot, bytes32 recordHash, MerkleProof calldata proof) external;

    function datanetCount() external view returns (uint64);
    function getDatanet(uint64 datanetId) external view returns (Datanet memory);
    function licenceRules(uint64 datanetId) external view returns (LicenceRules memory);
    function isCurator(uint64 datanetId, address account) external view returns (bool);
    function getCommitment(bytes32 commitment) external view returns (Commitment memory);
    function getBatch(uint64 datanetId, bytes32 batchRoot) external view returns (Batch memory);
    function getSnapshot(uint64 datanetId, uint64 snapshotId) external view returns (Snapshot memory);
    function isRevoked(uint64 datanetId, bytes32 recordHash) external view returns (bool);
    function commitmentHash(uint64 datanetId, address contributor, bytes32 batchRoot, uint32 recordCount, bytes32 salt)
        external
        view
        returns (bytes32);
    /// @notice The digest that a contributor signs to consent.
    function consentDigest(uint64 datanetId, bytes32 batchRoot, uint32 recordCount, address contributor)
        external
        view
        returns (bytes32);
}
