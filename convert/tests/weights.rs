//! Raw values of fields whose indices have weights, by a packed file.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "common/smallest.rs"]
mod smallest;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use smallest::{model_of, schema};
use xsfm_convert::generate::{Language, generate};
use xsfm_convert::pack::Packed;
use xsfm_convert::vocabulary::{Options, attach};
use xsfm_interchange::bounds::Bounds;
use xsfm_interchange::encoding::Encoding;
use xsfm_interchange::scale::Scale;
use xsfm_interchange::schema::{Field, FieldKind, Weights};
use xsfm_runtime::format::SectionKind;
use xsfm_runtime::format::vocabulary::EncoderRecord;
use xsfm_runtime::{EncodeError, LoadError, Model, Scorer, ScratchBlock, SmallEncoder, Value, Weight};

fn field(name: &str, kind: FieldKind, vocabulary: Vec<String>) -> Field {
    Field::new(name, kind, vocabulary)
}

fn with(fingerprint_bits: u8) -> Options {
    Options { fingerprint_bits, ..Options::default() }
}

/// A mean has 1 / n for each of n tokens, cut ones not counted; one without tokens its unknown row alone.
#[test]
fn bags_with_the_weights_of_a_mean() {
    let tokens = |prefix: &str| (0..5).map(|n| format!("{prefix}{n}")).collect::<Vec<_>>();
    let mean = Field { weights: Some(Weights::Mean), ..field("mean", FieldKind::Bag, tokens("m")) };
    let fields = vec![field("user", FieldKind::Categorical, tokens("u")), mean];
    let schema = schema(fields, None);
    let base = model_of(&schema);
    // What is packed is looked up: with numbers anew too.
    attach(&base, &schema, Options { renumber: true, ..with(24) }).unwrap();
    let packed = attach(&base, &schema, Options { keep_tokens: true, ..with(24) }).unwrap();
    let model = Model::from_bytes(&packed).unwrap();
    let encoder = model.encoder().unwrap().unwrap();
    assert_eq!((encoder.max_indices(), encoder.token(1, 5)), (1 + 2 * 1024, Some("m4")));
    let (mut indices, mut offsets) = ([9; 9], [9; 3]);
    for (value, expected) in [
        (Value::Text("m0|m4|x"), vec![1, 5, 0]),
        (Value::Tokens(&["m3"]), vec![4]),
        (Value::Missing, vec![0]),
        (Value::Text("m0|m1|m2|m3"), vec![1, 2, 3, 4]),
    ] {
        let row = encoder.encode(&[Value::Text("u1"), value], &mut indices, &mut offsets).unwrap();
        let weight = Weight::nearest(1.0 / expected.len() as f64).unwrap().word();
        let words: Vec<u32> = expected.iter().flat_map(|&index| [index, weight]).collect();
        assert_eq!((row.field(0), row.field(1)), (Some(&[2][..]), Some(&words[..])), "{value:?}");
        let mut scratch = vec![ScratchBlock::ZERO; model.scratch_blocks()];
        Scorer::new(&model, &mut scratch).unwrap().score(row).unwrap();
    }
    let long = [Value::Text("u1"), Value::Text("m0|m1|m2|m3|m4")];
    let error = encoder.encode(&long, &mut indices, &mut offsets).unwrap_err();
    assert_eq!(error, EncodeError::Room { needed: 11, found: 9 });
    // Whose weights nobody gives; and a small program has no code for them.
    let weighted = Value::Weighted(&[("m0", Weight::ONE), ("m1", Weight::ZERO)]);
    let error = encoder.encode_field(1, &weighted, &mut [0; 8]);
    assert_eq!((error, error.unwrap_err().field()), (Err(EncodeError::Weight { field: 1 }), Some(1)));
    let refused = SmallEncoder::from_bytes(&packed).unwrap_err();
    assert!(matches!(refused, LoadError::Value { at: 1, found: 1, .. }), "{refused}");
}

