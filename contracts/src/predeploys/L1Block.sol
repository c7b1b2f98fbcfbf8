// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Predeploys} from "../libraries/Predeploys.sol";

/// @title L1Block
/// @notice What the first deposit of each block says about L1, in the interface and the storage layout of the OP Stack:
/// the execution engine reads slots 1, 3, 7 and 8 to charge the L1 fee, the operator fee and the DA footprint.
contract L1Block {
    error NotDepositor();

    // Slot 0
    uint64 public number;
    uint64 public timestamp;
    // Slot 1
    uint256 public basefee;
    // Slot 2
    bytes32 public hash;
    // Slot 3
    uint64 public sequenceNumber;
    uint32 public blobBaseFeeScalar;
    uint32 public baseFeeScalar;
    // Slot 4
    bytes32 public batcherHash;
    // Slots 5 and 6, of use before Ecotone only
    uint256 public l1FeeOverhead;
    uint256 public l1FeeScalar;
    // Slot 7
    uint256 public blobBaseFee;
    // Slot 8
    uint64 public operatorFeeConstant;
    uint32 public operatorFeeScalar;
    uint16 public daFootprintGasScalar;

    // Packed calldata, byte offsets: 4 baseFeeScalar, 8 blobBaseFeeScalar, 12 sequenceNumber, 20 timestamp, 28 number,
    // 36 basefee, 68 blobBaseFee, 100 hash, 132 batcherHash, 164 operatorFeeScalar, 168 operatorFeeConstant,
    // 176 daFootprintGasScalar (Jovian).
    uint256 private constant ISTHMUS_LENGTH = 176;
    uint256 private constant JOVIAN_LENGTH = 178;

    function DEPOSITOR_ACCOUNT() external pure returns (address) {
        return Predeploys.L1_INFO_DEPOSITOR;
    }

    function version() external pure returns (string memory) {
        return "1.0.0";
    }

    function gasPayingToken() external pure returns (address, uint8) {
        return (0xEeeeeEeeeEeEeeEeEeEeeEEEeeeeEeeeeeeeEEeE, 18);
    }

    function gasPayingTokenName() external pure returns (string memory) {
        return "OPEN";
    }

    function gasPayingTokenSymbol() external pure returns (string memory) {
        return "OPEN";
    }

    function isCustomGasToken() external pure returns (bool) {
        return true;
    }

    /// @notice Isthmus; the arguments are packed. Depositor only.
    function setL1BlockValuesIsthmus() external {
        _setL1BlockValues(ISTHMUS_LENGTH);
        _setOperatorFee(0);
    }

    /// @notice Jovian; the arguments are packed. Depositor only.
    function setL1BlockValuesJovian() external {
        _setL1BlockValues(JOVIAN_LENGTH);
        _setOperatorFee(uint16(bytes2(msg.data[176:178])));
    }

    function _setL1BlockValues(uint256 length) private {
        if (msg.sender != Predeploys.L1_INFO_DEPOSITOR) revert NotDepositor();
        // As upstream, which reads zeros past the end only if the node misbehaves: here that is refused.
        require(msg.data.length >= length);
        baseFeeScalar = uint32(bytes4(msg.data[4:8]));
        blobBaseFeeScalar = uint32(bytes4(msg.data[8:12]));
        sequenceNumber = uint64(bytes8(msg.data[12:20]));
        timestamp = uint64(bytes8(msg.data[20:28]));
        number = uint64(bytes8(msg.data[28:36]));
        basefee = uint256(bytes32(msg.data[36:68]));
        blobBaseFee = uint256(bytes32(msg.data[68:100]));
        hash = bytes32(msg.data[100:132]);
        batcherHash = bytes32(msg.data[132:164]);
    }

    function _setOperatorFee(uint16 daFootprintGasScalar_) private {
        operatorFeeScalar = uint32(bytes4(msg.data[164:168]));
        operatorFeeConstant = uint64(bytes8(msg.data[168:176]));
        daFootprintGasScalar = daFootprintGasScalar_;
    }
}
