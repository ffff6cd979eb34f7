//! Every kind of field, value by value: the indices that the readers and the schema give in training, and those that a
//! packed file gives on a device.
//!
//! `XSFM_CASES` is the number of rows.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "common/smallest.rs"]
mod smallest;

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use smallest::{model_of, schema};
use xsfm_convert::inspect::inspect;
use xsfm_convert::vocabulary::{Options, attach};
use xsfm_interchange::bounds::Bounds;
use xsfm_interchange::bucket::bucket;
use xsfm_interchange::encoding::{Encoding, Hashing};
use xsfm_interchange::input::{ColumnName, Combine, Input, Keep, Numbers, Table, TableField, TableLabel};
use xsfm_interchange::quantiles::Histogram;
use xsfm_interchange::rows::RowBlock;
use xsfm_interchange::schema::FieldKind::{Bag, Categorical, Numeric};
use xsfm_interchange::schema::{Field, Schema, Weights};
use xsfm_readers::by_schema;
use xsfm_readers::encoder::RowEncoder;
use xsfm_readers::error::DataError;
use xsfm_readers::pass::{All, Reading, pass};
use xsfm_runtime::{Encoder, Model, Value, Weight};

/// Rows that are tried where nobody says.
const CASES: usize = 20_000;
/// Rows of one file.
const PART: usize = 20_000;
const QUANTILES: u32 = 50;
const SEPARATOR: &str = ", ";

type Rng = Xoshiro256PlusPlus;

/// A value as a file has it, and as programs may have it.
#[derive(Default)]
struct Given {
    text: String,
    integer: Option<i64>,
    real: Option<f64>,
    tokens: Option<Vec<String>>,
    weighted: Option<Vec<(String, Weight)>>,
}

impl Given {
    fn text(text: String) -> Self {
        Given { text, ..Given::default() }
    }
}

/// Known, unseen, empty, long and of any script; what a file can have: no zero byte, and no carriage return.
fn token(rng: &mut Rng, known: &[String]) -> String {
    match rng.random_range(0..8) {
        0..3 => known[rng.random_range(0..known.len())].clone(),
        3 => String::new(),
        4 => format!("{:x}", rng.random::<u32>()),
        5 => rng.random::<i64>().to_string(),
        length => {
            let letters = ['0', 'a', 'Z', ' ', '|', ',', '"', '\n', '\t', 'é', 'ß', '漢', '🎬', '\u{200d}'];
            let length = if length == 6 { rng.random_range(1..12) } else { rng.random_range(100..700) };
            (0..length).map(|_| letters[rng.random_range(0..letters.len())]).collect()
        }
    }
}

fn single(rng: &mut Rng, known: &[String]) -> Given {
    let text = token(rng, known);
    // Digits as they are written are an integer's.
    let integer = text.parse().ok().filter(|number: &i64| number.to_string() == text);
    Given { integer, ..Given::text(text) }
}

fn bag(rng: &mut Rng, known: &[String]) -> Given {
    let tokens: Vec<String> = (0..rng.random_range(0..6)).map(|_| token(rng, known).replace(SEPARATOR, "")).collect();
    let text = tokens.join(SEPARATOR);
    // A comma at a token's end, and a space at the next one's beginning, are a separator too.
    let is_split = text.split(SEPARATOR).eq(tokens.iter().map(String::as_str));
    Given { tokens: is_split.then_some(tokens), ..Given::text(text) }
}

/// With weights of every size, of which some are not written: these are 1.
fn weighted_bag(rng: &mut Rng, known: &[String]) -> Given {
    let (mut parts, mut weighted) = (Vec::new(), Vec::new());
    for _ in 0..rng.random_range(0..6) {
        let token = token(rng, known).replace(SEPARATOR, "").replace(':', "");
        let number = match rng.random_range(0..4) {
            0 => 1.0,
            1 => f64::from(rng.random_range(-4096..4096)) / 4096.0,
            _ => rng.random_range(-7.99..7.99_f64),
        };
        parts.push(match rng.random_range(0..3) {
            _ if number == 1.0 => token.clone(),
            0 => format!("{token}:{number:e}"),
            _ => format!("{token}:{number}"),
        });
        weighted.push((token, Weight::nearest(number).unwrap()));
    }
    let text = parts.join(SEPARATOR);
    let is_split = text.split(SEPARATOR).eq(parts.iter().map(String::as_str));
    Given { weighted: is_split.then_some(weighted), ..Given::text(text) }
}

