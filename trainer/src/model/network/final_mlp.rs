//! FinalMLP (Mao et al. 2023, arXiv:2304.00902): two MLPs over the fields' vectors e, `F k` numbers, each with a
//! selection of its own of what it reads.
//!
//! - stream-specific feature selection (section "Stream-Specific Feature Selection"): `h = 2 sigmoid(Gate(x)) * e`,
//!   number by number; Gate is an MLP, x the vectors of some fields, or a trained vector
//! - streams: `o_1 = MLP_1(h_1)`, `o_2 = MLP_2(h_2)`, Linear, BatchNorm, ReLU, dropout in each layer
//! - stream-level fusion (section "Stream-Level Interaction Aggregation"): `<w_1, o_1> + <w_2, o_2> + sum_j o_1j^T W_j
//!   o_2j` over the heads j, for which both outputs are cut into as many parts
//!
//! The public implementation has tables of their own for the gates' fields. Here the gates read the vectors that the
//! model has.

use tch::{Device, Kind, Tensor};
use xsfm_interchange::config::MlpConfig;
use xsfm_interchange::network::Gate as GateConfig;

use super::part::{Given, Network, Shape, output, vector, weights};
use crate::model::layers::{Linear, Pass, hidden, uniform};
use crate::model::role::Role;
use crate::settings::LayerInit;
use crate::tensors::size;

/// The two streams and what is around them.
#[derive(Debug)]
pub struct FinalMlp {
    gates: Option<[Gate; 2]>,
    streams: [Vec<Linear>; 2],
    /// `[last width]` of each stream.
    outputs: [Tensor; 2],
    /// `[heads, last width of the first / heads, of the second / heads]`
    fusion: Tensor,
}

/// Feature selection of a stream.
#[derive(Debug)]
struct Gate {
    context: Context,
    /// ReLU after all but the last, which has `F k` outputs.
    layers: Vec<Linear>,
}

/// What a gate reads.
#[derive(Debug)]
enum Context {
    /// `[1, k]`
    Trained(Tensor),
    /// `[fields]`: which vectors.
    Fields(Tensor),
}

impl FinalMlp {
    pub(super) fn new(
        streams: &[MlpConfig; 2],
        gates: Option<&[GateConfig; 2]>,
        heads: usize,
        init: LayerInit,
        shape: Shape,
    ) -> Self {
        let Shape { fields, dim, device } = shape;
        let stream = |mlp: &MlpConfig| Linear::stack(fields * dim, &mlp.hidden, mlp.batch_norm, init, device);
        let widths = streams.each_ref().map(|mlp| mlp.hidden.last().map_or(fields * dim, |&width| size(width)));
        let [a, b] = widths.map(|width| width / size(heads));
        // Glorot's variance for a matrix of all heads' numbers and one output.
        let bound = (6.0 / (size(heads) * a * b + 1) as f64).sqrt();
        FinalMlp {
            gates: gates.map(|gates| gates.each_ref().map(|gate| Gate::new(gate, init, shape))),
            streams: streams.each_ref().map(stream),
            outputs: widths.map(|width| output(width, device)),
            fusion: uniform(&[size(heads), a, b], bound, device),
        }
    }
}

impl Gate {
    fn new(config: &GateConfig, init: LayerInit, Shape { fields, dim, device }: Shape) -> Self {
        let context = if config.fields.is_empty() {
            Context::Trained(Tensor::zeros([1, dim], (Kind::Float, device)))
        } else {
            Context::Fields(numbers(&config.fields, device))
        };
        let inputs = dim * size(config.fields.len().max(1));
        let mut layers = Linear::stack(inputs, &config.hidden, false, init, device);
        let inputs = config.hidden.last().map_or(inputs, |&width| size(width));
        layers.push(Linear::new([inputs, fields * dim], false, init, device));
        Gate { context, layers }
    }

    /// v `[n, F, k]` -> `[n or 1, F k]`: the factors of a stream's inputs, between 0 and 2
    fn factors(&self, v: &Tensor) -> Tensor {
        let x = match &self.context {
            Context::Trained(vector) => vector.shallow_clone(),
            Context::Fields(fields) => v.index_select(1, fields).flatten(1, 2),
        };
        // Nothing is dropped in a gate.
        let pass = Pass { dropout: None, mixed_precision: false };
        let Some((last, layers)) = self.layers.split_last() else { return v.flatten(1, 2).ones_like() };
        last.apply(&hidden(layers, x, pass, |_| ())).sigmoid() * 2.0
    }

    fn named(&self, s: usize) -> Vec<(String, Tensor, Role)> {
        let layers = self.layers.iter().enumerate().flat_map(|(n, layer)| layer.named(&format!("gate.{s}.{n}")));
        let context = match &self.context {
            Context::Trained(trained) => Some(vector(format!("gate.{s}.context"), trained)),
            Context::Fields(_) => None,
        };
        context.into_iter().chain(layers).collect()
    }
}

fn numbers(fields: &[usize], device: Device) -> Tensor {
    Tensor::from_slice(&fields.iter().map(|&f| size(f)).collect::<Vec<i64>>()).to_device(device)
}

impl Network for FinalMlp {
    fn named(&self) -> Vec<(String, Tensor, Role)> {
        let gates = self.gates.iter().flatten().enumerate().flat_map(|(s, gate)| gate.named(s));
        let streams = self.streams.iter().enumerate().flat_map(|(s, layers)| {
            layers.iter().enumerate().flat_map(move |(n, layer)| layer.named(&format!("stream.{s}.{n}")))
        });
        let outputs = self.outputs.iter().enumerate().map(|(s, w)| weights(format!("output.{s}"), w));
        gates.chain(streams).chain(outputs).chain([weights("fusion", &self.fusion)]).collect()
    }

    fn pass(&self, v: &Tensor, pass: Pass) -> Given {
        let e = v.flatten(1, 2);
        let stream = |s: usize| {
            let gate = self.gates.as_ref().map(|gates| gates[s].factors(v));
            let x = gate.map_or_else(|| e.shallow_clone(), |factors| &e * factors);
            hidden(&self.streams[s], x, pass, |_| ())
        };
        let [a, b] = [stream(0), stream(1)];
        // [n, heads * part] -> [heads, n, part]
        let heads = self.fusion.size()[0];
        let parts = |o: &Tensor| o.view([o.size()[0], heads, -1]).transpose(0, 1);
        let fused = parts(&a).bmm(&self.fusion) * parts(&b);
        let fused = fused.sum_dim_intlist([0, 2].as_slice(), false, None::<Kind>);
        Given::logits(a.mv(&self.outputs[0]) + b.mv(&self.outputs[1]) + fused)
    }
}
