//! One suite for every back end: scores of random models, one by one, in batches and ranked, against the plainest
//! loops.
//!
//! `XSFM_CASES` is the number of models per mode; `XSFM_BACKENDS` names back ends that must be there, commas between.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use common::compare::{Expected, available, cases, memory, plain};
use common::random::{Pairs, Rng, Rows, Sample, Shape, magnitudes, samples};
use xsfm_runtime::format::Layout;
use xsfm_runtime::{
    Backend, Int8Model, Int8Ranker, LoadError, Mode, Model, Ranked, Ranker, Row, Score, ScoreError, Scorer,
    Weight,
};
use zerocopy::IntoBytes;

/// One model with its rows.
struct Case<'c> {
    shape: &'c Shape,
    rng: &'c mut Rng,
    samples: Vec<Sample>,
    reference: Model<'c>,
    /// f32 mode: the model of magnitudes.
    magnitudes: Option<Model<'c>>,
}

impl Case<'_> {
    fn expected(&self, samples: &[Sample]) -> Expected {
        Expected::new(&self.reference, self.magnitudes.as_ref(), samples)
    }

    /// Scores one by one, and in batches of every size that leaves other remainders of a group.
    fn check_scorer(&mut self, name: &str, model: &Model<'_>, all: &Rows, expected: &Expected) {
        let rows = all.all();
        let mut scratch = memory(model.scratch_blocks());
        let mut scorer = Scorer::new(model, &mut scratch).unwrap();
        let singles: Vec<Score> = rows.iter().map(|&row| scorer.score(row).unwrap()).collect();
        expected.check(&format!("{name}, row by row"), &singles);

        let mut batch_scratch = memory(model.batch_scratch_blocks());
        let mut batch_scorer = Scorer::new(model, &mut batch_scratch).unwrap();
        let size = 1 + self.rng.below(37);
        for scorer in [&mut scorer, &mut batch_scorer] {
            let mut scores = vec![Score::default(); rows.len()];
            for (rows, scores) in rows.chunks(size).zip(scores.chunks_mut(size)) {
                scorer.score_batch(rows, scores).unwrap();
            }
            assert_eq!(scores, singles, "{name}: batches of {size} differ from single rows");
        }
    }

    /// Candidates of a random split, their scores and the best of them.
    fn check_ranker(&mut self, name: &str, model: &Model<'_>) {
        let num_fields = self.shape.num_fields;
        let in_order = self.rng.one_in(3);
        let wanted = match self.rng.below(4) {
            0 => 0,
            1 => num_fields - 1,
            _ => self.rng.below(num_fields),
        };
        let mut context: Vec<usize> = (0..num_fields).collect();
        if !in_order {
            for n in (1..num_fields).rev() {
                context.swap(n, self.rng.below(n + 1));
            }
        }
        context.truncate(wanted);
        let name = format!("{name}, context {context:?}");
        let mut blocks = memory(Ranker::blocks(model, &context).unwrap());
        let mut ranker = Ranker::new(model, &context, &mut blocks).unwrap();
        let is_context = |field: &usize| context.contains(field);
        let (of_context, of_candidate): (Vec<usize>, Vec<usize>) = (0..num_fields).partition(is_context);
        // A second context finds what the first has left.
        for n in 0..2 {
            let shared = self.samples[n].clone();
            let whole = self.samples.iter().map(|sample| {
                let field = |field| if is_context(&field) { shared[field].clone() } else { sample[field].clone() };
                (0..num_fields).map(field).collect()
            });
            let whole: Vec<Sample> = whole.collect();
            let expected = self.expected(&whole);
            let every_field: Vec<usize> = (0..num_fields).collect();
            let whole = Rows::new(&whole, &every_field);
            let candidates = Rows::new(&self.samples, &of_candidate);
            let rows = candidates.all();
            let of_context = Rows::new([&shared], &of_context);
            // No field, no offsets: the row of an empty context.
            let row = of_context.all().first().copied().unwrap_or(xsfm_runtime::Row::new(&[]));
            ranker.set_context(row).unwrap();
            let size = 1 + self.rng.below(37);
            let mut scores = vec![Score::default(); rows.len()];
            for (rows, scores) in rows.chunks(size).zip(scores.chunks_mut(size)) {
                ranker.score_batch(rows, scores).unwrap();
            }
            expected.check(&name, &scores);
            if self.has_same_order(model, &context) {
                let mut scratch = memory(model.batch_scratch_blocks());
                let mut together = vec![Score::default(); rows.len()];
                Scorer::new(model, &mut scratch).unwrap().score_batch(&whole.all(), &mut together).unwrap();
                assert_eq!(scores, together, "{name}: not the bits of whole rows");
            }
            let mut sorted: Vec<Ranked> = scores.iter().copied().enumerate().map(ranked).collect();
            sorted.sort_by(|a, b| b.score.logit.total_cmp(&a.score.logit));
            let room = self.rng.below(rows.len() + 3);
            let mut best = vec![Ranked::default(); room];
            let found = ranker.top_k(rows, &mut best).unwrap();
            assert_eq!(best[..found], sorted[..room.min(sorted.len())], "{name}: the best {room}");
        }
    }

    /// Whether the ranker promises the bits of whole rows in f32 mode too.
    fn has_same_order(&self, model: &Model<'_>, context: &[usize]) -> bool {
        let comes_first = context.iter().all(|&field| field < context.len());
        let has_layers = self.shape.hidden.as_ref().is_none_or(|hidden| !hidden.is_empty());
        self.shape.mode != Mode::F32
            || (comes_first && self.shape.pairs == Pairs::Dense && model.is_prepared() && has_layers)
    }
}

