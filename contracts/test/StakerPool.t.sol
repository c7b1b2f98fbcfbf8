// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {IStakerPool} from "../src/interfaces/IStakerPool.sol";
import {Reentrant, Refuser} from "./utils/Hostile.sol";
import {OpenLedgerTest} from "./utils/OpenLedgerTest.sol";

contract StakerPoolTest is OpenLedgerTest {
    function _stake(address account, uint256 amount) private {
        vm.deal(account, amount);
        vm.prank(account);
        POOL.stake{value: amount}();
    }

    function _notify(uint256 amount) private {
        vm.deal(address(HUB), address(HUB).balance + amount);
        vm.prank(address(HUB));
        POOL.notify{value: amount}();
    }

    function testFuzz_notify_sharesByStake_succeeds(uint96 a, uint96 b, uint96 reward) external {
        vm.assume(a > 0 && b > 0);
        _stake(STRANGER, a);
        _stake(SETTLER, b);
        _notify(reward);
        uint256 total = uint256(a) + b;
        uint256 first = POOL.earned(STRANGER);
        uint256 second = POOL.earned(SETTLER);
        vm.assertLe(first + second, reward);
        // The pool carries at most total/SCALE wei, each account less than one.
        vm.assertGe(first + second + total / POOL.SCALE() + 2, reward);
        vm.assertLe(first, uint256(reward) * a / total);
        vm.assertGe(first + total / POOL.SCALE() + 2, uint256(reward) * a / total);
    }

    function test_notify_withoutStakers_waitsForTheFirst_succeeds() external {
        _notify(7 ether);
        vm.assertEq(POOL.heldRewards(), 7 ether);
        _stake(STRANGER, 1 ether);
        vm.assertEq(POOL.earned(STRANGER), 0);
        _notify(1);
        vm.assertEq(POOL.heldRewards(), 0);
        vm.assertGe(POOL.earned(STRANGER), 7 ether);
    }

    function test_notify_oftenAndTiny_losesAtMostOneWei_succeeds() external {
        _stake(STRANGER, 3 ether);
        _stake(SETTLER, 4 ether);
        for (uint256 i = 0; i < 500; ++i) {
            _notify(1);
            vm.deal(STRANGER, 1 ether);
            // Settling an account often must not lose its fractions either.
            vm.prank(STRANGER);
            POOL.stake{value: 0.001 ether}();
        }
        uint256 paid = POOL.earned(STRANGER) + POOL.earned(SETTLER);
        vm.assertLe(paid, 500);
        vm.assertGe(paid, 498);
    }

    function test_notify_notHub_reverts() external {
        vm.deal(STRANGER, 1 ether);
        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IStakerPool.StakerPool_NotHub.selector, STRANGER));
        POOL.notify{value: 1}();
    }

    function test_stake_afterNotify_earnsNothingOfIt_succeeds() external {
        _stake(STRANGER, 1 ether);
        _notify(5 ether);
        _stake(SETTLER, 1000 ether);
        vm.assertEq(POOL.earned(SETTLER), 0);
        vm.assertEq(POOL.earned(STRANGER), 5 ether);
    }

    function test_requestUnstake_stopsEarning_succeeds() external {
        _stake(STRANGER, 2 ether);
        _stake(SETTLER, 2 ether);
        vm.prank(STRANGER);
        POOL.requestUnstake(2 ether);
        _notify(1 ether);
        vm.assertEq(POOL.earned(STRANGER), 0);
        vm.assertEq(POOL.earned(SETTLER), 1 ether);
        (uint256 amount, uint64 at) = POOL.pendingUnstake(STRANGER);
        vm.assertEq(amount, 2 ether);
        vm.assertEq(at, block.timestamp + UNSTAKE_DELAY);
    }

    function test_withdraw_beforeTheDelay_reverts() external {
        _stake(STRANGER, 2 ether);
        vm.prank(STRANGER);
        POOL.requestUnstake(1 ether);
        vm.warp(block.timestamp + UNSTAKE_DELAY - 1);
        vm.prank(STRANGER);
        vm.expectPartialRevert(IStakerPool.StakerPool_TooEarly.selector);
        POOL.withdraw();
        vm.warp(block.timestamp + 1);
        vm.prank(STRANGER);
        vm.assertEq(POOL.withdraw(), 1 ether);
        vm.assertEq(STRANGER.balance, 1 ether);
        vm.prank(STRANGER);
        vm.expectRevert(IStakerPool.StakerPool_NothingToWithdraw.selector);
        POOL.withdraw();
    }

    function testFuzz_requestUnstake_moreThanStaked_reverts(uint96 stake, uint96 more) external {
        vm.assume(stake > 0 && more > 0);
        _stake(STRANGER, stake);
        vm.prank(STRANGER);
        vm.expectPartialRevert(IStakerPool.StakerPool_InsufficientStake.selector);
        POOL.requestUnstake(uint256(stake) + more);
    }

    function test_claim_byReentrantReceiver_paysOnce_succeeds() external {
        Reentrant thief = new Reentrant();
        vm.deal(address(this), 2 ether);
        thief.run{value: 1 ether}(address(POOL), abi.encodeCall(POOL.stake, ()));
        _stake(STRANGER, 1 ether);
        _notify(2 ether);
        thief.arm(address(POOL), abi.encodeCall(POOL.claim, ()));
        thief.run(address(POOL), abi.encodeCall(POOL.claim, ()));
        vm.assertEq(thief.entered(), 1);
        vm.assertFalse(thief.reentered());
        vm.assertEq(address(thief).balance, 1 ether);
    }

    function test_claim_byRefusingReceiver_reverts() external {
        Refuser refuser = new Refuser();
        vm.deal(address(this), 1 ether);
        refuser.run{value: 1 ether}(address(POOL), abi.encodeCall(POOL.stake, ()));
        _notify(1 ether);
        vm.expectPartialRevert(IStakerPool.StakerPool_TransferFailed.selector);
        refuser.run(address(POOL), abi.encodeCall(POOL.claim, ()));
        vm.assertEq(POOL.earned(address(refuser)), 1 ether);
    }

    function test_setUnstakeDelay_governanceOnly_reverts() external {
        vm.expectRevert();
        POOL.setUnstakeDelay(1);
        vm.prank(GOVERNANCE);
        POOL.setUnstakeDelay(1);
        vm.assertEq(POOL.unstakeDelay(), 1);
        vm.prank(GOVERNANCE);
        vm.expectPartialRevert(IStakerPool.StakerPool_DelayTooLong.selector);
        POOL.setUnstakeDelay(31 days);
    }

    function test_zeroAmounts_revert() external {
        vm.expectRevert(IStakerPool.StakerPool_ZeroAmount.selector);
        POOL.stake();
        vm.expectRevert(IStakerPool.StakerPool_ZeroAmount.selector);
        POOL.requestUnstake(0);
        vm.expectRevert(IStakerPool.StakerPool_ZeroAmount.selector);
        POOL.claim();
    }
}
