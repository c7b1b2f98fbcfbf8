//! Deposits and refunds that the operator relays.

use std::path::Path;
use std::sync::Arc;

use openledger_contracts::ChannelConfig;
use openledger_primitives::{Address, B256, Wei};
use openledger_settlement::ledger::{Admission, Reservation};
use openledger_settlement::relay::{Deposit, RelayCall};
use openledger_settlement::till::{AdmitError, TillOptions};
use openledger_settlement::voucher::{SignedVoucher, channel_id};
use openledger_settlement::x402::{BatchPayload, PaymentPayload, SettleResponse, WireDeposit, from_header, to_header};
use serde_json::json;

use crate::common::{CHAIN_ID, Desk, config, draft, key, operator, payer, request};
use crate::test_hub::{Deed, Fault, State, TestHub};

/// What payers deposit here, and what they hold before.
const DEPOSIT: u128 = 40_000_000_000_000_000;
const FUNDS: u128 = 100_000_000_000_000_000;
const FIRST: &str = "pay_0000000000000001";
const SECOND: &str = "pay_0000000000000002";
/// Valid for every time of these tests.
const FOREVER: u64 = u64::MAX;

fn fee() -> u128 {
    draft().fee().unwrap().0
}

/// A hub on which the payer holds wrapped OPEN and no channel.
fn hub() -> Arc<TestHub> {
    let hub = TestHub::funded(&[], 0);
    hub.with(|state| state.wrapped.insert(payer().address(), FUNDS));
    Arc::new(hub)
}

fn deposit(config: &ChannelConfig, amount: u128, salt: u8) -> Deposit {
    Deposit::sign(config, Wei(amount), FOREVER, B256::repeat_byte(salt), CHAIN_ID, &payer()).unwrap()
}

/// A payment that brings `deposit`, for the next request of a channel that was charged `charged`.
fn paid(desk: &Desk, config: &ChannelConfig, charged: u128, deposit: &Deposit, identifier: &str) -> PaymentPayload {
    let ceiling = Wei(charged + desk.offer().amount.0);
    let voucher = SignedVoucher::sign(channel_id(config, CHAIN_ID), ceiling, CHAIN_ID, &payer()).unwrap();
    PaymentPayload::deposit(desk.offer(), config, &voucher, deposit.into(), identifier)
}

fn first(desk: &Desk) -> PaymentPayload {
    paid(desk, &config(1), 0, &deposit(&config(1), DEPOSIT, 1), FIRST)
}

async fn admitted(desk: &Desk, payment: &PaymentPayload) -> Reservation {
    match desk.admit(payment, 1).await.unwrap() {
        Admission::Reserved(reservation) => reservation,
        Admission::Answered(_) => panic!("answered before"),
    }
}

async fn served(desk: &Desk, payment: &PaymentPayload) -> SettleResponse {
    let reservation = admitted(desk, payment).await;
    desk.till.charge(reservation, draft(), |_| b"answer".to_vec()).await.unwrap().answered.settlement
}

async fn refused(desk: &Desk, payment: &PaymentPayload) -> &'static str {
    desk.admit(payment, 1).await.unwrap_err().code().trim_start_matches("invalid_batch_settlement_evm_")
}

fn asked_back(desk: &Desk, charged: u128, amount: Option<u128>, identifier: &str) -> PaymentPayload {
    let voucher = SignedVoucher::sign(channel_id(&config(1), CHAIN_ID), Wei(charged), CHAIN_ID, &payer()).unwrap();
    PaymentPayload::refund(desk.offer(), &config(1), &voucher, amount.map(Wei), identifier)
}

async fn refund(desk: &Desk, asked: &PaymentPayload) -> Result<SettleResponse, AdmitError> {
    desk.till.refund(asked, &desk.offer(), request(9)).await
}

fn short(error: &AdmitError) -> &'static str {
    error.code().trim_start_matches("invalid_batch_settlement_evm_")
}

fn balance(desk: &Desk) -> u128 {
    desk.hub.with(|state| state.channels.get(&channel_id(&config(1), CHAIN_ID)).map_or(0, |channel| channel.balance.0))
}

