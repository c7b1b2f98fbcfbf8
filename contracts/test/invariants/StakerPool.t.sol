// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {OpenLedgerTest} from "../utils/OpenLedgerTest.sol";

contract PoolHandler is OpenLedgerTest {
    uint256 public constant STAKERS = 4;

    uint256 public ghostStaked;
    uint256 public ghostNotified;
    uint256 public ghostClaimed;
    uint256 public ghostUnstaked;

    function staker(uint256 index) public pure returns (address) {
        return vm.addr(0x57a4e + index % STAKERS);
    }

    function stake(uint8 who, uint96 amount) external {
        if (amount == 0) return;
        vm.deal(staker(who), staker(who).balance + amount);
        vm.prank(staker(who));
        POOL.stake{value: amount}();
        ghostStaked += amount;
    }

    function unstake(uint8 who, uint96 amount) external {
        uint256 most = POOL.stakeOf(staker(who));
        if (most == 0) return;
        vm.prank(staker(who));
        POOL.requestUnstake(1 + amount % most);
    }

    function withdraw(uint8 who) external {
        (uint256 pending, uint64 at) = POOL.pendingUnstake(staker(who));
        if (pending == 0) return;
        if (block.timestamp < at) vm.warp(at);
        vm.prank(staker(who));
        ghostUnstaked += POOL.withdraw();
    }

    function notify(uint64 amount) external {
        vm.deal(address(HUB), address(HUB).balance + amount);
        vm.prank(address(HUB));
        POOL.notify{value: amount}();
        ghostNotified += amount;
    }

    function notifyDust(uint8 amount) external {
        vm.deal(address(HUB), address(HUB).balance + amount % 4);
        vm.prank(address(HUB));
        POOL.notify{value: amount % 4}();
        ghostNotified += amount % 4;
    }

    function claim(uint8 who) external {
        if (POOL.earned(staker(who)) == 0) return;
        vm.prank(staker(who));
        ghostClaimed += POOL.claim();
    }
}

contract PoolInvariants is OpenLedgerTest {
    PoolHandler private _handler;

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function setUp() public override {
        _handler = new PoolHandler();
        _handler.setUp();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(_handler);
    }

    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        targets = new FuzzSelector[](1);
        bytes4[] memory selectors = new bytes4[](6);
        selectors[0] = PoolHandler.stake.selector;
        selectors[1] = PoolHandler.unstake.selector;
        selectors[2] = PoolHandler.withdraw.selector;
        selectors[3] = PoolHandler.notify.selector;
        selectors[4] = PoolHandler.notifyDust.selector;
        selectors[5] = PoolHandler.claim.selector;
        targets[0] = FuzzSelector(address(_handler), selectors);
    }

    /// What came in is there or was paid out.
    function invariant_balanceAddsUp() external view {
        uint256 arrived = _handler.ghostStaked() + _handler.ghostNotified();
        uint256 left = _handler.ghostUnstaked() + _handler.ghostClaimed();
        vm.assertEq(address(POOL).balance, arrived - left);
    }

    /// Rewards are held, owed or paid; at most one wei a member, and one of the pool, is rounding.
    function invariant_rewardsAreNeverLost() external view {
        uint256 owed = POOL.heldRewards();
        for (uint256 i = 0; i < _handler.STAKERS(); ++i) {
            owed += POOL.earned(_handler.staker(i));
        }
        uint256 known = owed + _handler.ghostClaimed();
        vm.assertLe(known, _handler.ghostNotified());
        vm.assertGe(known + _handler.STAKERS() + 1, _handler.ghostNotified());
    }

    function invariant_stakesAddUp() external view {
        uint256 sum;
        uint256 waiting;
        for (uint256 i = 0; i < _handler.STAKERS(); ++i) {
            sum += POOL.stakeOf(_handler.staker(i));
            (uint256 pending,) = POOL.pendingUnstake(_handler.staker(i));
            waiting += pending;
        }
        vm.assertEq(sum, POOL.totalStaked());
        vm.assertEq(sum + waiting, _handler.ghostStaked() - _handler.ghostUnstaked());
    }
}
