//! The command as users call it.
#![allow(clippy::unwrap_used, reason = "tests stop at the first surprise")]

mod common;

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::{Cases, GOLDEN, config_with_everything, golden, parameters, random_rows, tsv, write_checkpoint};
use serde_json::Value;
use xsfm_interchange::metrics::grouped::Grouped;
use xsfm_interchange::rows::{Bounds, Manifest, ManifestFile, RowsReader, RowsWriter};
use xsfm_runtime::{Backend, Catalogue, CatalogueRanker, LoadOptions, Model, Ranker};

fn xsfm(folder: &Path, arguments: &str, stdin: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_xsfm"))
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let text = stdin.to_owned();
    // A child that refuses its arguments does not read; its closed pipe is no failure of the test.
    let writer = std::thread::spawn(move || drop(input.write_all(text.as_bytes())));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// Standard output of a run that must succeed.
fn run(folder: &Path, arguments: &str, stdin: &str) -> String {
    let output = xsfm(folder, arguments, stdin);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "xsfm {arguments}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

fn json(folder: &Path, arguments: &str) -> Value {
    serde_json::from_str(&run(folder, arguments, "")).unwrap()
}

/// One clear line that contains all of `words`, an exit code that is not zero, and no new file.
fn refuse(folder: &Path, arguments: &str, stdin: &str, words: &[&str]) {
    let files = || std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name()).collect::<Vec<_>>();
    let before = files();
    let output = xsfm(folder, arguments, stdin);
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "xsfm {arguments}: {message}");
    assert!(words.iter().all(|word| message.contains(word)), "xsfm {arguments}: {words:?} expected in: {message}");
    assert_eq!(message.lines().count(), 1, "{message}");
    assert_eq!(files(), before, "xsfm {arguments} left a file");
}

