use std::sync::Arc;
use std::time::Instant;

use openledger_contracts::ChannelConfig;
use openledger_primitives::sum_tree::SumLeaf;
use openledger_primitives::{B256, ChannelId, DatanetId, RecordHash, Wei, keccak256};
use openledger_settlement::channel::OnChainChannel;
use openledger_settlement::epoch::{Balances, receipts_tree};
use openledger_settlement::hub::{CLAIMS_MAX, HubClient, PENDING_MAX};
use openledger_settlement::ledger::{
    ANSWER_CREDITS_MAX, Admission, DataPool, EpochState, Kept, Ledger, RecordCredit, Retention, STANDSTILL_MAX,
};
use openledger_settlement::verify::{verify_epoch, verify_receipt};
use openledger_settlement::voucher::{SignedVoucher, channel_id};
use openledger_settlement::worker::{EPOCHS_WAITING_MAX, SettlementWorker, WorkerError, WorkerOptions};
use openledger_settlement::x402::PaymentPayload;

use crate::common::{CHAIN_ID, Desk, account, config, draft, key, operator};
use crate::test_hub::{Fault, State, WINDOW_S};

fn fee() -> u128 {
    draft().fee().unwrap().0
}

fn worker(desk: &Desk) -> SettlementWorker {
    let hub: Arc<dyn HubClient> = desk.hub.clone();
    SettlementWorker::new(desk.ledger.clone(), hub, WorkerOptions::default())
}

async fn serve(desk: &Desk, salt: u8, requests: u128) {
    for number in 0..requests {
        let id = channel_id(&config(salt), CHAIN_ID);
        let charged = desk.ledger.channel(id).unwrap().map_or(0, |channel| channel.charged.0);
        desk.serve(&config(salt), charged, &format!("pay_{salt}_{charged}_{number:016}")).await;
    }
}

fn state(ledger: &Ledger, number: u64) -> EpochState {
    ledger.epoch(number).unwrap().unwrap().state
}

/// Lets time pass on the chain.
fn pass(desk: &Desk, seconds: u64) {
    desk.hub.with(|hub| hub.now += seconds);
}

#[tokio::test]
async fn an_epoch_is_sealed_posted_and_made_final() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path(), &[config(1), config(2)]);
    let worker = worker(&desk);
    serve(&desk, 1, 2).await;
    serve(&desk, 2, 1).await;
    worker.step().await.unwrap();
    assert_eq!(state(&desk.ledger, 1), EpochState::Open);
    pass(&desk, WorkerOptions::default().age_max_s + 10);
    worker.step().await.unwrap();
    assert_eq!(state(&desk.ledger, 1), EpochState::Posted);
    let post = desk.hub.with(|hub| hub.epochs[0].0.clone());
    assert_eq!((post.fees, post.receiptCount), (3 * fee(), 3));
    assert_eq!(post.fees, post.burned + post.stakers + post.totalBalance);
    worker.step().await.unwrap();
    assert_eq!(state(&desk.ledger, 1), EpochState::Posted);
    pass(&desk, WINDOW_S);
    worker.step().await.unwrap();
    assert_eq!(state(&desk.ledger, 1), EpochState::Final);
    assert_eq!(desk.hub.with(|hub| (hub.burned, hub.transactions)), (post.burned, 2));
    let status = worker.status().borrow().clone();
    assert_eq!((status.receipts_waiting, status.epochs_pending, status.last_final), (0, 0, 1));
}

