//! Named tensors to and from safetensors files. tch's own writer keeps no metadata and does not rename into place.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use anyhow::{Context, Result, bail};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use tch::{Device, Kind, Tensor};
use xsfm_interchange::atomic;

/// A size in libtorch's type. Nothing in memory has more than `isize::MAX` entries.
pub(crate) fn size(n: usize) -> i64 {
    n.cast_signed() as i64
}

/// The one entry of a file's metadata that this project uses.
const METADATA_KEY: &str = "xsfm";

/// Writes f32 tensors and a text; the file appears whole or not at all.
///
/// # Errors
/// Whatever the file system reports.
pub fn write(path: &Path, tensors: &[(String, Tensor)], metadata: Option<String>) -> Result<()> {
    let mut buffers = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let tensor = tensor.detach().to_device(Device::Cpu).to_kind(Kind::Float).contiguous();
        let mut bytes = vec![0; tensor.numel() * 4];
        tensor.f_copy_data_u8(&mut bytes, tensor.numel()).with_context(|| format!("copying tensor `{name}`"))?;
        let shape: Vec<usize> = tensor.size().into_iter().map(|n| n as usize).collect();
        buffers.push((name, shape, bytes));
    }
    let views: Vec<(&str, TensorView<'_>)> = buffers
        .iter()
        .map(|(name, shape, bytes)| Ok((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes)?)))
        .collect::<Result<_>>()?;
    let metadata = metadata.map(|text| HashMap::from([(METADATA_KEY.to_owned(), text)]));
    let bytes = safetensors::serialize(views, metadata)?;
    atomic::write(path, |output| output.write_all(&bytes)).with_context(|| path.display().to_string())
}

/// The text alone, if there is one: the tensors are not read.
///
/// # Errors
/// The file cannot be read, or is not a safetensors file.
pub fn read_text(path: &Path) -> Result<Option<String>> {
    let at = || path.display().to_string();
    let mut file = File::open(path).with_context(at)?;
    // Eight bytes say how long the header is, which is JSON.
    let mut length = [0; 8];
    file.read_exact(&mut length).with_context(at)?;
    let header: HashMap<String, serde_json::Value> =
        serde_json::from_reader(BufReader::new(file.take(u64::from_le_bytes(length))))
            .with_context(|| format!("{}: not a safetensors file", path.display()))?;
    Ok(header.get("__metadata__").and_then(|texts| Some(texts.get(METADATA_KEY)?.as_str()?.to_owned())))
}

/// Reads f32 tensors and the text, if there is one.
///
/// # Errors
/// The file cannot be read, is not a safetensors file, or has a tensor that is not f32 or not finite.
pub fn read(path: &Path) -> Result<(HashMap<String, Tensor>, Option<String>)> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let damaged = || format!("{}: not a safetensors file", path.display());
    let (_, header) = SafeTensors::read_metadata(&bytes).with_context(damaged)?;
    let text = header.metadata().as_ref().and_then(|m| m.get(METADATA_KEY).cloned());
    let file = SafeTensors::deserialize(&bytes).with_context(damaged)?;
    let mut tensors = HashMap::new();
    for (name, view) in file.tensors() {
        if view.dtype() != Dtype::F32 {
            bail!("{}: tensor `{name}` is {:?}, F32 expected", path.display(), view.dtype());
        }
        let shape: Vec<i64> = view.shape().iter().map(|&n| size(n)).collect();
        let tensor = Tensor::f_from_data_size(view.data(), &shape, Kind::Float)
            .with_context(|| format!("{}: tensor `{name}`", path.display()))?;
        if tensor.isfinite().all().int64_value(&[]) == 0 {
            bail!("{}: tensor `{name}` has a value that is not finite", path.display());
        }
        tensors.insert(name, tensor);
    }
    Ok((tensors, text))
}
