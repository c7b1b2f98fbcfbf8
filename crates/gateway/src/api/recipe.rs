//! Schemas of the training crate's own types, which go over the wire as they are.
//!
//! The contract tests hold real answers against them, so they cannot drift unseen.

use utoipa::ToSchema;

use super::scalar::{Amount, Hash};
use super::training::JobState;

/// Everything that decides the result of a training run.
#[derive(Clone, Debug, ToSchema)]
pub struct Recipe {
    /// The model's name.
    pub name: String,
    /// Hash of the base model.
    pub base_model: Hash,
    /// What it is trained on.
    pub snapshots: Vec<RecipeSnapshot>,
    /// The adapter's shape.
    pub lora: LoraRecipe,
    /// Times that every record is seen.
    pub epochs: u32,
    /// Records in a step.
    pub batch_size: u32,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// How it goes on after the warm-up.
    pub schedule: Schedule,
    /// Steps in which it rises in a line from zero.
    pub warmup_steps: u32,
    /// AdamW's decoupled weight decay.
    pub weight_decay: f64,
    /// Gradients longer than this are scaled down to it; 0 for no limit.
    pub max_grad_norm: f64,
    /// Most tokens of a record.
    pub max_sequence_tokens: u32,
    /// What happens to longer ones.
    pub over_long: OverLong,
    /// Seed of initial weights and of the order of records, in decimal.
    pub seed: String,
    /// Replaces the chat template's own system prompt; null leaves the template alone.
    #[schema(required)]
    pub system_prompt: Option<String>,
    /// How the run is measured.
    pub evaluation: EvalRecipe,
    /// How attribution is prepared.
    pub attribution: AttributionRecipe,
}

/// A Datanet's snapshot with its root.
#[derive(Clone, Debug, ToSchema)]
pub struct RecipeSnapshot {
    /// The Datanet.
    pub datanet: u64,
    /// Its snapshot.
    pub snapshot: u64,
    /// Merkle root over the snapshot's records.
    pub root: Hash,
}

/// The adapter's shape.
#[derive(Clone, Debug, ToSchema)]
pub struct LoraRecipe {
    /// Rank of the two factors.
    pub rank: u32,
    /// The update is scaled by alpha / rank.
    pub alpha: f64,
    /// Modules to adapt, by their names in PEFT.
    pub targets: Vec<String>,
}

/// How the learning rate goes on after the warm-up.
#[derive(Clone, Copy, Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Schedule {
    /// It stays.
    Constant,
    /// It falls in a line to zero at the last step.
    Linear,
    /// It falls along half a cosine to zero at the last step.
    Cosine,
}

/// What happens to a record of more tokens than the limit.
#[derive(Clone, Copy, Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum OverLong {
    /// Its end is cut off.
    Truncate,
    /// It does not train.
    Refuse,
}

/// How the run is measured.
#[derive(Clone, Debug, ToSchema)]
pub struct EvalRecipe {
    /// Which records are kept from training.
    pub held_out: HeldOut,
    /// Steps between evaluations while training; 0 for before and after only.
    pub every_steps: u32,
    /// Most tokens that an answer is generated to.
    pub max_new_tokens: u32,
}

/// Which records are kept from training to measure with.
#[derive(Clone, Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum HeldOut {
    /// None of the snapshots' records.
    None,
    /// So many of each distinct response.
    PerResponse(u32),
    /// So many basis points of all records.
    Bps(u16),
}

/// How attribution is prepared.
#[derive(Clone, Debug, ToSchema)]
pub struct AttributionRecipe {
    /// Where checkpoints are taken, in basis points of all steps, ascending.
    pub checkpoints_bps: Vec<u16>,
    /// How indices are built and scores become weights.
    pub policy: AttributionPolicy,
}

/// How indices are built and scores become weights.
#[derive(Clone, Debug, ToSchema)]
pub struct AttributionPolicy {
    /// The influence index.
    pub influence: InfluencePolicy,
    /// The suffix index.
    pub provenance: SuffixPolicy,
    /// From scores to weights.
    pub weights: WeightsPolicy,
}

/// How the influence index is built.
#[derive(Clone, Debug, ToSchema)]
pub struct InfluencePolicy {
    /// Steps of the checkpoints; empty in a recipe.
    pub checkpoints: Vec<u32>,
    /// Dimensions that each factor's gradient is projected to.
    pub projection_dim: u16,
    /// Seed of the projection's signs.
    pub projection_seed: Hash,
    /// Which adapted sites take part.
    pub sites: SiteSelection,
    /// How gradients are weighed: `block_fisher`, `diagonal_fisher`, `data_inf` or `identity`.
    pub preconditioner: String,
    /// The damping in thousandths of the mean eigenvalue.
    pub damping_milli: u32,
    /// Whether rows are brought to one length: `per_checkpoint` or `none`.
    pub normalise: String,
    /// Bits of a stored value.
    pub quantise_bits: u8,
}

/// Which adapted sites take part.
#[derive(Clone, Debug, ToSchema)]
pub struct SiteSelection {
    /// Modules by their PEFT name; empty for all.
    pub modules: Vec<String>,
    /// Every how many layers.
    pub layer_stride: u16,
    /// Only so many layers, the last ones; 0, or not given, for all. Below them the trained adapter stands in every
    /// checkpoint's place.
    #[schema(required = false)]
    pub last_layers: u16,
}

