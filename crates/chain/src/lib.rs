//! The OP Stack-format EVM chain, in process: execution on op-revm, a redb state with an
//! incremental state root, mempool, block building and the Ethereum JSON-RPC.
//!
//! [`Chain::open`] starts one; [`Chain::serve`] puts its JSON-RPC on a port.

mod call;
mod chain;
mod config;
mod error;
mod evm;
mod execute;
mod l1;
mod pool;
mod producer;
mod query;
mod rpc;
mod spec;
pub mod state;
pub mod store;
mod trace;

pub use call::CallOverrides;
pub use chain::{BlockWithReceipts, Chain};
pub use config::{
    CALL_GAS_MAX, ChainConfig, HISTORY_BLOCKS, INSTANT_BATCH_MS, PROOF_HISTORY_BLOCKS, PoolLimits, RpcLimits,
    SystemConfig, TX_BYTES_MAX, TX_GAS_MAX,
};
pub use error::{
    BuildBlockError, CallError, DevelopmentError, LogsError, OpenChainError, ServeError, StoreError, SubmitError,
};
pub use l1::{DevL1, L1_BLOCK, L1_INFO_DEPOSITOR, L1Origin};
pub use pool::{JOURNAL_FILE, JOURNAL_VERSION, PoolStatus, PooledTx, encode_journal_record};
pub use rpc::RpcServer;
pub use spec::{BASE_FEE_VAULT, ChainSpec, FeeMarket, MESSAGE_PASSER, OpFork, SEQUENCER_FEE_VAULT};
