//! A payment channel as the server keeps it: x402 `batch-settlement`, server side.
//!
//! The server owns what has been charged; the chain owns balance, claims and withdrawals, which are mirrored
//! here. A request is authorised against a voucher before work starts and charged after it; between the two the
//! caller keeps the channel to itself.

use openledger_contracts::{ChannelConfig, VoucherClaim};
use openledger_primitives::{Bytes, ChannelId, Wei};

use crate::relay::RelayError;
use crate::signature::SignatureError;
use crate::voucher::{SignedVoucher, channel_id, voucher_signer};
use crate::x402::{ChannelState, VoucherState};

/// What the chain knows of a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OnChainChannel {
    /// Deposits minus withdrawals and refunds; never below `total_claimed`.
    pub balance: Wei,
    /// What the hub has claimed.
    pub total_claimed: Wei,
    /// When a withdrawal was asked for, or 0.
    pub withdraw_requested_at: u64,
    /// How much of it.
    pub withdraw_amount: Wei,
    /// Next refund nonce.
    pub refund_nonce: u64,
}

/// A channel as the server keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Its id.
    pub id: ChannelId,
    /// Its configuration.
    pub config: ChannelConfig,
    /// What has been charged over its life.
    pub charged: Wei,
    /// The latest voucher: ceiling and signature.
    pub voucher: Option<(Wei, Bytes)>,
    /// What the chain knew at `synced_at`.
    pub on_chain: OnChainChannel,
    /// When that was read, in Unix seconds.
    pub synced_at: u64,
}

/// Why a payment was refused. [`PaymentError::code`] gives the x402 error code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PaymentError {
    /// The configuration does not hash to the id named.
    #[error("the configuration hashes to channel {actual}, not to {claimed}")]
    ChannelIdMismatch {
        /// Id in the voucher.
        claimed: ChannelId,
        /// Id of the configuration.
        actual: ChannelId,
    },
    /// The chain knows no channel with money in it.
    #[error("channel {channel} holds no money on chain")]
    ChannelNotFound {
        /// Which channel.
        channel: ChannelId,
    },
    /// Another request of the channel is being served.
    #[error("another request of channel {channel} is being served; retry when it is done")]
    ChannelBusy {
        /// Which channel.
        channel: ChannelId,
    },
    /// The voucher's ceiling is not what has been charged plus this request's maximum.
    #[error("the voucher's ceiling is {given} wei; {expected} wei expected")]
    CumulativeMismatch {
        /// Ceiling of the voucher.
        given: Wei,
        /// Charged so far plus the maximum of this request.
        expected: Wei,
    },
    /// The ceiling is below what the hub has already claimed plus this request's maximum.
    #[error("the voucher's ceiling is {given} wei; at least {least} wei is needed after what was claimed")]
    CumulativeBelowClaimed {
        /// Ceiling of the voucher.
        given: Wei,
        /// Claimed on chain plus the maximum of this request.
        least: Wei,
    },
    /// The channel does not hold enough.
    #[error("the voucher's ceiling is {given} wei; the channel can cover {available} wei")]
    CumulativeExceedsBalance {
        /// Ceiling of the voucher.
        given: Wei,
        /// Balance, less what is being withdrawn.
        available: Wei,
    },
    /// A charge above the ceiling of the voucher.
    #[error("charging {charge} wei would exceed the voucher's ceiling of {ceiling} wei")]
    ChargeExceedsVoucher {
        /// The charge.
        charge: Wei,
        /// Ceiling of the voucher.
        ceiling: Wei,
    },
    /// The voucher's signature is not the payer's.
    #[error("the voucher's signature is not valid")]
    VoucherSignature(#[source] SignatureError),
    /// The sum of charges does not fit.
    #[error("channel {channel} has been charged more than 2^128 - 1 wei")]
    Overflow {
        /// Which channel.
        channel: ChannelId,
    },
    /// A term of the payment differs from the offer.
    #[error("the payment's {field} is {given}; the offer says {expected}")]
    TermMismatch {
        /// Which term.
        field: Term,
        /// What the payment says.
        given: String,
        /// What the offer says.
        expected: String,
    },
    /// This kind of payment is not taken here.
    #[error("payments of type {kind} are not taken here; pay with a voucher")]
    PayloadType {
        /// Type of the payload.
        kind: &'static str,
    },
    /// The payload is malformed.
    #[error("the payment is malformed: {reason}")]
    Malformed {
        /// What is wrong.
        reason: String,
    },
}

/// Why a deposit or a refund was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PaymentRefusal {
    /// The payment is not good.
    #[error(transparent)]
    Payment(#[from] PaymentError),
    /// What was to be relayed is not good.
    #[error(transparent)]
    Relay(#[from] RelayError),
}

/// A term that offer and payment must agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Term {
    /// Protocol or scheme.
    Scheme,
    /// Chain.
    Network,
    /// Most that the request can cost.
    Amount,
    /// Token.
    Token,
    /// Receiver: the hub.
    Receiver,
    /// Receiver's authoriser: the operator.
    ReceiverAuthorizer,
    /// Withdrawal delay.
    WithdrawDelay,
}

