//! ModelFactory: jobs and their events.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use openledger_datanet::{Datanets, Snapshot};
use openledger_primitives::{Address, ModelId, RecordHash};
use openledger_sdk::ChainClient;
use openledger_train::{
    FactoryError, Job, JobEvent, JobId, JobRequest, JobState, Recipe, RecordBody, TableError, Terms, TrainRecord,
};
use serde::Deserialize;
use serde_json::Value;

use crate::api::training as view;
use crate::app::App;
use crate::catalog::Published;
use crate::error::{ApiError, chain};
use crate::guard::Caller;
use crate::routes::blocking;

/// Events in one page.
pub(crate) const EVENTS_PAGE: usize = 1000;
/// Most held-out records that a caller may give.
const HELD_OUT_MAX: usize = 10_000;
/// Most parents of a model, as in the registry.
const PARENTS_MAX: usize = 16;

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

/// Queues a job. Its records are those of the snapshots that the recipe names; in a session it belongs to its account.
pub(crate) async fn submit(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Json(body): Json<Submit>,
) -> Result<Json<view::Job>, ApiError> {
    check_parents(&app.chain, &body.terms.parents).await?;
    let job = blocking(move || {
        let request = request(&app.datanets, body)?;
        let id = app.factory.submit_for(caller.address(), &request)?;
        Ok::<_, ApiError>(job_view(&app, app.factory.job(id)?))
    });
    Ok(Json(job.await??))
}

/// Parents that the registry would refuse are refused before the training, not after it.
async fn check_parents(client: &ChainClient, parents: &[ModelId]) -> Result<(), ApiError> {
    let refuse = |message: String| Err(ApiError::invalid("invalid_parents", message).with_param("terms.parents"));
    if parents.len() > PARENTS_MAX {
        return refuse(format!("{} parents are named; at most {PARENTS_MAX} can be", parents.len()));
    }
    for (at, &parent) in parents.iter().enumerate() {
        if parents[..at].contains(&parent) {
            return refuse(format!("parent {parent} is named twice"));
        }
        if !client.models().is_published(parent).await? {
            return refuse(format!("parent {parent} is not a published model"));
        }
    }
    Ok(())
}

/// A job as pages show it.
fn job_view(app: &App, job: Job) -> view::Job {
    let progress = match (job.state, job.steps) {
        (JobState::Done, _) => 1.0,
        (_, 0) => 0.0,
        (_, steps) => job.step as f64 / steps as f64,
    };
    view::Job {
        id: job.id.0,
        owner: job.owner.map(Into::into),
        name: job.recipe.name.clone(),
        state: match job.state {
            JobState::Queued => view::JobState::Queued,
            JobState::Running => view::JobState::Running,
            JobState::Paused => view::JobState::Paused,
            JobState::Cancelled => view::JobState::Cancelled,
            JobState::Failed => view::JobState::Failed,
            JobState::Done => view::JobState::Done,
        },
        step: job.step,
        steps: job.steps,
        progress,
        train_loss: job.loss,
        created_at_ms: job.created_at_ms,
        changed_at_ms: job.changed_at_ms,
        error: job.error,
        models: job.artifact.as_deref().map(|folder| models(app, folder)).unwrap_or_default(),
        has_artifact: job.artifact.is_some() && job.state == JobState::Done,
        recipe: job.recipe,
        terms: job.terms,
    }
}

fn models(app: &App, artifact: &std::path::Path) -> Vec<view::JobModel> {
    let model = |model: Arc<Published>| view::JobModel {
        id: model.id.into(),
        name: model.name.clone(),
        builder: model.builder.into(),
    };
    app.catalog.of_artifact(artifact).into_iter().map(model).collect()
}

/// Refuses whoever does not own the job.
///
/// # Errors
/// 403 `not_owner` for a job that belongs to another account than the caller's.
pub(crate) fn check_owner(app: &App, id: JobId, caller: &Caller) -> Result<(), ApiError> {
    let Some(owner) = app.factory.job(id)?.owner else { return Ok(()) };
    if caller.address() == Some(owner) {
        return Ok(());
    }
    let message = format!("job {id} belongs to {owner}; only a session of that account may act on it");
    Err(ApiError::new(StatusCode::FORBIDDEN, "not_owner", message))
}

