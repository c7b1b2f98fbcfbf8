//! Datanets in the store: from an upload to a snapshot.

use std::path::Path;

use alloy_sol_types::{SolStruct, SolValue};
use openledger_contracts::{LicenceTerms, eip712};
use openledger_primitives::{Address, B256, BlobHash, DatanetId};
use openledger_store::{BlobError, Row, RowExt, Store, StoreError, Tx, number_value, params};
use serde::{Deserialize, Serialize};

use crate::accept::{AcceptReport, BatchError, accept_batch, signatures};
use crate::batch::{
    BatchContext, DecodeBatchError, PrepareBatchError, PreparedBatch, body_layout, decode_body, verify_consent,
};
use crate::clock::unix_now;
use crate::dedup::{FINGERPRINT_VERSION, Fingerprint, SIMILARITY_PER_MILLE};
use crate::ingest::{Format, IngestError, IngestReport, Ingested, Mapping, ingest_file};
use crate::leaders::Leaders;
use crate::limits::{NAME_BYTES_MAX, PAGE_ROWS_MAX};
use crate::record::Record;
use crate::state::{BatchState, RecordStatus};
use crate::upload::{NewUpload, Upload, UploadError, UploadLimits, Uploads};

/// A Datanet as the registry has it.
#[derive(Clone, Debug, PartialEq)]
pub struct DatanetInfo {
    /// Number, given by the registry.
    pub id: DatanetId,
    /// Owner on chain.
    pub owner: Address,
    /// Name.
    pub name: String,
    /// Licence terms, as on chain.
    pub terms: LicenceTerms,
    /// Similarity from which a record counts as a copy, in thousandths.
    pub similarity_per_mille: u16,
}

impl DatanetInfo {
    /// A Datanet with the default threshold for copies.
    #[must_use]
    pub fn new(id: DatanetId, owner: Address, name: impl Into<String>, terms: LicenceTerms) -> Self {
        Self { id, owner, name: name.into(), terms, similarity_per_mille: SIMILARITY_PER_MILLE }
    }

    /// Hash of the licence terms.
    #[must_use]
    pub fn licence_hash(&self) -> B256 {
        eip712::licence_hash(&self.terms)
    }
}

