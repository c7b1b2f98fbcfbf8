//! Batches: salted records under one root, a commitment that hides them, and the contributor's consent.

use alloy_primitives::{Address, B256, Signature};
use alloy_sol_types::SolStruct;
use openledger_contracts::eip712::{self, Consent};
use openledger_primitives::merkle::{MerkleProof, MerkleTree};
use openledger_primitives::{DatanetId, RecordHash, keccak256};
use rand::TryRngCore;
use rand::rngs::OsRng;

use crate::record::{Record, RecordError, record_hash};

/// Most records of one batch.
pub const BATCH_RECORDS_MAX: usize = 100_000;
/// First byte of a batch body.
pub const BATCH_BODY_VERSION: u8 = 1;
const LENGTH_BYTES: usize = 4;

/// Where batches are committed: the chain and the Datanet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchContext {
    /// Chain of the registry.
    pub chain_id: u64,
    /// The Datanet.
    pub datanet: DatanetId,
    /// The Datanet's licence.
    pub licence_hash: B256,
}

/// A record with the salt that its hash was made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaltedRecord {
    /// 32 secret bytes; without them the hash says nothing about the record.
    pub salt: B256,
    /// Canonical bytes.
    pub canonical: Vec<u8>,
}

impl SaltedRecord {
    /// The record's hash.
    #[must_use]
    pub fn hash(&self) -> RecordHash {
        record_hash(self.salt, &self.canonical)
    }
}

/// Why no batch could be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrepareBatchError {
    /// Nothing to commit.
    #[error("the batch has no records")]
    Empty,
    /// Too many records.
    #[error("the batch has {records} records; the limit is {BATCH_RECORDS_MAX}")]
    TooManyRecords {
        /// Records given.
        records: usize,
    },
    /// The system gives no random bytes for salts.
    #[error("no random bytes for salts")]
    Random(#[source] rand::rand_core::OsError),
}

/// A batch ready to be committed, consented to and revealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreparedBatch {
    context: BatchContext,
    contributor: Address,
    records: Vec<SaltedRecord>,
    root: B256,
    salt: B256,
}

impl PreparedBatch {
    /// Salts `records` and commits to them in their order.
    ///
    /// # Errors
    /// [`PrepareBatchError`] for no records, too many, or a system without randomness.
    pub fn new(context: BatchContext, contributor: Address, records: &[Record]) -> Result<Self, PrepareBatchError> {
        let mut seed = B256::ZERO;
        OsRng.try_fill_bytes(seed.as_mut_slice()).map_err(PrepareBatchError::Random)?;
        Self::from_seed(context, contributor, records, seed)
    }

    /// As [`PreparedBatch::new`] with salts derived from `seed`, which must be secret and used once: the same call gives
    /// the same batch.
    ///
    /// # Errors
    /// [`PrepareBatchError`] for no records or too many.
    pub fn from_seed(
        context: BatchContext,
        contributor: Address,
        records: &[Record],
        seed: B256,
    ) -> Result<Self, PrepareBatchError> {
        check_count(records.len())?;
        let salted = records.iter().zip(0u64..).map(|(record, position)| SaltedRecord {
            salt: derive(seed, "record", position),
            canonical: record.canonical_bytes(),
        });
        Ok(Self::assemble(context, contributor, salted.collect(), derive(seed, "commitment", 0)))
    }

    /// The batch of a stored body and commitment salt.
    pub(crate) fn assemble(
        context: BatchContext,
        contributor: Address,
        records: Vec<SaltedRecord>,
        salt: B256,
    ) -> Self {
        let root = batch_tree(records.iter().map(SaltedRecord::hash)).root();
        Self { context, contributor, records, root, salt }
    }

    /// Where it is committed.
    #[must_use]
    pub fn context(&self) -> BatchContext {
        self.context
    }

    /// Who contributes it.
    #[must_use]
    pub fn contributor(&self) -> Address {
        self.contributor
    }

    /// The records in order.
    #[must_use]
    pub fn records(&self) -> &[SaltedRecord] {
        &self.records
    }

    /// Number of records.
    #[must_use]
    pub fn record_count(&self) -> u32 {
        u32::try_from(self.records.len()).expect("at most BATCH_RECORDS_MAX")
    }

    /// Merkle root over the record hashes.
    #[must_use]
    pub fn root(&self) -> B256 {
        self.root
    }

    /// The commitment's salt, shown at the reveal.
    #[must_use]
    pub fn salt(&self) -> B256 {
        self.salt
    }

    /// What is put on chain first.
    #[must_use]
    pub fn commitment(&self) -> B256 {
        let BatchContext { chain_id, datanet, .. } = self.context;
        eip712::commitment(chain_id, datanet.0, self.contributor, self.root, self.record_count(), self.salt)
    }

    /// What the contributor signs, readable field by field in a wallet.
    #[must_use]
    pub fn consent(&self) -> Consent {
        Consent {
            datanetId: self.context.datanet.0,
            licenceHash: self.context.licence_hash,
            batchRoot: self.root,
            recordCount: self.record_count(),
            contributor: self.contributor,
        }
    }

    /// The digest of [`PreparedBatch::consent`].
    #[must_use]
    pub fn consent_digest(&self) -> B256 {
        self.consent().eip712_signing_hash(&eip712::datanet_domain(self.context.chain_id))
    }

    /// Proof that the record at `index` is in the batch, as a revocation on chain needs it.
    #[must_use]
    pub fn prove(&self, index: u64) -> Option<MerkleProof> {
        batch_tree(self.records.iter().map(SaltedRecord::hash)).prove(index)
    }

