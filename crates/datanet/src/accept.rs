//! Which revealed records are accepted: of each cluster of near-duplicates, the one committed first.
//!
//! The outcome depends on the accepted batches and their priorities alone, not on the order in which they were revealed:
//! when a batch of earlier priority comes late, the decisions on all later ones are taken again.

use std::collections::HashMap;

use openledger_primitives::{Address, B256, DatanetId, RecordHash};
use openledger_store::{BlobError, Blobs, ReadTx, RowExt, Store, StoreError, Tx, number_value, params};
use serde::{Deserialize, Serialize};

use crate::dedup::{FINGERPRINT_VERSION, Fingerprint};
use crate::leaders::{Leader, Leaders, RecordSignature, StoredRecord, json_keys};
use crate::limits::BAND_LEADERS_MAX;
use crate::record::RecordError;
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
    decisions.renew_fingerprints()?;
    for record in decisions.reopen(batch.priority)? {
        decisions.decide(&record)?;
    }
    report(tx, commitment)
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

struct Decisions<'a> {
    tx: &'a Tx<'a>,
    leaders: Leaders<'a>,
    signatures: Signatures,
}

impl<'a> Decisions<'a> {
    fn new(tx: &'a Tx<'a>, blobs: &'a Blobs, datanet: DatanetId, signatures: Signatures) -> Result<Self, BatchError> {
        Ok(Self { tx, leaders: Leaders::new(tx, blobs, datanet)?, signatures })
    }

    /// Makes the fingerprints of an older version again. What was decided by them stays.
    fn renew_fingerprints(&mut self) -> Result<(), BatchError> {
        let datanet = self.leaders.datanet;
        let sql = "SELECT count(*) FROM datanet_nets WHERE id = ?1 AND fingerprint_version = ?2";
        if self.tx.count(sql, params![datanet, FINGERPRINT_VERSION])? > 0 {
            return Ok(());
        }
        self.tx.execute("DELETE FROM datanet_bands WHERE datanet = ?1", [datanet])?;
        let sql = format!(
            "SELECT {} FROM datanet_records r JOIN datanet_batches b ON b.commitment = r.batch
             WHERE r.datanet = ?1 AND r.leads = 1 ORDER BY r.cluster",
            StoredRecord::COLUMNS
        );
        for leader in self.tx.query_all(&sql, [datanet], StoredRecord::read)? {
            let signature = RecordSignature::of(self.leaders.fingerprint(&leader)?);
            let sql = "UPDATE datanet_records SET words_hash = ?2 WHERE id = ?1";
            self.tx.execute(sql, params![leader.id, signature.words_hash.as_slice()])?;
            self.enter_bands(&leader, &signature)?;
        }
        let sql = "UPDATE datanet_nets SET fingerprint_version = ?2 WHERE id = ?1";
        self.tx.execute(sql, params![datanet, FINGERPRINT_VERSION])?;
        Ok(())
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
