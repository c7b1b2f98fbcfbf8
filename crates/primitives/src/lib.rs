//! Ids, token amounts, Merkle trees and canonical encodings; no I/O.
//!
//! Everything here is shared by the chain side and the model side of OpenLedger, so it knows neither.

mod amount;
pub mod canonical_json;
mod ids;
pub mod merkle;
pub mod sum_tree;

pub use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
pub use amount::{AmountError, Wei};
pub use ids::{BlobHash, ChannelId, DatanetId, ModelId, ReceiptHash, RecordHash, SnapshotId};
