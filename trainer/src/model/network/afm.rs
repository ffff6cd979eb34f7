//! Attentional factorisation machine (Xiao et al. 2017, arXiv:1708.04617): `<p, sum_{i<j} a_ij (v_i * v_j)>` (eq. 6),
//! where a is the softmax over all pairs of `<h, ReLU(W (v_i * v_j) + b)>` (eq. 5). Dropout applies to a, and to the
//! sum.

use tch::{Kind, Tensor};

use super::pairs::Pairs;
use super::part::{Given, Network, Shape, output, weights};
use crate::model::layers::{Linear, Pass};
use crate::model::role::Role;
use crate::settings::LayerInit;
use crate::tensors::size;

/// Pooling of all pairs by attention.
#[derive(Debug)]
pub struct AttentionPooling {
    pairs: Pairs,
    /// W `[width, k]` and b
    layer: Linear,
    /// h `[width]`
    score: Tensor,
    /// p `[k]`
    output: Tensor,
}

impl AttentionPooling {
    pub(super) fn new(width: usize, Shape { fields, dim, device }: Shape) -> Self {
        let width = size(width);
        AttentionPooling {
            pairs: Pairs::new(fields, device),
            layer: Linear::new([dim, width], false, LayerInit::Uniform, device),
            score: output(width, device),
            output: output(dim, device),
        }
    }
}

impl Network for AttentionPooling {
    fn named(&self) -> Vec<(String, Tensor, Role)> {
        let mut all = self.layer.named("attention");
        all.extend([weights("score", &self.score), weights("output", &self.output)]);
        all
    }

    fn pass(&self, v: &Tensor, pass: Pass) -> Given {
        let products = self.pairs.products(v);
        // [n, P, k] -> [n, P]
        let scores = self.layer.apply(&products).relu().matmul(&self.score);
        let attention = pass.drop(scores.softmax(1, None::<Kind>));
        let pooled = attention.unsqueeze(1).bmm(&products).squeeze_dim(1);
        Given::logits(pass.drop(pooled).mv(&self.output))
    }
}
