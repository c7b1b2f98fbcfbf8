//! Apache Parquet.
//!
//! The file is checked before anything is decompressed: footer size, schema, row counts, and every page header of the
//! mapped columns ([`super::parquet_pages`]), because what a page claims is what the decoder allocates. GZIP is
//! refused: its decoder does not stop at the claimed size. Then the columns are weighed ([`super::parquet_weight`]), because
//! a dictionary says a long text once and a row copies it at every mention.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{ChunkReader, FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use parquet::schema::types::{Type, TypePtr};
use serde_json::{Map, Value};

use super::mapping::{Cell, make_record};
use super::parquet_pages::check_pages;
use super::parquet_weight::check_weight;
use super::report::{Collector, Ingested, RowFault};
use super::{IngestError, Mapping, RejectCode, quote};
use crate::limits::{COLUMN_NAME_BYTES_MAX, COLUMNS_MAX, NESTING_MAX, PARQUET_FOOTER_BYTES_MAX, ROWS_MAX};
use crate::record::Record;

const MAGIC: &[u8] = b"PAR1";
/// Footer length and magic at the file's end.
const TAIL_BYTES: usize = 8;

pub(super) fn ingest<R: ChunkReader + 'static>(
    source: R,
    bytes: u64,
    given: Option<&Mapping>,
) -> Result<Ingested, IngestError> {
    // The decoder has been known to panic on damaged files; nothing it touched outlives the call.
    catch_unwind(AssertUnwindSafe(|| read(source, bytes, given)))
        .unwrap_or_else(|_| Err(unusable("the decoder failed: the file is damaged")))
}

fn read<R: ChunkReader + 'static>(source: R, bytes: u64, given: Option<&Mapping>) -> Result<Ingested, IngestError> {
    let source = Arc::new(source);
    check_footer(&*source, bytes)?;
    let reader = SerializedFileReader::new(Shared(Arc::clone(&source))).map_err(|error| damaged(&error))?;
    let metadata = reader.metadata();
    let root = metadata.file_metadata().schema_descr().root_schema_ptr();
    let mapping = check_schema(&root, metadata, given)?;
    check_pages(&*source, bytes, metadata, &mapping)?;
    check_weight(&reader, &mapping)?;
    let projection = projection(&root, &mapping)?;
    let mut collector = Collector::new();
    let names: Vec<String> = root.get_fields().iter().map(|field| field.name().to_owned()).collect();
    collector.describe(&names, &mapping);
    let rows = reader.get_row_iter(Some(projection)).map_err(|error| damaged(&error))?;
    for (row, number) in rows.zip(1..) {
        let row = row.map_err(|error| damaged(&error))?;
        collector.take(number, record_of(row, &mapping), &|role| mapping.column_of(role))?;
    }
    collector.finish()
}

/// Lets checks and the decoder read one source.
struct Shared<R>(Arc<R>);

impl<R: ChunkReader> parquet::file::reader::Length for Shared<R> {
    fn len(&self) -> u64 {
        self.0.len()
    }
}

impl<R: ChunkReader> ChunkReader for Shared<R> {
    type T = R::T;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        self.0.get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<bytes::Bytes> {
        self.0.get_bytes(start, length)
    }
}

fn check_footer(source: &impl ChunkReader, bytes: u64) -> Result<(), IngestError> {
    if bytes < (TAIL_BYTES + MAGIC.len()) as u64 {
        return Err(unusable("too short"));
    }
    let tail = source.get_bytes(bytes - TAIL_BYTES as u64, TAIL_BYTES).map_err(|error| damaged(&error))?;
    if &tail[4..] != MAGIC {
        return Err(unusable("it does not end with PAR1: cut short, encrypted or no Parquet"));
    }
    let footer = u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]) as usize;
    if footer > PARQUET_FOOTER_BYTES_MAX {
        return Err(unusable(&format!("its footer has {footer} bytes; the limit is {PARQUET_FOOTER_BYTES_MAX}")));
    }
    Ok(())
}

fn check_schema(root: &TypePtr, metadata: &ParquetMetaData, given: Option<&Mapping>) -> Result<Mapping, IngestError> {
    let fields = root.get_fields();
    let leaves = metadata.file_metadata().schema_descr().num_columns();
    if leaves > COLUMNS_MAX || fields.len() > COLUMNS_MAX {
        return Err(IngestError::Columns { reason: format!("{leaves} of them; the limit is {COLUMNS_MAX}") });
    }
    if depth(root) > NESTING_MAX {
        return Err(unusable(&format!("its schema is nested deeper than {NESTING_MAX} levels")));
    }
    let names: Vec<String> = fields.iter().map(|field| field.name().to_owned()).collect();
    let mapping = Mapping::resolve(given, &names)?;
    for (role, column) in mapping.columns() {
        let field = fields.iter().find(|field| field.name() == column).expect("resolved against these names");
        check_type(role, field)?;
        check_names(field)?;
    }
    check_row_groups(metadata)?;
    Ok(mapping)
}

