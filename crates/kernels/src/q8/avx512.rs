//! AVX-512 VNNI: `vpdpbusd` multiplies four unsigned by four signed bytes and adds them exactly in 32 bits.
//!
//! Weights are stored offset by 128, so a block's sum would be 128 times the activations' sum too large: it starts that much
//! below zero. Two tiles share each activation that is read: with one, reading would take longer than multiplying.

use std::arch::x86_64::*;
use std::sync::atomic::{Ordering, compiler_fence};

use super::finish::TailRow;
use super::matmul::{End, Rows, Start};
use super::rows::Part;
use super::{BLOCK, TILE, TileBlock, scale_of_none};
use crate::MatRef;

/// Rows that share one pass over the weights: twelve sums and as many dot products stay in registers.
pub(super) const ROWS: usize = 6;

/// The sums of `T` tiles of 16 outputs, for `R` consecutive rows, from weights in quadruples; asks memory for what the rows
/// say if `ASK`, which takes registers that long passes need.
///
/// # Safety
/// The tiles must be as wide as x, x must have R rows from `row` on, and R rows of T tiles must be this caller's alone.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) unsafe fn tile_rows<const T: usize, const R: usize, const ASK: bool>(
    tiles: [&[TileBlock]; T],
    rows: Rows<'_>,
) {
    let Rows { x, row, out: stored, from, end, asked } = rows;
    let width = x.width();
    let mut asked = asked.chunks(asked.len().div_ceil(width.max(1)).max(1));
    let bytes = x.bytes[row * width * BLOCK..(row + R) * width * BLOCK].as_ptr();
    let at = row * width..(row + R) * width;
    let (scales, offsets) = (x.scales[at.clone()].as_ptr(), x.offsets[at].as_ptr());
    let mut out = [[_mm512_setzero_ps(); T]; R];
    if from == Start::Stored {
        for (r, out) in out.iter_mut().enumerate() {
            // SAFETY: row r has T tiles of 16 outputs.
            *out = std::array::from_fn(|t| unsafe { _mm512_loadu_ps(stored.ptr.add(r * stored.stride + t * TILE)) });
        }
    }
    for b in 0..width {
        if ASK {
            asked.next().unwrap_or_default().iter().for_each(TileBlock::prefetch);
        }
        // SAFETY: the tiles have `width` blocks, as the caller vouches.
        let blocks = tiles.map(|tile| unsafe { tile.get_unchecked(b) });
        // SAFETY: `offsets` and `scales` point at R rows of `width` numbers, r < R and b < width.
        let offset = |r: usize| unsafe { *offsets.add(r * width + b) };
        let mut dots: [[__m512i; T]; R] = std::array::from_fn(|r| [_mm512_set1_epi32(offset(r)); T]);
        // SAFETY: `bytes` points at R rows of `width * BLOCK` bytes and b < width.
        unsafe { add_dots::<T, R, ASK>(blocks, bytes.add(b * BLOCK), width * BLOCK, &mut dots) };
        // SAFETY: a block has 16 scales.
        let weight_scales = blocks.map(|block| unsafe { _mm512_loadu_ps(block.scales.as_ptr()) });
        for r in 0..R {
            // SAFETY: as above.
            let row_scale = _mm512_set1_ps(unsafe { *scales.add(r * width + b) });
            for t in 0..T {
                let factor = _mm512_mul_ps(weight_scales[t], row_scale);
                out[r][t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[r][t]), factor, out[r][t]);
            }
        }
    }
    if let Some(end) = end {
        finish::<T, R, ASK>(end, &mut out);
    }
    for (r, out) in out.into_iter().enumerate() {
        for (t, out) in out.into_iter().enumerate() {
            // SAFETY: row r has T tiles of 16 outputs.
            unsafe { _mm512_storeu_ps(stored.ptr.add(r * stored.stride + t * TILE), out) };
        }
    }
}

/// Adds the dot products of each block's 16 outputs with R activation blocks that lie `stride` apart. There is one for each
/// `tile_rows`, so that it is inlined into its only caller and the sums stay in registers.
///
/// # Safety
/// For every r < R, 32 bytes must be readable from `a + r * stride`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn add_dots<const T: usize, const R: usize, const ASK: bool>(
    blocks: [&TileBlock; T],
    a: *const i8,
    stride: usize,
    dots: &mut [[__m512i; T]; R],
) {
    for quad in 0..BLOCK / 4 {
        // SAFETY: quad < 8 and a block has 8 * 64 bytes.
        let weights = blocks.map(|block| unsafe { _mm512_loadu_si512(block.q.as_ptr().add(quad * 4 * TILE).cast()) });
        for (r, dots) in dots.iter_mut().enumerate() {
            // SAFETY: the caller vouches for 32 bytes, of which these are four.
            let four = unsafe { a.add(r * stride + 4 * quad).cast::<i32>().read_unaligned() };
            let four = _mm512_set1_epi32(four);
            for (dot, weights) in dots.iter_mut().zip(weights) {
                *dot = _mm512_dpbusd_epi32(*dot, weights, four);
            }
        }
        // No load moves up from the next quadruple: the sums would have to leave their registers for it.
        compiler_fence(Ordering::SeqCst);
    }
}

