//! Networks over the fields' vectors that only teachers have: no packed file holds one, and there is no arithmetic of
//! integers for it.
//!
//! A network has a logit of its own, which is added to those of the other parts, or it gives the hidden layers of
//! [`ModelConfig::mlp`](crate::config::ModelConfig::mlp) their inputs in place of the concatenated vectors, or both.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A network, by the name of its paper. `fields` are numbers of fields from 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum Network {
    /// Cross network of DCN-V2 (Wang et al. 2021, arXiv:2008.13535).
    DcnV2 {
        /// Number of cross layers.
        cross_layers: usize,
        /// Columns of U and V in `W = U V^T`; 0 for a full W.
        cross_rank: usize,
        /// Pairs of U and V in a layer, mixed by gates; more than 1 only with a rank.
        cross_experts: usize,
        /// Whether the hidden layers read what the last cross layer gives, or run beside it.
        cross_stacked: bool,
    },
    /// FinalMLP (Mao et al. 2023, arXiv:2304.00902).
    FinalMlp {
        /// The two streams, each of at least one hidden layer.
        streams: [MlpConfig; 2],
        /// Feature selection of each stream; absent without it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gates: Option<[Gate; 2]>,
        /// Groups of outputs that are fused by themselves; they divide the last width of each stream.
        fusion_heads: usize,
    },
    /// Field-aware factorisation machine (Juan et al. 2016, doi:10.1145/2959100.2959134): a field's vector is one for
    /// each other field.
    Ffm,
    /// Product-based network with inner products (Qu et al. 2016, arXiv:1611.00144).
    Pnn,
    /// Neural factorisation machine (He and Chua 2017, arXiv:1708.05027).
    Nfm {
        /// Whether the pooled vector has BatchNorm.
        batch_norm: bool,
    },
    /// Attentional factorisation machine (Xiao et al. 2017, arXiv:1708.04617).
    Afm {
        /// Outputs of the attention's hidden layer.
        attention_width: usize,
    },
    /// AutoInt (Song et al. 2019, arXiv:1810.11921).
    #[serde(rename = "autoint")]
    AutoInt {
        /// Number of layers.
        attention_layers: usize,
        /// Heads of each layer; they divide its width.
        attention_heads: usize,
        /// Numbers that a field has after a layer, of all heads together.
        attention_width: usize,
    },
    /// Neural collaborative filtering, NeuMF (He et al. 2017, arXiv:1708.05031).
    Ncf {
        /// Numbers of a vector that are multiplied; the hidden layers read the others.
        gmf_width: usize,
        /// User and item.
        gmf_fields: [usize; 2],
    },
    /// Adaptive factorisation network (Cheng et al. 2020, arXiv:1909.03276).
    Afn {
        /// Number of logarithmic neurons.
        log_neurons: usize,
    },
    /// DLRM (Naumov et al. 2019, arXiv:1906.00091).
    Dlrm {
        /// Fields in the place of dense features: the bottom layers read their vectors, and give one for all of them.
        /// Empty without.
        dense_fields: Vec<usize>,
        /// Widths of the bottom layers before the last, whose width is `embed_dim`.
        bottom_hidden: Vec<usize>,
        /// Whether the bottom layers have BatchNorm.
        batch_norm: bool,
    },
}

/// Hidden layers, each Linear, optional BatchNorm, ReLU, then one Linear to a scalar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MlpConfig {
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// Whether each hidden layer has BatchNorm between Linear and ReLU (epsilon 1e-5).
    pub batch_norm: bool,
}

/// Feature selection of a stream of FinalMLP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// Fields whose vectors it reads; a trained vector, the same for all rows, where there is none.
    pub fields: Vec<usize>,
    /// Widths of its hidden layers.
    pub hidden: Vec<usize>,
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Network::DcnV2 { .. } => "DCN-V2",
            Network::FinalMlp { .. } => "FinalMLP",
            Network::Ffm => "FFM",
            Network::Pnn => "PNN",
            Network::Nfm { .. } => "NFM",
            Network::Afm { .. } => "AFM",
            Network::AutoInt { .. } => "AutoInt",
            Network::Ncf { .. } => "NCF",
            Network::Afn { .. } => "AFN",
            Network::Dlrm { .. } => "DLRM",
        })
    }
}