/// The schema's tree is as deep as the footer's few bytes can say, so this stops at the limit.
fn depth(node: &Type) -> usize {
    fn within(node: &Type, level: usize) -> usize {
        if level > NESTING_MAX || node.is_primitive() {
            return level;
        }
        node.get_fields().iter().map(|field| within(field, level + 1)).max().unwrap_or(level)
    }
    within(node, 0)
}

fn check_type(role: &'static str, field: &Type) -> Result<(), IngestError> {
    let text = field.is_primitive() && field.get_physical_type() == parquet::basic::Type::BYTE_ARRAY;
    let list = role == "messages" && !field.is_primitive();
    if text || list {
        return Ok(());
    }
    let found = if field.is_primitive() { field.get_physical_type().to_string() } else { "group".to_owned() };
    Err(IngestError::ColumnType { column: quote(field.name()), role, found })
}

/// Each value of a list carries its field's name, and those of the groups around it.
fn check_names(field: &Type) -> Result<(), IngestError> {
    let bytes = field.name().len();
    if bytes > COLUMN_NAME_BYTES_MAX {
        let name = quote(field.name());
        let reason = format!("field name {name:?} has {bytes} bytes; the limit is {COLUMN_NAME_BYTES_MAX}");
        return Err(IngestError::Columns { reason });
    }
    if field.is_primitive() { Ok(()) } else { field.get_fields().iter().try_for_each(|inner| check_names(inner)) }
}

fn check_row_groups(metadata: &ParquetMetaData) -> Result<(), IngestError> {
    let mut rows = 0u64;
    for group in metadata.row_groups() {
        let count = u64::try_from(group.num_rows()).map_err(|_| unusable("a row group of negative size"))?;
        rows = rows.saturating_add(count);
        for column in group.columns() {
            let codec = column.compression();
            if !matches!(codec, Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::ZSTD(_)) {
                let reason = format!("compression {codec} is not supported; use SNAPPY, ZSTD or none");
                return Err(unusable(&reason));
            }
        }
    }
    if rows > ROWS_MAX { Err(IngestError::TooManyRows) } else { Ok(()) }
}

fn projection(root: &TypePtr, mapping: &Mapping) -> Result<Type, IngestError> {
    let mapped = |field: &&TypePtr| mapping.columns().iter().any(|(_, column)| *column == field.name());
    let fields = root.get_fields().iter().filter(mapped).cloned().collect();
    Type::group_type_builder(root.name()).with_fields(fields).build().map_err(|error| damaged(&error))
}

fn record_of(row: Row, mapping: &Mapping) -> Result<Record, RowFault> {
    let mut columns = row.into_columns();
    make_record(mapping, |column| match columns.iter().position(|(name, _)| name == column) {
        Some(position) => json_of(columns.swap_remove(position).1).map_or(Cell::Absent, Cell::Value),
        None => Cell::Absent,
    })
    .map_err(|fault| match fault.code {
        // `json_of` gives nothing for bytes that are no text.
        RejectCode::MissingColumn if fault.reason.contains("no such column") => {
            RowFault { code: RejectCode::InvalidUtf8, reason: "the value is not UTF-8 text".to_owned(), ..fault }
        }
        _ => fault,
    })
}

/// Text, lists and groups as JSON; `None` for bytes that are not UTF-8. Other types become a value that is no text.
fn json_of(field: Field) -> Option<Value> {
    Some(match field {
        Field::Null => Value::Null,
        Field::Str(text) => Value::String(text),
        Field::Bytes(bytes) => Value::String(String::from_utf8(bytes.data().to_vec()).ok()?),
        Field::Group(row) => {
            let fields = row.into_columns().into_iter().map(|(name, field)| Some((name, json_of(field)?)));
            Value::Object(fields.collect::<Option<Map<_, _>>>()?)
        }
        Field::ListInternal(list) => {
            Value::Array(list.elements().iter().map(|field| json_of(field.clone())).collect::<Option<_>>()?)
        }
        _ => Value::Bool(false),
    })
}

pub(super) fn unusable(reason: &str) -> IngestError {
    IngestError::Parquet { reason: reason.to_owned() }
}

pub(super) fn damaged(error: &ParquetError) -> IngestError {
    IngestError::Parquet { reason: error.to_string() }
}
