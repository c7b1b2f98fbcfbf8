//! The gradient of an adapter.

use openledger_kernels::{MatMut, MatRef, Path};

use super::GradSink;
use crate::lora::LoraAdapter;
use crate::model::SiteInfo;

/// Gradient by an adapter's parameters, in their order, summed over all sequences that it has seen.
///
/// `G_A += s dbᵀ x` and `G_B += s dᵀ xa`, one position after the other.
#[derive(Clone, Debug)]
pub struct LoraGrad {
    values: Vec<f32>,
    rank: usize,
    starts: Vec<Option<usize>>,
    path: Path,
}

impl LoraGrad {
    /// Zero.
    #[must_use]
    pub fn new(adapter: &LoraAdapter) -> Self {
        let values = vec![0.0; adapter.params().len()];
        Self { values, rank: adapter.config().rank, starts: adapter.starts(), path: Path::best() }
    }

    /// The gradient, flat as [`LoraAdapter::params`].
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The gradient, to be changed (clipped, say).
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// Becomes zero again.
    pub fn clear(&mut self) {
        self.values.fill(0.0);
    }
}

impl GradSink for LoraGrad {
    fn site(
        &mut self,
        _seq: usize,
        site: &SiteInfo,
        lora_scale: f32,
        x: MatRef<'_>,
        d: MatRef<'_>,
        xa: MatRef<'_>,
        db: MatRef<'_>,
    ) {
        let Some(start) = self.starts[site.id.index()] else { return };
        let (rank, path) = (self.rank, self.path);
        let values = &mut self.values[start..start + rank * (site.d_in + site.d_out)];
        let (a, b) = values.split_at_mut(rank * site.d_in);
        let scaled = |of: MatRef<'_>| {
            let mut of = of.to_mat();
            path.scale(of.data_mut(), lora_scale);
            of
        };
        path.gemm_at(scaled(db).view(), x, &mut MatMut::new(a, rank, site.d_in));
        path.gemm_at(d, scaled(xa).view(), &mut MatMut::new(b, site.d_out, rank));
    }
}
