//! Numbers with bounds and quantiles, and hashed tokens: prepared, encoded by their schema, folded.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "common/program.rs"]
mod program;

use std::fmt::Write;
use std::fs;
use std::path::Path;

use program::{fail, succeed};
use serde_json::Value;
use tempfile::TempDir;
use xsfm_interchange::dataset::Dataset;
use xsfm_interchange::encoding::{Encoding, Hashing};
use xsfm_interchange::rows::{RowBlock, RowsReader};
use xsfm_interchange::scale::Scale;
use xsfm_interchange::schema::Schema;
use xsfm_runtime::Weight;
use xsfm_trainer::data::same::check_rows;

const SCHEMA: &str = r#"
    label = { column = "click" }
    fields = [
        { name = "size", kind = "numeric", bounds = [0, 2.5, 10] },
        { name = "price", kind = "numeric", quantiles = 4 },
        { name = "user", kind = "categorical", buckets = 50 },
        { name = "tags", kind = "bag", separator = "/", buckets = 9, seed = 3 },
        { name = "same user", column = "user", kind = "categorical", buckets = 50, seed = 1 },
        { name = "log price", column = "price", kind = "numeric" },
        { name = "scaled price", column = "price", kind = "numeric", numbers = "value" },
        { name = "between prices", column = "price", kind = "numeric", numbers = "interpolated", quantiles = 4 },
        { name = "between sizes", column = "size", kind = "numeric", numbers = "interpolated", bounds = [0, 10] },
        { name = "common tags", column = "tags", kind = "bag", separator = "/", min_count = 3, buckets = 5 },
    ]
"#;

/// `cells` is size, price, user, tags.
fn csv(rows: impl Iterator<Item = [String; 4]>) -> String {
    let mut text = "click,size,price,user,tags\n".to_owned();
    rows.enumerate().for_each(|(i, row)| writeln!(text, "{},{}", i % 2, row.join(",")).unwrap());
    text
}

/// Sizes -3 to 12 and none; different prices; users and tags without an end.
fn many(rows: u32) -> String {
    csv((0..rows).map(|i| {
        let size = if i % 17 == 16 { String::new() } else { (i % 16).cast_signed().saturating_sub(3).to_string() };
        let price = f64::from(i.wrapping_mul(2_654_435_761) >> 8) / 1024.0 - 5000.0;
        [size, format!("{price:?}"), format!("u{i}"), format!("é{}/{}/", i % 7, i * i)]
    }))
}

fn rows(path: &Path) -> RowBlock {
    RowsReader::open(path).unwrap().read_block(0).unwrap()
}

fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).unwrap();
}

