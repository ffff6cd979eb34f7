//! `generate` and `export`: the commands that write a model as something else than a packed file.

use std::path::Path;

use xsfm_convert::export::{self, Outputs};
use xsfm_convert::generate::{self, Language};
use xsfm_convert::{Error, input};
use xsfm_interchange::atomic;
use xsfm_interchange::output::line;

pub(crate) fn generate(
    path: &Path,
    language: Language,
    name: Option<&str>,
    context: &[String],
    catalogue: Option<&Path>,
    folder: &Path,
) -> anyhow::Result<()> {
    for path in generate::write_files(path, language, name, "--name ", context, catalogue, folder)? {
        line(path.display())?;
    }
    Ok(())
}

pub(crate) fn onnx(folder: &Path, outputs: Outputs, output: &Path) -> anyhow::Result<()> {
    let file = export::onnx(&input::float_model(folder, None)?, outputs)?;
    atomic::write(output, |out| out.write_all(&file)).map_err(Error::io(output))?;
    Ok(line(format_args!("{}: {} bytes", output.display(), file.len()))?)
}
