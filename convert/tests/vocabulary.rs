//! Raw values by a packed file, against the vocabulary and the rules that it was packed with.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "common/smallest.rs"]
mod smallest;

use std::collections::HashMap;
use std::path::Path;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use smallest::{model_of, schema};
use xsfm_convert::vocabulary::{Options, VocabularyError, attach, bytes as vocabulary_bytes};
use xsfm_convert::{input, raw};
use xsfm_interchange::bucket::bucket;
use xsfm_interchange::encoding::{Encoding, Hashing};
use xsfm_interchange::input::{ColumnName, Input, Keep, Table as RawTable, TableField, TableLabel};
use xsfm_interchange::rows::RowsReader;
use xsfm_interchange::schema::{Field, FieldKind, Schema};
use xsfm_runtime::format::SectionKind;
use xsfm_runtime::{EncodeError, Encoder, Model, Scorer, ScratchBlock, Value};
use zerocopy::IntoBytes;

fn field(name: &str, kind: FieldKind, vocabulary: Vec<String>) -> Field {
    Field::new(name, kind, vocabulary)
}

/// Tokens of all lengths and scripts, none twice.
fn tokens(rng: &mut Xoshiro256PlusPlus, count: usize) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    while seen.len() < count {
        let length = [0, 1, 3, 8, 8, 17, 40][rng.random_range(0..7)];
        let letters = ['0', '7', 'a', 'f', 'Z', ' ', '|', 'é', '\0', '漢', '🎬'];
        let mut token: String = (0..length).map(|_| letters[rng.random_range(0..letters.len())]).collect();
        if count > 100 && rng.random_bool(0.9) {
            token = format!("{:08x}", rng.random::<u32>());
        }
        seen.insert(token);
    }
    let mut all: Vec<String> = seen.into_iter().collect();
    all.sort();
    all
}

fn with(fingerprint_bits: u8) -> Options {
    Options { fingerprint_bits, ..Options::default() }
}

fn index(encoder: &Encoder<'_>, field: usize, value: Value<'_>) -> Result<u32, EncodeError> {
    let encode = |value| {
        let mut room = [u32::MAX; 1];
        encoder.encode_field(field, &value, &mut room).map(|count| {
            assert_eq!(count, 1);
            room[0]
        })
    };
    let index = encode(value);
    if let Value::Text(text) = value {
        assert_eq!(encode(Value::Bytes(text.as_bytes())), index, "{text:?} as bytes");
    }
    index
}

#[test]
fn every_token_has_its_index_at_every_size() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    for (round, count) in (0..40).chain([63, 100, 255, 256, 999, 5000, 70_000]).enumerate() {
        let vocabulary = tokens(&mut rng, count);
        let fields = vec![field("token", FieldKind::Categorical, vocabulary.clone())];
        let schema = schema(fields, None);
        let bits = [0, 1, 8, 10, 24][round % 5];
        let packed = attach(&model_of(&schema), &schema, with(bits)).unwrap();
        let model = Model::from_bytes(&packed).unwrap();
        let encoder = model.encoder().unwrap().unwrap();
        for (token, wanted) in vocabulary.iter().zip(1..) {
            assert_eq!(index(&encoder, 0, Value::Text(token)), Ok(wanted), "{token:?} of {count}");
        }
        let empty = vocabulary.iter().position(String::is_empty).map_or(0, |place| place as u32 + 1);
        if bits > 8 || empty > 0 {
            assert_eq!(index(&encoder, 0, Value::Missing), Ok(empty), "missing is the empty token");
        }
    }
}

/// As often as is stated, within a tenth.
#[test]
fn unseen_tokens_are_taken_for_others_as_rarely_as_stated() {
    let vocabulary: Vec<String> = (0..50_000).map(|n| format!("{:08x}", n * 7919)).collect();
    let schema = schema(vec![field("token", FieldKind::Categorical, vocabulary)], None);
    let base = model_of(&schema);
    for bits in [4, 8] {
        let packed = attach(&base, &schema, with(bits)).unwrap();
        let model = Model::from_bytes(&packed).unwrap();
        let encoder = model.encoder().unwrap().unwrap();
        let unseen = 2_000_000;
        let taken = (0..unseen).filter(|n| encoder.index_of(0, &format!("unseen {n}")) != Ok(0)).count();
        let rate = taken as f64 / f64::from(unseen) * f64::from(1 << bits);
        assert!((0.9..1.1).contains(&rate), "2^-{bits}: {rate} times as many");
    }
}

