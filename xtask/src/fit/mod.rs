//! What a score takes on each Cortex-M: measured on models of many shapes in QEMU, fitted, and written for `xsfm analyze`.
//!
//! Instructions are counted by the plugin of [`count`], as the difference of two runs; a score's are a sum of what it does
//! ([`KINDS`]) times what each takes, which least squares finds. Nothing is negative: work never makes a score shorter.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail, ensure};
use xsfm_convert::analyze::target::{Costs, Target as Measured};
use xsfm_convert::analyze::work::{KINDS, Work};
use xsfm_convert::target::retarget;
use xsfm_convert::{analyze, input};

use crate::cross::{CORTEX_M0PLUS, CORTEX_M3, CORTEX_M4F, CORTEX_M33, Target};
use crate::setup::debian;
use crate::{capi, command, count, workspace};

/// Flags of `cargo xtask fit`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Measure these alone, such as cortex-m4f; the others keep what is known of them.
    cores: Vec<String>,
    /// Measure code and stack alone, for a change that leaves a score's instructions about as they are.
    #[arg(long)]
    sizes: bool,
}

/// A core, and how to run programs for it.
#[derive(Clone, Copy, Debug)]
struct Core {
    name: &'static str,
    target: Target,
    /// What rustc compiles the library for; `None` for the target's own choice.
    cpu: Option<&'static str>,
    /// Dimensions of integer pairs that its back end sums side by side.
    lanes: usize,
    flags: &'static str,
    memory: &'static str,
    machine: &'static str,
    /// QEMU's CPU.
    emulated: &'static str,
}

const CORES: [Core; 5] = [
    Core {
        name: "cortex-m0plus",
        target: CORTEX_M0PLUS,
        cpu: None,
        lanes: 8,
        flags: "-mcpu=cortex-m0plus -mthumb",
        memory: "mps2-an386.ld",
        // There is no larger machine with an M0+; an M3 runs its instructions.
        machine: "mps2-an385",
        emulated: "cortex-m3",
    },
    Core {
        name: "cortex-m3",
        target: CORTEX_M3,
        cpu: None,
        lanes: 8,
        flags: "-mcpu=cortex-m3 -mthumb",
        memory: "mps2-an386.ld",
        machine: "mps2-an385",
        emulated: "cortex-m3",
    },
    Core {
        name: "cortex-m4f",
        target: CORTEX_M4F,
        cpu: None,
        lanes: 4,
        flags: "-mcpu=cortex-m4 -mthumb -mfloat-abi=hard -mfpu=fpv4-sp-d16",
        memory: "mps2-an386.ld",
        machine: "mps2-an386",
        emulated: "cortex-m4",
    },
    Core {
        name: "cortex-m7",
        target: CORTEX_M4F,
        cpu: Some("cortex-m7"),
        lanes: 4,
        flags: "-mcpu=cortex-m7 -mthumb -mfloat-abi=hard -mfpu=fpv5-d16",
        memory: "mps2-an386.ld",
        machine: "mps2-an500",
        emulated: "cortex-m7",
    },
    Core {
        name: "cortex-m55",
        target: CORTEX_M33,
        cpu: Some("cortex-m55"),
        lanes: 16,
        flags: "-mcpu=cortex-m55 -mthumb -mfloat-abi=hard",
        memory: "mps3-an547.ld",
        machine: "mps3-an547",
        emulated: "cortex-m55",
    },
];

impl Core {
    /// Builds the library, and gives its folder.
    fn library(&self) -> Result<PathBuf> {
        capi::library(self.target, self.cpu)
    }
}

/// Numbers of calls, as many digits each: their difference is what is counted.
const CALLS: [u32; 2] = [16, 48];
/// Indices of a bag in the rows of `measure.c`.
const BAG: usize = 4;
/// The modes of a model.
const MODES: [&str; 3] = ["int8", "dynamic", "f32"];
/// Models of each mode that `tests/shapes.rs` writes.
const SHAPES: usize = 28;
/// Those that between them have every part, small and together: no other goes deeper into the stack.
const SIZED: [usize; 6] = [0, 6, 7, 15, 16, 22];
/// The last shapes are not fitted: they tell how far the others carry.
const CHECKED: usize = 4;
/// How far a prediction may be off on those.
const TOLERANCE: f64 = 0.10;
/// What is stated of the stack is what was painted, but for this many bytes: the frame of `measure.c` is not the same with every model.
const FRAME: usize = 16;
/// Bytes of code may grow this much before it must be measured anew.
const FLASH_TOLERANCE: f64 = 0.02;

