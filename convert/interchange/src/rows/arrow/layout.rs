//! What an Arrow file says of its columns and blocks.

use std::str::FromStr;

use super::{Beside, WEIGHTS_KEY};
use crate::rows::{Column, LABEL_COLUMN, WEIGHT_COLUMN};
use xsfm_runtime::weight::FRACTION_BITS;

/// The description of a block, behind its length (with or without the continuation marker `ff ff ff ff`).
pub(super) fn record_batch(bytes: &[u8]) -> Result<arrow_ipc::RecordBatch<'_>, String> {
    let skip = if bytes.starts_with(&[0xff; 4]) { 8 } else { 4 };
    let message = arrow_ipc::root_as_message(bytes.get(skip..).unwrap_or_default()).map_err(|e| e.to_string())?;
    message
        .header_as_record_batch()
        .ok_or_else(|| format!("a {:?} in the place of a record batch", message.header_type()))
}

/// A value that a writer of ours put beside the rows.
pub(super) fn metadata<'a, T: FromStr<Err = String>>(
    pairs: Option<impl IntoIterator<Item = arrow_ipc::KeyValue<'a>>>,
    key: &str,
) -> Result<Option<T>, String> {
    let found = pairs.into_iter().flatten().find(|pair| pair.key() == Some(key));
    found.map(|pair| pair.value().unwrap_or_default().parse()).transpose().map_err(|what| format!("{key}: {what}"))
}

/// That the weights of a column have as many fraction bits as ours.
struct FractionBits;

impl FromStr for FractionBits {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = FRACTION_BITS.to_string();
        if text == expected { Ok(FractionBits) } else { Err(format!("{text} fraction bits, {expected} expected")) }
    }
}

/// What there is beside the fields, and the fields.
pub(super) fn columns(footer: &arrow_ipc::Footer<'_>) -> Result<(Beside, Vec<Column>), String> {
    let schema = footer.schema().ok_or("it has no schema")?;
    if schema.endianness() != arrow_ipc::Endianness::Little {
        return Err("it was written big-endian".to_owned());
    }
    let fields: Vec<_> = schema.fields().iter().flatten().collect();
    let is_unsigned = |field: &arrow_ipc::Field<'_>, bits| {
        field.dictionary().is_none() && field.type_as_int().is_some_and(|t| t.bitWidth() == bits && !t.is_signed())
    };
    let Some(first) = fields.first() else { return Err("it has no columns".to_owned()) };
    let labels = first.name() == Some(LABEL_COLUMN);
    if labels && !is_unsigned(first, 8) {
        return Err(format!("the column {LABEL_COLUMN:?} is a {:?}, UInt8 expected", first.type_type()));
    }
    let fields = &fields[usize::from(labels)..];
    // No field is a real number.
    let is_weight = |field: &arrow_ipc::Field<'_>| {
        field.name() == Some(WEIGHT_COLUMN)
            && field.type_as_floating_point().is_some_and(|t| t.precision() == arrow_ipc::Precision::SINGLE)
    };
    let weights = fields.first().is_some_and(is_weight);
    let fields = &fields[usize::from(weights)..];
    if fields.is_empty() {
        return Err("it has no field".to_owned());
    }
    let column = |field: &arrow_ipc::Field<'_>| {
        let name = field.name().unwrap_or("").to_owned();
        let child = field.type_as_list().and(field.children()).filter(|c| c.len() == 1).map(|c| c.get(0));
        let weights: Option<FractionBits> = metadata(field.custom_metadata(), WEIGHTS_KEY)?;
        match child {
            Some(child) if is_unsigned(&child, 32) => Ok(Column { name, bag: true, weighted: weights.is_some() }),
            None if is_unsigned(field, 32) && weights.is_none() => Ok(Column { name, bag: false, weighted: false }),
            _ => Err(format!("column {name:?} is a {:?}, UInt32 or List of UInt32 expected", field.type_type())),
        }
    };
    Ok((Beside { labels, weights }, fields.iter().map(column).collect::<Result<_, String>>()?))
}