/// Numbers of every size, in buckets by thresholds here and by `bucket` and a map there.
#[test]
fn numbers_have_the_indices_of_their_buckets() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(2);
    let number = |rng: &mut Xoshiro256PlusPlus| match rng.random_range(0..6) {
        0 => rng.random_range(-5..20_i64).to_string(),
        1 => rng.random_range(0..i64::MAX).to_string(),
        2 => (rng.random_range(-4.0..60.0_f64)).to_string(),
        3 => format!("{:.1}", rng.random_range(-3.0..3.0_f64)),
        4 => format!("{:e}", rng.random_range(-1e3..1e3_f64).exp()),
        _ => String::new(),
    };
    let mut all: Vec<String> = (0..400).filter_map(|_| bucket(&number(&mut rng)).map(|token| token.into())).collect();
    all.sort();
    all.dedup();
    // Every second token alone, so that there are numbers between.
    let vocabulary: Vec<String> = all.into_iter().step_by(2).collect();
    let indices: HashMap<String, u32> = vocabulary.iter().cloned().zip(1..).collect();
    let schema = schema(vec![field("number", FieldKind::Numeric, vocabulary)], None);
    let packed = attach(&model_of(&schema), &schema, with(10)).unwrap();
    let model = Model::from_bytes(&packed).unwrap();
    let encoder = model.encoder().unwrap().unwrap();
    let mut known = 0;
    for _ in 0..200_000 {
        let text = number(&mut rng);
        let Some(token) = bucket(&text) else { continue };
        let wanted = indices.get(&*token).copied().unwrap_or(0);
        known += u32::from(wanted > 0);
        assert_eq!(index(&encoder, 0, Value::Text(&text)), Ok(wanted), "{text:?}, {token:?}");
        if let Ok(integer) = text.parse::<i64>() {
            assert_eq!(index(&encoder, 0, Value::Integer(integer)), Ok(wanted), "{integer}");
        }
        if let Ok(real) = text.parse::<f64>() {
            assert_eq!(index(&encoder, 0, Value::Real(real)), Ok(wanted), "{real}");
        }
    }
    assert!(known > 20_000, "{known}");
    for bad in ["x", "nan", "inf", "1,5", " 1"] {
        assert_eq!(index(&encoder, 0, Value::Text(bad)), Err(EncodeError::Number { field: 0 }), "{bad:?}");
    }
    assert_eq!(index(&encoder, 0, Value::Real(f64::NAN)), Err(EncodeError::Number { field: 0 }));
    assert_eq!(index(&encoder, 0, Value::Missing), Ok(indices.get("").copied().unwrap_or(0)));
}

