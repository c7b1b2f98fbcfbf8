//! The chain's database: one redb file, one atomic transaction a block.
//!
//! `docs/formats.md` (from `FORMATS.md` beside this crate) gives every table to the byte.

mod codec;
mod commit;
mod read;

use std::{
    fs,
    path::{Path, PathBuf},
};

use alloy_primitives::B256;
use parking_lot::RwLock;
use redb::{Database, ReadTransaction, ReadableDatabase, TableDefinition, WriteTransaction};

use crate::error::{OpenChainError, StoreError};

pub use codec::{decode_block, decode_receipts, encode_block, encode_receipts};
pub use commit::{CommitBlock, Committer, HashedState};
pub use read::{BlockBody, StateView};

/// Version of the database's layout; a newer one is refused.
pub const FORMAT_VERSION: u8 = 1;
/// File name of the database inside the data directory.
pub const DATABASE_FILE: &str = "chain.redb";

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const ACCOUNTS: TableDefinition<'_, &[u8; 20], &[u8]> = TableDefinition::new("accounts");
const STORAGE: TableDefinition<'_, &[u8; 52], &[u8]> = TableDefinition::new("storage");
const CODES: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("codes");
const ACCOUNT_TRIE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("account_trie");
const STORAGE_TRIE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("storage_trie");
const HEADERS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("headers");
const BODIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("bodies");
const RECEIPTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("receipts");
const BLOCK_NUMBERS: TableDefinition<'_, &[u8; 32], u64> = TableDefinition::new("block_numbers");
const TX_PLACES: TableDefinition<'_, &[u8; 32], &[u8; 12]> = TableDefinition::new("tx_places");
const ACCOUNT_HISTORY: TableDefinition<'_, &[u8; 28], &[u8]> = TableDefinition::new("account_history");
const STORAGE_HISTORY: TableDefinition<'_, &[u8; 60], &[u8]> = TableDefinition::new("storage_history");
const CHANGED_KEYS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("changed_keys");

const META_VERSION: &str = "format_version";
const META_GENESIS: &str = "genesis_hash";
const META_HEAD: &str = "head_number";
const META_OLDEST_STATE: &str = "oldest_state";

/// Free bytes on the disk below which a write that failed is not tried again: each failure makes the database open anew,
/// which reads all of it.
const ROOM_BYTES_MIN: u64 = 16 << 20;

/// The open database.
#[derive(Debug)]
pub struct Store {
    /// `None` while a database that failed to write is opened again.
    database: RwLock<Option<Database>>,
    dir: PathBuf,
    cache_bytes: usize,
}

impl Store {
    /// Opens the database in `dir`, making both if they are missing.
    ///
    /// # Errors
    /// See [`OpenChainError`]; a database of a newer format is refused untouched.
    pub fn open(dir: &Path, cache_bytes: usize) -> Result<Self, OpenChainError> {
        fs::create_dir_all(dir).map_err(|source| OpenChainError::DataDir { path: dir.into(), source })?;
        let database = Database::builder()
            .set_cache_size(cache_bytes)
            .create(dir.join(DATABASE_FILE))
            .map_err(|error| open_error(dir, error))?;
        let store = Self { database: RwLock::new(Some(database)), dir: dir.into(), cache_bytes };
        store.check_version()?;
        store.create_tables()?;
        Ok(store)
    }

    /// Opens the database again: once a write has failed, redb takes no further one before that. Views of before can read no
    /// more afterwards.
    ///
    /// # Errors
    /// [`StoreError`] if it does not open; nothing can be read then until it does.
    pub fn reopen(&self) -> Result<(), StoreError> {
        // Readers are told that it is closed and do not wait: opening reads everything when the last write failed.
        drop(self.database.write().take());
        let database = Database::builder().set_cache_size(self.cache_bytes).open(self.dir.join(DATABASE_FILE))?;
        *self.database.write() = Some(database);
        Ok(())
    }

