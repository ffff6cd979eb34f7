//! A raw data set becomes `schema.json` and three files of encoded rows.
//!
//! Two passes over the rows, whatever their number: one counts the tokens of the training rows, which become the
//! vocabularies; one encodes. The same input, split and seed give the same bytes, on any number of threads.

use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use xsfm_interchange::atomic;
use xsfm_interchange::dataset::SCHEMA;
use xsfm_interchange::encoding::{Encoding, Rule};
use xsfm_interchange::fingerprint::{Fingerprint, Vocabulary};
use xsfm_interchange::output;
use xsfm_interchange::rows::{Beside, Bounds, RowBlock, RowsWriter};
use xsfm_interchange::schema::{Field, Schema};
use xsfm_interchange::tokens::TokenMap;
use xsfm_readers::encoder::{RowEncoder, Told};
use xsfm_readers::error::DataError;
use xsfm_readers::parallel::lock;
use xsfm_readers::pass::{Reading, Rows, pass};
use xsfm_readers::raw::RawField;
use xsfm_readers::report::FieldReport;
use xsfm_readers::source::Source;

use super::checks;
use super::count::FieldCounts;
use super::extend;
use super::plan::Plan;
use super::report::{PartReport, Report};
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
            let (vocabularies, warnings) = count(source, reading, &plan, before)?;
            let fields = source.fields().iter().zip(vocabularies);
            let schema = Schema {
                version: Schema::VERSION,
                label: source.label().to_owned(),
                input: Some(source.input()),
                fields: fields
                    .map(|(f, (encoding, vocabulary))| Field {
                        encoding,
                        weights: f.weights,
                        ..Field::new(&f.name, f.kind, vocabulary)
                    })
                    .collect(),
            };
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

/// The tokens of one field of a block.
#[derive(Clone, Default)]
struct Tokens {
    text: String,
    ends: Vec<usize>,
}

impl Tokens {
    fn iter(&self) -> impl Iterator<Item = &str> {
        let mut start = 0;
        self.ends.iter().map(move |&end| &self.text[std::mem::replace(&mut start, end)..end])
    }
}

/// By field: how texts become indices, and the vocabulary.
type Vocabularies = Vec<(Encoding, Vec<String>)>;

/// First pass: the vocabulary of each field, frequent tokens first, equally frequent ones in alphabetical order; and
/// warnings. Behind those of `before` where there are some.
///
/// There is one map for each field, whatever the number of threads: a thread gathers the tokens of a block, and counts
/// a field at a time. Maps of its own would multiply the memory by the number of threads.
fn count(
    source: &dyn Source,
    reading: Reading,
    plan: &Plan,
    before: Option<&[Field]>,
) -> Result<(Vocabularies, Vec<String>), DataError> {
    let fields = source.fields();
    let rule = |(f, field): (usize, &RawField)| before.map_or(field.rule.clone(), |before| before[f].encoding.rule());
    let counts: Vec<Mutex<FieldCounts>> =
        fields.iter().enumerate().map(rule).map(|rule| Mutex::new(FieldCounts::new(&rule))).collect();
    let (mut train_rows, mut labels) = (0_u64, [0_u64; 2]);
    let work = |rows: &mut Rows<'_, Assigner>| {
        let (mut train_rows, mut labels) = (0, [0; 2]);
        let mut gathered = vec![Tokens::default(); fields.len()];
        rows.each(|part, row| {
            labels[usize::from(row.label)] += 1;
            if part != Part::Train {
                return;
            }
            train_rows += 1;
            let is_counted = |f: &usize| !matches!(fields[*f].rule, Rule::Hash(_));
            for (f, tokens) in gathered.iter_mut().enumerate().filter(|(f, _)| is_counted(f)) {
                for token in row.field(f) {
                    tokens.text.push_str(token);
                    tokens.ends.push(tokens.text.len());
                }
            }
        });
        for (counts, tokens) in counts.iter().zip(&gathered) {
            let mut counts = lock(counts);
            tokens.iter().for_each(|token| counts.add(token));
        }
        (train_rows, labels)
    };
    let walk = pass(
        source,
        reading,
        "counting",
        plan.assigner()?,
        work,
        |(rows, [negative, positive])| -> Result<(), DataError> {
            train_rows += rows;
            labels = [labels[0] + negative, labels[1] + positive];
            Ok(())
        },
    )?;
    if train_rows == 0 {
        let what = format!("{} rows, none of them for training", walk.rows - walk.malformed);
        return Err(DataError::file(source.path(), what));
    }
    checks::labels(source, reading, labels)?;
    let counts = counts.into_iter().map(|counts| counts.into_inner().unwrap_or_else(PoisonError::into_inner));
    let (encodings, counts): (Vec<Encoding>, Vec<TokenMap<u64>>) = counts.map(FieldCounts::finish).unzip();
    let warnings = checks::numbers_of_one_token(source, reading, &counts)?;
    let vocabulary = |(f, (field, counts)): (usize, (&RawField, TokenMap<u64>))| {
        let mut kept = counts.filtered(|count| count >= field.min_count);
        kept.sort_unstable_by(|(a, a_count), (b, b_count)| b_count.cmp(a_count).then_with(|| a.cmp(b)));
        let kept = kept.into_iter().map(|(token, _)| token);
        match before {
            Some(before) => extend::extended(&before[f].vocabulary, kept),
            None => kept.collect(),
        }
    };
    let vocabularies = fields.iter().zip(counts).enumerate().map(vocabulary);
    Ok((encodings.into_iter().zip(vocabularies).collect(), warnings))
}

