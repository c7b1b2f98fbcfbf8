use std::collections::BTreeMap;
use std::convert::Infallible;

use openledger_contracts::Receipt;
use openledger_primitives::{B256, Wei};
use openledger_settlement::epoch::{Balances, EpochContext, close, epoch_data, payouts, prove_receipt};
use openledger_settlement::receipt::{ReceiptDraft, SignedReceipt};
use openledger_settlement::split::{Usage, Weighted};
use openledger_settlement::verify::{
    Disclosure, Inclusion, PayoutJson, PostedEpoch, PublishedTerms, ReceiptBundle, ReplayEngine, Replayed, Stage,
    request_hash, response_hash, unknown_model, verify_disclosure, verify_epoch, verify_posted, verify_receipt,
    verify_replay,
};
use openledger_settlement::voucher::{SignedVoucher, channel_id};
use serde_json::{Value, json};

use crate::common::{CHAIN_ID, account, config, draft, key, operator, payer, place, share};

fn context() -> EpochContext {
    let reserve = vec![Weighted { account: account(0xc1), weight: 3 }];
    EpochContext { reserves: BTreeMap::from([(draft().snapshot_roots[0], reserve)]), ..EpochContext::default() }
}

fn terms() -> PublishedTerms {
    let ReceiptDraft { builder, base_model, weights_hash, index_root, snapshot_roots, price, bps, .. } = draft();
    PublishedTerms { builder, base_model, weights_hash, index_root, snapshot_roots, price, split: bps }
}

fn disclosure() -> Disclosure {
    let request = json!({"model": "m", "messages": [{"role": "user", "content": "which technique?"}]});
    Disclosure { request, answer: "Process Injection".into(), salt: B256::repeat_byte(0x5a) }
}

fn voucher() -> SignedVoucher {
    let ceiling = Wei(1000 + draft().fee().unwrap().0);
    SignedVoucher::sign(channel_id(&config(1), CHAIN_ID), ceiling, CHAIN_ID, &payer()).unwrap()
}

fn receipt() -> Receipt {
    let Disclosure { request, answer, salt } = disclosure();
    let draft = ReceiptDraft {
        request_hash: request_hash(&request, salt).unwrap(),
        response_hash: response_hash(&answer, salt),
        ..draft()
    };
    let mut place = place(1, 1, 1000);
    place.channel = channel_id(&config(1), CHAIN_ID);
    place.voucher_hash = voucher().digest(CHAIN_ID);
    draft.complete(place).unwrap()
}

/// A genuine bundle around a receipt, signed by the operator whatever it says.
fn bundle(receipt: Receipt) -> ReceiptBundle {
    let paid = payouts(&receipt, &context()).unwrap();
    let receipt = SignedReceipt::sign(receipt, CHAIN_ID, &operator()).unwrap();
    let hashes = [receipt.hash()];
    let proof = prove_receipt(&hashes, receipt.hash()).unwrap();
    let receipts_root = openledger_settlement::epoch::receipts_tree(&hashes).root();
    ReceiptBundle {
        receipt,
        channel: Some((&config(1)).into()),
        voucher: Some((&voucher()).into()),
        payouts: Some(paid.into_iter().map(Into::into).collect()),
        inclusion: Some(Inclusion { receipts_root, proof }),
    }
}

fn faults(bundle: &ReceiptBundle) -> Vec<String> {
    let report = verify_receipt(bundle, CHAIN_ID, Some(&terms()), Some(&context()));
    assert!(report.missing.is_empty(), "{:?}", report.missing);
    report.checks.into_iter().filter(|check| !check.passed).map(|check| check.name).collect()
}

/// Answers what the receipt was made of, as an honest replay does.
struct Honest;

impl ReplayEngine for Honest {
    type Error = Infallible;

    fn replay(&mut self, _: &Receipt, _: &Value) -> Result<Replayed, Infallible> {
        Ok(Replayed {
            answer: disclosure().answer,
            usage: Usage { tokens_in: draft().usage.tokens_in, tokens_out: draft().usage.tokens_out },
            cut_short: false,
            attribution_root: draft().attribution_root,
            influence: draft().influence,
            provenance: draft().provenance,
        })
    }
}