#[test]
fn from_checkpoint_to_scores() {
    let config = config_with_everything();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_checkpoint(&folder.join("run"), &config, &parameters(&config, 11));
    std::fs::write(folder.join("rows.tsv"), tsv(&random_rows(&config, 200, 5))).unwrap();

    let packed = json(folder, "pack run --rows rows.tsv -o int8.xsfm --json");
    assert_eq!(packed["mode"], "int8");
    assert_eq!(packed["scales"], "calibration");
    assert_eq!(packed["calibration"]["rows"], 200);
    let dynamic = json(folder, "pack run --mode dynamic --rows rows.tsv -o dynamic.xsfm --json");
    assert_eq!((&dynamic["mode"], &dynamic["scales"]), (&"dynamic".into(), &"calibration".into()));
    std::fs::write(folder.join("alike.tsv"), "0\t0\t0\t0\t0\t0\t0\t0\n".repeat(20)).unwrap();
    for mode in ["int8", "dynamic"] {
        let pack = format!("pack run --mode {mode} --rows alike.tsv -o alike.xsfm");
        refuse(folder, &pack, "", &["alike.tsv", "20 were given, 1 of them distinct"]);
    }
    let table = run(folder, "pack run --mode f32 -o f32.xsfm", "");
    assert!(table.contains("f32.xsfm: f32"), "{table}");

    for (name, mode) in [("int8.xsfm", "int8"), ("dynamic.xsfm", "dynamic"), ("f32.xsfm", "f32")] {
        let report = json(folder, &format!("inspect {name} --json"));
        assert_eq!(report["mode"], mode);
        let bytes = std::fs::metadata(folder.join(name)).unwrap().len();
        assert_eq!(report["file_bytes"], bytes);
        let sections = report["sections"].as_array().unwrap();
        assert_eq!(sections.iter().map(|s| s["bytes"].as_u64().unwrap()).sum::<u64>(), bytes);
        assert_eq!(report["fields"].as_array().unwrap().len(), 8);
        assert_eq!(report["row_bytes"], read_for_a_row(&report), "{name}");
        assert!(run(folder, &format!("inspect {name}"), "").contains("quotient * remainder, 4 collisions"));
    }

    // Laid out for another CPU the scores are the same, and so is the file when it is laid out as it was.
    run(folder, "pack run --rows rows.tsv --target aarch64 -o tiles.xsfm", "");
    run(folder, "retarget tiles.xsfm --target cortex-m4f -o strips.xsfm", "");
    run(folder, "retarget strips.xsfm --target cortex-m55 -o vectors.xsfm", "");
    run(folder, "retarget vectors.xsfm --target cortex-m -o again.xsfm", "");
    run(folder, "retarget int8.xsfm --target x86-64 -o tiles-too.xsfm", "");
    let bytes = |name: &str| std::fs::read(folder.join(name)).unwrap();
    assert!(bytes("again.xsfm") == bytes("int8.xsfm") && bytes("tiles.xsfm") == bytes("tiles-too.xsfm"));
    let scores = run(folder, "score int8.xsfm --indices rows.tsv", "");
    for laid in ["tiles", "strips", "vectors"] {
        assert_eq!(run(folder, &format!("score {laid}.xsfm --indices rows.tsv"), ""), scores, "{laid}");
    }
    let (rows, tiles) = (json(folder, "inspect int8.xsfm --json"), json(folder, "inspect tiles.xsfm --json"));
    assert_eq!((&rows["layers"], &tiles["layers"]), (&"rows".into(), &"tiles".into()));
    assert_eq!(tiles["prepared_bytes"], 0);
    assert!(rows["prepared_bytes"].as_u64().unwrap() > 0);
    assert!(rows["ram_bytes_microcontroller"].as_u64().unwrap() <= rows["ram_bytes"].as_u64().unwrap());
    assert!(run(folder, "inspect int8.xsfm", "").contains("on a microcontroller"));

    let four = json(folder, "pack run --rows rows.tsv --table-bits 4 -o four.xsfm --json");
    assert_eq!(four["parameters"], packed["parameters"]);
    let bytes_of = |name: &str| std::fs::metadata(folder.join(name)).unwrap().len();
    assert!(bytes_of("four.xsfm") + 200 < bytes_of("int8.xsfm"));
    assert!(run(folder, "inspect four.xsfm", "").contains("quotient * remainder, 4 collisions, 4 bits"));
    refuse(folder, "pack run --mode f32 --table-bits 4 -o n.xsfm", "", &["--table-bits 4", "int8"]);

    // As many factors as fields miss next to nothing.
    let report = json(folder, "pack run --mode f32 --rank 7 -o factors.xsfm --json");
    assert!(report["rank_error"].as_f64().unwrap() < 0.02, "{report}");
    let report = json(folder, "inspect factors.xsfm --json");
    assert_eq!(report["rank"], 7);
    let sections = report["sections"].to_string();
    assert!(sections.contains("LowRankFactors") && !sections.contains("PairWeights"), "{sections}");

    let exact = json(folder, "validate f32.xsfm run --rows rows.tsv --json");
    assert!(exact["logit_error_max"].as_f64().unwrap() < 1e-5, "{exact}");
    assert_eq!(exact["rows"], 200);
    for (name, packed) in [("int8.xsfm", &packed), ("dynamic.xsfm", &dynamic)] {
        let rounded = json(folder, &format!("validate {name} run --rows rows.tsv --json"));
        assert_eq!(rounded["logit_error_mean"], packed["calibration"]["logit_error_mean"]);
    }
    let rounded = json(folder, "validate int8.xsfm run --rows rows.tsv --json");
    assert_eq!(rounded["before"], Value::Null, "a TSV has no labels");

    // Digits restore the bits, a file holds what the terminal shows, and standard input is a file.
    let scores = run(folder, "score int8.xsfm --indices rows.tsv", "");
    run(folder, "score int8.xsfm --indices rows.tsv -o scores.tsv", "");
    assert_eq!(std::fs::read_to_string(folder.join("scores.tsv")).unwrap(), scores);
    let rows = std::fs::read_to_string(folder.join("rows.tsv")).unwrap();
    assert_eq!(run(folder, "score int8.xsfm --indices -", &rows), scores);
    let parsed: Vec<(f32, f32)> = scores
        .lines()
        .map(|line| line.split_once('\t').unwrap())
        .map(|(logit, probability)| (logit.parse().unwrap(), probability.parse().unwrap()))
        .collect();
    assert_eq!(parsed.len(), 200);
    for &(logit, probability) in &parsed {
        assert_eq!(logit * 65_536.0, (logit * 65_536.0).round(), "an int8 logit is a multiple of 2^-16");
        assert_eq!(xsfm_runtime::Score { logit }.probability().to_bits(), probability.to_bits());
    }

    let names: String = (1..=200).map(|i| format!("name of {i}\n")).collect();
    std::fs::write(folder.join("names.txt"), names).unwrap();
    let ranked = json(folder, "rank int8.xsfm --indices rows.tsv --names names.txt --top 5 --json");
    let mut best: Vec<usize> = (0..200).collect();
    best.sort_by(|&a, &b| parsed[b].0.total_cmp(&parsed[a].0));
    for (entry, row) in ranked.as_array().unwrap().iter().zip(&best[..5]) {
        assert_eq!(entry["row"], row + 1);
        assert_eq!(entry["name"], format!("name of {}", row + 1));
        assert_eq!(entry["logit"].as_f64().unwrap() as f32, parsed[*row].0);
    }
    assert_eq!(ranked.as_array().unwrap().len(), 5);
    assert_eq!(run(folder, "rank int8.xsfm --indices - --top 3", &rows).lines().count(), 4);

    // Candidates of one context: the first row's first field before what each row has behind it.
    let (first, _) = rows.split_once('\t').unwrap();
    let candidates: String =
        rows.lines().map(|line| format!("{first}\t{}\n", line.split_once('\t').unwrap().1)).collect();
    std::fs::write(folder.join("candidates.tsv"), candidates).unwrap();
    let whole = run(folder, "rank int8.xsfm --indices candidates.tsv --top 20", "");
    assert_eq!(run(folder, "rank int8.xsfm --indices candidates.tsv --context user --top 20", ""), whole);
}

