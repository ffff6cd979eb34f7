//! Modules of WebAssembly: compiled without vectors, and with SIMD128, which no module can ask for while it runs.

use std::path::PathBuf;

use anyhow::Result;
use fs_err as fs;
use xsfm_runtime::Backend;

use super::target::WASM32;
use crate::{command, workspace};

/// What a module may be compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Instructions {
    /// What every engine has.
    Portable,
    /// With vectors of 128 bits: engines since 2021, Safari since 2023.
    Simd128,
}

impl Instructions {
    pub(crate) const ALL: [Instructions; 2] = [Instructions::Portable, Instructions::Simd128];

    /// The back end that scores with them.
    pub(crate) fn backend(self) -> Backend {
        match self {
            Instructions::Portable => Backend::Portable,
            Instructions::Simd128 => Backend::Simd128,
        }
    }

    /// The compiler's flags.
    pub(crate) fn flags(self) -> &'static str {
        match self {
            Instructions::Portable => "",
            Instructions::Simd128 => "-Ctarget-feature=+simd128",
        }
    }
}

/// Builds a package that is a module for `instructions`; gives the module, which stays when it is built for others.
///
/// `folder` is that of the package's workspace, counted from the root.
pub(crate) fn module(folder: &str, package: &str, profile: &str, instructions: Instructions) -> Result<PathBuf> {
    let mut build = WASM32.set_up()?.cargo(folder, &["build", "--package", package, "--profile", profile])?;
    command::run_to_stderr(build.env("RUSTFLAGS", instructions.flags()))?;
    let built = workspace::target_of(folder).join(WASM32.triple).join(profile);
    let module = built.join(format!("{package}-{}.wasm", instructions.backend().name()));
    fs::copy(built.join(package.replace('-', "_")).with_extension("wasm"), &module)?;
    Ok(module)
}
