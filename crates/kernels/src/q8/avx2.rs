//! AVX2: bytes widen to 16 bits, `vpmaddwd` multiplies pairs and adds them exactly in 32.

use std::arch::x86_64::*;

use super::{BLOCK, QuantisedRows, TILE, TileBlock};

/// Rows that share one pass over the weights: 12 integer accumulators, 2 weights, 1 activation, 1 product.
pub(super) const ROWS: usize = 6;

/// 16 outputs of `R` consecutive rows, from weights in pairs.
#[target_feature(enable = "avx2,fma")]
pub(super) fn tile_rows<const R: usize>(tile: &[TileBlock], x: &QuantisedRows, row: usize, acc: &mut [[f32; TILE]]) {
    let width = x.width();
    assert!(tile.len() == width && row + R <= x.rows() && acc.len() >= R, "tile of another shape");
    let wide = x.wide[row * width * BLOCK..(row + R) * width * BLOCK].as_ptr();
    let scales = &x.scales[row * width..(row + R) * width];
    for acc in &mut acc[..R] {
        *acc = [0.0; TILE];
    }
    for (b, block) in tile.iter().enumerate() {
        // SAFETY: `wide` points at R rows of `width * BLOCK` integers and b < width.
        let dots = unsafe { block_dots::<R>(block, wide.add(b * BLOCK), width * BLOCK) };
        for r in 0..R {
            accumulate(&dots[r], &block.scales, scales[r * width + b], &mut acc[r]);
        }
    }
}

/// Exact dot products of a block's 16 outputs with R activation blocks that lie `stride` apart.
///
/// # Safety
/// For every r < R, 32 integers must be readable from `a + r * stride`.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn block_dots<const R: usize>(block: &TileBlock, a: *const i16, stride: usize) -> [[__m256i; 2]; R] {
    let mut dots = [[_mm256_setzero_si256(); 2]; R];
    let q = block.q.as_ptr();
    for pair in 0..BLOCK / 2 {
        // SAFETY: pair < 16 and a block has 16 * 32 bytes.
        let (low, high) = unsafe {
            let at = q.add(pair * 2 * TILE).cast::<__m128i>();
            (_mm256_cvtepi8_epi16(_mm_load_si128(at)), _mm256_cvtepi8_epi16(_mm_load_si128(at.add(1))))
        };
        for (r, dots) in dots.iter_mut().enumerate() {
            // SAFETY: the caller vouches for 32 integers, of which these are two.
            let pair = unsafe { a.add(r * stride + 2 * pair).cast::<i32>().read_unaligned() };
            let pair = _mm256_set1_epi32(pair);
            dots[0] = _mm256_add_epi32(dots[0], _mm256_madd_epi16(low, pair));
            dots[1] = _mm256_add_epi32(dots[1], _mm256_madd_epi16(high, pair));
        }
    }
    dots
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn accumulate(dots: &[__m256i; 2], weight_scales: &[f32; TILE], scale: f32, acc: &mut [f32; TILE]) {
    let scale = _mm256_set1_ps(scale);
    for (half, dots) in dots.iter().enumerate() {
        // SAFETY: both arrays have 16 elements and half < 2.
        unsafe {
            let factor = _mm256_mul_ps(_mm256_loadu_ps(weight_scales.as_ptr().add(8 * half)), scale);
            let at = acc.as_mut_ptr().add(8 * half);
            _mm256_storeu_ps(at, _mm256_fmadd_ps(_mm256_cvtepi32_ps(*dots), factor, _mm256_loadu_ps(at)));
        }
    }
}

/// Weights of 16 outputs by 16 inputs (`half` of the block's) as f32, from weights in pairs.
#[target_feature(enable = "avx2,fma")]
pub(super) fn dequantise_half(block: &TileBlock, half: usize, out: &mut [[f32; TILE]; TILE]) {
    for side in 0..2 {
        // SAFETY: half and side are below 2: the last of eight loads, 32 bytes apart, ends within the 512 bytes.
        let pairs: [__m128i; 8] = unsafe {
            let at = block.q.as_ptr().add(half * 8 * 2 * TILE + side * TILE);
            std::array::from_fn(|pair| _mm_load_si128(at.add(pair * 2 * TILE).cast()))
        };
        for (i, row) in transpose(pairs).into_iter().enumerate() {
            let output = side * 8 + i;
            store_scaled(row, block.scales[output], &mut out[output]);
        }
    }
}

/// Transposes an 8 x 8 matrix of 16-bit elements (here: pairs of bytes).
#[inline]
#[target_feature(enable = "avx2")]
fn transpose(m: [__m128i; 8]) -> [__m128i; 8] {
    let lo = |a, b| _mm_unpacklo_epi16(a, b);
    let hi = |a, b| _mm_unpackhi_epi16(a, b);
    let a = [lo(m[0], m[1]), hi(m[0], m[1]), lo(m[2], m[3]), hi(m[2], m[3])];
    let b = [lo(m[4], m[5]), hi(m[4], m[5]), lo(m[6], m[7]), hi(m[6], m[7])];
    let quads = |x: [__m128i; 4]| {
        let (lo, hi) = (_mm_unpacklo_epi32(x[0], x[2]), _mm_unpackhi_epi32(x[0], x[2]));
        [lo, hi, _mm_unpacklo_epi32(x[1], x[3]), _mm_unpackhi_epi32(x[1], x[3])]
    };
    let (a, b) = (quads(a), quads(b));
    std::array::from_fn(|i| match i % 2 {
        0 => _mm_unpacklo_epi64(a[i / 2], b[i / 2]),
        _ => _mm_unpackhi_epi64(a[i / 2], b[i / 2]),
    })
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn store_scaled(bytes: __m128i, scale: f32, out: &mut [f32; TILE]) {
    let scale = _mm256_set1_ps(scale);
    let halves = [_mm256_cvtepi8_epi32(bytes), _mm256_cvtepi8_epi32(_mm_unpackhi_epi64(bytes, bytes))];
    for (half, ints) in halves.into_iter().enumerate() {
        // SAFETY: `out` has 16 elements and half < 2.
        unsafe { _mm256_storeu_ps(out.as_mut_ptr().add(8 * half), _mm256_mul_ps(_mm256_cvtepi32_ps(ints), scale)) };
    }
}
