//! Runs of the program in a folder: what it wrote, or how it refused.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::Path;
use std::process::{Command, Output};

fn run(folder: &Path, arguments: &str) -> Output {
    let arguments = arguments.split_whitespace();
    Command::new(env!("CARGO_BIN_EXE_xsfm-train")).current_dir(folder).args(arguments).output().unwrap()
}

pub(crate) fn succeed(folder: &Path, arguments: &str) -> String {
    let output = run(folder, arguments);
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn fail(folder: &Path, arguments: &str, expected: &[&str]) {
    let output = run(folder, arguments);
    let message = String::from_utf8_lossy(&output.stderr);
    let is_told = expected.iter().all(|expected| message.contains(expected));
    assert!(!output.status.success() && is_told && !message.contains("panicked"), "{arguments}: {message}");
}
