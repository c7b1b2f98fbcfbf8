//! Requests and answers of the gateway, beyond payment.

use openledger_primitives::{Address, B256, ReceiptHash, Wei};
use openledger_settlement::epoch::ClaimProof;
use openledger_settlement::ledger::{EpochState, StatementLine};
use openledger_settlement::receipt::SignedReceipt;
use openledger_settlement::verify::Disclosure;
use openledger_settlement::x402::PaymentRequired;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// Its text.
    pub content: String,
}

/// Body of `POST /v1/chat/completions`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChatRequest {
    /// Which model.
    pub model: String,
    /// The conversation.
    pub messages: Vec<Message>,
    /// Most tokens of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// Temperature of the sampling; 0 for the likeliest token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Seed of the sampling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Whether the answer comes in pieces; set by the call used.
    #[serde(default)]
    pub stream: bool,
    /// Whether the answer carries its receipt, disclosure and attribution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribution: Option<bool>,
}

impl ChatRequest {
    /// One question to `model`, answered by the likeliest tokens, with attribution.
    pub fn question(model: impl Into<String>, text: impl Into<String>) -> Self {
        let message = Message { role: "user".to_owned(), content: text.into() };
        Self {
            model: model.into(),
            messages: vec![message],
            max_tokens: None,
            temperature: Some(0.0),
            seed: None,
            stream: false,
            attribution: Some(true),
        }
    }
}

/// Answer of `POST /v1/chat/quote`: what a question would cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quote {
    /// The model's name as asked for.
    pub model: String,
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// The most tokens that the answer can have.
    pub max_tokens: u32,
    /// The most that the answer can cost.
    pub ceiling_wei: Wei,
    /// The offer; `None` where answers are free.
    pub x402: Option<PaymentRequired>,
}

/// A paid (or free) answer.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatAnswer {
    /// The text.
    pub text: String,
    /// The whole body, as OpenAI shapes it.
    pub body: Value,
    /// What it cost; `None` when it was free.
    pub charged: Option<Wei>,
    /// Its receipt's hash.
    pub receipt: Option<ReceiptHash>,
    /// How many more calls at this offer's maximum the channel can pay.
    pub calls_left: Option<u64>,
}

impl ChatAnswer {
    /// What a replay needs, if the request asked for attribution.
    #[must_use]
    pub fn disclosure(&self) -> Option<Disclosure> {
        serde_json::from_value(self.body.pointer("/openledger/disclosure")?.clone()).ok()
    }
}

/// An entry of `GET /v1/receipts`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReceiptEntry {
    /// Its hash.
    pub hash: ReceiptHash,
    /// The receipt.
    pub receipt: SignedReceipt,
}

/// A list under `data`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listing<T> {
    /// The entries.
    pub data: Vec<T>,
}

/// An entry of `GET /v1/epochs`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochEntry {
    /// Its number.
    pub number: u64,
    /// Where it stands.
    pub state: EpochState,
    /// When it was opened.
    pub opened_at: u64,
    /// Its receipts.
    pub receipts: u64,
    /// What was posted.
    pub post: Option<EpochPostEntry>,
    /// When it can be made final.
    pub final_at: Option<u64>,
    /// Transaction that posted it.
    pub post_tx: Option<B256>,
    /// Transaction that made it final.
    pub final_tx: Option<B256>,
}

/// What an epoch posted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochPostEntry {
    /// Root over the receipts.
    pub receipts_root: B256,
    /// Number of receipts.
    pub receipt_count: u64,
    /// Root over the balances.
    pub balance_root: B256,
    /// Number of accounts.
    pub account_count: u64,
    /// Sum of all cumulative credits.
    pub total_balance_wei: Wei,
    /// Fees of the epoch.
    pub fees_wei: Wei,
    /// Burned of them.
    pub burned_wei: Wei,
    /// To the stakers.
    pub stakers_wei: Wei,
    /// Reference to the epoch's data.
    pub da_commitment: B256,
}

/// Answer of `GET /v1/accounts/{account}/claim`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClaimEntry {
    /// Whose.
    pub account: Address,
    /// The latest final epoch, 0 for none.
    pub epoch: u64,
    /// Proof of the cumulative credit; `None` for an account that was never credited.
    pub proof: Option<ClaimProof>,
}

/// Answer of `GET /v1/statements/{account}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Statement {
    /// Whose.
    pub account: Address,
    /// What each answer earned it, the newest first.
    pub data: Vec<StatementLine>,
    /// Where older answers begin that are not in it; `None` where all are.
    #[serde(default)]
    pub next_after: Option<u64>,
}
