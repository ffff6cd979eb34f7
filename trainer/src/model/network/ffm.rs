//! Field-aware factorisation machine (Juan et al. 2016, doi:10.1145/2959100.2959134, eq. 4): `sum_{i<j} <v_{i, for j},
//! v_{j, for i}>`.
//!
//! A field's vector is one of `k / (F - 1)` numbers for each other field, in the order of the fields: nothing is
//! trained but the tables.

use tch::{Kind, Tensor};

use super::pairs::Pairs;
use super::part::{Given, Network, Shape};
use crate::model::layers::Pass;
use crate::model::role::Role;

/// All pairs of vectors that fields have for each other.
#[derive(Debug)]
pub struct FieldAware {
    /// `[P]`, of the `F (F - 1)` vectors: that of i for j, and that of j for i.
    left: Tensor,
    right: Tensor,
    fields: i64,
}

impl FieldAware {
    pub(super) fn new(shape: Shape) -> Self {
        let fields = shape.fields;
        let pairs = Pairs::new(fields, shape.device);
        let (i, j) = (&pairs.left, &pairs.right);
        // A field has no vector for itself: in the list of the lower one, i, the places from i on have moved up by one.
        FieldAware { left: i * (fields - 1) + (j - 1), right: j * (fields - 1) + i, fields }
    }
}

impl Network for FieldAware {
    fn named(&self) -> Vec<(String, Tensor, Role)> {
        Vec::new()
    }

    fn pass(&self, v: &Tensor, _: Pass) -> Given {
        let all = v.view([v.size()[0], self.fields * (self.fields - 1), -1]);
        let products = all.index_select(1, &self.left) * all.index_select(1, &self.right);
        Given::logits(products.sum_dim_intlist([1, 2].as_slice(), false, None::<Kind>))
    }
}
