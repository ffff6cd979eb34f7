//! Compiles for other targets.
//!
//! rustup's standard library of the target is the normal way. Where it cannot be had, Debian's compiler and its sources are:
//! `-Zbuild-std` compiles the standard library along.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::setup::debian;
use crate::{command, workspace};

/// Where the firmware examples' workspace is.
pub(crate) const EXAMPLES: &str = "firmware-examples";

/// A target, with what compiling for it and running it takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) triple: &'static str,
    /// The crates that `-Zbuild-std` compiles.
    crates: &'static str,
    /// What a Linux target needs.
    linux: Option<Linux>,
}

#[derive(Clone, Copy, Debug)]
struct Linux {
    packages: &'static [&'static str],
    linker: &'static str,
    qemu: &'static str,
    /// Where the target's C library lies.
    libraries: &'static str,
    /// CPUs to run on: the newest that QEMU has, and an old one without most extensions.
    cpus: [&'static str; 2],
}

pub(crate) const CORTEX_M4F: Target = Target { triple: "thumbv7em-none-eabihf", crates: "core,alloc", linux: None };
pub(crate) const AARCH64: Target = Target {
    triple: "aarch64-unknown-linux-gnu",
    crates: "std,panic_unwind",
    linux: Some(Linux {
        packages: &["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross", "qemu-user"],
        linker: "aarch64-linux-gnu-gcc",
        qemu: "qemu-aarch64",
        libraries: "/usr/aarch64-linux-gnu",
        cpus: ["max", "cortex-a53"],
    }),
};
pub(crate) const ARMV7: Target = Target {
    triple: "armv7-unknown-linux-gnueabihf",
    crates: "std,panic_unwind",
    linux: Some(Linux {
        packages: &["gcc-arm-linux-gnueabihf", "libc6-dev-armhf-cross", "qemu-user"],
        linker: "arm-linux-gnueabihf-gcc",
        qemu: "qemu-arm",
        libraries: "/usr/arm-linux-gnueabihf",
        cpus: ["max", "cortex-a7"],
    }),
};
/// The targets of ARM Linux.
pub(crate) const ARM_LINUX: [Target; 2] = [AARCH64, ARMV7];

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
    /// Debian's compiler makes it; Cortex-M is linked by rustup's `rust-lld`, which Debian does not have.
    Debian { lld: Option<PathBuf> },
}

const RUSTC: &str = "/usr/bin/rustc";

impl Target {
    /// Makes sure that this target can be compiled for, and run where it is Linux.
    pub(crate) fn set_up(self) -> Result<Toolchain> {
        if let Some(linux) = self.linux.filter(|_| !self.is_host()) {
            debian::install(linux.packages)?;
        }
        let std = if self.is_installed() || self.add() { Std::Installed } else { self.debian()? };
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
            eprintln!("{error:#}: trying Debian's compiler");
        }
        added.is_ok() && self.is_installed()
    }

    fn debian(self) -> Result<Std> {
        let install = debian::install(&["rustc-web", "rust-web-src"]);
        install.with_context(|| format!("neither `rustup target add {}` nor Debian has a compiler", self.triple))?;
        if self.linux.is_some() {
            return Ok(Std::Debian { lld: None });
        }
        let sysroot = command::quiet_output(Command::new("rustc").args(["--print", "sysroot"]))?;
        let lld = Path::new(sysroot.trim()).join("lib/rustlib").join(host()?).join("bin/rust-lld");
        if !lld.exists() {
            bail!("no linker for {}: {} is not there", self.triple, lld.display());
        }
        Ok(Std::Debian { lld: Some(lld) })
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
        let mut command = workspace::cargo(arguments);
        command.current_dir(workspace::root().join(folder)).args(["--target", self.target.triple]);
        if let Std::Debian { lld } = &self.std {
            command.arg(format!("-Zbuild-std={}", self.target.crates));
            // Unstable flags of a stable compiler, as the one that built Debian's sources is.
            command.env("RUSTC", RUSTC).env("RUSTC_BOOTSTRAP", "1");
            if let Some(lld) = lld {
                command.env(self.target.variable("LINKER"), lld);
            }
        }
        if let Some(linux) = self.target.linux.filter(|_| !self.target.is_host()) {
            command.env(self.target.variable("LINKER"), linux.linker);
            let runner = format!("{} -cpu {} -L {}", linux.qemu, linux.cpus[0], linux.libraries);
            command.env(self.target.variable("RUNNER"), runner);
        }
        Ok(command)
    }

    /// Commands that run `program`, each with the name of its CPU.
    pub(crate) fn runs(&self, program: &Path) -> Vec<(String, Command)> {
        let Some(linux) = self.target.linux.filter(|_| !self.target.is_host()) else {
            return vec![("native".to_owned(), Command::new(program))];
        };
        let on = |cpu: &str| {
            let mut command = Command::new(linux.qemu);
            command.args(["-cpu", cpu, "-L", linux.libraries]).arg(program);
            (cpu.to_owned(), command)
        };
        linux.cpus.map(on).into()
    }

    /// Builds the Linux scorer.
    pub(crate) fn scorer(&self) -> Result<PathBuf> {
        let mut build = self.cargo(EXAMPLES, &["build", "--release", "--package", "linux-arm"])?;
        workspace::built(&mut build, "scorer")
    }
}

/// `cargo xtask cross TARGET`.
pub(crate) fn scorer(triple: &str) -> Result<PathBuf> {
    let Some(target) = ARM_LINUX.into_iter().find(|target| target.triple == triple) else {
        let known = ARM_LINUX.map(|target| target.triple).join(", ");
        bail!("no recipe for {triple:?}: {known} are known (Cortex-M: cargo xtask firmware)");
    };
    target.set_up()?.scorer()
}

/// The triple of this machine.
pub(crate) fn host() -> Result<String> {
    let version = command::quiet_output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` names no host")?.to_owned())
}
