//! The payer's side of channels: opens and tops them up, signs vouchers, keeps count.
//!
//! What a server says about a channel is believed only as far as the payer's own signature proves it (x402,
//! `batch-settlement`, client verification rules).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use alloy_primitives::aliases::U40;
use openledger_contracts::ChannelConfig;
use openledger_contracts::addresses::{INFERENCE_HUB, WRAPPED_OPEN};
use openledger_primitives::{Address, B256, ChannelId, U256, Wei};
use openledger_settlement::channel::OnChainChannel;
use openledger_settlement::relay::Deposit;
use openledger_settlement::voucher::{SignedVoucher, channel_id};
use openledger_settlement::x402::{BatchExtra, PaymentRequirements, SCHEME, SettleResponse, WITHDRAW_DELAY_S, network};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::chain::{ChainClient, ChainError};
use crate::contracts::Hub;

/// Most channels to one operator.
pub const CHANNELS_MAX: usize = 64;

/// How long an authorised deposit may be sent, in seconds.
const AUTHORIZATION_VALID_S: u64 = 600;

/// Limits that the payer sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayerOptions {
    /// The most that one request may cost; offers above it are refused.
    pub amount_max: Wei,
    /// Deposits cover this many requests at the offered maximum.
    pub deposit_requests: u32,
    /// The most that one deposit locks up.
    pub deposit_max: Wei,
    /// Requests at a time to one operator, each on its own channel.
    pub channels: usize,
    /// How money gets into a channel.
    pub deposit_by: DepositBy,
}

/// How money gets into a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DepositBy {
    /// A transaction of the payer's with native OPEN, whose gas the payer pays.
    #[default]
    Transaction,
    /// An authorisation over wrapped OPEN that travels with the request; the operator sends it and pays the gas.
    Authorization,
}

impl Default for PayerOptions {
    fn default() -> Self {
        Self {
            amount_max: Wei::from_open(1),
            deposit_requests: 100,
            deposit_max: Wei::from_open(100),
            channels: 1,
            deposit_by: DepositBy::Transaction,
        }
    }
}

