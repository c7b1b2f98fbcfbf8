//! Matrices of int8 blocks: 32 consecutive inputs share a scale, 16 outputs are stored together.
//!
//! `y[r][o] = fold over blocks b ascending: fma(dot_i32(b) as f32, s_w[o][b] * s_a[r][b], acc)`, where `dot_i32` is
//! exact, so that neither the layout nor the instructions can change a bit.
//!
//! The gradient of the input, `dx += dy W`, is the same product with the transpose: quantised once more, in blocks along
//! the outputs, from integers times scales, so that its inner sums are exact too.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod finish;
mod matmul;
mod portable;
mod rows;

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};

pub use finish::{Finish, Tail};
pub use matmul::{Q8Product, Start};
pub use rows::QuantisedRows;

use crate::Cpu;
#[cfg(target_arch = "x86_64")]
use crate::path::Kind;
use crate::path::{Path, each_path};

/// Inputs that share a scale.
pub const BLOCK: usize = 32;

/// Outputs that are stored together.
pub const TILE: usize = 16;

/// Blocks whose largest magnitude is below this are zero: its reciprocal must stay finite.
const AMAX_MIN: f32 = 1e-30;

/// How a byte of a block of a tile stands for a weight. The order is always `[k / 4][16 outputs][4]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// As it is.
    Signed,
    /// Offset by 128: for VNNI, which multiplies unsigned by signed bytes.
    Offset,
}

impl Layout {
    fn of(path: Path) -> Self {
        match path.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => Self::Offset,
            _ => Self::Signed,
        }
    }

    /// What is xored to a signed byte to store it.
    #[inline(always)]
    fn mask(self) -> u8 {
        match self {
            Self::Signed => 0,
            Self::Offset => 0x80,
        }
    }
}

/// Where a weight is within its block.
#[inline(always)]
fn place(output: usize, input: usize) -> usize {
    (input / 4) * (4 * TILE) + output * 4 + input % 4
}

/// 16 outputs by 32 inputs, with the 16 scales.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(crate) struct TileBlock {
    q: [u8; TILE * BLOCK],
    scales: [f32; TILE],
}

/// A quantised matrix, outputs x inputs, packed for one processor's path.
#[derive(Clone, Debug)]
pub struct Q8Matrix {
    rows: usize,
    cols: usize,
    layout: Layout,
    /// Tile by tile, block by block.
    blocks: Vec<TileBlock>,
}

/// A value that has no int8 form.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NotFinite {
    /// Its row.
    pub row: usize,
    /// Its column.
    pub col: usize,
    /// The value.
    pub value: f32,
}

impl Q8Matrix {
    /// Quantises row-major f32 weights, `rows` outputs by `cols` inputs, for that path.
    ///
    /// # Errors
    /// The first weight that is infinite or not a number.
    ///
    /// # Panics
    /// If the length is not `rows * cols`.
    pub fn quantise(weights: &[f32], rows: usize, cols: usize, path: Path) -> Result<Self, NotFinite> {
        assert_eq!(weights.len(), rows * cols, "a {rows} x {cols} matrix");
        if let Some(i) = weights.iter().position(|value| !value.is_finite()) {
            return Err(NotFinite { row: i / cols, col: i % cols, value: weights[i] });
        }
        let layout = Layout::of(path);
        let width = cols.div_ceil(BLOCK);
        let empty = TileBlock { q: [layout.mask(); TILE * BLOCK], scales: [0.0; TILE] };
        let mut blocks = vec![empty; rows.div_ceil(TILE) * width];
        path.pack(weights, cols, layout, &mut blocks);
        Ok(Self { rows, cols, layout, blocks })
    }

    /// Outputs.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Inputs.
    #[must_use]
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Bytes of memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of_val(self.blocks.as_slice())
    }

    /// Blocks along the inputs.
    pub(crate) fn width(&self) -> usize {
        self.cols.div_ceil(BLOCK)
    }

    /// One output's scale and 32 integers in each block, in order; inputs past the last are zero.
    pub fn row_blocks(&self, row: usize) -> impl Iterator<Item = (f32, [i8; BLOCK])> + '_ {
        let start = row / TILE * self.width();
        let blocks = &self.blocks[start..start + self.width()];
        blocks.iter().map(move |block| block.row(self.layout, row % TILE))
    }

    /// One output's weights as f32: integer times scale.
    pub fn dequantise_row(&self, row: usize, out: &mut [f32]) {
        for ((scale, q), out) in self.row_blocks(row).zip(out.chunks_mut(BLOCK)) {
            for (out, q) in out.iter_mut().zip(q) {
                *out = f32::from(q) * scale;
            }
        }
    }

    /// The transpose, inputs x outputs: integers times scales as f32, quantised in blocks of 32 outputs.
    #[must_use]
    pub fn transposed(&self, cpu: &Cpu) -> Self {
        let (rows, cols) = (self.cols, self.rows);
        let width = cols.div_ceil(BLOCK);
        let empty = TileBlock { q: [self.layout.mask(); TILE * BLOCK], scales: [0.0; TILE] };
        let mut blocks = vec![empty; rows.div_ceil(TILE) * width];
        if width > 0 {
            cpu.pool().chunks(&mut blocks, width, |tile, blocks| cpu.path().transpose_tile(self, tile, blocks));
        }
        Self { rows, cols, layout: self.layout, blocks }
    }

    fn tile(&self, tile: usize) -> &[TileBlock] {
        &self.blocks[tile * self.width()..(tile + 1) * self.width()]
    }

    /// As many tiles from there on, or those that there are.
    fn tiles_from(&self, tile: usize, count: usize) -> &[TileBlock] {
        let end = self.blocks.len().min((tile + count) * self.width());
        &self.blocks[end.min(tile * self.width())..end]
    }
}

