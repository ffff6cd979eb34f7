//! Networks over the fields' vectors that only teachers have, each in a file of its own: what it computes, by the
//! equations of its paper.
//!
//! | network | its own logit | inputs of the hidden layers |
//! |---|---|---|
//! | [`dcn_v2`] | of the last cross layer, beside the MLP | the last cross layer, where they are stacked |
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
//! Where a network has no inputs for them, the hidden layers read the concatenated vectors, as they do without a
//! network.

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
mod part;
pub mod pnn;
mod shape;

use tch::Device;
use xsfm_interchange::config::ModelConfig;
use xsfm_interchange::network::Network as Config;

use self::part::Shape;
pub use self::part::{Given, Network};
pub use self::shape::{check, mlp_inputs, numbers_of_a_row};
use crate::settings::LayerInit;
use crate::tensors::size;

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
