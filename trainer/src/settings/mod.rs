//! The flags of `train` and `distill`. A settings file (`--config FILE.toml`) is a list of the same flags: `embed_dim =
//! 16` in it is `--embed-dim=16` on the command line, and the command line wins. Switches take a value
//! (`--batch-norm=false`), so that either can overrule the other.

mod architecture;
pub mod by_rows;
mod distillation;
mod field_factors;
mod file;
mod network;
mod place;
mod quantization;
mod training;
mod widths;

use anyhow::{Result, bail};

pub use self::architecture::{Architecture, Composition, Initialization, LayerInit, SecondOrder, TableInit};
pub use self::by_rows::{BatchSize, TableL2};
pub use self::distillation::Distillation;
pub use self::field_factors::FieldFactors;
pub use self::file::{expand_config, flags};
pub use self::network::{Names, NetworkFlags, NetworkKind};
pub use self::place::Place;
pub use self::quantization::{Quantization, Start};
pub use self::training::{Optimizer, Pruning, StopOn, Training};
pub use self::widths::Widths;

/// What older runs did not have is recorded only where it is used: they go on under a newer program.
fn is_default<T: Copy + Into<u64>, const DEFAULT: u64>(value: &T) -> bool {
    (*value).into() == DEFAULT
}

fn check_share(flag: &str, value: f64) -> Result<()> {
    if (0.0..1.0).contains(&value) {
        return Ok(());
    }
    bail!("--{flag} is {value}; a share is at least 0 and less than 1")
}
