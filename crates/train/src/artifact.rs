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

use openledger_attribution::{
    DecodeError, RecordMeta, attest::index_root, influence::InfluenceIndex, suffix::SuffixIndex,
};
use openledger_engine::{LoraAdapter, Model, format::peft};
use openledger_primitives::{Address, B256, keccak256};

use crate::manifest::{AttributionRef, CheckpointRef, Manifest, ManifestError};

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
    /// An index was not built as the manifest says.
    #[error("{what} of the {index} index is not what the manifest names")]
    Differs {
        /// Which index.
        index: &'static str,
        /// What differs.
        what: &'static str,
    },
    /// The suffix table is not the one order of the text, so that spans can be missed or made up.
    #[error("the suffix index is out of order at rank {rank}")]
    Disorder {
        /// The first rank at which it is.
        rank: u64,
    },
    /// Another number of snapshots than the manifest names.
    #[error("{given} snapshots were given; the manifest names {expected}")]
    Snapshots {
        /// How many were given.
        given: usize,
        /// How many it names.
        expected: usize,
    },
    /// The indexes speak of a record otherwise than its snapshot does: somebody else would be paid.
    #[error("record {record} of the indexes is record {index} of snapshot {snapshot}: {fault}")]
    Record {
        /// Position in the indexes.
        record: usize,
        /// Position of the snapshot in the manifest.
        snapshot: u32,
        /// Index in the snapshot.
        index: u64,
        /// What is wrong.
        fault: RecordFault,
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

/// How the indexes differ from a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordFault {
    /// The snapshot, or the manifest, ends before it.
    #[error("there is no such record")]
    Missing,
    /// Another account would be paid.
    #[error("it was contributed by {expected}, not by {found}")]
    Contributor {
        /// As the index says.
        found: Address,
        /// As the snapshot says.
        expected: Address,
    },
    /// It would count with others than its copies.
    #[error("its cluster is {expected}, not {found}")]
    Cluster {
        /// As the index says.
        found: u64,
        /// As the snapshot says.
        expected: u64,
    },
    /// It stands twice, or not where training has it.
    #[error("it does not follow the record before it")]
    Order,
}

/// What a snapshot says of a record that decides who is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordOwner {
    /// Who contributed it.
    pub contributor: Address,
    /// Its cluster of near-duplicates.
    pub cluster: u64,
}

impl Artifact {
    /// Reads a folder and checks every part against the manifest. Whether the records are the snapshots' is
    /// [`Artifact::check_records`]'s to say.
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
        let attribution = &manifest.attribution;
        same("the pair of indexes", index_root(influence.root(), suffix.root()), attribution.index_root)?;
        check_influence(&manifest, &influence, base)?;
        check_suffix(&manifest, &influence, &suffix, base)?;
        let manifest_hash = manifest.hash();
        Ok(Self { manifest, manifest_hash, folder: folder.to_owned(), adapter, checkpoints, influence, suffix })
    }

    /// Checks that the indexes name of each record the contributor and the cluster that its snapshot names, so that whoever built them
    /// cannot have named somebody else. `snapshots` are the records of the manifest's snapshots, in its order; that they are the
    /// snapshots of those roots is the caller's to know.
    ///
    /// # Errors
    /// [`ArtifactError::Record`] names the first record that differs.
    pub fn check_records(&self, snapshots: &[Vec<RecordOwner>]) -> Result<(), ArtifactError> {
        let (given, expected) = (snapshots.len(), self.manifest.snapshots.len());
        if given != expected {
            return Err(ArtifactError::Snapshots { given, expected });
        }
        let mut before = None;
        for (record, meta) in self.influence.records().as_slice().iter().enumerate() {
            let place = (meta.snapshot, meta.index);
            let fault = if before >= Some(place) { Some(RecordFault::Order) } else { fault_of(meta, snapshots) };
            if let Some(fault) = fault {
                let (snapshot, index) = place;
                return Err(ArtifactError::Record { record, snapshot, index, fault });
            }
            before = Some(place);
        }
        Ok(())
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

fn fault_of(meta: &RecordMeta, snapshots: &[Vec<RecordOwner>]) -> Option<RecordFault> {
    let owner = usize::try_from(meta.index).ok().and_then(|index| snapshots.get(meta.snapshot as usize)?.get(index));
    let Some(&RecordOwner { contributor, cluster }) = owner else { return Some(RecordFault::Missing) };
    if meta.contributor != contributor {
        return Some(RecordFault::Contributor { found: meta.contributor, expected: contributor });
    }
    (meta.cluster != cluster).then_some(RecordFault::Cluster { found: meta.cluster, expected: cluster })
}

fn check_influence(manifest: &Manifest, influence: &InfluenceIndex, base: &Model) -> Result<(), ArtifactError> {
    let AttributionRef { policy, checkpoints, .. } = &manifest.attribution;
    let lora = manifest.recipe.lora_config().ok();
    let (sketcher, rank) = (influence.sketcher(), manifest.lora.rank as usize);
    let sites = lora.map(|lora| policy.influence.sites.of(base.sites(), &lora));
    let steps = checkpoints.iter().map(|checkpoint| checkpoint.step);
    let of = |what| agree("influence", what);
    of("the policy")(influence.policy() == &policy.influence)?;
    of("the checkpoints' steps")(policy.influence.checkpoints.iter().map(|&step| u64::from(step)).eq(steps))?;
    of("the checkpoints")(influence.adapters().iter().eq(checkpoints.iter().map(|named| &named.weights_hash)))?;
    of("the adapter's shape")(manifest.lora == manifest.recipe.lora && sketcher.rank() == rank)?;
    of("the sites")(sites.is_some_and(|sites| sketcher.sites() == sites))
}

fn check_suffix(
    manifest: &Manifest,
    influence: &InfluenceIndex,
    suffix: &SuffixIndex,
    base: &Model,
) -> Result<(), ArtifactError> {
    let of = |what| agree("suffix", what);
    of("the policy")(suffix.policy() == &manifest.attribution.policy.provenance)?;
    of("the tokenizer")(suffix.tokenizer() == keccak256(base.tokenizer().to_json()))?;
    of("the list of snapshots")(suffix.snapshots().iter().eq(manifest.snapshots.iter().map(|named| &named.root)))?;
    // Who is paid for a quotation is who is paid for influence.
    of("the list of records")(suffix.records() == influence.records())?;
    suffix.first_disorder().map_or(Ok(()), |rank| Err(ArtifactError::Disorder { rank }))
}

fn agree(index: &'static str, what: &'static str) -> impl Fn(bool) -> Result<(), ArtifactError> {
    move |is_same| if is_same { Ok(()) } else { Err(ArtifactError::Differs { index, what }) }
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