#[test]
fn bags_and_cuts_are_those_of_the_schema() {
    let year = TableField { bytes: Some([0, 4]), ..TableField::new("year", FieldKind::Categorical) };
    let day = TableField { bytes: Some([1, 3]), ..TableField::new("day", FieldKind::Numeric) };
    let history = TableField {
        separator: Some(", ".to_owned()),
        max_bag: Some(2),
        keep: Some(Keep::Last),
        ..TableField::new("history", FieldKind::Bag)
    };
    let input = Input::Table(Box::new(RawTable {
        delimiter: ',',
        header: true,
        quoting: None,
        min_count: 1,
        time: None,
        weight: None,
        label: TableLabel { column: ColumnName::Name("click".to_owned()), at_least: None, equals: None },
        fields: vec![year, history, TableField::new("genres", FieldKind::Bag), day],
    }));
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let fields = vec![
        field("year", FieldKind::Categorical, texts(&["1995", "1996"])),
        field("history", FieldKind::Bag, texts(&["a", "b", "c"])),
        field("genres", FieldKind::Bag, texts(&["Comedy", "Drama"])),
        field("day", FieldKind::Numeric, texts(&["", "0", "1", "b1"])),
    ];
    let schema = schema(fields, Some(input));
    let packed = attach(&model_of(&schema), &schema, with(24)).unwrap();
    let model = Model::from_bytes(&packed).unwrap();
    let encoder = model.encoder().unwrap().unwrap();
    assert_eq!(["year", "history", "genres", "x"].map(|name| encoder.field(name)), [Some(0), Some(1), Some(2), None]);
    assert_eq!([1, 3, 4].map(|field| encoder.name(field)), [Some("history"), Some("day"), None]);
    assert_eq!((encoder.max_indices(), encoder.max_offsets()), (1 + 2 + 1024 + 1, 5));
    // A byte that is no whole character is cut as one that is: refused where a cut goes through it.
    let year = |text| index(&encoder, 0, Value::Bytes(text));
    assert_eq!([year(b"1995\xFF"), year(b"19\xFF5"), year(b"\xFF995")], [Ok(1), Ok(0), Ok(0)]);
    assert_eq!([year("199\u{e9}".as_bytes()), year(b"199\xC3")], [Err(EncodeError::Cut { field: 0 }), Ok(0)]);
    // As cut in training: digits too, and nothing of what has not so many bytes.
    let (day, error) = (|value| index(&encoder, 3, value), EncodeError::Cut { field: 3 });
    assert_eq!([day(Value::Text("x03")), day(Value::Text("x01y")), day(Value::Integer(200))], [Ok(4), Ok(3), Ok(2)]);
    assert_eq!([day(Value::Missing), day(Value::Text("")), day(Value::Integer(20))], [Err(error); 3]);
    assert_eq!(day(Value::Real(203.0)), Err(EncodeError::Number { field: 3 }));
    assert_eq!((encoder.index_of(3, ""), encoder.index_of(3, "3")), (Ok(1), Ok(4)));
    let (mut indices, mut offsets) = ([7; 9], [7; 5]);
    let mut encode = |values: &[Value<'_>]| {
        let values: Vec<Value<'_>> = values.iter().copied().chain([Value::Text("x03")]).collect();
        let row = encoder.encode(&values, &mut indices, &mut offsets)?;
        Ok::<_, EncodeError>((0..3).map(|f| row.field(f).unwrap().to_vec()).collect::<Vec<_>>())
    };
    let values = [Value::Text("1996-02-03"), Value::Text("a, c, b"), Value::Text("Drama||Western|Comedy")];
    assert_eq!(encode(&values), Ok(vec![vec![2], vec![3, 2], vec![2, 0, 1]]));
    let values = [Value::Integer(19_951), Value::Tokens(&["b", "", "a"]), Value::Missing];
    assert_eq!(encode(&values), Ok(vec![vec![1], vec![2, 1], vec![0]]));
    let mut tokens = [7; 2];
    assert_eq!(encoder.encode_tokens(1, ["c", "", "b", "", "a"].into_iter(), &mut tokens), Ok(2));
    assert_eq!(tokens, [2, 1]);
    assert_eq!(encoder.encode_tokens(0, ["1995"].into_iter(), &mut [0]), Err(EncodeError::Several { field: 0 }));
    assert_eq!(encoder.encode_tokens(4, ["a"].into_iter(), &mut [0]), Err(EncodeError::Field { field: 4 }));
    assert_eq!(encode(&[Value::Text("199"), values[1], values[2]]), Err(EncodeError::Cut { field: 0 }));
    assert_eq!(encode(&[Value::Tokens(&["1995"]), values[1], values[2]]), Err(EncodeError::Several { field: 0 }));
    assert_eq!(encode(&[Value::Real(1995.0), values[1], values[2]]), Err(EncodeError::Number { field: 0 }));
    assert_eq!(encode(&values[..2]), Err(EncodeError::FieldCount { expected: 4, found: 3 }));
    let row = encoder.encode_fields(&[0, 2], &[values[0], Value::Text("Drama")], &mut indices, &mut offsets).unwrap();
    assert_eq!((row.field(0), row.field(1), row.num_fields()), (Some(&[1][..]), Some(&[2][..]), 2));
    let values = [values[0], values[1], values[2], Value::Text("x03")];
    let full = encoder.encode(&values, &mut indices[..3], &mut offsets);
    assert_eq!(full.err(), Some(EncodeError::Room { needed: 4, found: 3 }));
}

