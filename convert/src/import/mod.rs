//! Models trained elsewhere: a folder with `config.json` and the library's own state dict as `weights.safetensors`,
//! names unchanged.
//!
//! | module | reads |
//! |---|---|
//! | `original` | the original Python implementation, xsDeepFwFM |
//! | `fuxictr`, `deepctr`, `pytorch_fm`, `recbole`, `deeplight` | the library of that name |
//! | `onnx` | graphs, whoever wrote them |
//! | `sequential`, `layers`, `tables` | layers and tables, whoever's |
//! | `keys`, `described` | `config.json`, key by key, and what it says whoever wrote it |
//! | `library`, `lacks` | names of libraries and of their classes; why a class is not read |
//! | [`builder`] | arrays: makes a model of them, or says what does not fit together |
//!
//! A library is a file here: it says what its tensors mean, and each tensor of the file is read or named as without
//! influence on a score. A tensor that has no place is an error, and so is a key that contradicts another, or the
//! tensors. What no packed file holds is refused by its name.

pub mod builder;
mod deepctr;
mod deeplight;
mod described;
mod fuxictr;
mod keys;
mod lacks;
mod layers;
mod library;
#[cfg(feature = "onnx")]
pub mod onnx;
mod original;
mod pytorch_fm;
mod recbole;
mod sequential;
mod tables;

use std::path::Path;

use xsfm_interchange::checkpoint::file;

use self::keys::Keys;
pub use self::library::Library;
use crate::error::Error;
use crate::model::FloatModel;
use crate::tensors::Tensors;

/// Reads `config.json` and `weights.safetensors` of a model trained elsewhere; folds BatchNorm.
///
/// # Errors
/// As [`load_from`].
pub fn load(folder: &Path) -> Result<FloatModel, Error> {
    load_from(folder, None)
}

/// The same of a library that is named.
///
/// The library is the one that the key `library` names. Without it, it is `from`, and without that the original, whose
/// exports are older than the key.
///
/// # Errors
/// A missing or malformed file, a library or a class that is not read, a key that is missing or contradicts what is
/// beside it, a tensor that is missing, has another shape than the configuration says, is not finite or has no place,
/// or sizes beyond what a packed file holds.
pub fn load_from(folder: &Path, from: Option<Library>) -> Result<FloatModel, Error> {
    let read_file = |path: &Path| std::fs::read(path).map_err(Error::io(path));
    let (config_path, weights_path) = (folder.join(file::CONFIG), folder.join(file::WEIGHTS));
    let (config, weights) = (read_file(&config_path)?, read_file(&weights_path)?);
    let config = Named { name: &config_path, bytes: &config };
    read(config, Named { name: &weights_path, bytes: &weights }, from)
}

/// The bytes of a file, or what could be one.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    /// The file, or what errors call it.
    pub name: &'a Path,
    /// What it holds.
    pub bytes: &'a [u8],
}

/// As [`load_from`], of a `config.json` and a `weights.safetensors` in memory.
///
/// # Errors
/// As [`load_from`].
pub fn read(config: Named<'_>, weights: Named<'_>, from: Option<Library>) -> Result<FloatModel, Error> {
    let keys = Keys::parse(config.name, config.bytes)?;
    let library = library_of(&keys, from)?;
    let tensors = Tensors::parse(weights.name, weights.bytes)?;
    let read = match library {
        Library::XsDeepFwFm => original::read,
        Library::FuxiCtr => fuxictr::read,
        Library::DeepCtrTorch => deepctr::read,
        Library::PyTorchFm => pytorch_fm::read,
        Library::RecBole => recbole::read,
        Library::DeepLight => deeplight::read,
    };
    let builder = read(&keys, &tensors)?;
    tensors.all_are_read(&format!("the model of {library} that {} describes", config.name.display()))?;
    builder.build().map_err(|error| Error::config(config.name, error.to_string()))
}

fn library_of(keys: &Keys<'_>, from: Option<Library>) -> Result<Library, Error> {
    let Some(said) = keys.optional::<String>("library")? else { return Ok(from.unwrap_or(Library::XsDeepFwFm)) };
    let library: Library = said.parse().map_err(|message: String| keys.error("library", message))?;
    match from.filter(|&from| from != library) {
        None => Ok(library),
        Some(from) => Err(keys.error("library", format!("is `{said}`, but {from} was asked for"))),
    }
}
