use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier};

use alloy_primitives::Bytes;
use openledger_primitives::{B256, Wei};
use openledger_settlement::channel::OnChainChannel;
use openledger_settlement::ledger::{Admission, ChargeError, Payment, RESERVATION_AGE_MAX, ReserveError};
use openledger_settlement::receipt::ReceiptDraft;
use openledger_settlement::till::{AdmitError, MIRROR_AGE_MAX_S, TillOptions};
use openledger_settlement::voucher::channel_id;
use openledger_settlement::x402::{BatchPayload, PaymentPayload};

use crate::common::{CHAIN_ID, Desk, config, draft, operator, payer, request};
use crate::test_hub::TestHub;

/// Identical vouchers sent at once. The full count of the reliability table is 10,000.
const CONCURRENT: u32 = 1000;
const THREADS: u32 = 8;

fn fee() -> u128 {
    draft().fee().unwrap().0
}

async fn reserved(desk: &Desk, payment: &PaymentPayload) -> openledger_settlement::ledger::Reservation {
    match desk.admit(payment, 1).await.unwrap() {
        Admission::Reserved(reservation) => reservation,
        Admission::Answered(_) => panic!("answered before"),
    }
}

fn code(refused: Result<Admission, AdmitError>) -> &'static str {
    refused.unwrap_err().code()
}

#[tokio::test]
async fn a_request_is_charged_and_receipted() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path(), &[config(1)]);
    let first = desk.serve(&config(1), 0, "pay_0000000000000001").await;
    let second = desk.serve(&config(1), fee(), "pay_0000000000000002").await;
    assert!(first.receipt.verify(CHAIN_ID).is_ok());
    assert_eq!((first.receipt.receipt.sequence, second.receipt.receipt.sequence), (1, 2));
    assert_eq!(second.receipt.receipt.cumulativeBefore, first.receipt.receipt.cumulativeAfter);
    assert_eq!(second.receipt.receipt.payer, payer().address());
    let extra = second.answered.settlement.extra.unwrap();
    assert_eq!(extra.charged_amount, Some(Wei(fee())));
    assert_eq!(extra.channel_state.charged_cumulative_amount, Wei(2 * fee()));
    assert_eq!(extra.receipt_hash, Some(second.receipt.hash()));
    assert_eq!(desk.ledger.receipt(first.receipt.hash()).unwrap(), Some(first.receipt));
}

#[tokio::test]
async fn a_retry_gets_the_same_answer_and_pays_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let charge = {
        let desk = Desk::open(dir.path(), &[config(1)]);
        desk.serve(&config(1), 0, "pay_0000000000000001").await
    };
    let desk = Desk::open(dir.path(), &[config(1)]);
    let retry = desk.payment(&config(1), 0, "pay_0000000000000001");
    let Admission::Answered(answered) = desk.admit(&retry, 1).await.unwrap() else { panic!("let in twice") };
    assert_eq!(answered, charge.answered);
    let channel = desk.ledger.channel(channel_id(&config(1), CHAIN_ID)).unwrap().unwrap();
    assert_eq!(channel.charged, Wei(fee()));
}

#[tokio::test]
async fn an_answer_that_took_too_long_is_charged_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let hub = TestHub::funded(&[config(1)], 1_000_000_000_000_000_000);
    let hasty = TillOptions { reservation_max_s: 0, ..TillOptions::default() };
    let desk = Desk::open_for(dir.path(), Arc::new(hub), hasty);
    let reservation = reserved(&desk, &desk.payment(&config(1), 0, "pay_0000000000000001")).await;
    // By now its payer can have taken the money.
    desk.hub.with(|state| state.channels.clear());
    let refused = desk.till.charge(reservation, draft(), |_| b"answer".to_vec()).await.unwrap_err();
    assert!(matches!(refused, ChargeError::Late { .. }), "{refused}");
    assert!(desk.ledger.unclaimed_channels().unwrap().is_empty());
    assert!(RESERVATION_AGE_MAX.as_secs() + MIRROR_AGE_MAX_S < TillOptions::default().withdraw_delay_s);
}

