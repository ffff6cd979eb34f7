//! Through the program: teachers that have a network of their own, and teachers of other systems, whose logits are in
//! files.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::planted_data;
use xsfm_interchange::checkpoint::file;
use xsfm_trainer::state::STATE_FILE;
use xsfm_trainer::teacher_logits;

fn program(command: &str, data: &Path, out: &Path, more: &str) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_xsfm-train"));
    let common = "--batch-size 128 --learning-rate 0.01 --embed-dim 8 --hidden 16 --init-std 0.1 --threads 1";
    program.arg(command).arg("--data").arg(data).arg("--out").arg(out);
    program.args(common.split_whitespace().chain(more.split_whitespace()));
    program
}

fn run(command: &str, data: &Path, out: &Path, more: &str) -> Output {
    program(command, data, out, more).output().unwrap()
}

fn works(command: &str, data: &Path, out: &Path, more: &str) -> Vec<u8> {
    let output = run(command, data, out, more);
    assert!(output.status.success(), "{more}: {}", String::from_utf8_lossy(&output.stderr));
    fs::read(out.join(file::WEIGHTS)).unwrap()
}

/// What the program says when it refuses.
fn refuses(command: &str, data: &Path, out: &Path, more: &str) -> String {
    let output = run(command, data, out, more);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && words.starts_with("error"), "{more}: {words}");
    words
}

const NETWORKS: [&str; 10] = [
    "--network dcn-v2 --cross-layers 2 --cross-rank 4 --cross-experts 2 --cross-stacked true",
    "--network final-mlp --second-hidden 12,8 --fusion-heads 4 --gate-hidden 6 --second-gate-fields item,tags",
    "--network ffm --hidden none",
    "--network pnn",
    "--network nfm",
    "--network afm --attention-width 6 --hidden none",
    "--network autoint --attention-layers 2 --attention-heads 2 --attention-width 8",
    "--network ncf --gmf-fields item,user --gmf-width 3",
    "--network afn --log-neurons 5",
    "--network dlrm --dense-fields tags --bottom-hidden 6",
];

/// A run pauses when its first epoch is saved, goes on, and ends with the bits of a run that was left alone.
#[test]
fn networks_train_and_go_on_after_a_pause() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let data = at("data");
    planted_data(&data, 2000);
    for (n, network) in NETWORKS.iter().enumerate() {
        let (whole, broken) = (at(&format!("whole-{n}")), at(&format!("broken-{n}")));
        // Tables that are composed and bags, all that moves in training, and random numbers in every place that has
        // some.
        let more = format!(
            "--interaction none --epochs 4 --patience 9 --dropout 0.2 --network-dropout 0.1 --embedding-dropout 0.1 \
             --weight-decay 0.01 --qr-collisions 3 --qr-threshold 20 {network}"
        );
        let expected = works("train", &data, &whole, &more);
        let output = run("train", &data, &broken, &format!("{more} --pause-after 1"));
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && words.contains("paused after epoch 1"), "{network}: {words}");
        assert!(broken.join(STATE_FILE).exists() && !broken.join(file::WEIGHTS).exists(), "{network}");
        let output = run("train", &data, &broken, &format!("{more} --resume"));
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && words.contains("going on after epoch"), "{network}: {words}");
        assert!(fs::read(broken.join(file::WEIGHTS)).unwrap() == expected, "{network}: other weights");
        assert_eq!(fs::read(whole.join(file::CONFIG)).unwrap(), fs::read(broken.join(file::CONFIG)).unwrap());
    }
    let words = refuses(
        "train",
        &data,
        &at("whole-0"),
        &format!("--interaction none --epochs 4 --patience 9 {} --cross-rank 3 --resume", NETWORKS[0]),
    );
    assert!(words.contains("cross_rank was 4, now 3"), "{words}");
}

