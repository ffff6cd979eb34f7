//! Columns of text.

use anyhow::{Context, Result, bail};
use csv::{ReaderBuilder, StringRecord, Trim};

use super::collected::{Collected, choose};

fn number(text: &str) -> Option<f64> {
    text.parse().ok()
}

/// Lines of columns, the first of which names them unless it is of numbers.
pub(super) fn read(bytes: &[u8], delimiter: u8, collected: &mut Collected) -> Result<()> {
    let mut reader = ReaderBuilder::new().has_headers(false).delimiter(delimiter).trim(Trim::All).from_reader(bytes);
    let mut record = StringRecord::new();
    let mut places: Option<(Option<usize>, usize)> = None;
    while reader.read_record(&mut record)? {
        let line = record.position().map_or(0, csv::Position::line);
        let (rows, logits) = match places {
            Some(places) => places,
            None if record.iter().all(|cell| number(cell).is_some()) => {
                if record.len() > 1 {
                    bail!("{} columns without names; the first line names them, `row` and `logit`", record.len());
                }
                *places.insert((None, 0))
            }
            None => {
                places = Some(choose(&record)?);
                continue;
            }
        };
        let cell = |place: usize| {
            let text = record.get(place).unwrap_or_default();
            number(text).with_context(|| format!("line {line}: `{text}` is not a number"))
        };
        let row = rows.map(cell).transpose()?;
        collected.add(format_args!("line {line}"), row, cell(logits)?)?;
    }
    Ok(())
}
