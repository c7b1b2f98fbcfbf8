//! From f32 sketches to integer rows.

use super::policy::Normalise;

/// A row's scale is a fraction of the largest row's in this many bits.
pub(crate) const SCALE_BITS: u32 = 24;

/// Brings each checkpoint's part of a row to unit length; a part of zeros stays.
pub(crate) fn normalise(mode: Normalise, parts: &mut [&mut [f32]]) {
    if mode == Normalise::PerCheckpoint {
        parts.iter_mut().for_each(|part| unit_length(part));
    }
}

fn unit_length(part: &mut [f32]) {
    let length = part.iter().map(|&value| f64::from(value) * f64::from(value)).sum::<f64>().sqrt();
    if length > 0.0 {
        part.iter_mut().for_each(|value| *value = (f64::from(*value) / length) as f32);
    }
}

/// Largest magnitude over the parts of a row.
pub(crate) fn largest(parts: &[&[f32]]) -> f32 {
    parts.iter().flat_map(|part| part.iter()).fold(0.0, |most, value| value.abs().max(most))
}

/// Scales by `levels / amax` and rounds, half to even.
pub(crate) fn quantise(parts: &[&[f32]], amax: f32, bits: u8, out: &mut Vec<i8>) {
    let levels = f64::from((1i32 << (bits - 1)) - 1);
    let factor = if amax > 0.0 { levels / f64::from(amax) } else { 0.0 };
    // The product is at most `levels` but for rounding of the factor, which rounding to an integer absorbs.
    let step = |&value: &f32| (f64::from(value) * factor).round_ties_even() as i8;
    parts.iter().for_each(|part| out.extend(part.iter().map(step)));
}

/// A row's scale relative to the largest of all rows, rounded half to even.
pub(crate) fn row_scale(amax: f32, largest: f32) -> u32 {
    if largest <= 0.0 {
        return 0;
    }
    (f64::from(amax) / f64::from(largest) * f64::from(1u32 << SCALE_BITS)).round_ties_even() as u32
}

/// Exact dot product of two rows.
pub(crate) fn dot(left: &[i8], right: &[i8]) -> i64 {
    // 2^16 products of at most 2^14 stay within an i32.
    let chunks = left.chunks(1 << 16).zip(right.chunks(1 << 16));
    chunks.map(|(left, right)| i64::from(dot_chunk(left, right))).sum()
}

/// Wrapping operations, which cannot wrap here, keep the loop vectorised in every build profile.
fn dot_chunk(left: &[i8], right: &[i8]) -> i32 {
    let pairs = left.iter().zip(right);
    pairs.fold(0i32, |sum, (&a, &b)| sum.wrapping_add(i32::from(i16::from(a)).wrapping_mul(i32::from(i16::from(b)))))
}