/// What a job would take, and what becomes of its records.
pub(crate) async fn estimate(
    State(app): State<Arc<App>>,
    Json(body): Json<Submit>,
) -> Result<Json<view::JobEstimate>, ApiError> {
    check_parents(&app.chain, &body.terms.parents).await?;
    let estimated = blocking(move || {
        let request = request(&app.datanets, body)?;
        let (records, estimate) = app.factory.estimate(&request)?;
        Ok::<_, ApiError>(view::JobEstimate { records, estimate })
    });
    Ok(Json(estimated.await??))
}

/// The records that a recipe names, ready to train.
///
/// # Errors
/// [`ApiError`] naming what does not fit.
pub(crate) fn request(datanets: &Datanets, body: Submit) -> Result<JobRequest, ApiError> {
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
        check_revoked(datanets, &snapshot)?;
        for record in datanets.snapshot_records(&snapshot)? {
            records.push(train_record(position, &record)?);
        }
    }
    let held_out = body.held_out.into_iter().zip(0_u64..).map(|(body, index)| held_out(index, body)).collect();
    Ok(JobRequest { recipe: body.recipe, terms: body.terms, records, held_out })
}

/// What was taken back since a snapshot trains no more models.
fn check_revoked(datanets: &Datanets, snapshot: &Snapshot) -> Result<(), ApiError> {
    let revoked = datanets.revoked_in(snapshot)?;
    if revoked == 0 {
        return Ok(());
    }
    let latest = datanets.latest_snapshot(snapshot.datanet)?.filter(|latest| latest.id > snapshot.id);
    let way_on =
        latest.map_or_else(|| "take a new one".to_owned(), |latest| format!("the latest one is {}", latest.id));
    let message = format!(
        "{revoked} records of snapshot {} of Datanet {} were taken back since it was taken; {way_on}",
        snapshot.id, snapshot.datanet
    );
    Err(ApiError::conflict("records_revoked", message).with_param("recipe.snapshots"))
}

fn train_record(snapshot: u32, record: &openledger_datanet::SnapshotRecord) -> Result<TrainRecord, ApiError> {
    let json: Value =
        serde_json::from_slice(&record.record.canonical_bytes()).map_err(|error| ApiError::internal(&error))?;
    let entry = record.entry;
    Ok(TrainRecord {
        snapshot,
        index: record.index,
        hash: entry.record_hash,
        contributor: entry.contributor,
        cluster: entry.cluster,
        // One record that cannot be learnt must not keep all others of its snapshot from training.
        body: RecordBody::from_any_json(&json),
    })
}

fn held_out(index: u64, body: RecordBody) -> TrainRecord {
    let hash = RecordHash::default();
    TrainRecord { snapshot: u32::MAX, index, hash, contributor: Address::ZERO, cluster: index, body }
}

/// All jobs, the newest first.
pub(crate) async fn list(State(app): State<Arc<App>>) -> Result<Json<view::JobList>, ApiError> {
    let jobs = blocking(move || {
        let jobs = app.factory.jobs()?;
        Ok::<_, ApiError>(jobs.into_iter().map(|job| job_view(&app, job)).collect())
    });
    Ok(Json(view::JobList { data: jobs.await?? }))
}

/// One job.
pub(crate) async fn show(State(app): State<Arc<App>>, Path(id): Path<JobId>) -> Result<Json<view::Job>, ApiError> {
    let job = blocking(move || Ok::<_, ApiError>(job_view(&app, app.factory.job(id)?)));
    Ok(Json(job.await??))
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
) -> Result<Json<view::JobEventList>, ApiError> {
    let events = blocking(move || app.factory.events(id, page.after, EVENTS_PAGE)).await??;
    let next_after = events.last().map_or(page.after, |event| event.sequence);
    Ok(Json(view::JobEventList { data: events.into_iter().map(event_view).collect(), next_after }))
}

/// An event as pages show it.
pub(crate) fn event_view(event: JobEvent) -> view::JobEvent {
    let JobEvent { job, sequence, at_ms, happening } = event;
    view::JobEvent { job: job.0, sequence, at_ms, happening }
}

/// Pauses, resumes, cancels, or stops and saves a job.
pub(crate) async fn act(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path((id, action)): Path<(JobId, String)>,
) -> Result<Json<view::Job>, ApiError> {
    let job = blocking(move || {
        check_owner(&app, id, &caller)?;
        match action.as_str() {
            "pause" => app.factory.pause(id)?,
            "resume" => app.factory.resume(id)?,
            "cancel" => app.factory.cancel(id)?,
            "stop" => app.factory.stop_and_save(id)?,
            other => return Err(ApiError::not_found("action", other)),
        }
        Ok::<_, ApiError>(job_view(&app, app.factory.job(id)?))
    });
    Ok(Json(job.await??))
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
