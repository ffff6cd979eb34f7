//! Raw rows through a packed file: the scores of rows that were encoded beside it, bit by bit.
//!
//! Needs `XSFM_TRAIN` and `XSFM`, the two programs; `cargo xtask test` sets them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use xsfm_tests::trainer::Bench;

const FLAGS: &str = "--epochs 1 --embed-dim 4 --hidden 8 --seed 1 --quantize --threads 1 --batch-size 256";

fn write(bench: &Bench, name: &str, text: &str) {
    fs::write(bench.at(name), text).unwrap();
}

/// What a command gives.
fn results(bench: &Bench, line: &str) -> String {
    let [results, _] = bench.succeed(line);
    results
}

/// Trains on `data`, packs with and without the old numbers, and compares the scores of `new`, raw and encoded.
/// Fingerprints are so long that none of the unseen tokens is taken for another.
fn compare(bench: &Bench, new: &str) {
    bench.succeed(&format!("train train --data data --out model {FLAGS}"));
    bench.succeed("xsfm pack model -o kept.xsfm --fingerprint-bits 24");
    bench.succeed("xsfm pack model -o anew.xsfm --renumber --fingerprint-bits 24");
    bench.succeed("xsfm pack model -o bare.xsfm --without-vocabulary");
    bench.succeed(&format!("train encode --schema data/schema.json --input {new} --out new.arrow"));
    let expected = results(bench, "xsfm score bare.xsfm --indices new.arrow");
    assert!(expected.lines().count() > 200);
    let distinct: std::collections::HashSet<&str> = expected.lines().collect();
    assert!(distinct.len() > 50, "{} scores", distinct.len());
    for file in ["kept.xsfm", "anew.xsfm"] {
        assert!(results(bench, &format!("xsfm score {file} --raw {new}")) == expected, "{file}, {new}");
    }
    assert_eq!(
        results(bench, &format!("xsfm rank anew.xsfm --raw {new} --top 7")),
        results(bench, "xsfm rank kept.xsfm --indices new.arrow --top 7")
    );
    let of_rows = results(bench, "xsfm evaluate bare.xsfm --rows new.arrow --json");
    assert_eq!(results(bench, &format!("xsfm evaluate anew.xsfm --raw {new} --json")), of_rows);
    let said = bench.refused("xsfm score anew.xsfm --indices new.arrow");
    assert!(said.contains("vocabular"), "{said}");
    let said = bench.refused(&format!("xsfm score bare.xsfm --raw {new}"));
    assert!(said.contains("packed without its vocabulary"), "{said}");
}

const SCHEMA: &str = r#"
delimiter = ";"
min_count = 2
weight = "cost"

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
name = "day"
column = "when"
kind = "numeric"
bytes = [8, 10]

[[fields]]
name = "tags"
kind = "bag"
separator = "/"
max_bag = 2
keep = "last"

[[fields]]
name = "price"
kind = "numeric"
"#;

fn table(rows: u32, seed: u64) -> String {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut text = "stars;cost;user;when;tags;price\n".to_owned();
    for _ in 0..rows {
        let user = rng.random_range(0..40_u32) * rng.random_range(0..3);
        let (hour, item) = (rng.random_range(0..24), rng.random_range(0..9));
        let stars = (user * 7 + item + hour) % 6;
        let tags: Vec<String> =
            (0..rng.random_range(0..4)).map(|_| format!("täg {}", rng.random_range(0..12))).collect();
        let price = match rng.random_range(0..5) {
            0 => String::new(),
            1 => rng.random_range(-3..4).to_string(),
            2 => format!("{:.2}", rng.random_range(0.0..90.0_f64)),
            3 => format!("{:e}", rng.random_range(0.0..9e9_f64)),
            _ => rng.random_range(0..2000).to_string(),
        };
        let tags = tags.join("/");
        writeln!(text, "{stars};1.5;\"u;{user}\";2026-03-{:02}T{hour:02}:00:00;{tags};{price}", 1 + user % 28).unwrap();
    }
    text
}

#[test]
fn tables_are_scored_as_their_encoded_rows() {
    let Some(bench) = Bench::new() else { return };
    write(&bench, "rows.csv", &table(2000, 1));
    write(&bench, "rows.toml", SCHEMA);
    write(&bench, "new.csv", &table(700, 2));
    bench.succeed("train prepare csv --input rows.csv --schema rows.toml --out data");
    compare(&bench, "new.csv");
    // From standard input.
    let from = |stdin: Stdio| {
        let mut command = Command::new(&bench.xsfm);
        command.current_dir(bench.at("")).args(["score", "kept.xsfm", "--raw", "-"]).stdin(stdin).output().unwrap()
    };
    let piped = from(fs::File::open(bench.at("new.csv")).unwrap().into());
    assert_eq!(String::from_utf8_lossy(&piped.stdout), results(&bench, "xsfm score kept.xsfm --raw new.csv"));
    // Without the label's column, with others beside, in another order.
    write(&bench, "serve.csv", "price;x;tags;user;when\n7;x;täg 1;u;2026-03-05T11\n");
    let scores = results(&bench, "xsfm score anew.xsfm --raw serve.csv");
    assert_eq!(scores.lines().count(), 1);
    for (text, words) in [
        ("price;tags;user\n7;a;b\n", &["\"when\""][..]),
        ("price;tags;user;when\nseven;a;b;2026-03-05T11\n", &["bad.csv:2", "\"price\"", "seven"]),
        ("price;tags;user;when\n7;a;b;2026\n", &["bad.csv:2", "\"hour\""]),
        ("", &["bad.csv"]),
    ] {
        write(&bench, "bad.csv", text);
        let said = bench.refused("xsfm score kept.xsfm --raw bad.csv");
        assert!(words.iter().all(|word| said.contains(word)), "{text:?}: {said}");
    }
}

#[test]
fn lines_of_criteo_are_scored_as_their_encoded_rows() {
    let Some(bench) = Bench::new() else { return };
    let categories = [9; 26].map(|n| n.to_string()).join(",");
    bench.succeed(&format!("train generate --out rows --rows 3000 --categories {categories}"));
    let text = fs::read_to_string(bench.at("rows/rows.tsv")).unwrap();
    write(&bench, "train.txt", &text);
    // Numbers and words that nobody has seen.
    write(&bench, "new.txt", &text.lines().take(500).map(|line| line.replace("\t1", "\t3") + "\n").collect::<String>());
    bench.succeed("train prepare criteo --source train.txt --min-count 5 --out data");
    compare(&bench, "new.txt");
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/criteo_sample_raw.tsv");
    match shared.exists() {
        false => eprintln!("SKIPPED: no {}: planted rows alone", shared.display()),
        true => {
            fs::remove_dir_all(bench.at("data")).unwrap();
            fs::remove_dir_all(bench.at("model")).unwrap();
            let (first, last) = fs::read_to_string(&shared)
                .map(|text| {
                    let lines: Vec<&str> = text.lines().collect();
                    (lines[..1000].join("\n"), lines[1000..].join("\n"))
                })
                .unwrap();
            write(&bench, "train.txt", &first);
            write(&bench, "new.txt", &last);
            bench.succeed("train prepare criteo --source train.txt --min-count 2 --out data");
            compare(&bench, "new.txt");
        }
    }
}
