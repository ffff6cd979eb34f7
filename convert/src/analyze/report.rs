//! What `xsfm analyze` tells.

use std::fmt;

use serde::Serialize;
use xsfm_runtime::format::SectionKind;
use xsfm_runtime::{LoadError, Mode, Model};

use super::target::{Figure, OPT_LEVELS, Target};
use super::way::{Memory, Way, alone_at};

/// Everything that `xsfm analyze` tells.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The target's name.
    pub target: String,
    /// `f32`, `int8` or `dynamic`.
    pub mode: &'static str,
    /// The fastest way that fits; where none does, the smallest.
    #[serde(flatten)]
    pub told: Way,
    /// Multiplications with additions of one row.
    pub multiply_accumulates: usize,
    /// Indices of a bag that the instructions are for.
    pub bag: usize,
    /// What to change where it does not fit.
    pub advice: Vec<String>,
    /// All ways, from the largest and fastest to the smallest.
    pub ways: Vec<Way>,
}

/// What to change, by what it would bring, where not even `smallest` fits.
pub(super) fn advice(
    model: &Model<'_>,
    file: &[u8],
    target: &Target,
    smallest: &Way,
) -> Result<Vec<String>, LoadError> {
    let Way { flash, ram, .. } = smallest;
    let manifest = model.manifest()?;
    let bytes = |kinds: &[SectionKind]| {
        let of_kinds = manifest.sections.iter().filter(|s| kinds.iter().any(|&kind| kind as u8 == s.kind));
        of_kinds.map(|section| u64::from(section.len)).sum::<u64>()
    };
    let tables = bytes(&[SectionKind::Tables]);
    let layers = bytes(&[SectionKind::LayerWeights]);
    let mut advice = Vec::new();
    for (name, memory) in [("flash", flash), ("RAM", ram)] {
        let fixed = memory.fixed();
        if let Some(available) = memory.available.filter(|&available| available < fixed) {
            advice.push(format!(
                "no model of this mode fits: its code and stack take {fixed} bytes of {name} at least, {available} \
                 are there"
            ));
        }
    }
    if !smallest.fits && model.mode() != Mode::Int8 {
        let alone = OPT_LEVELS.iter().filter_map(|&level| Some((level, target.int8_model.get(level)?))).next_back();
        if let Some((level, alone)) = alone {
            advice.push(format!(
                "int8 mode (`xsfm pack --mode int8`), scored by {}: {} bytes of code instead of {}",
                alone_at(level),
                alone.code,
                target.code
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
                "field {:?} has {} features in {share} bytes of tables: a quotient-remainder table, more collisions \
                 or fewer features",
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
        writeln!(f, "\n{:<26} {:>12} {:>12} {:>14}   fits", "scored by", "flash", "RAM", "instructions")?;
        for Way { way, flash, ram, instructions, fits, .. } in &self.ways {
            writeln!(f, "{way:<26} {:>12} {:>12} {instructions:>14}   {}", flash.bytes, ram.bytes, word(*fits))?;
        }
        for way in &self.ways {
            writeln!(f, "\n{}", way.way)?;
            for (name, memory) in [("flash", &way.flash), ("RAM", &way.ram)] {
                write_memory(f, name, memory)?;
            }
        }
        writeln!(f, "\n{:<42} {:>12}", "multiply-accumulates of a score", self.multiply_accumulates)?;
        writeln!(
            f,
            "{:<42} {:>12}   predicted, by {}, {} indices in a bag",
            "instructions of a score", self.told.instructions, self.told.way, self.bag
        )?;
        for Figure { what, count, instructions } in &self.told.parts {
            writeln!(f, "  {what:<40} {instructions:>12.0}   {count}")?;
        }
        if !self.advice.is_empty() {
            writeln!(f, "\nto make it fit:")?;
            self.advice.iter().try_for_each(|advice| writeln!(f, "- {advice}"))?;
        }
        Ok(())
    }
}

fn word(fits: bool) -> &'static str {
    if fits { "yes" } else { "NO" }
}

fn write_memory(f: &mut fmt::Formatter<'_>, name: &str, memory: &Memory) -> fmt::Result {
    writeln!(f, "  {name:<40} {:>12} bytes", memory.bytes)?;
    for part in &memory.parts {
        writeln!(f, "    {:<38} {:>12}", part.what, part.bytes)?;
    }
    match (memory.available, memory.missing(), memory.left) {
        (Some(available), Some(missing), _) => writeln!(f, "    of {available}: {missing} bytes are MISSING"),
        (Some(available), None, Some(left)) => writeln!(f, "    of {available}: {left} bytes are left"),
        _ => Ok(()),
    }
}