fn wrapped(desk: &Desk) -> u128 {
    desk.hub.with(|state| state.wrapped[&payer().address()])
}

fn transactions(desk: &Desk) -> u64 {
    desk.hub.with(|state| state.transactions)
}

/// A desk whose channel has its deposit and was charged once.
async fn charged_once(dir: &Path) -> Desk {
    let desk = Desk::open_with(dir, hub());
    served(&desk, &first(&desk)).await;
    desk
}

#[test]
fn the_deposit_payload_has_the_fields_of_the_specification() {
    let desk = Desk::open_with(tempfile::tempdir().unwrap().path(), hub());
    let payment = first(&desk);
    let json = serde_json::to_value(&payment).unwrap();
    assert_eq!(json["payload"]["type"], "deposit");
    assert_eq!(json["payload"]["deposit"]["amount"], DEPOSIT.to_string());
    let authorization = &json["payload"]["deposit"]["authorization"]["erc3009Authorization"];
    assert_eq!(
        (&authorization["validAfter"], &authorization["validBefore"]),
        (&json!("0"), &json!(FOREVER.to_string()))
    );
    assert_eq!(authorization["salt"], json!(B256::repeat_byte(1)));
    assert_eq!(from_header::<PaymentPayload>(to_header(&payment).as_bytes()).unwrap(), payment);
}

#[tokio::test]
async fn a_deposit_and_an_answer_take_one_request() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open_with(dir.path(), hub());
    let settled = served(&desk, &first(&desk)).await;
    assert_eq!((settled.amount.as_str(), settled.success), (DEPOSIT.to_string().as_str(), true));
    assert!(desk.hub.with(|state| state.mined.contains_key(&settled.transaction.parse::<B256>().unwrap())));
    let extra = settled.extra.unwrap();
    assert_eq!((extra.charged_amount, extra.channel_state.balance), (Some(Wei(fee())), Wei(DEPOSIT)));
    assert_eq!((balance(&desk), wrapped(&desk), transactions(&desk)), (DEPOSIT, FUNDS - DEPOSIT, 1));
    // The channel is an ordinary one from here on.
    assert_eq!(desk.serve(&config(1), fee(), SECOND).await.answered.settlement.transaction, "");
}

#[tokio::test]
async fn the_same_request_again_deposits_and_charges_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open_with(dir.path(), hub());
    let payment = first(&desk);
    // Served twice without success: the deposit stays, and is not made again.
    for _ in 0..2 {
        drop(admitted(&desk, &payment).await);
    }
    let settled = served(&desk, &payment).await;
    let Admission::Answered(again) = desk.admit(&payment, 1).await.unwrap() else { panic!("let in twice") };
    assert_eq!(again.settlement, settled);
    assert_eq!((balance(&desk), transactions(&desk)), (DEPOSIT, 1));
}

#[tokio::test]
async fn a_deposit_that_was_withdrawn_since_pays_for_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open_with(dir.path(), hub());
    let payment = first(&desk);
    // The deposit is made and the answer is not: the connection was dropped.
    drop(admitted(&desk, &payment).await);
    desk.hub.with(|state| state.channels.clear());
    assert_eq!(refused(&desk, &payment).await, "channel_not_found");
    assert!(desk.ledger.unclaimed_channels().unwrap().is_empty());
}

#[tokio::test]
async fn a_crash_after_sending_neither_loses_nor_repeats_a_deposit() {
    for fault in [Fault::AnswerLost, Fault::NeverArrives] {
        let dir = tempfile::tempdir().unwrap();
        let hub = hub();
        {
            let desk = Desk::open_with(dir.path(), Arc::clone(&hub));
            hub.with(|state| state.fault = Some(fault));
            assert_eq!(refused(&desk, &first(&desk)).await, "channel_state_read_failed");
        }
        let desk = Desk::open_with(dir.path(), hub);
        let settled = served(&desk, &first(&desk)).await;
        assert_eq!(settled.amount, DEPOSIT.to_string(), "{fault:?}");
        assert_eq!((balance(&desk), transactions(&desk)), (DEPOSIT, 1), "{fault:?}");
    }
}

