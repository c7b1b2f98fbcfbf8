//! Products of one left side with several right sides: narrow ones lie side by side in one vector.

use super::{INNER, Left, Out, PACK_ROWS_MIN, PANEL, Right, Size, check};
use crate::path::Path;
use crate::{Mat, MatMut, MatRef};

/// Columns that are moved as one vector: the usual rank of an adapter.
const HALF: usize = PANEL / 2;

/// Some columns of a right side, and where in a panel they lie.
struct Piece {
    product: usize,
    col: usize,
    width: usize,
    at: usize,
}

impl Path {
    /// `c += a b` for each `(b, c)`, on this thread; the bits are those of [`gemm`](Self::gemm).
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn gemm_beside(self, a: MatRef<'_>, products: &mut [(MatRef<'_>, MatMut<'_>)]) {
        products.iter().for_each(|(b, c)| check((a.rows(), a.cols()), *b, c));
        if a.rows() < PACK_ROWS_MIN || products.len() == 1 {
            return products.iter_mut().for_each(|(b, c)| self.gemm(a, *b, c));
        }
        for pieces in panels(products) {
            self.pieces(a, &pieces, products);
        }
    }

    /// One panel of at most 16 columns.
    fn pieces(self, a: MatRef<'_>, pieces: &[Piece], products: &mut [(MatRef<'_>, MatMut<'_>)]) {
        let width = pieces.iter().map(|piece| piece.width).sum();
        let mut sums = Mat::zeros(a.rows(), PANEL);
        for Piece { product, col, width, at } in pieces {
            let stored = products[*product].1.data.chunks_exact(products[*product].1.cols);
            copy(*width, stored.map(|stored| &stored[*col..]).zip(rows_mut(&mut sums).map(|sums| &mut sums[*at..])));
        }
        let mut packed = Mat::zeros(INNER.min(a.cols()), PANEL);
        for first in (0..a.cols()).step_by(INNER) {
            let k = INNER.min(a.cols() - first);
            for Piece { product, col, width, at } in pieces {
                let b = products[*product].0.rows_at(first..first + k);
                let rows = (0..k).map(|p| &b.row(p)[*col..]);
                copy(*width, rows.zip(rows_mut(&mut packed).map(|to| &mut to[*at..])));
            }
            let a = a.cols_at(first..first + k);
            let left = Left { ptr: a.as_ptr(), row: a.stride(), col: 1 };
            let right = Right { ptr: packed.data().as_ptr(), stride: PANEL };
            let out = Out { ptr: sums.data_mut().as_mut_ptr(), stride: PANEL };
            // SAFETY: A has m rows of k elements, the packed copy k rows and the sums m rows of 16, and width <= 16.
            unsafe { self.narrow(left, right, out, Size { m: a.rows(), n: width, k }) };
        }
        for Piece { product, col, width, at } in pieces {
            let cols = products[*product].1.cols;
            let stored = products[*product].1.data.chunks_exact_mut(cols);
            copy(
                *width,
                sums.data().chunks_exact(PANEL).map(|sums| &sums[*at..]).zip(stored.map(|stored| &mut stored[*col..])),
            );
        }
    }
}

/// Fills panels with the columns of all right sides, in order.
fn panels(products: &[(MatRef<'_>, MatMut<'_>)]) -> Vec<Vec<Piece>> {
    let mut panels = vec![Vec::new()];
    let mut at = 0;
    for (product, (b, _)) in products.iter().enumerate() {
        let mut col = 0;
        while col < b.cols() {
            if at == PANEL {
                panels.push(Vec::new());
                at = 0;
            }
            let width = (PANEL - at).min(b.cols() - col);
            if let Some(panel) = panels.last_mut() {
                panel.push(Piece { product, col, width, at });
            }
            (at, col) = (at + width, col + width);
        }
    }
    panels
}

fn rows_mut(panel: &mut Mat) -> impl Iterator<Item = &mut [f32]> {
    panel.data_mut().chunks_exact_mut(PANEL)
}

/// Copies `width` elements of each pair; the usual widths without a look at their length.
fn copy<'p>(width: usize, pairs: impl Iterator<Item = (&'p [f32], &'p mut [f32])>) {
    match width {
        PANEL => pairs.for_each(|(from, to)| to[..PANEL].copy_from_slice(&from[..PANEL])),
        HALF => pairs.for_each(|(from, to)| to[..HALF].copy_from_slice(&from[..HALF])),
        _ => pairs.for_each(|(from, to)| to[..width].copy_from_slice(&from[..width])),
    }
}
