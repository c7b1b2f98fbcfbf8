//! What a refused payment says to people: a sentence for each x402 code, with the limit and the value given, in OPEN.
//!
//! Programs go by the code, which x402 has a field for; the sentence travels beside it. Like all of a server's sentences
//! it begins in lower case and ends without a full stop. What only the operator should read stays in the log.

use openledger_primitives::Wei;

use crate::channel::{PaymentError, Term};
use crate::ledger::ReserveError;
use crate::relay::RelayError;
use crate::till::AdmitError;
use crate::x402::{PaymentPayload, PaymentRequirements};

/// The sentence for a request that came without a payment.
#[must_use]
pub fn unpaid(offer: &PaymentRequirements) -> String {
    let amount = open(offer.amount);
    format!("this request can cost up to {amount}; send it again with a payment in the header PAYMENT-SIGNATURE (x402)")
}

/// The sentence for `payload`, which was refused for `error` when `offer` was asked.
#[must_use]
pub fn sentence(error: &AdmitError, offer: &PaymentRequirements, payload: &PaymentPayload) -> String {
    let asked = Asked { amount_max: offer.amount, accepted: payload.accepted.amount, is_refund: payload.is_refund() };
    match error {
        AdmitError::Reserve(ReserveError::Payment(error)) => payment_sentence(error, asked),
        AdmitError::Reserve(ReserveError::Relay(error)) => relay_sentence(error),
        AdmitError::Hub(_) => {
            "the node could not ask its chain; nothing was charged, send the request again".to_owned()
        }
        AdmitError::Reserve(ReserveError::Store(_)) | AdmitError::Store(_) | AdmitError::Task(_) => node_failed(),
        AdmitError::Reserve(ReserveError::UnknownChannel { .. } | ReserveError::RefundOnItsWay { .. }) => {
            format!("{error}; send the request again shortly")
        }
        AdmitError::Reserve(
            ReserveError::IdentifierReused { .. }
            | ReserveError::AnswerForgotten { .. }
            | ReserveError::PayerSetAside { .. }
            | ReserveError::Standstill { .. },
        ) => error.to_string(),
    }
}

/// What the payment was for.
#[derive(Clone, Copy)]
struct Asked {
    /// The most that the request can cost.
    amount_max: Wei,
    /// What the payment takes that to be.
    accepted: Wei,
    is_refund: bool,
}

fn payment_sentence(error: &PaymentError, asked: Asked) -> String {
    match *error {
        PaymentError::ChannelIdMismatch { claimed, actual } => {
            format!("the voucher names channel {claimed}, and the channel's configuration is that of {actual}")
        }
        PaymentError::ChannelNotFound { channel } => {
            let amount = open(asked.amount_max);
            format!("channel {channel} holds no money; this request can cost up to {amount}, deposit at least that")
        }
        PaymentError::ChannelBusy { channel } => {
            format!("another request of channel {channel} is being served; send this one again when it is done")
        }
        PaymentError::CumulativeMismatch { given, expected } => mismatch(given, expected, asked),
        PaymentError::CumulativeBelowClaimed { given, least } => format!(
            "the voucher's ceiling is {}; it must be at least {}: what the operator claimed on chain, and up to {} for \
             this request",
            open(given),
            open(least),
            open(asked.amount_max)
        ),
        PaymentError::CumulativeExceedsBalance { given, available } => exceeds_balance(given, available, asked),
        PaymentError::VoucherSignature(ref cause) => format!("{error}: {cause}"),
        PaymentError::TermMismatch { field: Term::Amount, .. } => format!(
            "the payment is for a request of up to {}; this one can cost up to {}",
            open(asked.accepted),
            open(asked.amount_max)
        ),
        _ => error.to_string(),
    }
}

fn mismatch(given: Wei, expected: Wei, asked: Asked) -> String {
    let (given, expected_open) = (open(given), open(expected));
    if asked.is_refund {
        return format!("the voucher's ceiling is {given}; for a refund it must be {expected_open}, what was charged");
    }
    let charged = open(less(expected, asked.amount_max));
    let amount = open(asked.amount_max);
    format!(
        "the voucher's ceiling is {given}; it must be {expected_open}: {charged} charged so far, and up to {amount} for \
         this request"
    )
}

fn exceeds_balance(given: Wei, available: Wei, asked: Asked) -> String {
    let charged = less(given, asked.amount_max);
    let (left, missing) = (less(available, charged), less(given, available));
    format!(
        "the channel has {} left, and this request can cost up to {}; deposit at least {} more, or ask for fewer tokens",
        open(left),
        open(asked.amount_max),
        open(missing)
    )
}

fn relay_sentence(error: &RelayError) -> String {
    match *error {
        RelayError::DepositTooSmall { amount, minimum } => {
            format!("the deposit is {}; at least {} is taken", open(amount), open(minimum))
        }
        RelayError::InsufficientBalance { payer, balance, amount } => {
            format!("{payer} holds {} as wrapped OPEN; the deposit is {}", open(balance), open(amount))
        }
        RelayError::RefundAmount { amount, free } => {
            format!("a refund of {} was asked for; {} of the channel is free", open(amount), open(free))
        }
        RelayError::NothingFree { channel } => {
            format!("channel {channel} has nothing to give back: all that it holds was charged")
        }
        RelayError::AuthorizationSignature(ref cause) => format!("{error}: {cause}"),
        RelayError::Sign(_) => node_failed(),
        _ => error.to_string(),
    }
}

fn node_failed() -> String {
    "the node failed to look the payment up, and its log says why; nothing was charged, send the request again"
        .to_owned()
}

fn open(amount: Wei) -> String {
    format!("{} OPEN", amount.format_open())
}

/// What is left; none where there is less than nothing.
fn less(amount: Wei, taken: Wei) -> Wei {
    amount.checked_sub(taken).unwrap_or(Wei::ZERO)
}
