//! Tokens that are taken for unknown ones in training: the out-of-vocabulary row of a field stands for what training rows do not have, and
//! learns nothing where they have all there is.

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
