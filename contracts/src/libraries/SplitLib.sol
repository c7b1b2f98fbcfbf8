// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Price, Split, SplitBps} from "../Types.sol";

/// @notice The fee and its division (design, section 10), in integers. Every wei is accounted for.
library SplitLib {
    uint256 internal constant BPS = 10_000;

    /// @notice The fee for the tokens; wide enough never to overflow.
    function feeOf(Price memory price, uint32 tokensIn, uint32 tokensOut) internal pure returns (uint256) {
        return uint256(price.inputWei) * tokensIn + uint256(price.outputWei) * tokensOut;
    }

    /// @notice Part of the fee that goes to the data, in 1/10000. Only for splits that `isValid`.
    function dataBps(SplitBps memory bps) internal pure returns (uint256) {
        return BPS - _taken(bps);
    }

    /// @notice Whether the parts fit into the whole.
    function isValid(SplitBps memory bps) internal pure returns (bool) {
        return _taken(bps) <= BPS && bps.provenance <= BPS;
    }

    /// @notice Divides `fee`: parts round down, the data share is the rest, provenance rounds down within it.
    function divide(uint128 fee, SplitBps memory bps) internal pure returns (Split memory split) {
        split.burn = _part(fee, bps.burn);
        split.operatorShare = _part(fee, bps.operatorBps);
        split.builder = _part(fee, bps.builder);
        split.parents = _part(fee, bps.parents);
        split.stakers = _part(fee, bps.stakers);
        uint128 data = fee - split.burn - split.operatorShare - split.builder - split.parents - split.stakers;
        split.provenance = _part(data, bps.provenance);
        split.influence = data - split.provenance;
    }

    function equals(Split memory a, Split memory b) internal pure returns (bool) {
        return keccak256(abi.encode(a)) == keccak256(abi.encode(b));
    }

    function equals(SplitBps memory a, SplitBps memory b) internal pure returns (bool) {
        return keccak256(abi.encode(a)) == keccak256(abi.encode(b));
    }

    function equals(Price memory a, Price memory b) internal pure returns (bool) {
        return a.inputWei == b.inputWei && a.outputWei == b.outputWei;
    }

    function _part(uint128 amount, uint16 bps) private pure returns (uint128) {
        // At most `amount`, as bps <= BPS: the cast loses nothing.
        return uint128(uint256(amount) * bps / BPS);
    }

    function _taken(SplitBps memory bps) private pure returns (uint256) {
        return uint256(bps.burn) + bps.operatorBps + bps.builder + bps.parents + bps.stakers;
    }
}
