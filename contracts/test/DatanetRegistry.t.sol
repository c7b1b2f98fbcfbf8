// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Batch, DatanetParams, LicenceTerms, MerkleProof, Snapshot} from "../src/Types.sol";
import {IDatanetRegistry} from "../src/interfaces/IDatanetRegistry.sol";
import {MerkleLib} from "../src/libraries/MerkleLib.sol";
import {Denier} from "./utils/Hostile.sol";
import {Registered} from "./utils/Registered.sol";
import {Trees} from "./utils/Trees.sol";

contract DatanetRegistryTest is Registered {
    address private immutable CONTRIBUTOR = vm.addr(CONTRIBUTOR_KEY);

    function test_createDatanet_idsRunFromOne_succeeds() external {
        LicenceTerms memory terms = _terms();
        vm.assertEq(_createDatanet(terms), 1);
        vm.prank(STRANGER);
        vm.assertEq(DATANETS.createDatanet(DatanetParams("Second", terms, "", new address[](0))), 2);
        vm.assertEq(DATANETS.getDatanet(2).owner, STRANGER);
        vm.assertEq(DATANETS.getDatanet(1).licenceHash, keccak256(abi.encode(terms)));
        vm.assertEq(DATANETS.licenceRules(1).revenueFloorBps, 4000);
        vm.assertEq(DATANETS.datanetCount(), 2);
    }

    function test_createDatanet_badParams_reverts() external {
        LicenceTerms memory terms = _terms();
        vm.expectPartialRevert(IDatanetRegistry.DatanetRegistry_BadLength.selector);
        DATANETS.createDatanet(DatanetParams("", terms, "", new address[](0)));
        string memory long = string(new bytes(65));
        vm.expectPartialRevert(IDatanetRegistry.DatanetRegistry_BadLength.selector);
        DATANETS.createDatanet(DatanetParams(long, terms, "", new address[](0)));
        vm.expectPartialRevert(IDatanetRegistry.DatanetRegistry_TooManyCurators.selector);
        DATANETS.createDatanet(DatanetParams("n", terms, "", new address[](33)));
        vm.expectRevert(IDatanetRegistry.DatanetRegistry_ZeroAddress.selector);
        DATANETS.createDatanet(DatanetParams("n", terms, "", new address[](1)));
        terms.revenueFloorBps = 9001;
        vm.expectPartialRevert(IDatanetRegistry.DatanetRegistry_BpsTooHigh.selector);
        _createDatanet(terms);
        terms.revenueFloorBps = 0;
        terms.expiry = uint64(block.timestamp);
        vm.expectPartialRevert(IDatanetRegistry.DatanetRegistry_LicenceExpired.selector);
        _createDatanet(terms);
    }

    function testFuzz_reveal_afterCommit_succeeds(bytes32 root, uint32 count, bytes32 salt) external {
        vm.assume(count > 0);
        uint64 id = _createDatanet(_terms());
        vm.prank(STRANGER);
        uint64 priority = DATANETS.commit(id, DATANETS.commitmentHash(id, CONTRIBUTOR, root, count, salt));
        _open(id, CONTRIBUTOR_KEY, root, count, salt);
        Batch memory batch = DATANETS.getBatch(id, root);
        vm.assertEq(batch.contributor, CONTRIBUTOR);
        vm.assertEq(batch.recordCount, count);
        vm.assertEq(batch.priority, priority);
        vm.assertEq(DATANETS.getDatanet(id).recordCount, count);
    }

    function testFuzz_reveal_otherPreimage_reverts(uint8 kind, uint32 off) external {
        vm.assume(off > 0 && off < type(uint32).max - 12);
        uint64 id = _createDatanet(_terms());
        uint64 other = _createDatanet(_terms());
        bytes32 commitment = DATANETS.commitmentHash(id, CONTRIBUTOR, BATCH_ROOT, 12, "salt");
        DATANETS.commit(id, commitment);
        uint64 where = kind % 5 == 0 ? other : id;
        uint256 key = kind % 5 == 1 ? PAYER_KEY : CONTRIBUTOR_KEY;
        bytes32 root = kind % 5 == 2 ? BATCH_ROOT ^ bytes32(uint256(off)) : BATCH_ROOT;
        uint32 count = kind % 5 == 3 ? 12 + off : 12;
        bytes32 salt = kind % 5 == 4 ? bytes32(uint256(off)) : bytes32("salt");
        bytes memory consent = _sign(key, DATANETS.consentDigest(where, root, count, vm.addr(key)));
        vm.expectPartialRevert(IDatanetRegistry.DatanetRegistry_NotCommitted.selector);
        DATANETS.reveal(where, vm.addr(key), root, count, salt, consent);
    }

    function test_reveal_twice_reverts() external {
        uint64 id = _createDatanet(_terms());
        _reveal(id, BATCH_ROOT, 12);
        bytes memory consent = _sign(CONTRIBUTOR_KEY, DATANETS.consentDigest(id, BATCH_ROOT, 12, CONTRIBUTOR));
        vm.expectPartialRevert(IDatanetRegistry.DatanetRegistry_AlreadyRevealed.selector);
        DATANETS.reveal(id, CONTRIBUTOR, BATCH_ROOT, 12, "salt", consent);
    }

    function test_commit_twice_reverts() external {
        uint64 id = _createDatanet(_terms());
        DATANETS.commit(id, keccak256("c"));
        vm.expectPartialRevert(IDatanetRegistry.DatanetRegistry_AlreadyCommitted.selector);
        DATANETS.commit(id, keccak256("c"));
        vm.expectPartialRevert(IDatanetRegistry.DatanetRegistry_UnknownDatanet.selector);
        DATANETS.commit(id + 1, keccak256("d"));
    }

    function test_reveal_withoutConsent_reverts() external {
        uint64 id = _createDatanet(_terms());
        DATANETS.commit(id, DATANETS.commitmentHash(id, CONTRIBUTOR, BATCH_ROOT, 12, "salt"));
        bytes memory consent = _sign(PAYER_KEY, DATANETS.consentDigest(id, BATCH_ROOT, 12, CONTRIBUTOR));
        vm.expectPartialRevert(IDatanetRegistry.DatanetRegistry_InvalidConsent.selector);
        DATANETS.reveal(id, CONTRIBUTOR, BATCH_ROOT, 12, "salt", consent);
    }

    function test_reveal_contributorTakesOnCode_succeeds() external {
        uint64 id = _createDatanet(_terms());
        vm.etch(CONTRIBUTOR, type(Denier).runtimeCode);
        _reveal(id, BATCH_ROOT, 12);
        vm.assertEq(DATANETS.getBatch(id, BATCH_ROOT).contributor, CONTRIBUTOR);
    }

    /// Someone reads the root in the mempool and commits to it later: the first commitment keeps, or takes back, the batch.
    function test_reveal_copiedRoot_earliestCommitWins_succeeds() external {
        uint64 id = _createDatanet(_terms());
        DATANETS.commit(id, DATANETS.commitmentHash(id, CONTRIBUTOR, BATCH_ROOT, 12, "salt"));
        DATANETS.commit(id, DATANETS.commitmentHash(id, PAYER, BATCH_ROOT, 12, "copy"));
        _open(id, PAYER_KEY, BATCH_ROOT, 12, "copy");
        vm.assertEq(DATANETS.getBatch(id, BATCH_ROOT).contributor, PAYER);
        _open(id, CONTRIBUTOR_KEY, BATCH_ROOT, 12, "salt");
        vm.assertEq(DATANETS.getBatch(id, BATCH_ROOT).contributor, CONTRIBUTOR);
        vm.assertEq(DATANETS.getDatanet(id).recordCount, 12);
        vm.assertEq(DATANETS.getDatanet(id).batchCount, 1);
        DATANETS.commit(id, DATANETS.commitmentHash(id, STRANGER, BATCH_ROOT, 12, "late"));
        bytes memory consent = _sign(0x57a, DATANETS.consentDigest(id, BATCH_ROOT, 12, STRANGER));
        vm.expectPartialRevert(IDatanetRegistry.DatanetRegistry_BatchTaken.selector);
        DATANETS.reveal(id, STRANGER, BATCH_ROOT, 12, "late", consent);
    }

    function test_reveal_expiredLicence_reverts() external {
        LicenceTerms memory terms = _terms();
        terms.expiry = uint64(block.timestamp) + 1 days;
        uint64 id = _createDatanet(terms);
        DATANETS.commit(id, DATANETS.commitmentHash(id, CONTRIBUTOR, BATCH_ROOT, 12, "salt"));
        bytes memory consent = _sign(CONTRIBUTOR_KEY, DATANETS.consentDigest(id, BATCH_ROOT, 12, CONTRIBUTOR));
        vm.warp(terms.expiry);
        vm.expectPartialRevert(IDatanetRegistry.DatanetRegistry_LicenceExpired.selector);
        DATANETS.reveal(id, CONTRIBUTOR, BATCH_ROOT, 12, "salt", consent);
    }

    function test_publishSnapshot_sequential_succeeds() external {
        uint64 id = _createDatanet(_terms());
        _reveal(id, BATCH_ROOT, 12);
        vm.snapshotGasLastCall("datanet", "reveal");
        vm.assertEq(DATANETS.publishSnapshot(id, SNAPSHOT_ROOT, 12, 1, "c", "d"), 1);
        DATANETS.setCurator(id, STRANGER, true);
        vm.prank(STRANGER);
        vm.assertEq(DATANETS.publishSnapshot(id, BATCH_ROOT, 5, 2, "c", "d"), 2);
        Snapshot memory snapshot = DATANETS.getSnapshot(id, 1);
        vm.assertEq(snapshot.root, SNAPSHOT_ROOT);
        vm.assertEq(snapshot.recordCount, 12);
        DATANETS.setCurator(id, STRANGER, false);
        vm.prank(STRANGER);
        vm.expectPartialRevert(IDatanetRegistry.DatanetRegistry_NotCurator.selector);
        DATANETS.publishSnapshot(id, BATCH_ROOT, 5, 1, "c", "d");
    }

    function test_publishSnapshot_impossibleCounts_reverts() external {
        uint64 id = _createDatanet(_terms());
        _reveal(id, BATCH_ROOT, 12);
        vm.expectPartialRevert(IDatanetRegistry.DatanetRegistry_SnapshotTooLarge.selector);
        DATANETS.publishSnapshot(id, SNAPSHOT_ROOT, 13, 1, "c", "d");
        vm.expectPartialRevert(IDatanetRegistry.DatanetRegistry_SnapshotTooLarge.selector);
        DATANETS.publishSnapshot(id, SNAPSHOT_ROOT, 3, 4, "c", "d");
        vm.expectRevert(IDatanetRegistry.DatanetRegistry_EmptySnapshot.selector);
        DATANETS.publishSnapshot(id, SNAPSHOT_ROOT, 0, 0, "c", "d");
        vm.expectRevert(IDatanetRegistry.DatanetRegistry_EmptySnapshot.selector);
        DATANETS.publishSnapshot(id, 0, 3, 1, "c", "d");
    }

    function test_revokeRecord_ownRecordOnce_succeeds() external {
        bytes32[] memory leaves = new bytes32[](3);
        for (uint256 i = 0; i < 3; ++i) {
            leaves[i] = MerkleLib.leafHash(bytes32(i + 1));
        }
        uint64 id = _createDatanet(_terms());
        bytes32 root = Trees.root(leaves);
        _reveal(id, root, 3);
        MerkleProof memory proof = Trees.prove(leaves, 2);
        vm.prank(STRANGER);
        vm.expectPartialRevert(IDatanetRegistry.DatanetRegistry_NotContributor.selector);
        DATANETS.revokeRecord(id, root, bytes32(uint256(3)), proof);
        vm.startPrank(CONTRIBUTOR);
        vm.expectPartialRevert(IDatanetRegistry.DatanetRegistry_RecordNotInBatch.selector);
        DATANETS.revokeRecord(id, root, bytes32(uint256(2)), proof);
        DATANETS.revokeRecord(id, root, bytes32(uint256(3)), proof);
        vm.assertTrue(DATANETS.isRevoked(id, bytes32(uint256(3))));
        vm.expectPartialRevert(IDatanetRegistry.DatanetRegistry_AlreadyRevoked.selector);
        DATANETS.revokeRecord(id, root, bytes32(uint256(3)), proof);
        vm.stopPrank();
    }

    function test_transferDatanet_ownerOnly_reverts() external {
        uint64 id = _createDatanet(_terms());
        vm.prank(STRANGER);
        vm.expectPartialRevert(IDatanetRegistry.DatanetRegistry_NotOwner.selector);
        DATANETS.transferDatanet(id, STRANGER);
        vm.expectRevert(IDatanetRegistry.DatanetRegistry_ZeroAddress.selector);
        DATANETS.transferDatanet(id, address(0));
        DATANETS.transferDatanet(id, STRANGER);
        vm.assertEq(DATANETS.getDatanet(id).owner, STRANGER);
        vm.expectPartialRevert(IDatanetRegistry.DatanetRegistry_NotOwner.selector);
        DATANETS.setCurator(id, PAYER, true);
    }

    function _open(uint64 id, uint256 key, bytes32 root, uint32 count, bytes32 salt) private {
        bytes memory consent = _sign(key, DATANETS.consentDigest(id, root, count, vm.addr(key)));
        DATANETS.reveal(id, vm.addr(key), root, count, salt, consent);
    }
}
