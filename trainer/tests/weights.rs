//! Weights of rows, from a column of the raw file to the loss and to every figure; and numbers that are weights.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tch::{Kind, Tensor};
use xsfm_interchange::dataset::{Dataset, Part};
use xsfm_interchange::metrics::{Metrics, Observed};
use xsfm_trainer::distill::{cross_entropy, distillation_loss};

const SCHEMA: &str = "weight = \"cost\"\n[label]\ncolumn = \"click\"\n[[fields]]\nname = \"a\"\nkind = \
                      \"categorical\"\n[[fields]]\nname = \"b\"\nkind = \"categorical\"\n";

fn run(folder: &Path, arguments: &str) -> Output {
    let arguments = arguments.split_whitespace();
    Command::new(env!("CARGO_BIN_EXE_xsfm-train")).args(arguments).current_dir(folder).output().unwrap()
}

fn succeed(folder: &Path, arguments: &str) -> String {
    let output = run(folder, arguments);
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Both labels equally often whatever the tokens are; clicks cost as `of_click` says of token `a`, and others 1.
fn prepare(folder: &Path, name: &str, of_click: impl Fn(u32) -> f32) {
    let mut csv = "click,cost,a,b\n".to_owned();
    for i in 0..6000_u32 {
        let (a, b, click) = (i % 5, (i / 5) % 7, (i / 35) % 2);
        let cost = if click == 1 { of_click(a) } else { of_click(0) };
        writeln!(csv, "{click},{cost},a{a},b{b}").unwrap();
    }
    fs::write(folder.join("rows.csv"), csv).unwrap();
    fs::write(folder.join("schema.toml"), SCHEMA).unwrap();
    succeed(folder, &format!("prepare csv --input rows.csv --schema schema.toml --out {name}"));
}

fn weights_of(folder: &Path, data: &str, flags: &str) -> Vec<u8> {
    let flags =
        format!("{flags} --data {data} --out out --epochs 15 --embed-dim 4 --hidden 8 --batch-size 256 --dropout 0");
    succeed(folder, &flags);
    fs::read(folder.join("out/weights.safetensors")).unwrap()
}

/// Clicks with `a3` weigh nine times as much as what is no click: their rate is 0.9, where it is 0.5 by number.
#[test]
fn the_loss_and_every_figure_count_rows_by_their_weights() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    prepare(folder, "data", |a| if a == 3 { 4.5 } else { 0.5 });
    weights_of(folder, "data", "train --learning-rate 0.02 --table-l2 0 --average 0 --stop-on log-loss");
    let found = succeed(folder, "evaluate --checkpoint out --data data --logits logits.txt --json");
    let found: Metrics = serde_json::from_str(&found).unwrap();

    let text = fs::read_to_string(folder.join("logits.txt")).unwrap();
    let logits: Vec<f64> = text.lines().map(|line| f64::from(line.parse::<f32>().unwrap())).collect();
    let data = Dataset::open(&folder.join("data")).unwrap();
    let (mut labels, mut weights, mut a) = (Vec::new(), Vec::new(), Vec::new());
    for block in data.rows(Part::Test).unwrap().blocks() {
        let block = block.unwrap();
        a.extend(block.column(0));
        labels.extend(&block.labels);
        weights.extend(&block.weights);
    }
    let a3 = data.schema().fields[0].vocabulary.iter().position(|token| token == "a3").unwrap() as u32 + 1;
    for (&logit, &a) in logits.iter().zip(&a) {
        let (rate, expected) = (1.0 / (1.0 + (-logit).exp()), if a == a3 { 0.9 } else { 0.5 });
        assert!((rate - expected).abs() < 0.06, "token {a}: {rate}, {expected} expected");
    }
    let expected = Metrics::from_logits(Observed { labels: &labels, weights: &weights }, &logits).unwrap();
    assert!(
        (found.log_loss - expected.log_loss).abs() < 1e-9 && (found.auc.unwrap() - expected.auc.unwrap()).abs() < 1e-9
    );
    let by_number = Metrics::from_logits(&labels, &logits).unwrap();
    assert!((found.log_loss - by_number.log_loss).abs() > 0.05, "{found:?} {by_number:?}");
    let report: Value = serde_json::from_slice(&fs::read(folder.join("out/metrics.json")).unwrap()).unwrap();
    assert!((report["test"]["log_loss"].as_f64().unwrap() - expected.log_loss).abs() < 1e-5);

    // A student learns by them too.
    weights_of(folder, "data", "train --seed 2");
    fs::rename(folder.join("out"), folder.join("teacher")).unwrap();
    let student = |data: &str| weights_of(folder, data, "distill --teacher teacher --alpha 0.5");
    let with_weights = student("data");
    prepare(folder, "equal", |_| 1.0);
    fs::remove_dir_all(folder.join("teacher")).unwrap();
    weights_of(folder, "equal", "train --seed 2");
    fs::rename(folder.join("out"), folder.join("teacher")).unwrap();
    assert!(with_weights != student("equal"));

    // Folded rows keep theirs.
    succeed(folder, "fold --data data --min-count 2 --out folded");
    let folded = Dataset::open(&folder.join("folded")).unwrap().rows(Part::Test).unwrap().read_block(0).unwrap();
    assert_eq!(folded.weights, weights);
}

