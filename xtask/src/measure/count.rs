//! Instructions that a score takes, counted under qemu-user: no clock, and the same number each time.
//!
//! They are not cycles; they show what a change costs or saves, and that each back end is used where it should be.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use fs_err as fs;
use serde::Serialize;
use xsfm_interchange::output;

use super::plugin;
use crate::targets::target::AARCH64;
use crate::targets::toolchain::Toolchain;
use crate::{cargo, command, workspace};

/// Flags of `cargo xtask count`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// tract too, on the same models; it takes minutes to build.
    #[arg(long)]
    tract: bool,
}

/// A packed model, or the same one as another engine reads it.
#[derive(Clone, Copy, Debug)]
struct Subject {
    engine: &'static str,
    mode: &'static str,
    file: &'static str,
}

const INT8: Subject = Subject { engine: "ours", mode: "int8", file: "int8.xsfm" };
const F32: Subject = Subject { engine: "ours", mode: "f32", file: "f32.xsfm" };
const TRACT: Subject = Subject { engine: "tract", mode: "f32", file: "model.onnx" };

/// Widths of the hidden layers, and their name; 39 fields of embed_dim 10.
const MODELS: [(&str, &str); 3] = [("400-400-400", "400-400-400"), ("64-64-64", "64-64-64"), ("FwFM", "none")];
/// Samples in a call.
const BATCHES: [usize; 2] = [1, 8];
/// Numbers of calls, as many digits each: their difference is what is counted.
const CALLS: [u32; 2] = [16, 80];

/// A counted score.
#[derive(Clone, Debug, Serialize)]
struct Count {
    model: &'static str,
    engine: &'static str,
    mode: &'static str,
    cpu: String,
    backend: String,
    batch: usize,
    /// Per sample.
    instructions: f64,
}

/// `cargo xtask count`.
pub(crate) fn run(args: &Args) -> Result<()> {
    let counter = Counter::set_up(args.tract)?;
    let mut subjects = vec![INT8, F32];
    subjects.extend(args.tract.then_some(TRACT));
    let counts = counter.counts(&subjects)?;
    if args.json {
        output::json(&counts)?;
    } else {
        print(&counts)?;
    }
    check(&counts)
}

/// Counts int8 scores and compares them with what is known.
pub(crate) fn test() -> Result<()> {
    let counts = Counter::set_up(false)?.counts(&[INT8])?;
    print(&counts)?;
    check(&counts)
}

fn print(counts: &[Count]) -> Result<()> {
    output::line(format_args!(
        "{:<12} {:<6} {:<5} {:<11} {:<13} {:>5}  instructions per sample",
        "model", "engine", "mode", "CPU", "back end", "batch"
    ))?;
    for Count { model, engine, mode, cpu, backend, batch, instructions } in counts {
        output::line(format_args!(
            "{model:<12} {engine:<6} {mode:<5} {cpu:<11} {backend:<13} {batch:>5}  {instructions:>10.0}"
        ))?;
    }
    Ok(())
}

/// Instructions that an int8 score of each model may take at most, by back end, in
/// a call of one sample and in one of eight.
///
/// Counted, and a twentieth more: compilers differ.
const CEILINGS: [(&str, &str, [f64; 2]); 9] = [
    ("400-400-400", "neon", [183_800.0, 172_500.0]),
    ("400-400-400", "neon-dotprod", [73_800.0, 56_900.0]),
    ("400-400-400", "neon-i8mm", [73_800.0, 51_300.0]),
    ("64-64-64", "neon", [24_700.0, 22_000.0]),
    ("64-64-64", "neon-dotprod", [17_000.0, 13_900.0]),
    ("64-64-64", "neon-i8mm", [17_100.0, 13_600.0]),
    ("FwFM", "neon", [11_400.0, 9_600.0]),
    ("FwFM", "neon-dotprod", [11_400.0, 9_600.0]),
    ("FwFM", "neon-i8mm", [11_500.0, 9_600.0]),
];

/// Whether every back end was used, and is as much better than others as it must be.
fn check(counts: &[Count]) -> Result<()> {
    let int8 = counts.iter().filter(|count| count.mode == "int8");
    let int8: BTreeMap<_, _> =
        int8.map(|count| ((count.model, count.backend.as_str(), count.batch), count.instructions)).collect();
    let of = |model, backend, batch| {
        int8.get(&(model, backend, batch)).copied().with_context(|| format!("{model} was not counted on {backend}"))
    };
    for (model, backend, ceilings) in CEILINGS {
        for (batch, ceiling) in BATCHES.into_iter().zip(ceilings) {
            let count = of(model, backend, batch)?;
            ensure!(
                count <= ceiling,
                "{model} on {backend}: {count:.0} instructions per sample of {batch}, at most {ceiling} are known"
            );
        }
    }
    let (base, dotprod) = (of("400-400-400", "neon", 1)?, of("400-400-400", "neon-dotprod", 1)?);
    ensure!(dotprod <= base / 2.0, "400-400-400: {dotprod:.0} instructions with sdot, {base:.0} without");
    let tract = |count: &&Count| (count.engine, count.model, count.batch) == ("tract", "400-400-400", 1);
    for Count { cpu, instructions, .. } in counts.iter().filter(tract) {
        ensure!(
            dotprod <= *instructions,
            "400-400-400: {dotprod:.0} instructions, {instructions:.0} of tract on {cpu}"
        );
    }
    let i8mm = of("400-400-400", "neon-i8mm", 8)?;
    let dotprod = of("400-400-400", "neon-dotprod", 8)?;
    ensure!(i8mm < dotprod, "400-400-400 in eights: {i8mm:.0} instructions with smmla, {dotprod:.0} with sdot");
    Ok(())
}

