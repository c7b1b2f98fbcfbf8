//! Projected gradients of sequences at one checkpoint.

use std::ops::Range;

use openledger_kernels::{Cpu, Mat, MatMut, MatRef, Path};
use openledger_primitives::B256;

use super::policy::{InfluencePolicy, PolicyError};
use super::project::Signs;

/// What of an adapted site the sketch needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteShape {
    /// The engine's site id.
    pub id: u32,
    /// Inputs.
    pub d_in: u32,
    /// Outputs.
    pub d_out: u32,
}

/// What the backward pass knows about one sequence at one site; T is the number of tokens.
#[derive(Clone, Copy, Debug)]
pub struct SiteGradient<'a> {
    /// The adapter's scale s.
    pub scale: f32,
    /// Input x, T x in.
    pub x: &'a [f32],
    /// Gradient d with respect to the site's output, T x out.
    pub d: &'a [f32],
    /// x A^T, T x r.
    pub xa: &'a [f32],
    /// d B, T x r.
    pub db: &'a [f32],
}

/// The same of several sequences, with the long sides projected already; rows are tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProjectedGradient<'a> {
    /// The adapter's scale s.
    pub(crate) scale: f32,
    /// x P, T x k.
    pub(crate) inputs: MatRef<'a>,
    /// d P', T x k.
    pub(crate) outputs: MatRef<'a>,
    /// x A^T, T x r.
    pub(crate) xa: MatRef<'a>,
    /// d B, T x r.
    pub(crate) db: MatRef<'a>,
}

/// Sketches of a list of sequences at one checkpoint, f32.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckpointSketch {
    /// Hash of the adapter at that checkpoint.
    pub adapter: B256,
    /// Dimensions of each row.
    pub dims: usize,
    /// One row a sequence: for each site the factor A (r x k), then B (r x k).
    pub rows: Vec<f32>,
}

impl CheckpointSketch {
    /// An all-zero sketch of `count` sequences.
    pub fn zeros(adapter: B256, dims: usize, count: usize) -> Self {
        Self { adapter, dims, rows: vec![0.0; dims * count] }
    }

    /// Number of sequences.
    pub fn count(&self) -> usize {
        self.rows.len() / self.dims.max(1)
    }
}

/// Projects gradients: `s (dB)^T (x P)` and `s (x A^T)^T (d P')`, rank kept whole.
#[derive(Clone, Debug)]
pub struct Sketcher {
    rank: usize,
    width: usize,
    dims: usize,
    sites: Vec<SiteShape>,
    signs: Vec<[Signs; 2]>,
}

impl Sketcher {
    /// Makes the signs for these sites, in this order.
    ///
    /// # Errors
    /// [`PolicyError`] where the policy cannot be followed on them.
    pub fn new(policy: &InfluencePolicy, sites: &[SiteShape], rank: usize) -> Result<Self, PolicyError> {
        let dims = policy.checkpoint_dims(sites.len(), rank)?;
        let width = usize::from(policy.projection_dim);
        policy.check_signs(sites)?;
        let signs = |site: &SiteShape| {
            let side =
                |factor, length: u32| Signs::new(policy.projection_seed, site.id, factor, length as usize, width);
            [side(0, site.d_in), side(1, site.d_out)]
        };
        Ok(Self { rank, width, dims, sites: sites.to_vec(), signs: sites.iter().map(signs).collect() })
    }

    /// Dimensions of one sequence's sketch.
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// The sites, in the order of the sketch.
    pub fn sites(&self) -> &[SiteShape] {
        &self.sites
    }

    /// The rank that is kept whole.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Position of the site with this engine id, if it takes part.
    pub fn position(&self, id: u32) -> Option<usize> {
        self.sites.iter().position(|site| site.id == id)
    }

    /// What the long sides of a site's gradient are projected by: in x k, and out x k.
    pub(crate) fn signs(&self, site: usize) -> [MatRef<'_>; 2] {
        self.signs[site].each_ref().map(Signs::view)
    }

    /// Adds a site's gradients to one sequence's sketch.
    ///
    /// # Panics
    /// If the slices do not have the site's shape: that is a programming error, not input.
    pub fn add(&self, sketch: &mut [f32], site: usize, gradient: SiteGradient<'_>) {
        let SiteGradient { scale, x, d, xa, db } = gradient;
        let tokens = xa.len() / self.rank;
        let project = |long: &[f32], signs: MatRef<'_>| {
            let mut out = Mat::zeros(tokens, self.width);
            Path::best().gemm(MatRef::new(long, tokens, signs.rows()), signs, &mut out.view_mut());
            out
        };
        let [signs_in, signs_out] = self.signs(site);
        let (inputs, outputs) = (project(x, signs_in), project(d, signs_out));
        let short = |values| MatRef::new(values, tokens, self.rank);
        let (inputs, outputs) = (inputs.view(), outputs.view());
        let projected = ProjectedGradient { scale, inputs, outputs, xa: short(xa), db: short(db) };
        self.add_all(&Cpu::new(1), sketch, site, projected, &[(0, 0..tokens)]);
    }

    /// Adds a site's gradients, whose tokens follow one another sequence by sequence, to several sketches: `seqs` says
    /// in ascending order which sketch of `sketches` each range of tokens belongs to. The bits of a sketch do not depend on the others.
    pub(crate) fn add_all(
        &self,
        cpu: &Cpu,
        sketches: &mut [f32],
        site: usize,
        gradient: ProjectedGradient<'_>,
        seqs: &[(usize, Range<usize>)],
    ) {
        let block = self.rank * self.width;
        let mut rest = sketches.chunks_exact_mut(self.dims).enumerate();
        let mut tasks = Vec::with_capacity(2 * seqs.len());
        for (seq, tokens) in seqs {
            let (_, sketch) =
                rest.find(|(at, _)| at == seq).expect("the caller has a sketch for each sequence, in order");
            let (a, b) = sketch[2 * block * site..2 * block * (site + 1)].split_at_mut(block);
            tasks.push((a, gradient.db.rows_at(tokens.clone()), gradient.inputs.rows_at(tokens.clone())));
            tasks.push((b, gradient.xa.rows_at(tokens.clone()), gradient.outputs.rows_at(tokens.clone())));
        }
        cpu.pool().each(tasks, |_, (out, left, right)| self.outer(cpu.path(), out, gradient.scale, left, right));
    }

    /// `out += scale * left^T right`, summed over tokens in order with fused multiply-add before scaling.
    fn outer(&self, path: Path, out: &mut [f32], scale: f32, left: MatRef<'_>, right: MatRef<'_>) {
        let mut sums = vec![0.0f32; out.len()];
        path.gemm_at(left, right, &mut MatMut::new(&mut sums, self.rank, self.width));
        out.iter_mut().zip(&sums).for_each(|(out, sum)| *out += scale * sum);
    }
}