#[tokio::test]
async fn what_is_posted_can_be_proved_and_recomputed() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path(), &[config(1)]);
    let worker = worker(&desk);
    serve(&desk, 1, 2).await;
    worker.seal().await.unwrap();
    worker.step().await.unwrap();
    serve(&desk, 1, 3).await;
    worker.seal().await.unwrap();
    worker.step().await.unwrap();
    let post = desk.hub.with(|hub| hub.epochs[1].0.clone());
    let root = SumLeaf { hash: post.balanceRoot, sum: post.totalBalance };
    let proof = desk.ledger.claim_proof(account(0xc1), 2).unwrap().unwrap();
    assert!(proof.verify(root, CHAIN_ID));
    let earned: u128 = desk.ledger.statement(account(0xc1)).unwrap().iter().map(|line| line.amount.0).sum();
    assert_eq!(earned, proof.cumulative.0);
    let data = desk.ledger.published_data(2).unwrap().unwrap();
    assert_eq!(keccak256(&data), post.daCommitment);
    let receipts = desk.ledger.epoch_receipts(2).unwrap();
    let context = desk.ledger.context_of(&receipts).unwrap();
    let previous = desk.ledger.balances_at(1).unwrap();
    assert!(verify_epoch(&data, &previous, &context, &post, CHAIN_ID).passed());
    assert!(!verify_epoch(&data, &Balances::new(), &context, &post, CHAIN_ID).passed());
    let hashes: Vec<_> = receipts.iter().map(openledger_settlement::receipt::SignedReceipt::hash).collect();
    assert_eq!(receipts_tree(&hashes).root(), post.receiptsRoot);
    let bundle = desk.ledger.bundle(hashes[1]).unwrap().unwrap();
    let report = verify_receipt(&bundle, CHAIN_ID, None, Some(&context));
    assert!(report.passed(), "{:?}", report.first_fault());
    assert_eq!(report.missing.len(), 1, "only the published terms are missing: {:?}", report.missing);
}

#[tokio::test]
async fn a_posting_whose_answer_was_lost_is_not_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path(), &[config(1)]);
    serve(&desk, 1, 1).await;
    worker(&desk).seal().await.unwrap();
    desk.hub.with(|hub| hub.fault = Some(Fault::AnswerLost));
    let stopped = worker(&desk).step().await.unwrap_err();
    assert!(matches!(stopped, WorkerError::Hub(_)), "{stopped}");
    assert_eq!(state(&desk.ledger, 1), EpochState::Closed);
    worker(&desk).step().await.unwrap();
    assert_eq!(state(&desk.ledger, 1), EpochState::Posted);
    assert_eq!(desk.hub.with(|hub| (hub.transactions, hub.epochs.len())), (1, 1));
}

#[tokio::test]
async fn a_restart_at_any_stage_goes_on_where_it_stood() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::open(dir.path(), &[config(1)]);
    serve(&desk, 1, 2).await;
    desk.ledger.seal_epoch().unwrap();
    for fault in [Some(Fault::NeverArrives), Some(Fault::AnswerLost), None, Some(Fault::NeverArrives), None, None] {
        desk.hub.with(|hub| {
            hub.fault = fault;
            hub.now += WINDOW_S;
        });
        let stopped = worker(&desk).step().await;
        assert!(stopped.is_ok() || fault.is_some(), "{stopped:?}");
        let hub = Arc::clone(&desk.hub);
        drop(desk);
        desk = Desk::open_with(dir.path(), hub);
    }
    assert_eq!(state(&desk.ledger, 1), EpochState::Final);
    assert_eq!(desk.hub.with(|hub| hub.transactions), 2);
}

#[tokio::test]
async fn an_epoch_that_the_chain_forgot_is_posted_again() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path(), &[config(1)]);
    serve(&desk, 1, 1).await;
    worker(&desk).seal().await.unwrap();
    worker(&desk).step().await.unwrap();
    desk.hub.with(|hub| {
        hub.epochs.clear();
        hub.total_balance = 0;
        hub.channels.values_mut().for_each(|channel| channel.total_claimed = Wei(0));
    });
    worker(&desk).step().await.unwrap();
    assert_eq!(state(&desk.ledger, 1), EpochState::Closed);
    worker(&desk).step().await.unwrap();
    assert_eq!(state(&desk.ledger, 1), EpochState::Posted);
}

