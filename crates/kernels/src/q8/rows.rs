//! Activations, quantised row by row in blocks of 32.

use super::{BLOCK, quantise_block};
use crate::path::{Path, each_path};
use crate::{Cpu, MatRef};

/// Rows quantised in one task.
const ROWS_PER_TASK: usize = 8;

/// Quantised rows, with what each path wants to read beside them.
#[derive(Clone, Debug, Default)]
pub struct QuantisedRows {
    rows: usize,
    width: usize,
    /// Integers, 32 a block, zero-padded.
    pub(super) bytes: Vec<i8>,
    /// One scale a block.
    pub(super) scales: Vec<f32>,
    /// -128 times the sum of a block's integers: where dot products with VNNI's offset weights start.
    pub(super) offsets: Vec<i32>,
}

/// What one task writes: the same rows of each array.
struct Part<'a> {
    bytes: &'a mut [i8],
    scales: &'a mut [f32],
    offsets: &'a mut [i32],
}

impl QuantisedRows {
    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// The scale and integers of a block of a row.
    #[must_use]
    pub fn block(&self, row: usize, block: usize) -> (f32, &[i8]) {
        let at = row * self.width + block;
        (self.scales[at], &self.bytes[at * BLOCK..(at + 1) * BLOCK])
    }

    fn reshape(&mut self, rows: usize, cols: usize) {
        (self.rows, self.width) = (rows, cols.div_ceil(BLOCK));
        let blocks = rows * self.width;
        self.bytes.resize(blocks * BLOCK, 0);
        self.scales.resize(blocks, 0.0);
        self.offsets.resize(blocks, 0);
    }

    fn parts(&mut self, rows: usize) -> impl Iterator<Item = Part<'_>> {
        let blocks = (rows * self.width).max(1);
        let (bytes, scales) = (self.bytes.chunks_mut(blocks * BLOCK), self.scales.chunks_mut(blocks));
        let parts = bytes.zip(scales).zip(self.offsets.chunks_mut(blocks));
        parts.map(|((bytes, scales), offsets)| Part { bytes, scales, offsets })
    }
}

each_path! {
    fn fill(part: &mut Part<'_>, x: MatRef<'_>, width: usize) {
        for row in 0..x.rows() {
            let (whole, rest) = x.row(row).as_chunks::<BLOCK>();
            for (block, values) in whole.iter().enumerate() {
                part.fill_block(row * width + block, values);
            }
            if !rest.is_empty() {
                let mut padded = [0.0; BLOCK];
                padded[..rest.len()].copy_from_slice(rest);
                part.fill_block(row * width + whole.len(), &padded);
            }
        }
    }
}

impl Part<'_> {
    #[inline(always)]
    fn fill_block(&mut self, at: usize, values: &[f32; BLOCK]) {
        let q = &mut self.bytes.as_chunks_mut::<BLOCK>().0[at];
        self.scales[at] = quantise_block(values, q);
        self.offsets[at] = -128 * q.iter().map(|q| i32::from(*q)).sum::<i32>();
    }
}

impl Cpu {
    /// Quantises every row of `x` into `out`.
    pub fn quantise(&self, x: MatRef<'_>, out: &mut QuantisedRows) {
        out.reshape(x.rows(), x.cols());
        let width = out.width;
        self.pool().each(out.parts(ROWS_PER_TASK), |task, mut part| {
            let first = task * ROWS_PER_TASK;
            let rows = first..x.rows().min(first + ROWS_PER_TASK);
            self.path().fill(&mut part, x.rows_at(rows), width);
        });
    }
}
