//! Adam on tables of which a batch uses some rows: both rules equal the plainest way of computing them.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::HashMap;

use common::{configurations, random_model, random_rows};
use tch::{Kind, Tensor, no_grad};
use xsfm_interchange::config::{EmbeddingConfig, MlpConfig, ModelConfig};
use xsfm_trainer::model::lookup::Numberings;
use xsfm_trainer::model::role::Role;
use xsfm_trainer::model::{Dropout, Model};
use xsfm_trainer::optimizer::Adam;
use xsfm_trainer::settings::{Optimizer, Training};

const LEARNING_RATE: f64 = 0.01;
const WEIGHT_DECAY: f64 = 0.1;
const STEPS: u64 = 6;

fn bits(t: &Tensor) -> Vec<u32> {
    let values: Vec<f32> = Vec::try_from(t.detach().contiguous().flatten(0, -1)).unwrap();
    values.into_iter().map(f32::to_bits).collect()
}

#[derive(clap::Parser)]
#[command(args_override_self = true)]
struct Flags {
    #[command(flatten)]
    training: Training,
}

fn training(flags: &[&str]) -> Training {
    <Flags as clap::Parser>::parse_from([&["test", "--table-l2=0"], flags].concat()).training
}

/// Two models with the same numbers. libtorch's random state is the process's, which other tests use at the same time.
fn twins(config: &ModelConfig) -> (Model, Model) {
    let (one, other) = (random_model(config.clone(), 3), random_model(config.clone(), 3));
    other.parameters.restore(&one.parameters.snapshot().into_iter().collect()).unwrap();
    (one, other)
}

/// Trains by the gradient of whole tables, a number at a time in f64: `lazy` says whether the rows of other batches
/// move.
struct Plain {
    moments: HashMap<String, (Vec<f64>, Vec<f64>)>,
    lazy: bool,
    table_l2: f64,
    first_order_l2: f64,
    /// Factors on them, and on the learning rate, of the first field.
    first_field: [f64; 2],
}

impl Plain {
    /// L2 and learning rate of a tensor's row.
    fn rule(&self, model: &Model, name: &str, row: i64) -> (f64, f64) {
        let is_product = |row| {
            let mut tables = model.layout.tables().into_iter().filter(|table| table.is_second == (name == "second"));
            tables.any(|t| (t.from..t.from + t.rows).contains(&row) && model.config.fields[t.field].is_product())
        };
        let l2 = match name {
            "first" | "second" if is_product(row) => 0.0,
            "first" | "second" => self.table_l2,
            "feature_weight" => self.first_order_l2,
            _ => return (0.0, LEARNING_RATE),
        };
        let of_first = match name {
            "feature_weight" => row < i64::from(model.config.fields[0].features),
            _ => model.layout.tables().iter().any(|table| {
                table.field == 0
                    && table.is_second == (name == "second")
                    && (table.from..table.from + table.rows).contains(&row)
            }),
        };
        let [l2_factor, rate_factor] = if of_first { self.first_field } else { [1.0; 2] };
        (l2 * l2_factor, LEARNING_RATE * rate_factor)
    }

    fn step(&mut self, model: &Model, step: i32, used: impl Fn(&str) -> Option<Vec<i64>>) {
        let corrections = (1.0 - 0.9_f64.powi(step), 1.0 - 0.999_f64.powi(step));
        for (name, mut parameter, role) in model.parameters.named() {
            let gradient = parameter.grad();
            if role == Role::Statistic || !gradient.defined() {
                continue;
            }
            let host = |t: &Tensor| -> Vec<f64> {
                Vec::try_from(t.detach().to_kind(Kind::Double).contiguous().flatten(0, -1)).unwrap()
            };
            let (mut values, mut gradient) = (host(&parameter), host(&gradient));
            let columns = values.len() / usize::try_from(parameter.size()[0]).unwrap();
            let row = |i: usize| i64::try_from(i / columns).unwrap();
            let rules: Vec<(f64, f64)> = (0..values.len()).map(|i| self.rule(model, &name, row(i))).collect();
            gradient.iter_mut().zip(&values).zip(&rules).for_each(|((g, w), (l2, _))| *g += l2 * w);
            let (mean, square) =
                self.moments.entry(name.clone()).or_insert_with(|| (vec![0.0; values.len()], vec![0.0; values.len()]));
            let rows = used(&name).filter(|_| self.lazy);
            for (i, value) in values.iter_mut().enumerate() {
                if rows.as_ref().is_some_and(|rows| !rows.contains(&row(i))) {
                    continue;
                }
                if role == Role::Matrix {
                    *value *= 1.0 - LEARNING_RATE * WEIGHT_DECAY;
                }
                mean[i] = 0.9 * mean[i] + 0.1 * gradient[i];
                square[i] = 0.999 * square[i] + 0.001 * gradient[i] * gradient[i];
                *value -= rules[i].1 * (mean[i] / corrections.0) / ((square[i] / corrections.1).sqrt() + 1e-8);
            }
            no_grad(|| parameter.copy_(&Tensor::from_slice(&values).view(parameter.size().as_slice())));
            parameter.zero_grad();
        }
    }
}

const RULES: [(Optimizer, &str); 2] =
    [(Optimizer::Adam, "--optimizer=adam"), (Optimizer::LazyAdam, "--optimizer=lazy-adam")];

