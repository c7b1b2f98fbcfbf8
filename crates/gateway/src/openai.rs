//! The shapes of OpenAI's chat API: what clients send and what they get.

use axum::http::StatusCode;
use openledger_serve::{FinishReason, Usage};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::error::ApiError;

/// Most messages in one request.
pub(crate) const MESSAGES_MAX: usize = 256;
/// Most bytes of text in all messages together.
pub(crate) const TEXT_BYTES_MAX: usize = 256 * 1024;
/// Tokens generated when the caller names no limit.
pub(crate) const MAX_TOKENS_DEFAULT: u32 = 256;

/// Body of `POST /v1/chat/completions`.
///
/// Fields that clients send by habit and that cannot change the answer here ([`IGNORED`]) are taken and ignored, and so
/// are others that say what is done anyway ([`NEUTRAL`]). Every other field is refused by name: an answer that is not
/// what was asked for must not be charged.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ChatRequest {
    /// Name of a published model, or of the base model.
    pub model: String,
    /// The conversation.
    pub messages: Vec<Message>,
    /// Most tokens to generate.
    #[serde(default)]
    pub max_tokens: Option<u32>,
    /// The newer name of the same.
    #[serde(default)]
    pub max_completion_tokens: Option<u32>,
    /// Softmax temperature.
    #[serde(default)]
    pub temperature: Option<f64>,
    /// Nucleus mass.
    #[serde(default)]
    pub top_p: Option<f64>,
    /// Most candidates; vLLM's extension.
    #[serde(default)]
    pub top_k: Option<u32>,
    /// Seed of the draws; derived from the request when absent.
    #[serde(default)]
    pub seed: Option<u64>,
    /// Texts that end the answer.
    #[serde(default)]
    pub stop: Option<Stop>,
    /// Whether to send tokens as they come.
    #[serde(default)]
    pub stream: bool,
    /// Options of the stream.
    #[serde(default)]
    pub stream_options: Option<StreamOptions>,
    /// Number of answers; only 1.
    #[serde(default)]
    pub n: Option<u32>,
    /// Ours: whether the response carries the attribution; a receipt is always made.
    #[serde(default)]
    pub attribution: Option<bool>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// One message of a conversation.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(crate) struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// Its text.
    pub content: Content,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// Text, or OpenAI's list of text parts.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(untagged)]
pub(crate) enum Content {
    /// Plain text.
    Text(String),
    /// Parts; only text parts are supported.
    Parts(Vec<Part>),
}

/// A part of a message.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(crate) struct Part {
    /// `text`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its text.
    #[serde(default)]
    pub text: String,
}

/// One stop text or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum Stop {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// Options of a stream.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(crate) struct StreamOptions {
    /// Whether one last chunk with empty choices carries the usage.
    #[serde(default)]
    pub include_usage: bool,
}

/// Fields that say nothing about the answer: whose it is, how it is billed, kept or scheduled elsewhere.
const IGNORED: [&str; 11] = [
    "user",
    "metadata",
    "store",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "parallel_tool_calls",
    "request_id",
    "priority",
    "cache_salt",
];