/// What was measured of a model.
#[derive(Clone, Copy, Debug)]
struct Sample {
    counts: [f64; KINDS.len()],
    instructions: f64,
    stack: usize,
    structs: usize,
    code: usize,
}

/// What measuring needs.
struct Bench {
    xsfm: PathBuf,
    plugin: PathBuf,
    folder: PathBuf,
}

/// `cargo xtask fit`.
pub(crate) fn run(args: &Args) -> Result<()> {
    if let Some(unknown) = args.cores.iter().find(|name| CORES.iter().all(|core| core.name != **name)) {
        bail!("no core {unknown:?}: {} are known", CORES.map(|core| core.name).join(", "));
    }
    let bench = Bench::set_up()?;
    let path = workspace::root().join("convert/src/analyze/costs.json");
    let mut known = analyze::target::all()?;
    for core in CORES.iter().filter(|core| args.cores.is_empty() || args.cores.iter().any(|name| name == core.name)) {
        command::heading(core.name);
        if args.sizes {
            let known = known.get_mut(core.name).with_context(|| format!("{}: never measured", core.name))?;
            bench.measure_sizes(core, known)?;
        } else {
            known.insert(core.name.to_owned(), bench.measure(core)?);
        }
        let text = serde_json::to_string_pretty(&known)? + "\n";
        fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// `cargo xtask test analyze`: what is committed still predicts what the shapes that were not fitted take.
pub(crate) fn test() -> Result<()> {
    let bench = Bench::set_up()?;
    let known = analyze::target::all()?;
    let libraries = CORES.iter().map(Core::library).collect::<Result<Vec<_>>>()?;
    // Each core has a folder of its own.
    command::side_by_side(CORES.iter().zip(&libraries), |(core, library)| {
        let known =
            known.get(core.name).with_context(|| format!("{}: `cargo xtask fit` has not measured it", core.name))?;
        for mode in MODES {
            let mut models = bench.models(mode)?.split_off(SHAPES - CHECKED);
            if mode == "int8" {
                models.push(workspace::pretrained().join("model.xsfm"));
            }
            let samples = bench.samples(core, library, &models)?;
            let costs = known.modes.get(mode).with_context(|| format!("{} {mode}", core.name))?;
            check(core, mode, costs, &samples)?;
            for sample in samples {
                let off = (sample.code as f64 / known.code as f64 - 1.0).abs();
                ensure!(off <= FLASH_TOLERANCE, "{}: {} bytes of code, {} stated", core.name, sample.code, known.code);
                ensure!(sample.structs == known.structs, "{}: {} bytes of structs", core.name, sample.structs);
            }
        }
        Ok(())
    })?;
    Ok(())
}

/// Whether predictions are near what was measured.
fn check(core: &Core, mode: &str, costs: &Costs, samples: &[Sample]) -> Result<()> {
    for sample in samples {
        let predicted = costs.instructions(&sample.counts);
        let off = predicted / sample.instructions - 1.0;
        eprintln!(
            "{} {mode}: {predicted:.0} predicted, {:.0} counted, {:+.1} %",
            core.name,
            sample.instructions,
            100.0 * off
        );
        ensure!(
            off.abs() <= TOLERANCE,
            "{} {mode}: the prediction is off: measure anew by `cargo xtask fit`",
            core.name
        );
        ensure!(
            (costs.stack.saturating_sub(FRAME)..=costs.stack).contains(&sample.stack),
            "{} {mode}: {} bytes of stack, {} stated",
            core.name,
            sample.stack,
            costs.stack
        );
    }
    Ok(())
}

impl Bench {
    fn set_up() -> Result<Self> {
        debian::provide("make", "make")?;
        debian::install(&["gcc-arm-none-eabi", "qemu-system-arm"])?;
        let folder = workspace::target().join("fit");
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let plugin = count::plugin(&folder, "qemu-system-arm")?;
        let xsfm = workspace::built(&mut workspace::cargo(&["build", "--package", "xsfm-convert"]), "xsfm")?;
        let mut shapes = workspace::cargo(&["run", "--quiet", "--package", "xsfm-tests", "--bin", "shapes", "--"]);
        command::run_to_stderr(shapes.arg(folder.join("models")))?;
        Ok(Bench { xsfm, plugin, folder })
    }

    /// The models of a mode, in the order of their numbers.
    fn models(&self, mode: &str) -> Result<Vec<PathBuf>> {
        let folder = self.folder.join("models");
        let entries = folder.read_dir().with_context(|| folder.display().to_string())?;
        let ending = format!("-{mode}.xsfm");
        let mut models: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.to_string_lossy().ends_with(&ending))
            .collect();
        models.sort();
        ensure!(models.len() == SHAPES, "{}: {} models of {mode}, {SHAPES} expected", folder.display(), models.len());
        Ok(models)
    }

    fn measure(&self, core: &Core) -> Result<Measured> {
        let library = core.library()?;
        let mut measured = Measured::default();
        for mode in MODES {
            let samples = self.samples(core, &library, &self.models(mode)?)?;
            let (fitted, checked) = samples.split_at(samples.len() - CHECKED);
            let each = least_squares(fitted);
            let costs = Costs {
                // Steps of 8: what the ABI aligns the stack to.
                stack: samples.iter().map(|sample| sample.stack).max().unwrap_or(0).next_multiple_of(8),
                instructions: KINDS.iter().map(|&kind| kind.to_owned()).zip(each.map(rounded)).collect(),
            };
            for (number, sample) in fitted.iter().enumerate() {
                let off = 100.0 * (costs.instructions(&sample.counts) / sample.instructions - 1.0);
                eprintln!(
                    "{} {mode}: shape {number:02}, {:.0} counted, fitted {off:+.1} %, {} bytes of stack",
                    core.name, sample.instructions, sample.stack
                );
            }
            check(core, mode, &costs, checked)?;
            measured.code = measured.code.max(samples[0].code);
            measured.structs = samples[0].structs;
            measured.lanes = core.lanes;
            measured.modes.insert(mode.to_owned(), costs);
        }
        Ok(measured)
    }

    /// Code, structs and stack of what has been measured before.
    fn measure_sizes(&self, core: &Core, known: &mut Measured) -> Result<()> {
        let library = core.library()?;
        known.code = 0;
        for (mode, costs) in &mut known.modes {
            let models = self.models(mode)?;
            costs.stack = 0;
            for number in SIZED {
                let sample = self.sample(core, &library, &models[number])?;
                eprintln!(
                    "{} {mode}: shape {number:02}, {} bytes of stack, {} of code",
                    core.name, sample.stack, sample.code
                );
                costs.stack = costs.stack.max(sample.stack.next_multiple_of(8));
                known.code = known.code.max(sample.code);
                known.structs = sample.structs;
            }
        }
        Ok(())
    }

    fn samples(&self, core: &Core, library: &Path, models: &[PathBuf]) -> Result<Vec<Sample>> {
        models.iter().map(|model| self.sample(core, library, model)).collect()
    }

    /// Builds `measure.c` with a model and runs it twice.
    fn sample(&self, core: &Core, library: &Path, model: &Path) -> Result<Sample> {
        let failed = |error| anyhow!("{}: {error}", model.display());
        let packed = retarget(&input::packed(model)?, analyze::target::layout(core.name)).map_err(failed)?;
        let folder = self.folder.join(core.name);
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let laid = folder.join("model.xsfm");
        packed.write(&laid).with_context(|| laid.display().to_string())?;
        let counts = Work::of(&input::load(&laid, &packed)?, &packed, BAG, core.lanes)?.0;

        let mut make = Command::new("make");
        make.args(["--always-make", "--silent", "measure"]).current_dir(workspace::root().join("firmware-examples/c"));
        make.arg(format!("BOARD_LIBRARY={}", library.display())).arg(format!("BOARD_OUT={}", folder.display()));
        make.arg(format!("BOARD_FLAGS={}", core.flags)).arg(format!("BOARD_MEMORY={}", core.memory));
        make.arg(format!("MODEL={}", laid.display())).arg(format!("XSFM={}", self.xsfm.display()));
        command::quiet_output(&mut make)?;

        let mut printed = String::new();
        let mut totals = [0; 2];
        for (total, calls) in totals.iter_mut().zip(CALLS) {
            let out = folder.join("instructions");
            let mut qemu = Command::new("qemu-system-arm");
            qemu.args(["-M", core.machine, "-cpu", core.emulated, "-nographic", "-monitor", "none", "-serial", "none"]);
            qemu.arg("-plugin").arg(format!("{},out={}", self.plugin.display(), out.display()));
            qemu.args(["-semihosting-config", &format!("enable=on,target=native,arg=measure,arg={calls}"), "-kernel"]);
            let output = qemu.arg(folder.join("measure.elf")).output().context("qemu-system-arm")?;
            printed = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
            ensure!(output.status.success(), "{} on {}: {printed}", model.display(), core.name);
            let text = fs::read_to_string(&out).with_context(|| out.display().to_string())?;
            *total = text.trim().parse::<u64>().with_context(|| format!("{text:?}"))?;
            fs::remove_file(&out).with_context(|| out.display().to_string())?;
        }
        let figure = |name: &str| {
            let line = printed.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<usize>().ok());
            line.with_context(|| format!("measure.c prints no {name}: {printed}"))
        };
        let instructions = totals[1].checked_sub(totals[0]).context("more calls took fewer instructions")?;
        Ok(Sample {
            counts,
            instructions: instructions as f64 / f64::from(CALLS[1] - CALLS[0]),
            stack: figure("load")?.max(figure("score")?),
            structs: figure("structs")?,
            code: code(&folder)?,
        })
    }
}

