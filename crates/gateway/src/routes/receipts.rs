//! Receipts and epochs: what anyone may check.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use openledger_primitives::{Address, ModelId, ReceiptHash};
use openledger_settlement::ledger::{DataPool, EpochRecord, EpochState, PAGE_MAX, RecordCredit};
use openledger_settlement::receipt::SignedReceipt;
use openledger_settlement::verify::ReceiptBundle;
use openledger_store::StoreError;
use serde::Deserialize;

use crate::api::Listing;
use crate::api::settlement as view;
use crate::app::App;
use crate::error::ApiError;
use crate::routes::blocking;

/// Which receipts.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Filter {
    epoch: Option<u64>,
    model: Option<String>,
    payer: Option<Address>,
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
}

/// Receipts in order, of one epoch or of all.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Query(filter): Query<Filter>,
) -> Result<Json<Listing<view::ReceiptRow>>, ApiError> {
    let limit = filter.limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let rows = blocking(move || {
        let (receipts, next_after) = find(&app, &filter, limit)?;
        let row = |signed: SignedReceipt| {
            let model = app.catalog.by_id(ModelId(signed.receipt.modelId)).map(|model| model.name.clone());
            view::ReceiptRow { hash: signed.hash().into(), model, receipt: signed }
        };
        Ok::<_, ApiError>(Listing { data: receipts.into_iter().map(row).collect(), next_after })
    });
    Ok(Json(rows.await??))
}

fn find(app: &App, filter: &Filter, limit: usize) -> Result<(Vec<SignedReceipt>, Option<u64>), ApiError> {
    let after = filter.after;
    if filter.model.is_none() && filter.payer.is_none() {
        let receipts = app.ledger().receipts_page(filter.epoch, after, limit)?;
        let next = receipts.last().map(|signed| signed.receipt.sequence);
        return Ok((receipts, next));
    }
    app.tally.catch_up()?;
    let model = filter.model.as_deref().map(|text| model_id(app, text)).transpose()?;
    let numbers = app.tally.receipts(model, filter.payer, after, limit)?;
    let next = numbers.last().copied();
    let mut receipts = Vec::with_capacity(numbers.len());
    for number in numbers {
        let receipt = app.ledger().receipt_at(number)?;
        receipts.extend(receipt.filter(|signed| filter.epoch.is_none_or(|epoch| signed.receipt.epoch == epoch)));
    }
    Ok((receipts, next))
}

/// A model by name or id.
fn model_id(app: &App, text: &str) -> Result<ModelId, ApiError> {
    let named = app.catalog.by_name(text).map(|model| model.id);
    named.or_else(|| text.parse().ok()).ok_or_else(|| ApiError::not_found("model", text))
}

/// One receipt with all that is needed to check it offline.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Path(hash): Path<ReceiptHash>,
) -> Result<Json<ReceiptBundle>, ApiError> {
    let bundle = blocking(move || app.ledger().bundle(hash)).await??;
    bundle.map(Json).ok_or_else(|| ApiError::not_found("receipt", hash))
}

/// The records that an answer was paid for. They stay when its body is forgotten.
pub(crate) async fn records(
    State(app): State<Arc<App>>,
    Path(hash): Path<ReceiptHash>,
) -> Result<Json<Listing<view::ReceiptRecord>>, ApiError> {
    let rows = blocking(move || {
        let signed = app.ledger().receipt(hash)?.ok_or_else(|| ApiError::not_found("receipt", hash))?;
        let credits = app.ledger().record_credits(signed.receipt.sequence)?;
        Ok::<_, ApiError>(Listing { data: credits.iter().map(record).collect(), next_after: None })
    });
    Ok(Json(rows.await??))
}

fn record(credit: &RecordCredit) -> view::ReceiptRecord {
    view::ReceiptRecord {
        pool: match credit.pool {
            DataPool::Influence => view::DataPool::Influence,
            DataPool::Provenance => view::DataPool::Provenance,
        },
        record: credit.record.into(),
        datanet: credit.datanet.0,
        contributor: credit.contributor.into(),
        earned_wei: credit.amount.into(),
    }
}

/// Where to go on among epochs.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Page {
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
}

/// Epochs in order.
pub(crate) async fn epochs(
    State(app): State<Arc<App>>,
    Query(page): Query<Page>,
) -> Result<Json<Listing<view::Epoch>>, ApiError> {
    let mut epochs = blocking(move || app.ledger().epochs(page.after)).await??;
    epochs.truncate(page.limit.unwrap_or(PAGE_MAX).max(1));
    let next_after = epochs.last().map(|epoch| epoch.number);
    Ok(Json(Listing { data: epochs.iter().map(epoch).collect(), next_after }))
}

fn epoch(record: &EpochRecord) -> view::Epoch {
    let post = record.post.as_ref().map(|post| view::EpochPost {
        receipts_root: post.receiptsRoot.into(),
        receipt_count: post.receiptCount,
        balance_root: post.balanceRoot.into(),
        account_count: post.accountCount,
        total_balance_wei: post.totalBalance.into(),
        fees_wei: post.fees.into(),
        burned_wei: post.burned.into(),
        stakers_wei: post.stakers.into(),
        da_commitment: post.daCommitment.into(),
    });
    view::Epoch {
        number: record.number,
        state: match record.state {
            EpochState::Open => view::EpochState::Open,
            EpochState::Sealed => view::EpochState::Sealed,
            EpochState::Closed => view::EpochState::Closed,
            EpochState::Posted => view::EpochState::Posted,
            EpochState::Final => view::EpochState::Final,
            // The crate may add states; none is beyond final.
            _ => view::EpochState::Final,
        },
        opened_at: record.opened_at,
        receipts: record.receipts,
        post,
        final_at: record.final_at,
        post_tx: record.post_tx.map(Into::into),
        final_tx: record.final_tx.map(Into::into),
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            // A cursor or a number from outside that no row can have.
            StoreError::OutOfRange { .. } => Self::invalid("out_of_range", error.to_string()),
            StoreError::DiskFull => Self::disk_full(error.to_string()),
            _ => Self::internal(&error),
        }
    }
}
