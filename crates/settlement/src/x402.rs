//! x402 v2 messages of the `batch-settlement` scheme on EVM, and their HTTP headers.
//!
//! Field names and meanings are those of the x402 specification, version 2, and of its scheme document
//! `scheme_batch_settlement_evm`. Each message travels as base64 of JSON in a header.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openledger_contracts::ChannelConfig;
use openledger_primitives::{Address, B256, Bytes, ChannelId, ReceiptHash, Wei, keccak256};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::voucher::SignedVoucher;

/// Version of the protocol.
pub const X402_VERSION: u8 = 2;
/// Name of the payment scheme.
pub const SCHEME: &str = "batch-settlement";
/// Response header of a 402: what must be paid.
pub const PAYMENT_REQUIRED_HEADER: &str = "PAYMENT-REQUIRED";
/// Request header: the payment.
pub const PAYMENT_SIGNATURE_HEADER: &str = "PAYMENT-SIGNATURE";
/// Response header: what was charged.
pub const PAYMENT_RESPONSE_HEADER: &str = "PAYMENT-RESPONSE";
/// Longest header taken, in bytes of base64.
pub const HEADER_BYTES_MAX: usize = 16 * 1024;
/// Name of the extension that makes retries safe.
pub const PAYMENT_IDENTIFIER: &str = "payment-identifier";
/// Shortest and longest payment identifier, in bytes.
pub const PAYMENT_IDENTIFIER_BYTES: std::ops::RangeInclusive<usize> = 16..=128;
/// Shortest and longest withdrawal delay of a channel, in seconds: 15 minutes to 30 days.
pub const WITHDRAW_DELAY_S: std::ops::RangeInclusive<u64> = 900..=2_592_000;

/// The CAIP-2 name of an EVM chain.
#[must_use]
pub fn network(chain_id: u64) -> String {
    format!("eip155:{chain_id}")
}

/// Body of a 402: what may be paid, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequired {
    /// Always [`X402_VERSION`].
    pub x402_version: u8,
    /// Error code or a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What is being paid for.
    pub resource: ResourceInfo,
    /// The ways to pay.
    pub accepts: Vec<PaymentRequirements>,
    /// Extensions offered; ours is [`PAYMENT_IDENTIFIER`].
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub extensions: Map<String, Value>,
}

impl PaymentRequired {
    /// Asks for `requirements`, offering payment identifiers.
    #[must_use]
    pub fn new(url: impl Into<String>, error: impl Into<String>, requirements: PaymentRequirements) -> Self {
        Self {
            x402_version: X402_VERSION,
            error: Some(error.into()),
            resource: ResourceInfo { url: url.into(), description: None, mime_type: Some("application/json".into()) },
            accepts: vec![requirements],
            extensions: Map::from_iter([(PAYMENT_IDENTIFIER.to_owned(), identifier_extension(json!({})))]),
        }
    }

    /// The first offer of our scheme.
    #[must_use]
    pub fn batch_settlement(&self) -> Option<&PaymentRequirements> {
        self.accepts.iter().find(|offer| offer.scheme == SCHEME)
    }
}

fn identifier_extension(info: Value) -> Value {
    let (shortest, longest) = (PAYMENT_IDENTIFIER_BYTES.start(), PAYMENT_IDENTIFIER_BYTES.end());
    json!({
        "info": info,
        "schema": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {"id": {"type": "string", "minLength": shortest, "maxLength": longest}},
        },
    })
}

/// What a payment is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceInfo {
    /// URL of the resource.
    pub url: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Type of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
}

/// One way to pay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequirements {
    /// [`SCHEME`].
    pub scheme: String,
    /// CAIP-2 name of the chain.
    pub network: String,
    /// The most that this request can cost; the voucher's ceiling rises by exactly this.
    pub amount: Wei,
    /// The token: wrapped OPEN.
    pub asset: Address,
    /// Receiver of the channel: the inference hub.
    pub pay_to: Address,
    /// Seconds that the server may take.
    pub max_timeout_seconds: u64,
    /// Terms of the scheme.
    pub extra: BatchExtra,
}