/// Of every size and way to write it; near `bounds` above all.
fn number(rng: &mut Rng, bounds: &[f64]) -> Given {
    let bound = bounds[rng.random_range(0..bounds.len())];
    let real = match rng.random_range(0..13) {
        0 => return Given::default(),
        1 | 2 => {
            let integer = rng.random::<i64>() >> rng.random_range(0..64);
            return Given { integer: Some(integer), real: Some(integer as f64), ..Given::text(integer.to_string()) };
        }
        // More digits than an integer of 64 bits has.
        3 => {
            let text = format!("{}{:020}", rng.random_range(-99..99), rng.random::<u64>());
            return Given { real: text.parse().ok(), ..Given::text(text) };
        }
        4 => {
            let text = ["-0", "+7", ".5", "-.5", "5.", "1e3", "1E-3", "-0.0", "007", "1e-400", "0.30000000000000004"];
            let text = text[rng.random_range(0..text.len())].to_owned();
            return Given { real: text.parse().ok(), ..Given::text(text) };
        }
        5 => f64::from_bits(rng.random()),
        // Subnormal.
        6 => f64::from_bits(rng.random::<u64>() >> 12) * if rng.random_bool(0.5) { 1.0 } else { -1.0 },
        7 => bound,
        8 => bound.next_down(),
        9 => bound.next_up(),
        10 => [0.0, -0.0, f64::MAX, f64::MIN, f64::MIN_POSITIVE, 9_007_199_254_740_992.0][rng.random_range(0..6)],
        _ => rng.random_range(-30.0..120.0),
    };
    let real = if real.is_finite() { real } else { 0.5 };
    let text = if rng.random_bool(0.5) { format!("{real:?}") } else { format!("{real:e}") };
    Given { real: Some(real), ..Given::text(text) }
}

/// Tokens of all lengths and scripts, none twice.
fn vocabulary(rng: &mut Rng, count: usize) -> Vec<String> {
    let mut seen = HashSet::new();
    while seen.len() < count {
        let letters = ['0', '7', 'a', 'Z', ' ', 'é', '漢', '🎬'];
        let length = [1, 3, 8, 8, 17, 33, 300][rng.random_range(0..7)];
        seen.insert((0..length).map(|_| letters[rng.random_range(0..letters.len())]).collect::<String>());
    }
    let mut all: Vec<String> = seen.into_iter().collect();
    all.sort();
    all
}

