//! AVX-512: twelve rows by one vector of sixteen stay in registers; a narrower rest is masked.

use std::arch::x86_64::*;

use super::{Left, Out, Right, Size};

const LANES: usize = 16;

const ROWS: usize = 12;

/// Inner elements that are added without a look at the loop's end.
const UNROLLED: usize = 4;

/// C += A B for at most 16 columns.
///
/// # Safety
/// The views must span A (m x k), B (k x n) and C (m x n), n <= 16, and C must be this caller's alone.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn narrow(a: Left, b: Right, c: Out, size: Size) {
    // SAFETY: as the caller vouches.
    unsafe {
        match (size.n, a.col) {
            (LANES, 1) => rows::<false, true>(a, b, c, size),
            (LANES, _) => rows::<false, false>(a, b, c, size),
            (_, 1) => rows::<true, true>(a, b, c, size),
            (_, _) => rows::<true, false>(a, b, c, size),
        }
    }
}

/// All rows; fewer columns than lanes if `MASKED`, rows of A without gaps within if `ALONG`, columns if not.
///
/// # Safety
/// As for `narrow`.
#[target_feature(enable = "avx512f")]
unsafe fn rows<const MASKED: bool, const ALONG: bool>(a: Left, b: Right, c: Out, size: Size) {
    let mut i = 0;
    while i < size.m {
        // SAFETY: row i exists, and each kernel takes no more rows than are left.
        i += unsafe {
            let a = Left { ptr: a.ptr.add(i * a.row), ..a };
            let c = Out { ptr: c.ptr.add(i * c.stride), ..c };
            match size.m - i {
                1 => micro::<1, MASKED, ALONG>(a, b, c, size),
                2 => micro::<2, MASKED, ALONG>(a, b, c, size),
                3 => micro::<3, MASKED, ALONG>(a, b, c, size),
                4 | 5 => micro::<4, MASKED, ALONG>(a, b, c, size),
                6 | 7 => micro::<6, MASKED, ALONG>(a, b, c, size),
                8..ROWS => micro::<8, MASKED, ALONG>(a, b, c, size),
                _ => micro::<ROWS, MASKED, ALONG>(a, b, c, size),
            }
        };
    }
}

/// `MR` rows; returns `MR`.
///
/// # Safety
/// As for `narrow`, with m >= MR.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn micro<const MR: usize, const MASKED: bool, const ALONG: bool>(
    a: Left,
    b: Right,
    c: Out,
    size: Size,
) -> usize {
    let mask: __mmask16 = ((1u32 << size.n) - 1) as u16;
    let stride = if ALONG { a.row } else { 1 };
    let mut acc = [_mm512_setzero_ps(); MR];
    // SAFETY: every access is to an element (row < MR <= m, inner < k, column < n by the mask) of a view.
    unsafe {
        for (i, acc) in acc.iter_mut().enumerate() {
            *acc = load::<MASKED>(c.ptr.add(i * c.stride), mask);
        }
        let mut p = 0;
        while p + UNROLLED <= size.k {
            let (at_a, at_b) = (a.ptr.add(p * a.col), b.ptr.add(p * b.stride));
            for u in 0..UNROLLED {
                let at_a = if ALONG { at_a.add(u) } else { at_a.add(u * a.col) };
                step::<MR, MASKED>(at_a, stride, at_b.add(u * b.stride), mask, &mut acc);
            }
            p += UNROLLED;
        }
        while p < size.k {
            step::<MR, MASKED>(a.ptr.add(p * a.col), stride, b.ptr.add(p * b.stride), mask, &mut acc);
            p += 1;
        }
        for (i, acc) in acc.into_iter().enumerate() {
            match MASKED {
                true => _mm512_mask_storeu_ps(c.ptr.add(i * c.stride), mask, acc),
                false => _mm512_storeu_ps(c.ptr.add(i * c.stride), acc),
            }
        }
    }
    MR
}

/// One inner element of each row.
///
/// # Safety
/// Rows of A are `stride` apart; 16 floats of B, or those that the mask selects, must be readable.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn step<const MR: usize, const MASKED: bool>(
    a: *const f32,
    stride: usize,
    b: *const f32,
    mask: __mmask16,
    acc: &mut [__m512; MR],
) {
    // SAFETY: as the caller vouches.
    unsafe {
        let w = load::<MASKED>(b, mask);
        for (i, acc) in acc.iter_mut().enumerate() {
            *acc = _mm512_fmadd_ps(_mm512_set1_ps(*a.add(i * stride)), w, *acc);
        }
    }
}

/// # Safety
/// Sixteen floats, or those that the mask selects, must be readable.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn load<const MASKED: bool>(at: *const f32, mask: __mmask16) -> __m512 {
    // SAFETY: as the caller vouches.
    unsafe { if MASKED { _mm512_maskz_loadu_ps(mask, at) } else { _mm512_loadu_ps(at) } }
}
