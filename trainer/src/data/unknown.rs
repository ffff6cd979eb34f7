//! Tokens that are taken for unknown ones in training: the out-of-vocabulary row of a field stands for what training
//! rows do not have, and learns nothing where they have all there is.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use xsfm_interchange::rows::RowBlock;

/// Which tokens of an epoch are.
#[derive(Clone, Copy, Debug)]
pub struct Unknown {
    /// The share of them.
    pub share: f64,
    /// The run's seed.
    pub seed: u64,
    /// The epoch's number.
    pub epoch: u64,
}

impl Unknown {
    /// Replaces indices of a batch by 0. `numbers`: the rows' in the file, of which the first seeds the batch's draws.
    pub fn replace(&self, block: &mut RowBlock, numbers: &[u64]) {
        if self.share == 0.0 {
            return;
        }
        // An odd factor maps seeds one to one; `seed_from_u64` makes unrelated streams of neighbouring values.
        let first = numbers.first().copied().unwrap_or(0);
        let seed = self.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ self.epoch.rotate_left(40) ^ first;
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        for index in &mut block.indices {
            if random.random_bool(self.share) {
                *index = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_tokens_become_unknown_and_others_stay() {
        let numbers: Vec<u64> = (0..4000).collect();
        let block = |value: u32| {
            let mut block = RowBlock::new(5, false);
            block.indices = vec![value; 20_000];
            block
        };
        let replaced = |share: f64, epoch: u64| {
            let mut block = block(7);
            Unknown { share, seed: 3, epoch }.replace(&mut block, &numbers);
            assert!(block.indices.iter().all(|&index| index == 0 || index == 7));
            block.indices
        };
        let zeros = |indices: &[u32]| indices.iter().filter(|&&index| index == 0).count();
        assert_eq!(zeros(&replaced(0.0, 1)), 0);
        for share in [0.01, 0.3] {
            let (count, expected) = (zeros(&replaced(share, 1)) as f64, share * 20_000.0);
            // Five deviations of a binomial count.
            assert!((count - expected).abs() < 5.0 * (expected * (1.0 - share)).sqrt(), "{share}: {count}");
        }
        assert_eq!(replaced(0.3, 1), replaced(0.3, 1));
        assert_ne!(replaced(0.3, 1), replaced(0.3, 2));
    }
}
