//! Datanets: created and revealed on chain by their people, filled and validated here.
//!
//! A contribution goes: upload in chunks, prepare a batch, commit and reveal on chain (the contributor's own
//! transactions), then tell this server, which reads the chain before it believes anything.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use openledger_contracts::addresses::DATANET_REGISTRY;
use openledger_contracts::{IDatanetRegistry, LicenceTerms};
use openledger_datanet::{
    BatchError, BatchState, DatanetError, DatanetFilter, DatanetInfo, Datanets, Format, LoadBatchError, Mapping,
    NewUpload, PrepareError, PreparedBatch, RecordAccessError, SnapshotError, SnapshotInfo, Upload, UploadError,
};
use openledger_primitives::{Address, B256, Bytes as HexBytes, DatanetId};
use openledger_sdk::ChainError;
use openledger_store::BlobError;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::Listing;
use crate::api::datanets as view;
use crate::app::App;
use crate::error::{ApiError, chain};
use crate::guard::Caller;
use crate::revocations;
use crate::routes::{Paging, blocking};

/// Records shown of a file that would be contributed.
const PREVIEW_RECORDS: usize = 20;
/// Longest text searched for, in bytes.
const SEARCH_BYTES_MAX: usize = 256;

/// Which Datanets.
#[derive(Debug, Deserialize)]
pub(crate) struct Filter {
    search: Option<String>,
    owner: Option<Address>,
}

impl From<view::LicenceTerms> for LicenceTerms {
    fn from(terms: view::LicenceTerms) -> Self {
        Self {
            commercialUse: terms.commercial_use,
            derivatives: terms.derivatives,
            attribution: terms.attribution,
            revenueFloorBps: terms.revenue_floor_bps,
            expiry: terms.expiry,
            uri: terms.uri,
        }
    }
}

/// Datanets by number.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Query(filter): Query<Filter>,
    Query(page): Query<Paging>,
) -> Result<Json<Listing<view::Datanet>>, ApiError> {
    let Filter { search, owner } = filter;
    if search.as_ref().is_some_and(|text| text.len() > SEARCH_BYTES_MAX) {
        let message = format!("at most {SEARCH_BYTES_MAX} bytes are searched for");
        return Err(ApiError::invalid("search_too_long", message).with_param("search"));
    }
    let rows = blocking(move || {
        app.tally.catch_up()?;
        let found = app.datanets.search(&DatanetFilter { search, owner }, page.after, page.rows())?;
        let next_after = page.next(found.len(), found.last().map(|info| info.id.0));
        let data = found.iter().map(|info| entry(&app, info)).collect::<Result<_, _>>()?;
        Ok::<_, ApiError>(Listing { data, next_after })
    });
    Ok(Json(rows.await??))
}

/// One Datanet.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Path(id): Path<DatanetId>,
) -> Result<Json<view::DatanetDetail>, ApiError> {
    let detail = blocking(move || {
        app.tally.catch_up()?;
        let info = app.datanets.datanet(id)?;
        let rejections = app.datanets.rejections(id)?.into_iter();
        let rejections =
            rejections.map(|of| view::ReasonCount { reason: of.reason.to_owned(), count: of.count }).collect();
        let model_names = trained_on(&app, id)?;
        Ok::<_, ApiError>(view::DatanetDetail { datanet: entry(&app, &info)?, rejections, model_names })
    });
    Ok(Json(detail.await??))
}

/// Names of the published models trained on a Datanet.
fn trained_on(app: &App, id: DatanetId) -> Result<Vec<String>, ApiError> {
    let mut names = Vec::new();
    for model in app.catalog.list() {
        let lineage = app.catalog.lineage(&model).map_err(|error| ApiError::internal(&error))?;
        names.extend(lineage.datanets.contains(&id).then(|| model.name.clone()));
    }
    Ok(names)
}

fn entry(app: &App, info: &DatanetInfo) -> Result<view::Datanet, ApiError> {
    let counts = app.datanets.counts(info.id)?;
    let terms = &info.terms;
    Ok(view::Datanet {
        id: info.id.0,
        owner: info.owner.into(),
        name: info.name.clone(),
        licence_hash: info.licence_hash().into(),
        terms: view::LicenceTerms {
            commercial_use: terms.commercialUse,
            derivatives: terms.derivatives,
            attribution: terms.attribution,
            revenue_floor_bps: terms.revenueFloorBps,
            expiry: terms.expiry,
            uri: terms.uri.clone(),
        },
        similarity_per_mille: info.similarity_per_mille,
        records_offered: counts.offered,
        records_accepted: counts.accepted,
        contributors: counts.contributors,
        snapshots: counts.snapshots,
        models: trained_on(app, info.id)?.len() as u64,
        income_wei: app.tally.datanet(info.id)?.into(),
    })
}

