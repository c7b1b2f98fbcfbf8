//! Writing a block: state, trie nodes, reverse changes, block, receipts and indexes in one
//! transaction, so that a crash leaves either the whole block or nothing of it.

use std::collections::{BTreeMap, HashMap};

use alloy_consensus::{Header, Sealed};
use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, TrieAccount};
use nybbles::Nibbles;
use op_alloy_consensus::OpReceiptEnvelope;
use redb::{ReadableTable, Table, WriteTransaction};

use super::codec::{
    ChangedKeys, decode_account, encode_account, encode_block, encode_header, encode_place, encode_receipts,
    encode_word, history_key, storage_key,
};
use super::read::{BlockBody, TrieNodes};
use super::{
    ACCOUNT_HISTORY, ACCOUNT_TRIE, ACCOUNTS, BLOCK_NUMBERS, BODIES, CHANGED_KEYS, CODES, HEADERS, META, META_GENESIS,
    META_HEAD, META_OLDEST_STATE, RECEIPTS, STORAGE, STORAGE_HISTORY, STORAGE_TRIE, Store, TX_PLACES,
};
use crate::{
    error::StoreError,
    state::{AccountDiff, NodeChanges, StateDiff, Trie, absent_account},
};

/// Trie nodes kept in memory between blocks, all tries together.
const HOT_NODES_MAX: usize = 60_000;
/// Levels of each trie that survive when that limit is reached.
const HOT_DEPTH: usize = 4;
/// Storage tries kept in memory between blocks.
const HOT_TRIES_MAX: usize = 2_048;
/// Blocks whose reverse changes one commit may drop, so that lowering the limit stays cheap.
const PRUNE_BLOCKS_MAX: u64 = 16;

/// Keeps the hot part of the tries in memory, computes roots and commits blocks. There is one.
#[derive(Debug)]
pub struct Committer {
    accounts: Trie,
    storages: HashMap<Address, Trie>,
    history_blocks: u64,
}

/// The outcome of hashing a diff, to be committed with its block.
#[derive(Debug)]
pub struct HashedState {
    /// The new state root.
    pub root: B256,
    accounts: BTreeMap<Address, Option<TrieAccount>>,
    account_nodes: NodeChanges,
    storage_nodes: Vec<(Address, bool, NodeChanges)>,
}

impl HashedState {
    /// Storage root of `address` if this diff touches it.
    pub fn storage_root(&self, address: &Address) -> Option<B256> {
        let account = self.accounts.get(address)?;
        Some(account.map_or(EMPTY_ROOT_HASH, |account| account.storage_root))
    }
}

impl Committer {
    /// A committer over the state with `root`.
    pub fn new(root: B256, history_blocks: u64) -> Self {
        Self { accounts: Trie::at_root(root), storages: HashMap::new(), history_blocks }
    }

    /// Applies `diff` to the tries and returns the new root. After an error the committer must
    /// be made anew from the stored root.
    ///
    /// # Errors
    /// [`StoreError`] if a stored node is missing or damaged.
    pub fn hash_on(&mut self, store: &Store, diff: &StateDiff) -> Result<HashedState, StoreError> {
        let transaction = store.begin_read()?;
        let nodes = TrieNodes::accounts(&transaction)?;
        let flat = transaction.open_table(ACCOUNTS)?;
        let mut accounts = BTreeMap::new();
        let mut storage_nodes = Vec::new();
        for (address, change) in &diff.accounts {
            let stored = match flat.get(&address.0.0)? {
                Some(value) => decode_account(value.value())?,
                None => None,
            };
            let before = stored.unwrap_or_else(absent_account).storage_root;
            let wiped = change.storage_wiped || change.info.is_none();
            let start = if wiped { EMPTY_ROOT_HASH } else { before };
            let root = match change.storage.is_empty() || change.info.is_none() {
                true => start,
                false => {
                    let nodes = TrieNodes::storage(&transaction, address)?;
                    let (root, changes) = self.hash_storage(&nodes, address, start, wiped, change)?;
                    storage_nodes.push((*address, wiped && before != EMPTY_ROOT_HASH, changes));
                    root
                }
            };
            if wiped && (change.storage.is_empty() || change.info.is_none()) {
                self.storages.remove(address);
                storage_nodes.push((*address, before != EMPTY_ROOT_HASH, NodeChanges::new()));
            }
            let path = Nibbles::unpack(keccak256(address));
            let account = change.info.map(|info| info.with_root(root));
            match &account {
                Some(account) => self.accounts.insert(&nodes, path, encode_account(account))?,
                None => self.accounts.remove(&nodes, path)?,
            }
            accounts.insert(*address, account);
        }
        let (root, account_nodes) = self.accounts.commit();
        Ok(HashedState { root, accounts, account_nodes, storage_nodes })
    }

