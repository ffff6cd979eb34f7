//! Criteo's rows: real ones, malformed ones, gzip, any number of threads, interrupted runs.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "common/raw.rs"]
mod raw;

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use xsfm_interchange::schema::Schema;
use xsfm_trainer::data::prepare::prepare;
use xsfm_trainer::data::report::Report;
use xsfm_trainer::data::split::{Shares, Split};

use raw::{gzip, shared};
use xsfm_readers::criteo::Criteo;
use xsfm_readers::csv::CsvSource;
use xsfm_readers::pass::Reading;

const SPLIT: Split = Split::Chronological(Shares { valid: 75, test: 75 });
const OUTPUTS: [&str; 5] = ["schema.json", "train.arrow", "valid.arrow", "test.arrow", "prepare.json"];

fn reading(threads: usize) -> Reading {
    Reading { threads, ..Reading::default() }
}

fn outputs(folder: &Path) -> [Vec<u8>; 5] {
    assert_eq!(fs::read_dir(folder).unwrap().count(), 5, "nothing else is left in the folder");
    OUTPUTS.map(|name| fs::read(folder.join(name)).unwrap())
}

/// A row in whose fields every kind of value occurs.
fn line(i: u32) -> String {
    let mut line = (i % 4 / 3).to_string();
    for f in 0..13 {
        line += &match (i + f) % 5 {
            0 => "\t".to_owned(),
            1 => format!("\t-{}", i % 3),
            _ => format!("\t{}", (i % 17) * (i % 17) * f),
        };
    }
    for f in 0..26 {
        let value = (i % (3 + 7 * f)).wrapping_mul(2_654_435_761).wrapping_add(f);
        line += &if (i + f).is_multiple_of(11) { "\t".to_owned() } else { format!("\t{value:08x}") };
    }
    line
}

fn lines(rows: u32) -> String {
    (0..rows).map(|i| line(i) + "\n").collect()
}

