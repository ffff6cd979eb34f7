//! int8 in tensors equals `docs/quantization.md` in plain 64-bit integers, and the runtime's own arithmetic where it is
//! public.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::HashMap;

use common::{configurations, random_model, random_rows};
use tch::{Kind, Tensor, no_grad};
use xsfm_interchange::config::{EmbeddingConfig, Interaction, Operation, Scales};
use xsfm_interchange::quantization::{
    LOGIT_STEP, TableBits, channel_scale, coefficients, limit, logit_bias, multiplier, quantize, symmetric_scale, term,
};
use xsfm_interchange::rows::RowBlock;
use xsfm_runtime::quant::requantize;
use xsfm_runtime::weight::{self, Weight};
use xsfm_trainer::model::{Dropout, Model};
use xsfm_trainer::qat::{calibrate, fold_batch_norm};
use xsfm_trainer::quantized::Quantized;
use xsfm_trainer::quantized::scales::{check_scales, refresh_table_scales};

type Named = HashMap<String, (Vec<f64>, usize)>;

fn named(model: &Model) -> Named {
    let tensors = model.parameters.to_checkpoint(&model.layout).into_iter();
    let host = |t: Tensor| {
        let columns = usize::try_from(*t.size().last().unwrap()).unwrap();
        (Vec::try_from(t.detach().to_kind(Kind::Double).contiguous().flatten(0, -1)).unwrap(), columns)
    };
    tensors.map(|(name, t)| (name, host(t))).collect()
}

/// The logit of row `i` in steps of 2^-16, by the equations of the document, one number at a time.
fn integer_logit(model: &Model, t: &Named, scales: &Scales, block: &RowBlock, i: usize) -> i64 {
    let (config, dim, row) = (&model.config, model.config.embed_dim, block.row(i));
    let entry = |name: String, r: u32, c: usize, scale: f64| {
        let (values, columns) = &t[&name];
        i64::from(scales.table_bits.round(values[r as usize * columns + c] / scale))
    };
    let mut e: Vec<i64> = Vec::new();
    for (f, field) in config.fields.iter().enumerate() {
        let s = &scales.tables[f];
        for d in 0..dim {
            let mut acc = 0;
            for (index, weight) in weight::entries(row.field(f).unwrap(), field.weighted) {
                let name = |part| format!("embedding.{f}.{part}");
                let t = match field.embedding {
                    EmbeddingConfig::Full => 128 * entry(name("full"), index, d, s[0]),
                    EmbeddingConfig::Hashed { rows } => 128 * entry(name("hashed"), index % rows, d, s[0]),
                    EmbeddingConfig::QuotientRemainder { collisions, operation } => {
                        let q = |c| entry(name("quotient"), index / collisions, c, s[0]);
                        let r = |c| entry(name("remainder"), index % collisions, c, s[1]);
                        match operation {
                            Operation::Mult => q(d) * r(d),
                            Operation::Add => 128 * (q(d) + r(d)),
                            Operation::Concat if d < dim / 2 => 128 * q(d),
                            Operation::Concat => 128 * r(d - dim / 2),
                        }
                    }
                };
                acc += (t * i64::from(weight.steps()) + 2048) >> 12;
            }
            let step = if field.is_product() { s[0] * s[1] } else { s[0] / 128.0 };
            e.push(if field.is_requantized() {
                let m = multiplier(step / scales.fields[f]).unwrap();
                i64::from(requantize(i32::try_from(acc).unwrap(), m).clamp(-127, 127))
            } else {
                acc / 128
            });
        }
    }
    let steps = |acc: i64, scale: f64| {
        let way = term(scale).unwrap();
        (acc * i64::from(way.mantissa) + (1 << (way.shift - 1))) >> way.shift
    };
    let mut logit = i64::from(logit_bias(t["bias"].0[0]));
    if config.feature_weight {
        let tables: Vec<&Vec<f64>> = (0..config.fields.len()).map(|f| &t[&format!("feature_weight.{f}")].0).collect();
        let largest = |w: &Vec<f64>| symmetric_scale(w.iter().fold(0.0, |m: f64, w| m.max(w.abs())), 127);
        let s: Vec<f64> = tables.iter().map(|w| largest(w)).collect();
        let scale = s.iter().fold(0.0, |m: f64, &s| m.max(s)) / 32_767.0;
        let mut acc = 0;
        for (f, w) in tables.iter().enumerate() {
            let entries = weight::entries(row.field(f).unwrap(), config.fields[f].weighted);
            let of_entry = |(i, weight): (u32, Weight)| quantize(w[i as usize], s[f], 127) * i32::from(weight.steps());
            let sum: i32 = entries.map(of_entry).sum();
            acc += (i64::from(quantize(s[f], scale, 32_767)) * i64::from(sum) + 2048) >> 12;
        }
        logit += steps(acc, scale);
    }
    if config.field_vector {
        let u: Vec<f64> = t["field_vector"].0.iter().enumerate().map(|(i, w)| w * scales.fields[i / dim]).collect();
        let (u, scale) = coefficients(&u, limit::FIELD_VECTOR_SUM);
        logit += steps(u.iter().zip(&e).map(|(&u, e)| i64::from(u) * e).sum(), scale);
    }
    if config.interaction != Interaction::None {
        let n = config.fields.len();
        let pairs: Vec<(usize, usize)> = (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j))).collect();
        let r = |&(i, j): &(usize, usize)| {
            let r = match config.interaction {
                Interaction::FieldWeighted => {
                    let w = &t["field_matrix"].0;
                    f64::from((w[i * n + j] as f32 + w[j * n + i] as f32) * 0.5)
                }
                _ => 1.0,
            };
            r * scales.fields[i] * scales.fields[j]
        };
        let (r, scale) = coefficients(&pairs.iter().map(r).collect::<Vec<_>>(), limit::PAIR_SUM);
        let dot = |i: usize, j: usize| (0..dim).map(|d| e[i * dim + d] * e[j * dim + d]).sum::<i64>();
        logit += steps(pairs.iter().zip(r).map(|(&(i, j), r)| i64::from(r) * dot(i, j)).sum(), scale);
    }
    if let Some(mlp) = &config.mlp {
        let (mut x, mut input_scale) = (e, 1.0);
        for n in 0..=mlp.hidden.len() {
            let (weights, inputs) = &t[&format!("mlp.{n}.weight")];
            let mut y = Vec::new();
            for (o, &bias) in t[&format!("mlp.{n}.bias")].0.iter().enumerate() {
                let fold = |j: usize| if n == 0 { scales.fields[j / dim] } else { 1.0 };
                let w: Vec<f64> = (0..*inputs).map(|j| weights[o * inputs + j] * fold(j)).collect();
                let s = channel_scale(w.iter().fold(0.0, |m: f64, w| m.max(w.abs())), bias, input_scale);
                let a = input_scale * s;
                let products = w.iter().zip(&x).map(|(&w, x)| i64::from(quantize(w, s, 127)) * x);
                let acc = i64::from(quantize(bias, a, 1 << 30)) + products.sum::<i64>();
                if n == mlp.hidden.len() {
                    logit += steps(acc, a);
                } else {
                    let m = multiplier(a / scales.activations[n]).unwrap();
                    y.push(i64::from(requantize(i32::try_from(acc).unwrap(), m).clamp(0, 255)));
                }
            }
            input_scale = scales.activations.get(n).copied().unwrap_or(1.0);
            x = y;
        }
    }
    logit.clamp(-limit::LOGIT, limit::LOGIT)
}

