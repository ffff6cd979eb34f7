//! `xsfm-train devices` and `--device`: libtorch's part for GPUs is opened where a GPU is asked for, and each reason
//! why there is none has its own words. Machines with a GPU, an old driver or another libtorch are made of files that
//! the loader finds.
#![cfg(all(feature = "torch", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// What the loader says when it opens libtorch's part for GPUs.
const OPENED: &str = "/libtorch_cuda.so";

fn train(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xsfm-train"));
    command.args(arguments).env_remove("CUDA_VISIBLE_DEVICES").env_remove("LD_DEBUG");
    command
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn seen() -> Value {
    json(&train(&["devices", "--json"]).output().unwrap())
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Lines of the loader that say that it runs what is in a library.
fn initialised(output: &Output, library: &str) -> bool {
    words(output).lines().any(|line| line.contains("calling init") && line.ends_with(library))
}

#[test]
fn the_part_for_gpus_is_opened_where_one_is_asked_for() {
    let has_cuda = seen()["libtorch"]["has_cuda"].as_bool().unwrap();
    if !has_cuda {
        eprintln!("NOTE: this libtorch is for CPUs alone: nothing can be opened");
    }
    let debugged = |command: &mut Command| command.env("LD_DEBUG", "libs").output().unwrap();
    assert_eq!(initialised(&debugged(&mut train(&["devices"])), OPENED), has_cuda);
    for device in ["cpu", "cuda", "cuda:0", "cuda:7"] {
        let output = debugged(&mut train(&["train", "--data", "nowhere", "--out", "nowhere", "--device", device]));
        assert_eq!(initialised(&output, OPENED), has_cuda && device != "cpu", "{device}");
        assert_eq!(output.status.code(), Some(1));
    }
}

/// Every command that takes a device refuses one that is not there before it reads or writes anything.
#[test]
fn a_gpu_that_is_not_there_is_refused_before_any_work() {
    let why = seen()["why_no_gpu"].clone();
    let Some(why) = why.as_str() else {
        eprintln!("SKIPPED: this machine has a GPU");
        return;
    };
    let commands: [(&str, &[&str]); 7] = [
        ("train", &["--data", "DATA", "--out", "OUT"]),
        ("distill", &["--data", "DATA", "--out", "OUT", "--teacher", "TEACHER"]),
        ("evaluate", &["--data", "DATA", "--checkpoint", "TEACHER"]),
        ("bench", &["--rows", "DATA", "--checkpoint", "TEACHER"]),
        ("run", &["ROW", "--data", "DATA", "--out", "OUT", "--xsfm", "true"]),
        ("tune", &["--data", "DATA", "--out", "OUT"]),
        ("fit", &["--data", "DATA", "--out", "OUT", "--budget", "8KiB", "--xsfm", "true"]),
    ];
    let folder = TempDir::new().unwrap();
    let help = String::from_utf8(train(&["--help"]).output().unwrap().stdout).unwrap();
    for name in help.lines().filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next()) {
        if name.starts_with(['-', '[']) || commands.iter().any(|(known, _)| *known == name) {
            continue;
        }
        let help = train(&[name, "--help"]).output().unwrap().stdout;
        let has_device = String::from_utf8_lossy(&help).contains("--device <");
        assert!(!has_device, "`{name}` takes a device and is not among those that are tried here");
    }
    for (command, rest) in commands {
        for device in ["cuda", "cuda:0", "cuda:12"] {
            let mut run = train(&[&[command, "--device", device], rest].concat());
            let output = run.current_dir(folder.path()).output().unwrap();
            let words = words(&output);
            let named = words.contains(&format!("`{device}`")) && words.contains(why);
            assert!(output.status.code() == Some(1) && named, "{command} on {device}: {words}");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{command} on {device} wrote something");
        }
    }
}

/// A libtorch like this program's, in another folder, with another part for GPUs or none.
fn libtorch(part: Option<&[u8]>) -> Option<(TempDir, PathBuf)> {
    let real = PathBuf::from(seen()["libtorch"]["folder"].as_str()?);
    let folder = TempDir::new().unwrap();
    // Libraries are found at $ORIGIN/../../nvidia.
    let lib = folder.path().join("torch/lib");
    fs::create_dir_all(&lib).unwrap();
    if let Some(nvidia) = real.ancestors().nth(2).map(|packages| packages.join("nvidia")).filter(|path| path.exists()) {
        symlink(nvidia, folder.path().join("nvidia")).unwrap();
    }
    for entry in fs::read_dir(&real).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() != "libtorch_cuda.so" {
            symlink(entry.path(), lib.join(entry.file_name())).unwrap();
        }
    }
    if let Some(bytes) = part {
        fs::write(lib.join("libtorch_cuda.so"), bytes).unwrap();
    }
    Some((folder, lib))
}

