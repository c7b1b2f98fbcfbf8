//! `POST /v1/chat/completions`: answers, paid by vouchers, each with a receipt.
//!
//! The order of things: read the request, offer a price ceiling, let the payment in, generate, attribute, charge.
//! Nothing is charged before the answer is complete, and nothing of it is lost once it is charged. A caller who closes a
//! stream completes its answer there: it ends with the tokens that there are, and costs no more than those. The same
//! happens when the time that offers name is over: until then the payment's channel is held, and no longer.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::sse::{Event as SseEvent, Sse};
use axum::response::{IntoResponse, Response};
use openledger_attribution::attest::Attribution;
use openledger_primitives::{B256, Wei};
use openledger_serve::{Completion, Generation, Request, SubmitError};
use openledger_settlement::ledger::{
    ANSWER_BYTES_MAX, Admission, Charge, ChargeError, Kept, Reservation, StoredAnswer,
};
use openledger_settlement::receipt::{ReceiptDraft, SignedReceipt};
use openledger_settlement::refusal;
use openledger_settlement::split::{Usage, fee};
use openledger_settlement::till::AdmitError;
use openledger_settlement::verify::{Disclosure, response_hash};
use openledger_settlement::x402::{
    PAYMENT_REQUIRED_HEADER, PAYMENT_RESPONSE_HEADER, PAYMENT_SIGNATURE_HEADER, PaymentPayload, PaymentRequired,
    PaymentRequirements, from_header, to_header,
};
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::answer::{self, PromptError};
use crate::api::chat as view;
use crate::app::App;
use crate::canonical::CanonicalRequest;
use crate::catalog::{Published, shares};
use crate::clock::now_s;
use crate::desk::{DeskError, Task};
use crate::error::{ApiError, chain};
use crate::explain::Explanation;
use crate::lineage;
use crate::openai::{AnswerHead, ChatRequest};
use crate::replay::hash_request;
use crate::routes::{blocking, models};
use crate::stream::{self, Reader, data, done};

/// Response header with the receipt's hash.
pub const RECEIPT_HEADER: &str = "x-openledger-receipt";
/// Response header with the salt of the request's and the answer's hash.
pub const SALT_HEADER: &str = "x-openledger-salt";
/// Request header of a payment that was sent before: give its stored answer, and answer nothing anew. 204 where the
/// payment was charged for nothing. It waits for an answer that is still being made.
pub const STORED_HEADER: &str = "x-openledger-stored";
/// Path of this endpoint, named in payment offers.
pub(crate) const PATH: &str = "/v1/chat/completions";
/// Path of [`quote`].
pub(crate) const QUOTE_PATH: &str = "/v1/chat/quote";
/// Requests encoded at once.
pub(crate) const ENCODINGS_MAX: usize = 4;

/// A request read, encoded and priced.
struct Ask {
    chat: ChatRequest,
    canonical: CanonicalRequest,
    salt: B256,
    request_hash: B256,
    request: Request,
    head: AnswerHead,
    received_at: u64,
    /// When the answer ends with what there is of it.
    deadline: Instant,
}

/// Answers a chat request.
pub(crate) async fn completions(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let payload = headers.get(PAYMENT_SIGNATURE_HEADER).map(read_payment).transpose()?;
    let fingerprint = openledger_primitives::keccak256(&body);
    if let Some(payload) = payload.as_ref().filter(|payload| payload.is_refund()) {
        return Ok(refund(&app, payload, fingerprint).await);
    }
    let (chat, model) = read(&app, &body)?;
    let Some(model) = model else { return answer_free(app, chat).await };
    let ask = read_ask(&app, Some(&model), chat).await?;
    let offer = app.till.offer(ask.ceiling(&model)?);
    let Some(payload) = payload else {
        let sentence = refusal::unpaid(&offer);
        return Ok(payment_required(&payment_asked(&app, offer), "payment_required", &sentence));
    };
    if headers.contains_key(STORED_HEADER) {
        return match app.till.stored(&payload, &offer, fingerprint).await {
            Ok(Some(answered)) => Ok(repeat(&ask, &answered)),
            Ok(None) => Ok(StatusCode::NO_CONTENT.into_response()),
            Err(error) => Ok(refused(&app, &offer, &payload, &error)),
        };
    }
    // Better no answer than one that cannot be charged.
    lineage::know(&app.chain, app.ledger(), model.id, &model.split).await?;
    match app.till.admit(&payload, &offer, fingerprint).await {
        Ok(Admission::Answered(answered)) => Ok(repeat(&ask, &answered)),
        Ok(Admission::Reserved(reservation)) => serve_paid(app, Paid { ask, model, reservation, offer }).await,
        Err(error) => Ok(refused(&app, &offer, &payload, &error)),
    }
}