/// Adds what the rows finish with.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn finish<const T: usize, const R: usize, const ASK: bool>(end: End<'_>, out: &mut [[__m512; T]; R]) {
    if let Some(bias) = end.finish.bias {
        let bias = vectors::<T>(&bias[end.col..]);
        out.iter_mut().for_each(|out| *out = std::array::from_fn(|t| _mm512_add_ps(out[t], bias[t])));
    }
    if end.finish.tails.is_empty() {
        return;
    }
    let tails: [Option<TailRow<'_>>; R] = std::array::from_fn(|r| end.tails[r]);
    match shared(&tails) {
        Some((lefts, right)) => {
            for p in 0..right.rows() {
                let right = vectors::<T>(&right.row(p)[end.col..]);
                for (out, left) in out.iter_mut().zip(lefts) {
                    let left = _mm512_set1_ps(left[p]);
                    *out = std::array::from_fn(|t| _mm512_fmadd_ps(left, right[t], out[t]));
                }
            }
        }
        None => {
            for (out, tail) in out.iter_mut().zip(tails) {
                let Some(TailRow { left, right }) = tail else { continue };
                for (p, left) in left.iter().enumerate() {
                    let (left, right) = (_mm512_set1_ps(*left), vectors::<T>(&right.row(p)[end.col..]));
                    *out = std::array::from_fn(|t| _mm512_fmadd_ps(left, right[t], out[t]));
                }
            }
        }
    }
}

/// All rows' left sides, if they have the same right side.
#[inline(always)]
fn shared<'a, const R: usize>(tails: &[Option<TailRow<'a>>; R]) -> Option<([&'a [f32]; R], MatRef<'a>)> {
    let right = tails[0]?.right;
    let mut lefts = [[].as_slice(); R];
    for (left, tail) in lefts.iter_mut().zip(tails) {
        let tail = (*tail)?;
        if tail.right.as_ptr() != right.as_ptr() || tail.left.len() != right.rows() {
            return None;
        }
        *left = tail.left;
    }
    Some((lefts, right))
}

/// The first `T` vectors.
#[inline]
#[target_feature(enable = "avx512f")]
fn vectors<const T: usize>(from: &[f32]) -> [__m512; T] {
    let from = &from[..T * TILE];
    // SAFETY: there are T times 16 elements.
    std::array::from_fn(|t| unsafe { _mm512_loadu_ps(from.as_ptr().add(t * TILE)) })
}

/// Quantises rows.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) fn fill(part: &mut Part<'_>, x: MatRef<'_>, width: usize) {
    part.fill(x, width, |values, q| quantise_block(values, q));
}

/// As the plain one; the conversion to integers rounds half to even by itself.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn quantise_block(x: &[f32; BLOCK], q: &mut [i8; BLOCK]) -> (f32, i32) {
    // SAFETY: 32 elements are two vectors.
    let halves = [0, 16].map(|at| unsafe { _mm512_loadu_ps(x.as_ptr().add(at)) });
    // Magnitudes order as their bits do, infinity and what is not a number above all others.
    let sizes = halves.map(|half| _mm512_castps_si512(_mm512_abs_ps(half)));
    let amax = f32::from_bits(_mm512_reduce_max_epi32(_mm512_max_epi32(sizes[0], sizes[1])) as u32);
    if let Some(scale) = scale_of_none(amax) {
        *q = [0; BLOCK];
        return (scale, 0);
    }
    let (inverse, most) = (_mm512_set1_ps(127.0 / amax), _mm512_set1_ps(127.0));
    let least = _mm512_set1_ps(-127.0);
    let integers =
        halves.map(|half| _mm512_cvtps_epi32(_mm512_min_ps(_mm512_max_ps(_mm512_mul_ps(half, inverse), least), most)));
    for (at, integers) in [0, 16].into_iter().zip(integers) {
        // SAFETY: 16 bytes of 32.
        unsafe { _mm_storeu_si128(q.as_mut_ptr().add(at).cast(), _mm512_cvtepi32_epi8(integers)) };
    }
    (amax / 127.0, _mm512_reduce_add_epi32(_mm512_add_epi32(integers[0], integers[1])))
}
