//! Rows, batches, scratch and contexts that do not fit: the error names what and where, and the next row is scored all
//! the same.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use common::random::{Pairs, Rng, Rows, Sample, Shape, samples};
use xsfm_runtime::format::Layout;
use xsfm_runtime::{
    Backend, BatchError, Mode, Model, Ranked, Ranker, Row, Score, ScoreError, Scorer, ScratchBlock, Weight,
};
use zerocopy::IntoBytes;

/// Five fields, the last ones bags or not as the seed has it.
fn shape(mode: Mode, layout: Layout) -> Shape {
    let (pairs, hidden) = (Pairs::Dense, Some(vec![20, 17]));
    let parts = (true, true, false);
    let (feature_weight, field_vector, extreme) = parts;
    let (num_fields, dim, weights) = (5, 6, false);
    Shape { mode, num_fields, dim, hidden, feature_weight, field_vector, pairs, layout, weights, extreme }
}

/// Calls `check` with the model in rows and in tiles on every back end, and with samples for it.
fn on_every_back_end(check: impl Fn(&Model<'_>, &[Sample])) {
    let rows = [Mode::Int8, Mode::Dynamic, Mode::F32].map(|mode| (mode, Layout::Rows));
    for (mode, layout) in rows.into_iter().chain([(Mode::Int8, Layout::Dsp), (Mode::Int8, Layout::Mve)]) {
        let mut rng = Rng(7);
        let file = shape(mode, layout).draft(&mut rng).write();
        let model = Model::from_bytes(file.as_bytes()).unwrap();
        let samples = samples(&model, &mut rng, 21);
        for backend in Backend::ALL {
            let Some(model) = model.with_backend(backend) else { continue };
            check(&model, &samples);
            let mut memory = vec![ScratchBlock::ZERO; model.prepared_blocks()];
            check(&model.prepare(&mut memory).unwrap(), &samples);
        }
    }
}

const EVERY: [usize; 5] = [0, 1, 2, 3, 4];

#[test]
fn a_bad_row_is_named_and_those_before_it_are_scored() {
    on_every_back_end(|model, samples| {
        let good = Rows::new(samples, &EVERY);
        let rows = good.all();
        let features = model.fields().nth(3).unwrap().features;
        let mut beyond = samples[0].clone();
        *beyond[3].last_mut().unwrap() = features;
        let beyond = Rows::new([&beyond], &EVERY);
        let mut empty = samples[0].clone();
        empty[2].clear();
        let empty = Rows::new([&empty], &EVERY);
        let most = if model.fields().nth(2).unwrap().bag { 1024 } else { 1 };
        let bad = [
            (beyond.all()[0], ScoreError::IndexOutOfRange { field: 3, index: features, features }),
            (empty.all()[0], ScoreError::IndexCount { field: 2, most, found: 0 }),
            (Row::new(&[0; 4]), ScoreError::FieldCount { expected: 5, found: 4 }),
            (Row::new(&[0; 6]), ScoreError::FieldCount { expected: 5, found: 6 }),
            (Row::with_bags(&[0; 5], &[0, 1, 2, 3, 4, 6]), ScoreError::Offsets { field: 4 }),
            (Row::with_bags(&[0; 5], &[0, 1, 2, 1, 4, 5]), ScoreError::Offsets { field: 2 }),
        ];
        for blocks in [model.scratch_blocks(), model.batch_scratch_blocks()] {
            let mut scratch = vec![ScratchBlock::ZERO; blocks];
            let mut scorer = Scorer::new(model, &mut scratch).unwrap();
            let expected: Vec<Score> = rows.iter().map(|&row| scorer.score(row).unwrap()).collect();
            for (row, error) in bad {
                assert_eq!(scorer.score(row), Err(error));
                for at in [0, 3, 8, 12, 20] {
                    let mut batch = rows.clone();
                    batch[at] = row;
                    let mut scores = vec![Score { logit: 1e9 }; batch.len()];
                    assert_eq!(scorer.score_batch(&batch, &mut scores), Err(BatchError { row: at, error }));
                    assert_eq!(scores[..at], expected[..at], "{error} in row {at}");
                }
            }
            let mut scores = vec![Score::default(); rows.len()];
            scorer.score_batch(&rows, &mut scores).unwrap();
            assert_eq!(scores, expected, "after errors");
            scorer.score_batch(&[], &mut []).unwrap();
            let error = ScoreError::BatchLength { rows: 21, scores: 20 };
            assert_eq!(scorer.score_batch(&rows, &mut scores[..20]), Err(BatchError { row: 0, error }));
        }
    });
}

#[test]
fn a_bad_candidate_or_context_is_named() {
    on_every_back_end(|model, samples| {
        let context = [3, 1];
        let (contexts, candidates) = (Rows::new(&samples[..1], &[1, 3]), Rows::new(samples, &[0, 2, 4]));
        let mut memory = vec![ScratchBlock::ZERO; Ranker::blocks(model, &context).unwrap()];
        let mut ranker = Ranker::new(model, &context, &mut memory).unwrap();
        let (row, rows) = (contexts.all()[0], candidates.all());
        let refused = |ranker: &mut Ranker<'_>| {
            let error = BatchError { row: 0, error: ScoreError::NoContext };
            assert_eq!(ranker.score_batch(&rows, &mut vec![Score::default(); rows.len()]), Err(error));
            assert_eq!(ranker.top_k(rows.clone(), &mut [Ranked::default(); 3]), Err(error));
        };
        refused(&mut ranker);
        let features = model.fields().nth(3).unwrap().features;
        for (context, error) in [
            (Row::new(&[0; 3]), ScoreError::FieldCount { expected: 2, found: 3 }),
            (Row::new(&[0, features]), ScoreError::IndexOutOfRange { field: 1, index: features, features }),
            (Row::with_bags(&[0; 2], &[0, 1, 9]), ScoreError::Offsets { field: 1 }),
        ] {
            ranker.set_context(row).unwrap();
            assert_eq!(ranker.set_context(context), Err(error));
            refused(&mut ranker);
        }
        ranker.set_context(row).unwrap();
        ranker.clear_context();
        refused(&mut ranker);
        ranker.set_context(row).unwrap();

        let mut expected = vec![Score::default(); rows.len()];
        ranker.score_batch(&rows, &mut expected).unwrap();
        let error = ScoreError::FieldCount { expected: 3, found: 1 };
        for at in [0, 3, 8, 12, 20] {
            let mut batch = rows.clone();
            batch[at] = Row::new(&[0]);
            let mut scores = vec![Score::default(); rows.len()];
            assert_eq!(ranker.score_batch(&batch, &mut scores), Err(BatchError { row: at, error }));
            assert_eq!(scores[..at], expected[..at]);
            // Candidates come in chunks; their numbers count from the first of all.
            let many = (0..4).flat_map(|n| if n == 3 { batch.clone() } else { rows.clone() });
            let mut best = [Ranked::default(); 3];
            assert_eq!(ranker.top_k(many, &mut best), Err(BatchError { row: 63 + at, error }));
        }
        let error = ScoreError::BatchLength { rows: 21, scores: 22 };
        expected.push(Score::default());
        assert_eq!(ranker.score_batch(&rows, &mut expected), Err(BatchError { row: 0, error }));
        assert_eq!(ranker.top_k([], &mut [Ranked::default(); 3]), Ok(0));
        assert_eq!(ranker.top_k(rows, &mut []), Ok(0));
    });
}

