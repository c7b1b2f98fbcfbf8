// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @notice Addresses that are the same on every OpenLedger chain.
library Predeploys {
    address internal constant WRAPPED_OPEN = 0x4F50454E00000000000000000000000000000001;
    address internal constant DATANET_REGISTRY = 0x4f50454E00000000000000000000000000000002;
    address internal constant MODEL_REGISTRY = 0x4F50454e00000000000000000000000000000003;
    address internal constant INFERENCE_HUB = 0x4f50454E00000000000000000000000000000004;
    address internal constant STAKER_POOL = 0x4F50454E00000000000000000000000000000005;
    address internal constant RECEIPT_JUDGE = 0x4F50454e00000000000000000000000000000006;
    address internal constant PROXY_ADMIN = 0x4f50454E000000000000000000000000000000Ad;

    address internal constant L1_BLOCK = 0x4200000000000000000000000000000000000015;
    address internal constant L1_INFO_DEPOSITOR = 0xDeaDDEaDDeAdDeAdDEAdDEaddeAddEAdDEAd0001;
}
