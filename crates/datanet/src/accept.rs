//! Which revealed records are accepted: of each cluster of near-duplicates, the one committed first.
//!
//! The outcome depends on the accepted batches and their priorities alone, not on the order in which they were revealed:
//! when a batch of earlier priority comes late, the decisions on all later ones are taken again.

use std::collections::HashMap;

use openledger_primitives::{Address, B256, BlobHash, DatanetId, RecordHash};
use openledger_store::{BlobError, Blobs, ReadTx, Row, RowExt, StoreError, Tx, number_value, params};
use serde::{Deserialize, Serialize};

use crate::dedup::Fingerprint;
use crate::record::{Record, RecordError, record_hash};
use crate::state::{BatchState, RecordStatus};

/// A record that was not accepted because an earlier one says the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Duplicate {
    /// Position in the batch, from 0.
    pub position: u64,
    /// The record.
    pub record: RecordHash,
    /// The earlier one.
    pub of: RecordHash,
    /// Who contributed the earlier one.
    pub of_contributor: Address,
    /// How similar they are, in thousandths; 1,000 for the same words.
    pub similarity_per_mille: u16,
}

/// What became of a batch's records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptReport {
    /// Records accepted.
    pub accepted: u64,
    /// Records that were not.
    pub duplicates: Vec<Duplicate>,
}

/// Why a batch cannot move on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// No such batch.
    #[error("no batch has commitment {commitment}")]
    Unknown {
        /// The commitment asked for.
        commitment: B256,
    },
    /// The batch is not where this step begins.
    #[error("batch {commitment} is {state}; it must be {wanted} first")]
    WrongState {
        /// The batch.
        commitment: B256,
        /// Where it is.
        state: BatchState,
        /// Where it should be.
        wanted: BatchState,
    },
    /// It was committed with another priority before.
    #[error("batch {commitment} has priority {priority}, not {given}")]
    OtherPriority {
        /// The batch.
        commitment: B256,
        /// Its priority.
        priority: u64,
        /// The priority given.
        given: u64,
    },
    /// The consent does not hold.
    #[error("consent to the licence")]
    Consent(#[from] crate::batch::ConsentError),
    /// A stored record is not what its hash says.
    #[error("record {record} is damaged in the store")]
    Damaged {
        /// The record.
        record: RecordHash,
        /// What is wrong, where it is known.
        #[source]
        source: Option<RecordError>,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The blobs.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

/// Accepts a revealed batch: decides on each of its records and, where its priority is not the latest, again on those of the
/// batches behind it. Accepting twice changes nothing.
///
/// # Errors
/// [`BatchError`]; the transaction must not be committed then.
pub fn accept_batch(tx: &Tx<'_>, blobs: &Blobs, commitment: B256) -> Result<AcceptReport, BatchError> {
    let batch = BatchPlace::load(tx, commitment)?;
    match batch.state {
        BatchState::Accepted => return report(tx, commitment),
        BatchState::Revealed => {}
        state => return Err(BatchError::WrongState { commitment, state, wanted: BatchState::Revealed }),
    }
    let sql = "UPDATE datanet_batches SET state = ?2 WHERE commitment = ?1";
    tx.execute(sql, params![commitment.as_slice(), BatchState::Accepted.code()])?;
    let mut decisions = Decisions::new(tx, blobs, batch.datanet)?;
    for record in decisions.reopen(batch.priority)? {
        decisions.decide(&record)?;
    }
    report(tx, commitment)
}

struct BatchPlace {
    datanet: DatanetId,
    state: BatchState,
    priority: i64,
}

impl BatchPlace {
    fn load(tx: &ReadTx<'_>, commitment: B256) -> Result<Self, BatchError> {
        let sql = "SELECT datanet, state, coalesce(priority, 0) AS priority FROM datanet_batches WHERE commitment = ?1";
        let place = tx.query_opt(sql, [commitment.as_slice()], |row| {
            let datanet = DatanetId(row.number("datanet")?);
            Ok::<_, StoreError>(Self { datanet, state: BatchState::read(row)?, priority: row.column("priority")? })
        })?;
        place.ok_or(BatchError::Unknown { commitment })
    }
}

fn report(tx: &ReadTx<'_>, commitment: B256) -> Result<AcceptReport, BatchError> {
    let sql = "SELECT count(*) FROM datanet_records WHERE batch = ?1 AND status = ?2";
    let accepted = tx.count(sql, params![commitment.as_slice(), RecordStatus::Accepted.code()])?;
    let sql = "SELECT r.position, r.hash, r.duplicate_of, r.similarity_per_mille, o.contributor AS of_contributor
        FROM datanet_records r JOIN datanet_records o ON o.hash = r.duplicate_of
        WHERE r.batch = ?1 AND r.status = ?2 ORDER BY r.position";
    let duplicates = tx.query_all(sql, params![commitment.as_slice(), RecordStatus::Duplicate.code()], |row| {
        Ok::<_, StoreError>(Duplicate {
            position: row.number("position")?,
            record: RecordHash(row.hash("hash")?),
            of: RecordHash(row.hash("duplicate_of")?),
            of_contributor: row.address("of_contributor")?,
            similarity_per_mille: row.column("similarity_per_mille")?,
        })
    })?;
    Ok(AcceptReport { accepted, duplicates })
}

/// Where a record's bytes are.
pub(crate) struct StoredRecord {
    pub(crate) id: i64,
    pub(crate) hash: RecordHash,
    pub(crate) salt: B256,
    body: BlobHash,
    offset: u64,
    length: usize,
}

impl StoredRecord {
    /// Columns that [`StoredRecord::read`] needs, from `datanet_records r JOIN datanet_batches b`.
    pub(crate) const COLUMNS: &'static str = "r.id, r.hash, r.salt, b.body, r.body_offset, r.body_length";

    pub(crate) fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.column("id")?,
            hash: RecordHash(row.hash("hash")?),
            salt: row.hash("salt")?,
            body: BlobHash(row.hash("body")?),
            offset: row.number("body_offset")?,
            length: row.column::<u32>("body_length")? as usize,
        })
    }

    /// The record, checked against its hash.
    pub(crate) fn record(&self, blobs: &Blobs) -> Result<Record, BatchError> {
        let damaged = |source| BatchError::Damaged { record: self.hash, source };
        let bytes = blobs.get_range(self.body, self.offset, self.length)?.ok_or_else(|| damaged(None))?;
        if record_hash(self.salt, &bytes) != self.hash {
            return Err(damaged(None));
        }
        Record::from_canonical(&bytes).map_err(|source| damaged(Some(source)))
    }
}

