//! What `xsfm analyze` tells.

use std::fmt;

use serde::Serialize;
use xsfm_runtime::format::SectionKind;
use xsfm_runtime::{LoadError, Mode, Model};

/// Everything that `xsfm analyze` tells.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The target's name.
    pub target: String,
    /// `f32`, `int8` or `dynamic`.
    pub mode: &'static str,
    /// Whether flash and RAM suffice, where it was said how much there is.
    pub fits: bool,
    /// Flash.
    pub flash: Memory,
    /// RAM.
    pub ram: Memory,
    /// Multiplications with additions of one row.
    pub multiply_accumulates: usize,
    /// Indices of a bag that the instructions are for.
    pub bag: usize,
    /// Instructions of one score, predicted.
    pub instructions: u64,
    /// Where they go.
    pub parts: Vec<Figure>,
    /// What to change where it does not fit.
    pub advice: Vec<String>,
}

/// Flash or RAM.
#[derive(Clone, Debug, Serialize)]
pub struct Memory {
    /// Bytes needed.
    pub bytes: usize,
    /// What for.
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

/// A part of a score.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Figure {
    /// What is counted.
    pub what: &'static str,
    /// How many there are.
    pub count: f64,
    /// What they take.
    pub instructions: f64,
}

impl Memory {
    pub(super) fn new(parts: Vec<(&'static str, usize)>, available: Option<usize>) -> Self {
        let bytes = parts.iter().map(|&(_, bytes)| bytes).sum::<usize>();
        let signed = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
        let left = available.map(|available| signed(available) - signed(bytes));
        let parts = parts.into_iter().map(|(what, bytes)| Part { what, bytes }).collect();
        Memory { bytes, parts, available, left }
    }

    pub(super) fn fits(&self) -> bool {
        self.left.is_none_or(|left| left >= 0)
    }
}

/// What to change, by what it would bring.
pub(super) fn advice(model: &Model<'_>, file: &[u8], flash: &Memory, ram: &Memory) -> Result<Vec<String>, LoadError> {
    let manifest = model.manifest()?;
    let bytes = |kinds: &[SectionKind]| {
        let of_kinds = manifest.sections.iter().filter(|s| kinds.iter().any(|&kind| kind as u8 == s.kind));
        of_kinds.map(|section| u64::from(section.len)).sum::<u64>()
    };
    let tables = bytes(&[SectionKind::Tables]);
    let layers = bytes(&[SectionKind::LayerWeights]);
    let mut advice = Vec::new();
    for (name, memory) in [("flash", flash), ("RAM", ram)] {
        // What the model cannot change.
        let fixed: usize = memory.parts[1..].iter().map(|part| part.bytes).sum();
        if let Some(available) = memory.available.filter(|&available| available < fixed) {
            advice.push(format!(
                "no model of this mode fits: its code and stack take {fixed} bytes of {name}, {available} are there"
            ));
        }
    }
    if !flash.fits() {
        if model.mode() == Mode::F32 {
            let saved = file.len() / 4 * 3;
            advice.push(format!("int8 instead of f32 (`xsfm pack --mode int8`): about {saved} bytes of flash less"));
        } else if model.fields().any(|field| !field.four_bits) {
            advice.push(format!(
                "tables of 4 bits (`xsfm pack --table-bits 4`): about {} bytes of flash less",
                tables / 2
            ));
        }
        if let Some(largest) = model.fields().max_by_key(|field| field.parameters) {
            let share =
                tables as usize * largest.parameters / model.fields().map(|f| f.parameters).sum::<usize>().max(1);
            advice.push(format!(
                "field {:?} has {} features in {share} bytes of tables: a quotient-remainder table, more collisions or fewer features",
                largest.name, largest.features
            ));
        }
        if layers > tables {
            advice.push(format!("layers have {layers} bytes of weights: narrower hidden layers"));
        }
    }
    if !ram.fits() {
        if model.mode() != Mode::Int8 {
            advice.push("int8 mode: vectors and layers of one byte a number, and a smaller stack".to_owned());
        }
        advice.push(
            "a smaller embed_dim, fewer fields, or narrower layers: scratch holds all vectors and two layers"
                .to_owned(),
        );
    }
    Ok(advice)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} on {}, its layers packed for that: xsfm retarget --target {}",
            self.mode, self.target, self.target
        )?;
        for (name, memory) in [("flash", &self.flash), ("RAM", &self.ram)] {
            writeln!(f, "\n{name:<42} {:>12} bytes", memory.bytes)?;
            for part in &memory.parts {
                writeln!(f, "  {:<40} {:>12}", part.what, part.bytes)?;
            }
            match (memory.available, memory.left) {
                (Some(available), Some(left)) if left < 0 => {
                    writeln!(f, "  of {available}: {} bytes are MISSING", left.unsigned_abs())?;
                }
                (Some(available), Some(left)) => writeln!(f, "  of {available}: {left} bytes are left")?,
                _ => (),
            }
        }
        writeln!(f, "\n{:<42} {:>12}", "multiply-accumulates of a score", self.multiply_accumulates)?;
        writeln!(
            f,
            "{:<42} {:>12}   predicted, {} indices in a bag",
            "instructions of a score", self.instructions, self.bag
        )?;
        for Figure { what, count, instructions } in &self.parts {
            writeln!(f, "  {what:<40} {instructions:>12.0}   {count}")?;
        }
        if !self.advice.is_empty() {
            writeln!(f, "\nto make it fit:")?;
            self.advice.iter().try_for_each(|advice| writeln!(f, "- {advice}"))?;
        }
        Ok(())
    }
}
