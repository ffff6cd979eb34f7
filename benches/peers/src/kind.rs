//! Which engines there are.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::Serialize;

use crate::engine::Engine;
use crate::floor::Floor;
use crate::litert::LiteRt;
use crate::models::{Width, file};
use crate::onnxruntime::OnnxRuntime;
use crate::openvino::OpenVino;
use crate::ours::Ours;
use crate::tract::Tract;

/// An engine and the arithmetic that it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// This project's runtime, f32 mode.
    OursF32,
    /// This project's runtime, int8 mode.
    OursInt8,
    /// This project's runtime, dynamic mode.
    OursDynamic,
    /// What the arithmetic of our int8 model costs when shape and CPU are known beforehand: not an engine, a yardstick.
    Floor,
    /// LiteRT, f32.
    LitertF32,
    /// LiteRT, int8 weights, activations quantised as they come; f32 output.
    LitertDynamic,
    /// LiteRT, int8 from the table to the logit.
    LitertInt8,
    /// ONNX Runtime, f32.
    OnnxruntimeF32,
    /// ONNX Runtime, int8 weights, activations quantised as they come.
    OnnxruntimeDynamic,
    /// ONNX Runtime, int8 weights and activations, scales from calibration (QDQ).
    OnnxruntimeStatic,
    /// OpenVINO, f32.
    OpenvinoF32,
    /// OpenVINO, int8 weights and activations, scales from calibration (the file of ONNX Runtime's static engine).
    OpenvinoInt8,
    /// tract, f32.
    TractF32,
}

/// Where the engines' libraries are; an engine without one is left out.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Libraries {
    /// `libLiteRt.so`.
    #[arg(long, value_name = "FILE")]
    pub(crate) litert: Option<PathBuf>,
    /// `libonnxruntime.so`.
    #[arg(long, value_name = "FILE")]
    pub(crate) onnxruntime: Option<PathBuf>,
    /// `libopenvino_c.so`.
    #[arg(long, value_name = "FILE")]
    pub(crate) openvino: Option<PathBuf>,
}

impl Kind {
    /// As on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Whether its answers differ from the model's by rounding alone.
    pub(crate) fn is_f32(self) -> bool {
        matches!(self, Kind::OursF32 | Kind::LitertF32 | Kind::OnnxruntimeF32 | Kind::OpenvinoF32 | Kind::TractF32)
    }

    /// Whether there is anything in a model of that width for it: ONNX Runtime's quantiser changes nothing but layers.
    pub(crate) fn suits(self, width: Width) -> bool {
        let quantizes_layers = matches!(self, Kind::OnnxruntimeDynamic | Kind::OnnxruntimeStatic | Kind::OpenvinoInt8);
        !quantizes_layers || width.hidden().is_some()
    }

    /// Whether what it needs was installed; if not, what is missing.
    pub(crate) fn installed(self, libraries: &Libraries) -> Result<(), String> {
        let (library, flag) = match self {
            Kind::OursF32 | Kind::OursInt8 | Kind::OursDynamic | Kind::Floor | Kind::TractF32 => return Ok(()),
            Kind::LitertF32 | Kind::LitertDynamic | Kind::LitertInt8 => (&libraries.litert, "--litert"),
            Kind::OnnxruntimeF32 | Kind::OnnxruntimeDynamic | Kind::OnnxruntimeStatic => {
                (&libraries.onnxruntime, "--onnxruntime")
            }
            Kind::OpenvinoF32 | Kind::OpenvinoInt8 => (&libraries.openvino, "--openvino"),
        };
        if library.is_some() { Ok(()) } else { Err(format!("no library given: {flag} FILE")) }
    }

    /// The file in a model's folder that it reads.
    pub(crate) fn file(self) -> &'static str {
        match self {
            Kind::OursF32 => file::OURS_F32,
            Kind::OursInt8 | Kind::Floor => file::OURS_INT8,
            Kind::OursDynamic => file::OURS_DYNAMIC,
            Kind::LitertF32 => file::LITERT_F32,
            Kind::LitertDynamic => file::LITERT_DYNAMIC,
            Kind::LitertInt8 => file::LITERT_INT8,
            Kind::OnnxruntimeF32 | Kind::OpenvinoF32 | Kind::TractF32 => file::ONNX,
            Kind::OnnxruntimeDynamic => file::ONNX_DYNAMIC,
            Kind::OnnxruntimeStatic | Kind::OpenvinoInt8 => file::ONNX_STATIC,
        }
    }

    /// Makes the engine ready for batches of `batch` samples of the model in `folder`.
    pub(crate) fn create(self, folder: &Path, batch: usize, libraries: &Libraries) -> Result<Box<dyn Engine>> {
        let path = folder.join(self.file());
        let library = |library: &'_ Option<PathBuf>| library.clone().unwrap_or_default();
        let engine: Result<Box<dyn Engine>> = match self {
            Kind::OursF32 | Kind::OursInt8 | Kind::OursDynamic => Ours::load(&path, batch).map(boxed),
            Kind::Floor => Floor::load(&path).map(boxed),
            Kind::LitertF32 | Kind::LitertDynamic | Kind::LitertInt8 => {
                LiteRt::load(&library(&libraries.litert), &path, batch).map(boxed)
            }
            Kind::OnnxruntimeF32 | Kind::OnnxruntimeDynamic | Kind::OnnxruntimeStatic => {
                OnnxRuntime::load(&library(&libraries.onnxruntime), &path, batch).map(boxed)
            }
            Kind::OpenvinoF32 | Kind::OpenvinoInt8 => {
                OpenVino::load(&library(&libraries.openvino), &path, batch, self.is_f32()).map(boxed)
            }
            Kind::TractF32 => Tract::load(&path, batch).map(boxed),
        };
        engine.with_context(|| format!("{}: {}", self.name(), path.display()))
    }
}

fn boxed<E: Engine + 'static>(engine: E) -> Box<dyn Engine> {
    Box::new(engine)
}