fn first_fault(receipt: Receipt) -> Option<(Stage, String)> {
    let mut report = verify_replay(&receipt, &disclosure(), &mut Honest).unwrap();
    report.extend(verify_receipt(&bundle(receipt), CHAIN_ID, Some(&terms()), Some(&context())));
    report.first_fault().map(|check| (check.stage, check.name.clone()))
}

/// Ends where the receipt's answer ends, which is not where the model would.
struct CutShort;

impl ReplayEngine for CutShort {
    type Error = Infallible;

    fn replay(&mut self, receipt: &Receipt, request: &Value) -> Result<Replayed, Infallible> {
        Ok(Replayed { cut_short: true, ..Honest.replay(receipt, request)? })
    }
}

#[test]
fn an_answer_that_ends_early_passes_and_the_report_says_what_that_does_not_show() {
    let report = verify_replay(&receipt(), &disclosure(), &mut CutShort).unwrap();
    assert!(report.passed());
    assert_eq!(report.missing.len(), 1);
    assert!(report.missing[0].starts_with("answer-end: the answer stops after "), "{:?}", report.missing);
}

#[test]
fn a_genuine_receipt_passes_every_check() {
    assert_eq!(faults(&bundle(receipt())), Vec::<String>::new());
    assert_eq!(first_fault(receipt()), None);
}

#[test]
fn a_bundle_survives_json() {
    let bundle = bundle(receipt());
    let json = serde_json::to_string(&bundle).unwrap();
    assert_eq!(serde_json::from_str::<ReceiptBundle>(&json).unwrap(), bundle);
}

#[test]
fn the_first_differing_stage_is_named() {
    let mut answer = receipt();
    answer.responseHash = B256::repeat_byte(9);
    assert_eq!(first_fault(answer), Some((Stage::Answer, "response-hash".into())));
    let mut score = receipt();
    score.attributionRoot = B256::repeat_byte(9);
    assert_eq!(first_fault(score), Some((Stage::Score, "scores".into())));
    let mut weight = receipt();
    weight.influence[0] = share(0xc1, 39_999);
    assert_eq!(first_fault(weight), Some((Stage::Weight, "influence-weights".into())));
    let mut split = receipt();
    split.split.operatorShare += 1;
    split.split.builder -= 1;
    assert_eq!(first_fault(split), Some((Stage::Split, "split".into())));
}

#[test]
fn overcounted_tokens_are_found_by_replay() {
    let mut overcounted = draft();
    overcounted.usage.tokens_out += 1;
    let Disclosure { request, answer, salt } = disclosure();
    overcounted.request_hash = request_hash(&request, salt).unwrap();
    overcounted.response_hash = response_hash(&answer, salt);
    let receipt = overcounted.complete(place(1, 1, 1000)).unwrap();
    let report = verify_replay(&receipt, &disclosure(), &mut Honest).unwrap();
    assert_eq!(report.first_fault().map(|check| check.name.as_str()), Some("tokens-out"));
}

#[test]
fn every_kind_of_tampering_is_named() {
    let with = |tamper: fn(&mut ReceiptBundle)| {
        let mut bundle = bundle(receipt());
        tamper(&mut bundle);
        faults(&bundle)
    };
    let forged = with(|bundle| bundle.receipt.receipt.seed = 1);
    assert_eq!(forged, ["operator-signature", "epoch-inclusion"]);
    let voucher = with(|bundle| {
        let forged = SignedVoucher::sign(voucher().channel, voucher().max_claimable, CHAIN_ID, &key(9)).unwrap();
        bundle.voucher = Some((&forged).into());
    });
    assert_eq!(voucher, ["voucher-signature"]);
    let payout = with(|bundle| bundle.payouts.as_mut().unwrap()[0].amount.0 += 1);
    assert_eq!(payout, ["payouts"]);
    let place = with(|bundle| bundle.inclusion.as_mut().unwrap().receipts_root = B256::ZERO);
    assert_eq!(place, ["epoch-inclusion"]);
}

