//! A model in plain numbers, and what a score of it is: what the folders of every library are made from.

use crate::common::Random;

/// BatchNorm in evaluation mode: gamma, beta, mean, variance.
#[derive(Clone)]
pub(crate) struct Norm(pub(crate) [Vec<f32>; 4]);

#[derive(Clone)]
pub(crate) struct Layer {
    pub(crate) outputs: usize,
    /// `[outputs, inputs]`.
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Option<Vec<f32>>,
    pub(crate) norm: Option<Norm>,
}

#[derive(Clone, PartialEq)]
pub(crate) enum Pairs {
    None,
    Unit,
    Upper(Vec<f32>),
    Matrix(Vec<f32>),
}

/// All that some library has. Numbers are multiples of 1/256, which f16 has too.
#[derive(Clone)]
pub(crate) struct Plain {
    pub(crate) names: Vec<String>,
    pub(crate) dims: Vec<u32>,
    pub(crate) bags: Vec<bool>,
    /// Numbers of each field's vectors.
    pub(crate) widths: Vec<usize>,
    /// Per field `[features, width]`.
    pub(crate) vectors: Vec<Vec<f32>>,
    /// Per field `[features]`.
    pub(crate) scalars: Option<Vec<Vec<f32>>>,
    /// Per field `[width]`.
    pub(crate) field_vectors: Option<Vec<Vec<f32>>>,
    /// Per field `[features, width]`.
    pub(crate) feature_vectors: Option<Vec<Vec<f32>>>,
    /// Per field, of whatever first-order term there is.
    pub(crate) scales: Vec<f32>,
    pub(crate) pairs: Pairs,
    /// The order in which the first layer reads the fields.
    pub(crate) order: Vec<usize>,
    pub(crate) norm: Option<Norm>,
    /// The hidden layers and the output layer; empty where there are none.
    pub(crate) layers: Vec<Layer>,
    pub(crate) epsilon: f64,
    /// Outside of the layers.
    pub(crate) bias: f32,
}

/// Random numbers of that sort.
pub(crate) fn numbers(random: &mut Random, count: usize, middle: f32, spread: f32) -> Vec<f32> {
    (0..count).map(|_| ((middle + spread * random.real()) * 256.0).round() / 256.0).collect()
}

pub(crate) fn norm(random: &mut Random, width: usize) -> Norm {
    Norm(
        [(1.0, 0.5), (0.1, 0.4), (0.0, 0.4), (1.0, 0.8)].map(|(middle, spread)| numbers(random, width, middle, spread)),
    )
}

impl Plain {
    /// Fields with vectors alone.
    pub(crate) fn new(dims: &[u32], width: usize, seed: u64) -> Self {
        let mut random = Random(seed | 1);
        let vectors = |&rows: &u32| numbers(&mut random, rows as usize * width, 0.0, 0.7);
        Plain {
            names: (0..dims.len()).map(|f| format!("column_{f}")).collect(),
            dims: dims.to_vec(),
            bags: vec![false; dims.len()],
            widths: vec![width; dims.len()],
            vectors: dims.iter().map(vectors).collect(),
            scalars: None,
            field_vectors: None,
            feature_vectors: None,
            scales: vec![1.0; dims.len()],
            pairs: Pairs::None,
            order: (0..dims.len()).collect(),
            norm: None,
            layers: Vec::new(),
            epsilon: 1e-5,
            bias: 0.0,
        }
    }

    /// One of the fields as a bag, whose row 0 is padding.
    pub(crate) fn with_bag(mut self, f: usize) -> Self {
        self.bags[f] = true;
        let width = self.widths[f];
        self.vectors[f][..width].fill(0.0);
        self.scalars.iter_mut().for_each(|scalars| scalars[f][0] = 0.0);
        self
    }

    pub(crate) fn with_scalars(mut self, seed: u64) -> Self {
        let mut random = Random(seed | 1);
        self.scalars = Some(self.dims.iter().map(|&rows| numbers(&mut random, rows as usize, 0.0, 0.5)).collect());
        self.bias = 0.375;
        self
    }

