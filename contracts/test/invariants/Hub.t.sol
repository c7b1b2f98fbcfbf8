// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {ChannelConfig, EpochPost, SumNode, VoucherClaim} from "../../src/Types.sol";
import {EpochTest} from "../utils/EpochTest.sol";
import {Trees} from "../utils/Trees.sol";

/// @notice Does what payers, the operator and claimants do, in any order, with ghost variables beside the hub's own.
contract HubHandler is EpochTest {
    uint256 public ghostDeposited;
    uint256 public ghostReturned;
    uint256 public ghostFees;
    uint256 public ghostBurned;
    uint256 public ghostStaked;
    uint256 public ghostCredited;
    uint256 public ghostPaid;
    uint128 public ghostTotalBalance;
    uint256 public ghostBond;
    uint256 public posts;

    /// Credits of the last final epoch, which claims go against.
    uint128[ACCOUNTS] private _finalCredits;
    uint128[ACCOUNTS][] private _pendingCredits;

    function setUp() public override {
        super.setUp();
        ghostDeposited = 10_000 ether;
        ghostBond = 10 ether;
    }

    function fund(uint64 amount, bool wrapped) external {
        if (amount == 0) return;
        ChannelConfig memory config = _channel(0);
        if (wrapped) {
            vm.startPrank(PAYER);
            WOPEN.deposit{value: amount}();
            WOPEN.approve(address(HUB), amount);
            HUB.depositToken(config, amount);
            vm.stopPrank();
        } else {
            _fund(config, amount);
        }
        ghostDeposited += amount;
    }

    function withdraw(uint64 amount) external {
        ChannelConfig memory config = _channel(0);
        uint256 available = _available(config);
        if (amount == 0 || amount > available) return;
        vm.prank(PAYER);
        HUB.initiateWithdraw(config, amount);
        vm.warp(block.timestamp + config.withdrawDelay);
        vm.prank(PAYER);
        ghostReturned += HUB.finalizeWithdraw(config);
    }

    function refund(uint64 amount) external {
        if (amount == 0) return;
        vm.prank(OPERATOR);
        ghostReturned += HUB.refund(_channel(0), amount);
    }

    function claimAhead(uint64 fees) external {
        if (fees == 0 || fees > _available(_channel(0))) return;
        VoucherClaim[] memory claims = _spend(fees);
        vm.prank(OPERATOR);
        HUB.claimVouchers(claims);
        ghostFees += fees;
    }

    /// Some of what could be posted is left for a later epoch.
    function post(uint64 fees, uint64 left, uint16 burnBps, uint16 stakersBps, uint8 account) external {
        if (fees == 0 || fees > _available(_channel(0)) || HUB.lastPostedEpoch() - HUB.lastFinalEpoch() > 5) return;
        uint128 all = fees + HUB.unallocatedFees(OPERATOR);
        all -= left % all;
        uint128 burned = all * (burnBps % 5000) / 10_000;
        uint128 stakers = all * (stakersBps % 5000) / 10_000;
        uint128 credited = all - burned - stakers;
        _credit(account, credited);
        EpochPost memory next = _post(credited, burned, stakers);
        VoucherClaim[] memory claims = _spend(fees);
        vm.prank(SETTLER);
        HUB.postEpoch(next, claims);
        _pendingCredits.push(credits);
        ghostFees += fees;
        ++posts;
    }

    function finalize() external {
        uint64 epoch = HUB.lastFinalEpoch() + 1;
        if (epoch > HUB.lastPostedEpoch()) return;
        _finalize(epoch);
        ghostBurned += HUB.getEpoch(epoch).burned;
        ghostStaked += HUB.getEpoch(epoch).stakers;
        ghostCredited += HUB.getEpoch(epoch).fees - HUB.getEpoch(epoch).burned - HUB.getEpoch(epoch).stakers;
        require(HUB.getEpoch(epoch).totalBalance >= ghostTotalBalance, "total fell");
        ghostTotalBalance = HUB.getEpoch(epoch).totalBalance;
        _finalCredits = _pendingCredits[0];
        for (uint256 i = 1; i < _pendingCredits.length; ++i) {
            _pendingCredits[i - 1] = _pendingCredits[i];
        }
        _pendingCredits.pop();
    }

    /// Another of the accounts is credited with what was taken from `victim`; the fall is proven and all is rejected.
    function cheatAndBeCaught(uint8 victim) external {
        uint256 at = victim % ACCOUNTS;
        if (HUB.lastPostedEpoch() == 0 || HUB.lastPostedEpoch() != HUB.lastFinalEpoch()) return;
        uint128 amount = credits[at];
        if (amount == 0) return;
        SumNode[] memory before = Trees.prove(_leaves(), at);
        credits[at] = 0;
        credits[(at + 1) % ACCOUNTS] += amount;
        EpochPost memory next = _post(0, 0, 0);
        vm.prank(OPERATOR);
        HUB.postEpoch(next, new VoucherClaim[](0));
        SumNode[] memory path = Trees.prove(_leaves(), at);
        vm.prank(STRANGER);
        HUB.challengeBalance(next.epoch, _account(at), amount, uint64(at), before, 0, uint64(at), path);
        credits[at] = amount;
        credits[(at + 1) % ACCOUNTS] -= amount;
        ghostBurned += 5 ether;
        vm.deal(OPERATOR, 10 ether);
        vm.prank(OPERATOR);
        HUB.registerOperator{value: 10 ether}();
    }

    function claim(uint8 account) external {
        uint256 at = account % ACCOUNTS;
        address who = _account(at);
        if (_finalCredits[at] <= HUB.claimed(who)) return;
        uint128[ACCOUNTS] memory latest = credits;
        credits = _finalCredits;
        SumNode[] memory path = Trees.prove(_leaves(), at);
        credits = latest;
        ghostPaid += HUB.claim(who, _finalCredits[at], uint64(at), path);
        require(HUB.claimed(who) == _finalCredits[at] && who.balance == _finalCredits[at], "paid otherwise");
    }

    function accountBalances() external view returns (uint256 sum) {
        for (uint256 i = 0; i < ACCOUNTS; ++i) {
            sum += _account(i).balance;
        }
    }

    function _available(ChannelConfig memory config) private view returns (uint256) {
        (uint128 balance, uint128 claimed) = HUB.channels(HUB.getChannelId(config));
        return balance - claimed;
    }
}

