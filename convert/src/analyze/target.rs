//! What targets take for a score. `costs.json` is written by `cargo xtask fit`, which measures on QEMU; nobody edits it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::report::Figure;
use super::work::KINDS;
use crate::target::Target as Layout;

/// What a target takes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Bytes of code and constants that load and score: all modes, because the file says which.
    pub code: usize,
    /// Bytes of the model's and the scorer's structs.
    pub structs: usize,
    /// Dimensions of integer pairs that are summed side by side.
    pub lanes: usize,
    /// What each mode takes.
    pub modes: BTreeMap<String, Costs>,
}

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

/// How layers are packed for the core of this name, as they were when it was measured.
pub fn layout(core: &str) -> Layout {
    match core {
        "cortex-m4f" | "cortex-m7" => Layout::CortexMDsp,
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
    fn every_target_knows_every_mode_and_every_kind() {
        let targets = all().expect("the committed file");
        assert!(targets.len() >= 4, "{}", targets.len());
        for (name, target) in targets {
            assert!(target.code > 1000 && target.structs > 0, "{name}");
            assert!(target.modes.keys().eq(["dynamic", "f32", "int8"]), "{name}");
            for (mode, costs) in target.modes {
                assert!(costs.stack > 0, "{name} {mode}");
                let known = costs.instructions.keys().all(|kind| KINDS.contains(&kind.as_str()));
                assert!(known && costs.instructions.len() == KINDS.len(), "{name} {mode}");
            }
        }
    }
}
