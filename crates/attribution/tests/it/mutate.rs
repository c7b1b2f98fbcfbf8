//! Seeded damage to encoded bytes, for tests of decoders.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Damaged copies of `bytes`: every short prefix, then bit flips, runs of 0xff, cuts and insertions.
pub(crate) fn mutations(bytes: &[u8], seed: u64, count: usize) -> impl Iterator<Item = Vec<u8>> + '_ {
    let mut rng = StdRng::seed_from_u64(seed);
    let prefixes = (0..bytes.len().min(200)).map(|end| bytes[..end].to_vec());
    let damaged = (0..count).map(move |_| damage(bytes, &mut rng));
    prefixes.chain(damaged)
}

fn damage(bytes: &[u8], rng: &mut StdRng) -> Vec<u8> {
    let mut out = bytes.to_vec();
    let at = rng.random_range(0..out.len());
    match rng.random_range(0..4) {
        0 => out[at] ^= 1 << rng.random_range(0..8),
        1 => out[at..].iter_mut().take(4).for_each(|byte| *byte = 0xff),
        2 => out.truncate(at),
        _ => out.insert(at, rng.random()),
    }
    out
}
