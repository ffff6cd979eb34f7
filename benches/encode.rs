//! Raw rows as large as Criteo's to indices: by a packed file, and by the maps that `xsfm-train prepare` uses.
//!
//! `taskset -c 1 cargo bench -p xsfm-benches --bench encode`. First it prints what the vocabulary takes and how often
//! unseen tokens are taken for others; both encoders must agree on every row.

use std::hint::black_box;
use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use xsfm_benches::{FEATURES, FULL, model, samples};
use xsfm_convert::pack::pack_f32;
use xsfm_convert::vocabulary::{Options, attach, bytes};
use xsfm_interchange::bucket::{bucket, values};
use xsfm_interchange::schema::{Encoder, Field, FieldKind, Schema};
use xsfm_runtime::{Encoder as FileEncoder, Model, Value};

/// Rows that a bench goes through.
const ROWS: usize = 1024;
const NUMBERS: usize = 13;
const FINGERPRINT_BITS: u8 = 8;
const UNSEEN: u32 = 10_000_000;

fn benches(criterion: &mut Criterion) {
    let schema = schema();
    let base = pack_f32(&model(None, FULL, 1)).expect("the model packs");
    let tokens: usize = schema.fields.iter().map(|field| field.vocabulary.len()).sum();
    let pack = |renumber: bool, keep_tokens: bool| {
        let begin = Instant::now();
        let options = Options { renumber, keep_tokens, fingerprint_bits: FINGERPRINT_BITS };
        let packed = attach(&base, &schema, options).expect("the vocabulary packs");
        let seconds = begin.elapsed().as_secs_f64();
        let bytes: u64 = bytes(&Model::from_bytes(&packed).expect("a model")).iter().sum();
        let indices = if renumber { "numbered anew" } else { "kept" };
        let text = if keep_tokens { ", with their text" } else { "" };
        let each = bytes as f64 / tokens as f64;
        println!(
            "{tokens} tokens, indices {indices}{text}: {bytes} bytes, {each:.3} a token; packed in {seconds:.1} s"
        );
        packed
    };
    pack(true, false);
    let named = pack(false, true);
    let packed = pack(false, false);
    let model = Model::from_bytes(&packed).expect("a model");
    let encoder = model.encoder().expect("a vocabulary").expect("a vocabulary");
    let place = 15;
    let taken = (0..UNSEEN).filter(|n| encoder.index_of(place, &format!("{n:07x}u")) != Ok(0)).count();
    println!(
        "{taken} of {UNSEEN} unseen tokens taken for others, {:.3} times 2^-{FINGERPRINT_BITS}",
        taken as f64 / f64::from(UNSEEN) * f64::from(1 << FINGERPRINT_BITS),
    );

    let rows = rows(&schema);
    let named = Model::from_bytes(&named).expect("a model");
    let exact = named.encoder().expect("a vocabulary").expect("a vocabulary");
    let maps: Vec<Encoder> = schema.fields.iter().map(Field::encoder).collect();
    let by_maps = |row: &[String], indices: &mut [u32]| {
        for (f, ((text, map), to)) in row.iter().zip(&maps).zip(indices).enumerate() {
            *to = match f < NUMBERS {
                true => bucket(text).map_or(0, |token| map.index_of(&token)),
                false => map.index_of(text),
            };
        }
    };
    let by_file = |encoder: &FileEncoder<'_>, row: &[String], indices: &mut [u32]| {
        let mut values = [Value::Missing; FEATURES.len()];
        values.iter_mut().zip(row).for_each(|(value, text)| *value = Value::Text(text));
        encoder.encode(&values, indices, &mut []).expect("a row");
    };
    for row in &rows {
        let (mut here, mut there) = ([1; FEATURES.len()], [2; FEATURES.len()]);
        by_maps(row, &mut here);
        for encoder in [&encoder, &exact] {
            by_file(encoder, row, &mut there);
            assert_eq!(here, there, "{row:?}");
        }
    }
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(1));
    let mut indices = [0; FEATURES.len()];
    for (name, encoder) in [("packed file", &encoder), ("packed file with text", &exact)] {
        let mut each = rows.iter().cycle();
        group.bench_function(name, |b| {
            b.iter(|| by_file(encoder, black_box(each.next().map_or(&[][..], Vec::as_slice)), black_box(&mut indices)));
        });
    }
    let mut each = rows.iter().cycle();
    group.bench_function("maps of prepare", |b| {
        b.iter(|| by_maps(black_box(each.next().map_or(&[][..], Vec::as_slice)), black_box(&mut indices)));
    });
    group.finish();
}

/// Criteo's fields with as many tokens: numbers in buckets, and words of 32 bits in hexadecimal digits.
fn schema() -> Schema {
    let word = |f: usize, n: u32| format!("{:08x}", (n + 1).wrapping_mul(0x9E37_79B1) ^ f as u32);
    let fields = FEATURES.iter().enumerate().map(|(f, &features)| {
        let tokens = 1..features;
        let is_number = f < NUMBERS;
        let kind = if is_number { FieldKind::Numeric } else { FieldKind::Categorical };
        let vocabulary = match is_number {
            true => tokens.map(|n| if n < 4 { (n - 1).to_string() } else { format!("b{}", n - 3) }).collect(),
            false => tokens.map(|n| word(f, n)).collect(),
        };
        Field::new(&format!("field_{f}"), kind, vocabulary)
    });
    Schema { version: Schema::VERSION, label: "clicked".to_owned(), input: None, fields: fields.collect() }
}

/// Texts of rows whose features are drawn as traffic draws them.
fn rows(schema: &Schema) -> Vec<Vec<String>> {
    let text = |(f, &index): (usize, &u32)| {
        let vocabulary = &schema.fields[f].vocabulary;
        let token = (index as usize).checked_sub(1).map_or("4294967295", |place| &vocabulary[place]);
        match token.strip_prefix('b').filter(|_| f < NUMBERS) {
            // A number of the bucket: some have no integer.
            Some(bucket) => bucket.parse().ok().and_then(values).map_or(String::new(), |v| v.start.to_string()),
            None => token.to_owned(),
        }
    };
    samples(ROWS, 2).chunks(FEATURES.len()).map(|row| row.iter().enumerate().map(text).collect()).collect()
}

criterion_group!(all, benches);
criterion_main!(all);