/// Bytes that a row of one index in each field reads, of what `inspect` tells.
fn read_for_a_row(report: &Value) -> u64 {
    let number = |of: &Value| of.as_u64().unwrap();
    let sections: Vec<(&str, u64)> = report["sections"]
        .as_array()
        .unwrap()
        .iter()
        .map(|section| (section["name"].as_str().unwrap(), number(&section["bytes"])))
        .collect();
    let whole = sections
        .iter()
        .filter(|(name, _)| !["Prefix", "Manifest", "Padding", "Tables", "FeatureWeights"].contains(name));
    let width = if report["mode"] == "f32" { 4 } else { 1 };
    let vectors = report["fields"].as_array().unwrap().iter().map(|field| {
        let embedding = field["embedding"].as_str().unwrap();
        if embedding.contains(" * ") || embedding.contains(" + ") { 2 } else { 1 }
    });
    let weights = sections.iter().any(|&(name, bytes)| name == "FeatureWeights" && bytes > 0);
    whole.map(|(_, bytes)| bytes).sum::<u64>()
        + vectors.map(|count| width * (count * number(&report["embed_dim"]) + u64::from(weights))).sum::<u64>()
}

#[test]
fn a_row_of_four_bits_reads_half() {
    let student = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/movielens-student/model.xsfm");
    let report = json(Path::new("."), &format!("inspect {student} --json"));
    // Seven vectors of sixteen numbers; everything but tables is read whole.
    assert_eq!(report["row_bytes"].as_u64(), Some(7 * 8 + 224 + 224 + 42 + 64 + 7232 + 260 + 260));
}

#[test]
fn bench_tells_what_a_model_costs() {
    let config = config_with_everything();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_checkpoint(&folder.join("run"), &config, &parameters(&config, 7));
    std::fs::write(folder.join("rows.tsv"), tsv(&random_rows(&config, 50, 3))).unwrap();
    run(folder, "pack run --rows rows.tsv -o int8.xsfm", "");
    run(folder, "pack run --mode f32 -o f32.xsfm", "");
    let packed = std::fs::metadata(folder.join("int8.xsfm")).unwrap().len();

    let bench = json(folder, "bench int8.xsfm --rows rows.tsv --json");
    let figure =
        |path: &str| bench.pointer(path).and_then(serde_json::Value::as_f64).unwrap_or_else(|| panic!("{path}"));
    assert!(figure("/ns_median") >= figure("/ns_min") && figure("/ns_min") > 0.0);
    assert!(figure("/call/p50") <= figure("/call/p99") && figure("/call/p99") <= figure("/call/max"));
    assert_eq!(figure("/memory/file_bytes"), packed as f64);
    assert!(figure("/memory/prepared_bytes") > 0.0 && figure("/rows_per_second") > 0.0);
    for what in ["open", "load", "checksum", "first_score"] {
        assert!(figure(&format!("/start/{what}_ns")) > 0.0);
    }
    let parts: Vec<&str> =
        bench["profile"].as_array().unwrap().iter().map(|part| part["name"].as_str().unwrap()).collect();
    assert_eq!(parts[..3], ["gather", "first-order terms", "pairs"]);
    assert_eq!(parts.len() - 3, config.mlp.as_ref().unwrap().hidden.len(), "{parts:?}");

    // The same bits whatever scores them, in whatever groups.
    for flags in ["--as-packed", "--backend portable", "--batch 10 --threads 2"] {
        let other = json(folder, &format!("bench int8.xsfm --rows rows.tsv --json {flags}"));
        assert_eq!(other["checksum"], bench["checksum"], "{flags}");
    }
    let cold = json(folder, "bench int8.xsfm --rows rows.tsv --json --cold --threads 3");
    assert_eq!((&cold["checksum"], &cold["cold"]["call"]["calls"]), (&bench["checksum"], &201.into()));
    assert!(cold["cold"]["flood_bytes"].as_u64().unwrap() > 1 << 20 && bench.get("cold").is_none());
    let threads: Vec<u64> =
        cold["throughput"].as_array().unwrap().iter().map(|some| some["threads"].as_u64().unwrap()).collect();
    assert_eq!(threads, [1, 2, 3]);
    assert_eq!(cold["rows_per_second"], cold["throughput"][2]["rows_per_second"]);
    let random = json(folder, "bench f32.xsfm --batch 7 --json --soak 1");
    assert_eq!(random["checksum"], json(folder, "bench f32.xsfm --batch 7 --json")["checksum"]);
    assert!(random["soak"]["p99_over_p50"].as_f64().unwrap() >= 1.0);
    let text = run(folder, "bench f32.xsfm --rows rows.tsv --cold --threads 2", "");
    assert!(text.contains("layer 1, ") && text.contains("of other memory each"), "{text}");
    assert!(text.contains("on 1 thread\n") && text.contains("on 2 threads, "), "{text}");
    refuse(folder, "bench int8.xsfm --backend abacus", "", &["abacus", "portable"]);
    refuse(folder, "bench nobody.xsfm", "", &["nobody.xsfm"]);
}

