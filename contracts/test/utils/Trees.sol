// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {MerkleProof, SumNode} from "../../src/Types.sol";
import {MerkleLib} from "../../src/libraries/MerkleLib.sol";
import {SumMerkleLib} from "../../src/libraries/SumMerkleLib.sol";

/// @notice Trees by the recursive definition of RFC 9162, section 2.1, for proofs in tests.
library Trees {
    function root(bytes32[] memory leaves) internal pure returns (bytes32) {
        return _root(leaves, 0, leaves.length);
    }

    function prove(bytes32[] memory leaves, uint256 index) internal pure returns (MerkleProof memory proof) {
        bytes32[] memory path = new bytes32[](_depth(leaves.length, index));
        uint256 from = 0;
        uint256 to = leaves.length;
        for (uint256 at = path.length; at > 0; --at) {
            uint256 middle = from + _split(to - from);
            if (index < middle) {
                path[at - 1] = _root(leaves, middle, to);
                to = middle;
            } else {
                path[at - 1] = _root(leaves, from, middle);
                from = middle;
            }
        }
        return MerkleProof(uint64(index), uint64(leaves.length), path);
    }

    function root(SumNode[] memory leaves) internal pure returns (SumNode memory) {
        return _root(leaves, 0, leaves.length);
    }

    function prove(SumNode[] memory leaves, uint256 index) internal pure returns (SumNode[] memory path) {
        path = new SumNode[](_depth(leaves.length, index));
        uint256 from = 0;
        uint256 to = leaves.length;
        for (uint256 at = path.length; at > 0; --at) {
            uint256 middle = from + _split(to - from);
            if (index < middle) {
                path[at - 1] = _root(leaves, middle, to);
                to = middle;
            } else {
                path[at - 1] = _root(leaves, from, middle);
                from = middle;
            }
        }
    }

    function _root(bytes32[] memory leaves, uint256 from, uint256 to) private pure returns (bytes32) {
        if (to - from == 1) return leaves[from];
        uint256 middle = from + _split(to - from);
        return MerkleLib.nodeHash(_root(leaves, from, middle), _root(leaves, middle, to));
    }

    function _root(SumNode[] memory leaves, uint256 from, uint256 to) private pure returns (SumNode memory) {
        if (to - from == 1) return leaves[from];
        uint256 middle = from + _split(to - from);
        return SumMerkleLib.join(_root(leaves, from, middle), _root(leaves, middle, to));
    }

    /// @dev Largest power of two below `size`.
    function _split(uint256 size) private pure returns (uint256 k) {
        k = 1;
        while (k * 2 < size) k *= 2;
    }

    function _depth(uint256 size, uint256 index) private pure returns (uint256 depth) {
        while (size > 1) {
            uint256 k = _split(size);
            if (index < k) {
                size = k;
            } else {
                index -= k;
                size -= k;
            }
            ++depth;
        }
    }
}
