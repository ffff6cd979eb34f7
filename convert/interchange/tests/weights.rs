//! A row of weight w counts as w rows: every figure of whole weights is that of the rows repeated.
#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use xsfm_interchange::metrics::auc::{AucDifference, AucShares};
use xsfm_interchange::metrics::calibration::Reliability;
use xsfm_interchange::metrics::platt::Platt;
use xsfm_interchange::metrics::{Metrics, MetricsError, Observed};

/// Rows repeated as often as their weight says.
fn repeated(rows: &[(u8, i8, u8)]) -> (Vec<u8>, Vec<f64>) {
    rows.iter().flat_map(|&(y, s, w)| vec![(y, f64::from(s) / 3.0); usize::from(w)]).unzip()
}

fn is_near(a: Option<f64>, b: Option<f64>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() < 1e-9,
        (a, b) => a == b,
    }
}

proptest! {
    #[test]
    fn figures_are_those_of_repeated_rows(rows in prop::collection::vec((0..2_u8, -6..6_i8, 0..5_u8), 2..60)) {
        let (labels, logits) = repeated(&rows);
        prop_assume!(!labels.is_empty());
        let expected = Metrics::from_logits(&labels, &logits).unwrap();
        let own: (Vec<u8>, Vec<f64>) = rows.iter().map(|&(y, s, _)| (y, f64::from(s) / 3.0)).unzip();
        // Relative weights are all that counts.
        for scale in [1.0_f32, 0.37] {
            let weights: Vec<f32> = rows.iter().map(|&(_, _, w)| f32::from(w) * scale).collect();
            let observed = Observed { labels: &own.0, weights: &weights };
            let found = Metrics::from_logits(observed, &own.1).unwrap();
            prop_assert!(is_near(Some(found.log_loss), Some(expected.log_loss)));
            let pairs = [
                (found.auc, expected.auc), (found.prauc, expected.prauc), (found.rce, expected.rce),
                (found.calibration, expected.calibration),
            ];
            prop_assert!(pairs.iter().all(|&(found, expected)| is_near(found, expected)), "{found:?} {expected:?}");
            prop_assert_eq!(found.auc_standard_error, None);
            prop_assert_eq!(found.rows as usize, rows.len());
            // Whole numbers are exact, and so are the bins' bounds.
            if scale == 1.0 {
                prop_assert!(is_near(found.ece, expected.ece));
                let (found, expected) = (Platt::fit(observed, &own.1).unwrap(), Platt::fit(&labels, &logits).unwrap());
                prop_assert_eq!(found.is_some(), expected.is_some());
                // Where the loss is flat to rounding, which is the square of how far one is from the minimum.
                let is_near = |a: f64, b: f64| (a - b).abs() < 1e-6;
                let both = found.zip(expected);
                let is_near = both.is_none_or(|(a, b)| is_near(a.scale, b.scale) && is_near(a.bias, b.bias));
                prop_assert!(is_near, "{found:?} {expected:?}");
            }
        }
    }
}

// scikit-learn 1.9.1, with sample_weight=w: log_loss(y, 1 / (1 + np.exp(-z))), roc_auc_score(y, z).
#[test]
fn figures_equal_those_of_scikit_learn() {
    let (labels, logits) = ([1, 0, 1, 1, 0, 0], [2.0, 0.5, -0.25, 0.5, -1.0, 3.0]);
    let weights = [0.5, 2.0, 1.25, 3.0, 0.75, 0.1];
    let found = Metrics::from_logits(Observed { labels: &labels, weights: &weights }, &logits).unwrap();
    assert!((found.log_loss - 0.658_694_500_740_504_5).abs() < 1e-12, "{found:?}");
    assert!((found.auc.unwrap() - 0.558_633_425_377_356_5).abs() < 1e-12, "{found:?}");
}

#[test]
fn weights_that_are_none_are_refused() {
    let metrics = |weights: &[f32]| Metrics::from_logits(Observed { labels: &[1, 0], weights }, &[0.0, 1.0]);
    assert_eq!(metrics(&[1.0]), Err(MetricsError::Weights { labels: 2, weights: 1 }));
    assert_eq!(metrics(&[0.0, 0.0]), Err(MetricsError::Weightless { rows: 2 }));
    assert_eq!(metrics(&[1.0, -1.0]), Err(MetricsError::Weight { row: 1, weight: -1.0 }));
    for weight in [f32::NAN, f32::INFINITY] {
        assert!(matches!(metrics(&[weight, 1.0]), Err(MetricsError::Weight { row: 0, .. })));
    }
}

/// How many rows were drawn is not known of rows that count as several.
#[test]
fn weights_have_no_standard_errors() {
    let observed = Observed { labels: &[1, 0, 1, 0], weights: &[1.0, 2.0, 1.0, 1.0] };
    assert_eq!(AucShares::new(observed, &[0.0, 1.0, 2.0, 3.0]), Ok(None));
    assert_eq!(AucDifference::new(observed, &[0.0, 1.0, 2.0, 3.0], &[1.0; 4]), Ok(None));
    let reliability = Reliability::from_logits(observed, &[0.0; 4]).unwrap();
    assert_eq!((reliability.bins()[0].rows, reliability.bins()[0].weight), (4, 5.0));
    assert!((reliability.bins()[0].click_rate() - 0.4).abs() < 1e-12);
}
