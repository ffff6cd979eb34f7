//! What a configuration says of a network's sizes, before there is one.

use std::ops::RangeInclusive;

use anyhow::{Result, bail};
use xsfm_interchange::config::ModelConfig;
use xsfm_interchange::network::Network;
use xsfm_interchange::quantization::limit;

/// Most layers, experts and heads of a network.
const LAYERS: usize = 64;

/// Numbers that the first hidden layer reads.
pub fn mlp_inputs(config: &ModelConfig) -> usize {
    let (fields, dim) = (config.fields.len(), config.embed_dim);
    config.network.as_ref().and_then(|network| given_inputs(network, fields, dim)).unwrap_or(fields * dim)
}

fn pairs(vectors: usize) -> usize {
    vectors * vectors.saturating_sub(1) / 2
}

/// Numbers that a network gives the hidden layers, if it does.
fn given_inputs(network: &Network, fields: usize, dim: usize) -> Option<usize> {
    match network {
        Network::DcnV2 { cross_stacked: true, .. } => Some(fields * dim),
        Network::Pnn => Some(fields * dim + pairs(fields)),
        Network::Nfm { .. } => Some(dim),
        Network::Ncf { gmf_width, .. } => Some((fields * dim).saturating_sub(2 * gmf_width)),
        Network::Afn { log_neurons } => Some(log_neurons.saturating_mul(dim)),
        Network::Dlrm { dense_fields, .. } if dense_fields.is_empty() => Some(pairs(fields)),
        Network::Dlrm { dense_fields, .. } => Some(dim + pairs(fields.saturating_sub(dense_fields.len()) + 1)),
        Network::DcnV2 { .. }
        | Network::FinalMlp { .. }
        | Network::Ffm
        | Network::Afm { .. }
        | Network::AutoInt { .. } => None,
    }
}

/// Numbers of a row in the largest tensor of a network's pass; 0 without one.
pub fn numbers_of_a_row(config: &ModelConfig) -> usize {
    let (fields, dim) = (config.fields.len(), config.embed_dim);
    let largest = match &config.network {
        None => return 0,
        Some(Network::DcnV2 { cross_experts, .. }) => cross_experts * fields * dim,
        Some(Network::FinalMlp { streams, gates, .. }) => {
            let gates = gates.iter().flatten().flat_map(|gate| &gate.hidden);
            streams.iter().flat_map(|stream| &stream.hidden).chain(gates).copied().max().unwrap_or(0)
        }
        Some(Network::Ffm) => fields * dim / 2,
        Some(Network::Afm { attention_width }) => pairs(fields) * dim.max(*attention_width),
        Some(Network::AutoInt { attention_heads, attention_width, .. }) => {
            (attention_heads * fields * fields).max(fields * attention_width)
        }
        Some(Network::Pnn | Network::Nfm { .. } | Network::Ncf { .. } | Network::Afn { .. }) => 0,
        Some(Network::Dlrm { bottom_hidden, .. }) => bottom_hidden.iter().copied().max().unwrap_or(0),
    };
    // Inner products are taken out of a square of all.
    largest.max(mlp_inputs(config)).max(fields * fields)
}

/// A number by the name that it has in `config.json`; its flag has dashes for underscores.
fn within(name: &str, value: usize, range: RangeInclusive<usize>) -> Result<()> {
    if range.contains(&value) {
        return Ok(());
    }
    bail!("{name} (--{}) is {value}; it is {} to {}", name.replace('_', "-"), range.start(), range.end())
}

fn widths(what: &str, widths: &[usize]) -> Result<()> {
    match widths.iter().enumerate().find(|(_, width)| !(1..=limit::LAYER_INPUTS).contains(*width)) {
        None => Ok(()),
        Some((n, width)) => bail!("layer {n} of {what} has a width of {width}; it is 1 to {}", limit::LAYER_INPUTS),
    }
}

/// Fields that are there, each once.
fn fields_exist(name: &str, listed: &[usize], fields: usize) -> Result<()> {
    for (n, &field) in listed.iter().enumerate() {
        if field >= fields {
            bail!("{name} has field {field}; there are {fields} fields, the first is 0");
        }
        if listed[..n].contains(&field) {
            bail!("{name} has field {field} twice");
        }
    }
    Ok(())
}

