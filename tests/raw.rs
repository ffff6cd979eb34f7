//! Raw rows through a packed file: the scores of rows that were encoded beside it, bit by bit.
//!
//! Needs `XSFM_TRAIN` and `XSFM`, the two programs, and `XSFM_REVIEWS`, a Parquet file of reviews; `cargo xtask test`
//! sets them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use xsfm_interchange::rows::{RowBlock, RowsReader};
use xsfm_readers::parquet::ParquetSource;
use xsfm_readers::pass::pick;
use xsfm_runtime::{LoadOptions, OwnedModel, Scorer, ScratchBlock};
use xsfm_tests::trainer::{Bench, program};

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
    bench.succeed("xsfm pack model -o named.xsfm --keep-tokens --fingerprint-bits 0");
    bench.succeed("xsfm pack model -o bare.xsfm --without-vocabulary");
    bench.succeed(&format!("train encode --schema data/schema.json --input {new} --out new.arrow"));
    let expected = results(bench, "xsfm score bare.xsfm --indices new.arrow");
    assert!(expected.lines().count() > 200);
    let distinct: std::collections::HashSet<&str> = expected.lines().collect();
    assert!(distinct.len() > 50, "{} scores", distinct.len());
    for file in ["kept.xsfm", "anew.xsfm", "named.xsfm"] {
        assert!(results(bench, &format!("xsfm score {file} --raw {new}")) == expected, "{file}, {new}");
    }
    let best = ranked(bench, "bare.xsfm --indices new.arrow");
    assert_eq!(ranked(bench, &format!("anew.xsfm --raw {new}")), best);
    assert_eq!(ranked(bench, "named.xsfm --indices new.arrow"), best);
    let of_rows = results(bench, "xsfm validate kept.xsfm model --rows new.arrow --json");
    for file in ["kept.xsfm", "anew.xsfm"] {
        assert_eq!(results(bench, &format!("xsfm validate {file} model --raw {new} --json")), of_rows, "{file}");
    }
    let of_rows = results(bench, "xsfm evaluate bare.xsfm --rows new.arrow --json");
    assert_eq!(results(bench, &format!("xsfm evaluate anew.xsfm --raw {new} --json")), of_rows);
    let said = bench.refused("xsfm score anew.xsfm --indices new.arrow");
    assert!(said.contains("vocabular"), "{said}");
    let said = bench.refused(&format!("xsfm score bare.xsfm --raw {new}"));
    assert!(said.contains("packed without its vocabulary"), "{said}");
}

/// The best rows, without what their candidates are.
fn ranked(bench: &Bench, of: &str) -> Vec<Value> {
    let mut best: Vec<Value> =
        serde_json::from_str(&results(bench, &format!("xsfm rank {of} --top 7 --json"))).unwrap();
    best.iter_mut().for_each(|entry| drop(entry.as_object_mut().unwrap().remove("candidate")));
    best
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

[[fields]]
name = "mean"
column = "tags"
kind = "bag"
separator = "/"
combine = "mean"

[[fields]]
name = "price by bounds"
column = "price"
kind = "numeric"
bounds = [-1, 0, 0.5, 12.25, 1e6]

[[fields]]
name = "price by quantiles"
column = "price"
kind = "numeric"
quantiles = 12

[[fields]]
name = "price by value"
column = "price"
kind = "numeric"
numbers = "value"

[[fields]]
name = "price interpolated"
column = "price"
kind = "numeric"
numbers = "interpolated"
quantiles = 6

[[fields]]
name = "day interpolated"
column = "when"
kind = "numeric"
bytes = [8, 10]
numbers = "interpolated"
bounds = [1, 10, 28]

[[fields]]
name = "day by quantiles"
column = "when"
kind = "numeric"
bytes = [8, 10]
quantiles = 3

[[fields]]
name = "user by hash"
column = "user"
kind = "categorical"
buckets = 30

[[fields]]
name = "tags by hash"
column = "tags"
kind = "bag"
separator = "/"
buckets = 20
seed = 7

[[fields]]
name = "hour of time"
column = "when"
kind = "categorical"
time = "hour"

[[fields]]
name = "weekday"
column = "when"
kind = "categorical"
time = "weekday"
"#;

/// The same rows as a CSV and as JSON lines.
fn table(rows: u32, seed: u64) -> [String; 2] {
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut text, mut lines) = ("stars;cost;user;when;tags;price\n".to_owned(), String::new());
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
        let when = format!("2026-03-{:02}T{hour:02}:00:00", 1 + user % 28);
        writeln!(text, "{stars};1.5;\"u;{user}\";{when};{};{price}", tags.join("/")).unwrap();
        let price = if price.is_empty() { "null" } else { &price };
        writeln!(
            lines,
            r#"{{"price":{price},"tags":{tags:?},"when":"{when}","user":"u\u003b{user}","stars":{stars},"cost":1.5}}"#
        )
        .unwrap();
    }
    [text, lines]
}

