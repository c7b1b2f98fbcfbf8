//! The index in memory: integer rows, and scores against a query.

use openledger_primitives::merkle::{MerkleTree, leaf_hash};
use openledger_primitives::{B256, canonical_json, keccak256};

use super::policy::{InfluencePolicy, PolicyError};
use super::precondition::Transform;
use super::quantise;
use super::sketch::{CheckpointSketch, SiteShape, Sketcher};
use crate::codec::Writer;
use crate::record::RecordTable;

/// Version byte of the commitment, the row leaves and the file.
pub(crate) const INFLUENCE_VERSION: u8 = 1;

/// Everything but what is derived.
pub(crate) struct Parts {
    pub(crate) policy: InfluencePolicy,
    pub(crate) rank: u32,
    pub(crate) sites: Vec<SiteShape>,
    pub(crate) adapters: Vec<B256>,
    pub(crate) records: RecordTable,
    pub(crate) transforms: Vec<Transform>,
    pub(crate) rows: Vec<i8>,
    pub(crate) scales: Vec<u32>,
}

/// Influence index of one model, committed to by [`InfluenceIndex::root`].
pub struct InfluenceIndex {
    pub(crate) parts: Parts,
    pub(crate) tree: MerkleTree,
    sketcher: Sketcher,
    root: B256,
}

impl std::fmt::Debug for InfluenceIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (records, dims) = (self.parts.records.len(), self.row_dims());
        write!(f, "InfluenceIndex {{ records: {records}, dims: {dims}, root: {} }}", self.root)
    }
}

/// A query's integer sketch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuerySketch {
    /// The preconditioned, normalised, quantised gradients at all checkpoints.
    pub values: Vec<i8>,
}

impl QuerySketch {
    /// keccak256(version ‖ values).
    pub fn hash(&self) -> B256 {
        let mut out = Writer::with_capacity(self.values.len() + 1);
        out.u8(INFLUENCE_VERSION);
        self.values.iter().for_each(|&value| out.u8(value as u8));
        keccak256(out.as_slice())
    }
}

/// Why a query cannot be scored.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScoreError {
    /// A sketch of another length.
    #[error("query sketch of {given} values; rows have {expected}")]
    Length {
        /// Its length.
        given: usize,
        /// The rows' length.
        expected: usize,
    },
    /// Not one sketch a checkpoint, or one of another size.
    #[error("{given} checkpoint sketches of one sequence; the index has {expected}")]
    Checkpoints {
        /// How many were given.
        given: usize,
        /// How many the index has.
        expected: usize,
    },
    /// A sketch made with another adapter than the index's checkpoint.
    #[error("checkpoint {checkpoint} of the index is adapter {expected}, not {given}")]
    Adapter {
        /// Which checkpoint.
        checkpoint: usize,
        /// The adapter given.
        given: B256,
        /// The adapter committed to.
        expected: B256,
    },
    /// A gradient that is not a number.
    #[error("the gradient at checkpoint {checkpoint} is not finite")]
    NotFinite {
        /// Which checkpoint.
        checkpoint: usize,
    },
}

impl InfluenceIndex {
    pub(crate) fn assemble(parts: Parts) -> Result<Self, PolicyError> {
        let sketcher = Sketcher::new(&parts.policy, &parts.sites, parts.rank as usize)?;
        let dims = sketcher.dims() * parts.adapters.len();
        let leaves = parts.rows.chunks_exact(dims).zip(&parts.scales).enumerate();
        let leaves = leaves.map(|(record, (row, &scale))| leaf_hash(&row_leaf(record as u32, scale, row))).collect();
        let tree = MerkleTree::from_hashes(leaves);
        let root = outer(header_hash(&parts), parts.records.hash(), transform_hash(&parts), tree.root());
        Ok(Self { parts, tree, sketcher, root })
    }

    /// Commitment to policy, sites, adapters, records, preconditioner and rows.
    pub fn root(&self) -> B256 {
        self.root
    }

    /// The policy it was built with.
    pub fn policy(&self) -> &InfluencePolicy {
        &self.parts.policy
    }

    /// Hashes of the adapters at its checkpoints, in order.
    pub fn adapters(&self) -> &[B256] {
        &self.parts.adapters
    }

    /// The records it scores.
    pub fn records(&self) -> &RecordTable {
        &self.parts.records
    }

    /// What projects gradients for this index.
    pub fn sketcher(&self) -> &Sketcher {
        &self.sketcher
    }

    /// Values in a row.
    pub fn row_dims(&self) -> usize {
        self.sketcher.dims() * self.parts.adapters.len()
    }

    /// A record's integer row and its scale in units of 2^-24 of the largest.
    pub fn row(&self, record: u32) -> Option<(&[i8], u32)> {
        let (dims, at) = (self.row_dims(), record as usize);
        Some((self.parts.rows.get(at * dims..(at + 1) * dims)?, *self.parts.scales.get(at)?))
    }

