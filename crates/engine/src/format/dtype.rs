//! Tensor element types, their sizes on disk and their conversion to `f32`.
//!
//! The block layouts are those of the GGUF specification (ggml's `block_q*` structures), little-endian.

use half::{bf16, f16};

/// Element type of a stored tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DType {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// Brain float.
    BF16,
    /// 32 values: f16 scale, 4-bit values offset by 8.
    Q4_0,
    /// 32 values: f16 scale, f16 minimum, 4-bit values.
    Q4_1,
    /// 32 values: f16 scale, 5-bit values offset by 16.
    Q5_0,
    /// 32 values: f16 scale, f16 minimum, 5-bit values.
    Q5_1,
    /// 32 values: f16 scale, 8-bit signed values.
    Q8_0,
    /// 256 values in 8 sub-blocks with 6-bit scales and minimums, 4-bit values.
    Q4K,
    /// 256 values in 8 sub-blocks with 6-bit scales and minimums, 5-bit values.
    Q5K,
    /// 256 values in 16 sub-blocks with 8-bit scales, 6-bit values offset by 32.
    Q6K,
}

impl DType {
    /// The type's usual name.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q8_0 => "Q8_0",
            Self::Q4K => "Q4_K",
            Self::Q5K => "Q5_K",
            Self::Q6K => "Q6_K",
        }
    }

    /// Values in one block; a tensor's innermost dimension is a multiple of it.
    pub fn block_len(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::BF16 => 1,
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => 32,
            Self::Q4K | Self::Q5K | Self::Q6K => 256,
        }
    }

    /// Bytes of one block.
    pub fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q4K => 144,
            Self::Q5K => 176,
            Self::Q6K => 210,
        }
    }

    /// Bytes of `elements` values, or `None` when they are no whole number of blocks or overflow.
    pub fn byte_len(self, elements: u64) -> Option<u64> {
        let block = self.block_len() as u64;
        if !elements.is_multiple_of(block) {
            return None;
        }
        (elements / block).checked_mul(self.block_bytes() as u64)
    }

    /// The type with this GGUF number.
    ///
    /// # Errors
    /// The name (or number) of a type that this engine does not read.
    pub fn from_ggml(number: u32) -> Result<Self, String> {
        Ok(match number {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            12 => Self::Q4K,
            13 => Self::Q5K,
            14 => Self::Q6K,
            30 => Self::BF16,
            other => return Err(refused_ggml_name(other)),
        })
    }

    /// The type's GGUF number.
    pub fn ggml_number(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q4_0 => 2,
            Self::Q4_1 => 3,
            Self::Q5_0 => 6,
            Self::Q5_1 => 7,
            Self::Q8_0 => 8,
            Self::Q4K => 12,
            Self::Q5K => 13,
            Self::Q6K => 14,
            Self::BF16 => 30,
        }
    }

    /// The type with this safetensors name.
    ///
    /// # Errors
    /// The name itself when this engine does not read it.
    pub fn from_safetensors(name: &str) -> Result<Self, String> {
        match name {
            "F32" => Ok(Self::F32),
            "F16" => Ok(Self::F16),
            "BF16" => Ok(Self::BF16),
            other => Err(other.chars().take(32).collect()),
        }
    }

    /// Converts whole blocks in `bytes` to `out`.
    ///
    /// # Panics
    /// If `bytes` and `out` do not hold the same number of whole blocks.
    pub fn dequantise(self, bytes: &[u8], out: &mut [f32]) {
        assert_eq!(self.byte_len(out.len() as u64), Some(bytes.len() as u64), "{} blocks", self.name());
        let block = self.block_fn();
        let blocks = bytes.chunks_exact(self.block_bytes());
        for (block_bytes, values) in blocks.zip(out.chunks_exact_mut(self.block_len())) {
            block(block_bytes, values);
        }
    }

    fn block_fn(self) -> fn(&[u8], &mut [f32]) {
        match self {
            Self::F32 => |b, y| y[0] = f32::from_le_bytes([b[0], b[1], b[2], b[3]]),
            Self::F16 => |b, y| y[0] = half_at(b, 0),
            Self::BF16 => |b, y| y[0] = bf16::from_le_bytes([b[0], b[1]]).to_f32(),
            Self::Q4_0 => q4_0,
            Self::Q4_1 => q4_1,
            Self::Q5_0 => q5_0,
            Self::Q5_1 => q5_1,
            Self::Q8_0 => q8_0,
            Self::Q4K => q4_k,
            Self::Q5K => q5_k,
            Self::Q6K => q6_k,
        }
    }
}

fn refused_ggml_name(number: u32) -> String {
    const NAMES: [(u32, &str); 22] = [
        (9, "Q8_1"),
        (10, "Q2_K"),
        (11, "Q3_K"),
        (15, "Q8_K"),
        (16, "IQ2_XXS"),
        (17, "IQ2_XS"),
        (18, "IQ3_XXS"),
        (19, "IQ1_S"),
        (20, "IQ4_NL"),
        (21, "IQ3_S"),
        (22, "IQ2_S"),
        (23, "IQ4_XS"),
        (24, "I8"),
        (25, "I16"),
        (26, "I32"),
        (27, "I64"),
        (28, "F64"),
        (29, "IQ1_M"),
        (34, "TQ1_0"),
        (35, "TQ2_0"),
        (39, "MXFP4"),
        (40, "NVFP4"),
    ];
    NAMES
        .iter()
        .find(|(n, _)| *n == number)
        .map_or_else(|| format!("type number {number}"), |(_, name)| (*name).to_owned())
}

fn half_at(bytes: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}

fn low(byte: u8) -> i32 {
    i32::from(byte & 0x0f)
}