#[tokio::test]
async fn a_deposit_whose_transaction_lost_its_place_is_signed_again() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open_with(dir.path(), hub());
    desk.hub.with(|state| state.fault = Some(Fault::NeverArrives));
    assert!(desk.admit(&first(&desk), 1).await.is_err());
    let lost = desk.hub.with(|state| *state.signed.keys().next().unwrap());
    desk.hub.lose(lost);
    assert_ne!(served(&desk, &first(&desk)).await.transaction, lost.to_string());
    assert_eq!((balance(&desk), transactions(&desk)), (DEPOSIT, 2));
}

#[tokio::test]
async fn a_deposit_that_is_long_in_coming_is_found_by_the_same_request() {
    let dir = tempfile::tempdir().unwrap();
    let options = TillOptions { relay_wait_s: 0, ..TillOptions::default() };
    let desk = Desk::open_for(dir.path(), hub(), options);
    desk.hub.with(|state| state.stopped = true);
    assert_eq!(refused(&desk, &first(&desk)).await, "wait_for_receipt_failed");
    desk.hub.with(|state| state.stopped = false);
    served(&desk, &first(&desk)).await;
    assert_eq!((balance(&desk), transactions(&desk)), (DEPOSIT, 1));
}

#[tokio::test]
async fn an_authorisation_serves_one_request() {
    let dir = tempfile::tempdir().unwrap();
    let desk = charged_once(dir.path()).await;
    let replayed = paid(&desk, &config(1), fee(), &deposit(&config(1), DEPOSIT, 1), SECOND);
    let error = desk.admit(&replayed, 1).await.unwrap_err();
    assert_eq!(short(&error), "authorization_used");
    let required = desk.till.refusal("/", &desk.offer(), &replayed, &error);
    let state = required.batch_settlement().unwrap().extra.channel_state.clone().unwrap();
    assert_eq!((state.balance, state.charged_cumulative_amount), (Wei(DEPOSIT), Wei(fee())));
    // For another channel of the payer its signature is worth nothing.
    let moved = paid(&desk, &config(2), 0, &deposit(&config(1), DEPOSIT, 2), SECOND);
    assert_eq!(refused(&desk, &moved).await, "receive_authorization_signature");
    // Sent by somebody else, it cannot be sent again, and the money is in the channel.
    let other = deposit(&config(1), DEPOSIT, 3);
    desk.hub.with(|state| state.used.insert((payer().address(), other.nonce(channel_id(&config(1), CHAIN_ID)))));
    assert_eq!(refused(&desk, &paid(&desk, &config(1), fee(), &other, SECOND)).await, "authorization_used");
    assert_eq!(transactions(&desk), 1);
}

