//! Quantisation-aware training and the packed model are the same numbers: raw rows, `xsfm-train`, pack, score, compare.
//!
//! Needs the trainer, and so libtorch: `XSFM_TRAIN` names its binary. `cargo xtask test` sets it; without it the tests
//! say that they were skipped.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::path::Path;

use xsfm_convert::checkpoint;
use xsfm_convert::pack::{Packed, pack_f32, pack_int8};
use xsfm_convert::quantize::quantize_model;
use xsfm_interchange::rows::RowsReader;
use xsfm_runtime::{Model, Scorer, ScratchBlock};
use xsfm_tests::trainer::{prepare_rows, program, run};

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
    let Some(train) = program("XSFM_TRAIN") else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    prepare_rows(&train, folder.path());
    let qr = ["--qr-collisions", "3", "--qr-threshold", "10"];
    for (name, flags) in [
        ("full", &["--hidden", "24,16"][..]),
        ("mult", &[&qr[..], &["--hidden", "24,16"]].concat()),
        ("add", &[&qr[..], &["--qr-operation", "add", "--hidden", "8", "--feature-weight=true"]].concat()),
        ("concat", &[&qr[..], &["--qr-operation", "concat", "--interaction", "unit", "--batch-norm=false"]].concat()),
        ("fwfm", &[&qr[..], &["--hidden", "none"]].concat()),
        ("mlp", &["--interaction", "none", "--field-vector=false"][..]),
        ("hashed", &["--hash-collisions", "3", "--qr-threshold", "10", "--feature-weight=true"][..]),
        ("four bits", &[&qr[..], &["--table-bits", "4"]].concat()),
        (
            "pruned",
            &["--prune-tables", "0.5", "--prune-pairs", "0.7", "--prune-layers", "0.5", "--prune-epochs", "2"][..],
        ),
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
            if name == "pruned" {
                // Of six pairs 0.7 are four; training in integers keeps the zeros.
                let zeros = model.fields.iter().flat_map(|f| &f.tables[0].values).filter(|&&v| v == 0.0).count();
                let all = model.fields.iter().map(|f| f.tables[0].values.len()).sum::<usize>();
                assert_eq!((zeros, model.pairs.as_ref().unwrap().weights.len()), (all.div_ceil(2), 2));
            }
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

/// Trained factors pack as they are, hashing trick and all; what no packed file holds is refused by name.
#[test]
fn factors_pack_and_parts_of_teachers_do_not() {
    let Some(train) = program("XSFM_TRAIN") else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    prepare_rows(&train, folder.path());
    let common = ["--embed-dim", "6", "--batch-size", "256", "--epochs", "2", "--data"];
    let fit = |out: &str, flags: &[&str]| {
        run(&train, &[&["train"], &common[..], &[&at("data"), "--out", &at(out)], flags].concat());
    };
    fit("rank", &["--rank", "2", "--hash-collisions", "3", "--qr-threshold", "10"]);
    let logits = at("logits.txt");
    run(&train, &["evaluate", "--checkpoint", &at("rank"), "--data", &at("data"), "--logits", &logits]);
    let trained: Vec<f32> = std::fs::read_to_string(&logits).unwrap().lines().map(|l| l.parse().unwrap()).collect();
    let model = checkpoint::load(Path::new(&at("rank"))).unwrap();
    assert_eq!(model.low_rank.as_ref().map(|low_rank| low_rank.signs.len()), Some(2));
    let scored = runtime_logits(&pack_f32(&model).unwrap(), Path::new(&at("data/test.arrow")));
    for (row, (trained, scored)) in trained.iter().zip(&scored).enumerate() {
        assert!((trained - scored).abs() < 1e-4 * trained.abs().max(1.0), "row {row}: {trained} and {scored}");
    }

    for (flags, part) in [
        (&["--compressed", "4,4", "--interaction", "none"][..], "compressed interaction network"),
        (&["--network", "pnn"], "network of its own (PNN)"),
    ] {
        fit("teacher", flags);
        let error = checkpoint::load(Path::new(&at("teacher"))).unwrap_err().to_string();
        assert!(error.contains(part) && error.contains("config.json") && error.contains("distil"), "{error}");
    }
}
