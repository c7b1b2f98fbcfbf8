// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {SumNode} from "../Types.sol";

/// @notice Merkle-sum trees: the shape of `MerkleLib`, every node also committing to the sum below it, so that totals are
/// provable. Sums are at most 2^128 - 1, as off chain.
library SumMerkleLib {
    /// @notice Leaf of `account`'s cumulative credit: hashed twice, bound to chain and hub.
    function claimLeaf(address account, uint256 cumulative) internal view returns (bytes32) {
        bytes32 inner = keccak256(abi.encode(block.chainid, address(this), account, cumulative));
        return keccak256(abi.encodePacked(inner));
    }

    function join(SumNode memory left, SumNode memory right) internal pure returns (SumNode memory) {
        bytes32 hash = keccak256(abi.encodePacked(bytes1(0x01), left.hash, left.sum, right.hash, right.sum));
        return SumNode(hash, left.sum + right.sum);
    }

    /// @notice The root, hash and total, that the proof leads to. Not valid if the proof does not fit its place, or a sum
    /// leaves its range.
    function climb(SumNode memory leaf, uint64 index, uint64 size, SumNode[] calldata siblings)
        internal
        pure
        returns (bool valid, SumNode memory root)
    {
        if (index >= size) return (false, leaf);
        uint64 last = size - 1;
        root = leaf;
        for (uint256 i = 0; i < siblings.length; ++i) {
            if (last == 0 || siblings[i].sum > type(uint128).max) return (false, root);
            if (index & 1 == 1 || index == last) {
                root = join(siblings[i], root);
                while (index & 1 == 0 && index != 0) {
                    index >>= 1;
                    last >>= 1;
                }
            } else {
                root = join(root, siblings[i]);
            }
            if (root.sum > type(uint128).max) return (false, root);
            index >>= 1;
            last >>= 1;
        }
        return (last == 0, root);
    }
}
