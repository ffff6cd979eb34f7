//! The schema's file, and tokens.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;

use tempfile::TempDir;
use xsfm_interchange::bucket::bucket;
use xsfm_interchange::schema::{Field, FieldKind, Schema};

fn schema(names: &[&str], vocabulary: &[&str]) -> Schema {
    let vocabulary: Vec<String> = vocabulary.iter().map(|&t| t.to_owned()).collect();
    let field =
        |&name: &&str| Field { name: name.to_owned(), kind: FieldKind::Categorical, vocabulary: vocabulary.clone() };
    Schema {
        version: Schema::VERSION,
        input: None,
        label: "click".to_owned(),
        fields: names.iter().map(field).collect(),
    }
}

#[test]
fn what_is_saved_is_loaded() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("new/schema.json");
    let saved = schema(&["a", "b"], &["x", "", "ü\t\"|"]);
    saved.save(&path).unwrap();
    assert_eq!(Schema::load(&path).unwrap(), saved);
    assert_eq!(saved.fields[0].features(), 4);
}

#[test]
fn contradictions_are_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("schema.json");
    let mut old = schema(&["a"], &[]);
    old.version = 0;
    let cases = [
        (schema(&[], &[]), "without fields"),
        (schema(&["a", "a"], &[]), "two fields are named \"a\""),
        (schema(&["a"], &["x", "x"]), "token \"x\" twice"),
        (old, "version 0, 1 expected"),
    ];
    for (schema, expected) in cases {
        let error = schema.save(&path).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!path.exists());
        fs::write(&path, serde_json::to_vec(&schema).unwrap()).unwrap();
        let error = Schema::load(&path).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("schema.json"), "{error}");
        fs::remove_file(&path).unwrap();
    }
    assert!(Schema::load(&path).unwrap_err().to_string().contains("schema.json"));
    fs::write(&path, "{\"version\": 1,").unwrap();
    assert!(Schema::load(&path).unwrap_err().to_string().contains("not a schema"));
}

#[test]
fn tokens_have_indices_from_one() {
    let schema = schema(&["a"], &["x", "", "y"]);
    let encoder = schema.fields[0].encoder();
    assert_eq!(["x", "", "y", "z"].map(|t| encoder.index_of(t)), [1, 2, 3, 0]);
}

#[test]
fn numbers_have_criteo_buckets() {
    // Criteo: v > 2 -> floor(ln(v)^2): ln(3)^2 = 1.207, ln(1382)^2 = 52.28.
    let cases = [
        ("", Some("")),
        ("-2", Some("-2")),
        ("-0", Some("0")),
        ("1", Some("1")),
        ("1.5", Some("1")),
        ("2", Some("2")),
        ("3", Some("b1")),
        ("1382", Some("b52")),
        ("x", None),
        ("NaN", None),
        ("inf", None),
        (" 1", None),
    ];
    for (value, token) in cases {
        assert_eq!(bucket(value).as_deref(), token, "{value:?}");
    }
}
