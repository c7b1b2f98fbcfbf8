// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @notice EIP-712 digests under a name, version "1", this chain and a contract.
library Eip712Lib {
    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant VERSION_HASH = keccak256("1");

    /// @notice Under this contract's domain.
    function digest(bytes32 nameHash, bytes32 structHash) internal view returns (bytes32) {
        return digest(nameHash, address(this), structHash);
    }

    /// @notice Under the domain of `verifyingContract`.
    function digest(bytes32 nameHash, address verifyingContract, bytes32 structHash) internal view returns (bytes32) {
        bytes32 domain =
            keccak256(abi.encode(DOMAIN_TYPEHASH, nameHash, VERSION_HASH, block.chainid, verifyingContract));
        return keccak256(abi.encodePacked(hex"1901", domain, structHash));
    }
}
