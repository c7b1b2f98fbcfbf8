//! What refusals say to people.

use std::collections::BTreeSet;

use alloy_primitives::B256;
use openledger_primitives::{ChannelId, Wei};
use openledger_settlement::channel::PaymentError;
use openledger_settlement::hub::HubError;
use openledger_settlement::ledger::ReserveError;
use openledger_settlement::refusal::{sentence, unpaid};
use openledger_settlement::relay::{RelayError, RelayKind};
use openledger_settlement::signature::SignatureError;
use openledger_settlement::till::AdmitError;
use openledger_settlement::x402::PaymentPayload;

use crate::common::{Desk, account, config};

const CHANNEL: ChannelId = ChannelId(B256::repeat_byte(1));

fn milli(milli_open: u128) -> Wei {
    Wei(milli_open * 1_000_000_000_000_000)
}

fn payment(error: PaymentError) -> AdmitError {
    AdmitError::Reserve(error.into())
}

fn relay(error: RelayError) -> AdmitError {
    AdmitError::Reserve(error.into())
}

#[tokio::test]
async fn a_refusal_names_limit_and_value_in_open() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path(), &[config(1)]);
    let paid = desk.payment(&config(1), 0, "pay_0000000000000001");
    let offer = desk.till.offer(milli(20));
    let other = PaymentPayload { accepted: desk.till.offer(milli(7)), ..paid.clone() };
    let exceeds = PaymentError::CumulativeExceedsBalance { given: milli(95), available: milli(80) };
    let mismatch = PaymentError::CumulativeMismatch { given: milli(20), expected: milli(95) };
    let below = PaymentError::CumulativeBelowClaimed { given: milli(20), least: milli(95) };
    let amount = PaymentError::TermMismatch {
        field: openledger_settlement::channel::Term::Amount,
        given: "7".into(),
        expected: "20".into(),
    };
    for (error, payload, expected) in [
        (
            payment(exceeds),
            &paid,
            "the channel has 0.005 OPEN left, and this request can cost up to 0.02 OPEN; deposit at least 0.015 OPEN \
             more, or ask for fewer tokens",
        ),
        (
            payment(mismatch),
            &paid,
            "the voucher's ceiling is 0.02 OPEN; it must be 0.095 OPEN: 0.075 OPEN charged so far, and up to 0.02 OPEN \
             for this request",
        ),
        (
            payment(below),
            &paid,
            "the voucher's ceiling is 0.02 OPEN; it must be at least 0.095 OPEN: what the operator claimed on chain, \
             and up to 0.02 OPEN for this request",
        ),
        (
            payment(amount),
            &other,
            "the payment is for a request of up to 0.007 OPEN; this one can cost up to 0.02 OPEN",
        ),
        (
            relay(RelayError::DepositTooSmall { amount: milli(1), minimum: milli(10) }),
            &paid,
            "the deposit is 0.001 OPEN; at least 0.01 OPEN is taken",
        ),
        (
            relay(RelayError::RefundAmount { amount: milli(3), free: milli(2) }),
            &paid,
            "a refund of 0.003 OPEN was asked for; 0.002 OPEN of the channel is free",
        ),
    ] {
        assert_eq!(sentence(&error, &offer, payload), expected);
    }
    assert!(unpaid(&offer).starts_with("this request can cost up to 0.02 OPEN;"));
}

#[tokio::test]
async fn a_refused_refund_is_told_what_a_refund_needs() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path(), &[config(1)]);
    let paid = desk.payment(&config(1), 0, "pay_0000000000000001");
    let voucher = paid.payload.voucher().into();
    let refund = PaymentPayload::refund(desk.offer(), &config(1), &voucher, None, "refund_000000000001");
    let error = payment(PaymentError::CumulativeMismatch { given: milli(20), expected: milli(75) });
    assert_eq!(
        sentence(&error, &desk.offer(), &refund),
        "the voucher's ceiling is 0.02 OPEN; for a refund it must be 0.075 OPEN, what was charged"
    );
}

#[tokio::test]
async fn every_refusal_is_a_sentence_of_its_own_and_tells_nothing_of_the_operators_machine() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path(), &[config(1)]);
    let paid = desk.payment(&config(1), 0, "pay_0000000000000001");
    let payer = account(9);
    let inner = || Box::new(std::io::Error::other("/var/lib/secret"));
    let errors = [
        payment(PaymentError::ChannelIdMismatch { claimed: CHANNEL, actual: ChannelId::default() }),
        payment(PaymentError::ChannelNotFound { channel: CHANNEL }),
        payment(PaymentError::ChannelBusy { channel: CHANNEL }),
        payment(PaymentError::VoucherSignature(SignatureError::Length { bytes: 3 })),
        payment(PaymentError::Overflow { channel: CHANNEL }),
        payment(PaymentError::PayloadType { kind: "refund" }),
        relay(RelayError::AuthorizationRequired),
        relay(RelayError::NotYetValid { valid_after: 7, now_s: 6 }),
        relay(RelayError::Expired { valid_before: 7, now_s: 8 }),
        relay(RelayError::AuthorizationUsed { payer, nonce: B256::ZERO }),
        relay(RelayError::InsufficientBalance { payer, balance: milli(1), amount: milli(2) }),
        relay(RelayError::NothingFree { channel: CHANNEL }),
        relay(RelayError::Reverted { kind: RelayKind::Refund, tx: B256::ZERO }),
        relay(RelayError::Busy { max: 16 }),
        relay(RelayError::TooMany { payer, max: 20 }),
        AdmitError::Hub(HubError::Unavailable(inner())),
        AdmitError::Reserve(ReserveError::RefundOnItsWay { channel: CHANNEL }),
        AdmitError::Reserve(ReserveError::PayerSetAside { payer }),
        AdmitError::Reserve(ReserveError::Standstill { still_s: 130 }),
        AdmitError::Reserve(ReserveError::AnswerForgotten { identifier: "pay_0000000000000001".into() }),
    ];
    let said: BTreeSet<String> = errors.iter().map(|error| sentence(error, &desk.offer(), &paid)).collect();
    assert_eq!(said.len(), errors.len());
    for sentence in said {
        assert!(sentence.split(' ').count() > 4 && !sentence.contains("invalid_") && !sentence.contains("/var"));
        assert!(!sentence.ends_with('.'), "{sentence}");
    }
}
