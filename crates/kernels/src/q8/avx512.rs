//! AVX-512 VNNI: `vpdpbusd` multiplies four unsigned by four signed bytes and adds them exactly in 32 bits.
//!
//! Weights are stored offset by 128, so the sum is 128 times the activations' sum too large; that is one number a block.

use std::arch::x86_64::*;

use super::{BLOCK, QuantisedRows, TILE, TileBlock};

/// Rows that share one pass over the weights.
pub(super) const ROWS: usize = 8;

/// Continues the sums of 16 outputs of `R` consecutive rows, from weights in quadruples.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) fn tile_rows<const R: usize>(tile: &[TileBlock], x: &QuantisedRows, row: usize, acc: &mut [[f32; TILE]]) {
    let width = x.width();
    assert!(tile.len() == width && row + R <= x.rows() && acc.len() >= R, "tile of another shape");
    let bytes = x.bytes[row * width * BLOCK..(row + R) * width * BLOCK].as_ptr();
    let at = row * width..(row + R) * width;
    let (scales, sums) = (&x.scales[at.clone()], &x.sums[at]);
    let mut out = [_mm512_setzero_ps(); R];
    for (out, acc) in out.iter_mut().zip(&*acc) {
        // SAFETY: `acc` has 16 elements.
        *out = unsafe { _mm512_loadu_ps(acc.as_ptr()) };
    }
    for (b, block) in tile.iter().enumerate() {
        // SAFETY: `bytes` points at R rows of `width * BLOCK` bytes and b < width.
        let dots = unsafe { block_dots::<R>(block, bytes.add(b * BLOCK), width * BLOCK) };
        // SAFETY: a block has 16 scales.
        let weight_scales = unsafe { _mm512_loadu_ps(block.scales.as_ptr()) };
        for r in 0..R {
            let exact = _mm512_sub_epi32(dots[r], _mm512_set1_epi32(128 * sums[r * width + b]));
            let factor = _mm512_mul_ps(weight_scales, _mm512_set1_ps(scales[r * width + b]));
            out[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(exact), factor, out[r]);
        }
    }
    for (acc, out) in acc.iter_mut().zip(out) {
        // SAFETY: `acc` has 16 elements.
        unsafe { _mm512_storeu_ps(acc.as_mut_ptr(), out) };
    }
}

/// Dot products, 128 times the activations' sum too large, of a block's 16 outputs with R activation blocks
/// that lie `stride` apart.
///
/// # Safety
/// For every r < R, 32 bytes must be readable from `a + r * stride`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn block_dots<const R: usize>(block: &TileBlock, a: *const i8, stride: usize) -> [__m512i; R] {
    let mut dots = [_mm512_setzero_si512(); R];
    for quad in 0..BLOCK / 4 {
        // SAFETY: quad < 8 and a block has 8 * 64 bytes.
        let weights = unsafe { _mm512_loadu_si512(block.q.as_ptr().add(quad * 4 * TILE).cast()) };
        for (r, dots) in dots.iter_mut().enumerate() {
            // SAFETY: the caller vouches for 32 bytes, of which these are four.
            let four = unsafe { a.add(r * stride + 4 * quad).cast::<i32>().read_unaligned() };
            *dots = _mm512_dpbusd_epi32(*dots, weights, _mm512_set1_epi32(four));
        }
    }
    dots
}
