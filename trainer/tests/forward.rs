//! The model in real numbers equals the plainest loops over its checkpoint's tensors.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::plain::{Named, dot, layers, vectors};
use common::{configurations, random_model, random_rows};
use tch::{Device, Kind, Tensor};
use xsfm_interchange::config::{Interaction, ModelConfig};
use xsfm_interchange::rows::RowBlock;
use xsfm_runtime::weight;
use xsfm_trainer::model::{Dropout, Model, pairs};
use xsfm_trainer::qat::fold_batch_norm;
use xsfm_trainer::settings::Initialization;

/// xDeepFM's interactions of v `[num_fields][dim]`, product by product.
fn compressed(config: &ModelConfig, t: &Named, v: &[Vec<f64>]) -> f64 {
    let mut x = v.to_vec();
    let mut sums = Vec::new();
    for n in 0..config.compressed.len() {
        let of_output = |m: usize| -> Vec<f64> {
            let w = t.row(&format!("compressed.{n}.weight"), m as u32);
            let of_dim = |d: usize| {
                let pairs = x.iter().flat_map(|a| v.iter().map(move |b| a[d] * b[d]));
                let sum: f64 = pairs.zip(w).map(|(product, w)| product * w).sum();
                (sum + t.get(&format!("compressed.{n}.bias"))[m]).max(0.0)
            };
            (0..config.embed_dim).map(of_dim).collect()
        };
        x = (0..config.compressed[n]).map(of_output).collect();
        sums.extend(x.iter().map(|x| x.iter().sum::<f64>()));
    }
    let n = config.compressed.len();
    if n == 0 {
        return 0.0;
    }
    let w = t.get(&format!("compressed.{n}.weight"));
    t.get(&format!("compressed.{n}.bias"))[0] + sums.iter().zip(w).map(|(s, w)| s * w).sum::<f64>()
}

fn naive_logit(config: &ModelConfig, t: &Named, block: &RowBlock, i: usize) -> f64 {
    let mut logit = t.get("bias")[0];
    if config.feature_weight {
        let row = block.row(i);
        for (f, field) in config.fields.iter().enumerate() {
            let entries = weight::entries(row.field(f).unwrap(), field.weighted);
            let scalars = t.get(&format!("feature_weight.{f}"));
            logit += entries.map(|(i, weight)| f64::from(weight.to_f32()) * scalars[i as usize]).sum::<f64>();
        }
    }
    let v = vectors(config, t, block, i);
    for (i, a) in v.iter().enumerate() {
        if config.field_vector {
            logit += dot(a, t.row("field_vector", i as u32));
        }
        for (j, b) in v.iter().enumerate().skip(i + 1) {
            let w = |i: usize, j: usize| t.row("field_matrix", i as u32)[j];
            logit += dot(a, b)
                * match config.interaction {
                    Interaction::None => 0.0,
                    Interaction::Unit => 1.0,
                    Interaction::FieldWeighted => (w(i, j) + w(j, i)) / 2.0,
                    Interaction::LowRank { rank } => {
                        let u = |k: usize, i: usize| t.row("field_factors", k as u32)[i];
                        (0..rank).map(|k| t.get("field_factor_weights")[k] * u(k, i) * u(k, j)).sum()
                    }
                };
        }
    }
    logit += compressed(config, t, &v);
    match &config.mlp {
        None => logit,
        Some(mlp) => logit + layers(t, "mlp", v.concat(), mlp.hidden.len())[0],
    }
}

#[test]
fn one_gather_and_matrix_products_equal_plain_loops() {
    let everything = configurations().remove(0).1;
    let low_rank = ModelConfig { interaction: Interaction::LowRank { rank: 3 }, ..everything.clone() };
    let compressed = ModelConfig { compressed: vec![4, 3], ..everything };
    let more = [("low rank", low_rank), ("compressed interactions", compressed)];
    for (seed, (name, config)) in (1..).zip(configurations().into_iter().chain(more)) {
        let model = random_model(config.clone(), seed);
        let block = random_rows(&config, 50, seed.cast_unsigned());
        let logits: Vec<f64> =
            Vec::try_from(model.logits(&model.entries(&block).unwrap()).to_kind(Kind::Double)).unwrap();
        let folded = fold_batch_norm(&model).unwrap();
        let folded_logits: Vec<f64> =
            Vec::try_from(folded.logits(&folded.entries(&block).unwrap()).to_kind(Kind::Double)).unwrap();
        let tensors = Named::of(&model);
        for i in 0..block.len() {
            let expected = naive_logit(&config, &tensors, &block, i);
            for (what, found) in [("as trained", logits[i]), ("BatchNorm folded", folded_logits[i])] {
                let error = (found - expected).abs();
                assert!(error < 2e-5 * expected.abs().max(1.0), "{name}, {what}, row {i}: {found} and {expected}");
            }
        }
    }
}

