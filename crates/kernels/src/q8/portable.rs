//! The definition of the product, in plain Rust, for any layout.

use super::matmul::{Rows, Start};
use super::{Layout, TILE, TileBlock};

/// The sums of 16 outputs of one row.
///
/// # Safety
/// The row's 16 outputs must be this caller's alone.
pub(super) unsafe fn tile_row(tile: &[TileBlock], layout: Layout, rows: Rows<'_>) {
    // SAFETY: as the caller vouches.
    let acc = unsafe { &mut *rows.out.ptr.cast::<[f32; TILE]>() };
    if rows.from == Start::Zero {
        *acc = [0.0; TILE];
    }
    for (b, block) in tile.iter().enumerate() {
        let (scale, a) = rows.x.block(rows.row, b);
        let dots = block.dots(layout, a);
        for ((acc, dot), weight_scale) in acc.iter_mut().zip(dots).zip(&block.scales) {
            *acc = (dot as f32).mul_add(weight_scale * scale, *acc);
        }
    }
}

impl TileBlock {
    fn dots(&self, layout: Layout, a: &[i8]) -> [i32; TILE] {
        let mut dots = [0i32; TILE];
        for (input, a) in a.iter().enumerate() {
            for (output, dot) in dots.iter_mut().enumerate() {
                *dot += i32::from(self.value(layout, output, input)) * i32::from(*a);
            }
        }
        dots
    }
}