/// Weights say how rows relate to each other: four times all of them, and ones, train the same bits.
#[test]
fn only_relative_weights_count() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    prepare(folder, "once", |a| 1.0 + a as f32);
    prepare(folder, "fourfold", |a| 4.0 + 4.0 * a as f32);
    prepare(folder, "ones", |_| 1.0);
    let once = weights_of(folder, "once", "train");
    assert!(once == weights_of(folder, "fourfold", "train"));
    let ones = weights_of(folder, "ones", "train");
    assert!(once != ones);
    let schema = fs::read_to_string(folder.join("schema.toml")).unwrap();
    fs::write(folder.join("schema.toml"), schema.replace("weight = \"cost\"\n", "")).unwrap();
    succeed(folder, "prepare csv --input rows.csv --schema schema.toml --out none");
    assert!(ones == weights_of(folder, "none", "train"));
}

#[test]
fn a_weight_that_is_none_makes_its_row_malformed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("schema.toml"), SCHEMA).unwrap();
    for (cost, words) in [("-1", "-1"), ("NaN", "NaN"), ("inf", "inf"), ("", "\"\""), ("1e60", "1e60"), ("x", "\"x\"")]
    {
        fs::write(folder.join("rows.csv"), format!("click,cost,a,b\n1,1,x,y\n0,2,x,z\n1,{cost},x,y\n")).unwrap();
        let output = run(folder, "prepare csv --input rows.csv --schema schema.toml --out data --strict");
        let message = String::from_utf8(output.stderr).unwrap();
        let expected = ["rows.csv:4", "\"weight\"", words, "not negative"];
        assert!(!output.status.success() && expected.iter().all(|word| message.contains(word)), "{cost}: {message}");
    }
    for (schema, words) in [
        (SCHEMA.replace("cost", "click"), "the weight is the label's column"),
        (SCHEMA.replace("cost", "price"), "no column \"price\""),
        (SCHEMA.replace("name = \"a\"", "name = \"sample_weight\"\ncolumn = \"a\""), "this name is taken"),
    ] {
        fs::write(folder.join("schema.toml"), schema).unwrap();
        let output = run(folder, "prepare csv --input rows.csv --schema schema.toml --out data");
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && message.contains(words), "{words}: {message}");
    }
}

#[test]
fn the_losses_equal_their_formulas() {
    let tensor = |v: &[f64]| Tensor::from_slice(v).to_kind(Kind::Double);
    let (z, y, t, w) = ([0.3, -1.2, 2.0], [1.0, 0.0, 0.0], [1.1, -0.4, -3.0], [2.0, 0.0, 0.7]);
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let entropy = |p: f64, q: f64| -p * q.ln() - (1.0 - p) * (1.0 - q).ln();
    let hard = |i: usize| entropy(y[i], sigmoid(z[i]));
    let soft = |i: usize| {
        entropy(sigmoid(t[i] / 2.0), sigmoid(z[i] / 2.0)) - entropy(sigmoid(t[i] / 2.0), sigmoid(t[i] / 2.0))
    };
    let mean = |of: &dyn Fn(usize) -> f64| (0..3).map(|i| w[i] * of(i)).sum::<f64>() / 3.0;
    let weights = tensor(&w);
    let found = cross_entropy(&tensor(&z), &tensor(&y), Some(&weights)).double_value(&[]);
    assert!((found - mean(&hard)).abs() < 1e-12);
    let found = distillation_loss(&tensor(&z), &tensor(&y), Some(&weights), &tensor(&t), 0.3, 2.0).double_value(&[]);
    assert!((found - mean(&|i| 0.3 * hard(i) + 0.7 * 4.0 * soft(i))).abs() < 1e-12);
}

/// A number of -3 to 3, and a label that depends on it smoothly: what a straight line and a curve can learn of it.
#[test]
fn smooth_effects_of_numbers_are_learnt() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let rows = 12_000;
    let draw = |i: u32, salt: u32| {
        f64::from((i ^ salt).wrapping_mul(2_654_435_761).rotate_left(15).wrapping_mul(0x85EB_CA6B) >> 8)
            / 2_f64.powi(24)
    };
    let straight: &dyn Fn(f64) -> f64 = &|x| 2.0 * x;
    let curve: &dyn Fn(f64) -> f64 = &|x| 4.0 * (2.0 * x).sin();
    for (rule, effect) in [
        ("numbers = \"value\"", straight),
        ("numbers = \"interpolated\"\nquantiles = 16", curve),
        ("numbers = \"interpolated\"\nbounds = [-3, -2, -1, 0, 1, 2, 3]", straight),
    ] {
        let (mut csv, mut least) = ("click,x\n".to_owned(), 0.0);
        for i in 0..rows {
            let x = 6.0 * draw(i, 0) - 3.0;
            let rate = 1.0 / (1.0 + (-effect(x)).exp());
            let click = draw(i, 0x5A5A_1234) < rate;
            writeln!(csv, "{},{x}", u8::from(click)).unwrap();
            least -= if click { rate.ln() } else { (1.0 - rate).ln() };
        }
        least /= f64::from(rows);
        fs::write(folder.join("rows.csv"), csv).unwrap();
        let schema = format!("[label]\ncolumn = \"click\"\n[[fields]]\nname = \"x\"\nkind = \"numeric\"\n{rule}\n");
        fs::write(folder.join("schema.toml"), schema).unwrap();
        succeed(folder, "prepare csv --input rows.csv --schema schema.toml --out data");
        // A first-order term alone: no layers that would make a curve of a line.
        let model = "--hidden none --interaction none --embed-dim 4";
        let training = "--epochs 12 --batch-size 128 --learning-rate 0.02 --dropout 0 --seed 1";
        succeed(folder, &format!("train --data data --out out {model} {training}"));
        let found: Metrics =
            serde_json::from_str(&succeed(folder, "evaluate --checkpoint out --data data --json")).unwrap();
        assert!(least < 0.4, "{rule}: {least}");
        assert!(found.log_loss < least + 0.04, "{rule}: {} where {least} is the least", found.log_loss);
    }
}
