// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {ChannelConfig, VoucherClaim} from "../Types.sol";
import {IInferenceHub} from "../interfaces/IInferenceHub.sol";
import {IWrappedOpen} from "../interfaces/IWrappedOpen.sol";
import {Eip712Lib} from "../libraries/Eip712Lib.sol";
import {Predeploys} from "../libraries/Predeploys.sol";
import {SignatureLib} from "../libraries/SignatureLib.sol";

/// @notice The payment channels of the hub (x402 v2, batch-settlement on EVM). The hub holds native OPEN only: wrapped OPEN
/// is unwrapped when it comes in, and what goes back to payers is wrapped, so that no payer's code ever runs.
abstract contract Channels is IInferenceHub, ReentrancyGuardTransient {
    uint40 public constant WITHDRAW_DELAY_MIN = 15 minutes;
    uint40 public constant WITHDRAW_DELAY_MAX = 30 days;
    /// @notice Most vouchers that one call can claim.
    uint256 public constant CLAIMS_MAX = 512;

    IWrappedOpen internal constant WOPEN = IWrappedOpen(Predeploys.WRAPPED_OPEN);

    bytes32 private constant NAME_HASH = keccak256("x402 Batch Settlement");
    bytes32 private constant CONFIG_TYPEHASH = keccak256(
        "ChannelConfig(address payer,address payerAuthorizer,address receiver,address receiverAuthorizer,address token,uint40 withdrawDelay,bytes32 salt)"
    );
    bytes32 private constant VOUCHER_TYPEHASH = keccak256("Voucher(bytes32 channelId,uint128 maxClaimableAmount)");
    bytes32 private constant REFUND_TYPEHASH = keccak256("Refund(bytes32 channelId,uint256 nonce,uint128 amount)");

    /// @dev `balance` is what was deposited less what was returned; `totalClaimed` of it belongs to epochs.
    struct Channel {
        uint128 balance;
        uint128 totalClaimed;
        uint128 withdrawAmount;
        uint64 withdrawableAt;
        uint256 refundNonce;
    }

    mapping(bytes32 channelId => Channel) private _channels;
    uint128 public unclaimedDeposits;

    /// @notice Native OPEN arrives through functions that account for it, or from wrapped OPEN while it unwraps.
    receive() external payable {
        if (msg.sender != Predeploys.WRAPPED_OPEN) revert InferenceHub_DirectTransfer(msg.sender);
    }

    function deposit(ChannelConfig calldata config) external payable {
        _credit(config, getChannelId(config), msg.value);
    }

    function depositToken(ChannelConfig calldata config, uint128 amount) external nonReentrant {
        _depositToken(config, amount);
    }

    function depositWithPermit(
        ChannelConfig calldata config,
        uint128 amount,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external nonReentrant {
        // A permit that someone else submitted first has done its work already: the allowance decides.
        try WOPEN.permit(config.payer, address(this), amount, deadline, v, r, s) {} catch {}
        _depositToken(config, amount);
    }

    function depositWithAuthorization(
        ChannelConfig calldata config,
        uint128 amount,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 salt,
        bytes calldata signature
    ) external nonReentrant {
        bytes32 channelId = getChannelId(config);
        bytes32 nonce = keccak256(abi.encode(channelId, salt));
        WOPEN.receiveWithAuthorization(config.payer, address(this), amount, validAfter, validBefore, nonce, signature);
        WOPEN.withdraw(amount);
        _credit(config, channelId, amount);
    }

    function initiateWithdraw(ChannelConfig calldata config, uint128 amount) external {
        bytes32 channelId = _payersChannel(config);
        Channel storage channel = _channels[channelId];
        uint128 available = channel.balance - channel.totalClaimed;
        if (amount == 0) revert InferenceHub_ZeroAmount();
        if (amount > available) revert InferenceHub_InsufficientChannel(channelId, amount, available);
        channel.withdrawAmount = amount;
        channel.withdrawableAt = uint64(block.timestamp) + config.withdrawDelay;
        emit WithdrawInitiated(channelId, amount, channel.withdrawableAt);
    }

    function finalizeWithdraw(ChannelConfig calldata config) external nonReentrant returns (uint128 amount) {
        bytes32 channelId = _payersChannel(config);
        Channel storage channel = _channels[channelId];
        amount = channel.withdrawAmount;
        if (amount == 0) revert InferenceHub_NoPendingWithdrawal(channelId);
        if (block.timestamp < channel.withdrawableAt) {
            revert InferenceHub_TooEarly(channel.withdrawableAt, block.timestamp);
        }
        uint128 available = channel.balance - channel.totalClaimed;
        if (amount > available) amount = available;
        channel.withdrawAmount = 0;
        channel.withdrawableAt = 0;
        emit WithdrawFinalized(channelId, amount);
        _return(channelId, config.payer, amount);
    }

    function refund(ChannelConfig calldata config, uint128 amount) external nonReentrant returns (uint128) {
        bytes32 channelId = getChannelId(config);
        if (msg.sender != config.receiverAuthorizer) {
            revert InferenceHub_NotReceiverAuthorizer(channelId, msg.sender);
        }
        return _refund(channelId, config.payer, amount);
    }

    function refundWithSignature(ChannelConfig calldata config, uint128 amount, uint256 nonce, bytes calldata signature)
        external
        nonReentrant
        returns (uint128)
    {
        bytes32 channelId = getChannelId(config);
        uint256 expected = _channels[channelId].refundNonce;
        if (nonce != expected) revert InferenceHub_WrongNonce(nonce, expected);
        bytes32 digest = Eip712Lib.digest(NAME_HASH, keccak256(abi.encode(REFUND_TYPEHASH, channelId, nonce, amount)));
        if (!SignatureLib.isSignedBy(config.receiverAuthorizer, digest, signature)) {
            revert InferenceHub_InvalidSignature(config.receiverAuthorizer);
        }
        return _refund(channelId, config.payer, amount);
    }

    function channels(bytes32 channelId) external view returns (uint128 balance, uint128 totalClaimed) {
        return (_channels[channelId].balance, _channels[channelId].totalClaimed);
    }

    function pendingWithdrawal(bytes32 channelId) external view returns (uint128 amount, uint64 withdrawableAt) {
        return (_channels[channelId].withdrawAmount, _channels[channelId].withdrawableAt);
    }

    function refundNonce(bytes32 channelId) external view returns (uint256) {
        return _channels[channelId].refundNonce;
    }

    function getChannelId(ChannelConfig calldata config) public view returns (bytes32) {
        return Eip712Lib.digest(NAME_HASH, keccak256(abi.encode(CONFIG_TYPEHASH, config)));
    }

    function voucherDigest(bytes32 channelId, uint128 maxClaimableAmount) public view returns (bytes32) {
        return Eip712Lib.digest(NAME_HASH, keccak256(abi.encode(VOUCHER_TYPEHASH, channelId, maxClaimableAmount)));
    }

    /// @dev Moves what the vouchers grant from deposits to fees. Every row must name `operator` as its authoriser.
    function _claimVouchers(address operator, VoucherClaim[] calldata claims) internal returns (uint128 fees) {
        if (claims.length > CLAIMS_MAX) revert InferenceHub_TooManyClaims(claims.length, CLAIMS_MAX);
        for (uint256 i = 0; i < claims.length; ++i) {
            fees += _claimVoucher(operator, claims[i]);
        }
        unclaimedDeposits -= fees;
    }

    function _claimVoucher(address operator, VoucherClaim calldata row) private returns (uint128 amount) {
        bytes32 channelId = getChannelId(row.config);
        if (row.config.receiverAuthorizer != operator) {
            revert InferenceHub_NotReceiverAuthorizer(channelId, operator);
        }
        Channel storage channel = _channels[channelId];
        uint128 previous = channel.totalClaimed;
        uint128 total = row.totalClaimed;
        if (total <= previous) revert InferenceHub_ClaimNotIncreasing(channelId, total, previous);
        if (total > row.maxClaimableAmount) {
            revert InferenceHub_ClaimAboveVoucher(channelId, total, row.maxClaimableAmount);
        }
        if (total > channel.balance) revert InferenceHub_InsufficientChannel(channelId, total, channel.balance);
        _checkVoucher(row, channelId);
        channel.totalClaimed = total;
        amount = total - previous;
        emit VoucherClaimed(channelId, operator, amount, total);
    }

    /// @dev x402: a named authoriser signs with its own key; without one, the payer signs, by EIP-1271 too. What the
    /// signer's key signed stays good if code comes to the account later: the operator has answered for it.
    function _checkVoucher(VoucherClaim calldata row, bytes32 channelId) private view {
        bytes32 digest = voucherDigest(channelId, row.maxClaimableAmount);
        address authorizer = row.config.payerAuthorizer;
        bool valid;
        if (authorizer != address(0)) {
            valid = SignatureLib.isSignedByKeyOf(authorizer, digest, row.signature);
        } else {
            authorizer = row.config.payer;
            valid = SignatureLib.isSignedBy(authorizer, digest, row.signature);
        }
        if (!valid) revert InferenceHub_InvalidSignature(authorizer);
    }

    function _depositToken(ChannelConfig calldata config, uint128 amount) private {
        bytes32 channelId = getChannelId(config);
        // An allowance does not say which channel it is for, so only the payer may spend it.
        if (msg.sender != config.payer) revert InferenceHub_NotPayer(channelId, msg.sender);
        // Wrapped OPEN reverts on failure.
        // forge-lint: disable-next-line(erc20-unchecked-transfer)
        WOPEN.transferFrom(config.payer, address(this), amount);
        WOPEN.withdraw(amount);
        _credit(config, channelId, amount);
    }

    function _credit(ChannelConfig calldata config, bytes32 channelId, uint256 value) private {
        _checkConfig(config);
        if (value == 0) revert InferenceHub_ZeroAmount();
        if (value > type(uint128).max) revert InferenceHub_AmountTooLarge(value);
        uint128 amount = uint128(value);
        Channel storage channel = _channels[channelId];
        if (channel.balance == 0 && channel.totalClaimed == 0) emit ChannelCreated(channelId, config);
        channel.balance += amount;
        unclaimedDeposits += amount;
        emit Deposited(channelId, config.payer, msg.sender, amount, channel.balance);
    }

    function _refund(bytes32 channelId, address payer, uint128 amount) private returns (uint128 refunded) {
        if (amount == 0) revert InferenceHub_ZeroAmount();
        Channel storage channel = _channels[channelId];
        uint256 nonce = channel.refundNonce++;
        uint128 available = channel.balance - channel.totalClaimed;
        refunded = amount < available ? amount : available;
        if (refunded == 0) return 0;
        if (refunded >= channel.withdrawAmount) {
            channel.withdrawAmount = 0;
            channel.withdrawableAt = 0;
        } else {
            channel.withdrawAmount -= refunded;
        }
        emit Refunded(channelId, refunded, nonce);
        _return(channelId, payer, refunded);
    }

    function _return(bytes32 channelId, address payer, uint128 amount) private {
        Channel storage channel = _channels[channelId];
        channel.balance -= amount;
        unclaimedDeposits -= amount;
        if (channel.balance == 0) emit ChannelClosed(channelId);
        if (amount != 0) WOPEN.depositTo{value: amount}(payer);
    }

    function _payersChannel(ChannelConfig calldata config) private view returns (bytes32 channelId) {
        channelId = getChannelId(config);
        bool entitled = msg.sender == config.payer || msg.sender == config.payerAuthorizer;
        if (!entitled) revert InferenceHub_NotPayer(channelId, msg.sender);
    }

    function _checkConfig(ChannelConfig calldata config) private view {
        bool valid = config.receiver == address(this) && config.token == Predeploys.WRAPPED_OPEN
            && config.receiverAuthorizer != address(0) && config.payer != address(0);
        if (!valid) revert InferenceHub_InvalidChannel();
        if (config.withdrawDelay < WITHDRAW_DELAY_MIN || config.withdrawDelay > WITHDRAW_DELAY_MAX) {
            revert InferenceHub_WithdrawDelayOutOfRange(config.withdrawDelay, WITHDRAW_DELAY_MIN, WITHDRAW_DELAY_MAX);
        }
    }
}
