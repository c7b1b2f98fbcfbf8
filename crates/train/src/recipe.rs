//! The recipe of a training run: everything that decides the result, and nothing else.

use std::collections::BTreeSet;

use openledger_attribution::{
    attest::AttributionPolicy,
    influence::{InfluencePolicy, PolicyError},
    suffix::SuffixPolicy,
    weights::WeightsPolicy,
};
use openledger_engine::{LoraConfig, Model, SiteKind};
use openledger_primitives::{B256, DatanetId, SnapshotId, canonical_json, keccak256};

/// Most epochs.
pub const EPOCHS_MAX: u32 = 1_000;
/// Most records in a batch.
pub const BATCH_MAX: u32 = 1_024;
/// Highest LoRA rank.
pub const RANK_MAX: u32 = 256;
/// Most tokens of one record.
pub const SEQUENCE_TOKENS_MAX: u32 = 8_192;
/// Most snapshots that one model is trained on.
pub const SNAPSHOTS_MAX: usize = 64;
/// Most checkpoints that attribution uses.
pub const ATTRIBUTION_CHECKPOINTS_MAX: usize = 16;
/// Most characters of a run's name.
pub const NAME_CHARS_MAX: usize = 120;
/// Most tokens that one held-out answer is generated to.
pub const NEW_TOKENS_MAX: u32 = 1_024;
/// Most characters of a system prompt.
pub const SYSTEM_PROMPT_CHARS_MAX: usize = 8_192;
/// Largest share of the records that is kept from training, in hundredths of a percent.
const HELD_OUT_BPS_MAX: u16 = 9_000;
/// Largest scale of an adapter.
const ALPHA_MAX: f64 = 1e4;
/// Largest learning rate.
const LEARNING_RATE_MAX: f64 = 1.0;
/// Largest weight decay.
const WEIGHT_DECAY_MAX: f64 = 1.0;
/// Largest limit on a gradient's norm.
const GRAD_NORM_MAX: f64 = 1e6;
/// Widest projection of a gradient; the influence index takes no wider one.
const PROJECTION_DIM_MAX: u32 = 256;
/// The most that a field of 16 bits holds.
const U16_MAX: u32 = u16::MAX as u32;

/// How the learning rate goes on after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// It stays.
    Constant,
    /// It falls in a line to zero at the last step.
    Linear,
    /// It falls along half a cosine to zero at the last step.
    Cosine,
}

/// What happens to a record of more tokens than `max_sequence_tokens`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OverLong {
    /// Its end is cut off, and the report counts it.
    Truncate,
    /// It does not train, and the report names it.
    Refuse,
}

/// A Datanet snapshot, with the root that says what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotRef {
    /// The Datanet.
    pub datanet: DatanetId,
    /// Its snapshot.
    pub snapshot: SnapshotId,
    /// Merkle root over the snapshot's records.
    pub root: B256,
}

/// The adapter's shape.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoraRecipe {
    /// Rank of the two factors.
    pub rank: u32,
    /// The update is scaled by alpha / rank.
    pub alpha: f64,
    /// Modules to adapt, by their names in PEFT (`q_proj`, ..., `down_proj`).
    pub targets: Vec<String>,
}

/// Which records are kept from training to measure with. Records that the caller gives as held out are always used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum HeldOut {
    /// None of the snapshots' records.
    None,
    /// So many of each distinct response, as long as one stays for training.
    PerResponse(u32),
    /// So many basis points of all records.
    Bps(u16),
}

/// How the run is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvalRecipe {
    /// Which records are kept from training.
    pub held_out: HeldOut,
    /// Steps between evaluations while training; 0 for before and after only.
    pub every_steps: u32,
    /// Most tokens that an answer is generated to.
    pub max_new_tokens: u32,
}

/// How attribution is prepared.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttributionRecipe {
    /// Where checkpoints are taken, in basis points of all steps, ascending; take an early one.
    pub checkpoints_bps: Vec<u16>,
    /// How indices are built and scores become weights; the influence checkpoints are left empty here, they follow from
    /// `checkpoints_bps`.
    pub policy: AttributionPolicy,
}

