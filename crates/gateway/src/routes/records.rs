//! Records of revealed batches: listed, searched, proven, with what they earned.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use openledger_datanet::{Datanets, RecordKind, RecordQuery, RecordStatus, ShownRecord};
use openledger_primitives::{Address, B256, DatanetId, RecordHash, SnapshotId, Wei};
use serde::Deserialize;

use crate::api::Listing;
use crate::api::datanets as view;
use crate::api::scalar::{AnyObject, Hash, HexBytes};
use crate::app::App;
use crate::error::ApiError;
use crate::routes::columns::Condition;
use crate::routes::{Paging, blocking};
use crate::shares::divide;
use crate::tally::TallyError;

/// Records read for one page of a search; a page that finds little ends there, with a cursor.
const SCANNED_MAX: u64 = 5_000;
/// Rows read at once while searching.
const SCAN_ROWS: u32 = 500;
/// Longest text searched for, in bytes.
const SEARCH_BYTES_MAX: usize = 256;
/// Snapshots looked through for one record, the latest ones.
const SNAPSHOTS_SHOWN_MAX: usize = 64;

/// Which records.
#[derive(Debug, Deserialize)]
pub(crate) struct Filter {
    search: Option<String>,
    contributor: Option<Address>,
    status: Option<RecordStatus>,
    column: Option<String>,
    value: Option<String>,
}

/// Records of a Datanet.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Path(datanet): Path<DatanetId>,
    Query(filter): Query<Filter>,
    Query(page): Query<Paging>,
) -> Result<Json<Listing<view::Record>>, ApiError> {
    let search = Search::new(&filter)?;
    let query = RecordQuery { datanet: Some(datanet), contributor: filter.contributor, status: filter.status };
    let rows = blocking(move || {
        app.datanets.datanet(datanet)?;
        app.tally.catch_up()?;
        let (records, next_after) = scan(&app.datanets, query, page, |record| Ok(search.fits(record)))?;
        let data = Incomes::new(&app).views(records)?;
        Ok::<_, ApiError>(Listing { data, next_after })
    });
    Ok(Json(rows.await??))
}

/// Reads until the page is full, the records end or enough were read; gives the cursor to go on.
fn scan(
    datanets: &Datanets,
    query: RecordQuery,
    page: Paging,
    mut fits: impl FnMut(&ShownRecord) -> Result<bool, ApiError>,
) -> Result<(Vec<ShownRecord>, Option<u64>), ApiError> {
    let (mut found, mut after, mut scanned) = (Vec::new(), page.after, 0);
    loop {
        let rows = datanets.shown_records(query, after, SCAN_ROWS)?;
        for record in rows.rows {
            after = record.id;
            scanned += 1;
            if fits(&record)? {
                found.push(record);
            }
            if found.len() >= page.rows() as usize || scanned >= SCANNED_MAX {
                return Ok((found, Some(after)));
            }
        }
        if rows.next.is_none() {
            return Ok((found, None));
        }
    }
}

/// What a record's content is searched for.
struct Search {
    text: Option<String>,
    condition: Option<Condition>,
}

impl Search {
    fn new(filter: &Filter) -> Result<Self, ApiError> {
        let long = filter.search.as_ref().map_or(0, String::len);
        if long > SEARCH_BYTES_MAX {
            let message = format!("the text has {long} bytes; at most {SEARCH_BYTES_MAX} are searched for");
            return Err(ApiError::invalid("search_too_long", message).with_param("search"));
        }
        let condition = match (&filter.column, &filter.value) {
            (Some(column), Some(value)) => Some(Condition::new(column, value)?),
            (None, None) => None,
            _ => return Err(ApiError::invalid("column_without_value", "column and value go together")),
        };
        Ok(Self { text: filter.search.as_ref().map(|text| text.to_lowercase()), condition })
    }

    fn fits(&self, record: &ShownRecord) -> bool {
        let text = self.text.as_ref().is_none_or(|text| record.record.full_text().to_lowercase().contains(text));
        text && self.condition.as_ref().is_none_or(|condition| condition.holds(record))
    }
}