/// How the suffix index is built and read.
#[derive(Clone, Debug, ToSchema)]
pub struct SuffixPolicy {
    /// What was indexed: `completions` or `all`.
    pub indexed: String,
    /// Shortest span in tokens.
    pub span_tokens_min: u16,
    /// Spans kept, in percent of an answer's tokens.
    pub spans_kept_percent: u16,
    /// A span that occurs more often pays nobody.
    pub occurrences_max: u32,
}

/// How scores become weights.
#[derive(Clone, Debug, ToSchema)]
pub struct WeightsPolicy {
    /// A record counts when it is further from the median than this many MADs.
    pub mad_factor: u32,
    /// Most contributors that one answer pays.
    pub top_k: u16,
    /// Above this many records the background is a sample of this size.
    pub background_max: u32,
}

/// What the manifest says beside the training itself.
#[derive(Clone, Debug, ToSchema)]
pub struct Terms {
    /// Models that this one descends from.
    pub parents: Vec<Hash>,
    /// What it costs.
    pub price: TermsPrice,
}

/// Price of a token.
#[derive(Clone, Debug, ToSchema)]
pub struct TermsPrice {
    /// Of a prompt token.
    pub input_wei: Amount,
    /// Of a generated token.
    pub output_wei: Amount,
}

/// What became of the records.
#[derive(Clone, Debug, ToSchema)]
pub struct EncodeReport {
    /// Records that train.
    pub used: u64,
    /// Records whose end was cut off.
    pub truncated: u64,
    /// Records that do not train.
    pub refused: u64,
    /// The first of them, with reasons.
    pub refusals: Vec<Refusal>,
    /// Tokens of all that train.
    pub tokens: u64,
    /// Tokens that are learnt.
    pub targets: u64,
}

/// A record that does not train, and why.
#[derive(Clone, Debug, ToSchema)]
pub struct Refusal {
    /// Position of the record in the list that was encoded.
    pub record: u64,
    /// Why, in words.
    pub reason: String,
}

/// Expected cost of a run.
#[derive(Clone, Debug, ToSchema)]
pub struct Estimate {
    /// Steps.
    pub steps: u64,
    /// Tokens fed over all epochs.
    pub tokens: u64,
    /// Parameters that train.
    pub parameters: u64,
    /// Seconds of training.
    pub train_s: f64,
    /// Seconds for the influence index.
    pub index_s: f64,
    /// Bytes of memory beside the base model.
    pub memory_bytes: u64,
    /// Bytes on disk.
    pub disk_bytes: u64,
    /// The speed that the times follow from; null in what older versions wrote down.
    #[schema(required)]
    pub speed: Option<Speed>,
}

/// How fast the base model trains on this machine.
#[derive(Clone, Debug, ToSchema)]
pub struct Speed {
    /// Tokens a second of training steps.
    pub train_tokens_per_s: f64,
    /// Tokens a second of the influence index.
    pub index_tokens_per_s: f64,
    /// Jobs that it was measured on; 0 for one short step before the first.
    pub jobs: u64,
}

/// What a running job is busy with.
#[derive(Clone, Copy, Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Phase {
    /// Records become tokens.
    Encoding,
    /// The base model is measured.
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

/// When an evaluation was made.
#[derive(Clone, Copy, Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Moment {
    /// The base model, before training.
    Base,
    /// While training.
    During,
    /// The adapter at the end.
    Tuned,
}

/// Something that happened to a job.
#[derive(Clone, Debug, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Happening {
    /// Its state changed.
    State {
        /// To what.
        state: JobState,
        /// Why, where there is more to say.
        #[schema(required)]
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
        held_out: u64,
        /// Time and memory expected.
        estimate: Estimate,
    },
    /// A step was taken.
    Step {
        /// Steps done, this one included.
        step: u64,
        /// Steps in all.
        steps: u64,
        /// Mean loss over the batch's learnt tokens, nats.
        loss: f64,
        /// Learning rate.
        learning_rate: f64,
        /// Length of the gradient before clipping.
        grad_norm: f64,
        /// Tokens fed.
        tokens: u64,
        /// Seconds it took.
        seconds: f64,
    },
    /// It was measured.
    Evaluated {
        /// When.
        moment: Moment,
        /// Steps done.
        step: u64,
        /// The measurement.
        evaluation: Evaluation,
    },
    /// Its state was saved.
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

/// A measurement on held-out records.
#[derive(Clone, Debug, ToSchema)]
pub struct Evaluation {
    /// Records measured.
    pub records: u64,
    /// Mean loss over their learnt tokens, nats.
    pub loss: f64,
    /// Records that have an answer to compare.
    pub answers: u64,
    /// Of those, how many the greedy answer equals.
    pub exact: u64,
    /// The first answers.
    pub samples: Vec<Sample>,
}

/// One held-out record with the model's answer.
#[derive(Clone, Debug, ToSchema)]
pub struct Sample {
    /// Position of the record in the held-out list.
    pub record: u64,
    /// The answer that the record holds.
    pub expected: String,
    /// The model's.
    pub answer: String,
}
