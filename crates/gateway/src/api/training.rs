//! ModelFactory: recipes, jobs, their events, and what a builder signs.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::recipe::{EncodeReport, Estimate, Happening, Recipe, Terms};
use super::scalar::{Account, Amount, Hash, HexBytes};

/// A run asked for.
#[derive(Clone, Debug, ToSchema)]
pub struct SubmitJob {
    /// Everything that decides the result.
    pub recipe: Recipe,
    /// What the manifest says beside it.
    pub terms: Terms,
    /// Records to measure with; they never train and earn nothing.
    pub held_out: Option<Vec<TrainingText>>,
}

/// What a record says.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum TrainingText {
    /// A prompt and the response to learn.
    Pair {
        /// What is asked.
        prompt: String,
        /// What is to be answered.
        response: String,
    },
    /// A conversation.
    Messages {
        /// The turns.
        messages: Vec<Turn>,
    },
    /// Text, all of which is learnt.
    Text {
        /// The text.
        text: String,
    },
}

/// One turn of a conversation.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Turn {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// What is said.
    pub content: String,
}

/// A name of a starting point for recipes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PresetName {
    /// One epoch at a high rate.
    Quick,
    /// Three epochs.
    Standard,
    /// Five epochs at rank 16, evaluated while training.
    Thorough,
}

/// A starting point for recipes.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Preset {
    /// Its name.
    pub preset: PresetName,
    /// For people.
    pub title: String,
    /// What it is for.
    pub description: String,
}

/// The range of one of a recipe's values; of texts and lists, of how long they are.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RecipeLimit {
    /// Path of the field in the recipe, such as `lora.rank`.
    pub field: String,
    /// The least value.
    pub least: f64,
    /// The largest value.
    pub most: f64,
    /// Whether the least value itself is refused.
    pub above: bool,
    /// What the value must be a multiple of; null for any.
    #[schema(required)]
    pub multiple_of: Option<u32>,
}

/// The presets.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PresetList {
    /// The quickest first.
    pub data: Vec<Preset>,
    /// What a recipe's values may be.
    pub limits: Vec<RecipeLimit>,
    /// How the fees of a model are split that is published here.
    pub split: SplitBps,
}

/// What a recipe is to be made of.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecipeRequest {
    /// The starting point.
    pub preset: PresetName,
    /// The model's name.
    pub name: String,
    /// What to train on.
    pub snapshots: Vec<SnapshotChoice>,
}

/// A Datanet's snapshot.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SnapshotChoice {
    /// The Datanet.
    pub datanet: u64,
    /// Its snapshot.
    pub snapshot: u64,
}

/// A recipe ready to be submitted.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RecipeDraft {
    /// The recipe.
    #[schema(value_type = Recipe)]
    pub recipe: openledger_train::Recipe,
    /// Terms to begin with.
    #[schema(value_type = Terms)]
    pub terms: openledger_train::Terms,
}

/// What a run would take.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct JobEstimate {
    /// What becomes of the records.
    #[schema(value_type = EncodeReport)]
    pub records: openledger_train::EncodeReport,
    /// Time, memory and disk.
    #[schema(value_type = Estimate)]
    pub estimate: openledger_train::Estimate,
}

/// Which tokens are learnt.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MaskPreview {
    /// The first records that train.
    pub records: Vec<MaskedRecord>,
}

/// A record as the model reads it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MaskedRecord {
    /// Its tokens in order.
    pub tokens: Vec<MaskedToken>,
}

/// A token.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MaskedToken {
    /// Its text alone.
    pub text: String,
    /// Whether it is learnt; what is not is only read.
    pub trained: bool,
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
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
    /// It failed; its error says why.
    Failed,
    /// Its artifact is ready.
    Done,
}