/// A bag whose data say a weight for each token, whichever way they are given.
#[test]
fn bags_with_weights_of_their_own() {
    let tokens = (0..5).map(|n| format!("t{n}")).collect();
    let given = Field { weights: Some(Weights::Given), ..field("tags", FieldKind::Bag, tokens) };
    let schema = schema(vec![given, field("user", FieldKind::Bag, vec!["u".to_owned()])], None);
    let packed = attach(&model_of(&schema), &schema, with(24)).unwrap();
    let model = Model::from_bytes(&packed).unwrap();
    let encoder = model.encoder().unwrap().unwrap();
    let is_weighted = |f| (encoder.is_weighted(f), encoder.takes_weights(f));
    assert_eq!((is_weighted(0), is_weighted(1), encoder.max_indices()), ((true, true), (false, false), 3 * 1024));
    let [half, less, one] = [0.5, -1.25, 1.0].map(|number| Weight::nearest(number).unwrap());
    let words = |entries: &[(u32, Weight)]| entries.iter().flat_map(|(i, w)| [*i, w.word()]).collect::<Vec<_>>();
    for (value, expected) in [
        (Value::Weighted(&[("t0", half), ("", less), ("x", less), ("t4", one)]), vec![(1, half), (0, less), (5, one)]),
        (Value::Text("t0:0.5|:3|x:-1.25|t4"), vec![(1, half), (0, less), (5, one)]),
        (Value::Bytes(b"t2:1e0"), vec![(3, one)]),
        (Value::Tokens(&["t1", "t3"]), vec![(2, one), (4, one)]),
        (Value::Missing, vec![(0, Weight::ZERO)]),
        (Value::Weighted(&[]), vec![(0, Weight::ZERO)]),
    ] {
        let mut room = [9; 8];
        let found = encoder.encode_field(0, &value, &mut room).unwrap();
        assert_eq!(&room[..found], words(&expected), "{value:?}");
    }
    for text in ["t0:", "t0:x", "t0:8", "t0:nan", "t0:0.5|t1:-8"] {
        let error = encoder.encode_field(0, &Value::Text(text), &mut [0; 8]);
        assert_eq!(error, Err(EncodeError::Weight { field: 0 }), "{text}");
    }
    let weighted = Value::Weighted(&[("u", one)]);
    assert_eq!(encoder.encode_field(1, &weighted, &mut [0; 8]), Err(EncodeError::Weight { field: 1 }));
    assert_eq!(encoder.encode_field(0, &Value::Real(0.5), &mut [0; 8]), Err(EncodeError::Number { field: 0 }));
    let short = encoder.encode_field(0, &Value::Text("t0|t1"), &mut [0; 3]);
    assert_eq!(short, Err(EncodeError::Room { needed: 4, found: 3 }));
    for (language, line) in [
        (Language::Rust, "pub const WEIGHTED: [bool; NUM_FIELDS] = [true, false];"),
        (Language::C, "#define M_FIELD_TAGS 0u /* 6 features, a bag with weights */"),
    ] {
        let sources = generate(&packed, &model, "m", language, &[], None).unwrap();
        assert!(str::from_utf8(&sources[0].bytes).unwrap().lines().any(|found| found == line), "{line}");
    }
}

