//! What threads share and what is their own; the best of candidates in chunks; the outcome of every row.

use std::sync::Arc;
use std::thread;

use xsfm_runtime::{
    Aligned, Int8Model, LoadError, LoadOptions, Model, OwnedModel, OwnedSplit, Ranked, Ranker, Row, Score, ScoreError,
    Scorer, ScratchBlock, SplitModel, TopK,
};

static PACKED: &Aligned<[u8]> = &Aligned(*include_bytes!("../../tests/fixtures/movielens-student/model.xsfm"));
/// User, age, gender, occupation.
const CONTEXT_FIELDS: [usize; 4] = [0, 2, 3, 4];
const CONTEXT: [u32; 4] = [7, 1, 1, 3];

const _: () = {
    const fn shared<T: Send + Sync>() {}
    const fn moved<T: Send>() {}
    shared::<Model<'static>>();
    shared::<Int8Model<'static>>();
    shared::<SplitModel<'static>>();
    shared::<OwnedModel>();
    shared::<OwnedSplit>();
    moved::<Scorer<'static>>();
    moved::<Ranker<'static>>();
};

/// Film, release year, genre.
fn films() -> Vec<[u32; 3]> {
    (0..100).map(|n| [n * 37 % 1000, n % 11, n * 7 % 19]).collect()
}

fn ranker_scores(ranker: &mut Ranker<'_>, films: &[[u32; 3]]) -> Vec<Score> {
    ranker.set_context(Row::new(&CONTEXT)).expect("a context");
    let rows: Vec<Row<'_>> = films.iter().map(|film| Row::new(film)).collect();
    let mut scores = vec![Score::default(); rows.len()];
    ranker.score_batch(&rows, &mut scores).expect("candidates");
    scores
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "no threads there")]
fn rankers_of_several_threads_share_a_split_model() {
    let model = Model::from_bytes(&PACKED.0).expect("a model");
    let mut memory = vec![ScratchBlock::ZERO; Ranker::blocks(&model, &CONTEXT_FIELDS).expect("fields")];
    let mut alone = Ranker::new(&model, &CONTEXT_FIELDS, &mut memory).expect("room");
    let expected = ranker_scores(&mut alone, &films());
    let blocks = SplitModel::blocks(&model, &CONTEXT_FIELDS).expect("fields");
    let mut shared = vec![ScratchBlock::ZERO; blocks];
    let split = SplitModel::new(&model, &CONTEXT_FIELDS, &mut shared).expect("room");
    assert_eq!(blocks + split.ranker_blocks(), Ranker::blocks(&model, &CONTEXT_FIELDS).expect("fields"));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut own = vec![ScratchBlock::ZERO; split.ranker_blocks()];
                let mut ranker = Ranker::with_split(&split, &mut own).expect("room");
                assert_eq!(ranker.score_batch(&[], &mut []).map_err(|failed| failed.error), Err(ScoreError::NoContext));
                assert_eq!(ranker_scores(&mut ranker, &films()), expected);
            });
        }
    });
    let mut few = vec![ScratchBlock::ZERO; split.ranker_blocks() - 1];
    let (needed, found) = (few.len() + 1, few.len());
    assert_eq!(Ranker::with_split(&split, &mut few).err(), Some(ScoreError::ScratchTooSmall { needed, found }));
    let mut few = vec![ScratchBlock::ZERO; blocks - 1];
    let error = Some(ScoreError::ScratchTooSmall { needed: blocks, found: blocks - 1 });
    assert_eq!(SplitModel::new(&model, &CONTEXT_FIELDS, &mut few).err(), error);
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "no threads there")]
fn owners_are_shared_swapped_and_dropped() {
    let load = || Arc::new(OwnedModel::new(&PACKED.0, LoadOptions::default()).expect("a model"));
    let model = Model::from_bytes(&PACKED.0).expect("a model");
    let mut memory = vec![ScratchBlock::ZERO; Ranker::blocks(&model, &CONTEXT_FIELDS).expect("fields")];
    let expected = ranker_scores(&mut Ranker::new(&model, &CONTEXT_FIELDS, &mut memory).expect("room"), &films());
    let mut current = load();
    assert!(current.get().is_prepared() || current.get().prepared_blocks() == 0);
    let split = Arc::new(OwnedSplit::new(Arc::clone(&current), &CONTEXT_FIELDS).expect("fields"));
    let scoring = thread::spawn({
        let split = Arc::clone(&split);
        move || {
            let mut own = vec![ScratchBlock::ZERO; split.get().ranker_blocks()];
            ranker_scores(&mut Ranker::with_split(split.get(), &mut own).expect("room"), &films())
        }
    });
    let old = Arc::downgrade(&current);
    current = load();
    assert_eq!(scoring.join().expect("scores"), expected);
    assert!(old.upgrade().is_some(), "the split model still needs it");
    drop(split);
    assert!(old.upgrade().is_none() && current.get().num_fields() == model.num_fields());
    let error = OwnedSplit::new(current, &[0, 0]).err();
    assert_eq!(error, Some(ScoreError::ContextField { field: 0 }));
    let cut = PACKED.0[..1000].to_vec();
    let error = OwnedModel::new(cut, LoadOptions::default()).err();
    assert!(matches!(error, Some(LoadError::Truncated { found: 1000, .. })), "{error:?}");
}

