use openledger_kernels::{Cpu, MatMut, MatRef, Path};
use proptest::prelude::*;

use super::{bits, numbers};

/// The product straight from its definition.
fn defined(a: impl Fn(usize, usize) -> f32, b: &[f32], (m, n, k): (usize, usize, usize), c: &[f32]) -> Vec<f32> {
    let mut c = c.to_vec();
    for i in 0..m {
        for j in 0..n {
            c[i * n + j] = (0..k).fold(c[i * n + j], |acc, p| a(i, p).mul_add(b[p * n + j], acc));
        }
    }
    c
}

fn products<'a>(
    right: &'a [Vec<f32>],
    to: &'a mut [Vec<f32>],
    widths: &[usize],
    (m, k): (usize, usize),
) -> Vec<(MatRef<'a>, MatMut<'a>)> {
    let sides = right.iter().zip(to).zip(widths);
    sides.map(|((b, c), n)| (MatRef::new(b, k, *n), MatMut::new(c, m, *n))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn products_have_the_defined_bits_on_every_path((m, n, k, threads, seed) in (1usize..60, 1usize..60, 0usize..600, 1usize..4, any::<u64>())) {
        let (a, b, c) = (numbers(seed, m * k), numbers(seed ^ 1, k * n), numbers(seed ^ 2, m * n));
        let expected = bits(&defined(|i, p| a[i * k + p], &b, (m, n, k), &c));
        for path in Path::available() {
            let mut got = c.clone();
            let cpu = Cpu::with_path(threads, path);
            cpu.gemm(MatRef::new(&a, m, k), MatRef::new(&b, k, n), &mut MatMut::new(&mut got, m, n));
            prop_assert_eq!(&bits(&got), &expected, "{}", path.name());
        }
    }

    #[test]
    fn products_side_by_side_have_the_bits_of_each_alone((m, widths, k, seed) in (1usize..60, prop::collection::vec(0usize..40, 0..5), 0usize..600, any::<u64>())) {
        let a = numbers(seed, m * k);
        let a = MatRef::new(&a, m, k);
        let right = (1..).zip(&widths).map(|(i, n)| numbers(seed ^ i, k * n)).collect::<Vec<_>>();
        let start = (9..).zip(&widths).map(|(i, n)| numbers(seed ^ i, m * n)).collect::<Vec<_>>();
        for path in Path::available() {
            let (mut alone, mut beside) = (start.clone(), start.clone());
            products(&right, &mut alone, &widths, (m, k)).iter_mut().for_each(|(b, c)| path.gemm(a, *b, c));
            path.gemm_beside(a, &mut products(&right, &mut beside, &widths, (m, k)));
            prop_assert_eq!(alone.iter().map(|c| bits(c)).collect::<Vec<_>>(), beside.iter().map(|c| bits(c)).collect::<Vec<_>>(), "{}", path.name());
        }
    }

    #[test]
    fn products_with_a_transposed_left_side_have_the_defined_bits((m, n, k, threads, seed) in (1usize..200, 1usize..200, 0usize..300, 1usize..4, any::<u64>())) {
        let (a, b, c) = (numbers(seed, m * k), numbers(seed ^ 1, k * n), numbers(seed ^ 2, m * n));
        let expected = bits(&defined(|i, p| a[p * m + i], &b, (m, n, k), &c));
        for path in Path::available() {
            let mut got = c.clone();
            path.gemm_at(MatRef::new(&a, k, m), MatRef::new(&b, k, n), &mut MatMut::new(&mut got, m, n));
            prop_assert_eq!(&bits(&got), &expected, "{}", path.name());
            let mut got = c.clone();
            let cpu = Cpu::with_path(threads, path);
            cpu.gemm_at(MatRef::new(&a, k, m), MatRef::new(&b, k, n), &mut MatMut::new(&mut got, m, n));
            prop_assert_eq!(&bits(&got), &expected, "{} on {} threads", path.name(), threads);
        }
    }
}

#[test]
#[should_panic(expected = "inner dimension")]
fn shapes_that_do_not_fit_are_refused() {
    let (a, b, mut c) = (numbers(1, 6), numbers(2, 8), numbers(3, 4));
    Path::best().gemm(MatRef::new(&a, 2, 3), MatRef::new(&b, 4, 2), &mut MatMut::new(&mut c, 2, 2));
}

#[test]
fn a_transpose_swaps_rows_and_columns() {
    let a = numbers(1, 35 * 50);
    let a = MatRef::new(&a, 35, 50);
    let t = a.transposed();
    assert!((0..35).all(|i| (0..50).all(|j| t.view().row(j)[i] == a.row(i)[j])));
}
