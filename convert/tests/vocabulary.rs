//! Raw values by a packed file, against the vocabulary and the rules that it was packed with.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::HashMap;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use xsfm_convert::model::{FloatField, FloatModel, Table, TableBits};
use xsfm_convert::pack::{Packed, pack_f32};
use xsfm_convert::vocabulary::{VocabularyError, attach};
use xsfm_interchange::bucket::bucket;
use xsfm_interchange::config::{EmbeddingConfig, FieldConfig, Interaction, ModelConfig};
use xsfm_interchange::input::{ColumnName, Input, Keep, Table as RawTable, TableField, TableLabel};
use xsfm_interchange::schema::{Field, FieldKind, Schema};
use xsfm_runtime::{EncodeError, Encoder, Model, Value};

/// The smallest model with these fields.
fn model_of(schema: &Schema) -> Packed {
    let config = ModelConfig {
        version: ModelConfig::VERSION,
        vocabulary: None,
        fields: schema
            .fields
            .iter()
            .map(|field| FieldConfig {
                name: field.name.clone(),
                features: field.features(),
                bag: field.kind == FieldKind::Bag,
                embedding: EmbeddingConfig::Full,
            })
            .collect(),
        embed_dim: 1,
        feature_weight: false,
        field_vector: true,
        interaction: Interaction::None,
        mlp: None,
        compressed: Vec::new(),
        network: None,
        quantization: None,
    };
    let table = |field: &Field| {
        let rows = field.features() as usize;
        FloatField { tables: vec![Table { rows, columns: 1, values: vec![0.5; rows] }], feature_weights: None }
    };
    let model = FloatModel {
        bias: 0.0,
        label: schema.label.clone(),
        fields: schema.fields.iter().map(table).collect(),
        field_vectors: Some(vec![1.0; config.fields.len()]),
        pairs: None,
        low_rank: None,
        table_bits: TableBits::Eight,
        config,
        layers: Vec::new(),
    };
    pack_f32(&model).unwrap()
}

fn schema(fields: Vec<Field>, input: Option<Input>) -> Schema {
    Schema { version: Schema::VERSION, label: "clicked".to_owned(), input, fields }
}

