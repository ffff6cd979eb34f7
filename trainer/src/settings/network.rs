//! The flags of the networks that only teachers have.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use clap::{ArgAction, Args, ValueEnum};
use serde::Serialize;
use xsfm_interchange::config::MlpConfig;
use xsfm_interchange::network::{Gate, Network};
use xsfm_interchange::schema::Schema;

use super::widths::Widths;

/// A teacher's network. What is not given is not recorded: runs of older programs go on.
#[derive(Args, Clone, Debug, Default, Serialize)]
#[command(next_help_heading = "Networks for teachers (f32 alone: no packed file holds one)")]
pub struct NetworkFlags {
    /// A network over the fields' vectors. Its logit is added to the other parts', or --hidden reads what it gives;
    /// turn off parts that its paper does not have (--interaction none, --field-vector=false)
    #[arg(long, value_enum)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkKind>,
    /// dcn-v2: cross layers [default: 3]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cross_layers: Option<usize>,
    /// dcn-v2: rank of a cross layer's matrix; 0 for a full one [default: 0]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cross_rank: Option<usize>,
    /// dcn-v2: matrices of that rank in a layer, mixed by gates [default: 1]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cross_experts: Option<usize>,
    /// dcn-v2: --hidden reads the last cross layer; otherwise it runs beside them [default: false]
    #[arg(long, action = ArgAction::Set)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cross_stacked: Option<bool>,
    /// final-mlp: widths of the second stream; --hidden are those of the first [default: those of --hidden]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second_hidden: Option<Widths>,
    /// final-mlp: parts of both outputs that are fused each by itself; they divide the last widths [default: 1]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fusion_heads: Option<usize>,
    /// final-mlp: widths of the hidden layers of the gates that select what a stream reads; without it there are no
    /// gates
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate_hidden: Option<Widths>,
    /// final-mlp: fields, by name, that the first stream's gate reads, `user,age` [default: a trained vector in their
    /// place]
    #[arg(long, value_name = "FIELDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_gate_fields: Option<Names>,
    /// final-mlp: the same of the second stream
    #[arg(long, value_name = "FIELDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second_gate_fields: Option<Names>,
    /// afm: outputs of the attention's hidden layer; autoint: numbers of a field after a layer, of all heads together
    /// [default: 64]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attention_width: Option<usize>,
    /// autoint: attention layers [default: 3]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attention_layers: Option<usize>,
    /// autoint: heads of a layer; they divide its width [default: 2]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attention_heads: Option<usize>,
    /// ncf: the two fields, by name, whose vectors are multiplied, `user,item` [default: the first two]
    #[arg(long, value_name = "FIELDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gmf_fields: Option<Names>,
    /// ncf: so many of their numbers; --hidden reads the others [default: half of --embed-dim]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gmf_width: Option<usize>,
    /// afn: logarithmic neurons [default: 256]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_neurons: Option<usize>,
    /// dlrm: fields, by name, in the place of dense features: numbers in buckets, say [default: none]
    #[arg(long, value_name = "FIELDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dense_fields: Option<Names>,
    /// dlrm: widths of the bottom layers that read them, before one of --embed-dim [default: none]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bottom_hidden: Option<Widths>,
}

/// Names of fields as written on a command line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Names(pub Vec<String>);

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

impl FromStr for Names {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
        if names.iter().any(String::is_empty) {
            return Err(format!("`{text}` has an empty name; write for example `user,item`"));
        }
        Ok(Names(names))
    }
}

/// Networks, on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
pub enum NetworkKind {
    /// Cross network, with --hidden beside it or after it (Wang et al. 2021)
    DcnV2,
    /// Two MLPs, feature selection, bilinear fusion (Mao et al. 2023)
    FinalMlp,
    /// Field-aware factorisation machine: --embed-dim is shared out among the other fields (Juan et al. 2016)
    Ffm,
    /// --hidden reads inner products too (Qu et al. 2016)
    Pnn,
    /// --hidden reads the pooled products of all pairs (He and Chua 2017)
    Nfm,
    /// Products of all pairs, pooled by attention (Xiao et al. 2017)
    Afm,
    /// Multi-head self-attention (Song et al. 2019)
    #[value(name = "autoint")]
    AutoInt,
    /// Product of user and item beside --hidden (He et al. 2017)
    Ncf,
    /// --hidden reads logarithmic neurons (Cheng et al. 2020)
    Afn,
    /// --hidden reads inner products and bottom layers (Naumov et al. 2019)
    Dlrm,
}

