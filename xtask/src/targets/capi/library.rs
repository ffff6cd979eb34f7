//! The static library of the C interface, for a target and a CPU of it.

use std::path::PathBuf;

use anyhow::Result;
use fs_err as fs;

use crate::targets::target::Target;
use crate::targets::toolchain::{Toolchain, build_ahead};
use crate::{command, workspace};

const BUILD: [&str; 5] = ["build", "--profile", "capi", "--package", "xsfm-capi"];
/// The header, from the root.
pub(crate) const HEADER: &str = "runtime/capi/include/xsfm.h";

/// Whether a library is one that programs shall use, or one that tests ask whether it is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum For {
    Programs,
    Tests,
}

/// Linux's, with all its back ends, takes minutes to optimise; scores are the same without.
pub(crate) const FAST: [(&str, &str); 2] = [("CARGO_PROFILE_CAPI_OPT_LEVEL", "0"), ("CARGO_PROFILE_CAPI_LTO", "off")];

/// Builds the library for a target, and gives the folder with `libxsfm.a` and `xsfm.h`.
pub(crate) fn library(target: Target, cpu: Option<&str>, wanted: For) -> Result<PathBuf> {
    let toolchain = target.set_up()?;
    let mut build = toolchain.cargo("", &BUILD)?;
    // A shell that asks for incremental builds would get another library: more code, and a deeper stack, than what is
    // known of it.
    build.env("CARGO_INCREMENTAL", "0");
    let mut name = target.triple.to_owned();
    if wanted == For::Tests && target.linux.is_some() {
        build.envs(FAST);
        name += "-tests";
    }
    let mut built = workspace::target();
    if let Some(cpu) = cpu {
        // Another CPU's objects go to a folder of their own.
        name = format!("{name}-{cpu}");
        built = built.join(format!("capi-{cpu}"));
        build.env("RUSTFLAGS", format!("-Ctarget-cpu={cpu}")).env("CARGO_TARGET_DIR", &built);
    }
    command::run_to_stderr(&mut build)?;
    let folder = folder(&name);
    fs::create_dir_all(&folder)?;
    let library = built.join(target.triple).join("capi/libxsfm_capi.a");
    fs::copy(library, folder.join("libxsfm.a"))?;
    fs::copy(workspace::root().join(HEADER), folder.join("xsfm.h"))?;
    Ok(folder)
}

/// Builds those of several targets in one command, as tests want them.
pub(super) fn ahead_for_tests(toolchains: &[Toolchain]) {
    build_ahead(toolchains, "", &BUILD, &FAST);
}

/// Where the library for a target lies.
pub(crate) fn folder(name: &str) -> PathBuf {
    workspace::target().join("c").join(name)
}
