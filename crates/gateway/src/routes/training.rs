//! ModelFactory: jobs, their events, and publishing what they made.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use openledger_contracts::addresses::MODEL_REGISTRY;
use openledger_contracts::{IModelRegistry, ModelParams, Price, SnapshotRef, SplitBps};
use openledger_datanet::Datanets;
use openledger_primitives::{Address, ModelId, RecordHash};
use openledger_settlement::ledger::Ledger;
use openledger_settlement::split::{Weighted, merge_weights};
use openledger_train::{
    Artifact, FactoryError, Job, JobId, JobRequest, JobState, Recipe, RecordBody, TableError, Terms, TrainRecord,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::App;
use crate::catalog::{PublishError, Published};
use crate::error::{ApiError, chain};
use crate::routes::blocking;

/// Events in one page.
const EVENTS_PAGE: usize = 1000;
/// Most held-out records that a caller may give.
const HELD_OUT_MAX: usize = 10_000;

/// A run asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Submit {
    recipe: Recipe,
    terms: Terms,
    /// Records to measure with; they never train and earn nothing.
    #[serde(default)]
    held_out: Vec<RecordBody>,
}

/// Queues a job. Its records are those of the snapshots that the recipe names.
pub(crate) async fn submit(State(app): State<Arc<App>>, Json(body): Json<Submit>) -> Result<Json<Job>, ApiError> {
    let job = blocking(move || {
        let request = request(&app.datanets, body)?;
        let id = app.factory.submit(&request)?;
        Ok::<_, ApiError>(app.factory.job(id)?)
    });
    Ok(Json(job.await??))
}

/// What a job would take, and what becomes of its records.
pub(crate) async fn estimate(State(app): State<Arc<App>>, Json(body): Json<Submit>) -> Result<Json<Value>, ApiError> {
    let estimated = blocking(move || {
        let request = request(&app.datanets, body)?;
        let (report, estimate) = app.factory.estimate(&request)?;
        Ok::<_, ApiError>(json!({"records": report, "estimate": estimate}))
    });
    Ok(Json(estimated.await??))
}

fn request(datanets: &Datanets, body: Submit) -> Result<JobRequest, ApiError> {
    if body.held_out.len() > HELD_OUT_MAX {
        let message = format!("{} held-out records were given; at most {HELD_OUT_MAX} are taken", body.held_out.len());
        return Err(ApiError::invalid("too_many_held_out", message).with_param("held_out"));
    }
    let mut records = Vec::new();
    for (position, named) in (0_u32..).zip(&body.recipe.snapshots) {
        let snapshot = datanets.snapshot(named.datanet, named.snapshot)?;
        if snapshot.root() != named.root {
            let message = format!(
                "snapshot {} of Datanet {} has root {}, not {}",
                named.snapshot,
                named.datanet,
                snapshot.root(),
                named.root
            );
            return Err(ApiError::conflict("other_snapshot", message).with_param("recipe.snapshots"));
        }
        for record in datanets.snapshot_records(&snapshot)? {
            records.push(train_record(position, &record)?);
        }
    }
    let held_out = body.held_out.into_iter().zip(0_u64..).map(|(body, index)| held_out(index, body)).collect();
    Ok(JobRequest { recipe: body.recipe, terms: body.terms, records, held_out })
}

fn train_record(snapshot: u32, record: &openledger_datanet::SnapshotRecord) -> Result<TrainRecord, ApiError> {
    let json: Value =
        serde_json::from_slice(&record.record.canonical_bytes()).map_err(|error| ApiError::internal(&error))?;
    let body = RecordBody::from_json(&json).map_err(|error| ApiError::invalid("unusable_record", error.to_string()))?;
    let entry = record.entry;
    Ok(TrainRecord {
        snapshot,
        index: record.index,
        hash: entry.record_hash,
        contributor: entry.contributor,
        cluster: entry.cluster,
        body,
    })
}

fn held_out(index: u64, body: RecordBody) -> TrainRecord {
    let hash = RecordHash::default();
    TrainRecord { snapshot: u32::MAX, index, hash, contributor: Address::ZERO, cluster: index, body }
}

/// All jobs, the newest first.
pub(crate) async fn list(State(app): State<Arc<App>>) -> Result<Json<Value>, ApiError> {
    let jobs = blocking(move || app.factory.jobs()).await??;
    Ok(Json(json!({"data": jobs})))
}

/// One job.
pub(crate) async fn show(State(app): State<Arc<App>>, Path(id): Path<JobId>) -> Result<Json<Job>, ApiError> {
    Ok(Json(blocking(move || app.factory.job(id)).await??))
}

/// Where to go on in a job's history.
#[derive(Debug, Deserialize)]
pub(crate) struct After {
    #[serde(default)]
    after: u64,
}

