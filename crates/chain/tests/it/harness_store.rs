//! Drives the database alone with made-up blocks.

use alloy_consensus::{Header, Sealable};
use alloy_trie::EMPTY_ROOT_HASH;
use openledger_chain::store::{BlockBody, CommitBlock, Committer, Store};
use proptest::test_runner::TestCaseError;

use crate::state_root::{Change, Model};

/// Commits `blocks` one by one; after each, the root, the flat state and the reopened database agree with
/// the model, and afterwards every earlier state can still be read.
pub(crate) fn check(blocks: Vec<Vec<Change>>) -> Result<(), TestCaseError> {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), 4 << 20).unwrap();
    let mut model = Model::default();
    let mut committer = Committer::new(EMPTY_ROOT_HASH, 1_000);
    let mut past = Vec::new();
    for (number, changes) in (0u64..).zip(&blocks) {
        let diff = model.apply(changes);
        let hashed = committer.hash_on(&store, &diff).unwrap();
        proptest::prop_assert_eq!(hashed.root, model.root());
        let root = hashed.root;
        let header = Header { number, state_root: root, ..Header::default() }.seal_slow();
        let body = BlockBody::default();
        let block = CommitBlock { header: &header, body: &body, receipts: &[], diff: &diff, hashed };
        committer.commit_on(&store, &block).unwrap();
        if number % 2 == 1 {
            drop(store);
            store = Store::open(dir.path(), 4 << 20).unwrap();
            committer = Committer::new(root, 1_000);
        }
        let view = store.latest().unwrap();
        proptest::prop_assert_eq!(view.stored_root().unwrap(), root);
        past.push(model.0.clone());
    }
    for (number, accounts) in (0u64..).zip(past) {
        let view = store.at(number).unwrap();
        for (address, account) in accounts {
            let stored = view.account(&address).unwrap();
            proptest::prop_assert_eq!(stored.map(|a| a.balance), account.info.map(|i| i.balance));
            for slot in (0..6u64).map(alloy_primitives::U256::from) {
                let expected = account.storage.get(&slot).copied().unwrap_or_default();
                proptest::prop_assert_eq!(view.slot(&address, &slot).unwrap(), expected);
            }
        }
    }
    Ok(())
}
