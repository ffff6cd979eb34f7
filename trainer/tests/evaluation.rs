//! `xsfm-train evaluate`: figures by group, corrected probabilities and the reliability figure are those of the logits
//! that it writes.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::num::NonZeroUsize;
use std::path::Path;
use std::process::{Command, Output};

use common::planted_data;
use serde_json::Value;
use xsfm_interchange::metrics::Metrics;
use xsfm_interchange::metrics::grouped::Grouped;
use xsfm_interchange::rows::RowsReader;

fn run(folder: &Path, arguments: &str) -> Output {
    let arguments = arguments.split_whitespace();
    Command::new(env!("CARGO_BIN_EXE_xsfm-train")).args(arguments).current_dir(folder).output().unwrap()
}

fn succeed(folder: &Path, arguments: &str) -> String {
    let output = run(folder, arguments);
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn fail(folder: &Path, arguments: &str, words: &[&str]) {
    let output = run(folder, arguments);
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && words.iter().all(|word| message.contains(word)), "{arguments}: {message}");
}

#[test]
fn figures_are_those_of_the_logits() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    planted_data(&folder.join("data"), 4000);
    for (out, seed) in [("a", 1), ("b", 2)] {
        succeed(folder, &format!("train --data data --out {out} --seed {seed} --epochs 2 --embed-dim 4 --hidden 8"));
    }
    let evaluate = "evaluate --data data --checkpoint a";
    let flags = "--group-by user --at 1,3 --negative-rate 0.25 --against b --logits logits.txt --reliability r.svg";
    let found: Value = serde_json::from_str(&succeed(folder, &format!("{evaluate} {flags} --json"))).unwrap();

    let text = std::fs::read_to_string(folder.join("logits.txt")).unwrap();
    let logits: Vec<f64> = text.lines().map(|line| f64::from(line.parse::<f32>().unwrap())).collect();
    let (mut labels, mut users) = (Vec::new(), Vec::new());
    for block in RowsReader::open(&folder.join("data/test.arrow")).unwrap().blocks() {
        let block = block.unwrap();
        // Field 0 of each row, whose fields are user, item and tags.
        users.extend((0..block.len()).map(|i| block.row(i).field(0).unwrap()[0]));
        labels.extend(block.labels);
    }
    let cuts = [1, 3].map(|rows| NonZeroUsize::new(rows).unwrap());
    let by_user = Grouped::new("user", &users, &labels, &logits, &cuts).unwrap();
    assert!(by_user.groups >= 35 && by_user.unknown_rows > 0, "{by_user:?}");
    assert_eq!(serde_json::from_value::<Grouped>(found["by_group"].clone()).unwrap(), by_user);
    let of_other: Grouped = serde_json::from_value(found["against_by_group"].clone()).unwrap();
    assert!(of_other.gauc != by_user.gauc && of_other.groups == by_user.groups, "{of_other:?}");

    let corrected: Vec<f64> = logits.iter().map(|z| z + 0.25_f64.ln()).collect();
    let expected = Metrics::from_logits(&labels, &corrected).unwrap();
    let plain: Metrics = serde_json::from_str(&succeed(folder, &format!("{evaluate} --json"))).unwrap();
    for (figure, expected, plain) in [
        ("log_loss", Some(expected.log_loss), Some(plain.log_loss)),
        ("ece", expected.ece, plain.ece),
        ("calibration", expected.calibration, plain.calibration),
    ] {
        let found = found[figure].as_f64().unwrap();
        assert!((found - expected.unwrap()).abs() < 1e-9 && (found - plain.unwrap()).abs() > 1e-3, "{figure} {found}");
    }
    assert_eq!(found["auc"].as_f64(), plain.auc);
    assert!(std::fs::read_to_string(folder.join("r.svg")).unwrap().contains("Reliability on data/test.arrow"));
    let words = succeed(folder, &format!("{evaluate} --group-by user"));
    assert!(
        ["GAUC", "MRR", "NDCG@5", "NDCG@10", "ECE", "calibration"].iter().all(|name| words.contains(name)),
        "{words}"
    );

    fail(folder, &format!("{evaluate} --group-by tags"), &["--group-by", "tags", "a bag"]);
    fail(folder, &format!("{evaluate} --group-by shop"), &["\"shop\"", "user, item, tags"]);
    fail(folder, &format!("{evaluate} --at 3"), &["--group-by"]);
    fail(folder, &format!("{evaluate} --group-by user --at 0"), &["--at"]);
    fail(folder, &format!("{evaluate} --negative-rate 0"), &["--negative-rate", "at most 1"]);
}
