//! The microcontrollers that QEMU has: programs of the firmware examples, built for each and run on it.
//!
//! Programs log by defmt over semihosting, which comes out of QEMU as frames; `defmt-print`
//! decodes them with the program's strings.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use fs_err as fs;

use super::target::{Target, bare};
use crate::setup::debian;
use crate::{cargo, command, workspace};

/// A machine, whose memory and compiler's flags are in the package of the same name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Machine {
    pub(crate) name: &'static str,
    pub(crate) target: Target,
    /// QEMU's program, the Debian package that has it, and its words for the machine.
    qemu: &'static str,
    package: &'static str,
    words: &'static [&'static str],
    /// What `xsfm retarget` calls the CPU.
    pub(crate) layout: &'static str,
}

const fn cortex_m(
    name: &'static str,
    triple: &'static str,
    words: &'static [&'static str],
    layout: &'static str,
) -> Machine {
    Machine { name, target: bare(triple), qemu: "qemu-system-arm", package: "qemu-system-arm", words, layout }
}

/// From the smallest to the largest, and another architecture.
pub(crate) const MACHINES: [Machine; 5] = [
    // QEMU's only board with a Cortex-M0 has 16 KB of RAM; a Cortex-M3 runs the same code.
    cortex_m("cortex-m0plus", "thumbv6m-none-eabi", &["-machine", "mps2-an385", "-cpu", "cortex-m3"], "cortex-m"),
    cortex_m("cortex-m4f", "thumbv7em-none-eabihf", &["-machine", "mps2-an386", "-cpu", "cortex-m4"], "cortex-m4f"),
    cortex_m("cortex-m7", "thumbv7em-none-eabihf", &["-machine", "mps2-an500", "-cpu", "cortex-m7"], "cortex-m4f"),
    cortex_m(
        "cortex-m55",
        "thumbv8m.main-none-eabihf",
        &["-machine", "mps3-an547", "-cpu", "cortex-m55"],
        "cortex-m55",
    ),
    Machine {
        name: "riscv32",
        target: bare("riscv32imac-unknown-none-elf"),
        qemu: "qemu-system-riscv32",
        package: "qemu-system-misc",
        words: &["-machine", "virt", "-bios", "none"],
        layout: "cortex-m",
    },
];

/// The programs that every machine has.
const PROGRAMS: [&str; 6] = ["score", "refuse", "rank", "stack", "bench", "files"];
/// The version of the program that decodes defmt's log.
const DEFMT_PRINT: &str = "1.2.0";
/// Seconds after which a program is taken to hang.
const MOST_SECONDS: &str = "900";

/// A machine whose programs are built.
#[derive(Clone, Debug)]
pub(crate) struct Board {
    pub(crate) machine: Machine,
    folder: PathBuf,
    decoder: PathBuf,
}

/// Installs the program that decodes defmt's log; does nothing where this version is there.
pub(crate) fn decoder() -> Result<PathBuf> {
    let tools = workspace::target().join("tools");
    let mut install =
        cargo::command(&["install", "--quiet", "--debug", "--locked", "--version", DEFMT_PRINT, "--root"]);
    command::run_to_stderr(install.arg(&tools).arg("defmt-print"))?;
    Ok(tools.join("bin/defmt-print"))
}

impl Machine {
    /// The folder of its package, counted from the root.
    pub(crate) fn folder(self) -> String {
        format!("{}/{}", workspace::EXAMPLES, self.name)
    }

    /// Installs what is missing, and builds the programs.
    pub(crate) fn set_up(self) -> Result<Board> {
        debian::install(&[self.package])?;
        let decoder = decoder()?;
        let toolchain = self.target.set_up()?;
        // What is in the shell's environment is not for us.
        let mut build = toolchain.cargo(&self.folder(), &["build", "--release"])?;
        for variable in ["XSFM_MODEL", "XSFM_ROWS", "XSFM_CANDIDATES", "XSFM_CONTEXT"] {
            build.env_remove(variable);
        }
        let built = cargo::built_all(&mut build)?;
        // Machines of one target have programs of the same names, which overwrite each other where cargo puts them.
        let folder = workspace::target().join("firmware").join(self.name);
        fs::create_dir_all(&folder)?;
        for program in PROGRAMS {
            let from = built.get(program).with_context(|| format!("cargo built no program {program:?}"))?;
            fs::copy(from, folder.join(program))?;
        }
        Ok(Board { machine: self, folder, decoder })
    }
}

impl Board {
    /// Runs a program, with words for it, and gives its log.
    pub(crate) fn run(&self, program: &str, words: &[&Path]) -> Result<String> {
        let elf = self.folder.join(program);
        let Machine { name, qemu, words: machine, .. } = self.machine;
        let mut semihosting = format!("enable=on,target=native,arg={program}");
        for word in words {
            // QEMU takes a comma for the end of a word, unless there are two.
            semihosting.push_str(&format!(",arg={}", word.display().to_string().replace(',', ",,")));
        }
        let mut run = Command::new("timeout");
        run.args([MOST_SECONDS, qemu]).args(machine).args(["-nographic", "-monitor", "none", "-serial", "none"]);
        // The clock moves 64 ns with each instruction: time is a count that repeats exactly.
        run.args(["-icount", "shift=6,sleep=off", "-semihosting-config", &semihosting, "-kernel"]).arg(&elf);
        command::announce(&run);
        let mut qemu = run.stdout(Stdio::piped()).spawn().with_context(|| command::cannot_start(&run))?;
        let frames = qemu.stdout.take().context("QEMU's output")?;
        let decoded = command::quiet_output(Command::new(&self.decoder).arg("-e").arg(&elf).stdin(frames));
        let status = qemu.wait().with_context(|| command::cannot_start(&run))?;
        let log = decoded?;
        if !status.success() {
            // The end says what was wrong.
            let end: Vec<&str> = log.lines().rev().take(20).collect();
            bail!("{program} on {name}: {status}\n{}", end.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
        Ok(log)
    }
}

/// `logit<TAB>probability` of a line that the firmware logs for a row.
pub(crate) fn score_in_log(line: &str) -> Option<String> {
    match line.split_whitespace().collect::<Vec<_>>()[..] {
        ["INFO", "row", _, "logit", logit, "probability", probability] => Some(format!("{logit}\t{probability}")),
        _ => None,
    }
}