#[test]
fn a_small_file_is_encoded_as_written() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let given = [
        ["-0.5", "1", "ann", "x/y"],
        ["0", "2", "", ""],
        ["-0", "3", "bob", "/"],
        ["2.4999", "4", "ann", "y"],
        ["2.5", "5", "é", "x"],
        ["", "6", "ann", "x"],
        ["1e3", "7", "ann", "x"],
        ["9", "8", "ann", "x"],
        // Of these two nothing is learnt: a bucket that was empty, and a number beyond all.
        ["-7", "-9", "new", "new"],
        ["9007199254740993", "1e300", "ann", "x"],
    ];
    write(folder, "rows.csv", &csv(given.iter().map(|row| row.map(str::to_owned))));
    write(folder, "schema.toml", SCHEMA);
    write(folder, "split.txt", "t\nt\nt\nt\nt\nt\nt\nt\nv\nv\n");
    let prepare = "prepare csv --input rows.csv --schema schema.toml --out data --split file --split-file split.txt";
    let report = succeed(folder, &format!("{prepare} --json"));
    let schema = Schema::load(&folder.join("data/schema.json")).unwrap();
    let bounds = |f: usize| match &schema.fields[f].encoding {
        Encoding::Bounds(bounds) => bounds.as_slice().to_vec(),
        other => panic!("{other}"),
    };
    assert_eq!((bounds(0), bounds(1)), (vec![0.0, 2.5, 10.0], vec![3.0, 5.0, 7.0]));
    // By falling count, then alphabetical.
    assert_eq!(schema.fields[0].vocabulary, ["0.0", "2.5", "", "-inf", "10.0"]);
    assert_eq!(schema.fields[1].vocabulary, ["-inf", "3.0", "5.0", "7.0"]);
    let hashing = |buckets, seed| Hashing { buckets, seed };
    assert_eq!(schema.fields[3].encoding, Encoding::Hash(hashing(9, 3)));
    assert_eq!((schema.fields[2].features(), schema.fields[2].vocabulary.len()), (51, 0));
    let index_of = |token: &str| hashing(50, 0).index_of(token);
    let tag = |token: &str| hashing(9, 3).index_of(token);
    let train = rows(&folder.join("data/train.arrow"));
    let column = |f: usize| train.column(f).collect::<Vec<u32>>();
    assert_eq!(column(0), [4, 1, 1, 1, 2, 3, 5, 2]);
    assert_eq!(column(1), [1, 1, 2, 2, 3, 3, 4, 4]);
    assert_eq!(column(2), ["ann", "", "bob", "ann", "é", "ann", "ann", "ann"].map(index_of));
    assert_eq!(index_of(""), 0);
    assert_ne!(column(2), column(4), "another seed");
    let tags = |row: usize| train.row(row).field(3).unwrap().to_vec();
    assert_eq!([tags(0), tags(1), tags(2)], [vec![tag("x"), tag("y")], vec![0], vec![0]]);
    // A median of 5, and half of what lies between the first tenth and the last one, 1 and 8.
    assert_eq!(schema.fields[6].encoding, Encoding::Value(Scale::new([5.0, 3.5]).unwrap()));
    let words = |entries: &[(u32, f64)]| -> Vec<u32> {
        entries.iter().flat_map(|&(index, weight)| [index, Weight::nearest(weight).unwrap().word()]).collect()
    };
    let price = |row: usize| f64::from(row as u8) + 1.0;
    for row in 0..8 {
        assert_eq!(train.row(row).field(6).unwrap(), words(&[(1, (price(row) - 5.0) / 3.5)]), "{row}");
    }
    // Of the prices 1, 3, 5 and 7.
    let between = |row: usize| train.row(row).field(7).unwrap().to_vec();
    assert_eq!((between(0), between(1)), (words(&[(1, 1.0)]), words(&[(1, 0.5), (2, 0.5)])));
    assert_eq!((between(4), between(7)), (words(&[(3, 1.0)]), words(&[(4, 1.0)])));
    let sizes = [
        vec![(1, 1.0)],
        vec![(1, 1.0)],
        vec![(1, 1.0)],
        vec![(1, 0.75), (2, 0.25)],
        vec![(1, 0.75), (2, 0.25)],
        vec![(0, 1.0)],
        vec![(2, 1.0)],
        vec![(1, 0.1), (2, 0.9)],
    ];
    for (row, expected) in sizes.iter().enumerate() {
        assert_eq!(train.row(row).field(8).unwrap(), words(expected), "{row}");
    }
    let valid = rows(&folder.join("data/valid.arrow"));
    assert_eq!(
        (valid.row(0).field(6), valid.row(1).field(6)),
        (Some(&*words(&[(1, -4.0)])), Some(&*words(&[(1, 7.9998)])))
    );
    assert_eq!(
        (valid.row(0).field(7), valid.row(1).field(7)),
        (Some(&*words(&[(1, 1.0)])), Some(&*words(&[(4, 1.0)])))
    );
    assert_eq!([0, 1].map(|f| valid.column(f).collect::<Vec<u32>>()), [vec![4, 5], vec![1, 4]]);
    assert_eq!(valid.row(0).field(2), Some(&[index_of("new")][..]));
    let report: Value = serde_json::from_str(&report).unwrap();
    let unseen: Vec<u64> = report["fields"].as_array().unwrap().iter().map(|f| f["unseen"].as_u64().unwrap()).collect();
    // Criteo's buckets of -9 and 1e300 alone: nothing is unseen in a hashed field, and these bounds have all numbers.
    assert_eq!(unseen, [0, 0, 0, 0, 0, 2, 0, 0, 0, 0]);
    // Two rows have y, which shares the buckets with what training has not seen.
    assert_eq!(schema.fields[9].encoding, Encoding::OovBuckets(hashing(5, 0)));
    assert_eq!((schema.fields[9].vocabulary.join(","), schema.fields[9].features()), ("x".to_owned(), 7));
    let bucket = |token: &str| 1 + hashing(5, 0).index_of(token);
    let common = |row: usize| train.row(row).field(9).unwrap().to_vec();
    assert_eq!([common(0), common(1), common(3)], [vec![1, bucket("y")], vec![0], vec![bucket("y")]]);
    assert_eq!(valid.row(0).field(9), Some(&[bucket("new")][..]));
}