#[tokio::test]
async fn an_epoch_whose_vouchers_were_claimed_ahead_is_posted_again_too() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path(), &[config(1)]);
    serve(&desk, 1, 1).await;
    worker(&desk).seal().await.unwrap();
    worker(&desk).step().await.unwrap();
    // The chain turned back over the posting, not over the claim.
    desk.hub.with(|hub| {
        hub.epochs.clear();
        (hub.total_balance, hub.unallocated) = (0, fee());
    });
    worker(&desk).step().await.unwrap();
    worker(&desk).step().await.unwrap();
    assert_eq!(state(&desk.ledger, 1), EpochState::Posted);
}

#[tokio::test]
async fn a_rejected_epoch_is_not_posted_again_unseen() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path(), &[config(1)]);
    serve(&desk, 1, 1).await;
    worker(&desk).seal().await.unwrap();
    worker(&desk).step().await.unwrap();
    // Whatever the chain says of its claims.
    desk.hub.with(|hub| {
        hub.epochs.clear();
        hub.rejected.insert(1);
        hub.channels.values_mut().for_each(|channel| channel.total_claimed = Wei(0));
    });
    let worker = worker(&desk);
    let stopped = worker.step().await.unwrap_err();
    assert!(matches!(stopped, WorkerError::Rejected { epoch: 1 }), "{stopped}");
    assert!(worker.status().borrow().error.as_ref().unwrap().contains("rejected epoch 1"));
}

#[tokio::test]
async fn another_settler_s_epoch_is_not_taken_for_ours() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path(), &[config(1)]);
    serve(&desk, 1, 1).await;
    worker(&desk).seal().await.unwrap();
    desk.hub.with(|hub| hub.fault = Some(Fault::AnswerLost));
    worker(&desk).step().await.unwrap_err();
    desk.hub.with(|hub| hub.epochs[0].1.balance_root = keccak256("other"));
    let stopped = worker(&desk).step().await.unwrap_err();
    assert!(matches!(stopped, WorkerError::OtherEpoch { epoch: 1 }), "{stopped}");
}

#[tokio::test]
async fn more_channels_than_fit_one_transaction_are_claimed_in_several() {
    let dir = tempfile::tempdir().unwrap();
    let channels = u8::try_from(CLAIMS_MAX + 3).unwrap();
    let configs: Vec<_> = (1..=channels).map(config).collect();
    let desk = Desk::open(dir.path(), &configs);
    for salt in 1..=channels {
        serve(&desk, salt, 1).await;
    }
    worker(&desk).seal().await.unwrap();
    worker(&desk).step().await.unwrap();
    assert_eq!(state(&desk.ledger, 1), EpochState::Posted);
    assert_eq!(desk.hub.with(|hub| hub.transactions), 2);
    assert!(desk.ledger.unclaimed_channels().unwrap().is_empty());
}

#[tokio::test]
async fn claims_are_exactly_what_the_epoch_charged() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path(), &[config(1)]);
    serve(&desk, 1, 2).await;
    worker(&desk).seal().await.unwrap();
    serve(&desk, 1, 5).await;
    worker(&desk).step().await.unwrap();
    let id = channel_id(&config(1), CHAIN_ID);
    assert_eq!(desk.hub.with(|hub| hub.channels[&id].total_claimed), Wei(2 * fee()));
    assert_eq!(desk.ledger.channel(id).unwrap().unwrap().unclaimed(), Wei(5 * fee()));
}