/// Numbers that are weights: what stands in the file, and what each damage of it does.
#[test]
fn numbers_with_weights_of_their_own() {
    let bounds = Bounds::new(vec![-2.0, 0.0, 8.0]).unwrap();
    let number = |name, encoding| Field { encoding, ..field(name, FieldKind::Numeric, Vec::new()) };
    let fields = vec![
        number("value", Encoding::Value(Scale::new([10.0, 4.0]).unwrap())),
        number("between", Encoding::Interpolated(bounds)),
        field("user", FieldKind::Categorical, vec!["ann".to_owned()]),
    ];
    let schema = schema(fields, None);
    let packed = attach(&model_of(&schema), &schema, Options { keep_tokens: true, ..with(10) }).unwrap();
    let model = Model::from_bytes(&packed).unwrap();
    let encoder = model.encoder().unwrap().unwrap();
    let features: Vec<_> = model.fields().map(|field| (field.features, field.bag, field.weighted)).collect();
    assert_eq!(features, [(2, true, true), (4, true, true), (2, false, false)]);
    let told = |f| (encoder.is_number(f), encoder.is_bag(f), encoder.is_weighted(f), encoder.has_unseen(f));
    assert_eq!((told(0), told(2)), ((true, false, true, false), (false, false, false, true)));
    assert_eq!((encoder.max_indices(), encoder.max_offsets(), encoder.token(1, 2)), (2 + 4 + 1, 4, None));
    let words = |entries: &[(u32, f64)]| -> Vec<u32> {
        entries.iter().flat_map(|&(index, weight)| [index, Weight::nearest(weight).unwrap().word()]).collect()
    };
    for (f, value, expected) in [
        (0, Value::Integer(12), &[(1, 0.5)][..]),
        (0, Value::Real(10.0), &[(1, 0.0)]),
        (0, Value::Text("-1e9"), &[(1, -7.9998)]),
        (0, Value::Bytes(b"1e9"), &[(1, 7.9998)]),
        (0, Value::Missing, &[(0, 1.0)]),
        (0, Value::Text(""), &[(0, 1.0)]),
        (1, Value::Integer(6), &[(2, 0.25), (3, 0.75)]),
        (1, Value::Real(-1.0), &[(1, 0.5), (2, 0.5)]),
        (1, Value::Text("-0"), &[(2, 1.0)]),
        (1, Value::Integer(i64::MIN), &[(1, 1.0)]),
        (1, Value::Integer(i64::MAX), &[(3, 1.0)]),
        (1, Value::Missing, &[(0, 1.0)]),
    ] {
        let mut room = [9; 4];
        let found = encoder.encode_field(f, &value, &mut room).unwrap();
        assert_eq!(&room[..found], words(expected), "{value:?}");
    }
    let refused = |f, value: &Value<'_>, room: usize| encoder.encode_field(f, value, &mut vec![0; room]).unwrap_err();
    let (field, many) = (1, [("a", Weight::ONE)]);
    assert_eq!(refused(field, &Value::Real(f64::NAN), 4), EncodeError::Number { field });
    assert_eq!(refused(field, &Value::Text("six"), 4), EncodeError::Number { field });
    assert_eq!(refused(field, &Value::Tokens(&["6"]), 4), EncodeError::Several { field });
    assert_eq!(refused(field, &Value::Weighted(&many), 4), EncodeError::Several { field });
    assert_eq!(refused(field, &Value::Integer(6), 3), EncodeError::Room { needed: 4, found: 3 });
    assert_eq!(encoder.index_of(field, "6"), Err(EncodeError::Weight { field }));
    let (mut indices, mut offsets) = ([0; 7], [0; 4]);
    let mut scratch = vec![ScratchBlock::ZERO; model.scratch_blocks()];
    let values = [Value::Real(1e300), Value::Integer(6), Value::Text("ann")];
    let row = encoder.encode(&values, &mut indices, &mut offsets).unwrap();
    Scorer::new(&model, &mut scratch).unwrap().score(row).unwrap();
    assert!(SmallEncoder::from_bytes(&packed).is_err());

    // Records that say something else.
    let place = |kind| model.section(kind).unwrap().as_ptr() as usize - packed.as_ptr() as usize;
    let record = |f: usize| place(SectionKind::Encoders) + f * size_of::<EncoderRecord>();
    let load = |at: usize, byte: u8| {
        let mut changed = packed.to_vec();
        changed[at] = byte;
        let changed = Packed::new(&changed);
        let model = Model::from_bytes_skipping_checksum(&changed).unwrap();
        model.encoder().err().map(|error| error.to_string())
    };
    let (weights_at, steps_at) = (6, 48);
    for (f, at, byte, words) in [
        (0, weights_at, 4, "thresholds of the numbers"),
        (0, weights_at, 1, "bag of raw values"),
        (0, weights_at, 0, "bag of raw values"),
        (1, weights_at, 3, "features of the numbers"),
        (1, weights_at, 5, "bag of raw values"),
        (1, steps_at, 2, "thresholds of the numbers"),
        (0, steps_at, 3, "thresholds of the numbers"),
        (1, 0, 0, "weights of raw values"),
        (1, 0, 1, "bag of raw values"),
        (2, weights_at, 3, "weights of raw values"),
    ] {
        let told = load(record(f) + at, byte).unwrap_or_else(|| panic!("{f} {at} {byte}: loaded"));
        assert!(told.contains(words), "{f} {at} {byte}: {told}");
    }
    // Whatever numbers they are between: an index of the field, and a weight.
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(5);
    let steps = place(SectionKind::Steps);
    for _ in 0..2000 {
        let mut changed = packed.to_vec();
        for _ in 0..rng.random_range(1..12) {
            changed[steps + rng.random_range(0..12 * 5)] = rng.random();
        }
        let changed = Packed::new(&changed);
        let model = Model::from_bytes_skipping_checksum(&changed).unwrap();
        let encoder = model.encoder().unwrap().unwrap();
        let mut scorer = Scorer::new(&model, &mut scratch).unwrap();
        let values = [Value::Real(f64::from(rng.random_range(-20..20))), Value::Integer(rng.random()), Value::Missing];
        scorer.score(encoder.encode(&values, &mut indices, &mut offsets).unwrap()).unwrap();
    }
}
