//! `cargo xtask test`: every test, part by part.

use std::env;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::ValueEnum;
use fs_err as fs;
use serde::{Deserialize, Serialize};
use xsfm_interchange::output;

use super::programs::{self, Programs};
use super::{bits, browser, python, readme, sanitize, spark, teachers, tutorial};
use crate::measure::{callgrind, count, fit, size};
use crate::setup::{tables, torch};
use crate::targets::target::{AARCH64, ARM_LINUX, Target};
use crate::targets::{boards, capi, cross, firmware, machines};
use crate::{cargo, command, install, workspace};

/// Commands that the summary names, since the whole takes long.
const SLOWEST: usize = 30;
const LEAST: Duration = Duration::from_secs(20);

/// Flags of `cargo xtask test`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Only these parts, in this order; by default all but those on request.
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// The parts on request too, behind the others: hours, and much to download.
    #[arg(long, conflicts_with = "parts")]
    all: bool,
    /// Rewrite what the parts `callgrind` and `size` compare with.
    #[arg(long)]
    bless: bool,
    /// The part `spark` with two million rows, and tell rates and memory.
    #[arg(long)]
    measure: bool,
    /// Write how they ended to a file, instead of printing it and failing.
    #[arg(long, hide = true, value_name = "FILE")]
    report: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// All crates on this machine, the trainer with libtorch; trained and packed models agree.
    Crates,
    /// Of that, all that needs no libtorch; on request.
    Host,
    /// Documentation: examples, links, the commands in the README; that they can be installed; the tutorial, run.
    Docs,
    /// The runtime's own tests on ARM Linux under qemu-user.
    Arm,
    /// Instructions of a score on AArch64: no more than known.
    Count,
    /// The runtime for every target that there is a recipe for, run where qemu-user can.
    Cross,
    /// The bare-metal examples under QEMU, on a machine of each kind; `cargo xtask firmware` has all.
    Firmware,
    /// The programs of real boards, built and linked.
    Boards,
    /// The C interface: header, libraries, and the examples in C and C++, on this machine, AArch64 and a Cortex-M.
    Capi,
    /// The Python package's tests in a fresh environment.
    Python,
    /// The same, installed by plain pip, which compiles it anew; on request.
    Pip,
    /// Preparation and scoring on a cluster of Spark, a master and two workers: the bytes of one machine; on request.
    Spark,
    /// A model of FuxiCTR teaches a student, by a file of logits from Python; on request.
    Teachers,
    /// WebAssembly: the runtime's tests in node, the npm package there, and the page in Chromium.
    Browser,
    /// What `xsfm analyze` predicts against what QEMU counts; on request.
    Analyze,
    /// Bytes of the smallest scorer against firmware-examples/minimal/sizes.toml.
    Size,
    /// The same scores on every target, as a table; on request.
    Bits,
    /// The runtime's tests under AddressSanitizer and Miri; on request.
    Sanitize,
    /// The same under valgrind; on request.
    Valgrind,
    /// Instructions of a score on x86-64 against benches/counts.toml.
    Callgrind,
}

/// Parts that run beside each other behind the crates' tests, each lane in a process of its own. Those of one lane
/// share folders: the examples' programs are built with one model at a time.
const LANES: [(&str, &[Part]); 2] = [
    ("machines", &[Part::Python, Part::Browser, Part::Arm, Part::Count, Part::Cross, Part::Callgrind]),
    ("boards", &[Part::Docs, Part::Firmware, Part::Boards, Part::Capi, Part::Size]),
];
/// Parts that are left to those who ask for them: what they look at changes seldom, or other parts look at most of it.
const ON_REQUEST: [Part; 7] =
    [Part::Bits, Part::Analyze, Part::Sanitize, Part::Valgrind, Part::Teachers, Part::Spark, Part::Pip];

/// How tests ended.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Report {
    parts: Vec<Ended>,
    /// Seconds of commands.
    slowest: Vec<(f64, String)>,
    /// Lines that failing tests printed.
    failures: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Ended {
    part: String,
    /// None where it passed.
    error: Option<String>,
    seconds: f64,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut report = Report::default();
    if args.parts.is_empty() {
        thread::scope(|scope| {
            scope.spawn(build_optimised);
            report.add(&[Part::Crates], args);
        });
        for lane in lanes(args.bless)? {
            report.parts.extend(lane.parts);
            report.slowest.extend(lane.slowest);
            report.failures.extend(lane.failures);
        }
        if args.all {
            // Some of its machines have run, and the others have not.
            report.add(&[Part::Firmware], args);
            report.add(&ON_REQUEST, args);
        }
    } else {
        report.add(&args.parts, args);
    }
    report.add_commands();
    if let Some(path) = &args.report {
        return Ok(fs::write(path, serde_json::to_vec(&report)?)?);
    }
    command::heading("summary");
    report.slowest.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    for (seconds, command) in report.slowest.iter().take(SLOWEST) {
        output::say(format_args!("{seconds:>5.0} s  {command}"));
    }
    for line in &report.failures {
        output::say(format_args!("{line}"));
    }
    for Ended { part, error, seconds } in &report.parts {
        match error {
            None => output::line(format_args!("{part:<10} passed in {seconds:.0} s"))?,
            Some(error) => output::line(format_args!("{part:<10} FAILED in {seconds:.0} s: {error}"))?,
        }
    }
    let failed: Vec<&str> =
        report.parts.iter().filter(|part| part.error.is_some()).map(|part| part.part.as_str()).collect();
    if !failed.is_empty() {
        bail!("{} of {} parts failed: {}", failed.len(), report.parts.len(), failed.join(", "));
    }
    Ok(())
}

