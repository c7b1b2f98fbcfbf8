//! LoRA as a layer: shrink to the rank, then expand onto the output, segment by segment.

use openledger_kernels::{Cpu, Mat, MatMut, MatRef, Path};

use super::Segment;
use crate::lora::PackedSite;
use crate::model::SiteId;

/// Rows of one task.
const ROWS_PER_TASK: usize = 24;

/// Some rows of one site's output, with the adapter that acts on them.
struct Task<'a> {
    site: &'a PackedSite,
    x: MatRef<'a>,
    y: &'a mut [f32],
}

/// `y += s (x Aᵀ) Bᵀ` for every site and segment that has an adapter.
pub(crate) fn adapt_rows(cpu: &Cpu, segments: &[Segment<'_>], x: MatRef<'_>, outs: Vec<(SiteId, &mut Mat)>) {
    let mut tasks = Vec::new();
    for (id, y) in outs {
        let cols = y.view().cols();
        let mut rest = y.data_mut();
        for segment in segments {
            let (ours, after) = rest.split_at_mut(segment.rows.len() * cols);
            rest = after;
            let Some(site) = segment.adapter.and_then(|adapter| adapter.packed(id)) else { continue };
            for (i, y) in ours.chunks_mut(ROWS_PER_TASK * cols).enumerate() {
                let first = segment.rows.start + i * ROWS_PER_TASK;
                tasks.push(Task { site, x: x.rows_at(first..first + y.len() / cols), y });
            }
        }
    }
    cpu.pool().each(tasks, |_, task| task.run(cpu.path()));
}

impl Task<'_> {
    fn run(self, path: Path) {
        let (rows, rank) = (self.x.rows(), self.site.a.view().rows());
        let mut inner = Mat::zeros(rows, rank);
        path.gemm(self.x, self.site.a_t.view(), &mut inner.view_mut());
        path.scale(inner.data_mut(), self.site.scale);
        let cols = self.site.b_t.view().cols();
        path.gemm(inner.view(), self.site.b_t.view(), &mut MatMut::new(self.y, rows, cols));
    }
}
