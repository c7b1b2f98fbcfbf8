//! The till: lets payments in and charges them, for whatever serves requests.
//!
//! It joins the books with the chain: an unknown or outdated channel is read from the hub first, so that nobody
//! pays with money that is no longer there.

mod relaying;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use alloy_signer::SignerSync;
use openledger_contracts::ChannelConfig;
use openledger_contracts::addresses::{INFERENCE_HUB, WRAPPED_OPEN};
use openledger_primitives::{Address, B256, Wei};
use openledger_store::StoreError;
use tokio::sync::Semaphore;
use tokio::task::JoinError;

use crate::channel::{Channel, PaymentError};
use crate::hub::{HubClient, HubError};
use crate::ledger::{
    Admission, Charge, ChargeError, Kept, Ledger, Payment, RESERVATION_AGE_MAX, Reservation, ReserveError, StoredAnswer,
};
use crate::receipt::{ReceiptDraft, SignedReceipt};
use crate::x402::{BatchExtra, PaymentPayload, PaymentRequired, PaymentRequirements, SCHEME, network};

/// Age at which a channel's mirror is read again, in seconds: well below the shortest withdrawal delay.
pub const MIRROR_AGE_MAX_S: u64 = 60;

/// Longest wait for an answer that is being made.
pub const STORED_WAIT_MAX: Duration = Duration::from_secs(60);
/// Pause between two looks for it.
const STORED_POLL: Duration = Duration::from_millis(50);

/// A key that signs receipts.
pub type ReceiptKey = Arc<dyn SignerSync + Send + Sync>;

/// Terms of every offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TillOptions {
    /// Seconds between asking for a withdrawal and getting it.
    pub withdraw_delay_s: u64,
    /// Seconds that an answer may take.
    pub timeout_max_s: u64,
    /// Seconds after which a payment that was let in is not charged any more, at most
    /// [`RESERVATION_AGE_MAX`](crate::ledger::RESERVATION_AGE_MAX).
    pub reservation_max_s: u64,
    /// Deposit suggested, as a number of requests at their highest price.
    pub deposit_requests: u32,
    /// The least that is relayed: below it, a deposit costs the operator more gas than it brings.
    pub deposit_min: Wei,
    /// Relayed transactions on their way at once.
    pub relays_max: usize,
    /// Relayed transactions of one payer within [`RELAY_WINDOW_S`](crate::relay::RELAY_WINDOW_S).
    pub relays_payer_max: u64,
    /// Longest wait for a relayed transaction to be in a block, in seconds; part of `timeout_max_s`.
    pub relay_wait_s: u64,
}

impl Default for TillOptions {
    fn default() -> Self {
        Self {
            withdraw_delay_s: 900,
            timeout_max_s: 300,
            reservation_max_s: RESERVATION_AGE_MAX.as_secs(),
            deposit_requests: 100,
            deposit_min: Wei(10_000_000_000_000_000),
            relays_max: 16,
            relays_payer_max: 20,
            relay_wait_s: 60,
        }
    }
}

/// Why a payment was not let in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdmitError {
    /// The payment is not good.
    #[error(transparent)]
    Reserve(#[from] ReserveError),
    /// The channel could not be read from the chain.
    #[error("the channel could not be read from the chain")]
    Hub(#[from] HubError),
    /// The database failed.
    #[error("the channel could not be noted")]
    Store(#[from] StoreError),
    /// A background task died.
    #[error("a background task of the till ended early")]
    Task(#[from] JoinError),
}

impl AdmitError {
    /// The error code that x402 gives this case.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Reserve(ReserveError::Payment(error)) => error.code(),
            Self::Reserve(ReserveError::UnknownChannel { .. }) => "invalid_batch_settlement_evm_missing_channel",
            Self::Reserve(ReserveError::IdentifierReused { .. }) => "payment_identifier_conflict",
            Self::Reserve(ReserveError::AnswerForgotten { .. }) => "payment_answer_expired",
            Self::Reserve(ReserveError::RefundOnItsWay { .. }) => "invalid_batch_settlement_evm_channel_busy",
            Self::Reserve(ReserveError::PayerSetAside { .. }) => "payer_claim_refused",
            Self::Reserve(ReserveError::Standstill { .. }) => "settlement_standstill",
            Self::Reserve(ReserveError::Relay(error)) => error.code(),
            Self::Hub(_) => "invalid_batch_settlement_evm_channel_state_read_failed",
            Self::Reserve(ReserveError::Store(_)) | Self::Store(_) | Self::Task(_) => "unexpected_settle_error",
        }
    }
}

/// The till of one operator.
#[derive(Clone)]
pub struct Till {
    ledger: Ledger,
    hub: Arc<dyn HubClient>,
    key: ReceiptKey,
    operator: Address,
    options: TillOptions,
    relays: Arc<Semaphore>,
}

impl std::fmt::Debug for Till {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Till").field("operator", &self.operator).finish_non_exhaustive()
    }
}