/// One record with its proof.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Path(hash): Path<RecordHash>,
) -> Result<Json<view::RecordDetail>, ApiError> {
    let shown = blocking(move || {
        app.tally.catch_up()?;
        let record = app.datanets.shown_record(hash)?;
        let snapshots = snapshots_of(&app, record.statement.datanet, hash)?;
        let salt = record.salt.map(Hash);
        let mut views = Incomes::new(&app).views(vec![record])?;
        let record = views.pop().ok_or_else(|| ApiError::not_found("record", hash))?;
        Ok::<_, ApiError>(view::RecordDetail { record, salt, snapshots })
    });
    Ok(Json(shown.await??))
}

/// The latest first; that one with the proof.
fn snapshots_of(app: &App, datanet: DatanetId, hash: RecordHash) -> Result<Vec<view::RecordSnapshot>, ApiError> {
    let latest = app.datanets.counts(datanet)?.snapshots;
    let mut found = Vec::new();
    for id in (1..=latest).rev().take(SNAPSHOTS_SHOWN_MAX) {
        let snapshot = app.snapshots.get(datanet, SnapshotId(id))?;
        let Some(at) = snapshot.entries.iter().position(|entry| entry.record_hash == hash) else { continue };
        let index = at as u64;
        let proof = if found.is_empty() { snapshot.prove(index) } else { None };
        found.push(view::RecordSnapshot {
            snapshot: id,
            root: snapshot.root().into(),
            index,
            leaf: HexBytes(snapshot.entries[at].leaf_data(index).into()),
            proof: proof.map(|proof| view::MerkleProof {
                index: proof.index,
                size: proof.size,
                siblings: proof.siblings.into_iter().map(Hash).collect(),
            }),
        });
    }
    Ok(found)
}

/// Contributors of a Datanet; the cursor is a position in their order.
pub(crate) async fn contributors(
    State(app): State<Arc<App>>,
    Path(datanet): Path<DatanetId>,
    Query(page): Query<Paging>,
) -> Result<Json<Listing<view::Contributor>>, ApiError> {
    let rows = blocking(move || {
        app.datanets.datanet(datanet)?;
        app.tally.catch_up()?;
        let rows = app.datanets.contributors(datanet, page.after, page.rows())?;
        let next_after = page.next(rows.len(), Some(page.after.saturating_add(rows.len() as u64)));
        let mut data = Vec::with_capacity(rows.len());
        for row in rows {
            let acceptance = (row.accepted * 1000).checked_div(row.offered).unwrap_or(0);
            data.push(view::Contributor {
                address: row.contributor.into(),
                offered: row.offered,
                accepted: row.accepted,
                acceptance_per_mille: u16::try_from(acceptance).unwrap_or(1000),
                earned_wei: app.tally.contributor(datanet, row.contributor)?.into(),
            });
        }
        Ok::<_, ApiError>(Listing { data, next_after })
    });
    Ok(Json(rows.await??))
}

/// Which of an account's records.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct EarnedFilter {
    earned: Option<EarnedChoice>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum EarnedChoice {
    None,
    Some,
}

/// An account's records in all Datanets.
pub(crate) async fn of_account(
    State(app): State<Arc<App>>,
    Path(account): Path<Address>,
    Query(filter): Query<EarnedFilter>,
    Query(page): Query<Paging>,
) -> Result<Json<Listing<view::AccountRecord>>, ApiError> {
    let query = RecordQuery { contributor: Some(account), ..RecordQuery::default() };
    let rows = blocking(move || {
        app.tally.catch_up()?;
        let mut incomes = Incomes::new(&app);
        let (records, next_after) = scan(&app.datanets, query, page, |record| {
            let earned = !incomes.of(record)?.is_zero();
            Ok(filter.earned.is_none_or(|wanted| earned == (wanted == EarnedChoice::Some)))
        })?;
        let reasons: Vec<Option<String>> = records.iter().map(|record| record.statement.reason()).collect();
        let rows = incomes.views(records)?.into_iter().zip(reasons);
        let data = rows.map(|(record, reason)| account_record(record, reason)).collect();
        Ok::<_, ApiError>(Listing { data, next_after })
    });
    Ok(Json(rows.await??))
}