    fn hash_storage(
        &mut self,
        nodes: &TrieNodes,
        address: &Address,
        start: B256,
        wiped: bool,
        change: &AccountDiff,
    ) -> Result<(B256, NodeChanges), StoreError> {
        let trie = self.storages.entry(*address).or_insert_with(|| Trie::at_root(start));
        if wiped {
            *trie = Trie::at_root(start);
        }
        for (slot, value) in &change.storage {
            let path = Nibbles::unpack(keccak256(slot.to_be_bytes::<32>()));
            match *value {
                U256::ZERO => trie.remove(nodes, path)?,
                value => trie.insert(nodes, path, alloy_rlp::encode(value))?,
            }
        }
        Ok(trie.commit())
    }

    /// Drops cold nodes if too many are in memory. Call it between blocks.
    pub fn trim(&mut self) {
        let loaded: usize = self.storages.values().map(Trie::loaded).sum();
        if loaded + self.accounts.loaded() > HOT_NODES_MAX {
            self.accounts.prune(HOT_DEPTH);
            self.storages.values_mut().for_each(|trie| trie.prune(HOT_DEPTH));
        }
        if self.storages.len() > HOT_TRIES_MAX {
            self.storages.clear();
        }
    }

    /// Writes the block durably. When it returns, the block survives a crash; before, nothing of it does.
    ///
    /// # Errors
    /// [`StoreError`] if the database failed. Then the block is on disk whole or not at all; [`Store::reopen`] shows which.
    pub fn commit_on(&self, store: &Store, block: &CommitBlock<'_>) -> Result<(), StoreError> {
        let mut transaction = store.begin_write()?;
        transaction.set_quick_repair(false);
        let number = block.header.number;
        let keys = write_state(&transaction, number, block.diff, &block.hashed)?;
        write_nodes(&transaction, &block.hashed)?;
        write_block(&transaction, block)?;
        transaction.open_table(CHANGED_KEYS)?.insert(number, keys.encode().as_slice())?;
        write_meta(&transaction, block)?;
        self.prune_history(&transaction, number)?;
        transaction.commit()?;
        Ok(())
    }

    fn prune_history(&self, transaction: &WriteTransaction, number: u64) -> Result<(), StoreError> {
        let mut meta = transaction.open_table(META)?;
        let oldest = match meta.get(META_OLDEST_STATE)? {
            Some(value) => value.value().try_into().map(u64::from_be_bytes).unwrap_or(0),
            None => 0,
        };
        let target = number.saturating_sub(self.history_blocks).min(oldest + PRUNE_BLOCKS_MAX);
        let target = target.max(oldest);
        meta.insert(META_OLDEST_STATE, target.to_be_bytes().as_slice())?;
        if target == oldest {
            return Ok(());
        }
        let mut changed = transaction.open_table(CHANGED_KEYS)?;
        let mut accounts = transaction.open_table(ACCOUNT_HISTORY)?;
        let mut storage = transaction.open_table(STORAGE_HISTORY)?;
        // State at the end of block `target` needs the changes of later blocks only.
        for block in oldest..=target {
            let Some(value) = changed.remove(block)? else { continue };
            let keys = ChangedKeys::decode(value.value())?;
            for key in &keys.accounts {
                accounts.remove(&history_key::<20, 28>(key, block))?;
            }
            for key in &keys.slots {
                storage.remove(&history_key::<52, 60>(key, block))?;
            }
        }
        Ok(())
    }
}

/// A sealed block with everything that is stored of it.
#[derive(Debug)]
pub struct CommitBlock<'a> {
    /// Its header.
    pub header: &'a Sealed<Header>,
    /// Its transactions.
    pub body: &'a BlockBody,
    /// Their receipts.
    pub receipts: &'a [OpReceiptEnvelope],
    /// What it changed.
    pub diff: &'a StateDiff,
    /// The hashed outcome of `diff`.
    pub hashed: HashedState,
}

