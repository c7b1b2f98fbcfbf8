//! From uploaded files to canonical records.
//!
//! A fault of one row rejects that row with its number, column, code and reason, and the rest goes on; a fault of the
//! whole file (no usable columns, too large, damaged) is an [`IngestError`]. Nothing is dropped silently: each row ends
//! either in the records or among the rejections.

mod csv;
mod encoding;
mod error;
mod jsonl;
mod mapping;
mod parquet;
mod parquet_pages;
mod parquet_weight;
mod report;
mod text;

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use ::bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use error::IngestError;
pub use mapping::Mapping;
use report::Collector;
pub use report::{IngestReport, Ingested, IngestedRecord, RejectCode, Rejection};

use crate::limits::{FILE_BYTES_MAX, QUOTE_CHARS_MAX};

/// A file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One JSON object a line.
    Jsonl,
    /// Comma-separated values with a header (RFC 4180).
    Csv,
    /// Apache Parquet; Snappy, Zstandard or no compression.
    Parquet,
    /// Plain text: one record a paragraph (paragraphs are separated by blank lines).
    Text,
    /// Markdown: one record a section (sections begin at headings).
    Markdown,
}

impl Format {
    /// The format that a file name's ending means.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let (_, ending) = name.rsplit_once('.')?;
        match ending.to_ascii_lowercase().as_str() {
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            "csv" => Some(Self::Csv),
            "parquet" => Some(Self::Parquet),
            "txt" | "text" => Some(Self::Text),
            "md" | "markdown" => Some(Self::Markdown),
            _ => None,
        }
    }
}

/// Reads a file's records. `mapping` says which columns they are made of; `None` recognises the customary names
/// (see [`Mapping`]). Text and Markdown have no columns and ignore it.
///
/// # Errors
/// [`IngestError`] for a fault of the whole file.
pub fn ingest_file(path: &Path, format: Format, mapping: Option<&Mapping>) -> Result<Ingested, IngestError> {
    let file = File::open(path).map_err(|source| IngestError::Io { source })?;
    let bytes = file.metadata().map_err(|source| IngestError::Io { source })?.len();
    check_size(bytes)?;
    if format == Format::Parquet {
        return parquet::ingest(file, bytes, mapping);
    }
    ingest_rows(BufReader::new(file.take(FILE_BYTES_MAX)), format, mapping)
}

/// As [`ingest_file`], from memory.
///
/// # Errors
/// [`IngestError`] for a fault of the whole file.
pub fn ingest_bytes(bytes: &[u8], format: Format, mapping: Option<&Mapping>) -> Result<Ingested, IngestError> {
    check_size(bytes.len() as u64)?;
    if format == Format::Parquet {
        return parquet::ingest(Bytes::copy_from_slice(bytes), bytes.len() as u64, mapping);
    }
    ingest_rows(bytes, format, mapping)
}

fn ingest_rows(source: impl Read, format: Format, mapping: Option<&Mapping>) -> Result<Ingested, IngestError> {
    let mut source = encoding::utf8_reader(source)?;
    let mut collector = Collector::new();
    match format {
        Format::Jsonl => jsonl::read(&mut source, mapping, &mut collector)?,
        Format::Csv => csv::read(&mut source, mapping, &mut collector)?,
        Format::Text => text::read_paragraphs(&mut source, &mut collector)?,
        Format::Markdown => text::read_sections(&mut source, &mut collector)?,
        Format::Parquet => unreachable!("read by random access"),
    }
    collector.finish()
}

fn check_size(bytes: u64) -> Result<(), IngestError> {
    match bytes {
        0 => Err(IngestError::Empty),
        _ if bytes > FILE_BYTES_MAX => Err(IngestError::TooLarge { bytes, bytes_max: FILE_BYTES_MAX }),
        _ => Ok(()),
    }
}

/// A value as errors quote it: its beginning.
pub(crate) fn quote(text: &str) -> String {
    let mut characters = text.chars();
    let mut quoted: String = characters.by_ref().take(QUOTE_CHARS_MAX).collect();
    if characters.next().is_some() {
        quoted.push('…');
    }
    quoted
}
