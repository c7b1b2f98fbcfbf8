//! Projection of the long side of a gradient by a seeded sign hash.

use openledger_kernels::MatRef;
use openledger_primitives::{B256, keccak256};

/// A `length` x `width` matrix of +1 and -1.
///
/// Sign number n = row x width + column is bit n mod 256 (least significant first within each byte) of
/// keccak256(seed ‖ u32 site ‖ u8 factor ‖ u32 floor(n / 256)); a set bit is -1.
///
/// A product with a sign is exact, so that fused and separate arithmetic agree on a projection.
#[derive(Clone, Debug)]
pub(crate) struct Signs {
    length: usize,
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
        Self { length, width, values }
    }

    pub(crate) fn view(&self) -> MatRef<'_> {
        MatRef::new(&self.values, self.length, self.width)
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
