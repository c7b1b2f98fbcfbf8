// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {MerkleProof, SumNode} from "../src/Types.sol";
import {MerkleLib} from "../src/libraries/MerkleLib.sol";
import {SumMerkleLib} from "../src/libraries/SumMerkleLib.sol";
import {Trees} from "./utils/Trees.sol";
import {Vm} from "./utils/Vm.sol";

contract MerkleTest {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    function verify(MerkleProof calldata proof, bytes32 root, bytes32 leaf) external pure returns (bool) {
        return MerkleLib.verify(proof, root, leaf);
    }

    function climb(SumNode calldata leaf, uint64 index, uint64 size, SumNode[] calldata siblings)
        external
        pure
        returns (bool, SumNode memory)
    {
        return SumMerkleLib.climb(leaf, index, size, siblings);
    }

    /// The vectors come from tools/vectors.mjs, which shares no code with the library.
    function test_verify_vectors_succeeds() external view {
        string memory json = vm.readFile("test/vectors/merkle.json");
        uint256 count = vm.parseJsonUint(json, ".count");
        vm.assertGe(count, 40);
        for (uint256 i = 0; i < count; ++i) {
            string memory at = string.concat(".cases[", vm.toString(i), "]");
            uint64 index = uint64(vm.parseJsonUint(json, string.concat(at, ".index")));
            uint64 size = uint64(vm.parseJsonUint(json, string.concat(at, ".size")));
            bytes32 data = vm.parseJsonBytes32(json, string.concat(at, ".data"));
            bytes32[] memory siblings = vm.parseJsonBytes32Array(json, string.concat(at, ".siblings"));
            bytes32 root = vm.parseJsonBytes32(json, string.concat(at, ".root"));
            vm.assertTrue(this.verify(MerkleProof(index, size, siblings), root, MerkleLib.leafHash(data)));
            _checkSum(json, at, index, size, data);
        }
    }

    function _checkSum(string memory json, string memory at, uint64 index, uint64 size, bytes32 data) private view {
        bytes32[] memory hashes = vm.parseJsonBytes32Array(json, string.concat(at, ".sumSiblingHashes"));
        uint256[] memory sums = vm.parseJsonUintArray(json, string.concat(at, ".sumSiblingSums"));
        SumNode[] memory siblings = new SumNode[](hashes.length);
        for (uint256 i = 0; i < hashes.length; ++i) {
            siblings[i] = SumNode(hashes[i], sums[i]);
        }
        SumNode memory leaf = SumNode(data, vm.parseJsonUint(json, string.concat(at, ".sum")));
        (bool valid, SumNode memory root) = this.climb(leaf, index, size, siblings);
        vm.assertTrue(valid);
        vm.assertEq(root.hash, vm.parseJsonBytes32(json, string.concat(at, ".sumRoot")));
        vm.assertEq(root.sum, vm.parseJsonUint(json, string.concat(at, ".sumTotal")));
    }

    function testFuzz_verify_anyLeaf_succeeds(uint8 size, uint8 index, bytes32 seed) external view {
        vm.assume(size > 0 && index < size);
        bytes32[] memory leaves = _leaves(size, seed);
        vm.assertTrue(this.verify(Trees.prove(leaves, index), Trees.root(leaves), leaves[index]));
    }

    function testFuzz_verify_mutatedProof_reverts(uint8 size, uint8 index, bytes32 seed, uint8 kind, uint256 flip)
        external
        view
    {
        vm.assume(size > 1 && index < size);
        bytes32[] memory leaves = _leaves(size, seed);
        bytes32 root = Trees.root(leaves);
        bytes32 leaf = leaves[index];
        MerkleProof memory proof = Trees.prove(leaves, index);
        bytes32 bit = bytes32(uint256(1) << (flip % 256));
        if (kind % 5 == 0) {
            leaf ^= bit;
        } else if (kind % 5 == 1) {
            proof.siblings[flip % proof.siblings.length] ^= bit;
        } else if (kind % 5 == 2) {
            proof.index = uint64((index + 1 + flip % (uint256(size) - 1)) % size);
        } else if (kind % 5 == 3) {
            proof.siblings = new bytes32[](proof.siblings.length + 1 + flip % 3);
        } else {
            // An inner node is no leaf: its own hash climbs from a smaller tree only.
            leaf = MerkleLib.nodeHash(leaves[0], leaves[1]);
            proof = Trees.prove(leaves, 0);
        }
        vm.assertFalse(this.verify(proof, root, leaf));
    }

    function test_verify_innerNodeAsLeafData_reverts() external view {
        // Two leaves under a node; the node's preimage offered as a leaf's data hashes under another prefix.
        bytes32[] memory leaves = _leaves(2, bytes32(uint256(7)));
        bytes32 root = Trees.root(leaves);
        MerkleProof memory empty = MerkleProof(0, 1, new bytes32[](0));
        vm.assertFalse(this.verify(empty, root, MerkleLib.leafHash(root)));
        vm.assertFalse(this.verify(MerkleProof(0, 0, new bytes32[](0)), root, root));
    }

    function testFuzz_climb_sumBeyondRange_reverts(uint128 sum, uint256 sibling) external view {
        SumNode[] memory siblings = new SumNode[](1);
        siblings[0] = SumNode(keccak256("sibling"), sibling);
        (bool valid,) = this.climb(SumNode(keccak256("leaf"), sum), 0, 2, siblings);
        bool fits = sibling <= type(uint128).max && sum + sibling <= type(uint128).max;
        vm.assertTrue(valid == fits);
    }

    function _leaves(uint256 size, bytes32 seed) private pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[](size);
        for (uint256 i = 0; i < size; ++i) {
            leaves[i] = MerkleLib.leafHash(keccak256(abi.encode(seed, i)));
        }
    }
}
