// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {
    ChannelConfig,
    Epoch,
    EpochPost,
    MerkleProof,
    Operator,
    ReceiptFault,
    SumNode,
    VoucherClaim
} from "../Types.sol";

/// @title Inference hub
/// @notice Payment channels (x402 v2, batch-settlement on EVM), operators under bond, epochs with a challenge window, and
/// cumulative claims that can never exceed the fees that fund them.
///
/// EIP-712 domains: {name "x402 Batch Settlement", version "1"} for channels, vouchers and refunds,
/// {name "OpenLedger Receipt", version "1"} for receipts; chainId and verifyingContract are this chain and hub.
///
/// Invariants: fees = burned + stakers + credits, for every epoch; the balance covers unclaimed deposits, bonds,
/// undistributed fees and unpaid credits; cumulative totals never fall.
interface IInferenceHub {
    event ChannelCreated(bytes32 indexed channelId, ChannelConfig config);
    event ChannelClosed(bytes32 indexed channelId);
    event Deposited(
        bytes32 indexed channelId, address indexed payer, address indexed funder, uint128 amount, uint128 balance
    );
    event WithdrawInitiated(bytes32 indexed channelId, uint128 amount, uint64 withdrawableAt);
    event WithdrawFinalized(bytes32 indexed channelId, uint128 amount);
    event Refunded(bytes32 indexed channelId, uint128 amount, uint256 nonce);
    /// @notice `amount` was claimed under a voucher; `totalClaimed` is cumulative.
    event VoucherClaimed(bytes32 indexed channelId, address indexed operator, uint128 amount, uint128 totalClaimed);

    event OperatorAllowed(address indexed operator, bool allowed);
    event OperatorRegistered(address indexed operator, uint128 amount, uint128 bond);
    event SettlerSet(address indexed operator, address indexed settler);
    event BondWithdrawn(address indexed operator, uint128 amount);
    event BondSlashed(address indexed operator, address indexed challenger, uint128 reward, uint128 burned);

    event EpochPosted(uint64 indexed epoch, address indexed operator, EpochPost post, uint64 finalAt);
    event EpochFinalized(uint64 indexed epoch, bytes32 balanceRoot, uint128 burned, uint128 stakers, uint128 credited);
    event EpochRejected(uint64 indexed epoch, address indexed operator, uint128 fees);
    event Challenged(uint64 indexed epoch, address indexed challenger, bytes32 indexed subject, ReceiptFault fault);
    event Claimed(address indexed account, uint128 amount, uint128 cumulative);
    event Burned(uint128 amount);

    event ChallengeWindowSet(uint64 seconds_);
    event BondMinSet(uint128 bondMin);
    event FeesReassigned(address indexed from, address indexed to, uint128 amount);

    error InferenceHub_ZeroAmount();
    error InferenceHub_AmountTooLarge(uint256 amount);
    /// @notice The channel's receiver must be this hub, its token wrapped OPEN, its authoriser not zero.
    error InferenceHub_InvalidChannel();
    error InferenceHub_WithdrawDelayOutOfRange(uint40 delaySeconds, uint40 min, uint40 max);
    error InferenceHub_NotPayer(bytes32 channelId, address caller);
    error InferenceHub_NotReceiverAuthorizer(bytes32 channelId, address caller);
    error InferenceHub_InsufficientChannel(bytes32 channelId, uint128 amount, uint128 available);
    error InferenceHub_NoPendingWithdrawal(bytes32 channelId);
    error InferenceHub_TooEarly(uint64 allowedAt, uint256 now_);
    error InferenceHub_InvalidSignature(address signer);
    error InferenceHub_WrongNonce(uint256 nonce, uint256 expected);
    error InferenceHub_ClaimAboveVoucher(bytes32 channelId, uint128 totalClaimed, uint128 maxClaimableAmount);
    error InferenceHub_ClaimNotIncreasing(bytes32 channelId, uint128 totalClaimed, uint128 previous);
    error InferenceHub_TooManyClaims(uint256 count, uint256 limit);

    error InferenceHub_NotOperator(address caller);
    error InferenceHub_BondTooLow(uint128 bond, uint128 bondMin);
    error InferenceHub_BondLocked(address operator, uint64 pendingEpochs);

    error InferenceHub_WrongEpoch(uint64 epoch, uint64 expected);
    error InferenceHub_TooManyPending(uint64 count, uint64 limit);
    /// @notice The epoch posts more fees than its vouchers and the operator's unallocated fees are.
    error InferenceHub_FeesNotCovered(uint128 posted, uint128 available);
    error InferenceHub_SplitMismatch(uint256 fees, uint256 parts);
    error InferenceHub_TotalFell(uint128 totalBalance, uint128 previous);
    error InferenceHub_NotPending(uint64 epoch);
    error InferenceHub_InvalidProof();
    error InferenceHub_NothingToClaim(address account);
    /// @notice The root promises more than was funded; nothing is paid beyond the funds.
    error InferenceHub_Insolvent(uint128 amount, uint128 funded);
    error InferenceHub_NoFault(bytes32 receiptHash);
    error InferenceHub_TransferFailed(address to, uint256 amount);
    error InferenceHub_ValueOutOfRange(uint256 value, uint256 limit);
    error InferenceHub_DirectTransfer(address from);

    // Channels