impl Till {
    /// The till of `operator`, whose receipts `key` signs.
    #[must_use]
    pub fn new(
        ledger: Ledger,
        hub: Arc<dyn HubClient>,
        key: ReceiptKey,
        operator: Address,
        options: TillOptions,
    ) -> Self {
        let relays = Arc::new(Semaphore::new(options.relays_max));
        Self { ledger, hub, key, operator, options, relays }
    }

    /// The books.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The operator paid here.
    #[must_use]
    pub fn operator(&self) -> Address {
        self.operator
    }

    /// What a request costing at most `amount_max` must be paid with.
    #[must_use]
    pub fn offer(&self, amount_max: Wei) -> PaymentRequirements {
        let suggested = amount_max.checked_mul(self.options.deposit_requests.into());
        PaymentRequirements {
            scheme: SCHEME.to_owned(),
            network: network(self.ledger.chain_id()),
            amount: amount_max,
            asset: WRAPPED_OPEN,
            pay_to: INFERENCE_HUB,
            max_timeout_seconds: self.options.timeout_max_s,
            extra: BatchExtra {
                receiver_authorizer: self.operator,
                withdraw_delay: self.options.withdraw_delay_s,
                name: "Wrapped OPEN".to_owned(),
                version: "1".to_owned(),
                min_deposit: suggested.map(|suggested| suggested.max(self.options.deposit_min)),
                channel_state: None,
                voucher_state: None,
            },
        }
    }

    /// Lets a payment for `offer` in. `request` is the hash of the request's body: together with the payment
    /// identifier it tells a retry from another request.
    ///
    /// # Errors
    /// [`AdmitError`]; [`Till::refusal`] makes the 402 of it.
    pub async fn admit(
        &self,
        payload: &PaymentPayload,
        offer: &PaymentRequirements,
        request: B256,
    ) -> Result<Admission, AdmitError> {
        let payment = Payment::read(payload, offer, request).map_err(ReserveError::from)?;
        let age_max = Duration::from_secs(self.options.reservation_max_s);
        Ok(match self.admit_payment(payment).await? {
            Admission::Reserved(reservation) => Admission::Reserved(reservation.within(age_max)),
            answered => answered,
        })
    }

    async fn admit_payment(&self, payment: Payment) -> Result<Admission, AdmitError> {
        if let Some(deposit) = payment.deposit.clone() {
            return self.admit_deposit(payment, deposit).await;
        }
        self.refresh(&payment).await?;
        match self.reserve(payment.clone()).await {
            // A deposit that arrived since the last look may cover it.
            Err(AdmitError::Reserve(ReserveError::Payment(
                PaymentError::CumulativeExceedsBalance { .. } | PaymentError::ChannelNotFound { .. },
            ))) => {
                self.mirror(&payment).await?;
                self.reserve(payment).await
            }
            Err(AdmitError::Reserve(ReserveError::RefundOnItsWay { .. })) => {
                self.end_refund(&payment.config).await?;
                self.reserve(payment).await
            }
            outcome => outcome,
        }
    }

