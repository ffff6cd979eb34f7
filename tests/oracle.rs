//! The runtime against the plainest loops, on random models of every shape: integers with `==`, f32 within a bound.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use proptest::prelude::*;
use xsfm_convert::model::{FloatModel, QuantizedModel, TableBits};
use xsfm_convert::pack::{Packed, pack_f32, pack_int8};
use xsfm_convert::reference::{float_forward, integer_forward};
use xsfm_convert::target::{Target, retarget};
use xsfm_interchange::config::Interaction;
use xsfm_runtime::Model;
use xsfm_tests::{Rows, Shape, dynamic, every_way, float_model, quantized, scores, with_factors};

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
    fn int8_scores_equal_the_integer_oracle(shape in shapes(), rank in ranks(), bits in bits(), target in targets()) {
        let float = FloatModel { table_bits: bits, ..random_model(&shape, rank) };
        let rows = Rows::for_config(&float.config, ROWS, shape.seed);
        equals_the_oracle(&quantized(&float, &rows), &rows, target)?;
    }

    #[test]
    fn dynamic_scores_equal_the_oracle(shape in shapes(), rank in ranks(), bits in bits(), target in targets()) {
        let float = FloatModel { table_bits: bits, ..random_model(&shape, rank) };
        let rows = Rows::for_config(&float.config, ROWS, shape.seed);
        equals_the_oracle(&dynamic(&float, &rows), &rows, target)?;
    }

    #[test]
    fn f32_scores_are_close_to_the_float_oracle(shape in shapes(), rank in ranks(), target in targets()) {
        let float = random_model(&shape, rank);
        let rows = Rows::for_config(&float.config, ROWS, shape.seed);
        let magnitudes = magnitudes(&float);
        let expected: Vec<f64> = rows.iter().map(|row| float_forward(&float, row).unwrap().logit).collect();
        let sizes = rows.with_magnitudes();
        let sizes: Vec<f64> = sizes.iter().map(|row| float_forward(&magnitudes, row).unwrap().logit).collect();
        let packed = for_target(pack_f32(&float).unwrap(), target);
        let model = Model::from_bytes(&packed).unwrap();
        for (way, scores) in every_way(&model, &rows).unwrap() {
            for ((score, expected), size) in scores.into_iter().zip(&expected).zip(&sizes) {
                let (error, bound) = ((f64::from(score.logit) - expected).abs(), 20.0 * f64::from(f32::EPSILON) * size);
                prop_assert!(error <= bound, "{way}: {} instead of {expected}, {bound} allowed", score.logit);
            }
        }
    }
}

/// Factors in place of pairs in a third of the models.
fn ranks() -> impl Strategy<Value = Option<usize>> {
    prop_oneof![2 => Just(None), 1 => (1..=7_usize).prop_map(Some)]
}

fn random_model(shape: &Shape, rank: Option<usize>) -> FloatModel {
    let model = float_model(shape);
    rank.map_or(model.clone(), |rank| with_factors(model, rank, shape.seed))
}

fn bits() -> impl Strategy<Value = TableBits> {
    prop_oneof![2 => Just(TableBits::Eight), 1 => Just(TableBits::Four)]
}

fn targets() -> impl Strategy<Value = Target> {
    prop_oneof![
        2 => Just(Target::Neutral),
        2 => Just(Target::X86_64),
        1 => Just(Target::CortexMDsp),
        1 => Just(Target::CortexMMve),
    ]
}

/// The file laid out for `target`; laid out for any and for microcontrollers it is the same again.
fn for_target(packed: Packed, target: Target) -> Packed {
    let laid = retarget(&packed, target).unwrap();
    for neutral in [Target::Neutral, Target::CortexM] {
        assert!(*retarget(&laid, neutral).unwrap() == *packed);
    }
    assert!(*retarget(&laid, target).unwrap() == *laid);
    laid
}

/// Two contexts, groups of eight and rests.
const ROWS: usize = 19;

fn equals_the_oracle(integers: &QuantizedModel, rows: &Rows, target: Target) -> Result<(), TestCaseError> {
    let expected: Vec<f64> = rows.iter().map(|row| integer_forward(integers, row).unwrap().logit as f64).collect();
    let packed = for_target(pack_int8(integers).unwrap(), target);
    let model = Model::from_bytes(&packed).unwrap();
    for (way, scores) in every_way(&model, rows).unwrap() {
        let found: Vec<f64> = scores.iter().map(|score| f64::from(score.logit) * 65_536.0).collect();
        prop_assert_eq!(&found, &expected, "{}", way);
    }
    for score in scores(&model, rows).unwrap() {
        let probability = 1.0 / (1.0 + (-f64::from(score.logit).clamp(-87.0, 87.0)).exp());
        prop_assert!((f64::from(score.probability()) - probability).abs() < 5e-7 * probability);
    }
    Ok(())
}

/// The model of all parameters' magnitudes: its logit is the sum of the magnitudes that rounding errors are relative
/// to.
fn magnitudes(model: &FloatModel) -> FloatModel {
    let mut model = model.clone();
    let fields = model.fields.iter_mut();
    fields.for_each(|f| {
        let weights = f.feature_weights.iter_mut().flatten();
        f.tables.iter_mut().flat_map(|t| &mut t.values).chain(weights).for_each(|v| *v = v.abs());
    });
    model.field_vectors.iter_mut().flatten().for_each(|v| *v = v.abs());
    model.pairs.iter_mut().flat_map(|p| &mut p.weights).for_each(|v| *v = v.abs());
    if let Some(low_rank) = &mut model.low_rank {
        low_rank.signs.fill(1);
        low_rank.factors.iter_mut().for_each(|u| *u = u.abs());
        low_rank.diagonal.iter_mut().for_each(|d| *d = -d.abs());
    }
    let layers = model.layers.iter_mut();
    layers.for_each(|l| l.weights.iter_mut().chain(&mut l.biases).for_each(|v| *v = v.abs()));
    model
}

/// Without this, a quantisation that lost everything would still agree with its own oracle.
#[test]
fn quantised_scores_follow_the_float_model() {
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
    let exact: Vec<f64> = rows.iter().map(|row| float_forward(&float, row).unwrap().logit).collect();
    let mean = exact.iter().sum::<f64>() / exact.len() as f64;
    let deviation = (exact.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / exact.len() as f64).sqrt();
    for integers in [quantized(&float, &rows), dynamic(&float, &rows)] {
        let packed = pack_int8(&integers).unwrap();
        let model = Model::from_bytes(&packed).unwrap();
        let found = scores(&model, &rows).unwrap();
        let errors = found.into_iter().zip(&exact).map(|(s, x)| (f64::from(s.logit) - x).abs());
        let error = errors.sum::<f64>() / exact.len() as f64;
        assert!(error < 0.03 * deviation, "{:?}: error {error}, deviation {deviation}", model.mode());
    }
}
