//! What one rendering may use.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Value};

use super::{OUTPUT_BYTES_MAX, WORK_BYTES_MAX};

/// Deepest nesting of a value that a template may build, print or compare.
const DEPTH_MAX: usize = 16;
/// Work of handling one element of a list, in bytes.
const ELEMENT_BYTES: u64 = 16;
/// Work of looking up and visiting one element of a nested value, in bytes.
const WALKED_BYTES: u64 = 64;
/// Names of the interpreter's objects that can hold themselves.
const CYCLIC_TYPES: [&str; 3] = ["Namespace", "Macro", "Loop"];

#[derive(Debug)]
pub(super) struct Budget {
    work: AtomicU64,
    written: AtomicU64,
    raised: Mutex<Option<String>>,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self { work: AtomicU64::new(0), written: AtomicU64::new(0), raised: Mutex::new(None) }
    }

    /// Uses up `bytes` of work.
    pub(super) fn work(&self, bytes: u64) -> Result<(), Error> {
        let used = self.work.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if used > WORK_BYTES_MAX { Err(over(format!("{WORK_BYTES_MAX} bytes handled"))) } else { Ok(()) }
    }

    /// Uses up `bytes` of output, captured or final.
    pub(super) fn write(&self, bytes: usize) -> Result<(), Error> {
        let limit = 2 * OUTPUT_BYTES_MAX as u64;
        let used = self.written.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        if used > limit { Err(over(format!("{limit} bytes written"))) } else { Ok(()) }
    }

    /// Charges for looking at a value's outside: a string's bytes, a list's elements.
    pub(super) fn shallow(&self, value: &Value) -> Result<(), Error> {
        self.work(shallow_bytes(value))
    }

    /// As [`shallow`](Self::shallow), with each character of a string an element of its own.
    pub(super) fn elements(&self, value: &Value) -> Result<(), Error> {
        match value.as_str() {
            Some(text) => self.work(1 + text.len() as u64 * ELEMENT_BYTES),
            None => self.shallow(value),
        }
    }

    /// Charges for everything inside a value, which must not be nested too deeply.
    pub(super) fn deep(&self, value: &Value) -> Result<(), Error> {
        self.walk(value, 0)
    }

    /// As [`deep`](Self::deep); refuses what could make a value contain itself.
    pub(super) fn storable(&self, value: &Value) -> Result<(), Error> {
        if holds_itself(value) {
            let detail = "namespaces, macros and loops cannot be stored in other values";
            return Err(Error::new(ErrorKind::InvalidOperation, detail));
        }
        self.deep(value)
    }

    fn walk(&self, value: &Value, depth: usize) -> Result<(), Error> {
        self.shallow(value)?;
        if !matches!(value.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::Iterable) {
            return Ok(());
        }
        if depth > 0 && holds_itself(value) {
            return Err(Error::new(ErrorKind::InvalidOperation, "a namespace inside another value"));
        }
        if depth == DEPTH_MAX {
            return Err(over(format!("{DEPTH_MAX} levels of nesting")));
        }
        for item in value.try_iter()? {
            self.work(WALKED_BYTES)?;
            self.walk(&item, depth + 1)?;
            if value.kind() == ValueKind::Map {
                self.walk(&value.get_item(&item)?, depth + 1)?;
            }
        }
        Ok(())
    }

    pub(super) fn raise(&self, message: String) {
        *self.raised.lock().unwrap_or_else(PoisonError::into_inner) = Some(message);
    }

    pub(super) fn raised(&self) -> Option<String> {
        self.raised.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn holds_itself(value: &Value) -> bool {
    value.as_object().is_some_and(|object| {
        let name = object.type_name();
        CYCLIC_TYPES.iter().any(|cyclic| name.ends_with(cyclic))
    })
}

fn shallow_bytes(value: &Value) -> u64 {
    match value.as_str() {
        Some(text) => 1 + text.len() as u64,
        None => 1 + value.len().unwrap_or(0) as u64 * ELEMENT_BYTES,
    }
}

pub(super) fn over(detail: String) -> Error {
    Error::new(ErrorKind::OutOfFuel, detail)
}
