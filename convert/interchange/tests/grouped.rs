//! GAUC, NDCG and MRR against scikit-learn 1.9.1, and against all orders of small groups.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use proptest::prelude::*;
use xsfm_interchange::metrics::grouped::Grouped;

// Expected values, with scikit-learn 1.9.1:
//
//     y = np.array([int((i*7+i//3)%5<2) for i in range(200)])
//     x = np.array([((i*37)%41)/8-2.5+((i*7+i//3)%5<2)*0.75 for i in range(200)])
//     g = np.array([(i*i//7)%12 for i in range(200)]); g[199] = 99
//     def grouped(g, y, x, cuts):
//         w = a = rr = c = one = 0; nd = np.zeros(len(cuts))
//         for k in np.unique(g[g != 0]):
//             yy, xx = y[g == k], x[g == k]
//             if len(set(yy)) < 2: one += 1; continue
//             c += 1; w += len(yy); a += len(yy) * roc_auc_score(yy, xx); nd += [ndcg_score([yy], [xx], k=q) for q in
//             cuts] best = max(xx[yy == 1]); above = np.sum(xx > best) rr += np.mean([1 / (above + 1 +
//             list(o).index(1)) for o in itertools.permutations(yy[xx == best])])
//         return c, w, one, sum(g == 0), a / w, rr / c, nd / c
//     grouped(g, y, x, [1, 5, 10]); grouped(g, y, np.round(x * 2) / 2, [1, 5, 10])
#[test]
fn equal_scikit_learn() {
    let labels: Vec<u8> = (0..200).map(|i| u8::from((i * 7 + i / 3) % 5 < 2)).collect();
    let scores: Vec<f64> =
        (0..200).zip(&labels).map(|(i, &y)| f64::from((i * 37) % 41) / 8.0 - 2.5 + f64::from(y) * 0.75).collect();
    let mut groups: Vec<u32> = (0..200).map(|i| (i * i / 7) % 12).collect();
    groups[199] = 99;
    // More ties; numpy rounds halves to even too.
    let rounded: Vec<f64> = scores.iter().map(|x| (x * 2.0).round_ties_even() / 2.0).collect();
    for (scores, gauc, mrr, ndcg) in [(&scores, GAUC[0], MRR[0], NDCG[0]), (&rounded, GAUC[1], MRR[1], NDCG[1])] {
        let found = Grouped::new("user", &groups, &labels, scores, &cuts([1, 5, 10])).unwrap();
        assert_eq!((found.groups, found.rows, found.one_class, found.unknown_rows), (10, 156, 1, 43));
        assert!((found.gauc.unwrap() - gauc).abs() < 1e-12, "{found:?}");
        assert!((found.mrr.unwrap() - mrr).abs() < 1e-12, "{found:?}");
        for (found, expected) in found.ndcg.iter().zip(ndcg) {
            assert!((found.ndcg.unwrap() - expected).abs() < 1e-12, "{found:?} {expected}");
        }
    }
}

const GAUC: [f64; 2] = [0.652_230_714_546_891_1, 0.645_605_068_950_657_1];
const MRR: [f64; 2] = [0.883_333_333_333_333_4, 0.862_5];
const NDCG: [[f64; 3]; 2] = [
    [0.8, 0.649_352_257_522_287_2, 0.719_211_928_157_345_4],
    [0.766_666_666_666_666_7, 0.621_900_497_548_977_5, 0.711_238_480_666_376_5],
];

#[test]
fn one_class_and_unknown_tokens_are_in_no_figure() {
    let found = Grouped::new("user", &[1, 1, 2, 2, 0, 0], &[1, 1, 0, 0, 0, 1], &[0.0; 6], &cuts([3])).unwrap();
    assert_eq!((found.groups, found.rows, found.one_class, found.unknown_rows), (0, 0, 2, 2));
    assert_eq!((found.gauc, found.mrr, found.ndcg[0].ndcg), (None, None, None));
    let words = found.to_string();
    assert!(words.contains("by user: 0 groups") && words.contains("NDCG@3       undefined"), "{words}");
    let error = Grouped::new("user", &[1], &[1, 0], &[0.0, 1.0], &[]).unwrap_err().to_string();
    assert_eq!(error, "1 rows with a group, but 2 scores");
}

