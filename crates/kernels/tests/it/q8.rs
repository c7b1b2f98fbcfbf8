use openledger_kernels::{
    BLOCK, Cpu, Finish, Mat, MatMut, MatRef, Path, Q8Matrix, Q8Product, QuantisedRows, Start, Tail,
};
use proptest::prelude::*;

use super::{bits, numbers};

/// `start + x W^T` straight from its definition, from a matrix's public integers and scales.
fn defined(weights: &Q8Matrix, x: &[f32], start: &[f32]) -> Vec<f32> {
    let (out, cols) = (weights.rows(), weights.cols());
    let value = |(i, start): (usize, &f32)| {
        let x = quantised(&x[i / out * cols..(i / out + 1) * cols]);
        weights.row_blocks(i % out).zip(&x).fold(*start, |acc, ((w_scale, w), (x_scale, x))| {
            let dot: i32 = w.iter().zip(x).map(|(w, x)| i32::from(*w) * x).sum();
            (dot as f32).mul_add(w_scale * x_scale, acc)
        })
    };
    start.iter().enumerate().map(value).collect()
}

/// The transpose straight from its definition: what the integers stand for, quantised along the outputs.
fn defined_transpose(weights: &Q8Matrix, path: Path) -> Q8Matrix {
    let (out, cols) = (weights.rows(), weights.cols());
    let mut row = vec![0.0; cols];
    let mut values = vec![0.0; cols * out];
    for output in 0..out {
        weights.dequantise_row(output, &mut row);
        row.iter().enumerate().for_each(|(input, value)| values[input * out + output] = *value);
    }
    Q8Matrix::quantise(&values, cols, out, path).unwrap()
}

fn quantised(x: &[f32]) -> Vec<(f32, Vec<i32>)> {
    let block = |values: &[f32]| {
        let amax = values.iter().fold(0.0f32, |amax, v| amax.max(v.abs()));
        let mut q: Vec<i32> = values.iter().map(|v| (v * (127.0 / amax)).round_ties_even() as i32).collect();
        q.resize(BLOCK, 0);
        if amax == 0.0 { (0.0, vec![0; BLOCK]) } else { (amax / 127.0, q) }
    };
    x.chunks(BLOCK).map(block).collect()
}

fn product(
    path: Path,
    threads: usize,
    weights: &[f32],
    (out, cols): (usize, usize),
    x: &[f32],
    rows: usize,
) -> Vec<f32> {
    let cpu = Cpu::with_path(threads, path);
    let weights = Q8Matrix::quantise(weights, out, cols, path).unwrap();
    let mut x_q = QuantisedRows::default();
    cpu.quantise(MatRef::new(x, rows, cols), &mut x_q);
    let mut y = Mat::zeros(rows, out);
    let product = Q8Product { weights: &weights, out: y.view_mut(), finish: Finish::default() };
    cpu.q8_matmul(&x_q, &mut [product], Start::Zero);
    y.data().to_vec()
}

/// The gradient of the input, added to what [`start`] holds.
fn backward(
    path: Path,
    threads: usize,
    weights: &[f32],
    (out, cols): (usize, usize),
    dy: &[f32],
    rows: usize,
) -> Vec<f32> {
    let cpu = Cpu::with_path(threads, path);
    let weights = Q8Matrix::quantise(weights, out, cols, path).unwrap().transposed(&cpu);
    let mut dy_q = QuantisedRows::default();
    cpu.quantise(MatRef::new(dy, rows, out), &mut dy_q);
    let mut dx = start(rows * cols);
    let into = MatMut::new(&mut dx, rows, cols);
    let product = Q8Product { weights: &weights, out: into, finish: Finish::default() };
    cpu.q8_matmul(&dy_q, &mut [product], Start::Stored);
    dx
}

