//! Tokens that are integers, numbered anew by a packed file: against the vocabulary that it was packed with.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "common/smallest.rs"]
mod smallest;

use std::collections::HashSet;

use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use smallest::{model_of, schema};
use xsfm_convert::vocabulary::{Options, attach, bytes as vocabulary_bytes};
use xsfm_interchange::encoding::{Encoding, Hashing};
use xsfm_interchange::schema::{Field, FieldKind};
use xsfm_runtime::format::SectionKind;
use xsfm_runtime::format::vocabulary::{EncoderRecord, kind};
use xsfm_runtime::{Model, Scorer, ScratchBlock, SmallEncoder, Value};
use zerocopy::FromBytes;

/// Numbered anew by fingerprints of a usual length, and kept by ones that are never mistaken here.
const ANEW: Options = Options { fingerprint_bits: 10, renumber: true, keep_tokens: false };
const KEPT: Options = Options { fingerprint_bits: 24, renumber: false, keep_tokens: false };

fn texts(numbers: &[u32]) -> Vec<String> {
    numbers.iter().map(u32::to_string).collect()
}

/// How the fields of a packed file are told what their tokens are.
fn kinds(packed: &[u8]) -> Vec<u8> {
    let model = Model::from_bytes(packed).unwrap();
    let records = model.section(SectionKind::Encoders).unwrap().to_vec();
    <[EncoderRecord]>::ref_from_bytes(&records).unwrap().iter().map(|record| record.kind).collect()
}

#[test]
fn integers_take_a_bit_each_and_no_unseen_one_is_taken_for_another() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(6);
    let most = u32::MAX;
    let cases: [Vec<u32>; 8] = [
        vec![0],
        vec![most],
        (most - 90..=most).filter(|n| n % 4 != 1).collect(),
        (1..=943).collect(),
        (0..512).collect(),
        (7..7 + 513).collect(),
        (1000..9000).filter(|_| rng.random_bool(0.4)).collect(),
        (0..70_000).filter(|n| n % 5 != 2).collect(),
    ];
    for mut numbers in cases {
        // Most frequent first, as vocabularies have them.
        numbers.shuffle(&mut rng);
        let fields = vec![
            Field::new("one", FieldKind::Categorical, texts(&numbers)),
            Field::new("some", FieldKind::Bag, texts(&numbers[..numbers.len().div_ceil(2)])),
            Field::new("word", FieldKind::Categorical, vec!["a".to_owned(), "1".to_owned()]),
        ];
        let schema = schema(fields, None);
        let base = model_of(&schema);
        let [anew, kept] = [ANEW, KEPT].map(|options| attach(&base, &schema, options).unwrap());
        assert_eq!(kinds(&anew), [kind::INTEGER, kind::INTEGER_BAG, kind::TOKEN], "{} of them", numbers.len());
        let models = [&anew, &kept].map(|file| Model::from_bytes(file).unwrap());
        let encoders = models.each_ref().map(|model| model.encoder().unwrap().unwrap());
        let small = SmallEncoder::from_bytes(&anew).unwrap().unwrap();

        let (least, largest) = (*numbers.iter().min().unwrap(), *numbers.iter().max().unwrap());
        let bytes = vocabulary_bytes(&models[0])[0];
        assert!(bytes <= 64 + 8 + u64::from(largest - least) / 8 * 17 / 16 + 4, "{bytes} bytes");
        let known: HashSet<u32> = numbers.iter().copied().collect();
        let ascending = |number: u32| numbers.iter().filter(|&&other| other <= number).count() as u32;
        let around = least.saturating_sub(600)..=largest.saturating_add(600);
        for number in around.clone().chain([0, 1, most / 2, most]) {
            let text = number.to_string();
            let index = encoders[0].index_of(0, &text).unwrap();
            assert_eq!(index > 0, known.contains(&number), "{number}");
            assert_eq!(small.index_of(0, &text), Ok(index));
            let mut room = [7];
            assert_eq!(encoders[0].encode_field(0, &Value::Integer(number.into()), &mut room), Ok(1));
            assert_eq!(room, [index]);
        }
        for number in numbers.iter().take(50) {
            assert_eq!(encoders[0].index_of(0, &number.to_string()), Ok(ascending(*number)));
            for other in [format!("0{number}"), format!("+{number}"), format!("{number}.0"), format!("-{number}")] {
                assert_eq!(encoders[0].index_of(0, &other), Ok(0), "{other}");
            }
        }

        let mut scratch = [ScratchBlock::ZERO; 64];
        for number in numbers.iter().take(200).copied().chain([least.wrapping_sub(1), largest.wrapping_add(1)]) {
            let (one, bag) = (number.to_string(), format!("{number}|x|{}", numbers[0]));
            let values = [Value::Text(&one), Value::Text(&bag), Value::Integer(1)];
            let [of_anew, of_kept] = [0, 1].map(|n| {
                let (mut indices, mut offsets) = ([0; 8], [0; 4]);
                let row = encoders[n].encode(&values, &mut indices, &mut offsets).unwrap();
                Scorer::new(&models[n], &mut scratch).unwrap().score(row).unwrap().logit.to_bits()
            });
            assert_eq!(of_anew, of_kept, "{number}");
        }
    }
}

#[test]
fn other_vocabularies_are_hashed() {
    let far: Vec<u32> = (0..100).map(|n| n * 1000).collect();
    let others = [
        texts(&far),
        vec!["1".to_owned(), "02".to_owned()],
        vec!["1".to_owned(), String::new()],
        vec!["4294967296".to_owned(), "4294967297".to_owned()],
        vec!["-1".to_owned(), "1".to_owned()],
    ];
    for vocabulary in others {
        let schema = schema(vec![Field::new("one", FieldKind::Categorical, vocabulary)], None);
        assert_eq!(kinds(&attach(&model_of(&schema), &schema, ANEW).unwrap()), [kind::TOKEN]);
    }
    let close = schema(vec![Field::new("one", FieldKind::Categorical, texts(&[1, 2, 3]))], None);
    assert_eq!(kinds(&attach(&model_of(&close), &close, KEPT).unwrap()), [kind::TOKEN], "indices are kept");
}

/// With out-of-vocabulary buckets, and with the tokens' text beside them.
#[test]
fn integers_have_names_and_buckets_as_other_tokens_have() {
    let numbers: Vec<u32> = (10..400).rev().collect();
    let buckets = Encoding::OovBuckets(Hashing { buckets: 5, seed: 3 });
    let one = Field { encoding: buckets, ..Field::new("one", FieldKind::Categorical, texts(&numbers)) };
    let schema = schema(vec![one], None);
    let packed = attach(&model_of(&schema), &schema, Options { keep_tokens: true, ..ANEW }).unwrap();
    assert_eq!(kinds(&packed), [kind::INTEGER]);
    let model = Model::from_bytes(&packed).unwrap();
    let encoder = model.encoder().unwrap().unwrap();
    for (number, index) in (10..400_u32).zip(1..) {
        assert_eq!(encoder.index_of(0, &number.to_string()), Ok(index));
        assert_eq!(encoder.token(0, index), Some(number.to_string().as_str()));
    }
    for unseen in ["9", "400", "x", "010"] {
        let index = encoder.index_of(0, unseen).unwrap();
        assert_eq!(Ok(index), Ok::<_, ()>(schema.fields[0].encoder().index_of(unseen)), "{unseen}");
        assert!((391..396).contains(&index), "{unseen}: {index}");
    }
}