fn account_record(record: view::Record, reason: Option<String>) -> view::AccountRecord {
    let accepted = || "no paid answer has needed it yet".to_owned();
    let never_earned = record.earned_wei.0.is_zero().then(|| reason.unwrap_or_else(accepted));
    view::AccountRecord { record, never_earned }
}

/// What records brought. Where an account was paid for its accepted records as such, each of them brought its part by
/// the prefix rule, in the snapshot's order.
struct Incomes<'a> {
    app: &'a App,
    reserves: BTreeMap<Address, Vec<BTreeMap<B256, Wei>>>,
}

impl<'a> Incomes<'a> {
    fn new(app: &'a App) -> Self {
        Self { app, reserves: BTreeMap::new() }
    }

    fn of(&mut self, record: &ShownRecord) -> Result<Wei, ApiError> {
        let hash = record.statement.record;
        let account = record.statement.contributor;
        let direct = self.app.tally.record(hash)?;
        if !self.reserves.contains_key(&account) {
            self.reserves.insert(account, self.reserve_parts(account)?);
        }
        let parts = self.reserves.get(&account).into_iter().flatten().filter_map(|parts| parts.get(&hash.0).copied());
        let total = Wei::checked_sum(parts.chain([direct]));
        total.ok_or_else(|| TallyError::Overflow { what: "a record" }.into())
    }

    /// For each snapshot, what each of the account's records in it brought.
    fn reserve_parts(&self, account: Address) -> Result<Vec<BTreeMap<B256, Wei>>, ApiError> {
        let mut parts = Vec::new();
        for (root, amount) in self.app.tally.reserves(account)? {
            let Some((datanet, id)) = self.app.datanets.snapshot_of_root(root)? else { continue };
            let snapshot = self.app.snapshots.get(datanet, id)?;
            let own = snapshot.entries.iter().filter(|entry| entry.contributor == account);
            let own: Vec<B256> = own.map(|entry| entry.record_hash.0).collect();
            let amounts = divide(amount, own.iter().map(|_| 1));
            parts.push(own.into_iter().zip(amounts).collect());
        }
        Ok(parts)
    }

    fn views(&mut self, records: Vec<ShownRecord>) -> Result<Vec<view::Record>, ApiError> {
        records.into_iter().map(|record| Ok(view_of(&record, self.of(&record)?))).collect()
    }
}

fn view_of(shown: &ShownRecord, earned: Wei) -> view::Record {
    let statement = &shown.statement;
    view::Record {
        hash: statement.record.into(),
        datanet: statement.datanet.0,
        commitment: statement.batch.into(),
        index: statement.position,
        contributor: statement.contributor.into(),
        status: status(statement.status),
        reason: statement.reason(),
        cluster: statement.cluster,
        kind: match shown.record.kind() {
            RecordKind::Text => view::RecordKind::Text,
            RecordKind::Prompt => view::RecordKind::Prompt,
            RecordKind::Messages => view::RecordKind::Messages,
            RecordKind::Media => view::RecordKind::Media,
        },
        body: AnyObject(serde_json::to_value(&shown.record).unwrap_or_default()),
        earned_wei: earned.into(),
    }
}

fn status(status: RecordStatus) -> view::RecordStatus {
    match status {
        RecordStatus::Pending => view::RecordStatus::Pending,
        RecordStatus::Accepted => view::RecordStatus::Accepted,
        RecordStatus::Duplicate => view::RecordStatus::Duplicate,
        RecordStatus::Revoked => view::RecordStatus::Revoked,
    }
}

impl From<TallyError> for ApiError {
    fn from(error: TallyError) -> Self {
        Self::internal(&error)
    }
}
