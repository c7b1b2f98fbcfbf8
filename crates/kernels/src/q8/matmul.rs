//! Products with quantised matrices, over all threads.

use std::ops::Range;

use super::finish::{Finish, TailRow};
use super::{BLOCK, Layout, Q8Matrix, QuantisedRows, TILE, TileBlock, portable};
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};
use crate::gemm::{Out, SharedMut};
use crate::path::{Kind, Path};
use crate::{Cpu, MatMut};

/// Rows that pass over a tile before the next tile is read: their integers stay in the second-level cache.
const ROW_GROUP_BYTES: usize = 192 * 1024;

/// Such rows come in multiples of this many, which is a multiple of what any path takes at once.
const ROW_GROUP_STEP: usize = 24;

/// Tasks a thread should find, so that a slow core does not hold up the others.
const TASKS_PER_THREAD: usize = 4;

/// Fewest rows of a group that passes over the weights by itself.
const GROUP_ROWS_MIN: usize = 48;

/// Most tiles that any path takes at once.
const TILES_MAX: usize = 2;

/// Most rows that any path takes at once.
const ROWS_MAX: usize = 6;

/// Fewest passes over a tile's weights in which the next tile's are asked for.
const PREFETCH_PASSES_MIN: usize = 2;

/// Rows whose passes are so few that the next tile's weights are asked for bit by bit within them, not at once before.
const FEW_ROWS: usize = 4 * ROWS_MAX;

/// Where a product's sums begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At zero, whatever is stored.
    Zero,
    /// At what is stored.
    Stored,
}

/// Some rows of a product at one tile, or at several that follow one another.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) x: &'a QuantisedRows,
    /// The first row.
    pub(super) row: usize,
    /// Its first output.
    pub(super) out: Out,
    pub(super) from: Start,
    /// What is added while the sums are in registers.
    pub(super) end: Option<End<'a>>,
    /// Weights to ask memory for meanwhile; only VNNI is fast enough to outrun it.
    pub(super) asked: &'a [TileBlock],
}

/// What some rows finish with, from one output on.
#[derive(Clone, Copy)]
pub(super) struct End<'a> {
    pub(super) finish: &'a Finish<'a>,
    /// The rows' tails.
    pub(super) tails: &'a [Option<TailRow<'a>>],
    /// The first output.
    pub(super) col: usize,
}

/// One product `y = x W^T` of several that share `x`.
#[derive(Debug)]
pub struct Q8Product<'a> {
    /// The matrix, outputs x inputs.
    pub weights: &'a Q8Matrix,
    /// Where the result goes, rows x outputs.
    pub out: MatMut<'a>,
    /// What is added to it then.
    pub finish: Finish<'a>,
}

impl Cpu {
    /// `out = x W^T` for each product, or `out += x W^T`: every sum goes on from its start, blocks ascending; then what the
    /// product finishes with.
    ///
    /// # Panics
    /// If a shape does not fit.
    pub fn q8_matmul(&self, x: &QuantisedRows, products: &mut [Q8Product<'_>], from: Start) {
        let tiles = products.iter().map(|p| p.weights.rows().div_ceil(TILE)).sum::<usize>();
        let threads = self.pool().threads();
        // Many rows are split among threads: what one core made, it reads again. Few rows share each pass over the weights.
        let groups = (x.rows() / GROUP_ROWS_MIN).clamp(1, threads);
        let chunk = tiles.div_ceil((threads * TASKS_PER_THREAD).div_ceil(groups)).max(1).next_multiple_of(TILES_MAX);
        let (mut parts, mut tasks) = (Vec::with_capacity(products.len()), Vec::new());
        for product in products {
            let weights = product.weights;
            assert_eq!((product.out.rows(), product.out.cols()), (x.rows(), weights.rows()), "shape of a product");
            assert_eq!(x.width(), weights.width(), "inputs of a product");
            product.finish.check(x.rows(), weights.rows());
            let all = weights.rows().div_ceil(TILE);
            let (out, finish) = (SharedMut::new(&mut product.out), &product.finish);
            let tails = finish.tail_rows(x.rows());
            let part = Part { path: self.path(), x, weights, out, finish, tails, from };
            tasks.extend((0..all).step_by(chunk).map(|first| (parts.len(), first..all.min(first + chunk))));
            parts.push(part);
        }
        let rows = |group: usize| x.rows() * group / groups..x.rows() * (group + 1) / groups;
        self.pool().run(groups * tasks.len(), |task| {
            let (part, tiles) = &tasks[task % tasks.len()];
            parts[*part].multiply(rows(task / tasks.len()), tiles.clone());
        });
    }
}

/// One product, as its tasks see it.
struct Part<'a> {
    path: Path,
    x: &'a QuantisedRows,
    weights: &'a Q8Matrix,
    out: SharedMut<'a>,
    finish: &'a Finish<'a>,
    tails: Vec<Option<TailRow<'a>>>,
    from: Start,
}

