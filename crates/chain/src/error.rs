//! One error type an operation.

use std::{io, net::SocketAddr, path::PathBuf};

use alloy_primitives::{Address, B256, Bytes, U256};

/// Why the database could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database engine failed; the disk may be full or broken.
    #[error("chain database failed")]
    Database(#[source] Box<redb::Error>),
    /// A stored value does not decode.
    #[error("chain database holds a damaged {what}")]
    Damaged {
        /// Which kind of value.
        what: &'static str,
    },
    /// Something that must exist does not.
    #[error("chain database lacks {what} {key}")]
    Missing {
        /// Which kind of value.
        what: &'static str,
        /// Its key.
        key: String,
    },
    /// State of a block older than what is kept.
    #[error("state of block {block} is no longer kept; the oldest that is kept is {oldest}")]
    Pruned {
        /// The block that was asked for.
        block: u64,
        /// The oldest block whose state can be read.
        oldest: u64,
    },
    /// State of a block that does not exist yet.
    #[error("block {block} is ahead of the head {head}")]
    AheadOfHead {
        /// The block that was asked for.
        block: u64,
        /// The newest block.
        head: u64,
    },
    /// A write failed, and the database could not be opened again since.
    #[error("chain database is closed until it can be opened again")]
    Closed,
}

impl StoreError {
    /// True when there was no room to write: a full disk, a quota or a limit on file sizes.
    pub fn is_disk_full(&self) -> bool {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        let Self::Database(error) = self else { return false };
        matches!(&**error, redb::Error::Io(error) if matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge))
    }
}

impl revm::database::DBErrorMarker for StoreError {}

macro_rules! from_redb {
    ($($error:ty),+) => {$(
        impl From<$error> for StoreError {
            fn from(source: $error) -> Self {
                Self::Database(Box::new(source.into()))
            }
        }
    )+};
}
from_redb!(
    redb::Error,
    redb::StorageError,
    redb::TableError,
    redb::TransactionError,
    redb::CommitError,
    redb::DatabaseError
);

/// Why a chain could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenChainError {
    /// The data directory could not be made or read.
    #[error("could not use data directory {path}")]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another process has this database open.
    #[error("data directory {path} is in use by another process")]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The database was written by a newer version of this software.
    #[error("data directory {path} has format {found}; this version reads up to {known}: upgrade openledger to use it")]
    NewerFormat {
        /// The directory.
        path: PathBuf,
        /// Its format.
        found: u8,
        /// The newest format that this version knows.
        known: u8,
    },
    /// The directory holds a chain with another genesis.
    #[error("data directory {path} holds the chain with genesis {found}, not {expected}")]
    OtherGenesis {
        /// The directory.
        path: PathBuf,
        /// Genesis hash in the directory.
        found: B256,
        /// Genesis hash of the configuration.
        expected: B256,
    },
    /// The genesis asks for something that this node does not execute.
    #[error("genesis cannot be used: {reason}")]
    Genesis {
        /// Which field, and what is accepted.
        reason: String,
    },
    /// The stored head's state root is not the root of the stored state.
    #[error("head block {number} says state root {header}, but the stored state has {stored}")]
    StateMismatch {
        /// The head.
        number: u64,
        /// Root in its header.
        header: B256,
        /// Root of what is stored.
        stored: B256,
    },
    /// The pool's journal could not be read.
    #[error("could not read the pool journal {path}")]
    Journal {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The database failed.
    #[error("could not read the chain database")]
    Store(#[from] StoreError),
}

/// Why a block could not be built. The chain stays at its last block.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildBlockError {
    /// The database failed.
    #[error("could not build block {number}: the database failed")]
    Store {
        /// The block.
        number: u64,
        /// What failed.
        #[source]
        source: StoreError,
    },
    /// A transaction that a block must hold (a deposit or a system call) failed.
    #[error("could not build block {number}: {reason}")]
    Execution {
        /// The block.
        number: u64,
        /// What the executor said.
        reason: String,
    },
}

