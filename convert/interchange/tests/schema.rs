//! The schema's file, and tokens.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::HashSet;
use std::fs;

use tempfile::TempDir;
use xsfm_interchange::bounds::Bounds;
use xsfm_interchange::bucket::bucket;
use xsfm_interchange::encoding::{Encoding, Hashing};
use xsfm_interchange::fingerprint::Vocabulary;
use xsfm_interchange::scale::Scale;
use xsfm_interchange::schema::{Field, FieldKind, Schema};

fn schema(names: &[&str], vocabulary: &[&str]) -> Schema {
    let vocabulary: Vec<String> = vocabulary.iter().map(|&t| t.to_owned()).collect();
    let field = |&name: &&str| Field::new(name, FieldKind::Categorical, vocabulary.clone());
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

fn with(kind: FieldKind, encoding: Encoding, vocabulary: &[&str]) -> Schema {
    let vocabulary = vocabulary.iter().map(|&token| token.to_owned()).collect();
    let mut of_one = schema(&[], &[]);
    of_one.fields.push(Field { encoding, ..Field::new("f", kind, vocabulary) });
    of_one
}

fn bounds(bounds: &[f64]) -> Encoding {
    Encoding::Bounds(Bounds::new(bounds.to_vec()).unwrap())
}

fn hash(buckets: u32, seed: u32) -> Encoding {
    Encoding::Hash(Hashing { buckets, seed })
}

fn oov_buckets(buckets: u32, seed: u32) -> Encoding {
    Encoding::OovBuckets(Hashing { buckets, seed })
}

fn interpolated(bounds: &[f64]) -> Encoding {
    Encoding::Interpolated(Bounds::new(bounds.to_vec()).unwrap())
}

fn value(scale: [f64; 2]) -> Encoding {
    Encoding::Value(Scale::new(scale).unwrap())
}

#[test]
fn fingerprints_count_bounds_hashes_and_scales() {
    use FieldKind::{Bag, Categorical, Numeric};
    let all = [
        with(Categorical, Encoding::Tokens, &[]),
        with(Categorical, hash(10, 0), &[]),
        with(Categorical, hash(11, 0), &[]),
        with(Categorical, hash(10, 1), &[]),
        with(Bag, hash(10, 0), &[]),
        with(Numeric, Encoding::Tokens, &["1"]),
        with(Numeric, bounds(&[1.0]), &["1.0"]),
        with(Numeric, bounds(&[1.0, 2.0]), &["1.0"]),
        with(Numeric, bounds(&[1.0, 2.0_f64.next_up()]), &["1.0"]),
        with(Numeric, bounds(&[1.0, 2.0]), &["2.0"]),
        with(Numeric, bounds(&[1.0, 2.0]), &["", "1.0"]),
        with(Numeric, interpolated(&[1.0, 2.0]), &[]),
        with(Numeric, interpolated(&[1.0, 2.5]), &[]),
        with(Numeric, value([1.0, 2.0]), &[]),
        with(Numeric, value([0.0, 2.0]), &[]),
        with(Numeric, value([1.0, 3.0]), &[]),
        with(Categorical, oov_buckets(10, 0), &[]),
        with(Categorical, oov_buckets(10, 1), &[]),
        with(Categorical, oov_buckets(10, 0), &["x"]),
    ];
    let fingerprints: HashSet<String> = all.iter().map(|schema| Vocabulary::of(schema).to_string()).collect();
    assert_eq!(fingerprints.len(), all.len());
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("schema.json");
    for (n, one) in all.iter().enumerate() {
        one.save(&path).unwrap();
        assert_eq!(Schema::load(&path).unwrap(), *one);
        for (m, other) in all.iter().enumerate() {
            assert_eq!(one.difference(other, "a", "b").is_none(), n == m, "{n} {m}");
        }
    }
    let told = |n: usize, m: usize| all[n].difference(&all[m], "a", "b").unwrap();
    assert_eq!(
        told(1, 3),
        "field \"f\" is hashed to 10 buckets with seed 0 in a, hashed to 10 buckets with seed 1 in b"
    );
    assert_eq!(told(6, 7), "field \"f\": bound 1 is none in a, 2.0 in b");
    assert_eq!(told(7, 13), "field \"f\" is by the bounds 1.0, 2.0 in a, by value, of centre 1.0 and width 2.0 in b");
    assert_eq!(all[11..15].iter().map(|schema| schema.fields[0].features()).collect::<Vec<_>>(), [3, 3, 2, 2]);
    assert_eq!(told(7, 8), "field \"f\": bound 1 is 2.0 in a, 2.0000000000000004 in b");
}

#[test]
fn encodings_that_contradict_their_field_are_refused() {
    use FieldKind::{Categorical, Numeric};
    let folder = TempDir::new().unwrap();
    for (schema, words) in [
        (with(Categorical, bounds(&[1.0]), &[]), "\"f\" has bounds, but no numbers"),
        (with(Numeric, hash(5, 0), &[]), "\"f\" is hashed, but a number has no token"),
        (with(Categorical, hash(0, 0), &[]), "\"f\" has 0 buckets"),
        (with(Categorical, hash(u32::MAX, 0), &[]), "\"f\" has 4294967295 buckets"),
        (with(Categorical, hash(5, 0), &["x"]), "\"f\" is hashed, but has 1 tokens"),
        (with(Numeric, oov_buckets(5, 0), &[]), "\"f\" is hashed, but a number has no token"),
        (with(Categorical, oov_buckets(0, 0), &["x"]), "\"f\" has 0 buckets"),
        (with(Categorical, oov_buckets(u32::MAX - 1, 0), &["x"]), "\"f\" has 4294967294 buckets"),
        (with(Categorical, value([0.0, 1.0]), &[]), "\"f\" has weights of numbers, but no numbers"),
        (with(Categorical, interpolated(&[1.0]), &[]), "\"f\" has weights of numbers, but no numbers"),
        (with(Numeric, interpolated(&[1.0]), &["1.0"]), "\"f\" has weights of numbers, but 1 tokens"),
        (with(Numeric, interpolated(&[]), &[]), "\"f\" has no bounds"),
        (with(Numeric, bounds(&[1.0]), &["2.0"]), "\"f\" has the token \"2.0\", which no bucket has"),
    ] {
        let error = schema.save(&folder.path().join("schema.json")).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    for (numbers, words) in [
        ([0.0, 0.0], "centre 0 and width 0"),
        ([0.0, -1.0], "width -1"),
        ([f64::NAN, 1.0], "centre NaN"),
        ([0.0, f64::INFINITY], "width inf"),
    ] {
        assert!(Scale::new(numbers).is_err_and(|error| error.contains(words)), "{numbers:?}");
    }
}