fn ranked((candidate, score): (usize, Score)) -> Ranked {
    Ranked { candidate, score }
}

/// Random models on every back end, in every layout.
fn check_mode(mode: Mode) {
    let (mut distinct, mut rows_in_all) = (std::collections::HashSet::new(), 0);
    for seed in 0..cases() {
        let mut rng = Rng(seed * 3 + mode as u64);
        let shape = Shape::random(&mut rng, mode);
        let mut same = rng.clone();
        let draft = shape.draft(&mut rng);
        let file = draft.write();
        let model = Model::from_bytes(file.as_bytes()).unwrap_or_else(|error| panic!("{seed}, {shape:?}: {error}"));
        assert_eq!(model.mode(), if shape.hidden.is_none() && mode == Mode::Dynamic { Mode::Int8 } else { mode });
        let rows = shape.draft_in(Layout::Rows, &mut same).write();
        let rows = Model::from_bytes(rows.as_bytes()).unwrap();
        let reference = rows.with_backend(Backend::Portable).unwrap();
        let of_magnitudes = (mode == Mode::F32).then(|| magnitudes(draft).write());
        let of_magnitudes = of_magnitudes.as_ref().map(|file| Model::from_bytes(file.as_bytes()).unwrap());
        let magnitudes = of_magnitudes.map(|model| model.with_backend(Backend::Portable).unwrap());
        // Two groups of sixteen, and a rest that goes in a group of its own.
        let count = if cfg!(miri) { 4 } else { 37 };
        let samples = samples(&model, &mut rng, count);
        let every_field: Vec<usize> = (0..shape.num_fields).collect();
        let all = Rows::new(&samples, &every_field);
        let mut case = Case { shape: &shape, rng: &mut rng, samples, reference, magnitudes };
        let expected = case.expected(&case.samples);
        rows_in_all += count;
        distinct.extend(expected.scores.iter().map(|score| score.to_bits()));
        for backend in available() {
            let model = model.with_backend(backend).unwrap();
            assert_eq!(model.backend(), backend);
            // Portable code does not ask for tiles, and reads those that another back end has had laid.
            let best = model.with_backend(Backend::detect()).unwrap();
            let mut room = memory(best.prepared_blocks());
            let prepared = best.prepare(&mut room).unwrap().with_backend(backend).unwrap();
            assert!(prepared.is_prepared() || Backend::detect() == Backend::Portable);
            assert_eq!(prepared.prepared_blocks(), 0);
            for (layout, model) in [("as packed", &model), ("prepared", &prepared)] {
                let name = format!("seed {seed}, {}, {layout}, {shape:?}", backend.name());
                case.check_scorer(&name, model, &all, &expected);
                case.check_ranker(&name, model);
            }
        }
    }
    // Logits that are clamped, or all the same, would compare nothing.
    assert!(distinct.len() * 2 > rows_in_all, "{} different logits of {rows_in_all}", distinct.len());
}

