//! Files of lines, plain or gzip, in blocks of whole lines.

use std::io::{self, Read};
use std::path::Path;

use indicatif::ProgressBar;

use crate::error::DataError;
use crate::files::Files;
use crate::open::{TRUNCATED, Text, open, open_at};
use crate::raw::{Block, Blocks, Place, RawRow};

/// Bytes of text that a thread takes at a time: few enough for its cache, many enough that taking them costs nothing.
pub(crate) const BLOCK_BYTES: usize = 512 << 10;
/// A line longer than this is no row of a click log, but a file without line ends.
pub(crate) const LINE_MAX: usize = 16 << 20;

/// The text of a file, as far as it was read and not yet taken.
#[derive(Debug)]
pub struct Buffer<'a> {
    path: &'a Path,
    reader: Text,
    text: Vec<u8>,
    /// What lies before this was taken.
    start: usize,
    /// Bytes of the file before `start`; `None` where they are packed.
    offset: Option<u64>,
    /// Number of the line at `start`.
    line: u64,
    /// What ends a line: `\n`, or `\r` in a file that has no other.
    line_end: u8,
    ended: bool,
    truncated: bool,
}

impl<'a> Buffer<'a> {
    /// Opens a file.
    ///
    /// # Errors
    /// The file cannot be read, is empty, or is no text.
    pub fn open(path: &'a Path, progress: &ProgressBar) -> Result<Self, DataError> {
        let mut buffer = Self::new(path, open(path, progress)?, 1);
        buffer.read_to(BLOCK_BYTES)?;
        if buffer.text.is_empty() && !buffer.truncated {
            return Err(DataError::file(path, "an empty file"));
        }
        if !buffer.text.contains(&b'\n') && buffer.text.contains(&b'\r') {
            buffer.line_end = b'\r';
        }
        Ok(buffer)
    }

    /// Opens a file at a place where [`place`](Self::place) was once.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub(crate) fn open_at(path: &'a Path, place: Place, progress: &ProgressBar) -> Result<Self, DataError> {
        // The file's first lines tell what ends a line in all of it.
        let line_end = Self::open(path, &ProgressBar::hidden())?.line_end;
        Ok(Buffer { line_end, ..Self::new(path, open_at(path, place.offset, progress)?, place.line) })
    }

    fn new(path: &'a Path, reader: Text, line: u64) -> Self {
        let offset = reader.offset();
        Buffer {
            path,
            reader,
            text: Vec::new(),
            start: 0,
            offset,
            line,
            line_end: b'\n',
            ended: false,
            truncated: false,
        }
    }

    /// The place that the rest begins at; `None` inside of a file that is packed.
    pub(crate) fn place(&self) -> Option<Place> {
        self.offset.map(|offset| Place { offset, line: self.line })
    }

    /// The file.
    pub(crate) fn path(&self) -> &'a Path {
        self.path
    }

    /// What was read and not yet taken.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.text[self.start..]
    }

    /// Number of the line that the rest begins with, from 1.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// What ends a line.
    pub(crate) fn line_end(&self) -> u8 {
        self.line_end
    }

    /// Whether the rest is all that the file has.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// Whether the file broke off where the rest ends.
    pub(crate) fn truncated(&self) -> bool {
        self.truncated
    }

    /// Reads until the rest has this many bytes, or the file ends.
    pub(crate) fn read_to(&mut self, bytes: usize) -> Result<(), DataError> {
        let wanted = bytes.saturating_sub(self.rest().len());
        if self.ended || wanted == 0 {
            return Ok(());
        }
        self.text.drain(..self.start);
        self.start = 0;
        self.text.reserve(wanted);
        match self.reader.by_ref().take(wanted as u64).read_to_end(&mut self.text) {
            Ok(read) => self.ended = read < wanted,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => (self.ended, self.truncated) = (true, true),
            Err(error) => return Err(DataError::io(self.path)(error)),
        }
        Ok(())
    }

    /// Reads until the rest has whole lines of about a block's size, one at least; says where they end. At the end of
    /// the file the last line may lack its end.
    pub(crate) fn whole_lines(&mut self) -> Result<usize, DataError> {
        let mut wanted = BLOCK_BYTES;
        let mut searched = 0;
        loop {
            self.read_to(wanted)?;
            let rest = self.rest();
            // What was read ahead is taken in blocks too.
            if rest.len() > wanted {
                if let Some(place) = memchr::memrchr(self.line_end, &rest[searched..wanted]) {
                    return Ok(searched + place + 1);
                }
            } else if self.ended {
                return Ok(rest.len());
            } else if let Some(place) = memchr::memrchr(self.line_end, &rest[searched..]) {
                return Ok(searched + place + 1);
            }
            if wanted > LINE_MAX {
                return Err(self.line_too_long());
            }
            searched = wanted.min(rest.len());
            wanted = (wanted + wanted / 4).min(LINE_MAX + 1);
        }
    }

    /// The error of a line that never ends.
    pub(crate) fn line_too_long(&self) -> DataError {
        DataError::row(self.path, self.line, format!("a line of more than {LINE_MAX} bytes"))
    }

    /// Takes the first `bytes` of the rest, which have this many lines.
    pub(crate) fn take(&mut self, bytes: usize, lines: u64) -> Vec<u8> {
        self.line += lines;
        self.offset = self.offset.map(|offset| offset + bytes as u64);
        let end = self.start + bytes;
        if self.start == 0 && self.text.len() - end <= BLOCK_BYTES {
            let rest = self.text.split_off(end);
            return std::mem::replace(&mut self.text, rest);
        }
        let taken = self.text[self.start..end].to_vec();
        self.start = end;
        taken
    }
}