#[test]
fn analyze_tells_whether_a_model_fits() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let config = config_with_everything();
    write_checkpoint(&folder.join("run"), &config, &parameters(&config, 5));
    run(folder, "pack run --mode f32 -o m.xsfm", "");
    let report = json(folder, "analyze m.xsfm --target cortex-m4f --json");
    let bytes = |memory: &str| report[memory]["bytes"].as_u64().unwrap();
    let parts = |memory: &str| {
        report[memory]["parts"].as_array().unwrap().iter().map(|part| part["bytes"].as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!((bytes("flash"), bytes("ram")), (parts("flash"), parts("ram")));
    assert!(report["instructions"].as_u64().unwrap() > report["multiply_accumulates"].as_u64().unwrap());
    // What inspect says of a microcontroller.
    let inspected = json(folder, "inspect m.xsfm --json");
    assert_eq!(report["ram"]["parts"][0]["bytes"], inspected["ram_bytes_microcontroller"]);

    let just = format!("--flash {} --ram {}", bytes("flash"), bytes("ram"));
    let fits = json(folder, &format!("analyze m.xsfm --target cortex-m4f --json {just}"));
    assert_eq!((fits["fits"].as_bool(), fits["ram"]["left"].as_i64()), (Some(true), Some(0)));
    let short = format!("--flash {} --ram 1K", bytes("flash") - 1);
    let output = xsfm(folder, &format!("analyze m.xsfm --target cortex-m4f {short}"), "");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("1 bytes are MISSING") && text.contains("int8 instead of f32"), "{text}");
    // The code of all modes alone is more than that; int8 mode's is not.
    let output = xsfm(folder, "analyze m.xsfm --target cortex-m4f --flash 48K", "");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("no model of this mode fits") && text.contains("scored by Int8Model"), "{text}");
    let known = ["cortex-m0plus", "cortex-m3", "cortex-m33", "cortex-m4f", "cortex-m55", "cortex-m7"];
    refuse(folder, "analyze m.xsfm --target z80", "", &[&["z80"], &known[..]].concat());
    let help = run(folder, "analyze --help", "");
    assert!(known.iter().all(|name| help.contains(name)), "{help}");
}

/// An int8 model can be scored in three ways; it fits where one of them does, and each is judged by what it takes
/// itself.
#[test]
fn analyze_tells_of_every_way() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let student = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/movielens-student/model.xsfm");
    std::fs::copy(student, folder.join("m.xsfm")).unwrap();
    for target in ["cortex-m0plus", "cortex-m3", "cortex-m4f", "cortex-m7", "cortex-m33", "cortex-m55"] {
        let report = json(folder, &format!("analyze m.xsfm --target {target} --json"));
        let ways = report["ways"].as_array().unwrap();
        let names: Vec<&str> = ways.iter().map(|way| way["way"].as_str().unwrap()).collect();
        let all = ["Model and Scorer", "Int8Model, opt-level 3", "Int8Model, opt-level z"];
        let last = if target == "cortex-m55" { 1 } else { 2 };
        assert_eq!(names, all[..=last], "{target}");
        // Without a limit all fit, and the fastest is told.
        assert_eq!((report["way"].as_str(), report["fits"].as_bool()), (Some(names[0]), Some(true)));
        assert!(ways.iter().all(|way| way["fits"] == true));
        let figure = |way: usize, memory: &str| ways[way][memory]["bytes"].as_u64().unwrap();
        let flash: Vec<u64> = (0..=last).map(|way| figure(way, "flash")).collect();
        assert!(flash.is_sorted_by(|a, b| a > b), "{target}: {flash:?}");
        let alone: Vec<u64> = ways[1..].iter().map(|way| way["instructions"].as_u64().unwrap()).collect();
        assert!(alone.is_sorted_by(|a, b| a < b), "{target}: speed costs bytes: {alone:?}");

        // Just enough for a way, and one byte less: then it is the next smaller one's turn, or nobody's.
        for way in 0..=last {
            let just = |less: u64| format!("--flash {} --ram {}", flash[way] - less, figure(0, "ram"));
            let fits = json(folder, &format!("analyze m.xsfm --target {target} {} --json", just(0)));
            assert_eq!((fits["way"].as_str(), fits["flash"]["left"].as_i64()), (Some(names[way]), Some(0)));
            let output = xsfm(folder, &format!("analyze m.xsfm --target {target} {} --json", just(1)), "");
            let short: Value = serde_json::from_slice(&output.stdout).unwrap();
            let judged: Vec<bool> = (0..=last).map(|way| short["ways"][way]["fits"].as_bool().unwrap()).collect();
            assert_eq!(judged, (0..=last).map(|other| other > way).collect::<Vec<_>>(), "{target}");
            let told = names[(way + 1).min(last)];
            assert_eq!((short["way"].as_str(), short["fits"].as_bool()), (Some(told), Some(way < last)));
            assert_eq!(output.status.success(), way < last);
        }
        // RAM decides too.
        let least = figure(last, "ram");
        let short = format!("--flash 1M --ram {}", least - 1);
        let output = xsfm(folder, &format!("analyze m.xsfm --target {target} {short}"), "");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(!output.status.success() && text.contains("bytes are MISSING"), "{target}: {text}");
    }
    // What was said to fit nowhere.
    let text = run(folder, "analyze m.xsfm --target cortex-m0plus --flash 64K", "");
    let line = |way: &str| text.lines().find(|line| line.starts_with(way)).unwrap();
    assert!(line("Model and Scorer").ends_with("NO") && line("Int8Model, opt-level z").ends_with("yes"), "{text}");
}

