//! Rust client of the chain and the gateway.
//!
//! [`ChainClient`] calls contracts and sends transactions for one account; [`Hub`], [`Models`], [`Datanets`] and
//! [`Stakers`] name the calls of each contract. [`GatewayClient`] asks questions and pays for them out of a channel
//! that it opens and tops up by itself.

pub mod api;
mod chain;
mod channel;
mod contracts;
mod disputes;
mod gateway;
mod revert;
mod stream;

pub use chain::{ChainClient, ChainError, RECEIPT_WAIT_MAX, SentTransaction, Standing, TransactionPlace};
pub use channel::{CHANNELS_MAX, DepositBy, PayerChannel, PayerError, PayerOptions, Wallet};
pub use contracts::{Contribution, Datanets, Hub, Models, REVOCATION_BLOCKS_MAX, Revocation, SnapshotPost, Stakers};
pub use disputes::{DISPUTE_BLOCKS_MAX, Dispute, Fault, disputes_of};
pub use gateway::{
    ATTEMPTS_MAX, BODY_BYTES_MAX, GatewayClient, GatewayError, Refunded, STATEMENT_LINES_MAX, UPLOAD_CHUNK_BYTES,
};
pub use revert::decode_revert;
pub use stream::ChatStream;
