//! Products with quantised matrices, over all threads.

use std::ops::Range;

use super::{BLOCK, Layout, Q8Matrix, QuantisedRows, TILE, TileBlock, portable};
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};
use crate::gemm::SharedMut;
use crate::path::{Kind, Path};
use crate::{Cpu, MatMut};

/// Rows that pass over a tile before the next tile is read: their integers stay in the second-level cache.
const ROW_GROUP_BYTES: usize = 192 * 1024;

/// Tasks a thread should find, so that a slow core does not hold up the others.
const TASKS_PER_THREAD: usize = 4;

/// Most rows that any path takes at once.
const ROWS_MAX: usize = 8;

/// Where a product's sums begin.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    Zero,
    Stored,
}

/// One product `y = x W^T` of several that share `x`.
#[derive(Debug)]
pub struct Q8Product<'a> {
    /// The matrix, outputs x inputs.
    pub weights: &'a Q8Matrix,
    /// Where the result goes, rows x outputs.
    pub out: MatMut<'a>,
}

impl Cpu {
    /// `out = x W^T` for each product.
    ///
    /// # Panics
    /// If a shape does not fit `x`.
    pub fn q8_matmul(&self, x: &QuantisedRows, products: &mut [Q8Product<'_>]) {
        self.products(x, products, Start::Zero);
    }

    /// `out += x W^T` for each product: every sum continues from what is stored, blocks ascending.
    ///
    /// # Panics
    /// If a shape does not fit `x`.
    pub fn q8_matmul_add(&self, x: &QuantisedRows, products: &mut [Q8Product<'_>]) {
        self.products(x, products, Start::Stored);
    }

    fn products(&self, x: &QuantisedRows, products: &mut [Q8Product<'_>], from: Start) {
        let tiles = products.iter().map(|p| p.weights.rows().div_ceil(TILE)).sum::<usize>();
        let chunk = tiles.div_ceil(self.pool().threads() * TASKS_PER_THREAD).max(1);
        let mut tasks = Vec::new();
        for product in products {
            let weights = product.weights;
            assert_eq!((product.out.rows(), product.out.cols()), (x.rows(), weights.rows()), "shape of a product");
            assert_eq!(x.width(), weights.width(), "inputs of a product");
            let out = SharedMut::new(&mut product.out);
            let all = weights.rows().div_ceil(TILE);
            tasks.extend((0..all).step_by(chunk).map(|first| (weights, out, first..all.min(first + chunk))));
        }
        self.pool().run(tasks.len(), |task| {
            let (weights, out, tiles) = &tasks[task];
            let product = Task { path: self.path(), x, weights, out, from };
            product.multiply(tiles.clone());
        });
    }
}

/// One product, as its tasks see it.
struct Task<'a> {
    path: Path,
    x: &'a QuantisedRows,
    weights: &'a Q8Matrix,
    out: &'a SharedMut<'a>,
    from: Start,
}

impl Task<'_> {
    /// Some tiles, for all rows. No other task may have these tiles.
    fn multiply(&self, tiles: Range<usize>) {
        let rows = self.x.rows();
        let group = (ROW_GROUP_BYTES / (self.x.width() * BLOCK).max(1)).next_multiple_of(24);
        for first in (0..rows).step_by(group) {
            for tile in tiles.clone() {
                self.tile_rows(tile, first..rows.min(first + group));
            }
        }
    }

    /// One tile's outputs of some rows.
    fn tile_rows(&self, tile: usize, rows: Range<usize>) {
        let blocks = self.weights.tile(tile);
        let cols = TILE.min(self.weights.rows() - tile * TILE);
        // SAFETY: each tile belongs to one task, so these outputs of these rows have no other user.
        let stored = |row| unsafe { self.out.segment(row, tile * TILE, cols) };
        let mut acc = [[0.0; TILE]; ROWS_MAX];
        let mut row = rows.start;
        while row < rows.end {
            let count = rows_at_once(self.path, self.weights.layout, rows.end - row);
            let acc = &mut acc[..count];
            match self.from {
                Start::Zero => acc.fill([0.0; TILE]),
                Start::Stored => (row..).zip(&mut *acc).for_each(|(row, acc)| acc[..cols].copy_from_slice(stored(row))),
            }
            some_rows(self.path, blocks, self.weights.layout, self.x, row, acc);
            (row..).zip(&*acc).for_each(|(row, acc)| stored(row).copy_from_slice(&acc[..cols]));
            row += count;
        }
    }
}

/// As many of `rows` as one pass over the weights takes.
fn rows_at_once(path: Path, layout: Layout, rows: usize) -> usize {
    match (path.0, layout) {
        // Five and six rows split evenly: a pass over the weights with one row costs nearly as much as one with three.
        #[cfg(target_arch = "x86_64")]
        (Kind::Avx2 | Kind::Avx512, Layout::Signed) => match rows {
            5 | 6 => 3,
            rows => rows.min(avx2::ROWS),
        },
        #[cfg(target_arch = "x86_64")]
        (Kind::Avx512, Layout::Offset) => rows.min(avx512::ROWS),
        _ => rows.min(1),
    }
}

/// Continues the sums of as many rows as `acc` has.
fn some_rows(path: Path, tile: &[TileBlock], layout: Layout, x: &QuantisedRows, row: usize, acc: &mut [[f32; TILE]]) {
    match (path.0, layout) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a `Path` of this kind exists only where its features were detected.
        (Kind::Avx2 | Kind::Avx512, Layout::Signed) => unsafe { avx2_rows(tile, x, row, acc) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        (Kind::Avx512, Layout::Offset) => unsafe { avx512_rows(tile, x, row, acc) },
        _ => (row..).zip(acc).for_each(|(row, acc)| portable::tile_row(tile, layout, x, row, acc)),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2_rows(tile: &[TileBlock], x: &QuantisedRows, row: usize, acc: &mut [[f32; TILE]]) {
    match acc.len() {
        1 => avx2::tile_rows::<1>(tile, x, row, acc),
        2 => avx2::tile_rows::<2>(tile, x, row, acc),
        3 => avx2::tile_rows::<3>(tile, x, row, acc),
        _ => avx2::tile_rows::<{ avx2::ROWS }>(tile, x, row, acc),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn avx512_rows(tile: &[TileBlock], x: &QuantisedRows, row: usize, acc: &mut [[f32; TILE]]) {
    match acc.len() {
        1 => avx512::tile_rows::<1>(tile, x, row, acc),
        2 => avx512::tile_rows::<2>(tile, x, row, acc),
        3 => avx512::tile_rows::<3>(tile, x, row, acc),
        4 => avx512::tile_rows::<4>(tile, x, row, acc),
        5 => avx512::tile_rows::<5>(tile, x, row, acc),
        6 => avx512::tile_rows::<6>(tile, x, row, acc),
        7 => avx512::tile_rows::<7>(tile, x, row, acc),
        _ => avx512::tile_rows::<{ avx512::ROWS }>(tile, x, row, acc),
    }
}