/// How a line becomes a row.
pub(crate) trait LineParser: Sync {
    /// Fills an empty `row` from a line without its end.
    fn parse(&self, line: &[u8], row: &mut RawRow) -> Result<(), String>;
}

/// The rows of a file of lines, whose first `header_lines` are none; or those from a place on.
pub(crate) fn blocks<'a>(
    files: &'a Files,
    (file, from): (usize, Option<Place>),
    header_lines: u64,
    parser: &'a dyn LineParser,
    progress: &ProgressBar,
) -> Result<Blocks<'a>, DataError> {
    let path = files.part(file)?;
    let (buffer, header_lines) = match from {
        None => (Buffer::open(path, progress)?, header_lines),
        // A header is in the first block.
        Some(place) => (Buffer::open_at(path, place, progress)?, 0),
    };
    Ok(Box::new(Lines { parser, buffer, header_lines, ended: false }))
}

struct Lines<'a> {
    parser: &'a dyn LineParser,
    buffer: Buffer<'a>,
    header_lines: u64,
    ended: bool,
}

/// Whole lines.
struct LineBlock<'a> {
    path: &'a Path,
    parser: &'a dyn LineParser,
    text: Vec<u8>,
    /// Where each line ends in `text`, its end included.
    ends: Vec<usize>,
    line_end: u8,
    first_line: u64,
    /// Whether the last line broke off.
    truncated: bool,
    end: Option<Place>,
}

impl<'a> Lines<'a> {
    fn read(&mut self) -> Result<LineBlock<'a>, DataError> {
        let buffer = &mut self.buffer;
        let end = buffer.whole_lines()?;
        let line_end = buffer.line_end();
        let text = &buffer.rest()[..end];
        self.ended = buffer.ended() && end == buffer.rest().len();
        let truncated = self.ended && buffer.truncated();
        let mut ends: Vec<usize> = memchr::memchr_iter(line_end, text).map(|place| place + 1).collect();
        if truncated || ends.last().map_or(!text.is_empty(), |&end| end < text.len()) {
            ends.push(text.len());
        }
        let (path, first_line) = (buffer.path(), buffer.line());
        let text = buffer.take(end, ends.len() as u64);
        let end = buffer.place();
        Ok(LineBlock { path, parser: self.parser, text, ends, line_end, first_line, truncated, end })
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

/// A line without its end.
pub(crate) fn without_end(line: &[u8], line_end: u8) -> &[u8] {
    match line.strip_suffix(&[line_end]) {
        Some(line) if line_end == b'\n' => line.strip_suffix(b"\r").unwrap_or(line),
        Some(line) => line,
        None => line.strip_suffix(b"\r").unwrap_or(line),
    }
}

/// Bytes that no text has: a zero is what a disk had in place of it, and a carriage return alone ends a line in one
/// program and not in the next.
///
/// # Errors
/// There is one.
pub(crate) fn check_bytes(line: &[u8]) -> Result<(), String> {
    match memchr::memchr2(0, b'\r', line).map(|place| line[place]) {
        None => Ok(()),
        Some(0) => Err("a zero byte: this is no text".to_owned()),
        Some(_) => Err("a carriage return inside of a line".to_owned()),
    }
}

impl Block for LineBlock<'_> {
    fn path(&self) -> &Path {
        self.path
    }

    fn rows(&self) -> usize {
        self.ends.len()
    }

    fn line(&self, i: usize) -> u64 {
        self.first_line + i as u64
    }

    fn end(&self) -> Option<Place> {
        self.end
    }

    fn fill(&self, i: usize, row: &mut RawRow) -> Result<(), String> {
        if self.truncated && i + 1 == self.ends.len() {
            return Err(TRUNCATED.to_owned());
        }
        let start = if i == 0 { 0 } else { self.ends[i - 1] };
        self.parser.parse(without_end(&self.text[start..self.ends[i]], self.line_end), row)
    }
}
