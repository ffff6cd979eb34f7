//! Generated rows: the same for the same seed, as the truth says, and read by `prepare`.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use xsfm_interchange::metrics::Metrics;
use xsfm_readers::criteo::Criteo;
use xsfm_readers::csv::CsvSource;
use xsfm_readers::pass::Reading;
use xsfm_trainer::data::generate::{Args, run};
use xsfm_trainer::data::prepare::prepare;
use xsfm_trainer::data::split::{Shares, Split};

fn args(out: &Path) -> Args {
    Args {
        out: out.to_owned(),
        rows: 20_000,
        csv: false,
        seed: 1,
        numeric: 2,
        numeric_size: 12,
        categories: vec![40, 7, 3],
        strength: 1.5,
        click_rate: 0.2,
        drift: 0.0,
        turnover: 0.0,
        threads: Some(2),
    }
}

fn read(folder: &Path) -> [String; 4] {
    ["rows.tsv", "logits.txt", "truth.json", "schema.toml"].map(|name| fs::read_to_string(folder.join(name)).unwrap())
}

#[test]
fn the_seed_decides_everything() {
    let folder = TempDir::new().unwrap();
    let generated = |seed, threads| {
        let out = folder.path().join(format!("{seed}-{threads}"));
        run(&Args { seed, threads: Some(threads), ..args(&out) }).unwrap();
        read(&out)
    };
    let first = generated(1, 1);
    assert_eq!(first, generated(1, 3));
    let other = generated(2, 2);
    assert!(first[..3].iter().zip(&other).all(|(a, b)| a != b) && first[3] == other[3]);
}

/// In each tenth of the logits, as many clicks as their probabilities say.
fn are_calibrated(labels: &[u8], logits: &[f64]) {
    let mut order: Vec<usize> = (0..labels.len()).collect();
    order.sort_by(|&a, &b| logits[a].total_cmp(&logits[b]));
    for tenth in order.chunks(labels.len() / 10) {
        let clicks = tenth.iter().filter(|&&i| labels[i] == 1).count() as f64;
        let expected: f64 = tenth.iter().map(|&i| 1.0 / (1.0 + (-logits[i]).exp())).sum();
        assert!((clicks - expected).abs() < 4.0 * expected.sqrt(), "{clicks} clicks, {expected} expected");
    }
}

#[test]
fn labels_follow_the_truth() {
    let folder = TempDir::new().unwrap();
    run(&args(folder.path())).unwrap();
    let [rows, logits, truth, _] = read(folder.path());
    let labels: Vec<u8> = rows.lines().map(|row| row.as_bytes()[0] - b'0').collect();
    let logits: Vec<f64> = logits.lines().map(|logit| f64::from(logit.parse::<f32>().unwrap())).collect();
    let metrics = Metrics::from_logits(&labels, &logits).unwrap();
    let truth: serde_json::Value = serde_json::from_str(&truth).unwrap();
    let said: Metrics = serde_json::from_value(truth["metrics"].clone()).unwrap();
    assert_eq!(said, metrics);
    let rate = metrics.positives as f64 / 20_000.0;
    assert!((rate - 0.2).abs() < 0.02, "{rate}");
    let mean = logits.iter().sum::<f64>() / 20_000.0;
    let deviation = (logits.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / 20_000.0).sqrt();
    assert!((deviation - 1.5).abs() < 0.1, "{deviation}");
    are_calibrated(&labels, &logits);
    // The same row has the same logit: the truth is a function of what is written.
    let tokens = |row: &str| row.split_once('\t').unwrap().1.to_owned();
    let mut known = std::collections::HashMap::new();
    let repeated = rows.lines().zip(&logits).filter(|(row, logit)| {
        // Numbers of a bucket differ in the text, so that only rows without buckets are compared.
        let tokens = tokens(row);
        let small = tokens.split('\t').take(2).all(|number| number.parse::<i64>().is_ok_and(|n| n <= 2));
        small
            && known.insert(tokens, **logit).is_some_and(|earlier| {
                assert_eq!(earlier, **logit);
                true
            })
    });
    assert!(repeated.count() > 100);
}

#[test]
fn rows_are_prepared_by_their_schema() {
    let folder = TempDir::new().unwrap();
    run(&args(folder.path())).unwrap();
    let source = CsvSource::open(&folder.path().join("rows.tsv"), &folder.path().join("schema.toml")).unwrap();
    let split = Split::Random { seed: 1, shares: Shares::default() };
    let report = prepare(&source, &split, Reading::default(), &folder.path().join("data")).unwrap();
    // Everything is frequent enough to occur, and the out-of-vocabulary row comes in addition.
    assert_eq!(report.fields.iter().map(|f| f.features).collect::<Vec<_>>(), [13, 13, 41, 8, 4]);
    assert_eq!((report.malformed_rows, report.train.rows + report.valid.rows + report.test.rows), (0, 20_000));
}

