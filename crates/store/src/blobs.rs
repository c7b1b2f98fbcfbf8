//! Byte strings on disk, named by their keccak256 hash.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use alloy_primitives::Keccak256;
use openledger_primitives::{B256, BlobHash, keccak256};

/// Largest blob by default: a large adapter or a small base model.
pub const BLOB_BYTES_MAX: u64 = 4 << 30;
const UNFINISHED_DIR: &str = "unfinished";
const COPY_BYTES: usize = 1 << 16;

/// Why a blob could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlobError {
    /// No space; nothing half-written remains.
    #[error("disk full while writing a blob of {bytes} bytes or more")]
    DiskFull {
        /// Bytes taken in before the disk was full.
        bytes: u64,
    },
    /// The blob is larger than allowed.
    #[error("blob exceeds the limit of {bytes_max} bytes")]
    TooLarge {
        /// The limit.
        bytes_max: u64,
    },
    /// What is on disk is not what its name says.
    #[error("blob {hash} is damaged on disk: its bytes hash to {found}")]
    Damaged {
        /// The blob asked for.
        hash: BlobHash,
        /// The hash of what is there.
        found: BlobHash,
    },
    /// A range reaches beyond the blob's end.
    #[error("blob {hash} ends before byte {end}")]
    OutOfRange {
        /// The blob asked for.
        hash: BlobHash,
        /// Where the range ends.
        end: u64,
    },
    /// The system refused.
    #[error("cannot access blobs at {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

/// A folder of blobs. Writing the same bytes twice is one blob.
#[derive(Clone, Debug)]
pub struct Blobs {
    inner: Arc<BlobsInner>,
}

#[derive(Debug)]
struct BlobsInner {
    dir: PathBuf,
    bytes_max: u64,
    unfinished_next: AtomicU64,
}

impl Blobs {
    /// Opens the folder and removes writes that a crash left unfinished.
    pub(crate) fn open(dir: &Path, bytes_max: u64) -> io::Result<Self> {
        let unfinished = dir.join(UNFINISHED_DIR);
        match fs::remove_dir_all(&unfinished) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => fs::create_dir_all(&unfinished)?,
        }
        let inner = BlobsInner { dir: dir.to_owned(), bytes_max, unfinished_next: AtomicU64::new(0) };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Writes `bytes`; they are on disk when it returns. A damaged blob of the same name is replaced.
    ///
    /// # Errors
    /// [`BlobError`]; nothing half-written remains.
    pub fn put(&self, bytes: &[u8]) -> Result<BlobHash, BlobError> {
        let hash = BlobHash(keccak256(bytes));
        if matches!(self.get(hash), Ok(Some(_))) {
            return Ok(hash);
        }
        let mut writer = self.writer()?;
        writer.append(bytes)?;
        writer.finish()
    }

