//! What does not depend on the input is computed once, here: BatchNorm goes into its Linear layer, the field matrix
//! becomes pairs.

use crate::model::{FloatLayer, PairList, Pairs};

/// A Linear layer as trained: `y = W x + b`, then its BatchNorm.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    /// Numbers that it reads.
    pub inputs: usize,
    /// Numbers that it gives.
    pub outputs: usize,
    /// W `[outputs, inputs]`.
    pub weight: Vec<f32>,
    /// b `[outputs]`; zeros where there is none.
    pub bias: Vec<f32>,
    /// `[outputs]`, before the ReLU.
    pub norm: Option<BatchNorm>,
}

/// BatchNorm in evaluation mode, `(x - mean) / sqrt(var + epsilon) * gamma + beta`: a number of each for each `x`.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchNorm {
    /// What is multiplied by; PyTorch's `weight`.
    pub gamma: Vec<f32>,
    /// What is added; PyTorch's `bias`.
    pub beta: Vec<f32>,
    /// The running mean.
    pub mean: Vec<f32>,
    /// The running variance.
    pub var: Vec<f32>,
    /// What keeps the root from 0: 1e-5 by default in PyTorch.
    pub epsilon: f64,
}

impl Linear {
    /// `W' = W g`, `b' = (b - mean) g + beta`, `g = gamma / sqrt(var + epsilon)` per output channel.
    ///
    /// Returns the channel of a negative variance as error.
    pub(crate) fn fold(&self) -> Result<FloatLayer, usize> {
        // W [outputs, inputs], g and b [outputs]
        let mut weights: Vec<f64> = self.weight.iter().map(|&w| f64::from(w)).collect();
        let mut biases: Vec<f64> = self.bias.iter().map(|&b| f64::from(b)).collect();
        if let Some(norm) = &self.norm {
            for (o, (channel, bias)) in weights.chunks_exact_mut(self.inputs).zip(&mut biases).enumerate() {
                let g = norm.factor(o).ok_or(o)?;
                channel.iter_mut().for_each(|w| *w *= g);
                *bias = (*bias - f64::from(norm.mean[o])) * g + f64::from(norm.beta[o]);
            }
        }
        Ok(FloatLayer { inputs: self.inputs, outputs: self.outputs, weights, biases })
    }
}

impl BatchNorm {
    /// `gamma / sqrt(var + epsilon)` of number `i`; `None` where the variance is negative.
    fn factor(&self, i: usize) -> Option<f64> {
        let var = f64::from(self.var[i]);
        (var >= 0.0).then(|| f64::from(self.gamma[i]) / (var + self.epsilon).sqrt())
    }

    /// A BatchNorm of what `layer` reads: `W' = W g`, `b' = b + W (beta - mean g)`, per input.
    ///
    /// Returns the input of a negative variance as error.
    pub(crate) fn fold_into(&self, layer: &mut FloatLayer) -> Result<(), usize> {
        // g, c [inputs]; W [outputs, inputs]
        let g: Vec<f64> = (0..layer.inputs).map(|i| self.factor(i).ok_or(i)).collect::<Result<_, _>>()?;
        let c = |i: usize| f64::from(self.beta[i]) - f64::from(self.mean[i]) * g[i];
        let c: Vec<f64> = (0..layer.inputs).map(c).collect();
        for (channel, bias) in layer.weights.chunks_exact_mut(layer.inputs).zip(&mut layer.biases) {
            *bias += channel.iter().zip(&c).map(|(w, c)| w * c).sum::<f64>();
            channel.iter_mut().zip(&g).for_each(|(w, g)| *w *= g);
        }
        Ok(())
    }
}

/// `r_ij = (W_ij + W_ji) / 2` for i < j; `None` where no pair has a weight.
///
/// In f32, as in training: quantisation continues from the same bits.
pub(crate) fn pairs_of_matrix(num_fields: usize, matrix: &[f32]) -> Option<Pairs<f32>> {
    // W [num_fields, num_fields] -> r, the upper triangle row by row
    let at = |i: usize, j: usize| matrix[i * num_fields + j];
    let upper = PairList::Dense.pairs(num_fields).into_iter();
    pairs_of_weights(num_fields, upper.map(|(i, j)| (at(i, j) + at(j, i)) * 0.5).collect())
}

