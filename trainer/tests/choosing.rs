//! Which epoch is kept, when a run is called diverged, and what is found before the first step.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::path::Path;
use std::process::{Command, Output};

use clap::Parser;
use common::planted_data;
use xsfm_interchange::checkpoint::file;
use xsfm_interchange::rows::{Bounds, RowsReader, RowsWriter};
use xsfm_interchange::schema::Schema;
use xsfm_trainer::commands::{DistillArgs, TrainArgs, distill, train};
use xsfm_trainer::divergence::{Diverged, EXIT_STATUS};
use xsfm_trainer::report::Report;

#[derive(Debug, Parser)]
#[command(args_override_self = true)]
struct Train {
    #[command(flatten)]
    args: TrainArgs,
}

#[derive(Debug, Parser)]
#[command(args_override_self = true)]
struct Distill {
    #[command(flatten)]
    args: DistillArgs,
}

fn flags(data: &Path, out: &Path, more: &str) -> Vec<String> {
    let places = format!("x --data {} --out {}", data.display(), out.display());
    let common = "--batch-size 256 --learning-rate 0.01 --embed-dim 8 --hidden 16 --init-std 0.1";
    [&places, common, more].iter().flat_map(|words| words.split_whitespace()).map(str::to_owned).collect()
}

fn train_with(data: &Path, out: &Path, more: &str) -> anyhow::Result<()> {
    train(&Train::try_parse_from(flags(data, out, more)).unwrap().args)
}

fn distill_with(data: &Path, out: &Path, more: &str) -> anyhow::Result<()> {
    distill(&Distill::try_parse_from(flags(data, out, more)).unwrap().args)
}

fn report(out: &Path) -> Report {
    serde_json::from_slice(&std::fs::read(out.join(file::METRICS)).unwrap()).unwrap()
}

/// Fine-tuning that only makes things worse keeps what it began with, in integers or not, however it is begun.
#[test]
fn fine_tuning_never_ends_below_its_start() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let data = at("data");
    planted_data(&data, 3000);
    train_with(&data, &at("float"), "--epochs 6 --l2 0.01 --dropout 0.2").unwrap();
    assert!(report(&at("float")).best_epoch > 0 && report(&at("float")).start.is_some());
    let from = format!("--from {}", at("float").display());
    let teacher = format!("--teacher {}", at("float").display());
    let int8 = "--quantize --quantize-epochs 3";
    // Steps so large that no epoch is as good as the start.
    let (much, wild) = ("--learning-rate 0.5", "--quantize-learning-rate 0.5");
    for (name, flags, is_taught, is_start) in [
        ("int8", format!("{from} {int8} {wild}"), false, true),
        ("int8 by LogLoss", format!("{from} {int8} {wild} --stop-on log-loss"), false, true),
        ("int8, gentle", format!("{from} {int8}"), false, false),
        ("int8, gentle by LogLoss", format!("{from} {int8} --stop-on log-loss"), false, false),
        ("int8 after its own float", format!("--epochs 4 {int8} {wild}"), false, true),
        ("int8 with a teacher", format!("{teacher} --epochs 4 {int8} {wild}"), true, true),
        ("int8 of a start with a teacher", format!("{teacher} {from} {int8} {wild} --stop-on log-loss"), true, true),
        ("float", format!("{from} --epochs 2 {much}"), false, true),
        ("float by LogLoss", format!("{from} --epochs 2 {much} --stop-on log-loss"), false, true),
        ("no epoch at all", format!("{from} --quantize --quantize-epochs 0"), false, true),
    ] {
        let out = at(&name.replace([' ', ','], "-"));
        let run = if is_taught { distill_with } else { train_with };
        run(&data, &out, &flags).unwrap_or_else(|error| panic!("{name}: {error:#}"));
        let found = report(&out);
        let start = found.start.unwrap();
        if is_start {
            assert_eq!((found.best_epoch, found.valid), (0, start), "{name}: {:?}", found.epochs);
        }
        if flags.contains("log-loss") {
            assert!(found.valid.log_loss <= start.log_loss, "{name}");
            let epochs = found.epochs.iter().map(|e| e.valid_log_loss);
            assert_eq!(epochs.fold(start.log_loss, f64::min), found.valid.log_loss, "{name}");
        } else {
            assert!(found.valid.auc >= start.auc, "{name}");
            let epochs = found.epochs.iter().map(|e| e.valid_auc);
            assert_eq!(Some(epochs.fold(start.auc.unwrap(), f64::max)), found.valid.auc, "{name}");
        }
    }
    // A chain: what was kept is the next one's start, to the bit.
    let chain = format!("--from {} {int8} {wild}", at("float-by-LogLoss").display());
    train_with(&data, &at("chain"), &chain).unwrap();
    train_with(&data, &at("chain-of-start"), &chain.replace("float-by-LogLoss", "float")).unwrap();
    let weights = |name: &str| std::fs::read(at(name).join(file::WEIGHTS)).unwrap();
    assert!(weights("chain") == weights("chain-of-start"));
    assert!(weights("float-by-LogLoss") == weights("float"));

    // One that was trained in integers goes on where it was, with its scales.
    let again = format!("--from {} {int8} {wild}", at("int8--gentle").display());
    train_with(&data, &at("again"), &again).unwrap();
    let (before, again) = (report(&at("int8--gentle")), report(&at("again")));
    assert_eq!((again.start, again.valid), (Some(before.valid), before.valid));

    // A start that is not pruned is no candidate of a run that prunes.
    let pruned = format!("{from} --prune-tables 0.9 --prune-epochs 2 --epochs 3");
    train_with(&data, &at("pruned"), &pruned).unwrap();
    assert!(report(&at("pruned")).best_epoch >= 2);
    // Dropout in int8 is a setting of its own; that of training in real numbers by default.
    let settings = |flags: &str| {
        train_with(&data, &at("dropout"), &format!("{from} {int8} --dropout 0.4 {flags}")).unwrap();
        report(&at("dropout")).settings["training"].clone()
    };
    let (default, own) = (settings(""), settings("--quantize-dropout 0.25 --quantize-embedding-dropout 0.125"));
    assert_eq!((&default["dropout"], &default["embedding_dropout"]), (&0.4.into(), &0.0.into()));
    assert_eq!((&own["dropout"], &own["embedding_dropout"]), (&0.25.into(), &0.125.into()));
    let words = format!("{:#}", train_with(&data, &at("x"), "--quantize --quantize-dropout 1").unwrap_err());
    assert!(words.contains("--quantize-dropout is 1") && !at("x").exists(), "{words}");
}

