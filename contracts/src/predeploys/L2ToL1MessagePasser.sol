// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {BurnLib} from "../libraries/BurnLib.sol";

/// @title L2ToL1MessagePasser
/// @notice Outbox of withdrawals, in the interface and the storage layout of the OP Stack: slot 0 holds `sentMessages`,
/// which withdrawal proofs read, slot 1 the nonce.
contract L2ToL1MessagePasser {
    event MessagePassed(
        uint256 indexed nonce,
        address indexed sender,
        address indexed target,
        uint256 value,
        uint256 gasLimit,
        bytes data,
        bytes32 withdrawalHash
    );
    event WithdrawerBalanceBurnt(uint256 indexed amount);

    uint16 public constant MESSAGE_VERSION = 1;
    uint256 internal constant RECEIVE_DEFAULT_GAS_LIMIT = 100_000;

    mapping(bytes32 withdrawalHash => bool) public sentMessages;
    uint240 private _nonce;

    receive() external payable {
        initiateWithdrawal(msg.sender, RECEIVE_DEFAULT_GAS_LIMIT, "");
    }

    /// @notice Destroys what withdrawals left here: on L2 it no longer exists.
    function burn() external {
        uint256 amount = address(this).balance;
        BurnLib.burn(amount);
        emit WithdrawerBalanceBurnt(amount);
    }

    /// @notice Sends a message, and the value sent with it, to L1.
    function initiateWithdrawal(address target, uint256 gasLimit, bytes memory data) public payable {
        uint256 nonce = messageNonce();
        bytes32 withdrawalHash = keccak256(abi.encode(nonce, msg.sender, target, msg.value, gasLimit, data));
        sentMessages[withdrawalHash] = true;
        emit MessagePassed(nonce, msg.sender, target, msg.value, gasLimit, data, withdrawalHash);
        unchecked {
            ++_nonce;
        }
    }

    /// @notice The next message's nonce, its version in the two highest bytes.
    function messageNonce() public view returns (uint256) {
        return uint256(MESSAGE_VERSION) << 240 | _nonce;
    }

    function version() external pure returns (string memory) {
        return "1.0.0";
    }
}
