//! Activations, quantised row by row in blocks of 32.

use super::{BLOCK, quantise_block};
use crate::path::Kind;
use crate::{Cpu, MatRef, Path};

/// Rows quantised in one task.
const ROWS_PER_TASK: usize = 8;

/// Quantised rows, with what each path wants to read beside them.
#[derive(Clone, Debug, Default)]
pub struct QuantisedRows {
    rows: usize,
    width: usize,
    /// Integers, 32 a block, zero-padded.
    pub(super) wide: Vec<i16>,
    /// One scale a block.
    pub(super) scales: Vec<f32>,
    /// The integers as bytes; filled for VNNI only.
    pub(super) bytes: Vec<i8>,
    /// Sum of a block's integers; filled for VNNI only.
    pub(super) sums: Vec<i32>,
}

/// What one task writes: the same rows of each array.
struct Part<'a> {
    wide: &'a mut [i16],
    scales: &'a mut [f32],
    bytes: &'a mut [i8],
    sums: &'a mut [i32],
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
    pub fn block(&self, row: usize, block: usize) -> (f32, &[i16]) {
        let at = row * self.width + block;
        (self.scales[at], &self.wide[at * BLOCK..(at + 1) * BLOCK])
    }

    fn reshape(&mut self, rows: usize, cols: usize, path: Path) {
        let vnni = Layouts::of(path).vnni;
        (self.rows, self.width) = (rows, cols.div_ceil(BLOCK));
        let blocks = rows * self.width;
        self.wide.resize(blocks * BLOCK, 0);
        self.scales.resize(blocks, 0.0);
        self.bytes.resize(if vnni { blocks * BLOCK } else { 0 }, 0);
        self.sums.resize(if vnni { blocks } else { 0 }, 0);
    }

    fn parts(&mut self, rows: usize) -> Vec<Part<'_>> {
        let blocks = (rows * self.width).max(1);
        let mut bytes = self.bytes.chunks_mut(blocks * BLOCK);
        let mut sums = self.sums.chunks_mut(blocks);
        let wide = self.wide.chunks_mut(blocks * BLOCK);
        wide.zip(self.scales.chunks_mut(blocks))
            .map(|(wide, scales)| Part {
                wide,
                scales,
                bytes: bytes.next().unwrap_or_default(),
                sums: sums.next().unwrap_or_default(),
            })
            .collect()
    }
}

/// Which arrays a path reads.
struct Layouts {
    vnni: bool,
}

impl Layouts {
    fn of(path: Path) -> Self {
        match path.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => Self { vnni: true },
            _ => Self { vnni: false },
        }
    }
}

impl Part<'_> {
    #[inline(always)]
    fn fill(&mut self, x: MatRef<'_>, width: usize) {
        for row in 0..x.rows() {
            for (block, values) in x.row(row).chunks(BLOCK).enumerate() {
                self.fill_block(row * width + block, values);
            }
        }
    }

    #[inline(always)]
    fn fill_block(&mut self, at: usize, values: &[f32]) {
        let mut padded = [0.0; BLOCK];
        padded[..values.len()].copy_from_slice(values);
        let mut q = [0i16; BLOCK];
        self.scales[at] = quantise_block(&padded, &mut q);
        self.wide[at * BLOCK..(at + 1) * BLOCK].copy_from_slice(&q);
        if let Some(sum) = self.sums.get_mut(at) {
            *sum = q.iter().map(|q| i32::from(*q)).sum();
            for (byte, q) in self.bytes[at * BLOCK..(at + 1) * BLOCK].iter_mut().zip(q) {
                *byte = q as i8;
            }
        }
    }
}

impl Cpu {
    /// Quantises every row of `x` into `out`.
    pub fn quantise(&self, x: MatRef<'_>, out: &mut QuantisedRows) {
        out.reshape(x.rows(), x.cols(), self.path());
        let width = out.width;
        self.pool().each(out.parts(ROWS_PER_TASK), |task, mut part| {
            let first = task * ROWS_PER_TASK;
            let rows = first..x.rows().min(first + ROWS_PER_TASK);
            self.path().run(|| part.fill(x.rows_at(rows), width));
        });
    }
}
