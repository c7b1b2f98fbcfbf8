// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.26;

/// The two cheatcodes that a deployment needs.
interface Vm {
    function startBroadcast() external;
    function stopBroadcast() external;
}

/// Counts, so that a deployment has something to call.
contract Counter {
    uint256 public count;

    error Counter_Zero();

    constructor(uint256 start) {
        count = start;
    }

    function add(uint256 by) external {
        if (by == 0) revert Counter_Zero();
        count += by;
    }
}

/// Deploys a counter and calls it twice, as `forge script --broadcast` sends it.
contract Deploy {
    Vm private constant VM = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    bool public constant IS_SCRIPT = true;

    function run() external returns (Counter counter) {
        VM.startBroadcast();
        counter = new Counter(40);
        counter.add(1);
        counter.add(1);
        VM.stopBroadcast();
    }
}
