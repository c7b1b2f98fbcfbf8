//! Rotary frequencies, and the cosines and sines of a batch's positions.

use super::{ModelConfig, RopeScaling};

/// Angle per position of each pair of a head's elements.
#[derive(Debug)]
pub(crate) struct Frequencies(Vec<f64>);

impl Frequencies {
    pub(crate) fn of(config: &ModelConfig) -> Self {
        let dim = config.head_dim as f64;
        let plain = (0..config.head_dim / 2).map(|i| libm::pow(config.rope_theta, -2.0 * i as f64 / dim));
        Self(plain.map(|frequency| stretch(frequency, config.rope_scaling)).collect())
    }
}

fn stretch(frequency: f64, scaling: Option<RopeScaling>) -> f64 {
    match scaling {
        None => frequency,
        Some(RopeScaling::Linear { factor }) => frequency / factor,
        Some(RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context }) => {
            let turns = original_context as f64 * frequency / std::f64::consts::TAU;
            let keep = ((turns - low_freq_factor) / (high_freq_factor - low_freq_factor)).clamp(0.0, 1.0);
            frequency * (keep + (1.0 - keep) / factor)
        }
    }
}

/// Cosines and sines, one row of `head_dim / 2` a position.
#[derive(Debug, Default)]
pub(crate) struct RopeRows {
    half: usize,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl RopeRows {
    /// Computes the rows of these positions; angles in f64, sine and cosine from `libm`, the same everywhere.
    pub(crate) fn fill(&mut self, frequencies: &Frequencies, positions: impl Iterator<Item = usize>) {
        self.half = frequencies.0.len();
        self.cos.clear();
        self.sin.clear();
        for position in positions {
            for frequency in &frequencies.0 {
                let (sin, cos) = libm::sincos(position as f64 * frequency);
                self.cos.push(cos as f32);
                self.sin.push(sin as f32);
            }
        }
    }

    /// Cosines and sines of a row.
    pub(crate) fn row(&self, row: usize) -> (&[f32], &[f32]) {
        let at = row * self.half..(row + 1) * self.half;
        (&self.cos[at.clone()], &self.sin[at])
    }
}