/// Why a Datanet cannot be made or shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatanetError {
    /// No such Datanet.
    #[error("there is no Datanet {datanet}")]
    Unknown {
        /// The Datanet asked for.
        datanet: DatanetId,
    },
    /// The number is taken by a Datanet with other terms, owner or name.
    #[error("Datanet {datanet} exists and differs")]
    Exists {
        /// The number.
        datanet: DatanetId,
    },
    /// A name too long or empty.
    #[error("a Datanet name has 1 to {NAME_BYTES_MAX} bytes, not {bytes}")]
    Name {
        /// Its length.
        bytes: usize,
    },
    /// A threshold above 1,000 thousandths, or so low that unrelated records count as copies.
    #[error("similarity threshold {per_mille} is not within 500 to 1000 thousandths")]
    Similarity {
        /// The threshold given.
        per_mille: u16,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a batch cannot be prepared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrepareError {
    /// The Datanet.
    #[error(transparent)]
    Datanet(#[from] DatanetError),
    /// The upload.
    #[error(transparent)]
    Upload(#[from] UploadError),
    /// The upload is not finished.
    #[error("upload {id} is not finished: {received_bytes} bytes are here")]
    Unfinished {
        /// The upload.
        id: B256,
        /// Bytes received.
        received_bytes: u64,
    },
    /// The file.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// The batch.
    #[error(transparent)]
    Batch(#[from] PrepareBatchError),
    /// No row became a record.
    #[error("none of the file's {} rows is usable", .0.rows)]
    NothingAccepted(IngestReport),
    /// Looking for duplicates.
    #[error(transparent)]
    Duplicates(#[from] BatchError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The blobs.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

/// A stored batch.
#[derive(Clone, Debug)]
pub struct StoredBatch {
    /// Its content.
    pub batch: PreparedBatch,
    /// How far it has come.
    pub state: BatchState,
    /// Its place in the order of commitments, once committed.
    pub priority: Option<u64>,
    /// The contributor's own signature, once revealed; none where a contract wallet consented on chain.
    pub consent: Option<Vec<u8>>,
}

/// A row of a preview that says what another record says already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LikelyDuplicate {
    /// Row in the file, from 1.
    pub row: u64,
    /// The earlier row of the same file, or `None` when the earlier record is in the Datanet.
    pub of_row: Option<u64>,
    /// Similarity in thousandths.
    pub similarity_per_mille: u16,
}

/// What a file would contribute, before anything is committed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Preview {
    /// The file's columns in its order; empty for formats without columns.
    pub columns: Vec<String>,
    /// The mapping used; none for formats without columns.
    pub mapping: Option<Mapping>,
    /// What becomes of each row.
    pub report: IngestReport,
    /// The first records.
    pub sample: Vec<Record>,
    /// Rows that would not be accepted because an earlier record says the same. Within the file, equal words are found;
    /// against the Datanet, near-duplicates too.
    pub duplicates: Vec<LikelyDuplicate>,
}

/// Datanets of one chain, kept in one store. Clones share it.
#[derive(Clone, Debug)]
pub struct Datanets {
    pub(crate) store: Store,
    chain_id: u64,
    uploads: Uploads,
}

impl Datanets {
    /// The Datanets in `store`, which was opened with [`DATANET_SCHEMA`](crate::DATANET_SCHEMA).
    #[must_use]
    pub fn new(store: Store, chain_id: u64) -> Self {
        Self { uploads: Uploads::new(store.clone(), UploadLimits::default()), store, chain_id }
    }

    /// The same, with limits on uploads other than the default ones.
    #[must_use]
    pub fn with_upload_limits(self, limits: UploadLimits) -> Self {
        Self { uploads: Uploads::new(self.store.clone(), limits), ..self }
    }

    /// Records a Datanet that the registry created. The same Datanet again changes nothing.
    ///
    /// # Errors
    /// [`DatanetError`] for a name or threshold out of bounds, and for a number that is taken.
    pub fn create(&self, info: &DatanetInfo) -> Result<(), DatanetError> {
        check_info(info)?;
        self.store.with_tx(|tx| insert_datanet(tx, info))?;
        if self.datanet(info.id)? == *info { Ok(()) } else { Err(DatanetError::Exists { datanet: info.id }) }
    }

    /// One Datanet.
    ///
    /// # Errors
    /// [`DatanetError::Unknown`].
    pub fn datanet(&self, datanet: DatanetId) -> Result<DatanetInfo, DatanetError> {
        let sql = "SELECT * FROM datanet_nets WHERE id = ?1";
        let found = self.store.read(|tx| tx.query_opt(sql, [number_value("Datanet", datanet.0)?], read_datanet))?;
        found.ok_or(DatanetError::Unknown { datanet })
    }

    /// Datanets by number, beginning after `after`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn datanets(&self, after: Option<DatanetId>, limit: u32) -> Result<Vec<DatanetInfo>, StoreError> {
        let after = number_value("Datanet", after.map_or(0, |id| id.0))?;
        let sql = "SELECT * FROM datanet_nets WHERE id > ?1 ORDER BY id LIMIT ?2";
        self.store.read(|tx| tx.query_all(sql, params![after, limit.min(PAGE_ROWS_MAX)], read_datanet))
    }

    /// Begins an upload, or says how far the same upload came before.
    ///
    /// # Errors
    /// [`UploadError`].
    pub fn begin_upload(&self, new: &NewUpload) -> Result<Upload, UploadError> {
        self.uploads.begin(new)
    }

    /// Adds the part that begins at byte `offset`; it is on disk when this returns.
    ///
    /// # Errors
    /// [`UploadError`]; what was acknowledged before stays.
    pub fn append_upload(&self, id: B256, offset: u64, part: &[u8]) -> Result<Upload, UploadError> {
        self.uploads.append(id, offset, part)
    }

    /// Ends an upload: checks size and hash.
    ///
    /// # Errors
    /// [`UploadError`].
    pub fn finish_upload(&self, id: B256) -> Result<Upload, UploadError> {
        self.uploads.finish(id)
    }

    /// How far an upload has come.
    ///
    /// # Errors
    /// [`UploadError::Unknown`].
    pub fn upload(&self, id: B256) -> Result<Upload, UploadError> {
        self.uploads.status(id)
    }

    /// Forgets an upload and its file.
    ///
    /// # Errors
    /// [`UploadError`].
    pub fn abandon_upload(&self, id: B256) -> Result<(), UploadError> {
        self.uploads.abandon(id)
    }

    /// What a finished upload would contribute: rejected rows with their reasons, likely duplicates, the first `sample`
    /// records.
    ///
    /// # Errors
    /// [`PrepareError`].
    pub fn preview(
        &self,
        upload: B256,
        format: Format,
        mapping: Option<&Mapping>,
        sample: usize,
    ) -> Result<Preview, PrepareError> {
        let (upload, path) = self.finished(upload)?;
        let Ingested { records, report, columns, mapping } = ingest_file(&path, format, mapping)?;
        let duplicates = self.likely_duplicates(upload.declared.datanet, &records)?;
        let sample = records.into_iter().take(sample).map(|ingested| ingested.record).collect();
        Ok(Preview { columns, mapping, report, sample, duplicates })
    }

    fn finished(&self, id: B256) -> Result<(Upload, std::path::PathBuf), PrepareError> {
        let upload = self.uploads.status(id)?;
        if !upload.finished {
            return Err(PrepareError::Unfinished { id, received_bytes: upload.received_bytes });
        }
        Ok((upload, self.uploads.path_of(id)))
    }

    fn likely_duplicates(
        &self,
        datanet: DatanetId,
        records: &[crate::ingest::IngestedRecord],
    ) -> Result<Vec<LikelyDuplicate>, PrepareError> {
        self.store.read(|tx| {
            let mut leaders = Leaders::new(tx, self.store.blobs(), datanet)?;
            let mut first_rows = std::collections::HashMap::new();
            let mut found = Vec::new();
            for ingested in records {
                let fingerprint = Fingerprint::of(&ingested.record.full_text());
                let of_row = first_rows.get(&fingerprint.words_hash).copied();
                first_rows.entry(fingerprint.words_hash).or_insert(ingested.row);
                let leader = leaders.find(&fingerprint)?;
                let similarity = leader.map(|leader| leader.similarity_per_mille).or(of_row.map(|_| 1_000));
                found.extend(similarity.map(|similarity_per_mille| LikelyDuplicate {
                    row: ingested.row,
                    of_row: of_row.filter(|_| leader.is_none()),
                    similarity_per_mille,
                }));
            }
            Ok(found)
        })
    }

    /// Makes a batch of a finished upload's records and stores it as prepared. The report says which rows were left out. The
    /// upload is not kept for long after that.
    ///
    /// # Errors
    /// [`PrepareError`]; nothing is stored then.
    pub fn prepare_upload(
        &self,
        upload: B256,
        format: Format,
        mapping: Option<&Mapping>,
    ) -> Result<(PreparedBatch, IngestReport), PrepareError> {
        let (upload, path) = self.finished(upload)?;
        let NewUpload { datanet, contributor, .. } = upload.declared;
        let prepared = self.prepare_file(datanet, contributor, &path, format, mapping)?;
        self.uploads.prepared(upload.id)?;
        Ok(prepared)
    }

    /// As [`Datanets::prepare_upload`], from a file of this machine.
    ///
    /// # Errors
    /// [`PrepareError`]; nothing is stored then.
    pub fn prepare_file(
        &self,
        datanet: DatanetId,
        contributor: Address,
        path: &Path,
        format: Format,
        mapping: Option<&Mapping>,
    ) -> Result<(PreparedBatch, IngestReport), PrepareError> {
        let Ingested { records, report, .. } = ingest_file(path, format, mapping)?;
        if records.is_empty() {
            return Err(PrepareError::NothingAccepted(report));
        }
        let records: Vec<Record> = records.into_iter().map(|ingested| ingested.record).collect();
        Ok((self.prepare(datanet, contributor, &records)?, report))
    }

    /// Makes a batch of records and stores it as prepared.
    ///
    /// # Errors
    /// [`PrepareError`]; nothing is stored then.
    pub fn prepare(
        &self,
        datanet: DatanetId,
        contributor: Address,
        records: &[Record],
    ) -> Result<PreparedBatch, PrepareError> {
        let batch = PreparedBatch::new(self.context(datanet)?, contributor, records)?;
        self.store_batch(&batch)?;
        Ok(batch)
    }

    /// Where batches for a Datanet are committed.
    ///
    /// # Errors
    /// [`DatanetError::Unknown`].
    pub fn context(&self, datanet: DatanetId) -> Result<BatchContext, DatanetError> {
        let licence_hash = self.datanet(datanet)?.licence_hash();
        Ok(BatchContext { chain_id: self.chain_id, datanet, licence_hash })
    }

    /// Stores a batch made elsewhere as prepared. The same batch again changes nothing.
    ///
    /// # Errors
    /// [`PrepareError`]; nothing is stored then.
    pub fn store_batch(&self, batch: &PreparedBatch) -> Result<(), PrepareError> {
        let body = self.store.blobs().put(&batch.body())?;
        Ok(self.store.with_tx(|tx| insert_batch(tx, batch, body))?)
    }

    /// A stored batch with its content.
    ///
    /// # Errors
    /// [`LoadBatchError`].
    pub fn batch(&self, commitment: B256) -> Result<StoredBatch, LoadBatchError> {
        let sql = "SELECT * FROM datanet_batches WHERE commitment = ?1";
        let row = self.store.read(|tx| tx.query_opt(sql, [commitment.as_slice()], BatchRow::read))?;
        let row = row.ok_or(LoadBatchError::Unknown { commitment })?;
        let context = self.context(row.datanet)?;
        let body = self.store.blobs().get(row.body)?.ok_or(LoadBatchError::MissingBody { body: row.body })?;
        let batch = PreparedBatch::assemble(context, row.contributor, decode_body(&body)?, row.salt);
        Ok(StoredBatch { batch, state: row.state, priority: row.priority, consent: row.consent })
    }

    /// The commitment is on chain with this priority. The same again changes nothing.
    ///
    /// # Errors
    /// [`BatchError`].
    pub fn mark_committed(&self, commitment: B256, priority: u64) -> Result<(), BatchError> {
        self.store.with_tx(|tx| {
            let row = batch_row(tx, commitment)?;
            match (row.state, row.priority) {
                (_, Some(known)) if known == priority => return Ok(()),
                (_, Some(known)) => {
                    return Err(BatchError::OtherPriority { commitment, priority: known, given: priority });
                }
                (BatchState::Prepared, None) => {}
                (state, None) => {
                    return Err(BatchError::WrongState { commitment, state, wanted: BatchState::Prepared });
                }
            }
            let sql = "UPDATE datanet_batches SET state = ?2, priority = ?3 WHERE commitment = ?1";
            let priority = number_value("priority", priority)?;
            tx.execute(sql, params![commitment.as_slice(), BatchState::Committed.code(), priority])?;
            Ok(())
        })
    }

    /// The contributor consents with this signature, which is checked here: for callers that have not asked the registry
    /// whether the batch is revealed. Revealing twice changes nothing.
    ///
    /// # Errors
    /// [`BatchError`].
    pub fn mark_revealed(&self, commitment: B256, consent: &[u8]) -> Result<(), BatchError> {
        self.reveal(commitment, |digest, contributor| {
            verify_consent(digest, contributor, consent)?;
            Ok(Some(consent))
        })
    }

    /// The registry says that the batch is revealed, and with that, that its contributor consents: it has checked what they
    /// signed, and alone can ask a contract wallet (EIP-1271). `consent` is kept where it is an account's own signature; what
    /// a wallet signed stands on chain. Revealing twice changes nothing.
    ///
    /// # Errors
    /// [`BatchError`].
    pub fn mark_revealed_on_chain(&self, commitment: B256, consent: &[u8]) -> Result<(), BatchError> {
        self.reveal(commitment, |digest, contributor| {
            Ok(verify_consent(digest, contributor, consent).is_ok().then_some(consent))
        })
    }

    /// `check` gives the consent to keep of a digest and its contributor.
    fn reveal<'c>(
        &self,
        commitment: B256,
        check: impl FnOnce(B256, Address) -> Result<Option<&'c [u8]>, BatchError>,
    ) -> Result<(), BatchError> {
        self.store.with_tx(|tx| {
            let row = batch_row(tx, commitment)?;
            match row.state {
                BatchState::Committed => {}
                BatchState::Revealed | BatchState::Accepted => return Ok(()),
                state => return Err(BatchError::WrongState { commitment, state, wanted: BatchState::Committed }),
            }
            let consent = check(self.digest(tx, &row)?, row.contributor)?;
            let sql = "UPDATE datanet_batches SET state = ?2, consent = ?3 WHERE commitment = ?1";
            tx.execute(sql, params![commitment.as_slice(), BatchState::Revealed.code(), consent])?;
            Ok(())
        })
    }

    fn digest(&self, tx: &Tx<'_>, row: &BatchRow) -> Result<B256, BatchError> {
        let sql = "SELECT licence_hash FROM datanet_nets WHERE id = ?1";
        let datanet = number_value("Datanet", row.datanet.0)?;
        let licence = tx.query_opt(sql, [datanet], |row| row.hash("licence_hash"))?;
        let consent = eip712::Consent {
            datanetId: row.datanet.0,
            licenceHash: licence.unwrap_or_default(),
            batchRoot: row.root,
            recordCount: row.record_count,
            contributor: row.contributor,
        };
        Ok(consent.eip712_signing_hash(&eip712::datanet_domain(self.chain_id)))
    }

    /// Accepts a revealed batch: decides on each of its records and, where its priority is not the latest, again on those of the
    /// batches behind it. Accepting twice changes nothing.
    ///
    /// # Errors
    /// [`BatchError`]; nothing changes then.
    pub fn accept(&self, commitment: B256) -> Result<AcceptReport, BatchError> {
        // Before the transaction, so that other writers do not wait for it.
        let signatures = signatures(&self.store, commitment)?;
        self.store.with_tx(|tx| accept_batch(tx, self.store.blobs(), commitment, signatures))
    }
}

/// Why a stored batch cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadBatchError {
    /// No such batch.
    #[error("no batch has commitment {commitment}")]
    Unknown {
        /// The commitment asked for.
        commitment: B256,
    },
    /// Its content is gone.
    #[error("the content of the batch, blob {body}, is missing")]
    MissingBody {
        /// The blob.
        body: BlobHash,
    },
    /// Its content is malformed.
    #[error("the batch's content")]
    Body(#[from] DecodeBatchError),
    /// Its Datanet.
    #[error(transparent)]
    Datanet(#[from] DatanetError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The blobs.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

/// Below this, unrelated records count as copies.
const SIMILARITY_PER_MILLE_MIN: u16 = 500;

fn check_info(info: &DatanetInfo) -> Result<(), DatanetError> {
    if info.name.is_empty() || info.name.len() > NAME_BYTES_MAX {
        return Err(DatanetError::Name { bytes: info.name.len() });
    }
    if !(SIMILARITY_PER_MILLE_MIN..=1_000).contains(&info.similarity_per_mille) {
        return Err(DatanetError::Similarity { per_mille: info.similarity_per_mille });
    }
    Ok(())
}

fn insert_datanet(tx: &Tx<'_>, info: &DatanetInfo) -> Result<usize, StoreError> {
    tx.execute(
        "INSERT OR IGNORE INTO datanet_nets VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            number_value("Datanet", info.id.0)?,
            info.owner.as_slice(),
            info.name,
            info.terms.abi_encode(),
            info.licence_hash().as_slice(),
            info.similarity_per_mille,
            unix_now(),
            FINGERPRINT_VERSION
        ],
    )
}

pub(crate) fn read_datanet(row: &Row<'_>) -> Result<DatanetInfo, StoreError> {
    let terms: Vec<u8> = row.column("terms")?;
    let malformed = |_| StoreError::Malformed { column: "terms".to_owned(), kind: "licence terms" };
    Ok(DatanetInfo {
        id: DatanetId(row.number("id")?),
        owner: row.address("owner")?,
        name: row.column("name")?,
        terms: LicenceTerms::abi_decode(&terms).map_err(malformed)?,
        similarity_per_mille: row.column("similarity_per_mille")?,
    })
}

fn insert_batch(tx: &Tx<'_>, batch: &PreparedBatch, body: BlobHash) -> Result<(), StoreError> {
    let datanet = number_value("Datanet", batch.context().datanet.0)?;
    let commitment = batch.commitment();
    let inserted = tx.execute(
        "INSERT OR IGNORE INTO datanet_batches VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, NULL, NULL, ?9)",
        params![
            commitment.as_slice(),
            datanet,
            batch.contributor().as_slice(),
            batch.root().as_slice(),
            batch.record_count(),
            batch.salt().as_slice(),
            body.0.as_slice(),
            BatchState::Prepared.code(),
            unix_now()
        ],
    )?;
    if inserted == 0 {
        return Ok(());
    }
    for (position, (record, (offset, length))) in batch.records().iter().zip(body_layout(batch.records())).enumerate() {
        tx.execute(
            "INSERT INTO datanet_records (hash, datanet, batch, position, contributor, salt, body_offset, body_length, status)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                record.hash().0.as_slice(),
                datanet,
                commitment.as_slice(),
                number_value("position", position as u64)?,
                batch.contributor().as_slice(),
                record.salt.as_slice(),
                number_value("offset", offset)?,
                length,
                RecordStatus::Pending.code()
            ],
        )?;
    }
    Ok(())
}

struct BatchRow {
    datanet: DatanetId,
    contributor: Address,
    root: B256,
    record_count: u32,
    salt: B256,
    body: BlobHash,
    state: BatchState,
    priority: Option<u64>,
    consent: Option<Vec<u8>>,
}

impl BatchRow {
    fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            datanet: DatanetId(row.number("datanet")?),
            contributor: row.address("contributor")?,
            root: row.hash("root")?,
            record_count: row.column("record_count")?,
            salt: row.hash("salt")?,
            body: BlobHash(row.hash("body")?),
            state: BatchState::read(row)?,
            priority: row.column::<Option<i64>>("priority")?.map(i64::unsigned_abs),
            consent: row.column("consent")?,
        })
    }
}

fn batch_row(tx: &Tx<'_>, commitment: B256) -> Result<BatchRow, BatchError> {
    let sql = "SELECT * FROM datanet_batches WHERE commitment = ?1";
    tx.query_opt(sql, [commitment.as_slice()], BatchRow::read)?.ok_or(BatchError::Unknown { commitment })
}