#[tokio::test]
async fn deposits_that_are_not_good_are_refused_before_anything_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open_with(dir.path(), hub());
    let good = deposit(&config(1), DEPOSIT, 1);
    let now = desk.hub.with(|state| state.now);
    let signed = |valid_before, amount| {
        Deposit::sign(&config(1), Wei(amount), valid_before, B256::ZERO, CHAIN_ID, &payer()).unwrap()
    };
    let by_another = Deposit::sign(&config(1), Wei(DEPOSIT), FOREVER, B256::ZERO, CHAIN_ID, &key(7)).unwrap();
    let elsewhere = Deposit::sign(&config(1), Wei(DEPOSIT), FOREVER, B256::ZERO, CHAIN_ID + 1, &payer()).unwrap();
    let smallest = TillOptions::default().deposit_min.0;
    for (deposit, expected) in [
        (signed(now, DEPOSIT), "payload_authorization_valid_before"),
        (signed(now + 1, DEPOSIT), "payload_authorization_valid_before"),
        (Deposit { valid_after: now, ..good.clone() }, "payload_authorization_valid_after"),
        (signed(FOREVER, smallest - 1), "deposit_below_minimum"),
        (signed(FOREVER, FUNDS + 1), "insufficient_balance"),
        (signed(FOREVER, u128::MAX), "insufficient_balance"),
        (Deposit { amount: Wei(DEPOSIT + 1), ..good.clone() }, "receive_authorization_signature"),
        (by_another, "receive_authorization_signature"),
        (elsewhere, "receive_authorization_signature"),
    ] {
        assert_eq!(refused(&desk, &paid(&desk, &config(1), 0, &deposit, FIRST)).await, expected);
    }
    let token = ChannelConfig { token: Address::repeat_byte(9), ..config(1) };
    assert_eq!(refused(&desk, &paid(&desk, &token, 0, &deposit(&token, DEPOSIT, 1), FIRST)).await, "token_mismatch");
    // A voucher that does not pay for the request leaves the money where it is.
    assert_eq!(refused(&desk, &paid(&desk, &config(1), 1, &good, FIRST)).await, "cumulative_amount_mismatch");
    let mut permit2 = first(&desk);
    if let BatchPayload::Deposit { deposit, .. } = &mut permit2.payload {
        let other = json!({"amount": DEPOSIT.to_string(), "authorization": {"permit2Authorization": {"from": "0x"}}});
        *deposit = serde_json::from_value::<WireDeposit>(other).unwrap();
    }
    assert_eq!(refused(&desk, &permit2).await, "erc3009_authorization_required");
    assert_eq!((transactions(&desk), wrapped(&desk)), (0, FUNDS));
    served(&desk, &first(&desk)).await;
}

#[tokio::test]
async fn an_operator_sends_so_much_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let none = Desk::open_for(dir.path(), hub(), TillOptions { relays_max: 0, ..TillOptions::default() });
    assert_eq!(refused(&none, &first(&none)).await, "relay_busy");
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open_for(dir.path(), hub(), TillOptions { relays_payer_max: 1, ..TillOptions::default() });
    served(&desk, &first(&desk)).await;
    let second = paid(&desk, &config(2), 0, &deposit(&config(2), DEPOSIT, 1), SECOND);
    assert_eq!(refused(&desk, &second).await, "relay_limit");
    assert_eq!(transactions(&desk), 1);
}

#[tokio::test]
async fn what_was_not_charged_comes_back_to_the_wei() {
    let dir = tempfile::tempdir().unwrap();
    let desk = charged_once(dir.path()).await;
    let part = refund(&desk, &asked_back(&desk, fee(), Some(7), "refund_000000000001")).await.unwrap();
    assert_eq!((part.amount.as_str(), part.extra.unwrap().charged_amount), ("7", None));
    let rest = refund(&desk, &asked_back(&desk, fee(), None, "refund_000000000002")).await.unwrap();
    assert_eq!(rest.amount, (DEPOSIT - fee() - 7).to_string());
    assert!(desk.hub.with(|state| state.mined.contains_key(&rest.transaction.parse::<B256>().unwrap())));
    assert_eq!((balance(&desk), wrapped(&desk)), (fee(), FUNDS - fee()));
    let state = rest.extra.unwrap().channel_state;
    assert_eq!((state.balance, state.refund_nonce), (Wei(fee()), 2));
    // What is left belongs to the operator.
    let next = desk.payment(&config(1), fee(), SECOND);
    assert_eq!(short(&desk.admit(&next, 1).await.unwrap_err()), "cumulative_exceeds_balance");
    let none = refund(&desk, &asked_back(&desk, fee(), None, "refund_000000000003")).await.unwrap_err();
    assert_eq!(short(&none), "refund_no_balance");
}

