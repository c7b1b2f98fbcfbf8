//! Which earlier record, if any, a record copies.
//!
//! What a decision may cost is limited, because the store's one writer waits for it: a band's key leads to the earliest
//! `BAND_LEADERS_MAX` leaders that have it, and of all that share a band with a record the [`COMPARISONS_MAX`] that share most are
//! compared with it. Of 32 bands a copy of similarity 0.7 shares 8, two texts from one template (0.5) share 2, and the
//! bands that thousands of such texts crowd are those of the template alone: a copy is still met in the bands of its own words.
//! Records with the very same words are found whatever the limits.

use std::collections::HashMap;

use openledger_primitives::{B256, BlobHash, DatanetId, RecordHash};
use openledger_store::{Blobs, ReadTx, Row, RowExt, StoreError, number_value, params};

use crate::accept::BatchError;
use crate::dedup::{BANDS, Fingerprint};
use crate::limits::{COMPARISONS_MAX, FINGERPRINT_CACHE_SHINGLES_MAX};
use crate::record::{Record, record_hash};

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
    pub(crate) datanet: i64,
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
    pub(crate) fn find_stored(
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
        let sql = "SELECT hash, cluster FROM datanet_records WHERE datanet = ?1 AND words_hash = ?2 AND leads = 1
            ORDER BY cluster LIMIT 1";
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

    pub(crate) fn fingerprint(&mut self, record: &StoredRecord) -> Result<&Fingerprint, BatchError> {
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
pub(crate) fn json_keys(keys: &[u64]) -> String {
    let keys: Vec<String> = keys.iter().map(|key| (*key as i64).to_string()).collect();
    format!("[{}]", keys.join(","))
}

/// What decides which leaders a record meets: the hash of its words and the keys of its bands.
#[derive(Clone, Copy)]
pub(crate) struct RecordSignature {
    pub(crate) words_hash: B256,
    pub(crate) band_keys: [u64; BANDS],
}

impl RecordSignature {
    pub(crate) fn of(fingerprint: &Fingerprint) -> Self {
        Self { words_hash: fingerprint.words_hash, band_keys: fingerprint.band_keys() }
    }
}
