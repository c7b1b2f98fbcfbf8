//! f32 products `C += A B`: each element continues from what is stored and adds over the inner dimension in ascending
//! order with fused multiply-add. Vectors run across the columns of C, threads split its rows.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod beside;
mod portable;

use std::marker::PhantomData;
use std::mem::MaybeUninit;

use crate::path::{Kind, Path};
use crate::q8::TILE;
use crate::{Cpu, MatMut, MatRef};

/// Inner dimension of one pass: a panel of B with 16 columns takes 16 KiB.
const INNER: usize = 256;

/// Fewest rows of A for which copying B's columns together pays.
const PACK_ROWS_MIN: usize = 8;

/// 256 rows of 16 columns of B, copied together.
#[repr(align(64))]
struct Packed {
    rows: [[MaybeUninit<f32>; PANEL]; INNER],
}

/// Rows of C in one task: a multiple of every path's register block.
const ROWS_PER_TASK: usize = 24;

/// Rows and columns of C in one task of a product with a transposed left side.
const SQUARE: usize = 96;

/// Columns of C that are computed together.
const PANEL: usize = TILE;

/// A matrix that tasks write in parts that do not overlap.
#[derive(Clone, Copy)]
pub(crate) struct SharedMut<'a> {
    ptr: *mut f32,
    rows: usize,
    cols: usize,
    _life: PhantomData<&'a mut [f32]>,
}

// SAFETY: the pointer comes from an exclusive borrow that lasts as long as the value, and each method that reaches
// through it demands that no two tasks touch the same element.
unsafe impl Send for SharedMut<'_> {}
// SAFETY: as above.
unsafe impl Sync for SharedMut<'_> {}

impl<'a> SharedMut<'a> {
    pub(crate) fn new(mat: &'a mut MatMut<'_>) -> Self {
        Self { ptr: mat.data.as_mut_ptr(), rows: mat.rows, cols: mat.cols, _life: PhantomData }
    }

    /// The elements from that one on.
    ///
    /// # Safety
    /// The element must exist.
    pub(crate) unsafe fn from(&self, row: usize, col: usize) -> Out {
        // SAFETY: as the caller vouches.
        Out { ptr: unsafe { self.ptr.add(row * self.cols + col) }, stride: self.cols }
    }

    /// Part of a row.
    ///
    /// # Safety
    /// Nobody else may use these elements while the result lives.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn segment(&self, row: usize, col: usize, len: usize) -> &mut [f32] {
        assert!(row < self.rows && col + len <= self.cols, "part of a row");
        // SAFETY: in range, as just checked; exclusive, as the caller vouches.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.add(row * self.cols + col), len) }
    }
}

/// A strided view of A: element (i, p) is at `i * row + p * col`, where one of the two is 1.
#[derive(Clone, Copy)]
pub(crate) struct Left {
    pub(crate) ptr: *const f32,
    pub(crate) row: usize,
    pub(crate) col: usize,
}

/// A view of rows `stride` apart.
#[derive(Clone, Copy)]
pub(crate) struct Right {
    pub(crate) ptr: *const f32,
    pub(crate) stride: usize,
}

/// A view of rows `stride` apart, to be written.
#[derive(Clone, Copy)]
pub(crate) struct Out {
    pub(crate) ptr: *mut f32,
    pub(crate) stride: usize,
}

/// Sizes of a product: C is m x n, the inner dimension k.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) m: usize,
    pub(crate) n: usize,
    pub(crate) k: usize,
}

impl Cpu {
    /// `c += a b`.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn gemm(&self, a: MatRef<'_>, b: MatRef<'_>, c: &mut MatMut<'_>) {
        check((a.rows(), a.cols()), b, c);
        let cols = c.cols.max(1);
        self.pool().chunks(c.data, ROWS_PER_TASK * cols, |task, c| {
            let (first, rows) = (task * ROWS_PER_TASK, c.len() / cols);
            self.path().gemm(a.rows_at(first..first + rows), b, &mut MatMut::new(c, rows, cols));
        });
    }

    /// `c += aᵀ b`.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn gemm_at(&self, a: MatRef<'_>, b: MatRef<'_>, c: &mut MatMut<'_>) {
        check((a.cols(), a.rows()), b, c);
        let (k, down) = (a.rows(), c.rows.div_ceil(SQUARE));
        let tasks = if k == 0 { 0 } else { down * c.cols.div_ceil(SQUARE) };
        let c = SharedMut::new(c);
        self.pool().run(tasks, |task| {
            let (row, col) = (task % down * SQUARE, task / down * SQUARE);
            let size = Size { m: SQUARE.min(c.rows - row), n: SQUARE.min(c.cols - col), k };
            // SAFETY: row < rows and col < cols of C, which are A's columns and B's, and k rows of both follow; no two
            // tasks have the same square of C.
            unsafe {
                let left = Left { ptr: a.as_ptr().add(row), row: 1, col: a.stride() };
                let right = Right { ptr: b.as_ptr().add(col), stride: b.stride() };
                let out = c.from(row, col);
                self.path().blocked(left, right, out, size);
            }
        });
    }
}