fn field(name: &str, kind: FieldKind, vocabulary: Vec<String>) -> Field {
    Field { name: name.to_owned(), kind, vocabulary }
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

fn index(encoder: &Encoder<'_>, field: usize, value: Value<'_>) -> Result<u32, EncodeError> {
    let mut room = [u32::MAX; 1];
    encoder.encode_field(field, &value, &mut room).map(|count| {
        assert_eq!(count, 1);
        room[0]
    })
}

#[test]
fn every_token_has_its_index_at_every_size() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    for (round, count) in (0..40).chain([63, 100, 255, 256, 999, 5000, 70_000]).enumerate() {
        let vocabulary = tokens(&mut rng, count);
        let fields = vec![field("token", FieldKind::Categorical, vocabulary.clone())];
        let schema = schema(fields, None);
        let bits = [0, 1, 8, 10, 24][round % 5];
        let packed = attach(&model_of(&schema), &schema, bits).unwrap();
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
        let packed = attach(&base, &schema, bits).unwrap();
        let model = Model::from_bytes(&packed).unwrap();
        let encoder = model.encoder().unwrap().unwrap();
        let unseen = 2_000_000;
        let taken = (0..unseen).filter(|n| encoder.index_of(0, &format!("unseen {n}")) != 0).count();
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
    let packed = attach(&model_of(&schema), &schema, 10).unwrap();
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
    let column = |name: &str, kind| TableField {
        name: name.to_owned(),
        column: None,
        kind,
        min_count: None,
        bytes: None,
        separator: None,
        max_bag: None,
        keep: None,
    };
    let year = TableField { bytes: Some([0, 4]), ..column("year", FieldKind::Categorical) };
    let history = TableField {
        separator: Some(", ".to_owned()),
        max_bag: Some(2),
        keep: Some(Keep::Last),
        ..column("history", FieldKind::Bag)
    };
    let input = Input::Table(Box::new(RawTable {
        delimiter: ',',
        header: true,
        quoting: None,
        min_count: 1,
        time: None,
        weight: None,
        label: TableLabel { column: ColumnName::Name("click".to_owned()), at_least: None, equals: None },
        fields: vec![year, history, column("genres", FieldKind::Bag)],
    }));
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let fields = vec![
        field("year", FieldKind::Categorical, texts(&["1995", "1996"])),
        field("history", FieldKind::Bag, texts(&["a", "b", "c"])),
        field("genres", FieldKind::Bag, texts(&["Comedy", "Drama"])),
    ];
    let schema = schema(fields, Some(input));
    let packed = attach(&model_of(&schema), &schema, 24).unwrap();
    let model = Model::from_bytes(&packed).unwrap();
    let encoder = model.encoder().unwrap().unwrap();
    assert_eq!(["year", "history", "genres", "x"].map(|name| encoder.field(name)), [Some(0), Some(1), Some(2), None]);
    let (mut indices, mut offsets) = ([7; 9], [7; 4]);
    let mut encode = |values: &[Value<'_>]| {
        let row = encoder.encode(values, &mut indices, &mut offsets)?;
        Ok::<_, EncodeError>((0..3).map(|f| row.field(f).unwrap().to_vec()).collect::<Vec<_>>())
    };
    let values = [Value::Text("1996-02-03"), Value::Text("a, c, b"), Value::Text("Drama||Western|Comedy")];
    assert_eq!(encode(&values), Ok(vec![vec![2], vec![3, 2], vec![2, 0, 1]]));
    let values = [Value::Integer(19_951), Value::Tokens(&["b", "", "a"]), Value::Missing];
    assert_eq!(encode(&values), Ok(vec![vec![1], vec![2, 1], vec![0]]));
    assert_eq!(encode(&[Value::Text("199"), values[1], values[2]]), Err(EncodeError::Cut { field: 0 }));
    assert_eq!(encode(&[Value::Tokens(&["1995"]), values[1], values[2]]), Err(EncodeError::Several { field: 0 }));
    assert_eq!(encode(&[Value::Real(1995.0), values[1], values[2]]), Err(EncodeError::Number { field: 0 }));
    assert_eq!(encode(&values[..2]), Err(EncodeError::FieldCount { expected: 3, found: 2 }));
    let row = encoder.encode_fields(&[0, 2], &[values[0], Value::Text("Drama")], &mut indices, &mut offsets).unwrap();
    assert_eq!((row.field(0), row.field(1), row.num_fields()), (Some(&[1][..]), Some(&[2][..]), 2));
    let full = encoder.encode(&values, &mut indices[..3], &mut offsets);
    assert_eq!(full.err(), Some(EncodeError::Room { needed: 4, found: 3 }));
}

#[test]
fn other_schemas_are_refused() {
    let tokens = |tokens: &[&str]| tokens.iter().map(|token| (*token).to_owned()).collect::<Vec<_>>();
    let here = schema(vec![field("a", FieldKind::Categorical, tokens(&["x", "y"]))], None);
    let packed = attach(&model_of(&here), &here, 10).unwrap();
    let others = [
        schema(vec![field("b", FieldKind::Categorical, tokens(&["x", "y"]))], None),
        schema(vec![field("a", FieldKind::Categorical, tokens(&["x"]))], None),
        schema(vec![field("a", FieldKind::Bag, tokens(&["x", "y"]))], None),
        // The same numbers, but the file says which vocabulary it has.
        schema(vec![field("a", FieldKind::Categorical, tokens(&["y", "x"]))], None),
    ];
    for other in others {
        let refused = attach(&packed, &other, 10);
        assert!(matches!(refused, Err(VocabularyError::Schema { .. })), "{:?}", refused.err());
    }
    assert!(matches!(attach(&packed, &here, 25), Err(VocabularyError::FingerprintBits { found: 25 })));
    assert_eq!(*attach(&packed, &here, 10).unwrap(), *packed, "what it had is replaced");
}
