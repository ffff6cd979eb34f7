//! `xsfm-train run`, `report` and `fit` on small tables: what is made, what is not made again, and what a kill at any moment costs: nothing.
//!
//! Needs `XSFM_TRAIN` and `XSFM`, the two programs; `cargo xtask test` sets them.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use xsfm_tests::trainer::{prepare_rows, program, run};

const ROWS: [(&str, &str); 7] = [
    (
        "defaults",
        "dataset = 'Planted'\nseeds = [1, 2]\n[train]\nembed_dim = 4\nepochs = 6\nbatch_size = 256\nlearning_rate = 0.01\n",
    ),
    ("1-teacher", "title = 'T'\ntable = 'A'\n[train]\nhidden = [16]\n"),
    ("2-both", "title = 'Mean'\ntable = 'A'\nensemble = ['teacher:1-2']\n"),
    (
        "3-student",
        "title = 'S'\ntable = 'B'\nteacher = ['teacher:1-2']\n[train]\nquantize = true\nquantize_epochs = 3\n[pack]\nmode = 'int8'\n",
    ),
    ("4-dynamic", "title = 'D'\ntable = 'B'\nmodel = 'teacher'\n[pack]\nmode = 'dynamic'\ncalibrate = true\n"),
    ("5-pruned", "title = 'P'\ntable = 'B'\nfrom = 'teacher'\n[train]\nprune_layers = 0.5\nprune_epochs = 2\n"),
    // Users have 40 training rows each, give or take 6.
    (
        "6-few",
        "title = 'F'\ntable = 'B'\nteacher = ['teacher']\nmin_count = 40\n[train]\nhidden = [4]\n[pack]\nmode = 'int8'\ncalibrate = true\n",
    ),
];

struct Table {
    train: PathBuf,
    xsfm: PathBuf,
    folder: tempfile::TempDir,
}

impl Table {
    fn new() -> Option<Self> {
        let (train, xsfm) = (program("XSFM_TRAIN")?, program("XSFM")?);
        let folder = tempfile::tempdir().unwrap();
        prepare_rows(&train, folder.path());
        for (name, text) in ROWS {
            fs::write(folder.path().join(format!("{name}.toml")), text).unwrap();
        }
        Some(Table { train, xsfm, folder })
    }