/// Takes note of a Datanet; name, owner and licence are read from the chain.
pub(crate) async fn register(
    State(app): State<Arc<App>>,
    Json(body): Json<view::RegisterDatanet>,
) -> Result<Json<view::Datanet>, ApiError> {
    let id = DatanetId(body.id);
    let call = IDatanetRegistry::getDatanetCall { datanetId: body.id };
    let on_chain = app.chain.call(DATANET_REGISTRY, &call).await?;
    let info = DatanetInfo::new(id, on_chain.owner, on_chain.name, body.terms.into());
    if info.licence_hash() != on_chain.licenceHash {
        let message = format!("these terms hash to {}; the registry has {}", info.licence_hash(), on_chain.licenceHash);
        return Err(ApiError::invalid("other_terms", message).with_param("terms"));
    }
    let shown = blocking(move || {
        app.datanets.create(&info)?;
        entry(&app, &info)
    });
    Ok(Json(shown.await??))
}

/// A file about to be uploaded.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BeginUpload {
    contributor: Address,
    file_name: String,
    bytes: u64,
    hash: B256,
}

/// Begins an upload, or says where the same one stopped. In a session it is in the name of the session's account.
pub(crate) async fn begin_upload(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(datanet): Path<DatanetId>,
    Json(body): Json<BeginUpload>,
) -> Result<Json<Upload>, ApiError> {
    let BeginUpload { contributor, file_name, bytes, hash } = body;
    if let Some(account) = caller.address().filter(|account| *account != contributor) {
        let message = format!("the session is that of {account}; it cannot upload in the name of {contributor}");
        return Err(ApiError::new(StatusCode::FORBIDDEN, "not_contributor", message).with_param("contributor"));
    }
    let new = NewUpload { datanet, contributor, file_name, bytes, hash };
    let upload = blocking(move || {
        let upload = app.datanets.begin_upload(&new)?;
        completed(&app.datanets, upload)
    });
    Ok(Json(upload.await??))
}

/// Checks the hash of an upload whose bytes are all here. That is due with the last chunk; a node that died in between
/// does it when it is next asked.
fn completed(datanets: &Datanets, upload: Upload) -> Result<Upload, UploadError> {
    let due = !upload.finished && upload.received_bytes == upload.declared.bytes;
    if due { datanets.finish_upload(upload.id) } else { Ok(upload) }
}

/// Where a chunk belongs.
#[derive(Debug, Deserialize)]
pub(crate) struct Place {
    offset: u64,
}

/// Adds a chunk; with the last one the file's hash is checked.
pub(crate) async fn append_upload(
    State(app): State<Arc<App>>,
    Path(id): Path<B256>,
    Query(place): Query<Place>,
    chunk: Bytes,
) -> Result<Json<Upload>, ApiError> {
    let upload = blocking(move || {
        let upload = app.datanets.append_upload(id, place.offset, &chunk)?;
        completed(&app.datanets, upload)
    });
    Ok(Json(upload.await??))
}

/// How far an upload has come.
pub(crate) async fn upload_status(State(app): State<Arc<App>>, Path(id): Path<B256>) -> Result<Json<Upload>, ApiError> {
    let upload = blocking(move || {
        let upload = app.datanets.upload(id)?;
        completed(&app.datanets, upload)
    });
    Ok(Json(upload.await??))
}

/// Forgets an upload.
pub(crate) async fn abort_upload(State(app): State<Arc<App>>, Path(id): Path<B256>) -> Result<StatusCode, ApiError> {
    blocking(move || app.datanets.abandon_upload(id)).await??;
    Ok(StatusCode::NO_CONTENT)
}

/// Which upload, read how.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Prepare {
    upload: B256,
    #[serde(default)]
    format: Option<Format>,
    #[serde(default)]
    mapping: Option<Mapping>,
    /// Only say what would become of the file.
    #[serde(default)]
    preview: bool,
}

