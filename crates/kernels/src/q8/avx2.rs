//! AVX2: `vpmaddubsw` multiplies magnitudes of weights by activations that carry the weights' signs.
//!
//! Two such products add up to at most 2 * 127 * 127 = 32,258, which 16 bits hold exactly; `vpmaddwd` then adds pairs in 32.

use std::arch::x86_64::*;

use super::matmul::{Rows, Start};
use super::{BLOCK, TILE, TileBlock};

/// Rows that share one pass over the weights: 8 accumulators, 2 weights and their magnitudes, and what a product needs.
pub(super) const ROWS: usize = 4;

/// The sums of 16 outputs of `R` consecutive rows, from signed weights.
///
/// # Safety
/// The tile must be as wide as x, x must have R rows from `row` on, and R rows of 16 outputs must be this caller's alone.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn tile_rows<const R: usize>(tile: &[TileBlock], rows: Rows<'_>) {
    let Rows { x, row, out: stored, from, .. } = rows;
    let width = x.width();
    let bytes = x.bytes[row * width * BLOCK..(row + R) * width * BLOCK].as_ptr();
    let scales = x.scales[row * width..(row + R) * width].as_ptr();
    let mut out = [[_mm256_setzero_ps(); 2]; R];
    if from == Start::Stored {
        for (r, out) in out.iter_mut().enumerate() {
            // SAFETY: row r has 16 outputs.
            *out = unsafe { [0, 8].map(|at| _mm256_loadu_ps(stored.ptr.add(r * stored.stride + at))) };
        }
    }
    for (b, block) in tile.iter().enumerate() {
        // SAFETY: `bytes` points at R rows of `width * BLOCK` integers and b < width.
        let dots = unsafe { block_dots::<R>(block, bytes.add(b * BLOCK), width * BLOCK) };
        // SAFETY: a block has 16 scales.
        let by_weight = unsafe { [0, 8].map(|at| _mm256_loadu_ps(block.scales.as_ptr().add(at))) };
        for r in 0..R {
            // SAFETY: `scales` points at R rows of `width` scales, r < R and b < width.
            let by_row = unsafe { _mm256_broadcast_ss(&*scales.add(r * width + b)) };
            for half in 0..2 {
                let factor = _mm256_mul_ps(by_weight[half], by_row);
                out[r][half] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots[r][half]), factor, out[r][half]);
            }
        }
    }
    for (r, out) in out.into_iter().enumerate() {
        // SAFETY: row r has 16 outputs.
        unsafe {
            let at = stored.ptr.add(r * stored.stride);
            _mm256_storeu_ps(at, out[0]);
            _mm256_storeu_ps(at.add(8), out[1]);
        }
    }
}

/// Exact dot products of a block's 16 outputs with R activation blocks that lie `stride` apart.
///
/// # Safety
/// For every r < R, 32 bytes must be readable from `a + r * stride`.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn block_dots<const R: usize>(block: &TileBlock, a: *const i8, stride: usize) -> [[__m256i; 2]; R] {
    let ones = _mm256_set1_epi16(1);
    let mut dots = [[_mm256_setzero_si256(); 2]; R];
    for quad in 0..BLOCK / 4 {
        // SAFETY: quad < 8 and a block has 8 * 64 bytes, aligned to 64.
        let weights = unsafe {
            let at = block.q.as_ptr().add(quad * 4 * TILE).cast::<__m256i>();
            [_mm256_load_si256(at), _mm256_load_si256(at.add(1))]
        };
        let sizes = weights.map(|weights| _mm256_abs_epi8(weights));
        for (r, dots) in dots.iter_mut().enumerate() {
            // SAFETY: the caller vouches for 32 bytes, of which these are four.
            let four = unsafe { a.add(r * stride + 4 * quad).cast::<i32>().read_unaligned() };
            let four = _mm256_set1_epi32(four);
            for half in 0..2 {
                let signed = _mm256_sign_epi8(four, weights[half]);
                let pairs = _mm256_madd_epi16(_mm256_maddubs_epi16(sizes[half], signed), ones);
                dots[half] = _mm256_add_epi32(dots[half], pairs);
            }
        }
    }
    dots
}
