//! Snapshots in the store, and the statement of each record.

use std::collections::BTreeSet;

use openledger_primitives::merkle::MerkleProof;
use openledger_primitives::{Address, B256, BlobHash, DatanetId, RecordHash, SnapshotId};
use openledger_store::{BlobError, ReadTx, Row, RowExt, StoreError, Tx, number_value, params};
use serde::{Deserialize, Serialize};

use crate::Datanets;
use crate::accept::BatchError;
use crate::clock::unix_now;
use crate::leaders::StoredRecord;
use crate::limits::PAGE_ROWS_MAX;
use crate::record::Record;
use crate::snapshot::{DecodeSnapshotError, Snapshot, SnapshotEntry};
use crate::state::{BatchState, RecordStatus};

/// Why there is no such snapshot.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// No record is accepted.
    #[error("Datanet {datanet} has no accepted records")]
    Empty {
        /// The Datanet.
        datanet: DatanetId,
    },
    /// No such snapshot.
    #[error("Datanet {datanet} has no snapshot {snapshot}")]
    Unknown {
        /// The Datanet.
        datanet: DatanetId,
        /// The snapshot asked for.
        snapshot: SnapshotId,
    },
    /// Its body is gone.
    #[error("the body of the snapshot, blob {body}, is missing")]
    MissingBody {
        /// The blob.
        body: BlobHash,
    },
    /// Its body is malformed.
    #[error("the snapshot's body")]
    Body(#[from] DecodeSnapshotError),
    /// A record of it cannot be read.
    #[error(transparent)]
    Record(#[from] RecordAccessError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The blobs.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

/// Why a record cannot be shown or taken back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordAccessError {
    /// No such record.
    #[error("there is no record {record}")]
    Unknown {
        /// The record asked for.
        record: RecordHash,
    },
    /// Another contributor's.
    #[error("record {record} was contributed by {contributor}, who alone may take it back")]
    NotContributor {
        /// The record.
        record: RecordHash,
        /// Whose it is.
        contributor: Address,
    },
    /// It is damaged in the store.
    #[error(transparent)]
    Stored(#[from] BatchError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// All that is known of one record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordStatement {
    /// The record.
    pub record: RecordHash,
    /// Its Datanet.
    pub datanet: DatanetId,
    /// Commitment of its batch.
    pub batch: B256,
    /// Position in the batch, from 0.
    pub position: u64,
    /// Who contributed it.
    pub contributor: Address,
    /// What became of it.
    pub status: RecordStatus,
    /// Its cluster of near-duplicates, once decided.
    pub cluster: Option<u64>,
    /// The earlier record that says the same, for duplicates.
    pub duplicate_of: Option<RecordHash>,
    /// How similar that one is, in thousandths.
    pub similarity_per_mille: Option<u16>,
    /// When it was taken back, in Unix seconds.
    pub revoked_at: Option<u64>,
}

impl RecordStatement {
    /// Why the record does not earn, in words; `None` when it does.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        match (self.status, self.duplicate_of, self.similarity_per_mille) {
            (RecordStatus::Accepted, ..) => None,
            (RecordStatus::Pending, ..) => Some("its batch is not accepted yet".to_owned()),
            (RecordStatus::Revoked, ..) => Some("its contributor took it back".to_owned()),
            (_, Some(of), Some(1_000)) => Some(format!("record {of}, committed earlier, has the same words")),
            (_, Some(of), Some(per_mille)) => {
                Some(format!("record {of}, committed earlier, is {}.{} % the same", per_mille / 10, per_mille % 10))
            }
            (RecordStatus::Duplicate, ..) => Some("an earlier record says the same".to_owned()),
        }
    }
}

/// Which records a listing shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordFilter {
    /// Of this contributor only.
    pub contributor: Option<Address>,
    /// With this status only.
    pub status: Option<RecordStatus>,
}

/// Part of a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Where the next part begins; `None` at the end.
    pub next: Option<u64>,
}

/// A record of a snapshot with its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotRecord {
    /// Position in the snapshot, from 0.
    pub index: u64,
    /// Its entry.
    pub entry: SnapshotEntry,
    /// Its content.
    pub record: Record,
}