/// What counts: programs, and the models that they score.
struct Counter {
    toolchain: Toolchain,
    program: PathBuf,
    plugin: PathBuf,
    folder: PathBuf,
}

impl Counter {
    fn set_up(tract: bool) -> Result<Self> {
        let toolchain = AARCH64.set_up()?;
        ensure!(!toolchain.cpus().is_empty(), "instructions are counted by QEMU, of another CPU than this machine's");
        let folder = workspace::target().join("count");
        fs::create_dir_all(&folder)?;
        let plugin = plugin::compile(&folder, "qemu-aarch64")?;
        let mut arguments = vec!["build", "--package", "xsfm-count"];
        arguments.extend(if tract { &["--profile=peers", "--features=tract"][..] } else { &["--release"] });
        let program = cargo::built(&mut toolchain.cargo("", &arguments)?, "count")?;
        let mut models = cargo::command(&["run", "--release", "--package", "xsfm-benches", "--bin", "models", "--"]);
        command::run_to_stderr(models.arg(&folder).args(MODELS.map(|(_, hidden)| hidden)))?;
        Ok(Counter { toolchain, program, plugin, folder })
    }

    fn counts(&self, subjects: &[Subject]) -> Result<Vec<Count>> {
        let mut counts = Vec::new();
        for (model, hidden) in MODELS {
            for &subject in subjects {
                let cpus = self.toolchain.cpus();
                let cases = BATCHES.into_iter().flat_map(|batch| cpus.iter().map(move |&cpu| (batch, cpu)));
                let count = |(batch, cpu)| Ok((batch, cpu, self.count(subject, hidden, cpu, batch)?));
                let mut checksums = BTreeMap::new();
                for (batch, cpu, (backend, checksum, instructions)) in command::side_by_side(cases, count)? {
                    checksums.insert(checksum, backend.clone());
                    let Subject { engine, mode, .. } = subject;
                    counts.push(Count { model, engine, mode, cpu: cpu.to_owned(), backend, batch, instructions });
                }
                let same_bits = checksums.len() == 1 || subject.mode != "int8";
                ensure!(same_bits, "{model}: back ends, or batches, give different int8 scores: {checksums:?}");
            }
        }
        Ok(counts)
    }

    /// Back end, checksum of logits, instructions per sample.
    fn count(&self, subject: Subject, hidden: &str, cpu: &str, batch: usize) -> Result<(String, String, f64)> {
        // Each count has its own folder: others run at the same time.
        let folder = tempfile::tempdir()?;
        let out = folder.path().join("instructions");
        let (instructions, printed) = plugin::difference(&out, CALLS, |calls| {
            let plugin = format!("{},out={}", self.plugin.display(), out.display());
            let mut run = self.toolchain.emulated(cpu, &["-plugin", &plugin], &self.program)?;
            let model = self.folder.join(hidden).join(subject.file);
            run.arg(subject.engine).arg(model).arg(self.folder.join("samples.u32"));
            command::quiet_output(run.args([batch.to_string(), calls.to_string()]))
        })?;
        let Some((backend, checksum)) = printed.trim().split_once(' ') else {
            bail!("not a back end and a checksum: {printed:?}");
        };
        let samples = (CALLS[1] - CALLS[0]) as usize * batch;
        Ok((backend.to_owned(), checksum.to_owned(), instructions as f64 / samples as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(base: f64, dotprod: f64) -> Vec<Count> {
        let mut counts = Vec::new();
        for (model, _) in MODELS {
            for (backend, instructions) in [("neon", base), ("neon-dotprod", dotprod), ("neon-i8mm", dotprod - 1.0)] {
                for batch in BATCHES {
                    let (cpu, backend) = (String::new(), backend.to_owned());
                    counts.push(Count { model, engine: "ours", mode: "int8", cpu, backend, batch, instructions });
                }
            }
        }
        counts
    }

    #[test]
    fn a_slow_or_missing_back_end_is_noticed() {
        assert!(check(&counts(8000.0, 4000.0)).is_ok());
        assert!(check(&counts(8000.0, 4001.0)).is_err());
        assert!(check(&counts(1e9, 4e8)).is_err());
        assert!(check(&[]).is_err());
    }
}
