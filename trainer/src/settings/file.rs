//! Settings files: lists of flags.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The command line with the flags of its `--config` file put before its own.
///
/// # Errors
/// The file cannot be read, is not TOML, or has a table where a flag belongs.
pub fn expand_config(arguments: impl IntoIterator<Item = OsString>) -> Result<Vec<OsString>> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let path =
        arguments.iter().enumerate().find_map(|(i, argument)| match argument.to_str()?.strip_prefix("--config")? {
            "" => arguments.get(i + 1).map(PathBuf::from),
            rest => rest.strip_prefix('=').map(PathBuf::from),
        });
    if let (Some(path), true) = (path, arguments.len() > 2) {
        let flags = flags_of_file(&path)?;
        arguments.splice(2..2, flags.into_iter().map(OsString::from));
    }
    Ok(arguments)
}

fn flags_of_file(path: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let table: toml::Table = text.parse().with_context(|| format!("{}: not TOML", path.display()))?;
    flags(&table).with_context(|| path.display().to_string())
}

/// A table of settings as flags: `embed_dim = 16` is `--embed-dim=16`.
///
/// # Errors
/// A table where a flag belongs; the message names it.
pub fn flags(table: &toml::Table) -> Result<Vec<String>> {
    let scalar = |value: &toml::Value| match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(flag) => Some(flag.to_string()),
        _ => None,
    };
    let flag = |(key, value): (&String, &toml::Value)| {
        let text = match value {
            toml::Value::Array(values) => {
                values.iter().map(scalar).collect::<Option<Vec<_>>>().map(|values| values.join(","))
            }
            _ => scalar(value),
        };
        let text = text.with_context(|| format!("`{key}` is neither a value nor a list"))?;
        Ok(format!("--{}={text}", key.replace('_', "-")))
    };
    table.iter().map(flag).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::super::{Architecture, Place, Quantization, Widths};
    use super::*;

    #[derive(Debug, clap::Parser)]
    #[command(args_override_self = true)]
    struct Cli {
        #[command(subcommand)]
        command: Command,
    }

    #[derive(Debug, clap::Subcommand)]
    enum Command {
        Train {
            #[command(flatten)]
            place: Place,
            #[command(flatten)]
            architecture: Box<Architecture>,
            #[command(flatten)]
            quantization: Quantization,
        },
    }

    #[test]
    fn a_settings_file_is_a_list_of_flags_and_the_command_line_wins() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("settings.toml");
        std::fs::write(&file, "embed_dim = 24\nhidden = [40, 20]\nquantize = true\ninit_std = 0.5\n").unwrap();
        let line = ["x", "train", "--data", "d", "--out", "o", "--embed-dim", "8", "--config", file.to_str().unwrap()];
        let expanded = expand_config(line.map(OsString::from)).unwrap();
        let Command::Train { place, architecture, quantization } = <Cli as clap::Parser>::parse_from(expanded).command;
        assert_eq!((architecture.embed_dim, architecture.hidden), (8, Widths(vec![40, 20])));
        assert_eq!((architecture.initialization.init_std, quantization.quantize, place.resume), (0.5, true, false));

        std::fs::write(&file, "embed_dim = { a = 1 }").unwrap();
        let message = format!("{:#}", expand_config(line.map(OsString::from)).unwrap_err());
        assert!(message.contains("settings.toml") && message.contains("embed_dim"), "{message}");
    }
}