/// A field of each kind; some buckets and tokens have no index of their own.
fn all_kinds(rng: &mut Rng) -> Schema {
    let names = vocabulary(rng, 5000);
    let mut histogram = Histogram::default();
    (0..3000).for_each(|_| histogram.add(rng.random_range(-5.0..90.0)));
    let written = vec![-1e300, -2.5, -f64::from_bits(1), 0.0, 0.1, 1.0, 2.0, 50.0, 9_007_199_254_740_992.0, 1e18];
    let interpolated = Bounds::new(written.clone()).unwrap();
    let (written, quantiles) = (Bounds::new(written).unwrap(), histogram.bounds(QUANTILES));
    let tokens = |bounds: &Bounds| {
        let tokens = (0..bounds.buckets()).rev().filter(|bucket| bucket % 7 != 5).map(|bucket| bounds.token(bucket));
        tokens.chain([String::new()]).collect::<Vec<_>>()
    };
    let mut logs: Vec<String> =
        (-3..4000_i64).filter_map(|n| bucket(&(n * n * n).to_string()).map(|token| token.into())).collect();
    logs.sort();
    logs.dedup();
    let hash = |buckets, seed| Encoding::Hash(Hashing { buckets, seed });
    let oov_buckets = |buckets, seed| Encoding::OovBuckets(Hashing { buckets, seed });
    let with = |name, kind, vocabulary, encoding| Field { encoding, ..Field::new(name, kind, vocabulary) };
    let column = |name, kind| TableField::new(name, kind);
    let last = |name| TableField {
        separator: Some(SEPARATOR.to_owned()),
        max_bag: Some(3),
        keep: Some(Keep::Last),
        ..column(name, Bag)
    };
    let fields = vec![
        (Field::new("token", Categorical, names.clone()), column("token", Categorical)),
        (Field::new("bag", Bag, names[..900].to_vec()), last("bag")),
        (Field::new("log", Numeric, logs), column("log", Numeric)),
        (
            with("bounds", Numeric, tokens(&written), Encoding::Bounds(written.clone())),
            TableField { bounds: Some(written), ..column("bounds", Numeric) },
        ),
        (
            with("quantiles", Numeric, tokens(&quantiles), Encoding::Bounds(quantiles)),
            TableField { quantiles: Some(QUANTILES), ..column("quantiles", Numeric) },
        ),
        (
            with("hashed", Categorical, Vec::new(), hash(1000, 0)),
            TableField { buckets: Some(1000), ..column("hashed", Categorical) },
        ),
        (
            with("hashed bag", Bag, Vec::new(), hash(77, u32::MAX)),
            TableField { buckets: Some(77), seed: Some(u32::MAX), ..last("hashed bag") },
        ),
        (
            with("oov buckets", Categorical, names[..400].to_vec(), oov_buckets(50, 9)),
            TableField { min_count: Some(2), buckets: Some(50), seed: Some(9), ..column("oov buckets", Categorical) },
        ),
        (
            with("oov buckets alone", Categorical, Vec::new(), oov_buckets(3, 0)),
            TableField { min_count: Some(9), buckets: Some(3), ..column("oov buckets alone", Categorical) },
        ),
        (
            Field {
                weights: Some(Weights::Mean),
                ..with("oov buckets of bags", Bag, names[..100].to_vec(), oov_buckets(7, 1))
            },
            TableField {
                min_count: Some(2),
                buckets: Some(7),
                seed: Some(1),
                combine: Some(Combine::Mean),
                ..last("oov buckets of bags")
            },
        ),
        (
            Field { weights: Some(Weights::Mean), ..Field::new("mean", Bag, names[..300].to_vec()) },
            TableField { combine: Some(Combine::Mean), ..last("mean") },
        ),
        (
            Field { weights: Some(Weights::Mean), ..with("hashed mean", Bag, Vec::new(), hash(30, 5)) },
            TableField { buckets: Some(30), seed: Some(5), combine: Some(Combine::Mean), ..last("hashed mean") },
        ),
        (
            Field { weights: Some(Weights::Given), ..Field::new("weighted", Bag, names[..200].to_vec()) },
            TableField { combine: Some(Combine::Weighted), ..last("weighted") },
        ),
        (
            with("value", Numeric, Vec::new(), Encoding::Value(histogram.scale())),
            TableField { numbers: Some(Numbers::Value), ..column("value", Numeric) },
        ),
        (
            with("interpolated", Numeric, Vec::new(), Encoding::Interpolated(interpolated.clone())),
            TableField {
                numbers: Some(Numbers::Interpolated),
                bounds: Some(interpolated),
                ..column("interpolated", Numeric)
            },
        ),
        (
            with("between quantiles", Numeric, Vec::new(), Encoding::Interpolated(histogram.places(QUANTILES))),
            TableField {
                numbers: Some(Numbers::Interpolated),
                quantiles: Some(QUANTILES),
                ..column("between quantiles", Numeric)
            },
        ),
    ];
    let (fields, columns) = fields.into_iter().unzip();
    let input = Input::Table(Box::new(Table {
        delimiter: ',',
        header: true,
        quoting: None,
        min_count: 1,
        time: None,
        weight: None,
        label: TableLabel { column: ColumnName::Name("click".to_owned()), at_least: None, equals: None },
        fields: columns,
    }));
    schema(fields, Some(input))
}

