//! Projected gradients of sequences at one checkpoint.

use openledger_kernels::{MatMut, MatRef, Path};
use openledger_primitives::B256;

use super::policy::{InfluencePolicy, PolicyError};
use super::project::Signs;

/// Most signs kept in memory, at four bytes each.
const SIGNS_MAX: u64 = 1 << 26;

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
        let sides: u64 = sites.iter().map(|site| u64::from(site.d_in) + u64::from(site.d_out)).sum();
        let count = sides * u64::from(policy.projection_dim);
        if count > SIGNS_MAX {
            return Err(PolicyError::Signs { count, max: SIGNS_MAX });
        }
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

    /// Adds a site's gradients to one sequence's sketch.
    ///
    /// # Panics
    /// If the slices do not have the site's shape: that is a programming error, not input.
    pub fn add(&self, sketch: &mut [f32], site: usize, gradient: SiteGradient<'_>) {
        let shape = self.sites[site];
        let block = self.rank * self.width;
        let (a, b) = sketch[2 * block * site..2 * block * (site + 1)].split_at_mut(block);
        let [signs_in, signs_out] = &self.signs[site];
        let path = Path::best();
        let inputs = signs_in.project(path, gradient.x, shape.d_in as usize);
        self.outer(path, a, gradient.scale, gradient.db, &inputs);
        let outputs = signs_out.project(path, gradient.d, shape.d_out as usize);
        self.outer(path, b, gradient.scale, gradient.xa, &outputs);
    }

    /// `out += scale * left^T right`, summed over tokens in order with fused multiply-add before scaling.
    fn outer(&self, path: Path, out: &mut [f32], scale: f32, left: &[f32], right: &[f32]) {
        let tokens = left.len() / self.rank;
        let mut sums = vec![0.0f32; out.len()];
        let (left, right) = (MatRef::new(left, tokens, self.rank), MatRef::new(right, tokens, self.width));
        path.gemm_at(left, right, &mut MatMut::new(&mut sums, self.rank, self.width));
        out.iter_mut().zip(&sums).for_each(|(out, sum)| *out += scale * sum);
    }
}
