// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Disputes} from "./hub/Disputes.sol";

/// @title Inference hub
/// @notice Channels, operators, epochs and disputes in one vault.
contract InferenceHub is Disputes {
    constructor() {
        _disableInitializers();
    }

    function initialize(address governance, uint64 challengeWindow_, uint128 bondMin_) external initializer {
        __Ownable_init(governance);
        _setChallengeWindow(challengeWindow_);
        _setBondMin(bondMin_);
    }
}
