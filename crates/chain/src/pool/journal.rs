//! The journal that keeps acknowledged transactions across a crash.
//!
//! A transaction is acknowledged after its record is on disk. Records of one moment share one
//! `fdatasync`, so the cost of durability is paid once a batch, not once a transaction.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
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
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(OpenChainError::Journal { path, source }),
        };
        let Some((head, mut rest)) = bytes.split_first_chunk::<5>() else { return Ok(Vec::new()) };
        if head[4] > JOURNAL_VERSION {
            return Err(OpenChainError::NewerFormat { path, found: head[4], known: JOURNAL_VERSION });
        }
        if *head != header() {
            let source = io::Error::new(io::ErrorKind::InvalidData, "not a pool journal");
            return Err(OpenChainError::Journal { path, source });
        }
        let mut txs = Vec::new();
        while let Some((tx, after)) = read_record(rest) {
            txs.push(Bytes::copy_from_slice(tx));
            rest = after;
        }
        Ok(txs)
    }

    /// Rewrites the journal with what `pool` holds and starts to append to it.
    pub(crate) fn start(dir: &Path, pool: Arc<Mutex<Pool>>) -> Result<Self, OpenChainError> {
        let path = dir.join(JOURNAL_FILE);
        let live = pool.lock().encoded();
        let file = rewrite(&path, &live).map_err(|source| OpenChainError::Journal { path: path.clone(), source })?;
        let (queue, waiting) = sync_channel(WAITING_MAX);
        let writer = Writer { path, file, appended: 0, pool };
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

fn read_record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (check, rest) = rest.split_first_chunk::<4>()?;
    let length = u32::from_be_bytes(*length) as usize;
    if length > TX_BYTES_MAX {
        return None;
    }
    let (tx, rest) = rest.split_at_checked(length)?;
    (keccak256(tx)[..4] == *check).then_some((tx, rest))
}

/// Writes a new journal beside the old one and puts it in its place in one step.
fn rewrite(path: &Path, live: &[Bytes]) -> io::Result<File> {
    let fresh = path.with_extension("journal.new");
    let mut bytes = header().to_vec();
    live.iter().for_each(|tx| bytes.extend(encode_journal_record(tx)));
    let mut file = File::create(&fresh)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    if let Some(dir) = path.parent() {
        File::open(dir)?.sync_all()?;
    }
    OpenOptions::new().append(true).open(path)
}

struct Writer {
    path: PathBuf,
    file: File,
    appended: u64,
    pool: Arc<Mutex<Pool>>,
}

impl Writer {
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
        let mut bytes = Vec::new();
        batch.iter().for_each(|entry| bytes.extend(encode_journal_record(&entry.tx)));
        let before = self.file.metadata()?.len();
        let written = self.file.write_all(&bytes).and_then(|()| self.file.sync_data());
        if written.is_err() {
            // A half-written record must not hide those that follow it.
            self.file.set_len(before)?;
        }
        self.appended += bytes.len() as u64;
        written
    }

    fn compact(&mut self) {
        let live = self.pool.lock().encoded();
        match rewrite(&self.path, &live) {
            Ok(file) => self.file = file,
            Err(error) => tracing::warn!(%error, "could not compact the pool journal"),
        }
        self.appended = 0;
    }
}
