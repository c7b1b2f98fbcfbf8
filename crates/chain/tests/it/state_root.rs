//! The incremental state root equals a root built from scratch, whatever changes in between.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, U256};
use alloy_trie::EMPTY_ROOT_HASH;
use nybbles::Nibbles;
use openledger_chain::{
    StoreError,
    state::{AccountDiff, AccountInfo, NodeChanges, NodeSource, StateDiff, Trie, root_from_scratch},
};
use proptest::prelude::*;

/// Trie nodes in memory, as the database would hold them.
#[derive(Default)]
struct Nodes(BTreeMap<Nibbles, Vec<u8>>);

impl NodeSource for Nodes {
    fn node(&self, path: &Nibbles) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.get(path).cloned())
    }
}

impl Nodes {
    fn apply(&mut self, changes: NodeChanges) {
        for (path, node) in changes {
            match node {
                Some(node) => self.0.insert(path, node),
                None => self.0.remove(&path),
            };
        }
    }
}

/// One write to a trie: short keys, so that paths share prefixes and branches collapse.
fn writes() -> impl Strategy<Value = Vec<Vec<(u16, Option<u8>)>>> {
    let key = prop_oneof![0u16..32, any::<u16>()];
    let write = (key, proptest::option::weighted(0.6, any::<u8>()));
    prop::collection::vec(prop::collection::vec(write, 0..24), 1..8)
}

fn key(short: u16) -> B256 {
    let mut key = [0u8; 32];
    key[..2].copy_from_slice(&short.to_be_bytes());
    key[30..].copy_from_slice(&short.to_be_bytes());
    B256::from(key)
}

fn reference_root(leaves: &BTreeMap<B256, Vec<u8>>) -> B256 {
    let mut builder = alloy_trie::HashBuilder::default();
    for (key, value) in leaves {
        builder.add_leaf(Nibbles::unpack(key), value);
    }
    builder.root()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Batches of inserts, overwrites and removals, each batch committed, some after forgetting all
    /// nodes in memory; small values make nodes that live inside their parents.
    #[test]
    fn trie_root_equals_hash_builder(batches in writes(), forget in any::<u8>()) {
        let mut nodes = Nodes::default();
        let mut trie = Trie::at_root(EMPTY_ROOT_HASH);
        let mut leaves = BTreeMap::new();
        for (round, batch) in batches.into_iter().enumerate() {
            for (short, value) in batch {
                let path = Nibbles::unpack(key(short));
                match value {
                    Some(value) => {
                        let value = vec![value; 1 + usize::from(value) % 40];
                        leaves.insert(key(short), value.clone());
                        trie.insert(&nodes, path, value).unwrap();
                    }
                    None => {
                        leaves.remove(&key(short));
                        trie.remove(&nodes, path).unwrap();
                    }
                }
            }
            let (root, changes) = trie.commit();
            nodes.apply(changes);
            prop_assert_eq!(root, reference_root(&leaves));
            match forget >> (round % 8) & 3 {
                0 => trie = Trie::at_root(root),
                1 => trie.prune(2),
                _ => {}
            }
        }
        // Nothing is left behind: the stored nodes are those of a trie made at once.
        let mut fresh = Trie::at_root(EMPTY_ROOT_HASH);
        for (key, value) in leaves {
            fresh.insert(&Nodes::default(), Nibbles::unpack(key), value).unwrap();
        }
        let mut once = Nodes::default();
        once.apply(fresh.commit().1);
        prop_assert_eq!(nodes.0, once.0);
    }

    /// Accounts and storage through the database: changes, deletions and destroyed accounts.
    #[test]
    fn committed_root_equals_root_from_scratch(blocks in state_changes()) {
        crate::harness_store::check(blocks)?;
    }
}

/// (account, what happens, slot, value)
pub(crate) type Change = (u8, u8, u8, u8);

fn state_changes() -> impl Strategy<Value = Vec<Vec<Change>>> {
    let change = (0u8..12, 0u8..10, 0u8..6, any::<u8>());
    prop::collection::vec(prop::collection::vec(change, 0..16), 1..6)
}

/// The account map that the database must agree with.
#[derive(Default)]
pub(crate) struct Model(pub(crate) BTreeMap<Address, AccountDiff>);

impl Model {
    /// Applies a block's changes and returns them as a diff.
    pub(crate) fn apply(&mut self, changes: &[Change]) -> StateDiff {
        let mut diff = StateDiff::default();
        for (account, what, slot, value) in changes {
            let address = Address::repeat_byte(account + 1);
            let live = self.0.entry(address).or_default();
            let changed = diff
                .accounts
                .entry(address)
                .or_insert_with(|| AccountDiff { info: live.info, ..AccountDiff::default() });
            if *what == 0 {
                *live = AccountDiff::default();
                *changed = AccountDiff { storage_wiped: true, ..AccountDiff::default() };
                continue;
            }
            let info = live.info.get_or_insert_with(AccountInfo::default);
            info.nonce += 1;
            info.balance = U256::from(*value);
            if *what < 6 {
                let (slot, value) = (U256::from(*slot), U256::from(*value).saturating_sub(U256::from(80)));
                live.storage.insert(slot, value);
                changed.storage.insert(slot, value);
            }
            changed.info = live.info;
        }
        diff
    }

    pub(crate) fn root(&self) -> B256 {
        root_from_scratch(&StateDiff { accounts: self.0.clone(), codes: BTreeMap::new() })
    }
}
