// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Epoch, EpochPost, EpochStatus, SumNode, VoucherClaim} from "../../src/Types.sol";
import {IInferenceHub} from "../../src/interfaces/IInferenceHub.sol";
import {EpochTest} from "../utils/EpochTest.sol";
import {Reentrant, Refuser} from "../utils/Hostile.sol";
import {Trees} from "../utils/Trees.sol";

contract EpochsTest is EpochTest {
    function testFuzz_epoch_wholeLife_succeeds(uint64 a, uint64 b, uint64 burned, uint64 stakers) external {
        vm.assume(a > 0 && b > 0);
        _credit(1, a);
        _credit(4, b);
        uint256 before = address(HUB).balance;
        uint64 epoch = _postEpoch(uint128(a) + b, burned, stakers);
        vm.assertEq(HUB.undistributedFees(), uint256(a) + b + burned + stakers);
        _finalize(epoch);
        vm.assertEq(address(HUB).balance, before - burned - stakers);
        vm.assertEq(address(POOL).balance, stakers);
        vm.assertEq(HUB.totalBurned(), burned);
        vm.assertEq(HUB.fundedCredits(), uint256(a) + b);
        vm.assertEq(_claim(1), a);
        vm.assertEq(_claim(4), b);
        vm.assertEq(_account(1).balance, a);
        vm.assertEq(HUB.fundedCredits(), 0);
        vm.assertEq(HUB.undistributedFees(), 0);
    }

    function test_epoch_gas() external {
        _credit(0, 3 ether);
        EpochPost memory post = _post(3 ether, 1 ether, 1 ether);
        VoucherClaim[] memory claims = _spend(5 ether);
        vm.prank(OPERATOR);
        HUB.postEpoch(post, claims);
        vm.snapshotGasLastCall("hub", "postEpoch, one voucher");
        vm.warp(block.timestamp + WINDOW);
        HUB.finalizeEpoch(1);
        vm.snapshotGasLastCall("hub", "finalizeEpoch");
        SumNode[] memory path = Trees.prove(_leaves(), 0);
        HUB.claim(_account(0), 3 ether, 0, path);
        vm.snapshotGasLastCall("hub", "claim, first, five accounts");
    }

    function test_postEpoch_hundredVouchers_gas() external {
        VoucherClaim[] memory claims = new VoucherClaim[](100);
        for (uint256 i = 0; i < 100; ++i) {
            _fund(_channel(i + 1), 1 ether);
            claims[i] = _voucher(_channel(i + 1), 1 ether, 1 ether);
        }
        _credit(0, 100 ether);
        EpochPost memory post = _post(100 ether, 0, 0);
        vm.prank(OPERATOR);
        HUB.postEpoch(post, claims);
        vm.snapshotGasLastCall("hub", "postEpoch, 100 vouchers");
    }

    function test_postEpoch_notAllowedOrBonded_reverts() external {
        EpochPost memory post = _post(0, 0, 0);
        VoucherClaim[] memory none = new VoucherClaim[](0);
        vm.prank(STRANGER);
        vm.expectPartialRevert(IInferenceHub.InferenceHub_NotOperator.selector);
        HUB.postEpoch(post, none);
        vm.prank(OPERATOR);
        HUB.withdrawBond(9 ether + 1);
        vm.prank(OPERATOR);
        vm.expectPartialRevert(IInferenceHub.InferenceHub_BondTooLow.selector);
        HUB.postEpoch(post, none);
        vm.prank(GOVERNANCE);
        HUB.setOperatorAllowed(OPERATOR, false);
        vm.prank(SETTLER);
        vm.expectPartialRevert(IInferenceHub.InferenceHub_NotOperator.selector);
        HUB.postEpoch(post, none);
    }

    function testFuzz_postEpoch_partsDoNotSum_reverts(uint8 kind, uint64 off) external {
        vm.assume(off > 0);
        _credit(0, 5 ether);
        EpochPost memory post = _post(5 ether, 2 ether, 1 ether);
        VoucherClaim[] memory claims = _spend(8 ether);
        bytes4 expected = IInferenceHub.InferenceHub_SplitMismatch.selector;
        if (kind % 5 == 0) post.burned += off;
        if (kind % 5 == 1) post.stakers += off;
        if (kind % 5 == 2) post.totalBalance += off;
        if (kind % 5 == 3) {
            post.fees += off;
            expected = IInferenceHub.InferenceHub_FeesNotCovered.selector;
        }
        if (kind % 5 == 4) {
            post.epoch = off == 1 ? 0 : off;
            expected = IInferenceHub.InferenceHub_WrongEpoch.selector;
        }
        vm.prank(OPERATOR);
        vm.expectPartialRevert(expected);
        HUB.postEpoch(post, claims);
    }

    function test_postEpoch_totalFell_reverts() external {
        _credit(0, 5 ether);
        _postEpoch(5 ether, 0, 0);
        credits[0] -= 1;
        EpochPost memory post = _post(0, 0, 0);
        vm.prank(OPERATOR);
        vm.expectPartialRevert(IInferenceHub.InferenceHub_TotalFell.selector);
        HUB.postEpoch(post, new VoucherClaim[](0));
    }

    function test_postEpoch_tooManyPending_reverts() external {
        for (uint256 i = 0; i < HUB.PENDING_MAX(); ++i) {
            _postEpoch(0, 0, 0);
        }
        EpochPost memory post = _post(0, 0, 0);
        vm.prank(OPERATOR);
        vm.expectPartialRevert(IInferenceHub.InferenceHub_TooManyPending.selector);
        HUB.postEpoch(post, new VoucherClaim[](0));
    }

    function test_finalizeEpoch_earlyOrOutOfOrder_reverts() external {
        _postEpoch(0, 0, 0);
        _postEpoch(0, 0, 0);
        vm.expectPartialRevert(IInferenceHub.InferenceHub_TooEarly.selector);
        HUB.finalizeEpoch(1);
        vm.warp(block.timestamp + WINDOW);
        vm.expectPartialRevert(IInferenceHub.InferenceHub_WrongEpoch.selector);
        HUB.finalizeEpoch(2);
        HUB.finalizeEpoch(1);
        vm.expectPartialRevert(IInferenceHub.InferenceHub_NotPending.selector);
        HUB.finalizeEpoch(1);
        vm.assertTrue(HUB.getEpoch(1).status == EpochStatus.Final);
        vm.assertEq(HUB.lastFinalEpoch(), 1);
    }

    function test_withdrawBond_whileEpochPending_reverts() external {
        _postEpoch(0, 0, 0);
        vm.prank(OPERATOR);
        vm.expectPartialRevert(IInferenceHub.InferenceHub_BondLocked.selector);
        HUB.withdrawBond(1);
        _finalize(1);
        uint256 before = OPERATOR.balance;
        vm.prank(OPERATOR);
        HUB.withdrawBond(10 ether);
        vm.assertEq(OPERATOR.balance, before + 10 ether);
        vm.assertEq(HUB.totalBonds(), 0);
    }

    function test_claim_againstPendingRoot_reverts() external {
        _credit(0, 5 ether);
        _postEpoch(5 ether, 0, 0);
        SumNode[] memory path = Trees.prove(_leaves(), 0);
        vm.expectRevert(IInferenceHub.InferenceHub_InvalidProof.selector);
        HUB.claim(_account(0), 5 ether, 0, path);
    }

    function test_claim_acrossRoots_paysTheDifference_succeeds() external {
        _credit(2, 5 ether);
        _finalize(_postEpoch(5 ether, 0, 0));
        vm.assertEq(_claim(2), 5 ether);
        _credit(2, 2 ether);
        _finalize(_postEpoch(2 ether, 0, 0));
        vm.assertEq(_claim(2), 2 ether);
        SumNode[] memory path = Trees.prove(_leaves(), 2);
        vm.expectPartialRevert(IInferenceHub.InferenceHub_NothingToClaim.selector);
        HUB.claim(_account(2), credits[2], 2, path);
        vm.assertEq(_account(2).balance, 7 ether);
    }

    function testFuzz_claim_mutatedProof_reverts(uint8 kind, uint128 off, uint8 at) external {
        vm.assume(off > 0);
        for (uint256 i = 0; i < ACCOUNTS; ++i) {
            _credit(i, uint128(i + 1) * 1 ether);
        }
        _finalize(_postEpoch(15 ether, 0, 0));
        SumNode[] memory path = Trees.prove(_leaves(), 1);
        uint128 cumulative = 2 ether;
        uint64 index = 1;
        address account = _account(1);
        if (kind % 5 == 0) cumulative = off == 2 ether ? 1 : off;
        if (kind % 5 == 1) index = (1 + 1 + at % 4) % 5;
        if (kind % 5 == 2) account = _account(0);
        if (kind % 5 == 3) path[at % path.length].sum += off;
        if (kind % 5 == 4) path[at % path.length].hash ^= bytes32(uint256(off));
        vm.expectRevert(IInferenceHub.InferenceHub_InvalidProof.selector);
        HUB.claim(account, cumulative, index, path);
    }

    /// A root that promises more than was paid in: what was funded is paid, nothing else, whoever comes first.
    function test_claim_beyondFunds_reverts() external {
        _credit(0, 5 ether);
        _finalize(_postEpoch(5 ether, 0, 0));
        _claim(0);
        // The poster writes account 0's paid credit over to account 1: the total stands, the money is gone.
        credits[0] = 0;
        _credit(1, 5 ether);
        _credit(2, 1 ether);
        _finalize(_postEpoch(1 ether, 0, 0));
        vm.assertEq(_claim(2), 1 ether);
        SumNode[] memory path = Trees.prove(_leaves(), 1);
        vm.expectRevert(
            abi.encodeWithSelector(IInferenceHub.InferenceHub_Insolvent.selector, uint128(5 ether), uint128(0))
        );
        HUB.claim(_account(1), 5 ether, 1, path);
    }

    function test_claim_reentrantReceiver_paysOnce_succeeds() external {
        Reentrant thief = new Reentrant();
        (EpochPost memory post, SumNode memory leaf) = _soleAccount(address(thief), 5 ether);
        VoucherClaim[] memory claims = _spend(5 ether);
        vm.prank(OPERATOR);
        HUB.postEpoch(post, claims);
        _finalize(1);
        bytes memory again = abi.encodeCall(HUB.claim, (address(thief), uint128(leaf.sum), uint64(0), new SumNode[](0)));
        thief.arm(address(HUB), again);
        HUB.claim(address(thief), uint128(leaf.sum), 0, new SumNode[](0));
        vm.assertEq(thief.entered(), 1);
        vm.assertFalse(thief.reentered());
        vm.assertEq(address(thief).balance, 5 ether);
    }

    function test_claim_refusingReceiver_keepsItsCredit_reverts() external {
        Refuser refuser = new Refuser();
        (EpochPost memory post,) = _soleAccount(address(refuser), 5 ether);
        VoucherClaim[] memory claims = _spend(5 ether);
        vm.prank(OPERATOR);
        HUB.postEpoch(post, claims);
        _finalize(1);
        vm.expectPartialRevert(IInferenceHub.InferenceHub_TransferFailed.selector);
        HUB.claim(address(refuser), 5 ether, 0, new SumNode[](0));
        vm.assertEq(HUB.claimed(address(refuser)), 0);
        vm.assertEq(HUB.fundedCredits(), 5 ether);
    }

    function test_claimVouchers_thenPost_usesThem_succeeds() external {
        VoucherClaim[] memory ahead = _spend(4 ether);
        vm.prank(SETTLER);
        HUB.claimVouchers(ahead);
        _credit(0, 5 ether);
        EpochPost memory post = _post(5 ether, 0, 0);
        VoucherClaim[] memory rest = _spend(1 ether);
        vm.prank(SETTLER);
        HUB.postEpoch(post, rest);
        vm.assertEq(HUB.unallocatedFees(OPERATOR), 0);
        Epoch memory epoch = HUB.getEpoch(1);
        vm.assertEq(epoch.operator, OPERATOR);
        vm.assertEq(epoch.fees, 5 ether);
    }

    /// Vouchers are claimed ahead and epochs posted with less; what they leave is there for the next.
    function test_postEpoch_lessThanClaimed_keepsTheRest_succeeds() external {
        VoucherClaim[] memory ahead = _spend(9 ether);
        vm.prank(SETTLER);
        HUB.claimVouchers(ahead);
        _credit(0, 5 ether);
        EpochPost memory post = _post(5 ether, 0, 0);
        vm.prank(SETTLER);
        HUB.postEpoch(post, new VoucherClaim[](0));
        vm.assertEq(HUB.unallocatedFees(OPERATOR), 4 ether);
        vm.assertEq(HUB.undistributedFees(), 9 ether);
        _finalize(1);
        vm.assertEq(HUB.undistributedFees(), 4 ether);
        _credit(1, 4 ether + 1);
        EpochPost memory more = _post(4 ether + 1, 0, 0);
        vm.prank(SETTLER);
        vm.expectRevert(
            abi.encodeWithSelector(
                IInferenceHub.InferenceHub_FeesNotCovered.selector, uint128(4 ether + 1), uint128(4 ether)
            )
        );
        HUB.postEpoch(more, new VoucherClaim[](0));
    }

    function test_governance_only_reverts() external {
        vm.expectRevert();
        HUB.setBondMin(0);
        vm.expectRevert();
        HUB.setChallengeWindow(0);
        vm.expectRevert();
        HUB.reassignFees(OPERATOR, STRANGER);
        vm.expectRevert();
        HUB.setOperatorAllowed(STRANGER, true);
        vm.startPrank(GOVERNANCE);
        vm.expectPartialRevert(IInferenceHub.InferenceHub_ValueOutOfRange.selector);
        HUB.setChallengeWindow(31 days);
        HUB.setChallengeWindow(5);
        HUB.setBondMin(7);
        vm.stopPrank();
        vm.assertEq(HUB.challengeWindow(), 5);
        vm.assertEq(HUB.bondMin(), 7);
    }

    function test_setSettler_takenOrByStranger_reverts() external {
        vm.prank(STRANGER);
        vm.expectPartialRevert(IInferenceHub.InferenceHub_NotOperator.selector);
        HUB.setSettler(STRANGER);
        vm.prank(GOVERNANCE);
        HUB.setOperatorAllowed(STRANGER, true);
        vm.prank(STRANGER);
        vm.expectPartialRevert(IInferenceHub.InferenceHub_NotOperator.selector);
        HUB.setSettler(SETTLER);
        vm.prank(OPERATOR);
        HUB.setSettler(address(0));
        vm.prank(STRANGER);
        HUB.setSettler(SETTLER);
        vm.assertEq(HUB.getOperator(STRANGER).settler, SETTLER);
    }

    function _soleAccount(address account, uint128 amount)
        private
        view
        returns (EpochPost memory post, SumNode memory leaf)
    {
        leaf = _leafOf(account, amount);
        post = _post(0, 0, 0);
        post.balanceRoot = leaf.hash;
        post.accountCount = 1;
        post.totalBalance = amount;
        post.fees = amount;
    }
}
