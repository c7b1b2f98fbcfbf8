//! The definition of the product, in plain Rust.

use super::{Left, Out, PANEL, Right, Size};

/// C += A B for at most 16 columns.
///
/// # Safety
/// The views must span A (m x k), B (k x n) and C (m x n), n <= 16, and C must be this caller's alone.
pub(super) unsafe fn narrow(a: Left, b: Right, c: Out, size: Size) {
    for i in 0..size.m {
        // SAFETY: row i of C has n elements.
        let out = unsafe { std::slice::from_raw_parts_mut(c.ptr.add(i * c.stride), size.n) };
        let mut acc = [0.0f32; PANEL];
        acc[..size.n].copy_from_slice(out);
        for p in 0..size.k {
            // SAFETY: A has element (i, p) and B row p of n elements.
            let (x, row) = unsafe {
                let x = *a.ptr.add(i * a.row + p * a.col);
                (x, std::slice::from_raw_parts(b.ptr.add(p * b.stride), size.n))
            };
            for (acc, w) in acc.iter_mut().zip(row) {
                *acc = x.mul_add(*w, *acc);
            }
        }
        out.copy_from_slice(&acc[..size.n]);
    }
}
