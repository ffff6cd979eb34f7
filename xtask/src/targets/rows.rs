//! Random valid rows for a packed model, and rows as the programs of microcontrollers read them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use example_input::{ModelBytes, Rows};
use fs_err as fs;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use xsfm_runtime::Model;
use xsfm_runtime::schema::Field;

/// Flags of `cargo xtask rows`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Packed model.
    model: PathBuf,
    /// How many.
    #[arg(long, default_value_t = 240)]
    count: usize,
    /// Seed of the random numbers.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One row of indices per line, a tab between fields, `|` inside a bag.
    #[arg(short, long, value_name = "FILE.tsv")]
    output: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    write(&args.model, args.count, args.seed, &args.output)
}

/// Writes `count` rows: the first and the last index of every field, then random ones, with bags of 1 to 12.
pub(crate) fn write(model: &Path, count: usize, seed: u64, output: &Path) -> Result<()> {
    let bytes = ModelBytes::read(model).with_context(|| model.display().to_string())?;
    let parsed = Model::from_bytes(&bytes).map_err(|e| anyhow!("{}: {e}", model.display()))?;
    let mut rng = StdRng::seed_from_u64(seed);
    let mut text = String::new();
    for number in 0..count {
        let cells: Vec<String> = parsed.fields().map(|field| cell(&field, number, &mut rng)).collect();
        text.push_str(&cells.join("\t"));
        text.push('\n');
    }
    Ok(fs::write(output, text)?)
}

/// Writes rows of raw values, a tab between fields, as a CSV file with these columns. No value has a comma or a quote.
pub(crate) fn write_csv(tsv: &Path, columns: &str, output: &Path) -> Result<()> {
    let text = fs::read_to_string(tsv)?;
    ensure!(!text.contains([',', '"']), "{}: a comma or a quote in a value", tsv.display());
    Ok(fs::write(output, format!("{columns}\n{}", text.replace('\t', ",")))?)
}

/// The names of a packed model's fields.
fn field_names(model: &Path) -> Result<Vec<String>> {
    let bytes = ModelBytes::read(model).with_context(|| model.display().to_string())?;
    let parsed = Model::from_bytes(&bytes).map_err(|e| anyhow!("{}: {e}", model.display()))?;
    Ok(parsed.fields().map(|field| field.name.to_owned()).collect())
}

/// Writes rows as candidates in the context of the first: of the fields of these names,
/// or of the first half where none is named.
pub(super) fn write_ranking(model: &Path, tsv: &Path, context: &[impl AsRef<str>], output: &Path) -> Result<()> {
    let rows = parsed(model, tsv)?;
    let names = field_names(model)?;
    let number = |name: &str| {
        let number = names.iter().position(|other| other == name);
        number.with_context(|| format!("{}: no field {name:?}, but {}", model.display(), names.join(", ")))
    };
    let mut fields = context.iter().map(|name| number(name.as_ref())).collect::<Result<Vec<usize>>>()?;
    if fields.is_empty() {
        fields.extend(0..rows.num_fields / 2);
    }
    fields.sort_unstable();
    write_words(&example_input::ranking(&rows, &fields), output)
}

/// Writes rows as the program `files` reads them.
pub(crate) fn write_table(model: &Path, tsv: &Path, output: &Path) -> Result<()> {
    write_words(&parsed(model, tsv)?.words(), output)
}

fn parsed(model: &Path, tsv: &Path) -> Result<Rows> {
    let text = fs::read_to_string(tsv)?;
    Rows::parse(&text, field_names(model)?.len()).with_context(|| tsv.display().to_string())
}

fn write_words(words: &[u32], output: &Path) -> Result<()> {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    Ok(fs::write(output, bytes)?)
}

/// Indices in a bag, at most.
const LONGEST_BAG: usize = 12;

fn cell(field: &Field<'_>, number: usize, rng: &mut StdRng) -> String {
    let mut len = 1;
    // Most bags are small, as MovieLens' genres are: 1.7 to a film; some are not.
    while field.bag && len < LONGEST_BAG && rng.random_ratio(9, 20) {
        len += 1;
    }
    let index = |_| match number {
        0 => 0,
        1 => field.features - 1,
        _ => rng.random_range(0..field.features),
    };
    let indices: Vec<u32> = (0..len).map(index).collect();
    let with_weight = |index: u32| match field.weighted {
        true => format!("{index}:{}", f64::from(rng.random_range(-64..=64)) / 32.0),
        false => index.to_string(),
    };
    indices.into_iter().map(with_weight).collect::<Vec<_>>().join("|")
}
