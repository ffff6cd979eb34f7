//! Any bytes: an error, or a model whose every first and last feature scores. Checksums are made right, so that what lies behind
//! them is reached.
//!
//! `cd runtime && cargo fuzz run load fuzz/corpus ../tests/fixtures/movielens-student`

#![no_main]

use libfuzzer_sys::fuzz_target;
use xsfm_runtime::format::{CRC, Prefix};
use xsfm_runtime::{Model, Row, Scorer, ScratchBlock};
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
    let Ok(model) = Model::from_bytes(file) else { return };
    let mut scratch = vec![ScratchBlock::ZERO; model.scratch_blocks()];
    let mut scorer = Scorer::new(&model, &mut scratch).expect("the size that the model asked for");
    let first = vec![0; model.num_fields()];
    let last: Vec<u32> = model.fields().map(|field| field.features - 1).collect();
    for row in [Row::new(&first), Row::new(&last)] {
        if let Ok(score) = scorer.score(row) {
            assert!(score.logit.is_finite() && (0.0..=1.0).contains(&score.probability()));
        }
    }
});
