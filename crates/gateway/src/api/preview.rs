//! What a snapshot taken now would hold.

use serde::Serialize;
use utoipa::ToSchema;

use super::scalar::{Account, Hash};

/// A snapshot as it would be taken now.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SnapshotPreview {
    /// The Datanet.
    pub datanet: u64,
    /// The number that it would get; the latest one's when nothing has changed.
    pub snapshot: u64,
    /// False when nothing has changed since the latest snapshot.
    pub is_new: bool,
    /// Merkle root over its records.
    pub root: Hash,
    /// Hash of its content.
    pub content_hash: Hash,
    /// Records in it.
    pub record_count: u64,
    /// Contributors in it.
    pub contributor_count: u32,
    /// The contributors with the most records in it.
    pub contributors: Vec<PreviewContributor>,
    /// Records left out, by reason.
    pub excluded: Vec<PreviewExcluded>,
    /// The first of them, each with its reason.
    pub named: Vec<PreviewNamed>,
}

/// A contributor of a snapshot.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PreviewContributor {
    /// Who.
    pub account: Account,
    /// Records in the snapshot.
    pub records: u64,
}

/// Records left out for one reason.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PreviewExcluded {
    /// Why.
    pub why: Exclusion,
    /// How many.
    pub records: u64,
}

/// Why records are left out.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Exclusion {
    /// An earlier record says the same.
    Duplicate,
    /// Their contributors took them back.
    Revoked,
    /// Their batch is committed, and not revealed.
    NotRevealed,
    /// Their batch is revealed, and not decided on.
    NotAccepted,
}

/// A record left out.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PreviewNamed {
    /// Which.
    pub record: Hash,
    /// Why, in words.
    pub reason: String,
}
