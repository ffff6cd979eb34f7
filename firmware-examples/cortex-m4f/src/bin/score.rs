//! Scores every row and logs the bits of its logit and probability, which a host compares with its own.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use cortex_m4f::{MODEL, SCRATCH, exit, rows};
use defmt::{error, info};
use xsfm_runtime::format::CRC;
use xsfm_runtime::{Model, Scorer};

#[entry]
fn main() -> ! {
    let model = match Model::from_bytes(&MODEL.0) {
        Ok(model) => model,
        Err(why) => {
            error!("the model cannot be used: {}", why);
            exit(1)
        }
    };
    info!("{}", model.statistics());
    let mut scorer = match Scorer::new(&model, SCRATCH.take()) {
        Ok(scorer) => scorer,
        Err(why) => {
            error!("no scorer: {}", why);
            exit(1)
        }
    };
    let mut digest = CRC.digest();
    let mut count = 0_u32;
    for row in rows() {
        let score = match scorer.score(row) {
            Ok(score) => score,
            Err(why) => {
                error!("row {}: {}", count, why);
                exit(1)
            }
        };
        let (logit, probability) = (score.logit.to_bits(), score.probability().to_bits());
        info!("row {} logit {:08x} probability {:08x}", count, logit, probability);
        digest.update(&logit.to_le_bytes());
        digest.update(&probability.to_le_bytes());
        count += 1;
    }
    info!("{} rows, checksum {:08x}", count, digest.finalize());
    exit(0)
}
