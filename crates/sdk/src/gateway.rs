//! The gateway over HTTP: questions paid by voucher, receipts, epochs, claims, uploads.

use std::time::Duration;

use openledger_primitives::{Address, B256, ChannelId, ReceiptHash, Wei};
use openledger_settlement::relay::Deposit;
use openledger_settlement::verify::ReceiptBundle;
use openledger_settlement::x402::{
    HeaderError, PAYMENT_REQUIRED_HEADER, PAYMENT_RESPONSE_HEADER, PAYMENT_SIGNATURE_HEADER, PaymentPayload,
    PaymentRequired, PaymentRequirements, SettleResponse, from_header, to_header,
};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url, header};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::api::{ChatAnswer, ChatRequest, ClaimEntry, EpochEntry, Listing, Quote, ReceiptEntry, Statement};
use crate::channel::{Lane, PayerChannel, PayerError, PayerOptions, Wallet};
use crate::stream::ChatStream;

/// Tries of one payment: a busy channel, a correction or a broken connection each cost one.
pub const ATTEMPTS_MAX: u32 = 8;
/// Largest body read, in bytes.
pub const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of an upload sent in one request.
pub const UPLOAD_CHUNK_BYTES: usize = 4 * 1024 * 1024;
/// Lines of a statement after which no further page of it is read: some hundred requests, and a few megabytes.
pub const STATEMENT_LINES_MAX: usize = 100_000;
/// First pause before another try.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// Time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

const CHAT_PATH: &str = "v1/chat/completions";
const QUOTE_PATH: &str = "v1/chat/quote";
/// Asks for the stored answer of a payment, and for nothing else.
const STORED_HEADER: &str = "x-openledger-stored";
const BUSY: &str = "invalid_batch_settlement_evm_channel_busy";
const RELAY_BUSY: &str = "invalid_batch_settlement_evm_relay_busy";
const AUTHORIZATION_USED: &str = "invalid_batch_settlement_evm_authorization_used";
const DEPOSIT_FAILED: &str = "invalid_batch_settlement_evm_deposit_transaction_failed";
const RELAY_SLOW: &str = "invalid_batch_settlement_evm_wait_for_receipt_failed";
const MISMATCH: &str = "invalid_batch_settlement_evm_cumulative_amount_mismatch";
const EXCEEDS_BALANCE: &str = "invalid_batch_settlement_evm_cumulative_exceeds_balance";

