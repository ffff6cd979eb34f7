//! docs/tutorial.md, run as it is written.
//!
//! Fenced blocks that say `sh` are commands of one folder; those that name a file behind their language (`rust
//! scorer/src/main.rs`) are written to it.

use std::env;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use fs_err as fs;

use crate::targets::capi::library;
use crate::targets::toolchain::host;
use crate::{command, install, workspace};

/// A fenced block.
#[derive(Debug, PartialEq, Eq)]
struct Block<'t> {
    /// Its first line.
    line: usize,
    what: What<'t>,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What<'t> {
    Commands,
    File(&'t str),
}

/// Runs the page in an empty folder, with programs that are installed as a user's are.
pub(crate) fn run() -> Result<()> {
    let page = workspace::root().join("docs/tutorial.md");
    let text = fs::read_to_string(&page)?;
    let blocks = blocks(&text);
    let commands = blocks.iter().filter(|block| block.what == What::Commands).count();
    ensure!(commands > 0, "{}: no commands", page.display());
    // Elsewhere, as a user's: what cargo makes inside of a workspace, it adds to its members.
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let installed = folder.join("installed");
    install::quickly_into(&installed)?;
    answer_for_cargo(&installed.join("bin"))?;
    let mut path = vec![installed.join("bin")];
    path.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    let path = env::join_paths(path)?;
    for block in blocks {
        let context = || format!("{}, line {}", page.display(), block.line);
        match block.what {
            What::File(name) => {
                let file = folder.join(name);
                file.parent().map_or(Ok(()), fs::create_dir_all).with_context(context)?;
                fs::write(&file, &block.text).with_context(context)?;
            }
            What::Commands => {
                command::heading(&format!("tutorial, line {}", block.line));
                let mut shell = Command::new("bash");
                shell.args(["-euxo", "pipefail", "-c", &block.text]).current_dir(folder);
                shell.env("PATH", &path).env("XSFM", workspace::root()).env(ALIAS.0, ALIAS.1);
                // The user's release and the C library take minutes to optimise; what they print is the same without.
                shell.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0").envs(library::FAST);
                command::run(&mut shell).with_context(context)?;
            }
        }
    }
    // Nobody shall find the library that is not optimised.
    let library = library::folder(&host()?);
    if library.exists() { Ok(fs::remove_dir_all(library)?) } else { Ok(()) }
}

/// Where `cargo xtask` finds what runs now, in place of building it anew by itself.
const ALIAS: (&str, &str) = ("CARGO_ALIAS_XTASK", "running-xtask");

/// Puts what cargo calls for [`ALIAS`] in a folder.
fn answer_for_cargo(folder: &Path) -> Result<()> {
    let path = folder.join(format!("cargo-{}", ALIAS.1));
    // Cargo gives the name first.
    let text = format!("#!/bin/sh\nshift\nexec '{}' \"$@\"\n", env::current_exe()?.display());
    fs::write(&path, text)?;
    Ok(fs::set_permissions(path, Permissions::from_mode(0o755))?)
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut lines = (1..).zip(text.lines());
    while let Some((line, words)) = lines.find_map(|(line, text)| Some((line, text.strip_prefix("```")?))) {
        let inside = lines.by_ref().map(|(_, text)| text).take_while(|text| !text.starts_with("```"));
        let text = inside.fold(String::new(), |text, line| text + line + "\n");
        let what = match words.split_once(' ') {
            Some((_, file)) => What::File(file.trim()),
            None if words == "sh" => What::Commands,
            None => continue,
        };
        blocks.push(Block { line, what, text });
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_commands_files_or_neither() {
        let text = "# T\n```sh\na | b\nc\n```\nprose\n```text\nno\n```\n```rust s/main.rs\nfn main() {}\n```\n";
        let expected = [
            Block { line: 2, what: What::Commands, text: "a | b\nc\n".into() },
            Block { line: 10, what: What::File("s/main.rs"), text: "fn main() {}\n".into() },
        ];
        assert_eq!(blocks(text), expected);
    }
}