impl BuildBlockError {
    /// What people are told while no block can be made.
    pub fn trouble(&self) -> String {
        match self {
            Self::Store { source, .. } if source.is_disk_full() => "disk full: blocks cannot be written".to_owned(),
            Self::Store { source, .. } => format!("blocks cannot be written: {source}"),
            Self::Execution { reason, .. } => format!("blocks cannot be made: {reason}"),
        }
    }
}

/// Why the JSON-RPC server could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Another process listens there.
    #[error("port {port} on {ip} is in use; choose another one", port = addr.port(), ip = addr.ip())]
    PortInUse {
        /// The address.
        addr: SocketAddr,
    },
    /// The address could not be bound.
    #[error("could not listen on {addr}")]
    Bind {
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Why a transaction was not accepted. The messages are the ones that geth gives, since
/// clients match on them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The bytes are no transaction.
    #[error("rlp: {0}")]
    Decode(String),
    /// A type that L2 senders cannot send (blobs, deposits).
    #[error("transaction type not supported")]
    UnsupportedType,
    /// Too long.
    #[error("oversized data: transaction size {size}, limit {limit}")]
    Oversized {
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// Signed for another chain.
    #[error("invalid chain id for signer: have {have} want {want}")]
    ChainId {
        /// What it was signed for.
        have: u64,
        /// This chain.
        want: u64,
    },
    /// No chain id in the signature.
    #[error("only replay-protected (EIP-155) transactions allowed over RPC")]
    Unprotected,
    /// The signature recovers to nobody.
    #[error("invalid sender")]
    InvalidSender,
    /// The sender holds code that is no delegation (EIP-3607).
    #[error("sender not an eoa: address {0}")]
    SenderHasCode(Address),
    /// Gas limit above what a transaction may have.
    #[error("exceeds block gas limit: transaction gas {gas}, limit {limit}")]
    GasLimit {
        /// Its gas limit.
        gas: u64,
        /// The limit.
        limit: u64,
    },
    /// Gas limit below what the transaction costs before it runs.
    #[error("intrinsic gas too low: gas {gas}, minimum needed {needed}")]
    IntrinsicGas {
        /// Its gas limit.
        gas: u64,
        /// The minimum.
        needed: u64,
    },
    /// Tip above the fee cap.
    #[error("max priority fee per gas higher than max fee per gas: maxPriorityFeePerGas: {tip}, maxFeePerGas: {cap}")]
    TipAboveFeeCap {
        /// Its tip.
        tip: u128,
        /// Its fee cap.
        cap: u128,
    },
    /// A fee cap below every base fee that a later block can have; it could wait for ever.
    #[error("max fee per gas less than block base fee: maxFeePerGas: {cap}, baseFee: {floor} at the least")]
    FeeCapTooLow {
        /// Its fee cap.
        cap: u128,
        /// The lowest base fee that a later block can have.
        floor: u64,
    },
    /// Init code too long.
    #[error("max initcode size exceeded: code size {size}, limit {limit}")]
    InitCode {
        /// Its length in bytes.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// The nonce was used already.
    #[error("nonce too low: next nonce {next}, tx nonce {nonce}")]
    NonceTooLow {
        /// The sender's next nonce.
        next: u64,
        /// The transaction's.
        nonce: u64,
    },
    /// The nonce lies too far ahead.
    #[error("nonce too high: next nonce {next}, tx nonce {nonce}, at most {gap_max} ahead")]
    NonceTooHigh {
        /// The sender's next nonce.
        next: u64,
        /// The transaction's.
        nonce: u64,
        /// The limit.
        gap_max: u64,
    },
    /// Not enough balance for this and the sender's other pending transactions.
    #[error("insufficient funds for gas * price + value: balance {balance}, queued cost {queued}, tx cost {cost}")]
    InsufficientFunds {
        /// The sender's balance in wei.
        balance: U256,
        /// What its other pending transactions may cost.
        queued: U256,
        /// What this one may cost.
        cost: U256,
    },
    /// The pool has it.
    #[error("already known")]
    AlreadyKnown,
    /// Replaces another without raising both fee caps enough.
    #[error("replacement transaction underpriced")]
    Underpriced,
    /// The sender has too many.
    #[error("account limit exceeded: at most {limit} pending transactions of one sender")]
    SenderLimit {
        /// The limit.
        limit: usize,
    },
    /// No room.
    #[error("txpool is full")]
    PoolFull,
    /// Could not be written to disk, so it was not accepted.
    #[error("transaction could not be journaled: {0}")]
    Journal(String),
    /// No block can be made at present, so nothing more is taken in. What was acknowledged before stays.
    #[error("{0}; the transaction was not taken, send it again when that is over")]
    NoBlocks(String),
    /// The node is stopping.
    #[error("node is shutting down")]
    Closed,
    /// The database failed.
    #[error("internal error: {0}")]
    Internal(String),
}

/// Why a call or an estimate gave no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The contract reverted.
    #[error("execution reverted{}", reason.as_ref().map(|r| format!(": {r}")).unwrap_or_default())]
    Reverted {
        /// What it returned.
        output: Bytes,
        /// The text, if it is an `Error(string)` or `Panic(uint256)`.
        reason: Option<String>,
    },
    /// The EVM stopped exceptionally.
    #[error("{0}")]
    Halted(String),
    /// The transaction could not start (funds, nonce, gas).
    #[error("{0}")]
    Invalid(String),
    /// An estimate found that even the cap does not suffice.
    #[error("gas required exceeds allowance ({allowance})")]
    GasAllowance {
        /// The cap in gas.
        allowance: u64,
    },
    /// The block is not known.
    #[error("header not found")]
    UnknownBlock,
    /// The transaction is not known.
    #[error("transaction not found")]
    UnknownTransaction,
    /// A trace grew too long.
    #[error("the trace records more than {limit} bytes: trace less, or give the call less gas")]
    TraceTooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// The database failed, or state is no longer kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why logs could not be listed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogsError {
    /// The range is too long.
    #[error("query spans {blocks} blocks; at most {limit} are allowed: narrow fromBlock and toBlock")]
    RangeTooLong {
        /// Blocks in the range.
        blocks: u64,
        /// The limit.
        limit: u64,
    },
    /// The range ends before it begins.
    #[error("invalid block range params: fromBlock {from} is after toBlock {to}")]
    RangeReversed {
        /// First block.
        from: u64,
        /// Last block.
        to: u64,
    },
    /// Too many logs.
    #[error("query returned more than {limit} results: narrow the range, addresses or topics")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// The filter names too many addresses.
    #[error("the filter names {count} addresses; at most {limit} are allowed")]
    TooManyAddresses {
        /// How many it names.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// The filter names too many topics in one of its four places.
    #[error("the filter names {count} topics in one place; at most {limit} are allowed")]
    TooManyTopics {
        /// How many it names.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// The block hash is not known.
    #[error("unknown block")]
    UnknownBlock,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a development method was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DevelopmentError {
    /// The chain is not a development chain.
    #[error("only a development chain can do this")]
    NotDevelopment,
    /// The clock would be too far ahead.
    #[error("the clock is {ahead} s ahead and cannot go {asked} s further; at most {limit} s ahead in all")]
    TooFarAhead {
        /// How far it is ahead, in seconds.
        ahead: u64,
        /// How much further was asked for, in seconds.
        asked: u64,
        /// The limit in seconds.
        limit: u64,
    },
    /// No block can be made at present.
    #[error("{0}")]
    NoBlocks(String),
    /// The node is stopping.
    #[error("node is shutting down")]
    Closed,
}