/// Says what a request would cost: `POST /v1/chat/quote`. Nothing is asked, held or charged.
///
/// A client without payment learns the same from the 402 of the request itself; browsers log that as an error.
pub(crate) async fn quote(State(app): State<Arc<App>>, body: Bytes) -> Result<Json<view::Quote>, ApiError> {
    let (chat, model) = read(&app, &body)?;
    let ask = read_ask(&app, model.as_ref(), chat).await?;
    let ceiling = model.as_deref().map_or(Ok(Wei::ZERO), |model| ask.ceiling(model))?;
    Ok(Json(view::Quote {
        prompt_tokens: ask.tokens_in(),
        max_tokens: ask.request.max_tokens,
        price: model.as_deref().map(|model| models::price(&model.price)),
        ceiling_wei: ceiling.into(),
        x402: model.is_some().then(|| payment_asked(&app, app.till.offer(ceiling))),
        model: ask.chat.model,
    }))
}

/// The request in `body`, and the model that it names; none for the base model.
fn read(app: &App, body: &[u8]) -> Result<(ChatRequest, Option<Arc<Published>>), ApiError> {
    let chat: ChatRequest = serde_json::from_slice(body)
        .map_err(|error| ApiError::bad_request("malformed_json", format!("the body is not a chat request: {error}")))?;
    if chat.model == app.catalog.base_name() {
        return Ok((chat, None));
    }
    let model = app.catalog.by_name(&chat.model).ok_or_else(|| ApiError::not_found("model", &chat.model))?;
    Ok((chat, Some(model)))
}

/// Encodes a request. Long texts take a while, and nobody has paid for it yet: so it is done apart from the threads that
/// serve everybody else, and only for a few requests at once.
async fn read_ask(app: &Arc<App>, model: Option<&Arc<Published>>, chat: ChatRequest) -> Result<Ask, ApiError> {
    let place = Arc::clone(&app.encoders).acquire_owned().await.map_err(|error| ApiError::internal(&error))?;
    let (app, model) = (Arc::clone(app), model.cloned());
    let work = move || {
        // Kept until the work is done, also when the asker goes away meanwhile.
        let _place = place;
        Ask::new(&app, model.as_deref(), chat)
    };
    blocking(work).await?
}

fn payment_asked(app: &App, offer: PaymentRequirements) -> PaymentRequired {
    PaymentRequired::new(app.url(PATH), "payment is required", offer)
}

fn read_payment(header: &HeaderValue) -> Result<PaymentPayload, ApiError> {
    from_header(header.as_bytes()).map_err(|error| ApiError::bad_request("invalid_payment_header", chain(&error)))
}

/// Gives free money of a channel back (x402, payload `refund`). Nothing is generated, so the request's body is not read.
async fn refund(app: &App, payload: &PaymentPayload, fingerprint: B256) -> Response {
    let offer = app.till.offer(payload.accepted.amount);
    match app.till.refund(payload, &offer, fingerprint).await {
        Ok(settled) => {
            let body = json!({"object": "refund", "x402": settled});
            with_header(Json(body).into_response(), PAYMENT_RESPONSE_HEADER, &to_header(&settled))
        }
        Err(error) => refused(app, &offer, payload, &error),
    }
}