    /// The batch's content as a blob: version, count, then salt, length and canonical bytes of each record.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        let mut body = vec![BATCH_BODY_VERSION];
        body.extend_from_slice(&self.record_count().to_be_bytes());
        for record in &self.records {
            let length = u32::try_from(record.canonical.len()).expect("records have at most 64 KiB");
            body.extend_from_slice(record.salt.as_slice());
            body.extend_from_slice(&length.to_be_bytes());
            body.extend_from_slice(&record.canonical);
        }
        body
    }
}

fn check_count(records: usize) -> Result<(), PrepareBatchError> {
    match records {
        0 => Err(PrepareBatchError::Empty),
        _ if records > BATCH_RECORDS_MAX => Err(PrepareBatchError::TooManyRecords { records }),
        _ => Ok(()),
    }
}

fn derive(seed: B256, purpose: &str, position: u64) -> B256 {
    keccak256([seed.as_slice(), purpose.as_bytes(), &position.to_be_bytes()].concat())
}

fn batch_tree(hashes: impl Iterator<Item = RecordHash>) -> MerkleTree {
    MerkleTree::from_leaves(hashes.map(|hash| hash.0))
}

/// Offsets of the records' canonical bytes in a body, in order: position of the first byte and length.
pub(crate) fn body_layout(records: &[SaltedRecord]) -> Vec<(u64, u32)> {
    let mut at = (1 + LENGTH_BYTES) as u64;
    let mut layout = Vec::with_capacity(records.len());
    for record in records {
        let length = u32::try_from(record.canonical.len()).expect("records have at most 64 KiB");
        at += (B256::len_bytes() + LENGTH_BYTES) as u64;
        layout.push((at, length));
        at += u64::from(length);
    }
    layout
}

/// Why bytes are no batch body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeBatchError {
    /// Of another version.
    #[error("batch body has version {found}; known is {BATCH_BODY_VERSION}")]
    Version {
        /// First byte, or 0 for no bytes.
        found: u8,
    },
    /// Ends too early.
    #[error("batch body ends inside record {index}")]
    CutShort {
        /// The record, from 0.
        index: u64,
    },
    /// Continues after its end.
    #[error("batch body has {bytes} bytes after its end")]
    Trailing {
        /// How many.
        bytes: usize,
    },
    /// Too many records.
    #[error("batch body claims {records} records; the limit is {BATCH_RECORDS_MAX}")]
    TooManyRecords {
        /// The claim.
        records: u32,
    },
    /// A record is not canonical.
    #[error("record {index}")]
    Record {
        /// The record, from 0.
        index: u64,
        /// What is wrong.
        #[source]
        source: RecordError,
    },
}

/// Reads the records of a batch body.
///
/// # Errors
/// [`DecodeBatchError`] naming the record.
pub fn decode_body(body: &[u8]) -> Result<Vec<SaltedRecord>, DecodeBatchError> {
    let (&version, rest) = body.split_first().ok_or(DecodeBatchError::Version { found: 0 })?;
    if version != BATCH_BODY_VERSION {
        return Err(DecodeBatchError::Version { found: version });
    }
    let (count, mut rest) = rest.split_first_chunk().ok_or(DecodeBatchError::CutShort { index: 0 })?;
    let count = u32::from_be_bytes(*count);
    if count as usize > BATCH_RECORDS_MAX {
        return Err(DecodeBatchError::TooManyRecords { records: count });
    }
    let mut records = Vec::new();
    for index in 0..u64::from(count) {
        let (record, after) = split_record(rest).ok_or(DecodeBatchError::CutShort { index })?;
        Record::from_canonical(&record.canonical).map_err(|source| DecodeBatchError::Record { index, source })?;
        records.push(record);
        rest = after;
    }
    if rest.is_empty() { Ok(records) } else { Err(DecodeBatchError::Trailing { bytes: rest.len() }) }
}

fn split_record(bytes: &[u8]) -> Option<(SaltedRecord, &[u8])> {
    let (salt, rest) = bytes.split_first_chunk::<32>()?;
    let (length, rest) = rest.split_first_chunk::<LENGTH_BYTES>()?;
    let (canonical, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    Some((SaltedRecord { salt: B256::new(*salt), canonical: canonical.to_vec() }, rest))
}

/// Why a consent does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConsentError {
    /// Not 65 bytes ending in 27 or 28, or no point of the curve, or with a high s.
    #[error("the consent signature is malformed: expected 65 bytes, low s, v 27 or 28")]
    Malformed,
    /// Signed by another account.
    #[error("the consent was signed by {signer}, not by the contributor {contributor}")]
    WrongSigner {
        /// Who signed.
        signer: Address,
        /// Who should have.
        contributor: Address,
    },
}

/// Checks a 65-byte signature of `contributor` over a consent's digest, as strictly as the registry does: one consent has
/// one signature. Contract wallets are checked on chain alone ([`crate::Datanets::mark_revealed_on_chain`]).
///
/// # Errors
/// [`ConsentError`] for a malformed signature and for another signer.
pub fn verify_consent(digest: B256, contributor: Address, signature: &[u8]) -> Result<(), ConsentError> {
    if !matches!(signature.last(), Some(27 | 28)) {
        return Err(ConsentError::Malformed);
    }
    let signature = Signature::from_raw(signature).map_err(|_| ConsentError::Malformed)?;
    if signature.normalize_s().is_some() {
        return Err(ConsentError::Malformed);
    }
    let signer = signature.recover_address_from_prehash(&digest).map_err(|_| ConsentError::Malformed)?;
    if signer == contributor { Ok(()) } else { Err(ConsentError::WrongSigner { signer, contributor }) }
}
