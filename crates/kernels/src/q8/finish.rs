//! What is added to a product's outputs once their sums are done: while they are still in the first-level cache.

use std::ops::Range;

use crate::gemm::{Left, Right, SharedMut, Size};
use crate::path::Path;
use crate::{MatMut, MatRef};

/// Additions to a product: first the bias, then `left right` of each tail in order, each element going on from what is
/// stored, inner dimension ascending.
#[derive(Clone, Debug, Default)]
pub struct Finish<'a> {
    /// One number an output.
    pub bias: Option<&'a [f32]>,
    /// Products of low rank; their rows ascend and do not overlap.
    pub tails: Vec<Tail<'a>>,
}

/// A product that is added to some rows: an adapter's, say.
#[derive(Clone, Debug)]
pub struct Tail<'a> {
    /// The rows.
    pub rows: Range<usize>,
    /// As many rows x any.
    pub left: MatRef<'a>,
    /// Any x outputs.
    pub right: MatRef<'a>,
}

/// A tail at one row.
#[derive(Clone, Copy, Debug)]
pub(super) struct TailRow<'a> {
    /// As many numbers as `right` has rows.
    pub(super) left: &'a [f32],
    pub(super) right: MatRef<'a>,
}

impl<'a> Finish<'a> {
    /// The tail of each of so many rows.
    pub(super) fn tail_rows(&self, rows: usize) -> Vec<Option<TailRow<'a>>> {
        let mut all = vec![None; rows];
        for Tail { rows, left, right } in &self.tails {
            for (i, row) in rows.clone().enumerate() {
                all[row] = Some(TailRow { left: left.row(i), right: *right });
            }
        }
        all
    }

    /// Adds all of it to a whole matrix, on this thread.
    ///
    /// # Panics
    /// If a shape does not fit.
    pub fn apply(&self, path: Path, out: &mut MatMut<'_>) {
        let (rows, cols) = (out.rows, out.cols);
        self.check(rows, cols);
        // SAFETY: the matrix is borrowed for this call alone.
        unsafe { self.add(path, &SharedMut::new(out), 0..rows, 0..cols) };
    }

    pub(super) fn check(&self, rows: usize, outputs: usize) {
        assert!(self.bias.is_none_or(|bias| bias.len() == outputs), "length of a bias");
        let mut next = 0;
        for Tail { rows: at, left, right } in &self.tails {
            let ascend = next <= at.start && at.start <= at.end && at.end <= rows;
            assert!(ascend && left.rows() == at.len(), "rows of a tail");
            next = at.end;
            assert_eq!((right.rows(), right.cols()), (left.cols(), outputs), "shape of a tail");
        }
    }

    /// Adds to some rows and columns.
    ///
    /// # Safety
    /// The shapes must have been checked, and nobody else may use these elements of `out` meanwhile.
    pub(super) unsafe fn add(&self, path: Path, out: &SharedMut<'_>, rows: Range<usize>, cols: Range<usize>) {
        if let Some(bias) = self.bias {
            // SAFETY: as the caller vouches.
            let stored = |row| unsafe { out.segment(row, cols.start, cols.len()) };
            rows.clone().for_each(|row| path.add(&bias[cols.clone()], stored(row)));
        }
        for tail in &self.tails {
            let ours = rows.start.max(tail.rows.start)..rows.end.min(tail.rows.end);
            if ours.is_empty() || cols.is_empty() {
                continue;
            }
            let a = tail.left.rows_at(ours.start - tail.rows.start..ours.end - tail.rows.start);
            let b = tail.right.cols_at(cols.clone());
            let left = Left { ptr: a.as_ptr(), row: a.stride(), col: 1 };
            let right = Right { ptr: b.as_ptr(), stride: b.stride() };
            let size = Size { m: ours.len(), n: cols.len(), k: a.cols() };
            // SAFETY: the views span their parts, as checked; the elements of `out` are this caller's alone.
            unsafe { path.blocked(left, right, out.from(ours.start, cols.start), size) };
        }
    }
}