/// The 402 for a payment or a refund that was not taken: the x402 code for programs, the sentence for people.
fn refused(app: &App, offer: &PaymentRequirements, payload: &PaymentPayload, error: &AdmitError) -> Response {
    tracing::debug!(code = error.code(), error = %chain(error), "payment refused");
    let required = app.till.refusal(&app.url(PATH), offer, payload, error);
    payment_required(&required, error.code(), &refusal::sentence(error, offer, payload))
}

fn payment_required(required: &PaymentRequired, code: &str, sentence: &str) -> Response {
    let body = json!({"error": {
        "message": sentence, "type": "payment_required", "code": code, "param": null,
    }, "x402": required});
    with_header(
        (StatusCode::PAYMENT_REQUIRED, Json(body)).into_response(),
        PAYMENT_REQUIRED_HEADER,
        &to_header(required),
    )
}

fn with_header(mut response: Response, name: &str, value: &str) -> Response {
    let pair = HeaderName::from_bytes(name.as_bytes()).ok().zip(HeaderValue::from_str(value).ok());
    if let Some((name, value)) = pair {
        response.headers_mut().insert(name, value);
    }
    response
}

impl Ask {
    fn new(app: &App, model: Option<&Published>, chat: ChatRequest) -> Result<Self, ApiError> {
        let salt = random_salt()?;
        let canonical = CanonicalRequest::new(&chat, salt)?;
        let request_hash = hash_request(&canonical, salt)?;
        let mut request = answer::encode(app.catalog.base(), model, &canonical)?;
        request.tenant = chat.model.clone();
        // What could not be answered is refused before anybody pays for it.
        app.server.check(&request)?;
        let received_at = now_s();
        let deadline = Instant::now() + Duration::from_secs(app.till.offer(Wei::ZERO).max_timeout_seconds);
        let id = format!("chatcmpl-{}", hex_prefix(request_hash));
        let head = AnswerHead { id, created: received_at, model: chat.model.clone() };
        Ok(Self { chat, canonical, salt, request_hash, request, head, received_at, deadline })
    }

    /// The most that this request can cost.
    fn ceiling(&self, model: &Published) -> Result<Wei, ApiError> {
        let usage = Usage { tokens_in: self.tokens_in(), tokens_out: self.request.max_tokens };
        fee(&model.price, usage).map_err(|error| ApiError::invalid("fee_overflow", error.to_string()))
    }

    fn tokens_in(&self) -> u32 {
        u32::try_from(self.request.prompt.len()).unwrap_or(u32::MAX)
    }

    fn usage_chunk(&self) -> bool {
        self.chat.stream_options.is_some_and(|options| options.include_usage)
    }
}

/// A request whose payment was let in.
struct Paid {
    ask: Ask,
    model: Arc<Published>,
    reservation: Reservation,
    offer: PaymentRequirements,
}

async fn serve_paid(app: Arc<App>, mut paid: Paid) -> Result<Response, ApiError> {
    paid.ask.request.tenant = paid.reservation.channel().to_string();
    let generation = app.server.submit(paid.ask.request.clone())?;
    if paid.ask.chat.stream {
        return Ok(stream_paid(app, paid, generation));
    }
    let completion = stream::finish(generation, paid.ask.deadline).await?;
    let (wants, salt) = (paid.ask.chat.attribution.unwrap_or(false), paid.ask.salt);
    let charge = settle(&app, paid, completion).await?;
    Ok(paid_response(&charge.answered, wants, salt))
}

/// Attributes and charges a finished answer.
async fn settle(app: &Arc<App>, paid: Paid, completion: Completion) -> Result<Charge, ApiError> {
    let Paid { ask, model, reservation, offer } = paid;
    let task = Task {
        model: Arc::clone(&model),
        prompt: ask.request.prompt.clone(),
        completion: completion.clone(),
        request_hash: ask.request_hash,
    };
    let attribution = app.desk.attribute(task).await?;
    let draft = draft(app, &ask, &model, &completion, &attribution, &offer);
    let explained = explain(app, model, completion.clone(), attribution).await?;
    let kept = move |receipt: &SignedReceipt| Kept {
        answer: stored_body(&ask, &completion, &explained, receipt),
        credits: explained.credits(&receipt.receipt),
    };
    Ok(app.till.charge(reservation, draft, kept).await?)
}