#[test]
fn schemas_do_not_depend_on_threads_parts_or_order() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let text = many(9000);
    write(folder, "schema.toml", SCHEMA);
    write(folder, "split.txt", &"t\n".repeat(9000));
    let prepare = "prepare csv --schema schema.toml --split file --split-file split.txt";
    write(folder, "rows.csv", &text);
    succeed(folder, &format!("{prepare} --input rows.csv --out one --threads 1"));
    let schema = |out: &str| fs::read(folder.join(out).join("schema.json")).unwrap();
    for threads in [2, 5] {
        succeed(folder, &format!("{prepare} --input rows.csv --out more --threads {threads}"));
        assert_eq!(schema("one"), schema("more"));
        assert_eq!(
            fs::read(folder.join("one/train.arrow")).unwrap(),
            fs::read(folder.join("more/train.arrow")).unwrap()
        );
    }
    // Backwards, in several files.
    let (header, lines) = text.split_once('\n').unwrap();
    let lines: Vec<&str> = lines.lines().rev().collect();
    fs::create_dir(folder.join("parts")).unwrap();
    for (n, part) in lines.chunks(2500).enumerate() {
        write(folder, &format!("parts/{n}.csv"), &format!("{header}\n{}\n", part.join("\n")));
    }
    succeed(folder, &format!("{prepare} --input parts --out parted"));
    assert_eq!(schema("one"), schema("parted"));
    // Equally many rows of each quarter, and the same bytes by the schema.
    let all = rows(&folder.join("one/train.arrow"));
    let mut counts = [0; 5];
    all.column(1).for_each(|index| counts[index as usize] += 1);
    assert_eq!(counts, [0, 2250, 2250, 2250, 2250]);
    succeed(folder, "encode --schema one/schema.json --input rows.csv --out all.arrow");
    assert_eq!(fs::read(folder.join("all.arrow")).unwrap(), fs::read(folder.join("one/train.arrow")).unwrap());
    // Folded, as if it had been prepared so.
    succeed(folder, "fold --data one --min-count 700 --out folded");
    write(folder, "fewer.toml", &format!("min_count = 700\n{}", SCHEMA.replace("min_count = 3", "min_count = 700")));
    succeed(folder, "prepare csv --schema fewer.toml --input rows.csv --out fewer --split file --split-file split.txt");
    for name in ["schema.json", "train.arrow"] {
        assert_eq!(
            fs::read(folder.join("folded").join(name)).unwrap(),
            fs::read(folder.join("fewer").join(name)).unwrap()
        );
    }
    let folded = Schema::load(&folder.join("folded/schema.json")).unwrap();
    assert_eq!((folded.fields[2].features(), folded.fields[3].features()), (51, 10));
    // The sevenths, and five buckets.
    assert_eq!((folded.fields[9].vocabulary.len(), folded.fields[9].features()), (7, 13));
    // Every seventeenth size is empty, too few.
    assert_eq!((folded.fields[0].vocabulary[0].as_str(), folded.fields[0].vocabulary.len()), ("2.5", 4));
}