/// Other programs train a bias before BatchNorm: it moves into the mean, and training, which leaves it out, goes on
/// from the same function.
#[test]
fn biases_before_batch_norm_are_kept_in_its_mean() {
    let (_, config) = configurations().swap_remove(0);
    let other = random_model(config.clone(), 4);
    let block = random_rows(&config, 30, 4);
    let model = Model::new(config, &Initialization::of_deviation(0.1), Device::Cpu).unwrap();
    let saved = other.parameters.to_checkpoint(&other.layout);
    model.parameters.load_checkpoint(&model.layout, saved.into_iter().collect()).unwrap();
    let entries = model.entries(&block).unwrap();
    let furthest = |a: Tensor, b: Tensor| (a - b).abs().max().double_value(&[]);
    assert!(furthest(model.logits(&entries), other.logits(&entries)) < 1e-5);
    for layer in &model.parameters.layers {
        assert_eq!(layer.norm.is_some(), layer.bias.abs().max().double_value(&[]) == 0.0);
    }
    // A step of training takes the same means with the bias of the other program as without it.
    for model in [&model, &other] {
        model.train_pass(&entries, Dropout::default());
    }
    let means = |model: &Model| model.parameters.layers[0].norm.as_ref().unwrap().running_mean.copy();
    let bias = &other.parameters.layers[0].bias;
    assert!(furthest(means(&model), means(&other) - bias * 0.9) < 1e-5);
}

#[test]
fn pairs_from_the_matrix_product_equal_pairs_one_by_one() {
    tch::manual_seed(3);
    let (n, fields, dim) = (5, 7, 4);
    let v = Tensor::randn([n, fields, dim], (Kind::Double, Device::Cpu)).set_requires_grad(true);
    let w = Tensor::randn([fields, fields], (Kind::Double, Device::Cpu)).set_requires_grad(true);
    let r = (&w + w.tr()) * 0.5 * (1.0 - Tensor::eye(fields, (Kind::Double, Device::Cpu)));
    let found = pairs(&v, &r);
    for s in 0..n {
        let mut expected = 0.0;
        for i in 0..fields {
            for j in i + 1..fields {
                let dot = v.get(s).get(i).dot(&v.get(s).get(j)).double_value(&[]);
                expected += (w.double_value(&[i, j]) + w.double_value(&[j, i])) / 2.0 * dot;
            }
        }
        assert!((found.double_value(&[s]) - expected).abs() < 1e-12);
    }
    // The same gradients as libtorch finds for all products of two fields.
    let weights = Tensor::randn([n], (Kind::Double, Device::Cpu));
    let products = v.matmul(&v.transpose(1, 2)) * &r * 0.5;
    let plain = products.sum_dim_intlist([1, 2].as_slice(), false, None::<Kind>);
    let [found, expected] =
        [found, plain].map(|logits| Tensor::run_backward(&[logits.dot(&weights)], &[&v, &w], true, false));
    for (found, expected) in found.iter().zip(&expected) {
        assert!((found - expected).abs().max().double_value(&[]) < 1e-12);
    }
}

/// Gradients reach exactly the rows that a batch uses; the neutral row and the padding of `concat` get none.
#[test]
fn only_the_rows_of_the_batch_learn() {
    let (_, config) = configurations().swap_remove(0);
    let model = random_model(config.clone(), 9);
    let block = random_rows(&config, 2, 9);
    let entries = model.entries(&block).unwrap();
    model.train_pass(&entries, Dropout::default()).logits.square().sum(Kind::Float).backward();
    let used = |rows: &Tensor| -> Vec<i64> { Vec::try_from(rows.shallow_clone()).unwrap() };
    let rows_with_gradient = |t: &Tensor| -> Vec<bool> {
        let any = t.grad().abs().amax([1].as_slice(), false).gt(0.0);
        Vec::try_from(any).unwrap()
    };
    let first = used(&entries.first.at);
    for (row, learns) in (0..).zip(rows_with_gradient(&model.parameters.first)) {
        assert_eq!(learns, first.contains(&row), "row {row} of the first tensor");
    }
    let second = used(&entries.second.as_ref().unwrap().at);
    let learns = rows_with_gradient(model.parameters.second.as_ref().unwrap());
    assert!(second.contains(&0) && !learns[0], "the neutral row must not learn");
    for table in model.layout.tables().iter().filter(|t| t.columns.1 == 3) {
        let tensor = if table.is_second { model.parameters.second.as_ref().unwrap() } else { &model.parameters.first };
        let padding = tensor.grad().narrow(0, table.from, table.rows).narrow(1, 3 - table.columns.0, 3);
        assert_eq!(padding.abs().max().double_value(&[]), 0.0, "padding of {}", table.name);
    }
}

#[test]
fn rows_that_do_not_fit_are_named() {
    let (_, config) = configurations().swap_remove(1);
    let model = random_model(config.clone(), 1);
    let mut block = random_rows(&config, 2, 1);
    block.indices[1] = 23;
    let message = model.entries(&block).unwrap_err().to_string();
    assert!(message.contains("field 1") && message.contains("23"), "{message}");
    block.num_fields = 4;
    let message = model.entries(&block).unwrap_err().to_string();
    assert!(message.contains("rows have 4 fields, the model has 5"), "{message}");
}