contract HubInvariants is EpochTest {
    HubHandler private _handler;

    function setUp() public override {
        _handler = new HubHandler();
        _handler.setUp();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(_handler);
    }

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        targets = new FuzzSelector[](1);
        bytes4[] memory selectors = new bytes4[](8);
        selectors[0] = HubHandler.fund.selector;
        selectors[1] = HubHandler.withdraw.selector;
        selectors[2] = HubHandler.refund.selector;
        selectors[3] = HubHandler.claimAhead.selector;
        selectors[4] = HubHandler.post.selector;
        selectors[5] = HubHandler.finalize.selector;
        selectors[6] = HubHandler.cheatAndBeCaught.selector;
        selectors[7] = HubHandler.claim.selector;
        targets[0] = FuzzSelector(address(_handler), selectors);
    }

    /// The handler's guards must not hide the states that the invariants are about.
    function test_handler_reachesEveryState() external {
        _handler.fund(1 ether, true);
        _handler.claimAhead(1 ether);
        _handler.post(1 ether, 0, 500, 1000, 2);
        _handler.finalize();
        _handler.claim(2);
        _handler.cheatAndBeCaught(2);
        _handler.refund(1 ether);
        _handler.withdraw(1 ether);
        vm.assertEq(_handler.ghostFees(), 2 ether);
        vm.assertEq(_handler.ghostBurned(), 0.1 ether + 5 ether);
        vm.assertEq(_handler.ghostStaked(), 0.2 ether);
        vm.assertEq(_handler.ghostPaid(), 1.7 ether);
        vm.assertEq(_handler.ghostReturned(), 2 ether);
        this.invariant_feesAreBurnedStakedOrCredited();
        this.invariant_balanceCoversAllClaims();
    }

    /// Fees of final epochs = burned + to stakers + credited, and the rest waits.
    function invariant_feesAreBurnedStakedOrCredited() external view {
        uint256 spread = _handler.ghostStaked() + _handler.ghostCredited() + _slashedBurnsLess();
        vm.assertEq(_handler.ghostFees(), spread + HUB.undistributedFees());
    }

    /// The hub holds exactly what it owes.
    function invariant_balanceCoversAllClaims() external view {
        uint256 owed =
            uint256(HUB.unclaimedDeposits()) + HUB.totalBonds() + HUB.undistributedFees() + HUB.fundedCredits();
        vm.assertEq(address(HUB).balance, owed);
    }

    function invariant_depositsAreClaimedReturnedOrThere() external view {
        uint256 there = uint256(HUB.unclaimedDeposits()) + _handler.ghostFees() + _handler.ghostReturned();
        vm.assertEq(_handler.ghostDeposited(), there);
    }

    function invariant_neverPaysMoreThanCredited() external view {
        vm.assertEq(_handler.ghostPaid() + HUB.fundedCredits(), _handler.ghostCredited());
        vm.assertEq(_handler.accountBalances(), _handler.ghostPaid());
        vm.assertEq(_handler.ghostCredited(), _handler.ghostTotalBalance());
    }

    function invariant_stakersAndBurnsAddUp() external view {
        vm.assertEq(address(POOL).balance, _handler.ghostStaked());
        vm.assertEq(HUB.totalBurned(), _handler.ghostBurned());
    }

    function invariant_wrappedOpenIsBacked() external view {
        vm.assertEq(address(WOPEN).balance, WOPEN.totalSupply());
        vm.assertEq(WOPEN.balanceOf(PAYER), _handler.ghostReturned());
    }

    /// Burned of fees: what was burned less the bonds that were slashed, half of 10 ether each.
    function _slashedBurnsLess() private view returns (uint256) {
        uint256 slashed = STRANGER.balance;
        return _handler.ghostBurned() - slashed;
    }
}