#[test]
fn int8_scores_have_the_same_bits_everywhere() {
    check_mode(Mode::Int8);
}

#[test]
fn dynamic_scores_have_the_same_bits_everywhere() {
    check_mode(Mode::Dynamic);
}

#[test]
fn f32_scores_are_close_everywhere() {
    check_mode(Mode::F32);
}

/// Layers so wide that several groups of rows take turns at them in f32 mode: the same scores, and the same errors.
#[test]
fn groups_that_take_turns_have_the_bits_of_single_rows() {
    let mut rng = Rng(5);
    let shape = Shape {
        num_fields: 6,
        dim: 7,
        hidden: Some(vec![601, 523]),
        pairs: Pairs::Dense,
        extreme: false,
        ..Shape::random(&mut rng, Mode::F32)
    };
    let file = shape.draft_in(Layout::Rows, &mut rng).write();
    let model = Model::from_bytes(file.as_bytes()).unwrap();
    // Four groups together, then one, then a small one; and a row that has no score in a group between others.
    let mut samples = samples(&model, &mut rng, 64 + 16 + 5);
    let every_field: Vec<usize> = (0..shape.num_fields).collect();
    let good = Rows::new(&samples, &every_field);
    let wrong = 41;
    samples[wrong][3][0] = u32::MAX;
    let bad = Rows::new(&samples, &every_field);
    for backend in available() {
        let model = model.with_backend(backend).unwrap();
        let mut room = memory(model.prepared_blocks());
        let model = model.prepare(&mut room).unwrap();
        let mut scratch = memory(model.scratch_blocks());
        let mut scorer = Scorer::new(&model, &mut scratch).unwrap();
        let singles: Vec<Score> = good.all().into_iter().map(|row| scorer.score(row).unwrap()).collect();
        let mut scratch = memory(model.batch_scratch_blocks());
        let mut scorer = Scorer::new(&model, &mut scratch).unwrap();
        let mut scores = vec![Score::default(); singles.len()];
        scorer.score_batch(&good.all(), &mut scores).unwrap();
        assert_eq!(scores, singles, "{}", backend.name());
        scores.fill(Score::default());
        let error = scorer.score_batch(&bad.all(), &mut scores).unwrap_err();
        assert_eq!(error.row, wrong, "{}: {error}", backend.name());
        assert_eq!(scores[..wrong], singles[..wrong], "{}: rows before the wrong one", backend.name());
    }
}

/// One model for all threads, scratch for each: `Model` is `Sync`, and nothing of it changes.
#[test]
#[cfg_attr(target_family = "wasm", ignore = "no threads there")]
fn threads_share_a_model() {
    let mut rng = Rng(11);
    let shape = Shape { hidden: Some(vec![33, 16]), extreme: false, ..Shape::random(&mut rng, Mode::Int8) };
    let file = shape.draft(&mut rng).write();
    let model = Model::from_bytes(file.as_bytes()).unwrap();
    let mut room = memory(model.prepared_blocks());
    let model = &model.prepare(&mut room).unwrap();
    let samples = samples(model, &mut rng, 19);
    let every_field: Vec<usize> = (0..shape.num_fields).collect();
    let rows = &Rows::new(&samples, &every_field);
    let score_all = move || {
        let mut scratch = memory(model.batch_scratch_blocks());
        let mut scores = [Score::default(); 19];
        Scorer::new(model, &mut scratch).unwrap().score_batch(&rows.all(), &mut scores).unwrap();
        scores
    };
    let expected = score_all();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(move || (0..20).map(|_| score_all()).collect())).collect();
        for thread in threads {
            let runs: Vec<[Score; 19]> = thread.join().unwrap();
            assert!(runs.iter().all(|scores| *scores == expected));
        }
    });
}

