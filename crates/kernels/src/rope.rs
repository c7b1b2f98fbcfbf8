//! Rotary positions: pairs (i, i + d/2) of each head turn by position times frequency i.

use crate::path::{Path, each_path};

each_path! {
    /// Rotates each head of `x` (heads x 2 * cos.len()) by the angles whose cosines and sines are given.
    pub fn rope(x: &mut [f32], cos: &[f32], sin: &[f32]) {
        let half = cos.len();
        let sin = &sin[..half];
        for head in x.chunks_exact_mut(2 * half) {
            let (low, high) = head.split_at_mut(half);
            for i in 0..half {
                let (a, b) = (low[i], high[i]);
                low[i] = a.mul_add(cos[i], -(b * sin[i]));
                high[i] = b.mul_add(cos[i], a * sin[i]);
            }
        }
    }
}

each_path! {
    /// The inverse of [`rope`](Self::rope), which is also its gradient.
    pub fn rope_inverse(x: &mut [f32], cos: &[f32], sin: &[f32]) {
        let half = cos.len();
        let sin = &sin[..half];
        for head in x.chunks_exact_mut(2 * half) {
            let (low, high) = head.split_at_mut(half);
            for i in 0..half {
                let (a, b) = (low[i], high[i]);
                low[i] = a.mul_add(cos[i], b * sin[i]);
                high[i] = b.mul_add(cos[i], -(a * sin[i]));
            }
        }
    }
}