#[tokio::test]
async fn a_withdrawal_makes_the_worker_claim_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path(), &[config(1)]);
    serve(&desk, 1, 1).await;
    desk.hub.with(|hub| {
        let channel = hub.channels.get_mut(&channel_id(&config(1), CHAIN_ID)).unwrap();
        *channel = OnChainChannel { withdraw_requested_at: 1, withdraw_amount: channel.balance, ..*channel };
    });
    worker(&desk).step().await.unwrap();
    // The voucher is claimed at once; its epoch takes receipts as long as any other.
    let id = channel_id(&config(1), CHAIN_ID);
    assert_eq!(desk.hub.with(|hub| hub.channels[&id].total_claimed), Wei(fee()));
    assert_eq!(state(&desk.ledger, 1), EpochState::Open);
    pass(&desk, WorkerOptions::default().age_max_s + 10);
    worker(&desk).step().await.unwrap();
    assert_eq!((state(&desk.ledger, 1), desk.hub.with(|hub| hub.transactions)), (EpochState::Posted, 2));
}

#[tokio::test]
async fn a_standing_withdrawal_that_leaves_the_charges_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path(), &[config(1)]);
    let id = channel_id(&config(1), CHAIN_ID);
    desk.hub.with(|hub| {
        let channel = hub.channels.get_mut(&id).unwrap();
        *channel = OnChainChannel { withdraw_requested_at: 1, withdraw_amount: Wei(5), ..*channel };
    });
    serve(&desk, 1, 3).await;
    worker(&desk).step().await.unwrap();
    assert_eq!((state(&desk.ledger, 1), desk.hub.with(|hub| hub.transactions)), (EpochState::Open, 0));
}

#[tokio::test]
async fn more_epochs_than_the_hub_lets_be_pending_all_settle() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path(), &[config(1)]);
    let worker = worker(&desk);
    for _ in 0..PENDING_MAX + 6 {
        serve(&desk, 1, 1).await;
        worker.seal().await.unwrap();
        worker.step().await.unwrap();
    }
    assert_eq!((state(&desk.ledger, 64), state(&desk.ledger, 65)), (EpochState::Posted, EpochState::Closed));
    pass(&desk, WINDOW_S);
    worker.step().await.unwrap();
    pass(&desk, WINDOW_S);
    worker.step().await.unwrap();
    assert_eq!(worker.status().borrow().last_final, PENDING_MAX + 6);
    assert_eq!(worker.status().borrow().error, None);
}

#[tokio::test]
async fn while_many_epochs_wait_the_open_one_grows() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path(), &[config(1)]);
    let hub: Arc<dyn HubClient> = desk.hub.clone();
    let options = WorkerOptions { receipts_max: 1, ..WorkerOptions::default() };
    let worker = SettlementWorker::new(desk.ledger.clone(), hub, options);
    for _ in 0..PENDING_MAX + 6 {
        serve(&desk, 1, 1).await;
        worker.step().await.unwrap();
    }
    let open = desk.ledger.open_epoch().unwrap().unwrap();
    assert_eq!((open.number, open.receipts), (EPOCHS_WAITING_MAX + 1, PENDING_MAX + 6 - EPOCHS_WAITING_MAX));
    for _ in 0..3 {
        pass(&desk, WINDOW_S);
        worker.step().await.unwrap();
    }
    let status = worker.status().borrow().clone();
    assert_eq!((status.last_final, status.receipts_waiting), (open.number, 0));
}

/// A desk whose second channel was charged and then emptied, and whose other channels were charged too.
async fn desk_with_a_loss(dir: &std::path::Path) -> Desk {
    let desk = Desk::open(dir, &[config(1), other_s_config(), config(3)]);
    serve(&desk, 1, 1).await;
    serve_other(&desk).await;
    serve(&desk, 3, 2).await;
    desk
}

/// A channel of another payer than the others'.
fn other_s_config() -> ChannelConfig {
    ChannelConfig { payer: key(5).address(), ..config(2) }
}

fn other_s_payment(desk: &Desk, charged: u128) -> PaymentPayload {
    let ceiling = Wei(charged + desk.offer().amount.0);
    let voucher = SignedVoucher::sign(other(), ceiling, CHAIN_ID, &key(5)).unwrap();
    PaymentPayload::voucher(desk.offer(), &other_s_config(), &voucher, &format!("pay_other_{charged:016}"))
}

