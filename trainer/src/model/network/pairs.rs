//! The pairs i < j of F vectors, P = F (F - 1) / 2 of them, in the order (0, 1), (0, 2), …, (1, 2), …

use tch::{Device, Tensor};

/// Which vectors make each pair.
#[derive(Debug)]
pub(super) struct Pairs {
    /// `[P]`: i
    pub(super) left: Tensor,
    /// `[P]`: j
    pub(super) right: Tensor,
    /// `[P]`: i F + j
    place: Tensor,
}

impl Pairs {
    /// Of so many vectors.
    pub(super) fn new(vectors: i64, device: Device) -> Self {
        let all = || (0..vectors).flat_map(|i| (i + 1..vectors).map(move |j| (i, j)));
        let tensor =
            |of: &dyn Fn((i64, i64)) -> i64| Tensor::from_slice(&all().map(of).collect::<Vec<i64>>()).to_device(device);
        Pairs { left: tensor(&|(i, _)| i), right: tensor(&|(_, j)| j), place: tensor(&|(i, j)| i * vectors + j) }
    }

    /// v `[n, F, k]` -> `[n, P, k]`: products of numbers of the same dimension
    pub(super) fn products(&self, v: &Tensor) -> Tensor {
        v.index_select(1, &self.left) * v.index_select(1, &self.right)
    }

    /// v `[n, F, k]` -> `[n, P]`: inner products
    pub(super) fn dots(&self, v: &Tensor) -> Tensor {
        v.bmm(&v.transpose(1, 2)).flatten(1, 2).index_select(1, &self.place)
    }
}
