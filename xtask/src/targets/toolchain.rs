//! Compiles for other targets, and runs their Linux programs in QEMU.
//!
//! rustup's standard library of the target is the normal way. Where it cannot be had, Debian's compiler and its sources
//! are: `-Zbuild-std` compiles the standard library along.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use xsfm_interchange::output;

use super::target::{Linux, Target};
use crate::setup::debian;
use crate::setup::once::alone;
use crate::{cargo, command, workspace};

/// A target that can be compiled for.
#[derive(Clone, Debug)]
pub(crate) struct Toolchain {
    pub(crate) target: Target,
    std: Std,
}

/// Where the target's standard library comes from.
#[derive(Clone, Debug)]
enum Std {
    /// The compiler in use has it.
    Installed,
    /// Debian's compiler makes it. Where there is no Linux, rustup's `rust-lld` links, which Debian does not have: its
    /// folder.
    Debian { crates: &'static str, lld: Option<PathBuf> },
}

const RUSTC: &str = "/usr/bin/rustc";

impl Target {
    /// Makes sure that this target can be compiled for, and run where it is Linux.
    pub(crate) fn set_up(self) -> Result<Toolchain> {
        if let Some(linux) = self.linux.filter(|_| !self.is_host()) {
            debian::install(linux.packages)?;
        }
        let std = if self.is_installed() || alone("rustup", || Ok(self.is_installed() || self.add()))? {
            Std::Installed
        } else {
            self.debian()?
        };
        Ok(Toolchain { target: self, std })
    }

    fn is_host(self) -> bool {
        host().is_ok_and(|host| host == self.triple)
    }

    /// Whether the compiler in use has this target's standard library.
    fn is_installed(self) -> bool {
        let mut rustc = Command::new("rustc");
        rustc.args(["--print", "target-libdir", "--target", self.triple]);
        command::quiet_output(&mut rustc).is_ok_and(|folder| Path::new(folder.trim()).is_dir())
    }

    /// Asks rustup for the standard library.
    fn add(self) -> bool {
        // Without a way to the server, it should give up soon.
        let mut rustup = Command::new("rustup");
        rustup.args(["target", "add", self.triple]).env("RUSTUP_MAX_RETRIES", "1").env_remove("RUST_BACKTRACE");
        let added = command::run_to_stderr(&mut rustup);
        if let Err(error) = &added {
            output::say(format_args!("{error:#}: trying Debian's compiler"));
        }
        added.is_ok() && self.is_installed()
    }

    fn debian(self) -> Result<Std> {
        let crates =
            self.crates.with_context(|| format!("only `rustup target add {}` has what it needs", self.triple))?;
        let install = debian::install(&["rustc-web", "rust-web-src"]);
        install.with_context(|| format!("neither `rustup target add {}` nor Debian has a compiler", self.triple))?;
        if self.linux.is_some() {
            return Ok(Std::Debian { crates, lld: None });
        }
        let sysroot = command::quiet_output(Command::new("rustc").args(["--print", "sysroot"]))?;
        let folder = Path::new(sysroot.trim()).join("lib/rustlib").join(host()?).join("bin");
        if !folder.join("rust-lld").exists() {
            bail!("no linker for {}: rust-lld is not in {}", self.triple, folder.display());
        }
        Ok(Std::Debian { crates, lld: Some(folder) })
    }

    /// The name of cargo's variable for this target.
    fn variable(self, what: &str) -> String {
        format!("CARGO_TARGET_{}_{what}", self.triple.to_uppercase().replace('-', "_"))
    }
}

impl Toolchain {
    /// Whether clippy can lint for this target: it must know the standard library that it reads.
    pub(crate) fn has_clippy(&self) -> bool {
        matches!(self.std, Std::Installed)
    }

