//! `xsfm`: packs, imports, inspects, validates and scores click models.

use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use xsfm_convert::analyze::{self, Question};
use xsfm_convert::calibrate::{self, Activations, Calibration, Trial, calibrate};
use xsfm_convert::export::{self, Outputs};
use xsfm_convert::generate::{self, Language};
use xsfm_convert::low_rank::factorize;
use xsfm_convert::model::{FloatModel, TableBits};
use xsfm_convert::pack::{Packed, pack_f32, pack_int8};
use xsfm_convert::quantize::{quantize_dynamic, quantize_model, scales_of_weights};
use xsfm_convert::target::{Target, retarget};
use xsfm_convert::{bench, checkpoint, golden, input, inspect, score, validate};
use xsfm_interchange::atomic;
use xsfm_interchange::metrics::Metrics;
use xsfm_interchange::rows::Bounds;

/// Packs click models into one .xsfm file, and looks at, checks and scores such files.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "\
Rows are an Arrow file (*.arrow, as `xsfm-train prepare` writes it) or a TSV: one row of integer indices per line, a tab between
fields, `|` inside a bag; `-` reads a TSV from standard input.

  xsfm pack run/student --rows data/valid.arrow -o student.xsfm
  xsfm inspect student.xsfm
  xsfm validate student.xsfm run/student --rows data/test.arrow
  printf '7\\t42\\t1|5\\n' | xsfm score student.xsfm --indices -"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Pack a checkpoint folder (config.json, weights.safetensors, schema.json).
    ///
    /// int8 mode uses the scales of quantisation-aware training where config.json has them; otherwise it calibrates on --rows.
    /// Dynamic mode needs no rows unless the model has bags, and calibrates on them where they are given.
    Pack {
        /// Folder that `xsfm-train` wrote.
        checkpoint: PathBuf,
        /// Rows to calibrate int8 or dynamic mode on, best validation rows; the first 2048 are used.
        #[arg(long, value_name = "FILE")]
        rows: Option<PathBuf>,
        #[command(flatten)]
        output: Output,
    },
    /// Pack a model of the original Python implementation (config.json, weights.safetensors).
    Import {
        /// Folder with the exported state dict.
        folder: PathBuf,
        /// Rows to calibrate int8 or dynamic mode on; the first 2048 are used.
        #[arg(long, value_name = "FILE")]
        calibrate: Option<PathBuf>,
        #[command(flatten)]
        output: Output,
    },
    /// Lay the layers of a packed model out for another CPU; scores of int8 and dynamic mode keep their bits.
    Retarget {
        /// Packed model.
        model: PathBuf,
        /// The CPU that will score it.
        #[arg(long, value_enum)]
        target: TargetArgument,
        /// The packed file.
        #[arg(short, long, value_name = "N.xsfm")]
        output: PathBuf,
    },
    /// Write a packed model as code to compile into a program: its bytes, aligned, with the names of the fields and its numbers.
    Generate {
        /// Packed model.
        model: PathBuf,
        /// The language.
        #[arg(long, value_enum)]
        lang: LanguageArgument,
        /// What names in the code start with, and the files; the model's file name by default.
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// Folder for NAME.h and NAME.c, or NAME.rs and NAME.xsfm.
        #[arg(short, long, value_name = "DIR")]
        output: PathBuf,
    },
    /// Write a model for other engines.
    Export {
        /// Folder of a checkpoint, or of a model of the original Python implementation.
        folder: PathBuf,
        /// The format.
        #[arg(long, value_enum)]
        to: Format,
        /// The exported file: from `indices`, i64 `[batch, num_fields]`, to `logit` and `probability`, f32 `[batch]`.
        #[arg(short, long, value_name = "M.onnx")]
        output: PathBuf,
        /// Leave the output `probability` out.
        #[arg(long)]
        logit_only: bool,
    },
    /// Show the schema, the sections, bytes by part, parameters, and the RAM that scoring needs.
    Inspect {
        /// Packed model.
        model: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Tell whether a model fits a microcontroller, packed for it, and what a score takes there; fails where it does not fit.
    Analyze {
        /// Packed model.
        model: PathBuf,
        /// The microcontroller's core: cortex-m0plus, cortex-m3, cortex-m4f, cortex-m7, cortex-m55.
        #[arg(long, value_name = "CORE")]
        target: String,
        /// Flash for the model and the code that scores, such as 1M or 256K.
        #[arg(long, value_name = "BYTES", value_parser = xsfm_interchange::size::bytes)]
        flash: Option<usize>,
        /// RAM for scoring.
        #[arg(long, value_name = "BYTES", value_parser = xsfm_interchange::size::bytes)]
        ram: Option<usize>,
        /// Indices of a bag, on average.
        #[arg(long, value_name = "N", default_value_t = 4)]
        bag: usize,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Compare a packed model with what it was made from: logit errors; AUC, LogLoss, PRAUC, RCE before and after.
    Validate {
        /// Packed model.
        model: PathBuf,
        /// Folder that it was packed or imported from.
        checkpoint: PathBuf,
        /// Rows to compare on; figures other than logit errors need labels, which Arrow files have.
        #[arg(long, value_name = "FILE")]
        rows: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Measure a packed model on labelled rows: LogLoss, AUC, PRAUC, RCE.
    Evaluate {
        /// Packed model.
        model: PathBuf,
        /// Arrow file of rows with labels.
        #[arg(long, value_name = "FILE")]
        rows: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print `logit<TAB>probability` of every row, with as many digits as restore the f32 bits.
    Score {
        /// Packed model.
        model: PathBuf,
        /// Rows of integer indices; `-` for standard input.
        #[arg(long, value_name = "FILE")]
        indices: PathBuf,
        /// Where to write instead of standard output.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Print the rows with the highest scores.
    Rank {
        /// Packed model.
        model: PathBuf,
        /// Rows of integer indices, one per candidate; `-` for standard input.
        #[arg(long, value_name = "FILE")]
        indices: PathBuf,
        /// Names to print, one line per row of --indices.
        #[arg(long, value_name = "FILE")]
        names: Option<PathBuf>,
        /// Fields that are the same in all rows, by name: what they add to the scores is computed once.
        #[arg(long, value_name = "FIELD,…", value_delimiter = ',')]
        context: Vec<String>,
        /// How many to print.
        #[arg(long, default_value_t = 10)]
        top: usize,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Measure what a packed model costs on this CPU: getting ready, calls, parts, memory.
    ///
    /// Pin it with `taskset -c 1` for steady figures.
    Bench(BenchArguments),
}

#[derive(Debug, Args)]
struct BenchArguments {
    /// Packed model.
    model: PathBuf,
    /// Rows to score, the first 1024; without them, random ones, a few features often and most rarely.
    #[arg(long, value_name = "FILE")]
    rows: Option<PathBuf>,
    /// Rows of a call.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch: u32,
    /// Threads that score at the same time, for the rows per second.
    #[arg(long, value_name = "T", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: u32,
    /// The instructions: portable, sse4.1, avx2, avx-vnni, avx512-vnni, avx512-amx, neon, neon-dotprod, neon-i8mm; the best by default.
    #[arg(long, value_name = "B")]
    backend: Option<String>,
    /// Score the layers as they are packed instead of laying them in tiles first.
    #[arg(long)]
    as_packed: bool,
    /// Also watch single calls for so long, and tell how far the slowest 1 % are from the median.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    soak: Option<u32>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Output {
    /// Arithmetic of the packed model.
    #[arg(long, value_enum, default_value_t = ModeArgument::Int8)]
    mode: ModeArgument,
    /// Bits of a number in the tables of int8 and dynamic mode: those of training, or 8. With others than in training, scales are
    /// found anew.
    #[arg(long, value_enum)]
    table_bits: Option<BitsArgument>,
    /// Replace the field matrix by this many factors: cheaper than one weight per pair where it is well below half the fields.
    #[arg(long, value_name = "K")]
    rank: Option<usize>,
    /// The CPU that the layers are laid out for. Any CPU reads any file; one packed for it starts faster and takes less memory.
    #[arg(long, value_enum, default_value_t = TargetArgument::Neutral)]
    target: TargetArgument,
    /// The packed file.
    #[arg(short, long, value_name = "M.xsfm")]
    output: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum ModeArgument {
    /// Weights and sums in f32.
    F32,
    /// Integers from the table to the logit: a quarter of the bytes, the same bits on every CPU.
    Int8,
    /// As int8, but the outputs of layers get a scale of their own for each row: packs without rows, closer to f32, slower.
    Dynamic,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum BitsArgument {
    /// One number per byte.
    #[value(name = "8")]
    Eight,
    /// Two numbers per byte.
    #[value(name = "4")]
    Four,
}

impl From<BitsArgument> for TableBits {
    fn from(argument: BitsArgument) -> Self {
        match argument {
            BitsArgument::Eight => TableBits::Eight,
            BitsArgument::Four => TableBits::Four,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum TargetArgument {
    /// Any CPU: layers lie row by row.
    Neutral,
    /// x86-64: layers lie in tiles, as vector instructions want them.
    #[value(name = "x86-64")]
    X86_64,
    /// 64-bit ARM: layers lie in tiles.
    Aarch64,
    /// Cortex-M0+, Cortex-M3, RISC-V: layers lie row by row, without padding.
    #[value(aliases = ["cortex-m0plus", "cortex-m3", "riscv32"])]
    CortexM,
    /// Cortex-M4, M7, M33: layers of int8 mode lie in strips for their DSP instructions.
    #[value(name = "cortex-m4f", aliases = ["cortex-m4", "cortex-m7", "cortex-m33"])]
    CortexMDsp,
    /// Cortex-M55: layers of int8 mode lie in strips for its vector instructions.
    #[value(name = "cortex-m55", alias = "cortex-m85")]
    CortexMMve,
}

impl From<TargetArgument> for Target {
    fn from(argument: TargetArgument) -> Self {
        match argument {
            TargetArgument::Neutral => Target::Neutral,
            TargetArgument::X86_64 => Target::X86_64,
            TargetArgument::Aarch64 => Target::Aarch64,
            TargetArgument::CortexM => Target::CortexM,
            TargetArgument::CortexMDsp => Target::CortexMDsp,
            TargetArgument::CortexMMve => Target::CortexMMve,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LanguageArgument {
    /// A module for xsfm-runtime.
    Rust,
    /// A header and a source file for xsfm.h.
    C,
}

impl From<LanguageArgument> for Language {
    fn from(argument: LanguageArgument) -> Self {
        match argument {
            LanguageArgument::Rust => Language::Rust,
            LanguageArgument::C => Language::C,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// ONNX, operator set 17, f32.
    Onnx,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output has had enough: `xsfm score … | head`.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // The libraries' errors name their causes themselves.
            eprintln!("xsfm: {error}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io_errors = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    io_errors.into_iter().any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Pack { checkpoint, rows, output } => {
            pack(checkpoint::load(&checkpoint)?, rows.as_deref(), "--rows", &output)
        }
        Command::Import { folder, calibrate, output } => {
            pack(golden::load(&folder)?, calibrate.as_deref(), "--calibrate", &output)
        }
        Command::Retarget { model, target, output } => {
            let packed = retarget(&input::packed(&model)?, target.into())?;
            Ok(packed.write(&output).map_err(at(&output))?)
        }
        Command::Generate { model, lang, name, output } => write_code(&model, lang.into(), name, &output),
        Command::Export { folder, to: Format::Onnx, output, logit_only } => {
            let outputs = if logit_only { Outputs::Logit } else { Outputs::LogitAndProbability };
            let file = export::onnx(&input::float_model(&folder)?, outputs)?;
            atomic::write(&output, |out| out.write_all(&file)).map_err(at(&output))?;
            Ok(writeln!(io::stdout().lock(), "{}: {} bytes", output.display(), file.len())?)
        }
        Command::Inspect { model, json } => {
            let packed = input::packed(&model)?;
            print(&inspect::inspect(&input::load(&model, &packed)?)?, json)
        }
        Command::Analyze { model, target, flash, ram, bag, json } => {
            let question = Question { target: &target, flash, ram, bag };
            run_analyze(&model, &question, json)
        }
        Command::Validate { model, checkpoint, rows, json } => {
            let packed = input::packed(&model)?;
            let bar = progress_bar("rows compared", None);
            let original = input::float_model(&checkpoint)?;
            let report = validate::validate(&input::load(&model, &packed)?, &original, &rows, &mut |done| {
                bar.set_position(done);
            })?;
            bar.finish_and_clear();
            print(&report, json)
        }
        Command::Evaluate { model, rows, json } => {
            let packed = input::packed(&model)?;
            let metrics = score::evaluate(&input::load(&model, &packed)?, &rows)?;
            if json { print_json(&metrics) } else { print_metrics(&metrics) }
        }
        Command::Score { model, indices, output } => {
            let packed = input::packed(&model)?;
            let model = input::load(&model, &packed)?;
            match output {
                None => {
                    let mut stdout = BufWriter::new(io::stdout().lock());
                    write_scores(&model, &indices, &mut stdout)?;
                    Ok(stdout.flush()?)
                }
                Some(path) => {
                    let mut pending = atomic::Pending::create(&path).map_err(at(&path))?;
                    write_scores(&model, &indices, &mut pending)?;
                    Ok(pending.commit().map_err(at(&path))?)
                }
            }
        }
        Command::Rank { model, indices, names, context, top, json } => {
            let packed = input::packed(&model)?;
            let names = names.as_deref().map(read_lines).transpose()?;
            let ranked = score::rank(&input::load(&model, &packed)?, &indices, names.as_deref(), &context, top)?;
            if json { print_json(&ranked) } else { print_ranking(&ranked) }
        }
        Command::Bench(arguments) => run_bench(&arguments),
    }
}

fn run_analyze(path: &Path, question: &Question<'_>, json: bool) -> anyhow::Result<()> {
    let targets = analyze::target::all()?;
    let Some(target) = targets.get(question.target) else {
        let known = targets.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        bail!("target {:?} was not measured: {known} were", question.target);
    };
    // A file for another CPU, or for none, would take many times as long.
    let packed = retarget(&input::packed(path)?, analyze::target::layout(question.target))
        .map_err(|error| anyhow!("{}: {error}", path.display()))?;
    let report = analyze::analyze(&input::load(path, &packed)?, &packed, target, question)?;
    print(&report, json)?;
    if report.fits { Ok(()) } else { bail!("{} does not fit", path.display()) }
}

fn write_code(path: &Path, language: Language, name: Option<String>, folder: &Path) -> anyhow::Result<()> {
    let packed = input::packed(path)?;
    let model = input::load(path, &packed)?;
    let stem = || generate::identifier(&path.file_stem().unwrap_or_default().to_string_lossy());
    let sources = generate::generate(&packed, &model, &name.unwrap_or_else(stem), language)?;
    std::fs::create_dir_all(folder).map_err(at(folder))?;
    for source in sources {
        let path = folder.join(source.name);
        atomic::write(&path, |out| out.write_all(&source.bytes)).map_err(at(&path))?;
        writeln!(io::stdout().lock(), "{}", path.display())?;
    }
    Ok(())
}

fn run_bench(arguments: &BenchArguments) -> anyhow::Result<()> {
    let start = Instant::now();
    let packed = input::packed(&arguments.model)?;
    let read = start.elapsed();
    let model = input::load(&arguments.model, &packed)?;
    let rows = match &arguments.rows {
        Some(rows) => input::first_rows(rows, input::bounds(&model), bench::MAX_ROWS)?,
        None => bench::random(&model, bench::MAX_ROWS, 1),
    };
    let options = bench::Options {
        batch: arguments.batch as usize,
        threads: arguments.threads as usize,
        backend: arguments.backend.as_deref().map(bench::backend).transpose()?,
        prepare: !arguments.as_packed,
        profile: true,
        soak: arguments.soak.map(|seconds| Duration::from_secs(seconds.into())),
    };
    print(&bench::bench(&packed, read, &rows, &options)?, arguments.json)
}

/// What `pack` and `import` report.
#[derive(Debug, Serialize)]
struct PackReport {
    output: PathBuf,
    mode: &'static str,
    file_bytes: usize,
    ram_bytes: usize,
    ram_bytes_microcontroller: usize,
    parameters: usize,
    /// What the factors of --rank miss: norm of the error over that of the pairs' weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    rank_error: Option<f64>,
    /// Where the scales of int8 and dynamic mode come from; absent in f32 mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    scales: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    calibration: Option<CalibrationReport>,
}

#[derive(Debug, Serialize)]
struct CalibrationReport {
    rows: usize,
    logit_error_mean: f64,
    logit_deviation: f64,
    trials: Vec<Trial>,
}

fn pack(mut model: FloatModel, rows: Option<&Path>, rows_option: &str, output: &Output) -> anyhow::Result<()> {
    let rank_error = output.rank.map(|rank| factorize(&mut model, rank)).transpose()?;
    if let Some(bits) = output.table_bits {
        if bits == BitsArgument::Four && output.mode == ModeArgument::F32 {
            bail!("--table-bits 4 is for int8 and dynamic mode");
        }
        let bits = TableBits::from(bits);
        if bits != model.table_bits {
            model.table_bits = bits;
            model.config.quantization = None;
        }
    }
    let model = &model;
    let mut scales = None;
    let mut calibration = None;
    let packed = match (output.mode, &model.config.quantization) {
        (ModeArgument::F32, _) => pack_f32(model)?,
        (ModeArgument::Int8, Some(trained)) => {
            scales = Some("quantisation-aware training");
            pack_int8(&quantize_model(model, trained)?)?
        }
        (ModeArgument::Int8, None) => {
            let Some(rows) = rows else {
                bail!(
                    "int8 mode needs rows to calibrate on: give {rows_option} FILE, or choose --mode dynamic or --mode f32"
                );
            };
            scales = Some("calibration");
            let (_, found) = calibration.insert(calibrate_on(model, Activations::Static, rows)?);
            pack_int8(&found.model)?
        }
        (ModeArgument::Dynamic, Some(trained)) => {
            scales = Some("quantisation-aware training");
            pack_int8(&quantize_dynamic(model, trained)?)?
        }
        (ModeArgument::Dynamic, None) => match rows {
            Some(rows) => {
                scales = Some("calibration");
                let (_, found) = calibration.insert(calibrate_on(model, Activations::Dynamic, rows)?);
                pack_int8(&found.model)?
            }
            None => {
                scales = Some("the weights");
                let of_weights = scales_of_weights(model);
                let of_weights = of_weights.map_err(|error| anyhow!("{error}: give {rows_option} FILE"))?;
                pack_int8(&quantize_dynamic(model, &of_weights)?)?
            }
        },
    };
    let target = Target::from(output.target);
    let packed = if target == Target::Neutral { packed } else { retarget(&packed, target)? };
    packed.write(&output.output).map_err(at(&output.output))?;
    report_packed(&packed, rank_error, scales, calibration, output)
}

fn calibrate_on(model: &FloatModel, activations: Activations, rows: &Path) -> anyhow::Result<(usize, Calibration)> {
    let samples = input::first_rows(rows, Bounds::from(&model.config), calibrate::MAX_ROWS)?;
    let bar = progress_bar("calibrating", Some(1));
    let calibration = calibrate(model, activations, &samples, &mut |done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    })?;
    bar.finish_and_clear();
    Ok((samples.len(), calibration))
}

fn report_packed(
    packed: &Packed,
    rank_error: Option<f64>,
    scales: Option<&'static str>,
    calibration: Option<(usize, Calibration)>,
    output: &Output,
) -> anyhow::Result<()> {
    let model = input::load(&output.output, packed)?;
    let statistics = model.statistics();
    let calibration = calibration.map(|(rows, found)| CalibrationReport {
        rows,
        logit_error_mean: found.error,
        logit_deviation: found.logit_deviation,
        trials: found.trials,
    });
    let report = PackReport {
        output: output.output.clone(),
        mode: inspect::mode_name(statistics.mode),
        file_bytes: statistics.file_bytes,
        ram_bytes: statistics.scratch_bytes,
        ram_bytes_microcontroller: inspect::microcontroller_bytes(&model),
        parameters: statistics.parameters,
        rank_error,
        scales,
        calibration,
    };
    if output.json {
        return print_json(&report);
    }
    let mut stdout = io::stdout().lock();
    if let Some(calibration) = &report.calibration {
        writeln!(stdout, "{:<24}  {:<24}  {:>18}", "part", "tried", "mean |logit error|")?;
        for trial in &calibration.trials {
            let kept = if trial.kept { "  kept" } else { "" };
            writeln!(stdout, "{:<24}  {:<24}  {:>18.6}{kept}", trial.part, trial.choice, trial.error)?;
        }
        let (error, deviation) = (calibration.logit_error_mean, calibration.logit_deviation);
        let share = error / deviation;
        writeln!(
            stdout,
            "on {} rows: {error:.6}, {share:.4} of the logits' deviation {deviation:.4}",
            calibration.rows
        )?;
    }
    if let (Some(rank), Some(error)) = (output.rank, report.rank_error) {
        writeln!(stdout, "{rank} factors miss {error:.4} of the field matrix")?;
    }
    let from = report.scales.map(|scales| format!(", scales from {scales}")).unwrap_or_default();
    let (path, mode, bytes, parameters) = (report.output.display(), report.mode, report.file_bytes, report.parameters);
    let (ram, least) = (report.ram_bytes, report.ram_bytes_microcontroller);
    let ram = format!("{ram} bytes of RAM, {least} on a microcontroller");
    writeln!(stdout, "{path}: {mode}{from}, {parameters} parameters, {bytes} bytes, {ram}")?;
    Ok(())
}

fn write_scores(model: &xsfm_runtime::Model<'_>, indices: &Path, output: &mut impl Write) -> anyhow::Result<()> {
    score::score_rows(model, indices, |_, scores| {
        scores.iter().try_for_each(|&score| score::write_score(output, score)).map_err(anyhow::Error::from)
    })
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> xsfm_convert::Error {
    let path = path.to_owned();
    move |source| xsfm_convert::Error::Io { path, source }
}

fn read_lines(path: &Path) -> anyhow::Result<Vec<String>> {
    let read = || BufReader::new(std::fs::File::open(path)?).lines().collect::<io::Result<_>>();
    Ok(read().map_err(at(path))?)
}

fn print_metrics(metrics: &Metrics) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "rows     {}", metrics.rows)?;
    writeln!(stdout, "LogLoss  {:.6}", metrics.log_loss)?;
    for (name, figure) in [("AUC", metrics.auc), ("PRAUC", metrics.prauc), ("RCE %", metrics.rce)] {
        match figure {
            Some(figure) => writeln!(stdout, "{name:<7}  {figure:.6}")?,
            None => writeln!(stdout, "{name:<7}  not defined: the labels are all the same")?,
        }
    }
    Ok(())
}

fn print_ranking(ranked: &[score::Ranked]) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{:>4}  {:>8}  {:>11}  {:>10}  name", "rank", "row", "probability", "logit")?;
    for entry in ranked {
        let (rank, row, name) = (entry.rank, entry.row, entry.name.as_deref().unwrap_or_default());
        writeln!(stdout, "{rank:>4}  {row:>8}  {:>11.6}  {:>10.6}  {name}", entry.probability, entry.logit)?;
    }
    Ok(())
}

fn print(report: &(impl Serialize + std::fmt::Display), json: bool) -> anyhow::Result<()> {
    if json {
        return print_json(report);
    }
    Ok(write!(io::stdout().lock(), "{report}")?)
}

fn print_json(report: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(report)?;
    Ok(writeln!(io::stdout().lock(), "{text}")?)
}

/// A bar on standard error, or nothing where that is not a terminal. Without a total, only a count.
fn progress_bar(what: &'static str, total: Option<u64>) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match total {
        Some(total) => (ProgressBar::new(total), "{msg} [{bar:40}] {pos}/{len} eta {eta}"),
        None => (ProgressBar::no_length(), "{msg} {pos} {per_sec}"),
    };
    // A template that indicatif cannot read leaves its own style.
    bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_message(what)
}
