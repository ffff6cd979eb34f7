//! The code of a packed file in a folder: `xsfm generate`.

use std::path::{Path, PathBuf};

use xsfm_interchange::atomic;

use super::{Language, check_name, generate, identifier, usable_name};
use crate::catalogue;
use crate::error::Error;
use crate::input;
use crate::score::field_numbers;

/// Writes the code for the packed file at `path` to `folder`, and gives the files' paths. `name`: what names in the
/// code start with, the file's own where there is none; `name_option`: how it is given, for messages. `context`: fields
/// of a ranker's context, by name; `catalogue`: an .xsfc file whose items are ranked.
///
/// # Errors
/// A file that is no model, or no catalogue of it; a name that code in this language cannot have; fields that a context
/// cannot have; the file system's.
pub fn write_files(
    path: &Path,
    language: Language,
    name: Option<&str>,
    name_option: &str,
    context: &[String],
    catalogue: Option<&Path>,
    folder: &Path,
) -> Result<Vec<PathBuf>, Error> {
    let packed = input::packed(path)?;
    let model = input::load(path, &packed)?;
    let own = || identifier(&path.file_stem().unwrap_or_default().to_string_lossy());
    let chosen = name.map_or_else(own, str::to_owned);
    if let Err(why) = check_name(&chosen, language) {
        let usable = usable_name(&chosen, language);
        let from = match name {
            Some(_) => name_option.trim_end_matches([' ', '=']).to_owned(),
            None => path.display().to_string(),
        };
        return Err(Error::Input(format!("{from}: {why}; give one that is, such as {name_option}{usable}")));
    }
    let items = catalogue.map(|path| Ok::<_, Error>((path, input::packed(path)?))).transpose()?;
    let items = items.as_ref().map(|(path, bytes)| catalogue::load(path, &model, bytes)).transpose()?;
    let context = field_numbers(&model, context)?;
    let sources = generate(&packed, &model, &chosen, language, &context, items.as_ref())?;
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let write = |source: super::Source| {
        let path = folder.join(source.name);
        atomic::write(&path, |out| out.write_all(&source.bytes)).map_err(Error::io(&path))?;
        Ok(path)
    };
    sources.into_iter().map(write).collect()
}