impl Part<'_> {
    /// Some tiles of some rows. No other task may have these tiles of these rows.
    fn multiply(&self, rows: Range<usize>, tiles: Range<usize>) {
        let group = row_group(self.x.width() * BLOCK);
        for first in rows.clone().step_by(group) {
            let rows = first..rows.end.min(first + group);
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
    /// memory for meanwhile. One pass asks for it steadily by itself.
    fn ahead<const T: usize>(&self, tile: usize, rows: usize) -> impl Iterator<Item = &[TileBlock]> {
        let passes = rows.div_ceil(ROWS_MAX);
        let tiles = if passes < PREFETCH_PASSES_MIN { 0 } else { T };
        let blocks = self.weights.tiles_from(tile + T, tiles);
        blocks.chunks(blocks.len().div_ceil(passes.max(1)).max(1))
    }

    /// The outputs of `T` tiles, from `tile` on, of some rows.
    fn tile_rows<const T: usize>(&self, tile: usize, rows: Range<usize>) {
        let tiles: [_; T] = std::array::from_fn(|t| self.weights.tile(tile + t));
        let cols = (T * TILE).min(self.weights.rows() - tile * TILE);
        let mut ahead = self.ahead::<T>(tile, rows.len());
        // Where the registers hold the sums of whole tiles, what is added to them finds them there.
        let whole = cols == T * TILE;
        let within = self.pairs() && whole;
        let mut row = rows.start;
        while row < rows.end {
            let count = rows_at_once(self.path, self.weights.layout, rows.end - row);
            let mut asked = ahead.next().unwrap_or_default();
            if rows.len() > FEW_ROWS {
                asked.iter().for_each(TileBlock::prefetch);
                asked = &[];
            }
            if whole {
                // SAFETY: each tile of each row belongs to one task, so these outputs have no other user.
                let out = unsafe { self.out.from(row, tile * TILE) };
                let end = within.then(|| End { finish: self.finish, tails: &self.tails[row..], col: tile * TILE });
                // SAFETY: as above; there are `count` rows of whole tiles.
                unsafe { self.some_rows(tiles, Rows { x: self.x, row, out, from: self.from, end, asked }, count) };
            } else {
                self.last_tiles(tiles, row..row + count, tile * TILE, cols);
            }
            row += count;
        }
        if !within {
            // SAFETY: as above.
            unsafe { self.finish.add(self.path, &self.out, rows, tile * TILE..tile * TILE + cols) };
        }
    }

    /// Tiles that end past the matrix's last output: by way of memory that has room for all of a tile.
    fn last_tiles<const T: usize>(&self, tiles: [&[TileBlock]; T], rows: Range<usize>, first: usize, cols: usize) {
        // SAFETY: each tile of each row belongs to one task, so these outputs have no other user.
        let stored = |row| unsafe { self.out.segment(row, first, cols) };
        let mut sums = [[[0.0; TILE]; T]; ROWS_MAX];
        for (row, sums) in rows.clone().zip(&mut sums) {
            sums.as_flattened_mut()[..cols].copy_from_slice(stored(row));
        }
        let out = Out { ptr: sums.as_mut_ptr().cast(), stride: T * TILE };
        let (row, count) = (rows.start, rows.len());
        // SAFETY: there is room for ROWS_MAX rows of T tiles.
        unsafe { self.some_rows(tiles, Rows { x: self.x, row, out, from: self.from, end: None, asked: &[] }, count) };
        for (row, sums) in rows.zip(&sums) {
            stored(row).copy_from_slice(&sums.as_flattened()[..cols]);
        }
    }

    /// `count` rows, as many as one pass over the weights takes.
    ///
    /// # Safety
    /// `rows.out` must have `count` rows of `T` tiles that nobody else uses.
    unsafe fn some_rows<const T: usize>(&self, tiles: [&[TileBlock]; T], rows: Rows<'_>, count: usize) {
        let (layout, width) = (self.weights.layout, rows.x.width());
        let fits = tiles.iter().all(|tile| tile.len() == width) && rows.row + count <= rows.x.rows();
        assert!(fits, "tile of another shape");
        // SAFETY: a `Path` of this kind exists only where its features were detected; there are `count` rows of `x` from
        // `row` on and of `out`, as the caller vouches, and the tiles are as wide as `x`.
        unsafe {
            match (self.path.0, layout) {
                #[cfg(target_arch = "x86_64")]
                (Kind::Avx512, Layout::Offset) if rows.asked.is_empty() => avx512_rows::<T, false>(tiles, rows, count),
                #[cfg(target_arch = "x86_64")]
                (Kind::Avx512, Layout::Offset) => avx512_rows::<T, true>(tiles, rows, count),
                #[cfg(target_arch = "x86_64")]
                (Kind::Avx2 | Kind::Avx512, Layout::Signed) => {
                    tiles.into_iter().enumerate().for_each(|(t, tile)| avx2_rows(tile, rows.tile(t), count));
                }
                _ => tiles.into_iter().enumerate().for_each(|(t, tile)| portable::tile_row(tile, layout, rows.tile(t))),
            }
        }
    }
}

impl Rows<'_> {
    /// The same rows at one of several tiles.
    fn tile(self, tile: usize) -> Self {
        Self { out: Out { ptr: self.out.ptr.wrapping_add(tile * TILE), ..self.out }, ..self }
    }
}

