//! WebAssembly: the runtime's own tests in node, the npm package as a user installs it, and the page in Chromium.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use fs_err as fs;

use super::programs;
use crate::setup::{torch, web as setup};
use crate::targets::target::WASIP1;
use crate::targets::web::Instructions;
use crate::targets::{npm, page};
use crate::{command, demo, workspace};

/// Runs all of them.
pub(crate) fn test() -> Result<()> {
    let packages = setup::packages()?;
    let programs::Programs { train, xsfm } = programs::build(&torch::set_up()?)?;
    let programs = demo::Programs { trainer: train, xsfm };
    let scratch = tempfile::tempdir()?;
    let project = scratch.path().join("project");
    install(&project)?;
    types(&project, &packages)?;
    let tests = |files: &[&str]| {
        let mut tests = Command::new("node");
        tests.args(["--test", "--test-reporter=spec"]).args(files).current_dir(&project);
        tests.env("XSFM", &programs.xsfm).env("XSFM_ROOT", workspace::root());
        tests
    };
    command::run(&mut tests(&["model.test.js", "errors.test.js", "size.test.js"]))?;

    command::heading("the page");
    let folder = scratch.path().join("page");
    page::build(&folder, &programs)?;
    let mut of_page = tests(&["page.test.js"]);
    page::in_chromium(&mut of_page, &folder)?;
    command::run(&mut of_page)?;
    runtime()
}

/// The package from its archive, in a project of its own, with the tests beside it.
fn install(project: &Path) -> Result<()> {
    let archive = npm::pack(&workspace::target().join("npm"))?;
    fs::create_dir_all(project)?;
    fs::write(project.join("package.json"), r#"{ "type": "module" }"#)?;
    command::run_to_stderr(setup::npm(project, &["install", "--offline"]).arg(archive))?;
    for entry in fs::read_dir(workspace::root().join(npm::PACKAGE).join("tests"))? {
        let entry = entry?;
        fs::copy(entry.path(), project.join(entry.file_name()))?;
    }
    Ok(())
}

/// What a user writes compiles, and what is wrong does not.
fn types(project: &Path, packages: &Path) -> Result<()> {
    let mut tsc = Command::new(packages.join("node_modules/.bin/tsc"));
    tsc.args(["--strict", "--noEmit", "--target", "es2022", "--module", "nodenext", "--types", "", "types.ts"]);
    command::run(tsc.current_dir(project))
}

/// The runtime's tests on both back ends.
fn runtime() -> Result<()> {
    let toolchain = WASIP1.set_up()?;
    let runner = workspace::root().join("xtask/src/check/wasi.mjs");
    let mut tests = toolchain.cargo("", &["test", "--release", "--package", "xsfm-runtime", "--lib", "--tests"])?;
    tests.env("RUSTFLAGS", Instructions::Simd128.flags()).env("XSFM_BACKENDS", "portable,simd128");
    tests.env("CARGO_TARGET_WASM32_WASIP1_RUNNER", format!("node --no-warnings {}", runner.display()));
    // A fraction of the random models: this machine has seen them all.
    command::run(tests.env("XSFM_CASES", "10"))
}