/// r, the upper triangle row by row; `None` where no pair has a weight.
///
/// Pairs whose weight is exactly 0 were pruned. Where at least half of them were, the list names the others: it costs
/// as many bytes as the weights.
pub(crate) fn pairs_of_weights(num_fields: usize, weights: Vec<f32>) -> Option<Pairs<f32>> {
    let kept = weights.iter().filter(|&&r| r != 0.0).count();
    if kept == 0 {
        return None;
    }
    if kept * 2 > weights.len() {
        return Some(Pairs { list: PairList::Dense, weights });
    }
    let upper = PairList::Dense.pairs(num_fields);
    let kept = upper.iter().zip(&weights).filter(|&(_, &r)| r != 0.0);
    let (list, weights) = kept.map(|(&(i, j), &r)| ((i as u8, j as u8), r)).unzip();
    Some(Pairs { list: PairList::Pruned(list), weights })
}

/// FM: every pair with weight 1; `None` for a single field.
pub(crate) fn unit_pairs(num_fields: usize) -> Option<Pairs<f32>> {
    let pairs = num_fields * (num_fields - 1) / 2;
    (pairs > 0).then(|| Pairs { list: PairList::Dense, weights: vec![1.0; pairs] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folded_layer_equals_linear_then_batch_norm() {
        let linear = Linear {
            inputs: 2,
            outputs: 2,
            weight: vec![1.0, -2.0, 0.5, 3.0],
            bias: vec![0.25, -1.0],
            norm: Some(BatchNorm {
                gamma: vec![2.0, -1.0],
                beta: vec![0.5, 0.0],
                mean: vec![1.0, -2.0],
                var: vec![4.0, 0.0],
                epsilon: 1e-5,
            }),
        };
        let folded = linear.fold().expect("variances are not negative");
        let x = [3.0, 5.0];
        for (o, (mean, var, gamma, beta)) in [(1.0, 4.0, 2.0, 0.5), (-2.0, 0.0, -1.0, 0.0)].into_iter().enumerate() {
            let linear_output: f64 =
                (0..2).map(|j| f64::from(linear.weight[o * 2 + j]) * x[j]).sum::<f64>() + f64::from(linear.bias[o]);
            let expected = (linear_output - mean) / (var + 1e-5_f64).sqrt() * gamma + beta;
            let found: f64 = folded.channel(o).iter().zip(&x).map(|(w, x)| w * x).sum::<f64>() + folded.biases[o];
            assert!((found - expected).abs() < 1e-9 * expected.abs().max(1.0), "channel {o}: {found} and {expected}");
        }
    }

    #[test]
    fn folded_layer_equals_batch_norm_then_linear() {
        let linear =
            Linear { inputs: 2, outputs: 2, weight: vec![1.0, -2.0, 0.5, 3.0], bias: vec![0.25, -1.0], norm: None };
        let norm = BatchNorm {
            gamma: vec![2.0, -1.0],
            beta: vec![0.5, 0.25],
            mean: vec![1.0, -2.0],
            var: vec![4.0, 0.5],
            epsilon: 1e-3,
        };
        let mut folded = linear.fold().expect("no variance");
        norm.fold_into(&mut folded).expect("variances are not negative");
        let x = [3.0, 5.0];
        let normed = [(3.0 - 1.0) / 4.001_f64.sqrt() * 2.0 + 0.5, -(5.0 + 2.0) / (0.501_f64).sqrt() + 0.25];
        for o in 0..2 {
            let expected = (0..2).map(|i| f64::from(linear.weight[o * 2 + i]) * normed[i]).sum::<f64>();
            let expected = expected + f64::from(linear.bias[o]);
            let found: f64 = folded.channel(o).iter().zip(&x).map(|(w, x)| w * x).sum::<f64>() + folded.biases[o];
            assert!((found - expected).abs() < 1e-9, "channel {o}: {found} and {expected}");
        }
    }

    #[test]
    fn pruned_pairs_are_listed_where_that_is_smaller() {
        // W_01 + W_10 = 0 although neither is; two of three pairs remain, so all are stored.
        let matrix = [9.0, 1.0, 2.0, -1.0, 9.0, 3.0, 4.0, 5.0, 9.0];
        let pairs = pairs_of_matrix(3, &matrix).expect("two pairs");
        assert_eq!(pairs, Pairs { list: PairList::Dense, weights: vec![0.0, 3.0, 4.0] });
        let matrix = [9.0, 1.0, 2.0, -1.0, 9.0, 0.0, 4.0, 0.0, 9.0];
        let pairs = pairs_of_matrix(3, &matrix).expect("one pair");
        assert_eq!(pairs, Pairs { list: PairList::Pruned(vec![(0, 2)]), weights: vec![3.0] });
        assert_eq!(pairs_of_matrix(2, &[5.0, 0.0, 0.0, 5.0]), None);
        assert_eq!(unit_pairs(4).map(|p| p.weights.len()), Some(6));
        assert_eq!(unit_pairs(1), None);
    }
}