    /// A record's preconditioned self-influence g^T P g, up to one common factor: large for records that the model finds
    /// hard, mislabelled ones among them. Meaningful on an index whose rows were not normalised.
    pub fn self_influence(&self, record: u32) -> Option<f64> {
        let (row, scale) = self.row(record)?;
        Some(quantise::dot(row, row) as f64 * f64::from(scale) * f64::from(scale))
    }

    /// Preconditions, normalises and quantises the raw sketches of one query, one a checkpoint in order.
    ///
    /// # Errors
    /// [`ScoreError`] where they do not fit the index's checkpoints.
    pub fn quantise_query(&self, mut sketches: Vec<CheckpointSketch>) -> Result<QuerySketch, ScoreError> {
        self.check_query(&sketches)?;
        for (sketch, transform) in sketches.iter_mut().zip(&self.parts.transforms) {
            transform.apply(&mut sketch.rows);
        }
        let mut parts: Vec<&mut [f32]> = sketches.iter_mut().map(|sketch| sketch.rows.as_mut_slice()).collect();
        quantise::normalise(self.parts.policy.normalise, &mut parts);
        let parts: Vec<&[f32]> = sketches.iter().map(|sketch| sketch.rows.as_slice()).collect();
        let mut values = Vec::with_capacity(self.row_dims());
        quantise::quantise(&parts, quantise::largest(&parts), self.parts.policy.quantise_bits, &mut values);
        Ok(QuerySketch { values })
    }

    fn check_query(&self, sketches: &[CheckpointSketch]) -> Result<(), ScoreError> {
        let expected = self.parts.adapters.len();
        let dims = self.sketcher.dims();
        if sketches.len() != expected || sketches.iter().any(|sketch| sketch.rows.len() != dims) {
            return Err(ScoreError::Checkpoints { given: sketches.len(), expected });
        }
        for (checkpoint, (sketch, &expected)) in sketches.iter().zip(&self.parts.adapters).enumerate() {
            if sketch.adapter != expected {
                return Err(ScoreError::Adapter { checkpoint, given: sketch.adapter, expected });
            }
            if sketch.rows.iter().any(|value| !value.is_finite()) {
                return Err(ScoreError::NotFinite { checkpoint });
            }
        }
        Ok(())
    }

    /// The score of every record: dot product with the query times the row's scale. Exact.
    ///
    /// # Errors
    /// [`ScoreError::Length`] for a sketch of another length.
    pub fn scores(&self, query: &QuerySketch) -> Result<Vec<i64>, ScoreError> {
        let (given, expected) = (query.values.len(), self.row_dims());
        if given != expected {
            return Err(ScoreError::Length { given, expected });
        }
        let rows = self.parts.rows.chunks_exact(expected).zip(&self.parts.scales);
        Ok(rows.map(|(row, &scale)| score(row, scale, query)).collect())
    }
}

/// A record's score from its row: what a fraud proof recomputes from one leaf.
pub(crate) fn score(row: &[i8], scale: u32, query: &QuerySketch) -> i64 {
    quantise::dot(row, &query.values) * i64::from(scale)
}

/// H(version ‖ H(header) ‖ records hash ‖ transform hash ‖ rows root).
pub(crate) fn outer(header: B256, records: B256, transform: B256, rows: B256) -> B256 {
    let mut out = Writer::default();
    out.u8(INFLUENCE_VERSION);
    [header, records, transform, rows].iter().for_each(|hash| out.bytes(hash.as_slice()));
    keccak256(out.as_slice())
}

/// u32 record ‖ u32 scale ‖ values, one byte each.
pub(crate) fn row_leaf(record: u32, scale: u32, row: &[i8]) -> Vec<u8> {
    let mut out = Writer::with_capacity(row.len() + 8);
    out.u32(record);
    out.u32(scale);
    row.iter().for_each(|&value| out.u8(value as u8));
    out.into_vec()
}

/// Canonical JSON of what is not a table of numbers.
pub(crate) fn header(parts: &Parts) -> Vec<u8> {
    let value = serde_json::json!({
        "adapters": parts.adapters,
        "policy": parts.policy,
        "rank": parts.rank,
        "sites": parts.sites,
    });
    canonical_json::to_vec(&value).expect("a shallow value whose integers are at most 32 bits has a canonical form")
}

pub(crate) fn header_hash(parts: &Parts) -> B256 {
    keccak256(header(parts))
}

pub(crate) fn transform_hash(parts: &Parts) -> B256 {
    let mut out = Writer::default();
    write_transforms(parts, &mut out);
    keccak256(out.as_slice())
}

/// The bits of every value, checkpoint by checkpoint, block by block.
pub(crate) fn write_transforms(parts: &Parts, out: &mut Writer) {
    parts.transforms.iter().flat_map(|transform| &transform.values).for_each(|value| out.u32(value.to_bits()));
}
