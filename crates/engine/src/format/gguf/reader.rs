//! Sequential reading of a GGUF header through a window, with a limit on everything.

use super::super::error::{FormatError, at_most};
use super::super::source::Source;
use super::value::{Array, Value};

/// Most bytes of metadata and tensor descriptions before the tensor data.
pub const HEADER_BYTES_MAX: u64 = 64 << 20;
/// Longest metadata key or tensor name, in bytes.
pub const NAME_BYTES_MAX: u64 = 256;
/// Longest metadata string, in bytes (chat templates are the longest ones).
pub const STRING_BYTES_MAX: u64 = 1 << 20;
/// Most elements of one metadata array (the largest published vocabularies have half a million merges).
pub const ARRAY_ELEMENTS_MAX: u64 = 1 << 20;
/// Most elements of all metadata arrays together.
pub const ARRAY_ELEMENTS_TOTAL_MAX: u64 = 4 << 20;

const WINDOW_BYTES: u64 = 64 << 10;

pub(super) struct HeaderReader<'a> {
    source: &'a Source,
    position: u64,
    window_start: u64,
    window: Vec<u8>,
    elements_read: u64,
}

impl<'a> HeaderReader<'a> {
    pub(super) fn new(source: &'a Source) -> Self {
        Self { source, position: 0, window_start: 0, window: Vec::new(), elements_read: 0 }
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn u32(&mut self, field: &str) -> Result<u32, FormatError> {
        Ok(u32::from_le_bytes(self.array(field)?))
    }

    pub(super) fn u64(&mut self, field: &str) -> Result<u64, FormatError> {
        Ok(u64::from_le_bytes(self.array(field)?))
    }

    /// A count that cannot be honest when its items, `item_bytes` or more each, outrun the file.
    pub(super) fn count(&mut self, field: &str, limit: u64, item_bytes: u64) -> Result<u64, FormatError> {
        let count = self.u64(field)?;
        at_most(field, count, limit)?;
        self.source.check_range(field, self.position, count.saturating_mul(item_bytes))?;
        Ok(count)
    }

    pub(super) fn string(&mut self, field: &str, limit: u64) -> Result<String, FormatError> {
        let len = self.u64(field)?;
        at_most(&format!("length of {field}"), len, limit)?;
        let bytes = self.take(field, len)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(error) => Err(FormatError::malformed(field, error.to_string())),
        }
    }

    pub(super) fn value(&mut self, key: &str) -> Result<Value, FormatError> {
        let kind = self.u32(key)?;
        Ok(match kind {
            8 => Value::String(self.string(key, STRING_BYTES_MAX)?),
            9 => Value::Array(self.metadata_array(key)?),
            _ => self.scalar(key, kind)?,
        })
    }

    fn scalar(&mut self, key: &str, kind: u32) -> Result<Value, FormatError> {
        Ok(match kind {
            0 => Value::Uint(u64::from(self.array::<1>(key)?[0])),
            1 => Value::Int(i64::from(i8::from_le_bytes(self.array(key)?))),
            2 => Value::Uint(u64::from(u16::from_le_bytes(self.array(key)?))),
            3 => Value::Int(i64::from(i16::from_le_bytes(self.array(key)?))),
            4 => Value::Uint(u64::from(self.u32(key)?)),
            5 => Value::Int(i64::from(i32::from_le_bytes(self.array(key)?))),
            6 => Value::Float(f64::from(f32::from_le_bytes(self.array(key)?))),
            7 => Value::Bool(self.bool(key)?),
            10 => Value::Uint(self.u64(key)?),
            11 => Value::Int(i64::from_le_bytes(self.array(key)?)),
            12 => Value::Float(f64::from_le_bytes(self.array(key)?)),
            other => {
                return Err(FormatError::unsupported(
                    format!("value type of {key}"),
                    other.to_string(),
                    "types 0 to 12; arrays of scalars or strings",
                ));
            }
        })
    }

    fn bool(&mut self, key: &str) -> Result<bool, FormatError> {
        match self.array::<1>(key)?[0] {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(FormatError::malformed(key, format!("a boolean is {other}, not 0 or 1"))),
        }
    }

    fn metadata_array(&mut self, key: &str) -> Result<Array, FormatError> {
        let kind = self.u32(key)?;
        let item_bytes = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            _ => 8,
        };
        let count = self.count(&format!("element count of {key}"), ARRAY_ELEMENTS_MAX, item_bytes)?;
        self.elements_read += count;
        at_most("element count of all metadata arrays", self.elements_read, ARRAY_ELEMENTS_TOTAL_MAX)?;
        self.elements(key, kind, count)
    }

    fn elements(&mut self, key: &str, kind: u32, count: u64) -> Result<Array, FormatError> {
        Ok(match kind {
            8 => Array::String(collect(count, || self.string(key, STRING_BYTES_MAX))?),
            7 => Array::Bool(collect(count, || self.bool(key))?),
            6 | 12 => Array::Float(collect(count, || {
                let value = self.scalar(key, kind)?;
                value.as_f64().ok_or_else(|| FormatError::malformed(key, "not a float"))
            })?),
            _ => Array::Int(collect(count, || self.int(key, kind))?),
        })
    }

    fn int(&mut self, key: &str, kind: u32) -> Result<i64, FormatError> {
        match self.scalar(key, kind)? {
            Value::Int(value) => Ok(value),
            Value::Uint(value) => i64::try_from(value)
                .map_err(|_| FormatError::malformed(key, format!("element {value} does not fit 64 signed bits"))),
            other => Err(FormatError::malformed(key, format!("element is {}", other.kind()))),
        }
    }

    fn array<const N: usize>(&mut self, field: &str) -> Result<[u8; N], FormatError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(field, N as u64)?);
        Ok(out)
    }

    fn take(&mut self, field: &str, len: u64) -> Result<&[u8], FormatError> {
        self.source.check_range(field, self.position, len)?;
        at_most("header size", self.position + len, HEADER_BYTES_MAX)?;
        let window_end = self.window_start + self.window.len() as u64;
        if self.position + len > window_end {
            let refill = len.max(WINDOW_BYTES).min(self.source.size() - self.position);
            self.window = self.source.read(field, self.position, refill)?;
            self.window_start = self.position;
        }
        let start = (self.position - self.window_start) as usize;
        self.position += len;
        Ok(&self.window[start..start + len as usize])
    }
}

fn collect<T>(count: u64, mut next: impl FnMut() -> Result<T, FormatError>) -> Result<Vec<T>, FormatError> {
    (0..count).map(|_| next()).collect()
}
