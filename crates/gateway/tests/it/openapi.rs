//! The OpenAPI document that clients generate their types from.

use openledger_gateway::api::document_json;

/// Set to write the document instead of comparing with it.
const WRITE: &str = "OPENLEDGER_WRITE_GOLDEN";

#[test]
fn the_committed_document_is_what_the_types_give() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(path, document_json()).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == document_json(), "crates/gateway/openapi.json is stale; run `cargo xtask gen`");
}
