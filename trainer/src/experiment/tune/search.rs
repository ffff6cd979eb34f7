//! Which settings are tried, and which are best: knows nothing of training.
//!
//! One flag after another, the one that matters most first (coordinate descent): its values are tried with the best of
//! all others so far. Values are compared by successive halving (Jamieson and Talwalkar 2016, arXiv:1502.07943): all of
//! them are trained for a few epochs, the better half for more, and the last two to their end. A second round looks
//! between the values of the first.

use std::collections::BTreeMap;

use anyhow::Result;

/// Epochs after which the worse half is given up.
const RUNGS: [u64; 3] = [6, 12, 24];

/// Flags of `train` and their values, as they are written on a command line.
pub type Settings = BTreeMap<String, String>;

/// A flag and the values that are tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// As in a settings file: `table_l2`.
    pub flag: &'static str,
    /// Where the search begins.
    pub start: String,
    /// Those of the first round.
    pub values: Vec<String>,
    /// The second round tries these factors on the best, where values between them make sense.
    pub factors: &'static [f64],
}

/// All flags that are searched, the most important first, with the order of values that are no numbers.
pub const ORDERS: [(&str, &[&str]); 6] = [
    ("table_l2", &[]),
    ("dropout", &[]),
    ("hidden", &["64,64", "200,200", "400,400", "400,400,400"]),
    ("embed_dim", &[]),
    ("learning_rate", &[]),
    ("embedding_dropout", &[]),
];

/// What is searched, the most important first, where `l2` is what an L2 of tables is mostly best at.
pub fn axes(l2: f64) -> [Axis; 6] {
    let numbers = |values: &[f64]| values.iter().map(|&value| two_digits(value)).collect::<Vec<_>>();
    let axis =
        |flag, start: &str, values: Vec<String>, factors| Axis { flag, start: start.to_owned(), values, factors };
    let times = |factors: &[f64]| numbers(&factors.iter().map(|factor| l2 * factor).collect::<Vec<_>>());
    let [table_l2, dropout, hidden, embed_dim, learning_rate, embedding_dropout] = ORDERS;
    let words = hidden.1.iter().map(|&value| value.to_owned()).collect();
    [
        axis(table_l2.0, &two_digits(l2), times(&[0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0]), &[0.55, 1.8]),
        axis(dropout.0, "0.2", numbers(&[0.0, 0.1, 0.2, 0.3, 0.5]), &[]),
        axis(hidden.0, "400,400", words, &[]),
        axis(embed_dim.0, "16", numbers(&[8.0, 16.0, 32.0, 64.0]), &[]),
        axis(learning_rate.0, "0.001", numbers(&[0.0005, 0.001, 0.002]), &[0.7, 1.4]),
        axis(embedding_dropout.0, "0", numbers(&[0.0, 0.1, 0.2]), &[]),
    ]
}

/// Trains, until there is no time left.
pub trait Trials {
    /// The best figure on the validation rows in the first epochs of each, or in all of them, the larger the better;
    /// `None` where training diverged. Nothing where time ran out before all of them had got so far.
    ///
    /// # Errors
    /// Training fails.
    fn figures(&mut self, all: &[Settings], epochs: Option<u64>) -> Result<Option<Vec<Option<f64>>>>;
}

/// The best settings that time allowed to find, and whether all rounds are over.
///
/// # Errors
/// Those of the trials.
pub fn search(start: &Settings, axes: &[Axis], trials: &mut impl Trials) -> Result<(Settings, bool)> {
    let mut best = start.clone();
    if trials.figures(std::slice::from_ref(&best), None)?.is_none() {
        return Ok((best, false));
    }
    for round in 0..2 {
        for axis in axes {
            let values: Vec<String> = match round {
                0 => axis.values.clone(),
                _ => between(&best[axis.flag], axis.factors),
            };
            let with = |value: &String| {
                Settings::from_iter(best.clone().into_iter().chain([(axis.flag.to_owned(), value.clone())]))
            };
            let mut all: Vec<Settings> = values.iter().map(with).filter(|settings| *settings != best).collect();
            all.insert(0, best.clone());
            let Some(found) = halve(all, trials)? else { return Ok((best, false)) };
            best = found;
        }
    }
    Ok((best, true))
}

/// The value times each factor.
fn between(value: &str, factors: &[f64]) -> Vec<String> {
    let Some(value) = value.parse::<f64>().ok().filter(|value| *value > 0.0) else { return Vec::new() };
    factors.iter().map(|factor| two_digits(value * factor)).collect()
}

/// 0.0123 -> "0.012"
fn two_digits(value: f64) -> String {
    format!("{value:.1e}").parse::<f64>().unwrap_or(value).to_string()
}

