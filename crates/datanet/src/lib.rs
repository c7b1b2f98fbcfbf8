//! Datanets: ingest, validation, deduplication, licences, snapshots and lineage.
//!
//! Uploaded files become canonical [`Record`]s ([`ingest`]); records become a salted, committed batch under a signed
//! consent ([`PreparedBatch`]); revealed batches are accepted in the order of their commitments, of near-duplicates only
//! the earliest ([`dedup`]); accepted records make a [`Snapshot`] that models name. [`Datanets`] ties it to the store.

pub mod ingest;
pub mod limits;
pub mod record;

pub use record::{Message, Record, RecordError, RecordKind, record_hash};