/// A job as it stands.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Job {
    /// Its number.
    pub id: u64,
    /// Whose it is: only this account's sessions may act on it. Null for jobs of nobody.
    #[schema(required)]
    pub owner: Option<Account>,
    /// The model's name, as in the recipe.
    pub name: String,
    /// Where it stands.
    pub state: JobState,
    /// Steps done.
    pub step: u64,
    /// Steps in all; 0 until known.
    pub steps: u64,
    /// Share of the steps that is done, 0 to 1.
    pub progress: f64,
    /// Loss of the latest step, nats a learnt token.
    #[schema(required)]
    pub train_loss: Option<f64>,
    /// When it was asked for, milliseconds since 1970.
    pub created_at_ms: u64,
    /// When its state changed last.
    pub changed_at_ms: u64,
    /// Why it failed.
    #[schema(required)]
    pub error: Option<String>,
    /// Whether its files can be fetched and its model published.
    pub has_artifact: bool,
    /// The models that this node serves of it, whoever published them and with what program: a builder each.
    pub models: Vec<JobModel>,
    /// What was asked.
    #[schema(value_type = Recipe)]
    pub recipe: openledger_train::Recipe,
    /// What the manifest says beside it.
    #[schema(value_type = Terms)]
    pub terms: openledger_train::Terms,
}

/// A model published of a job.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct JobModel {
    /// Its id on chain.
    pub id: Hash,
    /// Its name.
    pub name: String,
    /// Who published it.
    pub builder: Account,
}

/// All jobs.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct JobList {
    /// The newest first.
    pub data: Vec<Job>,
}

/// Something that happened to a job.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct JobEvent {
    /// The job.
    pub job: u64,
    /// Number within the database, ascending; the stream's event id.
    pub sequence: u64,
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// What.
    #[schema(value_type = Happening)]
    pub happening: openledger_train::Happening,
}

/// Part of a job's history.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct JobEventList {
    /// The events in order.
    pub data: Vec<JobEvent>,
    /// Where to go on.
    pub next_after: u64,
}

/// All that `ModelRegistry.publish` is called with.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ModelDraft {
    /// The model's name.
    pub name: String,
    /// Hash of its manifest.
    pub manifest_hash: Hash,
    /// Hash of the base model.
    pub base_model: Hash,
    /// Hash of the adapter's weights.
    pub weights_hash: Hash,
    /// Root of the attribution indexes.
    pub index_root: Hash,
    /// What it was trained on.
    pub snapshots: Vec<DraftSnapshot>,
    /// Models that it descends from.
    pub parents: Vec<Hash>,
    /// Price of a token.
    pub price: Price,
    /// Split of its fees.
    pub split: SplitBps,
    /// All of it as the contract's ABI encodes it.
    pub abi: HexBytes,
}

/// A snapshot as the registry names it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DraftSnapshot {
    /// The Datanet.
    pub datanet_id: u64,
    /// Its snapshot.
    pub snapshot_id: u64,
    /// The snapshot's root.
    pub root: Hash,
}

/// Price of a token.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Price {
    /// Of a prompt token.
    pub input_wei: Amount,
    /// Of a generated token.
    pub output_wei: Amount,
}

/// Split of a model's fees, in basis points. What the named parts leave goes to the data.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SplitBps {
    /// Burned.
    pub burn: u16,
    /// To the operator.
    pub operator: u16,
    /// To the builder.
    pub builder: u16,
    /// To the builders of parents.
    pub parents: u16,
    /// To stakers.
    pub stakers: u16,
    /// Of the data's part: to what the answer quotes; the rest goes by influence.
    pub provenance: u16,
}

/// The model that was published on chain.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PublishModel {
    /// Its name.
    pub name: String,
    /// Who published it.
    pub builder: Account,
}

/// A model that is served now.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PublishedModel {
    /// The model.
    pub model: PublishedEntry,
}

/// A published model.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PublishedEntry {
    /// Name under which it is asked for.
    pub name: String,
    /// Its id on chain.
    pub id: Hash,
    /// Who built it.
    pub builder: Account,
    /// Hash of its weights.
    pub weights_hash: Hash,
    /// Root of its attribution indexes.
    pub index_root: Hash,
    /// Roots of the snapshots that it was trained on.
    pub snapshot_roots: Vec<Hash>,
    /// When it was published, in Unix seconds.
    pub published_at: u64,
}
