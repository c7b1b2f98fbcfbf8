//! Taking a payment: reserve, serve, charge.

use std::fmt;
use std::time::{Duration, Instant};

use alloy_signer::SignerSync;
use openledger_contracts::{ChannelConfig, Receipt};
use openledger_primitives::{B256, ChannelId, ModelId, ReceiptHash, Wei, keccak256};
use openledger_store::{ReadTx, RowExt, StoreError, Tx, number_value, params, wei_bytes};

use super::credits::{RecordCredit, put_credits};
use super::rows::{self, WeightTable};
use super::{ANSWER_BYTES_MAX, ChannelHold, Ledger};
use crate::channel::{Authorized, Channel, PaymentError, PaymentRefusal, Term};
use crate::epoch::EPOCH_RECEIPTS_MAX;
use crate::receipt::{ReceiptDraft, ReceiptError, ReceiptPlace, SignedReceipt};
use crate::relay::{Deposit, RelayError};
use crate::signature::SignatureError;
use crate::voucher::{SignedVoucher, channel_id, voucher_signer};
use crate::x402::{self, BatchPayload, Moved, PaymentPayload, PaymentRequirements, SettleExtra, SettleResponse};

/// A payment whose terms are those offered, for one request.
#[derive(Clone, Debug)]
pub struct Payment {
    /// The channel's configuration.
    pub config: ChannelConfig,
    /// The voucher.
    pub voucher: SignedVoucher,
    /// The most that the request can cost.
    pub amount_max: Wei,
    /// Money to be put into the channel first.
    pub deposit: Option<Deposit>,
    /// Key under which the answer is kept for retries.
    pub identifier: String,
    /// Hash of the request, so that an identifier is not used for two.
    pub fingerprint: B256,
}

impl Payment {
    /// Reads a payment for `offer`; `request` is the hash of the request's body. Without an identifier of the
    /// payer's, voucher and request together are one.
    ///
    /// # Errors
    /// [`PaymentRefusal`] naming the term that differs.
    pub fn read(payload: &PaymentPayload, offer: &PaymentRequirements, request: B256) -> Result<Self, PaymentRefusal> {
        let (wire_config, wire_voucher, deposit) = match &payload.payload {
            BatchPayload::Voucher { channel_config, voucher } => (channel_config, voucher, None),
            BatchPayload::Deposit { channel_config, voucher, deposit } => (channel_config, voucher, Some(deposit)),
            BatchPayload::Refund { .. } => return Err(PaymentError::PayloadType { kind: "refund" }.into()),
        };
        same(Term::Amount, &payload.accepted.amount, &offer.amount)?;
        let config = agreed_config(payload, wire_config, offer)?;
        let voucher = SignedVoucher::from(wire_voucher);
        let identifier = match payload.identifier().map_err(malformed)? {
            Some(identifier) => identifier.to_owned(),
            None => keccak256([voucher.signature.as_ref(), request.as_slice()].concat()).to_string(),
        };
        let deposit = deposit.map(Deposit::try_from).transpose()?;
        Ok(Self { config, voucher, amount_max: offer.amount, deposit, identifier, fingerprint: request })
    }
}

/// A refund asked for, on the terms offered.
#[derive(Clone, Debug)]
pub struct RefundRequest {
    /// The channel's configuration.
    pub config: ChannelConfig,
    /// A voucher at what has been charged.
    pub voucher: SignedVoucher,
    /// How much; all that is free when `None`.
    pub amount: Option<Wei>,
    /// Key under which the refund is kept for retries; without one, asking again is another refund.
    pub identifier: Option<String>,
    /// Hash of the request, so that an identifier is not used for two.
    pub fingerprint: B256,
}

impl RefundRequest {
    /// Reads a refund; `offer` has the operator's terms, its amount does not matter.
    ///
    /// # Errors
    /// [`PaymentError`] naming the term that differs.
    pub fn read(payload: &PaymentPayload, offer: &PaymentRequirements, request: B256) -> Result<Self, PaymentError> {
        let BatchPayload::Refund { channel_config, voucher, amount } = &payload.payload else {
            return Err(PaymentError::Malformed { reason: "not a refund".into() });
        };
        let config = agreed_config(payload, channel_config, offer)?;
        let identifier = payload.identifier().map_err(malformed)?.map(str::to_owned);
        let asked = amount.map_or_else(|| "all".to_owned(), |amount| amount.to_string());
        let fingerprint = keccak256([request.as_slice(), asked.as_bytes()].concat());
        Ok(Self { config, voucher: voucher.into(), amount: *amount, identifier, fingerprint })
    }
}

