//! Search: what somebody who types a number, a hash, an address or a name may mean.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use openledger_datanet::{DatanetError, DatanetFilter, RecordAccessError};
use openledger_primitives::{Address, B256, DatanetId, ModelId, ReceiptHash, RecordHash};
use serde::Deserialize;

use crate::api::search as view;
use crate::app::App;
use crate::error::ApiError;
use crate::routes::blocking;

/// Longest text searched for, in bytes.
const QUERY_BYTES_MAX: usize = 512;
/// Most models and most Datanets named for one text.
const NAMED_MAX: usize = 10;

/// The text.
#[derive(Debug, Deserialize)]
pub(crate) struct Question {
    q: String,
}

/// Everything that the text may mean. A text that means nothing is no error: it has no matches.
pub(crate) async fn search(
    State(app): State<Arc<App>>,
    Query(question): Query<Question>,
) -> Result<Json<view::SearchResult>, ApiError> {
    let text = question.q.trim();
    if text.len() > QUERY_BYTES_MAX {
        let message = format!("the text has {} bytes; at most {QUERY_BYTES_MAX} are searched for", text.len());
        return Err(ApiError::invalid("search_too_long", message).with_param("q"));
    }
    let mut data: Vec<view::Match> = Vec::new();
    for target in targets(text) {
        for found in find(&app, target).await? {
            // A number may also be part of a name: each thing is named once.
            if !data.contains(&found) {
                data.push(found);
            }
        }
    }
    Ok(Json(view::SearchResult { data }))
}

/// What a text may mean, before anybody looked.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Block(u64),
    Epoch(u64),
    Datanet(u64),
    Address(Address),
    /// A transaction, a block, a receipt, a record or a model: only looking tells.
    Hash(B256),
    Name(String),
}

fn targets(text: &str) -> Vec<Target> {
    if text.is_empty() {
        return Vec::new();
    }
    if let Ok(address) = text.parse::<Address>() {
        return vec![Target::Address(address)];
    }
    if let Ok(hash) = text.parse::<B256>() {
        return vec![Target::Hash(hash)];
    }
    if let Some(target) = named_number(text) {
        return vec![target];
    }
    let numbers = number(text.strip_prefix('#').unwrap_or(text)).into_iter();
    let numbers = numbers.flat_map(|number| [Target::Block(number), Target::Epoch(number), Target::Datanet(number)]);
    numbers.chain([Target::Name(text.to_owned())]).collect()
}

/// Such as `Epoch 12` or `datanet #1`.
fn named_number(text: &str) -> Option<Target> {
    let begin = text.find(|c: char| !c.is_ascii_alphabetic())?;
    let (kind, rest) = text.split_at(begin);
    let rest = rest.trim_start();
    let number = number(rest.strip_prefix('#').unwrap_or(rest).trim_start())?;
    match kind.to_ascii_lowercase().as_str() {
        "block" => Some(Target::Block(number)),
        "epoch" => Some(Target::Epoch(number)),
        "datanet" => Some(Target::Datanet(number)),
        _ => None,
    }
}

/// Digits, which may be in groups.
fn number(text: &str) -> Option<u64> {
    let grouped = |c: char| c.is_ascii_digit() || matches!(c, ',' | '_' | ' ');
    if !text.starts_with(|c: char| c.is_ascii_digit()) || !text.chars().all(grouped) {
        return None;
    }
    text.chars().filter(char::is_ascii_digit).collect::<String>().parse().ok()
}

async fn find(app: &Arc<App>, target: Target) -> Result<Vec<view::Match>, ApiError> {
    match target {
        Target::Address(address) => Ok(vec![view::Match::Address { address: address.into() }]),
        Target::Block(number) if number > app.chain.block_number().await? => Ok(Vec::new()),
        Target::Block(number) => Ok(vec![view::Match::Block { number }]),
        Target::Hash(hash) => {
            let mut found = on_chain(app, hash).await?;
            found.extend(here(app, move |app| with_hash(app, hash)).await?);
            Ok(found)
        }
        Target::Epoch(number) => here(app, move |app| epoch(app, number)).await,
        Target::Datanet(number) => here(app, move |app| datanet(app, number)).await,
        Target::Name(name) => here(app, move |app| named(app, &name)).await,
    }
}

