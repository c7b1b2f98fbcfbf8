//! Writing GGUF version 3.

use std::io::{self, Write};

use half::f16;

use super::super::dtype::DType;
use super::value::{Array, Value};
use super::{ALIGNMENT_DEFAULT, MAGIC};

const VERSION: u32 = 3;

/// Collects metadata and tensors, then writes a GGUF file.
#[derive(Debug, Default)]
pub struct GgufWriter {
    metadata: Vec<(String, Value)>,
    tensors: Vec<Tensor>,
}

#[derive(Debug)]
struct Tensor {
    name: String,
    shape: Vec<usize>,
    dtype: DType,
    bytes: Vec<u8>,
}

impl GgufWriter {
    /// A file with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a metadata entry. Integers are written in 32 bits where they fit.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) -> &mut Self {
        self.metadata.push((key.to_owned(), value.into()));
        self
    }

    /// Adds an `F32` tensor of row-major `shape`.
    ///
    /// # Panics
    /// If `values` does not have as many elements as `shape`.
    pub fn f32(&mut self, name: &str, shape: &[usize], values: &[f32]) -> &mut Self {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "elements of {name}");
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.raw(name, shape, DType::F32, bytes)
    }

    /// Adds a tensor whose bytes are already in the layout of `dtype`.
    pub fn raw(&mut self, name: &str, shape: &[usize], dtype: DType, bytes: Vec<u8>) -> &mut Self {
        self.tensors.push(Tensor { name: name.to_owned(), shape: shape.to_vec(), dtype, bytes });
        self
    }

    /// Writes the file.
    ///
    /// # Errors
    /// What `out` returns.
    pub fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut header = Vec::new();
        self.write_header(&mut header)?;
        pad(&mut header);
        out.write_all(&header)?;
        for tensor in &self.tensors {
            out.write_all(&tensor.bytes)?;
            out.write_all(&vec![0; padding(tensor.bytes.len())])?;
        }
        out.flush()
    }

    fn write_header(&self, header: &mut Vec<u8>) -> io::Result<()> {
        header.write_all(&MAGIC)?;
        header.write_all(&VERSION.to_le_bytes())?;
        header.write_all(&(self.tensors.len() as u64).to_le_bytes())?;
        header.write_all(&(self.metadata.len() as u64).to_le_bytes())?;
        for (key, value) in &self.metadata {
            write_string(header, key)?;
            write_value(header, value)?;
        }
        let mut offset = 0_u64;
        for tensor in &self.tensors {
            write_string(header, &tensor.name)?;
            header.write_all(&(tensor.shape.len() as u32).to_le_bytes())?;
            for dimension in tensor.shape.iter().rev() {
                header.write_all(&(*dimension as u64).to_le_bytes())?;
            }
            header.write_all(&tensor.dtype.ggml_number().to_le_bytes())?;
            header.write_all(&offset.to_le_bytes())?;
            offset += (tensor.bytes.len() + padding(tensor.bytes.len())) as u64;
        }
        Ok(())
    }
}

/// `values` (whole blocks of 32) as `Q8_0`: scale = amax / 127 in f16, values rounded half to even.
pub fn q8_0_bytes(values: &[f32]) -> Vec<u8> {
    values.chunks_exact(32).flat_map(q8_0_block).collect()
}

fn q8_0_block(values: &[f32]) -> [u8; 34] {
    let amax = values.iter().fold(0_f32, |max, value| max.max(value.abs()));
    let scale = f16::from_f32(amax / 127.0);
    let inverse = if scale.to_f32() == 0.0 { 0.0 } else { 1.0 / scale.to_f32() };
    let mut block = [0; 34];
    block[..2].copy_from_slice(&scale.to_le_bytes());
    for (byte, value) in block[2..].iter_mut().zip(values) {
        *byte = ((value * inverse).round_ties_even().clamp(-127.0, 127.0) as i8) as u8;
    }
    block
}

fn padding(len: usize) -> usize {
    len.next_multiple_of(ALIGNMENT_DEFAULT as usize) - len
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len() + padding(bytes.len()), 0);
}

fn write_string(out: &mut Vec<u8>, text: &str) -> io::Result<()> {
    out.write_all(&(text.len() as u64).to_le_bytes())?;
    out.write_all(text.as_bytes())
}

fn write_value(out: &mut Vec<u8>, value: &Value) -> io::Result<()> {
    match value {
        Value::Uint(v) => match u32::try_from(*v) {
            Ok(small) => tagged(out, 4, &small.to_le_bytes()),
            Err(_) => tagged(out, 10, &v.to_le_bytes()),
        },
        Value::Int(v) => tagged(out, 11, &v.to_le_bytes()),
        Value::Float(v) => tagged(out, 6, &(*v as f32).to_le_bytes()),
        Value::Bool(v) => tagged(out, 7, &[u8::from(*v)]),
        Value::String(v) => {
            out.write_all(&8_u32.to_le_bytes())?;
            write_string(out, v)
        }
        Value::Array(array) => {
            out.write_all(&9_u32.to_le_bytes())?;
            write_array(out, array)
        }
    }
}

fn write_array(out: &mut Vec<u8>, array: &Array) -> io::Result<()> {
    let wide = matches!(array, Array::Int(v) if v.iter().any(|x| i32::try_from(*x).is_err()));
    let (kind, len) = match array {
        Array::Int(v) => (if wide { 11_u32 } else { 5 }, v.len()),
        Array::Float(v) => (6, v.len()),
        Array::Bool(v) => (7, v.len()),
        Array::String(v) => (8, v.len()),
    };
    out.write_all(&kind.to_le_bytes())?;
    out.write_all(&(len as u64).to_le_bytes())?;
    match array {
        Array::Int(v) if wide => v.iter().try_for_each(|x| out.write_all(&x.to_le_bytes())),
        Array::Int(v) => v.iter().try_for_each(|x| out.write_all(&(*x as i32).to_le_bytes())),
        Array::Float(v) => v.iter().try_for_each(|x| out.write_all(&(*x as f32).to_le_bytes())),
        Array::Bool(v) => v.iter().try_for_each(|x| out.write_all(&[u8::from(*x)])),
        Array::String(v) => v.iter().try_for_each(|x| write_string(out, x)),
    }
}

fn tagged(out: &mut Vec<u8>, kind: u32, bytes: &[u8]) -> io::Result<()> {
    out.write_all(&kind.to_le_bytes())?;
    out.write_all(bytes)
}