/// With their text: names for indices, exact lookups without a fingerprint, and a file that old programs read.
#[test]
fn kept_tokens_are_names_and_take_no_unseen_token_for_another() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(5);
    for (count, renumber) in [(0, false), (1, false), (8, true), (9, false), (1000, true), (70_000, false)] {
        let vocabulary = tokens(&mut rng, count);
        let long = ["x".repeat(127), "x".repeat(128), "é".repeat(20_000)];
        let fields = vec![
            field("token", FieldKind::Categorical, vocabulary.clone()),
            field("none", FieldKind::Categorical, Vec::new()),
            field("number", FieldKind::Numeric, ["", "-3", "2", "b1", "b17"].map(str::to_owned).to_vec()),
            field("bag", FieldKind::Bag, long.iter().cloned().chain(vocabulary.iter().take(20).cloned()).collect()),
        ];
        let schema = schema(fields, None);
        let base = model_of(&schema);
        let options = Options { renumber, keep_tokens: true, ..with(0) };
        let [bare, packed] =
            [false, true].map(|keep_tokens| attach(&base, &schema, Options { keep_tokens, ..options }).unwrap());
        let model = Model::from_bytes(&packed).unwrap();
        let encoder = model.encoder().unwrap().unwrap();
        assert!(encoder.has_tokens());
        for (f, field) in schema.fields.iter().enumerate() {
            let mut all: Vec<&str> =
                (1..=field.vocabulary.len() as u32).map(|i| encoder.token(f, i).unwrap()).collect();
            if renumber {
                for (token, index) in all.iter().zip(1..).filter(|_| field.kind != FieldKind::Numeric) {
                    assert_eq!(encoder.index_of(f, token), Ok(index));
                }
                all.sort_unstable();
            }
            let mut wanted: Vec<&str> = field.vocabulary.iter().map(String::as_str).collect();
            if renumber {
                wanted.sort_unstable();
            }
            assert_eq!(all, wanted);
            assert_eq!([0, field.features(), u32::MAX].map(|index| encoder.token(f, index)), [None; 3]);
        }
        assert_eq!(encoder.token(4, 1), None);
        // No fingerprint has a say here.
        for n in 0..20_000 {
            assert_eq!(encoder.index_of(0, &format!("unseen {n}")), Ok(0));
            assert_eq!(encoder.index_of(3, &format!("unseen {n}")), Ok(0));
        }
        assert_eq!((encoder.index_of(2, "3"), encoder.token(2, 4)), (Ok(4), Some("b1")));
        let without = Model::from_bytes(&bare).unwrap();
        let is_known = |n: &u32| without.encoder().unwrap().unwrap().index_of(0, &format!("unseen {n}")) != Ok(0);
        assert!(count == 0 || (0..100).filter(is_known).count() > 0, "without text and fingerprints most are taken");
        let [kept, bare] = [&model, &without].map(|model| vocabulary_bytes(model).iter().sum::<u64>());
        let section = model.section(SectionKind::Tokens).unwrap().len() as u64;
        assert_eq!(kept, bare + section, "every byte is some field's");
        assert!(without.section(SectionKind::Tokens).is_none());
    }
}

/// Rows of tables in another order: the same scores of raw values, and other indices.
#[test]
fn tables_that_are_numbered_anew_give_the_same_scores() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(4);
    for count in [1, 2, 30, 99, 101, 5000] {
        let vocabulary = tokens(&mut rng, count);
        let fields = vec![
            field("token", FieldKind::Categorical, vocabulary.clone()),
            field("number", FieldKind::Numeric, (1..40).map(|b| format!("b{b}")).collect()),
            field("bag", FieldKind::Bag, tokens(&mut rng, count / 2)),
        ];
        let schema = schema(fields, None);
        let base = model_of(&schema);
        let files = [false, true].map(|renumber| Options { renumber, ..with(24) });
        let files = files.map(|options| attach(&base, &schema, options).unwrap());
        let models = files.each_ref().map(|file| Model::from_bytes(file).unwrap());
        let encoders = models.each_ref().map(|model| model.encoder().unwrap().unwrap());
        let mut scratch = [ScratchBlock::ZERO; 64];
        let mut differ = 0;
        for token in vocabulary.iter().map(String::as_str).chain(["unseen"]) {
            let bag = [token, "x", schema.fields[2].vocabulary.first().map_or("", String::as_str)];
            let values = [Value::Text(token), Value::Integer(77), Value::Tokens(&bag)];
            let [kept, anew] = [0, 1].map(|n| {
                let (mut indices, mut offsets) = ([0; 8], [0; 4]);
                let row = encoders[n].encode(&values, &mut indices, &mut offsets).unwrap();
                let score = Scorer::new(&models[n], &mut scratch).unwrap().score(row).unwrap();
                (indices, score.logit.to_bits())
            });
            assert_eq!(kept.1, anew.1, "{token:?} of {count}");
            differ += usize::from(kept.0 != anew.0);
        }
        assert!(count < 30 || differ > count / 2, "{differ} of {count}");
        let bytes = |model: &Model<'_>| vocabulary_bytes(model)[0];
        assert!(count < 5000 || bytes(&models[1]) + 5000 < bytes(&models[0]), "an index takes 13 bits of these");
        let stated = |model: &Model<'_>| model.manifest().unwrap().vocabulary.to_vec();
        assert!(count < 30 || stated(&models[0]) != stated(&models[1]), "rows of the old indices are refused");
    }
}