#[tokio::test]
async fn a_withdrawal_and_a_refund_leave_what_was_charged_in_either_order() {
    for withdrawal_first in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let desk = charged_once(dir.path()).await;
        let id = channel_id(&config(1), CHAIN_ID);
        let ask = |state: &mut State| {
            let channel = state.channels.get_mut(&id).unwrap();
            (channel.withdraw_requested_at, channel.withdraw_amount) = (1, Wei(1000));
        };
        let take = move |state: &mut State| {
            let channel = state.channels.get_mut(&id).unwrap();
            let amount = channel.withdraw_amount.0.min(channel.balance.0 - channel.total_claimed.0);
            (channel.balance, channel.withdraw_amount) = (Wei(channel.balance.0 - amount), Wei(0));
        };
        desk.hub.with(ask);
        desk.hub.with(|state| state.before_next_block = withdrawal_first.then(|| Box::new(take) as Deed));
        let back = refund(&desk, &asked_back(&desk, fee(), None, "refund_000000000001")).await.unwrap();
        desk.hub.with(take);
        assert_eq!(back.amount, (DEPOSIT - fee() - 1000).to_string());
        assert!(balance(&desk) >= fee(), "{} wei are left, {} wei were charged", balance(&desk), fee());
    }
}

#[tokio::test]
async fn the_same_refund_again_moves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let desk = charged_once(dir.path()).await;
    let asked = asked_back(&desk, fee(), Some(1000), "refund_000000000001");
    let once = refund(&desk, &asked).await.unwrap();
    let again = refund(&desk, &asked).await.unwrap();
    assert_eq!(again, once);
    assert_eq!((balance(&desk), transactions(&desk)), (DEPOSIT - 1000, 2));
    let other = asked_back(&desk, fee(), Some(1001), "refund_000000000001");
    assert_eq!(short(&refund(&desk, &other).await.unwrap_err()), "payment_identifier_conflict");
}

#[tokio::test]
async fn refunds_that_are_not_good_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let desk = charged_once(dir.path()).await;
    let free = DEPOSIT - fee();
    for (charged, amount, expected) in [
        (fee(), Some(free + 1), "refund_amount_invalid"),
        (fee(), Some(0), "refund_amount_invalid"),
        (0, Some(1), "cumulative_amount_mismatch"),
        (fee() + 1, Some(1), "cumulative_amount_mismatch"),
    ] {
        let asked = asked_back(&desk, charged, amount, "refund_000000000001");
        assert_eq!(short(&refund(&desk, &asked).await.unwrap_err()), expected);
    }
    let mut forged = asked_back(&desk, fee(), None, "refund_000000000001");
    if let BatchPayload::Refund { voucher, .. } = &mut forged.payload {
        let other = SignedVoucher::sign(voucher.channel_id, Wei(fee()), CHAIN_ID, &key(7)).unwrap();
        voucher.signature = other.signature;
    }
    assert_eq!(short(&refund(&desk, &forged).await.unwrap_err()), "voucher_signature");
    assert_eq!((balance(&desk), transactions(&desk)), (DEPOSIT, 1));
}

#[tokio::test]
async fn a_refund_waits_for_the_request_in_flight() {
    let dir = tempfile::tempdir().unwrap();
    let desk = charged_once(dir.path()).await;
    let reservation = admitted(&desk, &desk.payment(&config(1), fee(), SECOND)).await;
    let asked = asked_back(&desk, fee(), None, "refund_000000000001");
    assert_eq!(short(&refund(&desk, &asked).await.unwrap_err()), "channel_busy");
    desk.till.charge(reservation, draft(), |_| Vec::new()).await.unwrap();
    let late = asked_back(&desk, 2 * fee(), None, "refund_000000000002");
    assert_eq!(refund(&desk, &late).await.unwrap().amount, (DEPOSIT - 2 * fee()).to_string());
    assert_eq!(balance(&desk), 2 * fee());
}

