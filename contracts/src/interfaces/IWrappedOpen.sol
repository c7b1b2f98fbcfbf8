// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";

/// @title Wrapped OPEN
/// @notice ERC-20 form of the native coin, one to one, with EIP-2612 permits and EIP-3009 authorisations.
/// EIP-712 domain: {name "Wrapped OPEN", version "1", chainId, verifyingContract}.
interface IWrappedOpen is IERC20Metadata, IERC20Permit {
    /// @notice `amount` wei of native OPEN were wrapped for `account`.
    event Deposit(address indexed account, uint256 amount);
    /// @notice `amount` wei were unwrapped by `account`.
    event Withdrawal(address indexed account, uint256 amount);
    /// @notice `authorizer` used the authorisation `nonce`.
    event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce);
    /// @notice `authorizer` cancelled the authorisation `nonce`.
    event AuthorizationCanceled(address indexed authorizer, bytes32 indexed nonce);

    /// @notice The receiver refused the native coin.
    error WrappedOpen_TransferFailed(address to, uint256 amount);
    /// @notice The authorisation counts only after `validAfter`.
    error WrappedOpen_AuthorizationNotYetValid(uint256 validAfter, uint256 now_);
    /// @notice The authorisation counted only before `validBefore`.
    error WrappedOpen_AuthorizationExpired(uint256 validBefore, uint256 now_);
    /// @notice The authorisation was used or cancelled before.
    error WrappedOpen_AuthorizationSpent(address authorizer, bytes32 nonce);
    /// @notice The signature is not `authorizer`'s.
    error WrappedOpen_InvalidSignature(address authorizer);
    /// @notice Only the payee may submit a receive authorisation.
    error WrappedOpen_CallerNotPayee(address caller, address payee);

    /// @notice Wraps the value sent.
    function deposit() external payable;
    /// @notice Wraps the value sent for `account`.
    function depositTo(address account) external payable;
    /// @notice Unwraps `amount` to the caller.
    function withdraw(uint256 amount) external;

    /// @notice EIP-3009: whether `nonce` is used or cancelled.
    function authorizationState(address authorizer, bytes32 nonce) external view returns (bool);
    /// @notice EIP-3009: moves `value` from `from` to `to`; anyone may submit it.
    function transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes memory signature
    ) external;
    function transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external;
    /// @notice EIP-3009: as `transferWithAuthorization`, but only `to` may submit it.
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes memory signature
    ) external;
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external;
    /// @notice EIP-3009: makes an unused `nonce` worthless.
    function cancelAuthorization(address authorizer, bytes32 nonce, bytes memory signature) external;
    function cancelAuthorization(address authorizer, bytes32 nonce, uint8 v, bytes32 r, bytes32 s) external;
}
