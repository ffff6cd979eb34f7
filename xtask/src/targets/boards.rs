//! The programs for boards that one can buy: built and linked here, flashed by whoever has the board (docs/boards.md).

use anyhow::Result;
use xsfm_interchange::output;

use super::target::{Target, bare};
use crate::{cargo, command, workspace};

/// A board, whose package has its name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Board {
    name: &'static str,
    pub(crate) target: Target,
}

pub(crate) const BOARDS: [Board; 2] = [
    Board { name: "pico2", target: bare("thumbv8m.main-none-eabihf") },
    Board { name: "nrf52840-dk", target: bare("thumbv7em-none-eabihf") },
];

impl Board {
    /// The folder of its package, counted from the root.
    pub(crate) fn folder(self) -> String {
        format!("{}/boards/{}", workspace::EXAMPLES, self.name)
    }

    fn build(self) -> Result<()> {
        let toolchain = self.target.set_up()?;
        let program = cargo::built(&mut toolchain.cargo(&self.folder(), &["build", "--release"])?, self.name)?;
        output::line(program.display())?;
        Ok(())
    }
}

/// Builds all; prints where they are.
pub(crate) fn build() -> Result<()> {
    BOARDS.into_iter().try_for_each(|board| {
        command::heading(board.name);
        board.build()
    })
}
