//! What the evaluations so far say of the learning rate, and of when to stop: a function of their figures alone, so that a run that goes on
//! computes it again.

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
    /// An evaluation that is no better than the best counts against the run's patience, and against the rate's; one that is better begins
    /// both again.
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
