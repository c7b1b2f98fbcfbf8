//! Building the index from sketches.

use openledger_primitives::B256;

use super::index::{InfluenceIndex, Parts};
use super::policy::{InfluencePolicy, PolicyError};
use super::precondition::Transform;
use super::quantise;
use super::sketch::{CheckpointSketch, SiteShape, Sketcher};
use crate::record::RecordTable;

/// Why an index cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildInfluenceError {
    /// The policy does not fit the model.
    #[error("the influence policy cannot be followed")]
    Policy(#[from] PolicyError),
    /// No record to index.
    #[error("no record to index")]
    NoRecords,
    /// A sketch of another shape.
    #[error("checkpoint {checkpoint}: {given} values of sketches; {expected} were expected")]
    Shape {
        /// Which checkpoint.
        checkpoint: usize,
        /// Values given.
        given: usize,
        /// Values expected.
        expected: usize,
    },
    /// More checkpoints than the policy names.
    #[error("the policy names {max} checkpoints and all have been added")]
    TooManyCheckpoints {
        /// How many the policy names.
        max: usize,
    },
    /// Fewer checkpoints than the policy names.
    #[error("{given} of {expected} checkpoints have been added")]
    MissingCheckpoints {
        /// How many were added.
        given: usize,
        /// How many the policy names.
        expected: usize,
    },
    /// A gradient that is not a number.
    #[error("the gradient of record {record} at checkpoint {checkpoint} is not finite")]
    NotFinite {
        /// Position in the record table.
        record: usize,
        /// Which checkpoint.
        checkpoint: usize,
    },
    /// The sequences given do not pair up with the records.
    #[error("{given} sequences for {expected} records")]
    Sequences {
        /// Sequences given.
        given: usize,
        /// Records in the table.
        expected: usize,
    },
    /// An adapter whose rank or sites are not those the index was begun with.
    #[error("the adapter has rank {rank}; the index was begun for rank {expected}")]
    Rank {
        /// The adapter's.
        rank: usize,
        /// The index's.
        expected: usize,
    },
}

/// Gathers the records' sketches, checkpoint by checkpoint.
#[derive(Debug)]
pub struct InfluenceBuilder {
    policy: InfluencePolicy,
    sketcher: Sketcher,
    records: RecordTable,
    sketches: Vec<CheckpointSketch>,
}

impl InfluenceBuilder {
    /// Starts an index over these records at these sites of an adapter of this rank.
    ///
    /// # Errors
    /// [`BuildInfluenceError`] where the policy does not fit or there is no record.
    pub fn from_shapes(
        policy: InfluencePolicy,
        sites: &[SiteShape],
        rank: usize,
        records: RecordTable,
    ) -> Result<Self, BuildInfluenceError> {
        if records.is_empty() {
            return Err(BuildInfluenceError::NoRecords);
        }
        let sketcher = Sketcher::new(&policy, sites, rank)?;
        Ok(Self { policy, sketcher, records, sketches: Vec::new() })
    }

    /// What projects gradients for this index.
    pub fn sketcher(&self) -> &Sketcher {
        &self.sketcher
    }

    /// The records, in the order of the sequences expected.
    pub fn records(&self) -> &RecordTable {
        &self.records
    }

    /// How many checkpoints have been added: where a resumed build goes on.
    pub fn checkpoints_done(&self) -> usize {
        self.sketches.len()
    }

    /// An empty sketch of all records for the adapter with this hash.
    pub fn empty_sketch(&self, adapter: B256) -> CheckpointSketch {
        CheckpointSketch::zeros(adapter, self.sketcher.dims(), self.records.len())
    }

