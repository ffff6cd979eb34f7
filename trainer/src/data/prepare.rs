//! A raw data set becomes `schema.json` and three files of encoded rows.
//!
//! Two passes over the rows, whatever their number: one counts the tokens of the training rows, which become the
//! vocabularies; one encodes. The same input, split and seed give the same bytes, on any number of threads.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use xsfm_interchange::atomic;
use xsfm_interchange::dataset::SCHEMA;
use xsfm_interchange::fingerprint::{self, Vocabulary};
use xsfm_interchange::output;
use xsfm_interchange::rows::{Bounds, Manifest, RowsWriter};
use xsfm_interchange::schema::{Field, Schema};
use xsfm_readers::encoder::RowEncoder;
use xsfm_readers::error::DataError;
use xsfm_readers::pass::{Reading, Rows, pass};
use xsfm_readers::source::Source;

use super::checks;
use super::counter::{CountedFields, Counter, Totals};
use super::encoded::{Encoded, Tally, beside};
use super::extend;
use super::plan::Plan;
use super::report::Report;
use super::split::{Assigner, Part, Split};

/// Names of the files in an output folder, beside those of a [`Dataset`](xsfm_interchange::dataset::Dataset).
pub mod file {
    /// What was prepared, malformed rows counted.
    pub const REPORT: &str = "prepare.json";
    /// What the first pass found, until the second has ended.
    pub const COUNTED: &str = "counted.json.part";
}

/// What the passes before encoding found out. It is kept beside the outputs, so that a run that was interrupted in the
/// last and longest pass need not begin from nothing.
#[derive(Debug, Serialize, Deserialize)]
struct Counted {
    /// What it depends on.
    of: String,
    plan: Plan,
    schema: Schema,
    warnings: Vec<String>,
}

/// Prepares a data set in the folder `out`.
///
/// # Errors
/// The source cannot be read, has more malformed rows than allowed, or no row for training; the outputs cannot be
/// written.
pub fn prepare(source: &dyn Source, split: &Split, reading: Reading, out: &Path) -> Result<Report, DataError> {
    prepare_after(source, split, reading, None, out)
}

/// The same with the vocabularies of `before`, a folder's that was prepared before, and new tokens behind theirs: what
/// its tokens' indices are they stay, whether today's rows have them or not, and so do the bounds of numbers.
///
/// # Errors
/// Those of [`prepare`]; fields that are not those of `before`.
pub fn prepare_after(
    source: &dyn Source,
    split: &Split,
    reading: Reading,
    before: Option<&Schema>,
    out: &Path,
) -> Result<Report, DataError> {
    let before = before.map(|schema| extend::known(source, schema)).transpose()?;
    let before = before.as_deref();
    let of = identity(source, split, before)?;
    let counted_path = out.join(file::COUNTED);
    let kept = fs::read(&counted_path).ok().and_then(|text| serde_json::from_slice::<Counted>(&text).ok());
    let counted = match kept.filter(|counted| counted.of == of) {
        Some(counted) => {
            output::say(format_args!("{}: vocabularies of an interrupted run", counted_path.display()));
            counted
        }
        None => {
            let plan = Plan::new(split, source, reading)?;
            let (schema, warnings) = count(source, reading, &plan, before)?;
            let counted = Counted { of, plan, schema, warnings };
            atomic::write(&counted_path, |output| Ok(serde_json::to_writer(output, &counted)?))
                .map_err(DataError::io(&counted_path))?;
            counted
        }
    };
    let report = encode(source, split, reading, &counted, out)?;
    fs::remove_file(&counted_path).map_err(DataError::io(&counted_path))?;
    Ok(report)
}

/// Everything that vocabularies depend on; input files by size and time of the last change.
fn identity(source: &dyn Source, split: &Split, before: Option<&[Field]>) -> Result<String, DataError> {
    let mut inputs = source.inputs();
    if let Split::File(path) = split {
        inputs.push(path.clone());
    }
    let mut of = format!("{} {:?} {} {split:?}", env!("CARGO_PKG_VERSION"), source.fields(), source.label());
    if let Some(fields) = before {
        of += &format!(" {:?}", Vocabulary::of_fields(fields));
    }
    for path in inputs {
        let metadata = fs::metadata(&path).map_err(DataError::io(&path))?;
        let changed = metadata.modified().map_err(DataError::io(&path))?;
        of += &format!(" {path:?} {} {changed:?}", metadata.len());
    }
    Ok(of)
}

