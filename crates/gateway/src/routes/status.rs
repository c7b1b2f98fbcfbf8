//! How the node is doing: for people, for load balancers, for dashboards.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use openledger_contracts::addresses;
use openledger_serve::{AdapterInfo, AdapterState, MetricsSnapshot};
use openledger_settlement::ledger::PAGE_MAX;
use openledger_settlement::worker::WorkerStatus;

use crate::api::{document_json, node};
use crate::app::App;
use crate::error::ApiError;
use crate::metrics::Exposition;
use crate::routes::blocking;

/// Seconds between two grants of the faucet to one account.
const FAUCET_EVERY_S: u64 = 60 * 60;

/// Alive and able to do its work: 503 with the reason while the chain can make no blocks.
pub(crate) async fn health(State(app): State<Arc<App>>) -> (StatusCode, String) {
    match chain_trouble(&app) {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(trouble) => (StatusCode::SERVICE_UNAVAILABLE, format!("{trouble}\n")),
    }
}

fn chain_trouble(app: &App) -> Option<String> {
    app.chain_trouble.borrow().clone()
}

/// The OpenAPI document.
pub(crate) async fn openapi() -> Response {
    static DOCUMENT: std::sync::LazyLock<String> = std::sync::LazyLock::new(document_json);
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.as_str()).into_response()
}

/// Chain, model server and settlement in one object.
pub(crate) async fn show(State(app): State<Arc<App>>) -> Json<node::Status> {
    let site = &app.site;
    let chain = node::ChainInfo {
        id: app.ledger().chain_id(),
        name: "OpenLedger Devnet".to_owned(),
        rpc_url: site.rpc_url.clone(),
        currency: node::Currency { name: "OPEN".to_owned(), symbol: "OPEN".to_owned(), decimals: 18 },
        block_time_s: site.block_time_s,
        challenge_window_s: site.challenge_window_s,
        development: site.development,
        contracts: contracts(),
        error: chain_trouble(&app),
    };
    Json(node::Status {
        operator: app.till.operator().into(),
        chain_id: chain.id,
        chain,
        faucet_wei: faucet_wei(&app).map(Into::into),
        base_model: node::BaseModel {
            name: app.catalog.base_name().to_owned(),
            hash: app.catalog.base().hash().into(),
        },
        models: app.catalog.list().len() as u64,
        settlement: settlement(&app.settlement.borrow()),
    })
}

fn contracts() -> node::Contracts {
    node::Contracts {
        wrapped_open: addresses::WRAPPED_OPEN.into(),
        datanet_registry: addresses::DATANET_REGISTRY.into(),
        model_registry: addresses::MODEL_REGISTRY.into(),
        inference_hub: addresses::INFERENCE_HUB.into(),
        staker_pool: addresses::STAKER_POOL.into(),
        receipt_judge: addresses::RECEIPT_JUDGE.into(),
    }
}

fn settlement(status: &WorkerStatus) -> node::SettlementStatus {
    node::SettlementStatus {
        receipts_waiting: status.receipts_waiting,
        epochs_pending: status.epochs_pending,
        last_final: status.last_final,
        error: status.error.clone(),
    }
}

fn faucet_wei(app: &App) -> Option<openledger_primitives::Wei> {
    app.site.faucet.filter(|_| app.site.development)
}

/// Gives money of a development network, once an hour for an account.
pub(crate) async fn faucet(
    State(app): State<Arc<App>>,
    Json(body): Json<node::FaucetRequest>,
) -> Result<Json<node::FaucetGrant>, ApiError> {
    let amount = faucet_wei(&app).ok_or_else(|| ApiError::not_found("faucet", "on this chain"))?;
    let address = body.address.0;
    let shared = Arc::clone(&app);
    // The grant is noted before it is sent: two requests at once get one.
    let noted = blocking(move || shared.sessions.grant(address, FAUCET_EVERY_S)).await??;
    if let Err(wait_s) = noted {
        return Err(ApiError::busy("the faucet gives an account once an hour", wait_s * 1000));
    }
    match app.chain.transfer(address, amount).await {
        Ok(sent) => Ok(Json(node::FaucetGrant { tx_hash: sent.hash.into(), amount_wei: amount.into() })),
        // It may still get into a block; a second grant could be one too many.
        Err(error @ openledger_sdk::ChainError::TimedOut { .. }) => Err(error.into()),
        Err(error) => {
            blocking(move || app.sessions.take_back(address)).await??;
            Err(error.into())
        }
    }
}