#[tokio::test]
async fn a_retry_without_identifier_gets_the_same_answer_too() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path(), &[config(1)]);
    let mut payment = desk.payment(&config(1), 0, "pay_0000000000000001");
    payment.extensions.clear();
    let charge = desk.till.charge(reserved(&desk, &payment).await, draft(), |_| b"answer".to_vec()).await.unwrap();
    let Admission::Answered(answered) = desk.admit(&payment, 1).await.unwrap() else { panic!("let in twice") };
    assert_eq!(answered, charge.answered);
    let other_request = desk.admit(&payment, 2).await;
    assert_eq!(code(other_request), "invalid_batch_settlement_evm_cumulative_amount_mismatch");
}

#[tokio::test]
async fn an_identifier_serves_one_request() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path(), &[config(1)]);
    desk.serve(&config(1), 0, "pay_0000000000000001").await;
    let other = desk.payment(&config(1), fee(), "pay_0000000000000001");
    let refused = desk.admit(&other, 2).await.unwrap_err();
    assert!(matches!(refused, AdmitError::Reserve(ReserveError::IdentifierReused { .. })), "{refused}");
}

#[tokio::test]
async fn nobody_else_gets_an_answer_by_its_identifier() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path(), &[config(1)]);
    desk.serve(&config(1), 0, "pay_0000000000000001").await;
    let mut stolen = desk.payment(&config(1), 0, "pay_0000000000000001");
    if let BatchPayload::Voucher { voucher, .. } = &mut stolen.payload {
        voucher.signature = Bytes::from(vec![27; 65]);
    }
    assert_eq!(code(desk.admit(&stolen, 1).await), "invalid_batch_settlement_evm_voucher_signature");
}

#[tokio::test]
async fn a_channel_serves_one_request_at_a_time_and_never_jams() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path(), &[config(1), config(2)]);
    let held = reserved(&desk, &desk.payment(&config(1), 0, "pay_0000000000000001")).await;
    let second = desk.payment(&config(1), 0, "pay_0000000000000002");
    assert_eq!(code(desk.admit(&second, 1).await), "invalid_batch_settlement_evm_channel_busy");
    desk.serve(&config(2), 0, "pay_0000000000000003").await;
    drop(held);
    assert!(matches!(desk.admit(&second, 1).await.unwrap(), Admission::Reserved(_)));
}

#[tokio::test]
async fn a_failed_charge_leaves_the_voucher_good() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path(), &[config(1)]);
    let payment = desk.payment(&config(1), 0, "pay_0000000000000001");
    let mut dearer = draft();
    dearer.usage.tokens_out += 1;
    let refused = desk.till.charge(reserved(&desk, &payment).await, dearer, |_| vec![]).await.unwrap_err();
    assert!(matches!(refused, ChargeError::Payment(_)), "{refused}");
    let unknown = ReceiptDraft { snapshot_roots: vec![B256::ZERO], influence: vec![], ..draft() };
    let refused = desk.till.charge(reserved(&desk, &payment).await, unknown, |_| vec![]).await.unwrap_err();
    assert!(matches!(refused, ChargeError::UnknownSnapshot { root: B256::ZERO }), "{refused}");
    let orphan = ReceiptDraft { bps: openledger_contracts::SplitBps { parents: 100, ..draft().bps }, ..draft() };
    let refused = desk.till.charge(reserved(&desk, &payment).await, orphan, |_| vec![]).await.unwrap_err();
    assert!(matches!(refused, ChargeError::UnknownParents { .. }), "{refused}");
    assert!(desk.ledger.receipts(None, 0).unwrap().is_empty());
    desk.serve(&config(1), 0, "pay_0000000000000001").await;
}

#[tokio::test]
async fn a_wrong_ceiling_gets_a_402_that_an_honest_client_recovers_from() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path(), &[config(1)]);
    desk.serve(&config(1), 0, "pay_0000000000000001").await;
    let stale = desk.payment(&config(1), 0, "pay_0000000000000002");
    let error = desk.admit(&stale, 2).await.unwrap_err();
    let required = desk.till.refusal("/v1/chat/completions", &desk.offer(), &stale, &error);
    assert_eq!(required.error.as_deref(), Some("invalid_batch_settlement_evm_cumulative_amount_mismatch"));
    let extra = &required.batch_settlement().unwrap().extra;
    assert_eq!(extra.channel_state.as_ref().unwrap().charged_cumulative_amount, Wei(fee()));
    assert_eq!(extra.voucher_state.as_ref().unwrap().signed_max_claimable, Wei(fee()));
}

