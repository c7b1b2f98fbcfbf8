//! Deposits and refunds that the operator relays: x402 `batch-settlement`, payloads `deposit` and `refund`.
//!
//! The payer signs an EIP-3009 authorisation and needs no gas coin; the operator sends the transaction and pays for it. A
//! refund is signed by the operator. Both are bound to one channel and one nonce, so the chain takes each at most once.

use alloy_signer::SignerSync;
use openledger_contracts::addresses::INFERENCE_HUB;
use openledger_contracts::eip712::{self, ReceiveWithAuthorization, Refund};
use openledger_contracts::{ChannelConfig, SolStruct as _};
use openledger_primitives::{Address, B256, Bytes, ChannelId, U256, Wei};

use crate::signature::{self, SignatureError};
use crate::voucher::channel_id;
use crate::x402::{Erc3009Authorization, WireAuthorization, WireDeposit};

/// Seconds that an authorisation must still hold when its deposit is sent.
pub const VALID_MARGIN_S: u64 = 6;
/// Window in which the relays of one payer are counted, in seconds.
pub const RELAY_WINDOW_S: u64 = 3600;

/// A deposit into one channel, authorised by its payer (EIP-3009, `receiveWithAuthorization` to the hub).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deposit {
    /// How much.
    pub amount: Wei,
    /// It counts after this second.
    pub valid_after: u64,
    /// It counts before this second.
    pub valid_before: u64,
    /// Tells deposits into one channel apart.
    pub salt: B256,
    /// The payer's signature.
    pub signature: Bytes,
}

impl Deposit {
    /// Signs a deposit of `amount` into the channel of `config`, valid before `valid_before`.
    ///
    /// # Errors
    /// The signer's own error.
    pub fn sign(
        config: &ChannelConfig,
        amount: Wei,
        valid_before: u64,
        salt: B256,
        chain_id: u64,
        key: &dyn SignerSync,
    ) -> Result<Self, alloy_signer::Error> {
        let unsigned = Self { amount, valid_after: 0, valid_before, salt, signature: Bytes::new() };
        let signature = signature::sign(unsigned.digest(config, chain_id), key)?;
        Ok(Self { signature, ..unsigned })
    }

    /// The authorisation's nonce: made of channel and salt, so that it funds no other channel.
    #[must_use]
    pub fn nonce(&self, channel: ChannelId) -> B256 {
        eip712::deposit_nonce(channel.0, self.salt)
    }

    fn digest(&self, config: &ChannelConfig, chain_id: u64) -> B256 {
        ReceiveWithAuthorization {
            from: config.payer,
            to: INFERENCE_HUB,
            value: U256::from(self.amount.0),
            validAfter: U256::from(self.valid_after),
            validBefore: U256::from(self.valid_before),
            nonce: self.nonce(channel_id(config, chain_id)),
        }
        .eip712_signing_hash(&eip712::wrapped_open_domain(chain_id))
    }

    /// Checks what can be checked without the chain: amount, time, signature.
    ///
    /// # Errors
    /// [`RelayError`] naming what is wrong.
    pub fn check(&self, config: &ChannelConfig, chain_id: u64, minimum: Wei, now_s: u64) -> Result<(), RelayError> {
        if self.amount < minimum {
            return Err(RelayError::DepositTooSmall { amount: self.amount, minimum });
        }
        if now_s <= self.valid_after {
            return Err(RelayError::NotYetValid { valid_after: self.valid_after, now_s });
        }
        if now_s.saturating_add(VALID_MARGIN_S) >= self.valid_before {
            return Err(RelayError::Expired { valid_before: self.valid_before, now_s });
        }
        let digest = self.digest(config, chain_id);
        signature::verify(digest, &self.signature, config.payer).map_err(RelayError::AuthorizationSignature)
    }
}

impl TryFrom<&WireDeposit> for Deposit {
    type Error = RelayError;

