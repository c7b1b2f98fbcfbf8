//! Reading: a consistent view of the state after one block, and of all blocks up to the head.

use std::fmt;

use alloy_consensus::{Header, Sealed};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, TrieAccount};
use nybbles::Nibbles;
use op_alloy_consensus::{OpReceiptEnvelope, OpTxEnvelope};
use redb::{ReadOnlyTable, ReadTransaction};
use revm::{
    database_interface::DatabaseRef,
    state::{AccountInfo as EvmAccount, Bytecode},
};

use super::codec::{
    ChangedKeys, decode_account, decode_block, decode_header, decode_place, decode_receipts, decode_word, history_key,
    storage_key,
};
use super::{
    ACCOUNT_HISTORY, ACCOUNT_TRIE, ACCOUNTS, BLOCK_NUMBERS, BODIES, CHANGED_KEYS, CODES, HEADERS, META, META_HEAD,
    META_OLDEST_STATE, RECEIPTS, STORAGE, STORAGE_HISTORY, STORAGE_TRIE, TX_PLACES,
};
use crate::{
    error::StoreError,
    state::{NodeSource, Trie},
};

/// Transactions of a block with who sent them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockBody {
    /// In block order; the first is the L1-info deposit.
    pub transactions: Vec<OpTxEnvelope>,
    /// The sender of each.
    pub senders: Vec<Address>,
}

/// A snapshot of the database: state after one block, and all blocks.
///
/// Later commits do not change it.
pub struct StateView {
    number: u64,
    head: u64,
    transaction: ReadTransaction,
    accounts: ReadOnlyTable<&'static [u8; 20], &'static [u8]>,
    storage: ReadOnlyTable<&'static [u8; 52], &'static [u8]>,
    codes: ReadOnlyTable<&'static [u8; 32], &'static [u8]>,
    headers: ReadOnlyTable<u64, &'static [u8]>,
    history: Option<History>,
}

struct History {
    accounts: ReadOnlyTable<&'static [u8; 28], &'static [u8]>,
    storage: ReadOnlyTable<&'static [u8; 60], &'static [u8]>,
}

impl fmt::Debug for StateView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateView").field("number", &self.number).field("head", &self.head).finish()
    }
}

fn meta_number(transaction: &ReadTransaction, key: &'static str) -> Result<u64, StoreError> {
    let table = transaction.open_table(META)?;
    let value = table.get(key)?.ok_or(StoreError::Missing { what: "meta", key: key.into() })?;
    let bytes = value.value().try_into().map_err(|_| StoreError::Damaged { what: "meta" })?;
    Ok(u64::from_be_bytes(bytes))
}

impl StateView {
    pub(super) fn latest(transaction: ReadTransaction) -> Result<Self, StoreError> {
        let head = meta_number(&transaction, META_HEAD)?;
        Self::open(transaction, head, head)
    }

    pub(super) fn at(transaction: ReadTransaction, number: u64) -> Result<Self, StoreError> {
        let head = meta_number(&transaction, META_HEAD)?;
        let oldest = meta_number(&transaction, META_OLDEST_STATE)?;
        if number > head {
            return Err(StoreError::AheadOfHead { block: number, head });
        }
        if number < oldest {
            return Err(StoreError::Pruned { block: number, oldest });
        }
        Self::open(transaction, number, head)
    }

    fn open(transaction: ReadTransaction, number: u64, head: u64) -> Result<Self, StoreError> {
        let history = (number < head).then(|| -> Result<_, StoreError> {
            Ok(History {
                accounts: transaction.open_table(ACCOUNT_HISTORY)?,
                storage: transaction.open_table(STORAGE_HISTORY)?,
            })
        });
        Ok(Self {
            number,
            head,
            accounts: transaction.open_table(ACCOUNTS)?,
            storage: transaction.open_table(STORAGE)?,
            codes: transaction.open_table(CODES)?,
            headers: transaction.open_table(HEADERS)?,
            history: history.transpose()?,
            transaction,
        })
    }

    /// The block after which this is the state.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The newest block of the snapshot.
    pub fn head(&self) -> u64 {
        self.head
    }

