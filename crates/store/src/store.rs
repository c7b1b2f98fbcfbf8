//! The data directory: one writer, several readers, one lock.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::blobs::{BLOB_BYTES_MAX, Blobs};
use crate::error::{OpenStoreError, StoreError};
use crate::schema::{self, Schema, database};
use crate::tx::{ReadTx, Tx};

/// Connections that read at the same time; further readers wait.
pub const READERS_MAX: usize = 8;
/// Marks our databases in the SQLite header ("OLDB").
const APPLICATION_ID: i32 = 0x4f4c_4442;
const DATABASE_FILE: &str = "openledger.db";
const LOCK_FILE: &str = "lock";
const BLOBS_DIR: &str = "blobs";
/// Statements that each connection keeps prepared.
const STATEMENTS_MAX: usize = 256;

/// Limits of a data directory.
#[derive(Clone, Copy, Debug)]
pub struct StoreOptions {
    /// Largest blob, in bytes.
    pub blob_bytes_max: u64,
    /// Size above which the database refuses to grow, in bytes; `None` leaves it to the disk.
    pub database_bytes_max: Option<u64>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { blob_bytes_max: BLOB_BYTES_MAX, database_bytes_max: None }
    }
}

/// An open data directory. Clones share it; the last one to go releases the lock.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    writer: Mutex<Connection>,
    readers: Readers,
    blobs: Blobs,
    /// Dropped last, after the connections: fields drop in the order written.
    _lock: Lock,
}

impl Store {
    /// Opens or makes the data directory `dir`, brings every schema up to date and clears what a crash left behind.
    ///
    /// # Errors
    /// [`OpenStoreError`]; on any of them the directory is as it was.
    pub fn open(dir: impl AsRef<Path>, schemas: &[Schema]) -> Result<Self, OpenStoreError> {
        Self::open_with(dir, schemas, StoreOptions::default())
    }

    /// As [`Store::open`], with limits other than the default ones.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_with(dir: impl AsRef<Path>, schemas: &[Schema], options: StoreOptions) -> Result<Self, OpenStoreError> {
        let dir = dir.as_ref().to_owned();
        fs::create_dir_all(&dir).map_err(|source| OpenStoreError::Io { path: dir.clone(), source })?;
        let lock = take_lock(&dir)?;
        let path = dir.join(DATABASE_FILE);
        let writer = open_writer(&path, &dir, schemas, options)?;
        let blobs = Blobs::open(&dir.join(BLOBS_DIR), options.blob_bytes_max)
            .map_err(|source| OpenStoreError::Io { path: dir.join(BLOBS_DIR), source })?;
        let inner = Inner { dir, writer: Mutex::new(writer), readers: Readers::new(path), blobs, _lock: lock };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The data directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    /// The blobs.
    #[must_use]
    pub fn blobs(&self) -> &Blobs {
        &self.inner.blobs
    }

    /// Runs `work` in a write transaction: committed and on disk when it returns `Ok`, without effect when it
    /// returns an error or panics. Writers take turns; call it from a thread that may block.
    ///
    /// # Errors
    /// What `work` returns, or [`StoreError`] when beginning or committing fails.
    pub fn with_tx<T, E: From<StoreError>>(&self, work: impl FnOnce(&Tx<'_>) -> Result<T, E>) -> Result<T, E> {
        let mut writer = locked(&self.inner.writer);
        let tx = Transaction::new(&mut writer, TransactionBehavior::Immediate).map_err(StoreError::from)?;
        let value = work(&Tx::new(&tx))?;
        tx.commit().map_err(StoreError::from)?;
        Ok(value)
    }

    /// Runs `work` on a consistent view that writers neither wait for nor change.
    ///
    /// # Errors
    /// What `work` returns, or [`StoreError`] when no view can be had.
    pub fn read<T, E: From<StoreError>>(&self, work: impl FnOnce(&ReadTx<'_>) -> Result<T, E>) -> Result<T, E> {
        let reader = self.inner.readers.take()?;
        let tx = reader.connection().unchecked_transaction().map_err(StoreError::from)?;
        work(&ReadTx::new(&tx))
    }

    /// Version of a schema's tables as they stand.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read.
    pub fn schema_version(&self, name: &str) -> Result<u32, StoreError> {
        let reader = self.inner.readers.take()?;
        Ok(schema::applied_version(reader.connection(), name)?)
    }
}

/// A panic inside a transaction rolls it back, so the connection is sound even when the lock is poisoned.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The lock of a data directory, given back when it goes.
///
/// It is given back by name: closing the file would not do while a process that is just being started still has a copy of
/// the handle.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::warn!(%error, "the data directory's lock ends with the process");
        }
    }
}

fn take_lock(dir: &Path) -> Result<Lock, OpenStoreError> {
    let path = dir.join(LOCK_FILE);
    let io = |source| OpenStoreError::Io { path: path.clone(), source };
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(OpenStoreError::Locked { path: dir.to_owned(), holder: holder(&mut file) });
        }
        Err(TryLockError::Error(source)) => return Err(io(source)),
    }
    file.set_len(0).and_then(|()| write!(file, "{}", std::process::id())).map_err(io)?;
    Ok(Lock(file))
}

fn holder(file: &mut File) -> Option<u32> {
    /// Digits of a process id.
    const ID_BYTES_MAX: u64 = 10;
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(ID_BYTES_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn open_writer(
    path: &Path,
    dir: &Path,
    schemas: &[Schema],
    options: StoreOptions,
) -> Result<Connection, OpenStoreError> {
    let mut connection = Connection::open(path).map_err(|source| database(path, source))?;
    configure_writer(&connection, options).map_err(|source| database(path, source))?;
    schema::migrate(&mut connection, dir, schemas)?;
    Ok(connection)
}

/// WAL with synchronous=FULL: a commit returns after its log frames are on disk.
fn configure_writer(connection: &Connection, options: StoreOptions) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    if let Some(bytes_max) = options.database_bytes_max {
        let page_bytes: u64 = connection.query_row("PRAGMA page_size", [], |row| row.get(0)).map(i64::unsigned_abs)?;
        let pages = i64::try_from(bytes_max / page_bytes).unwrap_or(i64::MAX);
        connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?;
    }
    Ok(())
}

/// Read connections, opened as they are first needed.
#[derive(Debug)]
struct Readers {
    path: PathBuf,
    idle: Mutex<Idle>,
    returned: Condvar,
}

#[derive(Debug, Default)]
struct Idle {
    connections: Vec<Connection>,
    opened: usize,
}

impl Readers {
    fn new(path: PathBuf) -> Self {
        Self { path, idle: Mutex::default(), returned: Condvar::new() }
    }

    fn take(&self) -> Result<Reader<'_>, StoreError> {
        let mut idle = locked(&self.idle);
        loop {
            if let Some(connection) = idle.connections.pop() {
                return Ok(Reader { readers: self, connection: Some(connection) });
            }
            if idle.opened < READERS_MAX {
                let connection = open_reader(&self.path)?;
                idle.opened += 1;
                return Ok(Reader { readers: self, connection: Some(connection) });
            }
            idle = self.returned.wait(idle).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

struct Reader<'a> {
    readers: &'a Readers,
    connection: Option<Connection>,
}

impl Reader<'_> {
    fn connection(&self) -> &Connection {
        self.connection.as_ref().expect("taken only when dropped")
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        locked(&self.readers.idle).connections.extend(self.connection.take());
        self.readers.returned.notify_one();
    }
}
