//! `/v1/models` as OpenAI's clients read it, the adapters as vLLM's do, and each model's own page.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use openledger_contracts::{Price, SplitBps};
use openledger_primitives::ModelId;
use openledger_train::Manifest;
use serde::Deserialize;

use crate::api::Listing;
use crate::api::models as view;
use crate::api::node::AdapterList;
use crate::api::scalar::{AnyObject, Hash};
use crate::api::training;
use crate::app::App;
use crate::catalog::Published;
use crate::error::ApiError;
use crate::routes::{Paging, blocking, status};

/// Longest text searched for, in bytes.
const SEARCH_BYTES_MAX: usize = 512;

/// The base model and every published adapter.
pub(crate) async fn list(State(app): State<Arc<App>>) -> Json<view::ModelList> {
    let name = app.catalog.base_name();
    let mut models = vec![base(&app)];
    models.extend(app.catalog.list().iter().map(|model| published(model, name)));
    Json(view::ModelList { object: "list".to_owned(), data: models })
}

/// One model as the list has it.
pub(crate) async fn show(State(app): State<Arc<App>>, Path(name): Path<String>) -> Result<Json<view::Model>, ApiError> {
    if name == app.catalog.base_name() {
        return Ok(Json(base(&app)));
    }
    let model = app.catalog.by_name(&name).ok_or_else(|| ApiError::not_found("model", &name))?;
    Ok(Json(published(&model, app.catalog.base_name())))
}

fn base(app: &App) -> view::Model {
    let extras = view::ModelExtras {
        base_model: Some(app.catalog.base().hash().into()),
        model_id: None,
        weights_hash: None,
        index_root: None,
        snapshot_roots: None,
        price: None,
    };
    entry(app.catalog.base_name(), 0, "openledger".to_owned(), None, extras)
}

fn published(model: &Published, base: &str) -> view::Model {
    let extras = view::ModelExtras {
        base_model: None,
        model_id: Some(model.id.into()),
        weights_hash: Some(model.weights_hash.into()),
        index_root: Some(model.index_root.into()),
        snapshot_roots: Some(model.snapshot_roots.iter().copied().map(Hash).collect()),
        price: Some(price(&model.price)),
    };
    entry(&model.name, model.published_at, model.builder.to_string(), Some(base.to_owned()), extras)
}

fn entry(
    name: &str,
    created: u64,
    owned_by: String,
    parent: Option<String>,
    openledger: view::ModelExtras,
) -> view::Model {
    let (id, root) = (name.to_owned(), name.to_owned());
    view::Model { id, object: "model".to_owned(), created, owned_by, root, parent, openledger }
}

/// Which published models.
#[derive(Debug, Deserialize)]
pub(crate) struct Filter {
    search: Option<String>,
}

/// Published models with what they have done. The cursor is a place in the order of publication, to which models are only
/// added.
pub(crate) async fn registry(
    State(app): State<Arc<App>>,
    Query(filter): Query<Filter>,
    Query(page): Query<Paging>,
) -> Result<Json<Listing<view::RegistryRow>>, ApiError> {
    let search = filter.search.unwrap_or_default().to_lowercase();
    if search.len() > SEARCH_BYTES_MAX {
        let message = format!("at most {SEARCH_BYTES_MAX} bytes are searched for");
        return Err(ApiError::invalid("search_too_long", message).with_param("search"));
    }
    let rows = blocking(move || {
        app.tally.catch_up()?;
        let mut models = app.catalog.list();
        models.sort_by(|one, other| (one.published_at, &one.name).cmp(&(other.published_at, &other.name)));
        let fits = |model: &Published| {
            let texts = [model.name.to_lowercase(), model.builder.to_string().to_lowercase(), model.id.to_string()];
            texts.iter().any(|text| text.contains(&search))
        };
        let models = models.into_iter().zip(1_u64..).filter(|(model, place)| *place > page.after && fits(model));
        let found: Vec<(Arc<Published>, u64)> = models.take(page.rows() as usize).collect();
        let next_after = page.next(found.len(), found.last().map(|(_, place)| *place));
        let data = found.iter().map(|(model, _)| registry_row(&app, model)).collect::<Result<_, _>>()?;
        Ok::<_, ApiError>(Listing { data, next_after })
    });
    Ok(Json(rows.await??))
}