impl Report {
    /// Runs parts, one after another.
    fn add(&mut self, parts: &[Part], args: &Args) {
        for &part in parts {
            command::heading(&format!("test {}", part.name()));
            let start = Instant::now();
            let error = part.run(args).err().map(|error| format!("{error:#}"));
            if let Some(error) = &error {
                output::say(format_args!("error: {error}"));
            }
            self.parts.push(Ended { part: part.name(), error, seconds: start.elapsed().as_secs_f64() });
        }
    }

    /// What this process has to say of its commands.
    fn add_commands(&mut self) {
        self.failures.extend(command::failures());
        self.slowest
            .extend(command::slowest(SLOWEST, LEAST).into_iter().map(|(took, text)| (took.as_secs_f64(), text)));
    }
}

/// Emulators have one thread, and so have many builds' last steps: two lanes keep two cores busy.
fn lanes(bless: bool) -> Result<Vec<Report>> {
    let folder = tempfile::tempdir()?;
    command::side_by_side(LANES, |(name, parts)| {
        let path = folder.path().join(name);
        let mut lane = Command::new(env::current_exe()?);
        lane.arg("test").args(parts.iter().map(|part| part.name())).arg("--report").arg(&path);
        lane.args(bless.then_some("--bless"));
        command::run_named(name, lane)?;
        Ok(serde_json::from_slice(&fs::read(&path)?)?)
    })
}

impl Part {
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    fn run(self, &Args { bless, measure, all, .. }: &Args) -> Result<()> {
        match self {
            Part::Crates => everything(),
            Part::Host => host(),
            Part::Docs => docs(),
            Part::Arm => arm(),
            Part::Count => count::test(),
            Part::Cross => cross::all(),
            Part::Firmware if all => firmware::run(&firmware::Args::default()),
            Part::Firmware => firmware::run(&firmware::Args::of_each_kind()),
            Part::Boards => boards::build(),
            Part::Capi => capi::test(),
            Part::Python => python::test(false),
            Part::Pip => python::test(true),
            Part::Spark => spark::test(measure),
            Part::Teachers => teachers::test(),
            Part::Browser => browser::test(),
            Part::Analyze => fit::test(),
            Part::Size => size::run(bless),
            Part::Bits => bits::run(),
            Part::Sanitize => sanitize::run(),
            Part::Valgrind => sanitize::memcheck(),
            Part::Callgrind => callgrind::run(bless),
        }
    }
}

/// Tests of all crates, in the environment and with the features that `with` gives a command.
fn crates(with: impl Fn(&mut Command) -> &mut Command) -> Result<()> {
    command::run_tests(with(cargo::workspace("test").arg("--no-fail-fast")))?;
    let mut examples = cargo::command(&["test", "--package", "example-input", "--package", "linux-arm"]);
    command::run_tests(examples.current_dir(workspace::root().join(workspace::EXAMPLES)))
}

fn host() -> Result<()> {
    crates(|test| test.args(cargo::WITHOUT_TORCH))
}

fn everything() -> Result<()> {
    let torch = torch::set_up()?;
    let Programs { train, xsfm } = programs::build(&torch)?;
    let reviews = tables::reviews()?;
    crates(|test| torch.use_in(test).env("XSFM_TRAIN", &train).env("XSFM", &xsfm).env("XSFM_REVIEWS", &reviews))
}

fn docs() -> Result<()> {
    // Examples in comments ran with the crates' tests.
    let torch = torch::set_up()?;
    let mut doc = cargo::command(&["doc", "--workspace", "--no-deps"]);
    command::run(torch.use_in(&mut doc).env("RUSTDOCFLAGS", "-D warnings"))?;
    readme::check()?;
    install::test()?;
    tutorial::run()
}

/// Builds optimised runtimes ahead, which one core does for minutes: beside tests, of which many wait. What fails is
/// told by the part that needs it.
fn build_optimised() {
    let built = callgrind::build().map(drop).and_then(|()| {
        let of_arm = |target: Target| Ok((target.set_up()?, tests_on(target)));
        for (toolchain, tests) in ARM_LINUX.into_iter().map(of_arm).collect::<Result<Vec<_>>>()? {
            command::run_to_stderr(toolchain.cargo("", &RUNTIME_TESTS)?.args(tests).arg("--no-run"))?;
        }
        machines::decoder().map(drop)
    });
    if let Err(error) = built {
        output::say(format_args!("NOTE: not built ahead: {error:#}"));
    }
}

const RUNTIME_TESTS: [&str; 4] = ["test", "--release", "--package", "xsfm-runtime"];
/// Whole models on every back end.
const MODELS: [&str; 4] = ["--test", "backends", "--test", "catalogue"];

/// All tests where there are vectors, else those of whole models.
fn tests_on(target: Target) -> &'static [&'static str] {
    if target.triple == AARCH64.triple { &["--lib", "--tests"] } else { &MODELS }
}

fn arm() -> Result<()> {
    for target in ARM_LINUX {
        let toolchain = target.set_up()?;
        for (number, mut tests) in toolchain.cargo_on_each_cpu("", &RUNTIME_TESTS)?.into_iter().enumerate() {
            // The first CPU has every back end of the others, which choose among them.
            tests.args(if number == 0 { tests_on(target) } else { &MODELS });
            // A fraction of the random models: an emulator takes ten times as long, and this machine has seen them all.
            command::run_tests(tests.env("XSFM_CASES", "10"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_runs_once() {
        let mut run: Vec<String> = LANES.iter().flat_map(|(_, parts)| parts.iter().map(|part| part.name())).collect();
        // `host` is a part of `crates`.
        run.extend([Part::Crates, Part::Host].into_iter().chain(ON_REQUEST).map(Part::name));
        run.sort();
        let mut all: Vec<String> = Part::value_variants().iter().map(|part| part.name()).collect();
        all.sort();
        assert_eq!(run, all);
    }
}
