//! The journal that keeps acknowledged transactions across a crash.
//!
//! A transaction is acknowledged after its record is on disk. Records of one moment share one
//! `fdatasync`, so the cost of durability is paid once a batch, not once a transaction.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
};

use alloy_primitives::{Bytes, keccak256};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::Pool;
use crate::{
    config::TX_BYTES_MAX,
    error::{OpenChainError, SubmitError},
};

/// File name of the journal inside the data directory.
pub const JOURNAL_FILE: &str = "pool.journal";
/// Version of the journal's layout.
pub const JOURNAL_VERSION: u8 = 1;
const MAGIC: &[u8; 4] = b"OLPJ";
/// Records that may wait for the disk; beyond it the pool answers that it is full.
const WAITING_MAX: usize = 8_192;
/// Records that share one sync.
const BATCH_MAX: usize = 2_048;
/// Bytes appended before the journal is rewritten with only what the pool still holds.
const COMPACT_BYTES: u64 = 64 << 20;

/// One record: length (u32), the first 4 bytes of keccak256 of the transaction, the transaction.
pub fn encode_journal_record(tx: &[u8]) -> Vec<u8> {
    let length = u32::try_from(tx.len()).expect("transactions have at most 128 KiB");
    let mut record = length.to_be_bytes().to_vec();
    record.extend(&keccak256(tx)[..4]);
    record.extend(tx);
    record
}

fn header() -> [u8; 5] {
    let [a, b, c, d] = *MAGIC;
    [a, b, c, d, JOURNAL_VERSION]
}

struct Waiting {
    tx: Bytes,
    done: oneshot::Sender<Result<(), SubmitError>>,
}

/// Handle to the thread that writes the journal.
#[derive(Debug)]
pub(crate) struct Journal {
    queue: Option<SyncSender<Waiting>>,
    writer: Option<JoinHandle<()>>,
}