fn start(count: usize) -> Vec<f32> {
    numbers(9, count)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn products_have_the_defined_bits_on_every_path((out, cols, rows, threads, seed) in (1usize..70, 1usize..150, 1usize..20, 1usize..4, any::<u64>())) {
        let (weights, x) = (numbers(seed, out * cols), numbers(seed ^ 1, rows * cols));
        let matrix = Q8Matrix::quantise(&weights, out, cols, Path::PORTABLE).unwrap();
        let expected = bits(&defined(&matrix, &x, &vec![0.0; rows * out]));
        for path in Path::available() {
            let got = product(path, threads, &weights, (out, cols), &x, rows);
            prop_assert_eq!(&bits(&got), &expected, "{} {}x{} {} rows", path.name(), out, cols, rows);
        }
    }

    #[test]
    fn backward_products_have_the_defined_bits_on_every_path((out, cols, rows, threads, seed) in (1usize..150, 1usize..80, 1usize..20, 1usize..4, any::<u64>())) {
        let (weights, dy) = (numbers(seed, out * cols), numbers(seed ^ 1, rows * out));
        let matrix = Q8Matrix::quantise(&weights, out, cols, Path::PORTABLE).unwrap();
        let transposed = defined_transpose(&matrix, Path::PORTABLE);
        let expected = bits(&defined(&transposed, &dy, &start(rows * cols)));
        for path in Path::available() {
            let got = backward(path, threads, &weights, (out, cols), &dy, rows);
            prop_assert_eq!(&bits(&got), &expected, "{} {}x{} {} rows", path.name(), out, cols, rows);
        }
    }

    #[test]
    fn a_transpose_has_the_defined_integers_and_scales_on_every_path((out, cols, threads, seed) in (1usize..100, 1usize..100, 1usize..4, any::<u64>())) {
        let weights = numbers(seed, out * cols);
        for path in Path::available() {
            let matrix = Q8Matrix::quantise(&weights, out, cols, path).unwrap();
            let (got, expected) = (matrix.transposed(&Cpu::with_path(threads, path)), defined_transpose(&matrix, path));
            prop_assert_eq!((got.rows(), got.cols()), (cols, out));
            for row in 0..cols {
                prop_assert!(got.row_blocks(row).eq(expected.row_blocks(row)), "{} {}x{} row {}", path.name(), out, cols, row);
            }
        }
    }

    #[test]
    fn what_a_product_finishes_with_has_the_bits_that_it_has_afterwards((out, cols, rows, rank, threads, seed) in (1usize..150, 1usize..80, 2usize..300, 0usize..12, 1usize..4, any::<u64>())) {
        let (weights, x) = (numbers(seed, out * cols), numbers(seed ^ 1, rows * cols));
        let (bias, left, right) = (numbers(seed ^ 2, out), numbers(seed ^ 3, rows * rank), numbers(seed ^ 4, rank * out));
        // Two tails with rows between them that have none.
        let (cut, gap) = (rows / 2, (rows / 2 + 1).min(rows));
        let (left, right) = (MatRef::new(&left, rows, rank), MatRef::new(&right, rank, out));
        let tail = |rows: std::ops::Range<usize>| Tail { left: left.rows_at(rows.clone()), rows, right };
        let finish = Finish { bias: Some(&bias), tails: vec![tail(0..cut), tail(gap..rows)] };
        let mut expected = product(Path::PORTABLE, 1, &weights, (out, cols), &x, rows);
        for row in expected.chunks_exact_mut(out) {
            row.iter_mut().zip(&bias).for_each(|(y, bias)| *y += bias);
        }
        for rows in [0..cut, gap..rows] {
            let y = &mut expected[rows.start * out..rows.end * out];
            Path::PORTABLE.gemm(left.rows_at(rows.clone()), right, &mut MatMut::new(y, rows.len(), out));
        }
        for path in Path::available() {
            let cpu = Cpu::with_path(threads, path);
            let weights = Q8Matrix::quantise(&weights, out, cols, path).unwrap();
            let mut x_q = QuantisedRows::default();
            cpu.quantise(MatRef::new(&x, rows, cols), &mut x_q);
            let mut y = Mat::zeros(rows, out);
            let product = Q8Product { weights: &weights, out: y.view_mut(), finish: finish.clone() };
            cpu.q8_matmul(&x_q, &mut [product], Start::Zero);
            prop_assert_eq!(bits(y.data()), bits(&expected), "{}", path.name());
        }
    }

    #[test]
    fn a_row_has_the_same_gradient_alone_and_among_others((rows, seed) in (2usize..400, any::<u64>())) {
        let (out, cols) = (96, 33);
        let (weights, dy) = (numbers(seed, out * cols), numbers(seed ^ 1, rows * out));
        let together = backward(Path::best(), 2, &weights, (out, cols), &dy, rows);
        // The first row starts from the same numbers in either.
        let alone = backward(Path::best(), 1, &weights, (out, cols), &dy[..out], 1);
        prop_assert_eq!(bits(&alone), bits(&together[..cols]));
    }

    #[test]
    fn a_row_has_the_same_bits_alone_and_among_others((rows, seed) in (2usize..400, any::<u64>())) {
        let (out, cols) = (33, 96);
        let (weights, x) = (numbers(seed, out * cols), numbers(seed ^ 1, rows * cols));
        let together = product(Path::best(), 2, &weights, (out, cols), &x, rows);
        let row = seed as usize % rows;
        let alone = product(Path::best(), 1, &weights, (out, cols), &x[row * cols..(row + 1) * cols], 1);
        prop_assert_eq!(bits(&alone), bits(&together[row * out..(row + 1) * out]));
    }
}

