//! Compiles for other targets.
//!
//! rustup's standard library of the target is the normal way. Where it cannot be had, Debian's compiler and its sources are:
//! `-Zbuild-std` compiles the standard library along.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use xsfm_interchange::output;

use crate::setup::debian;
use crate::{command, workspace};

/// Where the firmware examples' workspace is.
pub(crate) const EXAMPLES: &str = "firmware-examples";

/// A target, with what compiling for it and running it takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) triple: &'static str,
    /// The crates that `-Zbuild-std` compiles; `None` where Debian has not what they are linked with.
    crates: Option<&'static str>,
    /// What a Linux target needs.
    linux: Option<Linux>,
}

#[derive(Clone, Copy, Debug)]
struct Linux {
    packages: &'static [&'static str],
    linker: &'static str,
    qemu: &'static str,
    /// Where the target's C library lies, for programs that load it.
    libraries: &'static str,
    /// CPUs to run on: the newest that QEMU has first, then older ones, each without some of the extensions that back ends use.
    cpus: &'static [&'static str],
}

/// A target without an operating system.
pub(crate) const fn bare(triple: &'static str) -> Target {
    Target { triple, crates: Some("core,alloc"), linux: None }
}

const fn gnu(triple: &'static str, linux: Linux) -> Target {
    Target { triple, crates: Some("std,panic_unwind"), linux: Some(linux) }
}

/// Programs that need no library. rustup's target brings musl along; GNU's linker will do.
const fn musl(triple: &'static str, linux: Linux) -> Target {
    Target { triple, crates: None, linux: Some(linux) }
}

const LINUX_64: Linux = Linux {
    packages: &["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross", "qemu-user"],
    linker: "aarch64-linux-gnu-gcc",
    qemu: "qemu-aarch64",
    libraries: "/usr/aarch64-linux-gnu",
    // With i8mm, with the dot product alone, with neither.
    cpus: &["max", "cortex-a76", "cortex-a53"],
};
const LINUX_32: Linux = Linux {
    packages: &["gcc-arm-linux-gnueabihf", "libc6-dev-armhf-cross", "qemu-user"],
    linker: "arm-linux-gnueabihf-gcc",
    qemu: "qemu-arm",
    libraries: "/usr/arm-linux-gnueabihf",
    cpus: &["max", "cortex-a7"],
};

pub(crate) const CORTEX_M0PLUS: Target = bare("thumbv6m-none-eabi");
pub(crate) const CORTEX_M3: Target = bare("thumbv7m-none-eabi");
pub(crate) const CORTEX_M4F: Target = bare("thumbv7em-none-eabihf");
pub(crate) const CORTEX_M33: Target = bare("thumbv8m.main-none-eabihf");
pub(crate) const X86_64: Target = gnu(
    "x86_64-unknown-linux-gnu",
    Linux {
        packages: &["gcc-x86-64-linux-gnu", "libc6-dev-amd64-cross", "qemu-user"],
        linker: "x86_64-linux-gnu-gcc",
        qemu: "qemu-x86_64",
        libraries: "/usr/x86_64-linux-gnu",
        cpus: &["max"],
    },
);
pub(crate) const AARCH64: Target = gnu("aarch64-unknown-linux-gnu", LINUX_64);
pub(crate) const ARMV7: Target = gnu("armv7-unknown-linux-gnueabihf", LINUX_32);
/// The targets of ARM Linux whose C library is Debian's.
pub(crate) const ARM_LINUX: [Target; 2] = [AARCH64, ARMV7];
pub(crate) const WASM32: Target =
    Target { triple: "wasm32-unknown-unknown", crates: Some("std,panic_abort"), linux: None };

/// All that the runtime is built for.
pub(crate) const ALL: [Target; 12] = [
    AARCH64,
    ARMV7,
    musl("aarch64-unknown-linux-musl", LINUX_64),
    musl("armv7-unknown-linux-musleabihf", LINUX_32),
    CORTEX_M0PLUS,
    CORTEX_M3,
    bare("thumbv7em-none-eabi"),
    CORTEX_M4F,
    bare("thumbv8m.main-none-eabi"),
    CORTEX_M33,
    bare("riscv32imac-unknown-none-elf"),
    WASM32,
];

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
    /// Debian's compiler makes it. Where there is no Linux, rustup's `rust-lld` links, which Debian does not have: its folder.
    Debian { crates: &'static str, lld: Option<PathBuf> },
}

const RUSTC: &str = "/usr/bin/rustc";

