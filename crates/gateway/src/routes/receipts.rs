//! Receipts, epochs, claims and statements: what anyone may check.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use openledger_primitives::{Address, ReceiptHash, Wei};
use openledger_settlement::ledger::{EpochRecord, ReadError};
use openledger_settlement::receipt::SignedReceipt;
use openledger_settlement::verify::ReceiptBundle;
use openledger_store::StoreError;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::App;
use crate::error::ApiError;
use crate::routes::blocking;

/// Which page of a listing.
#[derive(Debug, Deserialize)]
pub(crate) struct Page {
    epoch: Option<u64>,
    #[serde(default)]
    after: u64,
}

/// Receipts in order, of one epoch or of all.
pub(crate) async fn list(State(app): State<Arc<App>>, Query(page): Query<Page>) -> Result<Json<Value>, ApiError> {
    let receipts = blocking(move || app.ledger().receipts(page.epoch, page.after)).await??;
    let entry = |signed: &SignedReceipt| json!({"hash": signed.hash(), "receipt": signed});
    let next = receipts.last().map(|signed| signed.receipt.sequence);
    Ok(Json(json!({"data": receipts.iter().map(entry).collect::<Vec<_>>(), "next_after": next})))
}

/// One receipt with all that is needed to check it offline.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Path(hash): Path<ReceiptHash>,
) -> Result<Json<ReceiptBundle>, ApiError> {
    let bundle = blocking(move || app.ledger().bundle(hash)).await??;
    bundle.map(Json).ok_or_else(|| ApiError::not_found("receipt", hash))
}

/// Epochs in order.
pub(crate) async fn epochs(State(app): State<Arc<App>>, Query(page): Query<Page>) -> Result<Json<Value>, ApiError> {
    let epochs = blocking(move || app.ledger().epochs(page.after)).await??;
    Ok(Json(json!({"data": epochs.iter().map(epoch).collect::<Vec<_>>()})))
}

fn epoch(record: &EpochRecord) -> Value {
    let post = record.post.as_ref().map(|post| {
        json!({
            "receipts_root": post.receiptsRoot, "receipt_count": post.receiptCount,
            "balance_root": post.balanceRoot, "account_count": post.accountCount,
            "total_balance_wei": Wei(post.totalBalance), "fees_wei": Wei(post.fees),
            "burned_wei": Wei(post.burned), "stakers_wei": Wei(post.stakers),
            "da_commitment": post.daCommitment,
        })
    });
    json!({
        "number": record.number, "state": record.state, "opened_at": record.opened_at, "receipts": record.receipts,
        "post": post, "final_at": record.final_at, "post_tx": record.post_tx, "final_tx": record.final_tx,
    })
}

/// What an account can claim under the latest final epoch, with its proof.
pub(crate) async fn claim(State(app): State<Arc<App>>, Path(account): Path<Address>) -> Result<Json<Value>, ApiError> {
    let (epoch, proof) = blocking(move || {
        let epoch = app.ledger().last_final_epoch()?;
        let proof = if epoch == 0 { None } else { app.ledger().claim_proof(account, epoch)? };
        Ok::<_, ReadError>((epoch, proof))
    })
    .await??;
    Ok(Json(json!({"account": account, "epoch": epoch, "proof": proof})))
}

/// What each answer earned an account.
pub(crate) async fn statement(
    State(app): State<Arc<App>>,
    Path(account): Path<Address>,
) -> Result<Json<Value>, ApiError> {
    let lines = blocking(move || app.ledger().statement(account)).await??;
    Ok(Json(json!({"account": account, "data": lines})))
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::internal(&error)
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        Self::internal(&error)
    }
}