impl PaymentRequirements {
    /// Hash of the offer that a receipt names, so that the price agreed to is part of the evidence.
    /// It is keccak256 over the canonical JSON of the offer without its corrective fields.
    #[must_use]
    pub fn offer_hash(&self) -> B256 {
        let mut offer = self.clone();
        offer.extra.channel_state = None;
        offer.extra.voucher_state = None;
        let value = serde_json::to_value(&offer).expect("strings and small integers are always JSON");
        let bytes = openledger_primitives::canonical_json::to_vec(&value).expect("an offer holds no floats");
        keccak256(bytes)
    }
}

/// Terms of a `batch-settlement` offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchExtra {
    /// Who authorises claims and refunds: the operator.
    pub receiver_authorizer: Address,
    /// Seconds between asking for a withdrawal and getting it.
    pub withdraw_delay: u64,
    /// EIP-712 domain name of the token.
    pub name: String,
    /// EIP-712 domain version of the token.
    pub version: String,
    /// Deposit that the server suggests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_deposit: Option<Wei>,
    /// In a corrective 402: the channel as the server sees it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_state: Option<ChannelState>,
    /// In a corrective 402: the payer's own last voucher, as proof.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voucher_state: Option<VoucherState>,
}

/// A channel as the server sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelState {
    /// Which channel.
    pub channel_id: ChannelId,
    /// Deposits minus withdrawals.
    pub balance: Wei,
    /// What the hub has claimed on chain.
    pub total_claimed: Wei,
    /// When a withdrawal was asked for, or 0.
    pub withdraw_requested_at: u64,
    /// Next refund nonce.
    #[serde(with = "decimal_u64")]
    pub refund_nonce: u64,
    /// What has been charged over the channel's life.
    pub charged_cumulative_amount: Wei,
}

/// The last voucher that the server holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VoucherState {
    /// Its ceiling.
    pub signed_max_claimable: Wei,
    /// Its signature.
    pub signature: Bytes,
}

/// Payment of one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentPayload {
    /// Always [`X402_VERSION`].
    pub x402_version: u8,
    /// What is being paid for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<ResourceInfo>,
    /// The offer taken.
    pub accepted: PaymentRequirements,
    /// The payment itself.
    pub payload: BatchPayload,
    /// Extensions used.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub extensions: Map<String, Value>,
}

impl PaymentPayload {
    /// Pays `accepted` with a voucher, under a payment identifier that a retry repeats.
    #[must_use]
    pub fn voucher(
        accepted: PaymentRequirements,
        config: &ChannelConfig,
        voucher: &SignedVoucher,
        identifier: &str,
    ) -> Self {
        let payload = BatchPayload::Voucher { channel_config: config.into(), voucher: voucher.into() };
        Self::identified(accepted, payload, identifier)
    }

    /// Puts money into a channel and pays `accepted` from it.
    #[must_use]
    pub fn deposit(
        accepted: PaymentRequirements,
        config: &ChannelConfig,
        voucher: &SignedVoucher,
        deposit: WireDeposit,
        identifier: &str,
    ) -> Self {
        let payload = BatchPayload::Deposit { channel_config: config.into(), voucher: voucher.into(), deposit };
        Self::identified(accepted, payload, identifier)
    }

    /// Asks for `amount` back, or for all that is free; `voucher` is at what has been charged.
    #[must_use]
    pub fn refund(
        accepted: PaymentRequirements,
        config: &ChannelConfig,
        voucher: &SignedVoucher,
        amount: Option<Wei>,
        identifier: &str,
    ) -> Self {
        let payload = BatchPayload::Refund { channel_config: config.into(), voucher: voucher.into(), amount };
        Self::identified(accepted, payload, identifier)
    }

    fn identified(accepted: PaymentRequirements, payload: BatchPayload, identifier: &str) -> Self {
        let extension = identifier_extension(json!({"id": identifier}));
        let extensions = Map::from_iter([(PAYMENT_IDENTIFIER.to_owned(), extension)]);
        Self { x402_version: X402_VERSION, resource: None, accepted, payload, extensions }
    }

    /// True when it asks for money back instead of paying.
    #[must_use]
    pub fn is_refund(&self) -> bool {
        matches!(self.payload, BatchPayload::Refund { .. })
    }

    /// The payment identifier, if the payer gave one.
    ///
    /// # Errors
    /// [`HeaderError::Identifier`] when it is too short, too long or has other characters than letters,
    /// digits, `-` and `_`.
    pub fn identifier(&self) -> Result<Option<&str>, HeaderError> {
        let given = self.extensions.get(PAYMENT_IDENTIFIER).and_then(|extension| extension.pointer("/info/id"));
        let Some(given) = given else { return Ok(None) };
        let well_formed = |id: &&str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            PAYMENT_IDENTIFIER_BYTES.contains(&id.len()) && id.bytes().all(plain)
        };
        given.as_str().filter(well_formed).map(Some).ok_or(HeaderError::Identifier)
    }
}