/// Everything that decides the result of a training run.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The model's name.
    pub name: String,
    /// Hash of the base model.
    pub base_model: B256,
    /// What it is trained on.
    pub snapshots: Vec<SnapshotRef>,
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
    /// Seed of initial weights and of the order of records.
    #[serde(with = "decimal")]
    pub seed: u64,
    /// Replaces the chat template's own system prompt; none leaves the template alone.
    pub system_prompt: Option<String>,
    /// How the run is measured.
    pub evaluation: EvalRecipe,
    /// How attribution is prepared.
    pub attribution: AttributionRecipe,
}

/// Starting points for a recipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// One epoch at a high rate: to see whether the data works.
    Quick,
    /// Three epochs.
    Standard,
    /// Five epochs at rank 16, evaluated while training.
    Thorough,
}

/// The range of one of a recipe's values; of texts and lists, of how long they are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    /// Path of the field in the recipe.
    pub field: &'static str,
    /// The least value.
    pub least: f64,
    /// The largest value.
    pub most: f64,
    /// Whether the least value itself is refused.
    pub above: bool,
    /// What the value must be a multiple of, if anything.
    pub multiple_of: Option<u32>,
}

impl Limit {
    fn of(field: &'static str, least: u32, most: impl Into<f64>) -> Self {
        Self { field, least: least.into(), most: most.into(), above: false, multiple_of: None }
    }

    fn above_zero(field: &'static str, most: f64) -> Self {
        Self { field, least: 0.0, most, above: true, multiple_of: None }
    }

    fn of_policy(limit: &PolicyLimit) -> Self {
        let multiple_of = (limit.multiple_of > 1).then_some(limit.multiple_of);
        Self { multiple_of, ..Self::of(limit.field, limit.least, limit.most) }
    }
}

/// The range of a whole number of the attribution policy.
struct PolicyLimit {
    /// Path of the field in the recipe.
    field: &'static str,
    least: u32,
    most: u32,
    /// 1 where every whole number will do.
    multiple_of: u32,
    read: fn(&AttributionPolicy) -> u32,
}

impl PolicyLimit {
    const fn of(field: &'static str, least: u32, most: u32, read: fn(&AttributionPolicy) -> u32) -> Self {
        Self { field, least, most, multiple_of: 1, read }
    }

    fn check(&self, policy: &AttributionPolicy) -> Result<(), RecipeError> {
        let &Self { field, least, most, multiple_of, read } = self;
        let given = read(policy);
        within(field, given.into(), least.into(), most.into())?;
        if given.is_multiple_of(multiple_of) {
            Ok(())
        } else {
            Err(RecipeError::Multiple { field, given, multiple_of })
        }
    }
}

/// What the attribution policy may be. The indexes would refuse the same of the influence policy, but only after the training;
/// and a policy that can pay nobody, or that reads nothing, is no policy.
const POLICY_LIMITS: [PolicyLimit; 11] = [
    PolicyLimit {
        multiple_of: 8,
        ..PolicyLimit::of("attribution.policy.influence.projection_dim", 8, PROJECTION_DIM_MAX, |policy| {
            policy.influence.projection_dim.into()
        })
    },
    PolicyLimit::of("attribution.policy.influence.sites.layer_stride", 1, U16_MAX, |policy| {
        policy.influence.sites.layer_stride.into()
    }),
    PolicyLimit::of("attribution.policy.influence.sites.last_layers", 0, U16_MAX, |policy| {
        policy.influence.sites.last_layers.into()
    }),
    PolicyLimit::of("attribution.policy.influence.damping_milli", 1, u32::MAX, |policy| policy.influence.damping_milli),
    PolicyLimit::of("attribution.policy.influence.quantise_bits", 2, 8, |policy| policy.influence.quantise_bits.into()),
    PolicyLimit::of("attribution.policy.provenance.span_tokens_min", 1, U16_MAX, |policy| {
        policy.provenance.span_tokens_min.into()
    }),
    PolicyLimit::of("attribution.policy.provenance.spans_kept_percent", 1, 100, |policy| {
        policy.provenance.spans_kept_percent.into()
    }),
    PolicyLimit::of("attribution.policy.provenance.occurrences_max", 1, u32::MAX, |policy| {
        policy.provenance.occurrences_max
    }),
    PolicyLimit::of("attribution.policy.weights.mad_factor", 0, u32::MAX, |policy| policy.weights.mad_factor),
    PolicyLimit::of("attribution.policy.weights.top_k", 1, U16_MAX, |policy| policy.weights.top_k.into()),
    PolicyLimit::of("attribution.policy.weights.background_max", 1, u32::MAX, |policy| policy.weights.background_max),
];

