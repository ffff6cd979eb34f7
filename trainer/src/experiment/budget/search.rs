//! Which models are trained, and which is best: knows neither training nor packing.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;

use super::space::{Choice, Space, exceeds};

/// Models are trained this many at a time, whatever the machine, so that the same search makes the same choices
/// everywhere.
const ROUND: usize = 4;

/// How much is tried.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Models trained with the first seed.
    pub trials: usize,
    /// Best of them that are trained with all seeds.
    pub finalists: usize,
    /// Decides which are tried where there are more.
    pub seed: u64,
}

/// Mean validation AUC of a choice over some seeds; `None` where its trained model does not fit after all, or its
/// training diverged: it counts as tried, and is worse than all others.
pub trait Trainer {
    /// Trains all of `choices`, or finds them trained: with the first seed, or with all.
    ///
    /// # Errors
    /// Training fails.
    fn aucs(&mut self, choices: &[Choice], all_seeds: bool) -> Result<Vec<Option<f64>>>;

    /// Whether there is time for more trials after so many; `None` where not time limits them, but their number.
    fn has_time(&self, _tried: usize) -> Option<bool> {
        None
    }
}

/// Searches among the choices that fit; gives the finalists, best first. Empty where nothing fits. `earlier`: finalists
/// of a smaller budget, which are finalists of this one too, so that more bytes are never worse. Where time limits the
/// trials, it goes on until the time is used, or nothing is left.
///
/// # Errors
/// Those of the trainer.
pub fn search(
    space: &Space,
    fits: &[Choice],
    earlier: &[Choice],
    effort: Effort,
    trainer: &mut impl Trainer,
) -> Result<Vec<(Choice, f64)>> {
    let mut tried: BTreeMap<Choice, Option<f64>> = BTreeMap::new();
    let attempt = |choices: &[Choice], tried: &mut BTreeMap<Choice, _>, trainer: &mut dyn Trainer| -> Result<()> {
        for round in choices.chunks(ROUND) {
            if tried.is_empty() || trainer.has_time(tried.len()) != Some(false) {
                tried.extend(round.iter().cloned().zip(trainer.aucs(round, false)?));
            }
        }
        Ok(())
    };
    let goes_on = |tried: usize, trainer: &dyn Trainer| trainer.has_time(tried).unwrap_or(tried < effort.trials);

    let mut first = first(fits, effort.seed);
    // What is left of the trials looks around the best of these.
    let others = first.split_off(first.len().min(effort.trials.div_ceil(2)));
    attempt(&first, &mut tried, trainer)?;

    let fitting: BTreeSet<&Choice> = fits.iter().collect();
    while goes_on(tried.len(), trainer) {
        let untried_around = |choice: &Choice| -> Vec<Choice> {
            let around = space.neighbours(choice).into_iter();
            around.filter(|choice| fitting.contains(choice) && !tried.contains_key(choice)).collect()
        };
        let around_the_best =
            best_first(&tried).iter().map(|(choice, _)| untried_around(choice)).find(|n| !n.is_empty());
        // Where none of the first came to anything there is no best yet; where there is time, one may be far off.
        let in_turn = || {
            let last = fits.iter().filter(|choice| !others.contains(choice));
            let untried = others.iter().chain(last).filter(|choice| !tried.contains_key(*choice));
            let untried: Vec<Choice> = untried.take(ROUND).cloned().collect();
            let is_wanted = trainer.has_time(tried.len()).is_some() || best_first(&tried).is_empty();
            (is_wanted && !untried.is_empty()).then_some(untried)
        };
        let Some(mut next) = around_the_best.or_else(in_turn) else { break };
        if trainer.has_time(tried.len()).is_none() {
            next.truncate(effort.trials - tried.len());
        }
        next.truncate(ROUND);
        attempt(&next, &mut tried, trainer)?;
    }

    let best = best_first(&tried).into_iter().take(effort.finalists).map(|(choice, _)| choice);
    let mut finalists: Vec<Choice> =
        earlier.iter().filter(|choice| fitting.contains(choice)).cloned().chain(best).collect();
    finalists.sort();
    finalists.dedup();
    let aucs = trainer.aucs(&finalists, true)?;
    Ok(best_first(&finalists.into_iter().zip(aucs).collect()))
}