/// The channel's configuration, when scheme, network and parties are those of the offer.
fn agreed_config(
    payload: &PaymentPayload,
    wire: &x402::WireChannelConfig,
    offer: &PaymentRequirements,
) -> Result<ChannelConfig, PaymentError> {
    let accepted = &payload.accepted;
    same(Term::Scheme, &(payload.x402_version, &accepted.scheme), &(x402::X402_VERSION, &offer.scheme))?;
    same(Term::Network, &accepted.network, &offer.network)?;
    same(Term::Token, &wire.token, &offer.asset)?;
    same(Term::Receiver, &wire.receiver, &offer.pay_to)?;
    same(Term::ReceiverAuthorizer, &wire.receiver_authorizer, &offer.extra.receiver_authorizer)?;
    same(Term::WithdrawDelay, &wire.withdraw_delay, &offer.extra.withdraw_delay)?;
    ChannelConfig::try_from(wire).map_err(malformed)
}

fn malformed(error: x402::HeaderError) -> PaymentError {
    PaymentError::Malformed { reason: error.to_string() }
}

fn same<T: fmt::Debug + PartialEq>(field: Term, given: &T, expected: &T) -> Result<(), PaymentError> {
    if given == expected {
        return Ok(());
    }
    Err(PaymentError::TermMismatch { field, given: format!("{given:?}"), expected: format!("{expected:?}") })
}

/// A payment let in: to be served, or served before.
#[derive(Debug)]
pub enum Admission {
    /// Serve it, then charge it.
    Reserved(Reservation),
    /// It was charged before; here is its answer again.
    Answered(StoredAnswer),
}

/// How long after a payment was let in it can be charged. Its payer can ask for all its money back in the moment after,
/// and has it 900 s later at the earliest: what is left is time to claim the charge.
pub const RESERVATION_AGE_MAX: Duration = Duration::from_secs(600);

/// A channel held for one request. Dropping it frees the channel and charges nothing.
#[derive(Debug)]
pub struct Reservation {
    authorized: Authorized,
    until: Instant,
    identifier: String,
    fingerprint: B256,
    payer: openledger_primitives::Address,
    deposited: Option<Moved>,
    _hold: ChannelHold,
}

impl Reservation {
    /// The channel held.
    #[must_use]
    pub fn channel(&self) -> ChannelId {
        self.authorized.voucher.channel
    }

    /// The most that may be charged.
    #[must_use]
    pub fn amount_max(&self) -> Wei {
        self.authorized.amount_max
    }

    /// Until when it can be charged. An answer that is not made by then must end there.
    #[must_use]
    pub fn until(&self) -> Instant {
        self.until
    }

    /// The same, chargeable for no longer than `age_max` from now.
    #[must_use]
    pub(crate) fn within(mut self, age_max: Duration) -> Self {
        self.until = self.until.min(Instant::now() + age_max);
        self
    }
}

/// The answer to a request that was charged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAnswer {
    /// The answer's body.
    pub answer: Vec<u8>,
    /// The payment response sent with it.
    pub settlement: SettleResponse,
}

/// What is kept of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its body, for retries and disputes.
    pub answer: Vec<u8>,
    /// The records that it was paid for; they stay longer than the body.
    pub credits: Vec<RecordCredit>,
}

impl From<Vec<u8>> for Kept {
    fn from(answer: Vec<u8>) -> Self {
        Self { answer, credits: Vec::new() }
    }
}

/// A request charged.
#[derive(Clone, Debug, PartialEq)]
pub struct Charge {
    /// The receipt.
    pub receipt: SignedReceipt,
    /// The answer and the payment response.
    pub answered: StoredAnswer,
}

