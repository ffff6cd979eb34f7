//! Neural factorisation machine (He and Chua 2017, arXiv:1708.05027): the hidden layers read the pooled products
//! `sum_{i<j} v_i * v_j = ((sum_i v_i)^2 - sum_i v_i^2) / 2` (eq. 3 and 4), after BatchNorm and dropout (section 3.3).

use tch::{Kind, Tensor};

use super::part::{Given, Network, Shape};
use crate::model::layers::{BatchNorm, Pass};
use crate::model::role::Role;

/// Bi-interaction pooling.
#[derive(Debug)]
pub struct BiInteraction {
    norm: Option<BatchNorm>,
}

impl BiInteraction {
    pub(super) fn new(has_norm: bool, shape: Shape) -> Self {
        BiInteraction { norm: has_norm.then(|| BatchNorm::new(shape.dim, shape.device)) }
    }
}

impl Network for BiInteraction {
    fn named(&self) -> Vec<(String, Tensor, Role)> {
        self.norm.iter().flat_map(|norm| norm.named("norm")).collect()
    }

    fn pass(&self, v: &Tensor, pass: Pass) -> Given {
        let sum = |v: &Tensor| v.sum_dim_intlist([1].as_slice(), false, None::<Kind>);
        let pooled = (sum(v).square() - sum(&v.square())) * 0.5;
        let normed = self.norm.as_ref().map(|norm| norm.apply(&pooled, pass.is_training()));
        Given::inputs(pass.drop(normed.unwrap_or(pooled)))
    }
}
