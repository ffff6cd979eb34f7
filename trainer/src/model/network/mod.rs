//! Networks over the fields' vectors that only teachers have, each in a file of its own: what it computes, by the equations of its paper.
//!
//! | network | its own logit | inputs of the hidden layers |
//! |---|---|---|
//! | [`dcn_v2`] | of the last cross layer, where the MLP runs beside it | the last cross layer, where they are stacked |
//! | [`final_mlp`] | both streams, fused | |
//! | [`ffm`] | all pairs | |
//! | [`pnn`] | | vectors and inner products |
//! | [`nfm`] | | the pooled products |
//! | [`afm`] | products, pooled by attention | |
//! | [`autoint`] | the last attention layer | |
//! | [`ncf`] | the product of user and item | what is left of all vectors |
//! | [`afn`] | | logarithmic neurons |
//! | [`dlrm`] | | bottom layers and inner products |
//!
//! Where a network has no inputs for them, the hidden layers read the concatenated vectors, as they do without a network.

pub mod afm;
pub mod afn;
pub mod autoint;
pub mod dcn_v2;
pub mod dlrm;
pub mod ffm;
pub mod final_mlp;
pub mod ncf;
pub mod nfm;
mod pairs;
pub mod pnn;
mod shape;

use std::fmt::Debug;

use tch::{Device, Tensor};
use xsfm_interchange::config::ModelConfig;
use xsfm_interchange::network::Network as Config;

pub use self::shape::{check, mlp_inputs, numbers_of_a_row};
use super::layers::Pass;
use super::parameters::Role;
use crate::settings::LayerInit;
use crate::tensors::size;

/// What a network gives.
#[derive(Debug, Default)]
pub struct Given {
    /// `[n]`: added to the logits of the other parts.
    pub logits: Option<Tensor>,
    /// `[n, mlp_inputs]`: what the hidden layers read in place of the concatenated vectors.
    pub inputs: Option<Tensor>,
}

impl Given {
    fn logits(logits: Tensor) -> Self {
        Given { logits: Some(logits), inputs: None }
    }

    fn inputs(inputs: Tensor) -> Self {
        Given { logits: None, inputs: Some(inputs) }
    }
}

/// A network on a device.
pub trait Network: Debug + Send {
    /// Its trained numbers and statistics, by their names in a checkpoint after `network.`; shallow clones.
    fn named(&self) -> Vec<(String, Tensor, Role)>;

    /// v `[n, F, k]`: the vectors of the fields
    fn pass(&self, v: &Tensor, pass: Pass) -> Given;
}

/// Sizes that every network is built from.
#[derive(Clone, Copy, Debug)]
struct Shape {
    /// F
    fields: i64,
    /// k
    dim: i64,
    device: Device,
}

/// A fresh network from libtorch's current random state, of a configuration that [`check`] has passed.
pub(super) fn new(network: &Config, config: &ModelConfig, init: LayerInit, device: Device) -> Box<dyn Network> {
    let shape = Shape { fields: size(config.fields.len()), dim: size(config.embed_dim), device };
    match network {
        &Config::DcnV2 { cross_layers, cross_rank, cross_experts, cross_stacked } => {
            Box::new(dcn_v2::CrossNetwork::new(cross_layers, [cross_rank, cross_experts], cross_stacked, shape))
        }
        Config::FinalMlp { streams, gates, fusion_heads } => {
            Box::new(final_mlp::FinalMlp::new(streams, gates.as_ref(), *fusion_heads, init, shape))
        }
        Config::Ffm => Box::new(ffm::FieldAware::new(shape)),
        Config::Pnn => Box::new(pnn::InnerProducts::new(shape)),
        Config::Nfm { batch_norm } => Box::new(nfm::BiInteraction::new(*batch_norm, shape)),
        Config::Afm { attention_width } => Box::new(afm::AttentionPooling::new(*attention_width, shape)),
        &Config::AutoInt { attention_layers, attention_heads, attention_width } => {
            Box::new(autoint::SelfAttention::new(attention_layers, attention_heads, attention_width, shape))
        }
        &Config::Ncf { gmf_width, gmf_fields } => Box::new(ncf::MatrixFactorization::new(gmf_width, gmf_fields, shape)),
        Config::Afn { log_neurons } => Box::new(afn::LogarithmicNeurons::new(*log_neurons, shape)),
        Config::Dlrm { dense_fields, bottom_hidden, batch_norm } => {
            Box::new(dlrm::DotInteraction::new(dense_fields, bottom_hidden, *batch_norm, init, shape))
        }
    }
}

/// Weights `[inputs]` of an output.
fn output(inputs: i64, device: Device) -> Tensor {
    super::layers::matrix(1, inputs, device).squeeze_dim(0)
}

/// A matrix or an output's weights, by name.
fn weights(name: impl Into<String>, tensor: &Tensor) -> (String, Tensor, Role) {
    (name.into(), tensor.shallow_clone(), Role::Matrix)
}

/// A bias or a trained vector, by name.
fn vector(name: impl Into<String>, tensor: &Tensor) -> (String, Tensor, Role) {
    (name.into(), tensor.shallow_clone(), Role::Other)
}
