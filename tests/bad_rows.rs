//! Rows that do not fit their model: each kind has its error, and the scorer goes on.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use xsfm_convert::pack::{Packed, pack_int8};
use xsfm_interchange::config::Interaction;
use xsfm_runtime::{Model, Row, ScoreError, Scorer, ScratchBlock};
use xsfm_tests::{Rows, Shape, float_model, quantized};

/// Three fields of 10 features; the last is a bag.
fn packed() -> Packed {
    let shape = Shape {
        num_fields: 3,
        embed_dim: 4,
        feature_weight: true,
        field_vector: true,
        interaction: Interaction::FieldWeighted,
        pruned: false,
        hidden: Some(vec![4]),
        seed: 3,
    };
    let mut float = float_model(&shape);
    for (f, (field, numbers)) in float.config.fields.iter_mut().zip(&mut float.fields).enumerate() {
        (field.features, field.bag, field.weighted) = (10, f == 2, false);
        field.embedding = xsfm_interchange::config::EmbeddingConfig::Full;
        numbers.tables = vec![xsfm_convert::model::Table { rows: 10, columns: 4, values: vec![0.25; 40] }];
        numbers.feature_weights = Some(vec![0.5; 10]);
    }
    let rows = Rows::for_config(&float.config, 8, 1);
    pack_int8(&quantized(&float, &rows)).unwrap()
}

#[test]
fn each_kind_of_bad_row_has_its_error() {
    let packed = packed();
    let model = Model::from_bytes(&packed).unwrap();
    let mut scratch = vec![ScratchBlock::ZERO; model.scratch_blocks()];
    let mut scorer = Scorer::new(&model, &mut scratch).unwrap();
    let long = vec![0; 1030];
    let good = Row::with_bags(&[1, 2, 3, 4], &[0, 1, 2, 4]);
    let before = scorer.score(good).unwrap();
    for (row, error) in [
        (Row::new(&[1, 2]), ScoreError::FieldCount { expected: 3, found: 2 }),
        (Row::new(&[]), ScoreError::FieldCount { expected: 3, found: 0 }),
        (Row::with_bags(&[1, 2, 3], &[]), ScoreError::FieldCount { expected: 3, found: 0 }),
        (Row::new(&[1, 2, 3, 4]), ScoreError::FieldCount { expected: 3, found: 4 }),
        (Row::new(&[1, 10, 3]), ScoreError::IndexOutOfRange { field: 1, index: 10, features: 10 }),
        (Row::new(&[1, u32::MAX, 3]), ScoreError::IndexOutOfRange { field: 1, index: u32::MAX, features: 10 }),
        (Row::with_bags(&[1, 2], &[0, 1, 2, 2]), ScoreError::IndexCount { field: 2, most: 1024, found: 0 }),
        (Row::with_bags(&[1, 2, 3, 4], &[0, 2, 3, 4]), ScoreError::IndexCount { field: 0, most: 1, found: 2 }),
        (Row::with_bags(&long, &[0, 1, 2, 1027]), ScoreError::IndexCount { field: 2, most: 1024, found: 1025 }),
        (Row::with_bags(&[1, 2, 3], &[0, 1, 2, 9]), ScoreError::Offsets { field: 2 }),
        (Row::with_bags(&[1, 2, 3], &[2, 1, 2, 3]), ScoreError::Offsets { field: 0 }),
    ] {
        assert_eq!(scorer.score(row).unwrap_err(), error, "{row:?}");
        assert!(!error.to_string().is_empty());
        assert_eq!(scorer.score(good).unwrap(), before, "after {error}");
    }
    scorer.score(Row::with_bags(&long, &[0, 1, 2, 1026])).unwrap();
}

#[test]
fn a_small_scratch_is_an_error_that_says_how_much_is_needed() {
    let packed = packed();
    let model = Model::from_bytes(&packed).unwrap();
    let needed = model.scratch_blocks();
    let mut scratch = vec![ScratchBlock::ZERO; needed - 1];
    let error = Scorer::new(&model, &mut scratch).unwrap_err();
    assert_eq!(error, ScoreError::ScratchTooSmall { needed, found: needed - 1 });
}