#[test]
fn generated_code_has_names_and_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let config = config_with_everything();
    write_checkpoint(&folder.join("run"), &config, &parameters(&config, 5));
    run(folder, "pack run --mode f32 -o my-model.xsfm", "");
    let own: Vec<usize> = (0..config.fields.len()).step_by(2).collect();
    let context = own.iter().map(|&f| config.fields[f].name.as_str()).collect::<Vec<_>>().join(",");
    run(folder, &format!("generate my-model.xsfm --lang rust --context {context} -o code"), "");
    run(folder, &format!("generate my-model.xsfm --lang c --name ctr --context {context} -o code"), "");
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let text = |name: &str| String::from_utf8(read(name)).unwrap();
    let packed = read("my-model.xsfm");
    assert_eq!(read("code/my_model.xsfm"), packed);
    assert!(text("code/my_model.rs").contains(&format!("pub const BYTES: usize = {};", packed.len())));
    assert!(text("code/ctr.h").contains(&format!("#define CTR_BYTES {}u", packed.len())));
    let mapped = xsfm_convert::input::packed(&folder.join("my-model.xsfm")).unwrap();
    let model = Model::from_bytes_with(&mapped, LoadOptions::on(Backend::Portable)).unwrap();
    for (name, value) in [
        ("SCRATCH_BLOCKS", model.scratch_blocks()),
        ("BATCH_SCRATCH_BLOCKS", model.batch_scratch_blocks()),
        ("RANKER_BLOCKS", Ranker::blocks(&model, &own).unwrap()),
    ] {
        assert!(text("code/my_model.rs").contains(&format!("pub const {name}: usize = {value};")), "{name}");
        assert!(text("code/ctr.h").contains(&format!("#define CTR_{name} {value}u\n")), "{name}");
    }
    assert!(text("code/my_model.rs").contains(&format!("pub const CONTEXT_FIELDS: [usize; {}] = {own:?};", own.len())));
    refuse(folder, "generate my-model.xsfm --lang c --context nobody -o other", "", &["nobody"]);
    let c = text("code/ctr.c");
    assert_eq!(array_of_c(&c, "ctr_bytes[CTR_BYTES]"), packed);
    for field in &config.fields {
        assert!(c.contains(&format!("{:?}", field.name)), "{}", field.name);
    }
    refuse(folder, "generate my-model.xsfm --lang c --name My-Model -o other", "", &["My-Model", "--name my_model"]);
}

/// The numbers of an array in C.
fn array_of_c(code: &str, declared: &str) -> Vec<u8> {
    let (_, array) = code.split_once(&format!("{declared} = {{")).unwrap();
    let (numbers, _) = array.split_once("};").unwrap();
    numbers.split(',').map(|byte| byte.trim().parse().unwrap()).collect()
}

#[test]
fn generated_code_has_a_catalogue() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let config = config_with_everything();
    for (run_of, seed) in [("run", 5), ("other", 6)] {
        write_checkpoint(&folder.join(run_of), &config, &parameters(&config, seed));
        run(folder, &format!("pack {run_of} --mode f32 -o {run_of}.xsfm"), "");
    }
    let names: Vec<&str> = config.fields.iter().map(|field| field.name.as_str()).collect();
    let context = names[..names.len() - 1].join(",");
    std::fs::write(folder.join("items.tsv"), "0\n1\n1\n").unwrap();
    run(folder, &format!("catalogue run.xsfm --indices items.tsv --context {context} -o items.xsfc"), "");
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let text = |name: &str| String::from_utf8(read(name)).unwrap();
    run(folder, "generate run.xsfm --lang rust --name ctr --catalogue items.xsfc -o code", "");
    run(folder, "generate run.xsfm --lang c --name ctr --catalogue items.xsfc -o code", "");
    let bytes = read("items.xsfc");
    assert_eq!(read("code/ctr.xsfc"), bytes);
    assert_eq!(array_of_c(&text("code/ctr.c"), "ctr_catalogue[CTR_CATALOGUE_BYTES]"), bytes);
    let mapped = ["run.xsfm", "items.xsfc"].map(|name| xsfm_convert::input::packed(&folder.join(name)).unwrap());
    let model = Model::from_bytes_with(&mapped[0], LoadOptions::on(Backend::Portable)).unwrap();
    let catalogue = Catalogue::from_bytes(&model, &mapped[1]).unwrap();
    for (name, value) in [
        ("CATALOGUE_ITEMS", 3),
        ("CATALOGUE_BYTES", bytes.len()),
        ("CATALOGUE_RANKER_BLOCKS", CatalogueRanker::blocks(&model, &catalogue)),
    ] {
        assert!(text("code/ctr.rs").contains(&format!("pub const {name}: usize = {value};")), "{name}");
        assert!(text("code/ctr.h").contains(&format!("#define CTR_{name} {value}u\n")), "{name}");
    }
    refuse(
        folder,
        "generate other.xsfm --lang c --catalogue items.xsfc -o other",
        "",
        &["items.xsfc", "not of this one"],
    );
}

