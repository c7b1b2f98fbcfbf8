//! Comma-separated values with a header (RFC 4180).

use std::io::{self, BufRead, Read};

use serde_json::Value;

use super::mapping::{Cell, make_record};
use super::report::{Collector, RowFault};
use super::text::invalid_utf8;
use super::{IngestError, Mapping, RejectCode};
use crate::limits::ROW_BYTES_MAX;
use crate::record::Record;

pub(super) fn read(
    source: &mut dyn BufRead,
    given: Option<&Mapping>,
    collector: &mut Collector,
) -> Result<(), IngestError> {
    let mut bounded = RowBound { source, since_row: 0, exceeded: false };
    let mut reader = ::csv::ReaderBuilder::new().flexible(true).from_reader(&mut bounded);
    let header = reader.byte_headers().map_err(|error| broken(&error, 1))?.clone();
    let names = names_of(&header)?;
    let mapping = Mapping::resolve(given, &names)?;
    collector.describe(&names, &mapping);
    let mut row = 0;
    let mut record = ::csv::ByteRecord::new();
    loop {
        reader.get_mut().since_row = 0;
        let line = reader.position().line();
        match reader.read_byte_record(&mut record) {
            Ok(false) => return Ok(()),
            Ok(true) => row += 1,
            Err(error) => return Err(broken(&error, line)),
        }
        collector.take(row, record_of(&record, &names, &mapping), &|role| mapping.column_of(role))?;
    }
}

fn names_of(header: &::csv::ByteRecord) -> Result<Vec<String>, IngestError> {
    let name = |bytes: &[u8]| std::str::from_utf8(bytes).map(|name| name.trim().to_owned());
    let names: Result<Vec<_>, _> = header.iter().map(name).collect();
    names.map_err(|_| IngestError::Columns { reason: "the header is not UTF-8".to_owned() })
}

fn record_of(row: &::csv::ByteRecord, names: &[String], mapping: &Mapping) -> Result<Record, RowFault> {
    if row.len() != names.len() {
        let reason = format!("{} fields; the header has {}", row.len(), names.len());
        return Err(RowFault::new(RejectCode::FieldCount, reason));
    }
    let mut fault = None;
    let made = make_record(mapping, |column| {
        let field = names.iter().position(|name| name == column).and_then(|position| row.get(position));
        match field.map(std::str::from_utf8) {
            None => Cell::Absent,
            Some(Ok(text)) => Cell::Value(Value::String(text.to_owned())),
            Some(Err(error)) => {
                let found = RowFault { column: Some(column.to_owned()), ..invalid_utf8(error.valid_up_to()) };
                fault.get_or_insert(found);
                Cell::Absent
            }
        }
    });
    match fault {
        Some(fault) => Err(RowFault { reason: fault.reason.replace("of the row", "of the field"), ..fault }),
        None => made,
    }
}

fn broken(error: &::csv::Error, line: u64) -> IngestError {
    let line = error.position().map_or(line, ::csv::Position::line);
    IngestError::Csv { line, reason: error.to_string() }
}

/// Stops a row that never ends, such as one with an unclosed quotation mark, from being held whole.
struct RowBound<'a> {
    source: &'a mut dyn BufRead,
    since_row: usize,
    exceeded: bool,
}

impl Read for RowBound<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.exceeded || self.since_row > 2 * ROW_BYTES_MAX {
            self.exceeded = true;
            let reason = format!("a row longer than {ROW_BYTES_MAX} bytes; is a quotation mark not closed?");
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        let read = self.source.read(buffer)?;
        self.since_row += read;
        Ok(read)
    }
}
