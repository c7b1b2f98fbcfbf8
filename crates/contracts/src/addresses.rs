//! Where the predeploys live. Our own sit in the range that begins with the ASCII letters `OPEN`.

use alloy_primitives::{Address, address};

/// Wrapped OPEN (proxy).
pub const WRAPPED_OPEN: Address = address!("0x4F50454E00000000000000000000000000000001");
/// Datanet registry (proxy).
pub const DATANET_REGISTRY: Address = address!("0x4F50454E00000000000000000000000000000002");
/// Model registry (proxy).
pub const MODEL_REGISTRY: Address = address!("0x4F50454E00000000000000000000000000000003");
/// Inference hub (proxy).
pub const INFERENCE_HUB: Address = address!("0x4F50454E00000000000000000000000000000004");
/// Staker pool (proxy).
pub const STAKER_POOL: Address = address!("0x4F50454E00000000000000000000000000000005");
/// Receipt judge (proxy): decides disputes about receipts for the hub.
pub const RECEIPT_JUDGE: Address = address!("0x4F50454E00000000000000000000000000000006");
/// Owner of all proxies; itself owned by governance.
pub const PROXY_ADMIN: Address = address!("0x4F50454E000000000000000000000000000000aD");

/// The implementation behind a proxy: for our own range the same address with `0C` two bytes before the last, for the OP
/// Stack's range its code namespace (`0xc0d3…`) with the same last two bytes.
#[must_use]
pub const fn implementation_of(proxy: Address) -> Address {
    let mut bytes = proxy.0.0;
    if bytes[0] == 0x42 {
        let mut at = 0;
        while at < 18 {
            bytes[at] = if at % 2 == 0 { 0xc0 } else { 0xd3 };
            at += 1;
        }
    } else {
        bytes[17] = 0x0C;
    }
    Address::new(bytes)
}

/// `L1Block` of the OP Stack.
pub const L1_BLOCK: Address = address!("0x4200000000000000000000000000000000000015");
/// `GasPriceOracle` of the OP Stack.
pub const GAS_PRICE_ORACLE: Address = address!("0x420000000000000000000000000000000000000F");
/// `L2ToL1MessagePasser` of the OP Stack.
pub const L2_TO_L1_MESSAGE_PASSER: Address = address!("0x4200000000000000000000000000000000000016");
/// `SequencerFeeVault` of the OP Stack: the fee recipient of every block.
pub const SEQUENCER_FEE_VAULT: Address = address!("0x4200000000000000000000000000000000000011");
/// `BaseFeeVault` of the OP Stack.
pub const BASE_FEE_VAULT: Address = address!("0x4200000000000000000000000000000000000019");
/// `L1FeeVault` of the OP Stack.
pub const L1_FEE_VAULT: Address = address!("0x420000000000000000000000000000000000001A");
/// `OperatorFeeVault` of the OP Stack.
pub const OPERATOR_FEE_VAULT: Address = address!("0x420000000000000000000000000000000000001B");
/// Parent beacon block roots, EIP-4788.
pub const BEACON_ROOTS: Address = address!("0x000F3df6D732807Ef1319fB7B8bB8522d0Beac02");
/// Historical block hashes, EIP-2935.
pub const HISTORY_STORAGE: Address = address!("0x0000F90827F1C53a10cb7A02335B175320002935");
/// The account that sends each block's L1-info deposit.
pub const L1_INFO_DEPOSITOR: Address = address!("0xDeaDDEaDDeAdDeAdDEAdDEaddeAddEAdDEAd0001");
