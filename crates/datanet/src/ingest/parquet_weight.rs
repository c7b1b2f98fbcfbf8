//! How much text the mapped columns of a Parquet file hold once every reference to a dictionary is followed.
//!
//! A page header says how large a dictionary is, not how often its entries are named: one row of a conversation may name a text
//! of a megabyte half a million times, and a row is built whole, each text a copy. Here the columns are read without rows,
//! where a value is a reference into its page, and what rows would copy is added up first. With it the bytes of rows that would
//! be rejected count as well.

use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType, FixedLenByteArray};
use parquet::file::reader::FileReader;

use super::parquet::{damaged, unusable};
use super::{IngestError, Mapping};
use crate::limits::{CONTENT_BYTES_MAX, PARQUET_ROW_VALUES_MAX};

/// Rows that are weighed at once where a row has one value.
const ROWS_TOGETHER: usize = 1_024;

/// Refuses a file whose mapped columns would be larger than [`CONTENT_BYTES_MAX`] as rows, and one with a row of more than
/// [`PARQUET_ROW_VALUES_MAX`] values in a column.
pub(super) fn check_weight(reader: &dyn FileReader, mapping: &Mapping) -> Result<(), IngestError> {
    let mapped = mapping.columns();
    let mut bytes = 0;
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).map_err(|error| damaged(&error))?;
        for (position, column) in group.metadata().columns().iter().enumerate() {
            let path = column.column_path().parts();
            if mapped.iter().any(|(_, name)| path.first().is_some_and(|first| first == name)) {
                let is_list = column.column_descr().max_rep_level() > 0;
                let column = group.get_column_reader(position).map_err(|error| damaged(&error))?;
                weigh(column, is_list, &mut bytes)?;
            }
        }
    }
    Ok(())
}

fn weigh(column: ColumnReader, is_list: bool, bytes: &mut usize) -> Result<(), IngestError> {
    match column {
        ColumnReader::ByteArrayColumnReader(reader) => add(reader, is_list, ByteArray::len, bytes),
        ColumnReader::FixedLenByteArrayColumnReader(reader) => {
            add(reader, is_list, |value: &FixedLenByteArray| value.len(), bytes)
        }
        ColumnReader::BoolColumnReader(reader) => add(reader, is_list, size_of_val, bytes),
        ColumnReader::Int32ColumnReader(reader) => add(reader, is_list, size_of_val, bytes),
        ColumnReader::Int64ColumnReader(reader) => add(reader, is_list, size_of_val, bytes),
        ColumnReader::Int96ColumnReader(reader) => add(reader, is_list, size_of_val, bytes),
        ColumnReader::FloatColumnReader(reader) => add(reader, is_list, size_of_val, bytes),
        ColumnReader::DoubleColumnReader(reader) => add(reader, is_list, size_of_val, bytes),
    }
}

/// Rows of lists are read one at a time, so that each is held to its limit.
fn add<T: DataType>(
    mut reader: ColumnReaderImpl<T>,
    is_list: bool,
    size: impl Fn(&T::T) -> usize,
    bytes: &mut usize,
) -> Result<(), IngestError> {
    let rows_together = if is_list { 1 } else { ROWS_TOGETHER };
    let (mut definition, mut repetition, mut values) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        definition.clear();
        repetition.clear();
        values.clear();
        let read = reader.read_records(rows_together, Some(&mut definition), Some(&mut repetition), &mut values);
        let (rows, _, levels) = read.map_err(|error| damaged(&error))?;
        if rows == 0 {
            return Ok(());
        }
        if is_list && levels > PARQUET_ROW_VALUES_MAX {
            return Err(unusable(&format!(
                "a row with {levels} values in one column; the limit is {PARQUET_ROW_VALUES_MAX}"
            )));
        }
        *bytes = values.iter().map(&size).fold(*bytes, usize::saturating_add);
        if *bytes > CONTENT_BYTES_MAX {
            return Err(IngestError::TooMuchContent);
        }
    }
}
