//! Tokens that are taken for unknown ones in training: the out-of-vocabulary row of a field stands for what training
//! rows do not have, and learns nothing where they have all there is.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use xsfm_interchange::rows::RowBlock;
use xsfm_interchange::schema::Schema;
use xsfm_runtime::Weight;

/// Which tokens of an epoch are.
#[derive(Clone, Debug)]
pub struct Unknown {
    /// The share of them.
    pub share: f64,
    /// The run's seed.
    pub seed: u64,
    /// The epoch's number.
    pub epoch: u64,
    /// By field: whether a token may be unknown. In a hashed field none is, and index 0 is what is missing; so it is
    /// where numbers are weights.
    pub may_be: Vec<bool>,
}

impl Unknown {
    /// In which fields of a schema a token may be unknown.
    pub fn fields(schema: &Schema) -> Vec<bool> {
        schema.fields.iter().map(|field| field.encoding.has_unseen()).collect()
    }

    /// Replaces indices of a batch by 0. `numbers`: the rows' in the file, of which the first seeds the batch's draws.
    pub fn replace(&self, block: &mut RowBlock, numbers: &[u64]) {
        if self.share == 0.0 {
            return;
        }
        // An odd factor maps seeds one to one; `seed_from_u64` makes unrelated streams of neighbouring values.
        let first = numbers.first().copied().unwrap_or(0);
        let seed = self.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ self.epoch.rotate_left(40) ^ first;
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let cells = if block.offsets.is_empty() { block.indices.len() } else { block.offsets.len() - 1 };
        for (cell, may_be) in (0..cells).zip(self.may_be.iter().cycle()) {
            let indices = match block.offsets.get(cell..cell + 2) {
                Some(ends) => ends[0] as usize..ends[1] as usize,
                None => cell..cell + 1,
            };
            // Drawn for each index, so that the others' draws do not depend on hashed fields. One that is replaced
            // keeps its weight.
            let words = block.indices[indices].iter_mut();
            for index in words.filter(|word| Weight::of_word(**word).is_none()) {
                if random.random_bool(self.share) && *may_be {
                    *index = 0;
                }
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
            Unknown { share, seed: 3, epoch, may_be: vec![true; 5] }.replace(&mut block, &numbers);
            assert!(block.indices.iter().all(|&index| index == 0 || index == 7));
            // Where the second field is hashed it stays, and the others are as they were. Bags of one and four.
            let mut hashed = RowBlock::new(2, true);
            hashed.indices.clone_from(&block.indices);
            hashed.indices.fill(7);
            hashed.offsets = (0..=block.indices.len() as u32).filter(|place| place % 5 < 2).collect();
            let of_hashed = Unknown { share, seed: 3, epoch, may_be: vec![true, false] };
            of_hashed.replace(&mut hashed, &numbers);
            for (place, (&index, &all)) in hashed.indices.iter().zip(&block.indices).enumerate() {
                assert_eq!(index, if place % 5 == 0 { all } else { 7 }, "{place}");
            }
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