/// The record that stands first in a cluster.
#[derive(Clone, Copy)]
pub(crate) struct Leader {
    pub(crate) hash: RecordHash,
    pub(crate) cluster: u64,
    pub(crate) similarity_per_mille: u16,
}

/// Finds leaders in one Datanet; remembers the fingerprints that it has made.
pub(crate) struct Leaders<'a> {
    tx: &'a ReadTx<'a>,
    blobs: &'a Blobs,
    datanet: i64,
    similarity_per_mille: u16,
    fingerprints: HashMap<i64, Fingerprint>,
}

impl<'a> Leaders<'a> {
    pub(crate) fn new(tx: &'a ReadTx<'a>, blobs: &'a Blobs, datanet: DatanetId) -> Result<Self, BatchError> {
        let datanet = number_value("Datanet", datanet.0)?;
        let sql = "SELECT similarity_per_mille FROM datanet_nets WHERE id = ?1";
        let limit = tx.query_opt(sql, [datanet], |row| row.column::<u16>("similarity_per_mille"))?;
        let similarity_per_mille = limit.unwrap_or(crate::dedup::SIMILARITY_PER_MILLE);
        Ok(Self { tx, blobs, datanet, similarity_per_mille, fingerprints: HashMap::new() })
    }

    /// The earliest leader that says the same, if any.
    pub(crate) fn find(&mut self, fingerprint: &Fingerprint) -> Result<Option<Leader>, BatchError> {
        if let Some(leader) = self.same_words(fingerprint)? {
            return Ok(Some(leader));
        }
        // Clusters are numbered in the order of priority: the first hit is the earliest.
        for (record, cluster) in self.candidates(fingerprint)? {
            let similarity_per_mille = self.fingerprint(&record)?.similarity_per_mille(fingerprint);
            if similarity_per_mille >= self.similarity_per_mille {
                return Ok(Some(Leader { hash: record.hash, cluster, similarity_per_mille }));
            }
        }
        Ok(None)
    }

    fn same_words(&self, fingerprint: &Fingerprint) -> Result<Option<Leader>, BatchError> {
        let sql = "SELECT hash, cluster FROM datanet_records WHERE datanet = ?1 AND words_hash = ?2 AND leads = 1";
        Ok(self.tx.query_opt(sql, params![self.datanet, fingerprint.words_hash.as_slice()], |row| {
            let cluster = row.number("cluster")?;
            Ok::<_, StoreError>(Leader { hash: RecordHash(row.hash("hash")?), cluster, similarity_per_mille: 1_000 })
        })?)
    }

