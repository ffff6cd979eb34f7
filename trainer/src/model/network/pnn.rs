//! Product-based network with inner products (Qu et al. 2016, arXiv:1611.00144, section III-B): the first hidden layer
//! reads all vectors and `<v_i, v_j>` of all pairs; its matrix is the paper's W_z and W_p side by side.

use tch::Tensor;

use super::pairs::Pairs;
use super::part::{Given, Network, Shape};
use crate::model::layers::Pass;
use crate::model::role::Role;

/// The product layer.
#[derive(Debug)]
pub struct InnerProducts(Pairs);

impl InnerProducts {
    pub(super) fn new(shape: Shape) -> Self {
        InnerProducts(Pairs::new(shape.fields, shape.device))
    }
}

impl Network for InnerProducts {
    fn named(&self) -> Vec<(String, Tensor, Role)> {
        Vec::new()
    }

    fn pass(&self, v: &Tensor, _: Pass) -> Given {
        Given::inputs(Tensor::cat(&[v.flatten(1, 2), self.0.dots(v)], 1))
    }
}
