//! What became of each row.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{IngestError, Mapping};
use crate::limits::{CONTENT_BYTES_MAX, REJECTIONS_LISTED_MAX, ROWS_MAX};
use crate::record::{Record, RecordError};

/// Why a row was rejected, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RejectCode {
    /// Bytes that are not UTF-8.
    InvalidUtf8,
    /// No JSON value.
    InvalidJson,
    /// JSON, but no object.
    NotAnObject,
    /// A mapped column is absent or null.
    MissingColumn,
    /// A mapped column holds no text.
    WrongType,
    /// A field is empty.
    Empty,
    /// The row or record is too long.
    TooLong,
    /// The row is nested too deeply.
    TooDeep,
    /// A field has control characters.
    ControlCharacter,
    /// A conversation is malformed.
    BadMessages,
    /// A media reference is no hash.
    BadMedia,
    /// The row has another number of fields than the header.
    FieldCount,
    /// A JSON object names a key twice.
    RepeatedKey,
}

impl fmt::Display for RejectCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::InvalidUtf8 => "invalid_utf8",
            Self::InvalidJson => "invalid_json",
            Self::NotAnObject => "not_an_object",
            Self::MissingColumn => "missing_column",
            Self::WrongType => "wrong_type",
            Self::Empty => "empty",
            Self::TooLong => "too_long",
            Self::TooDeep => "too_deep",
            Self::ControlCharacter => "control_character",
            Self::BadMessages => "bad_messages",
            Self::BadMedia => "bad_media",
            Self::FieldCount => "field_count",
            Self::RepeatedKey => "repeated_key",
        };
        f.write_str(text)
    }
}

/// One rejected row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// Row from 1: the line of JSONL, the data row of CSV and Parquet, the paragraph or section of texts.
    pub row: u64,
    /// The column, where one is at fault.
    pub column: Option<String>,
    /// Why, for programs.
    pub code: RejectCode,
    /// Why, for people.
    pub reason: String,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.column {
            Some(column) => write!(f, "row {}, column {column:?}: {} ({})", self.row, self.reason, self.code),
            None => write!(f, "row {}: {} ({})", self.row, self.reason, self.code),
        }
    }
}

/// What became of a file's rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngestReport {
    /// Rows read; blank lines do not count.
    pub rows: u64,
    /// Rows that became records.
    pub accepted: u64,
    /// Rows that did not.
    pub rejected: u64,
    /// The first rejections, [`REJECTIONS_LISTED_MAX`] at most.
    pub rejections: Vec<Rejection>,
}

/// A row that became a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngestedRecord {
    /// Row in the file, from 1.
    pub row: u64,
    /// The record, normalised.
    pub record: Record,
}

/// A file's records and what became of its rows.
#[derive(Clone, Debug, Default)]
pub struct Ingested {
    /// Records in the file's order.
    pub records: Vec<IngestedRecord>,
    /// What became of each row.
    pub report: IngestReport,
    /// The file's columns in its order; empty for formats without columns.
    pub columns: Vec<String>,
    /// The mapping used; none for formats without columns.
    pub mapping: Option<Mapping>,
}

/// A fault of one row.
#[derive(Debug)]
pub(super) struct RowFault {
    pub(super) column: Option<String>,
    pub(super) code: RejectCode,
    pub(super) reason: String,
}

impl RowFault {
    pub(super) fn new(code: RejectCode, reason: impl Into<String>) -> Self {
        Self { column: None, code, reason: reason.into() }
    }

    pub(super) fn in_column(column: &str, code: RejectCode, reason: impl Into<String>) -> Self {
        Self { column: Some(column.to_owned()), code, reason: reason.into() }
    }
}

/// Takes rows as they are read and holds the file's totals to their limits.
#[derive(Debug)]
pub(super) struct Collector {
    ingested: Ingested,
    content_bytes: usize,
}

impl Collector {
    pub(super) fn new() -> Self {
        Self { ingested: Ingested::default(), content_bytes: 0 }
    }

    /// Notes which columns the file has and which of them records are made of.
    pub(super) fn describe(&mut self, columns: &[String], mapping: &Mapping) {
        self.ingested.columns = columns.to_vec();
        self.ingested.mapping = Some(mapping.clone());
    }

    /// `columns` gives the column that a record's field came from.
    pub(super) fn take(
        &mut self,
        row: u64,
        made: Result<Record, RowFault>,
        columns: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(), IngestError> {
        let report = &mut self.ingested.report;
        report.rows += 1;
        if report.rows > ROWS_MAX {
            return Err(IngestError::TooManyRows);
        }
        match made.and_then(|record| record.normalised().map_err(|error| fault(&error, columns))) {
            Ok(record) => self.accept(row, record),
            Err(fault) => {
                self.reject(row, fault);
                Ok(())
            }
        }
    }

    fn accept(&mut self, row: u64, record: Record) -> Result<(), IngestError> {
        self.content_bytes += record.full_text().len();
        if self.content_bytes > CONTENT_BYTES_MAX {
            return Err(IngestError::TooMuchContent);
        }
        self.ingested.report.accepted += 1;
        self.ingested.records.push(IngestedRecord { row, record });
        Ok(())
    }

    fn reject(&mut self, row: u64, fault: RowFault) {
        let report = &mut self.ingested.report;
        report.rejected += 1;
        if report.rejections.len() < REJECTIONS_LISTED_MAX {
            let RowFault { column, code, reason } = fault;
            report.rejections.push(Rejection { row, column, code, reason });
        }
    }

    pub(super) fn finish(self) -> Result<Ingested, IngestError> {
        if self.ingested.report.rows == 0 { Err(IngestError::Empty) } else { Ok(self.ingested) }
    }
}

fn fault(error: &RecordError, columns: &dyn Fn(&str) -> Option<String>) -> RowFault {
    let (field, code) = match error {
        RecordError::Empty { field } => (Some(*field), RejectCode::Empty),
        RecordError::Control { field, .. } => (Some(*field), RejectCode::ControlCharacter),
        RecordError::Messages { .. } => (Some("messages"), RejectCode::BadMessages),
        RecordError::Media { .. } => (Some("media"), RejectCode::BadMedia),
        RecordError::TooLong { .. } | RecordError::NotCanonical => (None, RejectCode::TooLong),
    };
    // A turn's content is in the column of the messages.
    let column = field.and_then(|field| columns(if field == "content" { "messages" } else { field }));
    RowFault { column, code, reason: error.to_string() }
}
