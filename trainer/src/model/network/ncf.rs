//! Neural collaborative filtering, NeuMF (He et al. 2017, arXiv:1708.05031, eq. 12): `<h, p * q>` of user and item, and
//! an MLP, each with vectors of its own. The first `gmf_width` numbers of both fields' vectors are p and q; the MLP
//! reads the others, and all numbers of fields that the paper does not have.

use tch::Tensor;

use super::part::{Given, Network, Shape, output, weights};
use crate::model::layers::Pass;
use crate::model::role::Role;
use crate::tensors::size;

/// Generalised matrix factorisation.
#[derive(Debug)]
pub struct MatrixFactorization {
    /// User and item.
    fields: [i64; 2],
    /// h `[width]`
    output: Tensor,
}

impl MatrixFactorization {
    pub(super) fn new(width: usize, fields: [usize; 2], shape: Shape) -> Self {
        MatrixFactorization { fields: fields.map(size), output: output(size(width), shape.device) }
    }
}

impl Network for MatrixFactorization {
    fn named(&self) -> Vec<(String, Tensor, Role)> {
        vec![weights("output", &self.output)]
    }

    fn pass(&self, v: &Tensor, _: Pass) -> Given {
        let (fields, dim, width) = (v.size()[1], v.size()[2], self.output.size()[0]);
        let [p, q] = self.fields.map(|f| v.select(1, f).narrow(1, 0, width));
        let of_mlp = |f: i64| {
            let from = if self.fields.contains(&f) { width } else { 0 };
            v.select(1, f).narrow(1, from, dim - from)
        };
        let inputs = Tensor::cat(&(0..fields).map(of_mlp).collect::<Vec<_>>(), 1);
        Given { logits: Some((p * q).mv(&self.output)), inputs: Some(inputs) }
    }
}