    fn candidates(&self, fingerprint: &Fingerprint) -> Result<Vec<(StoredRecord, u64)>, BatchError> {
        let keys = fingerprint.band_keys().map(|key| (key as i64).to_string()).join(",");
        let sql = format!(
            "SELECT DISTINCT {}, r.cluster FROM datanet_bands k JOIN datanet_records r ON r.id = k.record
             JOIN datanet_batches b ON b.commitment = r.batch
             WHERE k.datanet = ?1 AND k.key IN (SELECT value FROM json_each(?2)) ORDER BY r.cluster",
            StoredRecord::COLUMNS
        );
        Ok(self.tx.query_all(&sql, params![self.datanet, format!("[{keys}]")], |row| {
            Ok::<_, StoreError>((StoredRecord::read(row)?, row.number("cluster")?))
        })?)
    }

    fn fingerprint(&mut self, record: &StoredRecord) -> Result<&Fingerprint, BatchError> {
        if !self.fingerprints.contains_key(&record.id) {
            let text = record.record(self.blobs)?.full_text();
            self.fingerprints.insert(record.id, Fingerprint::of(&text));
        }
        Ok(&self.fingerprints[&record.id])
    }
}

struct Decisions<'a> {
    tx: &'a Tx<'a>,
    leaders: Leaders<'a>,
}

impl<'a> Decisions<'a> {
    fn new(tx: &'a Tx<'a>, blobs: &'a Blobs, datanet: DatanetId) -> Result<Self, BatchError> {
        Ok(Self { tx, leaders: Leaders::new(tx, blobs, datanet)? })
    }

    /// Takes back all decisions from `priority` on and lists their records in order.
    fn reopen(&self, priority: i64) -> Result<Vec<StoredRecord>, BatchError> {
        let place = params![self.leaders.datanet, priority, BatchState::Accepted.code()];
        let behind = "SELECT commitment FROM datanet_batches WHERE datanet = ?1 AND priority >= ?2 AND state = ?3";
        let records = format!("SELECT id FROM datanet_records WHERE batch IN ({behind})");
        self.tx.execute(&format!("DELETE FROM datanet_bands WHERE record IN ({records})"), place)?;
        let sql = format!(
            "UPDATE datanet_records SET cluster = NULL, leads = 0, duplicate_of = NULL, similarity_per_mille = NULL
             WHERE batch IN ({behind})"
        );
        self.tx.execute(&sql, place)?;
        let sql = format!(
            "SELECT {} FROM datanet_records r JOIN datanet_batches b ON b.commitment = r.batch
             WHERE b.datanet = ?1 AND b.priority >= ?2 AND b.state = ?3 ORDER BY b.priority, r.position",
            StoredRecord::COLUMNS
        );
        Ok(self.tx.query_all(&sql, place, StoredRecord::read)?)
    }

    fn decide(&mut self, record: &StoredRecord) -> Result<(), BatchError> {
        let fingerprint = self.leaders.fingerprint(record)?.clone();
        match self.leaders.find(&fingerprint)? {
            Some(leader) => self.join(record, &fingerprint, leader),
            None => self.lead(record, &fingerprint),
        }
    }

    fn join(&self, record: &StoredRecord, fingerprint: &Fingerprint, leader: Leader) -> Result<(), BatchError> {
        let sql =
            "UPDATE datanet_records SET words_hash = ?2, cluster = ?3, duplicate_of = ?4, similarity_per_mille = ?5,
            status = CASE WHEN revoked_at IS NULL THEN ?6 ELSE ?7 END WHERE id = ?1";
        self.tx.execute(
            sql,
            params![
                record.id,
                fingerprint.words_hash.as_slice(),
                number_value("cluster", leader.cluster)?,
                leader.hash.0.as_slice(),
                leader.similarity_per_mille,
                RecordStatus::Duplicate.code(),
                RecordStatus::Revoked.code()
            ],
        )?;
        Ok(())
    }

    /// A revoked record still leads its cluster: taking it back must not let copies of it in.
    fn lead(&self, record: &StoredRecord, fingerprint: &Fingerprint) -> Result<(), BatchError> {
        let sql = "SELECT max(cluster) FROM datanet_records WHERE datanet = ?1";
        let cluster = self.tx.count(sql, [self.leaders.datanet])? + 1;
        let sql = "UPDATE datanet_records SET words_hash = ?2, cluster = ?3, leads = 1,
            status = CASE WHEN revoked_at IS NULL THEN ?4 ELSE ?5 END WHERE id = ?1";
        self.tx.execute(
            sql,
            params![
                record.id,
                fingerprint.words_hash.as_slice(),
                number_value("cluster", cluster)?,
                RecordStatus::Accepted.code(),
                RecordStatus::Revoked.code()
            ],
        )?;
        for key in fingerprint.band_keys() {
            let sql = "INSERT OR IGNORE INTO datanet_bands (datanet, key, record) VALUES (?1, ?2, ?3)";
            self.tx.execute(sql, params![self.leaders.datanet, key as i64, record.id])?;
        }
        Ok(())
    }
}