/// Makes a batch of an upload: its root, its commitment and what the contributor signs.
pub(crate) async fn prepare_batch(
    State(app): State<Arc<App>>,
    Path(datanet): Path<DatanetId>,
    Json(body): Json<Prepare>,
) -> Result<Json<Value>, ApiError> {
    let shared = Arc::clone(&app);
    let id = body.upload;
    let upload = blocking(move || {
        let upload = shared.datanets.upload(id)?;
        completed(&shared.datanets, upload)
    });
    let upload = upload.await??;
    if upload.declared.datanet != datanet {
        return Err(ApiError::not_found("upload", body.upload));
    }
    let format = body.format.or_else(|| Format::from_name(&upload.declared.file_name));
    let format = format.ok_or_else(|| {
        let message = format!("the name {:?} does not say which format the file has", upload.declared.file_name);
        ApiError::invalid("unknown_format", message).with_param("format")
    })?;
    let work = move || {
        let mapping = body.mapping.as_ref();
        let preview = app.datanets.preview(body.upload, format, mapping, PREVIEW_RECORDS)?;
        if body.preview {
            return Ok::<_, PrepareError>(json!({"preview": preview}));
        }
        let (batch, _) = app.datanets.prepare_upload(body.upload, format, mapping)?;
        Ok(json!({"batch": prepared(&batch), "preview": preview}))
    };
    Ok(Json(blocking(work).await??))
}

fn prepared(batch: &PreparedBatch) -> view::PreparedBatch {
    view::PreparedBatch {
        datanet: batch.context().datanet.0,
        contributor: batch.contributor().into(),
        batch_root: batch.root().into(),
        record_count: batch.record_count(),
        salt: batch.salt().into(),
        commitment: batch.commitment().into(),
        licence_hash: batch.consent().licenceHash.into(),
        consent_digest: batch.consent_digest().into(),
    }
}

/// A batch by its commitment, so that a contribution goes on wherever it stopped.
///
/// Whoever knows the commitment may ask: what opens it on chain names the contributor and needs their signature, and
/// root and salt say nothing about the records, whose hashes have salts of their own.
pub(crate) async fn batch(
    State(app): State<Arc<App>>,
    Path(commitment): Path<B256>,
) -> Result<Json<view::Batch>, ApiError> {
    let stored = blocking(move || app.datanets.batch(commitment)).await??;
    let state = match stored.state {
        BatchState::Prepared => view::BatchState::Prepared,
        BatchState::Committed => view::BatchState::Committed,
        BatchState::Revealed => view::BatchState::Revealed,
        BatchState::Accepted => view::BatchState::Accepted,
    };
    Ok(Json(view::Batch { batch: prepared(&stored.batch), state, priority: stored.priority }))
}

/// The contributor's consent.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Revealed {
    consent: HexBytes,
}

/// Accepts a batch that was revealed on chain: decides which of its records are new.
pub(crate) async fn revealed(
    State(app): State<Arc<App>>,
    Path(commitment): Path<B256>,
    Json(body): Json<Revealed>,
) -> Result<Json<Value>, ApiError> {
    let on_chain = app.chain.call(DATANET_REGISTRY, &IDatanetRegistry::getCommitmentCall { commitment }).await?;
    if !on_chain.revealed {
        return Err(ApiError::conflict("not_revealed", format!("batch {commitment} is not revealed on chain")));
    }
    let work = move || {
        app.datanets.mark_committed(commitment, on_chain.priority)?;
        app.datanets.mark_revealed_on_chain(commitment, &body.consent)?;
        app.datanets.accept(commitment)
    };
    let report = blocking(work).await??;
    Ok(Json(json!({"commitment": commitment, "priority": on_chain.priority, "report": report})))
}

/// Freezes what is accepted now; the curator publishes the root on chain.
pub(crate) async fn snapshot(
    State(app): State<Arc<App>>,
    Path(datanet): Path<DatanetId>,
) -> Result<Json<Value>, ApiError> {
    // What was taken back in a block is in no snapshot after it.
    revocations::catch_up(&app).await?;
    let snapshot = blocking(move || app.datanets.take_snapshot(datanet)).await??;
    let content = openledger_primitives::keccak256(snapshot.body());
    Ok(Json(json!({
        "datanet": datanet, "snapshot": snapshot.id, "root": snapshot.root(),
        "record_count": snapshot.entries.len(), "contributor_count": snapshot.contributor_count(),
        "content_hash": content,
    })))
}

/// Snapshots in order.
pub(crate) async fn snapshots(
    State(app): State<Arc<App>>,
    Path(datanet): Path<DatanetId>,
    Query(page): Query<Paging>,
) -> Result<Json<Listing<view::Snapshot>>, ApiError> {
    let found = blocking(move || {
        app.datanets.datanet(datanet)?;
        Ok::<_, ApiError>(app.datanets.snapshots(datanet, page.after, page.rows())?)
    });
    let found = found.await??;
    let next_after = page.next(found.len(), found.last().map(|snapshot| snapshot.id.0));
    let row = |snapshot: &SnapshotInfo| view::Snapshot {
        snapshot: snapshot.id.0,
        root: snapshot.root.into(),
        record_count: snapshot.record_count,
        contributor_count: snapshot.contributor_count,
        content_hash: snapshot.content_hash.into(),
    };
    Ok(Json(Listing { data: found.iter().map(row).collect(), next_after }))
}