/// The rows of a block, encoded, by part.
struct Encoded {
    rows: [RowBlock; 3],
    positives: [u64; 3],
    /// Of each part.
    told: [Told; 3],
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
    let bounds = Bounds::from(schema);
    let beside = Beside { labels: true, weights: source.has_weights() };
    let create = |part: Part| RowsWriter::create_with(&out.join(part.file()), &bounds, beside);
    let mut writers = [create(Part::Train)?, create(Part::Valid)?, create(Part::Test)?];
    let mut parts = [PartReport::default(); 3];
    let encoder = RowEncoder::new(schema, true);
    let nothing_told = || [(); 3].map(|()| Told::new(schema.fields.len()));
    let work = |rows: &mut Rows<'_, Assigner>| {
        let mut encoded = Encoded { rows: [(); 3].map(|()| encoder.block()), positives: [0; 3], told: nothing_told() };
        let mut indices = Vec::new();
        rows.each(|part, row| {
            let part = part as usize;
            encoder.push(row, &mut encoded.rows[part], &mut encoded.told[part], &mut indices);
            encoded.positives[part] += u64::from(row.label);
        });
        encoded
    };
    let mut told = nothing_told();
    let walk = pass(source, reading, "encoding", plan.assigner()?, work, |encoded| -> Result<(), DataError> {
        for (part, block) in encoded.rows.iter().enumerate() {
            parts[part].rows += block.len() as u64;
            parts[part].positives += encoded.positives[part];
            told[part].add(&encoded.told[part]);
            writers[part].push_block(block)?;
        }
        Ok(())
    })?;
    // What training rows do not know is rare; what others do not know is new.
    let [mut of_train, of_valid, of_test] = told;
    of_train.unseen.fill(0);
    [&of_valid, &of_test].into_iter().for_each(|of_others| of_train.add(of_others));
    let fields = FieldReport::all(schema, &of_train);

    let (schema_path, report_path) = (out.join(SCHEMA), out.join(file::REPORT));
    if schema_path.exists() {
        fs::remove_file(&schema_path).map_err(DataError::io(&schema_path))?;
    }
    let [train, valid, test] = writers.map(RowsWriter::commit);
    let (train, valid, test) = (Some(train?), Some(valid?), Some(test?));
    let fingerprint = Fingerprint { vocabulary: Vocabulary::of(schema), train, valid, test };
    let mut warnings = warnings.clone();
    warnings.extend(checks::parts(&parts, split));
    let [train, valid, test] = parts;
    let (malformed_rows, malformed_examples) = (walk.malformed, walk.examples);
    let report = Report { train, valid, test, malformed_rows, malformed_examples, warnings, fields, fingerprint };
    atomic::write(&report_path, |output| {
        serde_json::to_writer_pretty(&mut *output, &report)?;
        output.write_all(b"\n")
    })
    .map_err(DataError::io(&report_path))?;
    schema.save(&schema_path)?;
    Ok(report)
}
