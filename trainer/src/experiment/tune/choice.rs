//! Which of the finalists is taken: the best, or the settings that the search began with where the best is not clearly
//! better.
//!
//! The best of many settings is better than it deserves, and defaults were good on other data too. So they stay where
//! no other is better by one standard error of the difference on the same rows: the one-standard-error rule of Breiman,
//! Friedman, Olshen and Stone 1984, "Classification and Regression Trees", section 3.4.3.

use xsfm_interchange::metrics::auc::AucShares;

/// What settings came to.
#[derive(Clone, Debug)]
pub struct Finalist {
    /// AUC on the validation rows, by seed.
    pub aucs: Vec<f64>,
    /// Their mean's shares; absent where rows have weights.
    pub shares: Option<AucShares>,
}

impl Finalist {
    fn mean(&self) -> f64 {
        self.aucs.iter().sum::<f64>() / self.aucs.len() as f64
    }
}

/// The place of the one that is taken, of those that have the most seeds; `defaults` is the place of the settings that
/// the search began with. `None` where no one has a seed.
pub fn choose(finalists: &[Finalist], defaults: Option<usize>) -> Option<usize> {
    let most = finalists.iter().map(|finalist| finalist.aucs.len()).max().filter(|&most| most > 0)?;
    let whole = || (0..finalists.len()).filter(|&place| finalists[place].aucs.len() == most);
    let best = whole().max_by(|&a, &b| finalists[a].mean().total_cmp(&finalists[b].mean()))?;
    let Some(defaults) = defaults.filter(|&place| place != best && whole().any(|whole| whole == place)) else {
        return Some(best);
    };
    let both = finalists[best].shares.as_ref().zip(finalists[defaults].shares.as_ref());
    let error = both.and_then(|(best, defaults)| best.less(defaults)?.standard_error);
    let is_clear = error.is_none_or(|error| finalists[best].mean() - finalists[defaults].mean() >= error);
    Some(if is_clear { best } else { defaults })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::ops::Range;

    use super::*;

    /// Scores of 100 pairs of a positive and a negative, right but for some.
    fn finalist(wrong: Range<usize>, seeds: usize) -> Finalist {
        let labels: Vec<u8> = (0..200).map(|row| u8::from(row % 2 == 0)).collect();
        let scores: Vec<f64> =
            (0..200).map(|row| if wrong.contains(&(row / 2)) == (row % 2 == 0) { -1.0 } else { 1.0 }).collect();
        let shares = AucShares::new(&labels, &scores).unwrap().unwrap();
        Finalist { aucs: vec![shares.auc(); seeds], shares: Some(shares) }
    }

    #[test]
    fn defaults_stay_unless_another_is_clearly_better() {
        // 11 and 10 pairs are wrong, others each: the difference may be chance. 40 and 10: hardly.
        assert_eq!(choose(&[finalist(0..11, 3), finalist(50..60, 3)], Some(0)), Some(0));
        assert_eq!(choose(&[finalist(0..40, 3), finalist(50..60, 3)], Some(0)), Some(1));
        // Without defaults, or where they are the best, nothing is weighed.
        assert_eq!(choose(&[finalist(0..11, 3), finalist(50..60, 3)], None), Some(1));
        assert_eq!(choose(&[finalist(0..10, 3), finalist(50..90, 3)], Some(0)), Some(0));
        // Fewer seeds are not compared, and rows with weights have no standard errors.
        assert_eq!(choose(&[finalist(0..40, 3), finalist(50..60, 2)], Some(0)), Some(0));
        let weighted = |wrong| Finalist { shares: None, ..finalist(wrong, 3) };
        assert_eq!(choose(&[weighted(0..11), weighted(50..60)], Some(0)), Some(1));
        assert_eq!(choose(&[finalist(0..1, 0)], Some(0)), None);
        assert_eq!(choose(&[], None), None);
    }
}
