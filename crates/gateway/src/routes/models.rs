//! `/v1/models` as OpenAI's clients read it, and the adapters as vLLM's do.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use openledger_primitives::Wei;
use serde_json::{Value, json};

use crate::app::App;
use crate::catalog::Published;

/// The base model and every published adapter.
pub(crate) async fn list(State(app): State<Arc<App>>) -> Json<Value> {
    let base = app.catalog.base_name();
    let mut models = vec![json!({
        "id": base, "object": "model", "created": 0, "owned_by": "openledger", "root": base, "parent": null,
        "openledger": {"base_model": app.catalog.base().hash(), "price": null},
    })];
    models.extend(app.catalog.list().iter().map(|model| entry(model, base)));
    Json(json!({"object": "list", "data": models}))
}

fn entry(model: &Published, base: &str) -> Value {
    json!({
        "id": model.name, "object": "model", "created": model.published_at, "owned_by": model.builder,
        "root": model.name, "parent": base,
        "openledger": {
            "model_id": model.id,
            "weights_hash": model.weights_hash,
            "index_root": model.index_root,
            "snapshot_roots": model.snapshot_roots,
            "price": {"input_wei": Wei(model.price.inputWei), "output_wei": Wei(model.price.outputWei)},
        },
    })
}

/// Adapters with where they are: on disk, in memory, running.
pub(crate) async fn adapters(State(app): State<Arc<App>>) -> Json<Value> {
    Json(json!({"data": app.server.adapters()}))
}
