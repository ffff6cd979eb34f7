//! tract, a crate.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use tract_onnx::prelude::*;
use xsfm_benches::FEATURES;

use crate::engine::{Engine, Kind};
use crate::models::file;

pub(crate) const KINDS: [Kind; 1] = [Kind {
    name: "tract-f32",
    about: "tract, f32",
    is_f32: true,
    needs_layers: false,
    library: None,
    file: file::ONNX,
    load: |_, file, batch| Ok(Box::new(Tract::load(file, batch)?)),
}];

/// A plan for one batch size.
struct Tract {
    plan: Arc<TypedRunnableModel>,
    batch: usize,
}

impl Tract {
    /// Optimises an ONNX file for batches of `batch` samples.
    fn load(path: &Path, batch: usize) -> Result<Self> {
        let model = tract_onnx::onnx().model_for_path(path)?;
        let model = model.with_input_fact(0, i64::fact([batch, FEATURES.len()]).into())?;
        Ok(Tract { plan: model.into_optimized()?.into_runnable()?, batch })
    }
}

impl Engine for Tract {
    fn run(&mut self, indices: &[u32], logits: &mut [f32]) -> Result<()> {
        let mut input = Tensor::zero::<i64>(&[self.batch, FEATURES.len()])?;
        let mut view = input.try_as_plain_ram_mut()?;
        view.as_slice_mut::<i64>()?.iter_mut().zip(indices).for_each(|(wide, &index)| *wide = i64::from(index));
        let outputs = self.plan.run(tvec!(input.into()))?;
        let output = outputs.first().context("no output")?;
        logits.copy_from_slice(output.try_as_plain_ram()?.as_slice::<f32>()?);
        Ok(())
    }
}
