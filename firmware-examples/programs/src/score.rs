//! Scores every row and logs the bits of its logit and probability, which a host compares with its own.

use defmt::info;
use example_input::Table;
use xsfm_runtime::format::CRC;
use xsfm_runtime::{Model, ScoreError, Scorer, ScratchBlock, Statistics};

use crate::{flash, stop};

/// The model and the rows in flash.
pub fn main() {
    run(&flash::MODEL.0, flash::rows(), flash::SCRATCH.take());
}

/// Any model, and rows for it.
pub fn run(model: &[u8], rows: Table<'_>, scratch: &mut [ScratchBlock]) {
    let model = Model::from_bytes(model).unwrap_or_else(|why| stop("the model", why));
    // What scratch it needs depends on the machine's back end: `stack` logs that.
    let Statistics { mode, num_fields, embed_dim, file_bytes, parameters, multiply_accumulates, .. } =
        model.statistics();
    info!("{}, {} fields, embed_dim {}, {} bytes", mode, num_fields, embed_dim, file_bytes);
    info!("{} parameters, {} multiply-accumulates per row", parameters, multiply_accumulates);
    let mut scorer = Scorer::new(&model, scratch).unwrap_or_else(|why| stop("a scorer", why));
    let mut digest = CRC.digest();
    for (number, row) in rows.rows().enumerate() {
        let score = scorer.score(row).unwrap_or_else(|why: ScoreError| {
            defmt::error!("row {}", number);
            stop("its score", why)
        });
        let (logit, probability) = (score.logit.to_bits(), score.probability().to_bits());
        info!("row {} logit {:08x} probability {:08x}", number, logit, probability);
        digest.update(&logit.to_le_bytes());
        digest.update(&probability.to_le_bytes());
    }
    info!("{} rows, checksum {:08x}", rows.rows().len(), digest.finalize());
}
