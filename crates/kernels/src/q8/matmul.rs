//! Products with quantised matrices, over all threads.

use super::{BLOCK, Layout, Q8Matrix, QuantisedRows, TILE, TileBlock, portable};
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};
use crate::gemm::{Block, SharedMut};
use crate::path::{Kind, Path};
use crate::{Cpu, MatMut, MatRef};

/// Rows that pass over a tile before the next tile is read: their integers stay in the second-level cache.
const ROW_GROUP_BYTES: usize = 192 * 1024;

/// Tasks a thread should find, so that a slow core does not hold up the others.
const TASKS_PER_THREAD: usize = 4;

/// Outputs whose weights are expanded to f32 at a time in the backward product: 16 KiB with 16 inputs.
const PANEL_OUTPUTS: usize = 256;

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
            multiply(self.path(), x, weights, out, tiles.clone());
        });
    }

    /// `dx += dy W`: the gradient of the input given that of the output, with W's integers times scales as f32.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn q8_backward(&self, dy: MatRef<'_>, weights: &Q8Matrix, dx: &mut MatMut<'_>) {
        assert_eq!((dx.rows(), dx.cols()), (dy.rows(), weights.cols()), "shape of the input's gradient");
        assert_eq!(dy.cols(), weights.rows(), "shape of the output's gradient");
        let halves = weights.cols().div_ceil(BLOCK / 2);
        let out = SharedMut::new(dx);
        self.pool().run(halves, |half| backward_half(self.path(), dy, weights, &out, half));
    }
}

/// Some tiles of a product, for all rows.
fn multiply(path: Path, x: &QuantisedRows, weights: &Q8Matrix, out: &SharedMut<'_>, tiles: std::ops::Range<usize>) {
    let group = (ROW_GROUP_BYTES / (x.width() * BLOCK)).next_multiple_of(24);
    for first in (0..x.rows()).step_by(group) {
        for tile in tiles.clone() {
            let rows = first..x.rows().min(first + group);
            tile_rows(path, weights.tile(tile), weights.layout, x, rows, |row, values| {
                let cols = TILE.min(weights.rows() - tile * TILE);
                // SAFETY: each tile belongs to one task, so these outputs of these rows have no other writer.
                let to = unsafe { out.segment(row, tile * TILE, cols) };
                to.copy_from_slice(&values[..cols]);
            });
        }
    }
}

/// Calls `write(row, 16 outputs)` for every row.
fn tile_rows(
    path: Path,
    tile: &[TileBlock],
    layout: Layout,
    x: &QuantisedRows,
    rows: std::ops::Range<usize>,
    mut write: impl FnMut(usize, &[f32; TILE]),
) {
    let mut acc = [[0.0; TILE]; 8];
    let mut row = rows.start;
    while row < rows.end {
        let done = some_rows(path, tile, layout, x, row..rows.end, &mut acc);
        for acc in &acc[..done] {
            write(row, acc);
            row += 1;
        }
    }
}

/// As many of the rows as the path takes at once; returns how many.
fn some_rows(
    path: Path,
    tile: &[TileBlock],
    layout: Layout,
    x: &QuantisedRows,
    rows: std::ops::Range<usize>,
    acc: &mut [[f32; TILE]; 8],
) -> usize {
    match (path.0, layout) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a `Path` of this kind exists only where its features were detected.
        (Kind::Avx2 | Kind::Avx512, Layout::Signed) => unsafe { avx2_rows(tile, x, rows, acc) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        (Kind::Avx512, Layout::Offset) => unsafe { avx512_rows(tile, x, rows, acc) },
        _ => {
            portable::tile_row(tile, layout, x, rows.start, &mut acc[0]);
            1
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2_rows(tile: &[TileBlock], x: &QuantisedRows, rows: std::ops::Range<usize>, acc: &mut [[f32; TILE]; 8]) -> usize {
    // Five and six rows split evenly: a pass over the weights with one row costs nearly as much as one with three.
    let count = match rows.len() {
        5 | 6 => 3,
        count => count.min(avx2::ROWS),
    };
    match count {
        1 => avx2::tile_rows::<1>(tile, x, rows.start, acc),
        2 => avx2::tile_rows::<2>(tile, x, rows.start, acc),
        3 => avx2::tile_rows::<3>(tile, x, rows.start, acc),
        _ => avx2::tile_rows::<{ avx2::ROWS }>(tile, x, rows.start, acc),
    }
    count
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn avx512_rows(
    tile: &[TileBlock],
    x: &QuantisedRows,
    rows: std::ops::Range<usize>,
    acc: &mut [[f32; TILE]; 8],
) -> usize {
    match rows.len() {
        1 => avx512::tile_rows::<1>(tile, x, rows.start, acc),
        2 => avx512::tile_rows::<2>(tile, x, rows.start, acc),
        3 => avx512::tile_rows::<3>(tile, x, rows.start, acc),
        4 => avx512::tile_rows::<4>(tile, x, rows.start, acc),
        5 => avx512::tile_rows::<5>(tile, x, rows.start, acc),
        6 => avx512::tile_rows::<6>(tile, x, rows.start, acc),
        7 => avx512::tile_rows::<7>(tile, x, rows.start, acc),
        _ => avx512::tile_rows::<{ avx512::ROWS }>(tile, x, rows.start, acc),
    }
    rows.len().min(avx512::ROWS)
}

/// 16 inputs' columns of the backward product, over all outputs in ascending order.
fn backward_half(path: Path, dy: MatRef<'_>, weights: &Q8Matrix, out: &SharedMut<'_>, half: usize) {
    let mut panel = [[0.0f32; TILE]; PANEL_OUTPUTS];
    let first_col = half * (BLOCK / 2);
    let cols = (BLOCK / 2).min(weights.cols() - first_col);
    for first in (0..weights.rows()).step_by(PANEL_OUTPUTS) {
        let outputs = PANEL_OUTPUTS.min(weights.rows() - first);
        for (t, square) in panel.as_chunks_mut::<TILE>().0.iter_mut().take(outputs.div_ceil(TILE)).enumerate() {
            let block = &weights.tile(first / TILE + t)[half / 2];
            dequantise_half(path, block, weights.layout, half % 2, square);
        }
        let block = Block { first, len: outputs, first_col, cols };
        // SAFETY: each half block of inputs belongs to one task, so these columns have no other writer.
        unsafe { path.gemm_panel(dy, &panel, block, out) };
    }
}

fn dequantise_half(path: Path, block: &TileBlock, layout: Layout, half: usize, out: &mut [[f32; TILE]; TILE]) {
    match path.0 {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a `Path` of this kind exists only where its features were detected.
        Kind::Avx2 | Kind::Avx512 => unsafe { avx2::dequantise_half(block, layout, half, out) },
        Kind::Portable => portable::dequantise_half(block, layout, half, out),
    }
}