/// Where a file's name is none for code, the message has one that is, and it works.
#[test]
fn names_that_code_cannot_have() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let config = config_with_everything();
    write_checkpoint(&folder.join("run"), &config, &parameters(&config, 5));
    run(folder, "pack run --mode f32 -o m.xsfm", "");
    for (file, refused_by) in [
        ("2024.xsfm", &["rust", "c"][..]),
        ("7-day.best.xsfm", &["rust", "c"]),
        ("_hidden.xsfm", &["rust", "c"]),
        ("\u{6a21}\u{578b}.xsfm", &["rust", "c"]),
        ("match.xsfm", &["rust"]),
        ("Type.xsfm", &["rust"]),
        ("core.xsfm", &["rust"]),
        ("string.xsfm", &["c"]),
        ("xsfm.xsfm", &["c"]),
    ] {
        std::fs::copy(folder.join("m.xsfm"), folder.join(file)).unwrap();
        for lang in ["rust", "c"] {
            let generate = format!("generate {file} --lang {lang} -o code");
            if !refused_by.contains(&lang) {
                run(folder, &generate, "");
                continue;
            }
            let message = String::from_utf8(xsfm(folder, &generate, "").stderr).unwrap();
            assert!(message.contains(file) && message.lines().count() == 1, "{message}");
            let (_, name) = message.trim_end().rsplit_once("--name ").unwrap();
            let written = run(folder, &format!("{generate} --name {name}"), "");
            assert!(written.lines().all(|path| path.contains(&format!("/{name}."))), "{written}");
        }
    }
}

#[test]
fn exported_for_other_engines() {
    let mut config = config_with_everything();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_checkpoint(&folder.join("bags"), &config, &parameters(&config, 11));
    refuse(folder, "export bags --to onnx -o m.onnx", "", &["genres", "bag"]);
    config.fields.retain(|field| !field.bag);
    write_checkpoint(&folder.join("run"), &config, &parameters(&config, 11));
    // What the file computes is tested in `export.rs`.
    let has_probability = |flags: &str| {
        let said = run(folder, &format!("export run --to onnx -o m.onnx {flags}"), "");
        let file = std::fs::read(folder.join("m.onnx")).unwrap();
        assert!(said.contains(&file.len().to_string()), "{said}");
        file.windows(11).any(|window| window == b"probability")
    };
    assert!(has_probability(""));
    assert!(!has_probability("--logit-only"));
}

#[test]
fn labelled_rows_give_figures_before_and_after() {
    let config = config_with_everything();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_checkpoint(&folder.join("run"), &config, &parameters(&config, 11));
    let rows = random_rows(&config, 300, 5);
    // Labels that the model explains: 1 where it gives a click more than the median.
    run(folder, "pack run --mode f32 -o f32.xsfm", "");
    let scores = run(folder, "score f32.xsfm --indices -", &tsv(&rows));
    let logits: Vec<f32> = scores.lines().map(|line| line.split('\t').next().unwrap().parse().unwrap()).collect();
    let mut sorted = logits.clone();
    sorted.sort_unstable_by(f32::total_cmp);
    let path = folder.join("rows.arrow");
    let mut writer = RowsWriter::create(&path, &Bounds::from(&config)).unwrap();
    for (i, logit) in logits.iter().enumerate() {
        writer.push(u8::from(*logit > sorted[150]), &rows.row(i)).unwrap();
    }
    writer.commit().unwrap();

    run(folder, "pack run --rows rows.arrow -o int8.xsfm", "");
    // A manifest of files is what the files are.
    let fingerprint = RowsReader::open(&path).unwrap().fingerprint().unwrap();
    let files = vec![ManifestFile { name: "rows.arrow".to_owned(), rows: 300 }];
    Manifest { fingerprint, files }.save(&folder.join("rows.parts")).unwrap();
    let of = |rows: &str| run(folder, &format!("score int8.xsfm --indices {rows}"), "");
    assert_eq!(of("rows.parts"), of("rows.arrow"));
    // An AUC says how far its rows may be off, and a change is that on the same rows.
    let figures = json(folder, "evaluate int8.xsfm --rows rows.arrow --logits logits.txt --json");
    let error = figures["auc_standard_error"].as_f64().unwrap();
    let words = run(folder, "evaluate int8.xsfm --rows rows.arrow", "");
    assert!(words.contains(&format!(" ± {error:.6}")), "{words}");
    let packed: Vec<f32> =
        std::fs::read_to_string(folder.join("logits.txt")).unwrap().lines().map(|l| l.parse().unwrap()).collect();
    // The ranking of every user, and what the same figures are of the logits alone.
    let users: Vec<u32> = rows.column(0).collect();
    let labels: Vec<u8> = logits.iter().map(|logit| u8::from(*logit > sorted[150])).collect();
    let scores_of_packed: Vec<f64> = packed.iter().map(|&logit| logit.into()).collect();
    let cuts = [NonZeroUsize::new(2).unwrap()];
    let by_user = Grouped::new("user", &users, &labels, &scores_of_packed, &cuts).unwrap();
    assert!(by_user.groups > 20 && by_user.unknown_rows > 0, "{by_user:?}");
    let figures =
        json(folder, "evaluate int8.xsfm --rows rows.arrow --group-by user --at 2 --reliability r.svg --json");
    assert_eq!(serde_json::from_value::<Grouped>(figures["by_group"].clone()).unwrap(), by_user);
    assert!(std::fs::read_to_string(folder.join("r.svg")).unwrap().contains("Reliability on rows.arrow"));
    let words = run(folder, "evaluate int8.xsfm --rows rows.arrow --group-by user", "");
    assert!(
        ["GAUC", "MRR", "NDCG@5", "NDCG@10", "ECE", "calibration"].iter().all(|name| words.contains(name)),
        "{words}"
    );
    refuse(folder, "evaluate int8.xsfm --rows rows.arrow --group-by genres", "", &["genres", "a bag"]);
    refuse(folder, "evaluate int8.xsfm --rows rows.arrow --group-by shape", "", &["\"shape\"", "user, item"]);
    let of_score = run(folder, "score int8.xsfm --indices rows.arrow", "");
    let of_score: Vec<f32> = of_score.lines().map(|l| l.split('\t').next().unwrap().parse().unwrap()).collect();
    assert_eq!(packed, of_score);
    let report = json(folder, "validate int8.xsfm run --rows rows.arrow --json");
    assert_eq!(report["before"]["auc"], 1.0);
    assert_eq!(report["before"]["positives"], 149);
    let after = report["after"]["auc"].as_f64().unwrap();
    assert!((0.99..=1.0).contains(&after), "{after}");
    let loss = |side: &str| report[side]["log_loss"].as_f64().unwrap();
    assert!((loss("before") - loss("after")).abs() < 0.02, "{report}");
    let change = report["auc_difference"]["difference"].as_f64().unwrap();
    assert!((change - (after - 1.0)).abs() < 1e-12 && report["auc_difference"]["standard_error"].is_f64(), "{report}");
    let table = run(folder, "validate int8.xsfm run --rows rows.arrow", "");
    assert!(table.contains("AUC's change -0.") || change == 0.0, "{table}");
    assert!(
        ["AUC", "LogLoss", "PRAUC", "RCE", "ECE", "calibration"].iter().all(|figure| table.contains(figure)),
        "{table}"
    );
    assert_eq!(run(folder, "score f32.xsfm --indices rows.arrow", ""), scores);
}