/// Looks in this node's own tables.
async fn here(
    app: &Arc<App>,
    look: impl FnOnce(&App) -> Result<Vec<view::Match>, ApiError> + Send + 'static,
) -> Result<Vec<view::Match>, ApiError> {
    let app = Arc::clone(app);
    blocking(move || look(&app)).await?
}

async fn on_chain(app: &App, hash: B256) -> Result<Vec<view::Match>, ApiError> {
    let transaction = app.chain.find_transaction(hash).await?;
    let transaction = transaction.map(|at| view::Match::Transaction { hash: hash.into(), block: at.block });
    let block = app.chain.find_block(hash).await?.map(|number| view::Match::Block { number });
    Ok(transaction.into_iter().chain(block).collect())
}

fn with_hash(app: &App, hash: B256) -> Result<Vec<view::Match>, ApiError> {
    let receipt = app.ledger().bundle(ReceiptHash(hash))?.map(|_| view::Match::Receipt { hash: hash.into() });
    let record = match app.datanets.shown_record(RecordHash(hash)) {
        Ok(record) => Some(view::Match::Record { hash: hash.into(), datanet: record.statement.datanet.0 }),
        Err(RecordAccessError::Unknown { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let model = app.catalog.by_id(ModelId(hash));
    let model = model.map(|model| view::Match::Model { id: Some(hash.into()), name: model.name.clone() });
    Ok(receipt.into_iter().chain(record).chain(model).collect())
}

fn epoch(app: &App, number: u64) -> Result<Vec<view::Match>, ApiError> {
    let Some(before) = number.checked_sub(1).filter(|before| i64::try_from(*before).is_ok()) else {
        return Ok(Vec::new());
    };
    let found = app.ledger().epochs(before)?.first().is_some_and(|epoch| epoch.number == number);
    Ok(found.then_some(view::Match::Epoch { number }).into_iter().collect())
}

fn datanet(app: &App, number: u64) -> Result<Vec<view::Match>, ApiError> {
    if i64::try_from(number).is_err() {
        return Ok(Vec::new());
    }
    match app.datanets.datanet(DatanetId(number)) {
        Ok(info) => Ok(vec![view::Match::Datanet { id: number, name: info.name }]),
        Err(DatanetError::Unknown { .. }) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// Models and Datanets whose name holds the text.
fn named(app: &App, text: &str) -> Result<Vec<view::Match>, ApiError> {
    let wanted = text.to_lowercase();
    let holds = |name: &str| name.to_lowercase().contains(&wanted);
    let base = app.catalog.base_name();
    let base = holds(base).then(|| view::Match::Model { id: None, name: base.to_owned() });
    let models = app.catalog.list().into_iter().filter(|model| holds(&model.name));
    let models = models.map(|model| view::Match::Model { id: Some(model.id.into()), name: model.name.clone() });
    let filter = DatanetFilter { search: Some(text.to_owned()), owner: None };
    let datanets = app.datanets.search(&filter, 0, NAMED_MAX as u32)?.into_iter();
    let datanets = datanets.map(|info| view::Match::Datanet { id: info.id.0, name: info.name });
    Ok(base.into_iter().chain(models).take(NAMED_MAX).chain(datanets).collect())
}

#[cfg(test)]
mod tests {
    use super::{Target, targets};

    #[test]
    fn a_text_is_read_as_everything_that_it_may_mean() {
        let account = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
        assert_eq!(targets(account), [Target::Address(account.parse().unwrap())]);
        let hash = "AB".repeat(32);
        assert_eq!(targets(&hash), [Target::Hash(hash.parse().unwrap())]);
        assert_eq!(targets("Epoch 12"), [Target::Epoch(12)]);
        assert_eq!(targets("datanet #1"), [Target::Datanet(1)]);
        assert_eq!(targets("block1,000"), [Target::Block(1000)]);
        let number = [Target::Block(1234), Target::Epoch(1234), Target::Datanet(1234), Target::Name("1,234".into())];
        assert_eq!(targets("1,234"), number);
        assert_eq!(targets(""), []);
        for name in ["weather-01", "epoch", "Block x", "#", &"9".repeat(30)] {
            assert_eq!(targets(name), [Target::Name(name.to_owned())], "{name}");
        }
    }
}
