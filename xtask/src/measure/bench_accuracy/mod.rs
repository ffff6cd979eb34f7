//! `cargo xtask bench-accuracy`: our models beside FuxiCTR's, RecBole's and
//! LightGBM's, trained and measured on the same rows.
//!
//! | module | does |
//! |---|---|
//! | [`contenders`] | who takes part, and with which settings |
//! | [`cells`] | trains one of them with one seed, unless that was done before |
//! | [`table`] | chooses on validation rows, measures on test rows |

mod cells;
mod contenders;
pub(crate) mod table;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use fs_err as fs;
use xsfm_interchange::dataset::{Dataset, Part};
use xsfm_interchange::output;

use self::cells::{Cells, Trainer};
use self::contenders::{Contender, Others};
use self::table::{Line, Rows};
use crate::setup::{accuracy, movielens, tables, torch};
use crate::{cargo, command, workspace};

const HELP: &str = "\
Every model is trained with each strength of L2 with the first seed; the one with the best AUC on the validation rows \
is trained with the other seeds too, and measured on the test rows. Ours has the settings of --config, or those that \
`xsfm-train tune` finds in --minutes. All figures are computed by one program, of the logits that each library wrote.

What was trained is kept in target/accuracy: the same command goes on where it was.";

/// Flags of `cargo xtask bench-accuracy`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Data sets: `movielens`, `adult`, or folders that `xsfm-train prepare` wrote.
    #[arg(long, value_delimiter = ',', default_value = "movielens,adult", num_args = 1.., value_name = "NAME|DIR")]
    data: Vec<String>,
    #[command(flatten)]
    others: Others,
    /// Seeds of training; the first alone chooses the L2.
    #[arg(long, value_delimiter = ',', default_value = "1,2,3", num_args = 1..)]
    seeds: Vec<u64>,
    /// Epochs of the other libraries at most (hundreds of LightGBM's trees); training ends
    /// earlier where the validation AUC grows no more.
    #[arg(long, default_value_t = 30)]
    epochs: u32,
    /// TOML file of flags of `xsfm-train train` for ours, instead of a search.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Minutes of `xsfm-train tune` for each data set.
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,
    /// CPU threads; all by default.
    #[arg(long)]
    threads: Option<usize>,
    /// Does everything work? DeepFM of both libraries, LightGBM and ours, with two strengths of L2, one seed and few
    /// epochs.
    #[arg(long, conflicts_with_all = ["fuxictr", "recbole", "seeds", "epochs", "config", "minutes"])]
    quick: bool,
    /// An xsfm-train that is built already.
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Of the split into training, validation and test rows.
const SPLIT_SEED: &str = "1";
const QUICK_EPOCHS: u32 = 4;

pub(crate) fn run(args: &Args) -> Result<()> {
    ensure!(!args.seeds.is_empty(), "--seeds is empty");
    ensure!(args.epochs > 0, "--epochs is 0; it is at least 1");
    let torch = torch::set_up()?;
    let python = accuracy::set_up()?;
    let trainer = match &args.program {
        Some(program) => program.clone(),
        None => {
            command::heading("build");
            let mut build = cargo::command(&["build", "--release", "--package", "xsfm-trainer"]);
            cargo::built(torch.use_in(&mut build), "xsfm-train")?
        }
    };
    let trainer = Trainer { program: trainer, torch };
    let folder = workspace::target().join("accuracy");
    let mut lines = Vec::new();
    for name in &args.data {
        let data = data_set(name, &trainer, &folder)?;
        lines.extend(compare(args, &data, &trainer, &python, &folder)?);
    }
    if args.json {
        output::json(&lines)?;
    } else {
        output::print(table::table(&lines))?;
    }
    Ok(())
}

/// A data set's name, and the folder of its encoded rows.
struct Data {
    name: String,
    rows: PathBuf,
}

