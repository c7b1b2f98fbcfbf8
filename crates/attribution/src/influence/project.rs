//! Projection of the long side of a gradient by a seeded sign hash.

use openledger_primitives::{B256, keccak256};

/// Outputs of one pass over a row: one register of eight f32, or two of four.
const LANES: usize = 8;

/// Rows that share one pass over the signs.
const ROWS: usize = 4;

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

    /// `rows` (T x length) times the signs, into `out` (T x width). Each output adds its terms in ascending order;
    /// a product with a sign is exact, so fused and separate arithmetic agree.
    pub(crate) fn project(&self, rows: &[f32], length: usize, out: &mut Vec<f32>) {
        let tokens = rows.len() / length;
        out.clear();
        out.resize(tokens * self.width, 0.0);
        for first in (0..tokens).step_by(ROWS) {
            for column in (0..self.width).step_by(LANES) {
                if tokens - first >= ROWS {
                    self.tile::<ROWS>(rows, length, first, column, out);
                } else {
                    (first..tokens).for_each(|row| self.tile::<1>(rows, length, row, column, out));
                }
            }
        }
    }

    fn tile<const N: usize>(&self, rows: &[f32], length: usize, first: usize, column: usize, out: &mut [f32]) {
        let inputs: [&[f32]; N] = std::array::from_fn(|row| &rows[(first + row) * length..][..length]);
        let mut sums = [[0.0f32; LANES]; N];
        for (at, signs) in self.values.chunks_exact(self.width).enumerate() {
            let signs: &[f32; LANES] = signs[column..column + LANES].try_into().expect("width is a multiple of LANES");
            for (sum, input) in sums.iter_mut().zip(&inputs) {
                let value = input[at];
                sum.iter_mut().zip(signs).for_each(|(sum, sign)| *sum += value * sign);
            }
        }
        for (row, sum) in sums.iter().enumerate() {
            out[(first + row) * self.width + column..][..LANES].copy_from_slice(sum);
        }
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
