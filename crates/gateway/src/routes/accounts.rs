//! What accounts earned and can take out.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use openledger_primitives::{Address, ModelId, Wei};
use openledger_settlement::epoch::Credit;
use openledger_settlement::ledger::{PAGE_MAX, ReadError, StatementEntry};
use serde::Deserialize;

use crate::api::settlement as view;
use crate::app::App;
use crate::error::ApiError;
use crate::routes::blocking;

/// Lines of a statement as a table.
const CSV_LINES_MAX: usize = 100_000;

/// What an account can claim under the latest final epoch, with its proof.
pub(crate) async fn claim(
    State(app): State<Arc<App>>,
    Path(account): Path<Address>,
) -> Result<Json<view::Claim>, ApiError> {
    let (epoch, proof) = blocking(move || {
        let epoch = app.ledger().last_final_epoch()?;
        let proof = if epoch == 0 { None } else { app.ledger().claim_proof(account, epoch)? };
        Ok::<_, ReadError>((epoch, proof))
    })
    .await??;
    Ok(Json(view::Claim { account: account.into(), epoch, proof }))
}

/// What an account earned, by role and model.
pub(crate) async fn earnings(
    State(app): State<Arc<App>>,
    Path(account): Path<Address>,
) -> Result<Json<view::Earnings>, ApiError> {
    let claimed = app.chain.hub().claimed(account).await?;
    let earnings = blocking(move || {
        app.tally.catch_up()?;
        let parts = app.tally.earned(account)?;
        let credited = app.ledger().credited(account, app.ledger().last_final_epoch()?)?;
        let total = Wei::checked_sum(parts.iter().map(|part| part.amount)).unwrap_or(credited);
        let names = names(&app);
        let by = parts.into_iter().map(|part| view::EarningsPart {
            role: role(part.role),
            model: name_of(&names, part.model),
            wei: part.amount.into(),
            answers: part.answers,
        });
        Ok::<_, ApiError>(view::Earnings {
            account: account.into(),
            credited_wei: credited.into(),
            claimed_wei: claimed.into(),
            claimable_wei: credited.checked_sub(claimed).unwrap_or_default().into(),
            pending_wei: total.checked_sub(credited).unwrap_or_default().into(),
            by: by.collect(),
        })
    });
    Ok(Json(earnings.await??))
}

fn role(credit: Credit) -> view::Role {
    match credit {
        Credit::Operator => view::Role::Operator,
        Credit::Builder => view::Role::Builder,
        Credit::Parent => view::Role::Parent,
        Credit::Influence => view::Role::Influence,
        Credit::Provenance => view::Role::Provenance,
        Credit::Reserve => view::Role::Reserve,
    }
}

fn names(app: &App) -> BTreeMap<ModelId, String> {
    app.catalog.list().iter().map(|model| (model.id, model.name.clone())).collect()
}

fn name_of(names: &BTreeMap<ModelId, String>, model: ModelId) -> String {
    names.get(&model).cloned().unwrap_or_else(|| model.to_string())
}

/// How many lines of a statement.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Lines {
    after: Option<u64>,
    limit: Option<usize>,
}

/// What each answer earned an account, the newest first; as a table where the path ends in `.csv`.
pub(crate) async fn statement(
    State(app): State<Arc<App>>,
    Path(account): Path<String>,
    Query(lines): Query<Lines>,
) -> Result<Response, ApiError> {
    let (text, table) = account.strip_suffix(".csv").map_or((account.as_str(), false), |text| (text, true));
    let account: Address = text
        .parse()
        .map_err(|_| ApiError::bad_request("malformed_address", "the path names no address").with_param("address"))?;
    if table {
        return csv_statement(app, account).await;
    }
    let limit = lines.limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let before = lines.after.filter(|after| *after > 0);
    let statement = blocking(move || {
        let data = app.ledger().statement_page(account, before, limit)?;
        let next_after = data.last().filter(|_| data.len() >= limit).map(|line| line.sequence);
        let names = names(&app);
        let data = data.iter().map(|entry| line(entry, &names)).collect();
        Ok::<_, ReadError>(view::Statement { account: account.into(), data, next_after })
    });
    Ok(Json(statement.await??).into_response())
}

fn line(entry: &StatementEntry, names: &BTreeMap<ModelId, String>) -> view::StatementLine {
    view::StatementLine {
        epoch: entry.epoch,
        receipt: entry.receipt.into(),
        sequence: entry.sequence,
        model: name_of(names, entry.model),
        answered_at: entry.answered_at,
        amount: entry.amount.into(),
    }
}

async fn csv_statement(app: Arc<App>, account: Address) -> Result<Response, ApiError> {
    let table = blocking(move || {
        let names = names(&app);
        let mut table = csv::Writer::from_writer(Vec::new());
        let failed = |error: csv::Error| ApiError::internal(&error);
        table.write_record(["epoch", "receipt", "model", "answered_at", "amount_wei"]).map_err(failed)?;
        let (mut before, mut written) = (None, 0);
        while written < CSV_LINES_MAX {
            let page = app.ledger().statement_page(account, before, PAGE_MAX)?;
            for entry in &page {
                let line = line(entry, &names);
                let cells = [
                    line.epoch.to_string(),
                    entry.receipt.to_string(),
                    plain_cell(line.model),
                    line.answered_at.to_string(),
                    entry.amount.to_string(),
                ];
                table.write_record(cells).map_err(failed)?;
            }
            written += page.len();
            let last = page.last().filter(|_| page.len() >= PAGE_MAX).map(|entry| entry.sequence);
            match last {
                Some(last) => before = Some(last),
                None => break,
            }
        }
        table.into_inner().map_err(|error| ApiError::internal(error.error()))
    });
    let disposition = format!("attachment; filename=\"statement-{account}.csv\"");
    let headers =
        [(header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()), (header::CONTENT_DISPOSITION, disposition)];
    Ok((headers, table.await??).into_response())
}

/// A cell that no spreadsheet takes for a formula: somebody else chose the model's name.
fn plain_cell(text: String) -> String {
    let formula = text.trim_start().starts_with(['=', '+', '-', '@', '\t', '\r', '|', '%']);
    if formula { format!("'{text}") } else { text }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        Self::internal(&error)
    }
}
