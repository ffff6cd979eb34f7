//! `xsfm-train describe`: what it writes is a description by which the rows can be prepared, and says what it saw.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "common/program.rs"]
mod program;
#[path = "common/raw.rs"]
#[allow(dead_code, reason = "each test file uses a part")]
mod raw;

use std::fmt::Write;
use std::fs;
use std::path::Path;

use program::{fail, succeed};
use tempfile::TempDir;
use xsfm_interchange::dataset::Dataset;
use xsfm_interchange::input::{ColumnName, Input, Table};
use xsfm_interchange::schema::FieldKind::{Bag, Categorical, Numeric};

/// A click log: names, a time, counts, a bag; what names rows, is constant, or tells the label.
fn log(delimiter: char, header: bool) -> String {
    let d = delimiter;
    let mut text = if header {
        ["id", "click", "user", "when", "price", "hour", "genres", "country", "clicked"].join(&d.to_string()) + "\n"
    } else {
        String::new()
    };
    for i in 0..3000_u32 {
        let (click, user) = (u32::from(i % 7 == 0), i * i % 211);
        let genres: Vec<String> = (0..1 + i % 3).map(|g| format!("g{}", (i * 5 + g) % 8)).collect();
        let price = if i % 9 == 0 { String::new() } else { format!("{}", i * 31 % 977) };
        let (when, clicked) = (format!("2026-03-{:02}T10:00:00", 1 + i % 28), if click == 1 { "yes" } else { "no" });
        let genres = genres.join("/");
        writeln!(text, "{i:08x}{d}{click}{d}\"u {user}\"{d}{when}{d}{price}{d}{}{d}{genres}{d}de{d}{clicked}", i % 24)
            .unwrap();
    }
    text
}

/// Name and kind of each field that was described, and the bags' separators.
fn described(folder: &Path, schema: &str) -> (Table, Vec<(String, xsfm_interchange::schema::FieldKind)>) {
    succeed(folder, &format!("prepare csv --input rows --schema {schema} --out data"));
    let data = Dataset::open(&folder.join("data")).unwrap();
    let Some(Input::Table(table)) = data.schema().input.clone() else { panic!("no table") };
    (*table, data.schema().fields.iter().map(|field| (field.name.clone(), field.kind)).collect())
}

#[test]
fn a_click_log_is_described_so_that_it_can_be_prepared() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    for delimiter in [',', ';', '|'] {
        fs::write(folder.join("rows"), log(delimiter, true)).unwrap();
        succeed(folder, "describe rows --label click --out schema.toml");
        let text = fs::read_to_string(folder.join("schema.toml")).unwrap();
        let (table, fields) = described(folder, "schema.toml");
        let expected = [("user", Categorical), ("price", Numeric), ("hour", Categorical), ("genres", Bag)];
        assert_eq!(fields, expected.map(|(name, kind)| (name.to_owned(), kind)), "{text}");
        assert_eq!((table.delimiter, table.header, table.fields[3].separator.as_deref()), (delimiter, true, Some("/")));
        assert!(text.contains("time = \"when\""), "{text}");
        for (column, why) in [("id", "a value of its own"), ("country", "constant"), ("clicked", "the label's twin")] {
            let at = text.find(&format!("# name = \"{column}\"")).unwrap();
            let before: Vec<&str> = text[..at].lines().rev().take(2).collect();
            assert!(before.iter().any(|line| line.contains(why)), "{column}: {text}");
        }
        assert!(text.contains("11.1 % empty") && text.contains("211") == text.contains("211 different"), "{text}");
    }
    assert_eq!(succeed(folder, "describe rows --label click"), fs::read_to_string(folder.join("schema.toml")).unwrap());
}

#[test]
fn json_lines_are_described_by_their_keys() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let csv = log(',', true);
    let mut lines = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let names = lines.next().unwrap();
    let mut text = String::new();
    for values in lines {
        let value = |(name, value): (&&str, &&str)| match *name {
            "genres" => format!("{name:?}: {:?}", value.split('/').collect::<Vec<_>>()),
            "price" if value.is_empty() => format!("{name:?}: null"),
            "click" | "price" | "hour" => format!("{name:?}: {value}"),
            _ => format!("{name:?}: {:?}", value.trim_matches('"')),
        };
        writeln!(text, "{{{}}}", names.iter().zip(&values).map(value).collect::<Vec<_>>().join(", ")).unwrap();
    }
    fs::write(folder.join("rows"), text + "{\"click\": 1}\nnothing\n").unwrap();
    succeed(folder, "describe rows --label click --out schema.toml");
    let text = fs::read_to_string(folder.join("schema.toml")).unwrap();
    assert!(text.contains("3000 rows were looked at, 2 malformed") && !text.contains("delimiter"), "{text}");
    succeed(folder, "prepare json --input rows --schema schema.toml --out data");
    let data = Dataset::open(&folder.join("data")).unwrap();
    let fields: Vec<_> = data.schema().fields.iter().map(|field| (field.name.as_str(), field.kind)).collect();
    assert_eq!(fields, [("user", Categorical), ("price", Numeric), ("hour", Categorical), ("genres", Bag)], "{text}");
    fail(folder, "describe rows --label clock", &["no column \"clock\"", "genres"]);
}

