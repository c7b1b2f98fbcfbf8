//! Which revealed records are accepted: of each cluster of near-duplicates, the one committed first.
//!
//! The outcome depends on the accepted batches and their priorities alone, not on the order in which they were revealed:
//! when a batch of earlier priority comes late, the decisions on all later ones are taken again.
//!
//! What a decision may cost is limited, because the store's one writer waits for it: a band's key leads to the earliest
//! [`BAND_LEADERS_MAX`] leaders that have it, and of all that share a band with a record the [`COMPARISONS_MAX`] that share most are
//! compared with it. Of 32 bands a copy of similarity 0.7 shares 8, two texts from one template (0.5) share 2, and the
//! bands that thousands of such texts crowd are those of the template alone: a copy is still met in the bands of its own words.
//! Records with the very same words are found whatever the limits.

use std::collections::HashMap;

use openledger_primitives::{Address, B256, BlobHash, DatanetId, RecordHash};
use openledger_store::{BlobError, Blobs, ReadTx, Row, RowExt, Store, StoreError, Tx, number_value, params};
use serde::{Deserialize, Serialize};

use crate::dedup::{BANDS, Fingerprint};
use crate::limits::{BAND_LEADERS_MAX, COMPARISONS_MAX, FINGERPRINT_CACHE_SHINGLES_MAX};
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
/// `signatures` are those of the batch's records, made before the transaction; others are made when they are needed.
///
/// # Errors
/// [`BatchError`]; the transaction must not be committed then.
pub(crate) fn accept_batch(
    tx: &Tx<'_>,
    blobs: &Blobs,
    commitment: B256,
    signatures: Signatures,
) -> Result<AcceptReport, BatchError> {
    let batch = BatchPlace::load(tx, commitment)?;
    match batch.state {
        BatchState::Accepted => return report(tx, commitment),
        BatchState::Revealed => {}
        state => return Err(BatchError::WrongState { commitment, state, wanted: BatchState::Revealed }),
    }
    let sql = "UPDATE datanet_batches SET state = ?2 WHERE commitment = ?1";
    tx.execute(sql, params![commitment.as_slice(), BatchState::Accepted.code()])?;
    let mut decisions = Decisions::new(tx, blobs, batch.datanet, signatures)?;
    for record in decisions.reopen(batch.priority)? {
        decisions.decide(&record)?;
    }
    report(tx, commitment)
}

/// What decides which leaders a record meets: the hash of its words and the keys of its bands.
#[derive(Clone, Copy)]
pub(crate) struct RecordSignature {
    words_hash: B256,
    band_keys: [u64; BANDS],
}

impl RecordSignature {
    fn of(fingerprint: &Fingerprint) -> Self {
        Self { words_hash: fingerprint.words_hash, band_keys: fingerprint.band_keys() }
    }
}

/// Signatures by the record's row. Making them is most of the work of accepting a batch.
pub(crate) type Signatures = HashMap<i64, RecordSignature>;

/// The signatures of a batch's records, for [`accept_batch`]; none for a batch that is not next to be accepted.
///
/// # Errors
/// [`BatchError`] for an unknown batch, or a record that is damaged.
pub(crate) fn signatures(store: &Store, commitment: B256) -> Result<Signatures, BatchError> {
    let records = store.read(|tx| {
        if BatchPlace::load(tx, commitment)?.state != BatchState::Revealed {
            return Ok::<_, BatchError>(Vec::new());
        }
        let sql = format!(
            "SELECT {} FROM datanet_records r JOIN datanet_batches b ON b.commitment = r.batch WHERE b.commitment = ?1",
            StoredRecord::COLUMNS
        );
        Ok(tx.query_all(&sql, [commitment.as_slice()], StoredRecord::read)?)
    })?;
    let signature = |record: &StoredRecord| -> Result<_, BatchError> {
        let text = record.record(store.blobs())?.full_text();
        Ok((record.id, RecordSignature::of(&Fingerprint::of(&text))))
    };
    records.iter().map(signature).collect()
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

/// Finds leaders in one Datanet; remembers the fingerprints that it has made lately.
pub(crate) struct Leaders<'a> {
    tx: &'a ReadTx<'a>,
    blobs: &'a Blobs,
    datanet: i64,
    similarity_per_mille: u16,
    fingerprints: HashMap<i64, Fingerprint>,
    /// Shingles of all fingerprints remembered.
    shingles: usize,
}

