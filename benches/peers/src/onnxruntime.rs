//! ONNX Runtime through the crate `ort` and the library in PyPI's wheel `onnxruntime`.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{IoBinding, Session};
use ort::value::Tensor;
use xsfm_benches::FEATURES;
use xsfm_convert::export::{INDICES, LOGIT};

use crate::engine::{Engine, Kind, LibraryFlag};
use crate::models::file;

const F32: Kind = Kind {
    name: "onnxruntime-f32",
    about: "ONNX Runtime, f32",
    is_f32: true,
    needs_layers: false,
    library: Some(LibraryFlag { name: "onnxruntime", file: "libonnxruntime.so" }),
    file: file::ONNX,
    load: |library, file, batch| Ok(Box::new(OnnxRuntime::load(library, file, batch)?)),
};

/// The quantiser changes nothing but layers.
pub(crate) const KINDS: [Kind; 3] = [
    F32,
    Kind {
        name: "onnxruntime-dynamic",
        about: "ONNX Runtime, int8 weights, activations quantised as they come",
        is_f32: false,
        needs_layers: true,
        file: "dynamic.onnx",
        ..F32
    },
    Kind {
        name: "onnxruntime-static",
        about: "ONNX Runtime, int8 weights and activations, scales from calibration (QDQ)",
        is_f32: false,
        needs_layers: true,
        file: file::ONNX_STATIC,
        ..F32
    },
];

/// A session whose input and output are bound once.
struct OnnxRuntime {
    session: Session,
    binding: IoBinding,
    /// The bound input: the CPU provider reads it where it lies.
    input: Tensor<i64>,
}

impl OnnxRuntime {
    /// Opens an ONNX file for batches of `batch` samples: all optimisations, one thread, nodes in sequence.
    fn load(library: &Path, path: &Path, batch: usize) -> Result<Self> {
        // Only the first call loads; the others are given the same library.
        ort::init_from(library)?.commit();
        let mut builder = configure(Session::builder()?).map_err(|error| anyhow!("{error}"))?;
        let session = builder.commit_from_file(path)?;
        let input = Tensor::from_array(([batch, FEATURES.len()], vec![0_i64; batch * FEATURES.len()]))?;
        let mut binding = session.create_binding()?;
        binding.bind_input(INDICES, &input)?;
        binding.bind_output(LOGIT, Tensor::from_array(([batch], vec![0.0_f32; batch]))?)?;
        Ok(OnnxRuntime { session, binding, input })
    }
}

#[allow(clippy::result_large_err, reason = "it is ort's, which gives the builder back")]
fn configure(builder: SessionBuilder) -> Result<SessionBuilder, ort::Error<SessionBuilder>> {
    builder
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_parallel_execution(false)?
        .with_intra_threads(1)?
        .with_inter_threads(1)
}

impl Engine for OnnxRuntime {
    fn run(&mut self, indices: &[u32], logits: &mut [f32]) -> Result<()> {
        let (_, input) = self.input.extract_tensor_mut();
        input.iter_mut().zip(indices).for_each(|(wide, &index)| *wide = i64::from(index));
        let outputs = self.session.run_binding(&self.binding)?;
        let (_, output) = outputs.get(LOGIT).context("no output")?.try_extract_tensor::<f32>()?;
        logits.copy_from_slice(output);
        Ok(())
    }
}
