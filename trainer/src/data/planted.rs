//! A planted DeepFwFM: the truth behind generated rows.
//!
//! ```text
//! logit = bias + sum_f w_f[x_f] + sum_{i<j} r_ij <v_i[x_i], v_j[x_j]> + MLP(concat v_f[x_f])
//! ```
//!
//! The numbers of a feature are a hash of seed, field and index: there is no table, and fields may be of any size.
//! Features of a field have Zipf's law with exponent 1: a few are frequent, and most are rare.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

const EMBED_DIM: usize = 8;
/// Outputs of the truth's hidden layer.
const HIDDEN: usize = 16;
/// Rows on which the terms are scaled.
const PILOT_ROWS: usize = 20_000;

/// The truth.
#[derive(Debug)]
pub(super) struct Planted {
    seed: u64,
    /// Number of features of each field.
    sizes: Vec<u32>,
    /// `[num_fields * (num_fields - 1) / 2]`, r_ij in the order of i, then j.
    pairs: Vec<f32>,
    /// `[num_fields * EMBED_DIM]`, by input.
    first_layer: Vec<[f32; HIDDEN]>,
    last_layer: [f32; HIDDEN],
    /// What the three terms are multiplied by.
    scales: [f64; 3],
    bias: f64,
    change: Change,
}

/// How the truth changes from the first row to the last.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Change {
    /// 1 less the correlation of a feature's numbers at the end with those at the beginning.
    pub(super) drift: f64,
    /// How often each feature but the first of a field gives way to a new one.
    pub(super) turnover: f64,
    /// The first field that has a turnover: those before are of numbers.
    pub(super) first_field: usize,
}

/// SplitMix64's output function: neighbouring inputs give unrelated outputs.
pub(super) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Two numbers of mean 0 and variance 1, uniform from -sqrt 3 to sqrt 3, from 64 random bits.
pub(super) fn uniform(bits: u64) -> [f32; 2] {
    const SQRT_3: f32 = 1.732_050_8;
    [bits >> 40, bits >> 8 & 0xff_ffff].map(|bits| (bits as f32 / 8_388_608.0 - 1.0) * SQRT_3)
}

impl Planted {
    /// A truth whose logits have the deviation `strength` and whose rows are clicked with probability `click_rate` on
    /// average.
    pub(super) fn new(seed: u64, sizes: Vec<u32>, strength: f64, click_rate: f64) -> Self {
        let n = sizes.len();
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut number = || uniform(random.random::<u64>())[0];
        let mut planted = Planted {
            seed,
            sizes,
            pairs: (0..n * (n - 1) / 2).map(|_| number()).collect(),
            first_layer: (0..n * EMBED_DIM).map(|_| [(); HIDDEN].map(|()| number())).collect(),
            last_layer: [(); HIDDEN].map(|()| number()),
            scales: [1.0; 3],
            bias: 0.0,
            change: Change::default(),
        };
        planted.scale(strength, click_rate);
        planted
    }

    /// The same truth at the first row, which changes.
    pub(super) fn changing(self, change: Change) -> Self {
        Planted { change, ..self }
    }

    /// Number of fields.
    pub(super) fn num_fields(&self) -> usize {
        self.sizes.len()
    }

    /// The random numbers of block `number`: blocks can be generated in any order.
    pub(super) fn random(&self, number: u64) -> Xoshiro256PlusPlus {
        Xoshiro256PlusPlus::seed_from_u64(mix(self.seed).wrapping_add(number))
    }

    /// Draws a feature of each field. By inversion: P(index < k) = ln(k + 1) / ln(n + 1).
    pub(super) fn draw(&self, random: &mut Xoshiro256PlusPlus, indices: &mut [u32]) {
        for (index, &size) in indices.iter_mut().zip(&self.sizes) {
            let u: f64 = random.random();
            let drawn = (u * (f64::from(size) + 1.0).ln()).exp() - 1.0;
            *index = (drawn as u32).min(size - 1);
        }
    }

    /// Puts in place of the features those that have come for them until `time`, from 0 to 1. Each comes at a time of
    /// its own, the hash of what it takes the place of, so that every day has as many new ones.
    pub(super) fn turn_over(&self, time: f64, indices: &mut [u32]) {
        let Change { turnover, first_field, .. } = self.change;
        for (f, (index, &size)) in indices.iter_mut().zip(&self.sizes).enumerate().skip(first_field) {
            if turnover > 0.0 && *index > 0 {
                let phase = mix(!self.seed ^ (f as u64) << 32 ^ u64::from(*index)) as f64 / 2.0_f64.powi(64);
                *index = index.wrapping_add(size.wrapping_mul((turnover * time + phase) as u32));
            }
        }
    }

