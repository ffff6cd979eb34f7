//! Logits of teachers on the training rows: computed once per teacher and data set, and kept in the teacher's folder, because
//! every epoch of every student asks for the same ones. They go by the rows' numbers, so that a student may read the same rows with
//! other vocabularies.

use std::fs;
use std::path::Path;
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tch::{Device, Kind, Tensor};
use xsfm_interchange::checkpoint::file;
use xsfm_interchange::config::ModelConfig;
use xsfm_interchange::output;
use xsfm_interchange::rows::{Bounds, RowsReader};
use xsfm_interchange::schema::Schema;

use crate::checkpoint;
use crate::data::batches::Batches;
use crate::data::prepare;
use crate::evaluate::Scorer;
use crate::fit::{EVALUATION_ROWS, progress};
use crate::tensors;

/// A teacher's logits on the training rows it met last, in its checkpoint folder.
pub const LOGITS_FILE: &str = "train-logits.safetensors";
const LOGITS: &str = "logits";

/// What logits depend on. Weights are hashed; rows, which may be gigabytes, are recognised by their file's size and time.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Source {
    model: String,
    rows: String,
    rows_bytes: u64,
    rows_modified: u128,
}

impl Source {
    fn of(teacher: &Path, rows: &Path) -> Result<Self> {
        let mut hash = Sha256::new();
        for name in [file::CONFIG, file::WEIGHTS] {
            let path = teacher.join(name);
            hash.update(fs::read(&path).with_context(|| path.display().to_string())?);
        }
        let at = || rows.display().to_string();
        let metadata = fs::metadata(rows).with_context(at)?;
        let modified = metadata.modified().with_context(at)?.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Source {
            model: hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect(),
            rows: fs::canonicalize(rows).with_context(at)?.display().to_string(),
            rows_bytes: metadata.len(),
            rows_modified: modified.as_nanos(),
        })
    }
}

/// The teachers' mean logit `[rows]` of every training row in the folder `data`, in the order of the file.
///
/// # Errors
/// A teacher that cannot be loaded, or reads other fields than the data have.
pub fn mean_logits(teachers: &[impl AsRef<Path>], data: &Path, device: Device) -> Result<Vec<f32>> {
    let schema = Schema::load(&data.join(prepare::file::SCHEMA))?;
    let rows = data.join(prepare::file::TRAIN);
    let mut sum: Option<Tensor> = None;
    for (i, folder) in teachers.iter().enumerate() {
        let logits = logits(folder.as_ref(), &schema, &rows, device, (i + 1, teachers.len()))?;
        sum = Some(match sum {
            None => logits,
            Some(sum) => sum + logits,
        });
    }
    let mean = sum.context("no teacher")? / teachers.len() as f64;
    Ok(Vec::try_from(mean)?)
}

/// Checks that the training rows of two folders are the same but for their vocabularies, as far as labels tell.
///
/// # Errors
/// Another number of rows, or another label; the message names both files and the first row that differs.
pub fn check_rows(teacher: &Path, student: &Path) -> Result<()> {
    let open = |folder: &Path| RowsReader::open(&folder.join(prepare::file::TRAIN));
    let (mut theirs, mut ours) = (open(teacher)?, open(student)?);
    let files = || format!("{} and {}", teacher.display(), student.display());
    let (their_rows, our_rows) = (theirs.num_rows(), ours.num_rows());
    ensure!(their_rows == our_rows, "{}: {their_rows} and {our_rows} training rows", files());
    // Blocks may end at other rows.
    let (mut their_labels, mut our_labels) = (Vec::new(), Vec::new());
    let (mut their_blocks, mut our_blocks) = (theirs.blocks(), ours.blocks());
    let mut row = 0;
    while row < our_rows {
        if their_labels.is_empty() {
            their_labels = their_blocks.next().transpose()?.map(|block| block.labels).unwrap_or_default();
        }
        if our_labels.is_empty() {
            our_labels = our_blocks.next().transpose()?.map(|block| block.labels).unwrap_or_default();
        }
        let both = their_labels.len().min(our_labels.len());
        ensure!(both > 0, "{}: a block of training rows has no labels", files());
        let (theirs, ours) = (their_labels.drain(..both), our_labels.drain(..both));
        if let Some((i, (their, our))) = (row..).zip(theirs.zip(ours)).find(|(_, (their, our))| their != our) {
            bail!("{}: training row {i} has label {their} and {our}; rows are the same, in the same order", files());
        }
        row += both as u64;
    }
    Ok(())
}

/// Logits `[rows]` of one teacher, f32 on the CPU. `place`: which of how many.
fn logits(teacher: &Path, schema: &Schema, rows: &Path, device: Device, place: (usize, usize)) -> Result<Tensor> {
    let model = checkpoint::load(teacher, device)?;
    check_fields(&model.config, schema).with_context(|| teacher.display().to_string())?;
    let mut batches = Batches::open(rows, Bounds::from(schema), EVALUATION_ROWS)?;
    let (source, path) = (Source::of(teacher, rows)?, teacher.join(LOGITS_FILE));
    if let Some(logits) = kept(&path, &source, batches.num_rows()) {
        return Ok(logits);
    }
    let bar = progress(batches.num_rows());
    bar.set_message(format!("logits of teacher {}/{}", place.0, place.1));
    let (_, logits) = Scorer::new(&model)?.score(&mut batches, |n| bar.inc(n))?;
    bar.finish_and_clear();
    let logits = Tensor::from_slice(&logits).to_kind(Kind::Float);
    let text = serde_json::to_string(&source)?;
    if let Err(error) = tensors::write(&path, &[(LOGITS.to_owned(), logits.shallow_clone())], Some(text)) {
        output::say(format_args!("NOTE: the teacher's logits are not kept, and will be computed again: {error:#}"));
    }
    Ok(logits)
}

/// What the file has, where it is whole and of the same model and rows.
fn kept(path: &Path, source: &Source, rows: u64) -> Option<Tensor> {
    let (mut tensors, text) = tensors::read(path).ok()?;
    let same = serde_json::from_str::<Source>(&text?).is_ok_and(|kept| kept == *source);
    tensors.remove(LOGITS).filter(|logits| same && logits.size() == [rows.cast_signed()])
}

fn check_fields(config: &ModelConfig, schema: &Schema) -> Result<()> {
    let theirs: Vec<(&str, u32)> = config.fields.iter().map(|f| (f.name.as_str(), f.features)).collect();
    let ours: Vec<(&str, u32)> = schema.fields.iter().map(|f| (f.name.as_str(), f.features())).collect();
    if theirs.len() != ours.len() {
        bail!("the teacher has {} fields, the data {}", theirs.len(), ours.len());
    }
    if let Some((theirs, ours)) = theirs.iter().zip(&ours).find(|(theirs, ours)| theirs != ours) {
        bail!(
            "the teacher has field `{}` with {} features where the data have `{}` with {}; name its own with --teacher-data",
            theirs.0,
            theirs.1,
            ours.0,
            ours.1
        );
    }
    Ok(())
}
