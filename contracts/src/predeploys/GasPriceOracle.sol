// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Predeploys} from "../libraries/Predeploys.sol";
import {L1Block} from "./L1Block.sol";

/// @title GasPriceOracle
/// @notice What a transaction pays beside its execution gas, after the rules of Fjord (L1 fee), Isthmus and Jovian (operator
/// fee). All forks are active from genesis on.
contract GasPriceOracle {
    L1Block private constant L1_BLOCK = L1Block(Predeploys.L1_BLOCK);

    uint256 public constant DECIMALS = 6;

    // Linear regression of the compressed size in bytes on the FastLZ size, scaled by 1e6 (Fjord).
    int256 private constant COST_INTERCEPT = -42_585_600;
    uint256 private constant COST_FASTLZ_COEF = 836_500;
    uint256 private constant MIN_TRANSACTION_SIZE = 100;
    // Signature and transaction overhead that an unsigned transaction lacks.
    uint256 private constant SIGNATURE_BYTES = 68;
    uint256 private constant OPERATOR_FEE_MULTIPLIER = 100;

    function version() external pure returns (string memory) {
        return "1.0.0";
    }

    function isEcotone() external pure returns (bool) {
        return true;
    }

    function isFjord() external pure returns (bool) {
        return true;
    }

    function isIsthmus() external pure returns (bool) {
        return true;
    }

    function isJovian() external pure returns (bool) {
        return true;
    }

    function decimals() external pure returns (uint256) {
        return DECIMALS;
    }

    function gasPrice() external view returns (uint256) {
        return block.basefee;
    }

    function baseFee() external view returns (uint256) {
        return block.basefee;
    }

    function l1BaseFee() external view returns (uint256) {
        return L1_BLOCK.basefee();
    }

    function blobBaseFee() external view returns (uint256) {
        return L1_BLOCK.blobBaseFee();
    }

    function baseFeeScalar() external view returns (uint32) {
        return L1_BLOCK.baseFeeScalar();
    }

    function blobBaseFeeScalar() external view returns (uint32) {
        return L1_BLOCK.blobBaseFeeScalar();
    }

    /// @notice L1 fee of an unsigned, RLP-encoded transaction.
    function getL1Fee(bytes calldata data) external view returns (uint256) {
        return _l1Fee(_flzCompressLen(data) + SIGNATURE_BYTES);
    }

    /// @notice Upper bound of the L1 fee of an unsigned transaction of this size, for any content.
    function getL1FeeUpperBound(uint256 unsignedTxSize) external view returns (uint256) {
        uint256 size = unsignedTxSize + SIGNATURE_BYTES;
        return _l1Fee(size + size / 255 + 16);
    }

    /// @notice L1 gas that the transaction's share of a batch stands for.
    function getL1GasUsed(bytes calldata data) external pure returns (uint256) {
        return _linearRegression(_flzCompressLen(data) + SIGNATURE_BYTES) * 16 / 10 ** DECIMALS;
    }

    /// @notice Operator fee for `gasUsed` (Jovian).
    function getOperatorFee(uint256 gasUsed) external view returns (uint256) {
        return gasUsed * L1_BLOCK.operatorFeeScalar() * OPERATOR_FEE_MULTIPLIER + L1_BLOCK.operatorFeeConstant();
    }

    function _l1Fee(uint256 fastLzSize) private view returns (uint256) {
        uint256 price = uint256(L1_BLOCK.baseFeeScalar()) * 16 * L1_BLOCK.basefee()
            + uint256(L1_BLOCK.blobBaseFeeScalar()) * L1_BLOCK.blobBaseFee();
        return _linearRegression(fastLzSize) * price / 10 ** (DECIMALS * 2);
    }

    function _linearRegression(uint256 fastLzSize) private pure returns (uint256) {
        int256 estimated = COST_INTERCEPT + int256(COST_FASTLZ_COEF * fastLzSize);
        int256 least = int256(MIN_TRANSACTION_SIZE * 10 ** DECIMALS);
        return uint256(estimated < least ? least : estimated);
    }

    /// @dev Length of `data` after FastLZ level 1: matches of 3 to 264 bytes within 8,192 bytes, found through a table of
    /// 8,192 hashes of three bytes; literals in runs of at most 32.
    function _flzCompressLen(bytes memory data) private pure returns (uint256 length) {
        uint256 size = data.length;
        uint256[] memory table = new uint256[](8192);
        uint256 anchor = 0;
        uint256 position = 2;
        uint256 limit = size < 13 ? 0 : size - 13;
        while (position < limit) {
            uint256 earlier;
            (position, earlier) = _nextMatch(data, table, position, limit);
            if (position >= limit) break;
            --position;
            if (position > anchor) length += _literals(position - anchor);
            uint256 matched = _matchLength(data, earlier + 3, position + 3, size - 4);
            length += _matchCost(matched);
            position = _remember(data, table, position + matched);
            position = _remember(data, table, position);
            anchor = position;
        }
        return length + _literals(size - anchor);
    }

    function _nextMatch(bytes memory data, uint256[] memory table, uint256 position, uint256 limit)
        private
        pure
        returns (uint256, uint256 earlier)
    {
        uint256 distance;
        while (true) {
            uint256 sequence = _read24(data, position);
            uint256 slot = _slot(sequence);
            earlier = table[slot];
            table[slot] = position;
            distance = position - earlier;
            if (position >= limit) return (position, earlier);
            ++position;
            if (distance < 8192 && _read24(data, earlier) == sequence) return (position, earlier);
        }
        return (position, earlier);
    }

    function _remember(bytes memory data, uint256[] memory table, uint256 position) private pure returns (uint256) {
        table[_slot(_read24(data, position))] = position;
        return position + 1;
    }

    function _matchLength(bytes memory data, uint256 a, uint256 b, uint256 end) private pure returns (uint256 length) {
        uint256 start = b;
        while (b < end) {
            bool same = data[a] == data[b];
            ++a;
            ++b;
            if (!same) break;
        }
        return b - start;
    }

    function _matchCost(uint256 matched) private pure returns (uint256 cost) {
        --matched;
        cost = 3 * (matched / 262);
        cost += matched % 262 >= 6 ? 3 : 2;
    }

    function _literals(uint256 count) private pure returns (uint256) {
        uint256 rest = count % 32;
        return 33 * (count / 32) + (rest == 0 ? 0 : rest + 1);
    }

    /// @dev Little-endian, as the original reads it.
    function _read24(bytes memory data, uint256 at) private pure returns (uint256) {
        return uint256(uint8(data[at])) | uint256(uint8(data[at + 1])) << 8 | uint256(uint8(data[at + 2])) << 16;
    }

    function _slot(uint256 sequence) private pure returns (uint256) {
        return ((2654435769 * sequence) >> 19) & 0x1fff;
    }
}
