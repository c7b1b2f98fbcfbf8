//! SIMD arithmetic with one defined result on every machine.
//!
//! Every function here has one written order of operations; the portable, AVX2 and AVX-512 paths give the same bits,
//! and so does any number of threads. This crate is the only home of `unsafe` in the workspace.

#![allow(unsafe_code, reason = "the only crate that may: each block has its SAFETY line and a portable twin")]

mod adamw;
mod elementwise;
mod gemm;
mod mat;
mod path;
mod pool;
mod q8;
mod rope;

pub use adamw::{AdamW, AdamWState};
pub use mat::{Mat, MatMut, MatRef};
pub use path::Path;
pub use pool::{THREADS_MAX, ThreadPool};
pub use q8::{BLOCK, Finish, NotFinite, Q8Matrix, Q8Product, QuantisedRows, Start, TILE, Tail};

/// The processor as the engine sees it: a code path and a pool of threads.
///
/// Neither changes a single bit of any result.
#[derive(Debug)]
pub struct Cpu {
    path: Path,
    pool: ThreadPool,
}

impl Cpu {
    /// That many threads (the caller is one of them) on the fastest path of this processor.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self::with_path(threads, Path::best())
    }

    /// That many threads on a given path.
    #[must_use]
    pub fn with_path(threads: usize, path: Path) -> Self {
        Self { path, pool: ThreadPool::new(threads) }
    }

    /// The code path.
    #[must_use]
    pub fn path(&self) -> Path {
        self.path
    }

    /// The threads.
    #[must_use]
    pub fn pool(&self) -> &ThreadPool {
        &self.pool
    }
}
