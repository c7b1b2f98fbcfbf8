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

/// Most tiles that any path takes at once.
const TILES_MAX: usize = 2;

/// Most rows that any path takes at once.
const ROWS_MAX: usize = 6;

/// Fewest passes over a tile's weights in which the next tile's are asked for.
const PREFETCH_PASSES_MIN: usize = 4;

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
        let chunk = tiles.div_ceil(self.pool().threads() * TASKS_PER_THREAD).max(1).next_multiple_of(TILES_MAX);
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
            let rows = first..rows.min(first + group);
            let mut rest = tiles.clone();
            while let Some(tile) = rest.next() {
                match self.pairs() && rest.next().is_some() {
                    true => self.tile_rows::<TILES_MAX>(tile, rows.clone()),
                    false => self.tile_rows::<1>(tile, rows.clone()),
                }
            }
        }
    }

    /// Whether this path takes two tiles at once.
    fn pairs(&self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return (self.path.0, self.weights.layout) == (Kind::Avx512, Layout::Offset);
        #[cfg(not(target_arch = "x86_64"))]
        return false;
    }

    /// The blocks of the `T` tiles after `tile`, in as many parts as there will be passes over this one's weights: to ask
    /// memory for meanwhile. Few rows are done too soon for that.
    fn ahead<const T: usize>(&self, tile: usize, rows: usize) -> impl Iterator<Item = &[TileBlock]> {
        let passes = rows.div_ceil(ROWS_MAX);
        let tiles = if passes < PREFETCH_PASSES_MIN { 0 } else { T };
        let blocks = self.weights.tiles_from(tile + T, tiles);
        blocks.chunks(blocks.len().div_ceil(passes.max(1)).max(1))
    }

    /// The outputs of `T` tiles, from `tile` on, of some rows.
    fn tile_rows<const T: usize>(&self, tile: usize, rows: Range<usize>) {
        let tiles = std::array::from_fn(|t| self.weights.tile(tile + t));
        let cols = (T * TILE).min(self.weights.rows() - tile * TILE);
        // SAFETY: each tile belongs to one task, so these outputs of these rows have no other user.
        let stored = |row| unsafe { self.out.segment(row, tile * TILE, cols) };
        let mut ahead = self.ahead::<T>(tile, rows.len());
        let mut acc = [[[0.0; TILE]; T]; ROWS_MAX];
        let mut row = rows.start;
        while row < rows.end {
            let count = rows_at_once(self.path, self.weights.layout, rows.end - row);
            let acc = &mut acc[..count];
            match self.from {
                Start::Zero => acc.fill([[0.0; TILE]; T]),
                Start::Stored => (row..).zip(&mut *acc).for_each(|(row, acc)| load(stored(row), acc)),
            }
            ahead.next().unwrap_or_default().iter().for_each(TileBlock::prefetch);
            some_rows(self.path, tiles, self.weights.layout, self.x, row, acc);
            (row..).zip(&*acc).for_each(|(row, acc)| save(acc, stored(row)));
            row += count;
        }
    }
}

/// A row's sums; whole tiles as vectors, the last few outputs of a matrix one by one.
#[inline(always)]
fn load<const T: usize>(stored: &[f32], acc: &mut [[f32; TILE]; T]) {
    match <&[[f32; TILE]; T]>::try_from(stored.as_chunks().0) {
        Ok(whole) => *acc = *whole,
        Err(_) => acc.as_flattened_mut()[..stored.len()].copy_from_slice(stored),
    }
}

/// As [`load`], the other way.
#[inline(always)]
fn save<const T: usize>(acc: &[[f32; TILE]; T], stored: &mut [f32]) {
    match <&mut [[f32; TILE]; T]>::try_from(stored.as_chunks_mut().0) {
        Ok(whole) => *whole = *acc,
        Err(_) => stored.copy_from_slice(&acc.as_flattened()[..stored.len()]),
    }
}

/// As many of `rows` as one pass over the weights takes.
fn rows_at_once(path: Path, layout: Layout, rows: usize) -> usize {
    let most = match (path.0, layout) {
        #[cfg(target_arch = "x86_64")]
        (Kind::Avx2 | Kind::Avx512, Layout::Signed) => avx2::ROWS,
        #[cfg(target_arch = "x86_64")]
        (Kind::Avx512, Layout::Offset) => avx512::ROWS,
        _ => 1,
    };
    // An even split: a pass with one row costs nearly as much as one with three.
    if rows < 2 * most { rows.div_ceil(rows.div_ceil(most)) } else { most }
}

/// Continues the sums of as many rows as `acc` has.
fn some_rows<const T: usize>(
    path: Path,
    tiles: [&[TileBlock]; T],
    layout: Layout,
    x: &QuantisedRows,
    row: usize,
    acc: &mut [[[f32; TILE]; T]],
) {
    match (path.0, layout) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a `Path` of this kind exists only where its features were detected.
        (Kind::Avx512, Layout::Offset) => unsafe { avx512_rows(tiles, x, row, acc) },
        #[cfg(target_arch = "x86_64")]
        (Kind::Avx2 | Kind::Avx512, Layout::Signed) => {
            for (t, tile) in tiles.into_iter().enumerate() {
                // SAFETY: as above.
                unsafe { avx2_rows((t, tile), x, row, acc) };
            }
        }
        _ => {
            for (row, acc) in (row..).zip(acc) {
                tiles.iter().zip(acc).for_each(|(tile, acc)| portable::tile_row(tile, layout, x, row, acc));
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2_rows<const T: usize>(
    tile: (usize, &[TileBlock]),
    x: &QuantisedRows,
    row: usize,
    acc: &mut [[[f32; TILE]; T]],
) {
    match acc.len() {
        1 => avx2::tile_rows::<T, 1>(tile, x, row, acc),
        2 => avx2::tile_rows::<T, 2>(tile, x, row, acc),
        3 => avx2::tile_rows::<T, 3>(tile, x, row, acc),
        _ => avx2::tile_rows::<T, { avx2::ROWS }>(tile, x, row, acc),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn avx512_rows<const T: usize>(
    tiles: [&[TileBlock]; T],
    x: &QuantisedRows,
    row: usize,
    acc: &mut [[[f32; TILE]; T]],
) {
    match acc.len() {
        1 => avx512::tile_rows::<T, 1>(tiles, x, row, acc),
        2 => avx512::tile_rows::<T, 2>(tiles, x, row, acc),
        3 => avx512::tile_rows::<T, 3>(tiles, x, row, acc),
        4 => avx512::tile_rows::<T, 4>(tiles, x, row, acc),
        5 => avx512::tile_rows::<T, 5>(tiles, x, row, acc),
        _ => avx512::tile_rows::<T, { avx512::ROWS }>(tiles, x, row, acc),
    }
}
