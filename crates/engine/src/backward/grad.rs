//! The gradient of an adapter.

use openledger_kernels::{Cpu, MatMut, MatRef};

use super::{GradSink, SiteGrad};
use crate::lora::LoraAdapter;

/// Gradient by an adapter's parameters, in their order, summed over all sequences that it has seen.
///
/// `G_A += s dbᵀ x` and `G_B += s dᵀ xa`, one position after the other.
#[derive(Clone, Debug)]
pub struct LoraGrad {
    values: Vec<f32>,
    rank: usize,
    starts: Vec<Option<usize>>,
}

impl LoraGrad {
    /// Zero.
    #[must_use]
    pub fn new(adapter: &LoraAdapter) -> Self {
        let values = vec![0.0; adapter.params().len()];
        Self { values, rank: adapter.config().rank, starts: adapter.starts() }
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
    fn site(&mut self, cpu: &Cpu, grad: &SiteGrad<'_>) {
        let site = grad.site;
        let Some(start) = self.starts[site.id.index()] else { return };
        let rank = self.rank;
        let values = &mut self.values[start..start + rank * (site.d_in + site.d_out)];
        let (a, b) = values.split_at_mut(rank * site.d_in);
        let scaled = |of: MatRef<'_>| {
            let mut of = of.to_mat();
            cpu.path().scale(of.data_mut(), grad.lora_scale);
            of
        };
        cpu.gemm_at(scaled(grad.db).view(), grad.x, &mut MatMut::new(a, rank, site.d_in));
        cpu.gemm_at(grad.d, scaled(grad.xa).view(), &mut MatMut::new(b, site.d_out, rank));
    }
}
