//! Choosing the next token: seeded, so that the same request gives the same answer.

use crate::rng::SplitMix64;

/// How to choose.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamplingParams {
    /// Divides the logits; zero means always the most likely token.
    pub temperature: f32,
    /// Only the most likely tokens whose probabilities add up to this; 1 keeps all.
    pub top_p: f32,
    /// Only that many most likely tokens; 0 keeps all.
    pub top_k: usize,
    /// Seed of the request.
    pub seed: u64,
}

impl SamplingParams {
    /// Always the most likely token.
    #[must_use]
    pub fn greedy() -> Self {
        Self { temperature: 0.0, top_p: 1.0, top_k: 0, seed: 0 }
    }
}

/// Why a row of logits gives no token.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SampleError {
    /// There are no logits.
    #[error("no logits to choose from")]
    Empty,
    /// A logit is not a number, so that there is no order.
    #[error("the logit of token {token} is {value}")]
    NotANumber {
        /// Its token.
        token: u32,
        /// The logit.
        value: f32,
    },
    /// A parameter is out of range.
    #[error("{name} is {value}; it must be {range}")]
    Parameter {
        /// Which one.
        name: &'static str,
        /// What was asked.
        value: f32,
        /// What is accepted.
        range: &'static str,
    },
}

/// The seeded choice of one request; the n-th call uses the n-th number of the seed's sequence.
#[derive(Clone, Debug)]
pub struct Sampler {
    params: SamplingParams,
    rng: SplitMix64,
}

impl Sampler {
    /// A sampler for one request.
    ///
    /// # Errors
    /// If the temperature is negative or not finite, or `top_p` not within (0, 1].
    pub fn new(params: SamplingParams) -> Result<Self, SampleError> {
        let SamplingParams { temperature, top_p, seed, .. } = params;
        if !(temperature.is_finite() && temperature >= 0.0) {
            return Err(SampleError::Parameter {
                name: "temperature",
                value: temperature,
                range: "finite and at least 0",
            });
        }
        if !(top_p > 0.0 && top_p <= 1.0) {
            return Err(SampleError::Parameter { name: "top_p", value: top_p, range: "above 0 and at most 1" });
        }
        Ok(Self { params, rng: SplitMix64::new(seed) })
    }

    /// The next token given one row of logits; equal logits rank by token id.
    ///
    /// # Errors
    /// If there are no logits, or one is not a number or is infinitely large.
    pub fn next(&mut self, logits: &[f32]) -> Result<u32, SampleError> {
        let best = greedy(logits)?;
        if self.params.temperature == 0.0 {
            return Ok(best);
        }
        let mut weights = self.weights(logits, logits[best as usize]);
        weights.sort_unstable_by(|(token_a, a), (token_b, b)| b.total_cmp(a).then(token_a.cmp(token_b)));
        let kept = keep(&mut weights, self.params.top_k, f64::from(self.params.top_p));
        Ok(pick(&weights, kept * self.rng.unit_f64()))
    }

    /// Unnormalised probabilities. What underflows to zero cannot be drawn and is left out.
    fn weights(&self, logits: &[f32], best: f32) -> Vec<(u32, f64)> {
        let temperature = f64::from(self.params.temperature);
        let weigh = |logit: f32| libm::exp((f64::from(logit) - f64::from(best)) / temperature);
        let all = (0u32..).zip(logits).map(|(token, logit)| (token, weigh(*logit)));
        all.filter(|(_, weight)| *weight > 0.0).collect()
    }
}

/// The most likely token; the first of equals.
///
/// # Errors
/// If there are no logits, or one is not a number or is infinitely large.
pub fn greedy(logits: &[f32]) -> Result<u32, SampleError> {
    let mut best: Option<(u32, f32)> = None;
    for (token, &value) in (0u32..).zip(logits) {
        if value.is_nan() || value == f32::INFINITY {
            return Err(SampleError::NotANumber { token, value });
        }
        if best.is_none_or(|(_, top)| value > top) {
            best = Some((token, value));
        }
    }
    best.map(|(token, _)| token).ok_or(SampleError::Empty)
}

/// Truncates the ranked weights to `top_k` and `top_p`; returns the sum of what stays.
fn keep(weights: &mut Vec<(u32, f64)>, top_k: usize, top_p: f64) -> f64 {
    if top_k > 0 {
        weights.truncate(top_k);
    }
    let total: f64 = weights.iter().map(|(_, weight)| weight).sum();
    let mut sum = 0.0;
    let reached = weights.iter().position(|(_, weight)| {
        sum += weight;
        sum >= top_p * total
    });
    if top_p < 1.0 {
        weights.truncate(reached.map_or(weights.len(), |last| last + 1));
        return sum;
    }
    total
}

fn pick(weights: &[(u32, f64)], mut point: f64) -> u32 {
    for (token, weight) in weights {
        if point < *weight {
            return *token;
        }
        point -= weight;
    }
    weights.last().map_or(0, |(token, _)| *token)
}
