//! Random rows: features drawn as traffic does, a few often and most rarely.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use xsfm_interchange::rows::RowBlock;
use xsfm_runtime::{Model, Weight};

/// A prime above most tables' sizes: frequent features lie anywhere in a table, as they do where a hash numbers them.
const SCATTER: u64 = 2_654_435_761;
/// Most indices of a bag.
const MAX_BAG: usize = 8;

/// From 0 to 1.
fn weight(rng: &mut StdRng) -> Weight {
    Weight::of_steps(rng.random_range(0..=Weight::ONE.steps())).unwrap_or(Weight::ONE)
}

/// `count` rows for `model`, the k-th most frequent feature of a field drawn in proportion to 1/k.
pub fn random(model: &Model<'_>, count: usize, seed: u64) -> RowBlock {
    let mut rng = StdRng::seed_from_u64(seed);
    let fields: Vec<_> = model.fields().map(|field| (field.features, field.bag, field.weighted)).collect();
    let mut block = RowBlock::new(fields.len(), fields.iter().any(|&(_, bag, _)| bag));
    let mut indices = Vec::new();
    for _ in 0..count {
        for &(features, bag, weighted) in &fields {
            let several = if bag { rng.random_range(1..=MAX_BAG) } else { 1 };
            indices.clear();
            indices.extend((0..several).map(|_| {
                // Zipf's law with exponent 1, by inversion: P(rank < k) = ln(k + 1) / ln(n + 1).
                let rank = (f64::from(features) + 1.0).powf(rng.random_range(0.0..1.0)) as u64 - 1;
                (rank.min(u64::from(features) - 1) * SCATTER % u64::from(features)) as u32
            }));
            if weighted {
                indices = indices.iter().flat_map(|&index| [index, weight(&mut rng).word()]).collect();
            }
            block.push_field(&indices);
        }
    }
    block
}