fn write(folder: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn prepared(input: &Path, threads: usize, out: &Path) -> Result<Report, String> {
    prepare(&Criteo::new(input, 2), &SPLIT, reading(threads), out).map_err(|e| e.to_string())
}

#[test]
fn real_rows_are_prepared() {
    let Some(input) = shared("criteo_sample_raw.tsv") else { return };
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out");
    let report = prepared(&input, 2, &out).unwrap();
    assert_eq!((report.train.rows, report.valid.rows, report.test.rows, report.malformed_rows), (1699, 150, 150, 0));
    let positives = report.train.positives + report.valid.positives + report.test.positives;
    let expected = fs::read_to_string(&input).unwrap().lines().filter(|l| l.starts_with("1\t")).count() as u64;
    assert_eq!((positives, report.fields.len()), (expected, 39));
    // C9 has 3 values in Criteo; I12 is missing in most rows, so that its empty token is the most frequent.
    let schema = Schema::load(&out.join("schema.json")).unwrap();
    assert_eq!(schema.fields[11].vocabulary[0], "");
    assert!((2..=4).contains(&schema.fields[21].features()), "{:?}", schema.fields[21]);

    // The rows of the general way, through the CSV library, are the same.
    let mut description = "delimiter = \"\\t\"\nheader = false\nmin_count = 2\nlabel = { column = 0 }\n".to_owned();
    for (column, field) in (1..).zip(&report.fields) {
        let kind = if column <= 13 { "numeric" } else { "categorical" };
        description += &format!("[[fields]]\nname = \"{}\"\ncolumn = {column}\nkind = \"{kind}\"\n", field.name);
    }
    let description = write(&folder, "criteo.toml", description.as_bytes());
    let general = folder.path().join("general");
    prepare(&CsvSource::open(&input, &description).unwrap(), &SPLIT, reading(3), &general).unwrap();
    for name in &OUTPUTS[1..] {
        assert_eq!(fs::read(out.join(name)).unwrap(), fs::read(general.join(name)).unwrap(), "{name}");
    }
}

#[test]
fn threads_and_gzip_change_nothing() {
    let folder = TempDir::new().unwrap();
    // About 4 MB: several blocks for each thread. The last line lacks its end, and another has that of other systems.
    let text = lines(17_000).replacen('\n', "\r\n", 1);
    let plain = write(&folder, "train.txt", text.trim_end().as_bytes());
    let zipped = write(&folder, "train.gz", &gzip(text.as_bytes()));
    // gzip files may be made of several.
    let (first, second) = text.split_at(text.len() / 3);
    let joined = write(&folder, "joined.gz", &[gzip(first.as_bytes()), gzip(second.as_bytes())].concat());
    let mut all = Vec::new();
    for (input, threads) in [(&plain, 1), (&plain, 2), (&plain, 7), (&zipped, 3), (&joined, 2)] {
        let out = folder.path().join(format!("out{}", all.len()));
        let report = prepared(input, threads, &out).unwrap();
        assert_eq!((report.train.rows, report.valid.rows, report.test.rows), (14_450, 1275, 1275));
        all.push(outputs(&out));
    }
    assert!(all.iter().all(|outputs| outputs == &all[0]));
}

#[test]
fn malformed_rows_are_counted_and_shown() {
    let text = lines(1000);
    let good: Vec<&str> = text.lines().collect();
    let broken: [(Vec<u8>, &str); 8] = [
        (b"0\t1\t2".to_vec(), "3 columns, 40 expected"),
        (format!("{}\t7", good[300]).into_bytes(), "41 columns, 40 expected"),
        (b"".to_vec(), "1 columns, 40 expected"),
        ([b"yes", &good[300].as_bytes()[1..]].concat(), "field \"label\": \"yes\", 0 or 1 expected"),
        ([b"2", &good[300].as_bytes()[1..]].concat(), "field \"label\": \"2\", 0 or 1 expected"),
        (good[300].replacen("\t", "\t1.5x", 1).into_bytes(), "field \"I1\": \"1.5x"),
        (format!("{}0g", good[300]).into_bytes(), "field \"C26\": "),
        ([good[300].as_bytes(), b"\xff"].concat(), "not UTF-8"),
    ];
    for (line, expected) in broken {
        let folder = TempDir::new().unwrap();
        let mut bytes = good[..300].join("\n").into_bytes();
        for part in [b"\n", line.as_slice(), b"\n", good[301..].join("\n").as_bytes(), b"\n"] {
            bytes.extend(part);
        }
        let input = write(&folder, "train.txt", &bytes);
        let out = folder.path().join("out");
        let report = prepared(&input, 2, &out).unwrap();
        assert_eq!(report.malformed_rows, 1, "{expected}");
        assert_eq!(report.train.rows + report.valid.rows + report.test.rows, 999);
        let [example] = &report.malformed_examples[..] else { panic!("{:?}", report.malformed_examples) };
        assert!(example.contains("train.txt:301: ") && example.contains(expected), "{example}");

        let strict = Reading { strict: true, ..reading(2) };
        let out = folder.path().join("strict");
        let error = prepare(&Criteo::new(&input, 2), &SPLIT, strict, &out).unwrap_err().to_string();
        assert!(error.contains("train.txt:301: ") && error.contains(expected), "{error}");
        assert!(!out.exists());
    }
}

#[test]
fn more_than_the_allowed_share_ends_the_run() {
    let folder = TempDir::new().unwrap();
    let bad = |every: u32| {
        (0..1000).map(|i| if i % every == 7 { "bad\n".to_owned() } else { line(i) + "\n" }).collect::<String>()
    };
    // Exactly one in a hundred is allowed.
    let input = write(&folder, "a.txt", bad(100).as_bytes());
    let report = prepared(&input, 2, &folder.path().join("a")).unwrap();
    assert_eq!((report.malformed_rows, report.malformed_examples.len()), (10, 5));
    assert!(report.malformed_examples[4].contains("a.txt:408: "), "{:?}", report.malformed_examples);
    let input = write(&folder, "b.txt", bad(90).as_bytes());
    let out = folder.path().join("b");
    let error = prepared(&input, 2, &out).unwrap_err();
    assert!(error.contains("b.txt: 12 of 1000 rows are malformed, more than the 1 %"), "{error}");
    assert!(error.contains("b.txt:8: 1 columns, 40 expected"), "{error}");
    assert!(!out.exists());
    let generous = Reading { max_bad: 0.012, ..reading(2) };
    assert_eq!(prepare(&Criteo::new(&input, 2), &SPLIT, generous, &out).unwrap().malformed_rows, 12);
}

#[test]
fn a_gzip_that_breaks_off_is_said_to() {
    let folder = TempDir::new().unwrap();
    let zipped = gzip(lines(5000).as_bytes());
    let input = write(&folder, "train.gz", &zipped[..zipped.len() / 2]);
    let report = prepared(&input, 2, &folder.path().join("out")).unwrap();
    let rows = report.train.rows + report.valid.rows + report.test.rows;
    assert!((1000..4000).contains(&rows), "{rows}");
    assert_eq!(report.malformed_rows, 1);
    let expected = format!("train.gz:{}: the gzip stream ends here", rows + 1);
    assert!(report.malformed_examples[0].contains(&expected), "{:?}, {expected}", report.malformed_examples);
    let strict = Reading { strict: true, ..reading(2) };
    let error = prepare(&Criteo::new(&input, 2), &SPLIT, strict, &folder.path().join("strict")).unwrap_err();
    assert!(error.to_string().contains(&expected), "{error}");

    // Cut before anything came out, damaged in the middle, and not gzip behind its first bytes.
    for (name, bytes, expected) in [
        ("cut.gz", zipped[..12].to_vec(), "1 of 1 rows are malformed"),
        ("damaged.gz", [&zipped[..5000], &[0x55; 64], &zipped[5064..]].concat(), "damaged.gz: "),
        ("other.gz", [[0x1f, 0x8b].as_slice(), &[7; 100]].concat(), "other.gz: "),
    ] {
        let input = write(&folder, name, &bytes);
        let out = folder.path().join("nothing");
        let error = prepared(&input, 2, &out).unwrap_err();
        assert!(error.contains(expected), "{error}");
        assert!(!out.exists());
    }
}

#[test]
fn an_interrupted_run_keeps_its_vocabularies() {
    let folder = TempDir::new().unwrap();
    let input = write(&folder, "train.txt", lines(3000).as_bytes());
    let whole = folder.path().join("whole");
    prepared(&input, 2, &whole).unwrap();

    // A folder where a file must go ends the run behind its last pass.
    let out = folder.path().join("out");
    let interrupt = |out: &Path| {
        drop(fs::remove_file(out.join("train.arrow")));
        fs::create_dir_all(out.join("train.arrow/in the way")).unwrap();
        prepared(&input, 2, out).unwrap_err();
        fs::remove_dir_all(out.join("train.arrow")).unwrap();
        fs::read_to_string(out.join("counted.json.part")).unwrap()
    };
    interrupt(&out);
    prepared(&input, 2, &out).unwrap();
    assert_eq!(outputs(&out), outputs(&whole));

    // That the vocabularies are not counted again shows when they are changed in between,
    let kept = interrupt(&out);
    let changed = kept.replacen("\"b1\"", "\"b999\"", 1);
    assert_ne!(changed, kept);
    fs::write(out.join("counted.json.part"), &changed).unwrap();
    prepared(&input, 2, &out).unwrap();
    assert!(fs::read_to_string(out.join("schema.json")).unwrap().contains("b999"));
    // but they are where the file, the split or the minimum count is another, or what was kept is damaged.
    for (text, split, min_count) in [
        (lines(3001), SPLIT, 2),
        (lines(3000), Split::Random { seed: 1, shares: Shares::default() }, 2),
        (lines(3000), SPLIT, 3),
    ] {
        fs::write(out.join("counted.json.part"), &changed).unwrap();
        fs::write(&input, text).unwrap();
        prepare(&Criteo::new(&input, min_count), &split, reading(2), &out).unwrap();
        assert!(!fs::read_to_string(out.join("schema.json")).unwrap().contains("b999"));
    }
    fs::write(out.join("counted.json.part"), &changed[..changed.len() / 2]).unwrap();
    prepared(&input, 2, &out).unwrap();
    assert_eq!(outputs(&out), outputs(&whole));
}
