//! LoRA as a layer: the product with Aᵀ here; that with Bᵀ is added where the frozen map's outputs are finished.

use openledger_kernels::{Cpu, Mat, MatMut, MatRef, Path, Tail};

use super::Segment;
use crate::lora::PackedSite;
use crate::model::SiteId;

/// Rows of one task.
const ROWS_PER_TASK: usize = 48;

/// Rows from which the sites of one input are one task: their products with it are done together.
const TOGETHER_ROWS_MIN: usize = 8;

/// One of several sites that share an input: `x Aᵀ`, which the backward pass reads again, the same times the adapter's
/// factor, and what a sink of gradients wants the input projected by.
///
/// Where the adapters of a batch differ in rank, a segment's part begins where it would with the largest.
pub(crate) struct Shrunk<'a> {
    pub(crate) id: SiteId,
    pub(crate) xa: &'a mut Mat,
    pub(crate) scaled: &'a mut Mat,
    pub(crate) probe: Option<MatRef<'a>>,
    pub(crate) xp: &'a mut Mat,
}

/// What is left of a site's matrices while they are cut into segments.
struct Rest<'a> {
    id: SiteId,
    xa: &'a mut [f32],
    scaled: &'a mut [f32],
    probe: Option<MatRef<'a>>,
    xp: &'a mut [f32],
}

/// Some rows of some sites, with the adapter that acts on them.
struct Task<'a> {
    x: MatRef<'a>,
    sites: Vec<Site<'a>>,
}

/// One site's part of a task.
struct Site<'a> {
    packed: &'a PackedSite,
    xa: &'a mut [f32],
    scaled: &'a mut [f32],
    probe: Option<MatRef<'a>>,
    xp: &'a mut [f32],
}

/// `x Aᵀ` for every site and segment that has an adapter.
pub(crate) fn shrink_rows(cpu: &Cpu, segments: &[Segment<'_>], x: MatRef<'_>, mut outs: Vec<Shrunk<'_>>) {
    let widest = widest(segments);
    for out in &mut outs {
        out.xa.reshape(x.rows(), widest);
        out.scaled.reshape(x.rows(), widest);
        out.xp.reshape(x.rows(), out.probe.map_or(0, MatRef::cols));
    }
    let mut rest: Vec<_> = outs.iter_mut().map(Shrunk::rest).collect();
    let mut tasks = Vec::new();
    for segment in segments {
        let mut sites = Vec::with_capacity(rest.len());
        for Rest { id, xa, scaled, probe, xp } in &mut rest {
            let len = segment.rows.len() * widest;
            let (xa, scaled) = (take(xa, len), take(scaled, len));
            let xp = take(xp, segment.rows.len() * probe.map_or(0, MatRef::cols));
            let packed = segment.adapter.and_then(|adapter| adapter.packed(*id));
            sites.extend(packed.map(|packed| Site { packed, xa, scaled, probe: *probe, xp }));
        }
        let task = Task { x: x.rows_at(segment.rows.clone()), sites };
        match segment.rows.len() < TOGETHER_ROWS_MIN {
            true => tasks.extend(task.apart()),
            false => tasks.extend(task.cut()),
        }
    }
    cpu.pool().each(tasks, |_, task| task.run(cpu.path()));
}

/// `scaled Bᵀ` for every segment that has an adapter at the site: to be added to the site's outputs.
pub(crate) fn expansions<'a>(segments: &'a [Segment<'_>], id: SiteId, scaled: &'a Mat) -> Vec<Tail<'a>> {
    let widest = scaled.view().cols();
    let tail = |segment: &'a Segment<'_>| {
        let packed = segment.adapter?.packed(id)?;
        let (start, len) = (segment.rows.start * widest, segment.rows.len() * packed.rank());
        let left = MatRef::new(&scaled.data()[start..start + len], segment.rows.len(), packed.rank());
        Some(Tail { rows: segment.rows.clone(), left, right: packed.b_t.view() })
    };
    segments.iter().filter_map(tail).collect()
}

/// The largest rank of any adapter.
fn widest(segments: &[Segment<'_>]) -> usize {
    let ranks = segments.iter().filter_map(|segment| Some(segment.adapter?.config().rank));
    ranks.max().unwrap_or(0)
}

/// Cuts the first `len` elements off `rest`.
pub(crate) fn take<'a>(rest: &mut &'a mut [f32], len: usize) -> &'a mut [f32] {
    let (first, after) = std::mem::take(rest).split_at_mut(len);
    *rest = after;
    first
}

impl Shrunk<'_> {
    fn rest(&mut self) -> Rest<'_> {
        let (xa, scaled, xp) = (self.xa.data_mut(), self.scaled.data_mut(), self.xp.data_mut());
        Rest { id: self.id, xa, scaled, probe: self.probe, xp }
    }
}

impl<'a> Task<'a> {
    /// The same, site by site.
    fn apart(self) -> impl Iterator<Item = Self> {
        let x = self.x;
        self.sites.into_iter().map(move |site| Self { x, sites: vec![site] })
    }

    /// The same in tasks of a few rows.
    fn cut(self) -> Vec<Self> {
        let rows = self.x.rows();
        let parts = (0..rows).step_by(ROWS_PER_TASK).map(|first| first..rows.min(first + ROWS_PER_TASK));
        let mut tasks: Vec<_> = parts.map(|rows| Self { x: self.x.rows_at(rows), sites: Vec::new() }).collect();
        for Site { packed, mut xa, mut scaled, probe, mut xp } in self.sites {
            for task in &mut tasks {
                let len = task.x.rows() * packed.rank();
                let (xa, scaled) = (take(&mut xa, len), take(&mut scaled, len));
                let xp = take(&mut xp, task.x.rows() * probe.map_or(0, MatRef::cols));
                task.sites.push(Site { packed, xa, scaled, probe, xp });
            }
        }
        tasks
    }

    fn run(mut self, path: Path) {
        let rows = self.x.rows();
        path.gemm_beside(self.x, &mut self.sites.iter_mut().flat_map(|site| site.products(rows)).collect::<Vec<_>>());
        for Site { packed, xa, scaled, .. } in self.sites {
            let len = rows * packed.rank();
            scaled[..len].copy_from_slice(&xa[..len]);
            path.scale(&mut scaled[..len], packed.scale);
        }
    }
}

impl Site<'_> {
    /// `xa = x Aᵀ` and the projection, to be done with those of the other sites.
    fn products(&mut self, rows: usize) -> impl Iterator<Item = (MatRef<'_>, MatMut<'_>)> {
        let rank = self.packed.rank();
        let xa = &mut self.xa[..rows * rank];
        xa.fill(0.0);
        self.xp.fill(0.0);
        let xp = self.probe.map(|probe| (probe, MatMut::new(self.xp, rows, probe.cols())));
        std::iter::once((self.packed.a_t.view(), MatMut::new(xa, rows, rank))).chain(xp)
    }
}