#[test]
fn a_block_too_few_is_an_error_that_says_how_many() {
    on_every_back_end(|model, _| {
        let mut memory = vec![ScratchBlock::ZERO; 4096];
        let mut too_few = |needed: usize, used: &dyn Fn(&mut [ScratchBlock]) -> Option<ScoreError>| {
            let error = Some(ScoreError::ScratchTooSmall { needed, found: needed.saturating_sub(1) });
            if needed > 0 {
                assert_eq!(used(&mut memory[..needed - 1]), error);
            }
            assert_eq!(used(&mut memory[..needed]), None);
        };
        too_few(model.scratch_blocks(), &|memory| Scorer::new(model, memory).err());
        let gains = model.backend() != Backend::Portable && !model.is_prepared();
        assert_eq!(model.prepared_blocks() > 0, gains);
        too_few(model.prepared_blocks(), &|memory| model.prepare(memory).err());
        for context in [&[][..], &[2], &[4, 0, 1, 3]] {
            too_few(Ranker::blocks(model, context).unwrap(), &|memory| Ranker::new(model, context, memory).err());
        }
        assert!(model.batch_scratch_blocks() >= model.scratch_blocks());
        assert_eq!(model.statistics().scratch_bytes, model.scratch_blocks() * ScratchBlock::LEN);
    });
}

