//! `cargo xtask ci`: what `.ci/run` calls.

use std::path::Path;
use std::thread;

use anyhow::Result;
use xsfm_interchange::output;

use super::test;
use crate::setup::torch;
use crate::targets::boards::BOARDS;
use crate::targets::machines::MACHINES;
use crate::targets::npm;
use crate::targets::target::{CORTEX_M4F, WASM32};
use crate::targets::web::Instructions;
use crate::{cargo, command, workspace};

const DENY: [&str; 3] = ["--", "-D", "warnings"];

/// Format, lints, docs and tests.
pub(crate) fn run() -> Result<()> {
    check()?;
    test::run(&test::Args::default())
}

/// Format, lints and docs, of the project and of the firmware examples.
pub(crate) fn check() -> Result<()> {
    let examples = workspace::root().join(workspace::EXAMPLES);
    command::heading("format");
    for folder in [workspace::root(), &examples] {
        command::run(cargo::command(&["fmt", "--all", "--check"]).current_dir(folder))?;
    }

    command::heading("lints");
    let torch = thread::scope(|scope| {
        // A download of minutes, while what needs no libtorch is linted.
        let torch = scope.spawn(torch::set_up);
        lint_for_devices(&examples)?;
        torch.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })?;
    let mut clippy = cargo::command(&["clippy", "--workspace", "--all-targets"]);
    command::run(torch.use_in(clippy.args(DENY)))?;
    let mut clippy = cargo::command(&["clippy", "--package", "xsfm-trainer", "--no-default-features", "--all-targets"]);
    command::run(clippy.args(DENY))?;

    command::heading("docs");
    let mut doc = cargo::command(&["doc", "--workspace", "--no-deps", "--document-private-items"]);
    command::run(torch.use_in(&mut doc).env("RUSTDOCFLAGS", "-D warnings"))
}

/// Clippy for the runtime without `std`, the firmware examples and WebAssembly.
fn lint_for_devices(examples: &Path) -> Result<()> {
    let mut clippy =
        cargo::command(&["clippy", "--package", "xsfm-runtime", "--no-default-features", "--features", "defmt"]);
    command::run(clippy.args(DENY))?;
    let mut clippy =
        cargo::command(&["clippy", "--package", "example-input", "--package", "linux-arm", "--all-targets"]);
    command::run(clippy.args(DENY).current_dir(examples))?;
    let machines = MACHINES.map(|machine| (machine.target, machine.folder()));
    let boards = BOARDS.map(|board| (board.target, board.folder()));
    let others = [(WASM32, "wasm"), (CORTEX_M4F, "minimal"), (CORTEX_M4F, "c-int8")];
    let others = others.map(|(target, name)| (target, format!("{}/{name}", workspace::EXAMPLES)));
    for (target, folder) in machines.into_iter().chain(boards).chain(others) {
        let toolchain = target.set_up()?;
        if toolchain.has_clippy() {
            command::run(toolchain.cargo(&folder, &["clippy", "--release"])?.args(DENY))?;
        } else {
            output::say(format_args!("NOTE: no rustup standard library for {}: {folder} is not linted", target.triple));
        }
    }
    let toolchain = WASM32.set_up()?;
    for set in Instructions::ALL.into_iter().filter(|_| toolchain.has_clippy()) {
        let mut clippy = toolchain.cargo("", &["clippy", "--package", npm::CRATE])?;
        command::run(clippy.args(DENY).env("RUSTFLAGS", set.flags()))?;
    }
    Ok(())
}
