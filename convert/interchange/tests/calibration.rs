//! ECE, calibration and Platt scaling against numpy 2.4.6 and scikit-learn 1.9.1, and against plain loops.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use proptest::prelude::*;
use xsfm_interchange::metrics::Metrics;
use xsfm_interchange::metrics::calibration::{BINS, Reliability};
use xsfm_interchange::metrics::platt::Platt;

/// 200 rows with ties.
fn rows() -> (Vec<u8>, Vec<f64>) {
    let labels: Vec<u8> = (0..200).map(|i| u8::from((i * 7 + i / 3) % 5 < 2)).collect();
    let logits =
        (0..200).zip(&labels).map(|(i, &y)| f64::from((i * 37) % 41) / 8.0 - 2.5 + f64::from(y) * 0.75).collect();
    (labels, logits)
}

// Expected values:
//
//     import numpy as np
//     def calibration(y, x, B=15):
//         p = 1 / (1 + np.exp(-x)); n = len(y)
//         below = np.array([np.sum(x < v) for v in x]); m = np.array([np.sum(x == v) for v in x])
//         b = (2 * below + m) * B // (2 * n)
//         return sum(np.sum(b==k) / n * abs(p[b==k].mean() - y[b==k].mean()) for k in np.unique(b)), p.mean() /
//         y.mean()
//     calibration(np.array([int((i*7+i//3)%5<2) for i in range(200)]),
//                 np.array([((i*37)%41)/8-2.5+((i*7+i//3)%5<2)*0.75 for i in range(200)]))
//     calibration(np.array([0,1,0,1,1,0,0,1]), np.array([-1.5,0.25,0.25,2,-0.5,-0.5,1,0.25]))
#[test]
fn equal_numpy() {
    let (labels, logits) = rows();
    let cases: [(&[u8], &[f64], [f64; 2]); 2] = [
        (&labels, &logits, [0.252_631_704_960_934_2, 1.402_368_803_708_518]),
        (
            &[0, 1, 0, 1, 1, 0, 0, 1],
            &[-1.5, 0.25, 0.25, 2.0, -0.5, -0.5, 1.0, 0.25],
            [0.198_884_523_025_599_22, 1.058_973_005_166_982_3],
        ),
    ];
    for (labels, logits, [ece, calibration]) in cases {
        let probabilities: Vec<f64> = logits.iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect();
        for metrics in [Metrics::from_logits(labels, logits), Metrics::from_probabilities(labels, &probabilities)]
            .map(Result::unwrap)
        {
            assert!((metrics.ece.unwrap() - ece).abs() < 1e-12, "{metrics:?}");
            assert!((metrics.calibration.unwrap() - calibration).abs() < 1e-12, "{metrics:?}");
        }
    }
}

#[test]
fn bins_have_equal_mass_and_equal_predictions_share_one() {
    let n = BINS * 4;
    let labels: Vec<u8> = (0..n).map(|i| u8::from(i % 3 == 0)).collect();
    let logits: Vec<f64> = (0..n).map(|i| ((i * 7) % n) as f64 / 9.0 - 3.0).collect();
    let reliability = Reliability::from_logits(&labels, &logits).unwrap();
    assert_eq!(reliability.bins().iter().map(|bin| bin.rows).collect::<Vec<_>>(), [4; BINS]);
    assert!(reliability.bins().windows(2).all(|two| two[0].mean_prediction() < two[1].mean_prediction()));

    let constant = Reliability::from_logits(&labels, &vec![0.0; n]).unwrap();
    let [bin] = constant.bins() else { panic!("{constant:?}") };
    assert_eq!((bin.rows, bin.mean_prediction(), bin.click_rate()), (n as u64, 0.5, 1.0 / 3.0));
    let ece = constant.ece();
    assert!((ece - (0.5 - 1.0 / 3.0)).abs() < 1e-12 && constant.calibration() == Some(1.5), "{ece}");
}

#[test]
fn without_clicks_there_is_no_calibration() {
    let metrics = Metrics::from_logits(&[0, 0], &[0.0, -1.0]).unwrap();
    assert_eq!(metrics.calibration, None);
    assert!(metrics.ece.unwrap() > 0.25);
    // Outcomes of older programs have neither.
    let old = r#"{"rows":2,"positives":1,"log_loss":0.5,"auc":0.75,"auc_standard_error":0.1,"prauc":0.5,"rce":1.0}"#;
    let old: Metrics = serde_json::from_str(old).unwrap();
    assert_eq!((old.ece, old.calibration, old.auc_standard_error), (None, None, Some(0.1)));
}