#[test]
fn other_schemas_are_refused() {
    let tokens = |tokens: &[&str]| tokens.iter().map(|token| (*token).to_owned()).collect::<Vec<_>>();
    let here = schema(vec![field("a", FieldKind::Categorical, tokens(&["x", "y"]))], None);
    let packed = attach(&model_of(&here), &here, with(10)).unwrap();
    let others = [
        schema(vec![field("b", FieldKind::Categorical, tokens(&["x", "y"]))], None),
        schema(vec![field("a", FieldKind::Categorical, tokens(&["x"]))], None),
        schema(vec![field("a", FieldKind::Bag, tokens(&["x", "y"]))], None),
        // The same numbers, but the file says which vocabulary it has.
        schema(vec![field("a", FieldKind::Categorical, tokens(&["y", "x"]))], None),
    ];
    for other in others {
        let refused = attach(&packed, &other, with(10));
        assert!(matches!(refused, Err(VocabularyError::Schema { .. })), "{:?}", refused.err());
    }
    assert!(matches!(attach(&packed, &here, with(25)), Err(VocabularyError::FingerprintBits { found: 25 })));
    assert_eq!(*attach(&packed, &here, with(10)).unwrap(), *packed, "what it had is replaced");
}

/// Any bytes in the sections: an error, or indices that the model has.
#[test]
fn hostile_vocabularies_are_errors_or_indices() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
    let vocabulary = tokens(&mut rng, 300);
    let fields = vec![
        field("token", FieldKind::Categorical, vocabulary.clone()),
        field("bag", FieldKind::Bag, vocabulary[..20].to_vec()),
        field("number", FieldKind::Numeric, (1..40).map(|b| format!("b{b}")).collect()),
        Field { encoding: hash(500), ..field("hashed", FieldKind::Categorical, Vec::new()) },
        Field { encoding: hash(7), ..field("hashed bag", FieldKind::Bag, Vec::new()) },
        field("integer", FieldKind::Categorical, (3..900).map(|n| n.to_string()).collect()),
        field("integers", FieldKind::Bag, (0..40).map(|n| n.to_string()).collect()),
    ];
    let schema = schema(fields, None);
    for (renumber, keep_tokens) in [(false, false), (true, false), (false, true)] {
        hostile(&mut rng, &schema, Options { renumber, keep_tokens, ..with(8) });
    }
}

fn hash(buckets: u32) -> Encoding {
    Encoding::Hash(Hashing { buckets, seed: 1 })
}

