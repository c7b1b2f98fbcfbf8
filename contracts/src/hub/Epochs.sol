// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Epoch, EpochPost, EpochStatus, SumNode, VoucherClaim} from "../Types.sol";
import {IStakerPool} from "../interfaces/IStakerPool.sol";
import {Predeploys} from "../libraries/Predeploys.sol";
import {SumMerkleLib} from "../libraries/SumMerkleLib.sol";
import {Operators} from "./Operators.sol";

/// @notice Epochs: posted under bond, final after the window, claimed against the latest final root.
abstract contract Epochs is Operators {
    /// @notice Most epochs that can be pending at once; a rejection walks over all of them.
    uint64 public constant PENDING_MAX = 64;
    uint64 public constant CHALLENGE_WINDOW_MAX = 30 days;

    mapping(uint64 epoch => Epoch) private _epochs;
    mapping(address account => uint128) public claimed;
    mapping(address operator => uint128) public unallocatedFees;
    uint64 public lastPostedEpoch;
    uint64 public lastFinalEpoch;
    uint64 public challengeWindow;
    uint128 public fundedCredits;
    uint128 public undistributedFees;

    function claimVouchers(VoucherClaim[] calldata claims) external nonReentrant returns (uint128 fees) {
        address operator = _callersOperator();
        fees = _claimVouchers(operator, claims);
        unallocatedFees[operator] += fees;
        undistributedFees += fees;
    }

    function postEpoch(EpochPost calldata post, VoucherClaim[] calldata claims) external nonReentrant {
        address operator = _callersOperator();
        _lockBond(operator);
        if (post.epoch != lastPostedEpoch + 1) revert InferenceHub_WrongEpoch(post.epoch, lastPostedEpoch + 1);
        uint64 pending = lastPostedEpoch - lastFinalEpoch;
        if (pending >= PENDING_MAX) revert InferenceHub_TooManyPending(pending, PENDING_MAX);
        _allocateFees(operator, post.fees, claims);
        _checkTotals(post);
        uint64 finalAt = uint64(block.timestamp) + challengeWindow;
        lastPostedEpoch = post.epoch;
        _store(post, operator, finalAt);
        emit EpochPosted(post.epoch, operator, post, finalAt);
    }

    function finalizeEpoch(uint64 epoch) external nonReentrant {
        Epoch storage entry = _pending(epoch);
        if (epoch != lastFinalEpoch + 1) revert InferenceHub_WrongEpoch(epoch, lastFinalEpoch + 1);
        if (block.timestamp < entry.finalAt) revert InferenceHub_TooEarly(entry.finalAt, block.timestamp);
        uint128 credited = entry.fees - entry.burned - entry.stakers;
        entry.status = EpochStatus.Final;
        lastFinalEpoch = epoch;
        undistributedFees -= entry.fees;
        fundedCredits += credited;
        _unlockBond(entry.operator);
        emit EpochFinalized(epoch, entry.balanceRoot, entry.burned, entry.stakers, credited);
        _burn(entry.burned);
        if (entry.stakers != 0) IStakerPool(Predeploys.STAKER_POOL).notify{value: entry.stakers}();
    }

    function claim(address account, uint128 cumulative, uint64 index, SumNode[] calldata siblings)
        external
        nonReentrant
        returns (uint128 amount)
    {
        Epoch storage entry = _epochs[lastFinalEpoch];
        uint256 total = _totalUnder(entry, account, cumulative, index, siblings);
        if (total != entry.totalBalance) revert InferenceHub_InvalidProof();
        if (cumulative <= claimed[account]) revert InferenceHub_NothingToClaim(account);
        amount = cumulative - claimed[account];
        if (amount > fundedCredits) revert InferenceHub_Insolvent(amount, fundedCredits);
        claimed[account] = cumulative;
        fundedCredits -= amount;
        emit Claimed(account, amount, cumulative);
        _pay(account, amount);
    }

    function getEpoch(uint64 epoch) external view returns (Epoch memory) {
        return _epochs[epoch];
    }

    function setChallengeWindow(uint64 challengeWindow_) external onlyOwner {
        _setChallengeWindow(challengeWindow_);
    }

    function reassignFees(address from, address to) external onlyOwner {
        uint128 amount = unallocatedFees[from];
        unallocatedFees[from] = 0;
        unallocatedFees[to] += amount;
        emit FeesReassigned(from, to, amount);
    }

    function _setChallengeWindow(uint64 challengeWindow_) internal {
        if (challengeWindow_ > CHALLENGE_WINDOW_MAX) {
            revert InferenceHub_ValueOutOfRange(challengeWindow_, CHALLENGE_WINDOW_MAX);
        }
        challengeWindow = challengeWindow_;
        emit ChallengeWindowSet(challengeWindow_);
    }

    function _pending(uint64 epoch) internal view returns (Epoch storage entry) {
        entry = _epochs[epoch];
        if (entry.status != EpochStatus.Pending) revert InferenceHub_NotPending(epoch);
    }

    function _epoch(uint64 epoch) internal view returns (Epoch storage) {
        return _epochs[epoch];
    }

    /// @dev The total at the top of the path from the account's leaf to the epoch's balance root; reverts if the path does
    /// not lead there.
    function _totalUnder(
        Epoch storage entry,
        address account,
        uint128 cumulative,
        uint64 index,
        SumNode[] calldata siblings
    ) internal view returns (uint256) {
        SumNode memory leaf = SumNode(SumMerkleLib.claimLeaf(account, cumulative), cumulative);
        (bool valid, SumNode memory root) = SumMerkleLib.climb(leaf, index, entry.accountCount, siblings);
        if (!valid || root.hash != entry.balanceRoot) revert InferenceHub_InvalidProof();
        return root.sum;
    }

    /// @dev Forgets this epoch and all after it. Their fees wait for their operators to post them again, one by one or
    /// together.
    function _rejectFrom(uint64 epoch) internal {
        for (uint64 number = lastPostedEpoch; number >= epoch; --number) {
            Epoch storage entry = _epochs[number];
            address operator = entry.operator;
            uint128 fees = entry.fees;
            unallocatedFees[operator] += fees;
            _unlockBond(operator);
            delete _epochs[number];
            emit EpochRejected(number, operator, fees);
        }
        lastPostedEpoch = epoch - 1;
    }

    /// @dev What the epoch does not take waits for a later one: after a rejection the fees of several epochs are there at once,
    /// and each epoch is posted again with its own.
    function _allocateFees(address operator, uint128 fees, VoucherClaim[] calldata claims) private {
        uint128 fresh = _claimVouchers(operator, claims);
        uint128 available = unallocatedFees[operator] + fresh;
        if (fees > available) revert InferenceHub_FeesNotCovered(fees, available);
        unallocatedFees[operator] = available - fees;
        undistributedFees += fresh;
    }

    /// @dev fees = burned + stakers + (totalBalance - previous totalBalance).
    function _checkTotals(EpochPost calldata post) private view {
        uint128 previous = _epochs[lastPostedEpoch].totalBalance;
        if (post.totalBalance < previous) revert InferenceHub_TotalFell(post.totalBalance, previous);
        uint256 parts = uint256(post.burned) + post.stakers + (post.totalBalance - previous);
        if (parts != post.fees) revert InferenceHub_SplitMismatch(post.fees, parts);
    }

    function _store(EpochPost calldata post, address operator, uint64 finalAt) private {
        Epoch storage entry = _epochs[post.epoch];
        entry.receiptsRoot = post.receiptsRoot;
        entry.balanceRoot = post.balanceRoot;
        entry.receiptCount = post.receiptCount;
        entry.accountCount = post.accountCount;
        entry.totalBalance = post.totalBalance;
        entry.fees = post.fees;
        entry.burned = post.burned;
        entry.stakers = post.stakers;
        entry.operator = operator;
        entry.finalAt = finalAt;
        entry.status = EpochStatus.Pending;
        entry.daCommitment = post.daCommitment;
    }
}