/// First pass: the schema, and warnings.
fn count(
    source: &dyn Source,
    reading: Reading,
    plan: &Plan,
    before: Option<&[Field]>,
) -> Result<(Schema, Vec<String>), DataError> {
    let counter = Counter::new(source.fields(), before);
    let mut totals = Totals::default();
    let work = |rows: &mut Rows<'_, Assigner>| counter.block(source.fields(), rows);
    let walk = pass(source, reading, "counting", plan.assigner()?, work, |of_block| -> Result<(), DataError> {
        totals.add(of_block);
        Ok(())
    })?;
    totals.check(source, &walk)?;
    checks::labels(source, reading, totals.labels)?;
    let counted = CountedFields::new(counter.into_fields());
    let warnings = checks::numbers_of_one_token(source, reading, &counted.counts)?;
    Ok((counted.schema(source, before), warnings))
}

/// Last pass: writes the rows, and the schema last, so that a folder with a schema is whole.
fn encode(
    source: &dyn Source,
    split: &Split,
    reading: Reading,
    counted: &Counted,
    out: &Path,
) -> Result<Report, DataError> {
    let Counted { plan, schema, warnings, .. } = counted;
    let mut writers = writers(source, schema, |part| out.join(part.file()))?;
    let encoder = RowEncoder::new(schema, true);
    let mut tally = Tally::new(schema);
    let work = |rows: &mut Rows<'_, Assigner>| Encoded::of(&encoder, schema, rows);
    let walk = pass(source, reading, "encoding", plan.assigner()?, work, |encoded| -> Result<(), DataError> {
        tally.add(&encoded.tally);
        Ok(writers.iter_mut().zip(&encoded.rows).try_for_each(|(writer, block)| writer.push_block(block))?)
    })?;
    commit(schema, out, || placed(writers), |rows| tally.report(schema, split, walk, warnings.clone(), rows))
}

/// Begins the files of the parts, at their paths.
pub(super) fn writers(
    source: &dyn Source,
    schema: &Schema,
    path: impl Fn(Part) -> PathBuf,
) -> Result<[RowsWriter; 3], DataError> {
    let bounds = Bounds::from(schema);
    let create = |part: Part| RowsWriter::create_with(&path(part), &bounds, beside(source));
    Ok([create(Part::Train)?, create(Part::Valid)?, create(Part::Test)?])
}

/// Puts the parts' files in their places; their fingerprints.
pub(super) fn placed(writers: [RowsWriter; 3]) -> Result<[fingerprint::Rows; 3], DataError> {
    let [train, valid, test] = writers.map(RowsWriter::commit);
    Ok([train?, valid?, test?])
}

/// Puts the files in their places: the parts by `place`, whose fingerprints go into the `report`, and the schema last.
pub(super) fn commit(
    schema: &Schema,
    out: &Path,
    place: impl FnOnce() -> Result<[fingerprint::Rows; 3], DataError>,
    report: impl FnOnce([fingerprint::Rows; 3]) -> Report,
) -> Result<Report, DataError> {
    let (schema_path, report_path) = (out.join(SCHEMA), out.join(file::REPORT));
    remove(&schema_path)?;
    // What several files had takes the place of one, and the other way round.
    for part in Part::ALL {
        let path = out.join(part.manifest());
        if path.exists() {
            let files = Manifest::load(&path)?.files;
            files.iter().try_for_each(|file| remove(&out.join(&file.name)))?;
            remove(&path)?;
        }
    }
    let report = report(place()?);
    atomic::write(&report_path, |output| {
        serde_json::to_writer_pretty(&mut *output, &report)?;
        output.write_all(b"\n")
    })
    .map_err(DataError::io(&report_path))?;
    schema.save(&schema_path)?;
    Ok(report)
}

/// Removes a file, where it is there.
pub(super) fn remove(path: &Path) -> Result<(), DataError> {
    if path.exists() { fs::remove_file(path).map_err(DataError::io(path)) } else { Ok(()) }
}