async fn serve_other(desk: &Desk) {
    let Admission::Reserved(reservation) = desk.admit(&other_s_payment(desk, 0), 1).await.unwrap() else {
        panic!("answered before")
    };
    desk.till.charge(reservation, draft(), |_| b"answer".to_vec()).await.unwrap();
}

fn other() -> ChannelId {
    channel_id(&other_s_config(), CHAIN_ID)
}

#[tokio::test]
async fn one_refused_voucher_delays_fees_and_stops_nothing() {
    type Spoil = fn(&mut State);
    let emptied: Spoil = |hub| {
        hub.channels.remove(&other());
    };
    let turned: Spoil = |hub| {
        hub.turned.insert(other_s_config().payer);
    };
    for (spoil, code) in [(emptied, "channel_not_found"), (turned, "payer_claim_refused")] {
        let dir = tempfile::tempdir().unwrap();
        let desk = desk_with_a_loss(dir.path()).await;
        desk.hub.with(spoil);
        let worker = worker(&desk);
        worker.seal().await.unwrap();
        let short = worker.step().await.unwrap_err();
        assert!(matches!(short, WorkerError::Short { epoch: 1, vouchers: 1, .. }), "{short}");
        // What the others owe is claimed, and the loss is said aloud.
        assert_eq!(desk.hub.with(|hub| hub.unallocated), 3 * fee());
        let error = worker.status().borrow().error.clone().unwrap();
        assert!(error.contains(&other().to_string()) && error.contains("served no more"), "{error}");
        // That payer buys nothing more; the others do, and what they pay makes up for it.
        let refused = desk.admit(&other_s_payment(&desk, fee()), 1).await.unwrap_err();
        assert!(refused.code().ends_with(code) || refused.code() == "payer_claim_refused", "{}", refused.code());
        for round in 0..3 {
            serve(&desk, 1, 2).await;
            pass(&desk, WINDOW_S + WorkerOptions::default().age_max_s);
            let _ = worker.step().await;
            assert!(matches!(state(&desk.ledger, round + 1), EpochState::Posted | EpochState::Final), "round {round}");
        }
        assert_eq!(desk.hub.with(|hub| hub.epochs[0].0.fees), 4 * fee());
        assert_eq!(desk.ledger.refused_claims().len(), 1);
        // Somebody puts in what was missing.
        desk.hub.with(|hub| {
            hub.turned.clear();
            hub.channels.entry(other()).or_default().balance = Wei(fee() + 1);
        });
        pass(&desk, WINDOW_S + WorkerOptions::default().age_max_s);
        worker.step().await.unwrap();
        pass(&desk, WINDOW_S + WorkerOptions::default().age_max_s);
        worker.step().await.unwrap();
        let status = worker.status().borrow().clone();
        assert_eq!((status.error, status.receipts_waiting), (None, 0));
        assert!(desk.admit(&other_s_payment(&desk, fee()), 1).await.is_err(), "the channel holds one wei");
        assert!(desk.ledger.refused_claims().is_empty());
    }
}

#[tokio::test]
async fn refused_vouchers_are_known_again_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let desk = desk_with_a_loss(dir.path()).await;
    desk.hub.with(|hub| hub.channels.remove(&other()));
    worker(&desk).seal().await.unwrap();
    worker(&desk).step().await.unwrap_err();
    serve(&desk, 1, 1).await;
    // What was charged since makes up for it, and is missing for the next epoch.
    worker(&desk).step().await.unwrap();
    let hub = Arc::clone(&desk.hub);
    drop(desk);
    let desk = Desk::open_with(dir.path(), hub);
    assert_eq!((state(&desk.ledger, 1), desk.ledger.refused_claims().len()), (EpochState::Posted, 0));
    worker(&desk).seal().await.unwrap();
    let short = worker(&desk).step().await.unwrap_err();
    assert!(matches!(short, WorkerError::Short { epoch: 2, .. }), "{short}");
    assert_eq!(desk.ledger.refused_claims()[0].channel, other());
}

