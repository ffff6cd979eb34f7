//! Any bytes: an error, or a model whose every first and last feature scores, with the same bits on every back end,
//! prepared or not, and by [`Int8Model`]. Checksums are made right, so that what lies behind them is reached.
//!
//! `cd runtime && cargo fuzz run load fuzz/corpus ../tests/fixtures/movielens-student`

#![no_main]

use libfuzzer_sys::fuzz_target;
use xsfm_runtime::format::{Arithmetic, CRC, Prefix};
use xsfm_runtime::{Backend, Int8Model, Mode, Model, Row, Score, Scorer, ScratchBlock, Weight};
use zerocopy::{FromBytes, IntoBytes};

fuzz_target!(|bytes: &[u8]| {
    let mut blocks = vec![ScratchBlock::ZERO; bytes.len().div_ceil(ScratchBlock::LEN)];
    let file = &mut blocks.as_mut_bytes()[..bytes.len()];
    file.copy_from_slice(bytes);
    if let Some(body) = file.get(Prefix::LEN..) {
        let checksum = CRC.checksum(body);
        if let Ok((prefix, _)) = Prefix::mut_from_prefix(file) {
            prefix.body_crc = checksum.into();
            prefix.prefix_crc = prefix.checksum().into();
        }
    }
    let small = Int8Model::from_bytes(file);
    // What is wrong with names alone is nothing to a small program.
    let Ok(model) = Model::from_bytes(file) else { return };
    let is_int8 = model.manifest().is_ok_and(|manifest| matches!(manifest.arithmetic, Arithmetic::Int8 { .. }));
    let has_weights = model.fields().any(|field| field.weighted);
    assert_eq!(small.is_ok(), is_int8 && !has_weights);
    let words = |index: fn(u32) -> u32| {
        let (mut indices, mut offsets) = (Vec::new(), vec![0]);
        for field in model.fields() {
            indices.push(index(field.features));
            indices.extend(field.weighted.then(|| Weight::MAX.word()));
            offsets.push(indices.len() as u32);
        }
        (indices, offsets)
    };
    let (first, last) = (words(|_| 0), words(|features| features - 1));
    let rows = [&first, &last, &first].map(|(indices, offsets)| match has_weights {
        true => Row::with_bags(indices, offsets),
        false => Row::new(indices),
    });
    let mut expected = None;
    for model in Backend::ALL.into_iter().filter_map(|backend| model.with_backend(backend)) {
        let mut tiles = vec![ScratchBlock::ZERO; model.prepared_blocks()];
        let prepared = model.prepare(&mut tiles).expect("the size that the model asked for");
        for model in [model, prepared] {
            let mut scratch = vec![ScratchBlock::ZERO; model.batch_scratch_blocks()];
            let mut scorer = Scorer::new(&model, &mut scratch).expect("the size that the model asked for");
            let mut scores = [Score::default(); 3];
            let Ok(()) = scorer.score_batch(&rows, &mut scores) else {
                assert_eq!(model.mode(), Mode::F32);
                continue;
            };
            for score in scores {
                assert!(score.logit.is_finite() && (0.0..=1.0).contains(&score.probability()));
            }
            if model.mode() != Mode::F32 {
                assert_eq!(*expected.get_or_insert(scores), scores, "{:?}", model.backend());
            }
        }
    }
    if let (Ok(small), Some(expected)) = (small, expected) {
        let mut scratch = vec![ScratchBlock::ZERO; small.scratch_blocks()];
        for (row, score) in rows.into_iter().zip(expected) {
            let steps = small.score(row, &mut scratch).expect("rows that were made for this model");
            assert_eq!(steps as f32 / 65_536.0, score.logit);
        }
    }
});
