//! The till's relays: deposits that come with a request, and refunds.
//!
//! The channel is held from the first look until the money has moved, by a task that goes on when the client goes away.
//! Whatever is sent was written to the journal before, so that after a crash the same request finds its transaction.

use std::time::Duration;

use openledger_contracts::ChannelConfig;
use openledger_primitives::{B256, Bytes, ChannelId, U256, Wei, keccak256};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::{AdmitError, Till, now_s};
use crate::channel::{Channel, PaymentError};
use crate::hub::{HubError, RelayOutcome, SignedTransaction};
use crate::ledger::{
    Admission, ChannelHold, Ledger, Payment, RefundRequest, Relay, RelayState, ReserveError, StoredAnswer,
};
use crate::relay::{Deposit, RELAY_WINDOW_S, RelayCall, RelayError, RelayKind};
use crate::voucher::channel_id;
use crate::x402::{Moved, PaymentPayload, PaymentRequirements, SettleResponse};

/// First and longest pause between two looks for a relayed transaction.
const RELAY_POLL: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));
/// Times that a transaction is signed again because another took its place.
const SIGN_ATTEMPTS_MAX: u32 = 3;

impl From<RelayError> for AdmitError {
    fn from(error: RelayError) -> Self {
        Self::Reserve(ReserveError::Relay(error))
    }
}

impl Till {
    /// Gives free money of a channel back. The same request again gives the same response and moves nothing.
    ///
    /// # Errors
    /// [`AdmitError`]; [`Till::refusal`] makes the 402 of it.
    pub async fn refund(
        &self,
        payload: &PaymentPayload,
        offer: &PaymentRequirements,
        request: B256,
    ) -> Result<SettleResponse, AdmitError> {
        let asked = RefundRequest::read(payload, offer, request).map_err(ReserveError::from)?;
        self.ledger.check_signature(&asked.config, &asked.voucher).map_err(ReserveError::from)?;
        let hold = self.hold(asked.voucher.channel)?;
        let till = self.clone();
        tokio::spawn(async move {
            let outcome = till.refund_held(asked).await;
            drop(hold);
            outcome
        })
        .await?
    }

    async fn refund_held(&self, asked: RefundRequest) -> Result<SettleResponse, AdmitError> {
        let channel = asked.voucher.channel;
        if let Some(relay) = self.refund_made(&asked).await? {
            return self.refund_response(&relay, &asked.config).await;
        }
        self.end_refund_held(&asked.config).await?;
        let known = self.look(&asked.config).await?;
        let (chain_id, given) = (self.ledger.chain_id(), asked.amount);
        let amount = known.authorize_refund(&asked.voucher, given, chain_id).map_err(ReserveError::from)?;
        let nonce = known.on_chain.refund_nonce;
        let identifier = asked.identifier.clone().unwrap_or_else(|| {
            // Without a name of the payer's, each refund is one of its own.
            keccak256([asked.fingerprint.as_slice(), &nonce.to_be_bytes()].concat()).to_string()
        });
        let call = RelayCall::refund(asked.config.clone(), amount, nonce, chain_id, &*self.key);
        let relay = Relay {
            channel,
            kind: RelayKind::Refund,
            nonce: B256::from(U256::from(nonce)),
            identifier,
            fingerprint: asked.fingerprint,
            payer: asked.config.payer,
            amount,
            tx: unsigned(),
            state: RelayState::Sent,
            created_at: now_s(),
        };
        let _permit = self.permit(&relay).await?;
        let relay = self.send(relay, &call.map_err(RelayError::from)?).await?;
        let moved = self.finish(relay, &asked.config).await?;
        let channel = self.look(&asked.config).await?;
        Ok(SettleResponse::refunded(chain_id, asked.config.payer, &moved, channel.state()))
    }

    async fn refund_made(&self, asked: &RefundRequest) -> Result<Option<Relay>, AdmitError> {
        let Some(identifier) = asked.identifier.clone() else { return Ok(None) };
        let (channel, fingerprint) = (asked.voucher.channel, asked.fingerprint);
        self.blocking(move |ledger| Ok(ledger.refund_for(channel, &identifier, fingerprint)?)).await
    }

