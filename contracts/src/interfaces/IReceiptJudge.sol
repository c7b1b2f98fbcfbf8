// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {ReceiptFault} from "../Types.sol";

/// @title Receipt judge
/// @notice Says what is wrong with a receipt, from the receipt and the model's published terms alone. Receipts come in their
/// canonical bytes, `0x01 ++ abi.encode(Receipt)`.
interface IReceiptJudge {
    /// @notice The bytes are not a receipt of a known version.
    error ReceiptJudge_UnknownVersion(uint256 length);

    /// @notice The first fault of a receipt that `operator` posted in `epoch`, or none, and the receipt's hash.
    function judge(bytes calldata receipt, uint64 epoch, address operator)
        external
        view
        returns (bytes32 hash, ReceiptFault fault);
    /// @notice The receipt's hash: EIP-712 hashStruct.
    function receiptHash(bytes calldata receipt) external view returns (bytes32);
    /// @notice The digest that an operator signs: domain {name "OpenLedger Receipt", version "1", chainId,
    /// verifyingContract hub}.
    function receiptDigest(bytes calldata receipt) external view returns (bytes32);
}
