//! `xsfm-train run`, `report` and `fit` on small tables: what is made, what is not made again, and what a kill at any
//! moment costs: nothing.
//!
//! Needs `XSFM_TRAIN` and `XSFM`, the two programs; `cargo xtask test` sets them.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use xsfm_tests::trainer::{prepare_rows, program, run};

const ROWS: [(&str, &str); 7] = [
    (
        "defaults",
        "dataset = 'Planted'\nseeds = [1, 2]\n[train]\nembed_dim = 4\nepochs = 6\n\
         batch_size = 256\nlearning_rate = 0.01\n",
    ),
    ("1-teacher", "title = 'T'\ntable = 'A'\n[train]\nhidden = [16]\n"),
    ("2-both", "title = 'Mean'\ntable = 'A'\nensemble = ['teacher:1-2']\n"),
    (
        "3-student",
        "title = 'S'\ntable = 'B'\nteacher = ['teacher:1-2']\n[train]\nquantize = true\n\
         quantize_epochs = 3\n[pack]\nmode = 'int8'\n",
    ),
    ("4-dynamic", "title = 'D'\ntable = 'B'\nmodel = 'teacher'\n[pack]\nmode = 'dynamic'\ncalibrate = true\n"),
    ("5-pruned", "title = 'P'\ntable = 'B'\nfrom = 'teacher'\n[train]\nprune_layers = 0.5\nprune_epochs = 2\n"),
    // Users have 40 training rows each, give or take 6.
    (
        "6-few",
        "title = 'F'\ntable = 'B'\nteacher = ['teacher']\nmin_count = 40\n[train]\n\
         hidden = [4]\n[pack]\nmode = 'int8'\ncalibrate = true\n",
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

    /// `fit` on the rows, without teachers unless they are given, with words of a command line.
    fn fit(&self, out: &str, space: &str, words: &str, more: &[&str]) -> Output {
        let mut command = Command::new(&self.train);
        command.args(["fit", "--data", &self.at("data"), "--out", &self.at(out), "--space", &self.at(space), "--xsfm"]);
        command.arg(&self.xsfm).args(words.split_whitespace()).args(more);
        if !words.contains("--teacher-minutes") {
            command.args(["--teacher-minutes", "0"]);
        }
        command.output().unwrap()
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
        for figure in [
            "AUC against deployed bytes",
            "Field matrix of T",
            "Validation LogLoss by epoch",
            "Reliability, first seed",
        ] {
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
    // All in all less than half of what the whole takes: children that outlive their parent go on, and the last run
    // shall find work too.
    let most = start.elapsed() / 25;
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

/// A row that diverges is told, and stops neither the others nor the report; what needs it is not begun, and nothing of
/// it is tried again.
#[test]
fn a_row_that_diverges_stops_no_other() {
    let Some(table) = Table::new() else { return };
    let file = |name: &str, text: &str| {
        let path = table.at(&format!("{name}.toml"));
        fs::write(&path, text).unwrap();
        path
    };
    let rows = [
        file("1-teacher", "title = 'T'\ntable = 'A'\n[train]\nhidden = [16]\n"),
        file("20-wild", "title = 'W'\ntable = 'A'\n[train]\nlearning_rate = 1000\n"),
        file("21-taught", "title = 'Taught by W'\ntable = 'A'\nteacher = ['wild']\n"),
        file("22-other", "title = 'O'\ntable = 'A'\n[train]\nhidden = [4]\n"),
    ];
    let run_rows = || {
        let mut command = Command::new(&table.train);
        command.arg("run").args(&rows).args(["--jobs", "2", "--xsfm"]).arg(&table.xsfm);
        command.args(["--data", &table.at("data"), "--out", &table.at("out")]).output().unwrap()
    };
    let first = run_rows();
    let words = String::from_utf8_lossy(&first.stderr).into_owned();
    assert!(!first.status.success() && words.contains("2 of 8 diverged") && words.contains("wild seed"), "{words}");
    for seed in ["1", "2"] {
        for made in ["teacher", "other"] {
            assert!(Path::new(&table.at(&format!("out/{made}/seed-{seed}/outcome.json"))).exists(), "{made} {seed}");
        }
        assert!(!Path::new(&table.at(&format!("out/taught/seed-{seed}"))).exists());
        let diverged = fs::read_to_string(table.at(&format!("out/wild/seed-{seed}/diverged.json"))).unwrap();
        assert!(diverged.contains("training diverged; lower --learning-rate"), "{diverged}");
    }
    let log = || fs::read_to_string(table.at("out/wild/seed-1/log.txt")).unwrap();
    let before = log();
    let again = run_rows();
    let words = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(!again.status.success() && words.contains("is not tried again") && log() == before, "{words}");

    let mut report = vec!["report", "--out"];
    let (from, to) = (table.at("out"), table.at("report"));
    report.extend([from.as_str(), "--to", &to]);
    report.extend(rows.iter().map(String::as_str));
    run(&table.train, &report);
    let markdown = fs::read_to_string(Path::new(&to).join("report.md")).unwrap();
    for title in ["| W (diverged) |", "| Taught by W (diverged) |", "| T |", "| O |"] {
        assert!(markdown.contains(title), "{title}: {markdown}");
    }
    assert!(!markdown.contains("NaN"), "{markdown}");
}

/// Rows of a table are compared on the same test rows, where their logits were kept.
#[test]
fn reports_say_what_a_difference_means() {
    let Some(table) = Table::new() else { return };
    assert!(table.command("out").status().unwrap().success());
    let json = |more: &[&str]| -> Vec<serde_json::Value> {
        let (files, from, to) = (table.files(), table.at("out"), table.at("report"));
        let mut arguments: Vec<&str> = vec!["report", "--json", "--out", &from, "--to", &to];
        arguments.extend(files.iter().map(String::as_str).chain(more.iter().copied()));
        serde_json::from_str(&run(&table.train, &arguments)).unwrap()
    };
    let lines = json(&[]);
    let f64_of = |line: &serde_json::Value, key: &str| line[key].as_f64().unwrap();
    for table in ["A", "B"] {
        let lines: Vec<_> = lines.iter().filter(|line| line["table"] == table).collect();
        let best = lines.iter().max_by(|a, b| f64_of(a, "valid_auc").total_cmp(&f64_of(b, "valid_auc"))).unwrap();
        assert!(best["against"].is_null());
        for line in lines.iter().filter(|line| line["row"] != best["row"]) {
            assert_eq!(line["against"], best["row"]);
            let less = f64_of(line, "auc") - f64_of(best, "auc");
            assert!((f64_of(line, "auc_difference") - less).abs() < 1e-6, "{line}");
            let (error, of_one) = (f64_of(line, "auc_difference_standard_error"), f64_of(line, "auc_standard_error"));
            assert!(error > 0.0 && error < 1.5 * of_one, "{line}");
        }
    }
    // The files of one row and their seeds agree with what `evaluate` says of them.
    let student = lines.iter().find(|line| line["row"] == "student").unwrap();
    let of_seed = |seed: u32, figure: &str| -> f64 {
        let packed = table.at(&format!("out/student/seed-{seed}/model.xsfm"));
        let rows = table.at("data/test.arrow");
        let figures = run(&table.xsfm, &["evaluate", &packed, "--rows", &rows, "--json"]);
        f64_of(&serde_json::from_str(&figures).unwrap(), figure)
    };
    for figure in ["auc_standard_error", "ece", "calibration"] {
        assert!(((of_seed(1, figure) + of_seed(2, figure)) / 2.0 - f64_of(student, figure)).abs() < 1e-12, "{figure}");
    }
    let reliability = fs::read_to_string(table.at("report/reliability-1.svg")).unwrap();
    assert!(reliability.contains("Reliability, first seed: A"), "{reliability}");
    let named = json(&["--against", "dynamic"]);
    assert!(named.iter().all(|line| (line["row"] == "dynamic") == line["against"].is_null()));

    // Outcomes of older programs have neither: their cells are empty.
    for seed in [1, 2] {
        let folder = table.folder.path().join(format!("out/teacher/seed-{seed}"));
        fs::remove_file(folder.join("predictions.safetensors")).unwrap();
        let mut outcome: serde_json::Value =
            serde_json::from_slice(&fs::read(folder.join("outcome.json")).unwrap()).unwrap();
        for part in ["valid", "test"] {
            for figure in ["auc_standard_error", "ece", "calibration"] {
                outcome[part].as_object_mut().unwrap().remove(figure).unwrap();
            }
        }
        fs::write(folder.join("outcome.json"), outcome.to_string()).unwrap();
    }
    let old = json(&[]);
    let teacher = old.iter().find(|line| line["row"] == "teacher").unwrap();
    assert!(teacher["auc_standard_error"].is_null() && teacher["auc_difference"].is_null() && teacher["auc"].is_f64());
    assert!(teacher["ece"].is_null() && teacher["calibration"].is_null(), "{teacher}");
}

/// One class in the validation rows is said before anything is made.
#[test]
fn tables_of_rows_of_one_class_are_not_begun() {
    let Some(table) = Table::new() else { return };
    let rows = fs::read_to_string(table.at("rows.csv")).unwrap();
    let (header, rows) = rows.split_once('\n').unwrap();
    let (ones, others): (Vec<&str>, Vec<&str>) = rows.lines().partition(|row| row.starts_with("1,"));
    let (valid, train) = (&ones[..150], [&ones[150..], &others[..]].concat());
    let letters = "v\n".repeat(valid.len()) + &"t\n".repeat(train.len());
    let (text, path) = (format!("{header}\n{}\n{}\n", valid.join("\n"), train.join("\n")), table.at("one.csv"));
    fs::write(&path, text).unwrap();
    fs::write(table.at("letters.txt"), letters).unwrap();
    let mut prepare = vec!["prepare", "csv", "--input", &path, "--schema"];
    let (schema, letters, data) = (table.at("rows.toml"), table.at("letters.txt"), table.at("one"));
    prepare.extend([schema.as_str(), "--split", "file", "--split-file", &letters, "--out", &data]);
    run(&table.train, &prepare);
    let files = table.files();
    let out = table.at("never");
    let run_flags: Vec<&str> = std::iter::once("run").chain(files.iter().map(String::as_str)).collect();
    for flags in [&run_flags[..], &["fit", "--teacher-minutes", "0", "--budget", "32KiB"]] {
        let mut command = Command::new(&table.train);
        command.args(flags).args(["--data", &data, "--out", &out, "--xsfm"]).arg(&table.xsfm);
        let output = command.output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(words.contains("valid.arrow: all 150 rows have the label 1") && !output.status.success(), "{words}");
        assert!(!Path::new(&out).exists());
    }
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

/// Without a teacher, `fit` tunes some, once.
#[test]
fn fit_tunes_the_teachers_that_it_needs() {
    let Some(table) = Table::new() else { return };
    let space = "[train]\nepochs = 2\nbatch_size = 256\n[try]\nembed_dim = [4]\nhidden = ['none']\n";
    fs::write(table.folder.path().join("space.toml"), space).unwrap();
    let fit = |minutes: &str| {
        let words = format!("--teacher-minutes {minutes} --budget 100KiB --trials 1 --seeds 1");
        table.fit("fit", "space.toml", &words, &[])
    };
    let words = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let first = fit("0.5");
    assert!(first.status.success() && words(&first).contains("no --teacher: tuning some in"), "{}", words(&first));
    let json = |name: &str| -> serde_json::Value {
        serde_json::from_slice(&fs::read(table.folder.path().join(name)).unwrap()).unwrap()
    };
    let (tuned, common) = (json("fit/teachers/tune.json"), json("fit/common.json"));
    let of = |value: &serde_json::Value| -> Vec<std::path::PathBuf> {
        let paths = value.as_array().unwrap().iter().map(|path| fs::canonicalize(path.as_str().unwrap()).unwrap());
        paths.collect()
    };
    assert!(!of(&tuned["ensemble"]).is_empty());
    assert_eq!(of(&common["teachers"]), of(&tuned["ensemble"]));
    let log = fs::read_to_string(table.folder.path().join("fit/embed_dim-4_hidden-none/seed-1/log.txt")).unwrap();
    assert!(log.contains("xsfm-train distill --teacher"), "{log}");

    // They are there, however many minutes there would be.
    let before = fs::read(table.folder.path().join("fit/teachers/tune.json")).unwrap();
    let again = fit("99");
    assert!(again.status.success(), "{}", words(&again));
    assert_eq!(fs::read(table.folder.path().join("fit/teachers/tune.json")).unwrap(), before);
    assert!(!fit("-1").status.success());
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
        let words = format!("--budget {budget} --trials 2 --seeds 1 --json");
        let output = table.fit("fit", "space.toml", &words, &["--teacher", &teacher]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()["best"][0].clone()
    };
    let all = fit("100KiB");
    let costs = fs::read(table.folder.path().join("fit/costs.json")).unwrap();
    let costs: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&costs).unwrap();
    let bytes =
        |min_count: u64| costs[&format!("embed_dim-8_hidden-none_min_count-{min_count}")]["deployed_bytes"].as_u64();
    let bytes = |min_count: u64| bytes(min_count).unwrap();
    assert!(bytes(40) + 200 < bytes(1) && all["deployed_bytes"].as_u64().unwrap().abs_diff(bytes(1)) < 16, "{all}");
    let few = fit(&(bytes(1) - 100).to_string());
    assert_eq!(few["settings"], "embed_dim=8 hidden=none min_count=40");

    // It was trained and measured on rows of its own.
    let (packed, rows) = (few["packed"].as_str().unwrap(), table.at("fit/min-count-40/valid.arrow"));
    let figures = run(&table.xsfm, &["evaluate", packed, "--rows", &rows, "--json"]);
    let figures: serde_json::Value = serde_json::from_str(&figures).unwrap();
    assert_eq!(figures["auc"], few["valid_auc"]);
    let log = fs::read_to_string(Path::new(packed).with_file_name("log.txt")).unwrap();
    assert!(log.contains("--teacher-data") && log.contains("--data ") && log.contains("fit/min-count-40"), "{log}");

    // Or their vocabulary takes fewer bytes, in a file of raw values that scores as the one of indices does.
    let all = space.replace("[40, 1]", "[1]");
    fs::write(table.at("space.toml"), format!("{all}renumber = [true]\nfingerprint_bits = [6]\n")).unwrap();
    let budget = (bytes(1) - 100) | 1;
    let renumbered = fit(&budget.to_string());
    let settings = "embed_dim=8 fingerprint_bits=6 hidden=none min_count=1 renumber=true";
    assert_eq!(renumbered["settings"], settings);
    let deployed = renumbered["packed"].as_str().unwrap();
    let size = fs::metadata(deployed).unwrap().len();
    assert_eq!(renumbered["deployed_bytes"].as_u64(), Some(size));
    assert_eq!(fs::read(deployed).unwrap(), fs::read(table.at(&format!("fit/{budget}.xsfm"))).unwrap());
    let scored = Path::new(deployed).with_file_name("model.xsfm");
    assert!(size < fs::metadata(&scored).unwrap().len());
    let score = |model: &str| run(&table.xsfm, &["score", model, "--raw", &table.at("rows.csv")]);
    assert_eq!(score(deployed), score(&scored.display().to_string()));
}

/// The same rows with hashed tokens compete with their vocabulary, which takes bytes that the hash does not.
#[test]
fn fit_lets_encodings_compete_at_equal_bytes() {
    let Some(table) = Table::new() else { return };
    let space =
        "[train]\nepochs = 12\nlearning_rate = 0.01\nbatch_size = 256\n[try]\nembed_dim = [8]\nhidden = ['none']\n";
    fs::write(table.at("space.toml"), space).unwrap();
    let hashed = |buckets: u32| {
        let schema = fs::read_to_string(table.at("rows.toml")).unwrap();
        let kind = "kind = \"categorical\"";
        let schema = schema.replace(kind, &format!("{kind}, buckets = {buckets}"));
        fs::write(table.at("hashed.toml"), schema).unwrap();
        let (rows, schema, out) = (table.at("rows.csv"), table.at("hashed.toml"), table.at("hashed"));
        run(&table.train, &["prepare", "csv", "--input", &rows, "--schema", &schema, "--out", &out]);
    };
    hashed(30);
    let (data, teacher) = (table.at("data"), table.at("teacher"));
    run(&table.train, &["train", "--data", &data, "--out", &teacher, "--epochs", "4", "--batch-size", "256"]);
    let encoding = format!("hashed={}", table.at("hashed"));
    let fit = |budget: &str, more: &[&str]| {
        let words = format!("--budget {budget} --trials 2 --seeds 1 --json");
        table.fit("fit", "space.toml", &words, &[&["--teacher", &teacher], more].concat())
    };
    let best = |output: &Output| {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()["best"][0].clone()
    };
    // Buckets for half of the tokens mix what decides the labels.
    let all = best(&fit("100KiB", &["--encoding", &encoding]));
    assert_eq!(all["settings"], "embed_dim=8 hidden=none encoding=own", "{all}");
    let few = best(&fit(&(all["deployed_bytes"].as_u64().unwrap() - 100).to_string(), &["--encoding", &encoding]));
    assert_eq!(few["settings"], "embed_dim=8 hidden=none encoding=hashed", "{few}");
    let packed = few["packed"].as_str().unwrap();
    let figures = run(&table.xsfm, &["evaluate", packed, "--rows", &table.at("hashed/valid.arrow"), "--json"]);
    let figures: serde_json::Value = serde_json::from_str(&figures).unwrap();
    assert_eq!(figures["auc"], few["valid_auc"]);
    let log = fs::read_to_string(Path::new(packed).with_file_name("log.txt")).unwrap();
    assert!(log.contains(&format!("--teacher-data {data}")), "{log}");

    let refused = |output: Output, words: &str| {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(words), "{said}");
    };
    refused(fit("100KiB", &[]), "other encodings");
    refused(fit("100KiB", &["--encoding", "own=x"]), "choose another name");
    let other = format!("hashed={}", table.at("rows.csv"));
    refused(fit("100KiB", &["--encoding", &other]), "rows.csv");
    // In a table too, whose rows stay comparable.
    fs::write(table.at("1-own.toml"), "title = 'own'\nseeds = [1]\n[train]\nepochs = 1\n").unwrap();
    fs::write(table.at("2-buckets.toml"), "title = 'buckets'\nencoding = 'hashed'\nseeds = [1]\n[train]\nepochs = 1\n")
        .unwrap();
    let (own, hashes, runs) = (table.at("1-own.toml"), table.at("2-buckets.toml"), table.at("runs"));
    let xsfm = table.xsfm.to_str().unwrap();
    let means = ["--data", &data, "--out", &runs, "--xsfm", xsfm];
    let make = |more: &[&str]| {
        Command::new(&table.train).args(["run", &own, &hashes]).args(means).args(more).output().unwrap()
    };
    refused(make(&[]), "no encoding \"hashed\": give --encoding hashed=DIR");
    let made = make(&["--encoding", &encoding]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let report = table.at("encodings");
    run(&table.train, &["report", &own, &hashes, "--out", &runs, "--to", &report]);
    // Other rows are no encoding of these, and other buckets no part of this search.
    hashed(31);
    refused(fit("100KiB", &["--encoding", &encoding]), "other encodings");
    refused(make(&["--encoding", &encoding]), "results of other data");
    let text = fs::read_to_string(table.at("rows.csv")).unwrap();
    let (first, rest) = text.split_once('\n').unwrap();
    let (row, rest) = rest.split_once('\n').unwrap();
    fs::write(table.at("rows.csv"), format!("{first}\n{rest}{row}\n")).unwrap();
    hashed(30);
    refused(fit("100KiB", &["--encoding", &encoding]), "rows are the same, in the same order");
}

/// A trial that diverges is the worst, in the search and when it is repeated; where all diverge, it is said why.
#[test]
fn fit_goes_on_where_a_trial_diverges() {
    let Some(table) = Table::new() else { return };
    let space = |name: &str, rates: &str| {
        let text = format!(
            "[train]\nepochs = 2\nbatch_size = 256\n[try]\nembed_dim = [4]\n\
             hidden = ['none', [4]]\nlearning_rate = {rates}\n"
        );
        fs::write(table.folder.path().join(name), text).unwrap();
    };
    let fit = |name: &str| {
        let words = "--budget 100KiB --trials 4 --finalists 2 --seeds 1,2 --json";
        table.fit(name, &format!("{name}.toml"), words, &[])
    };
    space("mixed.toml", "[1000, 0.01]");
    let first = fit("mixed");
    let words = String::from_utf8_lossy(&first.stderr).into_owned();
    assert!(first.status.success() && words.contains("DIVERGED"), "{words}");
    let report: serde_json::Value = serde_json::from_slice(&first.stdout).unwrap();
    assert!(report["best"][0]["settings"].as_str().unwrap().contains("learning_rate=0.01"), "{report}");
    let diverged = report["diverged"].as_array().unwrap();
    assert_eq!(diverged.len(), 2, "{report}");
    assert!(diverged.iter().all(|d| d["settings"].as_str().unwrap().contains("learning_rate=1000")), "{report}");
    assert!(report["best"][0]["test_auc_standard_error"].as_f64().unwrap() > 0.0);
    let logs = || {
        let folders =
            fs::read_dir(table.at("mixed")).unwrap().map(|entry| entry.unwrap().path().join("seed-1/log.txt"));
        let mut logs: Vec<_> = folders.filter_map(|path| fs::read_to_string(path).ok()).collect();
        logs.sort();
        logs
    };
    let before = logs();
    let again = fit("mixed");
    let words = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(again.status.success() && words.contains("is not tried again"), "{words}");
    assert_eq!((again.stdout, logs()), (first.stdout, before));

    space("wild.toml", "[1000, 3000]");
    for _ in 0..2 {
        let output = fit("wild");
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && words.contains("all 4 models that were tried diverged"), "{words}");
    }
}

const SPACE: &str = "[train]\nepochs = 4\nbatch_size = 256\nlearning_rate = 0.01\nalpha = 0.5\n\
                     [try]\nembed_dim = [2, 4, 8]\nhidden = ['none', [4], [16]]\ntable_bits = [4, 8]\n";

#[test]
fn fit_finds_what_packs_under_a_budget_and_goes_on_where_it_was() {
    let Some(table) = Table::new() else { return };
    let defaults = table.folder.path().join("space.toml");
    fs::write(&defaults, SPACE).unwrap();
    let (data, teacher) = (table.at("data"), table.at("teacher"));
    run(&table.train, &["train", "--data", &data, "--out", &teacher, "--epochs", "4", "--batch-size", "256"]);
    let fit = |budget: &str, more: &[&str]| {
        let words = format!("--budget {budget} --trials 5 --finalists 2 --seeds 1,2 --json");
        table.fit("fit", "space.toml", &words, more)
    };
    let words = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();

    let first = fit("6KiB,12K", &["--teacher", &teacher]);
    assert!(first.status.success(), "{}", words(&first));
    let report: serde_json::Value = serde_json::from_slice(&first.stdout).unwrap();
    let best = report["best"].as_array().unwrap();
    assert_eq!(best.len(), 2);
    for (found, budget) in best.iter().zip([6 << 10, 12 << 10]) {
        let packed = Path::new(found["packed"].as_str().unwrap());
        let bytes = fs::metadata(packed).unwrap().len();
        assert!(bytes <= budget && found["deployed_bytes"].as_u64() == Some(bytes), "{found}");
        let inspected = run(&table.xsfm, &["inspect", packed.to_str().unwrap(), "--json"]);
        let inspected: serde_json::Value = serde_json::from_str(&inspected).unwrap();
        let fields = inspected["fields"].as_array().unwrap();
        let vocabulary: u64 = fields.iter().map(|field| field["vocabulary_bytes"].as_u64().unwrap()).sum();
        // What describes files of raw rows, and padding, is nobody's field.
        let more = bytes - found["bytes"].as_u64().unwrap();
        assert!(vocabulary > 100 && (vocabulary..vocabulary + 1200).contains(&more), "{vocabulary}, {more}");
        assert_eq!(found["seeds"], 2);
        let by_budget = table.at(&format!("fit/{}KiB.xsfm", budget >> 10));
        assert_eq!(fs::read(by_budget).unwrap(), fs::read(packed).unwrap());
        let valid = table.at("data/valid.arrow");
        let figures = run(&table.xsfm, &["evaluate", packed.to_str().unwrap(), "--rows", &valid, "--json"]);
        let auc = serde_json::from_str::<serde_json::Value>(&figures).unwrap()["auc"].as_f64().unwrap();
        // The mean of two seeds, of which this file is the first.
        assert!((auc - found["valid_auc"].as_f64().unwrap()).abs() < 0.1 && auc > 0.55, "{auc}: {found}");
    }
    let auc = |i: usize| best[i]["valid_auc"].as_f64().unwrap();
    assert!(auc(1) >= auc(0), "more bytes, less AUC: a smaller budget's best fits too");
    // Two finalists of each budget, and the first budget's are the second's too.
    let others = report["finalists"].as_array().unwrap();
    assert!((2..=4).contains(&others.len()), "{others:?}");
    for other in others {
        let best = best.iter().find(|best| best["budget"] == other["budget"]).unwrap();
        let auc = |found: &serde_json::Value| found["test_auc"].as_f64().unwrap();
        let less = other["less_best"]["difference"].as_f64().unwrap();
        assert!((less - (auc(other) - auc(best))).abs() < 1e-9 && other["less_best"]["standard_error"].is_f64());
        assert!(other["valid_auc"].as_f64() <= best["valid_auc"].as_f64());
    }
    let frontier = report["frontier"].as_array().unwrap();
    let sorted = |key: &str| frontier.is_sorted_by(|a, b| a[key].as_f64() < b[key].as_f64());
    assert!(sorted("deployed_bytes") && sorted("valid_auc"), "{frontier:?}");
    assert!(fs::read_to_string(table.folder.path().join("fit/frontier.svg")).unwrap().contains("<svg"));

    // Nothing is trained again, and the answer is the same.
    let made: Vec<PathBuf> = best.iter().map(|found| found["packed"].as_str().unwrap().into()).collect();
    let changed = |path: &PathBuf| fs::metadata(path).unwrap().modified().unwrap();
    let before: Vec<_> = made.iter().map(changed).collect();
    let again = fit("6KiB,12K", &["--teacher", &teacher]);
    assert_eq!(again.stdout, first.stdout);
    assert_eq!(made.iter().map(changed).collect::<Vec<_>>(), before);

    // What an older program made did not count vocabularies: it is packed again, not trained.
    for found in best {
        let folder = Path::new(found["packed"].as_str().unwrap()).parent().unwrap();
        let mut outcome: serde_json::Value =
            serde_json::from_slice(&fs::read(folder.join("outcome.json")).unwrap()).unwrap();
        // Two budgets may have one best.
        outcome["packed"].as_object_mut().unwrap().remove("deployed_bytes");
        fs::write(folder.join("outcome.json"), outcome.to_string()).unwrap();
    }
    let costs = fs::read_to_string(table.folder.path().join("fit/costs.json")).unwrap();
    let mut old: BTreeMap<String, serde_json::Value> = serde_json::from_str(&costs).unwrap();
    old.values_mut().for_each(|cost| drop(cost.as_object_mut().unwrap().remove("deployed_bytes").unwrap()));
    fs::write(table.folder.path().join("fit/costs.json"), serde_json::to_string(&old).unwrap()).unwrap();
    let repacked = fit("6KiB,12K", &["--teacher", &teacher]);
    assert!(words(&repacked).contains("an older program packed it without its vocabulary"), "{}", words(&repacked));
    assert_eq!(repacked.stdout, first.stdout);
    assert_eq!(fs::read_to_string(table.folder.path().join("fit/costs.json")).unwrap(), costs);
    let log = Path::new(best[0]["packed"].as_str().unwrap()).with_file_name("log.txt");
    assert!(fs::read_to_string(log).unwrap().contains("already finished"));

    // Of a device that is given indices, the same models in fewer bytes.
    let bare = fit("6KiB", &["--teacher", &teacher, "--without-vocabulary"]);
    assert!(bare.status.success(), "{}", words(&bare));
    let bare: serde_json::Value = serde_json::from_slice(&bare.stdout).unwrap();
    let bytes = fs::metadata(table.at("fit/6KiB.xsfm")).unwrap().len();
    assert!(bytes <= 6 << 10 && bare["best"][0]["bytes"].as_u64() == Some(bytes), "{bare}");
    assert!(bare["best"][0]["deployed_bytes"].as_u64().unwrap() > bytes, "{bare}");

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
    let least = costs.values().map(|cost| cost["deployed_bytes"].as_u64().unwrap()).min().unwrap().to_string();
    let quick = fit(&least, &["--teacher", &teacher, "--max-us", "1000000"]);
    assert!(quick.status.success(), "{}", words(&quick));
    let quick: serde_json::Value = serde_json::from_slice(&quick.stdout).unwrap();
    assert!(quick["best"][0]["us"].as_f64().unwrap() > 0.0, "{quick}");
    let slow = fit(&least, &["--teacher", &teacher, "--max-us", "0.000001"]);
    assert!(!slow.status.success() && words(&slow).contains("scores a row in 0.000001 us here"), "{}", words(&slow));
    let alone = fit("12K", &[]);
    assert!(!alone.status.success() && words(&alone).contains("other teachers"), "{}", words(&alone));
}