/// Teachers learn, and teach: a network's probabilities are worth what any teacher's are.
#[test]
fn a_network_finds_what_its_parts_alone_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let data = at("data");
    planted_data(&data, 6000);
    let auc = |out: &str, more: &str| -> f64 {
        works("train", &data, &at(out), &format!("--epochs 6 --field-vector=false --interaction none {more}"));
        let report: serde_json::Value =
            serde_json::from_slice(&fs::read(at(out).join(file::METRICS)).unwrap()).unwrap();
        report["test"]["auc"].as_f64().unwrap()
    };
    let linear = auc("linear", "--feature-weight=true --hidden none");
    for network in ["--network ffm", "--network autoint", "--network dcn-v2"] {
        let found = auc("teacher", &format!("--feature-weight=true --hidden none {network}"));
        assert!(found > linear + 0.1, "{network}: {found}, {linear} without");
    }
    let teacher = at("teacher");
    works("distill", &data, &at("student"), &format!("--epochs 2 --teacher {}", teacher.display()));
}

#[test]
fn flags_and_parts_that_do_not_fit_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let data = at("data");
    planted_data(&data, 400);
    for (more, expected) in [
        ("--cross-layers 3", &["--cross-layers 3", "--network dcn-v2"][..]),
        ("--network afm --attention-heads 2", &["--attention-heads 2", "autoint"]),
        ("--network afn --attention-width 2", &["--attention-width 2", "afm or autoint"]),
        ("--network dlrm --dense-fields age", &["--dense-fields", "`age`"]),
        ("--network ncf --gmf-fields user", &["--gmf-fields", "1 field"]),
        ("--network final-mlp --first-gate-fields user", &["--first-gate-fields user", "--gate-hidden"]),
        ("--network final-mlp --hidden none", &["--hidden", "no layer"]),
        ("--network dcn-v2 --cross-layers 65", &["--cross-layers", "65", "64"]),
        ("--network nfm --hidden none", &["NFM", "--hidden is none"]),
        ("--network nfm --network-dropout 1", &["--network-dropout is 1"]),
        ("--network dcn-v2 --quantize", &["--quantize", "--network: DCN-V2", "distil a student"]),
        ("--compressed 4 --quantize", &["--quantize", "--compressed", "distil a student"]),
        ("--rank 2 --quantize", &["--quantize", "--rank", "xsfm pack --rows"]),
    ] {
        let words = refuses("train", &data, &at("out"), more);
        assert!(expected.iter().all(|word| words.contains(word)), "{more}: {words}");
        assert!(!at("out").join(file::CONFIG).exists());
    }
}

/// In `tests/teacher_logits`: files that numpy, safetensors and pyarrow wrote.
fn written_by_python() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/teacher_logits")
}

const LOGITS: [f32; 5] = [0.5, -1.25, 3.0, -0.125, 2.0];

#[test]
fn every_kind_of_file_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let written = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let mut files: Vec<PathBuf> =
        fs::read_dir(written_by_python()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 8);
    files.push(written("plain.csv", "0.5\n-1.25\n3\n-0.125\n2\n"));
    files.push(written("named.csv", "weight,logit\n9,0.5\n9,-1.25\n9,3e0\n9,-0.125\n9,2\n"));
    files.push(written("by-id.TSV", "logits\tid\r\n2.0\t4\r\n0.5\t0\r\n-0.125\t3\r\n3\t2\r\n-1.25\t1\r\n"));
    let mut hashes = Vec::new();
    for file in files {
        let found = teacher_logits::read(&file, 5).unwrap();
        assert_eq!(found.logits, LOGITS, "{}", file.display());
        assert_eq!(found.hash.len(), 64);
        hashes.push(found.hash);
    }
    hashes.sort();
    hashes.dedup();
    assert_eq!(hashes.len(), 11, "files that differ have other hashes");
}

/// An array of numpy as its format says.
fn npy(kind: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n");
    [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), data].concat()
}

