//! Models trained elsewhere: a folder with `config.json` and the library's own state dict as `weights.safetensors`,
//! names unchanged.
//!
//! | module | reads |
//! |---|---|
//! | `original` | the original Python implementation, xsDeepFwFM |
//! | `sequential` | hidden layers that lie in a `Sequential` of PyTorch, whoever's |
//! | `keys` | `config.json`, key by key |
//!
//! A library is a file here: it says what its tensors mean, and each tensor of the file is read or named as without
//! influence on a score. A tensor that has no place is an error, and so is a key that contradicts another, or the
//! tensors.

mod keys;
mod original;
mod sequential;

use std::path::Path;

use xsfm_interchange::checkpoint::file;

use self::keys::Keys;
use crate::error::Error;
use crate::model::FloatModel;
use crate::tensors::Tensors;

/// Reads `config.json` and `weights.safetensors` of a model trained elsewhere; folds BatchNorm.
///
/// # Errors
/// A missing or malformed file, a library that is not read, a key that is missing or contradicts what is beside it, a
/// tensor that is missing, has another shape than the configuration says, is not finite or has no place, or sizes
/// beyond what a packed file holds.
pub fn load(folder: &Path) -> Result<FloatModel, Error> {
    let config_path = folder.join(file::CONFIG);
    let keys = Keys::read(&config_path)?;
    // Exports that are older than the key are the original's.
    let library: Option<String> = keys.optional("library")?;
    if let Some(library) = library.filter(|library| !library.starts_with(original::LIBRARY)) {
        let version = keys.optional::<String>("version")?.map(|version| format!(", version {version}"));
        return Err(keys.error(
            "library",
            format!(
                "models of `{library}`{} are not read; those of `{}` are, the original Python implementation",
                version.unwrap_or_default(),
                original::LIBRARY
            ),
        ));
    }
    let described = original::Described::read(&keys)?;
    let weights_path = folder.join(file::WEIGHTS);
    let bytes = std::fs::read(&weights_path).map_err(Error::io(&weights_path))?;
    described.load(&keys, &Tensors::parse(&weights_path, &bytes)?)
}
