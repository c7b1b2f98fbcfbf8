//! Errors of each operation. The gateway maps them to HTTP; this crate does not know HTTP.

use std::{path::PathBuf, sync::Arc};

use openledger_primitives::B256;

use crate::adapters::AdapterId;

/// What is wrong with a request.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRequest {
    /// The prompt has no token.
    #[error("the prompt is empty")]
    EmptyPrompt,
    /// A prompt token is not in the vocabulary.
    #[error("prompt token {token} is outside the vocabulary of {vocab}")]
    Token {
        /// The token.
        token: u32,
        /// Tokens in the vocabulary.
        vocab: usize,
    },
    /// `max_tokens` is zero.
    #[error("max_tokens is 0; it must be at least 1")]
    NoTokens,
    /// Prompt and answer together are too long.
    #[error("the prompt has {prompt} tokens and max_tokens is {max_tokens}; together they may be at most {limit}")]
    TooLong {
        /// Prompt tokens.
        prompt: usize,
        /// Tokens asked for.
        max_tokens: u32,
        /// Most tokens together.
        limit: usize,
    },
    /// A sampling parameter is out of range.
    #[error("{field} is {value}; it must be {range}")]
    Sampling {
        /// The parameter.
        field: &'static str,
        /// Its value.
        value: f32,
        /// The range that is allowed, in words.
        range: &'static str,
    },
    /// Too many stop strings.
    #[error("{given} stop strings were given; at most {limit} are allowed")]
    StopCount {
        /// How many.
        given: usize,
        /// The limit.
        limit: usize,
    },
    /// A stop string is empty or too long.
    #[error("a stop string has {bytes} bytes; it must have 1 to {limit}")]
    StopLength {
        /// Its bytes.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
}

/// Why a request was not taken.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The queue is full: try again later (HTTP 429).
    #[error("{queued} requests wait already (limit {limit}); retry after {retry_after_ms} ms")]
    Busy {
        /// Requests that wait.
        queued: usize,
        /// The limit.
        limit: usize,
        /// When to try again.
        retry_after_ms: u64,
    },
    /// No adapter of that name is registered (HTTP 404).
    #[error("no adapter {id} is registered")]
    UnknownAdapter {
        /// The name asked for.
        id: AdapterId,
    },
    /// The request breaks a limit (HTTP 422).
    #[error(transparent)]
    Invalid(#[from] InvalidRequest),
    /// The server is shutting down.
    #[error("the server is shutting down")]
    Stopped,
}

/// Why a request that was taken was given up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GenerateError {
    /// Its adapter could not be loaded.
    #[error("adapter {id} could not be loaded: {reason}")]
    Adapter {
        /// The adapter.
        id: AdapterId,
        /// The whole chain of causes.
        reason: Arc<str>,
    },
    /// The engine refused the pass.
    #[error("the engine failed: {reason}")]
    Engine {
        /// The whole chain of causes.
        reason: Arc<str>,
    },
    /// The caller cancelled it before anything was computed for it.
    #[error("the request was cancelled while it waited")]
    Cancelled,
    /// The server stopped before the answer was complete.
    #[error("the server stopped before the answer was complete")]
    Stopped,
}

/// Why an adapter was not registered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The name is not usable (HTTP 422).
    #[error("adapter name {name:?} is not 1 to {limit} characters of a-z, A-Z, 0-9, and any of . _ - : /")]
    Name {
        /// The name given.
        name: String,
        /// Most characters.
        limit: usize,
    },
    /// Registered already with other weights (HTTP 409).
    #[error(
        "adapter {id} is registered as generation {generation} with weights {registered}; the new weights are {given}"
    )]
    Conflict {
        /// The adapter.
        id: AdapterId,
        /// The generation that is registered.
        generation: u64,
        /// Its weights' hash.
        registered: B256,
        /// The hash of the new weights.
        given: B256,
    },
    /// Trained for another base model (HTTP 422).
    #[error("adapter {id} is for base model {adapter_base}; this server runs {base}")]
    BaseModel {
        /// The adapter.
        id: AdapterId,
        /// The base model that it names.
        adapter_base: B256,
        /// The base model here.
        base: B256,
    },
    /// The weights are not those that were announced (HTTP 422).
    #[error("adapter {id} has weights {actual}; {expected} were announced")]
    Weights {
        /// The adapter.
        id: AdapterId,
        /// What was announced.
        expected: B256,
        /// What the file holds.
        actual: B256,
    },
    /// The rank is above this server's limit (HTTP 422).
    #[error("adapter {id} has rank {rank}; this server takes at most {rank_max}")]
    Rank {
        /// The adapter.
        id: AdapterId,
        /// Its rank.
        rank: u32,
        /// The limit.
        rank_max: u32,
    },
    /// The adapter's file is missing or not a supported adapter (HTTP 422).
    #[error("could not read adapter {id} from {path}")]
    Read {
        /// The adapter.
        id: AdapterId,
        /// Where it was looked for.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Too many adapters (HTTP 429).
    #[error("{limit} adapters are registered already, which is the limit")]
    Full {
        /// The limit.
        limit: usize,
    },
    /// The server is shutting down.
    #[error("the server is shutting down")]
    Stopped,
}

/// Why an adapter was not unloaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnloadError {
    /// No adapter of that name is registered (HTTP 404).
    #[error("no adapter {id} is registered")]
    Unknown {
        /// The name given.
        id: AdapterId,
    },
}

/// `error` and all its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> Arc<str> {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text.into()
}