#[tokio::test]
async fn nothing_is_charged_to_money_that_is_on_its_way_back() {
    let dir = tempfile::tempdir().unwrap();
    let hub = charged_once(dir.path()).await.hub;
    let impatient = TillOptions { relay_wait_s: 0, ..TillOptions::default() };
    let desk = Desk::open_for(dir.path(), hub, impatient);
    desk.hub.with(|state| state.stopped = true);
    let asked = asked_back(&desk, fee(), None, "refund_000000000001");
    assert_eq!(short(&refund(&desk, &asked).await.unwrap_err()), "wait_for_receipt_failed");
    let next = desk.payment(&config(1), fee(), SECOND);
    assert_eq!(short(&desk.admit(&next, 1).await.unwrap_err()), "wait_for_receipt_failed");
    // What was read of the chain before counts for nothing afterwards.
    let stale = desk.hub.with(|state| state.channels[&channel_id(&config(1), CHAIN_ID)]);
    desk.hub.with(|state| state.stopped = false);
    assert_eq!(short(&desk.admit(&next, 1).await.unwrap_err()), "cumulative_exceeds_balance");
    desk.ledger.mirror(&config(1), stale, u64::MAX >> 1).unwrap();
    assert_eq!(short(&desk.admit(&next, 1).await.unwrap_err()), "cumulative_exceeds_balance");
    let settled = refund(&desk, &asked).await.unwrap();
    assert_eq!(settled.amount, (DEPOSIT - fee()).to_string());
    assert_eq!(transactions(&desk), 2);
}

#[tokio::test]
async fn a_refund_that_somebody_else_sent_counts_as_made() {
    let dir = tempfile::tempdir().unwrap();
    let desk = charged_once(dir.path()).await;
    desk.hub.with(|state| state.fault = Some(Fault::NeverArrives));
    let asked = asked_back(&desk, fee(), Some(5), "refund_000000000001");
    assert_eq!(short(&refund(&desk, &asked).await.unwrap_err()), "channel_state_read_failed");
    let lost = desk.hub.with(|state| *state.signed.keys().last().unwrap());
    let hashes = desk.hub.with(|state| state.signed.clone());
    let refund_hash =
        hashes.iter().find(|(_, call)| matches!(call, RelayCall::Refund { .. })).map_or(lost, |(h, _)| *h);
    // Whoever saw its signature sent it in a transaction of their own.
    let theirs = B256::repeat_byte(0xee);
    desk.hub.with(|state| {
        let call = state.signed[&refund_hash].clone();
        state.signed.insert(theirs, call);
    });
    let sent =
        openledger_settlement::hub::SignedTransaction { hash: theirs, nonce: 0, raw: Default::default(), signed_at: 0 };
    openledger_settlement::hub::HubClient::relayed(&*desk.hub, &sent).await.unwrap();
    desk.hub.lose(refund_hash);
    let settled = refund(&desk, &asked).await.unwrap();
    assert_eq!((settled.transaction, settled.amount.as_str()), (theirs.to_string(), "5"));
    assert_eq!((balance(&desk), wrapped(&desk)), (DEPOSIT - 5, FUNDS - DEPOSIT + 5));
}

#[tokio::test]
async fn a_refund_whose_transaction_lost_its_place_is_sent_again_for_the_same_amount() {
    let dir = tempfile::tempdir().unwrap();
    let desk = charged_once(dir.path()).await;
    desk.hub.with(|state| state.fault = Some(Fault::NeverArrives));
    let asked = asked_back(&desk, fee(), Some(5), "refund_000000000001");
    refund(&desk, &asked).await.unwrap_err();
    let is_refund = |call: &RelayCall| matches!(call, RelayCall::Refund { .. });
    let lost = desk.hub.with(|state| state.signed.iter().find(|(_, call)| is_refund(call)).map(|(hash, _)| *hash));
    desk.hub.lose(lost.unwrap());
    // The next request of the channel finds out first.
    served(&desk, &desk.payment(&config(1), fee(), SECOND)).await;
    assert_eq!(balance(&desk), DEPOSIT - 5);
    assert_eq!(refund(&desk, &asked).await.unwrap().amount, "5");
    assert_eq!((balance(&desk), transactions(&desk)), (DEPOSIT - 5, 3));
}

#[test]
fn a_refund_is_signed_by_the_operator_for_one_nonce() {
    let make = |nonce| RelayCall::refund(config(1), Wei(5), nonce, CHAIN_ID, &operator()).unwrap();
    let (RelayCall::Refund { signature: first, .. }, RelayCall::Refund { signature: second, .. }) = (make(0), make(1))
    else {
        panic!("refunds")
    };
    assert_ne!(first, second);
}
