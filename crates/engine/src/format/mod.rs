//! Files of weights: GGUF, safetensors folders, PEFT and GGUF adapters.
//!
//! Everything read here is hostile: each count, length, dimension and offset is checked against a
//! named limit and the file's size before anything is allocated for it. Tensors stay on disk until
//! they are asked for. Pickles are refused by their first bytes; no code path reads one.

mod adapter;
mod dtype;
mod error;
pub mod gguf;
pub mod gguf_lora;
mod gguf_model;
mod hf;
pub mod peft;
pub mod safetensors;
mod source;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

pub use adapter::load_adapter;
pub use dtype::DType;
pub use error::FormatError;
pub use hf::CONFIG_BYTES_MAX;

use crate::model::ModelConfig;
use crate::template::ChatTemplate;
use crate::tokenizer::Tokenizer;
use source::Source;

const DTYPES_SUPPORTED: &str = "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K";

/// A model as read from disk: configuration, tokenizer, template, and tensors still on disk.
#[derive(Debug, Clone)]
pub struct RawModel {
    /// Sizes and variations; already checked.
    pub config: ModelConfig,
    /// Every tensor by its Hugging Face name (`model.layers.0.self_attn.q_proj.weight`), in
    /// Hugging Face's row order whatever the file's.
    pub tensors: BTreeMap<String, RawTensor>,
    /// The tokenizer that goes with the weights.
    pub tokenizer: Tokenizer,
    /// The chat template, if the model has one.
    pub chat_template: Option<ChatTemplate>,
}

impl RawModel {
    /// The tensor of that name and shape.
    ///
    /// # Errors
    /// [`FormatError::Missing`] or [`FormatError::Shape`].
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<&RawTensor, FormatError> {
        let tensor = self.tensors.get(name).ok_or_else(|| FormatError::missing(format!("tensor {name}")))?;
        if tensor.shape != shape {
            return Err(FormatError::Shape {
                tensor: name.to_owned(),
                found: tensor.shape.clone(),
                expected: shape.to_vec(),
            });
        }
        Ok(tensor)
    }
}

/// A tensor on disk (or in memory), converted to `f32` when asked.
#[derive(Debug, Clone)]
pub struct RawTensor {
    /// Row-major shape, outermost dimension first.
    pub shape: Vec<usize>,
    name: String,
    data: Data,
    rows: RowOrder,
}

#[derive(Debug, Clone)]
enum Data {
    Disk { source: Source, offset: u64, bytes: u64, dtype: DType },
    Memory(Arc<[f32]>),
}

/// How rows on disk are ordered, against Hugging Face's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowOrder {
    /// The same.
    Same,
    /// Within each of `heads` heads, the two halves are interleaved (Llama's q and k in GGUF).
    Interleaved { heads: usize },
}

impl RawTensor {
    /// A tensor held in memory.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] if `values` does not have as many elements as `shape`.
    pub fn from_f32(name: &str, shape: Vec<usize>, values: Vec<f32>) -> Result<Self, FormatError> {
        if element_count(name, &shape)? != values.len() as u64 {
            return Err(FormatError::malformed(name, format!("{} values for shape {shape:?}", values.len())));
        }
        Ok(Self { shape, name: name.to_owned(), data: Data::Memory(values.into()), rows: RowOrder::Same })
    }

    pub(crate) fn on_disk(name: &str, shape: Vec<usize>, source: Source, place: (u64, u64), dtype: DType) -> Self {
        let (offset, bytes) = place;
        let data = Data::Disk { source, offset, bytes, dtype };
        Self { shape, name: name.to_owned(), data, rows: RowOrder::Same }
    }

    pub(crate) fn with_rows(mut self, rows: RowOrder) -> Self {
        self.rows = rows;
        self
    }

    /// The element type on disk; `F32` for a tensor in memory.
    pub fn dtype(&self) -> DType {
        match &self.data {
            Data::Disk { dtype, .. } => *dtype,
            Data::Memory(_) => DType::F32,
        }
    }

    /// Reads and converts the whole tensor, rows in Hugging Face's order.
    ///
    /// # Errors
    /// [`FormatError::Read`] if the disk fails, [`FormatError::NotFinite`] for an infinity or NaN.
    pub fn to_f32(&self) -> Result<Vec<f32>, FormatError> {
        let values = match &self.data {
            Data::Memory(values) => values.to_vec(),
            Data::Disk { source, offset, bytes, dtype } => {
                let raw = source.read(&self.name, *offset, *bytes)?;
                let mut values = vec![0.0; element_count(&self.name, &self.shape)? as usize];
                dtype.dequantise(&raw, &mut values);
                values
            }
        };
        self.check_finite(&values)?;
        Ok(match self.rows {
            RowOrder::Same => values,
            RowOrder::Interleaved { heads } => deinterleave(&values, self.shape[0], heads),
        })
    }