fn quantizable(seed: i64, name_config: (&str, xsfm_interchange::config::ModelConfig)) -> (Model, RowBlock, Scales) {
    let model = fold_batch_norm(&random_model(name_config.1, seed)).unwrap();
    let block = random_rows(&model.config, 60, seed.cast_unsigned());
    let bits = if seed % 4 == 0 { TableBits::Four } else { TableBits::Eight };
    let scales = calibrate(&model, bits, &[random_rows(&model.config, 200, 1000 + seed.cast_unsigned())]).unwrap();
    (model, block, scales)
}

#[test]
fn exact_forward_equals_plain_integers() {
    for (seed, (name, config)) in (1..).zip(configurations().into_iter().cycle().take(28)) {
        let (model, block, wanted) = quantizable(seed, (name, config));
        let quantized = Quantized::new(&model, &wanted, Kind::Double).unwrap();
        check_scales(&model.config, &quantized.scales).unwrap();
        let logits = quantized.logits(&model.entries(&block).unwrap());
        let logits: Vec<f64> = Vec::try_from(logits).unwrap();
        let tensors = named(&model);
        for (i, logit) in logits.iter().enumerate() {
            let expected = integer_logit(&model, &tensors, &quantized.scales, &block, i);
            assert_eq!(logit / LOGIT_STEP, expected as f64, "{name}, seed {seed}, row {i}");
        }
        // Saved scales give the same integers again, and int8 is near the real numbers.
        let again = Quantized::new(&model, &quantized.scales, Kind::Double).unwrap();
        assert_eq!(again.scales, quantized.scales, "{name}");
        let real: Vec<f64> =
            Vec::try_from(model.logits(&model.entries(&block).unwrap()).to_kind(Kind::Double)).unwrap();
        let mean = |v: &mut dyn Iterator<Item = f64>| v.sum::<f64>() / logits.len() as f64;
        let error = mean(&mut real.iter().zip(&logits).map(|(a, b)| (a - b).abs()));
        let centre = mean(&mut real.iter().copied());
        let deviation = mean(&mut real.iter().map(|r| (r - centre).powi(2))).sqrt();
        // Fifteen steps of a table in place of 255.
        let bound = if wanted.table_bits == TableBits::Four { 0.5 } else { 0.03 };
        assert!(error < bound * deviation, "{name}, seed {seed}: int8 is off by {error}, deviation {deviation}");
    }
}