/// Checks that a network can be built over the fields of a model.
///
/// # Errors
/// A size out of range, a field that is not there, no hidden layers where the network feeds them; the message names it.
pub fn check(network: &Network, config: &ModelConfig) -> Result<()> {
    let (fields, dim) = (config.fields.len(), config.embed_dim);
    let has_pairs = matches!(network, Network::Ffm | Network::Pnn | Network::Nfm { .. } | Network::Afm { .. });
    if has_pairs && fields < 2 {
        bail!("{network} is made of pairs of fields; there is {fields} field");
    }
    match network {
        &Network::DcnV2 { cross_layers, cross_rank, cross_experts, .. } => {
            within("cross_layers", cross_layers, 1..=LAYERS)?;
            within("cross_rank", cross_rank, 0..=fields * dim)?;
            within("cross_experts", cross_experts, 1..=if cross_rank == 0 { 1 } else { LAYERS })?;
            // A full matrix is as large as that of a hidden layer.
            if fields * dim > limit::LAYER_INPUTS {
                bail!(
                    "{fields} fields of {dim} numbers are more than a cross layer may have ({})",
                    limit::LAYER_INPUTS
                );
            }
        }
        Network::FinalMlp { streams, gates, fusion_heads } => {
            for (stream, what) in streams.iter().zip(["the first stream (--hidden)", "the second (--second-hidden)"]) {
                widths(what, &stream.hidden)?;
                let Some(&last) = stream.hidden.last() else {
                    bail!("{what} has no layer; FinalMLP needs one in each")
                };
                within("fusion_heads", *fusion_heads, 1..=last)?;
                if !last.is_multiple_of(*fusion_heads) {
                    bail!(
                        "fusion_heads (--fusion-heads) is {fusion_heads}; it does not divide {last}, the last width of \
                         {what}"
                    );
                }
            }
            for gate in gates.iter().flatten() {
                widths("a gate (--gate-hidden)", &gate.hidden)?;
                fields_exist("a gate", &gate.fields, fields)?;
            }
        }
        Network::Ffm if !dim.is_multiple_of(fields - 1) => bail!(
            "embed_dim (--embed-dim) is {dim}; FFM has a vector for each of {} other fields, which must divide it",
            fields - 1
        ),
        Network::Afm { attention_width } => within("attention_width", *attention_width, 1..=limit::LAYER_INPUTS)?,
        &Network::AutoInt { attention_layers, attention_heads, attention_width } => {
            within("attention_layers", attention_layers, 1..=LAYERS)?;
            within("attention_width", attention_width, 1..=limit::LAYER_INPUTS)?;
            within("attention_heads", attention_heads, 1..=LAYERS.min(attention_width))?;
            if !attention_width.is_multiple_of(attention_heads) {
                bail!(
                    "attention_heads (--attention-heads) is {attention_heads}; it does not divide attention_width, \
                     {attention_width}"
                );
            }
        }
        Network::Ncf { gmf_width, gmf_fields } => {
            fields_exist("gmf_fields (--gmf-fields)", gmf_fields, fields)?;
            within("gmf_width", *gmf_width, 1..=dim.saturating_sub(1))?;
        }
        Network::Afn { log_neurons } => within("log_neurons", *log_neurons, 1..=limit::LAYER_INPUTS)?,
        Network::Dlrm { dense_fields, bottom_hidden, .. } => {
            fields_exist("dense_fields (--dense-fields)", dense_fields, fields)?;
            widths("the bottom layers (--bottom-hidden)", bottom_hidden)?;
            if dense_fields.is_empty() && !bottom_hidden.is_empty() {
                bail!(
                    "bottom_hidden (--bottom-hidden) is {bottom_hidden:?}; without dense_fields there are no bottom \
                     layers"
                );
            }
            if given_inputs(network, fields, 0) == Some(0) {
                bail!("DLRM has no pair: {} of {fields} fields are dense", dense_fields.len());
            }
        }
        Network::Ffm | Network::Pnn | Network::Nfm { .. } => {}
    }
    if let Some(inputs) = given_inputs(network, fields, dim) {
        if config.mlp.is_none() {
            bail!("{network} gives the hidden layers what they read; --hidden is none");
        }
        if !(1..=limit::LAYER_INPUTS).contains(&inputs) {
            bail!("{network} gives the hidden layers {inputs} inputs; a layer has 1 to {}", limit::LAYER_INPUTS);
        }
    }
    Ok(())
}