fn registry_row(app: &App, model: &Published) -> Result<view::RegistryRow, ApiError> {
    let (answers, income) = app.tally.model(model.id)?;
    Ok(view::RegistryRow {
        name: model.name.clone(),
        id: model.id.into(),
        builder: model.builder.into(),
        price: price(&model.price),
        published_at: model.published_at,
        answers,
        income_wei: income.into(),
    })
}

/// Adapters with where they are: on disk, in memory, running.
pub(crate) async fn adapters(State(app): State<Arc<App>>) -> Json<AdapterList> {
    Json(AdapterList { data: app.server.adapters().iter().map(status::adapter).collect() })
}

/// One published model with its manifest.
pub(crate) async fn details(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Json<view::ModelDetail>, ApiError> {
    let model = app.catalog.by_name(&name).ok_or_else(|| ApiError::not_found("model", &name))?;
    Ok(Json(blocking(move || detail(&app, &model)).await??))
}

fn detail(app: &App, model: &Published) -> Result<view::ModelDetail, ApiError> {
    app.tally.catch_up()?;
    let artifact = app.catalog.artifact(model).map_err(|error| ApiError::internal(&error))?;
    let manifest = &artifact.manifest;
    let (answers, income) = app.tally.model(model.id)?;
    let mut datanets: Vec<u64> = manifest.snapshots.iter().map(|named| named.datanet.0).collect();
    datanets.sort_unstable();
    datanets.dedup();
    Ok(view::ModelDetail {
        name: model.name.clone(),
        id: model.id.into(),
        builder: model.builder.into(),
        price: price(&model.price),
        split: split(&model.split),
        published_at: model.published_at,
        manifest: AnyObject(serde_json::to_value(manifest).map_err(|error| ApiError::internal(&error))?),
        manifest_hash: artifact.manifest_hash.into(),
        datanets,
        parents: manifest.parents.iter().map(|&parent| link(app, parent)).collect(),
        children: children(app, model.id)?,
        revoked_records: revoked_records(app, manifest)?,
        answers,
        income_wei: income.into(),
    })
}

/// Counts what was taken back of a model's snapshots.
fn revoked_records(app: &App, manifest: &Manifest) -> Result<u64, ApiError> {
    let mut revoked = 0;
    for named in &manifest.snapshots {
        revoked += app.datanets.revoked_in(&app.datanets.snapshot(named.datanet, named.snapshot)?)?;
    }
    Ok(revoked)
}

fn link(app: &App, id: ModelId) -> view::ModelLink {
    view::ModelLink { id: id.into(), name: app.catalog.by_id(id).map(|model| model.name.clone()) }
}

fn children(app: &App, parent: ModelId) -> Result<Vec<view::ModelLink>, ApiError> {
    let mut children = Vec::new();
    for model in app.catalog.list() {
        let lineage = app.catalog.lineage(&model).map_err(|error| ApiError::internal(&error))?;
        if lineage.parents.contains(&parent) {
            children.push(view::ModelLink { id: model.id.into(), name: Some(model.name.clone()) });
        }
    }
    Ok(children)
}

/// A price as the API writes it.
pub(crate) fn price(price: &Price) -> training::Price {
    training::Price { input_wei: price.inputWei.into(), output_wei: price.outputWei.into() }
}

/// A split as the API writes it.
pub(crate) fn split(split: &SplitBps) -> training::SplitBps {
    training::SplitBps {
        burn: split.burn,
        operator: split.operatorBps,
        builder: split.builder,
        parents: split.parents,
        stakers: split.stakers,
        provenance: split.provenance,
    }
}