    fn try_from(wire: &WireDeposit) -> Result<Self, RelayError> {
        let WireAuthorization { erc3009_authorization, permit2_authorization } = &wire.authorization;
        let (Some(given), None) = (erc3009_authorization, permit2_authorization) else {
            return Err(RelayError::AuthorizationRequired);
        };
        Ok(Self {
            amount: wire.amount,
            valid_after: given.valid_after,
            valid_before: given.valid_before,
            salt: given.salt,
            signature: given.signature.clone(),
        })
    }
}

impl From<&Deposit> for WireDeposit {
    fn from(deposit: &Deposit) -> Self {
        let authorization = Erc3009Authorization {
            valid_after: deposit.valid_after,
            valid_before: deposit.valid_before,
            salt: deposit.salt,
            signature: deposit.signature.clone(),
        };
        let authorization =
            WireAuthorization { erc3009_authorization: Some(authorization), permit2_authorization: None };
        Self { amount: deposit.amount, authorization }
    }
}

/// A call that the operator sends.
#[derive(Clone, Debug)]
pub enum RelayCall {
    /// `depositWithAuthorization`.
    Deposit {
        /// The channel.
        config: ChannelConfig,
        /// The payer's authorisation.
        deposit: Deposit,
    },
    /// `refundWithSignature`.
    Refund {
        /// The channel.
        config: ChannelConfig,
        /// How much goes back.
        amount: Wei,
        /// The channel's refund nonce.
        nonce: u64,
        /// The operator's signature.
        signature: Bytes,
    },
}

impl RelayCall {
    /// A refund signed by the operator.
    ///
    /// # Errors
    /// The signer's own error.
    pub fn refund(
        config: ChannelConfig,
        amount: Wei,
        nonce: u64,
        chain_id: u64,
        key: &dyn SignerSync,
    ) -> Result<Self, alloy_signer::Error> {
        let ChannelId(id) = channel_id(&config, chain_id);
        let refund = Refund { channelId: id, nonce: U256::from(nonce), amount: amount.0 };
        let signature = signature::sign(refund.eip712_signing_hash(&eip712::channel_domain(chain_id)), key)?;
        Ok(Self::Refund { config, amount, nonce, signature })
    }
}

/// What a relayed transaction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayKind {
    /// Puts money into a channel.
    Deposit,
    /// Gives money back.
    Refund,
}

impl RelayKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Deposit => "deposit",
            Self::Refund => "refund",
        }
    }
}

