//! From a request to an attributed answer: the functions that serving and replay share, so that they cannot differ.

use openledger_attribution::attest::{self, AttributeError, Attribution, Question};
use openledger_attribution::influence::SketchError;
use openledger_attribution::suffix::{Answer, AnswerError};
use openledger_engine::{ChatMessage, EncodeChatError, Exec, Model};
use openledger_primitives::{B256, keccak256};
use openledger_serve::{Completion, Request};
use openledger_train::{Artifact, EngineVersion};

use crate::canonical::CanonicalRequest;
use crate::catalog::Published;

/// Why a request cannot be turned into tokens.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PromptError {
    /// The base model has no chat template.
    #[error("the base model carries no chat template")]
    NoTemplate,
    /// The template or the tokenizer refused the messages.
    #[error("the messages cannot be encoded")]
    Encode(#[from] EncodeChatError),
}

/// Why an answer cannot be attributed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttributionError {
    /// The gradient pass failed.
    #[error("the answer's gradients cannot be computed")]
    Sketch(#[from] SketchError),
    /// The answer cannot be traced.
    #[error("the answer cannot be traced in the training text")]
    Answer(#[from] AnswerError),
    /// Indexes and query do not fit.
    #[error(transparent)]
    Attribute(#[from] AttributeError),
}

/// The request as the model server takes it.
///
/// # Errors
/// [`PromptError`] when the messages cannot be encoded.
pub fn encode(base: &Model, model: Option<&Published>, canonical: &CanonicalRequest) -> Result<Request, PromptError> {
    let template = base.chat_template().ok_or(PromptError::NoTemplate)?;
    let messages = turns(model, canonical);
    let prompt = base.tokenizer().encode_chat(template, &messages, true)?;
    let mut request = Request::new(prompt, canonical.max_tokens);
    request.adapter = model.and_then(|model| model.adapter().ok());
    request.sampling = canonical.sampling();
    request.seed = canonical.seed();
    request.stop = canonical.stop.clone();
    Ok(request)
}

/// The conversation, under the system prompt that the model was trained with unless the caller gives one.
fn turns(model: Option<&Published>, canonical: &CanonicalRequest) -> Vec<ChatMessage> {
    let given = canonical.messages.iter().any(|(role, _)| role == "system");
    let system = model.and_then(|model| model.system_prompt.as_deref()).filter(|_| !given);
    let system = system.map(|text| ChatMessage::new("system", text));
    let messages = canonical.messages.iter().map(|(role, text)| ChatMessage::new(role.as_str(), text.as_str()));
    system.into_iter().chain(messages).collect()
}

/// Attributes a completion: one gradient pass over all checkpoints, exact scores, spans. Blocks while it computes.
///
/// # Errors
/// [`AttributionError`] when the answer is too long to trace or the indexes do not fit the model.
pub fn attribute(
    base: &Model,
    exec: &mut Exec,
    artifact: &Artifact,
    prompt: &[u32],
    completion: &Completion,
    request_hash: B256,
) -> Result<Attribution, AttributionError> {
    let tokens: Vec<u32> = prompt.iter().chain(&completion.tokens).copied().collect();
    let answered = prompt.len()..tokens.len();
    let sketch = artifact.influence.sketch(base, exec, &artifact.checkpoints, &tokens, answered)?;
    let answer = traced(base, completion)?;
    let question = Question { request_hash, sketch: &sketch, answer: &answer };
    let policy = &artifact.manifest.attribution.policy.weights;
    Ok(attest::attribute(policy, &artifact.influence, &artifact.suffix, question)?)
}

/// The answer without control tokens, each token with its bytes.
fn traced(base: &Model, completion: &Completion) -> Result<Answer, AnswerError> {
    let tokenizer = base.tokenizer();
    let visible: Vec<u32> = completion.tokens.iter().copied().filter(|&token| !tokenizer.is_control(token)).collect();
    let pieces: Vec<&[u8]> = visible.iter().map(|&token| tokenizer.token_bytes(token).unwrap_or_default()).collect();
    Answer::new(&visible, &pieces)
}

/// Id of the engine that receipts name: name, version and arithmetic.
pub fn engine_id() -> B256 {
    let engine = EngineVersion::current();
    keccak256(format!("{} {}", engine.name, engine.version))
}

/// Id of the quantisation that receipts name.
pub fn quantisation_id() -> B256 {
    keccak256(EngineVersion::current().arithmetic)
}
