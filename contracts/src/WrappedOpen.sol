// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {
    ERC20PermitUpgradeable
} from "@openzeppelin/contracts-upgradeable/token/ERC20/extensions/ERC20PermitUpgradeable.sol";
import {ERC20Upgradeable} from "@openzeppelin/contracts-upgradeable/token/ERC20/ERC20Upgradeable.sol";
import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";

import {IWrappedOpen} from "./interfaces/IWrappedOpen.sol";
import {SignatureLib} from "./libraries/SignatureLib.sol";

/// @title Wrapped OPEN
/// @notice Needs no initialiser: name, symbol and domain are constants.
contract WrappedOpen is IWrappedOpen, ERC20PermitUpgradeable {
    bytes32 private constant TRANSFER_TYPEHASH = keccak256(
        "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );
    bytes32 private constant RECEIVE_TYPEHASH = keccak256(
        "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );
    bytes32 private constant CANCEL_TYPEHASH = keccak256("CancelAuthorization(address authorizer,bytes32 nonce)");

    mapping(address authorizer => mapping(bytes32 nonce => bool)) private _spent;

    receive() external payable {
        _deposit(msg.sender);
    }

    function deposit() external payable {
        _deposit(msg.sender);
    }

    function depositTo(address account) external payable {
        _deposit(account);
    }

    function withdraw(uint256 amount) external {
        _burn(msg.sender, amount);
        emit Withdrawal(msg.sender, amount);
        (bool sent,) = msg.sender.call{value: amount}("");
        if (!sent) revert WrappedOpen_TransferFailed(msg.sender, amount);
    }

    function name() public pure override(ERC20Upgradeable, IERC20Metadata) returns (string memory) {
        return "Wrapped OPEN";
    }

    function symbol() public pure override(ERC20Upgradeable, IERC20Metadata) returns (string memory) {
        return "WOPEN";
    }

    function nonces(address account) public view override(ERC20PermitUpgradeable, IERC20Permit) returns (uint256) {
        return super.nonces(account);
    }

    function authorizationState(address authorizer, bytes32 nonce) external view returns (bool) {
        return _spent[authorizer][nonce];
    }

    function transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes memory signature
    ) public {
        bytes32 message = keccak256(abi.encode(TRANSFER_TYPEHASH, from, to, value, validAfter, validBefore, nonce));
        _useAuthorization(from, nonce, validAfter, validBefore, message, signature);
        _transfer(from, to, value);
    }

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
    ) external {
        transferWithAuthorization(from, to, value, validAfter, validBefore, nonce, abi.encodePacked(r, s, v));
    }

    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes memory signature
    ) public {
        if (msg.sender != to) revert WrappedOpen_CallerNotPayee(msg.sender, to);
        bytes32 message = keccak256(abi.encode(RECEIVE_TYPEHASH, from, to, value, validAfter, validBefore, nonce));
        _useAuthorization(from, nonce, validAfter, validBefore, message, signature);
        _transfer(from, to, value);
    }

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
    ) external {
        receiveWithAuthorization(from, to, value, validAfter, validBefore, nonce, abi.encodePacked(r, s, v));
    }

    function cancelAuthorization(address authorizer, bytes32 nonce, bytes memory signature) public {
        bytes32 message = keccak256(abi.encode(CANCEL_TYPEHASH, authorizer, nonce));
        _spend(authorizer, nonce, message, signature);
        emit AuthorizationCanceled(authorizer, nonce);
    }

    function cancelAuthorization(address authorizer, bytes32 nonce, uint8 v, bytes32 r, bytes32 s) external {
        cancelAuthorization(authorizer, nonce, abi.encodePacked(r, s, v));
    }

    function _deposit(address account) private {
        _mint(account, msg.value);
        emit Deposit(account, msg.value);
    }

    function _useAuthorization(
        address authorizer,
        bytes32 nonce,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 message,
        bytes memory signature
    ) private {
        if (block.timestamp <= validAfter) {
            revert WrappedOpen_AuthorizationNotYetValid(validAfter, block.timestamp);
        }
        if (block.timestamp >= validBefore) revert WrappedOpen_AuthorizationExpired(validBefore, block.timestamp);
        _spend(authorizer, nonce, message, signature);
        emit AuthorizationUsed(authorizer, nonce);
    }

    function _spend(address authorizer, bytes32 nonce, bytes32 message, bytes memory signature) private {
        if (_spent[authorizer][nonce]) revert WrappedOpen_AuthorizationSpent(authorizer, nonce);
        if (!SignatureLib.isSignedBy(authorizer, _hashTypedDataV4(message), signature)) {
            revert WrappedOpen_InvalidSignature(authorizer);
        }
        _spent[authorizer][nonce] = true;
    }

    function _EIP712Name() internal pure override returns (string memory) {
        return "Wrapped OPEN";
    }

    function _EIP712Version() internal pure override returns (string memory) {
        return "1";
    }
}