impl Journal {
    /// Transactions of the journal in `dir`, oldest first. A torn last record, which was never
    /// acknowledged, ends the list.
    pub(crate) fn read(dir: &Path) -> Result<Vec<Bytes>, OpenChainError> {
        let path = dir.join(JOURNAL_FILE);
        let failed = |source| OpenChainError::Journal { path: path.clone(), source };
        let mut file = match File::open(&path) {
            Ok(file) => BufReader::new(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(failed(source)),
        };
        let Some(head) = read_whole::<5>(&mut file).map_err(failed)? else { return Ok(Vec::new()) };
        if head[4] > JOURNAL_VERSION {
            return Err(OpenChainError::NewerFormat { path, found: head[4], known: JOURNAL_VERSION });
        }
        if head != header() {
            return Err(failed(io::Error::new(io::ErrorKind::InvalidData, "not a pool journal")));
        }
        let mut txs = Vec::new();
        while let Some(tx) = read_record(&mut file).map_err(failed)? {
            txs.push(tx);
        }
        Ok(txs)
    }

    /// Rewrites the journal with what `pool` holds and starts to append to it.
    pub(crate) fn start(dir: &Path, pool: Arc<Mutex<Pool>>) -> Result<Self, OpenChainError> {
        let writer = Writer::new(dir.join(JOURNAL_FILE), pool);
        let writer = writer.map_err(|source| OpenChainError::Journal { path: dir.join(JOURNAL_FILE), source })?;
        let (queue, waiting) = sync_channel(WAITING_MAX);
        let writer = thread::Builder::new()
            .name("pool-journal".into())
            .spawn(move || writer.run(&waiting))
            .map_err(|source| OpenChainError::Journal { path: dir.into(), source })?;
        Ok(Self { queue: Some(queue), writer: Some(writer) })
    }

    /// Queues a record; the receiver hears when it is on disk.
    pub(crate) fn append(&self, tx: Bytes) -> Result<oneshot::Receiver<Result<(), SubmitError>>, SubmitError> {
        let (done, written) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or(SubmitError::Closed)?;
        queue.try_send(Waiting { tx, done }).map_err(|error| match error {
            TrySendError::Full(_) => SubmitError::PoolFull,
            TrySendError::Disconnected(_) => SubmitError::Closed,
        })?;
        Ok(written)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(writer) = self.writer.take() {
            writer.join().ok();
        }
    }
}

/// The next `N` bytes; `None` if the file ends before.
fn read_whole<const N: usize>(file: &mut impl Read) -> io::Result<Option<[u8; N]>> {
    let mut bytes = [0; N];
    match file.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// The next record; `None` if there is no whole one.
fn read_record(file: &mut impl Read) -> io::Result<Option<Bytes>> {
    let Some(length) = read_whole::<4>(file)? else { return Ok(None) };
    let Some(check) = read_whole::<4>(file)? else { return Ok(None) };
    let length = u32::from_be_bytes(length) as usize;
    if length > TX_BYTES_MAX {
        return Ok(None);
    }
    let mut tx = Vec::with_capacity(length);
    file.take(length as u64).read_to_end(&mut tx)?;
    let whole = tx.len() == length && keccak256(&tx)[..4] == check;
    Ok(whole.then(|| tx.into()))
}

/// A new journal beside the old one, whole and on disk, and all that is needed to put it in its place: once it has the old
/// one's name, what is appended must go to this file.
struct Fresh {
    path: PathBuf,
    file: File,
    dir: File,
}

impl Fresh {
    fn write(path: &Path, live: &[Bytes]) -> io::Result<Self> {
        let fresh = path.with_extension("journal.new");
        let mut bytes = BufWriter::new(File::create(&fresh)?);
        bytes.write_all(&header())?;
        for tx in live {
            bytes.write_all(&encode_journal_record(tx))?;
        }
        bytes.into_inner()?.sync_all()?;
        let file = OpenOptions::new().append(true).open(&fresh)?;
        let dir = File::open(path.parent().unwrap_or(Path::new(".")))?;
        Ok(Self { path: fresh, file, dir })
    }
}

struct Writer {
    path: PathBuf,
    file: File,
    appended: u64,
    /// Whether what is appended could be lost with the present file, so that a new one must be written first.
    broken: bool,
    pool: Arc<Mutex<Pool>>,
}

impl Writer {
    /// Starts with a journal of what `pool` holds.
    fn new(path: PathBuf, pool: Arc<Mutex<Pool>>) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        let mut writer = Self { path, file, appended: 0, broken: true, pool };
        writer.rewrite()?;
        Ok(writer)
    }

    fn run(mut self, waiting: &Receiver<Waiting>) {
        while let Ok(first) = waiting.recv() {
            let mut batch = vec![first];
            batch.extend(waiting.try_iter().take(BATCH_MAX - 1));
            let outcome = self.write(&batch).map_err(|error| SubmitError::Journal(error.to_string()));
            for entry in batch {
                entry.done.send(outcome.clone()).ok();
            }
            if self.appended > COMPACT_BYTES {
                self.compact();
            }
        }
    }

    fn write(&mut self, batch: &[Waiting]) -> io::Result<()> {
        if self.broken {
            self.rewrite()?;
        }
        let mut bytes = Vec::new();
        batch.iter().for_each(|entry| bytes.extend(encode_journal_record(&entry.tx)));
        let before = self.file.metadata()?.len();
        let written = self.file.write_all(&bytes).and_then(|()| self.file.sync_data());
        if written.is_err() {
            // A half-written record must not hide those that follow it.
            self.broken = self.file.set_len(before).is_err();
        }
        self.appended += bytes.len() as u64;
        written
    }

    fn compact(&mut self) {
        if let Err(error) = self.rewrite() {
            tracing::warn!(%error, "could not compact the pool journal");
        }
        self.appended = 0;
    }

    /// Replaces the journal by one of what the pool holds now. The old one goes on being used if that fails early; if it
    /// fails later, nothing is acknowledged until it has succeeded.
    fn rewrite(&mut self) -> io::Result<()> {
        let live = self.pool.lock().encoded();
        let fresh = Fresh::write(&self.path, &live)?;
        self.broken = true;
        fs::rename(&fresh.path, &self.path)?;
        self.file = fresh.file;
        fresh.dir.sync_all()?;
        self.broken = false;
        Ok(())
    }
}
