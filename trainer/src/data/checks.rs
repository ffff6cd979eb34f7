//! What makes prepared rows useless though each of them is well: labels of one class, numbers of one bucket.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
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

/// What is wrong with labels of which so many are 0 and 1; `None` where there are both, or none at all.
pub(super) fn one_class(counts: [u64; 2]) -> Option<&'static str> {
    match counts {
        [0, 0] => None,
        [_, 0] => Some("no label is 1"),
        [0, _] => Some("every label is 1"),
        _ => None,
    }
}

/// Checks that there are labels of both classes, `[zeros, ones]`; shows what labels there are if not.
///
/// # Errors
/// There is one class; or those of a pass.
pub(super) fn labels(source: &dyn Source, reading: Reading, counts: [u64; 2]) -> Result<(), DataError> {
    let Some(what) = one_class(counts) else { return Ok(()) };
    let mut found = LabelTexts::default();
    pass(source, reading, "labels", All, LabelTexts::of, |block| -> Result<(), DataError> {
        found.add(block);
        Ok(())
    })?;
    Err(found.error(source, what))
}

/// What labels were before they were 0 or 1, and how often each is there.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct LabelTexts(HashMap<String, u64>);

impl LabelTexts {
    /// Those of a block.
    pub(super) fn of(rows: &mut Rows<'_>) -> Self {
        let mut found = HashMap::<String, u64>::new();
        rows.each(|(), row| {
            let text = if row.label_text.is_empty() { row.label.to_string() } else { row.label_text.clone() };
            *found.entry(text).or_default() += 1;
        });
        LabelTexts(found)
    }

    /// Adds those of the next rows.
    pub(super) fn add(&mut self, others: LabelTexts) {
        for (text, count) in others.0 {
            if self.0.len() < COUNTED || self.0.contains_key(&text) {
                *self.0.entry(text).or_default() += count;
            }
        }
    }

    /// The error of labels of one class, which `what` says.
    pub(super) fn error(self, source: &dyn Source, what: &str) -> DataError {
        let different = self.0.len();
        let mut found: Vec<(String, u64)> = self.0.into_iter().collect();
        found.sort_unstable_by(|(a, a_count), (b, b_count)| b_count.cmp(a_count).then_with(|| a.cmp(b)));
        let rows = |n: u64| if n == 1 { "1 row".to_owned() } else { format!("{n} rows") };
        let shown = found.iter().take(SHOWN).map(|(text, count)| format!("{text:?} ({})", rows(*count)));
        let shown = shown.collect::<Vec<_>>().join(", ");
        let more = match different.saturating_sub(SHOWN) {
            0 => String::new(),
            _ if different >= COUNTED => " and thousands more".to_owned(),
            more => format!(" and {more} more"),
        };
        let label = source.label();
        let what = format!("{what}, and a model learns nothing; 1 means that {label:?}. The labels are {shown}{more}");
        DataError::file(source.path(), what)
    }
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
    let suspects = Suspects::new(source.fields(), counts);
    if !suspects.is_empty() {
        let compare = |rows: &mut Rows<'_>| suspects.compare(rows);
        pass(source, reading, "numbers", All, compare, |()| Ok::<(), DataError>(()))?;
    }
    Ok(suspects.warnings(source.fields()))
}

/// Numeric fields whose numbers have one token.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Suspects(Vec<Suspect>);

#[derive(Debug, Serialize, Deserialize)]
struct Suspect {
    field: usize,
    token: String,
    /// The bits of its first value, and whether another differs.
    #[serde(serialize_with = "written", deserialize_with = "read")]
    first: OnceLock<u64>,
    differs: AtomicBool,
}

impl Suspects {
    /// By the counts of all tokens in training rows.
    pub(super) fn new(fields: &[RawField], counts: &[TokenMap<u64>]) -> Self {
        let suspect = |(field, (raw, counts)): (usize, (&RawField, &TokenMap<u64>))| {
            let tokens = counts.len() - usize::from(counts.get("").is_some());
            if raw.kind != FieldKind::Numeric || tokens != 1 {
                return None;
            }
            let mut token = String::new();
            counts.each(|text, _| {
                if !text.is_empty() {
                    token = text.to_owned()
                }
            });
            Some(Suspect { field, token, first: OnceLock::new(), differs: AtomicBool::new(false) })
        };
        Suspects(fields.iter().zip(counts).enumerate().filter_map(suspect).collect())
    }

    /// The same fields, of whose values none was seen yet.
    pub(super) fn unseen(&self) -> Self {
        let unseen = |Suspect { field, token, .. }: &Suspect| Suspect {
            field: *field,
            token: token.clone(),
            first: OnceLock::new(),
            differs: AtomicBool::new(false),
        };
        Suspects(self.0.iter().map(unseen).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Looks at the values of a block, as far as none is known yet that differs.
    pub(super) fn compare(&self, rows: &mut Rows<'_>) {
        if self.0.iter().all(|suspect| suspect.differs.load(Ordering::Relaxed)) {
            return;
        }
        rows.plain_numbers = true;
        rows.each(|(), row| {
            for suspect in &self.0 {
                row.field(suspect.field).filter_map(|value| value.parse().ok()).for_each(|value| suspect.see(value));
            }
        });
    }

    /// Adds what others have seen of the same fields.
    pub(super) fn add(&self, others: &Suspects) {
        for (ours, theirs) in self.0.iter().zip(&others.0) {
            theirs.first.get().into_iter().for_each(|&bits| ours.see(f64::from_bits(bits)));
            ours.differs.fetch_or(theirs.differs.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    /// A warning for each field whose values differ.
    pub(super) fn warnings(&self, fields: &[RawField]) -> Vec<String> {
        let warning = |Suspect { field, token, .. }: &Suspect| {
            let RawField { name, rule, .. } = &fields[*field];
            if *rule != Rule::Tokens {
                return format!(
                    "field {name:?}: its values differ, but those of training rows have one bucket ({rule}): choose \
                     other bounds, or leave it out"
                );
            }
            format!(
                "field {name:?}: its values differ, but all have one token, {token:?} (a number is floored up to 2, \
                 and beyond has the bucket floor(ln(v)^2)): rescale them, or make them categorical"
            )
        };
        self.0.iter().filter(|suspect| suspect.differs.load(Ordering::Relaxed)).map(warning).collect()
    }
}

fn written<S: Serializer>(first: &OnceLock<u64>, serializer: S) -> Result<S::Ok, S::Error> {
    first.get().serialize(serializer)
}

fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<OnceLock<u64>, D::Error> {
    let first: Option<u64> = Option::deserialize(deserializer)?;
    Ok(first.map_or_else(OnceLock::new, OnceLock::from))
}

impl Suspect {
    fn see(&self, value: f64) {
        if value != f64::from_bits(*self.first.get_or_init(|| value.to_bits())) {
            self.differs.store(true, Ordering::Relaxed);
        }
    }
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