/// In real numbers too LogLoss can say which epoch is best; by default AUC does.
#[test]
fn what_chooses_decides_which_epoch_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    planted_data(&at("data"), 1500);
    // Learns its rows by heart: LogLoss is worse long before AUC is.
    let heart = "--epochs 12 --patience 12 --learning-rate 0.02 --embed-dim 16 --hidden 64,64";
    train_with(&at("data"), &at("auc"), heart).unwrap();
    train_with(&at("data"), &at("loss"), &format!("{heart} --stop-on log-loss")).unwrap();
    let (auc, loss) = (report(&at("auc")), report(&at("loss")));
    let best = |report: &Report, key: fn(&xsfm_trainer::report::Epoch) -> f64| {
        report.epochs.iter().max_by(|a, b| key(a).total_cmp(&key(b))).unwrap().epoch
    };
    assert_eq!(auc.best_epoch, best(&auc, |e| e.valid_auc));
    assert_eq!(loss.best_epoch, best(&loss, |e| -e.valid_log_loss));
    assert_eq!(auc.settings["training"].get("stop_on"), None, "a run of older settings goes on");
    train_with(&at("data"), &at("short"), &format!("{heart} --stop-on log-loss --patience 2")).unwrap();
    let short = report(&at("short"));
    assert_eq!(short.epochs.len() as u64, (short.best_epoch + 2).min(12));
}

fn program(data: &Path, out: &Path, more: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xsfm-train"));
    command.arg("train").args(&flags(data, out, more)[1..]).output().unwrap()
}

/// A loss that explodes and stays finite is called diverged, and ends with a status of its own; bad settings that learn
/// something, and learning by heart, are not.
#[test]
fn explosions_are_told_from_bad_settings() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let data = at("data");
    planted_data(&data, 1200);
    for (n, flags) in [
        "--learning-rate 1e30",
        "--learning-rate 1000",
        "--learning-rate 30 --epochs 3",
        "--learning-rate 3 --hidden none --epochs 3",
        "--learning-rate 200 --hidden none --epochs 2",
        "--learning-rate 100 --interaction none --field-vector=false --batch-norm=false --epochs 2",
        "--learning-rate 500 --optimizer lazy-adam --epochs 2 --stop-on log-loss",
        "--quantize --epochs 1 --quantize-learning-rate 1000",
        "--quantize --epochs 1 --quantize-learning-rate 1e30",
    ]
    .into_iter()
    .enumerate()
    {
        let out = at(&format!("diverges-{n}"));
        let error = train_with(&data, &out, flags).expect_err(flags);
        let words = format!("{error:#}");
        assert!(error.chain().any(|cause| cause.is::<Diverged>()), "{flags}: {words}");
        assert!(words.contains("training diverged; lower --learning-rate"), "{flags}: {words}");
        assert!(!out.join(file::WEIGHTS).exists());
    }
    let output = program(&data, &at("program"), "--learning-rate 1000");
    assert_eq!(output.status.code(), Some(i32::from(EXIT_STATUS)), "{}", String::from_utf8_lossy(&output.stderr));
    let output = program(&data, &at("program"), "--dropout 2");
    assert_eq!(output.status.code(), Some(1));

    for (n, flags) in [
        // By heart, until nothing is left of validation LogLoss.
        "--epochs 40 --patience 40 --learning-rate 0.05 --embed-dim 16 --hidden 64,64",
        "--epochs 3 --learning-rate 0.3",
        "--epochs 3 --init-std 3",
        "--epochs 3 --init-std 1 --hidden none",
        "--epochs 2 --l2 10",
        "--epochs 2 --learning-rate 1e-9",
    ]
    .into_iter()
    .enumerate()
    {
        train_with(&data, &at(&format!("learns-{n}")), flags).unwrap_or_else(|error| panic!("{flags}: {error:#}"));
    }
}

