//! The model and the rows that are part of the program, and the memory that they need.

use example_input::{Ranking, Table};
use static_cell::ConstStaticCell;
use xsfm_runtime::{Aligned, ScratchBlock};

use crate::stop;

include!(concat!(env!("OUT_DIR"), "/constants.rs"));

/// The packed model, where the linker put it: in flash.
pub static MODEL: Aligned<[u8; MODEL_BYTES]> = Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/model.xsfm")));

/// The model with a vocabulary.
pub static RAW_MODEL: Aligned<[u8; RAW_BYTES]> = Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/raw.xsfm")));

/// Rows for it: a line each, a tab between the values of fields.
pub const RAW_ROWS: &str = include_str!("../raw.tsv");

/// All the RAM that it needs beside the stack.
pub static RAW_SCRATCH: ConstStaticCell<[ScratchBlock; RAW_BLOCKS]> =
    ConstStaticCell::new([ScratchBlock::ZERO; RAW_BLOCKS]);

/// All the RAM that scoring needs beside the stack; whoever takes it first has it.
pub static SCRATCH: ConstStaticCell<[ScratchBlock; SCRATCH_BLOCKS]> =
    ConstStaticCell::new([ScratchBlock::ZERO; SCRATCH_BLOCKS]);

/// All the RAM that ranking needs beside the stack.
pub static RANKER: ConstStaticCell<[ScratchBlock; RANKER_BLOCKS]> =
    ConstStaticCell::new([ScratchBlock::ZERO; RANKER_BLOCKS]);

/// The rows to score.
pub fn rows() -> Table<'static> {
    match Table::decode(&ROWS) {
        Some((table, _)) => table,
        None => stop("rows", "not a table"),
    }
}

/// The candidates to rank.
pub fn ranking() -> Ranking<'static> {
    Ranking::decode(&RANKING).unwrap_or_else(|| stop("candidates", "not a ranking"))
}
