//! The records an index speaks about: who gave each, and which are copies of one another.

use std::collections::HashMap;

use openledger_primitives::{Address, B256, keccak256};

use crate::codec::{DecodeError, Reader, Writer};

/// Most records one index may hold.
pub const RECORDS_MAX: usize = 1 << 26;

/// Bytes of one record in the packed encoding.
const RECORD_BYTES: usize = 4 + 8 + 20 + 8;

/// One training record: where it stands in which snapshot, whose it is, and its near-duplicate cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordMeta {
    /// Position of the snapshot in the model manifest's list.
    pub snapshot: u32,
    /// Index of the record within that snapshot.
    pub index: u64,
    /// The account that contributed it.
    pub contributor: Address,
    /// Near-duplicate cluster within that snapshot.
    pub cluster: u64,
}

/// Why a record table cannot be made.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordTableError {
    /// More records than an index may hold.
    #[error("{count} records; an index holds at most {max}")]
    TooMany {
        /// How many were given.
        count: usize,
        /// The limit, [`RECORDS_MAX`].
        max: usize,
    },
}

/// The training records in training order; every "record" number elsewhere is a position in this table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordTable {
    records: Vec<RecordMeta>,
    heads: Vec<u32>,
}

impl RecordTable {
    /// Takes the records in training order and notes the earliest member of each cluster.
    ///
    /// # Errors
    /// [`RecordTableError::TooMany`] above [`RECORDS_MAX`].
    pub fn new(records: Vec<RecordMeta>) -> Result<Self, RecordTableError> {
        if records.len() > RECORDS_MAX {
            return Err(RecordTableError::TooMany { count: records.len(), max: RECORDS_MAX });
        }
        let mut first = HashMap::with_capacity(records.len());
        let heads = (0u32..)
            .zip(&records)
            .map(|(at, record)| *first.entry((record.snapshot, record.cluster)).or_insert(at))
            .collect();
        Ok(Self { records, heads })
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The records in order.
    pub fn as_slice(&self) -> &[RecordMeta] {
        &self.records
    }

    /// The record at this position.
    pub fn get(&self, record: u32) -> Option<&RecordMeta> {
        self.records.get(record as usize)
    }

    /// The earliest member of the record's cluster: the one that trains and earns.
    pub fn head(&self, record: u32) -> Option<u32> {
        self.heads.get(record as usize).copied()
    }

    /// Whether the record is the earliest of its cluster.
    pub fn is_head(&self, record: u32) -> bool {
        self.head(record) == Some(record)
    }

    /// Hash over the packed table.
    pub fn hash(&self) -> B256 {
        let mut out = Writer::default();
        self.write(&mut out);
        keccak256(out.as_slice())
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        out.u32(self.records.len() as u32);
        for record in &self.records {
            out.u32(record.snapshot);
            out.u64(record.index);
            out.bytes(record.contributor.as_slice());
            out.u64(record.cluster);
        }
    }

    pub(crate) fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = input.count("records", RECORDS_MAX, RECORD_BYTES)?;
        let mut records = Vec::with_capacity(count);
        for _ in 0..count {
            records.push(RecordMeta {
                snapshot: input.u32("record snapshot")?,
                index: input.u64("record index")?,
                contributor: Address::from(input.array("record contributor")?),
                cluster: input.u64("record cluster")?,
            });
        }
        Self::new(records).map_err(|_| input.too_large("records", count as u64, RECORDS_MAX as u64))
    }
}