    async fn refund_response(&self, relay: &Relay, config: &ChannelConfig) -> Result<SettleResponse, AdmitError> {
        let moved = match relay.state {
            RelayState::Done(moved) => moved,
            _ => self.finish(relay.clone(), config).await?,
        };
        let channel = self.look(config).await?;
        Ok(SettleResponse::refunded(self.ledger.chain_id(), relay.payer, &moved, channel.state()))
    }

    /// Waits for the channel's refund that is on its way, if there is one.
    pub(super) async fn end_refund(&self, config: &ChannelConfig) -> Result<(), AdmitError> {
        let hold = self.hold(channel_id(config, self.ledger.chain_id()))?;
        let (till, config) = (self.clone(), config.clone());
        tokio::spawn(async move {
            let outcome = till.end_refund_held(&config).await;
            drop(hold);
            outcome
        })
        .await?
    }

    async fn end_refund_held(&self, config: &ChannelConfig) -> Result<(), AdmitError> {
        let channel = channel_id(config, self.ledger.chain_id());
        let waiting = self.blocking(move |ledger| Ok(ledger.refund_on_its_way(channel)?)).await?;
        match waiting {
            Some(relay) => self.finish(relay, config).await.map(|_| ()),
            None => Ok(()),
        }
    }

    /// Lets a payment in that brings its deposit: the deposit is sent first, once.
    pub(super) async fn admit_deposit(&self, payment: Payment, deposit: Deposit) -> Result<Admission, AdmitError> {
        if let Some(answered) = self.answered(&payment).await? {
            return Ok(Admission::Answered(answered));
        }
        let hold = self.hold(payment.voucher.channel)?;
        let till = self.clone();
        tokio::spawn(async move { till.admit_held(payment, deposit, hold).await }).await?
    }

    async fn admit_held(&self, payment: Payment, deposit: Deposit, hold: ChannelHold) -> Result<Admission, AdmitError> {
        if let Some(answered) = self.answered(&payment).await? {
            return Ok(Admission::Answered(answered));
        }
        self.ledger.check_standing(payment.config.payer)?;
        self.end_refund_held(&payment.config).await?;
        let moved = self.deposited(&payment, &deposit).await?;
        self.blocking(move |ledger| Ok(ledger.reserve_held(payment, hold, Some(moved))?)).await
    }

    async fn answered(&self, payment: &Payment) -> Result<Option<StoredAnswer>, AdmitError> {
        let payment = payment.clone();
        self.blocking(move |ledger| Ok(ledger.answered(&payment)?)).await
    }

    /// The deposit of a payment: sent now, or before by the same request.
    async fn deposited(&self, payment: &Payment, deposit: &Deposit) -> Result<Moved, AdmitError> {
        let channel = payment.voucher.channel;
        let (payer, nonce) = (payment.config.payer, deposit.nonce(channel));
        let known = self.blocking(move |ledger| Ok(ledger.relay(channel, RelayKind::Deposit, nonce)?)).await?;
        match known {
            Some(relay) if relay.state == RelayState::Failed => {}
            Some(relay) if !relay.is_for(&payment.identifier, payment.fingerprint) => {
                return Err(RelayError::AuthorizationUsed { payer, nonce }.into());
            }
            Some(Relay { state: RelayState::Done(moved), .. }) => {
                // It may have been made long ago, and its money withdrawn since.
                self.look(&payment.config).await?;
                return Ok(moved);
            }
            Some(relay) => match self.finish(relay, &payment.config).await {
                // It was signed before a crash and can have no effect any more: send it anew.
                Err(AdmitError::Reserve(ReserveError::Relay(RelayError::Reverted { .. }))) => {}
                outcome => return outcome,
            },
            None => {}
        }
        self.check_deposit(payment, deposit).await?;
        let relay = Relay {
            channel,
            kind: RelayKind::Deposit,
            nonce,
            identifier: payment.identifier.clone(),
            fingerprint: payment.fingerprint,
            payer,
            amount: deposit.amount,
            tx: unsigned(),
            state: RelayState::Sent,
            created_at: now_s(),
        };
        let _permit = self.permit(&relay).await?;
        let call = RelayCall::Deposit { config: payment.config.clone(), deposit: deposit.clone() };
        let relay = self.send(relay, &call).await?;
        self.finish(relay, &payment.config).await
    }

