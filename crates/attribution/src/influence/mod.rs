//! Influence: what shaped the answer.
//!
//! At chosen checkpoints of training, each record's LoRA gradients are projected, preconditioned by the damped
//! empirical Fisher of all records, normalised and stored as integer rows. A question's gradients go the same way;
//! its scores are exact integer dot products. A positive score means that training on the record made the answer
//! more likely.

mod build;
mod engine;
mod file;
mod index;
mod policy;
mod precondition;
mod project;
mod proof;
mod quantise;
mod sketch;

pub use build::{BuildInfluenceError, InfluenceBuilder};
pub use engine::{SketchError, SketchSink};
pub use index::{InfluenceIndex, QuerySketch, ScoreError};
pub use policy::{InfluencePolicy, Normalise, PolicyError, Preconditioner, SiteSelection};
pub use proof::RowProof;
pub use sketch::{CheckpointSketch, SiteGradient, SiteShape, Sketcher};

/// Most dimensions of a record's row over all checkpoints; keeps every score within an i64.
pub const ROW_DIMS_MAX: usize = 1 << 20;

/// Most checkpoints of one index.
pub const CHECKPOINTS_MAX: usize = 64;

/// Most sites of one index.
pub const SITES_MAX: usize = 4096;