/// What is tried first, in this order: in turn for every value of every axis, a random one of the choices with it that
/// no other with it exceeds. More is mostly better, but not on every axis: a field-weighted model without layers may
/// beat every one with some.
fn first(fits: &[Choice], seed: u64) -> Vec<Choice> {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let axes = fits.first().map_or(0, Vec::len);
    let values: BTreeSet<(usize, usize)> = fits.iter().flat_map(|choice| (0..axes).map(|a| (choice[a], a))).collect();
    let mut heaps: Vec<Vec<Choice>> = Vec::new();
    // By value before axis, the least capable first: the most capable are in other heaps too.
    for (value, axis) in values {
        let with: Vec<&Choice> = fits.iter().filter(|choice| choice[axis] == value).collect();
        let is_maximal = |choice: &&&Choice| !with.iter().any(|other| exceeds(other, choice));
        let mut heap: Vec<Choice> = with.iter().filter(is_maximal).map(|&choice| choice.clone()).collect();
        heap.shuffle(&mut random);
        heaps.push(heap);
    }
    let mut order = Vec::new();
    while heaps.iter().any(|heap| !heap.is_empty()) {
        for heap in &mut heaps {
            if let Some(choice) = heap.pop()
                && !order.contains(&choice)
            {
                order.push(choice);
            }
        }
    }
    order
}