/// A job's events in order.
pub(crate) async fn events(
    State(app): State<Arc<App>>,
    Path(id): Path<JobId>,
    Query(page): Query<After>,
) -> Result<Json<Value>, ApiError> {
    let events = blocking(move || app.factory.events(id, page.after, EVENTS_PAGE)).await??;
    let next = events.last().map_or(page.after, |event| event.sequence);
    Ok(Json(json!({"data": events, "next_after": next})))
}

/// Pauses, resumes, cancels, or stops and saves a job.
pub(crate) async fn act(
    State(app): State<Arc<App>>,
    Path((id, action)): Path<(JobId, String)>,
) -> Result<Json<Job>, ApiError> {
    let job = blocking(move || {
        match action.as_str() {
            "pause" => app.factory.pause(id)?,
            "resume" => app.factory.resume(id)?,
            "cancel" => app.factory.cancel(id)?,
            "stop" => app.factory.stop_and_save(id)?,
            other => return Err(ApiError::not_found("action", other)),
        }
        Ok::<_, ApiError>(app.factory.job(id)?)
    });
    Ok(Json(job.await??))
}

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
) -> Result<Json<Value>, ApiError> {
    let params = blocking(move || model_params(&app, &finished(&app, id)?, &naming.name)).await??;
    Ok(Json(params_json(&params)))
}

/// The model that was published on chain.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Publish {
    name: String,
    builder: Address,
}

/// Serves a model once it stands on chain as the job made it.
pub(crate) async fn publish(
    State(app): State<Arc<App>>,
    Path(id): Path<JobId>,
    Json(body): Json<Publish>,
) -> Result<Json<Value>, ApiError> {
    let shared = Arc::clone(&app);
    let artifact = Arc::new(blocking(move || finished(&shared, id)).await??);
    let call = IModelRegistry::modelIdOfCall { builder: body.builder, manifestHash: artifact.manifest_hash };
    let model_id = app.chain.call(MODEL_REGISTRY, &call).await?;
    let on_chain = app.chain.call(MODEL_REGISTRY, &IModelRegistry::getModelCall { modelId: model_id }).await?;
    let name = body.name;
    let entry = blocking(move || {
        let params = model_params(&app, &artifact, &name)?;
        check_terms(&params, &on_chain)?;
        note_reserves(&app.datanets, app.ledger(), &artifact)?;
        let entry = published(ModelId(model_id), &artifact, &params, &on_chain);
        Ok::<_, ApiError>(app.catalog.publish(entry, &app.server)?)
    });
    Ok(Json(json!({"model": &*entry.await??})))
}

fn finished(app: &App, id: JobId) -> Result<Artifact, ApiError> {
    let job = app.factory.job(id)?;
    let folder = job.artifact.filter(|_| job.state == JobState::Done);
    let folder = folder.ok_or_else(|| ApiError::conflict("job_not_done", format!("job {id} is not done")))?;
    Artifact::load(&folder, app.catalog.base()).map_err(|error| ApiError::internal(&error))
}

/// Default split: burn 5 %, operator 20 %, builder 15 %, stakers 10 %, data the rest; a fifth of it for provenance.
fn default_split() -> SplitBps {
    SplitBps { burn: 500, operatorBps: 2000, builder: 1500, parents: 0, stakers: 1000, provenance: 2000 }
}

fn model_params(app: &App, artifact: &Artifact, name: &str) -> Result<ModelParams, ApiError> {
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
        split: default_split(),
    })
}

fn params_json(params: &ModelParams) -> Value {
    use openledger_contracts::SolValue as _;
    json!({
        "name": params.name,
        "manifest_hash": params.manifestHash,
        "base_model": params.baseModel,
        "weights_hash": params.weightsHash,
        "index_root": params.indexRoot,
        "abi": openledger_primitives::Bytes::from(params.abi_encode()),
    })
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

impl From<FactoryError> for ApiError {
    fn from(error: FactoryError) -> Self {
        match &error {
            FactoryError::Table(TableError::Unknown { .. }) => {
                Self::new(StatusCode::NOT_FOUND, "job_not_found", error.to_string())
            }
            FactoryError::Table(TableError::State { .. }) => Self::conflict("job_state", error.to_string()),
            FactoryError::Table(TableError::Full { .. }) => Self::busy(error.to_string(), 10_000),
            FactoryError::Disk { .. } => Self::new(StatusCode::INSUFFICIENT_STORAGE, "disk_full", error.to_string()),
            FactoryError::Table(_) | FactoryError::Data(_) | FactoryError::Setup { .. } => Self::internal(&error),
            _ => Self::invalid("invalid_job", chain(&error)),
        }
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
