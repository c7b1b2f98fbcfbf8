//! Checkpoints on disk: the whole state of a run, written atomically, checked when read.
//!
//! Layout, little-endian: `openledger.ckpt` and a version byte; recipe hash (32 bytes); data hash (32); steps done (u64); number n of
//! parameters (u64); n parameters, n first moments and n second moments (f32); keccak256 of everything before.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use openledger_primitives::{B256, keccak256};

/// First bytes of a checkpoint; the last one is its version. Version 1 was of runs whose gradients went through frozen
/// weights in f32: they cannot go on to the same bits, so they are refused.
const TAG: &[u8; 16] = b"openledger.ckpt\x02";
/// Bytes before the parameters.
const HEADER_BYTES: usize = 16 + 32 + 32 + 8 + 8;
/// Most parameters of an adapter.
const PARAMETERS_MAX: u64 = 1 << 32;

/// The state of a run after some steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Hash of the recipe.
    pub recipe: B256,
    /// Hash of the encoded records.
    pub data: B256,
    /// Steps done.
    pub step: u64,
    /// The adapter's parameters, flat.
    pub parameters: Vec<f32>,
    /// First moments.
    pub first: Vec<f32>,
    /// Second moments.
    pub second: Vec<f32>,
}

/// Why a checkpoint was not read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The file system failed.
    #[error("could not {operation} {path}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The bytes are no checkpoint of this version.
    #[error("{what} is {found}; {expected} was expected")]
    Malformed {
        /// Which part.
        what: &'static str,
        /// What is there.
        found: String,
        /// What should be.
        expected: String,
    },
}

impl Checkpoint {
    /// The bytes of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES + 12 * self.parameters.len() + 32);
        out.extend_from_slice(TAG);
        out.extend_from_slice(self.recipe.as_slice());
        out.extend_from_slice(self.data.as_slice());
        out.extend_from_slice(&self.step.to_le_bytes());
        out.extend_from_slice(&(self.parameters.len() as u64).to_le_bytes());
        for values in [&self.parameters, &self.first, &self.second] {
            out.extend(values.iter().flat_map(|v| v.to_le_bytes()));
        }
        let hash = keccak256(&out);
        out.extend_from_slice(hash.as_slice());
        out
    }

    /// Reads the bytes of a file.
    ///
    /// # Errors
    /// [`CheckpointError::Malformed`] if they are not a whole checkpoint of this version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CheckpointError> {
        if bytes.len() < HEADER_BYTES + 32 {
            return Err(malformed("length", bytes.len(), format!("at least {}", HEADER_BYTES + 32)));
        }
        if &bytes[..16] != TAG {
            return Err(malformed("tag", hex(&bytes[..16]), hex(TAG)));
        }
        let count = word(bytes, 88);
        if count > PARAMETERS_MAX {
            return Err(malformed("parameters", count, format!("at most {PARAMETERS_MAX}")));
        }
        let body = HEADER_BYTES + 12 * count as usize;
        if bytes.len() != body + 32 {
            return Err(malformed("length", bytes.len(), body + 32));
        }
        let (hash, stored) = (keccak256(&bytes[..body]), B256::from_slice(&bytes[body..]));
        if hash != stored {
            return Err(malformed("checksum", stored, hash));
        }
        let values = |part: usize| floats(&bytes[HEADER_BYTES + 4 * part * count as usize..][..4 * count as usize]);
        Ok(Self {
            recipe: B256::from_slice(&bytes[16..48]),
            data: B256::from_slice(&bytes[48..80]),
            step: word(bytes, 80),
            parameters: values(0),
            first: values(1),
            second: values(2),
        })
    }

    /// Writes the file so that a crash leaves the old one or the new one.
    ///
    /// # Errors
    /// [`CheckpointError::Io`].
    pub fn write(&self, path: &Path) -> Result<(), CheckpointError> {
        write_atomic(path, &self.to_bytes())
    }

    /// Reads a file; none if there is none.
    ///
    /// # Errors
    /// [`CheckpointError`] if it cannot be read or is damaged.
    pub fn read(path: &Path) -> Result<Option<Self>, CheckpointError> {
        match fs::read(path) {
            Ok(bytes) => Self::from_bytes(&bytes).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(CheckpointError::Io { operation: "read", path: path.to_owned(), source }),
        }
    }
}

/// Writes a file beside its place, flushes it to the disk, moves it there and flushes the folder.
pub(crate) fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), CheckpointError> {
    let beside = path.with_extension("partial");
    let failed = |operation: &'static str, path: &Path| {
        let path = path.to_owned();
        move |source| CheckpointError::Io { operation, path, source }
    };
    let mut file = File::create(&beside).map_err(failed("create", &beside))?;
    file.write_all(bytes).map_err(failed("write", &beside))?;
    file.sync_all().map_err(failed("flush", &beside))?;
    fs::rename(&beside, path).map_err(failed("rename to", path))?;
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|f| f.sync_all()).map_err(failed("flush", folder))
}

fn malformed(what: &'static str, found: impl ToString, expected: impl ToString) -> CheckpointError {
    CheckpointError::Malformed { what, found: found.to_string(), expected: expected.to_string() }
}

fn hex(bytes: &[u8]) -> String {
    alloy_primitives::hex::encode(bytes)
}

fn word(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}
