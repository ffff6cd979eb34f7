//! Platt scaling: the scale and the bias that make probabilities of logits.
//!
//! ```text
//! p = sigmoid(a z + b)        a, b = arg min sum_i -t_i ln p_i - (1 - t_i) ln(1 - p_i)
//! t = (P + 1) / (P + 2) of a positive, 1 / (N + 2) of a negative    P positives, N negatives (Platt 1999, section 2.2)
//! ```
//!
//! With 0 and 1 in place of the targets `t`, rows that the logits separate would have no minimum, and `a` would grow
//! without end. With them there is one, and the mean of the targets is still the click rate but for less than
//! `2 / (P n)`, n = P + N, so that a calibration of 1 is not given up.
//!
//! The sum is convex; Newton's method finds its minimum, each step halved until the sum falls enough (Lin, Lin and Weng
//! 2007, "A note on Platt's probabilistic outputs for support vector machines").

use serde::{Deserialize, Serialize};

use super::observed::Observed;
use super::scores::{MetricsError, probability};

/// Newton steps, of which about ten are needed.
const STEPS: usize = 100;
/// The gradient of the mean loss is as good as zero.
const GRADIENT: f64 = 1e-12;
/// A step is halved no further.
const SHORTEST: f64 = 1e-12;
/// Share of the expected decrease that a step must have.
const SUFFICIENT: f64 = 1e-4;

/// `z' = scale z + bias`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Platt {
    /// What logits are multiplied with.
    pub scale: f64,
    /// What is then added.
    pub bias: f64,
}

impl Platt {
    /// Nothing is changed.
    pub const IDENTITY: Platt = Platt { scale: 1.0, bias: 0.0 };

    /// Fits both on rows that the model did not learn; `None` where they have one class, or one logit, which determine
    /// neither. P and N are what rows weigh, where they have weights.
    ///
    /// `rows`, `logits`: `[rows]`.
    ///
    /// # Errors
    /// No rows, lengths that differ, a label other than 0 and 1, a weight that is none, a logit that is not finite.
    pub fn fit<'a>(rows: impl Into<Observed<'a>>, logits: &[f64]) -> Result<Option<Self>, MetricsError> {
        let rows = rows.into();
        rows.check(logits, "a finite logit", f64::is_finite)?;
        let Some(all) = rows.all().both_classes() else { return Ok(None) };
        if logits.iter().all(|&z| z == logits[0]) {
            return Ok(None);
        }
        // Of standardised logits, where both parameters are of the same size whatever the model's are.
        let mean_of = |number: &dyn Fn(f64) -> f64| {
            let sum = logits.iter().enumerate().map(|(row, &z)| rows.weight(row) * number(z)).sum::<f64>();
            sum / all.total()
        };
        let mean = mean_of(&|z| z);
        let deviation = mean_of(&|z| (z - mean).powi(2)).sqrt();
        // Rows of one logit have all the weight.
        if deviation == 0.0 {
            return Ok(None);
        }
        let targets = [1.0 / (all.negative + 2.0), (all.positive + 1.0) / (all.positive + 2.0)];
        let sample = |(row, &z): (usize, &f64)| Sample {
            z: (z - mean) / deviation,
            target: targets[usize::from(rows.labels[row])],
            weight: rows.weight(row) / all.total(),
        };
        let samples: Vec<Sample> = logits.iter().enumerate().map(sample).collect();
        let [scale, bias] = minimum(&samples, [0.0, ((all.positive + 1.0) / (all.negative + 1.0)).ln()]);
        let scale = scale / deviation;
        Ok(Some(Platt { scale, bias: bias - scale * mean }))
    }

    /// The correction of a model whose training rows had only the share `rate` of their negatives: with 1 in `1 / rate`
    /// of them, odds are `1 / rate` times too high, `q = p / (p + (1 - p) / rate)` (He et al. 2014, "Practical lessons
    /// from predicting clicks on ads at Facebook", section 6.3), which is `z' = z + ln rate`. `None` where `rate` is
    /// not in (0, 1].
    pub fn of_negative_rate(rate: f64) -> Option<Self> {
        (rate > 0.0 && rate <= 1.0).then(|| Platt { scale: 1.0, bias: rate.ln() })
    }

    /// The logit that is made of one.
    pub fn apply(&self, logit: f64) -> f64 {
        self.scale * logit + self.bias
    }

    /// The logits that are made of these, `[rows]`.
    pub fn applied(&self, logits: &[f64]) -> Vec<f64> {
        logits.iter().map(|&logit| self.apply(logit)).collect()
    }

    /// What is the same as `self` and then `next`.
    pub fn then(&self, next: Platt) -> Platt {
        Platt { scale: next.scale * self.scale, bias: next.scale * self.bias + next.bias }
    }
}

/// Reads a share of negatives from a command line.
///
/// # Errors
/// What is wrong, in words.
pub fn negative_rate(text: &str) -> Result<Platt, String> {
    let rate = text.parse().ok().and_then(Platt::of_negative_rate);
    rate.ok_or_else(|| "a share of the negatives, more than 0 and at most 1, expected".to_owned())
}

/// A row: its standardised logit, its target, and its share of the weight of all rows.
#[derive(Clone, Copy)]
struct Sample {
    z: f64,
    target: f64,
    weight: f64,
}

/// `ln(1 + exp(u)) - t u`: the cross entropy of logit u and target t
fn loss(samples: &[Sample], [a, b]: [f64; 2]) -> f64 {
    let of = |&Sample { z, target, weight }: &Sample| {
        let u = a * z + b;
        weight * (u.max(0.0) - target * u + (-u.abs()).exp().ln_1p())
    };
    samples.iter().map(of).sum::<f64>()
}

/// samples \[n\]: a and b with the smallest mean loss
fn minimum(samples: &[Sample], start: [f64; 2]) -> [f64; 2] {
    let (mut at, mut value) = (start, loss(samples, start));
    for _ in 0..STEPS {
        // Gradient and Hessian of the mean: sum w (p - t) (z, 1) and sum w p (1 - p) (z, 1) (z, 1)^T.
        let ([mut g, mut h], [mut zz, mut z1, mut one]) = ([0.0; 2], [0.0; 3]);
        for &Sample { z, target, weight } in samples {
            let p = probability(at[0] * z + at[1]);
            let (error, curvature) = (weight * (p - target), weight * p * (1.0 - p));
            (g, h) = (g + error * z, h + error);
            (zz, z1, one) = (zz + curvature * z * z, z1 + curvature * z, one + curvature);
        }
        let determinant = zz * one - z1 * z1;
        if g.abs().max(h.abs()) < GRADIENT || determinant <= 0.0 {
            break;
        }
        let step = [-(one * g - z1 * h) / determinant, -(zz * h - z1 * g) / determinant];
        let slope = g * step[0] + h * step[1];
        let mut length = 1.0;
        let next = loop {
            let next = [at[0] + length * step[0], at[1] + length * step[1]];
            let found = loss(samples, next);
            if found < value + SUFFICIENT * length * slope {
                break Some((next, found));
            }
            length /= 2.0;
            if length < SHORTEST {
                break None;
            }
        };
        // No step lowers it any more: rounding is all that is left.
        let Some(next) = next else { break };
        (at, value) = next;
    }
    at
}
