//! Layers in a `Sequential` of PyTorch: Linear, BatchNorm1d, ReLU, Dropout in turn, then the output's Linear.

use std::collections::BTreeMap;

use xsfm_interchange::checkpoint::file;

use super::builder::{BatchNorm, Linear};
use super::layers::LayerReader;
use crate::error::Error;
use crate::tensors::Tensors;

/// What lies among `{prefix}N.*`.
pub(super) struct Stack<'a> {
    pub(super) prefix: &'a str,
    /// Numbers that the first layer reads.
    pub(super) inputs: usize,
    /// Widths of the hidden layers.
    pub(super) hidden: &'a [usize],
    /// Whether each hidden layer has a BatchNorm.
    pub(super) batch_norm: bool,
    /// Whether there may be one BatchNorm in their place, of what the first layer reads.
    pub(super) norm_of_inputs: bool,
    /// Whether the output's Linear is the last module.
    pub(super) output: bool,
}

/// A Linear module's number, and that of its BatchNorm.
#[derive(Clone, Copy)]
struct Modules {
    linear: usize,
    norm: Option<usize>,
}

impl Stack<'_> {
    /// The layers, told apart by their tensors: a running mean belongs to a BatchNorm. Before them that of the inputs.
    ///
    /// Modules without parameters (ReLU, Dropout) are only gaps between numbers, and each layer needs one for its ReLU:
    /// two Linear in a row, or a BatchNorm behind the ReLU, would be another model.
    pub(super) fn load(&self, reader: LayerReader<'_>) -> Result<(Option<BatchNorm>, Vec<Linear>), Error> {
        let prefix = self.prefix;
        let disagreement = |message: String| Error::config(reader.tensors.path(), message);
        let (of_inputs, found) = modules(prefix, self.norm_of_inputs, reader.tensors)?;
        let expected = self.hidden.len() + usize::from(self.output);
        if found.len() != expected {
            let with_output = if self.output { ", the output layer included" } else { "" };
            return Err(disagreement(format!(
                "{} Linear layers under `{prefix}`, but mlp_dims in {} asks for {expected}{with_output}",
                found.len(),
                file::CONFIG
            )));
        }
        if of_inputs.is_some() && !self.batch_norm {
            let message = format!("`{prefix}0` is a BatchNorm, but batch_norm in {} asks for none", file::CONFIG);
            return Err(disagreement(message));
        }
        let mut inputs = self.inputs;
        let mut layers = Vec::with_capacity(expected);
        for (layer, (&Modules { linear: n, norm }, &outputs)) in
            found.iter().zip(self.hidden.iter().chain([&1])).enumerate()
        {
            let expects_norm = self.batch_norm && of_inputs.is_none() && layer < self.hidden.len();
            if norm.is_some() != expects_norm {
                let (found, says) = if norm.is_some() { ("has", "none") } else { ("lacks", "one") };
                return Err(disagreement(format!(
                    "Linear `{prefix}{n}` {found} a BatchNorm, but batch_norm in {} asks for {says}",
                    file::CONFIG
                )));
            }
            let linear = reader.linear(&format!("{prefix}{n}"), inputs, outputs, true)?;
            let norm = norm.map(|m| reader.norm(&format!("{prefix}{m}"), outputs)).transpose()?;
            layers.push(Linear { norm, ..linear });
            inputs = outputs;
        }
        let of_inputs = of_inputs.map(|n| reader.norm(&format!("{prefix}{n}"), self.inputs)).transpose()?;
        Ok((of_inputs, layers))
    }
}

/// The Linear modules in their order, and before them a BatchNorm of the inputs.
fn modules(prefix: &str, norm_of_inputs: bool, tensors: &Tensors<'_>) -> Result<(Option<usize>, Vec<Modules>), Error> {
    let disagreement = |message: String| Error::config(tensors.path(), message);
    let mut numbered: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    for name in tensors.names() {
        let module = name.strip_prefix(prefix).and_then(|rest| rest.split_once('.'));
        if let Some((Ok(n), tensor)) = module.map(|(n, tensor)| (n.parse(), tensor)) {
            numbered.entry(n).or_default().push(tensor);
        }
    }
    let (mut of_inputs, mut found): (_, Vec<Modules>) = (None, Vec::new());
    for (&n, names) in &numbered {
        if names.contains(&"running_mean") {
            match found.last_mut() {
                Some(Modules { linear, norm: norm @ None }) if *linear + 1 == n => *norm = Some(n),
                None if norm_of_inputs && of_inputs.is_none() => of_inputs = Some(n),
                _ => {
                    return Err(disagreement(format!(
                        "BatchNorm `{prefix}{n}` does not directly follow a Linear layer"
                    )));
                }
            }
            continue;
        }
        let weight = format!("{prefix}{n}.weight");
        if let Some([_]) = tensors.shape(&weight).as_deref() {
            let message = format!("tensor `{weight}` is of no Linear layer: PReLU and LayerNorm have no place");
            return Err(disagreement(message));
        }
        if let Some(&Modules { linear, norm }) = found.last()
            && norm.unwrap_or(linear) + 1 == n
        {
            return Err(disagreement(format!("no ReLU between Linear `{prefix}{linear}` and `{prefix}{n}`")));
        }
        found.push(Modules { linear: n, norm: None });
    }
    Ok((of_inputs, found))
}