impl Path {
    /// `c += a b`, on this thread.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn gemm(self, a: MatRef<'_>, b: MatRef<'_>, c: &mut MatMut<'_>) {
        check((a.rows(), a.cols()), b, c);
        let left = Left { ptr: a.as_ptr(), row: a.stride(), col: 1 };
        self.product(left, a.cols(), b, c);
    }

    /// `c += aᵀ b`, on this thread.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn gemm_at(self, a: MatRef<'_>, b: MatRef<'_>, c: &mut MatMut<'_>) {
        check((a.cols(), a.rows()), b, c);
        let left = Left { ptr: a.as_ptr(), row: 1, col: a.stride() };
        self.product(left, a.rows(), b, c);
    }

    fn product(self, left: Left, k: usize, b: MatRef<'_>, c: &mut MatMut<'_>) {
        let size = Size { m: c.rows, n: c.cols, k };
        let right = Right { ptr: b.as_ptr(), stride: b.stride() };
        let out = Out { ptr: c.data.as_mut_ptr(), stride: c.cols };
        // SAFETY: the callers checked that A is m x k, B k x n and C m x n, and the views span their slices.
        unsafe { self.blocked(left, right, out, size) };
    }

    /// The product in panels of 16 columns and 256 inner elements.
    ///
    /// # Safety
    /// The views must span A (m x k), B (k x n) and C (m x n), and C must be this caller's alone.
    pub(crate) unsafe fn blocked(self, a: Left, b: Right, c: Out, size: Size) {
        for p in (0..size.k).step_by(INNER) {
            let k = INNER.min(size.k - p);
            for col in (0..size.n).step_by(PANEL) {
                let n = PANEL.min(size.n - col);
                // SAFETY: p < k and col < n, so the parts lie within what the caller vouched for.
                unsafe {
                    let a = Left { ptr: a.ptr.add(p * a.col), ..a };
                    let b = Right { ptr: b.ptr.add(p * b.stride + col), ..b };
                    let c = Out { ptr: c.ptr.add(col), ..c };
                    self.panel(a, b, c, Size { m: size.m, n, k });
                }
            }
        }
    }

    /// One panel; B's columns are first copied together where many rows will read them.
    ///
    /// # Safety
    /// As for `blocked`, with n <= 16 and k <= 256.
    unsafe fn panel(self, a: Left, b: Right, c: Out, size: Size) {
        if size.m < PACK_ROWS_MIN || b.stride <= PANEL {
            // SAFETY: as the caller vouches.
            return unsafe { self.narrow(a, b, c, size) };
        }
        let mut packed = Packed { rows: [[MaybeUninit::uninit(); PANEL]; INNER] };
        let to = packed.rows.as_mut_ptr().cast::<f32>();
        for p in 0..size.k {
            // SAFETY: p < k <= 256, B has n <= 16 columns from here, and the copy's row has room for 16.
            unsafe {
                let (from, to) = (b.ptr.add(p * b.stride), to.add(p * PANEL));
                match size.n {
                    PANEL => from.copy_to_nonoverlapping(to, PANEL),
                    n => from.copy_to_nonoverlapping(to, n),
                }
            }
        }
        let b = Right { ptr: to, stride: PANEL };
        // SAFETY: as the caller vouches; the copy has k rows of which the first n of 16 elements are written.
        unsafe { self.narrow(a, b, c, size) }
    }

    /// At most 16 columns.
    ///
    /// # Safety
    /// As for `blocked`, with n <= 16.
    unsafe fn narrow(self, a: Left, b: Right, c: Out, size: Size) {
        match self.0 {
            // SAFETY: as the caller vouches.
            Kind::Portable => unsafe { portable::narrow(a, b, c, size) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as the caller vouches; a `Path` of this kind exists only where its features were detected.
            Kind::Avx2 => unsafe { avx2::narrow(a, b, c, size) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Kind::Avx512 => unsafe { avx512::narrow(a, b, c, size) },
        }
    }
}

fn check(a: (usize, usize), b: MatRef<'_>, c: &MatMut<'_>) {
    assert_eq!((c.rows, c.cols), (a.0, b.cols()), "shape of a product");
    assert_eq!(a.1, b.rows(), "inner dimension of a product");
}