impl<'a> Leaders<'a> {
    pub(crate) fn new(tx: &'a ReadTx<'a>, blobs: &'a Blobs, datanet: DatanetId) -> Result<Self, BatchError> {
        let datanet = number_value("Datanet", datanet.0)?;
        let sql = "SELECT similarity_per_mille FROM datanet_nets WHERE id = ?1";
        let limit = tx.query_opt(sql, [datanet], |row| row.column::<u16>("similarity_per_mille"))?;
        let similarity_per_mille = limit.unwrap_or(crate::dedup::SIMILARITY_PER_MILLE);
        Ok(Self { tx, blobs, datanet, similarity_per_mille, fingerprints: HashMap::new(), shingles: 0 })
    }

    /// The earliest leader that says the same as a text, if any of those that it is compared with does.
    pub(crate) fn find(&mut self, fingerprint: &Fingerprint) -> Result<Option<Leader>, BatchError> {
        let signature = RecordSignature::of(fingerprint);
        if let Some(leader) = self.same_words(signature.words_hash)? {
            return Ok(Some(leader));
        }
        let candidates = self.candidates(&signature)?;
        self.first_copied(fingerprint, &candidates)
    }

    /// As [`Leaders::find`], for a stored record, whose fingerprint is made only where it meets a leader.
    fn find_stored(
        &mut self,
        record: &StoredRecord,
        signature: &RecordSignature,
    ) -> Result<Option<Leader>, BatchError> {
        if let Some(leader) = self.same_words(signature.words_hash)? {
            return Ok(Some(leader));
        }
        let candidates = self.candidates(signature)?;
        if candidates.is_empty() {
            return Ok(None);
        }
        let fingerprint = self.fingerprint(record)?.clone();
        self.first_copied(&fingerprint, &candidates)
    }

    /// Clusters are numbered in the order of priority: the first hit is the earliest.
    fn first_copied(
        &mut self,
        fingerprint: &Fingerprint,
        candidates: &[(StoredRecord, u64)],
    ) -> Result<Option<Leader>, BatchError> {
        for (record, cluster) in candidates {
            let similarity_per_mille = self.fingerprint(record)?.similarity_per_mille(fingerprint);
            if similarity_per_mille >= self.similarity_per_mille {
                return Ok(Some(Leader { hash: record.hash, cluster: *cluster, similarity_per_mille }));
            }
        }
        Ok(None)
    }

    fn same_words(&self, words_hash: B256) -> Result<Option<Leader>, BatchError> {
        let sql = "SELECT hash, cluster FROM datanet_records WHERE datanet = ?1 AND words_hash = ?2 AND leads = 1";
        Ok(self.tx.query_opt(sql, params![self.datanet, words_hash.as_slice()], |row| {
            let cluster = row.number("cluster")?;
            Ok::<_, StoreError>(Leader { hash: RecordHash(row.hash("hash")?), cluster, similarity_per_mille: 1_000 })
        })?)
    }

    /// The leaders to compare with: those that share most bands, of them the earliest; in the order of their clusters.
    fn candidates(&self, signature: &RecordSignature) -> Result<Vec<(StoredRecord, u64)>, BatchError> {
        let sql = format!(
            "SELECT {}, r.cluster FROM datanet_bands k JOIN datanet_records r ON r.id = k.record
             JOIN datanet_batches b ON b.commitment = r.batch
             WHERE k.datanet = ?1 AND k.key IN (SELECT value FROM json_each(?2))
             GROUP BY r.id ORDER BY count(*) DESC, r.cluster LIMIT {COMPARISONS_MAX}",
            StoredRecord::COLUMNS
        );
        let keys = json_keys(&signature.band_keys);
        let mut found = self.tx.query_all(&sql, params![self.datanet, keys], |row| {
            Ok::<_, StoreError>((StoredRecord::read(row)?, row.number("cluster")?))
        })?;
        found.sort_unstable_by_key(|&(_, cluster)| cluster);
        Ok(found)
    }

