//! DLRM (Naumov et al. 2019, arXiv:1906.00091, section 2.1 and figure 1): bottom layers turn the dense features into
//! one vector z; the top layers, which are the model's hidden layers, read z and the inner products of all pairs of z
//! and the categorical fields' vectors.
//!
//! All fields are categorical here. The bottom layers read the vectors of the fields that are told to be dense (numbers
//! in buckets, say), which then have no inner products of their own. Without such a field there is no z.

use tch::{Device, Tensor};

use super::pairs::Pairs;
use super::part::{Given, Network, Shape};
use crate::model::layers::{Linear, Pass, hidden};
use crate::model::role::Role;
use crate::settings::LayerInit;
use crate::tensors::size;

/// Bottom layers and inner products.
#[derive(Debug)]
pub struct DotInteraction {
    bottom: Option<Bottom>,
    pairs: Pairs,
}

#[derive(Debug)]
struct Bottom {
    /// `[fields]`: the dense ones, and the others.
    dense: Tensor,
    others: Tensor,
    /// The last has as many outputs as a vector has numbers.
    layers: Vec<Linear>,
}

impl DotInteraction {
    pub(super) fn new(dense: &[usize], widths: &[usize], has_norm: bool, init: LayerInit, shape: Shape) -> Self {
        let Shape { fields, dim, device } = shape;
        let bottom = (!dense.is_empty()).then(|| {
            let dense: Vec<i64> = dense.iter().map(|&f| size(f)).collect();
            let others: Vec<i64> = (0..fields).filter(|f| !dense.contains(f)).collect();
            let inputs = size(dense.len()) * dim;
            let last = widths.last().map_or(inputs, |&width| size(width));
            let mut layers = Linear::stack(inputs, widths, has_norm, init, device);
            layers.push(Linear::new([last, dim], has_norm, init, device));
            let numbers = |fields: &[i64], device: Device| Tensor::from_slice(fields).to_device(device);
            Bottom { dense: numbers(&dense, device), others: numbers(&others, device), layers }
        });
        let vectors = bottom.as_ref().map_or(fields, |bottom| bottom.others.size()[0] + 1);
        DotInteraction { bottom, pairs: Pairs::new(vectors, device) }
    }
}

impl Network for DotInteraction {
    fn named(&self) -> Vec<(String, Tensor, Role)> {
        let layers = self.bottom.iter().flat_map(|bottom| &bottom.layers).enumerate();
        layers.flat_map(|(n, layer)| layer.named(&format!("bottom.{n}"))).collect()
    }

    fn pass(&self, v: &Tensor, pass: Pass) -> Given {
        let Some(Bottom { dense, others, layers }) = &self.bottom else { return Given::inputs(self.pairs.dots(v)) };
        let z = hidden(layers, v.index_select(1, dense).flatten(1, 2), pass, |_| ());
        let vectors = Tensor::cat(&[z.unsqueeze(1), v.index_select(1, others)], 1);
        Given::inputs(Tensor::cat(&[z, self.pairs.dots(&vectors)], 1))
    }
}