    /// The stored answer of a payment, whose request is not served again: none where nothing was charged. Waits, at most
    /// [`STORED_WAIT_MAX`], while an answer is being made on the channel.
    ///
    /// # Errors
    /// [`AdmitError`] as [`Till::admit`].
    pub async fn stored(
        &self,
        payload: &PaymentPayload,
        offer: &PaymentRequirements,
        request: B256,
    ) -> Result<Option<StoredAnswer>, AdmitError> {
        let payment = Payment::read(payload, offer, request).map_err(ReserveError::from)?;
        let until = Instant::now() + STORED_WAIT_MAX;
        loop {
            let (ledger, payment) = (self.ledger.clone(), payment.clone());
            let found = tokio::task::spawn_blocking(move || ledger.stored(&payment)).await?;
            match found {
                Err(ReserveError::Payment(PaymentError::ChannelBusy { .. })) if Instant::now() < until => {
                    tokio::time::sleep(STORED_POLL).await;
                }
                found => return Ok(found?),
            }
        }
    }

    async fn reserve(&self, payment: Payment) -> Result<Admission, AdmitError> {
        let ledger = self.ledger.clone();
        Ok(tokio::task::spawn_blocking(move || ledger.reserve(payment)).await??)
    }

    /// Reads the channel from the chain when it is new or was read too long ago.
    async fn refresh(&self, payment: &Payment) -> Result<(), AdmitError> {
        let (ledger, channel) = (self.ledger.clone(), payment.voucher.channel);
        let known: Option<Channel> = tokio::task::spawn_blocking(move || ledger.channel(channel)).await??;
        let fresh = |channel: Channel| channel.synced_at.saturating_add(MIRROR_AGE_MAX_S) > now_s();
        if known.is_some_and(fresh) { Ok(()) } else { self.mirror(payment).await }
    }

    async fn mirror(&self, payment: &Payment) -> Result<(), AdmitError> {
        let claimed = payment.voucher.channel;
        self.ledger.check_signature(&payment.config, &payment.voucher).map_err(ReserveError::from)?;
        let on_chain = self.hub.channel(&payment.config).await?;
        if on_chain.balance.is_zero() {
            // Nothing is kept of channels without money, or anyone could fill the books.
            return Err(ReserveError::from(PaymentError::ChannelNotFound { channel: claimed }).into());
        }
        let (ledger, config) = (self.ledger.clone(), payment.config.clone());
        tokio::task::spawn_blocking(move || ledger.mirror(&config, on_chain, now_s())).await??;
        Ok(())
    }

    /// The 402 for a payment that was not let in, with what an honest client needs to correct itself.
    #[must_use]
    pub fn refusal(
        &self,
        url: &str,
        offer: &PaymentRequirements,
        payload: &PaymentPayload,
        error: &AdmitError,
    ) -> PaymentRequired {
        let mut offer = offer.clone();
        let corrective = match error {
            AdmitError::Reserve(ReserveError::Payment(payment)) => payment.is_corrective(),
            AdmitError::Reserve(ReserveError::Relay(relay)) => relay.is_corrective(),
            _ => false,
        };
        if corrective && let Some(channel) = self.known_channel(payload) {
            offer.extra.channel_state = Some(channel.state());
            offer.extra.voucher_state = channel.voucher_state();
        }
        PaymentRequired::new(url, error.code(), offer)
    }

    fn known_channel(&self, payload: &PaymentPayload) -> Option<Channel> {
        let voucher = payload.payload.voucher();
        // What a channel was charged is its payer's business.
        let config = ChannelConfig::try_from(payload.payload.channel_config()).ok()?;
        self.ledger.check_signature(&config, &voucher.into()).ok()?;
        self.ledger.channel(voucher.channel_id).ok().flatten()
    }

    /// Charges a served request and signs its receipt. `answer` makes what is kept, with the receipt in hand: the body
    /// that a retry gets again, and the records that it was paid for.
    ///
    /// # Errors
    /// [`ChargeError`]; nothing is charged then.
    pub async fn charge<K: Into<Kept> + 'static>(
        &self,
        reservation: Reservation,
        draft: ReceiptDraft,
        answer: impl FnOnce(&SignedReceipt) -> K + Send + 'static,
    ) -> Result<Charge, ChargeError> {
        let (ledger, key, operator) = (self.ledger.clone(), Arc::clone(&self.key), self.operator);
        let work = move || ledger.charge(reservation, draft, &*key, operator, answer);
        tokio::task::spawn_blocking(work).await?
    }
}

/// Unix time in seconds, for mirrors; a clock before 1970 reads as 0, which only makes them count as old.
pub(crate) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}
