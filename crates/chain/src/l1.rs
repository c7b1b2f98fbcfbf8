//! What L2 blocks learn from L1.
//!
//! Until the rollup derives blocks from a real L1, [`DevL1`] stands in for it: a deterministic
//! sequence of L1 blocks, twelve seconds apart, with no deposits. Derivation replaces this one
//! type: it will hand over the same [`L1Origin`], with the deposits found in L1's logs.

use alloy_primitives::{Address, B256, Bytes, TxKind, U256, address, keccak256};
use op_alloy_consensus::{L1InfoDepositSource, TxDeposit};

use crate::{config::SystemConfig, spec::OpFork};

/// Sender of the L1-info deposit.
pub const L1_INFO_DEPOSITOR: Address = address!("0xdeaddeaddeaddeaddeaddeaddeaddeaddead0001");
/// The `L1Block` predeploy that receives it.
pub const L1_BLOCK: Address = address!("0x4200000000000000000000000000000000000015");
/// Its gas limit since Regolith.
const L1_INFO_GAS: u64 = 1_000_000;
/// Selector of `setL1BlockValuesIsthmus()`.
const ISTHMUS_SELECTOR: [u8; 4] = [0x09, 0x89, 0x99, 0xbe];
/// Selector of `setL1BlockValuesJovian()`.
const JOVIAN_SELECTOR: [u8; 4] = [0x3d, 0xb6, 0xbe, 0x2b];
/// Seconds between L1 blocks.
const L1_BLOCK_TIME_S: u64 = 12;

/// The L1 block that an L2 block refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct L1Origin {
    /// L1 block number.
    pub number: u64,
    /// L1 block hash.
    pub hash: B256,
    /// L1 block time, in seconds.
    pub timestamp: u64,
    /// L1 base fee in wei.
    pub base_fee_wei: U256,
    /// L1 blob base fee in wei.
    pub blob_base_fee_wei: U256,
    /// L1 randomness, which becomes the L2 block's.
    pub prev_randao: B256,
    /// Root of L1's parent beacon block.
    pub parent_beacon_root: B256,
    /// How many L2 blocks before this one have the same origin.
    pub sequence_number: u64,
}

/// A made-up L1 for development: reproducible from times alone.
#[derive(Clone, Copy, Debug)]
pub struct DevL1 {
    genesis_time_s: u64,
}

impl DevL1 {
    /// An L1 that starts with the L2 genesis.
    pub fn new(genesis_time_s: u64) -> Self {
        Self { genesis_time_s }
    }

    /// The origin of an L2 block at `timestamp_s`, after a block whose origin was `parent`.
    pub fn origin(&self, timestamp_s: u64, parent: Option<(u64, u64)>) -> L1Origin {
        let number = timestamp_s.saturating_sub(self.genesis_time_s) / L1_BLOCK_TIME_S;
        let sequence_number = match parent {
            Some((parent_number, sequence)) if parent_number == number => sequence + 1,
            _ => 0,
        };
        L1Origin {
            number,
            hash: tagged(b"openledger dev l1 block", number),
            timestamp: self.genesis_time_s + number * L1_BLOCK_TIME_S,
            base_fee_wei: U256::from(1_000_000_000u64),
            blob_base_fee_wei: U256::from(1u64),
            prev_randao: tagged(b"openledger dev l1 randao", number),
            parent_beacon_root: tagged(b"openledger dev l1 beacon", number),
            sequence_number,
        }
    }
}

fn tagged(tag: &[u8], number: u64) -> B256 {
    keccak256([tag, &number.to_be_bytes()].concat())
}

/// The deposit that opens every block and writes `origin` into the `L1Block` predeploy.
pub(crate) fn l1_info_deposit(fork: OpFork, system: &SystemConfig, origin: &L1Origin) -> TxDeposit {
    TxDeposit {
        source_hash: L1InfoDepositSource::new(origin.hash, origin.sequence_number).source_hash(),
        from: L1_INFO_DEPOSITOR,
        to: TxKind::Call(L1_BLOCK),
        mint: 0,
        value: U256::ZERO,
        gas_limit: L1_INFO_GAS,
        is_system_transaction: false,
        input: l1_info_calldata(fork, system, origin),
    }
}

/// Packed calldata (specs.optimism.io, Isthmus and Jovian "L1 attributes"): 176 or 178 bytes.
fn l1_info_calldata(fork: OpFork, system: &SystemConfig, origin: &L1Origin) -> Bytes {
    let mut data = Vec::with_capacity(178);
    data.extend(match fork {
        OpFork::Isthmus => ISTHMUS_SELECTOR,
        OpFork::Jovian | OpFork::Karst => JOVIAN_SELECTOR,
    });
    data.extend(system.base_fee_scalar.to_be_bytes());
    data.extend(system.blob_base_fee_scalar.to_be_bytes());
    data.extend(origin.sequence_number.to_be_bytes());
    data.extend(origin.timestamp.to_be_bytes());
    data.extend(origin.number.to_be_bytes());
    data.extend(origin.base_fee_wei.to_be_bytes::<32>());
    data.extend(origin.blob_base_fee_wei.to_be_bytes::<32>());
    data.extend(origin.hash);
    data.extend(B256::ZERO); // batcher: nobody posts batches before derivation exists
    data.extend(system.operator_fee_scalar.to_be_bytes());
    data.extend(system.operator_fee_constant.to_be_bytes());
    if fork >= OpFork::Jovian {
        data.extend(system.da_footprint_gas_scalar.to_be_bytes());
    }
    data.into()
}

/// What an L1-info deposit says, read back from its calldata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct L1Values {
    pub(crate) base_fee_scalar: u32,
    pub(crate) blob_base_fee_scalar: u32,
    pub(crate) sequence_number: u64,
    pub(crate) number: u64,
    pub(crate) base_fee_wei: U256,
    pub(crate) blob_base_fee_wei: U256,
    pub(crate) operator_fee_scalar: u32,
    pub(crate) operator_fee_constant: u64,
    pub(crate) da_footprint_gas_scalar: u16,
}

impl L1Values {
    /// Reads Isthmus or Jovian calldata; `None` for anything else.
    pub(crate) fn read(data: &[u8]) -> Option<Self> {
        let selector = data.first_chunk::<4>()?;
        let da_footprint_gas_scalar = match (*selector, data.len()) {
            (ISTHMUS_SELECTOR, 176) => 0,
            (JOVIAN_SELECTOR, 178) => u16::from_be_bytes(data[176..].try_into().ok()?),
            _ => return None,
        };
        let u32_at = |at: usize| Some(u32::from_be_bytes(data[at..at + 4].try_into().ok()?));
        let u64_at = |at: usize| Some(u64::from_be_bytes(data[at..at + 8].try_into().ok()?));
        Some(Self {
            base_fee_scalar: u32_at(4)?,
            blob_base_fee_scalar: u32_at(8)?,
            sequence_number: u64_at(12)?,
            number: u64_at(28)?,
            base_fee_wei: U256::from_be_slice(&data[36..68]),
            blob_base_fee_wei: U256::from_be_slice(&data[68..100]),
            operator_fee_scalar: u32_at(164)?,
            operator_fee_constant: u64_at(168)?,
            da_footprint_gas_scalar,
        })
    }
}