#[test]
fn an_overcharging_operator_is_caught_though_it_signs() {
    let mut overcharged = receipt();
    overcharged.fee += 7;
    let found = faults(&bundle(overcharged));
    assert_eq!(found, ["fee", "cumulative", "split"]);
    let mut above_voucher = receipt();
    above_voucher.cumulativeAfter += 1;
    assert_eq!(faults(&bundle(above_voucher)), ["voucher-ceiling", "cumulative"]);
    let mut dearer = receipt();
    dearer.price.inputWei += 1;
    assert_eq!(faults(&bundle(dearer)), ["published-price", "fee"]);
}

/// An operator signs whatever it likes; what the model's builder published, the registry holds.
#[test]
fn other_terms_than_the_published_ones_are_named() {
    let other = B256::repeat_byte(0x77);
    type Change = fn(&mut Receipt, B256);
    let changes: [(&str, Change); 5] = [
        ("published-base", |receipt, other| receipt.baseModel = other),
        ("published-weights", |receipt, other| receipt.weightsHash = other),
        ("published-index", |receipt, other| receipt.indexRoot = other),
        ("published-snapshots", |receipt, other| receipt.snapshotRoots = vec![other]),
        ("published-snapshots", |receipt, other| receipt.snapshotRoots.push(other)),
    ];
    for (name, change) in changes {
        let mut changed = receipt();
        change(&mut changed, other);
        let reserve = vec![Weighted { account: account(0xc9), weight: 1 }];
        let context = EpochContext { reserves: BTreeMap::from([(other, reserve)]), ..context() };
        let mut bundle = bundle(receipt());
        bundle.payouts = Some(payouts(&changed, &context).unwrap().into_iter().map(Into::into).collect());
        bundle.receipt = SignedReceipt::sign(changed, CHAIN_ID, &operator()).unwrap();
        bundle.inclusion = None;
        let report = verify_receipt(&bundle, CHAIN_ID, Some(&terms()), Some(&context));
        let found: Vec<_> = report.checks.iter().filter(|check| !check.passed).map(|check| &check.name).collect();
        assert_eq!(found, [name]);
    }
    assert!(!unknown_model(&receipt()).passed);
}

#[test]
fn an_edited_question_or_answer_is_found_without_a_model() {
    let found = |disclosure: &Disclosure| {
        let report = verify_disclosure(&receipt(), disclosure);
        report.checks.into_iter().filter(|check| !check.passed).map(|check| check.name).collect::<Vec<_>>()
    };
    assert!(found(&disclosure()).is_empty());
    assert_eq!(found(&Disclosure { answer: "Nothing".into(), ..disclosure() }), ["response-hash"]);
    assert_eq!(found(&Disclosure { request: json!({"model": "n"}), ..disclosure() }), ["request-hash"]);
    assert_eq!(found(&Disclosure { salt: B256::ZERO, ..disclosure() }), ["request-hash", "response-hash"]);
}

#[test]
fn a_place_is_held_against_what_the_hub_has() {
    let bundle = bundle(receipt());
    let receipts_root = bundle.inclusion.as_ref().unwrap().receipts_root;
    let posted = PostedEpoch { receipts_root, receipt_count: 1, operator: operator().address() };
    let found = |posted: PostedEpoch| {
        let report = verify_posted(&bundle, &posted);
        report.checks.into_iter().filter(|check| !check.passed).map(|check| check.name).collect::<Vec<_>>()
    };
    assert!(found(posted).is_empty());
    assert_eq!(found(PostedEpoch { receipts_root: B256::ZERO, ..posted }), ["posted-root"]);
    assert_eq!(found(PostedEpoch { receipt_count: 2, ..posted }), ["posted-count"]);
    assert_eq!(found(PostedEpoch { operator: account(9), ..posted }), ["posted-operator"]);
    let open = ReceiptBundle { inclusion: None, ..bundle.clone() };
    assert!(verify_posted(&open, &posted).checks.is_empty());
}