/// The operator's machine: adapters, load, disk.
pub(crate) async fn operator(State(app): State<Arc<App>>) -> Result<Json<node::Operator>, ApiError> {
    let shared = Arc::clone(&app);
    let (channels, disk) = blocking(move || {
        let channels = shared.ledger().unclaimed_channels()?.len().min(PAGE_MAX);
        Ok::<_, ApiError>((channels, free_bytes(shared.store.dir())?))
    })
    .await??;
    let settlement = settlement(&app.settlement.borrow());
    Ok(Json(node::Operator {
        adapters: app.server.adapters().iter().map(adapter).collect(),
        metrics: counters(&app, &app.server.metrics()),
        settlement,
        channels_unclaimed: channels as u64,
        disk_free_bytes: disk,
    }))
}

fn free_bytes(folder: &std::path::Path) -> Result<u64, ApiError> {
    let stat = rustix::fs::statvfs(folder).map_err(|error| ApiError::internal(&std::io::Error::from(error)))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// An adapter without its place on the disk, which is nobody's business.
pub(crate) fn adapter(info: &AdapterInfo) -> node::Adapter {
    let state = match info.state {
        AdapterState::Registered => node::AdapterState::Registered,
        AdapterState::Loading => node::AdapterState::Loading,
        AdapterState::Cached => node::AdapterState::Cached,
        AdapterState::Running => node::AdapterState::Running,
    };
    node::Adapter {
        id: info.id.to_string(),
        generation: info.generation,
        weights_hash: info.weights_hash.into(),
        state,
        bytes: info.bytes,
    }
}

fn counters(app: &App, snapshot: &MetricsSnapshot) -> node::Metrics {
    let blocks = app.server.config().kv_blocks(app.catalog.base().config()) as u64;
    node::Metrics {
        requests_running: snapshot.num_requests_running as u64,
        requests_waiting: snapshot.num_requests_waiting as u64,
        requests_done_total: snapshot.request_success_total.values().sum(),
        requests_cancelled_total: snapshot.request_cancelled_total,
        requests_failed_total: snapshot.request_failed_total,
        tokens_in_total: snapshot.prompt_tokens_total,
        tokens_out_total: snapshot.generation_tokens_total,
        tokens_out_per_s: snapshot.generation_throughput_tps,
        // The server says which share is in use; it is made of whole blocks.
        kv_blocks_used: (snapshot.kv_cache_usage_perc * blocks as f64).round() as u64,
        kv_blocks_total: blocks,
        adapters_registered: snapshot.adapters_registered as u64,
        adapters_cached: snapshot.adapters_cached as u64,
        adapter_cache_bytes: snapshot.adapter_cache_bytes,
        adapter_loads_total: snapshot.adapter_loads_total,
        adapter_evictions_total: snapshot.adapter_evictions_total,
    }
}

/// Metrics in Prometheus' text format, under vLLM's names.
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let mut exposition = Exposition::new(app.catalog.base_name());
    exposition.server(&app.server.metrics());
    let settlement = app.settlement.borrow().clone();
    exposition.gauge("openledger:receipts_waiting", settlement.receipts_waiting);
    exposition.gauge("openledger:epochs_pending", settlement.epochs_pending);
    exposition.gauge("openledger:last_final_epoch", settlement.last_final);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], exposition.finish()).into_response()
}