/// Rows of that many bytes that pass over a tile together; one step of them where a single row is larger than the cache.
fn row_group(row_bytes: usize) -> usize {
    (ROW_GROUP_BYTES / row_bytes.max(1)).max(1).next_multiple_of(ROW_GROUP_STEP)
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

/// # Safety
/// As for [`avx2::tile_rows`], for `count` rows.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2_rows(tile: &[TileBlock], rows: Rows<'_>, count: usize) {
    // SAFETY: as the caller vouches; `count` is at most the last.
    unsafe {
        match count {
            1 => avx2::tile_rows::<1>(tile, rows),
            2 => avx2::tile_rows::<2>(tile, rows),
            3 => avx2::tile_rows::<3>(tile, rows),
            _ => avx2::tile_rows::<{ avx2::ROWS }>(tile, rows),
        }
    }
}

/// # Safety
/// As for [`avx512::tile_rows`], for `count` rows.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn avx512_rows<const T: usize, const ASK: bool>(tiles: [&[TileBlock]; T], rows: Rows<'_>, count: usize) {
    // SAFETY: as the caller vouches; `count` is at most the last.
    unsafe {
        match count {
            1 => avx512::tile_rows::<T, 1, ASK>(tiles, rows),
            2 => avx512::tile_rows::<T, 2, ASK>(tiles, rows),
            3 => avx512::tile_rows::<T, 3, ASK>(tiles, rows),
            4 => avx512::tile_rows::<T, 4, ASK>(tiles, rows),
            5 => avx512::tile_rows::<T, 5, ASK>(tiles, rows),
            _ => avx512::tile_rows::<T, { avx512::ROWS }, ASK>(tiles, rows),
        }
    }
}
