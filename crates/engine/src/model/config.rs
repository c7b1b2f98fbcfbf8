//! What a decoder looks like: sizes and the few ways in which the supported families differ.

use std::fmt;

/// Largest vocabulary, hidden size, feed-forward size or context that a model file may claim.
///
/// Larger than any published model of the supported families; a file that claims more is refused
/// before anything is allocated.
pub const DIMENSION_MAX: usize = 1 << 20;

/// Most layers that a model file may claim.
pub const LAYERS_MAX: usize = 256;

/// A family of decoders that this engine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Architecture {
    /// Llama, SmolLM2 and everything else that `LlamaForCausalLM` describes.
    Llama,
    /// Mistral (within its sliding window it is a Llama).
    Mistral,
    /// Qwen2 and Qwen2.5: biases on q, k and v.
    Qwen2,
    /// Qwen3: root-mean-square norms on each head's q and k.
    Qwen3,
    /// Gemma: GELU, scaled embeddings, norms that add one to their weight.
    Gemma,
    /// Gemma 2: as Gemma, with norms after each block and soft caps on scores and logits.
    Gemma2,
}

impl Architecture {
    /// The name in GGUF's `general.architecture` and in Hugging Face's `model_type`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Mistral => "mistral",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Gemma => "gemma",
            Self::Gemma2 => "gemma2",
        }
    }

    /// The architecture of that name, if this engine runs it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let all = [Self::Llama, Self::Mistral, Self::Qwen2, Self::Qwen3, Self::Gemma, Self::Gemma2];
        all.into_iter().find(|architecture| architecture.name() == name)
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The non-linearity between the gate and the product with `up`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// `x / (1 + e^-x)`.
    Silu,
    /// The hyperbolic-tangent form of GELU.
    GeluTanh,
}

/// How rotary frequencies are stretched for contexts longer than the one trained on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RopeScaling {
    /// Every frequency divided by `factor`.
    Linear {
        /// Divisor of every frequency.
        factor: f64,
    },
    /// Llama 3.1's rule: low frequencies divided, high ones kept, a ramp between.
    Llama3 {
        /// Divisor of the low frequencies.
        factor: f64,
        /// Wavelengths above `original_context / low_freq_factor` are divided.
        low_freq_factor: f64,
        /// Wavelengths below `original_context / high_freq_factor` are kept.
        high_freq_factor: f64,
        /// Context length before stretching.
        original_context: usize,
    },
}

/// Sizes and variations of one decoder. All sizes count elements.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// Family.
    pub architecture: Architecture,
    /// Number of decoder layers.
    pub layers: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width of the feed-forward block.
    pub ffn: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of one head; even.
    pub head_dim: usize,
    /// Rows of the embedding table.
    pub vocab: usize,
    /// Most positions of one sequence. For models with a sliding window it is at most the window,
    /// within which windowed and full attention are the same function.
    pub context: usize,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Stretching of the rotary frequencies, if any.
    pub rope_scaling: Option<RopeScaling>,
    /// Added to the mean square in every norm.
    pub eps: f32,
    /// Whether the output layer is the embedding table.
    pub tied: bool,
    /// Feed-forward non-linearity.
    pub activation: Activation,
    /// Whether q, k and v have biases.
    pub qkv_bias: bool,
    /// Whether each head of q and k is normalised before the rotation.
    pub qk_norm: bool,
    /// Whether the attention and feed-forward outputs are normalised before they are added.
    pub post_norms: bool,
    /// Whether the file's norm weights lack the one that the function adds to them.
    pub norm_plus_one: bool,
    /// Factor on the embeddings.
    pub embed_scale: f32,
    /// Factor on q·k.
    pub attn_scale: f32,
    /// `cap * tanh(x / cap)` on attention scores, if any.
    pub attn_softcap: Option<f32>,
    /// `cap * tanh(x / cap)` on logits, if any.
    pub final_softcap: Option<f32>,
}

