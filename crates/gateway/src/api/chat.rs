//! Chat in OpenAI's shape, payment by x402, and the attribution of an answer.

use serde::Serialize;
use utoipa::ToSchema;

use super::scalar::{Account, Amount, AnyObject, Hash, HexBytes};
use super::settlement::Receipt;
use super::training::Price;

/// A question.
#[derive(Clone, Debug, ToSchema)]
pub struct ChatRequest {
    /// Name of a published model, or of the base model.
    pub model: String,
    /// The conversation.
    pub messages: Vec<ChatMessage>,
    /// Most tokens to generate.
    #[schema(nullable = false)]
    pub max_tokens: Option<u32>,
    /// The newer name of the same.
    #[schema(nullable = false)]
    pub max_completion_tokens: Option<u32>,
    /// Softmax temperature; 0, the default, is greedy.
    #[schema(nullable = false)]
    pub temperature: Option<f64>,
    /// Nucleus mass.
    #[schema(nullable = false)]
    pub top_p: Option<f64>,
    /// Most candidates.
    #[schema(nullable = false)]
    pub top_k: Option<u32>,
    /// Seed of the draws; derived from the request when absent.
    #[schema(nullable = false)]
    pub seed: Option<u64>,
    /// Texts that end the answer.
    #[schema(nullable = false)]
    pub stop: Option<Vec<String>>,
    /// Whether to send tokens as they come.
    #[schema(nullable = false)]
    pub stream: Option<bool>,
    /// Options of the stream.
    #[schema(nullable = false)]
    pub stream_options: Option<StreamOptions>,
    /// Whether the answer carries receipt, disclosure and attribution; a receipt is always made.
    #[schema(nullable = false)]
    pub attribution: Option<bool>,
}

/// One message of a conversation.
#[derive(Clone, Debug, ToSchema)]
pub struct ChatMessage {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// Its text.
    pub content: String,
}

/// Options of a stream.
#[derive(Clone, Debug, ToSchema)]
pub struct StreamOptions {
    /// Whether one last chunk with empty choices carries the usage.
    pub include_usage: bool,
}

/// An answer.
#[derive(Clone, Debug, ToSchema)]
pub struct ChatAnswer {
    /// Its id.
    pub id: String,
    /// `chat.completion`.
    pub object: String,
    /// Unix seconds.
    pub created: u64,
    /// The model's name as asked for.
    pub model: String,
    /// One choice.
    pub choices: Vec<ChatChoice>,
    /// Tokens used.
    pub usage: ChatUsage,
    /// Receipt, disclosure and attribution, where asked for and paid.
    #[schema(nullable = false)]
    pub openledger: Option<AnswerEvidence>,
}

/// The answer's text.
#[derive(Clone, Debug, ToSchema)]
pub struct ChatChoice {
    /// 0.
    pub index: u32,
    /// The message.
    pub message: ChatMessage,
    /// Why it ended: `stop` or `length`, or `cancelled` where the caller closed the stream.
    pub finish_reason: String,
}

/// A piece of a streamed answer.
#[derive(Clone, Debug, ToSchema)]
pub struct ChatChunk {
    /// The answer's id.
    pub id: String,
    /// `chat.completion.chunk`.
    pub object: String,
    /// Unix seconds.
    pub created: u64,
    /// The model's name as asked for.
    pub model: String,
    /// One choice, or none in the chunk that carries the usage.
    pub choices: Vec<ChatDelta>,
    /// Tokens used, in the last chunk where asked for.
    #[schema(nullable = false)]
    pub usage: Option<ChatUsage>,
    /// Receipt, disclosure and attribution, with the finish reason, where asked for and paid.
    #[schema(nullable = false)]
    pub openledger: Option<AnswerEvidence>,
}

/// A piece of the answer's text.
#[derive(Clone, Debug, ToSchema)]
pub struct ChatDelta {
    /// 0.
    pub index: u32,
    /// The piece.
    pub delta: ChatPiece,
    /// Why the answer ended, in its last piece.
    #[schema(required)]
    pub finish_reason: Option<String>,
}

