//! What a run will cost, before it starts.

use openledger_engine::{LoraAdapter, Model, ModelConfig};

use crate::{encode::Example, recipe::Recipe};

/// Floating-point operations a second that one thread is expected to reach in training (measured on an EPYC core at 2.5 GHz).
const FLOPS_PER_THREAD: f64 = 4.0e10;
/// Operations a token and parameter: forward, and backward for inputs only, because base weights are frozen.
const FLOPS_PER_PARAMETER: f64 = 4.0;
/// Full-width activations that the backward pass keeps for each layer and token, in units of hidden + ffn.
const KEPT_WIDTHS: u64 = 6;

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
    /// Bytes of memory beside the base model.
    pub memory_bytes: u64,
    /// Bytes on disk for checkpoints and artifact.
    pub disk_bytes: u64,
}

impl Estimate {
    /// Estimates a run of `recipe` over `examples` with an adapter like `adapter`.
    pub fn new(model: &Model, recipe: &Recipe, examples: &[Example], adapter: &LoraAdapter, threads: usize) -> Self {
        let config = model.config();
        let epoch_tokens: u64 = examples.iter().map(|e| e.input().len() as u64).sum();
        let tokens = epoch_tokens * u64::from(recipe.epochs);
        let seconds = |tokens: u64| {
            tokens as f64 * FLOPS_PER_PARAMETER * weights(config) as f64 / (FLOPS_PER_THREAD * threads as f64)
        };
        let checkpoints = recipe.attribution.checkpoints_bps.len() as u64;
        let parameters = adapter.params().len() as u64;
        Self {
            steps: (examples.len() as u64).div_ceil(recipe.batch_size.into()) * u64::from(recipe.epochs),
            tokens,
            parameters,
            train_s: seconds(tokens),
            index_s: seconds(epoch_tokens * checkpoints),
            memory_bytes: batch_bytes(config, recipe, examples) + 16 * parameters,
            disk_bytes: (12 + 4 * (checkpoints + 1)) * parameters + index_bytes(model, recipe, examples.len() as u64),
        }
    }
}

/// Parameters of all linear layers and the output layer.
fn weights(config: &ModelConfig) -> u64 {
    let attention = 2 * config.hidden * (config.heads + config.kv_heads) * config.head_dim;
    let layer = attention + 3 * config.hidden * config.ffn;
    (config.layers * layer + config.vocab * config.hidden) as u64
}

/// Bytes that the largest batch keeps between forward and backward pass.
fn batch_bytes(config: &ModelConfig, recipe: &Recipe, examples: &[Example]) -> u64 {
    let mut lengths: Vec<u64> = examples.iter().map(|e| e.input().len() as u64).collect();
    lengths.sort_unstable_by(|a, b| b.cmp(a));
    let rows: u64 = lengths.iter().take(recipe.batch_size as usize).sum();
    let kept = KEPT_WIDTHS * config.layers as u64 * (config.hidden + config.ffn) as u64;
    4 * rows * (kept + config.vocab as u64)
}

/// Bytes of the influence index's rows: one byte a value, two factors a site.
fn index_bytes(model: &Model, recipe: &Recipe, records: u64) -> u64 {
    let width = 2 * u64::from(recipe.attribution.policy.influence.projection_dim) * u64::from(recipe.lora.rank);
    let checkpoints = recipe.attribution.checkpoints_bps.len() as u64;
    model.sites().len() as u64 * width * checkpoints * records
}