    /// Adds the next checkpoint's sketches: computed now, or read back from an interrupted build.
    ///
    /// # Errors
    /// [`BuildInfluenceError`] for a sketch of another shape, one too many, or one that is not finite.
    pub fn add(&mut self, sketch: CheckpointSketch) -> Result<(), BuildInfluenceError> {
        let (checkpoint, dims) = (self.sketches.len(), self.sketcher.dims());
        if checkpoint == self.policy.checkpoints.len() {
            return Err(BuildInfluenceError::TooManyCheckpoints { max: checkpoint });
        }
        let expected = dims * self.records.len();
        if sketch.rows.len() != expected || sketch.dims != dims {
            return Err(BuildInfluenceError::Shape { checkpoint, given: sketch.rows.len(), expected });
        }
        if let Some(at) = sketch.rows.iter().position(|value| !value.is_finite()) {
            return Err(BuildInfluenceError::NotFinite { record: at / dims, checkpoint });
        }
        self.sketches.push(sketch);
        Ok(())
    }

    /// The sketches of a checkpoint already added, to be saved against interruption.
    pub fn sketch_at(&self, checkpoint: usize) -> Option<&CheckpointSketch> {
        self.sketches.get(checkpoint)
    }

    /// Fits the preconditioner, quantises the rows and commits to them.
    ///
    /// # Errors
    /// [`BuildInfluenceError::MissingCheckpoints`] where the policy names more than were added.
    pub fn finish(mut self) -> Result<InfluenceIndex, BuildInfluenceError> {
        let (given, expected) = (self.sketches.len(), self.policy.checkpoints.len());
        if given != expected {
            return Err(BuildInfluenceError::MissingCheckpoints { given, expected });
        }
        let block = self.sketcher.rank() * usize::from(self.policy.projection_dim);
        let policy = &self.policy;
        let transforms: Vec<Transform> =
            self.sketches.iter_mut().map(|sketch| precondition(policy, sketch, block)).collect();
        let (rows, scales) = integer_rows(policy, &mut self.sketches);
        Ok(InfluenceIndex::assemble(Parts {
            rank: self.sketcher.rank() as u32,
            sites: self.sketcher.sites().to_vec(),
            adapters: self.sketches.iter().map(|sketch| sketch.adapter).collect(),
            policy: self.policy,
            records: self.records,
            transforms,
            rows,
            scales,
        })?)
    }
}

fn precondition(policy: &InfluencePolicy, sketch: &mut CheckpointSketch, block: usize) -> Transform {
    let transform = Transform::fit(policy, &sketch.rows, sketch.dims, block);
    sketch.rows.chunks_exact_mut(sketch.dims).for_each(|row| transform.apply(row));
    transform
}

fn integer_rows(policy: &InfluencePolicy, sketches: &mut [CheckpointSketch]) -> (Vec<i8>, Vec<u32>) {
    let count = sketches.first().map_or(0, CheckpointSketch::count);
    for record in 0..count {
        quantise::normalise(policy.normalise, &mut row_mut(sketches, record));
    }
    let amax: Vec<f32> = (0..count).map(|record| quantise::largest(&row(sketches, record))).collect();
    let most = amax.iter().fold(0.0f32, |most, &value| most.max(value));
    let mut rows = Vec::with_capacity(sketches.iter().map(|sketch| sketch.rows.len()).sum());
    for (record, &amax) in amax.iter().enumerate() {
        quantise::quantise(&row(sketches, record), amax, policy.quantise_bits, &mut rows);
    }
    (rows, amax.iter().map(|&amax| quantise::row_scale(amax, most)).collect())
}

/// One record's sketch at every checkpoint.
fn row(sketches: &[CheckpointSketch], record: usize) -> Vec<&[f32]> {
    sketches.iter().map(|sketch| &sketch.rows[record * sketch.dims..(record + 1) * sketch.dims]).collect()
}

fn row_mut(sketches: &mut [CheckpointSketch], record: usize) -> Vec<&mut [f32]> {
    let range = |dims: usize| record * dims..(record + 1) * dims;
    sketches.iter_mut().map(|sketch| &mut sketch.rows[range(sketch.dims)]).collect()
}
