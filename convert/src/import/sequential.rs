//! Hidden layers in a `Sequential` of PyTorch: Linear, BatchNorm1d, ReLU, Dropout in turn, then the output's Linear.

use std::collections::BTreeMap;

use xsfm_interchange::checkpoint::file;
use xsfm_interchange::config::MlpConfig;

use crate::checkpoint::fold;
use crate::error::Error;
use crate::fold::{BatchNorm, Linear};
use crate::model::FloatLayer;
use crate::tensors::Tensors;

/// A Linear module's number, and that of its BatchNorm.
#[derive(Clone, Copy)]
struct Modules {
    linear: usize,
    norm: Option<usize>,
}

/// The layers among `{prefix}N.*`, told apart by their tensors: a running mean belongs to a BatchNorm.
///
/// Modules without parameters (ReLU, Dropout) are only gaps between numbers, and each layer needs one for its ReLU: two
/// Linear in a row, or a BatchNorm behind the ReLU, would be another model.
pub(super) fn load(
    prefix: &str,
    first_inputs: usize,
    mlp: &MlpConfig,
    tensors: &Tensors<'_>,
) -> Result<Vec<FloatLayer>, Error> {
    let disagreement = |message: String| Error::config(tensors.path(), message);
    let found = modules(prefix, tensors)?;
    let expected = mlp.hidden.len() + 1;
    if found.len() != expected {
        return Err(disagreement(format!(
            "{} Linear layers under `{prefix}`, but mlp_dims in {} asks for {expected}, the output layer included",
            found.len(),
            file::CONFIG
        )));
    }
    let mut inputs = first_inputs;
    let mut layers = Vec::with_capacity(expected);
    for (layer, (&Modules { linear: n, norm: norm_module }, &outputs)) in
        found.iter().zip(mlp.hidden.iter().chain([&1])).enumerate()
    {
        let expects_norm = mlp.batch_norm && layer < mlp.hidden.len();
        if norm_module.is_some() != expects_norm {
            let (found, says) = if norm_module.is_some() { ("has", "none") } else { ("lacks", "one") };
            return Err(disagreement(format!(
                "Linear `{prefix}{n}` {found} a BatchNorm, but batch_norm in {} asks for {says}",
                file::CONFIG
            )));
        }
        let vector = |n: usize, name: &str| tensors.f32(&format!("{prefix}{n}.{name}"), &[outputs]);
        let weight = tensors.f32(&format!("{prefix}{n}.weight"), &[outputs, inputs])?;
        let norm = match norm_module {
            None => None,
            Some(m) => {
                // How many batches training saw: of no influence afterwards.
                tensors.leave_out(&format!("{prefix}{m}.num_batches_tracked"));
                Some(BatchNorm {
                    gamma: vector(m, "weight")?,
                    beta: vector(m, "bias")?,
                    mean: vector(m, "running_mean")?,
                    var: vector(m, "running_var")?,
                })
            }
        };
        let linear = Linear { inputs, outputs, weight, bias: vector(n, "bias")?, norm };
        let variance = format!("{prefix}{}.running_var", norm_module.unwrap_or(n));
        layers.push(fold(&linear, tensors, &variance)?);
        inputs = outputs;
    }
    Ok(layers)
}

/// The Linear modules in their order.
fn modules(prefix: &str, tensors: &Tensors<'_>) -> Result<Vec<Modules>, Error> {
    let disagreement = |message: String| Error::config(tensors.path(), message);
    let mut numbered: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    for name in tensors.names() {
        let module = name.strip_prefix(prefix).and_then(|rest| rest.split_once('.'));
        if let Some((Ok(n), tensor)) = module.map(|(n, tensor)| (n.parse(), tensor)) {
            numbered.entry(n).or_default().push(tensor);
        }
    }
    let mut found: Vec<Modules> = Vec::new();
    for (&n, names) in &numbered {
        if names.contains(&"running_mean") {
            match found.last_mut() {
                Some(Modules { linear, norm: norm @ None }) if *linear + 1 == n => *norm = Some(n),
                _ => {
                    return Err(disagreement(format!(
                        "BatchNorm `{prefix}{n}` does not directly follow a Linear layer"
                    )));
                }
            }
        } else {
            if let Some(&Modules { linear, norm }) = found.last()
                && norm.unwrap_or(linear) + 1 == n
            {
                return Err(disagreement(format!("no ReLU between Linear `{prefix}{linear}` and `{prefix}{n}`")));
            }
            found.push(Modules { linear: n, norm: None });
        }
    }
    Ok(found)
}
