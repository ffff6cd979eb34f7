//! What can go wrong while converting; every message names the file, the thing in it, and the two values that disagree.

use std::path::{Path, PathBuf};

use xsfm_interchange::quantization::parts::QuantizationError;
use xsfm_interchange::rows::RowsError;
use xsfm_interchange::schema::SchemaError;
#[cfg(feature = "raw")]
use xsfm_readers::error::DataError;
use xsfm_runtime::{CatalogueError, LoadError, ScoreError};

use crate::pack::PackError;

/// Why a model could not be converted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file system's reason.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// Not the JSON that was expected.
    #[error("{}: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// Raw rows that cannot be read.
    #[cfg(feature = "raw")]
    #[error(transparent)]
    Raw(#[from] DataError),
    /// An ONNX file that is damaged, or computes what no packed file holds.
    #[cfg(feature = "onnx")]
    #[error("{}: {message}", path.display())]
    Onnx {
        /// The file.
        path: PathBuf,
        /// The node, the weights or the field, and what is wrong with it.
        message: String,
    },
    /// Not a safetensors file, or a damaged one.
    #[error("{}: not a valid safetensors file ({bytes} bytes): {source}", path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: usize,
        /// Why.
        source: safetensors::SafeTensorError,
    },
    /// A tensor that the configuration calls for is missing.
    #[error("{}: tensor `{tensor}` is missing; the configuration calls for one of shape {expected:?}", path.display())]
    MissingTensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its shape.
        expected: Vec<usize>,
    },
    /// A tensor that the model has no place for.
    #[error(
        "{}: tensor `{tensor}` of shape {shape:?} has no place in {model}: weights are never left out silently",
        path.display()
    )]
    UnexpectedTensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its shape.
        shape: Vec<usize>,
        /// The model, and where it is described.
        model: String,
    },
    /// A tensor has another shape than the configuration says.
    #[error("{}: tensor `{tensor}` has shape {found:?}, the configuration asks for {expected:?}", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Shape that follows from the configuration.
        expected: Vec<usize>,
        /// Shape in the file.
        found: Vec<usize>,
    },
    /// A tensor has another element type.
    #[error("{}: tensor `{tensor}` has elements of type {found}, {expected} is needed", path.display())]
    ElementType {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Type needed.
        expected: &'static str,
        /// Type found.
        found: String,
    },
    /// NaN or infinity.
    #[error("{}: tensor `{tensor}` is {value} at {position:?}", path.display())]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The element's indices.
        position: Vec<usize>,
        /// NaN or an infinity.
        value: f32,
    },
    /// The configuration contradicts itself, the file beside it, or what a packed file can hold.
    #[error("{}: {message}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What disagrees with what.
        message: String,
    },
    /// A number that int8 mode cannot express.
    #[error("cannot quantise: {0}")]
    Quantize(String),
    /// A row that does not fit the model.
    #[error("row {row}: {source}")]
    Row {
        /// Counted from 0.
        row: usize,
        /// What does not fit.
        source: ScoreError,
    },
    /// A file of rows.
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// `schema.json`.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// Packing.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// Not a packed model, or a damaged one.
    #[error("{}: {source}", path.display())]
    Load {
        /// The file.
        path: PathBuf,
        /// Why.
        source: LoadError,
    },
    /// Not a catalogue of the model, or a damaged one.
    #[error("{}: {source}", path.display())]
    Catalogue {
        /// The file.
        path: PathBuf,
        /// Why.
        source: CatalogueError,
    },
    /// Two inputs that do not belong together, or one that does not suffice.
    #[error("{0}")]
    Input(String),
}

impl From<QuantizationError> for Error {
    fn from(error: QuantizationError) -> Self {
        Error::Quantize(error.to_string())
    }
}

impl Error {
    /// The error of the file at `path`.
    pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::Io { path, source }
    }

    pub(crate) fn row(row: usize) -> impl Fn(ScoreError) -> Error {
        move |source| Error::Row { row, source }
    }

    #[cfg(feature = "onnx")]
    pub(crate) fn onnx(path: &Path, message: impl Into<String>) -> Error {
        Error::Onnx { path: path.to_owned(), message: message.into() }
    }

    pub(crate) fn config(path: &Path, message: impl Into<String>) -> Error {
        Error::Config { path: path.to_owned(), message: message.into() }
    }
}