#[test]
fn the_best_come_in_chunks_of_any_size() {
    let model = Model::from_bytes(&PACKED.0).expect("a model");
    let mut memory = vec![ScratchBlock::ZERO; Ranker::blocks(&model, &CONTEXT_FIELDS).expect("fields")];
    let mut ranker = Ranker::new(&model, &CONTEXT_FIELDS, &mut memory).expect("room");
    let films = films();
    let scores = ranker_scores(&mut ranker, &films);
    for k in [0, 1, 7, 100, 101] {
        let mut expected = vec![Ranked::default(); k];
        let found = ranker.top_k(films.iter().map(|film| Row::new(film)), &mut expected).expect("candidates");
        for chunk in [1, 3, 100] {
            let mut best = vec![Ranked::default(); k];
            let mut top = TopK::new(&mut best);
            scores.chunks(chunk).for_each(|scores| top.push(scores));
            assert_eq!(top.candidates(), 100);
            assert_eq!(top.finish(), &expected[..found], "the best {k} in chunks of {chunk}");
        }
    }
}

#[test]
fn every_row_has_its_outcome() {
    let model = Model::from_bytes(&PACKED.0).expect("a model");
    let mut scratch = vec![ScratchBlock::ZERO; model.batch_scratch_blocks()];
    let mut scorer = Scorer::new(&model, &mut scratch).expect("room");
    // Every seventh film is out of range, and two that follow each other.
    let wrong = |n: usize| n.is_multiple_of(7) || n == 50;
    let film = |n: usize| if wrong(n) { u32::MAX } else { n as u32 };
    let rows: Vec<[u32; 7]> = (0..200).map(|n| [7, film(n), 1, 1, 3, 5, 2]).collect();
    let rows: Vec<Row<'_>> = rows.iter().map(|row| Row::new(row)).collect();
    let mut outcomes = vec![Err(ScoreError::NoContext); rows.len()];
    scorer.score_each(&rows, &mut outcomes).expect("as many outcomes");
    for (n, (outcome, row)) in outcomes.iter().zip(&rows).enumerate() {
        assert_eq!(*outcome, scorer.score(*row), "row {n}");
        assert_eq!(outcome.is_err(), wrong(n), "row {n}");
    }
    let error = scorer.score_each(&rows, &mut outcomes[1..]);
    assert_eq!(error, Err(ScoreError::BatchLength { rows: 200, scores: 199 }));

    let mut memory = vec![ScratchBlock::ZERO; Ranker::blocks(&model, &CONTEXT_FIELDS).expect("fields")];
    let mut ranker = Ranker::new(&model, &CONTEXT_FIELDS, &mut memory).expect("room");
    let candidates = [[42, 5, 2], [u32::MAX, 5, 2], [43, 6, 9]];
    let rows = candidates.each_ref().map(|film| Row::new(film));
    let mut outcomes = [Ok(Score::default()); 3];
    assert_eq!(ranker.score_each(&rows, &mut outcomes), Err(ScoreError::NoContext));
    ranker.set_context(Row::new(&CONTEXT)).expect("a context");
    ranker.score_each(&rows, &mut outcomes).expect("as many outcomes");
    let scores = ranker_scores(&mut ranker, &[candidates[0], candidates[2]]);
    assert_eq!((outcomes[0], outcomes[2]), (Ok(scores[0]), Ok(scores[1])));
    assert!(matches!(outcomes[1], Err(ScoreError::IndexOutOfRange { field: 0, .. })));
}
