//! GGUF, versions 2 and 3, little-endian: reading with limits, and writing.
//!
//! Layout as in the GGUF specification: magic, version, tensor count, metadata, tensor
//! descriptions, padding, tensor data. Dimensions are stored innermost first; here shapes are
//! row-major, outermost first.

mod reader;
mod value;
mod write;

use std::collections::BTreeMap;
use std::path::Path;

pub use reader::{ARRAY_ELEMENTS_MAX, ARRAY_ELEMENTS_TOTAL_MAX, HEADER_BYTES_MAX, NAME_BYTES_MAX, STRING_BYTES_MAX};
pub use value::{Array, Value};
pub use write::{GgufWriter, q8_0_bytes};

use super::dtype::DType;
use super::error::{FormatError, at_most};
use super::source::Source;
use reader::HeaderReader;

/// First four bytes of every GGUF file.
pub const MAGIC: [u8; 4] = *b"GGUF";
/// Most metadata entries.
pub const METADATA_ENTRIES_MAX: u64 = 4096;
/// Most tensors.
pub const TENSORS_MAX: u64 = 1 << 16;
/// Most dimensions of a tensor.
pub const DIMENSIONS_MAX: u64 = 4;
/// Largest alignment of the tensor data.
pub const ALIGNMENT_MAX: u64 = 4096;

const ALIGNMENT_DEFAULT: u64 = 32;
const METADATA_ENTRY_BYTES_MIN: u64 = 8 + 4 + 1;
const TENSOR_ENTRY_BYTES_MIN: u64 = 8 + 4 + 8 + 4 + 8;

/// An open GGUF file: its metadata in memory, its tensors on disk.
#[derive(Debug, Clone)]
pub struct Gguf {
    source: Source,
    metadata: BTreeMap<String, Value>,
    tensors: BTreeMap<String, GgufTensor>,
}

/// Where a tensor lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GgufTensor {
    /// Row-major shape, outermost dimension first.
    pub shape: Vec<usize>,
    /// Element type.
    pub dtype: DType,
    /// Offset in the file.
    pub(crate) offset: u64,
    /// Length in the file.
    pub(crate) bytes: u64,
}

impl Gguf {
    /// Opens a file and checks its whole header: every size, and that every tensor lies inside the file.
    ///
    /// # Errors
    /// The field that is wrong, with its value and limit.
    pub fn open(path: &Path) -> Result<Self, FormatError> {
        Self::from_source(Source::open(path)?)
    }

    pub(crate) fn from_source(source: Source) -> Result<Self, FormatError> {
        let mut reader = HeaderReader::new(&source);
        let (tensor_count, entry_count) = read_counts(&mut reader)?;
        let metadata = read_metadata(&mut reader, entry_count)?;
        let descriptions = read_descriptions(&mut reader, tensor_count)?;
        let alignment = alignment(&metadata)?;
        let data_start = reader.position().next_multiple_of(alignment);
        let tensors = place(descriptions, &source, data_start, alignment)?;
        check_overlap(&tensors)?;
        Ok(Self { source, metadata, tensors })
    }

    /// The metadata value of that key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.metadata.get(key)
    }

    /// All metadata, by key.
    pub fn metadata(&self) -> &BTreeMap<String, Value> {
        &self.metadata
    }

    /// All tensors, by name.
    pub fn tensors(&self) -> &BTreeMap<String, GgufTensor> {
        &self.tensors
    }

    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// A required string.
    pub(crate) fn str(&self, key: &str) -> Result<&str, FormatError> {
        self.typed(key, "a string", Value::as_str)
    }

    /// A required non-negative integer.
    pub(crate) fn u64(&self, key: &str) -> Result<u64, FormatError> {
        self.typed(key, "a non-negative integer", Value::as_u64)
    }

    /// A required number.
    pub(crate) fn f64(&self, key: &str) -> Result<f64, FormatError> {
        self.typed(key, "a number", Value::as_f64)
    }

    /// Applies `read` when the key is present.
    pub(crate) fn optional<'a, T>(
        &'a self,
        key: &str,
        read: impl FnOnce(&'a Self, &str) -> Result<T, FormatError>,
    ) -> Result<Option<T>, FormatError> {
        if self.metadata.contains_key(key) { read(self, key).map(Some) } else { Ok(None) }
    }

    pub(crate) fn typed<'a, T>(
        &'a self,
        key: &str,
        wanted: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<T, FormatError> {
        let value = self.get(key).ok_or_else(|| FormatError::missing(key))?;
        read(value).ok_or_else(|| FormatError::malformed(key, format!("is {}, not {wanted}", value.kind())))
    }
}

