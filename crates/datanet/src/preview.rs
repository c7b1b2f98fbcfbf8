//! What a snapshot taken now would hold, and what it would leave out.

use std::collections::BTreeMap;

use openledger_primitives::{Address, B256, BlobHash, DatanetId, RecordHash, keccak256};
use openledger_store::{ReadTx, RowExt, StoreError, number_value, params};
use serde::{Deserialize, Serialize};

use crate::datanets::Datanets;
use crate::records::{SnapshotError, accepted_entries, read_statement};
use crate::snapshot::Snapshot;
use crate::state::{BatchState, RecordStatus};

/// Most records that a preview names among those left out.
pub const EXCLUDED_SHOWN_MAX: usize = 100;

/// What a snapshot would hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotPreview {
    /// The snapshot as it would be taken; its entries may be none.
    pub snapshot: Snapshot,
    /// Hash of its body.
    pub content_hash: B256,
    /// False when nothing has changed since the latest, which is then what taking one gives.
    pub is_new: bool,
    /// Its records by contributor, most first.
    pub contributors: Vec<(Address, u64)>,
    /// Records left out, by reason.
    pub excluded: Vec<Excluded>,
    /// The first [`EXCLUDED_SHOWN_MAX`] of them, each with its reason.
    pub named: Vec<(RecordHash, String)>,
}

/// Records left out for one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excluded {
    /// Why.
    pub why: Exclusion,
    /// How many.
    pub records: u64,
}

/// Why records are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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

impl Datanets {
    /// What [`Datanets::take_snapshot`] would take now. Changes nothing.
    ///
    /// # Errors
    /// [`SnapshotError`]; a Datanet without accepted records is previewed as empty.
    pub fn preview_snapshot(&self, datanet: DatanetId) -> Result<SnapshotPreview, SnapshotError> {
        let latest = self.latest_snapshot(datanet)?;
        let found = self.store.read(|tx| {
            Ok::<_, StoreError>((accepted_entries(tx, datanet)?, excluded(tx, datanet)?, named(tx, datanet)?))
        })?;
        let (entries, excluded, named) = found;
        let is_new = latest.as_ref().is_none_or(|latest| latest.entries != entries);
        let snapshot = match latest {
            Some(latest) if !is_new => latest,
            latest => Snapshot { datanet, id: crate::records::next_id(latest.as_ref()), entries },
        };
        let mut counts = BTreeMap::<Address, u64>::new();
        snapshot.entries.iter().for_each(|entry| *counts.entry(entry.contributor).or_default() += 1);
        let mut contributors: Vec<(Address, u64)> = counts.into_iter().collect();
        contributors.sort_by_key(|&(account, records)| (std::cmp::Reverse(records), account));
        let BlobHash(content_hash) = BlobHash(keccak256(snapshot.body()));
        Ok(SnapshotPreview { snapshot, content_hash, is_new, contributors, excluded, named })
    }
}

/// Counts by reason. Batches that are not on chain are nobody's business yet.
fn excluded(tx: &ReadTx<'_>, datanet: DatanetId) -> Result<Vec<Excluded>, StoreError> {
    let sql = "SELECT r.status AS status, b.state AS state, count(*) AS records FROM datanet_records r
        JOIN datanet_batches b ON b.commitment = r.batch
        WHERE r.datanet = ?1 AND b.state >= ?2 GROUP BY r.status, b.state";
    let place = params![number_value("Datanet", datanet.0)?, BatchState::Committed.code()];
    let groups = tx.query_all(sql, place, |row| {
        Ok::<_, StoreError>((RecordStatus::read(row)?, BatchState::read(row)?, row.number("records")?))
    })?;
    let mut counts = BTreeMap::<Exclusion, u64>::new();
    for (status, state, records) in groups {
        let why = match (status, state) {
            (RecordStatus::Duplicate, _) => Exclusion::Duplicate,
            (RecordStatus::Revoked, _) => Exclusion::Revoked,
            (_, BatchState::Prepared | BatchState::Committed) => Exclusion::NotRevealed,
            (_, BatchState::Revealed) | (RecordStatus::Pending, _) => Exclusion::NotAccepted,
            (RecordStatus::Accepted, BatchState::Accepted) => continue,
        };
        *counts.entry(why).or_default() += records;
    }
    Ok(counts.into_iter().map(|(why, records)| Excluded { why, records }).collect())
}

/// The first records left out of batches that are revealed, with what the contributor is told of each.
fn named(tx: &ReadTx<'_>, datanet: DatanetId) -> Result<Vec<(RecordHash, String)>, StoreError> {
    let sql = "SELECT r.* FROM datanet_records r JOIN datanet_batches b ON b.commitment = r.batch
        WHERE r.datanet = ?1 AND b.state >= ?2 AND NOT (r.status = ?3 AND b.state = ?4)
        ORDER BY b.priority, r.position LIMIT ?5";
    let place = params![
        number_value("Datanet", datanet.0)?,
        BatchState::Revealed.code(),
        RecordStatus::Accepted.code(),
        BatchState::Accepted.code(),
        EXCLUDED_SHOWN_MAX as i64
    ];
    let statements = tx.query_all(sql, place, read_statement)?;
    let reason = |statement: crate::records::RecordStatement| {
        let reason = statement.reason().unwrap_or_else(|| "its batch is not accepted yet".to_owned());
        (statement.record, reason)
    };
    Ok(statements.into_iter().map(reason).collect())
}
