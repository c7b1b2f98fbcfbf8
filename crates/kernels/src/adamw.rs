//! AdamW (Loshchilov and Hutter, 2019) in f32, element by element.

use crate::path::{Path, each_path};

/// Settings of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Learning rate of this step.
    pub lr: f32,
    /// Decay of the mean gradient.
    pub beta1: f32,
    /// Decay of the mean squared gradient.
    pub beta2: f32,
    /// Added to the root.
    pub eps: f32,
    /// Decoupled decay of the parameters, times `lr`.
    pub weight_decay: f32,
}

impl Default for AdamW {
    /// PyTorch's defaults without weight decay.
    fn default() -> Self {
        Self { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 }
    }
}

/// Running means, and how many steps they have seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AdamWState {
    /// Steps taken.
    pub steps: u32,
    /// Mean gradient.
    pub m: Vec<f32>,
    /// Mean squared gradient.
    pub v: Vec<f32>,
}

impl AdamWState {
    /// No steps taken on that many parameters.
    #[must_use]
    pub fn new(params: usize) -> Self {
        Self { steps: 0, m: vec![0.0; params], v: vec![0.0; params] }
    }

    /// Changes `params` by one step against `grads`.
    ///
    /// Per element: `p -= lr wd p`; `m = b1 m + (1 - b1) g`; `v = b2 v + (1 - b2) g^2`;
    /// `p -= lr / (1 - b1^t) * m / (sqrt(v / (1 - b2^t)) + eps)`. The corrections are computed in f64.
    ///
    /// # Panics
    /// If the three lengths differ.
    pub fn step(&mut self, path: Path, settings: &AdamW, params: &mut [f32], grads: &[f32]) {
        let n = params.len();
        assert!(
            grads.len() == n && self.m.len() == n,
            "{n} parameters, {} gradients, {} means",
            grads.len(),
            self.m.len()
        );
        self.steps += 1;
        let AdamW { lr, beta1, beta2, eps, weight_decay } = *settings;
        let correction = |beta: f32| 1.0 - libm::pow(f64::from(beta), f64::from(self.steps));
        let rate = (f64::from(lr) / correction(beta1)) as f32;
        let inverse = (1.0 / correction(beta2)) as f32;
        let keep = 1.0 - lr * weight_decay;
        let rates = Rates { beta1, beta2, eps, keep, rate, inverse };
        path.adamw(rates, params, grads, &mut self.m, &mut self.v);
    }
}

/// Factors of one step.
#[derive(Clone, Copy)]
struct Rates {
    beta1: f32,
    beta2: f32,
    eps: f32,
    keep: f32,
    rate: f32,
    inverse: f32,
}

each_path! {
    fn adamw(rates: Rates, params: &mut [f32], grads: &[f32], m: &mut [f32], v: &mut [f32]) {
        let Rates { beta1, beta2, eps, keep, rate, inverse } = rates;
        let n = params.len();
        let (grads, m, v) = (&grads[..n], &mut m[..n], &mut v[..n]);
        for i in 0..n {
            let g = grads[i];
            m[i] = beta1.mul_add(m[i], (1.0 - beta1) * g);
            v[i] = beta2.mul_add(v[i], (1.0 - beta2) * g * g);
            params[i] = params[i] * keep - rate * m[i] / ((v[i] * inverse).sqrt() + eps);
        }
    }
}
