//! The best of many candidates, whose scores come in chunks.

use std::cmp::Ordering;

use crate::score::Score;

/// A candidate among the best.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Ranked {
    /// Its number in the order in which candidates were given, from 0.
    pub candidate: usize,
    /// Its score.
    pub score: Score,
}

impl Ranked {
    /// Better first: the higher logit, then the earlier candidate.
    fn order(&self, other: &Self) -> Ordering {
        other.score.logit.total_cmp(&self.score.logit).then(self.candidate.cmp(&other.candidate))
    }

    fn is_worse(&self, other: &Self) -> bool {
        self.order(other).is_gt()
    }
}

/// Keeps the best candidates, as many as there is room for, while their scores come in chunks: between two of them a
/// program can do something else, such as yield to a task that is more urgent.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let packed = include_bytes!("../../../tests/fixtures/movielens-student/model.xsfm");
/// use xsfm_runtime::{Aligned, Model, Ranked, Ranker, Row, Score, ScratchBlock, TopK};
///
/// # let bytes = Aligned(*packed); let bytes = &bytes.0;
/// let model = Model::from_bytes(bytes)?;
/// let mut memory = vec![ScratchBlock::ZERO; Ranker::blocks(&model, &[0, 2, 3, 4])?];
/// let mut ranker = Ranker::new(&model, &[0, 2, 3, 4], &mut memory)?;
/// ranker.set_context(Row::new(&[7, 1, 1, 3]))?;
/// let mut best = [Ranked::default(); 2];
/// let mut top = TopK::new(&mut best);
/// for films in [[[42, 5, 2], [43, 6, 9]], [[44, 7, 1], [45, 8, 3]]] {
///     let mut scores = [Score::default(); 2];
///     ranker.score_batch(&films.each_ref().map(|film| Row::new(film)), &mut scores)?;
///     top.push(&scores);
///     // The place to yield.
/// }
/// assert_eq!((top.candidates(), top.finish().len()), (4, 2));
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct TopK<'b> {
    /// A heap, the worst of which is first, of `found` candidates.
    best: &'b mut [Ranked],
    found: usize,
    candidates: usize,
}

impl<'b> TopK<'b> {
    /// The best go to `best`, which is as long as there shall be of them.
    pub fn new(best: &'b mut [Ranked]) -> Self {
        TopK { best, found: 0, candidates: 0 }
    }

    /// The scores of the next candidates.
    pub fn push(&mut self, scores: &[Score]) {
        for &score in scores {
            self.keep(Ranked { candidate: self.candidates, score });
            self.candidates += 1;
        }
    }

    /// How many candidates there were so far.
    pub fn candidates(&self) -> usize {
        self.candidates
    }

    /// The best so far, best first. Equal logits are in the order of their candidates.
    pub fn finish(self) -> &'b mut [Ranked] {
        let found = &mut self.best[..self.found];
        found.sort_unstable_by(Ranked::order);
        found
    }

    /// Adds a candidate to the heap, where it is among the best.
    fn keep(&mut self, new: Ranked) {
        let best = &mut *self.best;
        if self.found < best.len() {
            let mut at = self.found;
            best[at] = new;
            while at > 0 && best[at].is_worse(&best[(at - 1) / 2]) {
                best.swap(at, (at - 1) / 2);
                at = (at - 1) / 2;
            }
            self.found += 1;
            return;
        }
        match best.first_mut() {
            Some(worst) if worst.is_worse(&new) => *worst = new,
            _ => return,
        }
        let mut at = 0;
        loop {
            let children = 2 * at + 1..best.len().min(2 * at + 3);
            let worst =
                children.fold(at, |worst, child| if best[child].is_worse(&best[worst]) { child } else { worst });
            if worst == at {
                return;
            }
            best.swap(at, worst);
            at = worst;
        }
    }
}
