//! Models and rows that the emulator's host has in files: another model needs no new program.
//!
//! On a machine without a host, and in real firmware, a model is in flash: see [`flash`](crate::flash).

use core::ffi::CStr;

use example_input::Table;
use semihosting::experimental::env;
use semihosting::fs::File;
use semihosting::io::Read;
use static_cell::ConstStaticCell;
use xsfm_runtime::{Model, Row, Score, Scorer, ScratchBlock};
use zerocopy::IntoBytes;

use crate::{raw, score, stop};

/// `files MODEL ROWS`: as `score`, with files. `files MODEL LINES raw`: as `raw`.
pub fn main() {
    let words = Words::get();
    words.expect("the program's name");
    let (model, rows) = (words.expect("a model"), words.expect("a file of rows"));
    let mut room = Room::take();
    if let Some(word) = words.next() {
        return if word == "raw" { room.score_raw(model, rows) } else { stop("not a word for rows", word) };
    }
    let (bytes, words, memory) = room.read(model, rows);
    let Some((rows, [])) = Table::decode(words) else { stop(rows, "not a table") };
    score::run(bytes, rows, memory);
    compare_batches(bytes, rows, memory);
}

/// Scores the rows five at a time: a batch has the bits of its rows, whichever of them go through the layers together.
fn compare_batches(model: &[u8], rows: Table<'_>, scratch: &mut [ScratchBlock]) {
    const BATCH: usize = 5;
    let model = Model::from_bytes(model).unwrap_or_else(|why| stop("the model", why));
    let Some((single, batch)) = scratch.split_at_mut_checked(model.scratch_blocks()) else {
        stop("scratch", "too little")
    };
    let mut single = Scorer::new(&model, single).unwrap_or_else(|why| stop("a scorer", why));
    let mut batch = Scorer::new(&model, batch).unwrap_or_else(|why| stop("a scorer of batches", why));
    let mut left = rows.rows();
    loop {
        let (mut of_batch, mut scores, mut count) = ([Row::new(&[]); BATCH], [Score::default(); BATCH], 0);
        for (slot, row) in of_batch.iter_mut().zip(&mut left) {
            *slot = row;
            count += 1;
        }
        if count == 0 {
            return;
        }
        let (of_batch, scores) = (&of_batch[..count], &mut scores[..count]);
        if let Err(why) = batch.score_batch(of_batch, scores) {
            stop("a batch", why.error);
        }
        for (&row, score) in of_batch.iter().zip(scores) {
            let alone = single.score(row).unwrap_or_else(|why| stop("a row", why));
            if alone.logit.to_bits() != score.logit.to_bits() {
                stop("a row has another score in a batch", alone);
            }
        }
    }
}

/// Memory for what is read, and for what then works with it.
#[derive(Debug)]
pub struct Room {
    model: &'static mut [ScratchBlock],
    rows: &'static mut [u32],
    /// For scorers and rankers.
    pub memory: &'static mut [ScratchBlock],
}

impl Room {
    /// All of it; whoever takes it first has it.
    pub fn take() -> Self {
        static MODEL: ConstStaticCell<[ScratchBlock; (5 << 19) / ScratchBlock::LEN]> =
            ConstStaticCell::new([ScratchBlock::ZERO; _]);
        static ROWS: ConstStaticCell<[u32; (1 << 18) / size_of::<u32>()]> = ConstStaticCell::new([0; _]);
        static MEMORY: ConstStaticCell<[ScratchBlock; (1 << 19) / ScratchBlock::LEN]> =
            ConstStaticCell::new([ScratchBlock::ZERO; _]);
        Room { model: MODEL.take(), rows: ROWS.take(), memory: MEMORY.take() }
    }

    /// The bytes of a model's file, the words of a file of rows, and the memory.
    pub fn read(&mut self, model: &str, rows: &str) -> (&[u8], &[u32], &mut [ScratchBlock]) {
        let bytes = read(model, self.model.as_mut_bytes());
        let words = read(rows, self.rows.as_mut_bytes()) / size_of::<u32>();
        (&self.model.as_bytes()[..bytes], &self.rows[..words], self.memory)
    }

    /// Scores lines of raw values.
    fn score_raw(self, model: &str, lines: &str) {
        static INDICES: ConstStaticCell<[u32; 1 << 12]> = ConstStaticCell::new([0; _]);
        static OFFSETS: ConstStaticCell<[u32; 1 << 8]> = ConstStaticCell::new([0; _]);
        let bytes = read(model, self.model.as_mut_bytes());
        let len = read(lines, self.rows.as_mut_bytes());
        let Ok(text) = str::from_utf8(&self.rows.as_bytes()[..len]) else { stop(lines, "not UTF-8") };
        raw::run(&self.model.as_bytes()[..bytes], text, self.memory, [INDICES.take(), OFFSETS.take()], "row");
    }
}

/// The words after the program's name, as the host gives them.
#[derive(Debug)]
pub struct Words(env::Args<2048>);

impl Words {
    /// Asks the host.
    pub fn get() -> Self {
        match env::args() {
            Ok(words) => Words(words),
            Err(_) => stop("the command line", "cannot be had, or is longer than 2 KiB"),
        }
    }

    /// The next one.
    pub fn next(&self) -> Option<&str> {
        (&self.0).next().map(|word| word.unwrap_or_else(|_| stop("the command line", "not UTF-8")))
    }

    /// The next one, which must be there.
    pub fn expect(&self, what: &str) -> &str {
        self.next().unwrap_or_else(|| stop("missing on the command line", what))
    }
}

/// A file has at least as many bytes as there are for it.
#[derive(defmt::Format)]
struct TooLarge {
    room: usize,
}

/// Reads a file whole; gives its length.
fn read(path: &str, room: &mut [u8]) -> usize {
    let mut name = [0; 512];
    let fits = name.get_mut(..path.len()).map(|start| start.copy_from_slice(path.as_bytes()));
    let (Some(()), Ok(name)) = (fits, CStr::from_bytes_until_nul(&name)) else { stop(path, "too long a name") };
    let Ok(mut file) = File::open(name) else { stop(path, "cannot be opened") };
    let mut len = 0;
    loop {
        match file.read(&mut room[len..]) {
            Ok(0) if len == room.len() => stop(path, TooLarge { room: len }),
            Ok(0) => return len,
            Ok(more) => len += more,
            Err(_) => stop(path, "cannot be read"),
        }
    }
}
