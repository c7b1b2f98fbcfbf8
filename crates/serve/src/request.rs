//! Requests, the events that answer them, and what a finished answer holds.

use crate::{
    adapters::AdapterId,
    config::{STOP_STRING_BYTES_MAX, STOP_STRINGS_MAX},
    error::InvalidRequest,
};

/// How tokens are drawn. Temperature 0 takes the most probable token; ties break by token id.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampling {
    /// Softmax temperature, 0 to 2; 0 is greedy.
    pub temperature: f32,
    /// Least probability mass that is kept, above 0 to 1; 1 keeps all.
    pub top_p: f32,
    /// Most tokens that are kept; 0 keeps all.
    pub top_k: u32,
}

impl Sampling {
    /// Always the most probable token.
    pub const GREEDY: Self = Self { temperature: 0.0, top_p: 1.0, top_k: 0 };
}

impl Default for Sampling {
    fn default() -> Self {
        Self::GREEDY
    }
}

/// One request for tokens. The answer is a function of this, the base model and the adapter's weights alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Whom the fair counters charge, for example a channel or an account.
    pub tenant: String,
    /// The adapter, or none for the base model.
    pub adapter: Option<AdapterId>,
    /// Prompt tokens, at least one.
    pub prompt: Vec<u32>,
    /// Most tokens to generate, at least one.
    pub max_tokens: u32,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// Seed of the draws.
    pub seed: u64,
    /// Texts that end the answer; they are not part of it.
    pub stop: Vec<String>,
    /// Whether to go on after the model's end-of-text token (for measurements).
    pub ignore_eos: bool,
}

impl Request {
    /// A greedy request with seed 0 for tenant "" and no stop strings.
    pub fn new(prompt: Vec<u32>, max_tokens: u32) -> Self {
        Self {
            tenant: String::new(),
            adapter: None,
            prompt,
            max_tokens,
            sampling: Sampling::GREEDY,
            seed: 0,
            stop: Vec::new(),
            ignore_eos: false,
        }
    }
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model's end-of-text token or a stop string.
    Stop,
    /// `max_tokens` were generated.
    Length,
    /// The caller ended it, by [`Generation::cancel`](crate::Generation::cancel): the model would have gone on.
    Cancelled,
}

/// Tokens counted for payment. Output counts every sampled token, the end-of-text token and those that
/// made up a stop string included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Usage {
    /// Prompt tokens.
    pub tokens_in: u32,
    /// Sampled tokens.
    pub tokens_out: u32,
}

/// A finished answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// Every sampled token, the end-of-text token included.
    pub tokens: Vec<u32>,
    /// The answer's text: without special tokens, cut before a stop string.
    pub text: String,
    /// Why it ended.
    pub finish: FinishReason,
    /// Tokens counted for payment.
    pub usage: Usage,
}

/// What a [`Generation`](crate::Generation) yields: any number of deltas, then one end.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// One more token. `text` is what became certain with it: it can be empty, while bytes of a character or of a possible
    /// stop string are still open.
    Token {
        /// The sampled token.
        token: u32,
        /// Text that is ready to show.
        text: String,
    },
    /// The answer is complete: everything, so that a caller need not add it up.
    Finished(Completion),
    /// The answer was given up.
    Failed(crate::GenerateError),
}

impl Request {
    /// Checks the request against a vocabulary and the limit on prompt and answer together.
    ///
    /// # Errors
    /// [`InvalidRequest`] names the first value out of range.
    pub fn validate(&self, vocab: usize, context_max: usize) -> Result<(), InvalidRequest> {
        if self.prompt.is_empty() {
            return Err(InvalidRequest::EmptyPrompt);
        }
        if self.max_tokens == 0 {
            return Err(InvalidRequest::NoTokens);
        }
        if self.prompt.len().saturating_add(self.max_tokens as usize) > context_max {
            return Err(InvalidRequest::TooLong {
                prompt: self.prompt.len(),
                max_tokens: self.max_tokens,
                limit: context_max,
            });
        }
        if let Some(&token) = self.prompt.iter().find(|&&token| token as usize >= vocab) {
            return Err(InvalidRequest::Token { token, vocab });
        }
        self.sampling.validate()?;
        check_stops(&self.stop)
    }
}

impl Sampling {
    fn validate(&self) -> Result<(), InvalidRequest> {
        let refuse = |field, value, range| Err(InvalidRequest::Sampling { field, value, range });
        if !(0.0..=2.0).contains(&self.temperature) {
            return refuse("temperature", self.temperature, "0 to 2");
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return refuse("top_p", self.top_p, "above 0 and at most 1");
        }
        Ok(())
    }
}

fn check_stops(stop: &[String]) -> Result<(), InvalidRequest> {
    if stop.len() > STOP_STRINGS_MAX {
        return Err(InvalidRequest::StopCount { given: stop.len(), limit: STOP_STRINGS_MAX });
    }
    let bad = stop.iter().map(String::len).find(|&bytes| bytes == 0 || bytes > STOP_STRING_BYTES_MAX);
    bad.map_or(Ok(()), |bytes| Err(InvalidRequest::StopLength { bytes, limit: STOP_STRING_BYTES_MAX }))
}
