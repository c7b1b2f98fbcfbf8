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
} from "./Types.sol";
import {IDatanetRegistry} from "./interfaces/IDatanetRegistry.sol";
import {Eip712Lib} from "./libraries/Eip712Lib.sol";
import {MerkleLib} from "./libraries/MerkleLib.sol";
import {SignatureLib} from "./libraries/SignatureLib.sol";

/// @title Datanet registry
/// @notice Needs no initialiser: it has no governance and no parameters.
contract DatanetRegistry is IDatanetRegistry {
    uint256 public constant NAME_BYTES_MAX = 64;
    uint256 public constant URI_BYTES_MAX = 512;
    uint256 public constant POLICY_BYTES_MAX = 4096;
    uint256 public constant CURATORS_MAX = 32;
    uint16 public constant REVENUE_FLOOR_BPS_MAX = 9000;

    bytes32 private constant NAME_HASH = keccak256("OpenLedger Datanet");
    bytes32 private constant CONSENT_TYPEHASH = keccak256(
        "Consent(uint64 datanetId,bytes32 licenceHash,bytes32 batchRoot,uint32 recordCount,address contributor)"
    );

    uint64 public datanetCount;
    uint64 private _priority;
    mapping(uint64 datanetId => Datanet) private _datanets;
    mapping(uint64 datanetId => LicenceRules) private _rules;
    mapping(uint64 datanetId => mapping(address => bool)) private _curators;
    mapping(bytes32 commitment => Commitment) private _commitments;
    mapping(uint64 datanetId => mapping(bytes32 batchRoot => Batch)) private _batches;
    mapping(uint64 datanetId => mapping(uint64 snapshotId => Snapshot)) private _snapshots;
    mapping(uint64 datanetId => mapping(bytes32 recordHash => bool)) private _revoked;

    modifier onlyDatanetOwner(uint64 datanetId) {
        if (_known(datanetId).owner != msg.sender) revert DatanetRegistry_NotOwner(datanetId, msg.sender);
        _;
    }

    function createDatanet(DatanetParams calldata params) external returns (uint64 datanetId) {
        _checkParams(params);
        datanetId = ++datanetCount;
        Datanet storage datanet = _datanets[datanetId];
        datanet.owner = msg.sender;
        datanet.name = params.name;
        datanet.licenceHash = keccak256(abi.encode(params.terms));
        datanet.policyHash = keccak256(bytes(params.acceptancePolicy));
        _rules[datanetId] = _rulesOf(params.terms);
        emit DatanetCreated(
            datanetId, msg.sender, datanet.licenceHash, params.name, params.terms, params.acceptancePolicy
        );
        for (uint256 i = 0; i < params.curators.length; ++i) {
            _setCurator(datanetId, params.curators[i], true);
        }
    }

    function transferDatanet(uint64 datanetId, address newOwner) external onlyDatanetOwner(datanetId) {
        if (newOwner == address(0)) revert DatanetRegistry_ZeroAddress();
        _datanets[datanetId].owner = newOwner;
        emit DatanetTransferred(datanetId, msg.sender, newOwner);
    }

    function setCurator(uint64 datanetId, address curator, bool allowed) external onlyDatanetOwner(datanetId) {
        _setCurator(datanetId, curator, allowed);
    }

    function commit(uint64 datanetId, bytes32 commitment) external returns (uint64 priority) {
        _known(datanetId);
        if (_commitments[commitment].priority != 0) revert DatanetRegistry_AlreadyCommitted(commitment);
        priority = ++_priority;
        _commitments[commitment] = Commitment(priority, uint64(block.timestamp), false);
        emit Committed(datanetId, commitment, priority);
    }

    function reveal(
        uint64 datanetId,
        address contributor,
        bytes32 batchRoot,
        uint32 recordCount,
        bytes32 salt,
        bytes calldata consentSignature
    ) external {
        Datanet storage datanet = _known(datanetId);
        if (recordCount == 0) revert DatanetRegistry_EmptyBatch();
        _checkExpiry(_rules[datanetId].expiry);
        bytes32 commitment = commitmentHash(datanetId, contributor, batchRoot, recordCount, salt);
        uint64 priority = _open(commitment);
        bytes32 consent = consentDigest(datanetId, batchRoot, recordCount, contributor);
        if (!SignatureLib.isSignedBy(contributor, consent, consentSignature)) {
            revert DatanetRegistry_InvalidConsent(contributor);
        }
        _take(datanetId, datanet, batchRoot, Batch(contributor, recordCount, priority));
        emit Revealed(datanetId, contributor, batchRoot, commitment, recordCount, priority);
    }

    function publishSnapshot(
        uint64 datanetId,
        bytes32 root,
        uint64 recordCount,
        uint32 contributorCount,
        bytes32 contentHash,
        bytes32 daCommitment
    ) external returns (uint64 snapshotId) {
        Datanet storage datanet = _known(datanetId);
        if (!isCurator(datanetId, msg.sender)) revert DatanetRegistry_NotCurator(datanetId, msg.sender);
        if (recordCount == 0 || contributorCount == 0 || root == 0) revert DatanetRegistry_EmptySnapshot();
        if (recordCount > datanet.recordCount) {
            revert DatanetRegistry_SnapshotTooLarge(recordCount, datanet.recordCount);
        }
        if (contributorCount > recordCount) revert DatanetRegistry_SnapshotTooLarge(contributorCount, recordCount);
        snapshotId = ++datanet.snapshotCount;
        _snapshots[datanetId][snapshotId] =
            Snapshot(root, contentHash, daCommitment, recordCount, contributorCount, uint64(block.timestamp));
        emit SnapshotPublished(
            datanetId, snapshotId, root, recordCount, contributorCount, contentHash, daCommitment, msg.sender
        );
    }

    function revokeRecord(uint64 datanetId, bytes32 batchRoot, bytes32 recordHash, MerkleProof calldata proof)
        external
    {
        Batch memory batch = _batches[datanetId][batchRoot];
        if (batch.contributor != msg.sender) revert DatanetRegistry_NotContributor(batchRoot, msg.sender);
        if (proof.size != batch.recordCount || !MerkleLib.verify(proof, batchRoot, MerkleLib.leafHash(recordHash))) {
            revert DatanetRegistry_RecordNotInBatch(recordHash, batchRoot);
        }
        if (_revoked[datanetId][recordHash]) revert DatanetRegistry_AlreadyRevoked(recordHash);
        _revoked[datanetId][recordHash] = true;
        emit RecordRevoked(datanetId, recordHash, msg.sender, batchRoot);
    }

    function getDatanet(uint64 datanetId) external view returns (Datanet memory) {
        return _known(datanetId);
    }

    function licenceRules(uint64 datanetId) external view returns (LicenceRules memory) {
        _known(datanetId);
        return _rules[datanetId];
    }

    function isCurator(uint64 datanetId, address account) public view returns (bool) {
        return _datanets[datanetId].owner == account || _curators[datanetId][account];
    }

    function getCommitment(bytes32 commitment) external view returns (Commitment memory) {
        return _commitments[commitment];
    }

    function getBatch(uint64 datanetId, bytes32 batchRoot) external view returns (Batch memory) {
        return _batches[datanetId][batchRoot];
    }

    function getSnapshot(uint64 datanetId, uint64 snapshotId) external view returns (Snapshot memory) {
        return _snapshots[datanetId][snapshotId];
    }

    function isRevoked(uint64 datanetId, bytes32 recordHash) external view returns (bool) {
        return _revoked[datanetId][recordHash];
    }

    function commitmentHash(uint64 datanetId, address contributor, bytes32 batchRoot, uint32 recordCount, bytes32 salt)
        public
        view
        returns (bytes32)
    {
        return keccak256(abi.encode(block.chainid, address(this), datanetId, contributor, batchRoot, recordCount, salt));
    }

    function consentDigest(uint64 datanetId, bytes32 batchRoot, uint32 recordCount, address contributor)
        public
        view
        returns (bytes32)
    {
        bytes32 licenceHash = _known(datanetId).licenceHash;
        return Eip712Lib.digest(
            NAME_HASH,
            keccak256(abi.encode(CONSENT_TYPEHASH, datanetId, licenceHash, batchRoot, recordCount, contributor))
        );
    }

    function _open(bytes32 commitment) private returns (uint64) {
        Commitment storage entry = _commitments[commitment];
        if (entry.priority == 0) revert DatanetRegistry_NotCommitted(commitment);
        if (entry.revealed) revert DatanetRegistry_AlreadyRevealed(commitment);
        entry.revealed = true;
        return entry.priority;
    }

    /// @dev Whoever committed first holds the batch, also if someone who saw the root in the mempool reveals before.
    function _take(uint64 datanetId, Datanet storage datanet, bytes32 batchRoot, Batch memory batch) private {
        Batch memory holder = _batches[datanetId][batchRoot];
        if (holder.priority != 0) {
            if (holder.priority < batch.priority) revert DatanetRegistry_BatchTaken(batchRoot, holder.priority);
            datanet.recordCount -= holder.recordCount;
            --datanet.batchCount;
            emit BatchSuperseded(datanetId, batchRoot, holder.contributor, batch.contributor);
        }
        _batches[datanetId][batchRoot] = batch;
        datanet.recordCount += batch.recordCount;
        ++datanet.batchCount;
    }

    function _setCurator(uint64 datanetId, address curator, bool allowed) private {
        if (curator == address(0)) revert DatanetRegistry_ZeroAddress();
        _curators[datanetId][curator] = allowed;
        emit CuratorSet(datanetId, curator, allowed);
    }

    function _known(uint64 datanetId) private view returns (Datanet storage datanet) {
        datanet = _datanets[datanetId];
        if (datanet.owner == address(0)) revert DatanetRegistry_UnknownDatanet(datanetId);
    }

    function _checkParams(DatanetParams calldata params) private view {
        if (bytes(params.name).length == 0) revert DatanetRegistry_BadLength(0, NAME_BYTES_MAX);
        _checkLength(params.name, NAME_BYTES_MAX);
        _checkLength(params.terms.uri, URI_BYTES_MAX);
        _checkLength(params.acceptancePolicy, POLICY_BYTES_MAX);
        if (params.curators.length > CURATORS_MAX) {
            revert DatanetRegistry_TooManyCurators(params.curators.length, CURATORS_MAX);
        }
        if (params.terms.revenueFloorBps > REVENUE_FLOOR_BPS_MAX) {
            revert DatanetRegistry_BpsTooHigh(params.terms.revenueFloorBps, REVENUE_FLOOR_BPS_MAX);
        }
        _checkExpiry(params.terms.expiry);
    }

    function _checkLength(string calldata text, uint256 limit) private pure {
        if (bytes(text).length > limit) revert DatanetRegistry_BadLength(bytes(text).length, limit);
    }

    function _checkExpiry(uint64 expiry) private view {
        if (expiry != 0 && expiry <= block.timestamp) revert DatanetRegistry_LicenceExpired(expiry, block.timestamp);
    }

    function _rulesOf(LicenceTerms calldata terms) private pure returns (LicenceRules memory) {
        return
            LicenceRules(terms.commercialUse, terms.derivatives, terms.attribution, terms.revenueFloorBps, terms.expiry);
    }
}