    /// The account, with its storage root.
    ///
    /// # Errors
    /// [`StoreError`] if the database failed.
    pub fn account(&self, address: &Address) -> Result<Option<TrieAccount>, StoreError> {
        let key: &[u8; 20] = address.as_ref();
        if let Some(history) = &self.history {
            let from = history_key::<20, 28>(key, self.number + 1);
            let to = history_key::<20, 28>(key, u64::MAX);
            if let Some(entry) = history.accounts.range::<&[u8; 28]>(&from..=&to)?.next() {
                return decode_account(entry?.1.value());
            }
        }
        let value = self.accounts.get(key)?;
        value.map_or(Ok(None), |value| decode_account(value.value()))
    }

    /// The storage slot; zero where nothing is stored.
    ///
    /// # Errors
    /// [`StoreError`] if the database failed.
    pub fn slot(&self, address: &Address, slot: &U256) -> Result<U256, StoreError> {
        let key = storage_key(address, slot);
        if let Some(history) = &self.history {
            let from = history_key::<52, 60>(&key, self.number + 1);
            let to = history_key::<52, 60>(&key, u64::MAX);
            if let Some(entry) = history.storage.range::<&[u8; 60]>(&from..=&to)?.next() {
                return decode_word(entry?.1.value());
            }
        }
        let value = self.storage.get(&key)?;
        value.map_or(Ok(U256::ZERO), |value| decode_word(value.value()))
    }

    /// Code by its hash.
    ///
    /// # Errors
    /// [`StoreError`] if the database failed.
    pub fn code(&self, hash: &B256) -> Result<Option<Bytes>, StoreError> {
        let value = self.codes.get(&hash.0)?;
        Ok(value.map(|value| Bytes::copy_from_slice(value.value())))
    }

    /// Header of block `number`, if it exists.
    ///
    /// # Errors
    /// [`StoreError`] if the database failed.
    pub fn header(&self, number: u64) -> Result<Option<Sealed<Header>>, StoreError> {
        let value = self.headers.get(number)?;
        value.map(|value| decode_header(value.value())).transpose()
    }

    /// Header of the block after which this is the state.
    ///
    /// # Errors
    /// [`StoreError`] if the database failed.
    pub fn own_header(&self) -> Result<Sealed<Header>, StoreError> {
        let number = self.number;
        self.header(number)?.ok_or(StoreError::Missing { what: "header", key: number.to_string() })
    }

    /// Transactions of block `number`.
    ///
    /// # Errors
    /// [`StoreError`] if the block does not exist or the database failed.
    pub fn body(&self, number: u64) -> Result<BlockBody, StoreError> {
        let table = self.transaction.open_table(BODIES)?;
        decode_block(row(&table, number, "block body")?.value())
    }

    /// Receipts of block `number`.
    ///
    /// # Errors
    /// [`StoreError`] if the block does not exist or the database failed.
    pub fn receipts(&self, number: u64) -> Result<Vec<OpReceiptEnvelope>, StoreError> {
        let table = self.transaction.open_table(RECEIPTS)?;
        decode_receipts(row(&table, number, "receipts")?.value())
    }

    /// Number of the block with `hash`.
    ///
    /// # Errors
    /// [`StoreError`] if the database failed.
    pub fn block_number(&self, hash: &B256) -> Result<Option<u64>, StoreError> {
        let table = self.transaction.open_table(BLOCK_NUMBERS)?;
        Ok(table.get(&hash.0)?.map(|value| value.value()))
    }

    /// Block and index of the transaction with `hash`.
    ///
    /// # Errors
    /// [`StoreError`] if the database failed.
    pub fn tx_place(&self, hash: &B256) -> Result<Option<(u64, usize)>, StoreError> {
        let table = self.transaction.open_table(TX_PLACES)?;
        let place = table.get(&hash.0)?.map(|value| decode_place(value.value()));
        Ok(place.map(|(block, index)| (block, index as usize)))
    }

    /// Root of the stored account trie at the head, read from its root node.
    ///
    /// # Errors
    /// [`StoreError`] if the database failed.
    pub fn stored_root(&self) -> Result<B256, StoreError> {
        let nodes = TrieNodes::accounts(&self.transaction)?;
        Ok(nodes.node(&Nibbles::new())?.map_or(EMPTY_ROOT_HASH, keccak256))
    }