    fn at(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn files(&self) -> Vec<String> {
        ROWS[1..].iter().map(|(name, _)| self.at(&format!("{name}.toml"))).collect()
    }

    fn command(&self, out: &str) -> Command {
        let mut command = Command::new(&self.train);
        command.arg("run").args(self.files()).args(["--jobs", "2", "--xsfm"]).arg(&self.xsfm);
        command.args(["--data", &self.at("data"), "--out", &self.at(out)]).stderr(Stdio::null());
        command
    }

    /// The tables of the folder `out`.
    fn report(&self, out: &str) -> [String; 2] {
        let (files, from, to) = (self.files(), self.at(out), self.at("report"));
        let mut arguments: Vec<&str> = vec!["report", "--out", &from, "--to", &to];
        arguments.extend(files.iter().map(String::as_str));
        run(&self.train, &arguments);
        let page = fs::read_to_string(Path::new(&to).join("report.html")).unwrap();
        for figure in ["AUC against packed bytes", "Field matrix of T", "Validation LogLoss by epoch"] {
            assert!(page.contains(figure), "the page has no figure `{figure}`");
        }
        assert!(!page.contains("http-equiv") && !page.contains("src="), "the page needs other files");
        ["report.md", "report.csv"].map(|name| fs::read_to_string(Path::new(&to).join(name)).unwrap())
    }
}

#[test]
fn a_run_that_is_killed_again_and_again_ends_as_an_unbroken_one() {
    let Some(table) = Table::new() else { return };
    let start = Instant::now();
    assert!(table.command("whole").status().unwrap().success());
    let most = start.elapsed() / 10;
    let whole = table.report("whole");
    for title in ["| T |", "| Mean |", "| S |", "| D |", "| F |", "| P |"] {
        assert!(whole[0].contains(title), "{title}: {}", whole[0]);
    }

    let mut random = StdRng::seed_from_u64(5);
    let mut killed = 0;
    for round in 0..20 {
        let mut run = table.command("broken").process_group(0).spawn().unwrap();
        std::thread::sleep(most.mul_f64(random.random_range(0.0..1.0)));
        if run.try_wait().unwrap().is_none() {
            killed += 1;
        }
        // By turns all of it, and the parent alone, whose trainings then go on without it.
        let whom = if round % 2 == 0 { format!("-{}", run.id()) } else { run.id().to_string() };
        let _ = Command::new("kill").args(["-KILL", "--", &whom]).stderr(Stdio::null()).status().unwrap();
        run.wait().unwrap();
    }
    assert!(killed >= 15, "only {killed} of 20 runs were still at work when they were killed");
    assert!(table.command("broken").status().unwrap().success());
    assert_eq!(table.report("broken"), whole);
}

#[test]
fn what_is_made_stays_and_what_changed_is_told() {
    let Some(table) = Table::new() else { return };
    assert!(table.command("out").status().unwrap().success());
    let packed = table.folder.path().join("out/dynamic/seed-1/model.xsfm");
    let changed = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
    let before = changed(&packed);
    assert!(table.command("out").status().unwrap().success());
    assert_eq!(changed(&packed), before, "a finished row was packed again");

    // Another way of packing needs no training, and until then there is no figure of it.
    let row = table.folder.path().join("4-dynamic.toml");
    fs::write(&row, "title = 'D'\ntable = 'B'\nmodel = 'teacher'\n").unwrap();
    let mut report = Command::new(&table.train);
    report.args(["report", "--out", &table.at("out"), "--to", &table.at("report")]);
    let report = report.arg(&row).output().unwrap();
    let words = String::from_utf8_lossy(&report.stderr);
    assert!(!report.status.success() && words.contains("other settings"), "{words}");
    assert!(table.command("out").status().unwrap().success());
    assert_ne!(changed(&packed), before);
    assert!(table.report("out")[0].contains("| D |"));

    // Another training does not take the place of one that was finished.
    fs::write(table.folder.path().join("1-teacher.toml"), "title = 'T'\ntable = 'A'\n[train]\nhidden = [8]\n").unwrap();
    let run = table.command("out").stderr(Stdio::piped()).output().unwrap();
    let words = String::from_utf8_lossy(&run.stderr);
    assert!(!run.status.success() && words.contains("hidden was [16], now [8]"), "{words}");
}

#[test]
fn latencies_are_those_of_the_packed_file_and_of_libtorch() {
    let Some(table) = Table::new() else { return };
    let mut timed = table.command("out");
    assert!(timed.args(["--latency", "--seeds", "1"]).status().unwrap().success());
    let read = |row: &str| -> serde_json::Value {
        let path = table.folder.path().join(format!("out/{row}/seed-1/latency.json"));
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    };
    let sizes = |batches: &serde_json::Value| -> Vec<u64> {
        let batches = batches.as_array().unwrap();
        assert!(batches.iter().all(|batch| batch["ns_per_row"].as_f64().unwrap() > 0.0), "{batches:?}");
        batches.iter().map(|batch| batch["rows"].as_u64().unwrap()).collect()
    };
    let teacher = read("teacher");
    assert_eq!(sizes(&teacher["batches"]), [1, 8, 64, 512, 1024]);
    assert_eq!(teacher["libtorch"]["device"], "cpu");
    assert_eq!(sizes(&teacher["libtorch"]["batches"]).len(), 4);
    let mean = read("both");
    assert!(sizes(&mean["batches"]).is_empty() && mean["libtorch"].is_null(), "{mean}");

    assert!(table.command("out").status().unwrap().success());
    table.report("out");
    let page = fs::read_to_string(table.folder.path().join("report/report.html")).unwrap();
    for figure in ["Nanoseconds per row, by rows of a call", "Nanoseconds per row in libtorch on cpu"] {
        assert!(page.contains(figure), "the page has no figure `{figure}`");
    }

    // A GPU that is not there is an error with a way out, whoever asks.
    let mut bench = Command::new(&table.train);
    bench.args(["bench", "--checkpoint", &table.at("out/teacher/seed-1/checkpoint")]);
    let bench = bench.args(["--rows", &table.at("data/test.arrow"), "--device", "cuda:99"]).output().unwrap();
    let words = String::from_utf8_lossy(&bench.stderr);
    assert!(!bench.status.success() && words.contains("cuda:99"), "{words}");
}

/// Where all tokens take too many bytes, those that few rows have are given up.
#[test]
fn fit_gives_up_rare_tokens_for_bytes() {
    let Some(table) = Table::new() else { return };
    let space =
        "[train]\nepochs = 4\nbatch_size = 256\n[try]\nembed_dim = [8]\nhidden = ['none']\nmin_count = [40, 1]\n";
    fs::write(table.folder.path().join("space.toml"), space).unwrap();
    let (data, teacher) = (table.at("data"), table.at("teacher"));
    run(&table.train, &["train", "--data", &data, "--out", &teacher, "--epochs", "4", "--batch-size", "256"]);
    let fit = |budget: &str| {
        let mut command = Command::new(&table.train);
        command.args(["fit", "--data", &data, "--out", &table.at("fit"), "--space", &table.at("space.toml")]);
        command.args(["--budget", budget, "--trials", "2", "--seeds", "1", "--json", "--teacher", &teacher, "--xsfm"]);
        let output = command.arg(&table.xsfm).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()["best"][0].clone()
    };
    let all = fit("100KiB");
    let costs = fs::read(table.folder.path().join("fit/costs.json")).unwrap();
    let costs: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&costs).unwrap();
    let bytes =
        |min_count: u64| costs[&format!("embed_dim-8_hidden-none_min_count-{min_count}")]["bytes"].as_u64().unwrap();
    assert!(bytes(40) + 200 < bytes(1) && all["bytes"].as_u64().unwrap().abs_diff(bytes(1)) < 16, "{all}");
    let few = fit(&(bytes(1) - 100).to_string());
    assert_eq!(few["settings"], "embed_dim=8 hidden=none min_count=40");