impl Linux {
    /// The words before a program that is to run on `cpu`.
    fn on(self, cpu: &str) -> [&str; 5] {
        [self.qemu, "-cpu", cpu, "-L", self.libraries]
    }
}

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
        let mut command = workspace::cargo(arguments);
        self.add_to(command.current_dir(workspace::root().join(folder)));
        if let Std::Debian { crates, lld } = &self.std {
            command.arg(format!("-Zbuild-std={crates}"));
            // Unstable flags of a stable compiler, as the one that built Debian's sources is.
            command.env("RUSTC", RUSTC).env("RUSTC_BOOTSTRAP", "1");
            if let Some(lld) = lld {
                workspace::search_first(&mut command, lld)?;
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

    /// Builds the runtime as a microcontroller has it, with `defmt` and without, and on Linux the scorer. What it gives is a program
    /// there, and a library elsewhere.
    fn build(&self) -> Result<PathBuf> {
        command::run_to_stderr(&mut self.cargo("", &WITH_DEFMT)?)?;
        command::run_to_stderr(&mut self.cargo("", &WITHOUT_DEFMT)?)?;
        if self.target.linux.is_some() {
            return self.scorer();
        }
        Ok(workspace::target().join(self.target.triple).join("release/libxsfm_runtime.rlib"))
    }

    /// Builds the Linux scorer.
    pub(crate) fn scorer(&self) -> Result<PathBuf> {
        workspace::built(&mut self.cargo(EXAMPLES, &SCORER)?, "scorer")
    }
}

/// Builds for several targets in one command, so that they share the cores: the runtime is one unit of code, which one core compiles.
///
/// It is only done ahead. What fails is said here too, but whoever builds each target afterwards tells which it was, and compiles
/// the standard library of those that Debian's compiler is for.
pub(crate) fn build_ahead<'t>(toolchains: impl IntoIterator<Item = &'t Toolchain>, folder: &str, arguments: &[&str]) {
    let installed: Vec<_> =
        toolchains.into_iter().filter(|toolchain| matches!(toolchain.std, Std::Installed)).collect();
    if installed.is_empty() {
        return;
    }
    let mut command = workspace::cargo(arguments);
    command.current_dir(workspace::root().join(folder));
    // `cargo test` has no such flag.
    if arguments.first() == Some(&"build") {
        command.arg("--keep-going");
    }
    installed.into_iter().for_each(|toolchain| toolchain.add_to(&mut command));
    if let Err(error) = command::run_to_stderr(&mut command) {
        output::say(format_args!("{error:#}: each alone"));
    }
}

/// The runtime as a microcontroller has it.
const WITHOUT_DEFMT: [&str; 5] = ["build", "--release", "--package", "xsfm-runtime", "--no-default-features"];
const WITH_DEFMT: [&str; 7] =
    ["build", "--release", "--package", "xsfm-runtime", "--no-default-features", "--features", "defmt"];
/// The Linux scorer.
const SCORER: [&str; 4] = ["build", "--release", "--package", "linux-arm"];

/// Flags of `cargo xtask cross`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// A target, for example aarch64-unknown-linux-gnu.
    #[arg(required_unless_present = "all")]
    target: Option<String>,
    /// Every target that there is a recipe for.
    #[arg(long, conflicts_with = "target")]
    all: bool,
}

/// `cargo xtask cross`: prints where the Linux scorer is, or the runtime's library.
pub(crate) fn run(args: &Args) -> Result<()> {
    let Some(triple) = args.target.as_ref().filter(|_| !args.all) else { return all() };
    let Some(target) = ALL.into_iter().find(|target| target.triple == triple) else {
        let known: Vec<_> = ALL.iter().map(|target| format!("  {}", target.triple)).collect();
        bail!("no recipe for {triple:?}; there are some for\n{}", known.join("\n"));
    };
    output::line(target.set_up()?.build()?.display())?;
    Ok(())
}

/// Builds for every target, and runs what a Linux emulator can; the firmware examples run the others.
pub(crate) fn all() -> Result<()> {
    let mut failed = Vec::new();
    let mut toolchains = Vec::new();
    for target in ALL {
        match target.set_up() {
            Ok(toolchain) => toolchains.push(toolchain),
            Err(error) if target.crates.is_none() => {
                command::heading(&format!("NOT BUILT: {}: {error:#}", target.triple));
            }
            Err(error) => {
                output::say(format_args!("error: {}: {error:#}", target.triple));
                failed.push(target.triple);
            }
        }
    }
    command::heading("cross, together");
    build_ahead(&toolchains, "", &WITH_DEFMT);
    build_ahead(&toolchains, "", &WITHOUT_DEFMT);
    build_ahead(toolchains.iter().filter(|toolchain| toolchain.target.linux.is_some()), EXAMPLES, &SCORER);
    for toolchain in toolchains {
        let target = toolchain.target;
        command::heading(&format!("cross {}", target.triple));
        let tested = toolchain
            .build()
            .and_then(|program| if target.linux.is_some() { scores_as_known(&toolchain, &program) } else { Ok(()) });
        if let Err(error) = tested {
            output::say(format_args!("error: {error:#}"));
            failed.push(target.triple);
        }
    }
    if !failed.is_empty() {
        bail!("{} of {} targets failed: {}", failed.len(), ALL.len(), failed.join(", "));
    }
    Ok(())
}

/// Runs the scorer on each of the target's CPUs: it must give the bits that the firmware examples are known to log.
fn scores_as_known(toolchain: &Toolchain, scorer: &Path) -> Result<()> {
    let folder = workspace::root().join(EXAMPLES).join("programs");
    let log = folder.join("out/score.out");
    let log = fs::read_to_string(&log).with_context(|| log.display().to_string())?;
    let known: String = log.lines().filter_map(score_in_log).map(|score| score + "\n").collect();
    let model = workspace::pretrained().join("model.xsfm");
    for (cpu, mut run) in toolchain.runs(scorer)? {
        let scores = command::output(run.arg(&model).arg(folder.join("rows.tsv")).arg("--bits"))?;
        ensure!(!known.is_empty() && scores == known, "{cpu}: other scores than the firmware examples have");
        output::say(format_args!("{cpu}: {} scores as known", scores.lines().count()));
    }
    Ok(())
}

/// `logit<TAB>probability` of a line that the firmware logs for a row.
pub(crate) fn score_in_log(line: &str) -> Option<String> {
    match line.split_whitespace().collect::<Vec<_>>()[..] {
        ["INFO", "row", _, "logit", logit, "probability", probability] => Some(format!("{logit}\t{probability}")),
        _ => None,
    }
}

/// The triple of this machine.
pub(crate) fn host() -> Result<String> {
    let version = command::quiet_output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` names no host")?.to_owned())
}
