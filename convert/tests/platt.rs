//! `xsfm calibrate`: scale and bias folded into every mode and layout, and probabilities that become click rates.
#![allow(clippy::unwrap_used, reason = "tests stop at the first surprise")]

mod common;

use std::path::Path;
use std::process::{Command, Output};

use common::{Random, config_with_everything, parameters, random_rows, write_checkpoint};
use serde_json::Value;
use xsfm_convert::{input, platt};
use xsfm_interchange::metrics::Metrics;
use xsfm_interchange::metrics::platt::Platt;
use xsfm_interchange::rows::{Bounds, RowBlock, RowsWriter};
use xsfm_runtime::{Scorer, ScratchBlock};

fn xsfm(folder: &Path, arguments: &str) -> Output {
    let arguments = arguments.split_whitespace();
    Command::new(env!("CARGO_BIN_EXE_xsfm")).args(arguments).current_dir(folder).output().unwrap()
}

fn run(folder: &Path, arguments: &str) -> String {
    let output = xsfm(folder, arguments);
    assert!(output.status.success(), "xsfm {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json(folder: &Path, arguments: &str) -> Value {
    serde_json::from_str(&run(folder, arguments)).unwrap()
}

fn refused(folder: &Path, arguments: &str) -> String {
    let output = xsfm(folder, arguments);
    assert!(!output.status.success(), "xsfm {arguments}");
    String::from_utf8(output.stderr).unwrap()
}

fn logits(file: &Path, rows: &RowBlock) -> Vec<f64> {
    let packed = input::packed(file).unwrap();
    let model = input::load(file, &packed).unwrap();
    let mut scratch = vec![ScratchBlock::ZERO; model.scratch_blocks()];
    let mut scorer = Scorer::new(&model, &mut scratch).unwrap();
    (0..rows.len()).map(|i| f64::from(scorer.score(rows.row(i)).unwrap().logit)).collect()
}

/// Rows with labels, in `name`.
fn write_rows(folder: &Path, name: &str, bounds: &Bounds, rows: &RowBlock, labels: &[u8]) {
    let mut writer = RowsWriter::create(&folder.join(name), bounds).unwrap();
    labels.iter().enumerate().for_each(|(i, &label)| writer.push(label, &rows.row(i)).unwrap());
    writer.commit().unwrap();
}

#[test]
fn scale_and_bias_are_folded_into_every_mode_and_layout() {
    let config = config_with_everything();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_checkpoint(&folder.join("run"), &config, &parameters(&config, 7));
    let rows = random_rows(&config, 300, 3);
    write_rows(folder, "rows.arrow", &Bounds::from(&config), &rows, &[0; 300]);
    // Bias, four parts, each rounded to half a step of 2^-16.
    let steps = 5.0 * 0.5 / 65_536.0;
    for (pack, rounding) in [
        ("--mode f32", 0.0),
        ("--mode f32 --target x86-64", 0.0),
        ("--mode f32 --rank 2", 0.0),
        ("--mode int8", steps),
        ("--mode int8 --rank 2 --target x86-64", steps),
        ("--mode int8 --target cortex-m4f", steps),
        ("--mode int8 --target cortex-m55 --table-bits 4", steps),
        ("--mode dynamic", steps),
        ("--mode dynamic --target aarch64", steps),
    ] {
        run(folder, &format!("pack run --rows rows.arrow -o m.xsfm {pack}"));
        let before = logits(&folder.join("m.xsfm"), &rows);
        let packed = input::packed(&folder.join("m.xsfm")).unwrap();
        let changed = |scale: f64, bias: f64| {
            let changed = platt::apply(&packed, Platt { scale, bias }).unwrap();
            assert_eq!(changed.len(), packed.len(), "{pack}: not one byte more");
            changed.write(&folder.join("n.xsfm")).unwrap();
            (changed.to_vec(), logits(&folder.join("n.xsfm"), &rows))
        };
        assert_eq!(changed(1.0, 0.0).0, packed[..], "{pack}: nothing changes");
        for (scale, bias) in [(0.37, -1.25), (2.9, 0.5), (1.0, -2.3)] {
            let (_, after) = changed(scale, bias);
            for (before, after) in before.iter().zip(&after) {
                let wanted = scale * before + bias;
                let most = (1.0 + scale) * rounding + 1e-5 * (1.0 + before.abs() * scale);
                assert!(
                    (after - wanted).abs() <= most,
                    "{pack}, {scale}, {bias}: {before} became {after}, {wanted} wanted"
                );
            }
            // The order is that of before, but for what rounding cannot tell apart.
            let near = 2.0 * ((1.0 + scale) * rounding + 1e-4) / scale;
            for (i, j) in (0..rows.len()).flat_map(|i| (0..rows.len()).map(move |j| (i, j))) {
                assert!(before[i] - before[j] <= near || after[i] > after[j], "{pack}, {scale}: rows {i}, {j}");
            }
            if scale == 1.0 && rounding > 0.0 {
                let shift = (bias * 65_536.0).round() / 65_536.0;
                assert!(before.iter().zip(&after).all(|(b, a)| a - b == shift), "{pack}: a whole number of steps");
            }
        }
        for (scale, bias) in [(0.0, 0.0), (-1.0, 0.0), (f64::NAN, 0.0), (1.0, f64::INFINITY), (1e300, 0.0)] {
            let error = platt::apply(&packed, Platt { scale, bias }).unwrap_err().to_string();
            assert!(error.contains("scale"), "{pack}: {error}");
        }
    }
}

/// Labels drawn with the probability of `0.6 z - 0.9`, z a model's logits.
fn clicks(logits: &[f64], seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let mut click = |z: &f64| {
        let p = 1.0 / (1.0 + (-(0.6 * z - 0.9)).exp());
        u8::from((random.below(1_000_000) as f64) < p * 1e6)
    };
    logits.iter().map(&mut click).collect()
}

#[test]
fn probabilities_become_click_rates() {
    let config = config_with_everything();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_checkpoint(&folder.join("run"), &config, &parameters(&config, 7));
    let bounds = Bounds::from(&config);
    let (valid, test) = (random_rows(&config, 6000, 11), random_rows(&config, 6000, 12));
    write_rows(folder, "any.arrow", &bounds, &valid, &[0; 6000]);
    run(folder, "pack run --rows any.arrow -o m.xsfm");
    let model = folder.join("m.xsfm");
    let truth = clicks(&logits(&model, &valid), 5);
    write_rows(folder, "valid.arrow", &bounds, &valid, &truth);
    write_rows(folder, "test.arrow", &bounds, &test, &clicks(&logits(&model, &test), 6));

    let report = json(folder, "calibrate m.xsfm --rows valid.arrow -o n.xsfm --json");
    let (scale, bias) = (report["scale"].as_f64().unwrap(), report["bias"].as_f64().unwrap());
    assert!((scale - 0.6).abs() < 0.06 && (bias + 0.9).abs() < 0.08, "{report}");
    let figures = |model: &str| -> Metrics {
        serde_json::from_value(json(folder, &format!("evaluate {model} --rows test.arrow --json"))).unwrap()
    };
    let (before, after) = (figures("m.xsfm"), figures("n.xsfm"));
    assert!((after.auc.unwrap() - before.auc.unwrap()).abs() < 1e-5, "{before:?} {after:?}");
    assert!(before.ece.unwrap() > 0.1 && after.ece.unwrap() < 0.03, "{before:?} {after:?}");
    assert!(
        (after.calibration.unwrap() - 1.0).abs() < 0.05 && before.calibration.unwrap() > 1.2,
        "{before:?} {after:?}"
    );
    assert!(after.log_loss < before.log_loss - 0.02, "{before:?} {after:?}");
    let words = run(folder, "calibrate m.xsfm --rows valid.arrow -o n.xsfm");
    assert!(words.contains("ECE") && words.contains(&format!("times {scale:.6}, plus {bias:.6}")), "{words}");

    // What cannot be fit is said, and nothing written.
    std::fs::remove_file(folder.join("n.xsfm")).unwrap();
    assert!(refused(folder, "calibrate m.xsfm --rows any.arrow -o n.xsfm").contains("the same"));
    let wrong: Vec<u8> = truth.iter().map(|y| 1 - y).collect();
    write_rows(folder, "wrong.arrow", &bounds, &valid, &wrong);
    assert!(refused(folder, "calibrate m.xsfm --rows wrong.arrow -o n.xsfm").contains("no more often"));
    assert!(refused(folder, "calibrate m.xsfm -o n.xsfm").contains("--rows"));
    assert!(refused(folder, "calibrate m.xsfm --negative-rate 1.5 -o n.xsfm").contains("at most 1"));
    assert!(!folder.join("n.xsfm").exists());
}

/// A model that is right on rows of which a tenth of the negatives is left says too much on all rows, by ln 10.
#[test]
fn kept_negatives_are_made_up_for() {
    let config = config_with_everything();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_checkpoint(&folder.join("run"), &config, &parameters(&config, 7));
    let bounds = Bounds::from(&config);
    let rows = random_rows(&config, 20_000, 21);
    write_rows(folder, "any.arrow", &bounds, &rows, &[0; 20_000]);
    run(folder, "pack run --rows any.arrow -o raw.xsfm");
    let truth = clicks(&logits(&folder.join("raw.xsfm"), &rows), 9);
    let mut random = Random(31);
    let (mut thinned, mut labels) = (RowBlock::new(rows.num_fields, true), Vec::new());
    for (i, &label) in truth.iter().enumerate() {
        if label == 1 || random.below(10) == 0 {
            thinned.push_row_of(&rows, i);
            labels.push(label);
        }
    }
    write_rows(folder, "thinned.arrow", &bounds, &thinned, &labels);
    write_rows(folder, "all.arrow", &bounds, &rows, &truth);
    let figures = |arguments: &str| -> Metrics {
        serde_json::from_value(json(folder, &format!("evaluate {arguments} --json"))).unwrap()
    };
    run(folder, "calibrate raw.xsfm --rows thinned.arrow -o thin.xsfm");
    let on_thinned = figures("thin.xsfm --rows thinned.arrow");
    assert!((on_thinned.calibration.unwrap() - 1.0).abs() < 0.01, "{on_thinned:?}");
    let uncorrected = figures("thin.xsfm --rows all.arrow");
    assert!(uncorrected.calibration.unwrap() > 1.8, "{uncorrected:?}");

    // Measured with the correction; packed with it; and fit and corrected in one go.
    let measured = figures("thin.xsfm --rows all.arrow --negative-rate 0.1");
    assert!((measured.calibration.unwrap() - 1.0).abs() < 0.03 && measured.ece.unwrap() < 0.02, "{measured:?}");
    assert!(measured.log_loss < uncorrected.log_loss - 0.1 && measured.auc == uncorrected.auc, "{measured:?}");
    let report = json(folder, "calibrate thin.xsfm --negative-rate 0.1 -o packed.xsfm --json");
    assert_eq!((report["scale"].as_f64(), report["bias"].as_f64()), (Some(1.0), Some(0.1_f64.ln())));
    run(folder, "calibrate raw.xsfm --rows thinned.arrow --negative-rate 0.1 -o both.xsfm");
    for model in ["packed.xsfm", "both.xsfm"] {
        let packed = figures(&format!("{model} --rows all.arrow"));
        assert!((packed.log_loss - measured.log_loss).abs() < 1e-4, "{model}: {packed:?} {measured:?}");
        assert!((packed.ece.unwrap() - measured.ece.unwrap()).abs() < 1e-3, "{model}: {packed:?} {measured:?}");
    }
}