#[test]
fn a_wrong_pay_of_a_parents_builder_is_named_and_not_guessed_without_the_registry() {
    let mut draft = draft();
    draft.bps.parents = 300;
    let (model, receipt) = (draft.model, draft.complete(place(1, 1, 1000)).unwrap());
    let builders = [0xe1, 0xe2].map(|byte| Weighted { account: account(byte), weight: 1 });
    let known = EpochContext { parents: BTreeMap::from([(model, builders.to_vec())]), ..context() };
    let paid: Vec<PayoutJson> = payouts(&receipt, &known).unwrap().into_iter().map(Into::into).collect();
    let receipt = SignedReceipt::sign(receipt, CHAIN_ID, &operator()).unwrap();
    let mut bundle = ReceiptBundle { receipt, channel: None, voucher: None, payouts: Some(paid), inclusion: None };
    let found = |bundle: &ReceiptBundle, context| {
        let report = verify_receipt(bundle, CHAIN_ID, None, Some(context));
        (report.checks.into_iter().find(|check| check.name == "payouts"), report.missing)
    };
    assert!(found(&bundle, &known).0.unwrap().passed);

    let pay = |bundle: &mut ReceiptBundle, byte: u8, more: i128| {
        let payouts = bundle.payouts.as_mut().unwrap();
        let payout = payouts.iter_mut().find(|payout| payout.account == account(byte)).unwrap();
        payout.amount = Wei(payout.amount.0.checked_add_signed(more).unwrap());
        payout.amount
    };
    let (less, more) = (pay(&mut bundle, 0xe1, -1), pay(&mut bundle, 0xe2, 1));
    let fault = found(&bundle, &known).0.unwrap();
    let due = format!("{}: {} wei as builder of a parent model", account(0xe1), less.0 + 1);
    assert_eq!((fault.passed, fault.stage, fault.expected), (false, Stage::Split, due));
    assert_eq!(fault.found, format!("{}: {less} wei", account(0xe1)), "the sum is right: {more}");

    let stranger = PayoutJson { account: account(0xfe), amount: Wei(1) };
    pay(&mut bundle, 0xe1, 1);
    pay(&mut bundle, 0xe2, -1);
    bundle.payouts.as_mut().unwrap().push(stranger);
    let fault = found(&bundle, &known).0.unwrap();
    assert_eq!(fault.expected, format!("{}: nothing", account(0xfe)));

    let (check, missing) = found(&bundle, &context());
    assert!(check.is_none() && missing.iter().any(|gap| gap.contains("the parents of model")), "{missing:?}");
}

#[test]
fn what_cannot_be_checked_is_said() {
    let bundle = ReceiptBundle { voucher: None, payouts: None, inclusion: None, ..bundle(receipt()) };
    let report = verify_receipt(&bundle, CHAIN_ID, None, None);
    assert!(report.passed());
    let subjects: Vec<_> = report.missing.iter().map(|gap| gap.split(':').next().unwrap()).collect();
    assert_eq!(subjects, ["voucher", "terms", "payouts", "inclusion"]);
}

#[test]
fn an_epoch_is_recomputed_from_its_data() {
    let receipts = [SignedReceipt::sign(receipt(), CHAIN_ID, &operator()).unwrap()];
    let data = epoch_data(1, &receipts);
    let closed = close(1, &receipts, &Balances::new(), &context(), CHAIN_ID).unwrap();
    assert!(verify_epoch(&data, &Balances::new(), &context(), &closed.post, CHAIN_ID).passed());
    let mut posted = closed.post.clone();
    posted.balanceRoot = B256::ZERO;
    let report = verify_epoch(&data, &Balances::new(), &context(), &posted, CHAIN_ID);
    assert_eq!(report.first_fault().map(|check| check.name.as_str()), Some("balance-root"));
}
