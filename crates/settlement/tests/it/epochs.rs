use std::collections::BTreeMap;

use openledger_primitives::sum_tree::SumLeaf;
use openledger_primitives::{Wei, merkle};
use openledger_settlement::epoch::{
    BalanceTree, Balances, EpochContext, EpochError, close, epoch_data, payouts, prove_receipt, read_epoch_data,
    receipts_tree,
};
use openledger_settlement::receipt::{ReceiptDraft, SignedReceipt};
use openledger_settlement::split::Weighted;

use crate::common::{CHAIN_ID, account, draft, operator, signed};

fn context() -> EpochContext {
    let records = |number, weight| Weighted { account: account(number), weight };
    EpochContext {
        reserves: BTreeMap::from([(draft().snapshot_roots[0], vec![records(0xc1, 3), records(0xd1, 5)])]),
        parents: BTreeMap::from([(draft().model, vec![records(0xe1, 1), records(0xe2, 1)])]),
    }
}

fn with_parents(mut draft: ReceiptDraft) -> ReceiptDraft {
    draft.bps.parents = 300;
    draft
}

fn three_receipts(epoch: u64) -> Vec<SignedReceipt> {
    let to_reserve = ReceiptDraft { influence: vec![], provenance: vec![], ..draft() };
    vec![signed(epoch, 1, draft()), signed(epoch, 2, to_reserve), signed(epoch, 3, with_parents(draft()))]
}

fn root(closed: &openledger_settlement::epoch::ClosedEpoch) -> SumLeaf {
    SumLeaf { hash: closed.post.balanceRoot, sum: closed.post.totalBalance }
}

#[test]
fn fees_equal_what_is_burned_staked_and_credited() {
    let first = close(1, &three_receipts(1), &Balances::new(), &context(), CHAIN_ID).unwrap();
    let second = close(2, &three_receipts(2), &first.balances, &context(), CHAIN_ID).unwrap();
    for (post, before) in [(&first.post, 0), (&second.post, first.post.totalBalance)] {
        assert_eq!(post.fees, post.burned + post.stakers + (post.totalBalance - before));
        assert_eq!(post.fees, 3 * three_receipts(1)[0].receipt.fee);
    }
}

#[test]
fn everyone_named_is_credited_and_nobody_else() {
    let closed = close(1, &three_receipts(1), &Balances::new(), &context(), CHAIN_ID).unwrap();
    let mut named = vec![operator().address(), account(0xb0)];
    named.extend([0xc1, 0xc2, 0xc3, 0xc4, 0xd1, 0xe1, 0xe2].map(account));
    named.sort();
    assert_eq!(closed.credits.keys().copied().collect::<Vec<_>>(), named);
}

#[test]
fn an_empty_share_list_pays_accepted_records_evenly() {
    let to_reserve = ReceiptDraft { influence: vec![], provenance: vec![], ..draft() };
    let receipt = to_reserve.complete(crate::common::place(1, 1, 0)).unwrap();
    let paid = payouts(&receipt, &context()).unwrap();
    let to = |number| paid.iter().find(|payout| payout.account == account(number)).unwrap().amount.0;
    let data = receipt.split.influence + receipt.split.provenance;
    assert_eq!(to(0xc1) + to(0xd1), data);
    assert!(to(0xc1).abs_diff(data * 3 / 8) <= 2);
}

#[test]
fn closing_is_deterministic_and_depends_on_every_receipt() {
    let again = || close(1, &three_receipts(1), &Balances::new(), &context(), CHAIN_ID).unwrap();
    assert_eq!(again(), again());
    let fewer = close(1, &three_receipts(1)[..2], &Balances::new(), &context(), CHAIN_ID).unwrap();
    assert_ne!(fewer.post.receiptsRoot, again().post.receiptsRoot);
    assert_ne!(fewer.post.balanceRoot, again().post.balanceRoot);
}