/// Why the gateway did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// The URL is malformed.
    #[error("{url:?} is not an HTTP URL")]
    Url {
        /// The URL given.
        url: String,
    },
    /// The gateway cannot be reached, or the connection broke.
    #[error("the gateway did not answer")]
    Http(#[from] reqwest::Error),
    /// The gateway refused.
    #[error("the gateway refused ({status}, {code}): {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Its code, for programs.
        code: String,
        /// Its sentence, for people.
        message: String,
    },
    /// The answer must be paid for, and this client has no wallet.
    #[error("the answer costs up to {amount} wei, and this client has no wallet")]
    NoWallet {
        /// The most that it costs.
        amount: Wei,
    },
    /// The gateway did not take the payment.
    #[error("the gateway did not take the payment ({code}): {message}")]
    PaymentRefused {
        /// The x402 error code, for programs.
        code: String,
        /// Its sentence, for people.
        message: String,
    },
    /// The gateway did not take the payment however often it was tried.
    #[error("the payment was tried {ATTEMPTS_MAX} times; the last time: {reason}")]
    GaveUp {
        /// What went wrong the last time.
        reason: String,
    },
    /// The payer's side failed.
    #[error("the payment could not be made")]
    Payer(#[from] PayerError),
    /// A payment header is missing or malformed.
    #[error("the gateway's {header} header is missing or malformed")]
    Header {
        /// Which header.
        header: &'static str,
        /// Why.
        #[source]
        source: Option<HeaderError>,
    },
    /// The answer is not what it should be.
    #[error("the gateway's answer to {path} is not the JSON expected")]
    Json {
        /// Path of the request.
        path: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The answer is too long.
    #[error("the gateway's answer is longer than {BODY_BYTES_MAX} bytes")]
    TooLong,
    /// A stream ended before its answer did.
    #[error("the stream ended before its answer did")]
    CutShort,
}

/// A client of one gateway, with or without a wallet.
#[derive(Clone, Debug)]
pub struct GatewayClient {
    http: Client,
    base: Url,
    wallet: Option<Wallet>,
}

impl GatewayClient {
    /// A client that asks, and pays nothing.
    ///
    /// # Errors
    /// [`GatewayError`] when the URL is malformed.
    pub fn new(url: &str) -> Result<Self, GatewayError> {
        let malformed = || GatewayError::Url { url: url.to_owned() };
        let mut base = Url::parse(url).map_err(|_| malformed())?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(malformed());
        }
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let http = Client::builder().connect_timeout(CONNECT_TIMEOUT).build()?;
        Ok(Self { http, base, wallet: None })
    }

    /// The same client, paying out of `wallet`.
    #[must_use]
    pub fn with_wallet(mut self, wallet: Wallet) -> Self {
        self.wallet = Some(wallet);
        self
    }

    /// Asks a question and pays for the answer. A retry after a broken connection never pays twice.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub async fn chat(&self, request: &ChatRequest) -> Result<ChatAnswer, GatewayError> {
        let request = ChatRequest { stream: false, ..request.clone() };
        let (response, mut paid) = self.ask(&request).await?;
        let settled = settle_header(&response)?;
        let body: Value = read_json(response, CHAT_PATH).await?;
        let text = body.pointer("/choices/0/message/content").and_then(Value::as_str).unwrap_or_default().to_owned();
        let (charged, calls_left) = match (&settled, &mut paid) {
            (Some(settled), Some(paid)) => paid.apply(settled),
            _ => (None, None),
        };
        let receipt = settled.and_then(|settled| settled.extra?.receipt_hash);
        Ok(ChatAnswer { text, body, charged, receipt, calls_left })
    }

    /// Asks a question whose answer comes in pieces. Read the stream to its end: the last piece says what it cost.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub async fn chat_stream(&self, request: &ChatRequest) -> Result<ChatStream, GatewayError> {
        let request = ChatRequest { stream: true, ..request.clone() };
        let (response, paid) = self.ask(&request).await?;
        Ok(ChatStream::new(self.clone(), request, response, paid))
    }

    /// What the answer to a question would cost at most. Nothing is asked or charged, and no wallet is needed.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub async fn quote(&self, request: &ChatRequest) -> Result<Quote, GatewayError> {
        let body = serde_json::to_value(request).map_err(|source| json_error(QUOTE_PATH, source))?;
        self.post(QUOTE_PATH, &body).await
    }

    /// Sends a question, and the payment if one is asked for.
    async fn ask(&self, request: &ChatRequest) -> Result<(Response, Option<Paid>), GatewayError> {
        let body = serde_json::to_vec(request).map_err(|source| json_error(CHAT_PATH, source))?;
        let response = self.post_chat(&body, None).await?;
        if response.status() != StatusCode::PAYMENT_REQUIRED {
            return Ok((accepted(response).await?, None));
        }
        let offer = offer_of(&required_header(&response)?)?;
        let wallet = self.wallet.as_ref().ok_or(GatewayError::NoWallet { amount: offer.amount })?;
        let mut paid = Paid { lane: wallet.lane(&offer).await?, offer, payment: String::new() };
        let mut purpose = Purpose::Answer { deposit: None };
        let response = self.pay(&body, &mut paid, &mut purpose, wallet).await?;
        // The money is in the channel whether the answer succeeded or not.
        if matches!(purpose, Purpose::Answer { deposit: Some(_) }) {
            paid.channel().refresh().await?;
        }
        Ok((accepted(response).await?, Some(paid)))
    }

    /// Sends a payment until the gateway takes it or refuses it for good. Each try is made of what the one before taught,
    /// all of them under one identifier.
    async fn pay(
        &self,
        body: &[u8],
        paid: &mut Paid,
        purpose: &mut Purpose,
        wallet: &Wallet,
    ) -> Result<Response, GatewayError> {
        let identifier = format!("{}_{:032x}", purpose.name(), rand::random::<u128>());
        let mut reason = String::new();
        for attempt in 0..ATTEMPTS_MAX {
            let payload = purpose.payload(paid, wallet.options(), &identifier).await?;
            paid.payment = to_header(&payload);
            let response = match self.post_chat(body, Some(&paid.payment)).await {
                Ok(response) => response,
                // The answer may have been lost after money moved; the same payment again gets it, and moves nothing.
                Err(GatewayError::Http(error)) if attempt + 1 < ATTEMPTS_MAX => {
                    reason = error.to_string();
                    pause(attempt).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            if response.status() != StatusCode::PAYMENT_REQUIRED {
                return Ok(response);
            }
            let refusal = Refusal::read(response).await?;
            paid.learn(&refusal, attempt).await?;
            purpose.learn(&refusal);
            reason = refusal.to_string();
        }
        Err(GatewayError::GaveUp { reason })
    }

    /// The offer that a question is paid under; `None` when its answer is free. Nothing is asked or charged.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub async fn offer(&self, request: &ChatRequest) -> Result<Option<PaymentRequirements>, GatewayError> {
        self.quote(request).await?.x402.as_ref().map(offer_of).transpose()
    }

    /// Gets money back out of the wallet's channel to the offer's operator, at once and without gas: `amount`, or all
    /// that was not charged. It comes as wrapped OPEN.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub async fn refund(&self, offer: &PaymentRequirements, amount: Option<Wei>) -> Result<Refunded, GatewayError> {
        let wallet = self.wallet.as_ref().ok_or(GatewayError::NoWallet { amount: Wei::ZERO })?;
        let mut paid = Paid { lane: wallet.lane(offer).await?, offer: offer.clone(), payment: String::new() };
        let mut purpose = Purpose::Refund { amount };
        let response = accepted(self.pay(b"", &mut paid, &mut purpose, wallet).await?).await?;
        let header = GatewayError::Header { header: PAYMENT_RESPONSE_HEADER, source: None };
        let settled = settle_header(&response)?.ok_or(header)?;
        paid.channel().refresh().await?;
        Ok(Refunded { channel: paid.channel().id(), settled })
    }

    async fn post_chat(&self, body: &[u8], payment: Option<&str>) -> Result<Response, GatewayError> {
        let request = self.chat_request()?;
        let request = match payment {
            Some(payment) => request.header(PAYMENT_SIGNATURE_HEADER, payment),
            None => request,
        };
        Ok(request.body(body.to_vec()).send().await?)
    }

    /// The answer that was charged for a payment sent before; `None` where nothing was.
    pub(crate) async fn stored(&self, request: &ChatRequest, paid: &Paid) -> Result<Option<Response>, GatewayError> {
        let body = serde_json::to_vec(request).map_err(|source| json_error(CHAT_PATH, source))?;
        let request = self.chat_request()?.header(STORED_HEADER, "only");
        let response = request.header(PAYMENT_SIGNATURE_HEADER, &paid.payment).body(body).send().await?;
        let response = accepted(response).await?;
        Ok((response.status() != StatusCode::NO_CONTENT).then_some(response))
    }

    fn chat_request(&self) -> Result<RequestBuilder, GatewayError> {
        Ok(self.http.post(self.url(CHAT_PATH)?).header(header::CONTENT_TYPE, "application/json"))
    }

    /// A receipt with its evidence.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub async fn receipt(&self, hash: ReceiptHash) -> Result<ReceiptBundle, GatewayError> {
        self.get(&format!("v1/receipts/{hash}")).await
    }

    /// The published body of a snapshot, which is not checked against its root.
    ///
    /// # Errors
    /// [`GatewayError`]; an unknown snapshot is refused.
    pub async fn snapshot_body(&self, root: B256) -> Result<Vec<u8>, GatewayError> {
        let response = self.http.get(self.url(&format!("v1/snapshots/{root}"))?).send().await?;
        read_body(accepted(response).await?).await
    }

    /// Receipts in order of sequence, of one epoch or of all, after `after`.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub async fn receipts(&self, epoch: Option<u64>, after: u64) -> Result<Vec<ReceiptEntry>, GatewayError> {
        let epoch = epoch.map(|epoch| format!("&epoch={epoch}")).unwrap_or_default();
        let listing: Listing<ReceiptEntry> = self.get(&format!("v1/receipts?after={after}{epoch}")).await?;
        Ok(listing.data)
    }

    /// Epochs in order, after `after`.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub async fn epochs(&self, after: u64) -> Result<Vec<EpochEntry>, GatewayError> {
        let listing: Listing<EpochEntry> = self.get(&format!("v1/epochs?after={after}")).await?;
        Ok(listing.data)
    }

    /// What an account can claim, with its proof.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub async fn claim(&self, account: Address) -> Result<ClaimEntry, GatewayError> {
        self.get(&format!("v1/accounts/{account}/claim")).await
    }

    /// What each answer earned an account, the newest first: read page by page until the end, or until
    /// [`STATEMENT_LINES_MAX`] lines are there, where [`Statement::next_after`] says that there are more.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub async fn statement(&self, account: Address) -> Result<Statement, GatewayError> {
        let path = format!("v1/statements/{account}");
        let mut whole: Statement = self.get(&path).await?;
        while let Some(after) = whole.next_after
            && whole.data.len() < STATEMENT_LINES_MAX
        {
            let page: Statement = self.get(&format!("{path}?after={after}")).await?;
            // Lines are numbered downwards; a page that leads nowhere ends the statement.
            whole.next_after = page.next_after.filter(|next| *next < after && !page.data.is_empty());
            whole.data.extend(page.data);
        }
        Ok(whole)
    }

    /// The models that can be asked.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub async fn models(&self) -> Result<Vec<Value>, GatewayError> {
        let listing: Listing<Value> = self.get("v1/models").await?;
        Ok(listing.data)
    }

    /// Sends the rest of an upload from byte `offset` on, piece by piece; a broken upload goes on from the offset
    /// that the gateway has.
    ///
    /// # Errors
    /// [`GatewayError`]; pieces sent before stay there.
    pub async fn upload(&self, upload: &str, content: &[u8], offset: u64) -> Result<u64, GatewayError> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(content.len());
        let mut sent = offset;
        for chunk in content[start..].chunks(UPLOAD_CHUNK_BYTES) {
            let url = self.url(&format!("v1/uploads/{upload}?offset={sent}"))?;
            accepted(self.http.put(url).body(chunk.to_vec()).send().await?).await?;
            sent += chunk.len() as u64;
        }
        Ok(sent)
    }

    /// What a finished job would publish under `name`, whatever characters that has.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub async fn model_draft(&self, job: impl std::fmt::Display, name: &str) -> Result<Value, GatewayError> {
        let path = format!("v1/fine_tuning/jobs/{job}/model");
        let mut url = self.url(&path)?;
        url.query_pairs_mut().append_pair("name", name);
        read_json(accepted(self.http.get(url).send().await?).await?, &path).await
    }

    /// `GET` of a path, such as `v1/models`.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, GatewayError> {
        let response = self.http.get(self.url(path)?).send().await?;
        read_json(accepted(response).await?, path).await
    }

    /// `POST` of JSON to a path.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, GatewayError> {
        let request = self.http.request(Method::POST, self.url(path)?).json(body);
        read_json(accepted(request.send().await?).await?, path).await
    }

    fn url(&self, path: &str) -> Result<Url, GatewayError> {
        self.base.join(path).map_err(|_| GatewayError::Url { url: path.to_owned() })
    }
}

