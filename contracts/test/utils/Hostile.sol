// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @notice Acts for a test, and does what the test says when it is paid.
contract Actor {
    function run(address target, bytes memory data) public payable returns (bytes memory) {
        (bool ok, bytes memory answer) = target.call{value: msg.value}(data);
        if (!ok) {
            assembly {
                revert(add(answer, 32), mload(answer))
            }
        }
        return answer;
    }
}

/// @notice Takes no money.
contract Refuser is Actor {}

/// @notice Calls back when it is paid, and remembers how that ended.
contract Reentrant is Actor {
    address private _target;
    bytes private _data;
    uint256 public entered;
    bool public reentered;

    function arm(address target, bytes memory data) external {
        _target = target;
        _data = data;
    }

    receive() external payable {
        ++entered;
        if (_target != address(0)) {
            (bool ok,) = _target.call(_data);
            if (ok) reentered = true;
        }
    }
}

/// @notice Code that says no to every signature (EIP-1271).
contract Denier {
    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes4) {
        return 0;
    }
}

/// @notice A wallet whose owner signs (EIP-1271).
contract Wallet is Actor {
    address private immutable OWNER;

    constructor(address owner) {
        OWNER = owner;
    }

    receive() external payable {}

    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        (bytes32 r, bytes32 s) = abi.decode(signature[:64], (bytes32, bytes32));
        return ecrecover(hash, uint8(signature[64]), r, s) == OWNER ? this.isValidSignature.selector : bytes4(0);
    }
}
