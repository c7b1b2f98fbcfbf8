// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {MerkleProof} from "../Types.sol";

/// @notice Inclusion proofs in trees of the shape of RFC 9162. Leaves and nodes hash under different prefixes, so an inner
/// node never passes for a leaf.
library MerkleLib {
    /// @notice Hash of a leaf whose data is one word.
    function leafHash(bytes32 data) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(bytes1(0x00), data));
    }

    function nodeHash(bytes32 left, bytes32 right) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(bytes1(0x01), left, right));
    }

    /// @notice Whether `leaf` (a leaf hash) stands at the proof's place under `root`; RFC 9162, section 2.1.3.2.
    function verify(MerkleProof calldata proof, bytes32 root, bytes32 leaf) internal pure returns (bool) {
        if (proof.index >= proof.size) return false;
        uint64 position = proof.index;
        uint64 last = proof.size - 1;
        bytes32 hash = leaf;
        for (uint256 i = 0; i < proof.siblings.length; ++i) {
            if (last == 0) return false;
            bytes32 sibling = proof.siblings[i];
            if (position & 1 == 1 || position == last) {
                hash = nodeHash(sibling, hash);
                while (position & 1 == 0 && position != 0) {
                    position >>= 1;
                    last >>= 1;
                }
            } else {
                hash = nodeHash(hash, sibling);
            }
            position >>= 1;
            last >>= 1;
        }
        return last == 0 && hash == root;
    }
}
