//! Whether a packed model fits a microcontroller, and what a score will cost there, before anything is flashed.
//!
//! | module | has |
//! |---|---|
//! | [`work`] | what a score does, counted |
//! | [`target`] | what each target takes for it, as `cargo xtask fit` has measured it |
//! | `report` | what is told |

mod report;
pub mod target;
pub mod work;

use xsfm_runtime::{Backend, LoadError, Model, ScratchBlock};

pub use self::report::Report;

use self::report::{Figure, Memory};
use self::target::Target;
use self::work::{KINDS, Work};
use crate::inspect;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question<'q> {
    /// The target's name, one of [`target::all`].
    pub target: &'q str,
    /// Bytes of flash that the model and its scorer may take.
    pub flash: Option<usize>,
    /// Bytes of RAM that scoring may take.
    pub ram: Option<usize>,
    /// Indices of a bag, on average.
    pub bag: usize,
}

/// Answers for a model that was loaded.
///
/// # Errors
/// None in practice: loading has decoded the same manifest.
pub fn analyze(model: &Model<'_>, file: &[u8], target: &Target, question: &Question<'_>) -> Result<Report, LoadError> {
    let work = Work::of(model, file, question.bag, target.lanes)?;
    let mode = inspect::mode_name(model.mode());
    let costs = target.modes.get(mode);
    let statistics = model.statistics();
    let model_bytes = statistics.file_bytes.next_multiple_of(ScratchBlock::LEN);
    let scratch = model.with_backend(Backend::Portable).unwrap_or(*model).scratch_blocks() * ScratchBlock::LEN;
    let stack = costs.map_or(0, |costs| costs.stack);
    let parts: Vec<Figure> = costs.map_or_else(Vec::new, |costs| {
        KINDS
            .iter()
            .zip(work.0)
            .map(|(kind, count)| costs.figure(kind, count))
            .filter(|part| part.count > 0.0)
            .collect()
    });
    let instructions = parts.iter().map(|part| part.instructions).sum::<f64>().round() as u64;
    let flash = Memory::new(vec![("the model", model_bytes), ("code that scores", target.code)], question.flash);
    let ram =
        Memory::new(vec![("scratch", scratch), ("model and scorer", target.structs), ("stack", stack)], question.ram);
    let advice = report::advice(model, file, &flash, &ram)?;
    Ok(Report {
        target: question.target.to_owned(),
        mode,
        fits: flash.fits() && ram.fits(),
        flash,
        ram,
        multiply_accumulates: statistics.multiply_accumulates,
        bag: question.bag,
        instructions,
        parts,
        advice,
    })
}
