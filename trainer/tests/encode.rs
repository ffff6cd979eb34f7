//! `xsfm-train encode`: the same rows by the same schema are the same bytes; new tokens are counted, and nothing is
//! guessed.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "common/program.rs"]
mod program;
#[path = "common/raw.rs"]
#[allow(dead_code, reason = "each test file uses a part")]
mod raw;

use std::fmt::Write;
use std::fs;
use std::path::Path;

use program::succeed;
use serde_json::Value;
use tempfile::TempDir;
use xsfm_interchange::rows::{Beside, RowBlock, RowsReader};

/// Refused, and nothing written.
fn fail(folder: &Path, arguments: &str, expected: &[&str]) {
    program::fail(folder, arguments, expected);
    assert!(!folder.join("no.arrow").exists(), "{arguments} wrote");
}

const SCHEMA: &str = r#"
delimiter = ";"
weight = "cost"
time = "when"
min_count = 2

[label]
column = "stars"
at_least = 4

[[fields]]
name = "user"
kind = "categorical"

[[fields]]
name = "hour"
column = "when"
kind = "categorical"
bytes = [11, 13]

[[fields]]
name = "tags"
kind = "bag"
separator = "/"
max_bag = 2
keep = "last"
min_count = 3

[[fields]]
name = "views"
kind = "numeric"
"#;

fn csv(rows: u32) -> String {
    let mut text = "stars;cost;user;when;tags;views\n".to_owned();
    for i in 0..rows {
        let (stars, user, tags) = (i % 6, i * i % 31, i % 7);
        let views = if i % 11 == 0 { String::new() } else { (i * 37 % 900).to_string() };
        let tags: Vec<String> = (0..tags % 4).map(|t| format!("täg {}", (i + t) % 9)).collect();
        let (tags, hour) = (tags.join("/"), i % 24);
        writeln!(text, "{stars};{}.5;\"u;{user}\";2026-03-05T{hour:02}:00:00;{tags};{views}", i % 3).unwrap();
    }
    text
}

fn rows(path: &Path) -> RowBlock {
    RowsReader::open(path).unwrap().read_block(0).unwrap()
}

/// Prepares all rows for training.
fn prepare(folder: &Path, arguments: &str, rows: usize) {
    fs::write(folder.join("split.txt"), "t\n".repeat(rows)).unwrap();
    succeed(folder, &format!("prepare {arguments} --out data --split file --split-file split.txt"));
}

/// What is encoded by the schema is the training rows, byte for byte.
fn check_same(folder: &Path, input: &str) {
    let report = succeed(folder, &format!("encode --schema data/schema.json --input {input} --out all.arrow --json"));
    let report: Value = serde_json::from_str(&report).unwrap();
    let same = fs::read(folder.join("all.arrow")).unwrap() == fs::read(folder.join("data/train.arrow")).unwrap();
    assert!(same, "{input}: other bytes than prepare wrote");
    assert_eq!(report["fingerprint"].as_str().unwrap().len(), 16);
}

#[test]
fn the_same_rows_are_the_same_bytes() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    fs::write(folder.join("rows.csv"), csv(900)).unwrap();
    fs::write(folder.join("schema.toml"), SCHEMA).unwrap();
    prepare(folder, "csv --input rows.csv --schema schema.toml", 900);
    check_same(folder, "rows.csv");
    fs::write(folder.join("rows.csv.gz"), raw::gzip(csv(900).as_bytes())).unwrap();
    check_same(folder, "rows.csv.gz");

    // Lines of Criteo's, whose schema has no columns.
    succeed(folder, "generate --out raw --rows 500");
    prepare(folder, "criteo --source raw/rows.tsv --min-count 3", 500);
    check_same(folder, "raw/rows.tsv");
    if let Some(sample) = raw::shared("criteo_sample_raw.tsv") {
        prepare(folder, &format!("criteo --source {}", sample.display()), 1999);
        check_same(folder, sample.to_str().unwrap());
    }
    // Without the label, as in test.txt, all else is the same.
    let lines = fs::read_to_string(folder.join("raw/rows.tsv")).unwrap();
    let unlabelled: String = lines.lines().map(|line| format!("{}\n", line.split_once('\t').unwrap().1)).collect();
    fs::write(folder.join("test.txt"), unlabelled).unwrap();
    prepare(folder, "criteo --source raw/rows.tsv --min-count 3", 500);
    let encode = "encode --schema data/schema.json --input test.txt --out test.arrow";
    succeed(folder, &format!("{encode} --unlabelled"));
    let (found, expected) = (rows(&folder.join("test.arrow")), rows(&folder.join("data/train.arrow")));
    assert!(found.indices == expected.indices && found.labels.is_empty() && found.len() == 500);
    fail(folder, "encode --schema data/schema.json --input test.txt --out no.arrow", &["39 columns, 40 expected"]);
}