each_path! {
    fn pack(weights: &[f32], cols: usize, layout: Layout, blocks: &mut [TileBlock]) {
        let width = cols.div_ceil(BLOCK);
        for (row, values) in weights.chunks_exact(cols.max(1)).enumerate() {
            for (block, values) in values.chunks(BLOCK).enumerate() {
                blocks[row / TILE * width + block].set(layout, row % TILE, values);
            }
        }
    }
}

each_path! {
    /// One tile of the transpose: 16 of `from`'s inputs, block by block of its outputs.
    fn transpose_tile(from: &Q8Matrix, tile: usize, blocks: &mut [TileBlock]) {
        // Which block of inputs, and where in it the tile's inputs begin.
        let (source, first) = (tile * TILE / BLOCK, tile * TILE % BLOCK);
        let inputs = TILE.min(from.cols - tile * TILE);
        for (at, block) in blocks.iter_mut().enumerate() {
            let outputs = BLOCK.min(from.rows - at * BLOCK);
            for input in 0..inputs {
                let mut values = [0.0; BLOCK];
                for (i, value) in values[..outputs].iter_mut().enumerate() {
                    let output = at * BLOCK + i;
                    let weights = &from.blocks[output / TILE * from.width() + source];
                    let q = weights.value(from.layout, output % TILE, first + input);
                    *value = f32::from(q) * weights.scales[output % TILE];
                }
                block.set(from.layout, input, &values);
            }
        }
    }
}

impl TileBlock {
    #[inline(always)]
    fn set(&mut self, layout: Layout, output: usize, values: &[f32]) {
        let mut padded = [0.0; BLOCK];
        padded[..values.len()].copy_from_slice(values);
        let mut q = [0i8; BLOCK];
        self.scales[output] = quantise_block(&padded, &mut q).0;
        for (input, q) in q.into_iter().enumerate() {
            self.q[place(output, input)] = q as u8 ^ layout.mask();
        }
    }

    /// Asks memory for the block, to be read soon.
    #[inline(always)]
    fn prefetch(&self) {
        #[cfg(target_arch = "x86_64")]
        for line in 0..size_of::<Self>() / 64 {
            // SAFETY: a hint about an address within the block.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(std::ptr::from_ref(self).byte_add(64 * line).cast()) };
        }
    }

    fn row(&self, layout: Layout, output: usize) -> (f32, [i8; BLOCK]) {
        (self.scales[output], std::array::from_fn(|input| self.value(layout, output, input)))
    }

    #[inline(always)]
    fn value(&self, layout: Layout, output: usize, input: usize) -> i8 {
        (self.q[place(output, input)] ^ layout.mask()) as i8
    }
}

/// Quantises 32 numbers: scale = amax / 127, integers = x * (127 / amax) rounded half to even. Returns the scale and the
/// integers' sum.
///
/// A block with an element that is not finite becomes zeros with scale NaN, so that the result shows it.
#[inline(always)]
fn quantise_block(x: &[f32; BLOCK], q: &mut [i8; BLOCK]) -> (f32, i32) {
    const ROUND: f32 = 12_582_912.0;
    // Magnitudes order as their bits do, infinity and what is not a number above all others.
    let top = x.iter().fold(0, |top, x| top.max(x.to_bits() & 0x7fff_ffff));
    let amax = f32::from_bits(top);
    if let Some(scale) = scale_of_none(amax) {
        *q = [0; BLOCK];
        return (scale, 0);
    }
    let inverse = 127.0 / amax;
    for (q, x) in q.iter_mut().zip(x) {
        let v = x * inverse;
        let v = if v > -127.0 { v } else { -127.0 };
        let v = if v < 127.0 { v } else { 127.0 };
        *q = ((v + ROUND).to_bits() as i32 - ROUND.to_bits() as i32) as i8;
    }
    (amax / 127.0, q.iter().map(|q| i32::from(*q)).sum())
}

/// The scale of a block whose integers are all zero, if it is one: by its largest magnitude.
#[inline(always)]
fn scale_of_none(amax: f32) -> Option<f32> {
    match amax {
        _ if !amax.is_finite() => Some(f32::NAN),
        _ if amax < AMAX_MIN => Some(0.0),
        _ => None,
    }
}