/// Why a deposit or a refund was not relayed. [`RelayError::code`] gives the x402 error code.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// A deposit that would cost the operator more than it is worth.
    #[error("a deposit of {amount} wei is below the {minimum} wei that are relayed")]
    DepositTooSmall {
        /// What was offered.
        amount: Wei,
        /// What is asked.
        minimum: Wei,
    },
    /// No EIP-3009 authorisation, or another beside it.
    #[error("a deposit needs exactly one authorisation, of EIP-3009; others are not taken here")]
    AuthorizationRequired,
    /// The authorisation does not hold yet.
    #[error("the authorisation holds after {valid_after}; it is {now_s}")]
    NotYetValid {
        /// After which second it holds.
        valid_after: u64,
        /// The time.
        now_s: u64,
    },
    /// The authorisation holds no more, or not long enough to be in a block.
    #[error("the authorisation holds before {valid_before}; it is {now_s}, and {VALID_MARGIN_S} s are needed")]
    Expired {
        /// Before which second it holds.
        valid_before: u64,
        /// The time.
        now_s: u64,
    },
    /// The payer did not sign it, or not for this channel.
    #[error("the authorisation's signature is not the payer's for this channel")]
    AuthorizationSignature(#[source] SignatureError),
    /// It was used for another request, sent by somebody else, or cancelled.
    #[error("authorisation {nonce} of {payer} was used before or cancelled; pay with a voucher")]
    AuthorizationUsed {
        /// Whose.
        payer: Address,
        /// Its nonce.
        nonce: B256,
    },
    /// The payer holds too little wrapped OPEN.
    #[error("{payer} holds {balance} wei of wrapped OPEN; the deposit is {amount} wei")]
    InsufficientBalance {
        /// Who.
        payer: Address,
        /// What it holds.
        balance: Wei,
        /// What it would deposit.
        amount: Wei,
    },
    /// A refund of nothing, or of more than is free.
    #[error("a refund of {amount} wei was asked for; {free} wei are free")]
    RefundAmount {
        /// What was asked for.
        amount: Wei,
        /// Balance less charges.
        free: Wei,
    },
    /// Nothing is free.
    #[error("channel {channel} has nothing to refund")]
    NothingFree {
        /// Which channel.
        channel: ChannelId,
    },
    /// The call would revert.
    #[error("the {} would fail: {reason}", kind.name())]
    Simulation {
        /// What was tried.
        kind: RelayKind,
        /// The contract's error.
        reason: String,
    },
    /// The transaction reverted.
    #[error("transaction {tx} of the {} failed", kind.name())]
    Reverted {
        /// What was tried.
        kind: RelayKind,
        /// The transaction.
        tx: B256,
    },
    /// The transaction was not in a block in time. It may still be; the same request again looks for it.
    #[error("transaction {tx} was not in a block within {waited_s} s; send the same request again")]
    WaitedOut {
        /// The transaction.
        tx: B256,
        /// How long was waited.
        waited_s: u64,
    },
    /// Too many transactions are on their way.
    #[error("{max} relayed transactions are on their way, which is the limit; retry shortly")]
    Busy {
        /// The limit.
        max: usize,
    },
    /// One payer has too much relayed.
    #[error("{payer} had {max} transactions relayed within {RELAY_WINDOW_S} s, which is the limit")]
    TooMany {
        /// Who.
        payer: Address,
        /// The limit.
        max: u64,
    },
    /// The operator's key could not sign.
    #[error("the refund could not be signed")]
    Sign(#[from] alloy_signer::Error),
}

impl RelayError {
    /// The error code of x402; where the specification has none, one of the same form.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::DepositTooSmall { .. } => "invalid_batch_settlement_evm_deposit_below_minimum",
            Self::AuthorizationRequired => "invalid_batch_settlement_evm_erc3009_authorization_required",
            Self::NotYetValid { .. } => "invalid_batch_settlement_evm_payload_authorization_valid_after",
            Self::Expired { .. } => "invalid_batch_settlement_evm_payload_authorization_valid_before",
            Self::AuthorizationSignature(_) => "invalid_batch_settlement_evm_receive_authorization_signature",
            Self::AuthorizationUsed { .. } => "invalid_batch_settlement_evm_authorization_used",
            Self::InsufficientBalance { .. } => "invalid_batch_settlement_evm_insufficient_balance",
            Self::RefundAmount { .. } => "invalid_batch_settlement_evm_refund_amount_invalid",
            Self::NothingFree { .. } => "invalid_batch_settlement_evm_refund_no_balance",
            Self::Simulation { kind: RelayKind::Deposit, .. } => {
                "invalid_batch_settlement_evm_deposit_simulation_failed"
            }
            Self::Simulation { kind: RelayKind::Refund, .. } => "invalid_batch_settlement_evm_refund_simulation_failed",
            Self::Reverted { kind: RelayKind::Deposit, .. } => {
                "invalid_batch_settlement_evm_deposit_transaction_failed"
            }
            Self::Reverted { kind: RelayKind::Refund, .. } => "invalid_batch_settlement_evm_refund_transaction_failed",
            Self::WaitedOut { .. } => "invalid_batch_settlement_evm_wait_for_receipt_failed",
            Self::Busy { .. } => "invalid_batch_settlement_evm_relay_busy",
            Self::TooMany { .. } => "invalid_batch_settlement_evm_relay_limit",
            Self::Sign(_) => "unexpected_settle_error",
        }
    }

    /// True when the channel's state lets an honest client recover by itself.
    #[must_use]
    pub fn is_corrective(&self) -> bool {
        matches!(self, Self::AuthorizationUsed { .. } | Self::RefundAmount { .. } | Self::NothingFree { .. })
    }
}