fn cuts<const N: usize>(rows: [usize; N]) -> [NonZeroUsize; N] {
    rows.map(|rows| NonZeroUsize::new(rows).unwrap())
}

/// All orders of `rows` that put higher scores first.
fn orders(rows: &[(u8, i8)]) -> Vec<Vec<u8>> {
    if rows.is_empty() {
        return vec![Vec::new()];
    }
    let best = rows.iter().map(|row| row.1).max().unwrap();
    let firsts = (0..rows.len()).filter(|&i| rows[i].1 == best);
    let of_first = |i: usize| {
        let mut rest = rows.to_vec();
        let (label, _) = rest.remove(i);
        orders(&rest).into_iter().map(move |order| [vec![label], order].concat())
    };
    firsts.flat_map(of_first).collect()
}

proptest! {
    /// Means over all orders of ties of every figure's definition.
    #[test]
    fn figures_are_expected_values(
        rows in prop::collection::vec((0..4_u32, 0..2_u8, -2..2_i8), 1..16),
        cut in 1..6_usize,
    ) {
        let mut groups: BTreeMap<u32, Vec<(u8, i8)>> = BTreeMap::new();
        // Groups of six at most have 720 orders.
        let rows: Vec<_> = rows.into_iter().filter(|&(g, y, s)| {
            let group = groups.entry(g).or_default();
            group.push((y, s));
            if group.len() > 6 { group.pop(); false } else { true }
        }).collect();
        groups.remove(&0);
        let is_mixed = |rows: &Vec<(u8, i8)>| rows.iter().any(|row| row.0 == 1) && rows.iter().any(|row| row.0 == 0);
        let one_class = groups.values().filter(|rows| !is_mixed(rows)).count() as u64;
        let (mut gauc, mut mrr, mut ndcg, mut count, mut weight) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for rows in groups.values().filter(|rows| is_mixed(rows)) {
            let orders = orders(rows);
            let sum = |of: &dyn Fn(&[u8]) -> f64| orders.iter().map(|order| of(order)).sum::<f64>();
            let mean = |of: &dyn Fn(&[u8]) -> f64| sum(of) / orders.len() as f64;
            let gain = |labels: &[u8]| -> f64 {
                labels.iter().take(cut).zip(1..).map(|(&y, i)| f64::from(y) / f64::from(i + 1).log2()).sum()
            };
            let mut ideal: Vec<u8> = rows.iter().map(|row| row.0).collect();
            ideal.sort_unstable_by(|a, b| b.cmp(a));
            let auc = |labels: &[u8]| {
                let (mut won, mut pairs) = (0.0, 0.0);
                for (i, _) in labels.iter().enumerate().filter(|(_, y)| **y == 1) {
                    for (j, _) in labels.iter().enumerate().filter(|(_, y)| **y == 0) {
                        pairs += 1.0;
                        won += f64::from(u8::from(i < j));
                    }
                }
                won / pairs
            };
            gauc += rows.len() as f64 * mean(&auc);
            mrr += mean(&|labels| 1.0 / (1 + labels.iter().position(|y| *y == 1).unwrap()) as f64);
            ndcg += mean(&gain) / gain(&ideal);
            count += 1.0;
            weight += rows.len() as f64;
        }
        let indices: Vec<u32> = rows.iter().map(|row| row.0).collect();
        let labels: Vec<u8> = rows.iter().map(|row| row.1).collect();
        let scores: Vec<f64> = rows.iter().map(|row| f64::from(row.2) / 3.0).collect();
        prop_assume!(!rows.is_empty());
        let found = Grouped::new("f", &indices, &labels, &scores, &cuts([cut])).unwrap();
        prop_assert_eq!((found.groups as f64, found.rows as f64, found.one_class), (count, weight, one_class));
        if count == 0.0 {
            prop_assert_eq!(found.gauc, None);
            return Ok(());
        }
        let pairs = [(found.gauc, gauc / weight), (found.mrr, mrr / count), (found.ndcg[0].ndcg, ndcg / count)];
        for (found, expected) in pairs {
            prop_assert!((found.unwrap() - expected).abs() < 1e-12, "{:?} {}", found, expected);
        }
    }
}