/// Finds the records behind an attribution's numbers.
async fn explain(
    app: &Arc<App>,
    model: Arc<Published>,
    completion: Completion,
    attribution: Attribution,
) -> Result<Explanation, ApiError> {
    let app = Arc::clone(app);
    let work = move || {
        let artifact = app.catalog.artifact(&model).map_err(|error| ApiError::internal(&error))?;
        let tokenizer = app.catalog.base().tokenizer();
        Ok::<_, ApiError>(Explanation::new(&attribution, &completion, &artifact, tokenizer, &app.snapshots)?)
    };
    blocking(work).await?
}

fn draft(
    app: &App,
    ask: &Ask,
    model: &Published,
    completion: &Completion,
    attribution: &Attribution,
    offer: &PaymentRequirements,
) -> ReceiptDraft {
    let used = completion.usage;
    ReceiptDraft {
        model: model.id,
        base_model: app.catalog.base().hash(),
        weights_hash: model.weights_hash,
        engine_id: answer::engine_id(),
        quantisation_id: answer::quantisation_id(),
        seed: ask.canonical.seed(),
        request_hash: ask.request_hash,
        response_hash: response_hash(&completion.text, ask.salt),
        usage: Usage { tokens_in: used.tokens_in, tokens_out: used.tokens_out },
        price: model.price.clone(),
        bps: model.split.clone(),
        builder: model.builder,
        attribution_method: attribution.method,
        snapshot_roots: model.snapshot_roots.clone(),
        index_root: model.index_root,
        influence: shares(attribution.influence.outcome.weights()),
        provenance: shares(attribution.provenance.weights()),
        attribution_root: attribution.root(),
        requested_at: ask.received_at,
        answered_at: now_s(),
        offer_hash: offer.offer_hash(),
    }
}

/// What is kept of an answer: the response, and beside it what the caller needs to replay it. It is kept for retries
/// and for disputes, and given to nobody but the payer.
fn stored_body(ask: &Ask, completion: &Completion, explained: &Explanation, receipt: &SignedReceipt) -> Vec<u8> {
    let disclosure = Disclosure {
        request: serde_json::to_value(&ask.canonical).unwrap_or_default(),
        answer: completion.text.clone(),
        salt: ask.salt,
    };
    let mut body = ask.head.completion(&completion.text, completion.finish, completion.usage);
    body["openledger"] = json!({
        "receipt_hash": receipt.hash(),
        "receipt": receipt,
        "disclosure": disclosure,
        "attribution": explained.view(&receipt.receipt),
    });
    fitted(body)
}

/// A body that can be kept, whatever a model's recipe counts: details that a replay finds again are left out of one that
/// is too large, so that its answer is charged all the same. The receipt and the attribution's root stay.
fn fitted(mut body: Value) -> Vec<u8> {
    let mut bytes = body.to_string().into_bytes();
    for (details, left) in [("evidence", json!({"left_out": true})), ("spans", json!([]))] {
        if bytes.len() <= ANSWER_BYTES_MAX {
            break;
        }
        body["openledger"]["attribution"][details] = left;
        bytes = body.to_string().into_bytes();
    }
    bytes
}

/// A stored answer as the payer gets it: with receipt, disclosure and attribution where asked for.
fn paid_response(answered: &StoredAnswer, wants_attribution: bool, salt: B256) -> Response {
    let mut body: Value = serde_json::from_slice(&answered.answer).unwrap_or_default();
    let salt =
        body.pointer("/openledger/disclosure/salt").and_then(Value::as_str).map_or(salt.to_string(), str::to_owned);
    if let (false, Some(fields)) = (wants_attribution, body.as_object_mut()) {
        fields.remove("openledger");
    }
    let mut response = Json(body).into_response();
    if let Some(hash) = answered.settlement.extra.as_ref().and_then(|extra| extra.receipt_hash) {
        response = with_header(response, RECEIPT_HEADER, &hash.to_string());
    }
    response = with_header(response, SALT_HEADER, &salt);
    with_header(response, PAYMENT_RESPONSE_HEADER, &to_header(&answered.settlement))
}

