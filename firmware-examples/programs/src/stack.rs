//! Measures the stack that loading, scoring and ranking take: painted before, looked at after.
//!
//! Together with the scratch, which is logged too, that is all the RAM that a model needs.

use defmt::info;
use xsfm_runtime::{Int8Model, Model, Ranked, Ranker, Score, ScoreError, Scorer, ScratchBlock};

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
        sum = Scorer::new(&model, &mut *scratch).and_then(|mut scorer| {
            flash::rows().rows().try_fold(0.0, |sum, row| Ok(sum + scorer.score(row)?.probability()))
        });
    });
    let sum = sum.unwrap_or_else(|why| stop("scoring", why));
    info!("figure stack score {}", score);

    small(scratch, sum);

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

/// All the RAM that the smallest scorer may take for the student: scratch and stack.
const SMALL: usize = 4096;

/// The smallest scorer's stack, whose probabilities must add up to the same.
fn small(scratch: &mut [ScratchBlock], sum: f32) {
    let mut model = None;
    let load = high_water(|| model = Some(Int8Model::from_bytes(&flash::MODEL.0)));
    let Some(Ok(model)) = model else { stop("the model", "cannot be loaded in int8 mode alone") };
    let mut found = Ok(0.0);
    let score = high_water(|| {
        found = flash::rows().rows().try_fold(0.0, |sum, row| {
            let logit = model.score(row, scratch)? as f32 / 65_536.0;
            Ok(sum + Score { logit }.probability())
        });
    });
    if found.unwrap_or_else(|why: ScoreError| stop("scoring", why)) != sum {
        stop("the smallest scorer's sum of probabilities", "is another");
    }
    let scratch = model.scratch_blocks() * ScratchBlock::LEN;
    info!("the smallest scorer: {} bytes of stack to load, {} to score, {} of scratch", load, score, scratch);
    if load.max(score) + scratch > SMALL {
        stop("the smallest scorer's RAM", load.max(score) + scratch);
    }
}