fn read_counts(reader: &mut HeaderReader<'_>) -> Result<(u64, u64), FormatError> {
    let magic = reader.u32("magic")?.to_le_bytes();
    if magic != MAGIC {
        return Err(FormatError::malformed("magic", format!("is {magic:02x?}, not \"GGUF\"")));
    }
    let version = reader.u32("version")?;
    if !(2..=3).contains(&version) {
        return Err(FormatError::unsupported("GGUF version", version.to_string(), "2, 3 (little-endian)"));
    }
    let tensors = reader.count("tensor count", TENSORS_MAX, TENSOR_ENTRY_BYTES_MIN)?;
    let entries = reader.count("metadata count", METADATA_ENTRIES_MAX, METADATA_ENTRY_BYTES_MIN)?;
    Ok((tensors, entries))
}

fn read_metadata(reader: &mut HeaderReader<'_>, count: u64) -> Result<BTreeMap<String, Value>, FormatError> {
    let mut metadata = BTreeMap::new();
    for index in 0..count {
        let key = reader.string(&format!("metadata key {index}"), NAME_BYTES_MAX)?;
        let value = reader.value(&key)?;
        if metadata.insert(key.clone(), value).is_some() {
            return Err(FormatError::malformed(key, "appears twice"));
        }
    }
    Ok(metadata)
}

struct Description {
    name: String,
    shape: Vec<usize>,
    dtype: DType,
    relative_offset: u64,
}

fn read_descriptions(reader: &mut HeaderReader<'_>, count: u64) -> Result<Vec<Description>, FormatError> {
    (0..count).map(|index| read_description(reader, index)).collect()
}

fn read_description(reader: &mut HeaderReader<'_>, index: u64) -> Result<Description, FormatError> {
    let name = reader.string(&format!("name of tensor {index}"), NAME_BYTES_MAX)?;
    let rank = u64::from(reader.u32(&format!("dimension count of {name}"))?);
    at_most(&format!("dimension count of {name}"), rank, DIMENSIONS_MAX)?;
    let mut shape = Vec::with_capacity(rank as usize);
    for _ in 0..rank {
        let dimension = reader.u64(&format!("dimension of {name}"))?;
        at_most(&format!("dimension of {name}"), dimension, u64::from(u32::MAX))?;
        shape.push(dimension as usize);
    }
    shape.reverse();
    let number = reader.u32(&format!("type of {name}"))?;
    let dtype = DType::from_ggml(number)
        .map_err(|refused| FormatError::unsupported(format!("type of {name}"), refused, super::DTYPES_SUPPORTED))?;
    let relative_offset = reader.u64(&format!("offset of {name}"))?;
    Ok(Description { name, shape, dtype, relative_offset })
}

fn alignment(metadata: &BTreeMap<String, Value>) -> Result<u64, FormatError> {
    const KEY: &str = "general.alignment";
    let Some(value) = metadata.get(KEY) else { return Ok(ALIGNMENT_DEFAULT) };
    let alignment = value.as_u64().ok_or_else(|| FormatError::malformed(KEY, format!("is {}", value.kind())))?;
    at_most(KEY, alignment, ALIGNMENT_MAX)?;
    if !alignment.is_power_of_two() {
        return Err(FormatError::malformed(KEY, format!("{alignment} is no power of two")));
    }
    Ok(alignment)
}

fn place(
    descriptions: Vec<Description>,
    source: &Source,
    data_start: u64,
    alignment: u64,
) -> Result<BTreeMap<String, GgufTensor>, FormatError> {
    let mut tensors = BTreeMap::new();
    for description in descriptions {
        let Description { name, shape, dtype, relative_offset } = description;
        let bytes = super::tensor_bytes(&name, &shape, dtype)?;
        if !relative_offset.is_multiple_of(alignment) {
            let reason = format!("{relative_offset} is no multiple of the alignment {alignment}");
            return Err(FormatError::malformed(format!("offset of {name}"), reason));
        }
        let offset = data_start.saturating_add(relative_offset);
        source.check_range(&name, offset, bytes)?;
        let tensor = GgufTensor { shape, dtype, offset, bytes };
        if tensors.insert(name.clone(), tensor).is_some() {
            return Err(FormatError::malformed(name, "appears twice"));
        }
    }
    Ok(tensors)
}

fn check_overlap(tensors: &BTreeMap<String, GgufTensor>) -> Result<(), FormatError> {
    let mut ranges: Vec<_> = tensors.iter().map(|(name, t)| (t.offset, t.offset + t.bytes, name)).collect();
    ranges.sort_unstable();
    for pair in ranges.windows(2) {
        let ((_, end, first), (start, _, second)) = (pair[0], pair[1]);
        if start < end {
            return Err(FormatError::malformed(second.as_str(), format!("overlaps {first}")));
        }
    }
    Ok(())
}
