// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

/// @notice Whether an account signed.
library SignatureLib {
    /// @notice True when the account's own key signed, whatever code the account has, or else when its code says so (EIP-1271).
    /// @dev The key first: an account with a key can take on code and drop it at any time (EIP-7702). Were its code asked
    /// instead, it could take back what its key has signed, after somebody had relied on it.
    function isSignedBy(address account, bytes32 digest, bytes memory signature) internal view returns (bool) {
        if (isSignedByKeyOf(account, digest, signature)) return true;
        return account.code.length != 0 && SignatureChecker.isValidERC1271SignatureNow(account, digest, signature);
    }

    /// @notice True when the account's own key signed.
    function isSignedByKeyOf(address account, bytes32 digest, bytes memory signature) internal pure returns (bool) {
        (address signer, ECDSA.RecoverError failure,) = ECDSA.tryRecover(digest, signature);
        return failure == ECDSA.RecoverError.NoError && signer == account;
    }
}
