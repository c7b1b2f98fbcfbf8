//! A model's manifest: canonical JSON that names everything needed to recompute the model, and whose hash goes on chain.

use openledger_attribution::attest::AttributionPolicy;
use openledger_primitives::{B256, ModelId, canonical_json, keccak256};

use crate::{
    encode::EncodeReport,
    evaluate::Evaluation,
    job::Price,
    recipe::{LoraRecipe, Recipe, SnapshotRef},
};

/// Version of the manifest that this program writes.
pub const MANIFEST_VERSION: u32 = 1;
/// Most bytes of a manifest.
pub const MANIFEST_BYTES_MAX: usize = 1 << 20;

/// A model's manifest.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`MANIFEST_VERSION`].
    pub version: u32,
    /// The model's name.
    pub name: String,
    /// Hash of the base model.
    pub base_model: B256,
    /// The adapter's shape.
    pub lora: LoraRecipe,
    /// What it was trained on.
    pub snapshots: Vec<SnapshotRef>,
    /// Everything that decided the result.
    pub recipe: Recipe,
    /// Steps taken: fewer than the recipe's when training was stopped early.
    pub steps: u64,
    /// What computed it.
    pub engine: EngineVersion,
    /// Hash of the adapter's weights.
    pub weights_hash: B256,
    /// What became of the records.
    pub data: DataReport,
    /// Measurements on held-out records, if there were any.
    pub evaluation: Measured,
    /// Models that this one descends from.
    pub parents: Vec<ModelId>,
    /// What it costs.
    pub price: Price,
    /// How answers are attributed.
    pub attribution: AttributionRef,
}

/// What computed a model.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineVersion {
    /// The crate.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Name of the arithmetic whose results are the same on every machine.
    pub arithmetic: String,
}

impl EngineVersion {
    /// This program's engine.
    pub fn current() -> Self {
        Self {
            name: "openledger-engine".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            arithmetic: "q8-32/q8-32-back/f32-fma".to_owned(),
        }
    }
}

/// What became of the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataReport {
    /// Records that trained.
    pub used: u64,
    /// Records whose end was cut off.
    pub truncated: u64,
    /// Records that did not train.
    pub refused: u64,
    /// Tokens of one epoch.
    pub tokens: u64,
    /// Of these, tokens that were learnt.
    pub targets: u64,
}

impl From<&EncodeReport> for DataReport {
    fn from(report: &EncodeReport) -> Self {
        Self {
            used: report.used as u64,
            truncated: report.truncated as u64,
            refused: report.refused as u64,
            tokens: report.tokens,
            targets: report.targets,
        }
    }
}

/// The base model and the tuned one on the same held-out records.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// The base model.
    pub base: Option<Score>,
    /// With the adapter.
    pub tuned: Option<Score>,
}

/// A measurement.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Score {
    /// Records measured.
    pub records: u64,
    /// Mean loss over their learnt tokens, nats.
    pub loss: f64,
    /// Records with an answer to compare.
    pub answers: u64,
    /// Of those, how many the greedy answer equals.
    pub exact: u64,
}

impl Score {
    /// Share of answers that are exact; none if there was nothing to compare.
    pub fn accuracy(&self) -> Option<f64> {
        (self.answers > 0).then(|| self.exact as f64 / self.answers as f64)
    }
}

impl From<&Evaluation> for Score {
    fn from(e: &Evaluation) -> Self {
        Self { records: e.records as u64, loss: e.loss, answers: e.answers as u64, exact: e.exact as u64 }
    }
}

/// What attribution is computed from.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttributionRef {
    /// How indices are built and scores become weights, with the steps of the influence checkpoints.
    pub policy: AttributionPolicy,
    /// The adapter at each checkpoint of the influence index; below the layers that take part in it the trained one.
    pub checkpoints: Vec<CheckpointRef>,
    /// Root of the influence index.
    pub influence_root: B256,
    /// Root of the suffix index.
    pub suffix_root: B256,
    /// The one root that goes on chain.
    pub index_root: B256,
}

/// An adapter on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointRef {
    /// Steps taken.
    pub step: u64,
    /// Hash of its weights.
    pub weights_hash: B256,
}

/// Why bytes are no manifest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// Too many bytes.
    #[error("the manifest has {bytes} bytes; the limit is {limit}")]
    TooLong {
        /// Its bytes.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Not a manifest of this version.
    #[error("the manifest is malformed")]
    Malformed(#[from] serde_json::Error),
    /// Another version.
    #[error("the manifest has version {found}; this program reads version {MANIFEST_VERSION}")]
    Version {
        /// Its version.
        found: u32,
    },
    /// The same content in other bytes, so that its hash is not the one on chain.
    #[error("the manifest is not in canonical form")]
    NotCanonical,
}

impl Manifest {
    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let value = serde_json::to_value(self).expect("a manifest has string keys and finite numbers only");
        canonical_json::to_vec(&value).expect("a manifest's integers are below 2^53 or strings")
    }

    /// Hash of the canonical bytes: what goes on chain.
    pub fn hash(&self) -> B256 {
        keccak256(self.to_bytes())
    }

    /// Reads canonical bytes.
    ///
    /// # Errors
    /// [`ManifestError`] if they are not exactly what [`to_bytes`](Self::to_bytes) would write.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > MANIFEST_BYTES_MAX {
            return Err(ManifestError::TooLong { bytes: bytes.len(), limit: MANIFEST_BYTES_MAX });
        }
        let manifest: Self = serde_json::from_slice(bytes)?;
        if manifest.version != MANIFEST_VERSION {
            return Err(ManifestError::Version { found: manifest.version });
        }
        // Numbers beyond what canonical JSON holds exactly have no canonical form at all.
        let value = serde_json::to_value(&manifest)?;
        match canonical_json::to_vec(&value) {
            Ok(canonical) if canonical == bytes => Ok(manifest),
            _ => Err(ManifestError::NotCanonical),
        }
    }
}
