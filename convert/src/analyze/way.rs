//! The programs that can score a model, and what each takes.

use serde::Serialize;
use xsfm_runtime::{Backend, Int8Model, LoadError, Mode, Model, ScratchBlock};

use super::target::{Costs, Figure, OPT_LEVELS, Target};
use super::work::{KINDS, Work};
use crate::inspect;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question<'q> {
    /// The target's name, one of [`super::target::all`].
    pub target: &'q str,
    /// Bytes of flash that the model and its scorer may take.
    pub flash: Option<usize>,
    /// Bytes of RAM that scoring may take.
    pub ram: Option<usize>,
    /// Indices of a bag, on average.
    pub bag: usize,
}

/// A program that can score the model.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Way {
    /// What of the library it has, and how that is compiled.
    pub way: String,
    /// Whether flash and RAM suffice, where it was said how much there is.
    pub fits: bool,
    /// Flash.
    pub flash: Memory,
    /// RAM.
    pub ram: Memory,
    /// Instructions of one score, predicted.
    pub instructions: u64,
    /// Where they go.
    pub parts: Vec<Figure>,
}

/// Flash or RAM.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Memory {
    /// Bytes needed.
    pub bytes: usize,
    /// What for; the first is the model's own, the others are the program's.
    pub parts: Vec<Part>,
    /// Bytes that there are, where it was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available: Option<usize>,
    /// Bytes that are left; negative where some are missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<i64>,
}

/// A part of it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Part {
    /// What needs it.
    pub what: &'static str,
    /// Bytes.
    pub bytes: usize,
}

/// What a program is made of, beside the model.
struct Program<'c> {
    code: usize,
    structs: usize,
    scratch: usize,
    costs: Option<&'c Costs>,
}

/// From the largest and fastest program to the smallest; `Int8Model` where it can score the model.
pub(super) fn all(
    model: &Model<'_>,
    file: &[u8],
    target: &Target,
    work: &Work,
    question: &Question<'_>,
) -> Result<Vec<Way>, LoadError> {
    let bytes = model.statistics().file_bytes.next_multiple_of(ScratchBlock::LEN);
    let way = |name: String, program: &Program<'_>| Way::new(name, bytes, program, work, question);
    let whole = Program {
        code: target.code,
        structs: target.structs,
        scratch: model.with_backend(Backend::Portable).unwrap_or(*model).scratch_blocks() * ScratchBlock::LEN,
        costs: target.modes.get(inspect::mode_name(model.mode())),
    };
    let mut ways = vec![way("Model and Scorer".to_owned(), &whole)];
    if model.mode() == Mode::Int8 && !model.fields().any(|field| field.weighted) {
        let scratch = Int8Model::from_bytes_skipping_checksum(file)?.scratch_blocks() * ScratchBlock::LEN;
        for level in OPT_LEVELS {
            let Some(alone) = target.int8_model.get(level) else { continue };
            let program = Program { code: alone.code, structs: alone.structs, scratch, costs: Some(&alone.costs) };
            ways.push(way(alone_at(level), &program));
        }
    }
    Ok(ways)
}

/// The name of the way that has int8 mode alone.
pub(super) fn alone_at(level: &str) -> String {
    format!("Int8Model, opt-level {level}")
}

impl Way {
    fn new(way: String, model_bytes: usize, program: &Program<'_>, work: &Work, question: &Question<'_>) -> Self {
        let Program { code, structs, scratch, costs } = *program;
        let stack = costs.map_or(0, |costs| costs.stack);
        let parts: Vec<Figure> = costs.map_or_else(Vec::new, |costs| {
            let figures = KINDS.iter().zip(work.0).map(|(kind, count)| costs.figure(kind, count));
            figures.filter(|part| part.count > 0.0).collect()
        });
        let flash = Memory::new(vec![("the model", model_bytes), ("code that scores", code)], question.flash);
        let ram =
            Memory::new(vec![("scratch", scratch), ("model and scorer", structs), ("stack", stack)], question.ram);
        Way {
            way,
            fits: flash.fits() && ram.fits(),
            flash,
            ram,
            instructions: parts.iter().map(|part| part.instructions).sum::<f64>().round() as u64,
            parts,
        }
    }
}

impl Memory {
    fn new(parts: Vec<(&'static str, usize)>, available: Option<usize>) -> Self {
        let bytes = parts.iter().map(|&(_, bytes)| bytes).sum::<usize>();
        let signed = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
        let left = available.map(|available| signed(available) - signed(bytes));
        let parts = parts.into_iter().map(|(what, bytes)| Part { what, bytes }).collect();
        Memory { bytes, parts, available, left }
    }

    pub(super) fn fits(&self) -> bool {
        self.left.is_none_or(|left| left >= 0)
    }

    /// Bytes that are missing.
    pub(super) fn missing(&self) -> Option<u64> {
        self.left.filter(|&left| left < 0).map(i64::unsigned_abs)
    }

    /// What the model cannot change.
    pub(super) fn fixed(&self) -> usize {
        self.parts.iter().skip(1).map(|part| part.bytes).sum()
    }
}
