//! Norms, activations, softmax: one written order for every sum, one polynomial for every exponential.
//!
//! The functions are plain loops that the compiler vectorises; `each_path` compiles the same loop once for each set
//! of instructions. IEEE arithmetic and explicit fused multiply-adds make the bits the same.

use crate::path::{Path, each_path};

/// Independent partial sums of every reduction: element i goes to sum i mod 8.
const LANES: usize = 8;

/// `e^x` to within two units in the last place; 0 below -87.33, infinite above 88.72.
///
/// `x = n ln 2 + r` with `|r| <= ln 2 / 2`, Taylor's polynomial of degree 7 in r, then the exponent is set.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-LN2_LOW, n.mul_add(-LN2_HIGH, x));
    let p = (1.0f32 / 5040.0).mul_add(r, 1.0 / 720.0);
    let p = p.mul_add(r, 1.0 / 120.0);
    let p = p.mul_add(r, 1.0 / 24.0);
    let p = p.mul_add(r, 1.0 / 6.0);
    let p = p.mul_add(r, 0.5);
    let p = p.mul_add(r, 1.0);
    let p = p.mul_add(r, 1.0);
    // In two halves, because 2^128 itself is not an f32.
    let exponent = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let half = exponent >> 1;
    let power = |n: i32| f32::from_bits((n.wrapping_add(127) as u32) << 23);
    let value = p * power(half) * power(exponent.wrapping_sub(half));
    let value = if x > 88.72 { f32::INFINITY } else { value };
    let value = if x < -87.33 { 0.0 } else { value };
    if x.is_nan() { f32::NAN } else { value }
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// `tanh x = 2 sigmoid(2x) - 1`.
#[inline(always)]
fn tanh(x: f32) -> f32 {
    2.0f32.mul_add(sigmoid(2.0 * x), -1.0)
}

const GELU_A: f32 = 0.797_884_6;
const GELU_B: f32 = 0.044_715;

#[inline(always)]
fn gelu(x: f32) -> f32 {
    let inner = GELU_A * (GELU_B * x * x).mul_add(x, x);
    0.5 * x * (1.0 + tanh(inner))
}

/// Derivative of [`gelu`].
#[inline(always)]
fn gelu_slope(x: f32) -> f32 {
    let t = tanh(GELU_A * (GELU_B * x * x).mul_add(x, x));
    let inner_slope = GELU_A * (3.0 * GELU_B * x).mul_add(x, 1.0);
    0.5f32.mul_add(1.0 + t, 0.5 * x * (1.0 - t * t) * inner_slope)
}

#[inline(always)]
fn add_lanes(l: [f32; LANES]) -> f32 {
    ((l[0] + l[4]) + (l[2] + l[6])) + ((l[1] + l[5]) + (l[3] + l[7]))
}

/// Sum of `term(i, acc)` over `0..len` in eight interleaved sums.
#[inline(always)]
fn reduce(len: usize, term: impl Fn(usize, f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let whole = len - len % LANES;
    for start in (0..whole).step_by(LANES) {
        for (lane, sum) in lanes.iter_mut().enumerate() {
            *sum = term(start + lane, *sum);
        }
    }
    for i in whole..len {
        lanes[i % LANES] = term(i, lanes[i % LANES]);
    }
    add_lanes(lanes)
}

#[inline(always)]
fn inverse_rms(x: &[f32], eps: f32) -> f32 {
    let squares = reduce(x.len(), |i, sum| x[i].mul_add(x[i], sum));
    1.0 / (squares / x.len() as f32 + eps).sqrt()
}

each_path! {
    /// `out = x / rms(x) * weight`, with `eps` added to the mean square.
    pub fn rms_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
        let n = x.len();
        let (weight, out) = (&weight[..n], &mut out[..n]);
        let scale = inverse_rms(x, eps);
        for i in 0..n {
            out[i] = x[i] * scale * weight[i];
        }
    }
}

each_path! {
    /// Adds to `dx` the gradient of [`rms_norm`](Self::rms_norm) given that of its output.
    pub fn rms_norm_backward(x: &[f32], weight: &[f32], eps: f32, dy: &[f32], dx: &mut [f32]) {
        let n = x.len();
        let (weight, dy, dx) = (&weight[..n], &dy[..n], &mut dx[..n]);
        let scale = inverse_rms(x, eps);
        let along = reduce(n, |i, sum| (dy[i] * weight[i]).mul_add(x[i], sum));
        let pull = along * scale * scale / n as f32;
        for i in 0..n {
            dx[i] += scale * (dy[i] * weight[i] - pull * x[i]);
        }
    }
}

each_path! {
    /// `out = silu(gate) * up`.
    pub fn silu_mul(gate: &[f32], up: &[f32], out: &mut [f32]) {
        let n = gate.len();
        let (up, out) = (&up[..n], &mut out[..n]);
        for i in 0..n {
            out[i] = gate[i] / (1.0 + exp(-gate[i])) * up[i];
        }
    }
}

