//! Publishing what a job made: what the builder signs, and serving it once it is on chain.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::{Extension, Json};
use openledger_contracts::addresses::MODEL_REGISTRY;
use openledger_contracts::{IModelRegistry, ModelParams, Price, SnapshotRef, SplitBps};
use openledger_datanet::Datanets;
use openledger_primitives::ModelId;
use openledger_settlement::ledger::Ledger;
use openledger_settlement::split::{Weighted, merge_weights};
use openledger_train::{Artifact, JobId, JobState};
use serde::Deserialize;
use serde_json::json;

use crate::api::scalar::{Hash, HexBytes};
use crate::api::training as view;
use crate::app::App;
use crate::catalog::{PublishError, Published};
use crate::error::{ApiError, chain};
use crate::guard::Caller;
use crate::lineage;
use crate::records::check_records;
use crate::routes::training::check_owner;
use crate::routes::{blocking, models};

/// How a finished job is to be published.
#[derive(Debug, Deserialize)]
pub(crate) struct Naming {
    name: String,
}

/// What the builder signs to publish a finished job on chain.
pub(crate) async fn draft(
    State(app): State<Arc<App>>,
    Path(id): Path<JobId>,
    Query(naming): Query<Naming>,
) -> Result<Json<view::ModelDraft>, ApiError> {
    let shared = Arc::clone(&app);
    let artifact = blocking(move || finished(&shared, id)).await??;
    check_name(&app, &naming.name, &artifact)?;
    let split = lineage::split_of(&app.chain, &artifact.manifest).await?;
    Ok(Json(draft_view(&model_params(&app, &artifact, &naming.name, split)?)))
}

/// Serves a model once it stands on chain as the job made it. The split may be another than the draft's: the registry
/// holds it within its bounds.
pub(crate) async fn publish(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<JobId>,
    Json(body): Json<view::PublishModel>,
) -> Result<Json<view::PublishedModel>, ApiError> {
    let shared = Arc::clone(&app);
    let artifact = blocking(move || {
        check_owner(&shared, id, &caller)?;
        finished(&shared, id)
    });
    let artifact = Arc::new(artifact.await??);
    let call = IModelRegistry::modelIdOfCall { builder: body.builder.0, manifestHash: artifact.manifest_hash };
    let model_id = app.chain.call(MODEL_REGISTRY, &call).await?;
    let model_id = ModelId(model_id);
    let on_chain = app.chain.models().model(model_id).await?;
    let parents = app.chain.models().parents(model_id).await?;
    let params = model_params(&app, &artifact, &body.name, on_chain.split.clone())?;
    check_terms(&params, &on_chain)?;
    check_parents(&artifact.manifest.parents, &parents)?;
    check_snapshots(&params.snapshots, &app.chain.models().snapshots(model_id).await?)?;
    lineage::know(&app.chain, app.ledger(), model_id, &on_chain.split).await?;
    let entry = blocking(move || {
        check_records(&app.datanets, &artifact).map_err(|error| ApiError::conflict("other_records", chain(&error)))?;
        note_reserves(&app.datanets, app.ledger(), &artifact)?;
        let entry = published(model_id, &artifact, &params, &on_chain);
        let entry = app.catalog.publish(entry, &app.server)?;
        app.events.tell("model", json!({"name": entry.name}));
        Ok::<_, ApiError>(view::PublishedModel { model: entry_view(&entry) })
    });
    Ok(Json(entry.await??))
}

fn entry_view(entry: &Published) -> view::PublishedEntry {
    view::PublishedEntry {
        name: entry.name.clone(),
        id: entry.id.into(),
        builder: entry.builder.into(),
        weights_hash: entry.weights_hash.into(),
        index_root: entry.index_root.into(),
        snapshot_roots: entry.snapshot_roots.iter().copied().map(Hash).collect(),
        published_at: entry.published_at,
    }
}

/// A finished job's artifact, read and checked. Blocks.
///
/// # Errors
/// 404 for no such job, 409 for one that is not done.
pub(crate) fn finished(app: &App, id: JobId) -> Result<Artifact, ApiError> {
    let job = app.factory.job(id)?;
    let folder = job.artifact.filter(|_| job.state == JobState::Done);
    let folder = folder.ok_or_else(|| ApiError::conflict("job_not_done", format!("job {id} is not done")))?;
    Artifact::load(&folder, app.catalog.base()).map_err(|error| ApiError::internal(&error))
}

/// A name stays with its model: what is signed under a taken one would stand in the registry and never be served.
fn check_name(app: &App, name: &str, artifact: &Artifact) -> Result<(), ApiError> {
    match app.catalog.by_name(name) {
        Some(known) if known.weights_hash != artifact.manifest.weights_hash => {
            let taken = PublishError::NameTaken { name: name.to_owned(), taken_by: known.id };
            Err(ApiError::from(taken).with_param("name"))
        }
        _ => Ok(()),
    }
}