fn write_state(
    transaction: &WriteTransaction,
    number: u64,
    diff: &StateDiff,
    hashed: &HashedState,
) -> Result<ChangedKeys, StoreError> {
    let mut keys = ChangedKeys::default();
    let mut accounts = transaction.open_table(ACCOUNTS)?;
    let mut history = transaction.open_table(ACCOUNT_HISTORY)?;
    for (address, account) in &hashed.accounts {
        let key = &address.0.0;
        let before = match account {
            Some(account) => accounts.insert(key, encode_account(account).as_slice())?,
            None => accounts.remove(key)?,
        };
        let before = before.map(|value| value.value().to_vec()).unwrap_or_default();
        history.insert(&history_key::<20, 28>(key, number), before.as_slice())?;
        keys.accounts.push(*key);
    }
    let mut storage = transaction.open_table(STORAGE)?;
    let mut history = transaction.open_table(STORAGE_HISTORY)?;
    for (address, change) in &diff.accounts {
        let mut writes: BTreeMap<[u8; 52], U256> = BTreeMap::new();
        if change.storage_wiped || change.info.is_none() {
            writes.extend(stored_slots(&storage, address)?.into_iter().map(|key| (key, U256::ZERO)));
        }
        if change.info.is_some() {
            writes.extend(change.storage.iter().map(|(slot, value)| (storage_key(address, slot), *value)));
        }
        for (key, value) in writes {
            let before = match value {
                U256::ZERO => storage.remove(&key)?,
                value => storage.insert(&key, encode_word(value).as_slice())?,
            };
            let before = before.map(|value| value.value().to_vec()).unwrap_or_default();
            history.insert(&history_key::<52, 60>(&key, number), before.as_slice())?;
            keys.slots.push(key);
        }
    }
    let mut codes = transaction.open_table(CODES)?;
    for (hash, code) in &diff.codes {
        codes.insert(&hash.0, code.as_ref())?;
    }
    Ok(keys)
}

fn stored_slots(
    storage: &Table<'_, &'static [u8; 52], &'static [u8]>,
    address: &Address,
) -> Result<Vec<[u8; 52]>, StoreError> {
    let from = storage_key(address, &U256::ZERO);
    let to = storage_key(address, &U256::MAX);
    let range = storage.range::<&[u8; 52]>(&from..=&to)?;
    range.map(|entry| Ok(*entry?.0.value())).collect()
}

fn write_nodes(transaction: &WriteTransaction, hashed: &HashedState) -> Result<(), StoreError> {
    let mut table = transaction.open_table(ACCOUNT_TRIE)?;
    put_nodes(&mut table, &[], &hashed.account_nodes)?;
    let mut table = transaction.open_table(STORAGE_TRIE)?;
    for (address, wiped, changes) in &hashed.storage_nodes {
        if *wiped {
            remove_nodes(&mut table, address)?;
        }
        put_nodes(&mut table, address.as_slice(), changes)?;
    }
    Ok(())
}

fn put_nodes(
    table: &mut Table<'_, &'static [u8], &'static [u8]>,
    prefix: &[u8],
    changes: &NodeChanges,
) -> Result<(), StoreError> {
    let mut key = prefix.to_vec();
    for (path, node) in changes {
        key.truncate(prefix.len());
        key.extend(path.iter());
        match node {
            Some(node) => table.insert(key.as_slice(), node.as_slice())?,
            None => table.remove(key.as_slice())?,
        };
    }
    Ok(())
}

fn remove_nodes(table: &mut Table<'_, &'static [u8], &'static [u8]>, address: &Address) -> Result<(), StoreError> {
    let mut end = address.to_vec();
    end.push(0x10); // above every nibble
    table.retain_in(address.as_slice()..end.as_slice(), |_, _| false)?;
    Ok(())
}

fn write_block(transaction: &WriteTransaction, block: &CommitBlock<'_>) -> Result<(), StoreError> {
    let number = block.header.number;
    transaction.open_table(HEADERS)?.insert(number, encode_header(block.header).as_slice())?;
    transaction.open_table(BODIES)?.insert(number, encode_block(block.body).as_slice())?;
    transaction.open_table(RECEIPTS)?.insert(number, encode_receipts(block.receipts).as_slice())?;
    transaction.open_table(BLOCK_NUMBERS)?.insert(&block.header.hash().0, number)?;
    let mut places = transaction.open_table(TX_PLACES)?;
    for (index, tx) in (0u32..).zip(&block.body.transactions) {
        places.insert(&tx.tx_hash().0, &encode_place(number, index))?;
    }
    Ok(())
}

fn write_meta(transaction: &WriteTransaction, block: &CommitBlock<'_>) -> Result<(), StoreError> {
    let mut meta = transaction.open_table(META)?;
    let number = block.header.number;
    if number == 0 || meta.get(META_GENESIS)?.is_none() {
        meta.insert(META_GENESIS, block.header.hash().as_slice())?;
        meta.insert(META_OLDEST_STATE, number.to_be_bytes().as_slice())?;
    }
    meta.insert(META_HEAD, number.to_be_bytes().as_slice())?;
    Ok(())
}