impl NetworkFlags {
    /// The network over the fields of a data set, with `hidden` and `embed_dim` as the other flags say; `None` without
    /// one.
    ///
    /// # Errors
    /// A field that is not there.
    pub fn config(&self, schema: &Schema, hidden: &MlpConfig, embed_dim: usize) -> Result<Option<Network>> {
        let Some(kind) = self.network else { return Ok(None) };
        let fields = |flag: &str, names: &Option<Names>| -> Result<Vec<usize>> {
            let number = |name: &String| {
                let found = schema.fields.iter().position(|field| field.name == *name);
                found.with_context(|| format!("--{flag}: the data have no field `{name}`"))
            };
            names.iter().flat_map(|names| &names.0).map(number).collect()
        };
        let widths = |flag: &Option<Widths>| flag.as_ref().map_or_else(Vec::new, |widths| widths.0.clone());
        let batch_norm = hidden.batch_norm;
        let attention_width = self.attention_width.unwrap_or(64);
        Ok(Some(match kind {
            NetworkKind::DcnV2 => Network::DcnV2 {
                cross_layers: self.cross_layers.unwrap_or(3),
                cross_rank: self.cross_rank.unwrap_or(0),
                cross_experts: self.cross_experts.unwrap_or(1),
                cross_stacked: self.cross_stacked.unwrap_or(false),
            },
            NetworkKind::FinalMlp => {
                let second = self.second_hidden.as_ref().map_or(&hidden.hidden, |widths| &widths.0);
                let gate = |fields| Gate { fields, hidden: widths(&self.gate_hidden) };
                let first_fields = fields("first-gate-fields", &self.first_gate_fields)?;
                let second_fields = fields("second-gate-fields", &self.second_gate_fields)?;
                Network::FinalMlp {
                    streams: [hidden.clone(), MlpConfig { hidden: second.clone(), batch_norm }],
                    gates: self.gate_hidden.is_some().then(|| [gate(first_fields), gate(second_fields)]),
                    fusion_heads: self.fusion_heads.unwrap_or(1),
                }
            }
            NetworkKind::Ffm => Network::Ffm,
            NetworkKind::Pnn => Network::Pnn,
            NetworkKind::Nfm => Network::Nfm { batch_norm },
            NetworkKind::Afm => Network::Afm { attention_width },
            NetworkKind::AutoInt => Network::AutoInt {
                attention_layers: self.attention_layers.unwrap_or(3),
                attention_heads: self.attention_heads.unwrap_or(2),
                attention_width,
            },
            NetworkKind::Ncf => Network::Ncf {
                gmf_width: self.gmf_width.unwrap_or(embed_dim / 2),
                gmf_fields: match fields("gmf-fields", &self.gmf_fields)?[..] {
                    [] => [0, 1],
                    [user, item] => [user, item],
                    ref several => bail!("--gmf-fields: {} fields; two are multiplied", several.len()),
                },
            },
            NetworkKind::Afn => Network::Afn { log_neurons: self.log_neurons.unwrap_or(256) },
            NetworkKind::Dlrm => Network::Dlrm {
                dense_fields: fields("dense-fields", &self.dense_fields)?,
                bottom_hidden: widths(&self.bottom_hidden),
                batch_norm,
            },
        }))
    }

    /// Checks that every flag is one of the network's.
    ///
    /// # Errors
    /// The message names the flag, its value, and the network that it is for.
    pub fn check(&self) -> Result<()> {
        use NetworkKind::{Afm, Afn, AutoInt, DcnV2, Dlrm, FinalMlp, Ncf};
        fn of<T: ToString>(value: &Option<T>) -> Option<String> {
            value.as_ref().map(ToString::to_string)
        }
        let given: [(&str, Option<String>, &[NetworkKind]); 17] = [
            ("cross-layers", of(&self.cross_layers), &[DcnV2]),
            ("cross-rank", of(&self.cross_rank), &[DcnV2]),
            ("cross-experts", of(&self.cross_experts), &[DcnV2]),
            ("cross-stacked", of(&self.cross_stacked), &[DcnV2]),
            ("second-hidden", of(&self.second_hidden), &[FinalMlp]),
            ("fusion-heads", of(&self.fusion_heads), &[FinalMlp]),
            ("gate-hidden", of(&self.gate_hidden), &[FinalMlp]),
            ("first-gate-fields", of(&self.first_gate_fields), &[FinalMlp]),
            ("second-gate-fields", of(&self.second_gate_fields), &[FinalMlp]),
            ("attention-width", of(&self.attention_width), &[Afm, AutoInt]),
            ("attention-layers", of(&self.attention_layers), &[AutoInt]),
            ("attention-heads", of(&self.attention_heads), &[AutoInt]),
            ("gmf-fields", of(&self.gmf_fields), &[Ncf]),
            ("gmf-width", of(&self.gmf_width), &[Ncf]),
            ("log-neurons", of(&self.log_neurons), &[Afn]),
            ("dense-fields", of(&self.dense_fields), &[Dlrm]),
            ("bottom-hidden", of(&self.bottom_hidden), &[Dlrm]),
        ];
        for (flag, value, kinds) in given {
            let Some(value) = value else { continue };
            if !self.network.is_some_and(|network| kinds.contains(&network)) {
                let name = |kind: &NetworkKind| kind.to_possible_value().map(|value| value.get_name().to_owned());
                let names: Vec<String> = kinds.iter().filter_map(name).collect();
                bail!("--{flag} {value} is for --network {}", names.join(" or "));
            }
        }
        let of_gates =
            [("first-gate-fields", &self.first_gate_fields), ("second-gate-fields", &self.second_gate_fields)];
        for (flag, fields) in of_gates {
            if let (Some(fields), None) = (fields, &self.gate_hidden) {
                bail!("--{flag} {fields} is for gates, which --gate-hidden asks for");
            }
        }
        Ok(())
    }
}
