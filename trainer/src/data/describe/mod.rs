//! `xsfm-train describe`: a starting description of a file of rows, for `prepare csv`, `parquet` and `json`.
//!
//! | module | does |
//! |---|---|
//! | `column` | what the values of a column look like, and what they are probably |
//! | `integers` | names of things, or amounts |
//! | `table` | reads the columns of a file: which delimiter, is there a header |

mod column;
mod integers;
mod table;

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use xsfm_interchange::atomic;
use xsfm_interchange::output;
use xsfm_interchange::rows::LABEL_COLUMN;
use xsfm_interchange::schema::FieldKind;

use self::column::{Column, Guess};
use self::table::{Table, quoted};

/// Looks at a CSV, TSV or Parquet file, or JSON lines, and writes a description of its columns, to start with.
///
/// It guesses the delimiter, whether there is a header, what each column is (categories, bags, counts), and which
/// columns are no fields: constants, names of rows, twins of the label, times. Each guess stands beside what speaks for
/// it; those who know the data correct it, and give the file to `xsfm-train prepare csv --schema`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The rows, also gzip
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The column that says whether there was a click: its name, or its place from 0 in a file without a header
    #[arg(long, value_name = "COLUMN")]
    label: String,
    /// Rows that are looked at
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    rows: u64,
    /// File to write the description to; standard output by default
    #[arg(long, value_name = "SCHEMA.toml")]
    out: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// A file that cannot be read, or has no such column; a description that cannot be written.
pub fn run(args: &Args) -> Result<()> {
    let table = Table::read(&args.file, &args.label, args.rows)?;
    let text = description(args, &table)?;
    match &args.out {
        None => output::print(text)?,
        Some(path) => atomic::write(path, |output| output.write_all(text.as_bytes()))
            .with_context(|| path.display().to_string())?,
    }
    Ok(())
}

fn description(args: &Args, table: &Table) -> Result<String> {
    let mut text = String::new();
    let Table { columns, label, rows, malformed, .. } = table;
    writeln!(text, "# {}: {rows} rows were looked at, {malformed} malformed.", args.file.display())?;
    writeln!(text, "# `xsfm-train prepare csv --help` says what can stand here.\n")?;
    if let Some(dialect) = &table.dialect {
        writeln!(text, "delimiter = {}", quoted(&char::from(dialect.delimiter).to_string()))?;
        writeln!(text, "header = {}", dialect.header)?;
    }
    writeln!(text, "min_count = 2")?;
    let labels = label.values.len();
    let guesses: Vec<(&Column, Guess)> = columns.iter().map(|column| (column, column.guess(labels))).collect();
    for (n, (column, _)) in guesses.iter().filter(|(_, guess)| *guess == Guess::Time).enumerate() {
        let mark = if n == 0 { "" } else { "# " };
        writeln!(text, "{mark}time = {}          # {}", table.shown(&column.name), column.reasons())?;
    }
    writeln!(text, "\n[label]\n{}", label_rule(table)?)?;
    let mut fields = 0;
    for (column, guess) in &guesses {
        match guess {
            Guess::Field { kind, separator, quantiles, why } => {
                fields += 1;
                writeln!(text, "\n# {}", column.reasons())?;
                why.iter().try_for_each(|why| writeln!(text, "# {why}"))?;
                write!(text, "{}", field(table, column, *kind, *separator)?)?;
                if let Some(quantiles) = quantiles {
                    writeln!(text, "quantiles = {quantiles}")?;
                    writeln!(text, "# numbers = \"interpolated\"  # neighbouring numbers have neighbouring vectors")?;
                }
            }
            Guess::Time => {}
            Guess::Suspicious(why) => {
                writeln!(text, "\n# {why} ({})", column.reasons())?;
                let field = field(table, column, FieldKind::Categorical, None)?;
                field.lines().try_for_each(|line| writeln!(text, "# {line}"))?;
            }
        }
    }
    if fields == 0 {
        bail!("{}: no column but the label looks like a field", args.file.display());
    }
    Ok(text)
}

/// A field as it is written.
fn field(table: &Table, column: &Column, kind: FieldKind, separator: Option<&str>) -> Result<String> {
    let mut text = String::from("[[fields]]\n");
    match table.position(&column.name) {
        // Every file of encoded rows has a column of that name.
        None if column.name == LABEL_COLUMN => {
            let mut name = format!("{LABEL_COLUMN}_column");
            while table.columns.iter().any(|column| column.name == name) {
                name.push('_');
            }
            writeln!(text, "name = {}\ncolumn = {}", quoted(&name), quoted(&column.name))?;
        }
        None => writeln!(text, "name = {}", quoted(&column.name))?,
        Some(position) => writeln!(text, "name = \"column_{position}\"\ncolumn = {position}")?,
    }
    writeln!(text, "kind = \"{}\"", kind.name())?;
    if let Some(separator) = separator {
        writeln!(text, "separator = {}", quoted(separator))?;
    }
    Ok(text)
}

/// The label's column, and a rule where its values are not 0 and 1.
fn label_rule(table: &Table) -> Result<String> {
    let mut text = format!("column = {}", table.shown(&table.label.name));
    let values = &table.label.values;
    let is_number = |value: &String| value.parse::<f64>().ok();
    let numbers: Option<Vec<f64>> = values.keys().map(is_number).collect();
    let is_plain = |value: &str| matches!(value, "0" | "1" | "0.0" | "1.0" | "true" | "false" | "True" | "False");
    let mut counts: Vec<(&String, &u64)> = values.iter().collect();
    counts.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let shown: Vec<String> = counts.iter().take(6).map(|(value, count)| format!("{value:?} {count}")).collect();
    let shown = shown.join(", ");
    match numbers {
        _ if values.keys().all(|value| is_plain(value)) => write!(text, "          # {shown}")?,
        Some(mut numbers) => {
            numbers.sort_by(f64::total_cmp);
            let middle = numbers[numbers.len() / 2];
            write!(text, "\nat_least = {middle}          # which numbers are clicks? There are {shown}")?;
        }
        // The rarer of two, as clicks are.
        None => {
            let rarest = counts.last().map_or("", |(value, _)| value.as_str());
            write!(text, "\nequals = {}          # which text is a click? There are {shown}", quoted(rarest))?;
        }
    }
    Ok(text)
}