fn data_set(name: &str, trainer: &Trainer, folder: &Path) -> Result<Data> {
    let prepare = |words: &[&str], source: (&str, PathBuf), out: &Path| {
        command::heading(&format!("prepare: {name}"));
        let mut prepare = trainer.command("prepare");
        prepare.args(words).arg(source.0).arg(source.1).arg("--out").arg(out);
        command::run_to_stderr(prepare.args(["--split", "random", "--seed", SPLIT_SEED]))
    };
    let out = folder.join(name).join("rows");
    match name {
        "movielens" => prepare(&["movielens"], ("--source", movielens::set_up()?), &out)?,
        "adult" => {
            let schema = workspace::root().join("benches/accuracy/adult.toml").display().to_string();
            prepare(&["parquet", "--schema", &schema], ("--input", tables::adult()?), &out)?;
        }
        _ => {
            let rows = PathBuf::from(name);
            let last = rows.file_name().with_context(|| format!("--data {name}: not a folder's name"))?;
            return Ok(Data { name: last.to_string_lossy().into_owned(), rows });
        }
    }
    Ok(Data { name: name.to_owned(), rows: out })
}

fn compare(args: &Args, data: &Data, trainer: &Trainer, python: &Path, folder: &Path) -> Result<Vec<Line>> {
    let opened = Dataset::open(&data.rows)?;
    if !opened.has(Part::Test) {
        bail!("{}: no test rows", data.rows.display());
    }
    let rows = Rows::read(&opened)?;
    let fingerprint = serde_json::to_string(opened.fingerprint())?;
    let folder = folder.join(&data.name);
    let config = match (&args.config, args.quick) {
        (Some(config), _) => config.clone(),
        (None, true) => workspace::root().join("benches/accuracy/quick.toml"),
        (None, false) => tune(args, data, &fingerprint, trainer, &folder)?,
    };
    let with_trees =
        !args.others.no_lightgbm && opened.schema().fields.iter().all(|field| field.features() <= LARGEST_FOR_TREES);
    let contenders = contenders::all(&args.others, args.quick, config, with_trees);
    let threads = args.threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
    let cells = Cells {
        folder,
        data: data.rows.clone(),
        fingerprint,
        python: python.to_owned(),
        trainer,
        epochs: if args.quick { QUICK_EPOCHS } else { args.epochs },
        threads,
    };
    train(args, data, &cells, &contenders, &rows)
}

/// Trees choose among the subsets of a category's values: with thousands of them they learn by heart.
const LARGEST_FOR_TREES: u32 = 1000;

/// Trains all, and gives a line for each contender.
fn train(args: &Args, data: &Data, cells: &Cells<'_>, contenders: &[Contender], rows: &Rows) -> Result<Vec<Line>> {
    command::heading(&format!("{}: {} models", data.name, contenders.len()));
    let seeds = if args.quick { &args.seeds[..1] } else { &args.seeds[..] };
    let searching = contenders.iter().map(|contender| contender.variants.len()).sum::<usize>();
    let mut progress = cells::Progress::new(searching + contenders.len() * (seeds.len() - 1));
    let mut lines = Vec::new();
    for contender in contenders {
        let mut found = Vec::new();
        for variant in &contender.variants {
            found.push(rows.measure(&cells.make(contender, variant, seeds[0], &mut progress)?)?);
        }
        let best = table::best(&found).with_context(|| format!("{}: no validation AUC", contender.title))?;
        let mut of_seeds = vec![found.swap_remove(best)];
        for &seed in &seeds[1..] {
            let cell = cells.make(contender, &contender.variants[best], seed, &mut progress)?;
            of_seeds.push(rows.measure(&cell)?);
        }
        lines.push(Line::new(&data.name, contender, &contender.variants[best], &of_seeds));
    }
    Ok(lines)
}

/// Our settings, by our own search.
fn tune(args: &Args, data: &Data, fingerprint: &str, trainer: &Trainer, folder: &Path) -> Result<PathBuf> {
    // Settings that were found for other rows are no use.
    let out = folder.join(format!("tune-{}", workspace::short_digest(fingerprint)));
    let best = out.join("best.toml");
    if best.exists() {
        output::say(format_args!("{}: found before; remove it to search again", best.display()));
        return Ok(best);
    }
    command::heading(&format!("tune: {} minutes", args.minutes));
    fs::create_dir_all(&out)?;
    let mut tune: Command = trainer.command("tune");
    tune.arg("--data").arg(&data.rows).arg("--out").arg(&out).args(["--minutes", &args.minutes.to_string()]);
    command::run_to_stderr(&mut tune)?;
    Ok(best)
}