impl ModelConfig {
    /// A plain Llama of the given sizes: silu, no biases, no caps, untied, theta 10,000, context 2,048.
    #[must_use]
    pub fn llama(layers: usize, hidden: usize, ffn: usize, heads: usize, kv_heads: usize, vocab: usize) -> Self {
        let head_dim = hidden.checked_div(heads).unwrap_or(0);
        Self {
            architecture: Architecture::Llama,
            layers,
            hidden,
            ffn,
            heads,
            kv_heads,
            head_dim,
            vocab,
            context: 2048,
            rope_theta: 10_000.0,
            rope_scaling: None,
            eps: 1e-5,
            tied: false,
            activation: Activation::Silu,
            qkv_bias: false,
            qk_norm: false,
            post_norms: false,
            norm_plus_one: false,
            embed_scale: 1.0,
            attn_scale: 1.0 / (head_dim as f32).sqrt(),
            attn_softcap: None,
            final_softcap: None,
        }
    }

    /// Width of all query heads together.
    #[must_use]
    pub fn q_dim(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Width of all key (or value) heads together.
    #[must_use]
    pub fn kv_dim(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// Checks that the sizes are possible and within this engine's limits.
    ///
    /// # Errors
    /// The first value that is not, with its limit.
    pub fn check(&self) -> Result<(), ConfigError> {
        let sizes = [
            ("layers", self.layers, LAYERS_MAX),
            ("hidden", self.hidden, DIMENSION_MAX),
            ("ffn", self.ffn, DIMENSION_MAX),
            ("heads", self.heads, DIMENSION_MAX),
            ("kv_heads", self.kv_heads, DIMENSION_MAX),
            ("head_dim", self.head_dim, DIMENSION_MAX),
            ("vocab", self.vocab, DIMENSION_MAX),
            ("context", self.context, DIMENSION_MAX),
        ];
        for (name, value, limit) in sizes {
            if value == 0 || value > limit {
                return Err(ConfigError::Size { name, value, limit });
            }
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            return Err(ConfigError::Heads { heads: self.heads, kv_heads: self.kv_heads });
        }
        if !self.head_dim.is_multiple_of(2) {
            return Err(ConfigError::HeadDim { head_dim: self.head_dim });
        }
        if self.q_dim() > DIMENSION_MAX {
            return Err(ConfigError::Size { name: "heads * head_dim", value: self.q_dim(), limit: DIMENSION_MAX });
        }
        self.check_numbers()
    }

    fn check_numbers(&self) -> Result<(), ConfigError> {
        let positive = [
            ("rope_theta", self.rope_theta),
            ("eps", f64::from(self.eps)),
            ("embed_scale", f64::from(self.embed_scale)),
            ("attn_scale", f64::from(self.attn_scale)),
            ("attn_softcap", f64::from(self.attn_softcap.unwrap_or(1.0))),
            ("final_softcap", f64::from(self.final_softcap.unwrap_or(1.0))),
        ];
        match positive.into_iter().find(|(_, value)| !(value.is_finite() && *value > 0.0)) {
            Some((name, value)) => Err(ConfigError::Number { name, value }),
            None => Ok(()),
        }
    }
}

/// Why a configuration is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A size is zero or above its limit.
    #[error("{name} is {value}; it must be between 1 and {limit}")]
    Size {
        /// Which size.
        name: &'static str,
        /// What the file says.
        value: usize,
        /// Largest accepted value.
        limit: usize,
    },
    /// Query heads do not split evenly over key heads.
    #[error("{heads} query heads do not split evenly over {kv_heads} key heads")]
    Heads {
        /// Query heads.
        heads: usize,
        /// Key heads.
        kv_heads: usize,
    },
    /// Rotation needs pairs.
    #[error("head_dim is {head_dim}; it must be even")]
    HeadDim {
        /// Width of one head.
        head_dim: usize,
    },
    /// A factor is not a positive finite number.
    #[error("{name} is {value}; it must be positive and finite")]
    Number {
        /// Which factor.
        name: &'static str,
        /// What the file says.
        value: f64,
    },
}