    /// The account trie at this view's block: at the head as stored, before it by undoing what
    /// the blocks since then changed.
    pub(crate) fn account_trie(&self, root: B256) -> Result<(Trie, TrieNodes), StoreError> {
        let nodes = TrieNodes::accounts(&self.transaction)?;
        if self.number == self.head {
            return Ok((Trie::at_root(root), nodes));
        }
        let mut trie = Trie::at_root(self.stored_root()?);
        let table = self.transaction.open_table(CHANGED_KEYS)?;
        let mut changed = Vec::new();
        for entry in table.range(self.number + 1..=self.head)? {
            changed.extend(ChangedKeys::decode(entry?.1.value())?.accounts);
        }
        changed.sort_unstable();
        changed.dedup();
        for key in changed {
            let path = Nibbles::unpack(keccak256(key));
            match self.account(&Address::from(key))? {
                Some(account) => trie.insert(&nodes, path, alloy_rlp::encode(account))?,
                None => trie.remove(&nodes, path)?,
            }
        }
        trie.commit();
        Ok((trie, nodes))
    }

    /// The storage trie of `address` at this view's block; see [`StateView::account_trie`].
    pub(crate) fn storage_trie(&self, address: &Address, root: B256) -> Result<(Trie, TrieNodes), StoreError> {
        let nodes = TrieNodes::storage(&self.transaction, address)?;
        if self.number == self.head {
            return Ok((Trie::at_root(root), nodes));
        }
        let stored = nodes.node(&Nibbles::new())?.map_or(EMPTY_ROOT_HASH, keccak256);
        let mut trie = Trie::at_root(stored);
        let table = self.transaction.open_table(CHANGED_KEYS)?;
        let mut changed = Vec::new();
        for entry in table.range(self.number + 1..=self.head)? {
            let keys = ChangedKeys::decode(entry?.1.value())?.slots;
            changed.extend(keys.into_iter().filter(|key| key[..20] == address[..]));
        }
        changed.sort_unstable();
        changed.dedup();
        for key in changed {
            let slot = U256::from_be_slice(&key[20..]);
            let path = Nibbles::unpack(keccak256(&key[20..]));
            match self.slot(address, &slot)? {
                U256::ZERO => trie.remove(&nodes, path)?,
                value => trie.insert(&nodes, path, alloy_rlp::encode(value))?,
            }
        }
        trie.commit();
        Ok((trie, nodes))
    }
}

fn row<'a>(
    table: &'a ReadOnlyTable<u64, &'static [u8]>,
    number: u64,
    what: &'static str,
) -> Result<redb::AccessGuard<'a, &'static [u8]>, StoreError> {
    table.get(number)?.ok_or(StoreError::Missing { what, key: number.to_string() })
}

impl DatabaseRef for StateView {
    type Error = StoreError;

    fn basic_ref(&self, address: Address) -> Result<Option<EvmAccount>, StoreError> {
        let account = self.account(&address)?;
        Ok(account.map(|account| EvmAccount {
            nonce: account.nonce,
            balance: account.balance,
            code_hash: account.code_hash,
            ..EvmAccount::default().without_code()
        }))
    }

    fn code_by_hash_ref(&self, hash: B256) -> Result<Bytecode, StoreError> {
        let code = self.code(&hash)?;
        let code = code.ok_or_else(|| StoreError::Missing { what: "code", key: hash.to_string() })?;
        Ok(Bytecode::new_raw(code))
    }

    fn storage_ref(&self, address: Address, slot: U256) -> Result<U256, StoreError> {
        self.slot(&address, &slot)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, StoreError> {
        Ok(self.header(number)?.map_or(B256::ZERO, |header| header.hash()))
    }
}

/// Stored nodes of one trie.
pub(crate) struct TrieNodes {
    table: ReadOnlyTable<&'static [u8], &'static [u8]>,
    prefix: Vec<u8>,
}

impl TrieNodes {
    pub(crate) fn accounts(transaction: &ReadTransaction) -> Result<Self, StoreError> {
        Ok(Self { table: transaction.open_table(ACCOUNT_TRIE)?, prefix: Vec::new() })
    }

    pub(crate) fn storage(transaction: &ReadTransaction, address: &Address) -> Result<Self, StoreError> {
        Ok(Self { table: transaction.open_table(STORAGE_TRIE)?, prefix: address.to_vec() })
    }
}

impl NodeSource for TrieNodes {
    fn node(&self, path: &Nibbles) -> Result<Option<Vec<u8>>, StoreError> {
        let mut key = self.prefix.clone();
        key.extend(path.iter());
        Ok(self.table.get(key.as_slice())?.map(|value| value.value().to_vec()))
    }
}
