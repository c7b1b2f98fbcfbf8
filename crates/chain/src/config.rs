//! What a chain is opened with, and the limits that hold everywhere.

use std::path::PathBuf;

use alloy_genesis::Genesis;

/// Blocks whose reverse changes are kept, so that state at their end can still be read.
pub const HISTORY_BLOCKS: u64 = 10_000;
/// Blocks back from the head for which `eth_getProof` answers; the proof is made by undoing them in memory.
pub const PROOF_HISTORY_BLOCKS: u64 = 1_024;
/// Largest gas limit of one transaction: 2^24, the cap that the Karst fork brings (EIP-7825).
pub const TX_GAS_MAX: u64 = 1 << 24;
/// Largest encoded transaction, in bytes; the limit that geth has.
pub const TX_BYTES_MAX: usize = 128 * 1024;
/// Gas that `eth_call` may spend unless the caller asks for less.
pub const CALL_GAS_MAX: u64 = 50_000_000;
/// Longest wait in milliseconds for more transactions before an instantly mined block is built.
pub const INSTANT_BATCH_MS: u64 = 2;

/// Everything that [`Chain::open`](crate::Chain::open) needs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ChainConfig {
    /// Directory of the database and the pool's journal; made if it is missing.
    pub data_dir: PathBuf,
    /// The genesis block: alloc, gas limit, time, extra data and the fork configuration.
    pub genesis: Genesis,
    /// Seconds between blocks; 0 mines as soon as a transaction arrives (development).
    pub block_time_s: u64,
    /// With `block_time_s` = 0: how long a block waits for further transactions, in milliseconds.
    pub instant_batch_ms: u64,
    /// With `block_time_s` = 0: seconds after which a block is made without transactions, so that the chain's time
    /// follows the clock; 0 makes none, and time stands still between transactions.
    pub idle_block_s: u64,
    /// Answers the development methods `evm_increaseTime`, `evm_mine` and allows
    /// [`Chain::increase_time`](crate::Chain::increase_time).
    pub development: bool,
    /// Fee parameters that L1's `SystemConfig` would hold.
    pub system: SystemConfig,
    /// Limits of the mempool.
    pub pool: PoolLimits,
    /// Limits of the JSON-RPC server.
    pub rpc: RpcLimits,
    /// Blocks of past state to keep; see [`HISTORY_BLOCKS`].
    pub history_blocks: u64,
    /// Memory for the database's page cache, in bytes.
    pub cache_bytes: usize,
}

impl ChainConfig {
    /// A configuration with two-second blocks and the default limits.
    pub fn new(data_dir: impl Into<PathBuf>, genesis: Genesis) -> Self {
        Self {
            data_dir: data_dir.into(),
            genesis,
            block_time_s: 2,
            instant_batch_ms: INSTANT_BATCH_MS,
            idle_block_s: 0,
            development: false,
            system: SystemConfig::default(),
            pool: PoolLimits::default(),
            rpc: RpcLimits::default(),
            history_blocks: HISTORY_BLOCKS,
            cache_bytes: 128 << 20,
        }
    }

    /// Mines as soon as transactions arrive and allows moving the clock forward.
    #[must_use]
    pub fn instant(mut self) -> Self {
        self.block_time_s = 0;
        self.development = true;
        self
    }
}

/// The rollup's fee parameters, carried to L2 by the L1-info deposit of every block.
///
/// With L1 derivation these come from L1's `SystemConfig` contract; until then from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SystemConfig {
    /// Scalar of the L1 base fee (Ecotone fee formula), in millionths.
    pub base_fee_scalar: u32,
    /// Scalar of the L1 blob base fee, in millionths.
    pub blob_base_fee_scalar: u32,
    /// Operator fee per gas (Isthmus: millionths; Jovian: hundreds of wei).
    pub operator_fee_scalar: u32,
    /// Operator fee per transaction, in wei.
    pub operator_fee_constant: u64,
    /// Gas that a byte of estimated DA use stands for (Jovian).
    pub da_footprint_gas_scalar: u16,
}

impl Default for SystemConfig {
    fn default() -> Self {
        Self {
            base_fee_scalar: 0,
            blob_base_fee_scalar: 0,
            operator_fee_scalar: 0,
            operator_fee_constant: 0,
            da_footprint_gas_scalar: 400,
        }
    }
}

/// Limits of the mempool.
#[derive(Clone, Copy, Debug)]
pub struct PoolLimits {
    /// Transactions in the pool.
    pub transactions_max: usize,
    /// Transactions of one sender.
    pub per_sender_max: usize,
    /// Bytes of all encoded transactions together.
    pub bytes_max: usize,
    /// Nonces that a transaction may lie ahead of its sender's next one.
    pub nonce_gap_max: u64,
    /// Percent by which a replacement must raise both fee caps.
    pub price_bump_percent: u128,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self {
            transactions_max: 50_000,
            per_sender_max: 4_096,
            bytes_max: 256 << 20,
            nonce_gap_max: 4_096,
            price_bump_percent: 10,
        }
    }
}

/// Limits of the JSON-RPC server.
#[derive(Clone, Copy, Debug)]
pub struct RpcLimits {
    /// Largest request body, in bytes.
    pub request_bytes_max: u32,
    /// Largest response body, in bytes.
    pub response_bytes_max: u32,
    /// Open connections.
    pub connections_max: u32,
    /// Requests in one batch.
    pub batch_max: u32,
    /// Subscriptions of one WebSocket connection.
    pub subscriptions_max: u32,
    /// Blocks that one `eth_getLogs` may span.
    pub log_blocks_max: u64,
    /// Logs that one `eth_getLogs` may return.
    pub logs_max: usize,
    /// Polling filters alive at a time.
    pub filters_max: usize,
    /// Requests being worked on at a time, those that wait included; more are refused.
    pub calls_max: usize,
    /// Calls, estimates, traces and long reads executing at a time; more wait.
    pub executions_max: usize,
}

impl Default for RpcLimits {
    fn default() -> Self {
        Self {
            request_bytes_max: 5 << 20,
            response_bytes_max: 32 << 20,
            connections_max: 512,
            batch_max: 1_000,
            subscriptions_max: 64,
            log_blocks_max: 10_000,
            logs_max: 20_000,
            filters_max: 1_000,
            calls_max: 1_024,
            executions_max: 16,
        }
    }
}
