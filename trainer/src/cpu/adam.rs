//! Adam's step (Kingma and Ba 2015, arXiv:1412.6980, algorithm 1), in one pass over a parameter and its moments.

use multiversion::multiversion;
use tch::Tensor;

use super::libtorch::{Share, UsedRow, for_each, numbers, numbers_mut, shares};
use crate::adam::{BETA_1, BETA_2, EPSILON, Move, Rule, Step};
use crate::model::lookup::Uses;

/// Numbers that a thread takes at a time: with their moments they fit a core's first cache.
const CHUNK: usize = 1 << 11;
/// Parts of a batch's rows: many enough that threads have about as much work each.
const SHARES: usize = 64;
/// Rows that are copied before they are used.
const ROWS: usize = 16;

/// A step's factors in f32.
#[derive(Clone, Copy, Debug)]
struct Factors {
    decay: f32,
    /// Learning rate over the first correction.
    rate: f32,
    /// Square root of one over the second correction.
    deviation: f32,
    l2: f32,
}

impl Factors {
    fn new(step: Step, decay: f64, rule: Rule) -> Self {
        let [correction_1, correction_2] = step.corrections;
        Factors {
            decay: decay as f32,
            rate: (rule.rate * step.learning_rate / correction_1) as f32,
            deviation: correction_2.sqrt().recip() as f32,
            l2: rule.l2 as f32,
        }
    }
}

/// All moves of a step, among libtorch's threads.
pub(crate) fn apply(step: Step, moves: &mut [Move]) {
    let gradients: Vec<Option<Tensor>> = moves.iter().map(|m| m.gradient.as_ref().map(Tensor::contiguous)).collect();
    let mut chunks = Vec::new();
    for (Move { parameter, mean, square, decay, rule, .. }, gradient) in moves.iter_mut().zip(&gradients) {
        let factors = Factors::new(step, *decay, *rule);
        let mut gradient = gradient.iter().flat_map(|gradient| numbers(gradient).chunks(CHUNK));
        let moments = numbers_mut(mean).chunks_mut(CHUNK).zip(numbers_mut(square).chunks_mut(CHUNK));
        let parameter = numbers_mut(parameter).chunks_mut(CHUNK);
        chunks.extend(parameter.zip(moments).map(|(p, (m, v))| (factors, p, m, v, gradient.next())));
    }
    for_each(chunks, |(factors, parameter, mean, square, gradient)| match gradient {
        Some(gradient) => go_by(factors, parameter, mean, square, gradient),
        None => go_on(factors, parameter, mean, square),
    });
}

/// Moves the rows of a table that a batch uses, each by the sum of the gradients of its entries.
///
/// `rules` are those of all rows, each up to a row; `tables` are parameter, mean and square `[rows, columns]` or
/// `[rows]`; `gradient` is `[E, columns]` or `[E]`.
pub(crate) fn apply_to_rows(
    step: Step,
    rules: &[(i64, Rule)],
    tables: [&mut Tensor; 3],
    uses: &Uses,
    gradient: &Tensor,
) {
    let factors = rules.iter().map(|&(end, rule)| (end as usize, Factors::new(step, 1.0, rule)));
    let (factors, gradient) = (factors.collect::<Vec<_>>(), gradient.contiguous());
    let gradient = numbers(&gradient);
    for_each(shares(tables, uses, SHARES), |share| move_rows(&factors, share, gradient));
}

#[multiversion(targets = "simd")]
fn move_rows(factors: &[(usize, Factors)], mut share: Share<'_, 3>, gradient: &[f32]) {
    // Rows come from memory, each from elsewhere: copying several before one of them is used lets the core wait for all
    // at once.
    let (mut rows, mut copies, mut sums) = (Vec::with_capacity(ROWS), [const { Vec::new() }; 3], Vec::new());
    loop {
        rows.extend(share.by_ref().take(ROWS));
        let Some(UsedRow { tables: [first, ..], .. }) = rows.first() else { break };
        let columns = first.len();
        for (n, copies) in copies.iter_mut().enumerate() {
            copies.clear();
            rows.iter().for_each(|row| copies.extend_from_slice(row.tables[n]));
        }
        sums.clear();
        sums.resize(rows.len() * columns, 0.0);
        for (UsedRow { entries, .. }, sum) in rows.iter().zip(sums.chunks_exact_mut(columns)) {
            for &entry in *entries {
                let gradient = &gradient[entry as usize * columns..][..columns];
                sum.iter_mut().zip(gradient).for_each(|(sum, gradient)| *sum += gradient);
            }
        }
        let [parameter, mean, square] = &mut copies;
        match factors {
            &[(_, factors)] => go(factors, parameter, mean, square, &sums),
            // The rule of a row is that of the first part that ends behind it.
            all => {
                let rows_of = parameter.chunks_exact_mut(columns).zip(mean.chunks_exact_mut(columns));
                let rows_of = rows_of.zip(square.chunks_exact_mut(columns)).zip(sums.chunks_exact(columns));
                for ((((p, m), v), g), row) in rows_of.zip(&rows) {
                    let part = all.partition_point(|&(end, _)| end <= row.row);
                    go(all[part].1, p, m, v, g);
                }
            }
        }
        for (i, UsedRow { tables, .. }) in rows.drain(..).enumerate() {
            for (table, copies) in tables.into_iter().zip(&copies) {
                table.copy_from_slice(&copies[i * columns..][..columns]);
            }
        }
    }
}

#[inline(always)]
fn go(factors: Factors, parameter: &mut [f32], mean: &mut [f32], square: &mut [f32], gradient: &[f32]) {
    for (((p, m), v), g) in parameter.iter_mut().zip(mean).zip(square).zip(gradient) {
        number(factors, p, m, v, *g);
    }
}

#[multiversion(targets = "simd")]
fn go_by(factors: Factors, parameter: &mut [f32], mean: &mut [f32], square: &mut [f32], gradient: &[f32]) {
    go(factors, parameter, mean, square, gradient);
}

/// A step where all gradients are 0, but for that of L2.
#[multiversion(targets = "simd")]
fn go_on(factors: Factors, parameter: &mut [f32], mean: &mut [f32], square: &mut [f32]) {
    for ((p, m), v) in parameter.iter_mut().zip(mean).zip(square) {
        number(factors, p, m, v, 0.0);
    }
}

#[inline(always)]
fn number(factors: Factors, p: &mut f32, m: &mut f32, v: &mut f32, g: f32) {
    let g = g + factors.l2 * *p;
    *m += (g - *m) * (1.0 - BETA_1) as f32;
    *v += (g * g - *v) * (1.0 - BETA_2) as f32;
    *p = *p * factors.decay - factors.rate * *m / (v.sqrt() * factors.deviation + EPSILON as f32);
}