impl Recipe {
    /// The ranges that [`Recipe::validate`] keeps, for those who ask people for values.
    pub fn limits() -> Vec<Limit> {
        let mut limits = vec![
            Limit::of("name", 1, NAME_CHARS_MAX as f64),
            Limit::of("snapshots", 1, SNAPSHOTS_MAX as f64),
            Limit::of("epochs", 1, EPOCHS_MAX),
            Limit::of("batch_size", 1, BATCH_MAX),
            Limit::above_zero("learning_rate", LEARNING_RATE_MAX),
            Limit::of("warmup_steps", 0, u32::MAX),
            Limit::of("weight_decay", 0, WEIGHT_DECAY_MAX),
            Limit::of("max_grad_norm", 0, GRAD_NORM_MAX),
            Limit::of("lora.rank", 1, RANK_MAX),
            Limit::above_zero("lora.alpha", ALPHA_MAX),
            Limit::of("max_sequence_tokens", 2, SEQUENCE_TOKENS_MAX),
            Limit::of("system_prompt", 0, SYSTEM_PROMPT_CHARS_MAX as f64),
            Limit::of("evaluation.held_out.bps", 1, HELD_OUT_BPS_MAX),
            Limit::of("evaluation.every_steps", 0, u32::MAX),
            Limit::of("evaluation.max_new_tokens", 1, NEW_TOKENS_MAX),
            Limit::of("attribution.checkpoints_bps", 1, ATTRIBUTION_CHECKPOINTS_MAX as f64),
        ];
        limits.extend(POLICY_LIMITS.iter().map(Limit::of_policy));
        limits
    }

    /// A recipe from a preset.
    pub fn preset(preset: Preset, name: &str, base_model: B256, snapshots: Vec<SnapshotRef>) -> Self {
        let (epochs, rank, learning_rate, every_steps) = match preset {
            Preset::Quick => (1, 8, 1e-3, 0),
            Preset::Standard => (3, 8, 5e-4, 0),
            Preset::Thorough => (5, 16, 3e-4, 100),
        };
        Self {
            name: name.to_owned(),
            base_model,
            snapshots,
            lora: LoraRecipe { rank, alpha: f64::from(rank) * 2.0, targets: all_modules() },
            epochs,
            batch_size: 8,
            learning_rate,
            schedule: Schedule::Cosine,
            warmup_steps: 5,
            weight_decay: 0.0,
            max_grad_norm: 1.0,
            max_sequence_tokens: 512,
            over_long: OverLong::Truncate,
            seed: 0,
            system_prompt: None,
            evaluation: EvalRecipe { held_out: HeldOut::None, every_steps, max_new_tokens: 32 },
            attribution: AttributionRecipe { checkpoints_bps: vec![1_000, 5_000], policy: default_policy() },
        }
    }

    /// Checks every value against its limits.
    ///
    /// # Errors
    /// [`RecipeError`] names the first value that breaks a limit, and the limit.
    pub fn validate(&self) -> Result<(), RecipeError> {
        within("name (characters)", self.name.chars().count() as u64, 1, NAME_CHARS_MAX as u64)?;
        within("snapshots", self.snapshots.len() as u64, 1, SNAPSHOTS_MAX as u64)?;
        self.validate_snapshots()?;
        within("lora.rank", self.lora.rank.into(), 1, RANK_MAX.into())?;
        within("epochs", self.epochs.into(), 1, EPOCHS_MAX.into())?;
        within("batch_size", self.batch_size.into(), 1, BATCH_MAX.into())?;
        within("max_sequence_tokens", self.max_sequence_tokens.into(), 2, SEQUENCE_TOKENS_MAX.into())?;
        within("evaluation.max_new_tokens", self.evaluation.max_new_tokens.into(), 1, NEW_TOKENS_MAX.into())?;
        let prompt_chars = self.system_prompt.as_ref().map_or(0, |p| p.chars().count());
        within("system_prompt (characters)", prompt_chars as u64, 0, SYSTEM_PROMPT_CHARS_MAX as u64)?;
        if let HeldOut::Bps(bps) = self.evaluation.held_out {
            within("evaluation.held_out.bps", bps.into(), 1, HELD_OUT_BPS_MAX.into())?;
        }
        positive("lora.alpha", self.lora.alpha, ALPHA_MAX)?;
        positive("learning_rate", self.learning_rate, LEARNING_RATE_MAX)?;
        not_negative("weight_decay", self.weight_decay, WEIGHT_DECAY_MAX)?;
        not_negative("max_grad_norm", self.max_grad_norm, GRAD_NORM_MAX)?;
        self.targets()?;
        self.validate_checkpoints()?;
        self.validate_sites()?;
        POLICY_LIMITS.iter().try_for_each(|limit| limit.check(&self.attribution.policy))
    }