#[test]
fn what_contradicts_itself_is_told_with_its_field() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    write(folder, "rows.csv", &many(200));
    let prepare = "prepare csv --input rows.csv --schema schema.toml --out data";
    for (field, words) in [
        (
            "name = \"user\", kind = \"categorical\", bounds = [1]",
            &["\"user\"", "bounds and quantiles are for numbers"][..],
        ),
        ("name = \"size\", kind = \"numeric\", buckets = 3", &["\"size\"", "those of a hash"]),
        ("name = \"size\", kind = \"numeric\", bounds = [1], quantiles = 3", &["\"size\"", "exclude each other"]),
        ("name = \"size\", kind = \"numeric\", bounds = []", &["\"size\"", "no bounds"]),
        ("name = \"size\", kind = \"numeric\", bounds = [1, 1.0]", &["bound 1.0 behind 1.0"]),
        ("name = \"size\", kind = \"numeric\", bounds = [1, nan]", &["bound NaN"]),
        ("name = \"size\", kind = \"numeric\", quantiles = 1", &["\"size\"", "quantiles 1, 2 to 4096"]),
        ("name = \"size\", kind = \"numeric\", quantiles = 4097", &["\"size\"", "quantiles 4097"]),
        ("name = \"user\", kind = \"bag\", numbers = \"value\"", &["\"user\"", "numbers is for a field of numbers"]),
        ("name = \"size\", kind = \"numeric\", scale = [0, 1]", &["\"size\"", "scale is for numbers = \"value\""]),
        ("name = \"size\", kind = \"numeric\", numbers = \"value\", scale = [0, 0]", &["centre 0 and width 0"]),
        (
            "name = \"size\", kind = \"numeric\", numbers = \"value\", quantiles = 3",
            &["\"size\"", "bounds and quantiles are for numbers = \"interpolated\""],
        ),
        ("name = \"size\", kind = \"numeric\", numbers = \"interpolated\"", &["\"size\"", "needs bounds or quantiles"]),
        (
            "name = \"size\", kind = \"numeric\", numbers = \"value\", min_count = 2",
            &["\"size\"", "min_count is for vocabularies"],
        ),
        ("name = \"size\", kind = \"numeric\", numbers = \"log\"", &["unknown variant `log`"]),
        ("name = \"user\", kind = \"categorical\", buckets = 0", &["\"user\"", "buckets 0, 1 to 4294967294"]),
        ("name = \"user\", kind = \"categorical\", seed = 1", &["\"user\"", "seed is for a field that has buckets"]),
        ("name = \"user\", kind = \"bag\", buckets = 0, min_count = 2", &["\"user\"", "buckets 0, 1 to"]),
        ("name = \"user\", kind = \"numeric\", buckets = 5, min_count = 2", &["\"user\"", "those of a hash"]),
    ] {
        write(folder, "schema.toml", &format!("label = {{ column = \"click\" }}\nfields = [{{ {field} }}]"));
        fail(folder, prepare, &[&["schema.toml"], words].concat());
    }
    let twice = "{ name = \"size\", kind = \"numeric\", quantiles = 3 }, { name = \"b\", column = \"size\", kind = \
                 \"numeric\", quantiles = 3 }";
    write(folder, "schema.toml", &format!("label = {{ column = \"click\" }}\nfields = [{twice}]"));
    fail(folder, prepare, &["\"size\" and \"b\" are the same column"]);
    // No number is malformed; an empty one is not.
    write(folder, "schema.toml", SCHEMA);
    let bad = ["NaN", "inf", "-1e999", "ten", "1 "].map(|bad| [bad, "1", "u", "t"].map(str::to_owned));
    let good = (0..600).map(|i: u32| [String::new(), i.to_string(), "u".to_owned(), String::new()]);
    write(folder, "rows.csv", &csv(bad.into_iter().chain(good)));
    let report = succeed(folder, &format!("{prepare} --json"));
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["malformed_rows"], 5);
    for (n, example) in report["malformed_examples"].as_array().unwrap().iter().enumerate() {
        let example = example.as_str().unwrap();
        assert!(example.contains(&format!("rows.csv:{}", n + 2)) && example.contains("\"size\""), "{example}");
    }
    // A schema whose columns and fields say two things.
    let schema: Value = serde_json::from_slice(&fs::read(folder.join("data/schema.json")).unwrap()).unwrap();
    let encode = "encode --schema changed.json --input rows.csv --out no.arrow";
    for (path, value, words) in [
        (
            "/fields/0/encoding/bounds/1",
            Value::from(2.25),
            "\"size\" is by the bounds 0.0, 2.25, 10.0, but its column is to be by the bounds",
        ),
        ("/fields/2/encoding/hash/seed", Value::from(7), "hashed to 50 buckets with seed 7, but its column is to be"),
        ("/fields/2/encoding/hash/buckets", Value::from(0), "\"user\" has 0 buckets"),
        ("/fields/2/vocabulary", Value::from(vec!["ann"]), "\"user\" is hashed, but has 1 tokens"),
        ("/fields/1/encoding/bounds", Value::from(vec![3.0, 2.0]), "bound 2.0 behind 3.0"),
        ("/fields/6/encoding/value", Value::from(vec![3.0, 0.0]), "centre 3 and width 0"),
        ("/fields/7/encoding/interpolated", Value::from(Vec::<f64>::new()), "\"between prices\" has no bounds"),
        (
            "/fields/8/encoding/interpolated/0",
            Value::from(1.5),
            "\"between sizes\" is interpolated between the bounds 1.5, 10.0, but its column is to be interpolated",
        ),
        ("/fields/1/vocabulary/0", Value::from("0.125x"), "\"price\" has the token \"0.125x\""),
    ] {
        let mut changed = schema.clone();
        *changed.pointer_mut(path).unwrap() = value;
        write(folder, "changed.json", &changed.to_string());
        fail(folder, encode, &["changed.json", words]);
    }
}

