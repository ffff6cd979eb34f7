//! What targets take for a score. `costs.json` is written by `cargo xtask fit`, which measures on QEMU; nobody edits
//! it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::work::KINDS;
use crate::target::Target as Layout;

/// What a target takes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Bytes of code and constants of `Model` and `Scorer` that load and score: all modes, because the file says which.
    pub code: usize,
    /// Bytes of the model's and the scorer's structs.
    pub structs: usize,
    /// Dimensions of integer pairs that are summed side by side.
    pub lanes: usize,
    /// What each mode takes.
    pub modes: BTreeMap<String, Costs>,
    /// What `Int8Model` takes in their place, by the `opt-level` that it was compiled with: those of [`OPT_LEVELS`]
    /// that predict well.
    pub int8_model: BTreeMap<String, Alone>,
}

/// What a program takes that has int8 mode alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Alone {
    /// Bytes of code and constants that load and score.
    pub code: usize,
    /// Bytes of the model's struct.
    pub structs: usize,
    /// What a score takes.
    #[serde(flatten)]
    pub costs: Costs,
}

/// Compiled for speed, and for size.
pub const OPT_LEVELS: [&str; 2] = ["3", "z"];

/// What a score takes in one of the modes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Costs {
    /// Bytes of stack, of loading or of scoring.
    pub stack: usize,
    /// Instructions for one of each of [`KINDS`].
    pub instructions: BTreeMap<String, f64>,
}

impl Costs {
    pub(super) fn figure(&self, kind: &'static str, count: f64) -> Figure {
        let each = self.instructions.get(kind).copied().unwrap_or(0.0);
        Figure { what: kind, count, instructions: count * each }
    }

    /// Instructions of a score.
    pub fn instructions(&self, counts: &[f64; KINDS.len()]) -> f64 {
        KINDS.iter().zip(counts).map(|(kind, &count)| self.figure(kind, count).instructions).sum()
    }
}

/// A part of a score.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Figure {
    /// What is done.
    pub what: &'static str,
    /// How many there are.
    pub count: f64,
    /// What they take.
    pub instructions: f64,
}

/// How layers are packed for the core of this name, as they were when it was measured.
pub fn layout(core: &str) -> Layout {
    match core {
        "cortex-m4f" | "cortex-m7" | "cortex-m33" => Layout::CortexMDsp,
        "cortex-m55" => Layout::CortexMMve,
        _ => Layout::CortexM,
    }
}

/// What was measured.
const COSTS: &str = include_str!("costs.json");

/// All targets by name.
///
/// # Errors
/// The committed file is not what this version reads.
pub fn all() -> serde_json::Result<BTreeMap<String, Target>> {
    serde_json::from_str(COSTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_knows_every_way_and_every_kind() {
        let targets = all().expect("the committed file");
        let names: Vec<&str> = targets.keys().map(String::as_str).collect();
        assert_eq!(names, ["cortex-m0plus", "cortex-m3", "cortex-m33", "cortex-m4f", "cortex-m55", "cortex-m7"]);
        for (name, target) in &targets {
            assert!(target.code > 1000 && target.structs > 0, "{name}");
            assert!(target.modes.keys().eq(["dynamic", "f32", "int8"]), "{name}");
            let levels = if name == "cortex-m55" { &OPT_LEVELS[..1] } else { &OPT_LEVELS };
            assert!(target.int8_model.keys().eq(levels), "{name}");
            for (level, alone) in &target.int8_model {
                assert!((1000..target.code / 2).contains(&alone.code), "{name} {level}: {}", alone.code);
                assert!((1..target.structs).contains(&alone.structs), "{name} {level}: {}", alone.structs);
            }
            let code: Vec<usize> = target.int8_model.values().map(|alone| alone.code).collect();
            assert!(code.is_sorted_by(|a, b| a > b), "{name}: {code:?}");
            let alone = target.int8_model.iter().map(|(level, alone)| (level, &alone.costs));
            for (way, costs) in target.modes.iter().chain(alone) {
                assert!(costs.stack > 0, "{name} {way}");
                let known = costs.instructions.keys().all(|kind| KINDS.contains(&kind.as_str()));
                assert!(known && costs.instructions.len() == KINDS.len(), "{name} {way}");
            }
        }
    }
}
