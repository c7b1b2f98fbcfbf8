//! What the influence index has of a checkpoint so far, on disk: an interrupted index goes on behind its last whole chunk.
//!
//! Layout, little-endian: `openledger.skch` and a version byte; key (32 bytes: everything that decides the rows); then
//! chunk after chunk: its rows (f32), and keccak256 of the chunk before (the key for the first) and the rows. A chunk
//! that was cut short or damaged ends what counts, and is written again.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use alloy_primitives::Keccak256;
use openledger_primitives::B256;

use crate::checkpoint::CheckpointError;

/// First bytes of a file; the last one is its version.
const TAG: &[u8; 16] = b"openledger.skch\x01";
const HASH_BYTES: usize = 32;

/// The sketches of one checkpoint, appended chunk by chunk.
#[derive(Debug)]
pub struct SketchFile {
    file: File,
    path: PathBuf,
    last: B256,
}

impl SketchFile {
    /// Opens the file of `key`, reads its whole chunks into `rows`, chunk by chunk of at most `chunk` values, and cuts
    /// off what follows them. Gives how many values were read. A file of another key is begun anew.
    ///
    /// # Errors
    /// [`CheckpointError::Io`] if the file or its folder cannot be made, read or cut.
    ///
    /// # Panics
    /// If `chunk` is zero.
    pub fn open(path: &Path, key: B256, chunk: usize, rows: &mut [f32]) -> Result<(Self, usize), CheckpointError> {
        let failed = |operation: &'static str| io_error(operation, path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed("create the folder of"))?;
        }
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut opened = Self { file: file.map_err(failed("open"))?, path: path.to_owned(), last: key };
        let (values, end) = opened.read(key, chunk, rows).map_err(failed("read"))?;
        opened.file.set_len(end).map_err(failed("cut"))?;
        opened.file.seek(SeekFrom::End(0)).map_err(failed("seek in"))?;
        if end == 0 {
            opened.file.write_all(&[TAG.as_slice(), key.as_slice()].concat()).map_err(failed("write"))?;
        }
        Ok((opened, values))
    }

    /// Values read, and where the last whole chunk ends; 0 for a file of another key.
    fn read(&mut self, key: B256, chunk: usize, rows: &mut [f32]) -> io::Result<(usize, u64)> {
        let mut reader = BufReader::new(&self.file);
        let mut head = [0; TAG.len() + HASH_BYTES];
        if !read_whole(&mut reader, &mut head)? || head[..TAG.len()] != *TAG || head[TAG.len()..] != *key {
            return Ok((0, 0));
        }
        let (mut values, mut end) = (0, head.len() as u64);
        for rows in rows.chunks_mut(chunk) {
            let mut bytes = vec![0; 4 * rows.len() + HASH_BYTES];
            if !read_whole(&mut reader, &mut bytes)? {
                break;
            }
            let (body, hash) = bytes.split_at(4 * rows.len());
            let expected = chunk_hash(self.last, body);
            if *hash != *expected {
                break;
            }
            rows.iter_mut().zip(body.as_chunks::<4>().0).for_each(|(row, bytes)| *row = f32::from_le_bytes(*bytes));
            (values, end, self.last) = (values + rows.len(), end + bytes.len() as u64, expected);
        }
        Ok((values, end))
    }

    /// Adds a chunk.
    ///
    /// # Errors
    /// [`CheckpointError::Io`] if it cannot be written.
    pub fn append(&mut self, rows: &[f32]) -> Result<(), CheckpointError> {
        let mut bytes: Vec<u8> = rows.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.last = chunk_hash(self.last, &bytes);
        bytes.extend_from_slice(self.last.as_slice());
        self.file.write_all(&bytes).map_err(io_error("write", &self.path))
    }
}

/// Fills `bytes`; false where the file ends before.
fn read_whole(reader: &mut impl Read, bytes: &mut [u8]) -> io::Result<bool> {
    match reader.read_exact(bytes) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        outcome => outcome.map(|()| true),
    }
}

/// Chunks are chained, so that none can stand in another's place.
fn chunk_hash(before: B256, body: &[u8]) -> B256 {
    let mut hasher = Keccak256::new();
    hasher.update(before);
    hasher.update(body);
    hasher.finalize()
}

fn io_error(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CheckpointError {
    let path = path.to_owned();
    move |source| CheckpointError::Io { operation, path, source }
}