#[test]
fn numbers_of_one_bucket_are_warned_of() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    write(folder, "rows.csv", &many(300));
    let field = "name = \"price\", kind = \"numeric\", bounds = [1e9]";
    write(folder, "schema.toml", &format!("label = {{ column = \"click\" }}\nfields = [{{ {field} }}]"));
    let report = succeed(folder, "prepare csv --input rows.csv --schema schema.toml --out data --json");
    let report: Value = serde_json::from_str(&report).unwrap();
    let warning = report["warnings"][0].as_str().unwrap();
    assert!(warning.contains("\"price\"") && warning.contains("one bucket (by the bounds 1000000000.0)"), "{warning}");
}

/// A teacher with vocabularies teaches a student without: rows are the same where each known token has its bucket.
#[test]
fn rows_of_a_vocabulary_and_of_a_hash_are_compared() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let fields = |user: &str, price: &str| {
        format!(
            "min_count = 2\nlabel = {{ column = \"click\" }}\nfields = [\
             {{ name = \"user\", kind = \"categorical\"{user} }}, {{ name = \"price\", kind = \"numeric\"{price} }}]"
        )
    };
    write(folder, "teacher.toml", &fields("", ""));
    write(folder, "student.toml", &fields(", buckets = 20", ", quantiles = 5"));
    write(folder, "split.txt", &"t\n".repeat(400));
    let text = csv((0..400)
        .map(|i: u32| [String::new(), format!("{}.5", i % 50), format!("u{}", i % 70 * (i % 3)), String::new()]));
    let prepare = |name: &str, text: &str, schema: &str| {
        write(folder, "rows.csv", text);
        let split = "--split file --split-file split.txt";
        succeed(folder, &format!("prepare csv --input rows.csv --schema {schema}.toml --out {name} {split}"));
        Dataset::open(&folder.join(name)).unwrap()
    };
    let teacher = prepare("teacher", &text, "teacher");
    let student = prepare("student", &text, "student");
    check_rows(&teacher, &student).unwrap();
    write(folder, "weighted.toml", &fields("", ", numbers = \"interpolated\", quantiles = 5"));
    let weighted = prepare("weighted", &text, "weighted");
    for taught in [&teacher, &student, &weighted] {
        check_rows(taught, &weighted).unwrap();
    }
    check_rows(&student, &student).unwrap();
    let at = text.find(",u44,").unwrap();
    let other = prepare("other", &[&text[..at], ",u45,", &text[at + 5..]].concat(), "student");
    for taught in [&teacher, &student] {
        let told = check_rows(taught, &other).unwrap_err().to_string();
        assert!(told.contains("field \"user\"") && told.contains("index"), "{told}");
    }
}