// Expected values, Newton's method in numpy with Platt's targets:
//
//     P = y.sum(); N = len(y) - P; t = np.where(y == 1, (P+1)/(P+2), 1/(N+2)); th = np.zeros(2); X = np.c_[x,
//     np.ones(len(x))] for _ in range(100):
//         p = 1 / (1 + np.exp(-X @ th)); th -= np.linalg.solve((X * (p * (1-p))[:, None]).T @ X, X.T @ (p - t))
//
// sklearn.calibration._sigmoid_calibration(x, y), which stops earlier, gives (-0.28649769, 0.53790421) and
// (-0.63174847, 0.50215290) for 1 / (1 + exp(A x + B)).
#[test]
fn platt_scaling_equals_numpy_and_scikit_learn() {
    let (labels, logits) = rows();
    let separable: (&[u8], &[f64]) = (&[0, 0, 0, 1, 1], &[-2.0, -1.0, 0.0, 1.0, 3.0]);
    for ((labels, logits), scale, bias) in [
        ((labels.as_slice(), logits.as_slice()), 0.286_497_691_923_237_6, -0.537_904_201_531_439_9),
        (separable, 0.631_748_486_676_355_3, -0.502_152_859_303_113_4),
    ] {
        let found = Platt::fit(labels, logits).unwrap().unwrap();
        assert!((found.scale - scale).abs() < 1e-9 && (found.bias - bias).abs() < 1e-9, "{found:?}");
    }
}

#[test]
fn what_determines_no_scale_has_none() {
    assert_eq!(Platt::fit(&[1, 1], &[0.0, 1.0]), Ok(None));
    assert_eq!(Platt::fit(&[0, 1], &[0.5, 0.5]), Ok(None));
    assert!(Platt::fit(&[0, 1], &[0.5, f64::NAN]).is_err());
    // A model that ranks the wrong way round.
    assert!(Platt::fit(&[1, 1, 0, 0], &[-1.0, -2.0, 1.0, 3.0]).unwrap().unwrap().scale < 0.0);
}

proptest! {
    /// Bins by counting, quadratic, and in any order of the rows.
    #[test]
    fn errors_equal_those_of_plain_loops(rows in prop::collection::vec((0..2_u8, -9..9_i8), 1..80)) {
        let (labels, logits): (Vec<u8>, Vec<f64>) = rows.iter().map(|&(y, s)| (y, f64::from(s) / 3.0)).unzip();
        let n = rows.len();
        let mut bins = [(0.0, 0.0); BINS];
        for (&y, &z) in labels.iter().zip(&logits) {
            let below = logits.iter().filter(|other| **other < z).count();
            let equal = logits.iter().filter(|other| **other == z).count();
            let bin = &mut bins[(2 * below + equal) * BINS / (2 * n)];
            *bin = (bin.0 + 1.0 / (1.0 + (-z).exp()), bin.1 + f64::from(y));
        }
        let distance = |(predicted, clicks): &(f64, f64)| (predicted - clicks).abs();
        let expected = bins.iter().map(distance).sum::<f64>() / n as f64;
        let found = Metrics::from_logits(&labels, &logits).unwrap();
        prop_assert!((found.ece.unwrap() - expected).abs() < 1e-12, "{found:?} {expected}");
        let (mut labels, mut logits) = (labels, logits);
        labels.reverse();
        logits.reverse();
        prop_assert_eq!(Metrics::from_logits(&labels, &logits).unwrap().ece, found.ece);
    }

    /// No neighbour of what was fit is more likely, and predictions are as many as clicks.
    #[test]
    fn platt_scaling_is_the_minimum(rows in prop::collection::vec((0..2_u8, -90..90_i8), 4..80), size in 0.01..50.0) {
        let (labels, logits): (Vec<u8>, Vec<f64>) = rows.iter().map(|&(y, s)| (y, f64::from(s) * size)).unzip();
        let positives = labels.iter().filter(|y| **y == 1).count() as f64;
        let negatives = labels.len() as f64 - positives;
        let Some(found) = Platt::fit(&labels, &logits).unwrap() else {
            prop_assert!(positives * negatives == 0.0 || logits.iter().all(|z| *z == logits[0]));
            return Ok(());
        };
        let loss = |platt: Platt| -> f64 {
            labels.iter().zip(&logits).map(|(&y, &z)| {
                let t = if y == 1 { (positives + 1.0) / (positives + 2.0) } else { 1.0 / (negatives + 2.0) };
                let u = platt.apply(z);
                u.max(0.0) - t * u + (-u.abs()).exp().ln_1p()
            }).sum()
        };
        let best = loss(found);
        for (scale, bias) in [(1e-3, 0.0), (-1e-3, 0.0), (0.0, 1e-3), (0.0, -1e-3)] {
            let near = Platt { scale: found.scale + scale / size, bias: found.bias + bias };
            prop_assert!(best < loss(near), "{found:?} {near:?}");
        }
        let predicted: f64 = logits.iter().map(|&z| 1.0 / (1.0 + (-found.apply(z)).exp())).sum();
        prop_assert!((predicted - positives).abs() < 2.0 / positives.min(negatives), "{predicted} {positives}");
    }
}
