//! Columns of Parquet.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use parquet::file::reader::FileReader;
use parquet::record::Field;
use parquet::schema::types::Type;
use xsfm_readers::parquet::{guarded, reader};

use super::collected::{Collected, choose};

/// Rows that are read together.
const ROWS: usize = 8192;

fn number(field: &Field) -> Option<f64> {
    Some(match *field {
        Field::Byte(v) => v.into(),
        Field::Short(v) => v.into(),
        Field::Int(v) => v.into(),
        Field::Long(v) => v as f64,
        Field::UByte(v) => v.into(),
        Field::UShort(v) => v.into(),
        Field::UInt(v) => v.into(),
        Field::ULong(v) => v as f64,
        Field::Float16(v) => v.to_f64(),
        Field::Float(v) => v.into(),
        Field::Double(v) => v,
        _ => return None,
    })
}

/// The columns of a file.
pub(super) fn parquet(path: &Path, collected: &mut Collected) -> Result<()> {
    let reader = reader(path)?;
    let damaged = |what: String| anyhow!("not a Parquet file that can be read: {what}");
    let root = reader.metadata().file_metadata().schema();
    let columns = root.get_fields();
    let (rows, logits) = choose(columns.iter().map(|column| column.name()))?;
    let places: Vec<usize> = rows.into_iter().chain([logits]).collect();
    let projection = places.iter().map(|&place| columns[place].clone()).collect();
    let projection = guarded(|| Type::group_type_builder(root.name()).with_fields(projection).build());
    let projection = projection.map_err(damaged)?;
    let mut all = guarded(|| reader.get_row_iter(Some(projection))).map_err(damaged)?;
    let mut entry = 0_u64;
    loop {
        let some = guarded(|| all.by_ref().take(ROWS).collect::<Result<Vec<_>, _>>()).map_err(damaged)?;
        if some.is_empty() {
            return Ok(());
        }
        for row in some {
            let cell = |name: &str| {
                let found = row.get_column_iter().find(|(column, _)| *column == name).map(|(_, field)| field);
                let field = found.with_context(|| format!("entry {entry} has no `{name}`"))?;
                number(field).with_context(|| format!("entry {entry}: `{name}` is {field}, not a number"))
            };
            let row = rows.map(|place| cell(columns[place].name())).transpose()?;
            collected.add(format_args!("entry {entry}"), row, cell(columns[logits].name())?)?;
            entry += 1;
        }
    }
}
