//! Datanets: ingest, validation, deduplication, licences, snapshots and lineage.
//!
//! Uploaded files become canonical [`Record`]s ([`ingest`]); records become a salted, committed batch under a signed
//! consent ([`PreparedBatch`]); revealed batches are accepted in the order of their commitments, of near-duplicates only
//! the earliest ([`dedup`]); accepted records make a [`Snapshot`] that models name. [`Datanets`] ties it to the store.

mod accept;
pub mod batch;
mod clock;
mod datanets;
pub mod dedup;
pub mod ingest;
mod leaders;
pub mod limits;
mod overview;
mod preview;
pub mod record;
mod records;
mod schema;
mod snapshot;
mod state;
mod upload;

pub use accept::{AcceptReport, BatchError, Duplicate};
pub use batch::{BatchContext, ConsentError, PrepareBatchError, PreparedBatch, SaltedRecord, verify_consent};
pub use datanets::{
    DatanetError, DatanetInfo, Datanets, LikelyDuplicate, LoadBatchError, PrepareError, Preview, StoredBatch,
};
pub use ingest::{Format, IngestError, IngestReport, Mapping, Rejection, ingest_bytes, ingest_file};
pub use openledger_contracts::LicenceTerms;
pub use overview::{
    ContributorCounts, DatanetCounts, DatanetFilter, ReasonCount, RecordQuery, ShownRecord, SnapshotInfo,
};
pub use preview::{EXCLUDED_SHOWN_MAX, Excluded, Exclusion, SnapshotPreview};
pub use record::{Message, Record, RecordError, RecordKind, record_hash};
pub use records::{Page, RecordAccessError, RecordFilter, RecordStatement, SnapshotError, SnapshotRecord};
pub use schema::DATANET_SCHEMA;
pub use snapshot::{DecodeSnapshotError, SNAPSHOT_BODY_VERSION, Snapshot, SnapshotEntry};
pub use state::{BatchState, RecordStatus};
pub use upload::{NewUpload, Upload, UploadError, UploadLimits};
