//! Files of lines, plain or gzip, in blocks of whole lines.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use indicatif::ProgressBar;

use super::source::{Block, Blocks, DataError, RawRow};

/// Bytes of text that a thread takes at a time: few enough for its cache, many enough that taking them costs nothing.
const BLOCK_BYTES: usize = 512 << 10;
/// A line longer than this is no row of a click log, but a file without line ends.
const LINE_MAX: usize = 16 << 20;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// What a row says that a gzip stream broke off in.
pub(super) const TRUNCATED: &str = "the gzip stream ends here, before its end: whatever followed is missing";

/// Opens a file; gzip is known by its first bytes, whatever its name. `progress` counts bytes of the file.
///
/// # Errors
/// The file cannot be read.
pub(super) fn open(path: &Path, progress: &ProgressBar) -> Result<Box<dyn Read + Send>, DataError> {
    let mut file = File::open(path).map_err(DataError::io(path))?;
    let mut magic = Vec::new();
    file.by_ref().take(2).read_to_end(&mut magic).map_err(DataError::io(path))?;
    let is_gzip = magic == GZIP_MAGIC;
    let whole = progress.wrap_read(io::Cursor::new(magic).chain(file));
    Ok(if is_gzip { Box::new(MultiGzDecoder::new(BufReader::with_capacity(1 << 16, whole))) } else { Box::new(whole) })
}

/// How a line becomes a row.
pub(super) trait LineParser: Sync {
    /// Fills an empty `row` from a line without its end.
    fn parse(&self, line: &[u8], row: &mut RawRow) -> Result<(), String>;
}

/// The rows of a file of lines; the first `header_lines` are none.
///
/// # Errors
/// The file cannot be read.
pub(super) fn blocks<'a>(
    path: &Path,
    header_lines: u64,
    parser: &'a dyn LineParser,
    progress: &ProgressBar,
) -> Result<Blocks<'a>, DataError> {
    let reader = open(path, progress)?;
    Ok(Box::new(Lines { path: path.to_owned(), parser, reader, rest: Vec::new(), line: 1, header_lines, ended: false }))
}

struct Lines<'a> {
    path: PathBuf,
    parser: &'a dyn LineParser,
    reader: Box<dyn Read + Send>,
    /// What was read behind the last whole line.
    rest: Vec<u8>,
    /// Number of the next line.
    line: u64,
    header_lines: u64,
    ended: bool,
}

/// Whole lines.
struct LineBlock<'a> {
    parser: &'a dyn LineParser,
    text: Vec<u8>,
    /// Where each line ends in `text`, its `\n` included.
    ends: Vec<usize>,
    first_line: u64,
    /// Whether the last line broke off.
    truncated: bool,
}

impl<'a> Lines<'a> {
    fn read(&mut self) -> Result<LineBlock<'a>, DataError> {
        let mut text = std::mem::take(&mut self.rest);
        let mut truncated = false;
        let mut whole = None;
        while whole.is_none() && !self.ended {
            let searched = text.len();
            let wanted = BLOCK_BYTES.saturating_sub(searched).max(BLOCK_BYTES / 8) as u64;
            text.reserve(wanted as usize);
            match self.reader.by_ref().take(wanted).read_to_end(&mut text) {
                Ok(read) => self.ended = (read as u64) < wanted,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => (self.ended, truncated) = (true, true),
                Err(error) => return Err(DataError::io(&self.path)(error)),
            }
            whole = memchr::memrchr(b'\n', &text[searched..]).map(|place| searched + place + 1);
            if whole.is_none() && text.len() > LINE_MAX {
                return Err(DataError::row(&self.path, self.line, format!("a line of more than {LINE_MAX} bytes")));
            }
        }
        // At the end of the file the last line may lack its end, and belongs to the rest.
        let keep = if self.ended { text.len() } else { whole.unwrap_or(0) };
        self.rest = text.split_off(keep);
        let mut ends: Vec<usize> = memchr::memchr_iter(b'\n', &text).map(|place| place + 1).collect();
        if truncated || ends.last().map_or(!text.is_empty(), |&end| end < text.len()) {
            ends.push(text.len());
        }
        let block = LineBlock { parser: self.parser, text, ends, first_line: self.line, truncated };
        self.line += block.ends.len() as u64;
        Ok(block)
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Result<Box<dyn Block + 'a>, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let mut block = match self.read() {
            Ok(block) => block,
            Err(error) => {
                self.ended = true;
                return Some(Err(error));
            }
        };
        if self.header_lines > 0 {
            let header = self.header_lines.min(block.ends.len() as u64);
            let skipped: usize = if header == 0 { 0 } else { block.ends[header as usize - 1] };
            block.text.drain(..skipped);
            block.ends.drain(..header as usize);
            block.ends.iter_mut().for_each(|end| *end -= skipped);
            block.first_line += header;
            self.header_lines -= header;
        }
        Some(Ok(Box::new(block)))
    }
}

impl Block for LineBlock<'_> {
    fn rows(&self) -> usize {
        self.ends.len()
    }

    fn line(&self, i: usize) -> u64 {
        self.first_line + i as u64
    }

    fn fill(&self, i: usize, row: &mut RawRow) -> Result<(), String> {
        if self.truncated && i + 1 == self.ends.len() {
            return Err(TRUNCATED.to_owned());
        }
        let start = if i == 0 { 0 } else { self.ends[i - 1] };
        let line = &self.text[start..self.ends[i]];
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        self.parser.parse(line.strip_suffix(b"\r").unwrap_or(line), row)
    }
}