#[tokio::test]
async fn nothing_is_sold_while_settlement_stands_still() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path(), &[config(1)]);
    serve(&desk, 1, 1).await;
    worker(&desk).seal().await.unwrap();
    desk.hub.with(|hub| hub.fault = Some(Fault::NeverArrives));
    worker(&desk).step().await.unwrap_err();
    serve(&desk, 1, 1).await;
    desk.ledger.note_settling(true, Instant::now());
    desk.ledger.note_settling(false, Instant::now() - STANDSTILL_MAX);
    let again = desk.admit(&desk.payment(&config(1), 2 * fee(), "pay_0000000000000009"), 1).await.unwrap_err();
    assert_eq!(again.code(), "settlement_standstill");
    // What was paid for is still answered.
    let answered = desk.admit(&desk.payment(&config(1), 0, "pay_1_0_0000000000000000"), 1).await.unwrap();
    assert!(matches!(answered, Admission::Answered(_)));
    worker(&desk).step().await.unwrap();
    serve(&desk, 1, 1).await;
}

#[tokio::test]
async fn the_worker_stops_when_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path(), &[config(1)]);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let worker = worker(&desk);
    let mut status = worker.status();
    serve(&desk, 1, 1).await;
    let running = tokio::spawn(worker.run(stopped));
    status.changed().await.unwrap();
    assert_eq!(status.borrow().receipts_waiting, 1);
    stop.send(true).unwrap();
    running.await.unwrap();
    assert_eq!(operator().address(), desk.till.operator());
}

async fn settled(desk: &Desk, worker: &SettlementWorker, first: u128, requests: u128) {
    for number in first..first + requests {
        desk.serve(&config(1), number * fee(), &format!("pay_{number:016}")).await;
    }
    desk.ledger.seal_epoch().unwrap();
    worker.step().await.unwrap();
    pass(desk, WINDOW_S);
    worker.step().await.unwrap();
}

async fn retried(desk: &Desk, number: u128) -> Result<Admission, String> {
    let payment = desk.payment(&config(1), number * fee(), &format!("pay_{number:016}"));
    desk.admit(&payment, 1).await.map_err(|error| error.code().to_owned())
}

fn keeping(desk: &Desk, retention: Retention) -> SettlementWorker {
    let hub: Arc<dyn HubClient> = desk.hub.clone();
    SettlementWorker::new(desk.ledger.clone(), hub, WorkerOptions { retention, ..WorkerOptions::default() })
}

#[tokio::test]
async fn old_answers_are_forgotten_and_never_charged_again() {
    let generous = Retention::default();
    let answer_bytes = 66;
    for retention in
        [Retention { answers_max: 2, ..generous }, Retention { bytes_max: 2 * answer_bytes + 1, ..generous }]
    {
        let dir = tempfile::tempdir().unwrap();
        let desk = Desk::open(dir.path(), &[config(1)]);
        let worker = keeping(&desk, retention);
        settled(&desk, &worker, 0, 3).await;
        assert_eq!(retried(&desk, 0).await.unwrap_err(), "payment_answer_expired");
        for kept in [1, 2] {
            assert!(matches!(retried(&desk, kept).await, Ok(Admission::Answered(_))), "{kept} {retention:?}");
        }
        assert_eq!((desk.ledger.answer_at(1).unwrap(), desk.ledger.answer_at(2).unwrap().is_some()), (None, true));
        let channel = desk.ledger.channel(channel_id(&config(1), CHAIN_ID)).unwrap().unwrap();
        assert_eq!(channel.charged, Wei(3 * fee()));
    }
}

