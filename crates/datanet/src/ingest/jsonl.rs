//! One JSON object a line.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io::BufRead;

use serde_json::{Map, Value};

use super::mapping::{Cell, make_record};
use super::report::{Collector, RowFault};
use super::text::{Line, next_line};
use super::{IngestError, Mapping, RejectCode};
use crate::limits::{COLUMNS_MAX, NESTING_MAX};
use crate::record::Record;

/// The first object's keys decide the mapping where none is given; row numbers are line numbers.
pub(super) fn read(
    source: &mut dyn BufRead,
    given: Option<&Mapping>,
    collector: &mut Collector,
) -> Result<(), IngestError> {
    let mut resolved: Option<Mapping> = None;
    let mut number = 0;
    while let Some(line) = next_line(source)? {
        number += 1;
        let object = match line {
            Line::Text(text) if text.trim().is_empty() => continue,
            Line::Text(text) => parse(&text),
            Line::Fault(fault) => Err(fault),
        };
        if let (Ok(object), None) = (&object, &resolved) {
            resolved = Some(resolve(given, object, collector)?);
        }
        let made = object.and_then(|object| record_of(object, resolved.as_ref()));
        collector.take(number, made, &|role| resolved.as_ref().and_then(|mapping| mapping.column_of(role)))?;
    }
    Ok(())
}

fn resolve(
    given: Option<&Mapping>,
    first: &Map<String, Value>,
    collector: &mut Collector,
) -> Result<Mapping, IngestError> {
    let names: Vec<String> = first.keys().cloned().collect();
    let mapping = Mapping::resolve(given, &names)?;
    collector.describe(&names, &mapping);
    Ok(mapping)
}

fn record_of(mut object: Map<String, Value>, mapping: Option<&Mapping>) -> Result<Record, RowFault> {
    let mapping = mapping.expect("resolved at the first object");
    make_record(mapping, |column| object.remove(column).map_or(Cell::Absent, Cell::Value))
}

fn parse(text: &str) -> Result<Map<String, Value>, RowFault> {
    check_nesting(text)?;
    let value: Value = serde_json::from_str(text)
        .map_err(|error| RowFault::new(RejectCode::InvalidJson, format!("{error} (of the line)")))?;
    let Value::Object(object) = value else {
        return Err(RowFault::new(RejectCode::NotAnObject, "the line is JSON, but no object"));
    };
    if object.len() > COLUMNS_MAX {
        let reason = format!("{} columns; the limit is {COLUMNS_MAX}", object.len());
        return Err(RowFault::new(RejectCode::TooLong, reason));
    }
    Ok(object)
}

/// Refuses deep nesting before the parser recurses, and repeated top-level keys, of which a parser would keep only the last.
fn check_nesting(text: &str) -> Result<(), RowFault> {
    let mut scan = Scan::default();
    for (at, byte) in text.bytes().enumerate() {
        scan.step(text, at, byte)?;
    }
    Ok(())
}

#[derive(Default)]
struct Scan<'a> {
    depth: usize,
    in_string: bool,
    escaped: bool,
    string_start: usize,
    last_string: Option<&'a str>,
    keys: BTreeSet<Cow<'a, str>>,
}

impl<'a> Scan<'a> {
    fn step(&mut self, text: &'a str, at: usize, byte: u8) -> Result<(), RowFault> {
        if self.in_string {
            self.string_step(text, at, byte);
            return Ok(());
        }
        match byte {
            b'"' => (self.in_string, self.string_start) = (true, at + 1),
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            b':' if self.depth == 1 => return self.key(),
            _ => {}
        }
        if self.depth > NESTING_MAX {
            let reason = format!("nested deeper than {NESTING_MAX} levels at byte {}", at + 1);
            return Err(RowFault::new(RejectCode::TooDeep, reason));
        }
        Ok(())
    }

    fn string_step(&mut self, text: &'a str, at: usize, byte: u8) {
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' => self.escaped = true,
            b'"' => {
                self.in_string = false;
                self.last_string = text.get(self.string_start..at);
            }
            _ => {}
        }
    }

    /// Keys compare as the parser reads them: escapes spell one name in many ways.
    fn key(&mut self) -> Result<(), RowFault> {
        let Some(key) = self.last_string.and_then(unescaped) else { return Ok(()) };
        if self.keys.contains(&key) {
            return Err(RowFault::in_column(&key, RejectCode::RepeatedKey, "the object names this key twice"));
        }
        self.keys.insert(key);
        Ok(())
    }
}

/// What a JSON string says; `None` for one that is malformed, which the parser will name.
fn unescaped(string: &str) -> Option<Cow<'_, str>> {
    if !string.contains('\\') {
        return Some(Cow::Borrowed(string));
    }
    serde_json::from_str(&format!("\"{string}\"")).ok().map(Cow::Owned)
}
