//! Safetensors: reading with limits, and writing.
//!
//! Layout as in the safetensors specification: a `u64` length, a JSON object of that length from
//! names to `{dtype, shape, data_offsets}`, then the data, which the tensors cover without gaps.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::dtype::DType;
use super::error::{FormatError, at_most};
use super::source::Source;
use super::{RawTensor, tensor_bytes};

/// Largest JSON header, in bytes.
pub const HEADER_BYTES_MAX: u64 = 16 << 20;
/// Most tensors of one file.
pub const TENSORS_MAX: u64 = 1 << 16;
/// Most dimensions of a tensor.
pub const DIMENSIONS_MAX: u64 = 4;

const DTYPES: &str = "F32, F16, BF16";
const METADATA_KEY: &str = "__metadata__";
const LENGTH_BYTES: u64 = 8;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

/// Opens a safetensors file and checks its whole header; the tensors stay on disk.
///
/// # Errors
/// The field that is wrong, with its value and limit.
pub fn open(path: &Path) -> Result<BTreeMap<String, RawTensor>, FormatError> {
    super::refuse_pickle(path)?;
    let source = Source::open(path)?;
    let header = read_header(&source)?;
    let data_start = LENGTH_BYTES + header.1;
    let entries: BTreeMap<String, Value> = serde_json::from_slice(&header.0)
        .map_err(|error| FormatError::Json { path: path.to_owned(), source: error })?;
    at_most("tensor count", entries.len() as u64, TENSORS_MAX)?;
    let mut tensors = BTreeMap::new();
    let mut ranges = Vec::new();
    for (name, entry) in entries {
        if name != METADATA_KEY {
            let entry: Entry = serde_json::from_value(entry)
                .map_err(|error| FormatError::malformed(shown(&name), error.to_string()))?;
            ranges.push(entry.data_offsets);
            let tensor = place(&name, entry, &source, data_start)?;
            tensors.insert(name, tensor);
        }
    }
    check_cover(ranges, source.size() - data_start)?;
    Ok(tensors)
}

fn read_header(source: &Source) -> Result<(Vec<u8>, u64), FormatError> {
    let mut length = [0; LENGTH_BYTES as usize];
    source.read_into("header length", 0, &mut length)?;
    let length = u64::from_le_bytes(length);
    at_most("header length", length, HEADER_BYTES_MAX)?;
    Ok((source.read("header", LENGTH_BYTES, length)?, length))
}

fn place(name: &str, entry: Entry, source: &Source, data_start: u64) -> Result<RawTensor, FormatError> {
    let name = shown(name);
    let dtype = DType::from_safetensors(&entry.dtype)
        .map_err(|refused| FormatError::unsupported(format!("dtype of {name}"), refused, DTYPES))?;
    at_most(&format!("dimension count of {name}"), entry.shape.len() as u64, DIMENSIONS_MAX)?;
    let mut shape = Vec::with_capacity(entry.shape.len());
    for dimension in entry.shape {
        at_most(&format!("dimension of {name}"), dimension, u64::from(u32::MAX))?;
        shape.push(dimension as usize);
    }
    let bytes = tensor_bytes(&name, &shape, dtype)?;
    let (start, end) = entry.data_offsets;
    if end.checked_sub(start) != Some(bytes) {
        let reason = format!("[{start}, {end}] is not the {bytes} bytes of its shape {shape:?}");
        return Err(FormatError::malformed(format!("data_offsets of {name}"), reason));
    }
    let offset = data_start.saturating_add(start);
    source.check_range(&name, offset, bytes)?;
    Ok(RawTensor::on_disk(&name, shape, source.clone(), (offset, bytes), dtype))
}

/// Tensors must cover the data exactly: no overlap, and nothing hidden between or after them.
fn check_cover(mut ranges: Vec<(u64, u64)>, data_bytes: u64) -> Result<(), FormatError> {
    ranges.sort_unstable();
    let mut covered = 0;
    for (start, end) in ranges {
        if start != covered {
            let reason = format!("a tensor starts at {start}, the one before ends at {covered}");
            return Err(FormatError::malformed("data_offsets", reason));
        }
        covered = end;
    }
    if covered != data_bytes {
        let reason = format!("tensors end at {covered}, the file's data at {data_bytes}");
        return Err(FormatError::malformed("data_offsets", reason));
    }
    Ok(())
}

/// A name short enough for a message.
fn shown(name: &str) -> String {
    const SHOWN_CHARS: usize = 128;
    name.chars().take(SHOWN_CHARS).collect()
}

/// Writes `F32` tensors in the order of their names, with `metadata`.
///
/// # Errors
/// What `out` returns.
///
/// # Panics
/// If a tensor's values are not as many as its shape says.
pub fn write_f32(
    out: &mut dyn Write,
    tensors: &BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    metadata: &BTreeMap<String, String>,
) -> io::Result<()> {
    let mut header = serde_json::Map::new();
    if !metadata.is_empty() {
        header.insert(METADATA_KEY.to_owned(), serde_json::json!(metadata));
    }
    let mut end = 0;
    for (name, (shape, values)) in tensors {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "elements of {name}");
        let start = end;
        end += 4 * values.len();
        let entry = serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [start, end]});
        header.insert(name.clone(), entry);
    }
    let mut header = Value::Object(header).to_string();
    // Data starts at a multiple of eight, as readers that map the file expect.
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(header.as_bytes())?;
    for (_, values) in tensors.values() {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        out.write_all(&bytes)?;
    }
    out.flush()
}