fn credit(number: u8, amount: u128) -> RecordCredit {
    RecordCredit {
        pool: if number.is_multiple_of(2) { DataPool::Influence } else { DataPool::Provenance },
        record: RecordHash(B256::repeat_byte(number)),
        datanet: DatanetId(3),
        contributor: account(number),
        amount: Wei(amount),
    }
}

#[tokio::test]
async fn records_stay_listed_when_their_answer_is_forgotten_and_have_a_bound_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path(), &[config(1)]);
    let retention = Retention { answers_max: 0, credited_answers_max: 2, ..Retention::default() };
    let worker = keeping(&desk, retention);
    for number in 0..3 {
        let payment = desk.payment(&config(1), u128::from(number) * fee(), &format!("pay_{number:016}"));
        let Admission::Reserved(reservation) = desk.admit(&payment, 1).await.unwrap() else { panic!("answered") };
        let credits = vec![credit(number, 0), credit(number + 10, 7), credit(number + 20, 9)];
        let kept = Kept { answer: b"answer".to_vec(), credits };
        desk.till.charge(reservation, draft(), move |_| kept).await.unwrap();
    }
    // As kept before anything is forgotten: those that earned most first.
    let listed = |number: u8| vec![credit(number + 20, 9), credit(number + 10, 7), credit(number, 0)];
    assert_eq!(desk.ledger.record_credits(1).unwrap(), listed(0));
    settled(&desk, &worker, 3, 0).await;
    for (sequence, expected) in [(1, vec![]), (2, listed(1)), (3, listed(2))] {
        assert_eq!(desk.ledger.answer_at(sequence).unwrap(), None);
        assert_eq!(desk.ledger.record_credits(sequence).unwrap(), expected, "answer {sequence}");
    }
}

#[tokio::test]
async fn of_an_answer_so_many_records_are_kept_and_those_that_earned_most() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path(), &[config(1)]);
    let payment = desk.payment(&config(1), 0, "pay_0000000000000000");
    let Admission::Reserved(reservation) = desk.admit(&payment, 1).await.unwrap() else { panic!("answered") };
    let credits = (1..=2 * ANSWER_CREDITS_MAX as u8).map(|number| credit(number, number.into())).collect();
    desk.till.charge(reservation, draft(), move |_| Kept { answer: Vec::new(), credits }).await.unwrap();
    let kept = desk.ledger.record_credits(1).unwrap();
    assert_eq!(kept.len(), ANSWER_CREDITS_MAX);
    assert_eq!(kept.iter().map(|credit| credit.amount.0).min(), Some(ANSWER_CREDITS_MAX as u128 + 1));
}

#[tokio::test]
async fn an_answer_is_forgotten_by_age_once_its_receipt_is_final() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path(), &[config(1)]);
    let worker = keeping(&desk, Retention { age_max_s: 1000, answers_max: 0, ..Retention::default() });
    desk.serve(&config(1), 0, "pay_0000000000000000").await;
    pass(&desk, 5000);
    // Over every limit, and not final: a dispute may need it.
    worker.step().await.unwrap();
    assert!(matches!(retried(&desk, 0).await, Ok(Admission::Answered(_))));
    pass(&desk, WINDOW_S);
    worker.step().await.unwrap();
    assert_eq!(state(&desk.ledger, 1), EpochState::Final);
    assert_eq!(retried(&desk, 0).await.unwrap_err(), "payment_answer_expired");
    // By age alone.
    let patient = keeping(&desk, Retention { age_max_s: u64::MAX, ..Retention::default() });
    settled(&desk, &patient, 1, 1).await;
    assert!(matches!(retried(&desk, 1).await, Ok(Admission::Answered(_))));
    let report =
        desk.ledger.forget_answers(&Retention { age_max_s: 1, ..Retention::default() }, u64::MAX >> 1).unwrap();
    assert_eq!((report.forgotten, report.answers, report.bytes), (1, 0, 0));
    assert_eq!(retried(&desk, 1).await.unwrap_err(), "payment_answer_expired");
}