    /// The logit of a row at a time, from 0 to 1. `indices`: `[num_fields]`.
    pub(super) fn logit(&self, time: f64, indices: &[u32]) -> f64 {
        let terms = self.terms(time, indices);
        self.bias + terms.iter().zip(self.scales).map(|(term, scale)| term * scale).sum::<f64>()
    }

    /// First order, pairs, MLP.
    fn terms(&self, time: f64, indices: &[u32]) -> [f64; 3] {
        // A quarter turn takes a number to one that has nothing to do with it.
        let (sin, cos) = ((1.0 - self.change.drift).acos() * time).sin_cos();
        let (sin, cos) = (sin as f32, cos as f32);
        let mut linear = 0.0;
        let mut vectors = Vec::with_capacity(indices.len());
        for (f, &index) in (0_u64..).zip(indices) {
            let state = mix(self.seed ^ f << 32 ^ u64::from(index));
            let two = |state: u64, i: u64| uniform(mix(state.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15))));
            let mut draw = (1_u64..).map(|i| match two(state, i) {
                first if sin == 0.0 => first,
                [a, b] => {
                    let [to_a, to_b] = two(mix(!state), i);
                    [cos * a + sin * to_a, cos * b + sin * to_b]
                }
            });
            linear += draw.next().map_or(0.0, |[weight, _]| weight);
            let mut vector = [0.0; EMBED_DIM];
            for (pair, drawn) in vector.chunks_exact_mut(2).zip(draw) {
                pair.copy_from_slice(&drawn);
            }
            vectors.push(vector);
        }
        let mut pairs = 0.0;
        let mut r = self.pairs.iter();
        for (i, v_i) in vectors.iter().enumerate() {
            let mut sum = [0.0_f32; EMBED_DIM];
            for (v_j, r_ij) in vectors[i + 1..].iter().zip(&mut r) {
                sum.iter_mut().zip(v_j).for_each(|(sum, v)| *sum += r_ij * v);
            }
            pairs += sum.iter().zip(v_i).map(|(a, b)| a * b).sum::<f32>();
        }
        let mut hidden = [0.0_f32; HIDDEN];
        for (input, weights) in vectors.iter().flatten().zip(&self.first_layer) {
            hidden.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += input * weight);
        }
        let mlp: f32 = hidden.iter().zip(self.last_layer).map(|(x, weight)| x.max(0.0) * weight).sum();
        [linear, pairs, mlp].map(f64::from)
    }

    /// Gives the three terms the same share of the logits' variance, and finds the bias.
    fn scale(&mut self, strength: f64, click_rate: f64) {
        let mut random = self.random(u64::MAX);
        let mut indices = vec![0; self.num_fields()];
        let mut terms = Vec::with_capacity(PILOT_ROWS);
        for _ in 0..PILOT_ROWS {
            self.draw(&mut random, &mut indices);
            terms.push(self.terms(0.0, &indices));
        }
        let rows = PILOT_ROWS as f64;
        let deviation = |values: &dyn Fn(&[f64; 3]) -> f64| {
            let mean = terms.iter().map(values).sum::<f64>() / rows;
            (terms.iter().map(|t| (values(t) - mean).powi(2)).sum::<f64>() / rows).sqrt()
        };
        let inverse = |deviation: f64| if deviation > 0.0 { 1.0 / deviation } else { 0.0 };
        let equal = [0, 1, 2].map(|t| inverse(deviation(&|terms| terms[t])));
        // The terms are not independent, so that the sum is scaled once more.
        let sum = |terms: &[f64; 3]| terms.iter().zip(equal).map(|(term, scale)| term * scale).sum::<f64>();
        let all = strength * inverse(deviation(&sum));
        self.scales = equal.map(|scale| scale * all);
        let logits: Vec<f64> = terms.iter().map(|terms| all * sum(terms)).collect();
        let (mut low, mut high) = (-1e3, 1e3);
        for _ in 0..60 {
            self.bias = (low + high) / 2.0;
            let rate = logits.iter().map(|logit| probability(logit + self.bias)).sum::<f64>() / rows;
            if rate < click_rate { low = self.bias } else { high = self.bias }
        }
    }
}

/// The logistic function.
pub(super) fn probability(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}
