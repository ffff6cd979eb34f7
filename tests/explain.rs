//! What fields and pairs add to a logit, against the oracles without some of the parts: integers with `==`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use proptest::prelude::*;
use xsfm_convert::model::{FloatModel, PairList, QuantizedLayers, QuantizedModel, TableBits};
use xsfm_convert::pack::{pack_f32, pack_int8};
use xsfm_convert::reference::{float_forward, integer_forward};
use xsfm_convert::target::{Target, retarget};
use xsfm_explain::{Explanation, explain};
use xsfm_interchange::config::Interaction;
use xsfm_runtime::format::Term;
use xsfm_runtime::{Model, Row};
use xsfm_tests::{Rows, Shape, dynamic, float_model, quantized, scores, with_factors};

/// A logit in steps, which is cut at so many.
const STEPS: f64 = 65_536.0;
const MOST: f64 = 128.0 * STEPS;
const ROWS: usize = 5;

fn models() -> impl Strategy<Value = FloatModel> {
    let interaction = prop_oneof![Just(Interaction::None), Just(Interaction::Unit), Just(Interaction::FieldWeighted)];
    let hidden = proptest::option::of(proptest::collection::vec(1..20_usize, 0..3));
    let rank = prop_oneof![2 => Just(None), 1 => (1..=5_usize).prop_map(Some)];
    let bits = prop_oneof![2 => Just(TableBits::Eight), 1 => Just(TableBits::Four)];
    let shape = (1..12_usize, 1..20_usize, any::<[bool; 3]>(), interaction, hidden, any::<u64>());
    (shape, rank, bits).prop_map(|((num_fields, embed_dim, parts, interaction, hidden, seed), rank, bits)| {
        let [feature_weight, field_vector, pruned] = parts;
        let shape = Shape { num_fields, embed_dim, feature_weight, field_vector, interaction, pruned, hidden, seed };
        let model = float_model(&shape);
        let model = rank.map_or(model.clone(), |rank| with_factors(model, rank, seed));
        FloatModel { table_bits: bits, ..model }
    })
}

/// The explanations of all rows, whose logits must be those that are scored.
fn explained(packed: &[u8], rows: &Rows) -> Vec<Explanation> {
    let model = Model::from_bytes(packed).unwrap();
    let explained: Vec<_> = rows.iter().map(|row| explain(&model, row).unwrap()).collect();
    let logits: Vec<_> = scores(&model, rows).unwrap().iter().map(|score| score.logit).collect();
    assert!(explained.iter().map(|explanation| explanation.logit).eq(logits));
    explained
}

/// Bias, fields and pairs, one after another.
fn parts(explanation: &Explanation) -> impl DoubleEndedIterator<Item = f64> + '_ {
    let pairs = explanation.pairs.iter().map(|(_, value)| *value);
    [explanation.bias].into_iter().chain(explanation.fields.iter().copied()).chain(pairs)
}

/// Without its layers.
fn shallow(model: &QuantizedModel) -> QuantizedModel {
    QuantizedModel { layers: QuantizedLayers::Static { layers: Vec::new(), term: Term::ABSENT }, ..model.clone() }
}

/// The parts are those of the oracle without layers, and sum to the logit in any order.
fn equals_the_oracle(model: &QuantizedModel, rows: &Rows) -> Result<(), TestCaseError> {
    let packed = pack_int8(model).unwrap();
    let shallow = shallow(model);
    let num_fields = model.fields.len();
    for target in [Target::Neutral, Target::X86_64] {
        let packed = retarget(&packed, target).unwrap();
        for (explanation, row) in explained(&packed, rows).iter().zip(rows.iter()) {
            prop_assert_eq!(parts(explanation).sum::<f64>() + explanation.layers, f64::from(explanation.logit));
            prop_assert_eq!(parts(explanation).rev().sum::<f64>() + explanation.layers, f64::from(explanation.logit));
            let expected = integer_forward(&shallow, row).unwrap().logit as f64;
            let found = parts(explanation).sum::<f64>() * STEPS;
            prop_assert_eq!(found.clamp(-MOST, MOST), expected);
            prop_assert_eq!(explanation.fields.len(), num_fields);
        }
    }
    // What one pair adds is what the whole loses without it, but for the two roundings.
    if let Some(pairs) = &model.pairs {
        let explanation = &explained(&packed, rows)[0];
        let row = rows.iter().next().unwrap();
        for (p, ((i, j), value)) in explanation.pairs.iter().enumerate() {
            let mut without = shallow.clone();
            without.pairs.as_mut().unwrap().pairs.weights[p] = 0;
            prop_assert_eq!(pairs.pairs.list.pairs(num_fields)[p], (*i, *j));
            let lost = logit(&shallow, row) - logit(&without, row);
            prop_assert!((value * STEPS - lost).abs() <= 2.0, "pair {i} {j}: {} steps, {lost} lost", value * STEPS);
        }
    }
    Ok(())
}

fn logit(model: &QuantizedModel, row: Row<'_>) -> f64 {
    integer_forward(model, row).unwrap().logit as f64
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn int8_parts_are_the_oracle_s(float in models(), seed in any::<u64>()) {
        let rows = Rows::for_config(&float.config, ROWS, seed);
        equals_the_oracle(&quantized(&float, &rows), &rows)?;
    }

    #[test]
    fn dynamic_parts_are_the_oracle_s(float in models(), seed in any::<u64>()) {
        let rows = Rows::for_config(&float.config, ROWS, seed);
        equals_the_oracle(&dynamic(&float, &rows), &rows)?;
    }

    #[test]
    fn f32_parts_are_close_to_the_oracle_s(float in models(), seed in any::<u64>()) {
        let rows = Rows::for_config(&float.config, ROWS, seed);
        let shallow = FloatModel { layers: Vec::new(), ..float.clone() };
        for (explanation, row) in explained(&pack_f32(&float).unwrap(), &rows).iter().zip(rows.iter()) {
            let sum = parts(explanation).sum::<f64>();
            prop_assert_eq!((sum + explanation.layers) as f32, explanation.logit);
            let expected = float_forward(&shallow, row).unwrap().logit;
            let size = parts(explanation).map(f64::abs).sum::<f64>() + expected.abs() + 1.0;
            prop_assert!((sum - expected).abs() <= 1e-6 * size, "{sum} instead of {expected}");
        }
    }
}

#[test]
fn a_row_that_does_not_fit_is_refused() {
    let shape = Shape {
        num_fields: 3,
        embed_dim: 4,
        feature_weight: true,
        field_vector: true,
        interaction: Interaction::FieldWeighted,
        pruned: false,
        hidden: None,
        seed: 1,
    };
    let mut float = float_model(&shape);
    float.config.fields.iter_mut().for_each(|field| (field.bag, field.weighted) = (false, false));
    let packed = pack_f32(&float).unwrap();
    let model = Model::from_bytes(&packed).unwrap();
    let message = explain(&model, Row::new(&[0, 1_000_000, 0])).unwrap_err().to_string();
    assert!(message.contains("index 1000000"), "{message}");
    let all = explain(&model, Row::new(&[0, 0, 0])).unwrap();
    assert!(all.pairs.iter().map(|(pair, _)| *pair).eq(PairList::Dense.pairs(3)));
}
