//! `cargo xtask test`: every test, part by part.

use std::time::Instant;

use anyhow::{Result, bail};
use clap::ValueEnum;
use xsfm_interchange::output;

use super::{bits, readme, sanitize};
use crate::measure::{callgrind, count, fit, size};
use crate::setup::torch;
use crate::targets::target::{ARM_LINUX, Target};
use crate::targets::{boards, capi, cross, firmware, toolchain};
use crate::{cargo, command, install, workspace};

/// Flags of `cargo xtask test`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Only these parts, in this order.
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// Rewrite what the parts `callgrind` and `size` compare with.
    #[arg(long)]
    bless: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Everything that needs no libtorch, on this machine.
    Host,
    /// The trainer with libtorch; trained and packed models agree.
    Trainer,
    /// Documentation: examples, links, the commands in the README; that they can be installed.
    Docs,
    /// The runtime's own tests on ARM Linux under qemu-user.
    Arm,
    /// Instructions of a score on AArch64: no more than known.
    Count,
    /// The runtime for every target that there is a recipe for, run where qemu-user can.
    Cross,
    /// The bare-metal examples under QEMU.
    Firmware,
    /// The programs of real boards, built and linked.
    Boards,
    /// The C interface: header, libraries, and the examples in C and C++, on this machine, AArch64 and a Cortex-M.
    Capi,
    /// What `xsfm analyze` predicts against what QEMU counts.
    Analyze,
    /// Bytes of the smallest scorer against firmware-examples/minimal/sizes.toml.
    Size,
    /// The same scores on every target.
    Bits,
    /// The runtime's tests under AddressSanitizer, valgrind and Miri.
    Sanitize,
    /// Instructions of a score on x86-64 against benches/counts.toml.
    Callgrind,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let parts = if args.parts.is_empty() { Part::value_variants() } else { &args.parts };
    let mut failed = Vec::new();
    let mut summary = Vec::new();
    for &part in parts {
        let name = part.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        command::heading(&format!("test {name}"));
        let start = Instant::now();
        let result = part.run(args.bless);
        if let Err(error) = &result {
            output::say(format_args!("error: {error:#}"));
            failed.push(name.clone());
        }
        let word = if result.is_ok() { "passed" } else { "FAILED" };
        summary.push(format!("{name:<10} {word} in {:.0} s", start.elapsed().as_secs_f64()));
    }
    command::heading("summary");
    summary.iter().try_for_each(output::line)?;
    if !failed.is_empty() {
        bail!("{} of {} parts failed: {}", failed.len(), parts.len(), failed.join(", "));
    }
    Ok(())
}

impl Part {
    fn run(self, bless: bool) -> Result<()> {
        match self {
            Part::Host => host(),
            Part::Trainer => trainer(),
            Part::Docs => docs(),
            Part::Arm => arm(),
            Part::Count => count::test(),
            Part::Cross => cross::all(),
            Part::Firmware => firmware::run(&firmware::Args::default()),
            Part::Boards => boards::build(),
            Part::Capi => capi::test(),
            Part::Analyze => fit::test(),
            Part::Size => size::run(bless),
            Part::Bits => bits::run(),
            Part::Sanitize => sanitize::run(),
            Part::Callgrind => callgrind::run(bless),
        }
    }
}

fn host() -> Result<()> {
    // One command: cargo would build Arrow and more anew for the features that the trainer alone asks for. It does
    // without libtorch where it has no default features; all that `std` is in the runtime's.
    let arguments =
        ["test", "--workspace", "--no-default-features", "--features", "xsfm-runtime/std", "--no-fail-fast"];
    command::run(&mut cargo::command(&arguments))?;
    let mut examples = cargo::command(&["test", "--package", "example-input", "--package", "linux-arm"]);
    command::run(examples.current_dir(workspace::root().join(workspace::EXAMPLES)))
}

fn trainer() -> Result<()> {
    let torch = torch::set_up()?;
    command::run(torch.use_in(&mut cargo::command(&["test", "--package", "xsfm-trainer", "--no-fail-fast"])))?;
    let mut build = cargo::command(&["build", "--package", "xsfm-trainer"]);
    let program = cargo::built(torch.use_in(&mut build), "xsfm-train")?;
    let xsfm = cargo::built(&mut cargo::command(&["build", "--package", "xsfm-convert"]), "xsfm")?;
    let tests = ["training", "experiments", "datasets", "raw", "output"].into_iter().flat_map(|test| ["--test", test]);
    let mut together =
        cargo::command(&["test", "--package", "xsfm-tests"].into_iter().chain(tests).collect::<Vec<_>>());
    command::run(torch.use_in(&mut together).env("XSFM_TRAIN", program).env("XSFM", xsfm))
}

fn docs() -> Result<()> {
    // Examples in comments ran with the crates' tests.
    let torch = torch::set_up()?;
    let mut doc = cargo::command(&["doc", "--workspace", "--no-deps"]);
    command::run(torch.use_in(&mut doc).env("RUSTDOCFLAGS", "-D warnings"))?;
    readme::check()?;
    install::test()
}

fn arm() -> Result<()> {
    let toolchains = ARM_LINUX.into_iter().map(Target::set_up).collect::<Result<Vec<_>>>()?;
    let arguments = ["test", "--release", "--package", "xsfm-runtime", "--lib", "--tests"];
    toolchain::build_ahead(&toolchains, "", &[&arguments[..], &["--no-run"]].concat());
    for toolchain in toolchains {
        for mut tests in toolchain.cargo_on_each_cpu("", &arguments)? {
            // A fraction of the random models: an emulator takes ten times as long, and this machine has seen them all.
            command::run(tests.env("XSFM_CASES", "25"))?;
        }
    }
    Ok(())
}
