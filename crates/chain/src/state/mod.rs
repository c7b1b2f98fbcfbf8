//! Accounts, the changes a block makes to them, and the trie over both.

mod trie;

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_trie::{EMPTY_ROOT_HASH, KECCAK_EMPTY, TrieAccount};
use revm::database::BundleState;

pub use trie::{NodeChanges, NodeSource, Trie};

/// What a block changes in the state: the input of commit and of the state root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateDiff {
    /// Changed accounts.
    pub accounts: BTreeMap<Address, AccountDiff>,
    /// Newly deployed code by its hash.
    pub codes: BTreeMap<B256, Bytes>,
}

/// What changes in one account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountDiff {
    /// The account after the block; `None` removes it with its storage.
    pub info: Option<AccountInfo>,
    /// Whether all earlier storage goes first.
    pub storage_wiped: bool,
    /// Slots after the block; zero removes.
    pub storage: BTreeMap<U256, U256>,
}

/// Nonce, balance and code of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountInfo {
    /// Transactions sent (or contracts created).
    pub nonce: u64,
    /// Balance in wei.
    pub balance: U256,
    /// keccak256 of the code.
    pub code_hash: B256,
}

impl Default for AccountInfo {
    fn default() -> Self {
        Self { nonce: 0, balance: U256::ZERO, code_hash: KECCAK_EMPTY }
    }
}

impl AccountInfo {
    /// Empty in the sense of EIP-161: such accounts do not exist in the trie.
    pub fn is_empty(&self) -> bool {
        self.nonce == 0 && self.balance.is_zero() && self.code_hash == KECCAK_EMPTY
    }

    /// The trie's leaf with `storage_root`.
    pub fn with_root(self, storage_root: B256) -> TrieAccount {
        TrieAccount::new(self.nonce, self.balance, storage_root, self.code_hash)
    }
}

/// The leaf of an account that does not exist.
pub(crate) fn absent_account() -> TrieAccount {
    TrieAccount::new(0, U256::ZERO, EMPTY_ROOT_HASH, KECCAK_EMPTY)
}

impl StateDiff {
    /// Takes what changed out of an executed block's bundle.
    pub(crate) fn from_bundle(bundle: BundleState) -> Self {
        let mut diff = Self::default();
        for (address, account) in bundle.state {
            let wiped = account.was_destroyed();
            let storage: BTreeMap<U256, U256> = account
                .storage
                .iter()
                .filter(|(_, slot)| wiped || slot.is_changed())
                .map(|(key, slot)| (*key, slot.present_value))
                .collect();
            if !wiped && storage.is_empty() && !account.is_info_changed() {
                continue;
            }
            let info = account.info.map(|info| AccountInfo {
                nonce: info.nonce,
                balance: info.balance,
                code_hash: info.code_hash,
            });
            let info = info.filter(|info| !info.is_empty());
            diff.accounts.insert(address, AccountDiff { info, storage_wiped: wiped, storage });
        }
        for (hash, code) in bundle.contracts {
            diff.codes.insert(hash, code.original_bytes());
        }
        diff
    }
}

/// The state root of `diff` applied to nothing, computed in one pass with alloy-trie's hash
/// builder: the independent reference that the incremental root is tested against.
pub fn root_from_scratch(diff: &StateDiff) -> B256 {
    let accounts = diff.accounts.iter().filter_map(|(address, account)| {
        let slots = account.storage.iter().filter(|(_, value)| !value.is_zero());
        let root = alloy_trie::root::storage_root_unhashed(slots.map(|(slot, value)| (B256::from(*slot), *value)));
        account.info.map(|info| (*address, info.with_root(root)))
    });
    alloy_trie::root::state_root_unhashed(accounts)
}