    /// @notice Funds a channel with native OPEN; anyone may.
    function deposit(ChannelConfig calldata config) external payable;
    /// @notice Funds a channel with the payer's wrapped OPEN, approved before. Payer only.
    function depositToken(ChannelConfig calldata config, uint128 amount) external;
    /// @notice As `depositToken`, with an EIP-2612 permit. Payer only.
    function depositWithPermit(
        ChannelConfig calldata config,
        uint128 amount,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external;
    /// @notice Funds a channel by an EIP-3009 `ReceiveWithAuthorization` to the hub, whose nonce binds the channel:
    /// `keccak256(abi.encode(channelId, salt))`. Anyone may submit it.
    function depositWithAuthorization(
        ChannelConfig calldata config,
        uint128 amount,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 salt,
        bytes calldata signature
    ) external;
    /// @notice Starts the delay after which unclaimed funds can be taken back. Payer or payer's authoriser.
    function initiateWithdraw(ChannelConfig calldata config, uint128 amount) external;
    /// @notice Pays what was asked for, or what is left of it, to the payer in wrapped OPEN.
    function finalizeWithdraw(ChannelConfig calldata config) external returns (uint128 amount);
    /// @notice Returns unclaimed funds at once. Receiver's authoriser only. Capped at what is there.
    function refund(ChannelConfig calldata config, uint128 amount) external returns (uint128 refunded);
    /// @notice As `refund`, with the authoriser's signature over `Refund(bytes32 channelId,uint256 nonce,uint128 amount)`.
    function refundWithSignature(ChannelConfig calldata config, uint128 amount, uint256 nonce, bytes calldata signature)
        external
        returns (uint128 refunded);
    /// @notice Claims vouchers ahead of an epoch; the fees wait in the operator's `unallocatedFees`.
    function claimVouchers(VoucherClaim[] calldata claims) external returns (uint128 fees);

    function getChannelId(ChannelConfig calldata config) external view returns (bytes32);
    function channels(bytes32 channelId) external view returns (uint128 balance, uint128 totalClaimed);
    function pendingWithdrawal(bytes32 channelId) external view returns (uint128 amount, uint64 withdrawableAt);
    function refundNonce(bytes32 channelId) external view returns (uint256);
    /// @notice The digest that a payer signs.
    function voucherDigest(bytes32 channelId, uint128 maxClaimableAmount) external view returns (bytes32);

    // Operators

    /// @notice Adds the value sent to the caller's bond.
    function registerOperator() external payable;
    /// @notice Lets `settler` post in the caller's name; zero revokes.
    function setSettler(address settler) external;
    /// @notice Takes bond back while nothing of the operator's is pending.
    function withdrawBond(uint128 amount) external;
    function getOperator(address operator) external view returns (Operator memory);

    // Epochs

    /// @notice Claims the vouchers and posts the next epoch. Allowed operators under bond, or their settlers. Its fees come
    /// from the vouchers and the operator's `unallocatedFees`; what they leave waits there.
    function postEpoch(EpochPost calldata post, VoucherClaim[] calldata claims) external;
    /// @notice After the window: burns, notifies the stakers, opens claims. Anyone may. In order.
    function finalizeEpoch(uint64 epoch) external;
    /// @notice Pays `cumulative` less what `account` was paid before, to `account`. Anyone may. The proof is against the
    /// latest final balance root.
    function claim(address account, uint128 cumulative, uint64 index, SumNode[] calldata siblings)
        external
        returns (uint128 amount);

    function getEpoch(uint64 epoch) external view returns (Epoch memory);
    function lastPostedEpoch() external view returns (uint64);
    function lastFinalEpoch() external view returns (uint64);
    function claimed(address account) external view returns (uint128);
    function unallocatedFees(address operator) external view returns (uint128);
    /// @notice Credits of final epochs that were not yet paid.
    function fundedCredits() external view returns (uint128);
    /// @notice Deposits of all channels that were not yet claimed or returned.
    function unclaimedDeposits() external view returns (uint128);
    /// @notice Fees of pending epochs and unallocated fees.
    function undistributedFees() external view returns (uint128);
    function totalBonds() external view returns (uint128);
    function totalBurned() external view returns (uint128);

    // Disputes

    /// @notice Proves that a receipt of a pending epoch contradicts itself, its epoch, or its model's published terms.
    /// The receipt is given in its canonical bytes. The operator's bond is slashed; this epoch and all after it are
    /// rejected.
    function challengeSplit(uint64 epoch, bytes calldata receipt, MerkleProof calldata proof) external;
    /// @notice Proves that the balance tree's total is not the posted one.
    function challengeTotal(
        uint64 epoch,
        address account,
        uint128 cumulative,
        uint64 index,
        SumNode[] calldata siblings
    ) external;
    /// @notice Proves that an account's cumulative credit fell from the epoch before.
    function challengeBalance(
        uint64 epoch,
        address account,
        uint128 previousCumulative,
        uint64 previousIndex,
        SumNode[] calldata previousSiblings,
        uint128 cumulative,
        uint64 index,
        SumNode[] calldata siblings
    ) external;

    // Governance

    function initialize(address governance, uint64 challengeWindow, uint128 bondMin) external;
    function owner() external view returns (address);
    function setOperatorAllowed(address operator, bool allowed) external;
    function setChallengeWindow(uint64 challengeWindow) external;
    function setBondMin(uint128 bondMin) external;
    /// @notice Moves undistributed fees of an operator that no longer posts.
    function reassignFees(address from, address to) external;
    function challengeWindow() external view returns (uint64);
    function bondMin() external view returns (uint128);
}