impl Datanets {
    /// Takes a snapshot of the accepted records. When nothing has changed since the latest, that one is returned.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn take_snapshot(&self, datanet: DatanetId) -> Result<Snapshot, SnapshotError> {
        let latest = self.latest_snapshot(datanet)?;
        let entries = self.store.read(|tx| accepted_entries(tx, datanet))?;
        if entries.is_empty() {
            return Err(SnapshotError::Empty { datanet });
        }
        let id = next_id(latest.as_ref());
        if let Some(latest) = latest
            && latest.entries == entries
        {
            return Ok(latest);
        }
        let snapshot = Snapshot { datanet, id, entries };
        let body = self.store.blobs().put(&snapshot.body())?;
        self.store.with_tx(|tx| insert_snapshot(tx, &snapshot, body))?;
        Ok(snapshot)
    }

    /// The latest snapshot, if any was taken.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn latest_snapshot(&self, datanet: DatanetId) -> Result<Option<Snapshot>, SnapshotError> {
        let sql = "SELECT max(id) FROM datanet_snapshots WHERE datanet = ?1";
        let datanet_value = number_value("Datanet", datanet.0)?;
        match self.store.read(|tx| tx.count(sql, [datanet_value]))? {
            0 => Ok(None),
            latest => self.snapshot(datanet, SnapshotId(latest)).map(Some),
        }
    }

    /// A snapshot taken before.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn snapshot(&self, datanet: DatanetId, snapshot: SnapshotId) -> Result<Snapshot, SnapshotError> {
        let sql = "SELECT body FROM datanet_snapshots WHERE datanet = ?1 AND id = ?2";
        let place = [number_value("Datanet", datanet.0)?, number_value("snapshot", snapshot.0)?];
        let body = self.store.read(|tx| tx.query_opt(sql, place, |row| row.hash("body")))?;
        let body = BlobHash(body.ok_or(SnapshotError::Unknown { datanet, snapshot })?);
        let bytes = self.store.blobs().get(body)?.ok_or(SnapshotError::MissingBody { body })?;
        Ok(Snapshot::from_body(&bytes)?)
    }

    /// A snapshot's records with their content, in order, each checked against its hash.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn snapshot_records(&self, snapshot: &Snapshot) -> Result<Vec<SnapshotRecord>, SnapshotError> {
        let with_record = |(entry, index): (&SnapshotEntry, u64)| {
            Ok(SnapshotRecord { index, entry: *entry, record: self.record(entry.record_hash)? })
        };
        snapshot.entries.iter().zip(0..).map(with_record).collect()
    }

    /// How many of a snapshot's records were taken back since.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn revoked_in(&self, snapshot: &Snapshot) -> Result<u64, StoreError> {
        let sql = "SELECT hash FROM datanet_records WHERE datanet = ?1 AND status = ?2";
        let place = params![number_value("Datanet", snapshot.datanet.0)?, RecordStatus::Revoked.code()];
        let revoked = self.store.read(|tx| tx.query_all(sql, place, |row| row.hash("hash")))?;
        let revoked: BTreeSet<B256> = revoked.into_iter().collect();
        let gone = snapshot.entries.iter().filter(|entry| revoked.contains(&entry.record_hash.0));
        Ok(gone.count() as u64)
    }

    /// A record's content, checked against its hash.
    ///
    /// # Errors
    /// [`RecordAccessError`].
    pub fn record(&self, record: RecordHash) -> Result<Record, RecordAccessError> {
        let sql = format!(
            "SELECT {} FROM datanet_records r JOIN datanet_batches b ON b.commitment = r.batch WHERE r.hash = ?1",
            StoredRecord::COLUMNS
        );
        let stored = self.store.read(|tx| tx.query_opt(&sql, [record.0.as_slice()], StoredRecord::read))?;
        Ok(stored.ok_or(RecordAccessError::Unknown { record })?.record(self.store.blobs())?)
    }

    /// All that is known of a record.
    ///
    /// # Errors
    /// [`RecordAccessError`].
    pub fn statement(&self, record: RecordHash) -> Result<RecordStatement, RecordAccessError> {
        let sql = "SELECT * FROM datanet_records WHERE hash = ?1";
        let found = self.store.read(|tx| tx.query_opt(sql, [record.0.as_slice()], read_statement))?;
        found.ok_or(RecordAccessError::Unknown { record })
    }

    /// Statements of a Datanet's records in the order of upload, beginning after `after` (0, or a page's `next`).
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn records(
        &self,
        datanet: DatanetId,
        filter: RecordFilter,
        after: u64,
        limit: u32,
    ) -> Result<Page<RecordStatement>, StoreError> {
        let limit = limit.clamp(1, PAGE_ROWS_MAX);
        let sql = "SELECT * FROM datanet_records WHERE datanet = ?1 AND id > ?2
            AND (?3 IS NULL OR contributor = ?3) AND (?4 IS NULL OR status = ?4) ORDER BY id LIMIT ?5";
        let contributor = filter.contributor.map(|address| address.to_vec());
        let status = filter.status.map(RecordStatus::code);
        let place =
            params![number_value("Datanet", datanet.0)?, number_value("cursor", after)?, contributor, status, limit];
        let rows = self.store.read(|tx| {
            tx.query_all(sql, place, |row| Ok::<_, StoreError>((row.number("id")?, read_statement(row)?)))
        })?;
        let next = (rows.len() == limit as usize).then(|| rows.last().map(|(id, _)| *id)).flatten();
        Ok(Page { rows: rows.into_iter().map(|(_, statement)| statement).collect(), next })
    }

    /// Takes a record back: it is in no later snapshot. Copies of it stay out too. Twice changes nothing.
    ///
    /// # Errors
    /// [`RecordAccessError::NotContributor`] for anyone else's record.
    pub fn revoke(&self, record: RecordHash, by: Address) -> Result<(), RecordAccessError> {
        let contributor = self.statement(record)?.contributor;
        if contributor != by {
            return Err(RecordAccessError::NotContributor { record, contributor });
        }
        let sql = "UPDATE datanet_records SET status = ?2, revoked_at = ?3 WHERE hash = ?1 AND revoked_at IS NULL";
        let place = params![record.0.as_slice(), RecordStatus::Revoked.code(), unix_now()];
        self.store.with_tx(|tx| tx.execute(sql, place))?;
        Ok(())
    }

    /// Proof that a record is in a snapshot, with its entry.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn prove_record(
        &self,
        datanet: DatanetId,
        snapshot: SnapshotId,
        record: RecordHash,
    ) -> Result<Option<(SnapshotEntry, MerkleProof)>, SnapshotError> {
        let snapshot = self.snapshot(datanet, snapshot)?;
        let position = snapshot.entries.iter().position(|entry| entry.record_hash == record);
        Ok(position.and_then(|position| Some((snapshot.entries[position], snapshot.prove(position as u64)?))))
    }
}