    // It was trained and measured on rows of its own.
    let (packed, rows) = (few["packed"].as_str().unwrap(), table.at("fit/min-count-40/valid.arrow"));
    let figures = run(&table.xsfm, &["evaluate", packed, "--rows", &rows, "--json"]);
    let figures: serde_json::Value = serde_json::from_str(&figures).unwrap();
    assert_eq!(figures["auc"], few["valid_auc"]);
    let log = fs::read_to_string(Path::new(packed).with_file_name("log.txt")).unwrap();
    assert!(log.contains("--teacher-data") && log.contains("--data ") && log.contains("fit/min-count-40"), "{log}");
}

const SPACE: &str = "[train]\nepochs = 4\nbatch_size = 256\nlearning_rate = 0.01\nalpha = 0.5\n\
                     [try]\nembed_dim = [2, 4, 8]\nhidden = ['none', [4], [16]]\ntable_bits = [4, 8]\n";

#[test]
fn fit_finds_what_packs_under_a_budget_and_goes_on_where_it_was() {
    let Some(table) = Table::new() else { return };
    let defaults = table.folder.path().join("space.toml");
    fs::write(&defaults, SPACE).unwrap();
    let (data, teacher, xsfm) = (table.at("data"), table.at("teacher"), table.xsfm.to_str().unwrap().to_owned());
    run(&table.train, &["train", "--data", &data, "--out", &teacher, "--epochs", "4", "--batch-size", "256"]);
    let fit = |budget: &str, more: &[&str]| {
        let mut command = Command::new(&table.train);
        command.args(["fit", "--data", &data, "--out", &table.at("fit"), "--space", &table.at("space.toml")]);
        command.args(["--budget", budget, "--trials", "5", "--finalists", "2", "--seeds", "1,2", "--json", "--xsfm"]);
        command.arg(&xsfm).args(more).output().unwrap()
    };
    let words = |output: &std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();

    let first = fit("6KiB,12K", &["--teacher", &teacher]);
    assert!(first.status.success(), "{}", words(&first));
    let report: serde_json::Value = serde_json::from_slice(&first.stdout).unwrap();
    let best = report["best"].as_array().unwrap();
    assert_eq!(best.len(), 2);
    for (found, budget) in best.iter().zip([6 << 10, 12 << 10]) {
        let packed = Path::new(found["packed"].as_str().unwrap());
        let bytes = fs::metadata(packed).unwrap().len();
        assert!(bytes <= budget && found["bytes"].as_u64() == Some(bytes), "{found}");
        assert_eq!(found["seeds"], 2);
        let valid = table.at("data/valid.arrow");
        let figures = run(&table.xsfm, &["evaluate", packed.to_str().unwrap(), "--rows", &valid, "--json"]);
        let auc = serde_json::from_str::<serde_json::Value>(&figures).unwrap()["auc"].as_f64().unwrap();
        // The mean of two seeds, of which this file is the first.
        assert!((auc - found["valid_auc"].as_f64().unwrap()).abs() < 0.1 && auc > 0.55, "{auc}: {found}");
    }
    let auc = |i: usize| best[i]["valid_auc"].as_f64().unwrap();
    assert!(auc(1) >= auc(0), "more bytes, less AUC: a smaller budget's best fits too");
    let frontier = report["frontier"].as_array().unwrap();
    let sorted = |key: &str| frontier.is_sorted_by(|a, b| a[key].as_f64() < b[key].as_f64());
    assert!(sorted("bytes") && sorted("valid_auc"), "{frontier:?}");
    assert!(fs::read_to_string(table.folder.path().join("fit/frontier.svg")).unwrap().contains("<svg"));

    // Nothing is trained again, and the answer is the same.
    let made: Vec<PathBuf> = best.iter().map(|found| found["packed"].as_str().unwrap().into()).collect();
    let changed = |path: &PathBuf| fs::metadata(path).unwrap().modified().unwrap();
    let before: Vec<_> = made.iter().map(changed).collect();
    let again = fit("6KiB,12K", &["--teacher", &teacher]);
    assert_eq!(again.stdout, first.stdout);
    assert_eq!(made.iter().map(changed).collect::<Vec<_>>(), before);

    let small = fit("100", &["--teacher", &teacher]);
    assert!(
        !small.status.success() && words(&small).contains("the smallest model of the space takes"),
        "{}",
        words(&small)
    );
    let slow = fit("12K", &["--teacher", &teacher, "--max-instructions", "10"]);
    assert!(!slow.status.success() && words(&slow).contains("at most 10 instructions"), "{}", words(&slow));
    // Time is measured of what is small enough: here of the smallest model alone.
    let costs = fs::read(table.folder.path().join("fit/costs.json")).unwrap();
    let costs: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&costs).unwrap();
    let least = costs.values().map(|cost| cost["bytes"].as_u64().unwrap()).min().unwrap().to_string();
    let quick = fit(&least, &["--teacher", &teacher, "--max-us", "1000000"]);
    assert!(quick.status.success(), "{}", words(&quick));
    let quick: serde_json::Value = serde_json::from_slice(&quick.stdout).unwrap();
    assert!(quick["best"][0]["us"].as_f64().unwrap() > 0.0, "{quick}");
    let slow = fit(&least, &["--teacher", &teacher, "--max-us", "0.000001"]);
    assert!(!slow.status.success() && words(&slow).contains("scores a row in 0.000001 us here"), "{}", words(&slow));
    let alone = fit("12K", &[]);
    assert!(!alone.status.success() && words(&alone).contains("other teachers or flags"), "{}", words(&alone));
}
