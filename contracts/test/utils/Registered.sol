// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {DatanetParams, LicenceTerms, ModelParams, Price, SnapshotRef, SplitBps} from "../../src/Types.sol";
import {OpenLedgerTest} from "./OpenLedgerTest.sol";

/// @notice A Datanet with a batch and a snapshot, and models trained on it.
abstract contract Registered is OpenLedgerTest {
    uint256 internal constant CONTRIBUTOR_KEY = 0xc0117;
    bytes32 internal constant BASE = keccak256("base");
    bytes32 internal constant BATCH_ROOT = keccak256("batch");
    bytes32 internal constant SNAPSHOT_ROOT = keccak256("snapshot");

    function _terms() internal pure returns (LicenceTerms memory) {
        return LicenceTerms(true, true, true, 4000, 0, "ipfs://licence");
    }

    function _createDatanet(LicenceTerms memory terms) internal returns (uint64) {
        return DATANETS.createDatanet(DatanetParams("Procedures", terms, "policy", new address[](0)));
    }

    function _reveal(uint64 id, bytes32 root, uint32 count) internal {
        address contributor = vm.addr(CONTRIBUTOR_KEY);
        DATANETS.commit(id, DATANETS.commitmentHash(id, contributor, root, count, "salt"));
        bytes memory consent = _sign(CONTRIBUTOR_KEY, DATANETS.consentDigest(id, root, count, contributor));
        DATANETS.reveal(id, contributor, root, count, "salt", consent);
    }

    /// A Datanet with one snapshot of 10 records; its owner is this contract.
    function _datanet(LicenceTerms memory terms, bytes32 root) internal returns (uint64 id) {
        id = _createDatanet(terms);
        _reveal(id, BATCH_ROOT, 12);
        DATANETS.publishSnapshot(id, root, 10, 1, keccak256("content"), keccak256("da"));
    }

    function _params(uint64 datanetId) internal pure returns (ModelParams memory params) {
        params.name = "tuned";
        params.manifestHash = keccak256("manifest");
        params.baseModel = BASE;
        params.weightsHash = keccak256("weights");
        params.indexRoot = keccak256("index");
        params.snapshots = new SnapshotRef[](1);
        params.snapshots[0] = SnapshotRef(datanetId, 1, SNAPSHOT_ROOT);
        params.price = Price(1e12, 3e12);
        params.split = SplitBps(500, 2000, 1500, 0, 1000, 2000);
    }

    function _publishModel(address builder) internal returns (bytes32) {
        MODELS.registerBase(BASE, "tiny");
        ModelParams memory params = _params(_datanet(_terms(), SNAPSHOT_ROOT));
        vm.prank(builder);
        return MODELS.publish(params);
    }
}
