//! What a pass needs besides the model: threads, and memory that is kept from one pass to the next.

use openledger_kernels::{Cpu, Path};

use crate::backward::BackwardScratch;
use crate::forward::ForwardScratch;

/// Threads and working memory of one worker. Results do not depend on it.
#[derive(Debug)]
pub struct Exec {
    pub(crate) cpu: Cpu,
    pub(crate) forward: ForwardScratch,
    pub(crate) backward: BackwardScratch,
}

impl Exec {
    /// That many threads (the caller is one of them) on this processor's fastest code path.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self::with_path(threads, Path::best())
    }

    /// That many threads on a given code path; the results are the same, only slower.
    #[must_use]
    pub fn with_path(threads: usize, path: Path) -> Self {
        Self {
            cpu: Cpu::with_path(threads, path),
            forward: ForwardScratch::default(),
            backward: BackwardScratch::default(),
        }
    }

    /// Threads, with the caller.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.cpu.pool().threads()
    }

    /// The code path.
    #[must_use]
    pub fn path(&self) -> Path {
        self.cpu.path()
    }
}
