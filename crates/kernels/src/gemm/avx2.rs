//! AVX2 and FMA: six rows by two vectors of eight stay in registers.

use std::arch::x86_64::*;

use super::{Left, Out, Right, Size};

const LANES: usize = 8;

/// C += A B for at most 16 columns.
///
/// # Safety
/// The views must span A (m x k), B (k x n) and C (m x n), n <= 16, and C must be this caller's alone.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn narrow(a: Left, b: Right, c: Out, size: Size) {
    // SAFETY: the columns split into 16, or 8 and a masked rest; each call stays within the views.
    unsafe {
        if size.n == 2 * LANES {
            return rows::<2, false>(a, b, c, size);
        }
        if size.n >= LANES {
            rows::<1, false>(a, b, c, size);
        }
        let done = size.n / LANES * LANES;
        if done < size.n {
            let b = Right { ptr: b.ptr.add(done), ..b };
            let c = Out { ptr: c.ptr.add(done), ..c };
            rows::<1, true>(a, b, c, Size { n: size.n - done, ..size });
        }
    }
}

/// All rows of `NV` vectors of columns (masked to `size.n` of them if `MASKED`).
///
/// # Safety
/// As for `narrow`.
#[target_feature(enable = "avx2,fma")]
unsafe fn rows<const NV: usize, const MASKED: bool>(a: Left, b: Right, c: Out, size: Size) {
    let mut i = 0;
    while i < size.m {
        // SAFETY: row i exists, and each kernel takes no more rows than are left.
        unsafe {
            let a = Left { ptr: a.ptr.add(i * a.row), ..a };
            let c = Out { ptr: c.ptr.add(i * c.stride), ..c };
            match size.m - i {
                1 => micro::<1, NV, MASKED>(a, b, c, size),
                2 => micro::<2, NV, MASKED>(a, b, c, size),
                3 => micro::<3, NV, MASKED>(a, b, c, size),
                4 => micro::<4, NV, MASKED>(a, b, c, size),
                5 => micro::<5, NV, MASKED>(a, b, c, size),
                _ => micro::<6, NV, MASKED>(a, b, c, size),
            }
        }
        i += 6;
    }
}

/// `MR` rows.
///
/// # Safety
/// As for `narrow`, with m >= MR.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn micro<const MR: usize, const NV: usize, const MASKED: bool>(a: Left, b: Right, c: Out, size: Size) {
    let mask = mask(size.n);
    let mut acc = [[_mm256_setzero_ps(); NV]; MR];
    // SAFETY: every access is to an element (row < MR <= m, inner < k, column < n by width or mask) of a view.
    unsafe {
        for (i, acc) in acc.iter_mut().enumerate() {
            for (j, acc) in acc.iter_mut().enumerate() {
                *acc = load::<MASKED>(c.ptr.add(i * c.stride + j * LANES), mask);
            }
        }
        let (mut at_a, mut at_b) = (a.ptr, b.ptr);
        for _ in 0..size.k {
            let mut w = [_mm256_setzero_ps(); NV];
            for (j, w) in w.iter_mut().enumerate() {
                *w = load::<MASKED>(at_b.add(j * LANES), mask);
            }
            for (i, acc) in acc.iter_mut().enumerate() {
                let x = _mm256_broadcast_ss(&*at_a.add(i * a.row));
                for (acc, w) in acc.iter_mut().zip(w) {
                    *acc = _mm256_fmadd_ps(x, w, *acc);
                }
            }
            at_a = at_a.wrapping_add(a.col);
            at_b = at_b.wrapping_add(b.stride);
        }
        for (i, acc) in acc.into_iter().enumerate() {
            for (j, acc) in acc.into_iter().enumerate() {
                store::<MASKED>(c.ptr.add(i * c.stride + j * LANES), mask, acc);
            }
        }
    }
}

/// All ones in the first `n` lanes.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn mask(n: usize) -> __m256i {
    let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    _mm256_cmpgt_epi32(_mm256_set1_epi32(n.min(LANES) as i32), lanes)
}

/// # Safety
/// Eight floats (or those that the mask selects) must be readable.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn load<const MASKED: bool>(at: *const f32, mask: __m256i) -> __m256 {
    // SAFETY: as the caller vouches.
    unsafe { if MASKED { _mm256_maskload_ps(at, mask) } else { _mm256_loadu_ps(at) } }
}

/// # Safety
/// Eight floats (or those that the mask selects) must be writable.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn store<const MASKED: bool>(at: *mut f32, mask: __m256i, value: __m256) {
    // SAFETY: as the caller vouches.
    unsafe { if MASKED { _mm256_maskstore_ps(at, mask, value) } else { _mm256_storeu_ps(at, value) } }
}