/// Why a payment was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PayerError {
    /// The offer is not one that this payer takes.
    #[error("the offer's {term} is {given}; {expected} is taken")]
    Offer {
        /// Which term.
        term: &'static str,
        /// What the offer says.
        given: String,
        /// What would be taken.
        expected: String,
    },
    /// The request costs more than the payer allows.
    #[error("the request may cost {amount} wei; this payer allows {amount_max} wei")]
    TooDear {
        /// The offer's maximum.
        amount: Wei,
        /// The payer's limit.
        amount_max: Wei,
    },
    /// The channel needs more money than the payer locks up at once.
    #[error("the channel needs {needed} wei more; this payer deposits at most {deposit_max} wei at once")]
    DepositTooLarge {
        /// What is missing.
        needed: Wei,
        /// The payer's limit.
        deposit_max: Wei,
    },
    /// The server's correction is not backed by the payer's own signature.
    #[error("the server's account of channel {channel} is not backed by a voucher of this payer")]
    Unproven {
        /// Which channel.
        channel: ChannelId,
    },
    /// The amounts do not fit.
    #[error("the amounts of channel {channel} add up to more than 2^128 - 1 wei")]
    Overflow {
        /// Which channel.
        channel: ChannelId,
    },
    /// The voucher could not be signed.
    #[error("the voucher could not be signed")]
    Sign(#[from] alloy_signer::Error),
    /// The chain failed.
    #[error("the channel could not be read or funded")]
    Chain(#[from] ChainError),
}

/// One channel to one operator.
#[derive(Debug)]
pub struct PayerChannel {
    hub: Hub,
    config: ChannelConfig,
    id: ChannelId,
    charged: Wei,
    on_chain: OnChainChannel,
    /// The deposit signed last, which whoever has it can still send.
    signed: Option<Deposit>,
}

impl PayerChannel {
    /// The channel that `offer` leads to under `salt`, as the chain has it. Nothing is deposited yet; charges count
    /// from what has been claimed, and a corrective 402 brings what was charged since.
    ///
    /// # Errors
    /// [`PayerError`] when the offer is not of our hub, or the chain cannot be read.
    pub async fn open(hub: Hub, offer: &PaymentRequirements, salt: B256) -> Result<Self, PayerError> {
        let client = hub.client();
        check_offer(offer, client.chain_id())?;
        let config = ChannelConfig {
            payer: client.address(),
            payerAuthorizer: Address::ZERO,
            receiver: offer.pay_to,
            receiverAuthorizer: offer.extra.receiver_authorizer,
            token: offer.asset,
            withdrawDelay: U40::from(offer.extra.withdraw_delay),
            salt,
        };
        let id = channel_id(&config, client.chain_id());
        let on_chain = hub.channel_state(&config).await?;
        Ok(Self { hub, config, id, charged: on_chain.total_claimed, on_chain, signed: None })
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> ChannelId {
        self.id
    }

    /// Its configuration.
    #[must_use]
    pub fn config(&self) -> &ChannelConfig {
        &self.config
    }

    /// What the chain had of it when it was read last.
    #[must_use]
    pub fn on_chain(&self) -> OnChainChannel {
        self.on_chain
    }

    /// What was charged over its life, as far as this payer knows.
    #[must_use]
    pub fn charged(&self) -> Wei {
        self.charged
    }

    /// What it can still pay.
    #[must_use]
    pub fn left(&self) -> Wei {
        let available = self.on_chain.balance.checked_sub(self.on_chain.withdraw_amount).unwrap_or(Wei::ZERO);
        available.checked_sub(self.charged).unwrap_or(Wei::ZERO)
    }

    /// How many requests of at most `amount` it can still pay.
    #[must_use]
    pub fn calls_left(&self, amount: Wei) -> u64 {
        self.left().0.checked_div(amount.0).map_or(u64::MAX, |calls| u64::try_from(calls).unwrap_or(u64::MAX))
    }

    /// Makes sure that the channel can pay `amount`: deposits for `options.deposit_requests` requests if it cannot, or
    /// signs the authorisation of such a deposit, to be sent with the request.
    ///
    /// # Errors
    /// [`PayerError`]; nothing is deposited then.
    pub async fn cover(&mut self, amount: Wei, options: &PayerOptions) -> Result<Option<Deposit>, PayerError> {
        if self.left() >= amount {
            return Ok(None);
        }
        // An earlier deposit may have been long in coming; another one beside it would lock up twice as much.
        self.refresh().await?;
        if self.left() >= amount {
            return Ok(None);
        }
        if let Some(deposit) = self.deposit_on_its_way().await? {
            let after = self.left().checked_add(deposit.amount);
            if after.is_some_and(|after| after >= amount) {
                return Ok(Some(deposit));
            }
        }
        let wanted = amount.checked_mul(options.deposit_requests.max(1).into());
        let wanted = wanted.ok_or(PayerError::Overflow { channel: self.id })?.min(options.deposit_max);
        let needed = Wei(amount.0 - self.left().0);
        if wanted < needed {
            return Err(PayerError::DepositTooLarge { needed, deposit_max: options.deposit_max });
        }
        if options.deposit_by == DepositBy::Authorization {
            self.signed = Some(self.authorize(wanted).await?);
            return Ok(self.signed.clone());
        }
        self.hub.deposit(&self.config, wanted).await?;
        tracing::info!(channel = %self.id, amount = %wanted, "deposited");
        self.refresh().await?;
        Ok(None)
    }

    /// Signs a deposit of wrapped OPEN that whoever holds the authorisation can send, into this channel only.
    ///
    /// # Errors
    /// [`PayerError`] when the chain cannot be asked or the key cannot sign.
    pub async fn authorize(&self, amount: Wei) -> Result<Deposit, PayerError> {
        let client = self.hub.client();
        let valid_before = client.block_time().await?.saturating_add(AUTHORIZATION_VALID_S);
        let salt = B256::from(rand::random::<[u8; 32]>());
        Ok(Deposit::sign(&self.config, amount, valid_before, salt, client.chain_id(), client.signer())?)
    }

    /// The deposit signed last, unless the chain has it or it is too late for it.
    ///
    /// # Errors
    /// [`PayerError::Chain`].
    pub async fn deposit_on_its_way(&mut self) -> Result<Option<Deposit>, PayerError> {
        let Some(deposit) = &self.signed else { return Ok(None) };
        let is_late = deposit.valid_before <= self.hub.client().block_time().await?;
        if is_late || self.hub.is_spent(self.config.payer, deposit.nonce(self.id)).await? {
            self.signed = None;
        }
        Ok(self.signed.clone())
    }

    /// Reads the channel from the chain again.
    ///
    /// # Errors
    /// [`PayerError::Chain`].
    pub async fn refresh(&mut self) -> Result<(), PayerError> {
        self.on_chain = self.hub.channel_state(&self.config).await?;
        self.charged = self.charged.max(self.on_chain.total_claimed);
        Ok(())
    }

    /// Signs the voucher for one more request of at most `amount`.
    ///
    /// # Errors
    /// [`PayerError`] when the sum does not fit or the key cannot sign.
    pub fn voucher(&self, amount: Wei) -> Result<SignedVoucher, PayerError> {
        let ceiling = self.charged.checked_add(amount).ok_or(PayerError::Overflow { channel: self.id })?;
        let client = self.hub.client();
        Ok(SignedVoucher::sign(self.id, ceiling, client.chain_id(), client.signer())?)
    }

    /// Takes over a charge of at most `amount`; what does not add up changes nothing and is corrected by a 402.
    /// Gives the charge.
    pub fn apply(&mut self, amount: Wei, response: &SettleResponse) -> Option<Wei> {
        let extra = response.extra.as_ref().filter(|_| response.success)?;
        let charged = extra.charged_amount?;
        let after = self.charged.checked_add(charged)?;
        let adds_up = charged <= amount && extra.channel_state.charged_cumulative_amount == after;
        if !adds_up {
            tracing::warn!(channel = %self.id, %charged, "a charge does not add up");
            return None;
        }
        self.charged = after;
        Some(charged)
    }

    /// Takes over the server's account of the channel, as far as this payer's own voucher proves it.
    ///
    /// # Errors
    /// [`PayerError::Unproven`] when it is not proved.
    pub fn correct(&mut self, extra: &BatchExtra) -> Result<(), PayerError> {
        let unproven = PayerError::Unproven { channel: self.id };
        let Some(state) = extra.channel_state.as_ref().filter(|state| state.channel_id == self.id) else {
            return Err(unproven);
        };
        let charged = state.charged_cumulative_amount;
        // What was claimed on chain needs no voucher to prove it.
        if charged == self.on_chain.total_claimed {
            self.charged = charged;
            return Ok(());
        }
        let client = self.hub.client();
        let proof = extra.voucher_state.as_ref().map(|voucher| SignedVoucher {
            channel: self.id,
            max_claimable: voucher.signed_max_claimable,
            signature: voucher.signature.clone(),
        });
        let proved = proof.is_some_and(|voucher| {
            charged <= voucher.max_claimable && voucher.verify(client.address(), client.chain_id()).is_ok()
        });
        if !proved {
            return Err(unproven);
        }
        self.charged = charged;
        Ok(())
    }
}

fn check_offer(offer: &PaymentRequirements, chain_id: u64) -> Result<(), PayerError> {
    let network = network(chain_id);
    let same = |term, given: &str, expected: &str| {
        let (taken, refused) =
            (given == expected, || PayerError::Offer { term, given: given.into(), expected: expected.into() });
        if taken { Ok(()) } else { Err(refused()) }
    };
    same("scheme", &offer.scheme, SCHEME)?;
    same("network", &offer.network, &network)?;
    same("receiver", &offer.pay_to.to_string(), &INFERENCE_HUB.to_string())?;
    same("token", &offer.asset.to_string(), &WRAPPED_OPEN.to_string())?;
    if !WITHDRAW_DELAY_S.contains(&offer.extra.withdraw_delay) {
        let (given, expected) = (offer.extra.withdraw_delay.to_string(), "900 to 2592000 s".to_owned());
        return Err(PayerError::Offer { term: "withdrawal delay", given, expected });
    }
    Ok(())
}

/// One request's use of a channel.
pub(crate) type Lane = OwnedMutexGuard<Option<PayerChannel>>;
type Lanes = Vec<Arc<Mutex<Option<PayerChannel>>>>;

/// Channels of one payer to every operator that it asks.
#[derive(Clone, Debug)]
pub struct Wallet {
    hub: Hub,
    options: PayerOptions,
    lanes: Arc<Mutex<BTreeMap<Address, Lanes>>>,
    turn: Arc<AtomicUsize>,
}

impl Wallet {
    /// A wallet that pays with the client's account.
    #[must_use]
    pub fn new(client: ChainClient, options: PayerOptions) -> Self {
        Self { hub: client.hub(), options, lanes: Arc::default(), turn: Arc::default() }
    }

    /// The payer's limits.
    #[must_use]
    pub fn options(&self) -> &PayerOptions {
        &self.options
    }

    /// A channel for `offer`, kept for one request: the first that is free, or the next in turn.
    pub(crate) async fn lane(&self, offer: &PaymentRequirements) -> Result<Lane, PayerError> {
        let amount_max = self.options.amount_max;
        if offer.amount > amount_max {
            return Err(PayerError::TooDear { amount: offer.amount, amount_max });
        }
        let (index, mut lane) = self.free_lane(offer.extra.receiver_authorizer).await;
        let outdated = |channel: &PayerChannel| channel.config.withdrawDelay.to::<u64>() != offer.extra.withdraw_delay;
        if lane.as_ref().is_none_or(outdated) {
            let salt = B256::from(U256::from(index));
            *lane = Some(PayerChannel::open(self.hub.clone(), offer, salt).await?);
        }
        Ok(lane)
    }

    async fn free_lane(&self, operator: Address) -> (usize, Lane) {
        let count = self.options.channels.clamp(1, CHANNELS_MAX);
        let lanes = {
            let mut all = self.lanes.lock().await;
            let lanes = all.entry(operator).or_insert_with(|| (0..count).map(|_| Arc::default()).collect());
            lanes.clone()
        };
        let free = lanes.iter().enumerate();
        if let Some(found) = free.into_iter().find_map(|(at, lane)| Some((at, Arc::clone(lane).try_lock_owned().ok()?)))
        {
            return found;
        }
        let next = self.turn.fetch_add(1, Ordering::Relaxed) % lanes.len();
        (next, Arc::clone(&lanes[next]).lock_owned().await)
    }
}
