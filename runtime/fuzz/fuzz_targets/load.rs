//! Any bytes: an error, or a model whose every first and last feature scores, with the same bits on every back end,
//! prepared or not, and by [`Int8Model`]. Checksums are made right, so that what lies behind them is reached.
//!
//! `cd runtime && cargo fuzz run load fuzz/corpus ../tests/fixtures/movielens-student`

#![no_main]

use libfuzzer_sys::fuzz_target;
use xsfm_runtime::format::{Arithmetic, CRC, Prefix};
use xsfm_runtime::{Backend, Int8Model, Mode, Model, Row, Score, Scorer, ScratchBlock};
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
    assert_eq!(small.is_ok(), is_int8);
    let first = vec![0; model.num_fields()];
    let last: Vec<u32> = model.fields().map(|field| field.features - 1).collect();
    let rows = [Row::new(&first), Row::new(&last), Row::new(&first)];
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
