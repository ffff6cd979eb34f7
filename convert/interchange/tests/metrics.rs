//! Figures against scikit-learn 1.9.1 and against brute force.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use proptest::prelude::*;
use xsfm_interchange::metrics::auc::{AucDifference, AucShares};
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

/// The definition, pair by pair: 1, one half or 0 for each positive and negative.
fn wins(labels: &[u8], scores: &[f64]) -> Vec<Vec<f64>> {
    let of_class = |class: u8| scores.iter().zip(labels).filter(move |(_, y)| **y == class).map(|(s, _)| *s);
    let win = |p: f64, n: f64| if p > n { 1.0 } else { 0.5 * f64::from(u8::from(p == n)) };
    of_class(1).map(|p| of_class(0).map(|n| win(p, n)).collect()).collect()
}

/// Of the means over negatives and over positives: `var / count` summed.
fn variance(wins: &[Vec<f64>]) -> f64 {
    let (rows, columns) = (wins.len(), wins[0].len());
    let of_rows: Vec<f64> = wins.iter().map(|row| row.iter().sum::<f64>() / columns as f64).collect();
    let of_columns: Vec<f64> = (0..columns).map(|c| wins.iter().map(|row| row[c]).sum::<f64>() / rows as f64).collect();
    let variance = |values: &[f64]| {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64 / values.len() as f64
    };
    variance(&of_rows) + variance(&of_columns)
}

proptest! {
    /// Standard errors of one AUC and of a difference equal the quadratic computation, ties and all.
    #[test]
    fn standard_errors_equal_those_of_all_pairs(
        rows in prop::collection::vec((0..2_u8, -6..6_i8, -4..5_i8), 4..70),
    ) {
        let labels: Vec<u8> = rows.iter().map(|row| row.0).collect();
        let first: Vec<f64> = rows.iter().map(|row| f64::from(row.1) / 3.0).collect();
        let second: Vec<f64> = rows.iter().map(|row| f64::from(row.2) / 5.0).collect();
        let positives = labels.iter().filter(|&&y| y == 1).count();
        let found = Metrics::from_logits(&labels, &first).unwrap();
        if positives < 2 || labels.len() - positives < 2 {
            prop_assert_eq!(found.auc_standard_error, None);
            return Ok(());
        }
        let (a, b) = (wins(&labels, &first), wins(&labels, &second));
        let near = |found: f64, expected: f64| (found - expected).abs() < 1e-12;
        prop_assert!(near(found.auc_standard_error.unwrap(), variance(&a).sqrt()));
        let shares = AucShares::new(&labels, &first).unwrap().unwrap();
        prop_assert!(near(shares.auc(), found.auc.unwrap()));

        let less = |a: &[Vec<f64>], b: &[Vec<f64>]| -> Vec<Vec<f64>> {
            a.iter().zip(b).map(|(a, b)| a.iter().zip(b).map(|(a, b)| a - b).collect()).collect()
        };
        let difference = AucDifference::new(&labels, &first, &second).unwrap().unwrap();
        let expected = found.auc.unwrap() - Metrics::from_logits(&labels, &second).unwrap().auc.unwrap();
        prop_assert!(near(difference.difference, expected), "{difference:?} {expected}");
        prop_assert!(near(difference.standard_error.unwrap(), variance(&less(&a, &b)).sqrt()));
        let [low, high] = difference.interval_95.unwrap();
        let width = 2.0 * 1.959_963_984_540_054 * difference.standard_error.unwrap();
        prop_assert!(near((low + high) / 2.0, expected) && near(high - low, width));
    }
}

/// Rows drawn again and again, with replacement: AUCs and their differences scatter as the standard errors say.
#[test]
fn a_bootstrap_scatters_as_the_standard_errors_say() {
    let mut state = 5_u64;
    let mut random = || {
        // PCG's multiplier; the upper bits are good.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / (1_u64 << 31) as f64
    };
    let n = 1500;
    let (mut labels, mut first, mut second) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..n {
        let truth = random() * 4.0 - 2.0;
        labels.push(u8::from(random() < 1.0 / (1.0 + (-truth + 1.0_f64).exp())));
        // Two models that err alike, and scores with ties.
        let shared = truth + random() * 3.0;
        first.push(((shared + random()) * 4.0).round() / 4.0);
        second.push(((shared + random() * 1.5) * 4.0).round() / 4.0);
    }
    let (mut aucs, mut differences) = (Vec::new(), Vec::new());
    for _ in 0..600 {
        let drawn: Vec<usize> = (0..n).map(|_| (random() * n as f64) as usize).collect();
        let take = |values: &[f64]| drawn.iter().map(|&i| values[i]).collect::<Vec<_>>();
        let labels: Vec<u8> = drawn.iter().map(|&i| labels[i]).collect();
        let auc = |scores: &[f64]| Metrics::from_logits(&labels, &take(scores)).unwrap().auc.unwrap();
        let (a, b) = (auc(&first), auc(&second));
        aucs.push(a);
        differences.push(a - b);
    }
    let deviation = |values: &[f64]| {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64).sqrt()
    };
    let alone = Metrics::from_logits(&labels, &first).unwrap().auc_standard_error.unwrap();
    let paired = AucDifference::new(&labels, &first, &second).unwrap().unwrap().standard_error.unwrap();
    for (what, error, bootstrap) in
        [("one AUC", alone, deviation(&aucs)), ("a difference", paired, deviation(&differences))]
    {
        assert!((error / bootstrap - 1.0).abs() < 0.12, "{what}: {error}, bootstrap {bootstrap}");
    }
    assert!(paired < 0.7 * alone, "models that err alike: {paired} of a difference, {alone} of one");
}

#[test]
fn shares_of_several_models_are_averaged_and_rows_must_be_the_same() {
    let labels = [1, 0, 1, 0, 0];
    let of = |scores: &[f64]| AucShares::new(&labels, scores).unwrap().unwrap();
    let (a, b) = (of(&[3.0, 1.0, 2.0, 0.0, 2.5]), of(&[0.0, 1.0, 2.0, 3.0, -1.0]));
    let mean = AucShares::mean([&a, &b]).unwrap();
    assert!((mean.auc() - (a.auc() + b.auc()) / 2.0).abs() < 1e-15);
    assert_eq!(AucShares::mean([]), None);
    let same = a.less(&a).unwrap();
    assert_eq!((same.difference, same.standard_error, same.interval_95), (0.0, Some(0.0), Some([0.0, 0.0])));
    let other = AucShares::new(&[1, 0, 1], &[1.0, 2.0, 3.0]).unwrap().unwrap();
    assert!(a.less(&other).is_none() && AucShares::mean([&a, &other]).is_none());
    assert_eq!(AucShares::new(&[1, 1], &[0.0, 1.0]), Ok(None));
    assert_eq!(
        AucShares::new(&[1, 0], &[f64::NAN, 1.0]).unwrap_err().to_string(),
        "row 0: score NaN is not a finite score"
    );
    // Outcomes of older programs have no standard error.
    let old = r#"{"rows":2,"positives":1,"log_loss":0.5,"auc":0.75,"prauc":0.5,"rce":1.0}"#;
    let old: Metrics = serde_json::from_str(old).unwrap();
    assert_eq!((old.auc_standard_error, old.shown_auc(3)), (None, Some("0.750".to_owned())));
}
