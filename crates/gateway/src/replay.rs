//! Replaying a receipt: the answer, its scores and its weights once more, from published artefacts alone.

use std::sync::Arc;

use openledger_contracts::Receipt;
use openledger_engine::Exec;
use openledger_primitives::{B256, ModelId};
use openledger_serve::{FinishReason, ReplayError};
use openledger_settlement::split::Usage;
use openledger_settlement::verify::{ReplayEngine, Replayed, request_hash};
use openledger_train::{ArtifactError, SnapshotRef};

use crate::answer::{self, AttributionError, PromptError};
use crate::canonical::CanonicalRequest;
use crate::catalog::{Catalog, shares};
use crate::records::{RecordsError, check_records};

/// Why a receipt could not be replayed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayReceiptError {
    /// The model is not here.
    #[error("model {model} is not at hand; a replay needs its artifact")]
    UnknownModel {
        /// The model.
        model: ModelId,
    },
    /// Something here is not what the receipt names.
    #[error("{what} here is {found}; the receipt names {named}")]
    Other {
        /// What differs.
        what: &'static str,
        /// As it is here.
        found: B256,
        /// As the receipt names it.
        named: B256,
    },
    /// The receipt names other snapshots than the model's.
    #[error("the model was trained on snapshots {found:?}; the receipt names {named:?}")]
    Snapshots {
        /// Roots as the manifest here has them.
        found: Vec<B256>,
        /// Roots as the receipt names them.
        named: Vec<B256>,
    },
    /// The disclosed request is not one.
    #[error("the disclosed request is malformed")]
    Request(#[source] serde_json::Error),
    /// It cannot be encoded.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// The artifact is gone or damaged.
    #[error("the model's artifact cannot be read")]
    Artifact(#[from] ArtifactError),
    /// The artifact's records are not those of the snapshots that it names, or the snapshots are not here.
    #[error("who is paid by the model's indexes")]
    Records(#[from] RecordsError),
    /// The answer could not be generated.
    #[error("the answer cannot be generated")]
    Generate(#[from] ReplayError),
    /// The answer could not be attributed.
    #[error(transparent)]
    Attribution(#[from] AttributionError),
}

/// Replays receipts of the models in a catalog.
pub struct Replayer {
    catalog: Arc<Catalog>,
    exec: Exec,
    threads: usize,
}

impl std::fmt::Debug for Replayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replayer").field("threads", &self.threads).finish_non_exhaustive()
    }
}

impl Replayer {
    /// A replayer that computes on `threads` threads; their number changes no bit.
    pub fn new(catalog: Arc<Catalog>, threads: usize) -> Self {
        Self { catalog, exec: Exec::new(threads), threads }
    }
}

impl ReplayEngine for Replayer {
    type Error = ReplayReceiptError;

    fn replay(&mut self, receipt: &Receipt, request: &serde_json::Value) -> Result<Replayed, ReplayReceiptError> {
        let base = self.catalog.base();
        same("base model", base.hash(), receipt.baseModel)?;
        same("engine", answer::engine_id(), receipt.engineId)?;
        same("quantisation", answer::quantisation_id(), receipt.quantisationId)?;
        let id = ModelId(receipt.modelId);
        let model = self.catalog.by_id(id).ok_or(ReplayReceiptError::UnknownModel { model: id })?;
        let artifact = self.catalog.artifact(&model)?;
        same("adapter", artifact.manifest.weights_hash, receipt.weightsHash)?;
        same("index", artifact.manifest.attribution.index_root, receipt.indexRoot)?;
        same_snapshots(&artifact.manifest.snapshots, receipt)?;
        check_records(&self.catalog.datanets(), &artifact)?;
        let canonical: CanonicalRequest =
            serde_json::from_value(request.clone()).map_err(ReplayReceiptError::Request)?;
        let mut request = answer::encode(base, Some(&model), &canonical)?;
        // A caller may end an answer early; what there was of it is the answer of as many tokens.
        request.max_tokens = receipt.tokensOut.clamp(1, canonical.max_tokens.max(1));
        let completion = openledger_serve::replay(base, Some(&artifact.adapter), &request, self.threads)?;
        let attribution =
            answer::attribute(base, &mut self.exec, &artifact, &request.prompt, &completion, receipt.requestHash)?;
        same("attribution method", attribution.method, receipt.attributionMethod)?;
        Ok(Replayed {
            usage: Usage { tokens_in: completion.usage.tokens_in, tokens_out: completion.usage.tokens_out },
            attribution_root: attribution.root(),
            influence: shares(attribution.influence.outcome.weights()),
            provenance: shares(attribution.provenance.weights()),
            cut_short: completion.finish == FinishReason::Length && request.max_tokens < canonical.max_tokens,
            answer: completion.text,
        })
    }
}

fn same(what: &'static str, found: B256, named: B256) -> Result<(), ReplayReceiptError> {
    if found == named { Ok(()) } else { Err(ReplayReceiptError::Other { what, found, named }) }
}

fn same_snapshots(snapshots: &[SnapshotRef], receipt: &Receipt) -> Result<(), ReplayReceiptError> {
    let found: Vec<B256> = snapshots.iter().map(|snapshot| snapshot.root).collect();
    let named = receipt.snapshotRoots.clone();
    if found == named { Ok(()) } else { Err(ReplayReceiptError::Snapshots { found, named }) }
}

/// The salted hash of a canonical request; the form in which receipts name requests.
pub(crate) fn hash_request(canonical: &CanonicalRequest, salt: B256) -> Result<B256, crate::error::ApiError> {
    let value = serde_json::to_value(canonical);
    let value = value.map_err(|error| crate::error::ApiError::invalid("invalid_number", error.to_string()))?;
    request_hash(&value, salt).map_err(|error| crate::error::ApiError::invalid("invalid_number", error.to_string()))
}