/// Money that came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refunded {
    /// Out of which channel.
    pub channel: ChannelId,
    /// What the gateway says of it: transaction, amount, the channel afterwards.
    pub settled: SettleResponse,
}

impl Refunded {
    /// How much came back; `None` when the gateway's answer makes no sense.
    #[must_use]
    pub fn amount(&self) -> Option<Wei> {
        self.settled.amount.parse().ok().map(Wei)
    }
}

/// A request being paid: its offer and its channel.
#[derive(Debug)]
pub(crate) struct Paid {
    lane: Lane,
    offer: PaymentRequirements,
    /// The payment as sent.
    payment: String,
}

impl Paid {
    fn channel(&mut self) -> &mut PayerChannel {
        self.lane.as_mut().expect("a lane is handed out with its channel open")
    }

    /// Takes over a charge; gives it, and how many more calls the channel can pay.
    pub(crate) fn apply(&mut self, settled: &SettleResponse) -> (Option<Wei>, Option<u64>) {
        let amount = self.offer.amount;
        let charged = self.channel().apply(amount, settled);
        (charged, Some(self.channel().calls_left(amount)))
    }

    /// Learns from a refusal what can be learnt.
    ///
    /// # Errors
    /// The refusal, when trying again is of no use.
    async fn learn(&mut self, refusal: &Refusal, attempt: u32) -> Result<(), GatewayError> {
        match refusal.code.as_str() {
            BUSY | RELAY_BUSY | RELAY_SLOW => pause(attempt).await,
            AUTHORIZATION_USED => {
                // By an earlier request whose deposit is on its way; or it arrived.
                if self.channel().deposit_on_its_way().await?.is_some() {
                    pause(attempt).await;
                }
                self.channel().refresh().await?;
            }
            MISMATCH => {
                self.channel().refresh().await?;
                let offer = offer_of(&refusal.required)?;
                self.channel().correct(&offer.extra)?;
            }
            EXCEEDS_BALANCE | DEPOSIT_FAILED => self.channel().refresh().await?,
            _ => {
                let (code, message) = (refusal.code.clone(), refusal.message.clone());
                return Err(GatewayError::PaymentRefused { code, message });
            }
        }
        Ok(())
    }
}