/// A piece of a message.
#[derive(Clone, Debug, ToSchema)]
pub struct ChatPiece {
    /// `assistant`, in the first piece.
    #[schema(nullable = false)]
    pub role: Option<String>,
    /// Text.
    #[schema(nullable = false)]
    pub content: Option<String>,
}

/// Tokens used.
#[derive(Clone, Debug, ToSchema)]
pub struct ChatUsage {
    /// Of the prompt.
    pub prompt_tokens: u32,
    /// Of the answer.
    pub completion_tokens: u32,
    /// Together.
    pub total_tokens: u64,
}

/// What a payer gets beside the answer.
#[derive(Clone, Debug, ToSchema)]
pub struct AnswerEvidence {
    /// Hash of the receipt.
    pub receipt_hash: Hash,
    /// The receipt.
    pub receipt: Receipt,
    /// What a replay needs.
    pub disclosure: Disclosure,
    /// Who is paid for the answer, and why.
    pub attribution: Attribution,
}

/// What a replay needs.
#[derive(Clone, Debug, ToSchema)]
pub struct Disclosure {
    /// The canonical request.
    pub request: AnyObject,
    /// The answer.
    pub answer: String,
    /// Salt of both hashes.
    pub salt: Hash,
}

/// Who is paid for an answer, and why.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Attribution {
    /// Id of method and policy.
    pub method: Hash,
    /// Root over the details; the receipt holds it.
    pub attribution_root: Hash,
    /// Runs of the answer that stand word for word in the training text, in order of place.
    pub spans: Vec<Span>,
    /// Who is paid from the influence pool; empty where it goes to the reserve.
    pub influence: Vec<PoolShare>,
    /// Who is paid from the provenance pool; empty where it goes to the reserve.
    pub provenance: Vec<PoolShare>,
    /// The two pools of the data's part of the fee.
    pub pools: Pools,
    /// What each contributor is paid, by address. Where a pool goes to the reserve, it names no one here: the
    /// receipt's own payouts do.
    pub payouts: Vec<DataPayout>,
    /// What a replay compares; of very long lists the beginning, and then `left_out` says how much is missing.
    pub evidence: AnyObject,
}

/// A run of the answer that stands word for word in the training text.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Span {
    /// First UTF-16 code unit of the answer.
    pub start_utf16: u32,
    /// One past the last.
    pub end_utf16: u32,
    /// The run.
    pub text: String,
    /// Records that hold it, at most 64 of them.
    pub records: Vec<SpanRecord>,
    /// How often it occurs in the training text.
    pub occurrences: u64,
}

/// A record that holds a span.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SpanRecord {
    /// The record.
    pub hash: Hash,
    /// Who contributed it.
    pub contributor: Account,
    /// Its Datanet.
    pub datanet: u64,
}

/// A contributor's part of a pool.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PoolShare {
    /// Who.
    pub contributor: Account,
    /// Weight in the pool, in 65535ths.
    pub weight: u16,
    /// The records that it is paid for, the strongest first, at most 16 of them.
    pub records: Vec<ScoredRecord>,
}

/// A record that counts for an answer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ScoredRecord {
    /// The record.
    pub hash: Hash,
    /// Its Datanet.
    pub datanet: u64,
    /// For influence its score; for provenance its credit in 2^-32 bits. In decimal.
    pub score: String,
    /// What it brought its contributor, for information.
    pub earned_wei: Amount,
}

/// The two pools of the data's part of a fee.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Pools {
    /// For what shaped the answer.
    pub influence_wei: Amount,
    /// Whether nobody stood out, so that it goes to all contributors of the model's snapshots.
    pub influence_to_reserve: bool,
    /// For what the answer quotes.
    pub provenance_wei: Amount,
    /// Whether it quotes nothing, so that it goes to all contributors of the model's snapshots.
    pub provenance_to_reserve: bool,
}

/// What an answer pays a contributor.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DataPayout {
    /// Who.
    pub contributor: Account,
    /// From the influence pool.
    pub influence_wei: Amount,
    /// From the provenance pool.
    pub provenance_wei: Amount,
    /// Together.
    pub total_wei: Amount,
}

