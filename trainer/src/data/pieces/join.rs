//! From files of pieces to those of the parts: one each, or several that a manifest lists.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use xsfm_interchange::fingerprint::RowsHash;
use xsfm_interchange::rows::{Bounds, Manifest, ManifestFile, RowBlock, RowsReader};
use xsfm_interchange::schema::Schema;
use xsfm_readers::error::DataError;
use xsfm_readers::parallel::in_order;
use xsfm_readers::pass::Walk;

use super::job::{self, Joined};
use crate::data::command::Task;
use crate::data::encoded::Tally;
use crate::data::prepare::{commit, placed, remove, writers};
use crate::data::report::Report;
use crate::data::split::Part;

/// Blocks of a file where a part has several.
const BLOCKS: u64 = 16;

/// What is known of all rows once they are encoded.
pub(super) struct Told {
    pub(super) schema: Box<Schema>,
    pub(super) warnings: Vec<String>,
    pub(super) walk: Walk,
    pub(super) tally: Tally,
}

/// Writes each part as one file, from those of the pieces in `folder`, of which `rows` has the numbers of rows.
pub(super) fn one_file_each(task: &Task, folder: &Path, told: Told, rows: &[[u64; 3]]) -> Result<Report, DataError> {
    let Told { schema, warnings, walk, tally } = told;
    let mut writers = writers(&*task.source, &schema, |part| task.out.join(part.file()))?;
    for (part, writer) in Part::ALL.into_iter().zip(&mut writers) {
        let pieces = (0..).zip(rows).map(|(piece, rows)| (job::file(folder, part, piece), rows[part as usize]));
        let pieces = pieces.filter(|&(_, rows)| rows > 0);
        each_block(&schema, pieces, task.reading.threads, |block| Ok(writer.push_block(&block)?))?;
    }
    let report = |rows| tally.report(&schema, &task.split, walk, warnings, rows);
    commit(&schema, &task.out, || placed(writers), report)
}

/// Gives the files that machines have joined in `folder` their places.
pub(super) fn several_files_each(
    task: &Task,
    folder: &Path,
    told: Told,
    files: &[Joined],
) -> Result<Report, DataError> {
    let Told { schema, warnings, walk, tally } = told;
    let fingerprint = |part: Part| {
        let of_part = files.iter().filter(|file| file.part == part as usize);
        let paths = of_part.map(|file| (folder.join(&file.name), file.rows));
        let mut hash = RowsHash::default();
        each_block(&schema, paths, task.reading.threads, |block| {
            hash.push(block.len(), &block.labels, &block.weights, &block.indices, &block.offsets);
            Ok(())
        })?;
        Ok::<_, DataError>(hash.finish())
    };
    let fingerprints = [fingerprint(Part::Train)?, fingerprint(Part::Valid)?, fingerprint(Part::Test)?];
    // A manifest lists one file at least.
    let empty = writers(&*task.source, &schema, |part| task.out.join(part.file()))?;
    let place = || {
        for (part, (empty, fingerprint)) in Part::ALL.into_iter().zip(empty.into_iter().zip(fingerprints)) {
            let of_part = files.iter().filter(|file| file.part == part as usize);
            let files = of_part.map(|file| ManifestFile { name: file.name.clone(), rows: file.rows });
            let files: Vec<ManifestFile> = files.collect();
            if files.is_empty() {
                empty.commit()?;
                continue;
            }
            for ManifestFile { name, .. } in &files {
                let place = task.out.join(name);
                fs::rename(folder.join(name), &place).map_err(DataError::io(&place))?;
            }
            remove(&task.out.join(part.file()))?;
            Manifest { fingerprint, files }.save(&task.out.join(part.manifest()))?;
        }
        Ok(fingerprints)
    };
    commit(&schema, &task.out, place, |rows| tally.report(&schema, &task.split, walk, warnings, rows))
}

/// Calls `each` with all blocks of files, which have so many rows, in their order; they are read on several threads.
fn each_block(
    schema: &Schema,
    files: impl Iterator<Item = (PathBuf, u64)> + Send,
    threads: usize,
    mut each: impl FnMut(RowBlock) -> Result<(), DataError> + Send,
) -> Result<(), DataError> {
    let bounds = Bounds::from(schema);
    let blocks = files.flat_map(|(path, rows)| match blocks_of(&path, rows) {
        Ok(blocks) => blocks.map(|block| Ok((path.clone(), block))).collect(),
        Err(error) => vec![Err(error)],
    });
    let read = |(path, block): (PathBuf, usize)| {
        RowsReader::open(&path).and_then(|reader| reader.expecting(bounds.clone())?.read_block(block))
    };
    in_order(threads, blocks, read, |block| each(block?))
}

/// The blocks of a file that has so many rows.
fn blocks_of(path: &Path, rows: u64) -> Result<Range<usize>, DataError> {
    let reader = RowsReader::open(path)?;
    if reader.num_rows() == rows {
        return Ok(0..reader.num_blocks());
    }
    Err(DataError::file(path, format!("{} rows, {rows} expected", reader.num_rows())))
}

/// Which rows of the pieces' files go to which joined file: so many blocks of them to each, of `block_rows` rows each.
pub(super) fn files(rows: &[[u64; 3]], block_rows: u64) -> Vec<Joined> {
    let mut files = Vec::new();
    for part in Part::ALL.map(|part| part as usize) {
        let pieces = || rows.iter().map(|rows| rows[part]);
        let (all, of_file) = (pieces().sum::<u64>(), BLOCKS * block_rows);
        // The first piece that has rows of the next file, and rows before it.
        let (mut first, mut before) = (0, 0);
        for (number, from) in (0..all).step_by(of_file as usize).enumerate() {
            let to = all.min(from + of_file);
            while before + rows[first][part] <= from {
                before += rows[first][part];
                first += 1;
            }
            let mut end = before;
            let is_in = |&(_, rows): &(usize, u64)| {
                let begins = end < to;
                end += rows;
                begins
            };
            let with_rows = pieces().enumerate().skip(first).take_while(is_in).filter(|&(_, rows)| rows > 0);
            let pieces = with_rows.map(|(piece, _)| piece).collect();
            let name = format!("{}-{number:06}.arrow", Part::ALL[part].word());
            files.push(Joined { name, part, rows: to - from, pieces, skipped: from - before });
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_in_one_file() {
        let rows = [[5, 0, 1], [0, 0, 40], [70, 0, 0], [3, 0, 0], [16, 0, 7]];
        let files = files(&rows, 2);
        assert!(files.iter().all(|file| file.part != 1 && file.rows > 0 && file.rows <= 32));
        for part in [0, 2] {
            // Each row by its piece and its place there.
            let all: Vec<(usize, u64)> =
                (0..rows.len()).flat_map(|piece| (0..rows[piece][part]).map(move |row| (piece, row))).collect();
            let of_file = |file: &Joined| -> Vec<(usize, u64)> {
                let rows = file.pieces.iter().flat_map(|&piece| (0..rows[piece][part]).map(move |row| (piece, row)));
                rows.skip(file.skipped as usize).take(file.rows as usize).collect()
            };
            let found: Vec<_> = files.iter().filter(|file| file.part == part).flat_map(of_file).collect();
            assert_eq!(found, all);
        }
    }
}