/// The scheme's part of a payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum BatchPayload {
    /// Pays out of an open channel.
    Voucher {
        /// The channel's configuration.
        channel_config: WireChannelConfig,
        /// The new cumulative voucher.
        voucher: WireVoucher,
    },
    /// Opens or tops up a channel by a token authorisation and pays from it.
    Deposit {
        /// The channel's configuration.
        channel_config: WireChannelConfig,
        /// The new cumulative voucher.
        voucher: WireVoucher,
        /// How much, and the payer's authorisation.
        deposit: WireDeposit,
    },
    /// Asks for unclaimed money back.
    Refund {
        /// The channel's configuration.
        channel_config: WireChannelConfig,
        /// A voucher at what has been charged.
        voucher: WireVoucher,
        /// How much; all of it when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        amount: Option<Wei>,
    },
}

impl BatchPayload {
    /// The channel's configuration.
    #[must_use]
    pub fn channel_config(&self) -> &WireChannelConfig {
        match self {
            Self::Voucher { channel_config, .. }
            | Self::Deposit { channel_config, .. }
            | Self::Refund { channel_config, .. } => channel_config,
        }
    }

    /// The voucher.
    #[must_use]
    pub fn voucher(&self) -> &WireVoucher {
        match self {
            Self::Voucher { voucher, .. } | Self::Deposit { voucher, .. } | Self::Refund { voucher, .. } => voucher,
        }
    }
}

/// Money for a channel in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireDeposit {
    /// How much.
    pub amount: Wei,
    /// Exactly one authorisation.
    pub authorization: WireAuthorization,
}

/// How a deposit is authorised. Only EIP-3009 is taken here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WireAuthorization {
    /// EIP-3009 `receiveWithAuthorization` to the hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erc3009_authorization: Option<Erc3009Authorization>,
    /// Permit2; refused by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permit2_authorization: Option<Value>,
}

/// An EIP-3009 authorisation of the channel's payer. Its nonce is made of channel and salt, which binds it to the channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Erc3009Authorization {
    /// It counts after this second.
    #[serde(with = "decimal_u64")]
    pub valid_after: u64,
    /// It counts before this second.
    #[serde(with = "decimal_u64")]
    pub valid_before: u64,
    /// Tells authorisations for one channel apart.
    pub salt: B256,
    /// The payer's signature.
    pub signature: Bytes,
}

/// A channel's configuration in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WireChannelConfig {
    /// Who pays.
    pub payer: Address,
    /// Who signs vouchers; zero for the payer.
    pub payer_authorizer: Address,
    /// Who is paid: the hub.
    pub receiver: Address,
    /// Who authorises claims: the operator.
    pub receiver_authorizer: Address,
    /// In which token.
    pub token: Address,
    /// Seconds between asking for a withdrawal and getting it.
    pub withdraw_delay: u64,
    /// Tells channels of the same parties apart.
    pub salt: B256,
}

impl From<&ChannelConfig> for WireChannelConfig {
    fn from(config: &ChannelConfig) -> Self {
        Self {
            payer: config.payer,
            payer_authorizer: config.payerAuthorizer,
            receiver: config.receiver,
            receiver_authorizer: config.receiverAuthorizer,
            token: config.token,
            withdraw_delay: config.withdrawDelay.to(),
            salt: config.salt,
        }
    }
}

impl TryFrom<&WireChannelConfig> for ChannelConfig {
    type Error = HeaderError;

    fn try_from(wire: &WireChannelConfig) -> Result<Self, HeaderError> {
        if !WITHDRAW_DELAY_S.contains(&wire.withdraw_delay) {
            return Err(HeaderError::WithdrawDelay { seconds: wire.withdraw_delay });
        }
        Ok(Self {
            payer: wire.payer,
            payerAuthorizer: wire.payer_authorizer,
            receiver: wire.receiver,
            receiverAuthorizer: wire.receiver_authorizer,
            token: wire.token,
            withdrawDelay: alloy_primitives::aliases::U40::from(wire.withdraw_delay),
            salt: wire.salt,
        })
    }
}