#[test]
fn the_integers_are_rounded_half_to_even_and_do_not_depend_on_the_layout() {
    let mut weights = vec![0.0f32; 32];
    weights[..5].copy_from_slice(&[127.0, 0.5, 1.5, -2.5, -127.0]);
    for path in Path::available() {
        let matrix = Q8Matrix::quantise(&weights, 1, 32, path).unwrap();
        let (scale, q) = matrix.row_blocks(0).next().unwrap();
        assert_eq!(scale, 1.0);
        assert_eq!(q[..6], [127, 0, 2, -2, -127, 0], "{}", path.name());
    }
}

#[test]
fn weights_that_are_not_finite_are_refused_with_their_place() {
    let mut weights = vec![1.0f32; 12];
    weights[7] = f32::INFINITY;
    let refused = Q8Matrix::quantise(&weights, 3, 4, Path::PORTABLE).unwrap_err();
    assert_eq!((refused.row, refused.col), (1, 3));
}

#[test]
fn activations_that_are_not_finite_show_in_the_result_on_every_path() {
    let weights = numbers(1, 16 * 32);
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut x = numbers(2, 32);
        x[5] = bad;
        for path in Path::available() {
            assert!(product(path, 1, &weights, (16, 32), &x, 1).iter().all(|y| y.is_nan()), "{} {bad}", path.name());
        }
    }
}

#[test]
fn the_largest_products_do_not_overflow() {
    let (weights, x) = (vec![-1.0f32; 16 * 32], vec![1.0f32; 32]);
    for path in Path::available() {
        let y = product(path, 1, &weights, (16, 32), &x, 1);
        assert!(y.iter().all(|y| (y + 32.0).abs() < 1e-4), "{}: {y:?}", path.name());
    }
}

/// The gradient through the output layer of a model with a large vocabulary: one row is larger than a row group.
#[test]
fn rows_wider_than_the_cache_have_the_defined_bits_on_every_path() {
    let (out, cols, rows) = (16, 196_640, 2);
    let (weights, x) = (numbers(1, out * cols), numbers(2, rows * cols));
    let matrix = Q8Matrix::quantise(&weights, out, cols, Path::PORTABLE).unwrap();
    let expected = bits(&defined(&matrix, &x, &vec![0.0; rows * out]));
    for path in Path::available() {
        assert_eq!(bits(&product(path, 2, &weights, (out, cols), &x, rows)), expected, "{}", path.name());
    }
}
