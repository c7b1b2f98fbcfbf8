//! Projection of the long side of a gradient by a seeded sign hash.

use openledger_kernels::{MatMut, MatRef, Path};
use openledger_primitives::{B256, keccak256};

/// A `length` x `width` matrix of +1 and -1.
///
/// Sign number n = row x width + column is bit n mod 256 (least significant first within each byte) of
/// keccak256(seed ‖ u32 site ‖ u8 factor ‖ u32 floor(n / 256)); a set bit is -1.
#[derive(Clone, Debug)]
pub(crate) struct Signs {
    width: usize,
    values: Vec<f32>,
}

impl Signs {
    pub(crate) fn new(seed: B256, site: u32, factor: u8, length: usize, width: usize) -> Self {
        let count = length * width;
        let mut values = Vec::with_capacity(count.next_multiple_of(256));
        for block in 0..count.div_ceil(256) as u32 {
            let bits = hash(seed, site, factor, block);
            values.extend(bits.iter().flat_map(|byte| (0..8).map(move |bit| 1.0 - 2.0 * f32::from(byte >> bit & 1))));
        }
        values.truncate(count);
        Self { width, values }
    }

    /// Rows of `rows` (T x length) from `first` on times the signs, as many as `out` has room for. Each output adds its
    /// terms in ascending order; a product with a sign is exact, so fused and separate arithmetic agree.
    pub(crate) fn project(&self, path: Path, rows: &[f32], length: usize, first: usize, out: &mut [f32]) {
        let tokens = out.len() / self.width;
        let rows = MatRef::new(&rows[first * length..(first + tokens) * length], tokens, length);
        out.fill(0.0);
        let signs = MatRef::new(&self.values, length, self.width);
        path.gemm(rows, signs, &mut MatMut::new(out, tokens, self.width));
    }
}

fn hash(seed: B256, site: u32, factor: u8, block: u32) -> B256 {
    let mut preimage = [0; 41];
    preimage[..32].copy_from_slice(seed.as_slice());
    preimage[32..36].copy_from_slice(&site.to_be_bytes());
    preimage[36] = factor;
    preimage[37..].copy_from_slice(&block.to_be_bytes());
    keccak256(preimage)
}