#[test]
fn what_is_new_is_counted_and_what_is_missing_is_named() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    fs::write(folder.join("rows.csv"), csv(900)).unwrap();
    fs::write(folder.join("schema.toml"), SCHEMA).unwrap();
    prepare(folder, "csv --input rows.csv --schema schema.toml", 900);
    // Columns in another order, and one more; no label and no time.
    let new =
        "tags;views;cost;extra;user;when\ntäg 1/new;7;1;x;u;2026-03-05T23:00:00\n;;2;x;\"u;1\";2026-03-05T99:00:00\n";
    fs::write(folder.join("new.csv"), new).unwrap();
    let encode = "encode --schema data/schema.json --input new.csv";
    fail(folder, &format!("{encode} --out no.arrow"), &["new.csv:1", "no column \"stars\""]);
    let table = succeed(folder, &format!("{encode} --out new.arrow --unlabelled"));
    assert!(table.contains("unseen") && !table.contains("positives"), "{table}");
    let report = succeed(folder, &format!("{encode} --out new.arrow --unlabelled --json"));
    let report: Value = serde_json::from_str(&report).unwrap();
    assert!(report["rows"] == 2 && report["positives"].is_null() && report["malformed_rows"] == 0, "{report}");
    let unseen: Vec<u64> = report["fields"].as_array().unwrap().iter().map(|f| f["unseen"].as_u64().unwrap()).collect();
    // User u, hour 99 and the tag "new"; an empty number is a token like any other, and an empty bag is none.
    assert_eq!(unseen, [1, 1, 1, 0]);
    let reader = RowsReader::open(&folder.join("new.arrow")).unwrap();
    assert_eq!(reader.beside(), Beside { labels: false, weights: true });
    let block = rows(&folder.join("new.arrow"));
    assert_eq!((block.weights.as_slice(), block.row(0).field(0)), (&[1.0, 2.0][..], Some(&[0][..])));
    assert_eq!(block.row(1).field(2), Some(&[0][..]));

    fail(folder, "encode --schema no.json --input new.csv --out no.arrow", &["no.json"]);
    let schema: Value = serde_json::from_slice(&fs::read(folder.join("data/schema.json")).unwrap()).unwrap();
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut schema = schema.clone();
        change(&mut schema);
        fs::write(folder.join("changed.json"), schema.to_string()).unwrap();
    };
    let encode = "encode --schema changed.json --input rows.csv --out no.arrow";
    changed(&|schema| drop(schema.as_object_mut().unwrap().remove("input")));
    fail(folder, encode, &["changed.json", "does not say how raw rows are read"]);
    changed(&|schema| schema["fields"][0]["kind"] = "numeric".into());
    fail(folder, encode, &["changed.json", "field 0", "numeric", "categorical"]);
    changed(&|schema| schema["input"]["fields"][1]["bytes"] = serde_json::json!([5, 3]));
    fail(folder, encode, &["changed.json", "bytes 5 to 3"]);
    changed(&|schema| schema["input"]["source"] = "other".into());
    fail(folder, encode, &["changed.json", "unknown variant `other`"]);
}

#[cfg(feature = "torch")]
#[test]
fn rows_without_labels_teach_and_measure_nothing() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    fs::write(folder.join("rows.csv"), csv(900)).unwrap();
    fs::write(folder.join("schema.toml"), SCHEMA).unwrap();
    succeed(folder, "prepare csv --input rows.csv --schema schema.toml --out data");
    succeed(folder, "train --data data --out model --epochs 1 --hidden 4");
    let encode = "encode --schema model/schema.json --input rows.csv --out data/test.arrow --unlabelled";
    succeed(folder, encode);
    fail(folder, "evaluate --checkpoint model --data data --other-rows", &["test.arrow", "no labels"]);
}
