//! `fit`, which needs both programs, where nobody reads what it prints, or it cannot be written. The other commands are
//! in `trainer/tests/output.rs` and `convert/tests/output.rs`.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs::{self, File};
use std::io;
use std::process::{Command, Stdio};

use xsfm_tests::trainer::{prepare_rows, program};

#[test]
fn fit_ends_quietly_where_nobody_reads() {
    let (Some(train), Some(xsfm)) = (program("XSFM_TRAIN"), program("XSFM")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    prepare_rows(&train, folder.path());
    fs::write(at("space.toml"), "[train]\nepochs = 1\n[try]\nembed_dim = [4]\nhidden = ['none']\n").unwrap();
    let closed = || {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        Stdio::from(writer)
    };
    let full = || File::options().write(true).open("/dev/full").ok().map(Stdio::from);
    for json in [None, Some("--json")] {
        // Once from nothing, then what is there is printed again.
        for (name, stdout, code, says) in [
            ("closed", Some(closed()), 0, ""),
            ("full", full(), 1, "standard output: No space left"),
            ("closed again", Some(closed()), 0, ""),
        ] {
            let Some(stdout) = stdout else { continue };
            let mut fit = Command::new(&train);
            fit.arg("fit")
                .arg("--teacher-minutes=0")
                .arg("--data")
                .arg(at("data"))
                .arg("--out")
                .arg(at("fit"))
                .arg("--space")
                .arg(at("space.toml"));
            fit.args(["--budget", "100KiB", "--trials", "1", "--finalists", "1", "--seeds", "1", "--xsfm"]).arg(&xsfm);
            let output =
                fit.args(json).stdout(stdout).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
            let words = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(code), "{name}, {json:?}: {words}");
            assert!(words.contains(says) && !words.contains("panicked") && !words.contains("pipe"), "{name}: {words}");
            assert!(at("fit/fit.json").exists() && at("fit/frontier.svg").exists(), "{name}: {words}");
        }
    }
}
