//! The inputs of `../shared/troubles`, which are no part of the project, with what is right for each.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::Folder;

/// The inputs in a folder; `None`, said aloud, where they are absent.
fn made() -> Option<Folder> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/troubles/make.py");
    let folder = Folder::new();
    let made = script.exists().then(|| Command::new("python3").arg(&script).arg(folder.path("")).status());
    match made {
        Some(Ok(status)) => assert!(status.success(), "{}", script.display()),
        Some(Err(error)) => {
            eprintln!("NOT TESTED: python3, which makes the inputs: {error}");
            return None;
        }
        None => {
            eprintln!("NOT TESTED: {} is absent", script.display());
            return None;
        }
    }
    Some(folder)
}

#[test]
fn quotes() {
    let Some(folder) = made() else { return };
    let said = folder.prepare("csv --schema base.toml --input quotes/open.csv --out out");
    assert_eq!((said.rows(), said.malformed()), (999, 1));
    assert!(said.examples()[0].starts_with("quotes/open.csv:202: "), "{:?}", said.examples());
    let said = folder.prepare("csv --schema base.toml --input quotes/two.csv --out out");
    assert_eq!((said.rows(), said.malformed()), (998, 2));
    for (example, line) in said.examples().iter().zip([302, 312]) {
        assert!(example.starts_with(&format!("quotes/two.csv:{line}: ")), "{example}");
    }
    assert!(folder.fails("csv --schema base.toml --input quotes/two.csv --strict").contains("quotes/two.csv:302: "));
    assert!(folder.fails("csv --schema base.toml --input quotes/tiny.csv --strict").contains("quotes/tiny.csv:2: "));
    let said =
        folder.prepare("csv --schema base.toml --input quotes/tiny.csv --out out --shares 100:0:0 --max-bad 0.5");
    assert_eq!((said.rows(), said.malformed()), (3, 2));
    assert!(
        said.examples()[0].starts_with("quotes/tiny.csv:2: ") && said.examples()[1].starts_with("quotes/tiny.csv:5: ")
    );
    let said = folder.prepare("csv --schema base.toml --input quotes/legal.csv --out out");
    assert_eq!((said.rows(), said.malformed()), (1000, 0));
}

#[test]
fn encodings() {
    let Some(folder) = made() else { return };
    folder.prepare("csv --schema base.toml --input base.csv --out base");
    folder.prepare("csv --schema base.toml --input encoding/bom.csv --out out");
    assert_eq!(folder.outputs("out"), folder.outputs("base"));
    for (name, expected) in [
        ("utf16.csv", "UTF-16"),
        ("base.zip", "zip"),
        ("base.csv.bz2", "bzip2"),
        ("base.csv.xz", "xz"),
        ("semicolons.csv", "with delimiter = \";\""),
    ] {
        let error = folder.fails(&format!("csv --schema base.toml --input encoding/{name}"));
        assert!(error.contains(name) && error.contains(expected), "{error}");
    }
    // The row with one value more, and its line among the empty ones.
    let said = folder.prepare("csv --schema base.toml --input encoding/blank_lines.csv --out out");
    let text = fs::read_to_string(folder.path("encoding/blank_lines.csv")).unwrap();
    let line = 1 + text.lines().position(|line| line.split(',').count() == 6).unwrap();
    assert_eq!((said.rows(), said.malformed()), (999, 1));
    assert!(said.examples()[0].starts_with(&format!("encoding/blank_lines.csv:{line}: 6 columns, 5 expected")));
}

#[test]
fn labels_and_numbers() {
    let Some(folder) = made() else { return };
    folder.prepare("csv --schema base.toml --input base.csv --out base");
    for name in ["float", "bool"] {
        folder.prepare(&format!("csv --schema base.toml --input labels/{name}.csv --out out"));
        assert_eq!(folder.outputs("out"), folder.outputs("base"), "{name}");
    }
    let said = folder.prepare("csv --schema labels/equals.toml --input labels/missing.csv --out out --max-bad 0.5");
    assert_eq!((said.rows(), said.malformed()), (666, 334));
    assert!(
        said.examples()[0].contains("labels/missing.csv:2: field \"label\": an empty label"),
        "{:?}",
        said.examples()
    );
    assert!(
        folder
            .fails("csv --schema labels/equals.toml --input labels/missing.csv")
            .contains("334 of 1000 rows are malformed")
    );
    let error = folder.fails("csv --schema labels/equals.toml --input labels/float.csv");
    assert!(error.contains("no label is 1") && error.contains("\"0.0\" (") && error.contains("\"1.0\" ("), "{error}");
    let said = folder.prepare("csv --schema base.toml --input numbers/fractions.csv --out out");
    assert!(said.warnings()[0].contains("field \"views\": its values differ"), "{:?}", said.warnings());
}

#[test]
fn times() {
    let Some(folder) = made() else { return };
    let said = folder.prepare("csv --schema times/time.toml --input times/iso.csv --out out --split chronological");
    assert_eq!(said.malformed(), 0, "{:?}", said.examples());
    // There are two times: rows of label 0 at 09:00:00.25 in UTC, and those of label 1 a day later.
    let part = |part: &str| ["rows", "positives"].map(|what| said.report[part][what].as_u64().unwrap());
    assert_eq!([part("train"), part("valid"), part("test")], [[589, 0], [0, 0], [411, 411]]);
    let error = folder.fails("csv --schema times/time.toml --input times/one.csv --split chronological");
    assert!(error.contains("times/one.csv: all 1000 rows have one time, 1700000000"), "{error}");
}