    fn check_finite(&self, values: &[f32]) -> Result<(), FormatError> {
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(()),
            Some(index) => Err(FormatError::NotFinite { tensor: self.name.clone(), index, value: values[index] }),
        }
    }
}

/// Reads a GGUF file, or a folder of safetensors with `config.json` and `tokenizer.json`.
///
/// # Errors
/// What is wrong, with the value and the limit; see [`FormatError`].
pub fn load(path: &Path) -> Result<RawModel, FormatError> {
    if path.is_dir() {
        return hf::load(path);
    }
    refuse_pickle(path)?;
    match Source::open(path)?.read("magic", 0, 4)? {
        magic if magic == gguf::MAGIC => gguf_model::load(path),
        magic => Err(FormatError::NotAModel {
            path: path.to_owned(),
            found: format!("a file that starts with {magic:02x?}"),
        }),
    }
}

/// Refuses Python pickles and the zip archives that PyTorch puts them in, by their first bytes, and
/// by the file names that they usually carry.
pub(crate) fn refuse_pickle(path: &Path) -> Result<(), FormatError> {
    const EXTENSIONS: [&str; 6] = ["pt", "pth", "bin", "pkl", "pickle", "ckpt"];
    const ZIP: &[u8] = b"PK\x03\x04";
    let source = Source::open(path)?;
    let start = source.read("first bytes", 0, source.size().min(4))?;
    let protocol = matches!(start.as_slice(), [0x80, 0..=5, ..]);
    let named = path
        .extension()
        .and_then(|extension| extension.to_str())
        .is_some_and(|extension| EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension)));
    if protocol || start == ZIP || (named && start != gguf::MAGIC) {
        return Err(FormatError::Pickle { path: path.to_owned() });
    }
    Ok(())
}

/// Elements of `shape`, refusing overflow and empty tensors.
fn element_count(name: &str, shape: &[usize]) -> Result<u64, FormatError> {
    let product = shape.iter().try_fold(1_u64, |product, &d| product.checked_mul(d as u64));
    match product {
        None => Err(FormatError::malformed(name, format!("shape {shape:?} overflows"))),
        Some(0) => Err(FormatError::malformed(name, format!("shape {shape:?} is empty"))),
        Some(count) => Ok(count),
    }
}

/// Bytes of a tensor on disk; rows must be whole blocks.
fn tensor_bytes(name: &str, shape: &[usize], dtype: DType) -> Result<u64, FormatError> {
    let elements = element_count(name, shape)?;
    let row = shape.last().copied().unwrap_or(1);
    let whole_blocks = row.is_multiple_of(dtype.block_len());
    dtype.byte_len(elements).filter(|_| whole_blocks).ok_or_else(|| {
        let reason = format!("rows of {row} are no whole number of {} blocks", dtype.name());
        FormatError::malformed(name, reason)
    })
}

/// Undoes the row order of Llama's q and k in GGUF: file row `(head, pair, half)` goes to
/// `(head, half, pair)`.
fn deinterleave(values: &[f32], rows: usize, heads: usize) -> Vec<f32> {
    permute_rows(values, rows, heads, |pair, half, pairs| (2 * pair + half, half * pairs + pair))
}

/// Puts rows of Llama's q or k, in Hugging Face's order, into GGUF's order: within each of `heads` heads, row
/// `(half, pair)` goes to `(pair, half)`. Biases and LoRA's B are reordered alike.
///
/// # Panics
/// If `heads` does not divide `rows`, or `rows` the number of values.
pub fn interleave(values: &[f32], rows: usize, heads: usize) -> Vec<f32> {
    permute_rows(values, rows, heads, |pair, half, pairs| (half * pairs + pair, 2 * pair + half))
}

fn permute_rows(
    values: &[f32],
    rows: usize,
    heads: usize,
    from_to: impl Fn(usize, usize, usize) -> (usize, usize),
) -> Vec<f32> {
    assert!(rows.is_multiple_of(heads) && values.len().is_multiple_of(rows), "{rows} rows of {heads} heads");
    let (head_rows, width) = (rows / heads, values.len() / rows);
    let pairs = head_rows / 2;
    let mut out = vec![0.0; values.len()];
    for head in 0..heads {
        for (pair, half) in (0..pairs).flat_map(|pair| [(pair, 0), (pair, 1)]) {
            let (from, to) = from_to(pair, half, pairs);
            let (from, to) = ((head * head_rows + from) * width, (head * head_rows + to) * width);
            out[to..to + width].copy_from_slice(&values[from..from + width]);
        }
    }
    out
}