/// A snapshot's body by its root: whoever has it can make the root, and knows whom a reserve pays.
pub(crate) async fn snapshot_body(State(app): State<Arc<App>>, Path(root): Path<B256>) -> Result<Response, ApiError> {
    let body = blocking(move || {
        let place = app.datanets.snapshot_of_root(root)?;
        let (datanet, id) = place.ok_or_else(|| ApiError::not_found("snapshot", root))?;
        Ok::<_, ApiError>(app.datanets.snapshot(datanet, id)?.body())
    });
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], body.await??).into_response())
}

impl From<ChainError> for ApiError {
    fn from(error: ChainError) -> Self {
        tracing::warn!(error = %chain(&error), "the chain refused or cannot be reached");
        Self::new(StatusCode::BAD_GATEWAY, "chain_error", chain(&error))
    }
}

impl From<DatanetError> for ApiError {
    fn from(error: DatanetError) -> Self {
        match error {
            DatanetError::Unknown { datanet } => Self::not_found("datanet", datanet),
            DatanetError::Exists { .. } => Self::conflict("datanet_exists", error.to_string()),
            DatanetError::Store(error) => error.into(),
            _ => Self::invalid("invalid_datanet", error.to_string()),
        }
    }
}

impl From<UploadError> for ApiError {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::Unknown { id } => Self::not_found("upload", id),
            UploadError::UnknownDatanet { datanet } => Self::not_found("datanet", datanet),
            UploadError::Size { .. } | UploadError::PartSize { .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "upload_too_large", error.to_string())
            }
            UploadError::Offset { .. } | UploadError::Incomplete { .. } => {
                Self::conflict("upload_offset", error.to_string())
            }
            UploadError::DiskFull => Self::disk_full(error.to_string()),
            UploadError::Store(error) => error.into(),
            _ => Self::invalid("invalid_upload", chain(&error)),
        }
    }
}

impl From<PrepareError> for ApiError {
    fn from(error: PrepareError) -> Self {
        match error {
            PrepareError::Datanet(error) => error.into(),
            PrepareError::Upload(error) => error.into(),
            PrepareError::Store(error) => error.into(),
            PrepareError::Blob(error @ BlobError::DiskFull { .. }) => Self::disk_full(error.to_string()),
            PrepareError::Blob(error) => Self::internal(&error),
            PrepareError::Unfinished { .. } => Self::conflict("upload_unfinished", error.to_string()),
            PrepareError::NothingAccepted(ref report) => {
                // The first reason usually holds for all rows, and says what to change.
                let first = report.rejections.first().map(|one| format!("; {one}"));
                Self::invalid("unusable_file", error.to_string() + &first.unwrap_or_default())
            }
            _ => Self::invalid("unusable_file", chain(&error)),
        }
    }
}

impl From<BatchError> for ApiError {
    fn from(error: BatchError) -> Self {
        match error {
            BatchError::Unknown { commitment } => Self::not_found("batch", commitment),
            BatchError::WrongState { .. } | BatchError::OtherPriority { .. } => {
                Self::conflict("batch_state", error.to_string())
            }
            BatchError::Consent(_) => Self::invalid("invalid_consent", chain(&error)).with_param("consent"),
            BatchError::Store(error) => error.into(),
            _ => Self::internal(&error),
        }
    }
}

impl From<LoadBatchError> for ApiError {
    fn from(error: LoadBatchError) -> Self {
        match error {
            LoadBatchError::Unknown { commitment } => Self::not_found("batch", commitment),
            _ => Self::internal(&error),
        }
    }
}

impl From<SnapshotError> for ApiError {
    fn from(error: SnapshotError) -> Self {
        match error {
            SnapshotError::Unknown { .. } => Self::new(StatusCode::NOT_FOUND, "snapshot_not_found", error.to_string()),
            SnapshotError::Empty { .. } => Self::conflict("nothing_accepted", error.to_string()),
            _ => Self::internal(&error),
        }
    }
}

impl From<RecordAccessError> for ApiError {
    fn from(error: RecordAccessError) -> Self {
        match error {
            RecordAccessError::Unknown { record } => Self::not_found("record", record),
            RecordAccessError::NotContributor { .. } => {
                Self::new(StatusCode::FORBIDDEN, "not_contributor", error.to_string())
            }
            _ => Self::internal(&error),
        }
    }
}
