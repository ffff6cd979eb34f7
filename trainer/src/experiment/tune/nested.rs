//! What choosing among many does to a figure: the best of many on the same rows is too good.

use anyhow::Result;
use serde::Serialize;
use xsfm_interchange::metrics::Metrics;

use crate::evaluate::Scored;

/// Figures of choices that were made on one half of the rows, measured on the other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Nested {
    /// Mean of both halves where they were chosen.
    pub chosen_auc: f64,
    /// Mean of both halves where they were not.
    pub measured_auc: f64,
    /// How many there were to choose from.
    pub choices: usize,
}

impl Nested {
    /// `choices`: all on the same rows. Nothing where a half has one class alone.
    ///
    /// # Errors
    /// Logits that are not finite.
    pub fn new(choices: &[Scored]) -> Result<Option<Self>> {
        let half = |parity: usize, choice: &Scored| -> Result<Option<f64>> {
            let half = Scored {
                labels: every_second(&choice.labels, parity),
                weights: every_second(&choice.weights, parity),
                logits: every_second(&choice.logits, parity),
            };
            Ok(Metrics::from_logits(half.observed(), &half.logits)?.auc)
        };
        let mut all = Vec::with_capacity(choices.len());
        for choice in choices {
            let (Some(even), Some(odd)) = (half(0, choice)?, half(1, choice)?) else { return Ok(None) };
            all.push([even, odd]);
        }
        let best_on = |on: usize| all.iter().copied().max_by(|a, b| a[on].total_cmp(&b[on]));
        let (Some(on_even), Some(on_odd)) = (best_on(0), best_on(1)) else { return Ok(None) };
        Ok(Some(Nested {
            chosen_auc: (on_even[0] + on_odd[1]) / 2.0,
            measured_auc: (on_even[1] + on_odd[0]) / 2.0,
            choices: all.len(),
        }))
    }
}

fn every_second<T: Copy>(values: &[T], parity: usize) -> Vec<T> {
    values.iter().copied().skip(parity).step_by(2).collect()
}

impl std::fmt::Display for Nested {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "chosen on one half of its rows {:.5} there and {:.5} on the other",
            self.chosen_auc, self.measured_auc
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use rand::rngs::Xoshiro256PlusPlus;
    use rand::{RngExt, SeedableRng};

    use super::*;

    fn scored(labels: &[u8], logits: Vec<f64>) -> Scored {
        Scored { labels: labels.to_vec(), weights: Vec::new(), logits }
    }

    /// Logits without any knowledge: their AUC is one half, that of the best of them more, but not where it was not
    /// chosen.
    #[test]
    fn the_best_of_many_that_know_nothing_is_found_out() {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(4);
        let (mut chosen, mut measured) = (0.0, 0.0);
        for _ in 0..20 {
            let labels: Vec<u8> = (0..2000).map(|_| random.random_range(0..2)).collect();
            let mut logits = || (0..2000).map(|_| random.random_range(-1.0..1.0)).collect();
            let choices: Vec<Scored> = (0..30).map(|_| scored(&labels, logits())).collect();
            let nested = Nested::new(&choices).unwrap().unwrap();
            assert_eq!(nested.choices, 30);
            (chosen, measured) = (chosen + nested.chosen_auc / 20.0, measured + nested.measured_auc / 20.0);
        }
        assert!(chosen > 0.52 && (measured - 0.5).abs() < 0.01, "{chosen} {measured}");
    }

    #[test]
    fn halves_are_rows_in_turn() {
        // The first choice is right on even rows and wrong on odd ones, the second the other way round.
        let labels = [1, 1, 0, 0, 1, 1, 0, 0];
        let first = [1.0, -1.0, -1.0, 1.0, 1.0, -1.0, -1.0, 1.0];
        let second: Vec<f64> = first.iter().map(|l: &f64| -l).collect();
        let nested = Nested::new(&[scored(&labels, first.to_vec()), scored(&labels, second)]).unwrap().unwrap();
        assert_eq!((nested.chosen_auc, nested.measured_auc), (1.0, 0.0));
        assert_eq!(Nested::new(&[scored(&[1, 0, 1, 0], vec![0.0; 4])]).unwrap(), None);
    }
}