/// The number of the snapshot after `latest`.
pub(crate) fn next_id(latest: Option<&Snapshot>) -> SnapshotId {
    SnapshotId(latest.map_or(0, |latest| latest.id.0) + 1)
}

pub(crate) fn accepted_entries(tx: &ReadTx<'_>, datanet: DatanetId) -> Result<Vec<SnapshotEntry>, StoreError> {
    let sql = "SELECT r.hash, r.contributor, r.cluster FROM datanet_records r
        JOIN datanet_batches b ON b.commitment = r.batch
        WHERE r.datanet = ?1 AND r.status = ?2 AND b.state = ?3 ORDER BY b.priority, r.position";
    let place =
        params![number_value("Datanet", datanet.0)?, RecordStatus::Accepted.code(), BatchState::Accepted.code()];
    tx.query_all(sql, place, |row| {
        Ok(SnapshotEntry {
            record_hash: RecordHash(row.hash("hash")?),
            contributor: row.address("contributor")?,
            cluster: row.number("cluster")?,
        })
    })
}

fn insert_snapshot(tx: &Tx<'_>, snapshot: &Snapshot, body: BlobHash) -> Result<usize, StoreError> {
    tx.execute(
        "INSERT INTO datanet_snapshots VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            number_value("Datanet", snapshot.datanet.0)?,
            number_value("snapshot", snapshot.id.0)?,
            snapshot.root().as_slice(),
            body.0.as_slice(),
            number_value("records", snapshot.entries.len() as u64)?,
            snapshot.contributor_count(),
            unix_now()
        ],
    )
}

pub(crate) fn read_statement(row: &Row<'_>) -> Result<RecordStatement, StoreError> {
    Ok(RecordStatement {
        record: RecordHash(row.hash("hash")?),
        datanet: DatanetId(row.number("datanet")?),
        batch: row.hash("batch")?,
        position: row.number("position")?,
        contributor: row.address("contributor")?,
        status: RecordStatus::read(row)?,
        cluster: row.column::<Option<i64>>("cluster")?.map(i64::unsigned_abs),
        duplicate_of: row.hash_opt("duplicate_of")?.map(RecordHash),
        similarity_per_mille: row.column("similarity_per_mille")?,
        revoked_at: row.column::<Option<i64>>("revoked_at")?.map(i64::unsigned_abs),
    })
}