/// A refused request.
#[derive(Clone, Debug, ToSchema)]
pub struct ErrorAnswer {
    /// What is wrong.
    pub error: ErrorDetail,
}

/// What is wrong with a request.
#[derive(Clone, Debug, ToSchema)]
pub struct ErrorDetail {
    /// For people.
    pub message: String,
    /// Which family, such as `invalid_request_error`.
    #[schema(rename = "type")]
    pub kind: String,
    /// For programs.
    pub code: String,
    /// The parameter at fault.
    #[schema(required)]
    pub param: Option<String>,
}

/// An answer that must be paid for: the offer to sign a voucher for.
#[derive(Clone, Debug, ToSchema)]
pub struct PaymentRequiredAnswer {
    /// Why.
    pub error: ErrorDetail,
    /// The offer; the header `payment-required` carries the same.
    pub x402: PaymentRequired,
}

/// What a question would cost.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Quote {
    /// The model's name as asked for.
    pub model: String,
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// The most tokens that the answer can have.
    pub max_tokens: u32,
    /// What a token costs; null for the base model, which is free.
    #[schema(required)]
    pub price: Option<Price>,
    /// The most that the answer can cost.
    pub ceiling_wei: Amount,
    /// The offer to sign a voucher for, as the request's own 402 would carry it; null for the base model.
    #[schema(value_type = Option<PaymentRequired>, required)]
    pub x402: Option<openledger_settlement::x402::PaymentRequired>,
}

/// An x402 offer.
#[derive(Clone, Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct PaymentRequired {
    /// 2.
    pub x402_version: u8,
    /// Why a payment was not taken.
    #[schema(nullable = false)]
    pub error: Option<String>,
    /// What is paid for.
    pub resource: AnyObject,
    /// Ways to pay.
    pub accepts: Vec<PaymentRequirements>,
    /// Extensions offered.
    #[schema(nullable = false)]
    pub extensions: Option<AnyObject>,
}

/// One way to pay.
#[derive(Clone, Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct PaymentRequirements {
    /// `batch-settlement`.
    pub scheme: String,
    /// CAIP-2 name of the chain.
    pub network: String,
    /// The most that this request can cost.
    pub amount: Amount,
    /// The token: wrapped OPEN.
    pub asset: Account,
    /// Receiver of the channel: the inference hub.
    pub pay_to: Account,
    /// Seconds that the server may take.
    pub max_timeout_seconds: u64,
    /// Terms of the scheme.
    pub extra: BatchExtra,
}

/// Terms of a `batch-settlement` offer.
#[derive(Clone, Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct BatchExtra {
    /// Who authorises claims and refunds: the operator.
    pub receiver_authorizer: Account,
    /// Seconds between asking for a withdrawal and getting it.
    pub withdraw_delay: u64,
    /// EIP-712 domain name of the token.
    pub name: String,
    /// EIP-712 domain version of the token.
    pub version: String,
    /// Deposit that the server suggests.
    #[schema(nullable = false)]
    pub min_deposit: Option<Amount>,
    /// The channel as the server sees it, to correct a client.
    #[schema(nullable = false)]
    pub channel_state: Option<ChannelState>,
    /// The payer's own last voucher, to correct a client.
    #[schema(nullable = false)]
    pub voucher_state: Option<VoucherState>,
}

/// A channel as the server sees it.
#[derive(Clone, Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct ChannelState {
    /// Which channel.
    pub channel_id: Hash,
    /// Deposits minus withdrawals.
    pub balance: Amount,
    /// What the hub has claimed on chain.
    pub total_claimed: Amount,
    /// When a withdrawal was asked for, or 0.
    pub withdraw_requested_at: u64,
    /// Next refund nonce, in decimal.
    pub refund_nonce: String,
    /// What has been charged over the channel's life.
    pub charged_cumulative_amount: Amount,
}

/// The last voucher that the server holds.
#[derive(Clone, Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct VoucherState {
    /// Its ceiling.
    pub signed_max_claimable: Amount,
    /// Its signature.
    pub signature: HexBytes,
}
