//! What the evaluations so far say of the learning rate, and of when to stop: a function of their figures alone, so
//! that a run that goes on computes it again.

use crate::settings::Training;

/// An evaluation: its epoch, and its figure, the larger the better; `None` where it cannot be the best.
pub type Figure = (u64, Option<f64>);

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Factor on the learning rate.
    pub factor: f64,
    /// Whether the last evaluation lowered it.
    pub dropped: bool,
    /// Whether patience is at its end.
    pub stop: bool,
    /// The best evaluation's number, from 1; 0 is the start.
    pub best: Option<u64>,
}

impl Schedule {
    /// After these evaluations. `start`: the figure before the first step, where that may be the best.
    ///
    /// An evaluation that is no better than the best counts against the run's patience, and against the rate's; one
    /// that is better begins both again.
    pub fn after(training: &Training, start: Option<f64>, figures: impl IntoIterator<Item = Figure>) -> Self {
        let mut now = Schedule { factor: 1.0, dropped: false, stop: false, best: start.map(|_| 0) };
        let (mut best, mut worse, mut worse_at_rate) = (start, 0, 0);
        for (number, (epoch, figure)) in (1..).zip(figures) {
            now.dropped = false;
            // Without a best there is nothing to be worse than.
            if figure.is_some_and(|figure| best.is_none_or(|best| figure > best)) {
                (best, now.best) = (figure, Some(number));
                (worse, worse_at_rate) = (0, 0);
            } else if best.is_some() && epoch > training.plateau_floor {
                worse += 1;
                worse_at_rate += 1;
                if training.plateau_factor < 1.0 && worse_at_rate >= training.plateau_patience {
                    now.factor *= training.plateau_factor;
                    now.dropped = true;
                    worse_at_rate = 0;
                }
            }
            now.stop = best.is_some() && epoch > training.plateau_floor && worse >= training.patience;
        }
        now
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        training: Training,
    }

    fn training(flags: &str) -> Training {
        Flags::try_parse_from(["test"].into_iter().chain(flags.split_whitespace())).unwrap().training
    }

    /// Figures of epochs with one evaluation each; the factor, the best and whether to stop after each of them.
    fn follow(flags: &str, start: Option<f64>, figures: &[f64]) -> Vec<(f64, u64, bool)> {
        let figures: Vec<Figure> = (1..).zip(figures).map(|(epoch, &figure)| (epoch, Some(figure))).collect();
        let after = |count| Schedule::after(&training(flags), start, figures[..count].iter().copied());
        (1..=figures.len()).map(after).map(|s| (s.factor, s.best.unwrap(), s.stop)).collect()
    }

    #[test]
    fn a_run_stops_when_patience_ends() {
        let figures = [0.7, 0.8, 0.79, 0.8, 0.81, 0.5];
        let all = follow("--patience 3", None, &figures);
        assert_eq!(all.iter().map(|s| s.1).collect::<Vec<_>>(), [1, 2, 2, 2, 5, 5]);
        assert!(all.iter().all(|s| s.0 == 1.0 && !s.2));
        assert_eq!(follow("--patience 2", None, &figures).iter().position(|s| s.2), Some(3));
        assert_eq!(follow("--patience 0", None, &figures).iter().position(|s| s.2), Some(0));
        // A trained model is the best until an epoch is better.
        let all = follow("--patience 2", Some(0.75), &[0.7, 0.74, 0.76]);
        assert_eq!((all[0].1, all[1].1, all[1].2), (0, 0, true));
    }

    #[test]
    fn the_rate_drops_where_evaluations_are_no_better() {
        let figures = [0.7, 0.8, 0.79, 0.81, 0.81, 0.8, 0.82];
        let factors = |flags: &str| follow(flags, None, &figures).iter().map(|s| s.0).collect::<Vec<_>>();
        let drops = [1.0, 1.0, 0.5, 0.5, 0.25, 0.125, 0.125];
        assert_eq!(factors("--plateau-factor 0.5 --patience 9"), drops);
        let two = [1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5];
        assert_eq!(factors("--plateau-factor 0.5 --plateau-patience 2 --patience 9"), two);
        // Nothing counts while the floor lasts, for either patience.
        let late = follow("--plateau-factor 0.5 --plateau-floor 5 --patience 1", None, &figures);
        assert_eq!(late.iter().map(|s| s.0).collect::<Vec<_>>(), [1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5]);
        assert_eq!(late.iter().position(|s| s.2), Some(5));
        let dropped =
            |count| Schedule::after(&training("--plateau-factor 0.5"), None, (1..).zip(figures.map(Some)).take(count));
        assert_eq!([2, 3, 4, 5].map(|count| dropped(count).dropped), [false, true, false, true]);
    }

    #[test]
    fn what_cannot_be_the_best_counts_for_nothing() {
        let figures = [(1, None), (2, None), (3, Some(0.6)), (4, Some(0.5))];
        let at = |count| Schedule::after(&training("--patience 1"), None, figures.into_iter().take(count));
        assert_eq!(
            (1..=4).map(|count| (at(count).best, at(count).stop)).collect::<Vec<_>>(),
            [(None, false), (None, false), (Some(3), false), (Some(3), true)]
        );
    }
}