    /// Refuses a deposit that would not pay for its request, before it costs anybody anything.
    async fn check_deposit(&self, payment: &Payment, deposit: &Deposit) -> Result<(), AdmitError> {
        let chain_id = self.ledger.chain_id();
        deposit.check(&payment.config, chain_id, self.options.deposit_min, self.hub.now().await?)?;
        let mut channel = self.peek(&payment.config).await?;
        let overflow = PaymentError::Overflow { channel: channel.id };
        let balance = channel.on_chain.balance.checked_add(deposit.amount).ok_or(overflow);
        channel.on_chain.balance = balance.map_err(ReserveError::from)?;
        channel.authorize(payment.voucher.clone(), payment.amount_max, chain_id).map_err(ReserveError::from)?;
        let (payer, nonce) = (payment.config.payer, deposit.nonce(payment.voucher.channel));
        if self.hub.is_authorization_used(payer, nonce).await? {
            return Err(RelayError::AuthorizationUsed { payer, nonce }.into());
        }
        let (balance, amount) = (self.hub.wrapped_balance(payer).await?, deposit.amount);
        if balance < amount {
            return Err(RelayError::InsufficientBalance { payer, balance, amount }.into());
        }
        Ok(())
    }

    /// Room for one more transaction, for this payer too.
    async fn permit(&self, relay: &Relay) -> Result<OwnedSemaphorePermit, AdmitError> {
        let (payer, max) = (relay.payer, self.options.relays_payer_max);
        let since = now_s().saturating_sub(RELAY_WINDOW_S);
        if self.blocking(move |ledger| Ok(ledger.relays_of(payer, since)?)).await? >= max {
            return Err(RelayError::TooMany { payer, max }.into());
        }
        let busy = RelayError::Busy { max: self.options.relays_max };
        std::sync::Arc::clone(&self.relays).try_acquire_owned().map_err(|_| busy.into())
    }