#[test]
fn tables_are_scored_as_their_encoded_rows() {
    let Some(bench) = Bench::new() else { return };
    let [[csv, json], [new_csv, new_json]] = [table(2000, 1), table(700, 2)];
    write(&bench, "rows.toml", SCHEMA);
    for (name, text) in
        [("rows.csv", &csv), ("rows.jsonl", &json), ("new.csv", &new_csv), ("new.jsonl", &new_json), ("new", &new_json)]
    {
        write(&bench, name, text);
    }
    bench.succeed("train prepare csv --input rows.csv --schema rows.toml --out data");
    compare(&bench, "new.csv");
    let expected = results(&bench, "xsfm score kept.xsfm --raw new.csv");
    for name in ["new.jsonl", "new"] {
        assert!(results(&bench, &format!("xsfm score kept.xsfm --raw {name}")) == expected, "{name}");
    }
    let measured = |name: &str| results(&bench, &format!("xsfm evaluate anew.xsfm --raw {name} --json"));
    assert_eq!(measured("new.jsonl"), measured("new.csv"));
    results(&bench, "xsfm bench kept.xsfm --raw new.jsonl --json");
    // Prepared from JSON lines, the same data.
    bench.succeed("train prepare json --input rows.jsonl --schema rows.toml --out json");
    let read = |name: &str| fs::read(bench.at(name)).unwrap();
    for name in ["schema.json", "train.arrow", "valid.arrow", "test.arrow"] {
        assert!(read(&format!("data/{name}")) == read(&format!("json/{name}")), "{name}");
    }
    bench.succeed("train encode --schema data/schema.json --input new.jsonl --out json.arrow");
    assert!(read("json.arrow") == read("new.arrow"));
    // Candidates in their own words.
    let best = results(&bench, "xsfm rank kept.xsfm --raw new.jsonl --top 9 --json");
    let best: Vec<Value> = serde_json::from_str(&best).unwrap();
    assert_eq!(best.len(), 9);
    for entry in &best {
        let line = new_csv.lines().nth(entry["row"].as_u64().unwrap() as usize).unwrap();
        let [_, user, rest] = line.split('"').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let [_, when, tags, price] = rest.split(';').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let tags: Vec<&str> = tags.split('/').filter(|tag| !tag.is_empty()).collect();
        let tags = &tags[tags.len().saturating_sub(2)..];
        let expected =
            serde_json::json!({"user": user, "hour": when[11..13], "day": when[8..10], "tags": tags, "price": price});
        // The others are the same columns by other rules, and the weekday.
        assert_eq!(entry["candidate"].as_object().unwrap().len(), 16, "{line}");
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(entry["candidate"][name], *value, "{name}: {line}");
        }
    }
    // By their indices, in the file's words.
    let named = results(&bench, "xsfm rank named.xsfm --indices new.arrow --top 9 --json");
    let named: Vec<Value> = serde_json::from_str(&named).unwrap();
    let users = |best: &[Value]| best.iter().map(|entry| entry["candidate"]["user"].clone()).collect::<Vec<_>>();
    let is_one = |(named, raw): (&Value, &Value)| named == raw || *named == "#0";
    assert!(users(&named).iter().zip(&users(&best)).all(is_one) && users(&named).iter().any(|user| *user != "#0"));
    let data: Value = serde_json::from_str(&fs::read_to_string(bench.at("data/schema.json")).unwrap()).unwrap();
    let listed = |tokens: &Value| {
        let tokens = tokens.as_array().unwrap().iter().zip(1..);
        tokens.map(|(token, index)| format!("{index}\t{}\n", token.as_str().unwrap())).collect::<String>()
    };
    for (f, field) in ["user", "hour", "day", "tags", "price"].into_iter().enumerate() {
        let tokens = listed(&data["fields"][f]["vocabulary"]);
        assert_eq!(results(&bench, &format!("xsfm inspect named.xsfm --tokens {field}")), tokens);
    }
    let said = bench.refused("xsfm inspect kept.xsfm --tokens user");
    assert!(said.contains("--keep-tokens"), "{said}");
    let shown = results(&bench, "xsfm rank kept.xsfm --raw new.csv --top 9");
    let titles: Vec<&str> = shown.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(titles[..9], ["rank", "row", "probability", "logit", "user", "hour", "day", "tags", "price"]);
    let user = best[0]["candidate"]["user"].as_str().unwrap();
    assert!(shown.lines().nth(1).unwrap().contains(user), "{shown}");
    write(&bench, "one.csv", &new_csv.lines().take(2).map(|line| format!("{line}\n")).collect::<String>());
    let shown = results(&bench, "xsfm rank kept.xsfm --raw one.csv --context user,hour");
    let titles: Vec<&str> = shown.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(titles[..6], ["rank", "row", "probability", "logit", "day", "tags"]);
    // From standard input.
    let from = |stdin: Stdio| {
        let mut command = Command::new(&bench.xsfm);
        command.current_dir(bench.at("")).args(["score", "kept.xsfm", "--raw", "-"]).stdin(stdin).output().unwrap()
    };
    let piped = from(fs::File::open(bench.at("new.csv")).unwrap().into());
    assert_eq!(String::from_utf8_lossy(&piped.stdout), results(&bench, "xsfm score kept.xsfm --raw new.csv"));
    // Without the label's column, with others beside, in another order.
    write(&bench, "serve.csv", "price;x;tags;user;when\n7;x;täg 1;u;2026-03-05T11:30\n");
    let [scores, said] = bench.succeed("xsfm score anew.xsfm --raw serve.csv");
    assert_eq!(scores.lines().count(), 1);
    assert!(said.contains("did not have: x"), "{said}");
    for (text, words) in [
        ("price;tags;user\n7;a;b\n", &["\"when\""][..]),
        ("price;tags;user;when\nseven;a;b;2026-03-05T11:30\n", &["bad.csv:2", "\"price\"", "seven"]),
        ("price;tags;user;when\n7;a;b;2026\n", &["bad.csv:2", "\"hour\""]),
        ("price;tags;user;when\n7;a;b;2026-03-05T99:00:00\n", &["bad.csv:2", "\"hour of time\"", "T99"]),
        ("", &["bad.csv"]),
        (r#"{"price":7,"tags":"a","user":"b","wen":"2026-03-05T11:30"}"#, &["bad.csv:1", "\"when\"", "\"wen\""]),
        (r#"{"price":"seven","tags":"a","user":"b","when":"2026-03-05T11:30"}"#, &["bad.csv:1", "\"price\"", "seven"]),
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

/// Lines as those of the RecSys Challenge 2020, with their engagements or without.
fn tweets(rows: u32, seed: u64, engagements: bool) -> String {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut text = String::new();
    for _ in 0..rows {
        let mut list = |most: u32, of: u32| {
            let tokens = (0..rng.random_range(0..=most)).map(|_| format!("{:06X}", rng.random_range(0..of) * 0x9e37));
            tokens.collect::<Vec<_>>().join("\t")
        };
        // Longer lists than are kept, too.
        let lists = [list(9, 99), list(40, 70), list(3, 3), list(2, 30), list(2, 40)];
        let now = 1_581_000_000 + rng.random_range(0..600_000_u32);
        let person = |rng: &mut StdRng| {
            let (id, made) = (rng.random_range(0..60_u32) * 977, now - rng.random_range(0..200_000_000_u32));
            let [followers, following] = [0; 2].map(|_| rng.random_range(0..90_000_u32) >> rng.random_range(0..17));
            format!("{id:08X}\u{1}{followers}\u{1}{following}\u{1}{}\u{1}{made}", rng.random_bool(0.1))
        };
        let (author, reader) = (person(&mut rng), person(&mut rng));
        let [text_tokens, hashtags, media, links, domains] = lists;
        let kind = ["TopLevel", "Retweet", "Quote"][rng.random_range(0..3)];
        let language = rng.random_range(0..6) * 0xabc;
        write!(
            text,
            "{text_tokens}\u{1}{hashtags}\u{1}{:08X}\u{1}{media}\u{1}{links}\u{1}{domains}\u{1}{kind}\u{1}\
             {language:X}\u{1}{now}\u{1}{author}\u{1}{reader}\u{1}{}",
            rng.random_range(0..9_999_u32),
            rng.random_bool(0.3),
        )
        .unwrap();
        let is_liked = rng.random_bool(0.6) && kind != "Quote";
        if engagements {
            let like = if is_liked { (now + 60).to_string() } else { String::new() };
            write!(text, "\u{1}\u{1}\u{1}\u{1}{like}").unwrap();
        }
        text.push('\n');
    }
    text
}

#[test]
fn tweets_are_scored_as_their_encoded_rows() {
    let Some(bench) = Bench::new() else { return };
    write(&bench, "train.tsv", &tweets(2000, 3, true));
    write(&bench, "new.tsv", &tweets(600, 4, true));
    bench.succeed("train prepare recsys2020 --source train.tsv --label like --min-count 3 --out data");
    compare(&bench, "new.tsv");
    // The challenge's test sets have no engagements.
    write(&bench, "test.tsv", &tweets(600, 4, false));
    let expected = results(&bench, "xsfm score kept.xsfm --raw new.tsv");
    assert!(results(&bench, "xsfm score kept.xsfm --raw test.tsv") == expected);
    let said = bench.refused("xsfm evaluate kept.xsfm --raw test.tsv");
    assert!(said.contains("a file without engagements has no labels"), "{said}");
    write(&bench, "test.tsv", tweets(1, 4, true).rsplit_once('\u{1}').unwrap().0);
    let said = bench.refused("xsfm score kept.xsfm --raw test.tsv");
    assert!(said.contains("test.tsv:1") && said.contains("23 columns, 20 or 24 expected"), "{said}");
}

#[test]
fn ratings_are_scored_as_their_encoded_rows() {
    let Some(bench) = Bench::new() else { return };
    let mut rng = StdRng::seed_from_u64(5);
    for (folder, users) in [("old", 50), ("new", 60)] {
        fs::create_dir(bench.at(folder)).unwrap();
        let mut files = [
            "user_id:token\titem_id:token\trating:float\ttimestamp:float\n",
            "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n",
            "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n",
        ]
        .map(str::to_owned);
        for _ in 0..1500 {
            let (user, film) = (rng.random_range(0..users), rng.random_range(0..80));
            writeln!(files[0], "{user}\t{film}\t{}\t{}", (user * film) % 5 + 1, rng.random_range(0..99_999)).unwrap();
        }
        for user in 0..users {
            writeln!(files[1], "{user}\t{}\t{}\twörk {}\t0", 18 + user % 40, ["M", "F"][user % 2], user % 7).unwrap();
        }
        for film in 0..80 {
            let genres = (0..film % 4).map(|g| format!("G{}", (film * 3 + g) % 11)).collect::<Vec<_>>().join(" ");
            writeln!(files[2], "{film}\tFilm {film}\t{}\t{genres}", 1930 + film % 60).unwrap();
        }
        for (file, name) in files.iter().zip(["inter", "user", "item"]) {
            write(&bench, &format!("{folder}/ml-100k.{name}"), file);
        }
    }
    bench.succeed("train prepare movielens --source old --out data");
    compare(&bench, "new");
}

/// Real texts: of several lines, with quotes, commas and letters of many alphabets, as bags of words.
#[test]
fn reviews_are_scored_as_their_encoded_rows() {
    let Some(bench) = Bench::new() else { return };
    let Some(reviews) = program("XSFM_REVIEWS") else { return };
    let label = "Recommended IND";
    let mut describe = Command::new(&bench.train);
    describe.current_dir(bench.at("")).arg("describe").arg(&reviews).args(["--label", label, "--out", "found.toml"]);
    let described = describe.output().unwrap();
    assert!(described.status.success(), "{}", String::from_utf8_lossy(&described.stderr));
    let columns = ["Clothing ID", "Age", "Title", "Division Name", "Department Name", "Class Name"];
    let found = fs::read_to_string(bench.at("found.toml")).unwrap();
    assert!(columns.iter().all(|column| found.contains(&format!("{column:?}"))), "{found}");
    let described = |kind: &dyn Fn(&str) -> &'static str, text: &str| {
        let field = |column: &&str| format!("[[fields]]\nname = {column:?}\nkind = {}\n", kind(column));
        let fields: String = columns.iter().map(field).collect();
        format!(
            "min_count = 3\n[label]\ncolumn = {label:?}\n{fields}[[fields]]\nname = \"Review Text\"\nkind = {text}\n"
        )
    };
    let kind = |column: &str| if column == "Age" { "\"numeric\"\nquantiles = 9" } else { "\"categorical\"" };
    write(&bench, "reviews.toml", &described(&kind, "\"bag\"\nseparator = \" \"\nmax_bag = 40"));
    fs::copy(&reviews, bench.at("reviews.parquet")).unwrap();
    bench.succeed("train prepare parquet --input reviews.parquet --schema reviews.toml --out data");
    // The same as a CSV, which has to quote them.
    write(&bench, "whole.toml", &described(&|_| "\"categorical\"", "\"categorical\""));
    let rows = ParquetSource::open(bench.at("reviews.parquet").as_path(), &bench.at("whole.toml")).unwrap();
    let mut csv = format!("{},Review Text,{label}\n", columns.join(","));
    let first: Vec<u64> = (0..REVIEWS).collect();
    for row in pick(&rows, &first).unwrap() {
        for f in 0..=columns.len() {
            write!(csv, "\"{}\",", row.field(f).next().unwrap_or_default().replace('"', "\"\"")).unwrap();
        }
        writeln!(csv, "{}", row.label).unwrap();
    }
    assert!(csv.lines().count() as u64 > REVIEWS + 1, "no text of several lines");
    write(&bench, "reviews.csv", &csv);
    compare(&bench, "reviews.csv");
    let scores = results(&bench, "xsfm score kept.xsfm --raw reviews.parquet");
    assert!(scores.starts_with(&results(&bench, "xsfm score kept.xsfm --raw reviews.csv")));
}

/// Rows of the CSV.
const REVIEWS: u64 = 5000;

/// Lines of libffm, in which fields come in any order, twice, or not at all.
fn libffm(rows: u32, seed: u64) -> String {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut text = String::new();
    for _ in 0..rows {
        let (user, item) = (rng.random_range(0..30_u32), rng.random_range(0..12_u32));
        let strength = f64::from(rng.random_range(-2000..2000)) / 1024.0;
        let label = if (user * 7 + item) % 5 < 2 || strength > 1.0 { "1" } else { "-1" };
        let mut parts = vec![format!("10:{user}:1"), format!("2:{}:{strength}", 100 + item)];
        parts.extend((0..rng.random_range(0..4)).map(|_| format!("7:{}:0.33", 200 + rng.random_range(0..9))));
        let first = rng.random_range(0..parts.len());
        parts.rotate_left(first);
        writeln!(text, "{label} {}", parts.join(" ")).unwrap();
    }
    text
}

/// The same rows as objects of JSON, without labels.
fn objects(lines: &str) -> String {
    let object = |line: &str| {
        let entry = |part: &str| {
            let [field, token, value] = part.split(':').collect::<Vec<_>>()[..] else { panic!("{part}") };
            (field.to_owned(), format!("\"{token}\":{value}"))
        };
        let entries: Vec<_> = line.split(' ').skip(1).map(entry).collect();
        let of_field = |field: &str| {
            let tokens = entries.iter().filter(|(of, _)| of == field).map(|(_, token)| token.as_str());
            format!("\"{field}\":{{{}}}", tokens.collect::<Vec<_>>().join(","))
        };
        format!("{{{}}}\n", ["10", "7", "2"].map(of_field).join(","))
    };
    lines.lines().map(object).collect()
}

#[test]
fn lines_of_libffm_are_trained_and_scored_with_their_weights() {
    let Some(bench) = Bench::new() else { return };
    write(&bench, "rows.ffm", &libffm(2000, 1));
    write(&bench, "new.ffm", &libffm(600, 2));
    bench.succeed("train prepare libffm --source rows.ffm --out data");
    let schema = fs::read_to_string(bench.at("data/schema.json")).unwrap();
    let place = |name: &str| schema.find(&format!("\"name\": \"{name}\"")).unwrap();
    assert!(place("2") < place("7") && place("7") < place("10"), "{schema}");
    compare(&bench, "new.ffm");
    let scores = results(&bench, "xsfm score bare.xsfm --indices new.arrow");
    write(&bench, "new.jsonl", &objects(&libffm(600, 2)));
    assert!(results(&bench, "xsfm score kept.xsfm --raw new.jsonl") == scores);
    // The integers of training are those of the packed file.
    bench.succeed("train evaluate --data data --checkpoint model --logits logits.txt");
    let logits = fs::read_to_string(bench.at("logits.txt")).unwrap();
    let trained: Vec<f32> = logits.lines().map(|line| line.parse().unwrap()).collect();
    let packed = OwnedModel::new(fs::read(bench.at("bare.xsfm")).unwrap(), LoadOptions::default()).unwrap();
    let mut scratch = vec![ScratchBlock::ZERO; packed.get().scratch_blocks()];
    let mut scorer = Scorer::new(packed.get(), &mut scratch).unwrap();
    let mut rows = RowsReader::open(&bench.at("data/test.arrow")).unwrap();
    let blocks: Vec<RowBlock> = rows.blocks().collect::<Result<_, _>>().unwrap();
    let rows = blocks.iter().flat_map(|block| (0..block.len()).map(|i| block.row(i)));
    let scored: Vec<f32> = rows.map(|row| scorer.score(row).unwrap().logit).collect();
    assert!(scored.len() > 100);
    assert_eq!(trained, scored);
    for (text, words) in [
        ("2 2:100:1\n", &["bad.ffm:1", "\"2\"; 1, 0 or -1"][..]),
        ("1 2:100:1 3:4:1\n", &["bad.ffm:1", "field \"3\" is none of the schema's"]),
        ("1 2:100:8\n", &["bad.ffm:1", "field \"2\": value 8", "7.99"]),
        ("1 2:100\n", &["bad.ffm:1", "field:feature:value"]),
        ("1 2:100:x\n", &["bad.ffm:1", "\"x\" is not a number"]),
    ] {
        write(&bench, "bad.ffm", text);
        let said = bench.refused("train encode --schema data/schema.json --input bad.ffm --out bad.arrow --strict");
        assert!(words.iter().all(|word| said.contains(word)), "{text:?}: {said}");
    }
}
