//! How the fields of a Datanet's records are distributed, for histograms that filter.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::extract::{Path, State};
use openledger_datanet::{DatanetCounts, Record, RecordQuery, RecordStatus, ShownRecord};
use openledger_primitives::DatanetId;

use crate::api::datanets::{Bin, Column, ColumnKind, ColumnList, ValueCount};
use crate::app::App;
use crate::error::ApiError;
use crate::routes::blocking;

/// Records counted; a larger Datanet is counted that far and says so.
const RECORDS_MAX: u64 = 100_000;
/// Records read at once.
const ROWS: u32 = 500;
/// Ranges of a numeric column.
const BINS: u64 = 20;
/// Values listed of a column.
const VALUES_MAX: usize = 50;
/// Distinct values followed of a column; a field with more is free text and is counted by length alone.
const DISTINCT_MAX: usize = 1000;
/// Longest value of a category, in bytes.
const VALUE_BYTES_MAX: usize = 128;
/// Datanets whose columns are kept in memory.
const KEPT_MAX: usize = 32;

/// Columns counted before, with the counts they are good for.
#[derive(Debug, Default)]
pub(crate) struct ColumnCache(Mutex<HashMap<DatanetId, (DatanetCounts, Arc<ColumnList>)>>);

/// The columns of a Datanet.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Path(datanet): Path<DatanetId>,
) -> Result<Json<ColumnList>, ApiError> {
    let list = blocking(move || {
        app.datanets.datanet(datanet)?;
        let counts = app.datanets.counts(datanet)?;
        if let Some(known) = app.columns.get(datanet, counts) {
            return Ok::<_, ApiError>(known);
        }
        let list = Arc::new(count(&app, datanet, counts)?);
        app.columns.put(datanet, counts, Arc::clone(&list));
        Ok(list)
    });
    Ok(Json((*list.await??).clone()))
}

impl ColumnCache {
    fn get(&self, datanet: DatanetId, counts: DatanetCounts) -> Option<Arc<ColumnList>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(&datanet).filter(|(of, _)| *of == counts).map(|(_, list)| Arc::clone(list))
    }

    fn put(&self, datanet: DatanetId, counts: DatanetCounts, list: Arc<ColumnList>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(datanet, (counts, list));
    }
}

fn count(app: &App, datanet: DatanetId, counts: DatanetCounts) -> Result<ColumnList, ApiError> {
    let query = RecordQuery { datanet: Some(datanet), ..RecordQuery::default() };
    let (mut tallies, mut records, mut after) = (BTreeMap::<&'static str, Tally>::new(), 0, 0);
    loop {
        let page = app.datanets.shown_records(query, after, ROWS)?;
        for record in &page.rows {
            for (name, value) in fields(record) {
                tallies.entry(name).or_default().take(value);
            }
        }
        records += page.rows.len() as u64;
        match page.next.filter(|_| records < RECORDS_MAX) {
            Some(next) => after = next,
            None => break,
        }
    }
    let data = tallies.into_iter().map(|(name, tally)| tally.column(name)).collect();
    Ok(ColumnList { data, records, records_total: counts.offered })
}

/// A field's value as it is counted.
enum Field {
    Number(u64),
    Text(String),
}

/// The fields of a record that are counted: lengths of texts, and texts that may be categories.
fn fields(shown: &ShownRecord) -> Vec<(&'static str, Field)> {
    let length = |text: &str| Field::Number(text.chars().count() as u64);
    let mut fields = vec![
        ("contributor", Field::Text(shown.statement.contributor.to_string())),
        ("status", Field::Text(status_name(shown.statement.status).to_owned())),
    ];
    match &shown.record {
        Record::Prompt { prompt, response } => fields.extend([
            ("prompt_length", length(prompt)),
            ("response_length", length(response)),
            ("response", Field::Text(response.clone())),
        ]),
        Record::Text { text } => fields.push(("text_length", length(text))),
        Record::Media { text, .. } => fields.push(("text_length", length(text))),
        Record::Messages { messages } => {
            fields.push(("turns", Field::Number(messages.len() as u64)));
            let label = shown.record.label().unwrap_or_default();
            fields.extend([("response_length", length(label)), ("response", Field::Text(label.to_owned()))]);
        }
    }
    fields
}

fn status_name(status: RecordStatus) -> &'static str {
    match status {
        RecordStatus::Pending => "pending",
        RecordStatus::Accepted => "accepted",
        RecordStatus::Duplicate => "duplicate",
        RecordStatus::Revoked => "revoked",
    }
}

/// One column under way.
#[derive(Default)]
struct Tally {
    numbers: BTreeMap<u64, u64>,
    values: HashMap<String, u64>,
    /// Too many or too long values for a category.
    free_text: bool,
}

impl Tally {
    fn take(&mut self, field: Field) {
        match field {
            Field::Number(number) => *self.numbers.entry(number).or_default() += 1,
            Field::Text(_) if self.free_text => {}
            Field::Text(text) => {
                *self.values.entry(text).or_default() += 1;
                self.free_text = self.values.len() > DISTINCT_MAX;
            }
        }
    }

    fn column(self, name: &str) -> Column {
        if !self.numbers.is_empty() {
            let distinct = self.numbers.len() as u64;
            let bins = bins(&self.numbers);
            return Column { name: name.to_owned(), kind: ColumnKind::Number, bins, values: Vec::new(), distinct };
        }
        let distinct = self.values.len() as u64;
        let mut values: Vec<(String, u64)> =
            self.values.into_iter().filter(|(value, _)| value.len() <= VALUE_BYTES_MAX).collect();
        values.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        values.truncate(if self.free_text { 0 } else { VALUES_MAX });
        let values = values.into_iter().map(|(value, count)| ValueCount { value, count }).collect();
        Column { name: name.to_owned(), kind: ColumnKind::Category, bins: Vec::new(), values, distinct }
    }
}

/// Ranges of one width from the least to the highest number.
fn bins(numbers: &BTreeMap<u64, u64>) -> Vec<Bin> {
    let (Some((&least, _)), Some((&most, _))) = (numbers.first_key_value(), numbers.last_key_value()) else {
        return Vec::new();
    };
    let width = (most - least).div_ceil(BINS).max(1);
    let mut bins: Vec<Bin> = Vec::new();
    let mut from = least;
    while from <= most {
        let to = from.saturating_add(width - 1);
        bins.push(Bin { from, to, count: numbers.range(from..=to).map(|(_, count)| count).sum() });
        from = to.saturating_add(1);
    }
    bins
}

/// A column and the value, or range of numbers, that a record's must have.
pub(crate) struct Condition {
    column: String,
    value: String,
    range: Option<(u64, u64)>,
}

impl Condition {
    pub(crate) fn new(column: &str, value: &str) -> Result<Self, ApiError> {
        if column.len() > VALUE_BYTES_MAX || value.len() > VALUE_BYTES_MAX {
            let message = format!("column and value have at most {VALUE_BYTES_MAX} bytes");
            return Err(ApiError::invalid("value_too_long", message).with_param("value"));
        }
        let range = value.split_once("..").and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
        Ok(Self { column: column.to_owned(), value: value.to_owned(), range })
    }

    pub(crate) fn holds(&self, record: &ShownRecord) -> bool {
        let field = fields(record).into_iter().find(|(name, _)| *name == self.column);
        match (field, self.range) {
            (Some((_, Field::Number(number))), Some((from, to))) => (from..=to).contains(&number),
            (Some((_, Field::Number(number))), None) => number.to_string() == self.value,
            (Some((_, Field::Text(text))), _) => text == self.value,
            (None, _) => false,
        }
    }
}