/// Bytes of code and constants that the library brought: those of the program, without those of the examples' own files.
fn code(folder: &Path) -> Result<usize> {
    let files = ["measure.elf", "measure.o", "board.o", "model.o"].map(|file| folder.join(file));
    let text = command::quiet_output(Command::new("arm-none-eabi-size").args(&files))?;
    let sizes = text.lines().skip(1).map(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    match sizes.collect::<Option<Vec<_>>>().as_deref() {
        Some([all, own @ ..]) if own.len() == 3 => Ok(all - own.iter().sum::<usize>()),
        _ => bail!("arm-none-eabi-size says {text:?}"),
    }
}

/// Four digits: the rest is noise, which would change with every measurement.
fn rounded(number: f64) -> f64 {
    format!("{number:.3e}").parse().unwrap_or(number)
}

/// What one of each kind takes, so that relative errors are small: coordinate descent, each time to the best value that is not
/// negative.
fn least_squares(samples: &[Sample]) -> [f64; KINDS.len()] {
    let mut each = [0.0; KINDS.len()];
    let weighted: Vec<[f64; KINDS.len()]> =
        samples.iter().map(|sample| sample.counts.map(|count| count / sample.instructions)).collect();
    let mut errors = vec![1.0; samples.len()];
    for _ in 0..SWEEPS {
        for kind in 0..KINDS.len() {
            let size: f64 = weighted.iter().map(|row| row[kind] * row[kind]).sum();
            if size == 0.0 {
                continue;
            }
            let wanted: f64 = weighted.iter().zip(&errors).map(|(row, error)| row[kind] * error).sum();
            let new = (each[kind] + wanted / size).max(0.0);
            for (row, error) in weighted.iter().zip(&mut errors) {
                *error -= row[kind] * (new - each[kind]);
            }
            each[kind] = new;
        }
    }
    each
}

/// Until nothing moves: kinds go together in models, which makes it slow.
const SWEEPS: usize = 200_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_found() {
        let truth: Vec<f64> = (0..KINDS.len()).map(|kind| if kind == 3 { 0.0 } else { 1.5 + kind as f64 }).collect();
        let samples: Vec<Sample> = (0..30_u64)
            .map(|number| {
                let mut state = number + 1;
                let counts = [(); KINDS.len()].map(|()| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (state >> 54) as f64
                });
                let instructions = counts.iter().zip(&truth).map(|(count, each)| count * each).sum();
                Sample { counts, instructions, stack: 0, structs: 0, code: 0 }
            })
            .collect();
        let found = least_squares(&samples);
        assert!(found.iter().zip(&truth).all(|(a, b)| (a - b).abs() < 1e-3), "{found:?}");
        assert_eq!(rounded(1234.5678), 1235.0);
    }
}