/// The answer to a payment that was charged before: the same bytes, and no second charge.
fn repeat(ask: &Ask, answered: &StoredAnswer) -> Response {
    let wants = ask.chat.attribution.unwrap_or(false);
    if !ask.chat.stream {
        return paid_response(answered, wants, ask.salt);
    }
    let body: Value = serde_json::from_slice(&answered.answer).unwrap_or_default();
    let text = body.pointer("/choices/0/message/content").cloned().unwrap_or_default();
    let mut chunks = vec![data(&ask.head.chunk(json!({"role": "assistant", "content": text}), None))];
    chunks.extend(epilogue(ask, answered));
    Sse::new(futures::stream::iter(chunks.into_iter().map(Ok::<_, Infallible>))).into_response()
}

fn stream_paid(app: Arc<App>, paid: Paid, generation: Generation) -> Response {
    let (mut reader, response) = Reader::open(paid.ask.deadline);
    // The task goes on when the reader goes away: the answer ends there, and what there is of it is attributed, charged
    // and kept, so that the payer can fetch it.
    tokio::spawn(async move {
        if let Err(error) = pump_paid(&app, paid, generation, &mut reader).await {
            reader.fail(&error).await;
        }
    });
    response
}

async fn pump_paid(app: &Arc<App>, paid: Paid, generation: Generation, reader: &mut Reader) -> Result<(), ApiError> {
    let head = paid.ask.head.clone();
    let completion = stream::pump(generation, &head, reader).await?;
    let tail = Tail { usage: paid.ask.usage_chunk(), wants: paid.ask.chat.attribution.unwrap_or(false) };
    let charge = settle(app, paid, completion).await?;
    for chunk in tail.chunks(&head, &charge.answered) {
        reader.send(chunk).await;
    }
    Ok(())
}

/// How a stream ends.
struct Tail {
    usage: bool,
    wants: bool,
}

impl Tail {
    /// The finish reason, the usage if asked for, the receipt as a comment that clients skip, and `[DONE]`.
    fn chunks(&self, head: &AnswerHead, answered: &StoredAnswer) -> Vec<SseEvent> {
        let body: Value = serde_json::from_slice(&answered.answer).unwrap_or_default();
        let mut end = head.chunk(json!({}), None);
        end["choices"][0]["finish_reason"] = body.pointer("/choices/0/finish_reason").cloned().unwrap_or_default();
        if self.wants {
            end["openledger"] = body["openledger"].clone();
        }
        let mut chunks = vec![data(&end)];
        if self.usage {
            let mut usage = head.chunk(json!({}), None);
            usage["choices"] = json!([]);
            usage["usage"] = body["usage"].clone();
            chunks.push(data(&usage));
        }
        chunks.push(receipt_comment(&body, answered));
        chunks.push(done());
        chunks
    }
}

fn epilogue(ask: &Ask, answered: &StoredAnswer) -> Vec<SseEvent> {
    let tail = Tail { usage: ask.usage_chunk(), wants: ask.chat.attribution.unwrap_or(false) };
    tail.chunks(&ask.head, answered)
}

/// Headers are gone when a stream ends; a comment carries what they would have said.
fn receipt_comment(body: &Value, answered: &StoredAnswer) -> SseEvent {
    let comment = json!({
        "payment_response": answered.settlement,
        "salt": body.pointer("/openledger/disclosure/salt"),
    });
    SseEvent::default().comment(format!("openledger {comment}"))
}

/// The base model answers for nothing: it has no builder and no contributors whom a fee could go to.
async fn answer_free(app: Arc<App>, chat: ChatRequest) -> Result<Response, ApiError> {
    let ask = read_ask(&app, None, chat).await?;
    let place = free_place(&app)?;
    let generation = app.server.submit(ask.request.clone())?;
    if !ask.chat.stream {
        let completion = stream::finish(generation, ask.deadline).await?;
        return Ok(Json(ask.head.completion(&completion.text, completion.finish, completion.usage)).into_response());
    }
    let (mut reader, response) = Reader::open(ask.deadline);
    tokio::spawn(async move {
        let _place = place;
        if let Err(error) = pump_free(&ask, generation, &mut reader).await {
            reader.fail(&error).await;
        }
    });
    Ok(response)
}

