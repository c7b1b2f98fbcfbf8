// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {OwnableUpgradeable} from "@openzeppelin/contracts-upgradeable/access/OwnableUpgradeable.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {IStakerPool} from "./interfaces/IStakerPool.sol";
import {Predeploys} from "./libraries/Predeploys.sol";

/// @title Staker pool
/// @notice Rewards a share accumulate as numerators over `SCALE`; what division leaves is carried, in the pool and in each
/// account, so nothing is lost however often anyone calls.
contract StakerPool is IStakerPool, OwnableUpgradeable, ReentrancyGuardTransient {
    /// @notice Accumulator units a wei: more than there are wei of OPEN, so that less than a wei is ever carried, and so
    /// few that no account's rewards overflow (stake x growth <= all rewards x SCALE < 2^187).
    uint256 public constant SCALE = 2 ** 96;
    /// @notice Longest delay that governance can set.
    uint64 public constant UNSTAKE_DELAY_MAX = 30 days;

    struct Account {
        uint256 stake;
        uint256 paidPerShare;
        /// Rewards in 1/SCALE wei.
        uint256 scaledReward;
        uint192 pending;
        uint64 withdrawableAt;
    }

    mapping(address account => Account) private _accounts;
    uint256 public totalStaked;
    uint256 public heldRewards;
    uint256 private _perShare;
    /// Rewards in 1/SCALE wei that the last division left.
    uint256 private _carried;
    uint64 public unstakeDelay;

    constructor() {
        _disableInitializers();
    }

    function initialize(address governance, uint64 delaySeconds) external initializer {
        __Ownable_init(governance);
        _setUnstakeDelay(delaySeconds);
    }

    function owner() public view override(IStakerPool, OwnableUpgradeable) returns (address) {
        return super.owner();
    }

    function stake() external payable {
        if (msg.value == 0) revert StakerPool_ZeroAmount();
        Account storage account = _settle(msg.sender);
        account.stake += msg.value;
        totalStaked += msg.value;
        emit Staked(msg.sender, msg.value);
    }

    function requestUnstake(uint256 amount) external {
        if (amount == 0) revert StakerPool_ZeroAmount();
        Account storage account = _settle(msg.sender);
        if (amount > account.stake) revert StakerPool_InsufficientStake(amount, account.stake);
        account.stake -= amount;
        totalStaked -= amount;
        // Stakes are wei that exist, far below 2^192.
        account.pending += uint192(amount);
        account.withdrawableAt = uint64(block.timestamp) + unstakeDelay;
        emit UnstakeRequested(msg.sender, amount, account.withdrawableAt);
    }

    function withdraw() external nonReentrant returns (uint256 amount) {
        Account storage account = _accounts[msg.sender];
        amount = account.pending;
        if (amount == 0) revert StakerPool_NothingToWithdraw();
        if (block.timestamp < account.withdrawableAt) {
            revert StakerPool_TooEarly(account.withdrawableAt, block.timestamp);
        }
        account.pending = 0;
        emit Unstaked(msg.sender, amount);
        _pay(msg.sender, amount);
    }

    function claim() external nonReentrant returns (uint256 amount) {
        Account storage account = _settle(msg.sender);
        amount = account.scaledReward / SCALE;
        if (amount == 0) revert StakerPool_ZeroAmount();
        account.scaledReward -= amount * SCALE;
        emit RewardClaimed(msg.sender, amount);
        _pay(msg.sender, amount);
    }

    function notify() external payable {
        if (msg.sender != Predeploys.INFERENCE_HUB) revert StakerPool_NotHub(msg.sender);
        uint256 amount = msg.value + heldRewards;
        if (totalStaked == 0) {
            heldRewards = amount;
        } else {
            heldRewards = 0;
            uint256 scaled = amount * SCALE + _carried;
            _perShare += scaled / totalStaked;
            _carried = scaled % totalStaked;
        }
        emit RewardNotified(msg.value, heldRewards);
    }

    function setUnstakeDelay(uint64 delaySeconds) external onlyOwner {
        _setUnstakeDelay(delaySeconds);
    }

    function stakeOf(address account) external view returns (uint256) {
        return _accounts[account].stake;
    }

    function earned(address account) external view returns (uint256) {
        return _scaledReward(_accounts[account]) / SCALE;
    }

    function pendingUnstake(address account) external view returns (uint256 amount, uint64 withdrawableAt) {
        return (_accounts[account].pending, _accounts[account].withdrawableAt);
    }

    function _settle(address who) private returns (Account storage account) {
        account = _accounts[who];
        account.scaledReward = _scaledReward(account);
        account.paidPerShare = _perShare;
    }

    function _scaledReward(Account storage account) private view returns (uint256) {
        return account.scaledReward + account.stake * (_perShare - account.paidPerShare);
    }

    function _setUnstakeDelay(uint64 delaySeconds) private {
        if (delaySeconds > UNSTAKE_DELAY_MAX) revert StakerPool_DelayTooLong(delaySeconds, UNSTAKE_DELAY_MAX);
        unstakeDelay = delaySeconds;
        emit UnstakeDelaySet(delaySeconds);
    }

    function _pay(address to, uint256 amount) private {
        (bool sent,) = to.call{value: amount}("");
        if (!sent) revert StakerPool_TransferFailed(to, amount);
    }
}