/// Why a payment was not let in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReserveError {
    /// The payment itself is not good.
    #[error(transparent)]
    Payment(#[from] PaymentError),
    /// The channel is not known here yet: read it from the chain and try again.
    #[error("channel {channel} is not known yet")]
    UnknownChannel {
        /// Which channel.
        channel: ChannelId,
    },
    /// The payer used the identifier for another request.
    #[error("payment identifier {identifier:?} was used for another request")]
    IdentifierReused {
        /// The identifier.
        identifier: String,
    },
    /// The request was paid and answered, so long ago that the answer is not kept any more. Nothing is charged.
    #[error("payment {identifier:?} was charged before and its answer is not kept any more; nothing was charged again")]
    AnswerForgotten {
        /// The identifier.
        identifier: String,
    },
    /// A refund of the channel is on its way; what is left is not known yet.
    #[error("a refund of channel {channel} is on its way")]
    RefundOnItsWay {
        /// Which channel.
        channel: ChannelId,
    },
    /// The hub refuses a voucher of this payer.
    #[error("the chain refuses an earlier voucher of {payer}; nothing is sold to it until that one is claimed")]
    PayerSetAside {
        /// Whose.
        payer: openledger_primitives::Address,
    },
    /// Nothing can be claimed, so nothing is sold.
    #[error("settlement has stood still for {still_s} s; nothing is sold until it moves again")]
    Standstill {
        /// For how long.
        still_s: u64,
    },
    /// A deposit or a refund was not relayed.
    #[error(transparent)]
    Relay(#[from] RelayError),
    /// The database failed.
    #[error("the payment could not be looked up")]
    Store(#[from] StoreError),
}

impl From<PaymentRefusal> for ReserveError {
    fn from(refusal: PaymentRefusal) -> Self {
        match refusal {
            PaymentRefusal::Payment(error) => Self::Payment(error),
            PaymentRefusal::Relay(error) => Self::Relay(error),
        }
    }
}

/// Why a request was not charged. Nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChargeError {
    /// The voucher does not cover it.
    #[error("the voucher does not cover the request")]
    Payment(#[from] PaymentError),
    /// The answer took so long that its money may be withdrawn before the charge is claimed.
    #[error("the payment could be charged until {late_s} s ago; its money may be gone by now")]
    Late {
        /// How long ago that was, in seconds.
        late_s: u64,
    },
    /// No receipt could be made.
    #[error("no receipt could be made")]
    Receipt(#[from] ReceiptError),
    /// The answer is too large to keep for retries.
    #[error("the answer has {bytes} bytes; at most {ANSWER_BYTES_MAX} are kept")]
    AnswerTooLarge {
        /// Its size.
        bytes: usize,
    },
    /// A reserve would be paid whose records are not known.
    #[error("the records of snapshot {root} are not known")]
    UnknownSnapshot {
        /// Root of the snapshot.
        root: B256,
    },
    /// Parents would be paid who are not known.
    #[error("the parents of model {model} are not known")]
    UnknownParents {
        /// The model.
        model: ModelId,
    },
    /// The open epoch is full.
    #[error("epoch {epoch} has {EPOCH_RECEIPTS_MAX} receipts; retry when it is sealed")]
    EpochFull {
        /// Which epoch.
        epoch: u64,
    },
    /// The database failed.
    #[error("the charge could not be written")]
    Store(#[from] StoreError),
    /// The task that charges died: the program is stopping.
    #[error("the charge was interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
}

impl Ledger {
    /// Lets a payment in and keeps its channel until the reservation is charged or dropped. A deposit in it counts for
    /// nothing here: the till relays it first.
    ///
    /// # Errors
    /// [`ReserveError`]; the channel stays free then.
    pub fn reserve(&self, payment: Payment) -> Result<Admission, ReserveError> {
        if let Some(answered) = self.answered(&payment)? {
            return Ok(Admission::Answered(answered));
        }
        let channel = payment.voucher.channel;
        let hold = self.hold(channel).ok_or(PaymentError::ChannelBusy { channel })?;
        self.reserve_held(payment, hold, None)
    }

    /// Lets a payment in whose channel is held already.
    pub(crate) fn reserve_held(
        &self,
        payment: Payment,
        hold: ChannelHold,
        deposited: Option<Moved>,
    ) -> Result<Admission, ReserveError> {
        let channel = payment.voucher.channel;
        // The same payment may have been charged between the look-up and the hold.
        if let Some(answered) = self.look_up(&payment)? {
            return Ok(Admission::Answered(answered));
        }
        self.check_standing(payment.config.payer)?;
        if self.refund_on_its_way(channel)?.is_some() {
            return Err(ReserveError::RefundOnItsWay { channel });
        }
        let known = self.channel(channel)?.ok_or(ReserveError::UnknownChannel { channel })?;
        let authorized = known.authorize(payment.voucher, payment.amount_max, self.chain_id)?;
        Ok(Admission::Reserved(Reservation {
            authorized,
            until: Instant::now() + RESERVATION_AGE_MAX,
            identifier: payment.identifier,
            fingerprint: payment.fingerprint,
            payer: payment.config.payer,
            deposited,
            _hold: hold,
        }))
    }

    /// The answer that was charged for a payment; none where nothing was and nothing is about to be.
    ///
    /// # Errors
    /// [`ReserveError`]; [`PaymentError::ChannelBusy`] while an answer is being made on the channel, maybe this one.
    pub fn stored(&self, payment: &Payment) -> Result<Option<StoredAnswer>, ReserveError> {
        if let Some(answered) = self.answered(payment)? {
            return Ok(Some(answered));
        }
        let channel = payment.voucher.channel;
        let hold = self.hold(channel).ok_or(PaymentError::ChannelBusy { channel })?;
        // It may have been charged between the look-up and the hold.
        let answered = self.look_up(payment);
        drop(hold);
        answered
    }

    /// Nobody but the payer learns whether an identifier was used, or gets its answer.
    pub(crate) fn check_signature(&self, config: &ChannelConfig, voucher: &SignedVoucher) -> Result<(), PaymentError> {
        let actual = channel_id(config, self.chain_id);
        let claimed = voucher.channel;
        if actual != claimed {
            return Err(PaymentError::ChannelIdMismatch { claimed, actual });
        }
        let verified: Result<(), SignatureError> = voucher.verify(voucher_signer(config), self.chain_id);
        verified.map_err(PaymentError::VoucherSignature)
    }

    /// The answer to a payment that was charged before.
    ///
    /// # Errors
    /// [`ReserveError`] when the voucher is not the payer's, or the identifier was used for another request.
    pub fn answered(&self, payment: &Payment) -> Result<Option<StoredAnswer>, ReserveError> {
        self.check_signature(&payment.config, &payment.voucher)?;
        self.look_up(payment)
    }

    fn look_up(&self, payment: &Payment) -> Result<Option<StoredAnswer>, ReserveError> {
        let sql = "SELECT fingerprint, settlement, answer, forgotten_at FROM settlement_payments
            WHERE channel = ?1 AND identifier = ?2";
        let key = params![payment.voucher.channel.0.as_slice(), payment.identifier];
        self.store.read(|tx| {
            tx.query_opt(sql, key, |row| {
                if row.hash("fingerprint")? != payment.fingerprint {
                    return Err(ReserveError::IdentifierReused { identifier: payment.identifier.clone() });
                }
                if row.column::<Option<i64>>("forgotten_at")?.is_some() {
                    return Err(ReserveError::AnswerForgotten { identifier: payment.identifier.clone() });
                }
                let settlement: String = row.column("settlement")?;
                let malformed = |_| StoreError::Malformed { column: "settlement".into(), kind: "payment response" };
                let settlement = serde_json::from_str(&settlement).map_err(malformed)?;
                Ok(StoredAnswer { answer: row.column("answer")?, settlement })
            })
        })
    }

    /// Charges a served request: one transaction over channel, receipt and answer, on disk when this returns.
    /// `answer` makes what is kept, with the receipt in hand. Blocks; call it where blocking is allowed.
    ///
    /// # Errors
    /// [`ChargeError`]; nothing is charged then and the channel is free.
    pub fn charge<K: Into<Kept>>(
        &self,
        reservation: Reservation,
        draft: ReceiptDraft,
        key: &dyn SignerSync,
        operator: openledger_primitives::Address,
        answer: impl FnOnce(&SignedReceipt) -> K,
    ) -> Result<Charge, ChargeError> {
        let fee = draft.fee().map_err(ReceiptError::from)?;
        let answered_at = draft.answered_at;
        let authorized = &reservation.authorized;
        if let Some(late) = Instant::now().checked_duration_since(reservation.until) {
            return Err(ChargeError::Late { late_s: late.as_secs() });
        }
        self.store.with_tx(|tx| {
            let id = authorized.voucher.channel;
            let mut channel = rows::channel(tx, id)?.ok_or(PaymentError::ChannelNotFound { channel: id })?;
            let (before, _) = channel.charge(authorized, fee)?;
            let (epoch, sequence) = next_place(tx, draft.answered_at)?;
            let place = ReceiptPlace {
                epoch,
                sequence,
                channel: id,
                payer: reservation.payer,
                cumulative_before: before,
                voucher_hash: authorized.voucher.digest(self.chain_id),
                operator,
            };
            let receipt = draft.complete(place)?;
            check_payable(tx, &receipt)?;
            let receipt = SignedReceipt::sign(receipt, self.chain_id, key)?;
            let Kept { answer, credits } = answer(&receipt).into();
            let answered = self.stored_answer(&channel, &receipt, reservation.deposited.as_ref(), answer)?;
            rows::put_channel(tx, &channel)?;
            put_receipt(tx, &receipt, &authorized.voucher)?;
            put_payment(tx, &reservation, (sequence, answered_at), &answered)?;
            put_credits(tx, sequence, credits)?;
            Ok(Charge { receipt, answered })
        })
    }

    fn stored_answer(
        &self,
        channel: &Channel,
        receipt: &SignedReceipt,
        deposited: Option<&Moved>,
        answer: Vec<u8>,
    ) -> Result<StoredAnswer, ChargeError> {
        if answer.len() > ANSWER_BYTES_MAX {
            return Err(ChargeError::AnswerTooLarge { bytes: answer.len() });
        }
        let extra = SettleExtra {
            charged_amount: Some(Wei(receipt.receipt.fee)),
            channel_state: channel.state(),
            receipt_hash: Some(receipt.hash()),
        };
        let settlement = SettleResponse::charged(self.chain_id, channel.config.payer, extra);
        let settlement = match deposited {
            Some(moved) => settlement.deposited(moved),
            None => settlement,
        };
        Ok(StoredAnswer { answer, settlement })
    }
}

/// The open epoch, opened if need be, and the next sequence number.
fn next_place(tx: &Tx<'_>, now_s: u64) -> Result<(u64, u64), ChargeError> {
    let sequence = tx.count("SELECT max(sequence) FROM settlement_receipts", [])? + 1;
    let open =
        tx.query_opt("SELECT number, first_sequence FROM settlement_epochs WHERE state = 'open'", [], |row| {
            Ok::<_, StoreError>((row.number("number")?, row.number("first_sequence")?))
        })?;
    if let Some((epoch, first)) = open {
        let full = sequence - first >= EPOCH_RECEIPTS_MAX as u64;
        return if full { Err(ChargeError::EpochFull { epoch }) } else { Ok((epoch, sequence)) };
    }
    let epoch = tx.count("SELECT max(number) FROM settlement_epochs", [])? + 1;
    let sql = "INSERT INTO settlement_epochs (number, state, first_sequence, opened_at) VALUES (?1, 'open', ?2, ?3)";
    let (number, first) = (number_value("epoch", epoch)?, number_value("sequence", sequence)?);
    tx.execute(sql, params![number, first, number_value("time", now_s)?])?;
    Ok((epoch, sequence))
}

/// Refuses a receipt that the epoch could not settle: better no charge than an epoch that never closes.
fn check_payable(tx: &ReadTx<'_>, receipt: &Receipt) -> Result<(), ChargeError> {
    let split = &receipt.split;
    let model = ModelId(receipt.modelId);
    if split.parents > 0 && rows::weights(tx, WeightTable::Parents, model.0)?.is_empty() {
        return Err(ChargeError::UnknownParents { model });
    }
    let to_reserve = (split.influence > 0 && receipt.influence.is_empty())
        || (split.provenance > 0 && receipt.provenance.is_empty());
    for &root in receipt.snapshotRoots.iter().filter(|_| to_reserve) {
        if rows::weights(tx, WeightTable::Reserves, root)?.is_empty() {
            return Err(ChargeError::UnknownSnapshot { root });
        }
    }
    Ok(())
}

fn put_receipt(tx: &Tx<'_>, receipt: &SignedReceipt, voucher: &SignedVoucher) -> Result<(), StoreError> {
    let ReceiptHash(hash) = receipt.hash();
    let sql = "INSERT INTO settlement_receipts (sequence, hash, epoch, channel, bytes, max_claimable, signature)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let sequence = number_value("sequence", receipt.receipt.sequence)?;
    let epoch = number_value("epoch", receipt.receipt.epoch)?;
    let channel = receipt.receipt.channelId;
    let (ceiling, signature) = (wei_bytes(voucher.max_claimable), voucher.signature.as_ref());
    let bytes = receipt.to_bytes();
    tx.execute(sql, params![sequence, hash.as_slice(), epoch, channel.as_slice(), bytes, ceiling, signature])?;
    Ok(())
}

fn put_payment(
    tx: &Tx<'_>,
    reservation: &Reservation,
    (sequence, answered_at): (u64, u64),
    answered: &StoredAnswer,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO settlement_payments
            (channel, identifier, fingerprint, sequence, settlement, answer, answered_at, bytes)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, length(?6))";
    let settlement = serde_json::to_string(&answered.settlement).expect("payment responses are always JSON");
    let channel = reservation.channel().0;
    let (identifier, fingerprint) = (&reservation.identifier, reservation.fingerprint.as_slice());
    let (sequence, at) = (number_value("sequence", sequence)?, number_value("time", answered_at)?);
    let channel = channel.as_slice();
    tx.execute(sql, params![channel, identifier, fingerprint, sequence, settlement, answered.answer, at])?;
    Ok(())
}