#[test]
fn scales_of_training_are_used() {
    let mut config = config_with_everything();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let tables = |f: usize| vec![0.004; if [0, 4].contains(&f) { 1 } else { 2 }];
    config.quantization = Some(xsfm_interchange::config::Scales {
        tables: (0..8).map(tables).collect(),
        fields: vec![0.004, 0.004, 0.01, 0.004, 0.02, 0.02, 0.02, 0.02],
        activations: vec![0.05, 0.05],
        ..Default::default()
    });
    write_checkpoint(&folder.join("run"), &config, &parameters(&config, 11));
    let packed = json(folder, "pack run -o m.xsfm --json");
    assert_eq!(packed["scales"], "quantisation-aware training");
    let dynamic = json(folder, "pack run --mode dynamic -o d.xsfm --json");
    assert_eq!((&dynamic["mode"], &dynamic["scales"]), (&"dynamic".into(), &"quantisation-aware training".into()));
    for name in ["m.xsfm", "d.xsfm"] {
        let report = json(folder, &format!("inspect {name} --json"));
        assert_eq!(report["fields"][2]["scale"].as_f64().unwrap() as f32, 0.01);
    }
}

#[test]
fn wrong_rows_and_files() {
    let config = config_with_everything();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_checkpoint(&folder.join("run"), &config, &parameters(&config, 11));
    run(folder, "pack run --mode f32 -o m.xsfm", "");
    let good = "49\t32\t18\t20\t1|2\t0\t3|3\t2";
    assert_eq!(run(folder, "score m.xsfm --indices -", &format!("{good}\n{good}")).lines().count(), 2);
    // A bag without indices is index 0.
    let scores = run(folder, "score m.xsfm --indices -", "49\t32\t18\t20\t\t0\t3\t2\n49\t32\t18\t20\t0\t0\t3\t2\n");
    assert!(scores.lines().all(|line| scores.lines().next() == Some(line)), "{scores}");
    for (line, words) in [
        ("1\t2\t3", &["standard input:2", "3 fields, 8 expected"][..]),
        ("50\t32\t18\t20\t1|2\t0\t3\t2", &["standard input:2", "user", "index 50", "50 features"]),
        ("49\t32\t18\t20\t1|12\t0\t3\t2", &["genres", "index 12", "12 features"]),
        ("49\t32\t\t20\t1\t0\t3\t2", &["standard input:2", "shop"]),
        ("49\tx\t18\t20\t1\t0\t3\t2", &["item", "\"x\""]),
        ("49\t-1\t18\t20\t1\t0\t3\t2", &["item", "\"-1\""]),
        ("49\t4294967296\t18\t20\t1\t0\t3\t2", &["item", "4294967296"]),
        ("49\t1|2\t18\t20\t1\t0\t3\t2", &["item", "not a bag"]),
    ] {
        refuse(folder, "score m.xsfm --indices - -o out.tsv", &format!("{good}\n{line}\n"), words);
        refuse(folder, "rank m.xsfm --indices -", &format!("{good}\n{line}\n"), words);
        refuse(folder, "pack run --rows - -o n.xsfm", &format!("{good}\n{line}\n"), words);
    }
    refuse(folder, "score m.xsfm --indices none.tsv", "", &["none.tsv", "No such file"]);
    refuse(folder, "score none.xsfm --indices -", good, &["none.xsfm", "No such file"]);
    refuse(folder, "score run/config.json --indices -", good, &["run/config.json", "not an .xsfm file"]);
    refuse(folder, "inspect run", "", &["run"]);
    refuse(folder, "pack run -o n.xsfm", "", &["--rows", "--mode f32"]);
    refuse(folder, "pack run --mode f32 --rank 9 -o n.xsfm", "", &["rank 9", "1 to 8"]);
    refuse(folder, "pack run --mode dynamic -o n.xsfm", "", &["field `genres` is a bag", "--rows"]);
    refuse(folder, "pack none -o n.xsfm", "", &["none/config.json", "No such file"]);
    refuse(folder, "pack run --rows - -o n.xsfm", "", &["no rows"]);
    refuse(folder, "pack run --rows - -o n.xsfm", good, &["at least 16 rows, 1 given"]);
    refuse(folder, "bench m.xsfm --rows -", "", &["no rows"]);
    refuse(folder, "validate m.xsfm run --rows -", "", &["no rows"]);
    std::fs::write(folder.join("names.txt"), "a\nb\n").unwrap();
    refuse(folder, "rank m.xsfm --indices - --names names.txt", good, &["2 names", "1 rows"]);
    refuse(folder, "rank m.xsfm --indices - --context nobody", good, &["no field `nobody`"]);
    std::fs::write(folder.join("rows.arrow"), good).unwrap();
    refuse(folder, "score m.xsfm --indices rows.arrow", "", &["rows.arrow"]);

    let mut other = config.clone();
    other.fields[1].features = 34;
    write_checkpoint(&folder.join("other"), &other, &parameters(&other, 1));
    refuse(folder, "validate m.xsfm other --rows -", good, &["field 1", "33 features", "34 features"]);

    let whole = std::fs::read(folder.join("m.xsfm")).unwrap();
    for len in [0, 10, 31, 32, 200, whole.len() / 2, whole.len() - 1] {
        std::fs::write(folder.join("cut.xsfm"), &whole[..len]).unwrap();
        refuse(folder, "inspect cut.xsfm", "", &["cut.xsfm"]);
    }
    let mut flipped = whole;
    let middle = flipped.len() / 2;
    flipped[middle] ^= 4;
    std::fs::write(folder.join("cut.xsfm"), &flipped).unwrap();
    refuse(folder, "inspect cut.xsfm", "", &["cut.xsfm", "damaged file"]);

    // An output that exists stays as it was.
    std::fs::write(folder.join("kept.tsv"), "before").unwrap();
    refuse(folder, "score m.xsfm --indices - -o kept.tsv", "nonsense", &["standard input:1"]);
    assert_eq!(std::fs::read_to_string(folder.join("kept.tsv")).unwrap(), "before");
}