#[test]
fn the_truth_drifts_and_tokens_turn_over() {
    let folder = TempDir::new().unwrap();
    let generated = |name: &str, drift, turnover| {
        let out = folder.path().join(name);
        run(&Args { drift, turnover, ..args(&out) }).unwrap();
        let [rows, logits, ..] = read(&out);
        let logits: Vec<f64> = logits.lines().map(|logit| logit.parse().unwrap()).collect();
        (rows, logits)
    };
    let (rows, logits) = generated("still", 0.0, 0.0);
    let of_day = |logits: &[f64], day: usize| logits[2000 * day..2000 * (day + 1)].to_vec();
    let correlation = |a: &[f64], b: &[f64]| {
        let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
        let (mean_a, mean_b) = (mean(a), mean(b));
        let product =
            |a: &[f64], ma: f64, b: &[f64], mb: f64| a.iter().zip(b).map(|(a, b)| (a - ma) * (b - mb)).sum::<f64>();
        product(a, mean_a, b, mean_b) / (product(a, mean_a, a, mean_a) * product(b, mean_b, b, mean_b)).sqrt()
    };
    // The same rows, and numbers that have less and less to do with those of the beginning.
    let (drifted_rows, drifted) = generated("drift", 1.0, 0.0);
    let cells = |rows: &str| rows.lines().map(|line| line[1..].to_owned()).collect::<Vec<_>>();
    assert_eq!(cells(&rows), cells(&drifted_rows));
    let days: Vec<f64> = (0..10).map(|day| correlation(&of_day(&logits, day), &of_day(&drifted, day))).collect();
    assert!(days[0] > 0.97 && days[9].abs() < 0.3 && days[4] < days[0] && days[9] < days[4], "{days:?}");
    // Two generations of each token come, of the first field about a ninth of 80 tokens a day; numbers stay.
    let (turned_rows, _) = generated("turnover", 0.0, 2.0);
    let tokens = |column: usize, days: std::ops::Range<usize>| -> std::collections::HashSet<&str> {
        let lines = turned_rows.lines().skip(2000 * days.start).take(2000 * days.len());
        lines.map(|line| line.split('\t').nth(column).unwrap()).collect()
    };
    let new = |column: usize, day: usize| {
        let before = tokens(column, 0..day);
        tokens(column, day..day + 1).difference(&before).count()
    };
    assert!((1..10).all(|day| (3..16).contains(&new(3, day))), "{:?}", (1..10).map(|d| new(3, d)).collect::<Vec<_>>());
    assert_eq!((tokens(1, 0..10).len(), tokens(3, 0..10).contains("")), (read_tokens(&rows, 1), true));
}

/// Different texts of a column.
fn read_tokens(rows: &str, column: usize) -> usize {
    let cells = rows.lines().map(|line| line.split('\t').nth(column).unwrap());
    cells.collect::<std::collections::HashSet<_>>().len()
}

#[test]
fn criteos_layout_is_criteos() {
    let folder = TempDir::new().unwrap();
    let categories = vec![1000; 26];
    run(&Args { rows: 5000, numeric: 13, numeric_size: 60, categories, ..args(folder.path()) }).unwrap();
    let source = Criteo::new(&folder.path().join("rows.tsv"), 1);
    let strict = Reading { strict: true, ..Reading::default() };
    let split = Split::Chronological(Shares { valid: 75, test: 75 });
    let report = prepare(&source, &split, strict, &folder.path().join("data")).unwrap();
    assert_eq!(report.train.rows, 4250);
    assert!(report.fields[..13].iter().all(|f| (55..=61).contains(&f.features)), "{:?}", report.fields);
    // Zipf's tail: many of the thousand, but not all, have come up.
    assert!(report.fields[13..].iter().all(|f| (300..980).contains(&f.features)), "{:?}", report.fields);
}

#[test]
fn a_click_log_has_names_prices_and_times() {
    let folder = TempDir::new().unwrap();
    let args = Args { csv: true, ..args(folder.path()) };
    let generated = |threads| {
        run(&Args { threads: Some(threads), ..args.clone() }).unwrap();
        ["clicks.csv", "logits.txt", "truth.json"].map(|name| fs::read_to_string(folder.path().join(name)).unwrap())
    };
    let [rows, logits, truth] = generated(1);
    assert_eq!([&rows, &logits, &truth], generated(3).each_ref());
    assert!(!folder.path().join("schema.toml").exists() && !truth.contains("categories"));
    let lines: Vec<Vec<&str>> = rows.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(lines[0], ["time", "user", "item", "genres", "price", "city", "device", "click"]);
    let labels: Vec<u8> = lines[1..].iter().map(|line| line[7].parse().unwrap()).collect();
    let logits: Vec<f64> = logits.lines().map(|logit| logit.parse().unwrap()).collect();
    assert_eq!((labels.len(), logits.len()), (20_000, 20_000));
    are_calibrated(&labels, &logits);
    assert!(lines[1..].windows(2).all(|two| two[0][0] <= two[1][0]), "times go forward");
    // An item has the same genres in every row.
    let mut genres = std::collections::HashMap::new();
    assert!(lines[1..].iter().all(|line| *genres.entry(line[2]).or_insert(line[3]) == line[3]));
    // A price far from the usual one costs clicks, though no user and no item is the reason.
    let mean = |far: bool| {
        let is_far = |line: &[&str]| line[4].parse::<f64>().is_ok_and(|price| ((price.ln() - 2.0).abs() > 1.2) == far);
        let of: Vec<f64> = lines[1..].iter().zip(&logits).filter(|(line, _)| is_far(line)).map(|(_, l)| *l).collect();
        of.iter().sum::<f64>() / of.len() as f64
    };
    assert!(mean(false) - mean(true) > 0.5, "{} {}", mean(false), mean(true));
}

#[test]
fn settings_out_of_range_are_named() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out");
    let args = args(&out);
    for (args, expected) in [
        (Args { rows: 0, ..args.clone() }, "--rows 0"),
        (Args { numeric: 0, categories: vec![], ..args.clone() }, "0 fields"),
        (Args { numeric_size: 1001, ..args.clone() }, "--numeric-size is 1001"),
        (Args { categories: vec![4, 0], ..args.clone() }, "a field without features"),
        (Args { strength: f64::NAN, ..args.clone() }, "--strength is NaN"),
        (Args { click_rate: 1.0, ..args.clone() }, "--click-rate is 1"),
        (Args { drift: 2.5, ..args.clone() }, "--drift is 2.5"),
        (Args { turnover: -1.0, ..args.clone() }, "--turnover is -1"),
    ] {
        let error = run(&args).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!out.exists());
    }
}