#[test]
fn numbers_of_every_size_are_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npy");
    let cases: [(&str, Vec<u8>); 7] = [
        ("|i1", vec![0xFE, 3]),
        ("<i2", [(-2_i16).to_le_bytes(), 3_i16.to_le_bytes()].concat()),
        (">i4", [(-2_i32).to_be_bytes(), 3_i32.to_be_bytes()].concat()),
        ("<i8", [(-2_i64).to_le_bytes(), 3_i64.to_le_bytes()].concat()),
        ("<f2", vec![0x00, 0xC0, 0x00, 0x42]),
        ("<f4", [(-2_f32).to_le_bytes(), 3_f32.to_le_bytes()].concat()),
        (">f8", [(-2_f64).to_be_bytes(), 3_f64.to_be_bytes()].concat()),
    ];
    for (kind, data) in cases {
        fs::write(&path, npy(kind, "(2,)", &data)).unwrap();
        assert_eq!(teacher_logits::read(&path, 2).unwrap().logits, [-2.0, 3.0], "{kind}");
    }
    for (kind, data) in
        [("|u1", vec![200, 3]), ("<u2", vec![200, 0, 3, 0]), ("<u8", [200_u64, 3].map(u64::to_le_bytes).concat())]
    {
        fs::write(&path, npy(kind, "(2, 1)", &data)).unwrap();
        assert_eq!(teacher_logits::read(&path, 2).unwrap().logits, [200.0, 3.0], "{kind}");
    }
}

#[test]
fn what_is_wrong_with_a_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let refuse = |name: &str, bytes: &[u8], rows: u64, words: &[&str]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let message = format!("{:#}", teacher_logits::read(&path, rows).unwrap_err());
        assert!(message.contains(name), "{message}");
        assert!(words.iter().all(|word| message.contains(word)), "{name}: {words:?} expected in {message}");
    };
    let long = [0_u8; 12];
    for (name, text, words) in [
        ("short.csv", "1\n2\n", &["2 logits", "3 training rows"][..]),
        ("long.csv", "1\n2\n3\n4\n", &["4 logits", "3 training rows"]),
        ("none.csv", "", &["0 logits", "3 training rows"]),
        ("text.csv", "logit\n1\nx\n3\n", &["line 3", "`x`"]),
        ("nan.csv", "logit\n1\nNaN\n3\n", &["line 3", "NaN"]),
        ("infinite.csv", "logit\n1\n2\n-inf\n", &["line 4", "-inf"]),
        ("large.csv", "1\n1e39\n3\n", &["line 2", "1000000000000000000000000000000000000000", "32 bits"]),
        ("twice.csv", "row,logit\n0,1\n2,1\n0,3\n", &["line 4", "row 0", "already"]),
        ("out.csv", "row,logit\n0,1\n1,2\n3,3\n", &["line 4", "row 3", "there are 3"]),
        ("negative.csv", "row,logit\n-1,1\n1,2\n2,3\n", &["line 2", "row -1"]),
        ("part.csv", "row,logit\n0.5,1\n1,2\n2,3\n", &["line 2", "row 0.5"]),
        ("missing.csv", "row,logit\n2,1\n0,2\n", &["row 1 has no logit", "2 of 3"]),
        ("ragged.csv", "row,logit\n0,1\n1\n2,3\n", &["line: 3"]),
        ("unnamed.csv", "0,1\n1,2\n2,3\n", &["2 columns", "`row` and `logit`"]),
        ("which.csv", "a,b\n0,1\n", &["`a`, `b`", "`logits` or `logit`"]),
        ("both.csv", "row,id,logit\n0,0,1\n", &["`row`, `id`"]),
        ("logits.csv", "logit,logits\n0,1\n", &["`logit`, `logits`", "one is"]),
        ("alone.csv", "row\n0\n", &["no logits"]),
        ("a.pickle", "", &[".npy, .npz"]),
        ("a.npy", "text", &["does not begin"]),
        ("a.npz", "text", &["zip"]),
        ("a.safetensors", "text", &["safetensors"]),
        ("a.parquet", "text", &["Parquet"]),
    ] {
        refuse(name, text.as_bytes(), 3, words);
    }
    refuse("b.npy", &npy("<f4", "(4,)", &long), 3, &["4 logits", "3 training rows"]);
    refuse("c.npy", &npy("<f4", "(3,)", &long[1..]), 3, &["11 bytes", "12"]);
    refuse("d.npy", &npy("<f4", "(3, 2)", &long), 3, &["[3, 2]", "[rows]"]);
    refuse("e.npy", &npy("<c8", "(3,)", &long), 3, &["`<c8`"]);
    refuse("f.npy", &npy("|O", "(3,)", &long), 3, &["`|O`"]);
    refuse("g.npy", &npy("<f4", "(99999999999999999999,)", &long), 3, &["99999999999999999999"]);
    refuse("h.npy", &npy("<f4", "(18446744073709551615,)", &long), 3, &["18446744073709551615 logits"]);
    refuse("i.npy", &npy("<f4", "(3,)", &[[0; 8], f64::from(f32::NAN).to_le_bytes()].concat()[..12]), 9, &["3 logits"]);
    refuse("j.npy", &npy("<f4", "(1,)", &f32::NAN.to_le_bytes()), 1, &["entry 0", "NaN"]);
    // No file is cut so that it is read, or makes the program panic.
    for file in fs::read_dir(written_by_python()).unwrap().map(|entry| entry.unwrap().path()) {
        let whole = fs::read(&file).unwrap();
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        for length in 0..whole.len() {
            refuse(&name, &whole[..length], 5, &[]);
        }
        for place in 0..whole.len() {
            let mut changed = whole.clone();
            changed[place] ^= 0xFF;
            let path = folder.path().join(&name);
            fs::write(&path, changed).unwrap();
            let _ = teacher_logits::read(&path, 5);
        }
    }
}

