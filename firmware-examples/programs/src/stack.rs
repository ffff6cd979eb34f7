//! Measures the stack that loading, scoring and ranking take: painted before, looked at after.
//!
//! Together with the scratch, which is logged too, that is all the RAM that a model needs.

use defmt::info;
use xsfm_runtime::{Model, Ranked, Ranker, Scorer, ScratchBlock};

use crate::paint::high_water;
use crate::rank::ContextFields;
use crate::{flash, stop};

/// The model, rows and candidates in flash.
pub fn main() {
    let mut model = None;
    let load = high_water(|| model = Some(Model::from_bytes(&flash::MODEL.0)));
    let Some(Ok(model)) = model else { stop("the model", "cannot be loaded: `score` says why") };
    info!("figure stack load {}", load);

    let scratch = flash::SCRATCH.take();
    info!("figure scratch score {}", model.scratch_blocks() * ScratchBlock::LEN);
    let mut sum = Ok(0.0);
    let score = high_water(|| {
        sum = Scorer::new(&model, scratch).and_then(|mut scorer| {
            flash::rows().rows().try_fold(0.0, |sum, row| Ok(sum + scorer.score(row)?.probability()))
        });
    });
    let sum = sum.unwrap_or_else(|why| stop("scoring", why));
    info!("figure stack score {}", score);

    let ranking = flash::ranking();
    let fields = ContextFields::new(ranking.context_fields);
    let memory = flash::RANKER.take();
    let blocks = Ranker::blocks(&model, fields.as_slice()).unwrap_or_else(|why| stop("the context's fields", why));
    info!("figure scratch rank {}", blocks * ScratchBlock::LEN);
    let mut best = [Ranked::default(); 10];
    let mut ranked = false;
    let rank = high_water(|| {
        let Ok(mut ranker) = Ranker::new(&model, fields.as_slice(), memory) else { return };
        let context = ranking.context.rows().next();
        ranked = context.is_some_and(|context| ranker.set_context(context).is_ok())
            && ranker.top_k(ranking.candidates.rows(), &mut best).is_ok();
    });
    if !ranked {
        stop("ranking", "refused: `rank` says why");
    }
    info!("figure stack rank {}", rank);
    // What was computed is used, so that it is computed.
    info!("sum of probabilities {}, best logit {}", sum, best[0].score.logit);
}