fn given(rng: &mut Rng, field: &Field, known: &[String]) -> Given {
    match (field.kind, &field.encoding) {
        (Categorical, _) => single(rng, known),
        (Bag, _) if field.weights == Some(Weights::Given) => weighted_bag(rng, known),
        (Bag, _) => bag(rng, known),
        (Numeric, Encoding::Bounds(bounds) | Encoding::Interpolated(bounds)) => number(rng, bounds.as_slice()),
        (Numeric, Encoding::Value(scale)) => {
            let [centre, width] = scale.numbers();
            let distance = if rng.random_bool(0.5) { 7.999_877_929_687_5 } else { 0.000_122_070_312_5 };
            number(rng, &[centre, centre + width, centre + distance * width, centre - distance * width])
        }
        (Numeric, _) => number(rng, &[-1.0, 0.0, 1.0, 2.0, 3.0, 5.0, 1e15, 1e300]),
    }
}

/// The indices of training: by the readers of files, and the schema.
fn of_file(path: &Path, schema: &Schema, rows: &[Vec<Given>]) -> RowBlock {
    let names = schema.fields.iter().map(|field| field.name.as_str()).collect::<Vec<_>>().join(",");
    let mut text = format!("{names}\n");
    for row in rows {
        let cells: Vec<String> = row.iter().map(|given| format!("\"{}\"", given.text.replace('"', "\"\""))).collect();
        writeln!(text, "{}", cells.join(",")).unwrap();
    }
    fs::write(path, text).unwrap();
    let source = by_schema::open(Path::new("schema.json"), schema, &[path.to_owned()], false).unwrap();
    let encoder = RowEncoder::new(schema, false);
    let mut all = encoder.block();
    let reading = Reading { strict: true, ..Reading::default() };
    let collect = |block: RowBlock| {
        (0..block.len()).for_each(|i| all.push_row_of(&block, i));
        Ok::<(), DataError>(())
    };
    pass(&*source, reading, "reading", All, |rows| encoder.rows(rows).0, collect).unwrap();
    all
}

/// The indices on a device, whichever way the value is given.
fn of_device(encoder: &Encoder<'_>, field: usize, given: &Given, expected: &[u32]) {
    let tokens: Option<Vec<&str>> = given.tokens.as_ref().map(|tokens| tokens.iter().map(String::as_str).collect());
    let weighted: Option<Vec<(&str, Weight)>> =
        given.weighted.as_ref().map(|tokens| tokens.iter().map(|(token, weight)| (token.as_str(), *weight)).collect());
    let values = [
        Some(Value::Text(&given.text)),
        given.text.is_empty().then_some(Value::Missing),
        given.integer.map(Value::Integer),
        given.real.map(Value::Real),
        tokens.as_deref().map(Value::Tokens),
        weighted.as_deref().map(Value::Weighted),
    ];
    for value in values.into_iter().flatten() {
        let mut room = [u32::MAX; 8];
        let count = encoder.encode_field(field, &value, &mut room).unwrap();
        assert_eq!(&room[..count], expected, "field {field}: {value:?}");
    }
}

#[test]
fn files_and_devices_have_the_same_indices_of_any_value() {
    let cases = std::env::var("XSFM_CASES").map_or(CASES, |cases| cases.parse().unwrap());
    let mut rng = Rng::seed_from_u64(17);
    let schema = all_kinds(&mut rng);
    let options = Options { fingerprint_bits: 24, renumber: false, keep_tokens: false };
    let packed = attach(&model_of(&schema), &schema, options).unwrap();
    let model = Model::from_bytes(&packed).unwrap();
    let encoder = model.encoder().unwrap().unwrap();
    let known = schema.fields[0].vocabulary.clone();
    let folder = tempfile::tempdir().unwrap();
    // By field: which indices there were.
    let mut seen = vec![HashSet::new(); schema.fields.len()];
    for first in (0..cases).step_by(PART) {
        let row = |rng: &mut Rng| schema.fields.iter().map(|field| given(rng, field, &known)).collect();
        let rows: Vec<Vec<Given>> = (first..cases.min(first + PART)).map(|_| row(&mut rng)).collect();
        let block = of_file(&folder.path().join("rows.csv"), &schema, &rows);
        assert_eq!(block.len(), rows.len());
        for (i, row) in rows.iter().enumerate() {
            for (f, given) in row.iter().enumerate() {
                let expected = block.row(i).field(f).unwrap().to_vec();
                of_device(&encoder, f, given, &expected);
                seen[f].extend(expected.into_iter().filter(|&word| Weight::of_word(word).is_none()));
            }
        }
    }
    // Unseen values and nearly all others: what was compared was not one index.
    for (field, seen) in schema.fields.iter().zip(&seen) {
        let few = cases < CASES || field.name == "log";
        let enough = if few { 1 } else { field.features() as usize / 2 };
        assert!(seen.len() >= enough && (few || seen.contains(&0)), "{}: {} indices", field.name, seen.len());
    }
}

