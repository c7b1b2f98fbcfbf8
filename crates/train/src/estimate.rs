//! What a run will cost, before it starts.

use openledger_engine::{LoraAdapter, Model, ModelConfig};

use crate::{
    encode::Example,
    recipe::{Recipe, RecipeError},
    speed::Speed,
};

/// Full-width activations that the backward pass keeps for each layer and token, in units of hidden + ffn.
const KEPT_WIDTHS: u64 = 6;
/// Bytes of a value of the index, on disk and in memory alike: one of the row, and four of the sketch, which stays until the
/// rows of all records and checkpoints are made of them.
const SKETCH_AND_ROW_BYTES: u64 = 5;

/// Expected cost of a run.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Estimate {
    /// Steps.
    pub steps: u64,
    /// Tokens fed over all epochs.
    pub tokens: u64,
    /// Parameters that train.
    pub parameters: u64,
    /// Seconds of training.
    pub train_s: f64,
    /// Seconds for the influence index: one pass of all records at each checkpoint.
    pub index_s: f64,
    /// Bytes of memory beside the base model: of the largest batch, the adapter with its optimiser, and the influence index.
    pub memory_bytes: u64,
    /// Bytes on disk for checkpoints and artifact, and for the index while it grows.
    pub disk_bytes: u64,
    /// The speed that the times follow from; absent in what older versions wrote down.
    #[serde(default)]
    pub speed: Option<Speed>,
}

impl Estimate {
    /// Estimates a run of `recipe` over `examples` with an adapter like `adapter`, at `speed`.
    ///
    /// # Errors
    /// [`RecipeError`] if the influence index of such a run cannot be built.
    pub fn new(
        model: &Model,
        recipe: &Recipe,
        examples: &[Example],
        adapter: &LoraAdapter,
        speed: Speed,
    ) -> Result<Self, RecipeError> {
        let epoch_tokens: u64 = examples.iter().map(|e| e.input().len() as u64).sum();
        let tokens = epoch_tokens * u64::from(recipe.epochs);
        let checkpoints = recipe.attribution.checkpoints_bps.len() as u64;
        let parameters = adapter.params().len() as u64;
        let index_bytes = SKETCH_AND_ROW_BYTES * recipe.index_row_dims(model)? as u64 * examples.len() as u64;
        Ok(Self {
            steps: (examples.len() as u64).div_ceil(recipe.batch_size.into()) * u64::from(recipe.epochs),
            tokens,
            parameters,
            train_s: tokens as f64 / speed.train_tokens_per_s,
            index_s: (epoch_tokens * checkpoints) as f64 / speed.index_tokens_per_s,
            memory_bytes: batch_bytes(model.config(), recipe, examples) + 16 * parameters + index_bytes,
            disk_bytes: (12 + 4 * (checkpoints + 1)) * parameters + index_bytes,
            speed: Some(speed),
        })
    }
}

/// Bytes that the largest batch keeps between forward and backward pass.
fn batch_bytes(config: &ModelConfig, recipe: &Recipe, examples: &[Example]) -> u64 {
    let mut lengths: Vec<u64> = examples.iter().map(|e| e.input().len() as u64).collect();
    lengths.sort_unstable_by(|a, b| b.cmp(a));
    let rows: u64 = lengths.iter().take(recipe.batch_size as usize).sum();
    let kept = KEPT_WIDTHS * config.layers as u64 * (config.hidden + config.ffn) as u64;
    4 * rows * (kept + config.vocab as u64)
}
