//! The cross network of DCN-V2 (Wang et al. 2021, arXiv:2008.13535), over x_0 = all fields' vectors, one after another,
//! d numbers:
//!
//! - full (section 3.2): `x_{l+1} = x_0 * (W_l x_l + b_l) + x_l`
//! - low rank (section 4.2): the same with `W_l = U_l V_l^T`
//! - low-rank experts, gated (section 4.2): `x_{l+1} = sum_i softmax(G_l x_l)_i E_i(x_l) + x_l`,
//!   `E_i(x) = x_0 * (U_i tanh(C_i tanh(V_i^T x)) + b_l)`
//!
//! Products of two vectors are number by number. Beside the MLP (parallel, section 3.4), whose last layer adds to the
//! logit as well, the last x gives the logit `<w, x_L>`: together that is their one output layer over both. Before the
//! MLP (stacked), it is what the MLP reads.

use tch::{Device, Kind, Tensor};

use super::part::{Given, Network, Shape, output, vector, weights};
use crate::model::layers::{Pass, matrix};
use crate::model::role::Role;
use crate::tensors::size;

/// The cross network.
#[derive(Debug)]
pub struct CrossNetwork {
    layers: Vec<Layer>,
    /// `[d]`; none where the MLP reads the last layer.
    output: Option<Tensor>,
}

#[derive(Debug)]
struct Layer {
    matrices: Matrices,
    /// `[d]`
    bias: Tensor,
}

#[derive(Debug)]
enum Matrices {
    /// W `[d, d]`
    Full(Tensor),
    /// U `[d, r]` and V^T `[r, d]`
    LowRank(Tensor, Tensor),
    Experts(Experts),
}

/// E experts.
#[derive(Debug)]
struct Experts {
    /// U `[E, d, r]`
    up: Tensor,
    /// C `[E, r, r]`
    core: Tensor,
    /// V^T `[E, r, d]`
    down: Tensor,
    /// G `[E, d]`
    gates: Tensor,
}

impl CrossNetwork {
    pub(super) fn new(layers: usize, [rank, experts]: [usize; 2], is_stacked: bool, shape: Shape) -> Self {
        let Shape { fields, dim, device } = shape;
        let (d, rank, experts) = (fields * dim, size(rank), size(experts));
        let layer = |_| Layer {
            matrices: match (rank, experts) {
                (0, _) => Matrices::Full(matrix(d, d, device)),
                (_, 1) => Matrices::LowRank(matrix(d, rank, device), matrix(rank, d, device)),
                _ => Matrices::Experts(Experts::new(experts, rank, d, device)),
            },
            bias: Tensor::zeros([d], (Kind::Float, device)),
        };
        let layers = (0..layers).map(layer).collect();
        CrossNetwork { layers, output: (!is_stacked).then(|| output(d, device)) }
    }
}

impl Experts {
    fn new(experts: i64, rank: i64, d: i64, device: Device) -> Self {
        let of = |outputs: i64, inputs: i64| matrix(experts * outputs, inputs, device).view([experts, outputs, inputs]);
        Experts { up: of(d, rank), core: of(rank, rank), down: of(rank, d), gates: matrix(experts, d, device) }
    }

    /// x `[n, d]`, bias `[d]` -> `[n, d]`: the mean of `U tanh(C tanh(V^T x)) + b` by the gates, whose sum is 1
    fn mix(&self, x: &Tensor, bias: &Tensor) -> Tensor {
        // [E, n, d] -> [E, n, r] -> [E, n, r] -> [E, n, d]
        let all = x.unsqueeze(0).expand([self.gates.size()[0], -1, -1], false);
        let inner = all.bmm(&self.down.transpose(1, 2)).tanh().bmm(&self.core.transpose(1, 2)).tanh();
        let outer = inner.bmm(&self.up.transpose(1, 2));
        let gates = x.linear::<Tensor>(&self.gates, None).softmax(-1, None::<Kind>).tr().unsqueeze(2);
        (outer * gates).sum_dim_intlist([0].as_slice(), false, None::<Kind>) + bias
    }
}

impl Layer {
    fn apply(&self, first: &Tensor, x: &Tensor) -> Tensor {
        let factors = match &self.matrices {
            Matrices::Full(w) => x.linear(w, Some(&self.bias)),
            Matrices::LowRank(up, down) => x.linear::<Tensor>(down, None).linear(up, Some(&self.bias)),
            Matrices::Experts(experts) => experts.mix(x, &self.bias),
        };
        first * factors + x
    }

    fn named(&self, l: usize) -> Vec<(String, Tensor, Role)> {
        let name = |part: &str| format!("cross.{l}.{part}");
        let mut all = match &self.matrices {
            Matrices::Full(w) => vec![weights(name("weight"), w)],
            Matrices::LowRank(up, down) => vec![weights(name("up"), up), weights(name("down"), down)],
            Matrices::Experts(Experts { up, core, down, gates }) => vec![
                weights(name("up"), up),
                weights(name("core"), core),
                weights(name("down"), down),
                weights(name("gates"), gates),
            ],
        };
        all.push(vector(name("bias"), &self.bias));
        all
    }
}

impl Network for CrossNetwork {
    fn named(&self) -> Vec<(String, Tensor, Role)> {
        let layers = self.layers.iter().enumerate().flat_map(|(l, layer)| layer.named(l));
        layers.chain(self.output.iter().map(|w| weights("output", w))).collect()
    }

    fn pass(&self, v: &Tensor, _: Pass) -> Given {
        let first = v.flatten(1, 2);
        let last = self.layers.iter().fold(first.shallow_clone(), |x, layer| layer.apply(&first, &x));
        match &self.output {
            Some(weights) => Given::logits(last.mv(weights)),
            None => Given::inputs(last),
        }
    }
}