each_path! {
    /// Turns the gradient of [`silu_mul`](Self::silu_mul)'s output in `d_gate` into that of `gate`, and writes that of `up`.
    pub fn silu_mul_backward(gate: &[f32], up: &[f32], d_gate: &mut [f32], d_up: &mut [f32]) {
        let n = gate.len();
        let (up, d_gate, d_up) = (&up[..n], &mut d_gate[..n], &mut d_up[..n]);
        for i in 0..n {
            let (g, d) = (gate[i], d_gate[i]);
            let s = sigmoid(g);
            d_up[i] = d * g * s;
            d_gate[i] = d * up[i] * s * g.mul_add(1.0 - s, 1.0);
        }
    }
}

each_path! {
    /// `out = gelu(gate) * up`, in GELU's hyperbolic-tangent form.
    pub fn gelu_mul(gate: &[f32], up: &[f32], out: &mut [f32]) {
        let n = gate.len();
        let (up, out) = (&up[..n], &mut out[..n]);
        for i in 0..n {
            out[i] = gelu(gate[i]) * up[i];
        }
    }
}

each_path! {
    /// As [`silu_mul_backward`](Self::silu_mul_backward), for GELU.
    pub fn gelu_mul_backward(gate: &[f32], up: &[f32], d_gate: &mut [f32], d_up: &mut [f32]) {
        let n = gate.len();
        let (up, d_gate, d_up) = (&up[..n], &mut d_gate[..n], &mut d_up[..n]);
        for i in 0..n {
            let d = d_gate[i];
            d_up[i] = d * gelu(gate[i]);
            d_gate[i] = d * up[i] * gelu_slope(gate[i]);
        }
    }
}

each_path! {
    /// `x = cap * tanh(x / cap)`.
    pub fn softcap(x: &mut [f32], cap: f32) {
        for value in x {
            *value = cap * tanh(*value / cap);
        }
    }
}

each_path! {
    /// Multiplies the gradient `d` of a soft-capped value `y` by the cap's slope `1 - (y / cap)^2`.
    pub fn softcap_backward(y: &[f32], cap: f32, d: &mut [f32]) {
        let d = &mut d[..y.len()];
        for i in 0..y.len() {
            let t = y[i] / cap;
            d[i] *= 1.0 - t * t;
        }
    }
}

each_path! {
    /// The largest element; negative infinity if there is none.
    #[must_use]
    pub fn max(x: &[f32]) -> f32 {
        let larger = |a: f32, b: f32| if a > b { a } else { b };
        let mut lanes = [f32::NEG_INFINITY; LANES];
        let (whole, rest) = x.split_at(x.len() - x.len() % LANES);
        for part in whole.chunks_exact(LANES) {
            for (lane, value) in lanes.iter_mut().zip(part) {
                *lane = larger(*value, *lane);
            }
        }
        let top = lanes.into_iter().fold(f32::NEG_INFINITY, |a, b| larger(b, a));
        rest.iter().fold(top, |a, b| larger(*b, a))
    }
}

each_path! {
    /// Replaces x by `e^(x - shift)` and returns the sum, in eight interleaved sums.
    pub fn exp_sum(x: &mut [f32], shift: f32) -> f32 {
        for value in x.iter_mut() {
            *value = exp(*value - shift);
        }
        reduce(x.len(), |i, sum| sum + x[i])
    }
}

each_path! {
    /// Inner product, in eight interleaved sums.
    #[must_use]
    pub fn dot(x: &[f32], y: &[f32]) -> f32 {
        let y = &y[..x.len()];
        reduce(x.len(), |i, sum| x[i].mul_add(y[i], sum))
    }
}

each_path! {
    /// `d = p * (d - mean) * scale`: the gradient of a softmax by scores that were scaled, with `mean` the dot product of
    /// probabilities and gradient.
    pub fn softmax_gradient(p: &[f32], mean: f32, scale: f32, d: &mut [f32]) {
        let d = &mut d[..p.len()];
        for i in 0..p.len() {
            d[i] = p[i] * (d[i] - mean) * scale;
        }
    }
}

each_path! {
    /// `y += x`.
    pub fn add(x: &[f32], y: &mut [f32]) {
        let y = &mut y[..x.len()];
        for i in 0..x.len() {
            y[i] += x[i];
        }
    }
}

each_path! {
    /// `x *= factor`.
    pub fn scale(x: &mut [f32], factor: f32) {
        for value in x {
            *value *= factor;
        }
    }
}

each_path! {
    /// `x = (x * inv_sum - [i = target]) * scale`: the gradient of a cross-entropy by its logits, from their exponentials.
    pub fn cross_entropy_gradient(x: &mut [f32], inv_sum: f32, target: usize, scale: f32) {
        for value in x.iter_mut() {
            *value = *value * inv_sum * scale;
        }
        x[target] -= scale;
    }
}