    /// Simulates, signs, writes down and sends, in this order.
    async fn send(&self, relay: Relay, call: &RelayCall) -> Result<Relay, AdmitError> {
        let (ledger, kind) = (self.ledger.clone(), relay.kind);
        let kept = relay.clone();
        let keep = Box::new(move |tx: SignedTransaction| {
            let relay = Relay { tx, ..kept };
            let write = move || ledger.note_relay(&relay);
            let written = async move {
                let unavailable = |error| HubError::Unavailable(error);
                tokio::task::spawn_blocking(write)
                    .await
                    .map_err(|error| unavailable(Box::new(error)))?
                    .map_err(|error| unavailable(Box::new(error)))
            };
            Box::pin(written) as crate::hub::HubFuture<'_, ()>
        });
        match self.hub.relay(call, keep).await {
            Ok(tx) => Ok(Relay { tx, ..relay }),
            Err(HubError::Reverted { reason }) => Err(RelayError::Simulation { kind, reason }.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until a relay has moved its money, and notes it with the channel as it stands then.
    async fn finish(&self, mut relay: Relay, config: &ChannelConfig) -> Result<Moved, AdmitError> {
        let until = Instant::now() + Duration::from_secs(self.options.relay_wait_s);
        let (mut pause, longest) = RELAY_POLL;
        for _ in 0..SIGN_ATTEMPTS_MAX {
            let outcome = loop {
                match self.hub.relayed(&relay.tx).await? {
                    RelayOutcome::Waiting if Instant::now() >= until => {
                        let waited_s = self.options.relay_wait_s;
                        return Err(RelayError::WaitedOut { tx: relay.tx.hash, waited_s }.into());
                    }
                    RelayOutcome::Waiting => tokio::time::sleep(pause).await,
                    outcome => break outcome,
                }
                pause = (pause * 2).min(longest);
            };
            if let RelayOutcome::Moved { amount } = outcome {
                return self.moved(relay, config, amount).await;
            }
            match relay.kind {
                RelayKind::Deposit => return self.deposit_failed(relay).await,
                RelayKind::Refund => match self.refund_again(&relay, config).await? {
                    Ok(moved) => return Ok(moved),
                    Err(sent) => relay = sent,
                },
            }
        }
        Err(RelayError::Reverted { kind: relay.kind, tx: relay.tx.hash }.into())
    }

    async fn moved(&self, relay: Relay, config: &ChannelConfig, amount: Wei) -> Result<Moved, AdmitError> {
        let moved = Moved { tx: relay.tx.hash, amount };
        self.note_moved(relay, config, moved).await?;
        Ok(moved)
    }

    async fn note_moved(&self, relay: Relay, config: &ChannelConfig, moved: Moved) -> Result<Channel, AdmitError> {
        let on_chain = self.hub.channel(config).await?;
        tracing::info!(channel = %relay.channel, kind = ?relay.kind, amount = %moved.amount, tx = %moved.tx, "relayed");
        let config = config.clone();
        self.blocking(move |ledger| Ok(ledger.note_relayed(&relay, moved, &config, on_chain, now_s())?)).await
    }

    /// A deposit without effect: its authorisation may be sent again, by this request or another.
    async fn deposit_failed(&self, relay: Relay) -> Result<Moved, AdmitError> {
        let (kind, tx) = (relay.kind, relay.tx.hash);
        let failed = Relay { state: RelayState::Failed, ..relay };
        self.blocking(move |ledger| Ok(ledger.note_relay(&failed)?)).await?;
        Err(RelayError::Reverted { kind, tx }.into())
    }

    /// A refund whose transaction had no effect. Its signature may be known to others, who can send it as long as its
    /// nonce stands; so it is never given up: either somebody sent it, or it is sent again.
    async fn refund_again(&self, relay: &Relay, config: &ChannelConfig) -> Result<Result<Moved, Relay>, AdmitError> {
        let nonce = U256::from_be_bytes(relay.nonce.0).saturating_to::<u64>();
        if self.hub.channel(config).await?.refund_nonce > nonce {
            let found = self.hub.refund_of(config, nonce, relay.tx.signed_at).await?;
            // A refund that found nothing to give leaves no event.
            let nothing = Moved { tx: relay.tx.hash, amount: Wei::ZERO };
            let moved = found.unwrap_or(nothing);
            self.note_moved(relay.clone(), config, moved).await?;
            return Ok(Ok(moved));
        }
        let chain_id = self.ledger.chain_id();
        let call = RelayCall::refund(config.clone(), relay.amount, nonce, chain_id, &*self.key);
        let mut sent = self.send(relay.clone(), &call.map_err(RelayError::from)?).await?;
        // As in the journal: whoever saw the first signature can have sent it from then on.
        sent.tx.signed_at = relay.tx.signed_at;
        Ok(Err(sent))
    }

    /// The channel as books and chain have it now; nothing is kept of a channel without money.
    async fn peek(&self, config: &ChannelConfig) -> Result<Channel, AdmitError> {
        let id = channel_id(config, self.ledger.chain_id());
        let on_chain = self.hub.channel(config).await?;
        let known = self.blocking(move |ledger| Ok(ledger.channel(id)?)).await?;
        let opened = Channel::open(config.clone(), self.ledger.chain_id(), on_chain, now_s());
        let mut channel = known.unwrap_or(opened);
        channel.mirror(on_chain, now_s());
        Ok(channel)
    }

    /// The same, kept in the books. Of a channel that they have, it is noted too that its money is gone.
    async fn look(&self, config: &ChannelConfig) -> Result<Channel, AdmitError> {
        let channel = self.peek(config).await?;
        let is_empty = channel.on_chain.balance.is_zero() && channel.charged.is_zero();
        let config = config.clone();
        let keep = move |ledger: &Ledger| {
            if is_empty && ledger.channel(channel.id)?.is_none() {
                return Ok(channel);
            }
            Ok(ledger.mirror(&config, channel.on_chain, now_s())?)
        };
        self.blocking(keep).await
    }

    fn hold(&self, channel: ChannelId) -> Result<ChannelHold, AdmitError> {
        let busy = PaymentError::ChannelBusy { channel };
        self.ledger.hold(channel).ok_or_else(|| ReserveError::from(busy).into())
    }

    /// Runs database work where blocking is allowed.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Ledger) -> Result<T, AdmitError> + Send + 'static,
    ) -> Result<T, AdmitError> {
        let ledger = self.ledger.clone();
        tokio::task::spawn_blocking(move || work(&ledger)).await?
    }
}

/// In the place of a transaction until it is signed; never written down.
fn unsigned() -> SignedTransaction {
    SignedTransaction { hash: B256::ZERO, nonce: 0, raw: Bytes::new(), signed_at: 0 }
}
