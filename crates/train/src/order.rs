//! The order in which records train: a pure function of the seed, so that a run continues exactly from a step number.

/// Steele, Lea and Flood's SplitMix64.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform below `bound`, by Lemire's multiplication; the bias is below 2^-32 for the bounds used here.
    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}

/// A permutation of `0..len` for `stream` of `seed` (Fisher and Yates).
pub(crate) fn permutation(len: usize, seed: u64, stream: u64) -> Vec<usize> {
    let mut rng = SplitMix64(seed ^ stream.wrapping_add(1).wrapping_mul(0xD6E8_FEB8_6659_FD93));
    let mut order: Vec<usize> = (0..len).collect();
    for last in (1..len).rev() {
        order.swap(last, rng.below(last + 1));
    }
    order
}

/// The batches of a run: each epoch is a fresh permutation, cut into batches of which the last may be short.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    records: usize,
    batch: usize,
    seed: u64,
    epoch: Option<(u64, Vec<usize>)>,
}

impl Order {
    pub(crate) fn new(records: usize, batch: usize, seed: u64) -> Self {
        Self { records, batch, seed, epoch: None }
    }

    pub(crate) fn steps_per_epoch(&self) -> u64 {
        self.records.div_ceil(self.batch) as u64
    }

    /// Records of step `step`, counted from 0.
    pub(crate) fn batch(&mut self, step: u64) -> &[usize] {
        let epoch = step / self.steps_per_epoch();
        let within = (step % self.steps_per_epoch()) as usize;
        if self.epoch.as_ref().is_none_or(|(current, _)| *current != epoch) {
            self.epoch = Some((epoch, permutation(self.records, self.seed, epoch)));
        }
        let order = self.epoch.as_ref().map_or(&[][..], |(_, order)| order.as_slice());
        &order[within * self.batch..((within + 1) * self.batch).min(self.records)]
    }
}

#[cfg(test)]
mod tests {
    use super::{Order, permutation};

    #[test]
    fn an_epoch_holds_every_record_once_and_the_next_differs() {
        let mut order = Order::new(10, 4, 7);
        assert_eq!(order.steps_per_epoch(), 3);
        let mut epoch = |first: u64| (first..first + 3).flat_map(|s| order.batch(s).to_vec()).collect::<Vec<_>>();
        let (one, two) = (epoch(0), epoch(3));
        assert_ne!(one, two);
        for mut records in [one, two] {
            records.sort_unstable();
            assert_eq!(records, (0..10).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_order_is_fixed_by_the_seed() {
        assert_eq!(permutation(8, 1, 0), permutation(8, 1, 0));
        assert_ne!(permutation(8, 1, 0), permutation(8, 2, 0));
        assert_ne!(permutation(8, 1, 0), permutation(8, 1, 1));
    }
}