#[tokio::test]
async fn a_channel_without_money_is_refused_and_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path(), &[]);
    let payment = desk.payment(&config(1), 0, "pay_0000000000000001");
    assert_eq!(code(desk.admit(&payment, 1).await), "invalid_batch_settlement_evm_channel_not_found");
    assert_eq!(desk.ledger.channel(channel_id(&config(1), CHAIN_ID)).unwrap(), None);
}

#[tokio::test]
async fn a_top_up_counts_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path(), &[config(1)]);
    let id = channel_id(&config(1), CHAIN_ID);
    let poor = OnChainChannel { balance: Wei(fee()), ..OnChainChannel::default() };
    desk.hub.with(|hub| hub.channels.insert(id, poor));
    desk.serve(&config(1), 0, "pay_0000000000000001").await;
    let next = desk.payment(&config(1), fee(), "pay_0000000000000002");
    assert_eq!(code(desk.admit(&next, 1).await), "invalid_batch_settlement_evm_cumulative_exceeds_balance");
    desk.hub.with(|hub| hub.channels.insert(id, OnChainChannel { balance: Wei(2 * fee()), ..poor }));
    assert!(matches!(desk.admit(&next, 1).await.unwrap(), Admission::Reserved(_)));
}

#[tokio::test]
async fn terms_other_than_those_offered_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path(), &[config(1)]);
    let genuine = desk.payment(&config(1), 0, "pay_0000000000000001");
    let mut network = genuine.clone();
    network.accepted.network = "eip155:1".into();
    let mut cheaper = genuine.clone();
    cheaper.accepted.amount = Wei(1);
    let mut scheme = genuine;
    scheme.accepted.scheme = "exact".into();
    for (payment, expected) in [
        (network, "invalid_batch_settlement_evm_network_mismatch"),
        (cheaper, "invalid_batch_settlement_evm_cumulative_amount_mismatch"),
        (scheme, "invalid_batch_settlement_evm_scheme"),
    ] {
        assert_eq!(code(desk.admit(&payment, 1).await), expected);
    }
    let mut elsewhere = config(1);
    elsewhere.receiverAuthorizer = payer().address();
    let payment = desk.payment(&elsewhere, 0, "pay_0000000000000001");
    assert_eq!(code(desk.admit(&payment, 1).await), "invalid_batch_settlement_evm_receiver_authorizer_mismatch");
}

#[test]
fn identical_vouchers_sent_at_once_are_charged_once() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path(), &[config(1)]);
    let on_chain = OnChainChannel { balance: Wei(1 << 100), ..OnChainChannel::default() };
    desk.ledger.mirror(&config(1), on_chain, 0).unwrap();
    let payload = desk.payment(&config(1), 0, "pay_0000000000000001");
    let payment = Payment::read(&payload, &desk.offer(), request(1)).unwrap();
    let (charged, answered, busy) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0));
    let start = Barrier::new(THREADS as usize);
    let send = || match desk.ledger.reserve(payment.clone()) {
        Ok(Admission::Reserved(reservation)) => {
            let receipt = desk.ledger.charge(reservation, draft(), &operator(), operator().address(), |_| vec![1]);
            assert_eq!(receipt.unwrap().receipt.receipt.sequence, 1);
            charged.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Admission::Answered(stored)) => {
            assert_eq!(stored.answer, [1]);
            answered.fetch_add(1, Ordering::Relaxed);
        }
        Err(ReserveError::Payment(error)) => {
            assert_eq!(error.code(), "invalid_batch_settlement_evm_channel_busy");
            busy.fetch_add(1, Ordering::Relaxed);
        }
        Err(error) => panic!("{error}"),
    };
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                start.wait();
                (0..CONCURRENT / THREADS).for_each(|_| send());
            });
        }
    });
    let counts = [&charged, &answered, &busy].map(|count| count.load(Ordering::Relaxed));
    assert_eq!((counts[0], counts.iter().sum::<u32>()), (1, CONCURRENT));
    let channel = desk.ledger.channel(channel_id(&config(1), CHAIN_ID)).unwrap().unwrap();
    assert_eq!(channel.charged, Wei(fee()));
    assert_eq!(desk.ledger.receipts(None, 0).unwrap().len(), 1);
}
