//! What an exported model computes in another engine, against the oracle.
#![allow(clippy::unwrap_used, reason = "tests stop at the first surprise")]

mod common;

use common::{config_with_everything, parameters, random_rows, write_checkpoint};
use tract_onnx::prelude::*;
use xsfm_convert::export::{Outputs, onnx};
use xsfm_convert::model::{FloatModel, PairList};
use xsfm_convert::reference::float_forward;
use xsfm_convert::{checkpoint, import};
use xsfm_interchange::config::{EmbeddingConfig, Interaction, ModelConfig};
use xsfm_interchange::rows::RowBlock;

/// Logits and probabilities of an exported model, by tract.
fn run(file: &[u8], rows: &RowBlock, num_fields: usize) -> Vec<Vec<f32>> {
    let indices: Vec<i64> = (0..rows.len())
        .flat_map(|i| (0..num_fields).map(move |f| i64::from(rows.row(i).field(f).unwrap()[0])))
        .collect();
    let model = tract_onnx::onnx().model_for_read(&mut &file[..]).unwrap();
    let model = model.into_optimized().unwrap().into_runnable().unwrap();
    let input = Tensor::from_shape(&[rows.len(), num_fields], &indices).unwrap();
    let outputs = model.run(tvec!(input.into())).unwrap();
    outputs.iter().map(|output| output.to_plain_array_view::<f32>().unwrap().iter().copied().collect()).collect()
}

fn load(config: &ModelConfig, seed: u64, change: impl FnOnce(&mut common::Parameters)) -> FloatModel {
    let folder = tempfile::tempdir().unwrap();
    let mut parameters = parameters(config, seed);
    change(&mut parameters);
    write_checkpoint(folder.path(), config, &parameters);
    checkpoint::load(folder.path()).unwrap()
}

/// The model that an import makes of an export computes the same.
fn assert_returns(model: &FloatModel, rows: &RowBlock, outputs: Outputs, what: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    std::fs::write(&path, onnx(model, outputs).unwrap()).unwrap();
    let read = import::onnx::load(&path, None).unwrap_or_else(|error| panic!("{what}: {error}"));
    for i in 0..rows.len() {
        let expected = float_forward(model, rows.row(i)).unwrap().logit;
        let logit = float_forward(&read, rows.row(i)).unwrap().logit;
        assert!((logit - expected).abs() < 1e-5 * expected.abs().max(1.0), "{what}, row {i}: {logit}, not {expected}");
    }
    assert_eq!(read.layers.len(), if model.layers.len() > 1 { model.layers.len() } else { 0 }, "{what}");
    assert_eq!(read.pairs.is_some(), model.pairs.is_some(), "{what}");
    if model.pairs.is_some() || model.layers.len() > 1 {
        assert_eq!(read.config.embed_dim, model.config.embed_dim, "{what}");
        for (read, model) in read.fields.iter().zip(&model.fields) {
            assert_eq!(read.tables, model.tables, "{what}");
        }
    }
}

fn assert_agrees(model: &FloatModel, what: &str) {
    let rows = random_rows(&model.config, 50, 9);
    assert_returns(model, &rows, Outputs::Logit, what);
    assert_returns(model, &rows, Outputs::LogitAndProbability, what);
    let num_fields = model.fields.len();
    let both = run(&onnx(model, Outputs::LogitAndProbability).unwrap(), &rows, num_fields);
    let [logits, probabilities] = both.as_slice() else { panic!("{what}: {} outputs", both.len()) };
    assert_eq!(logits.len(), rows.len(), "{what}");
    for (i, (&logit, &probability)) in logits.iter().zip(probabilities).enumerate() {
        let expected = float_forward(model, rows.row(i)).unwrap().logit;
        assert!((f64::from(logit) - expected).abs() < 1e-4, "{what}, row {i}: {logit} instead of {expected}");
        let expected = 1.0 / (1.0 + (-expected).exp());
        assert!((f64::from(probability) - expected).abs() < 1e-4, "{what}, row {i}: {probability}");
    }
    assert_eq!(run(&onnx(model, Outputs::Logit).unwrap(), &rows, num_fields), &both[..1], "{what}");
}

fn without_bags() -> ModelConfig {
    let mut config = config_with_everything();
    config.fields.retain(|field| !field.bag);
    config
}

#[test]
fn every_kind_of_field_and_every_part() {
    type Change = fn(&mut ModelConfig);
    let changes: [(&str, Change); 10] = [
        ("everything", |_| ()),
        ("full tables", |c| c.fields.iter_mut().for_each(|field| field.embedding = EmbeddingConfig::Full)),
        ("one kind of QR table", |c| c.fields.drain(..1).for_each(|_| ())),
        ("FwFM", |c| (c.mlp, c.feature_weight) = (None, false)),
        ("FM", |c| (c.mlp, c.field_vector, c.interaction) = (None, false, Interaction::Unit)),
        ("LR", |c| (c.mlp, c.field_vector, c.interaction) = (None, false, Interaction::None)),
        ("field vectors alone", |c| (c.mlp, c.feature_weight, c.interaction) = (None, false, Interaction::None)),
        ("MLP alone", |c| (c.feature_weight, c.field_vector, c.interaction) = (false, false, Interaction::None)),
        ("no hidden layer", |c| c.mlp.as_mut().unwrap().hidden.clear()),
        ("one field", |c| c.fields.truncate(1)),
    ];
    for (what, change) in changes {
        let mut config = without_bags();
        change(&mut config);
        assert_agrees(&load(&config, 5, |_| ()), what);
    }
}

#[test]
fn pruned_pairs() {
    let model = load(&without_bags(), 3, |parameters| {
        // Only the pairs (0, 1) and (2, 3) remain.
        let matrix = &mut parameters.get_mut("field_matrix").unwrap().1;
        let others = matrix.iter_mut().enumerate().filter(|(at, _)| ![(0, 1), (3, 2)].contains(&(at / 4, at % 4)));
        others.for_each(|(_, value)| *value = 0.0);
    });
    assert_eq!(model.pairs.as_ref().unwrap().list, PairList::Pruned(vec![(0, 1), (2, 3)]));
    assert_agrees(&model, "pruned");
}

#[test]
fn tables_that_are_too_short_for_a_field_are_refused() {
    let mut config = without_bags();
    config.fields.retain(|field| field.embedding.quotient_remainder().is_some());
    let mut model = load(&config, 4, |_| ());
    // As if the first field had features that its quotients have no rows for.
    model.fields[0].feature_weights.as_mut().unwrap().extend([0.5; 1000]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    std::fs::write(&path, onnx(&model, Outputs::Logit).unwrap()).unwrap();
    let message = import::onnx::load(&path, None).unwrap_err().to_string();
    assert!(message.contains("field `indices_0` needs") && message.contains("features, which has"), "{message}");
}

#[test]
fn a_bag_is_refused_by_name() {
    let error = onnx(&load(&config_with_everything(), 1, |_| ()), Outputs::Logit).unwrap_err().to_string();
    assert!(error.contains("`genres` is a bag"), "{error}");
}

#[test]
fn a_model_that_reads_nothing_is_refused() {
    let mut model = load(&without_bags(), 1, |_| ());
    model.layers.clear();
    (model.field_vectors, model.pairs) = (None, None);
    model.fields.iter_mut().for_each(|field| field.feature_weights = None);
    assert!(onnx(&model, Outputs::Logit).is_err());
}