#[test]
fn training_in_f32_uses_the_same_integers() {
    for (seed, (name, config)) in (1..).zip(configurations()) {
        let (model, block, wanted) = quantizable(seed, (name, config));
        let entries = model.entries(&block).unwrap();
        let exact = Quantized::new(&model, &wanted, Kind::Double).unwrap().logits(&entries);
        let trained = Quantized::new(&model, &wanted, Kind::Float).unwrap().pass(&entries, Dropout::default()).logits;
        let steps = ((trained.to_kind(Kind::Double) - exact) / LOGIT_STEP).abs().max().double_value(&[]);
        // Sums beyond 2^24 are rounded in f32.
        assert!(steps <= 16.0, "{name}: {steps} steps apart");
    }
}

/// The gradient of each trained number is that of the model in real numbers, as far as rounding lets the two agree.
#[test]
fn gradients_go_straight_through() {
    for (seed, (name, config)) in (1..).zip(configurations()) {
        let (model, block, wanted) = quantizable(seed, (name, config));
        let entries = model.entries(&block).unwrap();
        let gradients = |logits: Tensor| -> Vec<(String, Tensor)> {
            for (_, mut tensor, _) in model.parameters.named() {
                tensor.zero_grad();
            }
            logits.sum(Kind::Float).backward();
            model.parameters.named().into_iter().map(|(name, t, _)| (name, t.grad().copy())).collect()
        };
        let real = gradients(model.train_pass(&entries, Dropout::default()).logits);
        let int8 =
            gradients(Quantized::new(&model, &wanted, Kind::Float).unwrap().pass(&entries, Dropout::default()).logits);
        for ((part, real), (_, int8)) in real.iter().zip(&int8) {
            let cosine = real.flatten(0, -1).dot(&int8.flatten(0, -1)) / (real.norm() * int8.norm());
            let (cosine, ratio) = (cosine.double_value(&[]), (int8.norm() / real.norm()).double_value(&[]));
            assert!(cosine > 0.97 && (0.9..1.1).contains(&ratio), "{name}, {part}: cosine {cosine}, ratio {ratio}");
        }
    }
}

#[test]
fn a_value_that_is_clamped_learns_nothing() {
    let (_, config) = configurations().swap_remove(3);
    let (model, block, mut scales) = quantizable(4, ("MLP alone", config));
    // Tables that are clipped at a hundredth of their range.
    scales.tables.iter_mut().flatten().for_each(|s| *s /= 100.0);
    let entries = model.entries(&block).unwrap();
    let quantized = Quantized::new(&model, &scales, Kind::Float).unwrap();
    quantized.pass(&entries, Dropout::default()).logits.sum(Kind::Float).backward();
    let first = &model.parameters.first;
    let clipped = scales.tables[0][0] * 127.5;
    let of_field = |t: &Tensor| t.narrow(0, 0, 3);
    let is_clipped = of_field(first).abs().gt(clipped);
    assert!(is_clipped.any().int64_value(&[]) == 1);
    let gradient = (of_field(&first.grad()) * is_clipped.to_kind(Kind::Float)).abs().max();
    assert_eq!(gradient.double_value(&[]), 0.0);
}

#[test]
fn table_scales_follow_the_weights_and_wrong_ones_are_refused() {
    let (_, config) = configurations().swap_remove(0);
    let (model, _, mut scales) = quantizable(1, ("everything", config));
    let before = scales.clone();
    no_grad(|| model.parameters.first.shallow_clone().copy_(&(&model.parameters.first * 2.0)));
    refresh_table_scales(&model, &mut scales).unwrap();
    assert_eq!(scales.tables[0][0], before.tables[0][0] * 2.0);
    assert_eq!((scales.fields[0], scales.fields[1]), (scales.tables[0][0], before.fields[1]));
    assert_eq!(scales.tables[2][0], scales.tables[2][1], "the tables of a sum share a scale");

    scales.activations[1] = 0.0;
    assert!(check_scales(&model.config, &scales).unwrap_err().to_string().contains("a scale of 0"));
    scales.activations.pop();
    let message = check_scales(&model.config, &scales).unwrap_err().to_string();
    assert!(message.contains("activations has 1 entries, 2 are needed"), "{message}");
}
