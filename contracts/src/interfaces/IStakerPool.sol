// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @title Staker pool
/// @notice Stakes of native OPEN and their part of the fees: one accumulator notify an epoch, remainders carried.
interface IStakerPool {
    event Staked(address indexed account, uint256 amount);
    /// @notice `amount` stopped earning and can be withdrawn at `withdrawableAt`.
    event UnstakeRequested(address indexed account, uint256 amount, uint64 withdrawableAt);
    event Unstaked(address indexed account, uint256 amount);
    /// @notice `amount` arrived, of which `held` waits for a first staker.
    event RewardNotified(uint256 amount, uint256 held);
    event RewardClaimed(address indexed account, uint256 amount);
    event UnstakeDelaySet(uint64 delaySeconds);

    error StakerPool_ZeroAmount();
    error StakerPool_NotHub(address caller);
    error StakerPool_InsufficientStake(uint256 amount, uint256 stake);
    error StakerPool_TooEarly(uint64 withdrawableAt, uint256 now_);
    error StakerPool_NothingToWithdraw();
    error StakerPool_DelayTooLong(uint64 delaySeconds, uint64 limit);
    error StakerPool_TransferFailed(address to, uint256 amount);

    /// @notice Stakes the value sent.
    function stake() external payable;
    /// @notice Stops `amount` earning; a second request restarts the delay for all that waits.
    function requestUnstake(uint256 amount) external;
    /// @notice Pays out what waited long enough.
    function withdraw() external returns (uint256 amount);
    /// @notice Pays the caller's rewards.
    function claim() external returns (uint256 amount);
    /// @notice Shares the value sent among the stakers. Hub only.
    function notify() external payable;
    /// @notice Sets the delay of later requests. Governance only.
    function setUnstakeDelay(uint64 delaySeconds) external;

    function initialize(address governance, uint64 unstakeDelay) external;
    function owner() external view returns (address);
    function totalStaked() external view returns (uint256);
    function stakeOf(address account) external view returns (uint256);
    function earned(address account) external view returns (uint256);
    function pendingUnstake(address account) external view returns (uint256 amount, uint64 withdrawableAt);
    /// @notice Rewards that wait for a first staker.
    function heldRewards() external view returns (uint256);
    function unstakeDelay() external view returns (uint64);
}