#[test]
fn every_account_can_prove_its_balance_and_no_other() {
    let closed = close(1, &three_receipts(1), &Balances::new(), &context(), CHAIN_ID).unwrap();
    let tree = BalanceTree::new(&closed.balances, CHAIN_ID).unwrap();
    for (account, amount) in &closed.balances {
        let proof = tree.prove(*account).unwrap();
        assert_eq!(proof.cumulative, *amount);
        assert!(proof.verify(root(&closed), CHAIN_ID));
        assert!(!proof.verify(root(&closed), CHAIN_ID + 1));
        let mut greedy = proof.clone();
        greedy.cumulative = Wei(amount.0 + 1);
        assert!(!greedy.verify(root(&closed), CHAIN_ID));
    }
    assert!(tree.prove(account(0x77)).is_none());
}

#[test]
fn every_receipt_can_prove_its_place() {
    let closed = close(1, &three_receipts(1), &Balances::new(), &context(), CHAIN_ID).unwrap();
    assert_eq!(receipts_tree(&closed.receipt_hashes).root(), closed.post.receiptsRoot);
    for hash in &closed.receipt_hashes {
        let proof = prove_receipt(&closed.receipt_hashes, *hash).unwrap();
        assert!(proof.verify(closed.post.receiptsRoot, merkle::leaf_hash(hash.0.as_slice())));
    }
}

#[test]
fn receipts_out_of_place_are_refused() {
    let mut reversed = three_receipts(1);
    reversed.reverse();
    for receipts in [reversed, three_receipts(2), vec![signed(1, 1, draft()), signed(1, 1, draft())]] {
        let refused = close(1, &receipts, &Balances::new(), &context(), CHAIN_ID).unwrap_err();
        assert!(matches!(refused, EpochError::Misplaced { .. }), "{refused}");
    }
    let empty = close(1, &[], &Balances::new(), &context(), CHAIN_ID).unwrap_err();
    assert!(matches!(empty, EpochError::Empty { epoch: 1 }));
}

#[test]
fn what_is_not_known_is_named() {
    let none = EpochContext::default();
    let to_reserve = ReceiptDraft { influence: vec![], ..draft() };
    let refused = close(1, &[signed(1, 1, to_reserve)], &Balances::new(), &none, CHAIN_ID).unwrap_err();
    assert!(matches!(refused, EpochError::UnknownSnapshot { sequence: 1, .. }), "{refused}");
    let refused = close(1, &[signed(1, 1, with_parents(draft()))], &Balances::new(), &none, CHAIN_ID).unwrap_err();
    assert!(matches!(refused, EpochError::UnknownParents { sequence: 1, .. }), "{refused}");
}

#[test]
fn a_split_that_is_not_that_of_the_fee_closes_nothing() {
    let mut forged = signed(1, 1, draft());
    forged.receipt.split.operatorShare += 1;
    let refused = close(1, &[forged], &Balances::new(), &context(), CHAIN_ID).unwrap_err();
    assert!(matches!(refused, EpochError::Unbalanced { .. }), "{refused}");
}

#[test]
fn epoch_data_has_the_bytes_of_the_golden_file() {
    let path = format!("{}/tests/golden/epoch_data.hex", env!("CARGO_MANIFEST_DIR"));
    let golden = std::fs::read_to_string(path).unwrap();
    assert_eq!(hex::encode(epoch_data(1, &three_receipts(1))), golden.trim());
}

#[test]
fn epoch_data_is_read_back_and_nothing_else_is() {
    let data = epoch_data(7, &three_receipts(7));
    assert_eq!(read_epoch_data(&data).unwrap(), (7, three_receipts(7)));
    let longer = [data.as_slice(), &[0]].concat();
    let mut newer = data.clone();
    newer[0] = 9;
    let mut crowded = data.clone();
    crowded[9..13].copy_from_slice(&u32::MAX.to_be_bytes());
    for other in [&data[..data.len() - 1], &longer, &newer, &crowded, &[]] {
        assert!(read_epoch_data(other).is_err());
    }
}
