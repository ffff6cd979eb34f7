//! What builds and checks wheels: maturin; Zig, a C compiler and linker for any machine and any age of glibc;
//! auditwheel, which knows what manylinux allows. And a Python of AArch64, for QEMU.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use fs_err as fs;

use super::once::once;
use super::python;
use crate::{command, workspace};

const TOOLS: [&str; 3] = ["auditwheel==6.8.2", "maturin==1.16.0", "ziglang==0.17.1"];
/// What Debian's Python of AArch64 loads, beside itself.
const LIBRARIES: [&str; 5] = ["libc6", "libexpat1", "libgcc-s1", "libstdc++6", "zlib1g"];

/// An environment with the tools.
pub(crate) struct Tools(PathBuf);

/// Installs the tools, unless they are there.
pub(crate) fn tools() -> Result<Tools> {
    // Other versions are another folder.
    let environment = workspace::cache()?.join(format!("wheels-{}", workspace::short_digest(&TOOLS.join(" "))));
    once(&environment, || {
        command::heading("maturin, Zig, auditwheel: a download of about 100 MB, 500 MB on disk, once per user");
        python::environment(&environment)?;
        let mut pip = python::pip(&environment);
        command::run_to_stderr(pip.args(["install", "--quiet", "--no-cache-dir"]).args(TOOLS))
    })?;
    Ok(Tools(environment.join("bin")))
}

impl Tools {
    /// A command of one of them, which finds the others.
    pub(crate) fn command(&self, name: &str) -> Result<Command> {
        let path = env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(self.0.clone()).chain(env::split_paths(&path));
        let mut tool = Command::new(self.0.join(name));
        tool.env("PATH", env::join_paths(folders).with_context(|| self.0.display().to_string())?);
        Ok(tool)
    }
}

/// Debian's Python of AArch64: a folder like the root of such a machine, and the program in it.
pub(crate) struct Foreign {
    pub(crate) root: PathBuf,
    pub(crate) python: PathBuf,
}

/// Unpacks it in a folder of its own: nothing of this machine changes, neither its packages nor its architectures.
pub(crate) fn python_of_aarch64() -> Result<Foreign> {
    let folder = workspace::cache()?.join("python-aarch64");
    let root = folder.join("root");
    once(&folder, || {
        command::heading("Python of AArch64: a download of about 10 MB, once per user");
        let packages = folder.join("packages");
        for part in [packages.join("lists/partial"), root.clone()] {
            fs::create_dir_all(part)?;
        }
        command::run_to_stderr(apt("apt-get", &packages).args(["-qq", "update"]))?;
        let python = name_of_python(&packages)?;
        let wanted = [format!("{python}-minimal"), format!("lib{python}-minimal"), format!("lib{python}-stdlib")];
        let mut download = apt("apt-get", &packages);
        download.args(["-qq", "download"]).args(wanted).args(LIBRARIES).current_dir(&packages);
        command::run_to_stderr(&mut download)?;
        for entry in fs::read_dir(&packages)? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == "deb") {
                command::run_to_stderr(Command::new("dpkg-deb").arg("--extract").arg(path).arg(&root))?;
            }
        }
        Ok(fs::remove_dir_all(&packages)?)
    })?;
    let mut programs = glob::glob(&format!("{}/usr/bin/python3.*", root.display()))?.flatten();
    let python = programs.next().with_context(|| format!("{}: no Python in it", root.display()))?;
    Ok(Foreign { root, python })
}

/// A command of apt that knows packages of AArch64 alone, by lists of its own.
fn apt(program: &str, folder: &Path) -> Command {
    let option = |name: &str, value: &dyn AsRef<std::ffi::OsStr>| {
        let mut text = OsString::from(name);
        text.push("=");
        text.push(value);
        text
    };
    let mut apt = Command::new(program);
    for word in [
        option("APT::Architecture", &"arm64"),
        option("APT::Architectures", &"arm64"),
        option("APT::Sandbox::User", &"root"),
        option("Dir::State::lists", &folder.join("lists")),
        option("Dir::State::status", &"/dev/null"),
        option("Dir::Cache::pkgcache", &""),
        option("Dir::Cache::srcpkgcache", &""),
    ] {
        apt.arg("-o").arg(word);
    }
    apt
}

/// The name of this Debian's Python, `python3.11`, by what its package without a version depends on.
fn name_of_python(packages: &Path) -> Result<String> {
    let told = command::quiet_output(apt("apt-cache", packages).args(["show", "python3-minimal"]))?;
    let words = told.split(|c: char| c.is_whitespace() || c == ',');
    let name = words.filter_map(|word| word.strip_suffix("-minimal")).find(|word| word.starts_with("python3."));
    Ok(name.context("apt-cache shows no python3.N-minimal of AArch64")?.to_owned())
}
