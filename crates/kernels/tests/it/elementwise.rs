use openledger_kernels::{AdamW, AdamWState, Path};
use proptest::prelude::*;

use super::{bits, numbers};

fn spread(seed: u64, count: usize, factor: f32) -> Vec<f32> {
    numbers(seed, count).into_iter().map(|x| x * factor).collect()
}

/// Everything that runs on rows, one result after the other.
fn all(path: Path, n: usize, seed: u64, factor: f32) -> Vec<f32> {
    let [x, w, d] = [0, 1, 2].map(|i| spread(seed ^ i, n, factor));
    let mut out = Vec::new();
    let mut take = |run: &dyn Fn(&mut [f32])| {
        let mut y = w.clone();
        run(&mut y);
        out.extend(y);
    };
    take(&|y| path.rms_norm(&x, &w, 1e-5, y));
    take(&|y| path.rms_norm_backward(&x, &w, 1e-5, &d, y));
    take(&|y| path.silu_mul(&x, &d, y));
    take(&|y| path.gelu_mul(&x, &d, y));
    take(&|y| {
        let mut up = vec![0.0; n];
        path.silu_mul_backward(&x, &d, y, &mut up);
        path.gelu_mul_backward(&up, &x, y, &mut up.clone());
        path.add(&up, y);
    });
    take(&|y| path.softcap(y, 3.0));
    take(&|y| path.softcap_backward(&x, 30.0, y));
    take(&|y| path.softmax_gradient(&x, 0.1, 0.3, y));
    take(&|y| path.scale(y, 0.3));
    take(&|y| path.cross_entropy_gradient(y, 0.7, n / 2, 0.5));
    take(&|y| y[0] = path.exp_sum(&mut x.clone(), path.max(&x)) + path.dot(&x, &d));
    if n.is_multiple_of(2) {
        take(&|y| path.rope(y, &x[..n / 2], &d[..n / 2]));
        take(&|y| path.rope_inverse(y, &x[..n / 2], &d[..n / 2]));
    }
    take(&|y| {
        let mut state = AdamWState::new(n);
        state.step(path, &AdamW { weight_decay: 0.01, ..AdamW::default() }, y, &d);
        state.step(path, &AdamW::default(), y, &x);
    });
    out
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn every_path_gives_the_same_bits((n, seed, factor) in (1usize..200, any::<u64>(), prop::sample::select(vec![0.01f32, 1.0, 30.0, 200.0]))) {
        let expected = bits(&all(Path::PORTABLE, n, seed, factor));
        for path in Path::available() {
            prop_assert_eq!(&bits(&all(path, n, seed, factor)), &expected, "{}", path.name());
        }
    }

    #[test]
    fn exponentials_are_within_two_units_of_the_exact_value(x in -87.3f32..0.0) {
        let mut y = [x];
        Path::best().exp_sum(&mut y, 0.0);
        let exact = f64::from(x).exp();
        prop_assert!((f64::from(y[0]) - exact).abs() <= 2.0 * f64::from(f32::EPSILON) * exact, "{x}: {} {exact}", y[0]);
    }
}

fn exp(x: f32) -> f32 {
    Path::best().exp_sum(&mut [x], 0.0)
}

#[test]
fn exponentials_at_the_edges() {
    assert_eq!(exp(0.0), 1.0);
    assert_eq!(exp(-100.0), 0.0);
    assert_eq!(exp(f32::NEG_INFINITY), 0.0);
    assert_eq!(exp(89.0), f32::INFINITY);
    assert_eq!(exp(f32::INFINITY), f32::INFINITY);
    assert!(exp(f32::NAN).is_nan());
    assert!((exp(88.7) / 3.326e38 - 1.0).abs() < 1e-2);
}

/// Central difference of a scalar function.
fn slope(f: impl Fn(f32) -> f64, x: f32) -> f64 {
    let h = 1e-2;
    (f(x + h) - f(x - h)) / (2.0 * f64::from(h))
}

#[test]
fn activation_gradients_are_their_slopes() {
    let path = Path::PORTABLE;
    type Forward = fn(Path, &[f32], &[f32], &mut [f32]);
    type Backward = fn(Path, &[f32], &[f32], &mut [f32], &mut [f32]);
    let kinds: [(Forward, Backward); 2] =
        [(Path::silu_mul, Path::silu_mul_backward), (Path::gelu_mul, Path::gelu_mul_backward)];
    for (forward, backward) in kinds {
        let at = |gate: f32, up: f32| {
            let mut out = [0.0];
            forward(path, &[gate], &[up], &mut out);
            f64::from(out[0])
        };
        for (gate, up) in [(-3.0, 0.7), (-0.4, -1.1), (0.3, 0.9), (2.5, 1.3)] {
            let (mut d_gate, mut d_up) = ([1.0], [0.0]);
            backward(path, &[gate], &[up], &mut d_gate, &mut d_up);
            assert!((f64::from(d_gate[0]) - slope(|g| at(g, up), gate)).abs() < 1e-3, "gate {gate} {up}");
            assert!((f64::from(d_up[0]) - slope(|u| at(gate, u), up)).abs() < 1e-3, "up {gate} {up}");
        }
    }
}

#[test]
fn adamw_moves_each_parameter_by_the_rate_at_first() {
    let mut params = [1.0f32, -2.0];
    AdamWState::new(2).step(Path::best(), &AdamW { lr: 0.1, ..AdamW::default() }, &mut params, &[3.0, -0.5]);
    assert!((params[0] - 0.9).abs() < 1e-6 && (params[1] + 1.9).abs() < 1e-6, "{params:?}");
}
