//! Gradient clipping, in one written order.

/// Scales `gradient` down to length `max_norm` (0: no limit) and returns the length that it had.
pub(crate) fn clip(gradient: &mut [f32], max_norm: f64) -> f64 {
    let square: f64 = gradient.iter().map(|&g| f64::from(g) * f64::from(g)).sum();
    let norm = libm::sqrt(square);
    if max_norm > 0.0 && norm > max_norm {
        let factor = (max_norm / norm) as f32;
        gradient.iter_mut().for_each(|g| *g *= factor);
    }
    norm
}

#[cfg(test)]
mod tests {
    use super::clip;

    #[test]
    fn clipping_keeps_direction_and_bounds_length() {
        let mut gradient = [3.0, 4.0];
        assert_eq!(clip(&mut gradient, 1.0), 5.0);
        assert!((gradient[0] - 0.6).abs() < 1e-6 && (gradient[1] - 0.8).abs() < 1e-6);
        assert_eq!(clip(&mut gradient, 0.0), clip(&mut gradient.clone(), 10.0));
    }
}