#[test]
fn a_closed_pipe_is_no_error() {
    let config = config_with_everything();
    let folder = tempfile::tempdir().unwrap();
    write_checkpoint(&folder.path().join("run"), &config, &parameters(&config, 11));
    run(folder.path(), "pack run --mode f32 -o m.xsfm", "");
    std::fs::write(folder.path().join("rows.tsv"), tsv(&random_rows(&config, 20_000, 5))).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_xsfm"))
        .args(["score", "m.xsfm", "--indices", "rows.tsv"])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn golden_models() {
    for name in GOLDEN {
        let Some(source) = golden(name) else { continue };
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let cases = Cases::load(&source);
        std::fs::write(folder.join("first.tsv"), cases.tsv(0..500)).unwrap();
        std::fs::write(folder.join("rest.tsv"), cases.tsv(500..1000)).unwrap();
        let source = source.display();
        run(folder, &format!("import {source} --mode f32 -o f32.xsfm"), "");
        let scores = run(folder, "score f32.xsfm --indices rest.tsv", "");
        for (line, expected) in scores.lines().zip(&cases.logits[500..]) {
            let logit: f64 = line.split('\t').next().unwrap().parse().unwrap();
            assert!((logit - expected).abs() <= 1e-5 * expected.abs().max(1.0), "{name}: {logit} and {expected}");
        }
        run(folder, &format!("import {source} --calibrate first.tsv --mode int8 -o int8.xsfm"), "");
        let report = json(folder, &format!("validate int8.xsfm {source} --rows rest.tsv --json"));
        assert!(report["logit_error_relative"].as_f64().unwrap() < 0.01, "{name}: {report}");
        let packed = json(folder, &format!("import {source} --mode dynamic -o dynamic.xsfm --json"));
        assert_eq!(packed["scales"], "the weights");
        let report = json(folder, &format!("validate dynamic.xsfm {source} --rows rest.tsv --json"));
        assert!(report["logit_error_relative"].as_f64().unwrap() < 0.02, "{name}: {report}");
    }
}