fn best_first(tried: &BTreeMap<Choice, Option<f64>>) -> Vec<(Choice, f64)> {
    let mut known: Vec<(Choice, f64)> =
        tried.iter().filter_map(|(choice, auc)| Some((choice.clone(), (*auc)?))).collect();
    // Of equals the more capable first: so that the order does not depend on anything else.
    known.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| b.0.cmp(&a.0)));
    known
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// AUC by formula; counts what was asked.
    struct Formula<F> {
        auc: F,
        /// Trials that there is time for.
        time_for: Option<usize>,
        first: BTreeSet<Choice>,
        all: BTreeSet<Choice>,
    }

    impl<F: Fn(&Choice, bool) -> Option<f64>> Trainer for Formula<F> {
        fn aucs(&mut self, choices: &[Choice], all_seeds: bool) -> Result<Vec<Option<f64>>> {
            let asked = if all_seeds { &mut self.all } else { &mut self.first };
            asked.extend(choices.iter().cloned());
            Ok(choices.iter().map(|choice| (self.auc)(choice, all_seeds)).collect())
        }

        fn has_time(&self, tried: usize) -> Option<bool> {
            self.time_for.map(|trials| tried < trials)
        }
    }

    fn formula<F: Fn(&Choice, bool) -> Option<f64>>(auc: F) -> Formula<F> {
        Formula { auc, time_for: None, first: BTreeSet::new(), all: BTreeSet::new() }
    }

    fn space() -> Space {
        let text = "[try]\na = [1, 2, 3, 4, 5, 6]\nb = [1, 2, 3, 4, 5, 6]\nc = [1, 2, 3, 4, 5, 6]\n";
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("space.toml");
        std::fs::write(&path, text).unwrap();
        Space::load(Some(&path)).unwrap()
    }

    /// Those whose positions sum to at most 8: many are maximal.
    fn fits() -> Vec<Choice> {
        space().choices().into_iter().filter(|choice| choice.iter().sum::<usize>() <= 8).collect()
    }

    #[test]
    fn it_climbs_to_the_best_of_what_fits() {
        // Best at (2, 5, 1), a maximal choice; worse with the distance.
        let auc = |choice: &Choice, _| {
            let distance: usize = choice.iter().zip([2_usize, 5, 1]).map(|(a, b)| a.abs_diff(b)).sum();
            Some(1.0 / (1.0 + distance as f64))
        };
        for seed in 0..10 {
            let mut trainer = formula(auc);
            let effort = Effort { trials: 30, finalists: 3, seed };
            let found = search(&space(), &fits(), &[], effort, &mut trainer).unwrap();
            assert_eq!(found[0], (vec![2, 5, 1], 1.0), "seed {seed}");
            assert!(trainer.first.len() <= 30 && trainer.all.len() == 3);
            assert!(trainer.first.iter().all(|choice| choice.iter().sum::<usize>() <= 8));
        }
    }

    #[test]
    fn time_is_used_to_its_end() {
        // A hill around (0, 0, 0), and a better choice that no climber finds.
        let auc =
            |choice: &Choice, _: bool| Some(if *choice == [5, 0, 3] { 0.9 } else { 0.5 / (1.0 + choice[0] as f64) });
        let all = fits().len();
        for time in [1, 20, all - 2, usize::MAX] {
            let mut trainer = Formula { time_for: Some(time), ..formula(auc) };
            let effort = Effort { trials: 8, finalists: 2, seed: 1 };
            let found = search(&space(), &fits(), &[], effort, &mut trainer).unwrap();
            let tried = trainer.first.len();
            assert!(tried >= time.min(all) && tried < time.saturating_add(ROUND), "{tried} of {time}");
            assert_eq!(found.len(), 2);
            assert!(tried < all || found[0].1 == 0.9, "all were tried");
        }
    }

    #[test]
    fn where_the_first_come_to_nothing_others_are_tried() {
        let first = first(&fits(), 1);
        let auc = |choice: &Choice, _| (!first[..10].contains(choice)).then_some(0.5);
        let mut trainer = formula(auc);
        let found = search(&space(), &fits(), &[], Effort { trials: 16, finalists: 1, seed: 1 }, &mut trainer).unwrap();
        assert_eq!((found.len(), trainer.first.len()), (1, 16));
        let mut trainer = formula(|_: &Choice, _| None);
        let found = search(&space(), &fits(), &[], Effort { trials: 16, finalists: 1, seed: 1 }, &mut trainer).unwrap();
        assert_eq!((found.len(), trainer.first.len()), (0, 16), "all that may be tried are");
    }

    #[test]
    fn every_value_of_every_axis_has_a_chance() {
        let fits = fits();
        let order = first(&fits, 1);
        let tried = &order[..18];
        for axis in 0..3 {
            assert_eq!(tried.iter().map(|choice| choice[axis]).collect::<BTreeSet<_>>().len(), 6, "{tried:?}");
        }
        // All maximal choices come in the end, none twice.
        let maximal = fits.iter().filter(|choice| !fits.iter().any(|other| exceeds(other, choice)));
        assert!(maximal.clone().count() > 10 && maximal.clone().all(|choice| order.contains(choice)));
        assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), order.len());
    }

    #[test]
    fn all_seeds_decide_and_what_does_not_fit_after_all_is_out() {
        // With one seed (4, 4, 0) looks best; with all, (4, 3, 1) is. (5, 3, 0) turns out too large.
        let auc = |choice: &Choice, all: bool| match choice.as_slice() {
            [4, 4, 0] => Some(if all { 0.5 } else { 0.9 }),
            [4, 3, 1] => Some(0.8),
            [5, 3, 0] => None,
            _ => Some(0.1),
        };
        let mut trainer = formula(auc);
        let found =
            search(&space(), &fits(), &[], Effort { trials: 200, finalists: 3, seed: 1 }, &mut trainer).unwrap();
        assert_eq!(found[0], (vec![4, 3, 1], 0.8));
        assert!(trainer.first.contains(&vec![5, 3, 0]) && !trainer.all.contains(&vec![5, 3, 0]));
        // What was best under less wins where nothing new is better, though one seed says otherwise.
        let earlier = [vec![4, 3, 1]];
        let few = [vec![4, 4, 0], vec![4, 3, 1]];
        let found =
            search(&space(), &few, &earlier, Effort { trials: 1, finalists: 1, seed: 1 }, &mut trainer).unwrap();
        assert_eq!(found[0], (vec![4, 3, 1], 0.8));
        assert!(
            search(&space(), &[], &[], Effort { trials: 9, finalists: 3, seed: 1 }, &mut trainer).unwrap().is_empty()
        );
    }
}
