//! The model and the samples that benches use: DeepFwFM as large as on Criteo, random weights, traffic like a log's.
//!
//! A small model would be a lie: its tables lie in a cache that a real model's tables do not fit in. So this one has
//! Criteo's 39 fields and 1,086,810 features, and samples draw their features as traffic does, a few often and most
//! rarely. The criterion benches are in `score.rs`; `peers` compares with other engines.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use xsfm_convert::model::{FloatField, FloatLayer, FloatModel, PairList, Pairs, Table, TableBits};
use xsfm_interchange::config::{EmbeddingConfig, FieldConfig, Interaction, MlpConfig, ModelConfig, Operation};

/// Features per field: 13 bucketed numbers, 26 categories; 1,086,810 in all.
#[rustfmt::skip]
pub const FEATURES: [u32; 39] = [
    60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60,
    1194, 556, 200_761, 136_052, 306, 20, 9870, 634, 4, 37_934, 4281, 199_333, 2601,
    27, 9616, 184_487, 11, 3870, 1685, 5, 195_391, 18, 16, 55_559, 89, 41_710,
];

/// Length of a field's vector.
pub const EMBED_DIM: usize = 10;

/// One table per field.
pub const FULL: EmbeddingConfig = EmbeddingConfig::Full;

/// A quarter of the rows: quotient times remainder, four features to a quotient row.
pub const QUOTIENT_REMAINDER: EmbeddingConfig =
    EmbeddingConfig::QuotientRemainder { collisions: 4, operation: Operation::Mult };

/// DeepFwFM with field vectors over [`FEATURES`]; `hidden` are the MLP's widths, none for FwFM.
///
/// Vectors are up to 0.3, layers are as He et al. 2015 start them, and each part moves the logit by about one: so
/// activations neither vanish nor grow, and logits lie within about ±2 of their mean, as a trained model's do.
pub fn model(hidden: Option<&[usize]>, embedding: EmbeddingConfig, seed: u64) -> FloatModel {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut uniform =
        |count: usize, most: f32| -> Vec<f32> { (0..count).map(|_| rng.random_range(-most..=most)).collect() };
    let num_fields = FEATURES.len();
    let field = |(f, &features): (usize, &u32)| FieldConfig {
        name: format!("field_{f}"),
        features,
        bag: false,
        weighted: false,
        embedding,
    };
    let config = ModelConfig {
        version: ModelConfig::VERSION,
        vocabulary: None,
        fields: FEATURES.iter().enumerate().map(field).collect(),
        embed_dim: EMBED_DIM,
        feature_weight: false,
        field_vector: true,
        interaction: Interaction::FieldWeighted,
        mlp: hidden.map(|hidden| MlpConfig { hidden: hidden.to_vec(), batch_norm: false }),
        compressed: Vec::new(),
        network: None,
        quantization: None,
    };
    // The product of two rows has the same spread as one row of a full table.
    let most = if config.fields[0].is_product() { 0.3_f32.sqrt() } else { 0.3 };
    let fields = FEATURES.iter().map(|&features| FloatField {
        tables: embedding
            .table_shapes(features, EMBED_DIM)
            .into_iter()
            .map(|(rows, columns)| Table { rows, columns, values: uniform(rows * columns, most) })
            .collect(),
        feature_weights: None,
    });
    let fields = fields.collect();
    let field_vectors = Some(uniform(num_fields * EMBED_DIM, 0.4));
    let pairs = Some(Pairs { list: PairList::Dense, weights: uniform(num_fields * (num_fields - 1) / 2, 0.8) });
    let mut layers = Vec::new();
    if let Some(hidden) = hidden {
        let mut inputs = num_fields * EMBED_DIM;
        for (n, &outputs) in hidden.iter().chain(&[1]).enumerate() {
            let most = if n < hidden.len() { (6.0 / inputs as f32).sqrt() } else { 15.0 / (inputs as f32).sqrt() };
            let wide = |values: Vec<f32>| values.into_iter().map(f64::from).collect();
            let (weights, biases) = (wide(uniform(inputs * outputs, most)), wide(uniform(outputs, 0.05)));
            layers.push(FloatLayer { inputs, outputs, weights, biases });
            inputs = outputs;
        }
    }
    FloatModel {
        config,
        label: "click".to_owned(),
        bias: -0.5,
        fields,
        field_vectors,
        pairs,
        low_rank: None,
        table_bits: TableBits::Eight,
        layers,
    }
}

/// `[count, num_fields]`: random samples of [`FEATURES`], the k-th most frequent
/// feature of a field drawn in proportion to 1/k.
///
/// Frequent features lie anywhere in a table, as they do where a hash or the order of appearance numbers them.
pub fn samples(count: usize, seed: u64) -> Vec<u32> {
    // A prime above every table's size, so that rank -> index is a permutation.
    const SCATTER: u64 = 2_654_435_761;
    let mut rng = StdRng::seed_from_u64(seed);
    let mut index = |features: u32| {
        // Zipf's law with exponent 1, by inversion: P(rank < k) = ln(k + 1) / ln(n + 1).
        let rank = f64::from(features + 1).powf(rng.random_range(0.0..1.0)) as u64 - 1;
        (rank * SCATTER % u64::from(features)) as u32
    };
    (0..count).flat_map(|_| FEATURES).map(&mut index).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use xsfm_convert::reference::float_forward;
    use xsfm_runtime::Row;

    #[test]
    fn as_large_as_criteo() {
        assert_eq!(FEATURES.iter().sum::<u32>(), 1_086_810);
    }

    #[test]
    fn logits_spread_and_activations_live() {
        let rows = samples(300, 2);
        for embedding in [FULL, QUOTIENT_REMAINDER] {
            let model = model(Some(&[64; 3]), embedding, 1);
            let traces: Vec<_> = rows
                .chunks(FEATURES.len())
                .map(|row| float_forward(&model, Row::new(row)).expect("samples fit the model"))
                .collect();
            let mean = traces.iter().map(|trace| trace.logit).sum::<f64>() / 300.0;
            let deviation = (traces.iter().map(|trace| (trace.logit - mean).powi(2)).sum::<f64>() / 300.0).sqrt();
            assert!((0.7..3.0).contains(&deviation) && mean.abs() < 4.0, "{embedding:?}: {mean} ± {deviation}");
            for layer in 0..3 {
                let live = traces.iter().flat_map(|trace| &trace.activations[layer]).filter(|&&x| x > 0.01).count();
                assert!((0.2..0.8).contains(&(live as f64 / (300.0 * 64.0))), "{embedding:?}, layer {layer}: {live}");
            }
        }
    }

    #[test]
    fn samples_are_distinct_and_a_few_features_are_frequent() {
        let rows = samples(2000, 3);
        let distinct: std::collections::HashSet<&[u32]> = rows.chunks(FEATURES.len()).collect();
        assert!(distinct.len() > 1990, "{}", distinct.len());
        let largest = rows.chunks(FEATURES.len()).map(|row| row[15]);
        let mut counts = std::collections::HashMap::new();
        largest.for_each(|index| *counts.entry(index).or_insert(0) += 1);
        let most = counts.values().max().copied().unwrap_or(0);
        assert!(most > 60 && counts.len() > 800, "{most} of {}", counts.len());
    }
}