#[test]
fn a_libtorch_without_a_part_for_gpus_or_with_a_damaged_one_is_told() {
    for (part, expected) in [
        (None, &["this libtorch is for CPUs alone", "has no libtorch_cuda.so"][..]),
        (Some(&b"nonsense"[..]), &["cannot be opened", "libtorch_cuda.so", "file too short"]),
        (Some(&[7; 9000]), &["cannot be opened", "invalid ELF header"]),
    ] {
        let Some((_folder, lib)) = libtorch(part) else { panic!("the system does not tell where libtorch is") };
        let output = train(&["devices", "--json"]).env("LD_LIBRARY_PATH", &lib).output().unwrap();
        let report = json(&output);
        assert_eq!(report["libtorch"]["folder"], lib.to_str().unwrap());
        let why = report["why_no_gpu"].as_str().unwrap();
        assert!(expected.iter().all(|part| why.contains(part)), "{why}");
        let mut command = train(&["evaluate", "--data", "D", "--checkpoint", "C", "--device", "cuda:0"]);
        let output = command.env("LD_LIBRARY_PATH", &lib).output().unwrap();
        assert!(output.status.code() == Some(1) && words(&output).contains(why), "{}", words(&output));
    }
}

/// A driver that knows CUDA up to a version, and shows no GPU, with the status that `cuInit` gives.
fn driver(folder: &Path, version: u32, status: u32) -> bool {
    let source = format!(
        "int cuDriverGetVersion(int *v) {{ *v = {version}; return 0; }}
         int cuInit(unsigned flags) {{ return {status}; }}
         int cuDeviceGetCount(int *n) {{ *n = 0; return 0; }}
         int cuGetErrorString(int status, const char **text) {{ *text = \"no device is detected\"; return 0; }}"
    );
    fs::write(folder.join("driver.c"), source).unwrap();
    let mut compile = Command::new("cc");
    compile.args(["-shared", "-fPIC", "driver.c", "-o", "libcuda.so.1"]).current_dir(folder);
    compile.status().is_ok_and(|status| status.success())
}

#[test]
fn drivers_that_are_absent_too_old_or_without_a_gpu_are_told_apart() {
    let report = seen();
    if report["libtorch"]["cuda"].is_null() || report["why_no_gpu"].is_null() {
        eprintln!("SKIPPED: a libtorch for CPUs alone, or a machine with a GPU");
        return;
    }
    let folder = TempDir::new().unwrap();
    let path = match std::env::var("LD_LIBRARY_PATH") {
        Ok(path) => format!("{}:{path}", folder.path().display()),
        Err(_) => folder.path().display().to_string(),
    };
    let why = |visible: Option<&str>| {
        let mut devices = train(&["devices", "--json"]);
        devices.env("LD_LIBRARY_PATH", &path).envs(visible.map(|value| ("CUDA_VISIBLE_DEVICES", value)));
        let output = devices.output().unwrap();
        assert_eq!(words(&output), "");
        json(&output)["why_no_gpu"].as_str().unwrap().to_owned()
    };
    if report["driver"]["cuda"].is_null() {
        let words = why(None);
        assert!(words.contains("no NVIDIA driver") && words.contains("libcuda.so.1"), "{words}");
    }
    for (version, status, visible, expected) in [
        (11080, 0, None, &["too old", "CUDA up to 11.8", "libtorch for CUDA 11"][..]),
        (12090, 100, Some("0"), &["too old", "CUDA up to 12.9"]),
        (99000, 0, None, &["shows no GPU"]),
        (99000, 100, None, &["shows no GPU (cuInit: no device is detected (error 100))"]),
        (99000, 0, Some("-1"), &["shows no GPU; CUDA_VISIBLE_DEVICES is `-1`"]),
        (99000, 100, Some(""), &["(error 100)); CUDA_VISIBLE_DEVICES is ``"]),
    ] {
        if !driver(folder.path(), version, status) {
            eprintln!("SKIPPED: no C compiler");
            return;
        }
        let words = why(visible);
        assert!(expected.iter().all(|part| words.contains(part)), "CUDA {version}, status {status}: {words}");
    }
}

#[test]
fn the_table_has_what_json_has() {
    let report = seen();
    let output = train(&["devices"]).output().unwrap();
    assert!(output.status.success(), "{}", words(&output));
    let table = String::from_utf8(output.stdout).unwrap();
    for name in ["version", "folder", "cpu_capability"] {
        assert!(table.contains(report["libtorch"][name].as_str().unwrap()), "{table}");
    }
    assert_eq!(report["devices"][0], "cpu");
    match report["why_no_gpu"].as_str() {
        Some(why) => assert!(table.ends_with(&format!("{why}\n")), "{table}"),
        None => assert!(table.contains("cuda:0"), "{table}"),
    }
}