/// Rows of one class are named before anything is trained or written, whoever trains.
#[test]
fn rows_of_one_class_are_found_before_the_first_step() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    planted_data(&at("data"), 800);
    train_with(&at("data"), &at("teacher"), "--epochs 1").unwrap();
    let teacher = format!("--teacher {}", at("teacher").display());
    let from = format!("--from {}", at("teacher").display());
    for (part, class) in [("valid", 0), ("valid", 1), ("train", 0), ("train", 1)] {
        let data = at(&format!("{part}-{class}"));
        std::fs::create_dir(&data).unwrap();
        for name in ["schema.json", "train.arrow", "valid.arrow", "test.arrow"] {
            std::fs::copy(at("data").join(name), data.join(name)).unwrap();
        }
        let count = keep_class(&data, &format!("{part}.arrow"), class);
        for (what, flags, is_taught) in [
            ("train", "--epochs 1", false),
            ("int8", "--quantize --epochs 1", false),
            ("int8 from a checkpoint", &format!("{from} --quantize"), false),
            ("fine-tuning", &from, false),
            ("distill", &teacher, true),
            ("distill to int8", &format!("{teacher} --quantize"), true),
        ] {
            let run = if is_taught { distill_with } else { train_with };
            let words = format!("{:#}", run(&data, &at("never"), flags).expect_err(what));
            let expected = format!("{part}.arrow: all {count} rows have the label {class}");
            assert!(words.contains(&expected), "{what}: {words}");
            assert!(!at("never").exists(), "{what}: a folder was made");
        }
    }
    // Calibration rows of int8 too: too few, or all alike.
    let words = format!("{:#}", train_with(&at("data"), &at("never"), "--quantize --calibration-rows 7").unwrap_err());
    assert!(words.contains("--calibration-rows is 7") && words.contains("at least 16 rows, 7 given"), "{words}");
    assert!(!at("never").exists());
    // Test rows of one class decide nothing.
    keep_class(&at("data"), "test.arrow", 1);
    train_with(&at("data"), &at("tested"), "--epochs 1").unwrap();
    assert_eq!(report(&at("tested")).test.unwrap().auc, None);
}

/// Leaves the rows of one class in a file; gives their number.
fn keep_class(data: &Path, name: &str, class: u8) -> u64 {
    let bounds = Bounds::from(&Schema::load(&data.join("schema.json")).unwrap());
    let mut rows = RowsReader::open(&data.join(name)).unwrap();
    let blocks: Vec<_> = rows.blocks().map(Result::unwrap).collect();
    let mut writer = RowsWriter::create(&data.join(name), &bounds).unwrap();
    let mut count = 0;
    for block in &blocks {
        for i in (0..block.len()).filter(|&i| block.label(i) == Some(class)) {
            writer.push(class, &block.row(i)).unwrap();
            count += 1;
        }
    }
    writer.commit().unwrap();
    count
}

/// Two checkpoints on the same rows: the difference of their AUC is known better than either.
#[test]
fn checkpoints_are_compared_on_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    planted_data(&at("data"), 4000);
    train_with(&at("data"), &at("a"), "--epochs 5").unwrap();
    train_with(&at("data"), &at("b"), &format!("--from {} --epochs 1 --learning-rate 0.003", at("a").display()))
        .unwrap();
    let evaluate = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xsfm-train"));
        command.arg("evaluate").arg("--data").arg(at("data")).arg("--checkpoint").arg(at("a")).args(more);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let b = at("b").display().to_string();
    let json = |more: &[&str]| serde_json::from_str::<serde_json::Value>(&evaluate(more)).unwrap();
    let alone = json(&["--json"]);
    let error = alone["auc_standard_error"].as_f64().unwrap();
    assert!(alone.get("against").is_none() && (0.005..0.03).contains(&error), "{alone}");
    let both = json(&["--json", "--against", &b]);
    let (difference, of_difference) = (&both["auc_difference"], both["auc_difference"]["standard_error"].as_f64());
    let less = both["auc"].as_f64().unwrap() - both["against"]["auc"].as_f64().unwrap();
    assert!((difference["difference"].as_f64().unwrap() - less).abs() < 1e-12, "{both}");
    assert!(of_difference.unwrap() < error, "{both}");
    let text = evaluate(&["--against", &b]);
    assert!(text.contains(&format!(" ± {error:.5}\n")) && text.contains("(95 %: "), "{text}");
}
