//! Whether a packed model fits a microcontroller, and what a score will cost there, before anything is flashed.
//!
//! | module | has |
//! |---|---|
//! | [`work`] | what a score does, counted |
//! | [`target`] | what each target takes for it, as `cargo xtask fit` has measured it |
//! | `way` | the programs that can score the model: the whole library, int8 mode alone |
//! | `report` | what is told |

mod report;
pub mod target;
mod way;
pub mod work;

use xsfm_runtime::{LoadError, Model};

pub use self::report::Report;
pub use self::target::Figure;
pub use self::way::{Memory, Part, Question, Way};

use self::target::Target;
use self::work::Work;
use crate::inspect;

/// Answers for a model that was loaded.
///
/// # Errors
/// None in practice: loading has decoded the same manifest.
pub fn analyze(model: &Model<'_>, file: &[u8], target: &Target, question: &Question<'_>) -> Result<Report, LoadError> {
    let work = Work::of(model, file, question.bag, target.lanes)?;
    let ways = way::all(model, file, target, &work, question)?;
    // Nothing fits: the smallest is nearest to it.
    let told = ways.iter().find(|way| way.fits).or(ways.last()).cloned().unwrap_or_default();
    let advice = report::advice(model, file, target, &told)?;
    Ok(Report {
        target: question.target.to_owned(),
        mode: inspect::mode_name(model.mode()),
        told,
        multiply_accumulates: model.statistics().multiply_accumulates,
        bag: question.bag,
        advice,
        ways,
    })
}
