//! The canonical request: exactly what an answer is a function of, in one byte string.
//!
//! A receipt holds its salted hash. Whoever has the request and the salt can show what was asked and replay the
//! answer; nobody else learns anything.

use openledger_primitives::B256;
use openledger_serve::Sampling;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::openai::{ChatRequest, Turns};

/// What an answer is a function of, besides the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CanonicalRequest {
    /// The model's name as asked for.
    pub model: String,
    /// The conversation: role and text.
    pub messages: Turns,
    /// Most tokens to generate.
    pub max_tokens: u32,
    /// Softmax temperature; 0 is greedy. OpenAI's default is 1; ours is 0, because an answer that is the same for
    /// everybody who asks is worth more here than a varied one.
    pub temperature: f64,
    /// Nucleus mass.
    pub top_p: f64,
    /// Most candidates; 0 for all.
    pub top_k: u32,
    /// Seed of the draws, in decimal: it may be above what JSON numbers keep.
    pub seed: String,
    /// Texts that end the answer.
    pub stop: Vec<String>,
}

impl CanonicalRequest {
    /// Takes what matters from a chat request. Without a seed the salt gives one, so that the answer stays a
    /// function of what the receipt commits to.
    ///
    /// # Errors
    /// 422 as [`ChatRequest::turns`].
    pub(crate) fn new(chat: &ChatRequest, salt: B256) -> Result<Self, ApiError> {
        let derived = u64::from_be_bytes(salt.0[..8].try_into().expect("eight of thirty-two bytes"));
        Ok(Self {
            model: chat.model.clone(),
            messages: chat.turns()?,
            max_tokens: chat.tokens_max(),
            temperature: chat.temperature.unwrap_or(0.0),
            top_p: chat.top_p.unwrap_or(1.0),
            top_k: chat.top_k.unwrap_or(0),
            seed: chat.seed.unwrap_or(derived).to_string(),
            stop: chat.stops(),
        })
    }

    /// The seed as a number; 0 if somebody wrote something else there.
    pub fn seed(&self) -> u64 {
        self.seed.parse().unwrap_or(0)
    }

    /// How tokens are drawn.
    pub fn sampling(&self) -> Sampling {
        Sampling { temperature: self.temperature as f32, top_p: self.top_p as f32, top_k: self.top_k }
    }
}
