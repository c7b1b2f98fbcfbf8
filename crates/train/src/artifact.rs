//! What a finished job leaves: a folder whose every part is named by hash in its manifest.
//!
//! ```text
//! manifest.json            canonical JSON; its hash goes on chain
//! adapter/                 PEFT: adapter_config.json, adapter_model.safetensors
//! checkpoints/<step>/      PEFT: the adapter at each checkpoint of the influence index (below the layers that take part
//!                          in it: the trained adapter)
//! influence.index          the influence index
//! suffix.index             the suffix index
//! samples.json             answers to held-out records, base and tuned (not in the manifest)
//! ```

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use openledger_attribution::{DecodeError, influence::InfluenceIndex, suffix::SuffixIndex};
use openledger_engine::{LoraAdapter, Model, format::peft};
use openledger_primitives::B256;

use crate::manifest::{CheckpointRef, Manifest, ManifestError};

pub(crate) const MANIFEST_FILE: &str = "manifest.json";
pub(crate) const ADAPTER_FOLDER: &str = "adapter";
pub(crate) const CHECKPOINTS_FOLDER: &str = "checkpoints";
pub(crate) const INFLUENCE_FILE: &str = "influence.index";
pub(crate) const SUFFIX_FILE: &str = "suffix.index";
pub(crate) const SAMPLES_FILE: &str = "samples.json";

/// A finished model, read and checked.
#[derive(Debug)]
pub struct Artifact {
    /// Its manifest.
    pub manifest: Manifest,
    /// Hash of the manifest.
    pub manifest_hash: B256,
    /// The folder.
    pub folder: PathBuf,
    /// The adapter.
    pub adapter: LoraAdapter,
    /// The adapter at each checkpoint of the influence index, in order; below the layers that take part in it the trained one.
    pub checkpoints: Vec<LoraAdapter>,
    /// The influence index.
    pub influence: InfluenceIndex,
    /// The suffix index.
    pub suffix: SuffixIndex,
}

/// Why an artifact was not read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArtifactError {
    /// The file system failed.
    #[error("could not {operation} {path}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The manifest is malformed.
    #[error("the manifest in {path} cannot be used")]
    Manifest {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: ManifestError,
    },
    /// An adapter cannot be read or written.
    #[error("the adapter in {path} cannot be used")]
    Adapter {
        /// The folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: openledger_engine::format::FormatError,
    },
    /// An index is malformed.
    #[error("the index in {path} cannot be used")]
    Index {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: DecodeError,
    },
    /// A part is not the one that the manifest names.
    #[error("{part} has hash {found}; the manifest names {expected}")]
    Hash {
        /// Which part.
        part: &'static str,
        /// Its hash.
        found: B256,
        /// The hash in the manifest.
        expected: B256,
    },
    /// Trained for another base model.
    #[error("the model was trained on base {expected}; this is {found}")]
    Base {
        /// The base model at hand.
        found: B256,
        /// The base model in the manifest.
        expected: B256,
    },
}

impl Artifact {
    /// Reads a folder and checks every part against the manifest.
    ///
    /// # Errors
    /// [`ArtifactError`] names the part that is missing, malformed or another one.
    pub fn load(folder: &Path, base: &Model) -> Result<Self, ArtifactError> {
        let manifest = Self::load_manifest(folder)?;
        if manifest.base_model != base.hash() {
            return Err(ArtifactError::Base { found: base.hash(), expected: manifest.base_model });
        }
        let adapter = read_adapter(&folder.join(ADAPTER_FOLDER), base)?;
        same("the adapter", adapter.hash(), manifest.weights_hash)?;
        let checkpoints = manifest.attribution.checkpoints.iter().map(|c| load_checkpoint(folder, c, base));
        let checkpoints = checkpoints.collect::<Result<_, _>>()?;
        let influence = load_index(folder, INFLUENCE_FILE, InfluenceIndex::from_bytes)?;
        same("the influence index", influence.root(), manifest.attribution.influence_root)?;
        let suffix = load_index(folder, SUFFIX_FILE, SuffixIndex::from_bytes)?;
        same("the suffix index", suffix.root(), manifest.attribution.suffix_root)?;
        let manifest_hash = manifest.hash();
        Ok(Self { manifest, manifest_hash, folder: folder.to_owned(), adapter, checkpoints, influence, suffix })
    }

