//! Models of public libraries: those beside the project, folders made here of every class in many shapes, and what is
//! refused.
#![allow(clippy::unwrap_used, reason = "tests stop at the first surprise")]

mod builder;
#[path = "../common/mod.rs"]
mod common;
mod folders;
mod golden;
mod plain;
mod refused;
mod shapes;

use std::path::Path;

use xsfm_convert::import;
use xsfm_convert::model::FloatModel;
use xsfm_convert::pack::{Packed, pack_f32};
use xsfm_runtime::{Model, Row, Scorer, ScratchBlock};

/// Logits by the runtime.
fn logits(packed: &Packed, rows: &[Vec<Vec<u32>>]) -> Vec<f64> {
    let model = Model::from_bytes(packed).unwrap();
    let mut scratch = vec![ScratchBlock::ZERO; model.scratch_blocks()];
    let mut scorer = Scorer::new(&model, &mut scratch).unwrap();
    let score = |row: &Vec<Vec<u32>>| {
        let mut offsets = vec![0];
        row.iter().for_each(|cell| offsets.push(offsets[offsets.len() - 1] + cell.len() as u32));
        f64::from(scorer.score(Row::with_bags(&row.concat(), &offsets)).unwrap().logit)
    };
    rows.iter().map(score).collect()
}

/// The model in `folder`, whose f32 logits are `expected`.
fn assert_imports(what: &str, folder: &Path, rows: &[Vec<Vec<u32>>], expected: &[f64]) -> FloatModel {
    let model = import::load(folder).unwrap_or_else(|error| panic!("{what}: {error}"));
    for (i, (found, expected)) in logits(&pack_f32(&model).unwrap(), rows).iter().zip(expected).enumerate() {
        let error = (found - expected).abs() / expected.abs().max(1.0);
        assert!(error <= 1e-5, "{what}, row {i}: {found} by the runtime, {expected} is right");
    }
    model
}
