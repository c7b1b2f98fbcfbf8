//! Jobs: what is asked of ModelFactory, where each stands, and what happened on the way.

use std::{fmt, path::PathBuf, str::FromStr};

use openledger_primitives::{Address, ModelId, Wei};

use crate::{
    encode::EncodeReport, estimate::Estimate, evaluate::Evaluation, recipe::Recipe, record::TrainRecord,
    run::StepReport,
};

/// Most records of one job, training and held-out together.
pub const JOB_RECORDS_MAX: usize = 2_000_000;
/// Most jobs that wait.
pub const QUEUED_MAX: usize = 100;

/// A job's number, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct JobId(pub u64);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for JobId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// Price of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Of a prompt token.
    pub input_wei: Wei,
    /// Of a generated token.
    pub output_wei: Wei,
}

/// What the manifest says beside the training itself.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// Models that this one descends from.
    pub parents: Vec<ModelId>,
    /// What it costs.
    pub price: Price,
}

/// A run to do.
#[derive(Debug, Clone, PartialEq)]
pub struct JobRequest {
    /// Everything that decides the result.
    pub recipe: Recipe,
    /// What the manifest says beside it.
    pub terms: Terms,
    /// The snapshots' records, in order.
    pub records: Vec<TrainRecord>,
    /// Records to measure with that are not in the snapshots; they never train and earn nothing.
    pub held_out: Vec<TrainRecord>,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// It waits for the worker.
    Queued,
    /// The worker is at it.
    Running,
    /// It was paused and can go on from its last checkpoint.
    Paused,
    /// It was cancelled.
    Cancelled,
    /// It failed; its error says why. It can go on from its last checkpoint.
    Failed,
    /// Its artifact is ready.
    Done,
}

impl JobState {
    /// The name in the database.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::Done => "done",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let all = [Self::Queued, Self::Running, Self::Paused, Self::Cancelled, Self::Failed, Self::Done];
        all.into_iter().find(|state| state.name() == name)
    }
}

/// What a running job is busy with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Records become tokens.
    Encoding,
    /// The base model is measured on the held-out records.
    MeasuringBase,
    /// The adapter trains.
    Training,
    /// The adapter is measured.
    MeasuringTuned,
    /// The influence index is built.
    Influence,
    /// The suffix index is built.
    Suffixes,
    /// The artifact is written.
    Writing,
}

/// A job as it stands.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// Where it stands.
    pub state: JobState,
    /// Steps done.
    pub step: u64,
    /// Steps in all; 0 until known.
    pub steps: u64,
    /// When it was asked for, milliseconds since 1970.
    pub created_at_ms: u64,
    /// When its state changed last.
    pub changed_at_ms: u64,
    /// Why it failed.
    pub error: Option<String>,
    /// Its artifact's folder, once it is done.
    pub artifact: Option<PathBuf>,
    /// What was asked.
    pub recipe: Recipe,
    /// What the manifest says beside it.
    pub terms: Terms,
    /// Whose it is, if anybody's.
    pub owner: Option<Address>,
    /// Loss of the latest step, nats a learnt token.
    pub loss: Option<f64>,
}

/// When an evaluation was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// The base model, before training.
    Base,
    /// While training.
    During,
    /// The adapter at the end.
    Tuned,
}

/// Something that happened to a job.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Happening {
    /// Its state changed.
    State {
        /// To what.
        state: JobState,
        /// Why, where there is more to say.
        reason: Option<String>,
    },
    /// It came to a phase.
    Phase {
        /// Which.
        phase: Phase,
    },
    /// Its records became tokens.
    Encoded {
        /// What became of the training records.
        report: EncodeReport,
        /// Records to measure with.
        held_out: usize,
        /// Time and memory expected.
        estimate: Estimate,
    },
    /// A step was taken.
    Step(StepReport),
    /// It was measured.
    Evaluated {
        /// When.
        moment: Moment,
        /// Steps done.
        step: u64,
        /// The measurement.
        evaluation: Evaluation,
    },
    /// Its state was saved; a crash loses nothing before it.
    Checkpoint {
        /// Steps done.
        step: u64,
    },
    /// The influence index grew.
    Indexed {
        /// Gradients done, over all checkpoints.
        done: u64,
        /// Gradients in all.
        total: u64,
    },
}

/// A happening with its place in the job's history.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct JobEvent {
    /// The job.
    pub job: JobId,
    /// Number within the database, ascending.
    pub sequence: u64,
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// What.
    pub happening: Happening,
}