/// Without this, a machine that lacks an extension would pass in silence.
#[test]
fn which_back_ends_were_compared() {
    let here = if cfg!(target_arch = "x86_64") {
        &[Backend::Sse41, Backend::Avx2, Backend::AvxVnni, Backend::Avx512Vnni, Backend::Avx512Amx][..]
    } else if cfg!(target_arch = "aarch64") {
        &[Backend::Neon, Backend::NeonDotprod, Backend::NeonI8mm][..]
    } else if cfg!(target_feature = "simd128") {
        &[Backend::Simd128][..]
    } else {
        &[][..]
    };
    for backend in Backend::ALL {
        let is_ours = backend == Backend::Portable || here.contains(&backend);
        let word = match (is_ours, backend.is_available()) {
            (false, available) => {
                assert!(!available, "{} on another architecture", backend.name());
                continue;
            }
            (true, true) => "compared",
            (true, false) => "NOT COMPARED: this CPU lacks it",
        };
        println!("back end {:<12} {word}", backend.name());
    }
    assert!(Backend::Portable.is_available() && Backend::detect().is_available());
    let expected = std::env::var("XSFM_BACKENDS").unwrap_or_default();
    for name in expected.split(',').filter(|name| !name.is_empty()) {
        let backend = Backend::ALL.into_iter().find(|backend| backend.name() == name).unwrap();
        assert!(backend.is_available(), "XSFM_BACKENDS asks for {name}");
    }
}

/// [`Int8Model`] against [`Scorer`], in every layout.
#[test]
fn small_programs_have_the_same_bits() {
    for seed in 0..cases() {
        let mut rng = Rng(seed * 5 + 1);
        let shape = Shape { weights: false, ..Shape::random(&mut rng, Mode::Int8) };
        let file = shape.draft(&mut rng).write();
        let model = Model::from_bytes(file.as_bytes()).unwrap();
        let every_field: Vec<usize> = (0..model.num_fields()).collect();
        let samples = samples(&model, &mut rng, 5);
        let rows = Rows::new(&samples, &every_field);
        let small = Int8Model::from_bytes(file.as_bytes()).unwrap();
        let mut scratch = memory(small.scratch_blocks());
        let portable = model.with_backend(Backend::Portable).unwrap();
        assert_eq!(small.scratch_blocks(), portable.scratch_blocks(), "seed {seed}");
        for (row, logit) in rows.all().into_iter().zip(plain(&portable, &rows)) {
            assert_eq!(small.score(row, &mut scratch).unwrap() as f32 / 65_536.0, logit, "seed {seed}");
        }
        let (needed, found) = (small.scratch_blocks(), small.scratch_blocks() - 1);
        let too_few = small.score(rows.all()[0], &mut scratch[..found]);
        assert!(matches!(too_few, Err(ScoreError::ScratchTooSmall { .. })), "{needed} blocks");
    }
    for (mode, found) in [(Mode::F32, 0), (Mode::Dynamic, 2)] {
        let mut rng = Rng(3);
        let shape = Shape { hidden: Some(vec![4]), ..Shape::random(&mut rng, mode) };
        let file = shape.draft(&mut rng).write();
        let error = Int8Model::from_bytes(file.as_bytes()).unwrap_err();
        assert!(matches!(error, LoadError::Value { least: 1, most: 1, found: f, .. } if f == found), "{error}");
    }
}