/// Fields that would change the answer and are not supported, with the values, as JSON, at which they change nothing.
const NEUTRAL: [(&str, &[&str]); 24] = [
    ("tools", &["[]"]),
    ("tool_choice", &[r#""none""#, r#""auto""#]),
    ("functions", &["[]"]),
    ("function_call", &[r#""none""#, r#""auto""#]),
    ("response_format", &[r#"{"type":"text"}"#]),
    ("modalities", &[r#"["text"]"#]),
    ("reasoning_effort", &[r#""none""#]),
    ("logit_bias", &["{}"]),
    ("logprobs", &["false"]),
    ("top_logprobs", &["0"]),
    ("frequency_penalty", &["0"]),
    ("presence_penalty", &["0"]),
    ("repetition_penalty", &["1"]),
    ("length_penalty", &["1"]),
    ("min_p", &["0"]),
    ("min_tokens", &["0"]),
    ("best_of", &["1"]),
    ("use_beam_search", &["false"]),
    ("ignore_eos", &["false"]),
    ("echo", &["false"]),
    ("stop_token_ids", &["[]"]),
    ("skip_special_tokens", &["true"]),
    ("add_generation_prompt", &["true"]),
    ("continue_final_message", &["false"]),
];

/// The same of a message: what answers carry that clients send back as part of the conversation. A `name` is not part of
/// any template here.
const MESSAGE_IGNORED: [&str; 1] = ["name"];
/// The same of a message.
const MESSAGE_NEUTRAL: [(&str, &[&str]); 2] = [("tool_calls", &["[]"]), ("annotations", &["[]"])];

/// The first field that would change the answer.
fn unsupported<'f>(
    fields: &'f Map<String, Value>,
    ignored: &[&str],
    neutral: &[(&str, &[&str])],
) -> Option<&'f String> {
    let harmless = |name: &str, value: &Value| {
        let mut at = neutral.iter().filter(|(known, _)| *known == name).flat_map(|(_, values)| *values);
        value.is_null() || ignored.contains(&name) || at.any(|neutral| is(value, neutral))
    };
    fields.iter().find(|(name, value)| !harmless(name, value)).map(|(name, _)| name)
}

/// Whether a value is the one written, where 0 and 0.0 are the same.
fn is(value: &Value, written: &str) -> bool {
    let Ok(written) = serde_json::from_str::<Value>(written) else { return false };
    *value == written || value.as_f64().is_some_and(|number| written.as_f64() == Some(number))
}

/// A conversation ready for the chat template: role and text.
pub(crate) type Turns = Vec<(String, String)>;

impl ChatRequest {
    /// Checks what does not depend on a model and gives the conversation.
    ///
    /// # Errors
    /// 422 naming the field, the limit and the value.
    pub(crate) fn turns(&self) -> Result<Turns, ApiError> {
        self.check_fields()?;
        if self.messages.is_empty() || self.messages.len() > MESSAGES_MAX {
            let message = format!("{} messages were given; 1 to {MESSAGES_MAX} are taken", self.messages.len());
            return Err(ApiError::invalid("invalid_messages", message).with_param("messages"));
        }
        let turns = self.messages.iter().map(Message::turn).collect::<Result<Turns, ApiError>>()?;
        let bytes: usize = turns.iter().map(|(_, text)| text.len()).sum();
        if bytes > TEXT_BYTES_MAX {
            let message = format!("the messages hold {bytes} bytes; at most {TEXT_BYTES_MAX} are taken");
            return Err(
                ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "messages_too_large", message).with_param("messages")
            );
        }
        Ok(turns)
    }

    fn check_fields(&self) -> Result<(), ApiError> {
        if let Some(field) = unsupported(&self.rest, &IGNORED, &NEUTRAL) {
            return Err(ApiError::invalid("unsupported_field", format!("{field} is not supported")).with_param(field));
        }
        match self.n {
            None | Some(1) => Ok(()),
            Some(n) => {
                Err(ApiError::invalid("unsupported_field", format!("n is {n}; only 1 is supported")).with_param("n"))
            }
        }
    }

    /// The most tokens to generate.
    pub(crate) fn tokens_max(&self) -> u32 {
        self.max_completion_tokens.or(self.max_tokens).unwrap_or(MAX_TOKENS_DEFAULT)
    }

    /// Texts that end the answer.
    pub(crate) fn stops(&self) -> Vec<String> {
        match &self.stop {
            None => Vec::new(),
            Some(Stop::One(text)) => vec![text.clone()],
            Some(Stop::Many(texts)) => texts.clone(),
        }
    }
}

impl Message {
    fn turn(&self) -> Result<(String, String), ApiError> {
        if !["system", "user", "assistant"].contains(&self.role.as_str()) {
            let message = format!("role {:?} is not one of system, user and assistant", self.role);
            return Err(ApiError::invalid("invalid_role", message).with_param("messages"));
        }
        if let Some(field) = unsupported(&self.rest, &MESSAGE_IGNORED, &MESSAGE_NEUTRAL) {
            let message = format!("{field} of a message is not supported");
            return Err(ApiError::invalid("unsupported_field", message).with_param("messages"));
        }
        let text = match &self.content {
            Content::Text(text) => text.clone(),
            Content::Parts(parts) => join_parts(parts)?,
        };
        Ok((self.role.clone(), text))
    }
}

fn join_parts(parts: &[Part]) -> Result<String, ApiError> {
    match parts.iter().find(|part| part.kind != "text") {
        Some(part) => {
            let message = format!("message parts of type {:?} are not supported, only text", part.kind);
            Err(ApiError::invalid("unsupported_part", message).with_param("messages"))
        }
        None => Ok(parts.iter().map(|part| part.text.as_str()).collect()),
    }
}

/// OpenAI's name for why an answer ended.
pub(crate) fn finish_reason(finish: FinishReason) -> &'static str {
    match finish {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        // Ours: OpenAI's API has no answers that their caller, or the time they may take, ended.
        FinishReason::Cancelled => "cancelled",
    }
}

/// OpenAI's usage object.
pub(crate) fn usage(usage: Usage) -> Value {
    let total = u64::from(usage.tokens_in) + u64::from(usage.tokens_out);
    json!({"prompt_tokens": usage.tokens_in, "completion_tokens": usage.tokens_out, "total_tokens": total})
}

/// Identity of an answer, shared by all its chunks.
#[derive(Debug, Clone)]
pub(crate) struct AnswerHead {
    /// `chatcmpl-...`.
    pub id: String,
    /// Unix seconds.
    pub created: u64,
    /// The model's name as asked for.
    pub model: String,
}

impl AnswerHead {
    /// A whole answer.
    pub(crate) fn completion(&self, text: &str, finish: FinishReason, used: Usage) -> Value {
        json!({
            "id": self.id, "object": "chat.completion", "created": self.created, "model": self.model,
            "choices": [{
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "logprobs": null,
                "finish_reason": finish_reason(finish),
            }],
            "usage": usage(used),
        })
    }

    /// A chunk of a stream.
    pub(crate) fn chunk(&self, delta: Value, finish: Option<FinishReason>) -> Value {
        let finish = finish.map(finish_reason);
        self.chunk_with(json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]))
    }

    /// The last chunk of a stream when the caller asked for usage: empty choices.
    pub(crate) fn usage_chunk(&self, used: Usage) -> Value {
        let mut chunk = self.chunk_with(json!([]));
        chunk["usage"] = usage(used);
        chunk
    }

    fn chunk_with(&self, choices: Value) -> Value {
        json!({
            "id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self.model,
            "choices": choices,
        })
    }
}