#[test]
fn numbers_of_no_bucket_are_refused_everywhere() {
    let mut rng = Rng::seed_from_u64(1);
    let schema = all_kinds(&mut rng);
    let packed = attach(&model_of(&schema), &schema, Options::default()).unwrap();
    let model = Model::from_bytes(&packed).unwrap();
    let encoder = model.encoder().unwrap().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.csv");
    for (f, field) in schema.fields.iter().enumerate().filter(|(_, field)| field.kind == Numeric) {
        for text in ["NaN", "nan", "inf", "-inf", "-infinity", "1e999", "0x10", "1_000", "1,5", " 1", "1 ", "seven"] {
            let mut row = vec!["\"1\"".to_owned(); schema.fields.len()];
            row[f] = format!("\"{text}\"");
            let names = schema.fields.iter().map(|field| field.name.as_str()).collect::<Vec<_>>().join(",");
            fs::write(&path, format!("{names}\n{}\n", row.join(","))).unwrap();
            let paths = std::slice::from_ref(&path);
            let source = by_schema::open(Path::new("schema.json"), &schema, paths, false).unwrap();
            let rows = RowEncoder::new(&schema, false);
            let reading = Reading { strict: true, ..Reading::default() };
            let refused = pass(&*source, reading, "reading", All, |block| rows.rows(block).0.len(), |_| Ok(()));
            let refused: DataError = refused.unwrap_err();
            let told = refused.to_string();
            assert!(told.contains("rows.csv:2") && told.contains(&format!("{:?}", field.name)), "{told}");
            assert!(encoder.encode_field(f, &Value::Text(text), &mut [0]).is_err(), "{text}");
        }
        for real in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(encoder.encode_field(f, &Value::Real(real), &mut [0]).is_err(), "{real}");
        }
    }
}

#[test]
fn hashed_fields_take_no_bytes_for_tokens() {
    let mut rng = Rng::seed_from_u64(2);
    let schema = all_kinds(&mut rng);
    let packed = attach(&model_of(&schema), &schema, Options::default()).unwrap();
    let report = inspect(&Model::from_bytes(&packed).unwrap()).unwrap();
    let bytes: Vec<u64> = report.fields.iter().map(|field| field.vocabulary_bytes).collect();
    // The rules of a field are 64 bytes. A threshold is 12, for each bucket and each gap behind one.
    assert!(bytes[0] > 5000 && bytes[3] > 64 + 12 * 8 && bytes[4] > 64 + 12 * 40, "{bytes:?}");
    let at = |name: &str| report.fields.iter().position(|field| field.name == name).unwrap();
    let of = |name: &str| bytes[at(name)];
    for name in ["hashed", "hashed bag", "hashed mean", "oov buckets alone"] {
        assert_eq!(of(name), 64, "{name}");
    }
    // A centre and a width, or the bounds.
    assert_eq!([of("value"), of("interpolated")], [64 + 12 * 2, 64 + 12 * 10]);
    // The bytes of 400 tokens, whatever the buckets.
    assert!(of("oov buckets") > 64 + 400 && of("oov buckets") < of("bag"), "{bytes:?}");
    let features = |name: &str| report.fields[at(name)].features;
    assert_eq!(
        [features("oov buckets"), features("oov buckets alone"), features("oov buckets of bags")],
        [451, 4, 108]
    );
    assert_eq!([report.fields[5].features, report.fields[6].features], [1001, 78]);
}