fn hostile(rng: &mut Xoshiro256PlusPlus, schema: &Schema, options: Options) {
    let vocabulary = &schema.fields[0].vocabulary;
    let packed = attach(&model_of(schema), schema, options).unwrap();
    let manifest = Model::from_bytes(&packed).unwrap().manifest().unwrap();
    let records = manifest.sections.iter().find(|section| section.kind == SectionKind::Encoders as u8).unwrap();
    let first = records.offset as usize;
    let texts = manifest.sections.iter().find(|section| section.kind == SectionKind::Tokens as u8);
    let texts = texts.map_or(first, |section| section.offset as usize);
    let (mut refused, mut encoded) = (0, 0);
    for round in 0..15_000 {
        let mut blocks = vec![ScratchBlock::ZERO; packed.len().div_ceil(ScratchBlock::LEN)];
        let bytes = blocks.as_mut_bytes();
        bytes[..packed.len()].copy_from_slice(&packed);
        for _ in 0..rng.random_range(1..4) {
            // Mostly in the records, and before the texts: they decide what is read.
            let in_records = rng.random_bool(if options.keep_tokens { 0.4 } else { 0.8 });
            let first = if options.keep_tokens && !in_records { texts } else { first };
            let end = if in_records { first + records.len as usize } else { packed.len() };
            let number = [0, 1, 7, 0xFF, 0xFFFF, u32::MAX, 1 << 31, rng.random()][rng.random_range(0..8)].to_le_bytes();
            let (at, len) = (rng.random_range(first..end), rng.random_range(1..=4));
            let len = len.min(packed.len() - at);
            bytes[at..at + len].copy_from_slice(&number[..len]);
        }
        let model = Model::from_bytes_skipping_checksum(bytes).unwrap();
        let encoder = match model.encoder() {
            Ok(Some(encoder)) => encoder,
            Ok(None) => unreachable!("round {round}: the sections are there"),
            Err(error) => {
                refused += 1;
                assert!(!error.to_string().is_empty());
                continue;
            }
        };
        let text = vocabulary[rng.random_range(0..vocabulary.len())].as_str();
        let (bag, real) = ([text, "x", text], Value::Real(rng.random::<f64>() * 1e6));
        let number = [0, 3, 39, 511, 512, 899, 900, i64::from(rng.random::<u32>())][rng.random_range(0..8)];
        let (integer, integers) = (Value::Integer(number), Value::Tokens(&["39", "7", "40"]));
        let some = [Value::Text(text), Value::Tokens(&bag), real, Value::Text("x"), Value::Tokens(&bag)];
        let values = [&some[..], &[integer, integers]].concat();
        let (mut indices, mut offsets) = (vec![0; encoder.max_indices().max(7)], [0; 8]);
        for (f, field) in model.fields().enumerate() {
            let index = rng.random_range(0..field.features + 2);
            let named = encoder.token(f, index);
            assert!(named.is_none() || (options.keep_tokens && (1..field.features).contains(&index)), "{named:?}");
        }
        if let Ok(row) = encoder.encode(&values, &mut indices, &mut offsets) {
            encoded += 1;
            for (f, field) in model.fields().enumerate() {
                assert!(row.field(f).unwrap().iter().all(|&index| index < field.features));
            }
        }
        let _ = encoder.encode(&[Value::Text("é|b"); 7], &mut indices, &mut offsets);
        let _ = encoder.encode(&[Value::Integer(i64::MIN); 7], &mut indices, &mut offsets);
    }
    assert!(refused > 2_500 && encoded > 1_500, "{refused} refused, {encoded} encoded");
}

/// What a program on a device makes of its values, and what `--raw` makes of a file of them.
#[test]
fn devices_and_files_have_the_same_indices() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/raw-values");
    let packed = input::packed(&folder.join("model.xsfm")).unwrap();
    let model = input::load(&folder, &packed).unwrap();
    let encoder = model.encoder().unwrap().unwrap();
    let clicks = folder.join("clicks.csv");
    let encoded = raw::encode(&folder, &model, &clicks, true).unwrap();
    assert!(
        encoded.unseen.iter().all(|(name, _)| ["genres", "price"].contains(&name.as_str())),
        "{:?}",
        encoded.unseen
    );
    let rows = RowsReader::open(encoded.path()).unwrap().read_block(0).unwrap();
    let text = std::fs::read_to_string(&clicks).unwrap();
    assert_eq!((rows.len(), text.lines().count()), (240, 241));
    for (n, line) in text.lines().skip(1).enumerate() {
        let [label, user, genres, price, when] = line.split(',').collect::<Vec<_>>()[..] else { panic!("{line}") };
        assert_eq!(rows.labels[n].to_string(), label);
        let genres: Vec<&str> = genres.split('|').collect();
        let price = price.parse().map_or(Value::Missing, Value::Real);
        let values = [Value::Text(user), Value::Tokens(&genres), price, Value::Text(when)];
        let (mut indices, mut offsets) = ([0; 8], [0; 5]);
        let here = encoder.encode(&values, &mut indices, &mut offsets).unwrap();
        for f in 0..4 {
            assert_eq!(here.field(f), rows.row(n).field(f), "field {f} of {line}");
        }
    }
}