#[test]
fn a_context_has_fields_of_the_model_once_and_not_all() {
    on_every_back_end(|model, _| {
        let mut memory = vec![ScratchBlock::ZERO; 4096];
        for (context, field) in [(&[5][..], 5), (&[usize::MAX], usize::MAX), (&[1, 1], 1), (&[0, 1, 2, 3, 4], 4)] {
            let error = Some(ScoreError::ContextField { field });
            assert_eq!(Ranker::blocks(model, context).err(), error);
            assert_eq!(Ranker::new(model, context, &mut memory).err(), error);
        }
    });
}

#[test]
fn words_that_are_no_indices_with_weights_are_named() {
    let one = Weight::ONE.word();
    for mode in [Mode::Int8, Mode::Dynamic, Mode::F32] {
        let mut rng = Rng(1);
        let mut draft = shape(mode, Layout::Rows).draft(&mut rng);
        let field = draft.field(1);
        let before = field.num_features();
        (field.bag, field.features, field.weighted_features) = (1, 0.into(), before.into());
        let file = draft.write();
        let model = Model::from_bytes(file.as_bytes()).unwrap();
        let missing = ScoreError::MissingWeight { field: 1 };
        let cases: &[(&[u32], ScoreError)] = &[
            (&[], ScoreError::IndexCount { field: 1, most: 1024, found: 0 }),
            (&[0], missing),
            (&[0, 0], missing),
            (&[0, one, 0], missing),
            (&[one], missing),
            (&[one, one], missing),
            (&[one, 0], missing),
            (&[0, one | 1 << 16], missing),
            (&[0, 1 << 31 | 0x8000], missing),
            (&[before, one], ScoreError::IndexOutOfRange { field: 1, index: before, features: before }),
            (&[0, one, before, one], ScoreError::IndexOutOfRange { field: 1, index: before, features: before }),
        ];
        let long = [0, one].repeat(1025);
        let long = (&long[..], ScoreError::IndexCount { field: 1, most: 1024, found: 1025 });
        let mut scratch = vec![ScratchBlock::ZERO; model.scratch_blocks()];
        let mut scorer = Scorer::new(&model, &mut scratch).unwrap();
        let mut score = |words: [&[u32]; 5]| {
            let mut offsets = vec![0];
            words.iter().for_each(|words| offsets.push(offsets.last().unwrap() + words.len() as u32));
            scorer.score(Row::with_bags(&words.concat(), &offsets))
        };
        for &(words, error) in cases.iter().chain([&long]) {
            assert_eq!(score([&[0], words, &[0], &[0], &[0]]), Err(error), "{words:?}");
        }
        assert!(score([&[0], &[0, one, 0, one], &[0], &[0], &[0]]).is_ok());
        let superfluous = ScoreError::UnexpectedWeight { field: 0 };
        for words in [&[0, one][..], &[one], &[one, 0]] {
            assert_eq!(score([words, &[0, one], &[0], &[0], &[0]]), Err(superfluous), "{words:?}");
        }
    }
}
