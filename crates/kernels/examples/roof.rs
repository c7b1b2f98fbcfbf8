//! How near the products come to what this machine can do; prints one JSON object.
//!
//! `cargo run --release -p openledger-kernels --example roof -- [threads] [rows] [path]`, with the path by its number from `portable` on

#![allow(clippy::print_stdout, reason = "the result of a measurement goes to stdout")]

use std::hint::black_box;
use std::time::Instant;

use openledger_kernels::{Cpu, Finish, Mat, MatMut, Path, Q8Matrix, Q8Product, QuantisedRows, Start};

/// SmolLM2-135M's linear maps: outputs and inputs.
const SHAPES: [(usize, usize); 4] = [(960, 576), (576, 576), (3072, 576), (576, 1536)];

fn main() {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<usize>().unwrap_or(1));
    let (threads, rows) = (args.next().unwrap_or(2), args.next().unwrap_or(472));
    let path = args.next().and_then(|path| Path::available().get(path).copied()).unwrap_or(Path::best());
    let cpu = Cpu::with_path(threads, path);
    let roof = roof(&cpu);
    let (int8, dx) = products(&cpu, rows);
    println!(
        "{{\"path\":\"{}\",\"threads\":{threads},\"rows\":{rows},\"fma_roof_gflops\":{roof:.1},\"int8_gops\":{int8:.1},\"backward_gops\":{dx:.1}}}",
        cpu.path().name(),
    );
}

/// Seconds that `work` takes at best within half a second: on a shared machine the least disturbed run.
fn best(mut work: impl FnMut()) -> f64 {
    let (start, mut least) = (Instant::now(), f64::INFINITY);
    while start.elapsed().as_secs_f64() < 0.5 {
        let run = Instant::now();
        work();
        least = least.min(run.elapsed().as_secs_f64());
    }
    least
}

/// A product whose operands stay in the first-level cache: as many multiply-adds as the machine does.
fn roof(cpu: &Cpu) -> f64 {
    const REPEATS: usize = 40;
    let (m, n, k) = (12, 16, 240);
    let seconds = best(|| {
        cpu.pool().run(cpu.pool().threads(), |_| {
            let (a, b, mut c) = (Mat::zeros(m, k), Mat::zeros(k, n), Mat::zeros(m, n));
            for _ in 0..REPEATS {
                cpu.path().gemm(black_box(a.view()), b.view(), &mut c.view_mut());
            }
            black_box(&c);
        });
    });
    2.0 * (m * n * k * REPEATS * cpu.pool().threads()) as f64 / seconds / 1e9
}

/// Layers whose weights take turns, so that they come from memory as in a model.
const LAYERS: usize = 16;

fn products(cpu: &Cpu, rows: usize) -> (f64, f64) {
    let mut q = QuantisedRows::default();
    let (mut operations, mut forward, mut backward) = (0.0, 0.0, 0.0);
    for (out, cols) in SHAPES {
        let values = (0..out * cols).map(|i| (i * 7919 % 255) as f32 - 127.0).collect::<Vec<_>>();
        let Ok(weights) = Q8Matrix::quantise(&values, out, cols, cpu.path()) else { continue };
        let (mut x, mut y) = (Mat::zeros(rows, cols), Mat::zeros(rows, out));
        x.fill(0.5);
        cpu.quantise(x.view(), &mut q);
        let transposed = vec![weights.transposed(cpu); LAYERS];
        let layers = vec![weights; LAYERS];
        forward += best(|| {
            for weights in &layers {
                cpu.q8_matmul(&q, &mut [product(weights, y.view_mut())], Start::Zero);
            }
        });
        y.fill(0.25);
        backward += best(|| {
            for weights in &transposed {
                cpu.quantise(y.view(), &mut q);
                cpu.q8_matmul(&q, &mut [product(weights, x.view_mut())], Start::Stored);
            }
        });
        operations += 2.0 * (rows * out * cols * LAYERS) as f64 / 1e9;
    }
    (operations / forward, operations / backward)
}

fn product<'a>(weights: &'a Q8Matrix, out: MatMut<'a>) -> Q8Product<'a> {
    Q8Product { weights, out, finish: Finish::default() }
}