/// [`Int8Ranker`] against [`Int8Model`], in every layout: fields that do not fill blocks of inputs, and some alone.
#[test]
fn small_programs_rank_with_the_same_bits() {
    for seed in 0..cases() {
        let mut rng = Rng(seed * 13 + 4);
        let shape = Shape { weights: false, ..Shape::random(&mut rng, Mode::Int8) };
        let file = shape.draft(&mut rng).write();
        let model = Model::from_bytes(file.as_bytes()).unwrap();
        let samples = samples(&model, &mut rng, 5);
        let small = Int8Model::from_bytes(file.as_bytes()).unwrap();
        let context: Vec<usize> = (0..shape.num_fields - 1).filter(|_| rng.one_in(2)).collect();
        let others: Vec<usize> = (0..shape.num_fields).filter(|field| !context.contains(field)).collect();
        let mut room = memory(Int8Ranker::blocks(&small, &context).unwrap());
        let (needed, found) = (room.len(), room.len() - 1);
        let too_few = Int8Ranker::new(&small, &context, &mut room[..found]).unwrap_err();
        assert_eq!(too_few, ScoreError::ScratchTooSmall { needed, found });
        let mut ranker = Int8Ranker::new(&small, &context, &mut room).unwrap();
        let candidates = Rows::new(&samples, &others);
        let candidates = candidates.all();
        assert_eq!(ranker.score(candidates[0]), Err(ScoreError::NoContext));
        let mut scratch = memory(small.scratch_blocks());
        for shared in &samples[..2] {
            let row = Rows::new([shared], &context);
            ranker.set_context(row.all().first().copied().unwrap_or(Row::new(&[]))).unwrap();
            for (sample, candidate) in samples.iter().zip(&candidates) {
                let of = |field: usize| if context.contains(&field) { shared } else { sample };
                let whole: Sample = (0..shape.num_fields).map(|field| of(field)[field].clone()).collect();
                let every_field: Vec<usize> = (0..shape.num_fields).collect();
                let expected = small.score(Rows::new([&whole], &every_field).all()[0], &mut scratch).unwrap();
                assert_eq!(ranker.score(*candidate), Ok(expected), "seed {seed}, context {context:?}, {shape:?}");
            }
        }
        assert!(matches!(ranker.score(Row::new(&[])), Err(ScoreError::FieldCount { found: 0, .. })));
        assert!(ranker.set_context(Row::new(&vec![0; shape.num_fields])).is_err());
        assert_eq!(ranker.score(candidates[0]), Err(ScoreError::NoContext));
    }
}

/// A field all of whose weights are 1 has the bits of a bag without weights, in every mode.
#[test]
fn weights_of_one_change_nothing() {
    for (seed, mode) in
        (0..cases() / 3).flat_map(|seed| [Mode::Int8, Mode::Dynamic, Mode::F32].map(|mode| (seed, mode)))
    {
        let mut rng = Rng(seed * 7 + 2);
        let shape = Shape { weights: true, ..Shape::random(&mut rng, mode) };
        let mut draft = shape.draft(&mut rng);
        let file = draft.write();
        let weighted = Model::from_bytes(file.as_bytes()).unwrap();
        let mut of_weights = samples(&weighted, &mut rng, 5);
        let has_weights: Vec<bool> = weighted.fields().map(|field| field.weighted).collect();
        let mut without = of_weights.clone();
        for (with, without) in of_weights.iter_mut().zip(&mut without) {
            for (field, _) in has_weights.iter().enumerate().filter(|(_, has)| **has) {
                without[field] = with[field].iter().copied().step_by(2).collect();
                with[field] = without[field].iter().flat_map(|&index| [index, Weight::ONE.word()]).collect();
                let record = draft.field(field);
                (record.features, record.weighted_features) = (record.num_features().into(), 0.into());
            }
        }
        let file = draft.write();
        let plain_bags = Model::from_bytes(file.as_bytes()).unwrap();
        let every_field: Vec<usize> = (0..shape.num_fields).collect();
        let portable = |model: &Model<'_>, samples: &[Sample]| {
            plain(&model.with_backend(Backend::Portable).unwrap(), &Rows::new(samples, &every_field))
        };
        assert_eq!(portable(&weighted, &of_weights), portable(&plain_bags, &without), "seed {seed}, {shape:?}");
    }
}

/// [`Int8Model`] has no code for weights, and says so.
#[test]
fn small_programs_refuse_weights() {
    let mut rng = Rng(3);
    let shape = Shape { num_fields: 12, weights: true, ..Shape::random(&mut rng, Mode::Int8) };
    let file = shape.draft(&mut rng).write();
    let model = Model::from_bytes(file.as_bytes()).unwrap();
    let field = model.fields().position(|field| field.weighted).unwrap() as u32;
    let error = Int8Model::from_bytes(file.as_bytes()).unwrap_err();
    assert!(matches!(error, LoadError::Value { at, most: 0, .. } if at == field), "{error}");
    assert!(error.to_string().contains("features with weights"), "{error}");
}