    /// `hidden` layers and the output layer, as the switches say.
    pub(crate) fn with_layers(mut self, hidden: &[usize], norms: bool, output_bias: bool, seed: u64) -> Self {
        let mut random = Random(seed | 1);
        let mut inputs: usize = self.widths.iter().sum();
        for (n, &outputs) in hidden.iter().chain([&1]).enumerate() {
            let is_output = n == hidden.len();
            self.layers.push(Layer {
                outputs,
                weight: numbers(&mut random, outputs * inputs, 0.0, 0.4),
                bias: (!is_output || output_bias).then(|| numbers(&mut random, outputs, 0.0, 0.3)),
                norm: (norms && !is_output).then(|| norm(&mut random, outputs)),
            });
            inputs = outputs;
        }
        self
    }

    pub(crate) fn hidden(&self) -> Vec<usize> {
        self.layers.iter().rev().skip(1).rev().map(|layer| layer.outputs).collect()
    }

    /// Rows, each with the indices of each field: random ones, the first indices and the last.
    pub(crate) fn rows(&self, seed: u64) -> Vec<Vec<Vec<u32>>> {
        let mut random = Random(seed | 1);
        let mut row = || {
            let fields = self.dims.iter().zip(&self.bags);
            let field = |(&features, &bag): (&u32, &bool)| match bag {
                false => vec![random.below(features as usize) as u32],
                true => (0..=random.below(4)).map(|_| 1 + random.below(features as usize - 1) as u32).collect(),
            };
            fields.map(field).collect()
        };
        let mut rows: Vec<Vec<Vec<u32>>> = (0..40).map(|_| row()).collect();
        rows.push(vec![vec![0]; self.dims.len()]);
        rows.push(self.dims.iter().map(|features| vec![features - 1]).collect());
        rows
    }

    /// The sum of everything, in f64.
    pub(crate) fn logit(&self, row: &[Vec<u32>]) -> f64 {
        let gather = |tables: &[Vec<f32>], f: usize, width: usize| -> Vec<f64> {
            let row_of = |i: u32| &tables[f][i as usize * width..][..width];
            (0..width).map(|d| row[f].iter().map(|&i| f64::from(row_of(i)[d])).sum()).collect()
        };
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let num_fields = self.dims.len();
        let v: Vec<Vec<f64>> = (0..num_fields).map(|f| gather(&self.vectors, f, self.widths[f])).collect();
        let mut logit = f64::from(self.bias);
        for f in 0..num_fields {
            let mut first = self.scalars.as_ref().map_or(0.0, |scalars| gather(scalars, f, 1)[0]);
            if let Some(vectors) = &self.field_vectors {
                first += dot(&v[f], &vectors[f].iter().map(|&w| f64::from(w)).collect::<Vec<_>>());
            }
            if let Some(vectors) = &self.feature_vectors {
                first += dot(&v[f], &gather(vectors, f, self.widths[f]));
            }
            logit += f64::from(self.scales[f]) * first;
        }
        let mut upper = 0;
        for i in 0..num_fields {
            for j in i + 1..num_fields {
                logit += dot(&v[i], &v[j])
                    * match &self.pairs {
                        Pairs::None => 0.0,
                        Pairs::Unit => 1.0,
                        Pairs::Upper(weights) => f64::from(weights[upper]),
                        Pairs::Matrix(w) => f64::from(w[i * num_fields + j] + w[j * num_fields + i]) / 2.0,
                    };
                upper += 1;
            }
        }
        let mut x: Vec<f64> = self.order.iter().flat_map(|&f| v[f].clone()).collect();
        if let Some(norm) = &self.norm {
            self.normalize(norm, &mut x);
        }
        for (n, layer) in self.layers.iter().enumerate() {
            let output = |o: usize| {
                let weights = layer.weight[o * x.len()..].iter().zip(&x);
                weights.map(|(&w, x)| f64::from(w) * x).sum::<f64>()
                    + layer.bias.as_ref().map_or(0.0, |bias| f64::from(bias[o]))
            };
            let mut y: Vec<f64> = (0..layer.outputs).map(output).collect();
            if n + 1 == self.layers.len() {
                return logit + y[0];
            }
            if let Some(norm) = &layer.norm {
                self.normalize(norm, &mut y);
            }
            x = y.into_iter().map(|y| y.max(0.0)).collect();
        }
        logit
    }

    fn normalize(&self, Norm(parts): &Norm, x: &mut [f64]) {
        for (i, x) in x.iter_mut().enumerate() {
            let [gamma, beta, mean, var] = [0, 1, 2, 3].map(|part| f64::from(parts[part][i]));
            *x = (*x - mean) / (var + self.epsilon).sqrt() * gamma + beta;
        }
    }
}