/// The best of some, of which the first is kept where no other is better.
fn halve(mut alive: Vec<Settings>, trials: &mut impl Trials) -> Result<Option<Settings>> {
    for rung in RUNGS.into_iter().map(Some).chain([None]) {
        if rung.is_some() && alive.len() <= 2 {
            continue;
        }
        let Some(figures) = trials.figures(&alive, rung)? else { return Ok(None) };
        let mut ranked: Vec<(Settings, f64)> = alive
            .into_iter()
            .zip(figures)
            .map(|(settings, figure)| (settings, figure.unwrap_or(f64::NEG_INFINITY)))
            .collect();
        // Stable: of equals the first.
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        ranked.truncate(ranked.len().div_ceil(2));
        alive = ranked.into_iter().map(|(settings, _)| settings).collect();
    }
    Ok(alive.into_iter().next())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// Figures by formula, which a trial reaches with the epochs; counts epochs that were trained.
    struct Formula<F> {
        figure: F,
        trained: BTreeMap<Settings, u64>,
        most: u64,
    }

    const LENGTH: u64 = 40;

    impl<F: Fn(&Settings) -> Option<f64>> Trials for Formula<F> {
        fn figures(&mut self, all: &[Settings], epochs: Option<u64>) -> Result<Option<Vec<Option<f64>>>> {
            let epochs = epochs.unwrap_or(LENGTH);
            for settings in all {
                let trained = self.trained.entry(settings.clone()).or_default();
                *trained = epochs.max(*trained);
            }
            let figure = |settings| Some((self.figure)(settings)? * epochs as f64 / LENGTH as f64);
            Ok((self.trained.values().sum::<u64>() <= self.most).then(|| all.iter().map(figure).collect()))
        }
    }

    fn start() -> Settings {
        Settings::from_iter(three().into_iter().map(|axis| (axis.flag.to_owned(), axis.start)))
    }

    fn three() -> Vec<Axis> {
        axes(0.01)[..3].to_vec()
    }

    fn of(settings: &Settings, flag: &str) -> f64 {
        settings[flag].split(',').next().unwrap().parse().unwrap_or(0.0)
    }

    /// Best at an L2 between two of the values, a dropout and layers that are not those of the start.
    fn bowl(settings: &Settings) -> Option<f64> {
        let l2 = (of(settings, "table_l2").max(1e-5).log10() - 0.17_f64.log10()).abs();
        (settings["dropout"] != "0.5")
            .then(|| 9.0 - l2 - (of(settings, "dropout") - 0.1).abs() - of(settings, "hidden") / 1e3)
    }

    #[test]
    fn it_finds_the_best_of_a_bowl_and_gives_up_the_worse_early() {
        let mut trials = Formula { figure: bowl, trained: BTreeMap::new(), most: u64::MAX };
        let (best, done) = search(&start(), &three(), &mut trials).unwrap();
        let found = ["table_l2", "dropout", "hidden"].map(|flag| best[flag].as_str());
        assert!(done && found == ["0.18", "0.1", "64,64"], "{found:?}");
        let (given_up, whole): (Vec<u64>, Vec<u64>) = trials.trained.values().partition(|&&epochs| epochs < LENGTH);
        assert!(given_up.len() > whole.len() && given_up.contains(&RUNGS[0]), "{given_up:?} {whole:?}");
    }

    #[test]
    fn where_time_runs_out_the_best_so_far_is_given() {
        let mut trials = Formula { figure: bowl, trained: BTreeMap::new(), most: 10 };
        assert_eq!(search(&start(), &three(), &mut trials).unwrap(), (start(), false));
        // Enough for the first flag, not for the second.
        let mut trials = Formula { figure: bowl, trained: BTreeMap::new(), most: 170 };
        let (best, done) = search(&start(), &three(), &mut trials).unwrap();
        assert_eq!((best["table_l2"].as_str(), best["dropout"].as_str(), done), ("0.1", "0.2", false));
    }

    #[test]
    fn what_is_no_better_changes_nothing() {
        let mut trials = Formula { figure: |_: &Settings| Some(0.5), trained: BTreeMap::new(), most: u64::MAX };
        assert_eq!(search(&start(), &three(), &mut trials).unwrap(), (start(), true));
        let mut trials = Formula { figure: |_: &Settings| None, trained: BTreeMap::new(), most: u64::MAX };
        assert_eq!(search(&start(), &three(), &mut trials).unwrap(), (start(), true));
    }

    #[test]
    fn values_between_have_two_digits() {
        assert_eq!(between("0.03", &[0.55, 1.8]), ["0.017", "0.054"]);
        assert_eq!(between("1", &[0.55, 1.8]), ["0.55", "1.8"]);
        assert_eq!(between("0.001", &[0.7]), ["0.0007"]);
        assert!(between("0", &[0.5]).is_empty() && between("none", &[0.5]).is_empty() && between("3", &[]).is_empty());
    }
}