    /// Snapshots of one Datanet share records, which would train and be paid twice, and of which one snapshot may hold out what
    /// another trains.
    fn validate_snapshots(&self) -> Result<(), RecipeError> {
        let mut named = BTreeSet::new();
        match self.snapshots.iter().find(|snapshot| !named.insert(snapshot.datanet)) {
            Some(twice) => Err(RecipeError::DatanetTwice { datanet: twice.datanet }),
            None => Ok(()),
        }
    }

    /// The sites of a module that is not adapted have no gradients, and a name that is no module's has no sites.
    fn validate_sites(&self) -> Result<(), RecipeError> {
        let modules = &self.attribution.policy.influence.sites.modules;
        match modules.iter().find(|module| !self.lora.targets.contains(module)) {
            Some(name) => Err(RecipeError::SiteModule { name: name.clone(), targets: self.lora.targets.clone() }),
            None => Ok(()),
        }
    }

    /// Checks that the influence index of `model` can be built, of which each value alone says nothing: the length of its rows is
    /// the product of sites, rank, projection and checkpoints. Gives that length.
    ///
    /// # Errors
    /// [`RecipeError::Index`] says which product is beyond which limit.
    pub fn index_row_dims(&self, model: &Model) -> Result<usize, RecipeError> {
        let lora = self.lora_config()?;
        let mut policy = self.attribution.policy.influence.clone();
        // Which steps they are is known when the run is; their number is not above this.
        policy.checkpoints = (1..).take(self.attribution.checkpoints_bps.len()).collect();
        let sites = policy.sites.of(model.sites(), &lora);
        let dims = policy.checkpoint_dims(sites.len(), lora.rank).and_then(|dims| {
            policy.check_signs(&sites)?;
            Ok(dims)
        });
        let (rank, checkpoints) = (self.lora.rank, policy.checkpoints.len());
        let dims = dims.map_err(|source| RecipeError::Index { rank, sites: sites.len(), checkpoints, source })?;
        Ok(dims * checkpoints)
    }

    fn validate_checkpoints(&self) -> Result<(), RecipeError> {
        let bps = &self.attribution.checkpoints_bps;
        within("attribution.checkpoints_bps (entries)", bps.len() as u64, 1, ATTRIBUTION_CHECKPOINTS_MAX as u64)?;
        for &at in bps {
            within("attribution.checkpoints_bps", at.into(), 0, 10_000)?;
        }
        if bps.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(RecipeError::CheckpointOrder { given: bps.clone() });
        }
        if !self.attribution.policy.influence.checkpoints.is_empty() {
            return Err(RecipeError::CheckpointSteps);
        }
        Ok(())
    }

    fn targets(&self) -> Result<Vec<SiteKind>, RecipeError> {
        let unknown = |name: &String| RecipeError::Target { name: name.clone() };
        let kinds = self.lora.targets.iter().map(|name| SiteKind::from_module(name).ok_or_else(|| unknown(name)));
        let kinds: Vec<SiteKind> = kinds.collect::<Result<_, _>>()?;
        if kinds.is_empty() {
            return Err(RecipeError::NoTargets);
        }
        Ok(kinds)
    }

    /// The adapter's configuration for the engine.
    ///
    /// # Errors
    /// [`RecipeError`] if a target is not a known module.
    pub fn lora_config(&self) -> Result<LoraConfig, RecipeError> {
        Ok(LoraConfig { rank: self.lora.rank as usize, alpha: self.lora.alpha as f32, targets: self.targets()? })
    }

    /// The recipe as a JSON value, in which 64-bit numbers are strings.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("a recipe has string keys and finite numbers only")
    }

    /// Hash of the canonical JSON.
    pub fn hash(&self) -> B256 {
        let bytes = canonical_json::to_vec(&self.to_json()).expect("a recipe's integers are below 2^53 or strings");
        keccak256(bytes)
    }
}