impl std::fmt::Display for Term {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Scheme => "scheme",
            Self::Network => "network",
            Self::Amount => "amount",
            Self::Token => "token",
            Self::Receiver => "receiver",
            Self::ReceiverAuthorizer => "receiver authoriser",
            Self::WithdrawDelay => "withdrawal delay",
        })
    }
}

impl PaymentError {
    /// The error code that x402 gives this case.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::ChannelIdMismatch { .. } => "invalid_batch_settlement_evm_channel_id_mismatch",
            Self::ChannelNotFound { .. } => "invalid_batch_settlement_evm_channel_not_found",
            Self::ChannelBusy { .. } => "invalid_batch_settlement_evm_channel_busy",
            Self::CumulativeMismatch { .. } => "invalid_batch_settlement_evm_cumulative_amount_mismatch",
            Self::CumulativeBelowClaimed { .. } => "invalid_batch_settlement_evm_cumulative_below_claimed",
            Self::CumulativeExceedsBalance { .. } => "invalid_batch_settlement_evm_cumulative_exceeds_balance",
            Self::ChargeExceedsVoucher { .. } => "invalid_batch_settlement_evm_charge_exceeds_signed_cumulative",
            Self::VoucherSignature(_) => "invalid_batch_settlement_evm_voucher_signature",
            Self::PayloadType { .. } => "invalid_batch_settlement_evm_payload_type",
            Self::Overflow { .. } | Self::Malformed { .. } => "invalid_batch_settlement_evm_voucher_payload",
            Self::TermMismatch { field, .. } => field.code(),
        }
    }

    /// True when a corrective 402 lets an honest client recover by itself.
    #[must_use]
    pub fn is_corrective(&self) -> bool {
        matches!(self, Self::CumulativeMismatch { .. } | Self::CumulativeExceedsBalance { .. })
    }
}

impl Term {
    fn code(self) -> &'static str {
        match self {
            Self::Scheme => "invalid_batch_settlement_evm_scheme",
            Self::Network => "invalid_batch_settlement_evm_network_mismatch",
            Self::Amount => "invalid_batch_settlement_evm_cumulative_amount_mismatch",
            Self::Token => "invalid_batch_settlement_evm_token_mismatch",
            Self::Receiver => "invalid_batch_settlement_evm_receiver_mismatch",
            Self::ReceiverAuthorizer => "invalid_batch_settlement_evm_receiver_authorizer_mismatch",
            Self::WithdrawDelay => "invalid_batch_settlement_evm_withdraw_delay_mismatch",
        }
    }
}

/// A voucher that may be charged, once, up to `amount_max`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorized {
    /// The voucher.
    pub voucher: SignedVoucher,
    /// What had been charged when it was authorised.
    pub charged_before: Wei,
    /// The most that this request may cost.
    pub amount_max: Wei,
}

impl Channel {
    /// A channel first seen, with what the chain knows of it. Charges start at what has been claimed: whatever a
    /// server that lost its state cannot prove is not charged again.
    #[must_use]
    pub fn open(config: ChannelConfig, chain_id: u64, on_chain: OnChainChannel, now_s: u64) -> Self {
        let id = channel_id(&config, chain_id);
        Self { id, config, charged: on_chain.total_claimed, voucher: None, on_chain, synced_at: now_s }
    }

    /// Checks that `voucher` pays for a request of at most `amount_max`. Changes nothing.
    ///
    /// # Errors
    /// [`PaymentError`] with the x402 code.
    pub fn authorize(
        &self,
        voucher: SignedVoucher,
        amount_max: Wei,
        chain_id: u64,
    ) -> Result<Authorized, PaymentError> {
        if voucher.channel != self.id {
            return Err(PaymentError::ChannelIdMismatch { claimed: voucher.channel, actual: self.id });
        }
        voucher.verify(voucher_signer(&self.config), chain_id).map_err(PaymentError::VoucherSignature)?;
        self.check_amounts(voucher.max_claimable, amount_max)?;
        Ok(Authorized { voucher, charged_before: self.charged, amount_max })
    }

    fn check_amounts(&self, given: Wei, amount_max: Wei) -> Result<(), PaymentError> {
        let overflow = PaymentError::Overflow { channel: self.id };
        if self.on_chain.balance.is_zero() {
            return Err(PaymentError::ChannelNotFound { channel: self.id });
        }
        let expected = self.charged.checked_add(amount_max).ok_or(overflow.clone())?;
        if given != expected {
            return Err(PaymentError::CumulativeMismatch { given, expected });
        }
        let least = self.on_chain.total_claimed.checked_add(amount_max).ok_or(overflow)?;
        if given < least {
            return Err(PaymentError::CumulativeBelowClaimed { given, least });
        }
        let available = self.available();
        if given > available { Err(PaymentError::CumulativeExceedsBalance { given, available }) } else { Ok(()) }
    }

