//! `xsfm-train tune` and `--pause-after`, through the program.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use common::planted_data;
use serde_json::Value;

fn xsfm_train(folder: &Path, arguments: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xsfm-train"));
    command.current_dir(folder).args(arguments.split_whitespace()).output().unwrap()
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn succeed(folder: &Path, arguments: &str) -> String {
    let output = xsfm_train(folder, arguments);
    assert!(output.status.success(), "{arguments}: {}", words(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn fail(folder: &Path, arguments: &str, expected: &str) {
    let output = xsfm_train(folder, arguments);
    assert!(!output.status.success() && words(&output).contains(expected), "{arguments}: {}", words(&output));
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_run_pauses_and_goes_on_as_if_it_had_not() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    planted_data(&folder.join("data"), 3000);
    let flags = "--data data --batch-size 256 --hidden 8 --embed-dim 4 --epochs 5 --patience 5 --average 0.5";
    succeed(folder, &format!("train {flags} --out whole"));
    for (epoch, paused) in [(2, true), (2, true), (4, true), (9, false)] {
        let output = xsfm_train(folder, &format!("train {flags} --out parts --resume --pause-after {epoch}"));
        assert!(
            output.status.success() && words(&output).contains("paused after epoch") == paused,
            "{}",
            words(&output)
        );
        assert_eq!(folder.join("parts/config.json").exists(), !paused, "epoch {epoch}");
    }
    let weights = |out: &str| fs::read(folder.join(out).join("weights.safetensors")).unwrap();
    assert!(weights("whole") == weights("parts"));
    // What int8 needs is not there yet.
    let flags = format!("{flags} --quantize --quantize-epochs 2");
    succeed(folder, &format!("train {flags} --out int8 --pause-after 1"));
    assert!(!folder.join("int8/float/config.json").exists() && !folder.join("int8/config.json").exists());
    succeed(folder, &format!("train {flags} --out int8 --resume --pause-after 1"));
    succeed(folder, &format!("train {flags} --out int8 --resume"));
    assert!(folder.join("int8/config.json").exists());
}

#[test]
fn tuning_finds_settings_goes_on_and_says_what_it_did() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    planted_data(&folder.join("data"), 3000);
    // Layers and the length of vectors are given; 300 as a learning rate diverges.
    fs::write(
        folder.join("base.toml"),
        "hidden = [8]\nembed_dim = 4\nepochs = 14\nbatch_size = 256\nembedding_dropout = 0\n",
    )
    .unwrap();
    let tune = "tune --data data --base base.toml --out tuned --seeds 1,2";
    fail(folder, &format!("{tune} --minutes 0.0001"), "no training came to its end in 0.0");
    fail(folder, &format!("{tune} --minutes 0"), "--minutes is 0");

    let table = succeed(folder, &format!("{tune} --minutes 5"));
    let report = json(&folder.join("tuned/tune.json"));
    assert!(report["complete"].as_bool().unwrap() && table.contains("best, 2 seeds"), "{table}");
    let trials = report["trials"].as_array().unwrap();
    let finished = |trial: &&Value| trial["finished"].as_bool().unwrap();
    let (whole, given_up) = (trials.iter().filter(finished).count(), trials.iter().filter(|t| !finished(t)).count());
    assert!(whole >= 3 && given_up >= 3, "{whole} {given_up}");
    let best = &report["best"];
    assert_eq!(best["seeds"], serde_json::json!([1, 2]));
    assert!(best["settings"]["hidden"] == serde_json::json!([8]) && best["settings"]["table_l2"].is_string());
    let aucs = trials.iter().filter_map(|trial| trial["valid_auc"].as_f64());
    let most = aucs.fold(0.0, f64::max);
    assert!(best["valid_auc"].as_f64().unwrap() <= most + 0.02 && best["test_auc"].as_f64().is_some());
    let nested = &best["nested"];
    assert_eq!(nested["choices"].as_u64().unwrap() as usize, whole);
    assert!(nested["chosen_auc"].as_f64() >= nested["measured_auc"].as_f64(), "{nested}");
    let svg = fs::read_to_string(folder.join("tuned/tune.svg")).unwrap();
    assert!(
        ["table_l2", "dropout", "learning_rate"].iter().all(|flag| svg.contains(flag)) && !svg.contains("embed_dim")
    );

    // Its settings train the model that it found, to the bit.
    succeed(folder, "train --config tuned/best.toml --data data --out again --seed 1");
    let weights = |folder: &Path| fs::read(folder.join("weights.safetensors")).unwrap();
    let found = Path::new(best["checkpoints"][0].as_str().unwrap());
    assert!(weights(&folder.join(found)) == weights(&folder.join("again")));

    // Nothing is trained again.
    let before = fs::metadata(folder.join(found).join("weights.safetensors")).unwrap().modified().unwrap();
    let json_text = succeed(folder, &format!("{tune} --minutes 5 --json"));
    assert_eq!(fs::metadata(folder.join(found).join("weights.safetensors")).unwrap().modified().unwrap(), before);
    assert_eq!(serde_json::from_str::<Value>(&json_text).unwrap()["best"]["settings"], best["settings"]);

    // Other settings or other data do not mix with these.
    fs::write(folder.join("other.toml"), "hidden = [9]\n").unwrap();
    fail(folder, &tune.replace("base.toml", "other.toml"), "other flags of --base");
    planted_data(&folder.join("data2"), 2000);
    fail(folder, &tune.replace("--data data", "--data data2"), "choose another --out");
    fs::write(folder.join("bad.toml"), "no_such_flag = 1\n").unwrap();
    let bad = "tune --data data --base bad.toml --out bad --minutes 1";
    fail(folder, bad, "no-such-flag");
}
