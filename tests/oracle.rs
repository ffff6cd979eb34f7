//! The runtime against the plainest loops, on random models of every shape: integers with `==`, f32 within a bound.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use proptest::prelude::*;
use xsfm_convert::model::FloatModel;
use xsfm_convert::pack::{pack_f32, pack_int8};
use xsfm_convert::reference::{float_forward, integer_forward};
use xsfm_interchange::config::Interaction;
use xsfm_runtime::Model;
use xsfm_tests::{Rows, Shape, float_model, quantized, scores};

fn shapes() -> impl Strategy<Value = Shape> {
    let interaction = prop_oneof![Just(Interaction::None), Just(Interaction::Unit), Just(Interaction::FieldWeighted)];
    let width = prop_oneof![1..9_usize, 15..18_usize, 60..70_usize];
    let hidden = proptest::option::of(proptest::collection::vec(width, 0..4));
    let embed_dim = prop_oneof![1..20_usize, 60..66_usize];
    let num_fields = prop_oneof![1..12_usize, 38..42_usize, Just(64), Just(128)];
    (num_fields, embed_dim, any::<[bool; 3]>(), interaction, hidden, any::<u64>()).prop_map(
        |(num_fields, embed_dim, [feature_weight, field_vector, pruned], interaction, hidden, seed)| Shape {
            num_fields,
            embed_dim,
            feature_weight,
            field_vector,
            interaction,
            pruned,
            hidden,
            seed,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn int8_scores_equal_the_integer_oracle(shape in shapes()) {
        let float = float_model(&shape);
        let rows = Rows::for_config(&float.config, 8, shape.seed);
        let integers = quantized(&float, &rows);
        let packed = pack_int8(&integers).unwrap();
        let model = Model::from_bytes(&packed).unwrap();
        for (row, score) in rows.iter().zip(scores(&model, &rows).unwrap()) {
            let expected = integer_forward(&integers, row).unwrap().logit;
            prop_assert_eq!(f64::from(score.logit) * 65_536.0, expected as f64);
            let probability = 1.0 / (1.0 + (-f64::from(score.logit).clamp(-87.0, 87.0)).exp());
            prop_assert!((f64::from(score.probability()) - probability).abs() < 5e-7 * probability);
        }
    }

    #[test]
    fn f32_scores_are_close_to_the_float_oracle(shape in shapes()) {
        let float = float_model(&shape);
        let rows = Rows::for_config(&float.config, 8, shape.seed);
        let magnitudes = magnitudes(&float);
        let packed = pack_f32(&float).unwrap();
        let model = Model::from_bytes(&packed).unwrap();
        for (row, score) in rows.iter().zip(scores(&model, &rows).unwrap()) {
            let expected = float_forward(&float, row).unwrap().logit;
            let error = (f64::from(score.logit) - expected).abs();
            let bound = 20.0 * f64::from(f32::EPSILON) * float_forward(&magnitudes, row).unwrap().logit;
            prop_assert!(error <= bound, "{} instead of {expected}, {bound} allowed", score.logit);
        }
    }
}

/// The model of all parameters' magnitudes: its logit is the sum of the magnitudes that rounding errors are relative to.
fn magnitudes(model: &FloatModel) -> FloatModel {
    let mut model = model.clone();
    let fields = model.fields.iter_mut();
    fields.for_each(|f| {
        let weights = f.feature_weights.iter_mut().flatten();
        f.tables.iter_mut().flat_map(|t| &mut t.values).chain(weights).for_each(|v| *v = v.abs());
    });
    model.field_vectors.iter_mut().flatten().for_each(|v| *v = v.abs());
    model.pairs.iter_mut().flat_map(|p| &mut p.weights).for_each(|v| *v = v.abs());
    let layers = model.layers.iter_mut();
    layers.for_each(|l| l.weights.iter_mut().chain(&mut l.biases).for_each(|v| *v = v.abs()));
    model
}

/// Without this, a quantisation that lost everything would still agree with its own oracle.
#[test]
fn int8_scores_follow_the_float_model() {
    let shape = Shape {
        num_fields: 20,
        embed_dim: 8,
        feature_weight: true,
        field_vector: true,
        interaction: Interaction::FieldWeighted,
        pruned: false,
        hidden: Some(vec![32, 32]),
        seed: 7,
    };
    let float = float_model(&shape);
    let rows = Rows::for_config(&float.config, 500, 1);
    let packed = pack_int8(&quantized(&float, &rows)).unwrap();
    let model = Model::from_bytes(&packed).unwrap();
    let exact: Vec<f64> = rows.iter().map(|row| float_forward(&float, row).unwrap().logit).collect();
    let mean = exact.iter().sum::<f64>() / exact.len() as f64;
    let deviation = (exact.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / exact.len() as f64).sqrt();
    let errors = scores(&model, &rows).unwrap().into_iter().zip(&exact).map(|(s, x)| (f64::from(s.logit) - x).abs());
    let error = errors.sum::<f64>() / exact.len() as f64;
    assert!(error < 0.03 * deviation, "mean error {error}, standard deviation {deviation}");
}