    /// The highest ceiling that the channel can still honour: its balance, less what is being withdrawn.
    #[must_use]
    pub fn available(&self) -> Wei {
        self.on_chain.balance.checked_sub(self.on_chain.withdraw_amount).unwrap_or(Wei::ZERO)
    }

    /// Charges `fee` to an authorised voucher; gives what had been charged before and after.
    ///
    /// # Errors
    /// [`PaymentError`] when the fee is above the voucher, the channel was charged since, or its money is known to be
    /// gone: the hub would refuse the voucher.
    pub fn charge(&mut self, authorized: &Authorized, fee: Wei) -> Result<(Wei, Wei), PaymentError> {
        let ceiling = authorized.voucher.max_claimable;
        let before = self.charged;
        if before != authorized.charged_before {
            let expected =
                before.checked_add(authorized.amount_max).ok_or(PaymentError::Overflow { channel: self.id })?;
            return Err(PaymentError::CumulativeMismatch { given: ceiling, expected });
        }
        let after = before.checked_add(fee).filter(|after| *after <= ceiling && fee <= authorized.amount_max);
        let after = after.ok_or(PaymentError::ChargeExceedsVoucher { charge: fee, ceiling })?;
        let available = self.on_chain.balance;
        if after > available {
            return Err(PaymentError::CumulativeExceedsBalance { given: after, available });
        }
        self.charged = after;
        self.voucher = Some((ceiling, authorized.voucher.signature.clone()));
        Ok((before, after))
    }

    /// Checks that a refund is due: `voucher` is at what has been charged, and `amount` (all that is free when `None`)
    /// is free. Gives the amount.
    ///
    /// # Errors
    /// [`PaymentError`] for the voucher, [`RelayError`] for the amount.
    pub fn authorize_refund(
        &self,
        voucher: &SignedVoucher,
        amount: Option<Wei>,
        chain_id: u64,
    ) -> Result<Wei, PaymentRefusal> {
        if voucher.channel != self.id {
            return Err(PaymentError::ChannelIdMismatch { claimed: voucher.channel, actual: self.id }.into());
        }
        voucher.verify(voucher_signer(&self.config), chain_id).map_err(PaymentError::VoucherSignature)?;
        if voucher.max_claimable != self.charged {
            let (given, expected) = (voucher.max_claimable, self.charged);
            return Err(PaymentError::CumulativeMismatch { given, expected }.into());
        }
        let free = self.free();
        match amount {
            _ if free.is_zero() => Err(RelayError::NothingFree { channel: self.id }.into()),
            Some(amount) if amount.is_zero() || amount > free => Err(RelayError::RefundAmount { amount, free }.into()),
            amount => Ok(amount.unwrap_or(free)),
        }
    }

    /// What can be given back: the balance, less what is being withdrawn, less all that has been charged, claimed or
    /// not. The hub holds back only what was claimed, and a withdrawal may be paid before a refund that was signed
    /// earlier: together they must leave what was charged.
    #[must_use]
    pub fn free(&self) -> Wei {
        self.available().checked_sub(self.charged).unwrap_or(Wei::ZERO)
    }

    /// Takes over what the chain knows. Charges never fall below what has been claimed. What was read before a refund
    /// is older than the books and changes nothing.
    pub fn mirror(&mut self, on_chain: OnChainChannel, now_s: u64) {
        if on_chain.refund_nonce < self.on_chain.refund_nonce {
            return;
        }
        self.on_chain = on_chain;
        self.charged = self.charged.max(on_chain.total_claimed);
        self.synced_at = now_s;
    }

    /// True when a withdrawal under way can take what was charged: the charges must be claimed before.
    #[must_use]
    pub fn is_short(&self) -> bool {
        !self.unclaimed().is_zero() && self.charged > self.available()
    }

    /// The claim of all that was charged, under the latest voucher; `None` where nothing is left to claim.
    #[must_use]
    pub fn claim(&self) -> Option<VoucherClaim> {
        let (ceiling, signature) = self.voucher.clone().filter(|_| !self.unclaimed().is_zero())?;
        Some(VoucherClaim {
            config: self.config.clone(),
            maxClaimableAmount: ceiling.0,
            signature,
            totalClaimed: self.charged.0,
        })
    }

    /// What has been charged and not yet claimed on chain.
    #[must_use]
    pub fn unclaimed(&self) -> Wei {
        self.charged.checked_sub(self.on_chain.total_claimed).unwrap_or(Wei::ZERO)
    }

    /// The snapshot that responses carry.
    #[must_use]
    pub fn state(&self) -> ChannelState {
        ChannelState {
            channel_id: self.id,
            balance: self.on_chain.balance,
            total_claimed: self.on_chain.total_claimed,
            withdraw_requested_at: self.on_chain.withdraw_requested_at,
            refund_nonce: self.on_chain.refund_nonce,
            charged_cumulative_amount: self.charged,
        }
    }

    /// The payer's last voucher, as proof in a corrective 402.
    #[must_use]
    pub fn voucher_state(&self) -> Option<VoucherState> {
        let (signed_max_claimable, signature) = self.voucher.clone()?;
        Some(VoucherState { signed_max_claimable, signature })
    }
}