async fn pump_free(ask: &Ask, generation: Generation, reader: &mut Reader) -> Result<(), ApiError> {
    let completion = stream::pump(generation, &ask.head, reader).await?;
    reader.send(data(&ask.head.chunk(json!({}), Some(completion.finish)))).await;
    if ask.usage_chunk() {
        reader.send(data(&ask.head.usage_chunk(completion.usage))).await;
    }
    reader.send(done()).await;
    Ok(())
}

/// A place among the free answers, which must not take the whole queue: whoever paid would wait behind whoever did not.
fn free_place(app: &App) -> Result<OwnedSemaphorePermit, ApiError> {
    const RETRY_AFTER_MS: u64 = 5_000;
    Arc::clone(&app.free_places).try_acquire_owned().map_err(|_| {
        let message = format!("{} free answers are being made already, which is the limit", app.free_answers_max());
        ApiError::busy(message, RETRY_AFTER_MS)
    })
}

/// 32 bytes that nobody can guess: without them a receipt's hashes say nothing about request and answer.
fn random_salt() -> Result<B256, ApiError> {
    let mut salt = B256::ZERO;
    OsRng.try_fill_bytes(salt.as_mut_slice()).map_err(|error| ApiError::internal(&error))?;
    Ok(salt)
}

fn hex_prefix(hash: B256) -> String {
    hash.to_string().chars().skip(2).take(24).collect()
}

impl From<PromptError> for ApiError {
    fn from(error: PromptError) -> Self {
        Self::invalid("invalid_messages", chain(&error)).with_param("messages")
    }
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        match &error {
            SubmitError::Busy { retry_after_ms, .. } => Self::busy(error.to_string(), *retry_after_ms),
            SubmitError::UnknownAdapter { id } => Self::not_found("model", id),
            SubmitError::Invalid(invalid) => Self::invalid("invalid_request", invalid.to_string()),
            _ => Self::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", error.to_string()),
        }
    }
}

impl From<DeskError> for ApiError {
    fn from(error: DeskError) -> Self {
        const RETRY_AFTER_MS: u64 = 1000;
        match error {
            DeskError::Busy => Self::busy(error.to_string(), RETRY_AFTER_MS),
            DeskError::Stopped => Self::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", error.to_string()),
            _ => Self::internal(&error),
        }
    }
}

impl From<ChargeError> for ApiError {
    fn from(error: ChargeError) -> Self {
        const RETRY_AFTER_MS: u64 = 2000;
        match error {
            ChargeError::EpochFull { .. } => Self::busy(error.to_string(), RETRY_AFTER_MS),
            _ => Self::internal(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_with_too_much_evidence_is_kept_without_it() {
        let large = "0".repeat(5 << 20);
        let body = |evidence: &str, spans: &str| {
            let attribution = json!({"attribution_root": "0x1", "evidence": {"x": evidence}, "spans": [spans]});
            json!({"choices": ["text"], "openledger": {"receipt": {}, "attribution": attribution}})
        };
        let small = body("a", "b");
        assert_eq!(fitted(small.clone()), small.to_string().into_bytes());
        for (evidence, spans, spans_left) in [(large.as_str(), "b", 1), ("a", large.as_str(), 0)] {
            let kept = fitted(body(evidence, spans));
            assert!(kept.len() < ANSWER_BYTES_MAX);
            let kept: Value = serde_json::from_slice(&kept).unwrap();
            assert_eq!(kept["choices"], json!(["text"]));
            let attribution = &kept["openledger"]["attribution"];
            assert_eq!(
                (&attribution["attribution_root"], &attribution["evidence"]["left_out"]),
                (&json!("0x1"), &json!(true))
            );
            assert_eq!(attribution["spans"].as_array().unwrap().len(), spans_left);
        }
    }
}
