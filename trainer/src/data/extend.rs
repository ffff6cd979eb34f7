//! Vocabularies that go on from those of a day before.

use std::collections::HashSet;

use xsfm_interchange::input::{Input, TableField};
use xsfm_interchange::schema::{Field, Schema};
use xsfm_readers::error::DataError;
use xsfm_readers::source::Source;

/// The fields of `before`, which have to be those of the source.
///
/// # Errors
/// Another number of fields, another name, kind, hash or bounds that are asked for, or values that are read otherwise.
pub(super) fn known(source: &dyn Source, before: &Schema) -> Result<Vec<Field>, DataError> {
    let wrong = |what: String| DataError::file(source.path(), format!("the vocabulary to extend has {what}"));
    let fields = source.fields();
    if fields.len() != before.fields.len() {
        return Err(wrong(format!("{} fields, not {}", before.fields.len(), fields.len())));
    }
    for (ours, theirs) in fields.iter().zip(&before.fields) {
        if (&ours.name, ours.kind) != (&theirs.name, theirs.kind) {
            let (name, kind) = (&theirs.name, theirs.kind.name());
            return Err(wrong(format!(
                "the {kind} field {name:?}, not the {} field {:?}",
                ours.kind.name(),
                ours.name
            )));
        }
        if !ours.rule.is_met_by(&theirs.encoding) {
            return Err(wrong(format!("other bounds, or another hash, of field {:?}", ours.name)));
        }
    }
    if let Some(name) = before.input.as_ref().and_then(|input| read_otherwise(&source.input(), input)) {
        return Err(wrong(format!("other rules for the values of {name}")));
    }
    Ok(before.fields.clone())
}

/// The first field whose values become other tokens, or the label of what has no columns of its own.
fn read_otherwise(ours: &Input, theirs: &Input) -> Option<String> {
    let (Input::Table(ours), Input::Table(theirs)) = (ours, theirs) else {
        return (ours != theirs).then(|| "all fields".to_owned());
    };
    // Where a column is, how rare a token may be and how many quantiles there were changes no token.
    let rule = |field: &TableField| TableField { column: None, min_count: None, quantiles: None, ..field.clone() };
    let other = ours.fields.iter().zip(&theirs.fields).find(|(ours, theirs)| rule(ours) != rule(theirs));
    other.map(|(ours, _)| format!("field {:?}", ours.name))
}

/// `before`, and behind it those of `tokens` that it lacks, in their order.
pub(super) fn extended(before: &[String], tokens: impl Iterator<Item = String>) -> Vec<String> {
    let known: HashSet<&str> = before.iter().map(String::as_str).collect();
    let new = tokens.filter(|token| !known.contains(token.as_str()));
    before.iter().cloned().chain(new).collect()
}