    fn fingerprint(&mut self, record: &StoredRecord) -> Result<&Fingerprint, BatchError> {
        if !self.fingerprints.contains_key(&record.id) {
            let fingerprint = Fingerprint::of(&record.record(self.blobs)?.full_text());
            self.shingles += fingerprint.shingle_count();
            if self.shingles > FINGERPRINT_CACHE_SHINGLES_MAX {
                self.fingerprints.clear();
                self.shingles = fingerprint.shingle_count();
            }
            self.fingerprints.insert(record.id, fingerprint);
        }
        Ok(&self.fingerprints[&record.id])
    }
}

/// SQLite's integers are signed.
fn json_keys(keys: &[u64]) -> String {
    let keys: Vec<String> = keys.iter().map(|key| (*key as i64).to_string()).collect();
    format!("[{}]", keys.join(","))
}

struct Decisions<'a> {
    tx: &'a Tx<'a>,
    leaders: Leaders<'a>,
    signatures: Signatures,
}

impl<'a> Decisions<'a> {
    fn new(tx: &'a Tx<'a>, blobs: &'a Blobs, datanet: DatanetId, signatures: Signatures) -> Result<Self, BatchError> {
        Ok(Self { tx, leaders: Leaders::new(tx, blobs, datanet)?, signatures })
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
        let signature = match self.signatures.get(&record.id) {
            Some(signature) => *signature,
            None => RecordSignature::of(self.leaders.fingerprint(record)?),
        };
        match self.leaders.find_stored(record, &signature)? {
            Some(leader) => self.join(record, &signature, leader),
            None => self.lead(record, &signature),
        }
    }

    fn join(&self, record: &StoredRecord, signature: &RecordSignature, leader: Leader) -> Result<(), BatchError> {
        let sql =
            "UPDATE datanet_records SET words_hash = ?2, cluster = ?3, duplicate_of = ?4, similarity_per_mille = ?5,
            status = CASE WHEN revoked_at IS NULL THEN ?6 ELSE ?7 END WHERE id = ?1";
        self.tx.execute(
            sql,
            params![
                record.id,
                signature.words_hash.as_slice(),
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
    fn lead(&self, record: &StoredRecord, signature: &RecordSignature) -> Result<(), BatchError> {
        let sql = "SELECT max(cluster) FROM datanet_records WHERE datanet = ?1";
        let cluster = self.tx.count(sql, [self.leaders.datanet])? + 1;
        let sql = "UPDATE datanet_records SET words_hash = ?2, cluster = ?3, leads = 1,
            status = CASE WHEN revoked_at IS NULL THEN ?4 ELSE ?5 END WHERE id = ?1";
        self.tx.execute(
            sql,
            params![
                record.id,
                signature.words_hash.as_slice(),
                number_value("cluster", cluster)?,
                RecordStatus::Accepted.code(),
                RecordStatus::Revoked.code()
            ],
        )?;
        self.enter_bands(record, signature)
    }

    /// Leaders enter in the order of priority, so that those for whom a key has room are the earliest.
    fn enter_bands(&self, record: &StoredRecord, signature: &RecordSignature) -> Result<(), BatchError> {
        let sql = format!(
            "INSERT OR IGNORE INTO datanet_bands (datanet, key, record) SELECT ?1, j.value, ?2 FROM json_each(?3) j
             WHERE (SELECT count(*) FROM datanet_bands k WHERE k.datanet = ?1 AND k.key = j.value) < {BAND_LEADERS_MAX}"
        );
        self.tx.execute(&sql, params![self.leaders.datanet, record.id, json_keys(&signature.band_keys)])?;
        Ok(())
    }
}
