//! Activations, quantised row by row in blocks of 32.

#[cfg(target_arch = "x86_64")]
use super::avx512;
use super::{BLOCK, quantise_block};
use crate::path::{Kind, Path, each_path};
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
pub(super) struct Part<'a> {
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
    fn fill_plain(part: &mut Part<'_>, x: MatRef<'_>, width: usize) {
        part.fill(x, width, quantise_block);
    }
}

impl Part<'_> {
    /// Quantises `x`, block by block; the function returns scale and sum.
    #[inline(always)]
    pub(super) fn fill(
        &mut self,
        x: MatRef<'_>,
        width: usize,
        block: impl Fn(&[f32; BLOCK], &mut [i8; BLOCK]) -> (f32, i32),
    ) {
        let bytes = self.bytes.as_chunks_mut::<BLOCK>().0;
        for row in 0..x.rows() {
            let (whole, rest) = x.row(row).as_chunks::<BLOCK>();
            let mut padded = [0.0; BLOCK];
            padded[..rest.len()].copy_from_slice(rest);
            let last = (!rest.is_empty()).then_some(&padded);
            for (i, values) in whole.iter().chain(last).enumerate() {
                let at = row * width + i;
                let (scale, sum) = block(values, &mut bytes[at]);
                (self.scales[at], self.offsets[at]) = (scale, -128 * sum);
            }
        }
    }
}

impl Path {
    fn fill(self, part: &mut Part<'_>, x: MatRef<'_>, width: usize) {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a `Path` of this kind exists only where its features were detected.
            Kind::Avx512 => unsafe { avx512::fill(part, x, width) },
            _ => self.fill_plain(part, x, width),
        }
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
