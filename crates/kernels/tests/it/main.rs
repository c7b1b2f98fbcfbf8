//! Every path gives the bits of the portable one, and those are what the definition says.

#![allow(clippy::unwrap_used, reason = "tests say what failed by panicking")]

mod elementwise;
mod gemm;
mod pool;
mod q8;

use openledger_kernels::Path;

/// Numbers between -1 and 1 from a seed.
fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Which paths this run covers shows in the output of `cargo test -- --nocapture`.
#[test]
fn paths_of_this_processor_are_listed_and_start_with_portable() {
    let paths = Path::available();
    println!("kernel paths tested here: {}", paths.iter().map(|path| path.name()).collect::<Vec<_>>().join(", "));
    assert_eq!(paths.first(), Some(&Path::PORTABLE));
    assert!(paths.contains(&Path::best()));
}
