//! Other engines, from PyPI's wheels, each in a folder of its own; and the converters that make their files.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use fs_err as fs;
use glob::{Pattern, glob};
use xsfm_interchange::output;

use super::once::once;
use super::python;
use crate::{command, workspace};

/// What is compared with. Only its library is used, through its C API.
const ENGINES: [Engine; 3] = [
    Engine { flag: "--litert", name: "LiteRT", package: "ai-edge-litert", version: "2.3.0", library: "libLiteRt.so" },
    Engine {
        flag: "--onnxruntime",
        name: "ONNX Runtime",
        package: "onnxruntime",
        version: "1.32.0",
        library: "libonnxruntime.so.1.32.0",
    },
    Engine {
        flag: "--openvino",
        name: "OpenVINO",
        package: "openvino",
        version: "2026.4.1",
        library: "libopenvino_c.so.2641",
    },
];

/// TensorFlow has LiteRT's converter, ONNX Runtime its own quantiser.
const CONVERTERS: [&str; 3] = ["tensorflow-cpu==2.21.0", "onnx==1.23.2", "onnxruntime==1.32.0"];

struct Engine {
    flag: &'static str,
    name: &'static str,
    package: &'static str,
    version: &'static str,
    library: &'static str,
}

/// Engines that are there.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    /// Flags of `xsfm-peers` with the libraries' paths.
    pub(crate) libraries: Vec<(&'static str, PathBuf)>,
    /// Names and versions, separated by commas.
    pub(crate) versions: String,
    /// A Python with the converters; `None` where they cannot be installed.
    pub(crate) python: Option<PathBuf>,
}

/// Installs the engines and the converters. What cannot be installed is named and left out.
pub(crate) fn set_up() -> Result<Peers> {
    let folder = workspace::cache()?.join("peers");
    let mut peers = Peers::default();
    let mut versions = Vec::new();
    for engine in &ENGINES {
        match install(engine, &folder) {
            Ok(library) => {
                peers.libraries.push((engine.flag, library));
                versions.push(format!("{} {}", engine.name, engine.version));
            }
            Err(error) => output::say(format_args!("NOTE: {} {} is left out: {error:#}", engine.name, engine.version)),
        }
    }
    versions.push(format!("tract {}", locked_version("tract-onnx")?));
    peers.versions = versions.join(", ");
    // Other versions are another folder.
    match converters(&folder.join(CONVERTERS.join("-"))) {
        Ok(python) => peers.python = Some(python),
        Err(error) => output::say(format_args!("NOTE: engines that need a converted file are left out: {error:#}")),
    }
    Ok(peers)
}

/// Unpacks an engine's wheel; gives its library.
fn install(engine: &Engine, peers: &Path) -> Result<PathBuf> {
    let (package, version) = (engine.package, engine.version);
    let folder = peers.join(format!("{package}-{version}"));
    once(&folder, || {
        command::heading(&format!("{} {version}, once per user", engine.name));
        let environment = tempfile::tempdir()?;
        python::environment(environment.path())?;
        let mut pip = python::pip(environment.path());
        pip.args(["install", "--quiet", "--no-cache-dir", "--no-deps", &format!("{package}=={version}"), "--target"]);
        command::run_to_stderr(pip.arg(&folder))
    })?;
    find(&folder, engine.library)?.with_context(|| format!("{}: no {} in it", folder.display(), engine.library))
}

/// A virtual environment with the converters; gives its Python.
fn converters(environment: &Path) -> Result<PathBuf> {
    once(environment, || {
        command::heading("converters (TensorFlow, ONNX): a download of about 350 MB, 1.5 GB on disk, once per user");
        python::environment(environment)?;
        let mut pip = python::pip(environment);
        command::run_to_stderr(pip.args(["install", "--quiet", "--no-cache-dir"]).args(CONVERTERS))
    })?;
    Ok(environment.join("bin/python"))
}

/// A file of that name in `folder` or below.
fn find(folder: &Path, name: &str) -> Result<Option<PathBuf>> {
    let pattern = format!("{}/**/{name}", Pattern::escape(&folder.display().to_string()));
    Ok(glob(&pattern)?.flatten().next())
}

/// The version of a crate that cargo builds with.
fn locked_version(package: &str) -> Result<String> {
    let lock = workspace::root().join("Cargo.lock");
    let text = fs::read_to_string(&lock)?;
    let entry = format!("name = \"{package}\"\nversion = \"");
    match text.split_once(&entry).and_then(|(_, rest)| rest.split_once('"')) {
        Some((version, _)) => Ok(version.to_owned()),
        None => bail!("{}: no package {package}", lock.display()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_library_is_found_wherever_the_wheel_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b");
        fs::create_dir_all(&deep).unwrap();
        assert_eq!(find(folder.path(), "libx.so.1").unwrap(), None);
        fs::write(deep.join("libx.so.1"), "").unwrap();
        assert_eq!(find(folder.path(), "libx.so.1").unwrap(), Some(deep.join("libx.so.1")));
    }

    #[test]
    fn versions_come_from_the_lock_file() {
        assert!(locked_version("tract-onnx").unwrap().starts_with("0."));
        assert!(locked_version("no-such-package").is_err());
    }
}