    /// Whether the disk has room enough for another try after a write that failed.
    pub fn has_room(&self) -> bool {
        // Where the system does not say, only trying tells.
        rustix::fs::statvfs(&self.dir)
            .map_or(true, |disk| disk.f_bavail.saturating_mul(disk.f_frsize) >= ROOM_BYTES_MIN)
    }

    fn begin_read(&self) -> Result<ReadTransaction, StoreError> {
        Ok(self.database.read().as_ref().ok_or(StoreError::Closed)?.begin_read()?)
    }

    fn begin_write(&self) -> Result<WriteTransaction, StoreError> {
        Ok(self.database.read().as_ref().ok_or(StoreError::Closed)?.begin_write()?)
    }

    /// Makes every table, so that readers never meet a missing one.
    fn create_tables(&self) -> Result<(), StoreError> {
        if self.meta(META_VERSION)?.is_some() {
            return Ok(());
        }
        let transaction = self.begin_write()?;
        transaction.open_table(META)?.insert(META_VERSION, [FORMAT_VERSION].as_slice())?;
        transaction.open_table(ACCOUNTS)?;
        transaction.open_table(STORAGE)?;
        transaction.open_table(CODES)?;
        transaction.open_table(ACCOUNT_TRIE)?;
        transaction.open_table(STORAGE_TRIE)?;
        transaction.open_table(HEADERS)?;
        transaction.open_table(BODIES)?;
        transaction.open_table(RECEIPTS)?;
        transaction.open_table(BLOCK_NUMBERS)?;
        transaction.open_table(TX_PLACES)?;
        transaction.open_table(ACCOUNT_HISTORY)?;
        transaction.open_table(STORAGE_HISTORY)?;
        transaction.open_table(CHANGED_KEYS)?;
        transaction.commit()?;
        Ok(())
    }

    fn check_version(&self) -> Result<(), OpenChainError> {
        match self.meta(META_VERSION)?.as_deref() {
            None | Some([FORMAT_VERSION]) => Ok(()),
            Some([found, ..]) => {
                Err(OpenChainError::NewerFormat { path: self.dir.clone(), found: *found, known: FORMAT_VERSION })
            }
            Some([]) => Err(StoreError::Damaged { what: "format version" }.into()),
        }
    }

    /// Hash of the stored chain's genesis block; `None` in an empty database.
    ///
    /// # Errors
    /// [`StoreError`] if the database failed.
    pub fn genesis_hash(&self) -> Result<Option<B256>, StoreError> {
        let bytes = self.meta(META_GENESIS)?;
        bytes
            .map(|bytes| B256::try_from(bytes.as_slice()).map_err(|_| StoreError::Damaged { what: "genesis hash" }))
            .transpose()
    }

    /// State and blocks at the head.
    ///
    /// # Errors
    /// [`StoreError`] if the database failed.
    pub fn latest(&self) -> Result<StateView, StoreError> {
        StateView::latest(self.begin_read()?)
    }

    /// State at the end of block `number`, and blocks.
    ///
    /// # Errors
    /// [`StoreError::Pruned`] or [`StoreError::AheadOfHead`] if there is no such state.
    pub fn at(&self, number: u64) -> Result<StateView, StoreError> {
        StateView::at(self.begin_read()?, number)
    }

    fn meta(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let transaction = self.begin_read()?;
        let table = match transaction.open_table(META) {
            Ok(table) => table,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        Ok(table.get(key)?.map(|value| value.value().to_vec()))
    }
}

fn open_error(dir: &Path, error: redb::DatabaseError) -> OpenChainError {
    match error {
        redb::DatabaseError::DatabaseAlreadyOpen => OpenChainError::InUse { path: dir.into() },
        redb::DatabaseError::Storage(redb::StorageError::Io(source)) => {
            OpenChainError::DataDir { path: dir.into(), source }
        }
        other => OpenChainError::Store(other.into()),
    }
}
