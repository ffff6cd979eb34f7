//! Pieces of a data set, for threads or machines that share it: consecutive rows of a file that are read without those
//! before them, in the same blocks as in a pass over all rows.

use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::pass::{Assign, EXAMPLES, ROWS_BEFORE_GIVING_UP, Rows, Seen};
use crate::raw::Place;
use crate::source::Source;

/// Consecutive rows of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// The number of the file among those of the data set.
    pub file: usize,
    /// Where it begins in the file; `None` at the first row.
    pub from: Option<Place>,
    /// Rows of the data set before it, malformed ones included.
    pub first_row: u64,
    /// How many rows it has, malformed ones included.
    pub rows: u64,
}

/// The pieces of a data set, in the order of its rows: of each of its files the
/// [`spans`](crate::source::Source::spans).
pub fn pieces(files: &[Vec<(Option<Place>, u64)>]) -> Vec<Piece> {
    let (mut pieces, mut first_row) = (Vec::new(), 0);
    for (file, spans) in files.iter().enumerate() {
        for &(from, rows) in spans {
            pieces.push(Piece { file, from, first_row, rows });
            first_row += rows;
        }
    }
    pieces
}

/// Gives the blocks of a piece to `work`, in their order and on this thread; `assigner` begins at its first row. What
/// was seen of it can be added to a [`Walk`](crate::pass::Walk) behind what was seen of the pieces before it, which
/// then gives up where a pass would.
///
/// # Errors
/// A file that cannot be read, or has changed since it was divided; those of `work`.
pub fn pass_piece<A: Assign>(
    source: &dyn Source,
    piece: &Piece,
    mut assigner: A,
    mut work: impl FnMut(&mut Rows<'_, A>) -> Result<(), DataError>,
) -> Result<Vec<Seen>, DataError> {
    let (mut seen, mut rows_read) = (Vec::new(), 0);
    let mut blocks = source.open(piece.file, piece.from, &ProgressBar::hidden())?;
    while rows_read < piece.rows {
        let Some(block) = blocks.next().transpose()? else { break };
        let mut rows = Rows::new(block, piece.first_row + rows_read, &mut assigner)?;
        work(&mut rows)?;
        let of_block = rows.into_seen();
        rows_read += of_block.rows;
        push(&mut seen, of_block, piece.first_row + rows_read);
    }
    if rows_read == piece.rows {
        return Ok(seen);
    }
    let path = source.files().part(piece.file)?;
    let what = format!("{rows_read} rows in a piece that had {}: the file has changed", piece.rows);
    Err(DataError::file(path, what))
}

/// Adds what was seen of a block, behind which `rows` rows of the data set have been read.
///
/// Whether a pass is given up is asked behind each block, from a number of rows on. Behind a block without malformed
/// rows the answer is not yes where it was no before: such blocks are told together.
fn push(seen: &mut Vec<Seen>, mut block: Seen, rows: u64) {
    let shown: usize = seen.iter().map(|seen| seen.examples.len()).sum();
    block.examples.truncate(EXAMPLES.saturating_sub(shown));
    match seen.last_mut() {
        Some(last)
            if last.malformed + block.malformed == 0 && rows - block.rows - last.rows >= ROWS_BEFORE_GIVING_UP =>
        {
            last.rows += block.rows;
        }
        _ => seen.push(block),
    }
}