    /// Reads a folder's manifest alone.
    ///
    /// # Errors
    /// [`ArtifactError`] when it is missing or malformed.
    pub fn load_manifest(folder: &Path) -> Result<Manifest, ArtifactError> {
        let path = folder.join(MANIFEST_FILE);
        let bytes = read(&path)?;
        Manifest::from_bytes(&bytes).map_err(|source| ArtifactError::Manifest { path, source })
    }

    /// The folder of the adapter in PEFT's format, to be registered for serving.
    pub fn adapter_folder(&self) -> PathBuf {
        self.folder.join(ADAPTER_FOLDER)
    }
}

fn load_checkpoint(folder: &Path, named: &CheckpointRef, base: &Model) -> Result<LoraAdapter, ArtifactError> {
    let adapter = read_adapter(&folder.join(CHECKPOINTS_FOLDER).join(named.step.to_string()), base)?;
    same("a checkpoint's adapter", adapter.hash(), named.weights_hash)?;
    Ok(adapter)
}

fn load_index<T>(
    folder: &Path,
    file: &str,
    parse: impl FnOnce(&[u8]) -> Result<T, DecodeError>,
) -> Result<T, ArtifactError> {
    let path = folder.join(file);
    parse(&read(&path)?).map_err(|source| ArtifactError::Index { path, source })
}

/// Reads an adapter that this crate wrote.
pub(crate) fn read_adapter(folder: &Path, base: &Model) -> Result<LoraAdapter, ArtifactError> {
    peft::read(folder, base.config()).map_err(|source| ArtifactError::Adapter { path: folder.to_owned(), source })
}

/// Writes an adapter in PEFT's format so that a crash leaves none or a whole one.
pub(crate) fn write_adapter(folder: &Path, adapter: &LoraAdapter, base: &Model) -> Result<(), ArtifactError> {
    let beside = folder.with_extension("partial");
    remove(&beside)?;
    fs::create_dir_all(&beside).map_err(io("create", &beside))?;
    peft::write(&beside, adapter, &base.hash().to_string())
        .map_err(|source| ArtifactError::Adapter { path: beside.clone(), source })?;
    replace(&beside, folder)
}

/// Flushes a folder's files to the disk and moves it to its place, where an older one gives way.
pub(crate) fn replace(beside: &Path, folder: &Path) -> Result<(), ArtifactError> {
    flush(beside)?;
    remove(folder)?;
    fs::rename(beside, folder).map_err(io("rename to", folder))?;
    folder.parent().map_or(Ok(()), flush)
}

pub(crate) fn remove(folder: &Path) -> Result<(), ArtifactError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io("remove", folder)(error)),
        _ => Ok(()),
    }
}

fn flush(folder: &Path) -> Result<(), ArtifactError> {
    for entry in fs::read_dir(folder).map_err(io("list", folder))? {
        let path = entry.map_err(io("list", folder))?.path();
        if path.is_file() {
            fs::File::open(&path).and_then(|f| f.sync_all()).map_err(io("flush", &path))?;
        }
    }
    fs::File::open(folder).and_then(|f| f.sync_all()).map_err(io("flush", folder))
}

fn read(path: &Path) -> Result<Vec<u8>, ArtifactError> {
    fs::read(path).map_err(io("read", path))
}

pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ArtifactError {
    let path = path.to_owned();
    move |source| ArtifactError::Io { operation, path, source }
}

fn same(part: &'static str, found: B256, expected: B256) -> Result<(), ArtifactError> {
    if found != expected {
        return Err(ArtifactError::Hash { part, found, expected });
    }
    Ok(())
}
