// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {OwnableUpgradeable} from "@openzeppelin/contracts-upgradeable/access/OwnableUpgradeable.sol";

/// @title Fee vault
/// @notice Collects one kind of fee (sequencer, base, L1 or operator fee) and pays it to a recipient on L2 that governance
/// names. The execution engine credits it without a call.
contract FeeVault is OwnableUpgradeable {
    event Withdrawal(uint256 value, address to, address from);
    event RecipientSet(address indexed recipient);

    error FeeVault_BelowMinimum(uint256 balance, uint256 minimum);
    error FeeVault_TransferFailed(address to, uint256 amount);
    error FeeVault_ZeroAddress();

    uint256 public constant MIN_WITHDRAWAL_AMOUNT = 1 ether;

    address public recipient;
    uint256 public totalProcessed;

    constructor() {
        _disableInitializers();
    }

    receive() external payable {}

    function initialize(address governance, address recipient_) external initializer {
        __Ownable_init(governance);
        _setRecipient(recipient_);
    }

    /// @notice Pays all that is here to the recipient. Anyone may.
    function withdraw() external returns (uint256 amount) {
        amount = address(this).balance;
        if (amount < MIN_WITHDRAWAL_AMOUNT) revert FeeVault_BelowMinimum(amount, MIN_WITHDRAWAL_AMOUNT);
        totalProcessed += amount;
        emit Withdrawal(amount, recipient, msg.sender);
        (bool sent,) = recipient.call{value: amount}("");
        if (!sent) revert FeeVault_TransferFailed(recipient, amount);
    }

    function setRecipient(address recipient_) external onlyOwner {
        _setRecipient(recipient_);
    }

    function _setRecipient(address recipient_) private {
        if (recipient_ == address(0)) revert FeeVault_ZeroAddress();
        recipient = recipient_;
        emit RecipientSet(recipient_);
    }
}
