//! How the node is doing: for people, for load balancers, for dashboards.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::app::App;
use crate::metrics::Exposition;

/// Alive.
pub(crate) async fn health() -> &'static str {
    "ok\n"
}

/// Model server and settlement in one object.
pub(crate) async fn show(State(app): State<Arc<App>>) -> Json<Value> {
    let settlement = app.settlement.borrow().clone();
    Json(json!({
        "operator": app.till.operator(),
        "chain_id": app.ledger().chain_id(),
        "base_model": {"name": app.catalog.base_name(), "hash": app.catalog.base().hash()},
        "models": app.catalog.list().len(),
        "settlement": settlement,
    }))
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
