//! Each setting of the recipe decides what is trained.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use common::planted_data;
use xsfm_interchange::schema::Schema;
use xsfm_trainer::report::{Epoch, Report};

/// Weights and report of a run of the program: libtorch's random state belongs to the process.
fn train(folder: &Path, flags: &str) -> (Vec<u8>, Report) {
    let common = "train --data data --out out --epochs 8 --patience 8 --batch-size 128 --embed-dim 4 --hidden 8 \
                  --learning-rate 0.05 --init-std 0.1 --feature-weight true --table-l2 0.01 --average 0.5";
    let mut command = Command::new(env!("CARGO_BIN_EXE_xsfm-train"));
    let output = command.current_dir(folder).args(common.split_whitespace().chain(flags.split_whitespace())).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{flags}: {}", String::from_utf8_lossy(&output.stderr));
    let read = |name: &str| fs::read(folder.join("out").join(name)).unwrap();
    (read("weights.safetensors"), serde_json::from_slice(&read("metrics.json")).unwrap())
}

#[test]
fn every_setting_changes_what_is_trained() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    planted_data(&folder.join("data"), 2000);
    let field = Schema::load(&folder.join("data/schema.json")).unwrap().fields[0].name.clone();
    let of_field = [format!("--field-l2 {field}=30"), format!("--field-rate {field}=0.1")];
    let settings = [
        "",
        "--table-l2 0",
        "--table-l2 0.3",
        "--first-order-l2 0.3",
        &of_field[0],
        &of_field[1],
        "--average 0",
        "--average 3",
        "--warm-up 100",
        "--clip-norm 0.01",
        "--unknown-share 0.2",
        "--table-init uniform",
        "--table-init xavier-normal",
        "--table-init xavier-uniform",
        "--layer-init xavier-normal",
        "--layer-init kaiming-normal",
        "--batch-size auto",
    ];
    let mut seen: HashMap<Vec<u8>, &str> = HashMap::new();
    for flags in settings {
        let (weights, _) = train(folder, flags);
        assert_eq!(seen.insert(weights, flags), None, "{flags} trains what another setting does");
    }
    assert_eq!(seen.get(&train(folder, "").0), Some(&""));
}

#[test]
fn epochs_are_those_that_the_schedule_asks_for() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    planted_data(&folder.join("data"), 2000);
    let losses = |report: &Report| report.epochs.iter().map(|e| e.train_loss.to_bits()).collect::<Vec<_>>();
    let usual = train(folder, "").1;

    // The tables of the second epoch are new; those of the first are not.
    let redrawn = train(folder, "--redraw-tables 1").1;
    assert_eq!(losses(&redrawn)[0], losses(&usual)[0]);
    assert!(redrawn.epochs[1].train_loss > usual.epochs[1].train_loss);

    let parts = train(folder, "--evaluations 3").1;
    let number = |e: &Epoch| (e.epoch, e.part);
    assert_eq!(
        parts.epochs[..4].iter().map(number).collect::<Vec<_>>(),
        [(1, Some(1)), (1, Some(2)), (1, Some(3)), (2, Some(1))]
    );

    // Alike up to the first epoch that is no better; from there at another rate, and from other weights.
    let [plain, dropped, rewound] =
        ["--average 0", "--average 0 --plateau-factor 0.1", "--average 0 --plateau-factor 0.1 --plateau-rewind"]
            .map(|flags| train(folder, flags).1);
    let worse = dropped.epochs.iter().position(|e| e.rate_factor < 1.0).expect("no epoch was worse");
    assert_eq!(losses(&plain)[..worse], losses(&dropped)[..worse]);
    assert_eq!(losses(&rewound)[..worse], losses(&dropped)[..worse]);
    assert!(losses(&plain)[worse] != losses(&dropped)[worse] && losses(&rewound)[worse] != losses(&dropped)[worse]);
    assert!((dropped.epochs[worse].rate_factor - 0.1).abs() < 1e-12);
}
