//! Computes a context once and finds the ten best of many candidates: with the bits of scoring each whole row, which
//! the ranker of small programs gives too.

use defmt::info;
use xsfm_runtime::{Int8Model, Int8Ranker, Model, Ranked, Ranker, Scorer};

use crate::{flash, stop};

/// How many are wanted.
const TOP: usize = 10;
/// Steps of an integer logit in 1.
const STEPS: f32 = 65_536.0;
/// Fields that a context may have here.
const MOST_FIELDS: usize = 64;

/// The context's fields as the ranker wants them.
#[derive(Clone, Copy, Debug)]
pub struct ContextFields {
    numbers: [usize; MOST_FIELDS],
    count: usize,
}

impl ContextFields {
    /// From the words of a ranking.
    pub fn new(fields: &[u32]) -> Self {
        let mut numbers = [0; MOST_FIELDS];
        if fields.len() > MOST_FIELDS {
            stop("fields in the context", fields.len());
        }
        numbers.iter_mut().zip(fields).for_each(|(number, &field)| *number = field as usize);
        ContextFields { numbers, count: fields.len() }
    }

    /// Their numbers.
    pub fn as_slice(&self) -> &[usize] {
        &self.numbers[..self.count]
    }
}

/// The model and the candidates in flash.
pub fn main() {
    let ranking = flash::ranking();
    let model = Model::from_bytes(&flash::MODEL.0).unwrap_or_else(|why| stop("the model", why));
    let fields = ContextFields::new(ranking.context_fields);
    let memory = flash::RANKER.take();
    let ranker = Ranker::new(&model, fields.as_slice(), &mut *memory);
    let mut ranker = ranker.unwrap_or_else(|why| stop("a ranker", why));
    let mut best = [Ranked::default(); TOP];
    for context in ranking.context.rows() {
        ranker.set_context(context).unwrap_or_else(|why| stop("the context", why));
    }
    let found = ranker.top_k(ranking.candidates.rows(), &mut best).unwrap_or_else(|why| stop("ranking", why));
    info!("the best {} of {} candidates", found, ranking.candidates.rows().len());
    for Ranked { candidate, score } in &best[..found] {
        info!("candidate {} logit {:08x}", candidate, score.logit.to_bits());
    }

    // Now the plain way: every whole row, then the ten highest, the earlier of equals first. And the small ranker's.
    let small = Int8Model::from_bytes(&flash::MODEL.0);
    let small = small.unwrap_or_else(|why| stop("the model in int8 mode alone", why));
    let small = Int8Ranker::new(&small, fields.as_slice(), memory);
    let mut small = small.unwrap_or_else(|why| stop("a small ranker", why));
    for context in ranking.context.rows() {
        small.set_context(context).unwrap_or_else(|why| stop("the small ranker's context", why));
    }
    let mut scorer = Scorer::new(&model, flash::SCRATCH.take()).unwrap_or_else(|why| stop("a scorer", why));
    let mut known = [Ranked { candidate: usize::MAX, ..Ranked::default() }; TOP];
    let mut len = 0;
    for (number, (candidate, row)) in ranking.candidates.rows().zip(ranking.whole.rows()).enumerate() {
        let score = scorer.score(row).unwrap_or_else(|why| stop("a whole row", why));
        let steps = small.score(candidate).unwrap_or_else(|why| stop("the small ranker's score", why));
        if steps as f32 / STEPS != score.logit {
            stop("the small ranker gives another logit to candidate", number);
        }
        let at = known[..len].iter().position(|other| other.score.logit < score.logit).unwrap_or(len);
        if at < TOP {
            len = TOP.min(len + 1);
            known[at..len].rotate_right(1);
            known[at] = Ranked { candidate: number, score };
        }
    }
    if known[..len] != best[..found] {
        stop("scoring whole rows gives others", &known[..len]);
    }
    info!("scoring {} whole rows gives the same, and so does the small ranker", ranking.whole.rows().len());
}
