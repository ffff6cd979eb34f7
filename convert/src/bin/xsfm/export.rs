//! `generate` and `export`: the commands that write a model as something else than a packed file.

use std::path::Path;

use anyhow::bail;
use xsfm_convert::export::{self, Outputs};
use xsfm_convert::generate::{self, Language};
use xsfm_convert::score::field_numbers;
use xsfm_convert::{Error, input};
use xsfm_interchange::atomic;
use xsfm_interchange::output::line;

pub(crate) fn generate(
    path: &Path,
    language: Language,
    name: Option<String>,
    context: &[String],
    folder: &Path,
) -> anyhow::Result<()> {
    let packed = input::packed(path)?;
    let model = input::load(path, &packed)?;
    let given = name.is_some();
    let name = name.unwrap_or_else(|| generate::identifier(&path.file_stem().unwrap_or_default().to_string_lossy()));
    if let Err(why) = generate::check_name(&name, language) {
        let usable = generate::usable_name(&name, language);
        let from = if given { "--name".to_owned() } else { path.display().to_string() };
        bail!("{from}: {why}; give one that is, such as --name {usable}");
    }
    let sources = generate::generate(&packed, &model, &name, language, &field_numbers(&model, context)?)?;
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    for source in sources {
        let path = folder.join(source.name);
        atomic::write(&path, |out| out.write_all(&source.bytes)).map_err(Error::io(&path))?;
        line(path.display())?;
    }
    Ok(())
}

pub(crate) fn onnx(folder: &Path, outputs: Outputs, output: &Path) -> anyhow::Result<()> {
    let file = export::onnx(&input::float_model(folder)?, outputs)?;
    atomic::write(output, |out| out.write_all(&file)).map_err(Error::io(output))?;
    Ok(line(format_args!("{}: {} bytes", output.display(), file.len()))?)
}