/// What a payment is sent for.
enum Purpose {
    /// An answer, with the deposit that the channel needs for it.
    Answer { deposit: Option<Deposit> },
    /// Money back: so much, or all that is free.
    Refund { amount: Option<Wei> },
}

impl Purpose {
    /// How its payment identifiers begin.
    fn name(&self) -> &'static str {
        match self {
            Self::Answer { .. } => "pay",
            Self::Refund { .. } => "refund",
        }
    }

    /// The payment as the channel stands now.
    async fn payload(
        &mut self,
        paid: &mut Paid,
        options: &PayerOptions,
        identifier: &str,
    ) -> Result<PaymentPayload, GatewayError> {
        let offer = paid.offer.clone();
        let channel = paid.channel();
        let deposit = match self {
            Self::Refund { amount } => {
                let voucher = channel.voucher(Wei::ZERO)?;
                return Ok(PaymentPayload::refund(offer, channel.config(), &voucher, *amount, identifier));
            }
            Self::Answer { deposit } => deposit,
        };
        if deposit.is_none() {
            *deposit = channel.cover(offer.amount, options).await?;
        }
        let (voucher, config) = (channel.voucher(offer.amount)?, channel.config());
        Ok(match deposit {
            Some(deposit) => PaymentPayload::deposit(offer, config, &voucher, (&*deposit).into(), identifier),
            None => PaymentPayload::voucher(offer, config, &voucher, identifier),
        })
    }

    fn learn(&mut self, refusal: &Refusal) {
        // Somebody else sent the deposit: its money is in the channel, or a new authorisation is needed.
        if let (Self::Answer { deposit }, AUTHORIZATION_USED) = (self, refusal.code.as_str()) {
            *deposit = None;
        }
    }
}

