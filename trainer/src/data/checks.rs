//! What makes prepared rows useless though each of them is well: labels of one class, numbers of one bucket.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use xsfm_interchange::bucket::bucket;
use xsfm_interchange::encoding::Rule;
use xsfm_interchange::schema::FieldKind;
use xsfm_interchange::tokens::TokenMap;
use xsfm_readers::error::DataError;
use xsfm_readers::pass::{All, Reading, Rows, pass};
use xsfm_readers::raw::RawField;
use xsfm_readers::source::Source;

use super::report::PartReport;
use super::split::{Part, Split};

/// How many labels a message shows.
const SHOWN: usize = 8;
/// No more different labels than these are counted one by one.
const COUNTED: usize = 10_000;

/// Checks that there are labels of both classes, `[zeros, ones]`; shows what labels there are if not.
///
/// # Errors
/// There is one class; or those of a pass.
pub(super) fn labels(source: &dyn Source, reading: Reading, counts: [u64; 2]) -> Result<(), DataError> {
    let what = match counts {
        [0, 0] => return Ok(()),
        [_, 0] => "no label is 1",
        [0, _] => "every label is 1",
        _ => return Ok(()),
    };
    let mut found = HashMap::<String, u64>::new();
    let gather = |rows: &mut Rows<'_>| {
        let mut found = HashMap::<String, u64>::new();
        rows.each(|(), row| {
            let text = if row.label_text.is_empty() { row.label.to_string() } else { row.label_text.clone() };
            *found.entry(text).or_default() += 1;
        });
        found
    };
    pass(source, reading, "labels", All, gather, |block| -> Result<(), DataError> {
        for (text, count) in block {
            if found.len() < COUNTED || found.contains_key(&text) {
                *found.entry(text).or_default() += count;
            }
        }
        Ok(())
    })?;
    let different = found.len();
    let mut found: Vec<(String, u64)> = found.into_iter().collect();
    found.sort_unstable_by(|(a, a_count), (b, b_count)| b_count.cmp(a_count).then_with(|| a.cmp(b)));
    let rows = |n: u64| if n == 1 { "1 row".to_owned() } else { format!("{n} rows") };
    let shown = found.iter().take(SHOWN).map(|(text, count)| format!("{text:?} ({})", rows(*count)));
    let shown = shown.collect::<Vec<_>>().join(", ");
    let more = match different.saturating_sub(SHOWN) {
        0 => String::new(),
        _ if different >= COUNTED => " and thousands more".to_owned(),
        more => format!(" and {more} more"),
    };
    let what =
        format!("{what}, and a model learns nothing; 1 means that {:?}. The labels are {shown}{more}", source.label());
    Err(DataError::file(source.path(), what))
}

/// A warning for each numeric field that has one token, by the counts of all tokens in training rows, though its values
/// differ. Takes a pass only where there is a field of one token.
///
/// # Errors
/// Those of a pass.
pub(super) fn numbers_of_one_token(
    source: &dyn Source,
    reading: Reading,
    counts: &[TokenMap<u64>],
) -> Result<Vec<String>, DataError> {
    /// A field, its first value, and whether another differs.
    struct Suspect {
        field: usize,
        first: OnceLock<f64>,
        differs: AtomicBool,
    }
    let tokens = |counts: &TokenMap<u64>| counts.len() - usize::from(counts.get("").is_some());
    let suspects: Vec<Suspect> = (source.fields().iter().zip(counts).enumerate())
        .filter(|(_, (field, counts))| field.kind == FieldKind::Numeric && tokens(counts) == 1)
        .map(|(field, _)| Suspect { field, first: OnceLock::new(), differs: AtomicBool::new(false) })
        .collect();
    if suspects.is_empty() {
        return Ok(Vec::new());
    }
    let compare = |rows: &mut Rows<'_>| {
        if suspects.iter().all(|suspect| suspect.differs.load(Ordering::Relaxed)) {
            return;
        }
        rows.plain_numbers = true;
        rows.each(|(), row| {
            for suspect in &suspects {
                let values = row.field(suspect.field).filter_map(|value| value.parse::<f64>().ok());
                for value in values {
                    if value != *suspect.first.get_or_init(|| value) {
                        suspect.differs.store(true, Ordering::Relaxed);
                    }
                }
            }
        });
    };
    pass(source, reading, "numbers", All, compare, |()| Ok::<(), DataError>(()))?;
    let warning = |suspect: &Suspect| {
        let RawField { name, rule, .. } = &source.fields()[suspect.field];
        if *rule != Rule::Tokens {
            return format!(
                "field {name:?}: its values differ, but those of training rows have one bucket ({rule}): choose other \
                 bounds, or leave it out"
            );
        }
        let token = suspect.first.get().and_then(|first| bucket(&first.to_string())).unwrap_or_default();
        format!(
            "field {name:?}: its values differ, but all have one token, {token:?} (a number is floored up to 2, and \
             beyond has the bucket floor(ln(v)^2)): rescale them, or make them categorical"
        )
    };
    Ok(suspects.iter().filter(|suspect| suspect.differs.load(Ordering::Relaxed)).map(warning).collect())
}

/// A warning for each part that has a share and no row, or rows of one class.
pub(super) fn parts(parts: &[PartReport; 3], split: &Split) -> Vec<String> {
    let shares = match split {
        Split::Random { shares, .. } | Split::Chronological(shares) => [0, shares.valid, shares.test],
        Split::File(_) => [0; 3],
    };
    let warning = |((part, share), report): ((Part, u16), &PartReport)| {
        let (name, PartReport { rows, positives }) = (part.name(), *report);
        match positives {
            _ if rows == 0 && share > 0 => {
                Some(format!("no row is for {name}, whose share is {} %", f64::from(share) / 10.0))
            }
            _ if rows == 0 => None,
            0 => Some(format!("the label of all {rows} {name} rows is 0")),
            n if n == rows => Some(format!("the label of all {rows} {name} rows is 1")),
            _ => None,
        }
    };
    [Part::Train, Part::Valid, Part::Test].into_iter().zip(shares).zip(parts).filter_map(warning).collect()
}