/// A teacher's logits in a file teach what the teacher does, to the bit; two teachers are averaged whatever each of
/// them is.
#[test]
fn logits_of_a_file_teach_what_their_teacher_does() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let data = at("data");
    planted_data(&data, 1500);
    for (name, seed) in [("a", 1), ("b", 2)] {
        works("train", &data, &at(name), &format!("--epochs 2 --seed {seed}"));
        let mut evaluate = Command::new(env!("CARGO_BIN_EXE_xsfm-train"));
        evaluate.args(["evaluate", "--split", "train", "--data"]).arg(&data).arg("--checkpoint").arg(at(name));
        assert!(evaluate.arg("--logits").arg(at(&format!("{name}.csv"))).output().unwrap().status.success());
    }
    let [a, b] = ["a", "b"].map(|name| at(name).display().to_string());
    let student = |out: &str, teachers: &str| works("distill", &data, &at(out), &format!("--epochs 2 {teachers}"));
    let of_a = student("of-a", &format!("--teacher {a}"));
    assert!(student("of-a-file", &format!("--teacher-logits {a}.csv")) == of_a);
    let of_both = student("of-both", &format!("--teacher {a} --teacher {b}"));
    assert!(of_both != of_a, "the second teacher changes nothing");
    assert!(student("of-both-files", &format!("--teacher-logits {a}.csv --teacher-logits {b}.csv")) == of_both);
    assert!(student("of-either", &format!("--teacher {a} --teacher-logits {b}.csv")) == of_both);

    // The same file goes on under another name; another does not.
    fs::copy(at("a.csv"), at("c.csv")).unwrap();
    let resumed = |teachers: &str| format!("--epochs 2 {teachers} --resume");
    let output =
        run("distill", &data, &at("of-a-file"), &resumed(&format!("--teacher-logits {}", at("c.csv").display())));
    assert!(String::from_utf8_lossy(&output.stderr).contains("already finished"));
    let words = refuses("distill", &data, &at("of-a-file"), &resumed(&format!("--teacher-logits {b}.csv")));
    assert!(words.contains("other settings") && words.contains("teacher_logits was"), "{words}");

    let text = fs::read_to_string(at("a.csv")).unwrap();
    fs::write(at("short.csv"), text.split_once('\n').unwrap().1).unwrap();
    let words = refuses("distill", &data, &at("x"), &format!("--teacher-logits {}", at("short.csv").display()));
    assert!(["short.csv", "1499 logits", "1500 training rows"].iter().all(|word| words.contains(word)), "{words}");
    let words = refuses("distill", &data, &at("x"), "");
    assert!(words.contains("--teacher"), "{words}");
}
