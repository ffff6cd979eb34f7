//! Logits of teachers on the training rows: computed once per teacher and data set, and kept in the teacher's folder,
//! because every epoch of every student asks for the same ones. They go by the rows' numbers, so that a student may
//! read the same rows with other vocabularies.

use std::fs;
use std::path::Path;
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tch::{Device, Kind, Tensor};
use xsfm_interchange::checkpoint::file;
use xsfm_interchange::dataset::{Dataset, Part};
use xsfm_interchange::output;

use crate::checkpoint;
use crate::data::batches::Batches;
use crate::evaluate::Scorer;
use crate::teacher_logits::TeacherLogits;
use crate::tensors;
use crate::training_loop::{EVALUATION_ROWS, progress};

/// A teacher's logits on the training rows it met last, in its checkpoint folder.
pub const LOGITS_FILE: &str = "train-logits.safetensors";
const LOGITS: &str = "logits";

/// What logits depend on. Weights are hashed; rows have their fingerprint or, where an older program wrote them, their
/// file's size and time.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Source {
    model: String,
    rows: String,
}

impl Source {
    fn of(teacher: &Path, data: &Dataset) -> Result<Self> {
        let mut hash = Sha256::new();
        for name in [file::CONFIG, file::WEIGHTS] {
            let path = teacher.join(name);
            hash.update(fs::read(&path).with_context(|| path.display().to_string())?);
        }
        let rows = match data.fingerprint().train {
            Some(rows) => rows.to_string(),
            None => {
                let path = data.path(Part::Train);
                let at = || path.display().to_string();
                let metadata = fs::metadata(&path).with_context(at)?;
                let modified = metadata.modified().with_context(at)?.duration_since(UNIX_EPOCH).unwrap_or_default();
                let path = fs::canonicalize(&path).with_context(at)?;
                format!("{} of {} bytes, changed at {} ns", path.display(), metadata.len(), modified.as_nanos())
            }
        };
        Ok(Source { model: hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect(), rows })
    }
}

/// The mean logit `[rows]` of the teachers and of `more` of every training row of `data`, in the order of the file.
/// `other_rows`: the teachers may have been trained on others, of the same vocabulary.
///
/// # Errors
/// A teacher that cannot be loaded, or was trained with another vocabulary, or on other rows; neither a teacher nor
/// logits.
pub fn mean_logits(
    teachers: &[impl AsRef<Path>],
    more: &[TeacherLogits],
    data: &Dataset,
    other_rows: bool,
    device: Device,
) -> Result<Vec<f32>> {
    for folder in teachers {
        checkpoint::check_data(folder.as_ref(), data, other_rows)
            .context("--teacher (--teacher-data names rows of its own vocabulary)")?;
    }
    let count = teachers.len() + more.len();
    let of_teacher = |(i, folder): (usize, &_)| {
        let folder: &Path = AsRef::as_ref(folder);
        logits(folder, data, device, (i + 1, teachers.len()))
    };
    let of_teachers = teachers.iter().enumerate().map(of_teacher);
    let given = more.iter().map(|more| Ok(Tensor::from_slice(&more.logits)));
    let mut sum: Option<Tensor> = None;
    for logits in of_teachers.chain(given) {
        let logits: Tensor = logits?;
        sum = Some(match sum {
            None => logits,
            Some(sum) => sum + logits,
        });
    }
    let mean = sum.context("no teacher")? / count as f64;
    Ok(Vec::try_from(mean)?)
}

/// Logits `[rows]` of one teacher, f32 on the CPU. `place`: which of how many.
fn logits(teacher: &Path, data: &Dataset, device: Device, place: (usize, usize)) -> Result<Tensor> {
    let model = checkpoint::load(teacher, device)?;
    let mut batches = Batches::open(&data.path(Part::Train), data.bounds(), EVALUATION_ROWS)?;
    let (source, path) = (Source::of(teacher, data)?, teacher.join(LOGITS_FILE));
    if let Some(logits) = kept(&path, &source, batches.num_rows()) {
        return Ok(logits);
    }
    let bar = progress(batches.num_rows());
    bar.set_message(format!("logits of teacher {}/{}", place.0, place.1));
    let logits = Scorer::new(&model)?.score(&mut batches, |n| bar.inc(n))?.logits;
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
