//! Quantisation-aware training and the packed model are the same numbers: raw rows, `xsfm-train`, pack, score, compare.
//!
//! Needs the trainer, and so libtorch: `XSFM_TRAIN` names its binary. `cargo xtask test` sets it; without it the tests say that
//! they were skipped.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use xsfm_convert::checkpoint;
use xsfm_convert::pack::{Packed, pack_f32, pack_int8};
use xsfm_convert::quantize::quantize_model;
use xsfm_interchange::rows::RowsReader;
use xsfm_runtime::{Model, Scorer, ScratchBlock};

/// The trainer, or none and a loud word.
fn trainer() -> Option<PathBuf> {
    let path = std::env::var_os("XSFM_TRAIN").map(PathBuf::from);
    if path.is_none() {
        eprintln!("SKIPPED: XSFM_TRAIN does not name the xsfm-train binary (cargo xtask test does)");
    }
    path
}

fn run(program: &Path, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} {arguments:?}: {words}", program.display());
}

/// Rows with a planted preference: users of one parity like tags of the same.
fn raw_rows(folder: &Path) {
    let mut rng = StdRng::seed_from_u64(11);
    let mut text = String::from("label,user,item,tags,views\n");
    for _ in 0..3000 {
        let (user, item) = (rng.random_range(0..60), rng.random_range(0..40));
        let tags: Vec<u32> = (0..rng.random_range(1..5)).map(|_| rng.random_range(0..12)).collect();
        let views = rng.random_range(0..500);
        let alike = tags.iter().filter(|&tag| tag % 2 == user % 2).count() * 2 > tags.len();
        let label = u8::from(alike ^ rng.random_bool(0.2) ^ (item % 7 == 0));
        let tags: Vec<String> = tags.iter().map(u32::to_string).collect();
        writeln!(text, "{label},u{user},i{item},{},{views}", tags.join("|")).unwrap();
    }
    std::fs::write(folder.join("rows.csv"), text).unwrap();
    let schema = r#"
label = { column = "label" }
fields = [
  { name = "user", kind = "categorical" },
  { name = "item", kind = "categorical" },
  { name = "tags", kind = "bag" },
  { name = "views", kind = "numeric" },
]
"#;
    std::fs::write(folder.join("rows.toml"), schema).unwrap();
}

/// The packed model's logits of all test rows.
fn runtime_logits(packed: &Packed, rows: &Path) -> Vec<f32> {
    let model = Model::from_bytes(packed).unwrap();
    let mut scratch = vec![ScratchBlock::ZERO; model.scratch_blocks()];
    let mut scorer = Scorer::new(&model, &mut scratch).unwrap();
    let mut logits = Vec::new();
    let mut reader = RowsReader::open(rows).unwrap();
    for block in 0..reader.num_blocks() {
        let block = reader.read_block(block).unwrap();
        logits.extend((0..block.len()).map(|row| scorer.score(block.row(row)).unwrap().logit));
    }
    logits
}

#[test]
fn trained_and_packed_models_agree() {
    let Some(train) = trainer() else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    raw_rows(folder.path());
    run(&train, &["prepare", "csv", "--input", &at("rows.csv"), "--schema", &at("rows.toml"), "--out", &at("data")]);
    let qr = ["--qr-collisions", "3", "--qr-threshold", "10"];
    for (name, flags) in [
        ("full", &["--hidden", "24,16"][..]),
        ("mult", &[&qr[..], &["--hidden", "24,16"]].concat()),
        ("add", &[&qr[..], &["--qr-operation", "add", "--hidden", "8", "--feature-weight=true"]].concat()),
        ("concat", &[&qr[..], &["--qr-operation", "concat", "--interaction", "unit", "--batch-norm=false"]].concat()),
        ("fwfm", &[&qr[..], &["--hidden", "none"]].concat()),
        ("mlp", &["--interaction", "none", "--field-vector=false"][..]),
    ] {
        let out = at(name);
        let common =
            ["--data", &at("data"), "--out", &out, "--embed-dim", "6", "--batch-size", "256", "--threads", "1"];
        let epochs = ["--epochs", "3", "--quantize-epochs", "2", "--learning-rate", "0.01", "--quantize"];
        run(&train, &[&["train"], &common[..], &epochs, flags].concat());

        for (checkpoint, is_quantized) in [(out.clone(), true), (format!("{out}/float"), false)] {
            let logits = at("logits.txt");
            let arguments = ["evaluate", "--checkpoint", &checkpoint, "--data", &at("data"), "--logits", &logits];
            run(&train, &arguments);
            let text = std::fs::read_to_string(&logits).unwrap();
            let trained: Vec<f32> = text.lines().map(|line| line.parse().unwrap()).collect();

            let model = checkpoint::load(Path::new(&checkpoint)).unwrap();
            let packed = match &model.config.quantization {
                Some(scales) => pack_int8(&quantize_model(&model, scales).unwrap()).unwrap(),
                None => pack_f32(&model).unwrap(),
            };
            assert_eq!(model.config.quantization.is_some(), is_quantized);
            let scored = runtime_logits(&packed, Path::new(&at("data/test.arrow")));
            assert_eq!(trained.len(), scored.len());
            let distinct: std::collections::HashSet<u32> = scored.iter().map(|logit| logit.to_bits()).collect();
            assert!(distinct.len() > 100, "{name}: a model that says the same of every row tests nothing");
            for (row, (trained, scored)) in trained.iter().zip(&scored).enumerate() {
                if is_quantized {
                    assert_eq!(trained, scored, "{name}, row {row}");
                } else {
                    let error = (trained - scored).abs();
                    assert!(error < 1e-4 * trained.abs().max(1.0), "{name}, row {row}: {trained} and {scored}");
                }
            }
        }
    }
}
