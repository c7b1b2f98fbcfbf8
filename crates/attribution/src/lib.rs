//! Proof of Attribution: which contributions shaped an answer, computed so that anyone can recompute it.
//!
//! Two channels that are never mixed up: [`influence`] (what shaped the answer, from gradients) and [`suffix`]
//! (what the answer quotes, from the training text). [`weights`] turns either into the shares of a receipt,
//! [`attest`] binds everything to one root, and [`evaluate`] measures how good it is.

pub mod attest;
pub mod evaluate;
pub mod fixed;
pub mod influence;
pub mod suffix;
pub mod weights;

mod codec;
mod record;

pub use codec::DecodeError;
pub use record::{RECORDS_MAX, RecordMeta, RecordTable, RecordTableError};
