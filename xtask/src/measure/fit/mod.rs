//! What a score takes on each Cortex-M: measured on models of many shapes in
//! QEMU, fitted, and written for `xsfm analyze`.
//!
//! Instructions are counted by QEMU's [`plugin`](super::plugin), as the difference of two runs. A score's are a sum of
//! what it does ([`KINDS`]) times what each takes, which least squares finds. Nothing is negative: work never makes a
//! score shorter.
//!
//! | module | does |
//! |---|---|
//! | [`mod@bench`] | builds `measure.c` with a model and the C library, or `Int8Model` alone, and runs it |
//! | [`squares`] | finds what each kind of work takes |

mod bench;
mod squares;

use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail, ensure};
use fs_err as fs;
use xsfm_convert::analyze;
use xsfm_convert::analyze::target::{Alone, Costs, Target as Measured};
use xsfm_convert::analyze::work::KINDS;
use xsfm_interchange::output;

use self::bench::{Bench, CORES, Core, Linked, SHAPES, Sample};
use self::squares::{least_squares, rounded};
use crate::{command, workspace};

/// Flags of `cargo xtask fit`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Measure these alone, such as cortex-m4f; the others keep what is known of them.
    cores: Vec<String>,
    /// Measure code and stack alone, for a change that leaves a score's instructions about as they are.
    #[arg(long)]
    sizes: bool,
}

/// The modes of a model.
const MODES: [&str; 3] = ["int8", "dynamic", "f32"];
/// Those that between them have every part, small and together: no other goes deeper into the stack.
const SIZED: [usize; 6] = [0, 6, 7, 15, 16, 22];
/// The last shapes are not fitted: they tell how far the others carry.
const CHECKED: usize = 4;
/// How far a prediction may be off on those.
const TOLERANCE: f64 = 0.10;
/// What is stated of the stack is the most that was painted, and no model is further below it: loading some shapes
/// takes up to 32 bytes more, and the frame of `measure.c` is not the same with every model.
const FRAME: usize = 32;
/// Bytes of code may grow this much before it must be measured anew.
const FLASH_TOLERANCE: f64 = 0.02;

/// The mode that can be had alone, and what that is called.
const INT8: &str = "int8";
const ALONE: &str = "Int8Model at";

/// `cargo xtask fit`.
pub(crate) fn run(args: &Args) -> Result<()> {
    if let Some(unknown) = args.cores.iter().find(|name| CORES.iter().all(|core| core.name != **name)) {
        bail!("no core {unknown:?}: {} are known", CORES.map(|core| core.name).join(", "));
    }
    let bench = Bench::set_up()?;
    let path = workspace::root().join("convert/src/analyze/costs.json");
    let known = Mutex::new(analyze::target::all()?);
    let chosen = |core: &&Core| args.cores.is_empty() || args.cores.iter().any(|name| name == core.name);
    command::side_by_side(CORES.iter().filter(chosen), |core| {
        let locked = || known.lock().unwrap_or_else(PoisonError::into_inner);
        let measured = if args.sizes {
            let mut known = locked().get(core.name).with_context(|| format!("{}: never measured", core.name))?.clone();
            bench.measure_sizes(core, &mut known)?;
            known
        } else {
            bench.measure(core)?
        };
        // Each as it comes: the others may fail.
        let mut known = locked();
        known.insert(core.name.to_owned(), measured);
        let text = serde_json::to_string_pretty(&*known)? + "\n";
        Ok(fs::write(&path, text)?)
    })?;
    Ok(())
}

/// `cargo xtask test analyze`: what is committed still predicts what the shapes that were not fitted take.
pub(crate) fn test() -> Result<()> {
    let bench = Bench::set_up()?;
    let known = analyze::target::all()?;
    // Cargo builds one after the other; what is measured then has a folder for each way of each core.
    let mut ways = Vec::new();
    for core in &CORES {
        let known =
            known.get(core.name).with_context(|| format!("{}: `cargo xtask fit` has not measured it", core.name))?;
        let library = core.library()?;
        for mode in MODES {
            let costs = known.modes.get(mode).with_context(|| format!("{} {mode}", core.name))?.clone();
            let fitted = Fitted { code: known.code, structs: known.structs, costs };
            ways.push((core, library.named(mode), mode, mode.to_owned(), fitted));
        }
        for &level in core.levels {
            let alone = known.int8_model.get(level).with_context(|| format!("{} {ALONE} {level}", core.name))?;
            let fitted = Fitted { code: alone.code, structs: alone.structs, costs: alone.costs.clone() };
            ways.push((core, core.alone(level)?, INT8, format!("{ALONE} {level}"), fitted));
        }
    }
    command::side_by_side(ways, |(core, linked, mode, way, known)| {
        let mut models = bench.models(mode)?.split_off(SHAPES - CHECKED);
        if mode == INT8 {
            models.push(workspace::pretrained().join("model.xsfm"));
        }
        let samples = bench.samples(core, &linked, &models)?;
        check(core, &way, &known.costs, &samples)?;
        for sample in samples {
            let off = (sample.code as f64 / known.code as f64 - 1.0).abs();
            ensure!(
                off <= FLASH_TOLERANCE,
                "{} {way}: {} bytes of code, {} stated",
                core.name,
                sample.code,
                known.code
            );
            ensure!(sample.structs == known.structs, "{} {way}: {} bytes of structs", core.name, sample.structs);
        }
        Ok(())
    })?;
    Ok(())
}

