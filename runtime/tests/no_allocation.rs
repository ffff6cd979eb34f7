//! Loading, preparing, scoring and ranking never allocate, on any back end, whether they succeed or not.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use common::random::{Pairs, Rng, Rows, Shape, samples};
use xsfm_runtime::format::Layout;
use xsfm_runtime::{Backend, Mode, Model, Ranked, Ranker, Row, Score, Scorer, ScratchBlock};
use zerocopy::IntoBytes;

/// Everything that a program does with a model.
fn use_model(file: &[u8], backend: Backend, memory: &mut [Vec<ScratchBlock>; 4], rows: [&[Row<'_>]; 3]) -> Score {
    let [of_prepared, of_scorer, of_batches, of_ranker] = memory;
    let [rows, contexts, candidates] = rows;
    let model = Model::from_bytes(file).unwrap().with_backend(backend).unwrap();
    let first = rows[0];
    let plain = Scorer::new(&model, of_scorer).unwrap().score(first).unwrap();
    let model = model.prepare(of_prepared).unwrap();
    let mut scores = [Score::default(); 19];
    let mut scorer = Scorer::new(&model, of_batches).unwrap();
    scorer.score_batch(rows, &mut scores).unwrap();
    assert!((scores[0].logit - plain.logit).abs() < 1e-3);
    assert!(scorer.score(Row::new(&[])).is_err());
    assert!(Model::from_bytes(&file[1..]).is_err());

    let mut ranker = Ranker::new(&model, &CONTEXT, of_ranker).unwrap();
    ranker.set_context(contexts[0]).unwrap();
    ranker.score_batch(candidates, &mut scores).unwrap();
    let mut best = [Ranked::default(); 3];
    assert_eq!(ranker.top_k(candidates.iter().copied(), &mut best), Ok(3));
    assert!(model.statistics().parameters > 0 && model.fields().count() == 6);
    best[0].score
}

const CONTEXT: [usize; 2] = [1, 4];

#[test]
fn nothing_is_allocated() {
    for mode in [Mode::Int8, Mode::Dynamic, Mode::F32] {
        let mut rng = Rng(3);
        let shape = Shape {
            mode,
            num_fields: 6,
            dim: 10,
            hidden: Some(vec![20, 17]),
            feature_weight: true,
            field_vector: true,
            pairs: Pairs::Dense,
            layout: Layout::Rows,
            weights: true,
            extreme: false,
        };
        let blocks = shape.draft(&mut rng).write();
        let file = blocks.as_bytes();
        let model = Model::from_bytes(file).unwrap();
        let samples = samples(&model, &mut rng, 19);
        let rows = [&[0, 1, 2, 3, 4, 5][..], &CONTEXT, &[0, 2, 3, 5]].map(|fields| Rows::new(&samples, fields));
        let rows = [rows[0].all(), rows[1].all(), rows[2].all()];
        let rows = [&rows[0][..], &rows[1][..], &rows[2][..]];
        for backend in Backend::ALL.into_iter().filter(|backend| backend.is_available()) {
            let mut memory = [(); 4].map(|()| vec![ScratchBlock::ZERO; 1024]);
            let counted = allocation_counter::measure(|| {
                assert!(use_model(file, backend, &mut memory, rows).logit.is_finite());
            });
            assert_eq!(counted.count_total, 0, "{mode:?}, {}: {counted:?}", backend.name());
        }
    }
    // The counter counts.
    assert_eq!(allocation_counter::measure(|| drop(std::hint::black_box(vec![1_u8]))).count_total, 1);
}