/// A voucher in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WireVoucher {
    /// Which channel.
    pub channel_id: ChannelId,
    /// Cumulative ceiling.
    pub max_claimable_amount: Wei,
    /// The payer's signature.
    pub signature: Bytes,
}

impl From<&SignedVoucher> for WireVoucher {
    fn from(voucher: &SignedVoucher) -> Self {
        Self {
            channel_id: voucher.channel,
            max_claimable_amount: voucher.max_claimable,
            signature: voucher.signature.clone(),
        }
    }
}

impl From<&WireVoucher> for SignedVoucher {
    fn from(wire: &WireVoucher) -> Self {
        Self { channel: wire.channel_id, max_claimable: wire.max_claimable_amount, signature: wire.signature.clone() }
    }
}

/// Outcome of a payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SettleResponse {
    /// Whether the payment was taken.
    pub success: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_reason: Option<String>,
    /// Hash of a transaction; empty when only a voucher was charged.
    pub transaction: String,
    /// CAIP-2 name of the chain.
    pub network: String,
    /// Who paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<Address>,
    /// Amount moved on chain; empty when only a voucher was charged.
    #[serde(default)]
    pub amount: String,
    /// The charge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<SettleExtra>,
}

impl SettleResponse {
    /// A request charged to a voucher.
    #[must_use]
    pub fn charged(chain_id: u64, payer: Address, extra: SettleExtra) -> Self {
        Self {
            success: true,
            error_reason: None,
            transaction: String::new(),
            network: network(chain_id),
            payer: Some(payer),
            amount: String::new(),
            extra: Some(extra),
        }
    }

    /// The same, with the deposit that came with it.
    #[must_use]
    pub fn deposited(mut self, moved: &Moved) -> Self {
        (self.transaction, self.amount) = (moved.tx.to_string(), moved.amount.to_string());
        self
    }

    /// Money given back.
    #[must_use]
    pub fn refunded(chain_id: u64, payer: Address, moved: &Moved, channel_state: ChannelState) -> Self {
        let extra = SettleExtra { charged_amount: None, channel_state, receipt_hash: None };
        let response = Self::charged(chain_id, payer, extra);
        response.deposited(moved)
    }
}

/// Money that a transaction moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The transaction.
    pub tx: B256,
    /// How much.
    pub amount: Wei,
}

/// What was charged, and the channel afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SettleExtra {
    /// Charge of this request; absent in a refund.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charged_amount: Option<Wei>,
    /// The channel after it.
    pub channel_state: ChannelState,
    /// The receipt of this request; ours, beyond the specification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt_hash: Option<ReceiptHash>,
}

/// Why a header could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// Too long.
    #[error("the header has {bytes} bytes; at most {HEADER_BYTES_MAX} are taken")]
    TooLong {
        /// Bytes given.
        bytes: usize,
    },
    /// Not base64.
    #[error("the header is not base64")]
    Base64(#[source] base64::DecodeError),
    /// Not the JSON expected.
    #[error("the header's JSON is not the message expected")]
    Json(#[source] serde_json::Error),
    /// A payment identifier of the wrong form.
    #[error("the payment identifier must be a string of 16 to 128 letters, digits, '-' and '_'")]
    Identifier,
    /// A withdrawal delay out of bounds.
    #[error("a withdrawal delay of {seconds} s is outside 900 to 2592000 s")]
    WithdrawDelay {
        /// Seconds given.
        seconds: u64,
    },
}

/// A message as a header value: base64 of its JSON.
#[must_use]
pub fn to_header(message: &impl Serialize) -> String {
    let json = serde_json::to_vec(message).expect("x402 messages have string keys and no failing serialiser");
    STANDARD.encode(json)
}

/// A message from a header value.
///
/// # Errors
/// [`HeaderError`] when it is too long, not base64 or not the message expected.
pub fn from_header<T: DeserializeOwned>(value: &[u8]) -> Result<T, HeaderError> {
    if value.len() > HEADER_BYTES_MAX {
        return Err(HeaderError::TooLong { bytes: value.len() });
    }
    let json = STANDARD.decode(value).map_err(HeaderError::Base64)?;
    serde_json::from_slice(&json).map_err(HeaderError::Json)
}

mod decimal_u64 {
    use serde::{Deserialize, Deserializer, Serializer};

    #[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
    pub(super) fn serialize<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(number)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
