//! Models as large as on Criteo: single samples, batches and ranking, over arithmetics, widths of the MLP and kinds of
//! tables.
//!
//! `taskset -c 1 cargo bench -p xsfm-benches -- int8/64x64x64/full`; all of them take about ten minutes. Every bench
//! first compares its scores with the oracle's. Names are arithmetic/widths/tables/way.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use xsfm_benches::{FEATURES, FULL, QUOTIENT_REMAINDER, model, samples};
use xsfm_convert::pack::{Packed, pack_f32, pack_int8};
use xsfm_convert::reference::{float_forward, integer_forward};
use xsfm_runtime::{Mode, Model, Ranked, Ranker, Row, Score, Scorer, ScratchBlock};
use xsfm_tests::{Rows, dynamic, quantized};

/// Samples that a bench goes through, so that neither caches nor branch predictors learn one.
const SAMPLES: usize = 4096;
/// Samples that are compared with the oracle.
const COMPARED: usize = 40;
const BATCHES: [usize; 4] = [8, 64, 512, 1024];
const CANDIDATES: usize = 512;
/// Fields that all candidates share: the first ones.
const CONTEXT: usize = 20;
/// f32 logits may be so far from the oracle's.
const TOLERANCE: f64 = 1e-3;

/// One packed model, and what the oracle says of the first samples.
struct Case<'c> {
    name: String,
    packed: Packed,
    expected: Vec<f64>,
    samples: &'c [u32],
}

fn benches(criterion: &mut Criterion) {
    let samples = samples(SAMPLES, 2);
    let first: Vec<Row<'_>> = samples.chunks(FEATURES.len()).take(COMPARED).map(Row::new).collect();
    for (widths, hidden) in [
        ("400x400x400", Some(&[400; 3][..])),
        ("200x200x200", Some(&[200; 3])),
        ("100x100x100", Some(&[100; 3])),
        ("64x64x64", Some(&[64; 3])),
        ("16x16", Some(&[16; 2])),
        ("fwfm", None),
    ] {
        for (tables, embedding) in [("full", FULL), ("qr", QUOTIENT_REMAINDER)] {
            let float = model(hidden, embedding, 1);
            let scales = Rows::for_config(&float.config, 64, 3);
            let exact = first.iter().map(|&row| float_forward(&float, row).expect("samples fit the model").logit);
            let case = |mode: &str, packed, expected| {
                let name = format!("{mode}/{widths}/{tables}");
                Case { name, packed, expected, samples: &samples }
            };
            case("f32", pack_f32(&float).expect("the model packs"), exact.collect()).run(criterion);
            for (mode, integers) in [("int8", quantized(&float, &scales)), ("dynamic", dynamic(&float, &scales))] {
                // Without layers the two are the same.
                if mode == "dynamic" && hidden.is_none() {
                    continue;
                }
                let logit = |&row| integer_forward(&integers, row).expect("samples fit the model").logit;
                let expected = first.iter().map(|row| logit(row) as f64 / 65_536.0).collect();
                case(mode, pack_int8(&integers).expect("the model packs"), expected).run(criterion);
            }
        }
    }
}

impl Case<'_> {
    fn check(&self, scores: &[Score]) {
        let model = Model::from_bytes_skipping_checksum(&self.packed).expect("packing has loaded it");
        let tolerance = if model.mode() == Mode::F32 { TOLERANCE } else { 0.0 };
        for (score, expected) in scores.iter().zip(&self.expected) {
            let error = (f64::from(score.logit) - expected).abs();
            assert!(error <= tolerance, "{}: {} instead of {expected}", self.name, score.logit);
        }
    }

    fn run(&self, criterion: &mut Criterion) {
        let model = Model::from_bytes(&self.packed).expect("packing has loaded it");
        let mut tiles = vec![ScratchBlock::ZERO; model.prepared_blocks()];
        let model = model.prepare(&mut tiles).expect("as many blocks as it asked for");
        let rows: Vec<Row<'_>> = self.samples.chunks(FEATURES.len()).map(Row::new).collect();
        let mut scores = vec![Score::default(); rows.len()];
        let mut group = criterion.benchmark_group(&self.name);
        group.sample_size(10).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_secs(1));

        let mut scratch = vec![ScratchBlock::ZERO; model.batch_scratch_blocks()];
        let mut scorer = Scorer::new(&model, &mut scratch).expect("as many blocks as it asked for");
        let score = |scorer: &mut Scorer<'_>, row| scorer.score(row).expect("samples fit the model");
        let singles: Vec<Score> = rows[..COMPARED].iter().map(|&row| score(&mut scorer, row)).collect();
        self.check(&singles);
        scorer.score_batch(&rows, &mut scores).expect("samples fit the model");
        self.check(&scores);
        let mut next = rows.iter().cycle();
        group.throughput(Throughput::Elements(1));
        group.bench_function("single", |bencher| {
            bencher.iter(|| next.next().map(|row| scorer.score(black_box(*row))));
        });
        for batch in BATCHES {
            let mut batches = rows.chunks_exact(batch).cycle();
            group.throughput(Throughput::Elements(batch as u64));
            group.bench_function(BenchmarkId::new("batch", batch), |bencher| {
                bencher.iter(|| batches.next().map(|rows| scorer.score_batch(black_box(rows), &mut scores[..batch])));
            });
        }

        let context_fields: Vec<usize> = (0..CONTEXT).collect();
        let blocks = Ranker::blocks(&model, &context_fields).expect("fields of the model");
        let mut memory = vec![ScratchBlock::ZERO; blocks];
        let mut ranker = Ranker::new(&model, &context_fields, &mut memory).expect("as many blocks as it asked for");
        let context = |n: usize| Row::new(&self.samples[n * FEATURES.len()..][..CONTEXT]);
        for (n, expected) in singles.iter().enumerate() {
            let candidate = Row::new(&self.samples[n * FEATURES.len()..][CONTEXT..FEATURES.len()]);
            ranker.set_context(context(n)).expect("samples fit the model");
            let mut found = [Score::default()];
            ranker.score_batch(&[candidate], &mut found).expect("samples fit the model");
            assert_eq!(found[0], *expected, "{}: ranked", self.name);
        }
        let candidates: Vec<Row<'_>> =
            self.samples.chunks(FEATURES.len()).take(CANDIDATES).map(|row| Row::new(&row[CONTEXT..])).collect();
        let mut best = [Ranked::default(); 10];
        let mut contexts = (0..SAMPLES).cycle();
        group.throughput(Throughput::Elements(CANDIDATES as u64));
        group.bench_function("rank", |bencher| {
            bencher.iter(|| {
                ranker.set_context(context(contexts.next()?)).ok()?;
                ranker.top_k(black_box(&candidates).iter().copied(), &mut best).ok()
            });
        });
        group.finish();
    }
}

criterion_group!(all, benches);
criterion_main!(all);
