//! Figures against scikit-learn 1.9.1 and against brute force.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use proptest::prelude::*;
use xsfm_interchange::metrics::{Metrics, MetricsError};

// Expected values, in a virtual environment with scikit-learn 1.9.1 and numpy 2.4.6:
//
//     import numpy as np
//     from sklearn.metrics import *
//     def show(y, x):
//         y = np.array(y); x = np.array(x, dtype=float); p = 1 / (1 + np.exp(-x)); c = np.mean(y)
//         pr, rc, _ = precision_recall_curve(y, x)
//         rce = (1 - log_loss(y, p) / log_loss(y, [c] * len(y))) * 100
//         print(repr(log_loss(y, p)), repr(roc_auc_score(y, x)), repr(auc(rc, pr)), repr(rce))
//     show([0,1,0,1,1,0,0,1], [-1.5,0.25,0.25,2.0,-0.5,-0.5,1.0,0.25])
//     show([1,0,0,0,0], [-3.,2.,1.,0.,-1.])
//     show([(i*7+i//3)%5<2 for i in range(200)], [((i*37)%41)/8-2.5+((i*7+i//3)%5<2)*0.75 for i in range(200)])
#[test]
fn equal_scikit_learn() {
    let labels: Vec<u8> = (0..200).map(|i| u8::from((i * 7 + i / 3) % 5 < 2)).collect();
    let logits: Vec<f64> =
        (0..200).zip(&labels).map(|(i, &y)| f64::from((i * 37) % 41) / 8.0 - 2.5 + f64::from(y) * 0.75).collect();
    let cases: [(&[u8], &[f64], [f64; 4]); 3] = [
        (
            &[0, 1, 0, 1, 1, 0, 0, 1],
            &[-1.5, 0.25, 0.25, 2.0, -0.5, -0.5, 1.0, 0.25],
            [0.633_446_900_567_586_6, 0.65625, 0.671_428_571_428_571_5, 8.612_929_788_465_85],
        ),
        (&[1, 0, 0, 0, 0], &[-3.0, 2.0, 1.0, 0.0, -1.0], [1.499_037_183_642_620_8, 0.0, 0.1, -199.566_331_642_321_24]),
        (
            &labels,
            &logits,
            [0.827_909_114_943_990_4, 0.617_376_294_591_484_5, 0.565_878_193_995_663_3, -23.396_840_064_821_767],
        ),
    ];
    for (labels, logits, [log_loss, auc, prauc, rce]) in cases {
        let probabilities: Vec<f64> = logits.iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect();
        let from_logits = Metrics::from_logits(labels, logits).unwrap();
        let from_probabilities = Metrics::from_probabilities(labels, &probabilities).unwrap();
        for metrics in [from_logits, from_probabilities] {
            assert_eq!(metrics.rows, labels.len() as u64);
            assert_eq!(metrics.positives, labels.iter().map(|&y| u64::from(y)).sum::<u64>());
            assert!((metrics.log_loss - log_loss).abs() < 1e-12, "{metrics:?}");
            assert!((metrics.auc.unwrap() - auc).abs() < 1e-12, "{metrics:?}");
            assert!((metrics.prauc.unwrap() - prauc).abs() < 1e-12, "{metrics:?}");
            assert!((metrics.rce.unwrap() - rce).abs() < 1e-9, "{metrics:?}");
        }
    }
}

// numpy: y = [0,1,1,0,1]; p = [0,1,0,.3,.9]; q = clip(p, 1e-15, 1 - 1e-15); mean(-(y*log(q) + (1-y)*log1p(-q)))
#[test]
fn certain_probabilities_are_clamped() {
    let metrics = Metrics::from_probabilities(&[0, 1, 1, 0, 1], &[0.0, 1.0, 0.0, 0.3, 0.9]).unwrap();
    assert!((metrics.log_loss - 7.000_162_370_901_45).abs() < 1e-12, "{metrics:?}");
    assert!((metrics.auc.unwrap() - 0.75).abs() < 1e-12);
    assert!((metrics.prauc.unwrap() - 0.877_777_777_777_777_8).abs() < 1e-12);
}

#[test]
fn large_logits_stay_finite() {
    let metrics = Metrics::from_logits(&[1, 0, 1, 0], &[800.0, -800.0, -800.0, 800.0]).unwrap();
    assert!((metrics.log_loss - 400.0).abs() < 1e-12, "{metrics:?}");
}

#[test]
fn zeros_of_both_signs_are_ties() {
    let metrics = Metrics::from_logits(&[1, 0], &[0.0, -0.0]).unwrap();
    assert_eq!(metrics.auc, Some(0.5));
}

#[test]
fn one_class_has_no_ranking_figures() {
    for label in [0, 1] {
        let metrics = Metrics::from_logits(&[label; 3], &[0.5, 1.0, -1.0]).unwrap();
        assert_eq!((metrics.auc, metrics.prauc, metrics.rce), (None, None, None));
        assert!(metrics.log_loss.is_finite());
        assert!(!serde_json::to_string(&metrics).unwrap().contains("NaN"));
    }
}

#[test]
fn bad_input_is_named() {
    assert_eq!(Metrics::from_logits(&[], &[]), Err(MetricsError::Empty));
    assert_eq!(Metrics::from_logits(&[1], &[]), Err(MetricsError::Length { labels: 1, scores: 0 }));
    assert_eq!(Metrics::from_logits(&[0, 2], &[0.0, 0.0]), Err(MetricsError::Label { row: 1, label: 2 }));
    for score in [f64::NAN, f64::INFINITY] {
        let error = Metrics::from_logits(&[0, 1], &[score, 0.0]).unwrap_err().to_string();
        assert!(error.contains("row 0") && error.contains("finite"), "{error}");
    }
    let error = Metrics::from_probabilities(&[0, 1], &[0.5, 1.5]).unwrap_err().to_string();
    assert!(error.contains("row 1") && error.contains("1.5"), "{error}");
}

proptest! {
    /// AUC is the share of (positive, negative) pairs in the right order, ties counting one half.
    #[test]
    fn auc_counts_pairs(rows in prop::collection::vec((0..2_u8, -6..6_i8), 2..60)) {
        let (labels, scores): (Vec<u8>, Vec<f64>) = rows.iter().map(|&(y, s)| (y, f64::from(s) / 3.0)).unzip();
        let (mut wins, mut pairs) = (0.0, 0.0);
        for (_, positive) in rows.iter().filter(|(y, _)| *y == 1) {
            for (_, negative) in rows.iter().filter(|(y, _)| *y == 0) {
                pairs += 1.0;
                wins += match positive.cmp(negative) {
                    std::cmp::Ordering::Greater => 1.0,
                    std::cmp::Ordering::Equal => 0.5,
                    std::cmp::Ordering::Less => 0.0,
                };
            }
        }
        let expected = (pairs > 0.0).then_some(wins / pairs);
        match (Metrics::from_logits(&labels, &scores).unwrap().auc, expected) {
            (Some(auc), Some(expected)) => prop_assert!((auc - expected).abs() < 1e-12, "{} {}", auc, expected),
            (auc, expected) => prop_assert_eq!(auc, expected),
        }
    }
}