fn high(byte: u8) -> i32 {
    i32::from(byte >> 4)
}

fn q4_0(bytes: &[u8], out: &mut [f32]) {
    let scale = half_at(bytes, 0);
    for (j, &q) in bytes[2..18].iter().enumerate() {
        out[j] = (low(q) - 8) as f32 * scale;
        out[j + 16] = (high(q) - 8) as f32 * scale;
    }
}

fn q4_1(bytes: &[u8], out: &mut [f32]) {
    let (scale, min) = (half_at(bytes, 0), half_at(bytes, 2));
    for (j, &q) in bytes[4..20].iter().enumerate() {
        out[j] = low(q) as f32 * scale + min;
        out[j + 16] = high(q) as f32 * scale + min;
    }
}

/// The fifth bits of the two values that share byte `j`, already shifted to bit 4.
fn fifth_bits(bits: u32, j: usize) -> (i32, i32) {
    let low = ((bits >> j) & 1) << 4;
    let high = ((bits >> (j + 16)) & 1) << 4;
    (low as i32, high as i32)
}

fn q5_0(bytes: &[u8], out: &mut [f32]) {
    let scale = half_at(bytes, 0);
    let bits = u32::from_le_bytes([bytes[2], bytes[3], bytes[4], bytes[5]]);
    for (j, &q) in bytes[6..22].iter().enumerate() {
        let (fifth_low, fifth_high) = fifth_bits(bits, j);
        out[j] = ((low(q) | fifth_low) - 16) as f32 * scale;
        out[j + 16] = ((high(q) | fifth_high) - 16) as f32 * scale;
    }
}

fn q5_1(bytes: &[u8], out: &mut [f32]) {
    let (scale, min) = (half_at(bytes, 0), half_at(bytes, 2));
    let bits = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
    for (j, &q) in bytes[8..24].iter().enumerate() {
        let (fifth_low, fifth_high) = fifth_bits(bits, j);
        out[j] = (low(q) | fifth_low) as f32 * scale + min;
        out[j + 16] = (high(q) | fifth_high) as f32 * scale + min;
    }
}

fn q8_0(bytes: &[u8], out: &mut [f32]) {
    let scale = half_at(bytes, 0);
    for (value, &q) in out.iter_mut().zip(&bytes[2..34]) {
        *value = f32::from(q as i8) * scale;
    }
}

/// The 6-bit scale and minimum of sub-block `j` in a K-quant's 12 packed bytes.
fn scale_and_min(packed: &[u8], j: usize) -> (f32, f32) {
    let (scale, min) = if j < 4 {
        (packed[j] & 63, packed[j + 4] & 63)
    } else {
        ((packed[j + 4] & 0x0f) | ((packed[j - 4] >> 6) << 4), (packed[j + 4] >> 4) | ((packed[j] >> 6) << 4))
    };
    (f32::from(scale), f32::from(min))
}

fn q4_k(bytes: &[u8], out: &mut [f32]) {
    let (d, dmin) = (half_at(bytes, 0), half_at(bytes, 2));
    let (packed, quants) = (&bytes[4..16], &bytes[16..144]);
    for (pair, (q, y)) in quants.chunks_exact(32).zip(out.chunks_exact_mut(64)).enumerate() {
        let (scale_low, min_low) = scale_and_min(packed, 2 * pair);
        let (scale_high, min_high) = scale_and_min(packed, 2 * pair + 1);
        for (l, &byte) in q.iter().enumerate() {
            y[l] = d * scale_low * low(byte) as f32 - dmin * min_low;
            y[l + 32] = d * scale_high * high(byte) as f32 - dmin * min_high;
        }
    }
}

fn q5_k(bytes: &[u8], out: &mut [f32]) {
    let (d, dmin) = (half_at(bytes, 0), half_at(bytes, 2));
    let (packed, fifths, quants) = (&bytes[4..16], &bytes[16..48], &bytes[48..176]);
    for (pair, (q, y)) in quants.chunks_exact(32).zip(out.chunks_exact_mut(64)).enumerate() {
        let (scale_low, min_low) = scale_and_min(packed, 2 * pair);
        let (scale_high, min_high) = scale_and_min(packed, 2 * pair + 1);
        for (l, (&byte, &fifth)) in q.iter().zip(fifths).enumerate() {
            let fifth_low = i32::from((fifth >> (2 * pair)) & 1) << 4;
            let fifth_high = i32::from((fifth >> (2 * pair + 1)) & 1) << 4;
            y[l] = d * scale_low * (low(byte) + fifth_low) as f32 - dmin * min_low;
            y[l + 32] = d * scale_high * (high(byte) + fifth_high) as f32 - dmin * min_high;
        }
    }
}

fn q6_k(bytes: &[u8], out: &mut [f32]) {
    let d = half_at(bytes, 208);
    for (n, y) in out.chunks_exact_mut(128).enumerate() {
        let (lows, highs) = (&bytes[64 * n..64 * n + 64], &bytes[128 + 32 * n..160 + 32 * n]);
        let scales = &bytes[192 + 8 * n..200 + 8 * n];
        for l in 0..32 {
            let top = |shift: u32| i32::from((highs[l] >> shift) & 3) << 4;
            let quants = [
                low(lows[l]) | top(0),
                low(lows[l + 32]) | top(2),
                high(lows[l]) | top(4),
                high(lows[l + 32]) | top(6),
            ];
            for (k, q) in quants.into_iter().enumerate() {
                let scale = f32::from(scales[l / 16 + 2 * k] as i8);
                y[l + 32 * k] = d * scale * (q - 32) as f32;
            }
        }
    }
}