    /// Copies everything from `source`; it is on disk when it returns.
    ///
    /// # Errors
    /// [`BlobError`]; nothing half-written remains.
    pub fn put_reader(&self, source: &mut dyn Read) -> Result<BlobHash, BlobError> {
        let mut writer = self.writer()?;
        let mut buffer = vec![0; COPY_BYTES];
        loop {
            let read = match source.read(&mut buffer) {
                Ok(0) => return writer.finish(),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed(&writer.path, 0, error)),
            };
            writer.append(&buffer[..read])?;
        }
    }

    /// Starts a blob whose bytes arrive in parts.
    ///
    /// # Errors
    /// [`BlobError`] when no file can be made.
    pub fn writer(&self) -> Result<BlobWriter, BlobError> {
        let number = self.inner.unfinished_next.fetch_add(1, Ordering::Relaxed);
        let path = self.inner.dir.join(UNFINISHED_DIR).join(number.to_string());
        let file =
            OpenOptions::new().write(true).create_new(true).open(&path).map_err(|source| failed(&path, 0, source))?;
        let open = Some(file);
        Ok(BlobWriter { blobs: self.clone(), path, file: open, hasher: Keccak256::new(), bytes: 0 })
    }

    /// The blob's bytes, verified, or `None` when there is no such blob.
    ///
    /// # Errors
    /// [`BlobError::Damaged`] when the bytes on disk are not those that were written; [`BlobError::Io`].
    pub fn get(&self, hash: BlobHash) -> Result<Option<Vec<u8>>, BlobError> {
        let path = self.path_of(hash);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(BlobError::Io { path, source }),
        };
        matches(hash, keccak256(&bytes))?;
        Ok(Some(bytes))
    }

    /// `len` bytes from `offset`, **not verified**: for callers that check what they read against a hash of their
    /// own. `None` when there is no such blob.
    ///
    /// # Errors
    /// [`BlobError::OutOfRange`] past the end; [`BlobError::Io`].
    pub fn get_range(&self, hash: BlobHash, offset: u64, len: usize) -> Result<Option<Vec<u8>>, BlobError> {
        let path = self.path_of(hash);
        let end = offset.saturating_add(len as u64);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(BlobError::Io { path, source }),
        };
        let io = |source| BlobError::Io { path: path.clone(), source };
        if end > file.metadata().map_err(io)?.len() {
            return Err(BlobError::OutOfRange { hash, end });
        }
        let mut bytes = vec![0; len];
        file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(&mut bytes)).map_err(io)?;
        Ok(Some(bytes))
    }

    /// Path of a blob whose bytes have just been verified, for readers that map files; `None` when there is none.
    ///
    /// # Errors
    /// As [`Blobs::get`].
    pub fn verified_path(&self, hash: BlobHash) -> Result<Option<PathBuf>, BlobError> {
        let path = self.path_of(hash);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(BlobError::Io { path, source }),
        };
        let found = hash_of(&mut file).map_err(|source| BlobError::Io { path: path.clone(), source })?;
        matches(hash, found)?;
        Ok(Some(path))
    }

    /// True when the blob is there (its bytes are verified when they are read).
    #[must_use]
    pub fn contains(&self, hash: BlobHash) -> bool {
        self.path_of(hash).is_file()
    }

    /// Removes a blob, so that its content can be forgotten. True when it was there.
    ///
    /// # Errors
    /// [`BlobError::Io`].
    pub fn remove(&self, hash: BlobHash) -> Result<bool, BlobError> {
        let path = self.path_of(hash);
        match fs::remove_file(&path).and_then(|()| sync_parent(&path)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(source) => Err(BlobError::Io { path, source }),
        }
    }

    /// `<dir>/<first byte>/<rest>`, so that no folder grows large.
    fn path_of(&self, hash: BlobHash) -> PathBuf {
        let name = alloy_primitives::hex::encode(hash.0);
        let (folder, file) = name.split_at(2);
        self.inner.dir.join(folder).join(file)
    }
}

fn hash_of(file: &mut File) -> io::Result<B256> {
    let mut hasher = Keccak256::new();
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finalize()),
            Ok(read) => hasher.update(&buffer[..read]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn matches(hash: BlobHash, found: B256) -> Result<(), BlobError> {
    if hash.0 == found { Ok(()) } else { Err(BlobError::Damaged { hash, found: BlobHash(found) }) }
}

/// A blob being written. Dropped unfinished, it leaves nothing.
#[derive(Debug)]
pub struct BlobWriter {
    blobs: Blobs,
    path: PathBuf,
    /// `None` once the blob stands under its name.
    file: Option<File>,
    hasher: Keccak256,
    bytes: u64,
}

impl BlobWriter {
    /// Adds bytes.
    ///
    /// # Errors
    /// [`BlobError::TooLarge`], [`BlobError::DiskFull`] or [`BlobError::Io`]; the blob cannot be finished then.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        let bytes_max = self.blobs.inner.bytes_max;
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        if self.bytes > bytes_max {
            return Err(BlobError::TooLarge { bytes_max });
        }
        let mut file = self.file.as_ref().expect("open until finished");
        file.write_all(bytes).map_err(|source| failed(&self.path, self.bytes, source))?;
        self.hasher.update(bytes);
        Ok(())
    }

    /// Puts the blob under its name: file synced, renamed, folder synced.
    ///
    /// # Errors
    /// [`BlobError::DiskFull`] or [`BlobError::Io`]; nothing remains of it then.
    pub fn finish(mut self) -> Result<BlobHash, BlobError> {
        let hash = BlobHash(std::mem::take(&mut self.hasher).finalize());
        let target = self.blobs.path_of(hash);
        self.publish(&target).map_err(|source| failed(&target, self.bytes, source))?;
        self.file = None;
        Ok(hash)
    }

    fn publish(&self, target: &Path) -> io::Result<()> {
        self.file.as_ref().expect("open until finished").sync_all()?;
        if let Some(folder) = target.parent().filter(|folder| !folder.is_dir()) {
            fs::create_dir_all(folder)?;
            sync_parent(folder)?;
        }
        fs::rename(&self.path, target)?;
        sync_parent(target)
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // Best effort: what stays behind is removed at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Makes a rename or removal durable.
fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Full disks, quotas and file-size limits all mean that there is no room.
fn failed(path: &Path, bytes: u64, source: io::Error) -> BlobError {
    match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => BlobError::DiskFull { bytes },
        _ => BlobError::Io { path: path.to_owned(), source },
    }
}