#[test]
fn files_without_a_header_and_gzip_are_described_by_places() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    fs::write(folder.join("rows"), raw::gzip(log(',', false).as_bytes())).unwrap();
    succeed(folder, "describe rows --label 1 --out schema.toml");
    let (table, fields) = described(folder, "schema.toml");
    assert!(!table.header && fields.len() == 4 && fields[0].0 == "column_2", "{fields:?}");
    fail(folder, "describe rows --label 9", &["rows", "\"9\"", "in 9"]);
    fail(folder, "describe rows --label click", &["\"click\"", "without a header"]);
    fail(folder, "describe nothing --label click", &["nothing"]);
    fs::write(folder.join("prose"), "Once upon a time\nthere was a file without columns.\n").unwrap();
    fail(folder, "describe prose --label click", &["not a table"]);
    fs::write(folder.join("empty"), "").unwrap();
    fail(folder, "describe empty --label click", &["empty"]);
    fs::write(folder.join("header"), "click,user\n").unwrap();
    fail(folder, "describe header --label click", &["no rows"]);
}

#[test]
fn integers_that_name_things_are_categories_and_amounts_are_numbers() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let columns = [
        ("user", "the column's name", Categorical),
        ("movieId", "the column's name", Categorical),
        ("C3", "nearly every integer", Categorical),
        ("C4", "", Numeric),
        ("age", "", Numeric),
        ("price", "", Numeric),
        ("views", "", Numeric),
        ("score", "Real numbers, not counts", Numeric),
    ];
    let mut text = format!("click,{}\n", columns.map(|(name, ..)| name).join(","));
    for i in 0..8000_u32 {
        // Neighbours are not alike.
        let draw = |n: u32, of: u32| (i.wrapping_mul(2_654_435_761).rotate_left(n) >> 4) % of;
        let (user, film, c3, c4) = (draw(1, 3000), 1_000_000 + 7 * draw(3, 900), draw(5, 400), 97 * draw(7, 400));
        let (age, price, views) = (18 + draw(9, 62), draw(11, 500), draw(13, 200) * draw(15, 200));
        let score = f64::from(draw(17, 1 << 20)) / 1024.0 - 300.0;
        writeln!(text, "{},{user},{film},{c3},{c4},{age},{price},{views},{score:?}", u32::from(i % 7 == 0)).unwrap();
    }
    fs::write(folder.join("rows"), text).unwrap();
    succeed(folder, "describe rows --label click --out schema.toml");
    let text = fs::read_to_string(folder.join("schema.toml")).unwrap();
    let (table, fields) = described(folder, "schema.toml");
    let quantiles: Vec<Option<u32>> = table.fields.iter().map(|field| field.quantiles).collect();
    assert_eq!(quantiles, [[None; 7].as_slice(), &[Some(32)]].concat());
    assert_eq!(fields, columns.map(|(name, _, kind)| (name.to_owned(), kind)), "{text}");
    for (name, why, _) in columns {
        let at = text.find(&format!("name = \"{name}\"")).unwrap();
        let before: Vec<&str> = text[..at].lines().rev().take_while(|line| !line.is_empty()).collect();
        let expected = if why.is_empty() { 2 } else { 3 };
        assert!(before.len() == expected && before.concat().contains(why), "{name}: {text}");
    }
}

#[test]
fn a_column_named_label_that_is_not_the_label_gets_another_name() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    for taken in ["country", "label_column"] {
        let mut text = format!("click,label,{taken}\n");
        (0..500).for_each(|i: u32| writeln!(text, "{},l{},c{}", i % 2, i % 37, i * 3 % 41).unwrap());
        fs::write(folder.join("rows"), text).unwrap();
        succeed(folder, "describe rows --label click --out schema.toml");
        let (table, fields) = described(folder, "schema.toml");
        let name = if taken == "country" { "label_column" } else { "label_column_" };
        assert_eq!(fields, [(name.to_owned(), Categorical), (taken.to_owned(), Categorical)]);
        assert_eq!(table.fields[0].column, Some(ColumnName::Name("label".to_owned())));
    }
}

#[test]
fn labels_that_are_not_zero_and_one_get_a_rule() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let rows = |label: &dyn Fn(u32) -> String| {
        let mut text = "stars,user,film\n".to_owned();
        (0..500).for_each(|i: u32| writeln!(text, "{},u{},f{}", label(i), i % 37, i * 3 % 41).unwrap());
        fs::write(folder.join("rows"), text).unwrap();
        succeed(folder, "describe rows --label stars --out schema.toml");
        described(folder, "schema.toml").0.label
    };
    let label = rows(&|i| (1 + i % 5).to_string());
    assert_eq!((label.at_least, label.equals), (Some(3.0), None));
    let label = rows(&|i| if i % 4 == 0 { "liked \u{e9}t\u{e9}" } else { "passed" }.to_owned());
    assert_eq!((label.at_least, label.equals.as_deref()), (None, Some("liked \u{e9}t\u{e9}")));
}