    /// A cargo command for this target in `folder`, counted from the root; cargo runs programs in QEMU.
    pub(crate) fn cargo(&self, folder: &str, arguments: &[&str]) -> Result<Command> {
        let mut command = cargo::command(arguments);
        self.add_to(command.current_dir(workspace::root().join(folder)));
        if let Std::Debian { crates, lld } = &self.std {
            command.arg(format!("-Zbuild-std={crates}"));
            // Unstable flags of a stable compiler, as the one that built Debian's sources is.
            command.env("RUSTC", RUSTC).env("RUSTC_BOOTSTRAP", "1");
            if let Some(lld) = lld {
                search_first(&mut command, lld)?;
            }
        }
        Ok(command)
    }

    /// Makes this target one of those that a cargo command builds for.
    fn add_to(&self, command: &mut Command) {
        command.args(["--target", self.target.triple]);
        if let Some(linux) = self.emulator() {
            command.env(self.target.variable("LINKER"), linux.linker);
            command.env(self.target.variable("RUNNER"), linux.on(linux.cpus[0]).join(" "));
        }
    }

    /// The same command once for each of the target's CPUs.
    pub(crate) fn cargo_on_each_cpu(&self, folder: &str, arguments: &[&str]) -> Result<Vec<Command>> {
        let Some(linux) = self.emulator() else {
            return Ok(vec![self.cargo(folder, arguments)?]);
        };
        let on = |cpu: &&str| {
            let mut command = self.cargo(folder, arguments)?;
            command.env(self.target.variable("RUNNER"), linux.on(cpu).join(" "));
            Ok(command)
        };
        linux.cpus.iter().map(on).collect()
    }

    /// Commands that run `program`, each with the name of its CPU.
    pub(crate) fn runs(&self, program: &Path) -> Result<Vec<(String, Command)>> {
        if self.emulator().is_none() {
            return Ok(vec![("native".to_owned(), Command::new(program))]);
        }
        self.cpus().iter().map(|&cpu| Ok((cpu.to_owned(), self.emulated(cpu, &[], program)?))).collect()
    }

    /// The CPUs of the emulator; none where the target is this machine.
    pub(crate) fn cpus(&self) -> &'static [&'static str] {
        self.emulator().map_or(&[], |linux| linux.cpus)
    }

    /// A command that runs `program` on `cpu`, with more arguments for QEMU.
    pub(crate) fn emulated(&self, cpu: &str, arguments: &[&str], program: &Path) -> Result<Command> {
        let linux = self.emulator().with_context(|| format!("{} is not emulated here", self.target.triple))?;
        let mut words = linux.on(cpu).into_iter();
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).args(arguments).arg(program);
        Ok(command)
    }

    /// What runs Linux programs of the target, where it is not this machine.
    fn emulator(&self) -> Option<Linux> {
        self.target.linux.filter(|_| !self.target.is_host())
    }
}

/// Builds for several targets in one command, so that they share the cores: the runtime is one unit of code, which one
/// core compiles.
///
/// It is only done ahead. What fails is said here too, but whoever builds each target afterwards tells which it was,
/// and compiles the standard library of those that Debian's compiler is for.
pub(crate) fn build_ahead<'t>(
    toolchains: impl IntoIterator<Item = &'t Toolchain>,
    folder: &str,
    arguments: &[&str],
    variables: &[(&str, &str)],
) {
    let installed: Vec<_> =
        toolchains.into_iter().filter(|toolchain| matches!(toolchain.std, Std::Installed)).collect();
    if installed.is_empty() {
        return;
    }
    let mut command = cargo::command(arguments);
    command.current_dir(workspace::root().join(folder)).envs(variables.iter().copied());
    // `cargo test` has no such flag.
    if arguments.first() == Some(&"build") {
        command.arg("--keep-going");
    }
    installed.into_iter().for_each(|toolchain| toolchain.add_to(&mut command));
    if let Err(error) = command::run_to_stderr(&mut command) {
        output::say(format_args!("{error:#}: each alone"));
    }
}

/// Puts a folder at the front of a command's search path.
fn search_first(command: &mut Command, folder: &Path) -> Result<()> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(folder.to_owned()).chain(env::split_paths(&path));
    command.env("PATH", env::join_paths(folders).with_context(|| folder.display().to_string())?);
    Ok(())
}

/// The triple of this machine.
pub(crate) fn host() -> Result<String> {
    let version = command::quiet_output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` names no host")?.to_owned())
}