/// Whether predictions are near what was measured.
fn check(core: &Core, way: &str, costs: &Costs, samples: &[Sample]) -> Result<()> {
    let stated = costs.stack.saturating_sub(FRAME);
    // Loading layers goes deepest into the stack of int8 mode alone; without layers it is less.
    let least = if way.starts_with(ALONE) { 0 } else { stated };
    for sample in samples {
        let predicted = costs.instructions(&sample.counts);
        let off = predicted / sample.instructions - 1.0;
        output::say(format_args!(
            "{} {way}: {predicted:.0} predicted, {:.0} counted, {:+.1} %",
            core.name,
            sample.instructions,
            100.0 * off
        ));
        ensure!(
            off.abs() <= TOLERANCE,
            "{} {way}: the prediction is off: measure anew by `cargo xtask fit`",
            core.name
        );
        ensure!(
            (least..=costs.stack).contains(&sample.stack),
            "{} {way}: {} bytes of stack, {} stated",
            core.name,
            sample.stack,
            costs.stack
        );
    }
    let deepest = samples.iter().map(|sample| sample.stack).max();
    ensure!(deepest >= Some(stated), "{} {way}: at most {deepest:?} bytes of stack, {} stated", core.name, costs.stack);
    Ok(())
}

/// What one way of scoring takes.
struct Fitted {
    code: usize,
    structs: usize,
    costs: Costs,
}

impl Bench {
    /// All that is told of a core.
    fn measure(&self, core: &Core) -> Result<Measured> {
        let mut measured = Measured { lanes: core.lanes, ..Measured::default() };
        let library = core.library()?;
        for mode in MODES {
            let Fitted { code, structs, costs } = self.fit(core, &library, mode, mode)?;
            measured.code = measured.code.max(code);
            measured.structs = structs;
            measured.modes.insert(mode.to_owned(), costs);
        }
        for &level in core.levels {
            let Fitted { code, structs, costs } =
                self.fit(core, &core.alone(level)?, INT8, &format!("{ALONE} {level}"))?;
            measured.int8_model.insert(level.to_owned(), Alone { code, structs, costs });
        }
        Ok(measured)
    }

    /// What one of each kind of work takes in a mode; `way` is what it is called.
    fn fit(&self, core: &Core, linked: &Linked, mode: &str, way: &str) -> Result<Fitted> {
        let samples = self.samples(core, linked, &self.models(mode)?)?;
        let (fitted, checked) = samples.split_at(samples.len() - CHECKED);
        let each = least_squares(fitted);
        let costs = Costs {
            // Steps of 8: what the ABI aligns the stack to.
            stack: samples.iter().map(|sample| sample.stack).max().unwrap_or(0).next_multiple_of(8),
            instructions: KINDS.iter().map(|&kind| kind.to_owned()).zip(each.map(rounded)).collect(),
        };
        for (number, sample) in fitted.iter().enumerate() {
            let off = 100.0 * (costs.instructions(&sample.counts) / sample.instructions - 1.0);
            output::say(format_args!(
                "{} {way}: shape {number:02}, {:.0} counted, fitted {off:+.1} %, {} bytes of stack",
                core.name, sample.instructions, sample.stack
            ));
        }
        check(core, way, &costs, checked)?;
        Ok(Fitted { code: samples[0].code, structs: samples[0].structs, costs })
    }

    /// Code, structs and stack of what has been measured before.
    fn measure_sizes(&self, core: &Core, known: &mut Measured) -> Result<()> {
        let library = core.library()?;
        known.code = 0;
        for (mode, costs) in &mut known.modes {
            let sizes = self.sizes(core, &library, mode, mode, &SIZED)?;
            known.code = known.code.max(sizes.code);
            (known.structs, costs.stack) = (sizes.structs, sizes.costs.stack);
        }
        // Other shapes than those go deepest here.
        let all: Vec<usize> = (0..SHAPES).collect();
        for (level, alone) in &mut known.int8_model {
            let linked = core.alone(level)?;
            let sizes = self.sizes(core, &linked, INT8, &format!("{ALONE} {level}"), &all)?;
            (alone.code, alone.structs, alone.costs.stack) = (sizes.code, sizes.structs, sizes.costs.stack);
        }
        Ok(())
    }

    fn sizes(&self, core: &Core, linked: &Linked, mode: &str, way: &str, shapes: &[usize]) -> Result<Fitted> {
        let models = self.models(mode)?;
        let mut sizes = Fitted { code: 0, structs: 0, costs: Costs::default() };
        for &number in shapes {
            let sample = self.sample(core, linked, &models[number])?;
            output::say(format_args!(
                "{} {way}: shape {number:02}, {} bytes of stack, {} of code",
                core.name, sample.stack, sample.code
            ));
            sizes.code = sizes.code.max(sample.code);
            sizes.structs = sample.structs;
            sizes.costs.stack = sizes.costs.stack.max(sample.stack.next_multiple_of(8));
        }
        Ok(sizes)
    }
}
