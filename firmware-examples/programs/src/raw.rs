//! Scores rows of raw values: lines of text, as a server or a sensor would send them.

use defmt::info;
use example_input::encode_line;
use xsfm_runtime::format::CRC;
use xsfm_runtime::{EncodeError, Encoder, Model, Scorer, ScratchBlock};

use crate::{flash, stop};

/// The model and the rows in flash.
pub fn main() {
    let (mut indices, mut offsets) = ([0; flash::RAW_INDICES], [0; flash::RAW_FIELDS + 1]);
    let room = [&mut indices[..], &mut offsets];
    run(&flash::RAW_MODEL.0, flash::RAW_ROWS, flash::RAW_SCRATCH.take(), room, "raw row");
}

/// Any model with a vocabulary, lines for it, room for the indices and offsets of a row; `what` they are in the log.
pub fn run(model: &[u8], lines: &str, scratch: &mut [ScratchBlock], [indices, offsets]: [&mut [u32]; 2], what: &str) {
    let model = Model::from_bytes(model).unwrap_or_else(|why| stop("the model", why));
    let encoder = encoder(&model);
    let mut scorer = Scorer::new(&model, scratch).unwrap_or_else(|why| stop("a scorer", why));
    let (mut digest, mut count) = (CRC.digest(), 0_usize);
    for line in lines.lines() {
        let row = encode_line(&encoder, line, indices, offsets);
        let row = row.unwrap_or_else(|why| stop(line, Named { encoder: &encoder, why }));
        let score = scorer.score(row).unwrap_or_else(|why| stop(line, why));
        let (logit, probability) = (score.logit.to_bits(), score.probability().to_bits());
        info!("{} {} logit {:08x} probability {:08x}", what, count, logit, probability);
        digest.update(&logit.to_le_bytes());
        digest.update(&probability.to_le_bytes());
        count += 1;
    }
    info!("{} {}s, checksum {:08x}", count, what, digest.finalize());
}

/// What the model's file says of raw values.
pub fn encoder<'a>(model: &Model<'a>) -> Encoder<'a> {
    match model.encoder() {
        Ok(Some(encoder)) => encoder,
        Ok(None) => stop("the model", "packed without its vocabulary"),
        Err(why) => stop("the vocabulary", why),
    }
}

/// Why a value has no index, with the name of its field.
#[derive(Debug)]
pub struct Named<'e, 'a> {
    /// What knows the names.
    pub encoder: &'e Encoder<'a>,
    /// What is wrong.
    pub why: EncodeError,
}

impl defmt::Format for Named<'_, '_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        match self.why.field().and_then(|field| self.encoder.name(field)) {
            Some(name) => defmt::write!(f, "{}: {}", name, self.why),
            None => defmt::write!(f, "{}", self.why),
        }
    }
}
