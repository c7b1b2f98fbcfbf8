// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @notice Destroys the wei it is created with: a contract that self-destructs to itself in the transaction that made it
/// takes its balance out of existence (EIP-6780), as the OP Stack's L2ToL1MessagePasser does.
contract Burner {
    constructor() payable {
        selfdestruct(payable(address(this)));
    }
}

library BurnLib {
    function burn(uint256 amount) internal {
        if (amount != 0) new Burner{value: amount}();
    }
}