fn model_params(app: &App, artifact: &Artifact, name: &str, split: SplitBps) -> Result<ModelParams, ApiError> {
    let manifest = &artifact.manifest;
    if name == app.catalog.base_name() {
        return Err(ApiError::conflict("name_taken", format!("{name:?} is the base model's name")).with_param("name"));
    }
    let snapshots = manifest.snapshots.iter().map(|named| SnapshotRef {
        datanetId: named.datanet.0,
        snapshotId: named.snapshot.0,
        root: named.root,
    });
    Ok(ModelParams {
        name: name.to_owned(),
        manifestHash: artifact.manifest_hash,
        baseModel: manifest.base_model,
        weightsHash: manifest.weights_hash,
        indexRoot: manifest.attribution.index_root,
        snapshots: snapshots.collect(),
        parents: manifest.parents.iter().map(|parent| parent.0).collect(),
        price: Price { inputWei: manifest.price.input_wei.0, outputWei: manifest.price.output_wei.0 },
        split,
    })
}

fn draft_view(params: &ModelParams) -> view::ModelDraft {
    use openledger_contracts::SolValue as _;
    let snapshot = |named: &SnapshotRef| view::DraftSnapshot {
        datanet_id: named.datanetId,
        snapshot_id: named.snapshotId,
        root: named.root.into(),
    };
    view::ModelDraft {
        name: params.name.clone(),
        manifest_hash: params.manifestHash.into(),
        base_model: params.baseModel.into(),
        weights_hash: params.weightsHash.into(),
        index_root: params.indexRoot.into(),
        snapshots: params.snapshots.iter().map(snapshot).collect(),
        parents: params.parents.iter().copied().map(Hash).collect(),
        price: models::price(&params.price),
        split: models::split(&params.split),
        abi: HexBytes(params.abi_encode().into()),
    }
}

fn check_terms(params: &ModelParams, on_chain: &openledger_contracts::Model) -> Result<(), ApiError> {
    let same = on_chain.manifestHash == params.manifestHash
        && on_chain.baseModel == params.baseModel
        && on_chain.weightsHash == params.weightsHash
        && on_chain.indexRoot == params.indexRoot
        && on_chain.price == params.price
        && on_chain.name == params.name;
    if same {
        Ok(())
    } else {
        Err(ApiError::conflict("other_model", "the model on chain is not the one that the job made"))
    }
}

/// Royalties go by the registry, so a model whose manifest names other parents than it is not served.
fn check_parents(named: &[ModelId], on_chain: &[ModelId]) -> Result<(), ApiError> {
    let set = |parents: &[ModelId]| parents.iter().copied().collect::<BTreeSet<_>>();
    if set(named) == set(on_chain) {
        return Ok(());
    }
    let message = "the model on chain names other parents than the manifest of the one that the job made";
    Err(ApiError::conflict("other_model", message))
}

/// Receipts name the snapshots, and the chain's judge holds them against the registry's: an answer of a model whose manifest
/// names others would cost the operator its bond.
fn check_snapshots(named: &[SnapshotRef], on_chain: &[SnapshotRef]) -> Result<(), ApiError> {
    if named == on_chain {
        return Ok(());
    }
    let message = "the model on chain names other snapshots than the manifest of the one that the job made";
    Err(ApiError::conflict("other_model", message))
}

/// Reserves are paid by accepted records, so settlement must know the snapshots of every model served.
fn note_reserves(datanets: &Datanets, ledger: &Ledger, artifact: &Artifact) -> Result<(), ApiError> {
    for named in &artifact.manifest.snapshots {
        let snapshot = datanets.snapshot(named.datanet, named.snapshot)?;
        let entries = snapshot.entries.iter().map(|entry| Weighted { account: entry.contributor, weight: 1 });
        let weights = merge_weights(entries).map_err(|error| ApiError::internal(&error))?;
        ledger.put_reserve(named.root, &weights)?;
    }
    Ok(())
}

fn published(
    id: ModelId,
    artifact: &Artifact,
    params: &ModelParams,
    on_chain: &openledger_contracts::Model,
) -> Published {
    Published {
        name: params.name.clone(),
        id,
        builder: on_chain.builder,
        artifact: artifact.folder.clone(),
        weights_hash: params.weightsHash,
        index_root: params.indexRoot,
        snapshot_roots: params.snapshots.iter().map(|named| named.root).collect(),
        price: on_chain.price.clone(),
        split: on_chain.split.clone(),
        system_prompt: artifact.manifest.recipe.system_prompt.clone(),
        published_at: on_chain.publishedAt,
    }
}

impl From<PublishError> for ApiError {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::NameTaken { .. } => Self::conflict("name_taken", error.to_string()),
            PublishError::Full => Self::busy(error.to_string(), 60_000),
            PublishError::Register(_) => Self::invalid("adapter_refused", chain(&error)),
            _ => Self::internal(&error),
        }
    }
}