/// A payment that was not taken.
struct Refusal {
    required: PaymentRequired,
    /// The x402 error code, for programs.
    code: String,
    /// The sentence, for people; the code where there is none.
    message: String,
}

impl Refusal {
    async fn read(response: Response) -> Result<Self, GatewayError> {
        let required = required_header(&response)?;
        let code = required.error.clone().unwrap_or_default();
        let body: Value = serde_json::from_slice(&read_body(response).await?).unwrap_or_default();
        let message = body.pointer("/error/message").and_then(Value::as_str).unwrap_or(&code).to_owned();
        Ok(Self { required, code, message })
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

async fn pause(attempt: u32) {
    tokio::time::sleep(RETRY_PAUSE * 2_u32.pow(attempt.min(ATTEMPTS_MAX))).await;
}

fn offer_of(required: &PaymentRequired) -> Result<PaymentRequirements, GatewayError> {
    let missing = GatewayError::Header { header: PAYMENT_REQUIRED_HEADER, source: None };
    required.batch_settlement().cloned().ok_or(missing)
}

fn required_header(response: &Response) -> Result<PaymentRequired, GatewayError> {
    let header = PAYMENT_REQUIRED_HEADER;
    let value = response.headers().get(header).ok_or(GatewayError::Header { header, source: None })?;
    from_header(value.as_bytes()).map_err(|source| GatewayError::Header { header, source: Some(source) })
}

fn settle_header(response: &Response) -> Result<Option<SettleResponse>, GatewayError> {
    let header = PAYMENT_RESPONSE_HEADER;
    let Some(value) = response.headers().get(header) else { return Ok(None) };
    from_header(value.as_bytes()).map(Some).map_err(|source| GatewayError::Header { header, source: Some(source) })
}

/// Turns error statuses into errors.
async fn accepted(response: Response) -> Result<Response, GatewayError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let body: Value = serde_json::from_slice(&read_body(response).await?).unwrap_or_default();
    Err(refused(status.as_u16(), &body))
}

/// An error in OpenAI's shape, or whatever came instead.
pub(crate) fn refused(status: u16, body: &Value) -> GatewayError {
    let field = |name: &str| body.pointer(&format!("/error/{name}")).and_then(Value::as_str).unwrap_or("unknown");
    GatewayError::Refused { status, code: field("code").to_owned(), message: field("message").to_owned() }
}

async fn read_json<T: DeserializeOwned>(response: Response, path: &str) -> Result<T, GatewayError> {
    serde_json::from_slice(&read_body(response).await?).map_err(|source| json_error(path, source))
}

async fn read_body(mut response: Response) -> Result<Vec<u8>, GatewayError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > BODY_BYTES_MAX {
            return Err(GatewayError::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn json_error(path: &str, source: serde_json::Error) -> GatewayError {
    GatewayError::Json { path: path.to_owned(), source }
}
