//! ModelFactory: trains LoRA adapters on Datanet snapshots, without code and without surprises.
//!
//! A [`Recipe`] and the records decide the result, bit for bit. [`ModelFactory`] keeps jobs in the server: they survive
//! reloads and crashes, can be paused, cancelled or stopped early, and end in an [`Artifact`] whose [`Manifest`] names every
//! part by hash, the attribution indices included.

mod artifact;
mod checkpoint;
mod clip;
mod data;
mod encode;
mod estimate;
mod evaluate;
mod factory;
mod finish;
mod job;
mod manifest;
mod order;
mod recipe;
mod record;
mod run;
mod schedule;
mod sketches;
mod speed;
mod table;
mod work;

pub use artifact::{Artifact, ArtifactError, RecordFault, RecordOwner};
pub use checkpoint::{Checkpoint, CheckpointError};
pub use data::DataError;
pub use encode::{EncodeRecordError, EncodeReport, Encoder, Example, MaskedToken, REPORT_ENTRIES_MAX, Refusal};
pub use estimate::Estimate;
pub use evaluate::{EvaluateError, Evaluation, Evaluator, SAMPLES_MAX, Sample};
pub use factory::{EVENTS_BEHIND_MAX, FactoryConfig, FactoryError, ModelFactory};
pub use job::{
    Happening, JOB_RECORDS_MAX, Job, JobEvent, JobId, JobRequest, JobState, Moment, Phase, Price, QUEUED_MAX, Terms,
};
pub use manifest::{
    AttributionRef, CheckpointRef, DataReport, EngineVersion, MANIFEST_BYTES_MAX, MANIFEST_VERSION, Manifest,
    ManifestError, Measured, Score,
};
pub use recipe::{
    ATTRIBUTION_CHECKPOINTS_MAX, AttributionRecipe, BATCH_MAX, EPOCHS_MAX, EvalRecipe, HeldOut, Limit, LoraRecipe,
    NAME_CHARS_MAX, NEW_TOKENS_MAX, OverLong, Preset, RANK_MAX, Recipe, RecipeError, SEQUENCE_TOKENS_MAX,
    SNAPSHOTS_MAX, SYSTEM_PROMPT_CHARS_MAX, Schedule, SnapshotRef,
};
pub use record::{RecordBody, RecordBodyError, TrainRecord, Turn};
pub use run::{Run, RunError, StepReport};
pub use sketches::SketchFile;
pub use speed::{Clock, Speed};
pub use table::{INTERRUPTED_MAX, PAGE_MAX, TRAIN_SCHEMA, TableError};
