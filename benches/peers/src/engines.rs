//! Which engines there are, a line each; and the flags that name them and their libraries.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Arg, ArgMatches, Command, FromArgMatches, value_parser};

use crate::engine::{Kind, LibraryFlag};
use crate::{floor, litert, onnxruntime, openvino, ours, tract};

/// In the order of tables.
const ENGINES: [&[Kind]; 6] =
    [&ours::KINDS, &floor::KINDS, &litert::KINDS, &onnxruntime::KINDS, &openvino::KINDS, &tract::KINDS];

pub(crate) fn kinds() -> impl Iterator<Item = &'static Kind> {
    ENGINES.into_iter().flatten()
}

pub(crate) fn named(name: &str) -> Option<&'static Kind> {
    kinds().find(|kind| kind.name == name)
}

/// Reads a kind's name on the command line.
pub(crate) fn kind_parser() -> impl TypedValueParser<Value = &'static Kind> {
    let names = kinds().map(|kind| PossibleValue::new(kind.name).help(kind.about));
    PossibleValuesParser::new(names).try_map(|name| named(&name).ok_or("no such engine"))
}

/// Where the engines' libraries are, by their flags; an engine without one is left out.
#[derive(Debug, Default)]
pub(crate) struct Libraries(BTreeMap<&'static str, PathBuf>);

impl Libraries {
    /// Where a kind's library is, empty for a kind that needs none; or else what is missing.
    pub(crate) fn of(&self, kind: &Kind) -> Result<&Path, String> {
        let Some(flag) = kind.library else { return Ok(Path::new("")) };
        let path = self.0.get(flag.name).map(PathBuf::as_path);
        path.ok_or_else(|| format!("no library given: --{} FILE", flag.name))
    }
}

/// One an engine.
fn libraries() -> impl Iterator<Item = LibraryFlag> {
    ENGINES.into_iter().filter_map(|kinds| kinds.first()?.library)
}

impl clap::Args for Libraries {
    fn augment_args(command: Command) -> Command {
        libraries().fold(command, |command, LibraryFlag { name, file }| {
            let path = Arg::new(name).long(name).value_name("FILE").value_parser(value_parser!(PathBuf));
            command.arg(path.help(format!("`{file}`")))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Libraries {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = libraries().filter_map(|flag| Some((flag.name, matches.get_one(flag.name).cloned()?)));
        Ok(Libraries(given.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::collections::BTreeSet;
    use std::fs;

    use clap::Parser;

    use super::*;
    use crate::models::file;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        libraries: Libraries,
        #[arg(long, value_parser = kind_parser(), value_delimiter = ',')]
        engines: Vec<&'static Kind>,
    }

    fn read(path: &str) -> String {
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
    }

    #[test]
    fn a_name_is_one_engine() {
        let names: BTreeSet<&str> = kinds().map(|kind| kind.name).collect();
        assert_eq!(names.len(), kinds().count());
        assert!(kinds().all(|kind| !kind.about.is_empty() && named(kind.name) == Some(kind)));
        // One flag has one library, which all kinds of an engine need.
        let flags: BTreeSet<&str> = libraries().map(|flag| flag.name).collect();
        assert_eq!(flags.len(), libraries().count());
        for kinds in ENGINES {
            let flag = |kind: &Kind| kind.library.map(|flag| flag.name);
            assert!(kinds.iter().all(|kind| flag(kind) == flag(&kinds[0])), "{}", kinds[0].name);
        }
    }

    #[test]
    fn engines_and_libraries_are_named_on_the_command_line() {
        let line = |words: &[&str]| Line::try_parse_from([&["peers"], words].concat());
        let given = line(&["--engines", "litert-int8,floor", "--litert", "lib.so"]).unwrap();
        assert_eq!(given.engines.iter().map(|kind| kind.name).collect::<Vec<_>>(), ["litert-int8", "floor"]);
        assert_eq!(given.libraries.of(named("litert-f32").unwrap()), Ok(Path::new("lib.so")));
        assert_eq!(given.libraries.of(named("ours-f32").unwrap()), Ok(Path::new("")));
        let missing = given.libraries.of(named("openvino-int8").unwrap()).unwrap_err();
        assert_eq!(missing, "no library given: --openvino FILE");
        let unknown = line(&["--engines", "ours"]).err().unwrap().to_string();
        assert!(kinds().all(|kind| unknown.contains(kind.name)), "{unknown}");
    }

    #[test]
    fn the_readme_has_every_engine_and_no_other() {
        let readme = read("../README.md");
        let section = readme.split("\n## ").find(|section| section.starts_with("How fast is it beside")).unwrap();
        let cells = section.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
        let told: Vec<&str> = cells.flat_map(|cell| cell.split(['`', ',', ' '])).filter(|w| !w.is_empty()).collect();
        assert_eq!(told, kinds().map(|kind| kind.name).collect::<Vec<_>>());
    }

    #[test]
    fn every_file_is_written_by_somebody() {
        let converter = read("convert.py");
        for kind in kinds() {
            let ours = [file::OURS_F32, file::OURS_INT8, file::OURS_DYNAMIC, file::ONNX].contains(&kind.file);
            assert!(ours || converter.contains(&format!("\"{}\"", kind.file)), "{}: {}", kind.name, kind.file);
        }
    }
}
