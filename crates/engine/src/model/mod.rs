//! A decoder in memory: packed weights, its tokenizer, its sites.

mod config;
mod linear;
mod pack;
mod rope;
mod site;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use alloy_primitives::B256;

pub use config::{Activation, Architecture, ConfigError, DIMENSION_MAX, LAYERS_MAX, ModelConfig, RopeScaling};
pub(crate) use linear::{Acts, Linear, Product};
pub(crate) use rope::RopeRows;
pub use site::{SiteId, SiteInfo, SiteKind};

use crate::format::{self, FormatError, RawModel};
use crate::template::ChatTemplate;
use crate::tokenizer::Tokenizer;
use rope::Frequencies;

/// How a model is held in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelOptions {
    /// Whether linear weights and their inputs are int8 blocks, which is what every receipt means. Without it
    /// everything is f32, for comparison with other implementations and with finite differences.
    pub quantise: bool,
    /// Whether gradients go through int8 weights as f32 products with integers times scales, instead of int8 products
    /// with the transpose: to measure what those change.
    pub exact_gradients: bool,
}

impl Default for ModelOptions {
    fn default() -> Self {
        Self { quantise: true, exact_gradients: false }
    }
}

/// Why a model cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenModelError {
    /// The files cannot be read or are refused.
    #[error("could not load the model")]
    Format(#[from] FormatError),
    /// The configuration is impossible or beyond a limit.
    #[error("the model's configuration is refused")]
    Config(#[from] ConfigError),
    /// A weight is infinite or not a number.
    #[error("weight ({row}, {col}) of {tensor} is {value}")]
    NotFinite {
        /// Its tensor.
        tensor: String,
        /// Its row.
        row: usize,
        /// Its column.
        col: usize,
        /// The weight.
        value: f32,
    },
}

/// A decoder: immutable, cheap to clone.
#[derive(Clone)]
pub struct Model(pub(crate) Arc<Weights>);

/// What a [`Model`] shares.
pub(crate) struct Weights {
    pub(crate) config: ModelConfig,
    pub(crate) sites: Vec<SiteInfo>,
    pub(crate) layers: Vec<Layer>,
    pub(crate) embedding: Linear,
    /// The output layer; none if it is the embedding.
    pub(crate) head: Option<Linear>,
    pub(crate) final_norm: Vec<f32>,
    pub(crate) frequencies: Frequencies,
    tokenizer: Tokenizer,
    chat_template: Option<ChatTemplate>,
    hash: OnceLock<B256>,
}

/// One decoder layer.
pub(crate) struct Layer {
    pub(crate) attn_norm: Vec<f32>,
    pub(crate) ffn_norm: Vec<f32>,
    /// Norms of the attention and feed-forward outputs, if the family has them.
    pub(crate) post_norms: Option<[Vec<f32>; 2]>,
    /// Norms of each head's q and k, if the family has them.
    pub(crate) qk_norms: Option<[Vec<f32>; 2]>,
    /// Biases of q, k and v, if the family has them.
    pub(crate) qkv_bias: Option<[Vec<f32>; 3]>,
    linears: Vec<Linear>,
}

impl Layer {
    pub(crate) fn linear(&self, kind: SiteKind) -> &Linear {
        &self.linears[kind as usize]
    }

    /// What is added to a map's outputs: only queries, keys and values may have a bias.
    pub(crate) fn bias(&self, kind: SiteKind) -> Option<&[f32]> {
        self.qkv_bias.as_ref()?.get(kind as usize).map(Vec::as_slice)
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").field("config", &self.0.config).finish_non_exhaustive()
    }
}

impl Model {
    /// Opens a GGUF file, or a folder with `config.json`, safetensors and `tokenizer.json`.
    ///
    /// # Errors
    /// If the files cannot be read, are refused, or describe a model beyond this engine's limits.
    pub fn open(path: &Path) -> Result<Self, OpenModelError> {
        Self::open_with(path, ModelOptions::default())
    }

    /// As [`open`](Self::open), choosing how weights are held.
    ///
    /// # Errors
    /// As for `open`.
    pub fn open_with(path: &Path, options: ModelOptions) -> Result<Self, OpenModelError> {
        Self::from_raw(&format::load(path)?, options)
    }

    /// Packs a model that has been read.
    ///
    /// # Errors
    /// If a tensor is missing, has another shape or is not finite, or the configuration is refused.
    pub fn from_raw(raw: &RawModel, options: ModelOptions) -> Result<Self, OpenModelError> {
        Ok(Self(Arc::new(pack::pack(raw, options)?)))
    }

    /// Sizes and variations.
    #[must_use]
    pub fn config(&self) -> &ModelConfig {
        &self.0.config
    }

    /// The tokenizer that came with the weights.
    #[must_use]
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.0.tokenizer
    }

    /// The chat template that came with the weights, if any.
    #[must_use]
    pub fn chat_template(&self) -> Option<&ChatTemplate> {
        self.0.chat_template.as_ref()
    }

    /// Every linear map to which a LoRA can attach.
    #[must_use]
    pub fn sites(&self) -> &[SiteInfo] {
        &self.0.sites
    }

    /// Bytes of memory that the weights take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.linears().map(Linear::bytes).sum()
    }

    /// Keccak-256 over configuration and weights; `FORMATS.md` specifies the bytes.
    ///
    /// It does not depend on the file format or on how this processor packs the weights. The first call takes a
    /// fraction of a second for 100 million weights; the result is kept.
    #[must_use]
    pub fn hash(&self) -> B256 {
        *self.0.hash.get_or_init(|| pack::hash(&self.0))
    }
}

impl Weights {
    fn linears(&self) -> impl Iterator<Item = &Linear> {
        let layers = self.layers.iter().flat_map(|layer| &layer.linears);
        std::iter::once(&self.embedding).chain(layers).chain(&self.head)
    }

    /// The output layer.
    pub(crate) fn output(&self) -> &Linear {
        self.head.as_ref().unwrap_or(&self.embedding)
    }
}
