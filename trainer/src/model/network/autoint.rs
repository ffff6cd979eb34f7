//! AutoInt (Song et al. 2019, arXiv:1810.11921): layers of multi-head self-attention over the fields. In each head
//! field m has `sum_k a_mk W_V e_k` (eq. 6), a the softmax over k of `<W_Q e_m, W_K e_k>` (eq. 5), not scaled; all
//! heads together (eq. 7) and `W_Res e_m` are added, ReLU (eq. 8). The logit is a weighted sum of the last layer's
//! numbers of all fields (eq. 9).

use tch::{Kind, Tensor};

use super::part::{Given, Network, Shape, output, weights};
use crate::model::layers::{Pass, matrix};
use crate::model::role::Role;
use crate::tensors::size;

/// The attention layers.
#[derive(Debug)]
pub struct SelfAttention {
    layers: Vec<Layer>,
    heads: i64,
    /// `[F * width]`
    output: Tensor,
}

/// `[width, inputs]` each; a head is `width / heads` rows of them.
#[derive(Debug)]
struct Layer {
    query: Tensor,
    key: Tensor,
    value: Tensor,
    residual: Tensor,
}

impl SelfAttention {
    pub(super) fn new(layers: usize, heads: usize, width: usize, Shape { fields, dim, device }: Shape) -> Self {
        let width = size(width);
        let layer = |l: usize| {
            let matrix = || matrix(width, if l == 0 { dim } else { width }, device);
            Layer { query: matrix(), key: matrix(), value: matrix(), residual: matrix() }
        };
        let layers = (0..layers).map(layer).collect();
        SelfAttention { layers, heads: size(heads), output: output(fields * width, device) }
    }
}

impl Layer {
    /// e `[n, F, inputs]` -> `[n, F, width]`
    fn apply(&self, e: &Tensor, heads: i64, pass: Pass) -> Tensor {
        let (n, fields) = (e.size()[0], e.size()[1]);
        let by = |matrix: &Tensor| e.linear::<Tensor>(matrix, None);
        // [n, heads, F, width / heads]
        let of_heads = |matrix: &Tensor| by(matrix).view([n, fields, heads, -1]).transpose(1, 2);
        let scores = of_heads(&self.query).matmul(&of_heads(&self.key).transpose(2, 3));
        let attention = pass.drop(scores.softmax(-1, None::<Kind>));
        let seen = attention.matmul(&of_heads(&self.value)).transpose(1, 2).flatten(2, 3);
        (seen + by(&self.residual)).relu()
    }
}

impl Network for SelfAttention {
    fn named(&self) -> Vec<(String, Tensor, Role)> {
        let layers = self.layers.iter().enumerate().flat_map(|(l, Layer { query, key, value, residual })| {
            [("query", query), ("key", key), ("value", value), ("residual", residual)]
                .map(|(part, matrix)| weights(format!("attention.{l}.{part}"), matrix))
        });
        layers.chain([weights("output", &self.output)]).collect()
    }

    fn pass(&self, v: &Tensor, pass: Pass) -> Given {
        let last = self.layers.iter().fold(v.shallow_clone(), |e, layer| layer.apply(&e, self.heads, pass));
        Given::logits(last.flatten(1, 2).mv(&self.output))
    }
}
