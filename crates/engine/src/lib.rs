//! Weights, tokenizers, the decoder's forward and backward passes, LoRA as a layer.
//!
//! Everything computed here is the same to the bit on any machine, for any number of threads and for any batch that a
//! row happens to be in; `openledger_kernels` holds the arithmetic.

mod backward;
mod exec;
pub mod format;
mod forward;
mod kv;
mod lora;
mod model;
pub mod pull;
mod rng;
pub mod sample;
pub mod template;
pub mod tokenizer;

pub use backward::{
    BACKWARD_ROWS_MAX, BackwardError, GradSink, LoraGrad, Probe, SequenceLoss, SiteGrad, TrainSequence,
};
pub use exec::Exec;
pub use forward::{Chunk, FORWARD_ROWS_MAX, ForwardError, LogitRows, Logits};
pub use kv::{KV_BLOCK_TOKENS, KV_BLOCKS_MAX, KvError, KvPool, SeqKv};
pub use lora::{LORA_RANK_MAX, LoraAdapter, LoraConfig, LoraError, LoraSite};
pub use model::{
    Activation, Architecture, ConfigError, DIMENSION_MAX, LAYERS_MAX, Model, ModelConfig, ModelOptions, OpenModelError,
    RopeScaling, SiteId, SiteInfo, SiteKind,
};
pub use openledger_kernels::{AdamW, AdamWState, Cpu, MatRef, Path as KernelPath};
pub use template::{ChatMessage, ChatTemplate, RenderError, TemplateError, TemplateTokens};
pub use tokenizer::{DecodeStream, EncodeChatError, EncodeError, TokenSpan, Tokenizer, TokenizerError};
