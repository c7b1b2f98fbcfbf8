// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {
    EpochPost,
    EpochStatus,
    LicenceTerms,
    DatanetParams,
    MerkleProof,
    ModelParams,
    Price,
    Receipt,
    SnapshotRef,
    SplitBps,
    SumNode,
    VoucherClaim
} from "../../src/Types.sol";
import {IInferenceHub} from "../../src/interfaces/IInferenceHub.sol";
import {MerkleLib} from "../../src/libraries/MerkleLib.sol";
import {SplitLib} from "../../src/libraries/SplitLib.sol";
import {EpochTest} from "../utils/EpochTest.sol";
import {OpenLedgerTest} from "../utils/OpenLedgerTest.sol";
import {Registered} from "../utils/Registered.sol";
import {Trees} from "../utils/Trees.sol";

contract DisputesTest is EpochTest, Registered {
    bytes32 private _model;

    function setUp() public override(EpochTest, OpenLedgerTest) {
        super.setUp();
        _model = _publishModel(STRANGER);
    }

    /// A receipt with nothing wrong.
    function _receipt(uint64 sequence) private view returns (Receipt memory r) {
        r.epoch = 1;
        r.sequence = sequence;
        r.operator = OPERATOR;
        r.modelId = _model;
        r.builder = STRANGER;
        r.baseModel = MODELS.getModel(_model).baseModel;
        r.weightsHash = MODELS.getModel(_model).weightsHash;
        r.indexRoot = MODELS.getModel(_model).indexRoot;
        r.snapshotRoots = new bytes32[](1);
        r.snapshotRoots[0] = SNAPSHOT_ROOT;
        r.price = MODELS.getModel(_model).price;
        r.bps = MODELS.getModel(_model).split;
        r.tokensIn = 100;
        r.tokensOut = 50;
        r.fee = uint128(SplitLib.feeOf(r.price, r.tokensIn, r.tokensOut));
        r.cumulativeBefore = 7;
        r.cumulativeAfter = 7 + r.fee;
        r.split = SplitLib.divide(r.fee, r.bps);
    }

    function _encode(Receipt memory r) private pure returns (bytes memory) {
        return abi.encodePacked(uint8(1), abi.encode(r));
    }

    /// Posts an epoch of three receipts with `r` in the middle, and two empty epochs after it.
    function _postWith(Receipt memory r) private returns (MerkleProof memory) {
        bytes32[] memory leaves = new bytes32[](3);
        leaves[0] = MerkleLib.leafHash(JUDGE.receiptHash(_encode(_receipt(0))));
        leaves[1] = MerkleLib.leafHash(JUDGE.receiptHash(_encode(r)));
        leaves[2] = MerkleLib.leafHash(JUDGE.receiptHash(_encode(_receipt(2))));
        _credit(0, 3 ether);
        EpochPost memory post = _post(3 ether, 1 ether, 1 ether);
        post.receiptsRoot = Trees.root(leaves);
        post.receiptCount = 3;
        VoucherClaim[] memory claims = _spend(5 ether);
        vm.prank(OPERATOR);
        HUB.postEpoch(post, claims);
        _postEpoch(0, 0, 0);
        _credit(1, 2 ether);
        _postEpoch(2 ether, 0, 0);
        return Trees.prove(leaves, 1);
    }

    function testFuzz_challengeSplit_faultyReceipt_slashes_succeeds(uint8 kind, uint32 off) external {
        vm.assume(off > 0);
        Receipt memory r = _receipt(1);
        _spoil(r, kind % 24, off);
        MerkleProof memory proof = _postWith(r);
        uint256 supply = address(HUB).balance;
        vm.prank(SETTLER);
        HUB.challengeSplit(1, _encode(r), proof);
        vm.assertEq(SETTLER.balance, 5 ether);
        vm.assertEq(address(HUB).balance, supply - 10 ether);
        vm.assertEq(HUB.totalBurned(), 5 ether);
        vm.assertEq(HUB.getOperator(OPERATOR).bond, 0);
        vm.assertEq(HUB.getOperator(OPERATOR).pendingEpochs, 0);
        vm.assertEq(HUB.lastPostedEpoch(), 0);
        vm.assertTrue(HUB.getEpoch(1).status == EpochStatus.None);
        vm.assertTrue(HUB.getEpoch(3).status == EpochStatus.None);
        vm.assertEq(HUB.unallocatedFees(OPERATOR), 7 ether);
        vm.assertEq(HUB.undistributedFees(), 7 ether);
    }

    function test_challengeSplit_honestReceipt_reverts() external {
        Receipt memory r = _receipt(1);
        MerkleProof memory proof = _postWith(r);
        bytes memory encoded = _encode(r);
        vm.expectPartialRevert(IInferenceHub.InferenceHub_NoFault.selector);
        HUB.challengeSplit(1, encoded, proof);
    }

    function test_challengeSplit_receiptNotPosted_reverts() external {
        Receipt memory r = _receipt(1);
        MerkleProof memory proof = _postWith(r);
        r.fee += 1;
        bytes memory encoded = _encode(r);
        vm.expectRevert(IInferenceHub.InferenceHub_InvalidProof.selector);
        HUB.challengeSplit(1, encoded, proof);
    }

    function test_challengeSplit_finalEpoch_reverts() external {
        Receipt memory r = _receipt(1);
        r.fee += 1;
        MerkleProof memory proof = _postWith(r);
        _finalize(1);
        bytes memory encoded = _encode(r);
        vm.expectPartialRevert(IInferenceHub.InferenceHub_NotPending.selector);
        HUB.challengeSplit(1, encoded, proof);
    }

    function test_rejectedFees_arePostedAgain_succeeds() external {
        Receipt memory r = _receipt(1);
        r.fee += 1;
        MerkleProof memory proof = _postWith(r);
        _challenge(r, proof);
        vm.snapshotGasLastCall("hub", "challengeSplit, three epochs");
        EpochPost memory post = _post(5 ether, 1 ether, 1 ether);
        vm.prank(SETTLER);
        vm.expectPartialRevert(IInferenceHub.InferenceHub_BondTooLow.selector);
        HUB.postEpoch(post, new VoucherClaim[](0));
        vm.prank(OPERATOR);
        HUB.registerOperator{value: 1 ether}();
        vm.prank(SETTLER);
        HUB.postEpoch(post, new VoucherClaim[](0));
        _finalize(1);
        vm.assertEq(_claim(0), 3 ether);
        vm.assertEq(_claim(1), 2 ether);
        vm.assertEq(HUB.undistributedFees(), 0);
    }

    /// Epochs whose fees differ are posted again one by one, each with its own.
    function test_rejectedFees_arePostedOneByOne_succeeds() external {
        Receipt memory r = _receipt(1);
        r.fee += 1;
        MerkleProof memory proof = _postWith(r);
        _challenge(r, proof);
        vm.prank(OPERATOR);
        HUB.registerOperator{value: 1 ether}();
        credits[1] -= 2 ether;
        EpochPost memory first = _post(3 ether, 1 ether, 1 ether);
        vm.prank(SETTLER);
        HUB.postEpoch(first, new VoucherClaim[](0));
        vm.assertEq(HUB.unallocatedFees(OPERATOR), 2 ether);
        credits[1] += 2 ether;
        EpochPost memory second = _post(2 ether, 0, 0);
        vm.prank(SETTLER);
        HUB.postEpoch(second, new VoucherClaim[](0));
        vm.assertEq(HUB.unallocatedFees(OPERATOR), 0);
        _finalize(1);
        _finalize(2);
        vm.assertEq(_claim(0), 3 ether);
        vm.assertEq(_claim(1), 2 ether);
        vm.assertEq(HUB.undistributedFees(), 0);
    }

    function test_reassignFees_thenOwnEpoch_succeeds() external {
        Receipt memory r = _receipt(1);
        r.fee += 1;
        MerkleProof memory proof = _postWith(r);
        _challenge(r, proof);
        vm.prank(GOVERNANCE);
        HUB.reassignFees(OPERATOR, STRANGER);
        vm.prank(GOVERNANCE);
        HUB.setOperatorAllowed(STRANGER, true);
        vm.deal(STRANGER, 1 ether);
        vm.prank(STRANGER);
        HUB.registerOperator{value: 1 ether}();
        EpochPost memory own = _post(5 ether, 0, 0);
        vm.prank(STRANGER);
        HUB.postEpoch(own, new VoucherClaim[](0));
        vm.assertEq(HUB.unallocatedFees(STRANGER), 2 ether);
    }

    function test_reassignFees_toAnotherOperator_succeeds() external {
        Receipt memory r = _receipt(1);
        r.fee += 1;
        MerkleProof memory proof = _postWith(r);
        _challenge(r, proof);
        vm.prank(GOVERNANCE);
        HUB.reassignFees(OPERATOR, STRANGER);
        vm.assertEq(HUB.unallocatedFees(OPERATOR), 0);
        vm.assertEq(HUB.unallocatedFees(STRANGER), 7 ether);
    }

    function test_challengeTotal_wrongTotal_slashes_succeeds() external {
        _credit(0, 3 ether);
        EpochPost memory post = _post(3 ether, 0, 0);
        // The tree promises 2 ether more than the epoch says.
        credits[1] = 2 ether;
        post.balanceRoot = Trees.root(_leaves()).hash;
        VoucherClaim[] memory claims = _spend(3 ether);
        vm.prank(OPERATOR);
        HUB.postEpoch(post, claims);
        SumNode[] memory path = Trees.prove(_leaves(), 0);
        vm.prank(SETTLER);
        HUB.challengeTotal(1, _account(0), 3 ether, 0, path);
        vm.assertEq(SETTLER.balance, 5 ether);
        vm.assertEq(HUB.lastPostedEpoch(), 0);
    }

    function test_challengeTotal_rightTotal_reverts() external {
        _credit(0, 3 ether);
        _postEpoch(3 ether, 0, 0);
        SumNode[] memory path = Trees.prove(_leaves(), 0);
        vm.expectPartialRevert(IInferenceHub.InferenceHub_NoFault.selector);
        HUB.challengeTotal(1, _account(0), 3 ether, 0, path);
    }

    function test_challengeBalance_fallenCredit_slashes_succeeds() external {
        _credit(0, 3 ether);
        _finalize(_postEpoch(3 ether, 0, 0));
        SumNode[] memory before = Trees.prove(_leaves(), 0);
        credits[0] = 1 ether;
        credits[1] = 2 ether;
        _postEpoch(0, 0, 0);
        SumNode[] memory path = Trees.prove(_leaves(), 0);
        vm.prank(SETTLER);
        HUB.challengeBalance(2, _account(0), 3 ether, 0, before, 1 ether, 0, path);
        vm.assertEq(SETTLER.balance, 5 ether);
        vm.assertEq(HUB.lastPostedEpoch(), 1);
        vm.assertEq(HUB.lastFinalEpoch(), 1);
    }

    function test_challengeBalance_risenCredit_reverts() external {
        _credit(0, 3 ether);
        _postEpoch(3 ether, 0, 0);
        SumNode[] memory before = Trees.prove(_leaves(), 0);
        _credit(0, 1 ether);
        _postEpoch(1 ether, 0, 0);
        SumNode[] memory path = Trees.prove(_leaves(), 0);
        vm.expectPartialRevert(IInferenceHub.InferenceHub_NoFault.selector);
        HUB.challengeBalance(2, _account(0), 3 ether, 0, before, 4 ether, 0, path);
    }

    function _challenge(Receipt memory r, MerkleProof memory proof) private {
        bytes memory encoded = _encode(r);
        vm.prank(SETTLER);
        HUB.challengeSplit(1, encoded, proof);
    }

    function _spoil(Receipt memory r, uint8 kind, uint32 off) private pure {
        if (kind == 0) r.epoch += off;
        if (kind == 1) r.operator = address(uint160(r.operator) ^ off);
        if (kind == 2) r.fee += off;
        if (kind == 3) r.tokensIn ^= off;
        if (kind == 4) r.tokensOut ^= off;
        if (kind == 5) r.price.inputWei += off;
        if (kind == 6) r.cumulativeBefore += off;
        if (kind == 7) r.cumulativeAfter += off;
        if (kind == 8) r.bps.burn ^= uint16(off | 1);
        if (kind == 9) r.split.burn += off;
        if (kind == 10) r.split.operatorShare += off;
        if (kind == 11) r.split.builder += off;
        if (kind == 12) r.split.parents += off;
        if (kind == 13) r.split.stakers += off;
        if (kind == 14) r.split.influence += off;
        if (kind == 15) r.split.provenance += off;
        if (kind == 16) r.modelId ^= bytes32(uint256(off));
        if (kind == 17) r.builder = address(uint160(r.builder) ^ off);
        if (kind == 18) r.weightsHash ^= bytes32(uint256(off));
        if (kind == 19) r.bps.provenance ^= uint16(off | 1);
        if (kind == 20) r.baseModel ^= bytes32(uint256(off));
        if (kind == 21) r.indexRoot ^= bytes32(uint256(off));
        if (kind == 22) r.snapshotRoots[0] ^= bytes32(uint256(off));
        if (kind == 23) r.snapshotRoots = new bytes32[](off % 2 * 2);
    }
}