fn default_policy() -> AttributionPolicy {
    AttributionPolicy {
        influence: InfluencePolicy::default(),
        provenance: SuffixPolicy::default(),
        weights: WeightsPolicy::default(),
    }
}

fn all_modules() -> Vec<String> {
    SiteKind::ALL.iter().map(|kind| kind.module().to_owned()).collect()
}

fn within(field: &'static str, given: u64, least: u64, most: u64) -> Result<(), RecipeError> {
    if (least..=most).contains(&given) { Ok(()) } else { Err(RecipeError::Range { field, given, least, most }) }
}

fn positive(field: &'static str, given: f64, most: f64) -> Result<(), RecipeError> {
    if given > 0.0 && given <= most {
        Ok(())
    } else {
        Err(RecipeError::Real { field, given, range: "above 0 and at most", most })
    }
}

fn not_negative(field: &'static str, given: f64, most: f64) -> Result<(), RecipeError> {
    if given >= 0.0 && given <= most { Ok(()) } else { Err(RecipeError::Real { field, given, range: "0 to", most }) }
}

/// Why a recipe is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RecipeError {
    /// A whole number is out of range.
    #[error("{field} is {given}; it must be {least} to {most}")]
    Range {
        /// The field.
        field: &'static str,
        /// Its value.
        given: u64,
        /// The least value.
        least: u64,
        /// The highest value.
        most: u64,
    },
    /// A real number is out of range.
    #[error("{field} is {given}; it must be {range} {most}")]
    Real {
        /// The field.
        field: &'static str,
        /// Its value.
        given: f64,
        /// The range in words, up to the highest value.
        range: &'static str,
        /// The highest value.
        most: f64,
    },
    /// A whole number is no multiple of what it must be a multiple of.
    #[error("{field} is {given}; it must be a multiple of {multiple_of}")]
    Multiple {
        /// The field.
        field: &'static str,
        /// Its value.
        given: u32,
        /// Of what.
        multiple_of: u32,
    },
    /// A LoRA target is not a module of the supported architectures.
    #[error("lora.targets names {name:?}; known are q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj and down_proj")]
    Target {
        /// The name given.
        name: String,
    },
    /// No LoRA target is named.
    #[error("lora.targets is empty; name at least one module")]
    NoTargets,
    /// Checkpoints are given as steps.
    #[error("attribution.policy.influence.checkpoints must be empty in a recipe; give attribution.checkpoints_bps")]
    CheckpointSteps,
    /// A Datanet is named twice.
    #[error("snapshots names Datanet {datanet} twice; a model trains on one snapshot of each")]
    DatanetTwice {
        /// The Datanet.
        datanet: DatanetId,
    },
    /// The influence index is to be built of a module that is not adapted.
    #[error(
        "attribution.policy.influence.sites.modules names {name:?}; lora.targets adapts {}",
        targets.join(", ")
    )]
    SiteModule {
        /// The name given.
        name: String,
        /// What is adapted.
        targets: Vec<String>,
    },
    /// The influence index cannot be built, whatever is trained.
    #[error(
        "attribution.policy.influence cannot be followed with lora.rank {rank}, {sites} sites and \
         {checkpoints} attribution.checkpoints_bps"
    )]
    Index {
        /// The adapter's rank.
        rank: u32,
        /// Sites that the policy selects on the base model.
        sites: usize,
        /// Checkpoints.
        checkpoints: usize,
        /// The limit.
        #[source]
        source: PolicyError,
    },
    /// The checkpoints are not in order.
    #[error("attribution.checkpoints_bps is {given:?}; the entries must ascend")]
    CheckpointOrder {
        /// The entries given.
        given: Vec<u16>,
    },
}

/// 64-bit numbers as decimal strings, because canonical JSON keeps integers exact only below 2^53.
pub(crate) mod decimal {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(value: &u64, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&value.to_string())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(|_| D::Error::custom(format!("{text:?} is not a whole number below 2^64")))
    }
}