/// Both rules, with L2 of whole tables, of some fields in their way, against plain loops over the gradient of whole
/// tables.
#[test]
fn both_rules_equal_their_equations() {
    for (what, mut config) in configurations() {
        // BatchNorm of two rows has gradients that are nothing but rounding errors, and Adam makes whole steps of them.
        config.mlp = config.mlp.map(|mlp| MlpConfig { batch_norm: false, ..mlp });
        let first = &config.fields[0].name;
        let of_field = [format!("--field-l2={first}=0.5"), format!("--field-rate={first}=3")];
        let of_field: Vec<&str> = of_field.iter().map(String::as_str).collect();
        let l2 = &["--table-l2=0.3", "--first-order-l2=0.2"][..];
        let kinds = [(vec![], [0.0; 2], [1.0; 2]), (l2.to_vec(), [0.3, 0.2], [1.0; 2])];
        let kinds = kinds.into_iter().chain([([l2, &of_field].concat(), [0.3, 0.2], [0.5, 3.0])]);
        for ((rule, flag), (flags, l2, first_field)) in
            kinds.flat_map(|kind| RULES.into_iter().map(move |rule| (rule, kind.clone())))
        {
            let (model, plain_model) = twins(&config);
            let (lazy, [table_l2, first_order_l2]) = (rule == Optimizer::LazyAdam, l2);
            let mut adam = Adam::new(&model, &training(&[&[flag], &flags[..]].concat()), table_l2).unwrap();
            let mut plain = Plain { moments: HashMap::new(), lazy, table_l2, first_order_l2, first_field };
            let mut numberings = Numberings::default();
            let before = bits(&model.parameters.first);
            for step in 1..=STEPS {
                let block = random_rows(&config, 2, step);
                let loss = |logits: &Tensor| logits.square().sum(Kind::Float);

                let rows = model.layout.indexer().rows(&block).unwrap();
                let entries = model.train_entries(&numberings.distinct(rows)).unwrap();
                let of_batch = loss(&model.train_pass(&entries, Dropout::default()).logits);
                adam.step(&of_batch, LEARNING_RATE, WEIGHT_DECAY, &entries).unwrap();

                let whole = plain_model.entries(&block).unwrap();
                loss(&plain_model.train_pass(&whole, Dropout::default()).logits).backward();
                let rows = |t: &Tensor| -> Vec<i64> { Vec::try_from(t.shallow_clone()).unwrap() };
                plain.step(&plain_model, i32::try_from(step).unwrap(), |name| match name {
                    "first" => Some(rows(&whole.first.at)),
                    "second" => whole.second.as_ref().map(|lookup| rows(&lookup.at)),
                    "feature_weight" => whole.feature.as_ref().map(|lookup| rows(&lookup.at)),
                    _ => None,
                });
            }
            for ((name, found, _), (_, expected, _)) in
                model.parameters.named().iter().zip(plain_model.parameters.named())
            {
                let error = (found - expected).abs().max().double_value(&[]);
                assert!(error < 2e-4, "{what}, {rule:?}, {flags:?}: {name} is {error} off");
            }
            let changed = bits(&model.parameters.first).iter().zip(&before).filter(|(a, b)| a != b).count();
            assert!(changed > 0, "{what}, {rule:?}: nothing was trained");
        }
    }
}

/// Dense Adam moves a table in chunks without a gradient, and then the batch's rows: as libtorch moves a whole table by
/// a whole gradient.
#[test]
fn chunks_of_a_table_move_as_the_table_does() {
    let config = ModelConfig {
        mlp: None,
        ..common::config(
            vec![
                common::field("large", 30_011, false, EmbeddingConfig::Full),
                common::field("bag", 9_973, true, EmbeddingConfig::Full),
            ],
            7,
        )
    };
    let (model, plain) = twins(&config);
    // A chunk of several threads, and a last one that is shorter.
    tch::set_num_threads(3);
    let mut adam = Adam::new(&model, &training(&[]), 0.0).unwrap();
    let mut numberings = Numberings::default();
    let mut moments: HashMap<String, [Tensor; 2]> = HashMap::new();
    for step in 1..=4 {
        let block = random_rows(&config, 300, step);
        let entries = model.train_entries(&numberings.distinct(model.layout.indexer().rows(&block).unwrap())).unwrap();
        let loss = model.train_pass(&entries, Dropout::default()).logits.square().sum(Kind::Float);
        adam.step(&loss, LEARNING_RATE, 0.0, &entries).unwrap();

        let whole = plain.entries(&block).unwrap();
        plain.train_pass(&whole, Dropout::default()).logits.square().sum(Kind::Float).backward();
        let step = i32::try_from(step).unwrap();
        for (name, mut parameter, _) in plain.parameters.named() {
            no_grad(|| {
                let gradient = parameter.grad();
                let [mean, square] = moments
                    .entry(name)
                    .or_insert_with(|| [parameter.zeros_like().detach(), parameter.zeros_like().detach()]);
                let _ = mean.lerp_(&gradient, 1.0 - 0.9);
                let _ = square.lerp_(&gradient.square(), 1.0 - 0.999);
                let deviation = square.sqrt() / (1.0 - 0.999_f64.powi(step)).sqrt() + 1e-8;
                let step = &*mean / deviation * (LEARNING_RATE / (1.0 - 0.9_f64.powi(step)));
                let _ = parameter.g_sub_(&step);
                parameter.zero_grad();
            });
        }
    }
    for ((name, found, _), (_, expected, _)) in model.parameters.named().iter().zip(plain.parameters.named()) {
        let error = (found - expected).abs().max().double_value(&[]);
        assert!(error < 1e-6, "{name} is {error} off");
    }
}
