//! LoRA as a layer: shrink to the rank, then expand onto the output, segment by segment.

use openledger_kernels::{Cpu, Mat, MatMut, MatRef, Path};

use super::Segment;
use crate::lora::PackedSite;
use crate::model::SiteId;

/// Rows of one task.
const ROWS_PER_TASK: usize = 48;

/// Rows from which the sites of one input are one task: their products with it are done together.
const TOGETHER_ROWS_MIN: usize = 8;

/// One of several sites that share an input: its output, and its inputs times Aᵀ, which the backward pass reads again.
pub(crate) struct Adapted<'a> {
    pub(crate) id: SiteId,
    pub(crate) y: &'a mut Mat,
    pub(crate) xa: &'a mut Mat,
}

/// Some rows of some sites, with the adapter that acts on them.
struct Task<'a> {
    x: MatRef<'a>,
    sites: Vec<Site<'a>>,
}

/// One site's part of a task.
struct Site<'a> {
    packed: &'a PackedSite,
    y: &'a mut [f32],
    xa: &'a mut [f32],
}

/// `xa = x Aᵀ`, `y += s xa Bᵀ` for every site and segment that has an adapter.
///
/// Where the adapters differ in rank, a segment's part of `xa` begins where it would with the largest.
pub(crate) fn adapt_rows(cpu: &Cpu, segments: &[Segment<'_>], x: MatRef<'_>, mut outs: Vec<Adapted<'_>>) {
    let ranks = segments.iter().filter_map(|segment| Some(segment.adapter?.config().rank));
    let Some(widest) = ranks.max() else { return };
    outs.iter_mut().for_each(|out| out.xa.reshape(x.rows(), widest));
    let mut rest: Vec<_> = outs.iter_mut().map(|out| (out.id, out.y.data_mut(), out.xa.data_mut())).collect();
    let mut tasks = Vec::new();
    for segment in segments {
        let mut sites = Vec::with_capacity(rest.len());
        for (id, y, xa) in &mut rest {
            let y_cols = y.len() / (x.rows() - segment.rows.start);
            let (y, xa) = (take(y, segment.rows.len() * y_cols), take(xa, segment.rows.len() * widest));
            let packed = segment.adapter.and_then(|adapter| adapter.packed(*id));
            sites.extend(packed.map(|packed| Site { packed, y, xa }));
        }
        if segment.rows.len() < TOGETHER_ROWS_MIN {
            let x = x.rows_at(segment.rows.clone());
            tasks.extend(sites.into_iter().map(|site| Task { x, sites: vec![site] }));
        } else {
            tasks.extend(Task { x: x.rows_at(segment.rows.clone()), sites }.cut());
        }
    }
    cpu.pool().each(tasks, |_, task| task.run(cpu.path()));
}

/// Cuts the first `len` elements off `rest`.
pub(crate) fn take<'a>(rest: &mut &'a mut [f32], len: usize) -> &'a mut [f32] {
    let (first, after) = std::mem::take(rest).split_at_mut(len);
    *rest = after;
    first
}

impl<'a> Task<'a> {
    /// The same in tasks of a few rows.
    fn cut(self) -> Vec<Self> {
        let rows = self.x.rows();
        let parts = (0..rows).step_by(ROWS_PER_TASK).map(|first| first..rows.min(first + ROWS_PER_TASK));
        let mut tasks: Vec<_> = parts.map(|rows| Self { x: self.x.rows_at(rows), sites: Vec::new() }).collect();
        for Site { packed, mut y, mut xa } in self.sites {
            let (cols, rank) = (y.len() / rows, packed.rank());
            for task in &mut tasks {
                let rows = task.x.rows();
                task.sites.push(Site { packed, y: take(&mut y, rows * cols), xa: take(&mut xa, rows * rank) });
            }
        }
        tasks
    }

    fn run(mut self, path: Path) {
        let rows = self.x.rows();
        path.gemm_beside(self.x, &mut self.sites.iter_mut().map(|site| site.shrink(rows)).collect::<Vec<_>>());
        self.sites.into_iter().for_each(|site| site.expand(path, rows));
    }
}

impl Site<'_> {
    /// The product `xa = x Aᵀ`, to be done with those of the other sites.
    fn shrink(&mut self, rows: usize) -> (MatRef<'_>, MatMut<'_>) {
        let rank = self.packed.rank();
        let xa = &mut self.xa[..rows * rank];
        xa.fill(0.0);
        (self.packed.a_t.view(), MatMut::new(xa, rows, rank))
    }

    /// `y += s xa Bᵀ`.
    fn expand(self, path: Path, rows: usize) {
        let (rank, b_t) = (self.packed.rank(), self.packed.b_t.view());
        let mut scaled = self.xa[..rows * rank].to_vec();
        path.scale(&mut scaled, self.packed.scale);
        path.gemm(MatRef::new(&scaled, rows, rank), b_t, &mut MatMut::new(self.y, rows, b_t.cols()));
    }
}
