//! Records of a CSV: where they begin and end, which quotes are stray, and where their values lie.
//!
//! A value that opens with a quote closes with a quote before a delimiter or a line's end, and may have line breaks.
//! Where it does not, or where a record over several lines then has another number of columns, the row is malformed by
//! the line in which the quote opened, and reading goes on at the next line: a stray quote costs one row, not those up
//! to the next quote.
//!
//! Inside of a quoted value every quote that has no twin ends it, well or not. So what was read in vain ends at the
//! next line with a stray quote, or is a value of one of the record's columns: the time for a file full of them is
//! linear in its size.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;

use crate::error::DataError;
use crate::lines::{Buffer, LINE_MAX, check_bytes, without_end};
use crate::open::TRUNCATED;
use crate::raw::Place;

const QUOTE: u8 = b'"';

/// What separates values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// An ASCII character.
    pub delimiter: u8,
    /// Whether values may be quoted.
    pub quoting: bool,
}

/// Some records of a file.
#[derive(Debug)]
pub struct Records<'a> {
    path: &'a Path,
    dialect: Dialect,
    text: Vec<u8>,
    first_line: u64,
    records: Vec<Record>,
    /// Where values end in records with quotes, from the record's beginning.
    ends: Vec<usize>,
    end: Option<Place>,
    /// Whether the file has no more.
    pub last: bool,
}

#[derive(Debug)]
struct Record {
    /// Its place in the text, without the line's end.
    place: Range<usize>,
    /// Lines between the first of all and its own.
    line: u64,
    /// Where its values end, where there is a quote: places in the `ends` of all.
    ends: Range<usize>,
    /// Why it is malformed, where its bytes alone say so.
    problem: Option<String>,
}

/// What [`scan`] goes by.
#[derive(Clone, Copy)]
struct Format {
    delimiter: u8,
    line_end: u8,
    width: Option<usize>,
}

/// Where a record ends that begins a text.
#[derive(Debug, PartialEq, Eq)]
enum Scan {
    /// The next record begins here.
    Ends(usize),
    /// The quote that stands here opens a value that does not close,
    Stray { quote: usize, column: usize },
    /// or one of several lines, with which the record has this many columns, or more where they are too many.
    Columns { quote: usize, columns: usize },
    /// More text is needed.
    Unfinished,
}

/// Reads about a block of records, but no more than `most`. `width` is how many columns they should have, where that is
/// known.
///
/// # Errors
/// The file cannot be read, or has a line of more than 16 MiB.
pub fn read<'a>(
    buffer: &mut Buffer<'a>,
    dialect: Dialect,
    width: Option<usize>,
    most: usize,
) -> Result<Records<'a>, DataError> {
    let line_end = buffer.line_end();
    let format = Format { delimiter: dialect.delimiter, line_end, width };
    let end = buffer.whole_lines()?;
    let (mut records, mut ends) = (Vec::new(), Vec::new());
    // The next record, its line, and the first quote that is not before it.
    let (mut at, mut line, mut next_quote) = (0, 0, None);
    // Where the last of the records ends, its line's end included.
    let mut stopped = 0;
    while at < end && records.len() < most {
        let (rest, ended) = (buffer.rest(), buffer.ended());
        let behind_line = |from: usize| memchr::memchr(line_end, &rest[from..]).map(|place| from + place + 1);
        let line_ends = |range: Range<usize>| memchr::memchr_iter(line_end, &rest[range]).count() as u64;
        let stop = behind_line(at).unwrap_or(end);
        let quote = *next_quote.get_or_insert_with(|| match dialect.quoting {
            true => memchr::memchr(QUOTE, &rest[at..end]).map_or(usize::MAX, |place| at + place),
            false => usize::MAX,
        });
        let is_plain = quote >= stop;
        let ends_before = ends.len();
        let scan =
            if is_plain { Scan::Ends(stop - at) } else { scan(&rest[at..], stop - at, format, ended, &mut ends) };
        let malformed = match scan {
            Scan::Ends(length) => {
                let next = at + length;
                let place = at..at + without_end(&rest[at..next], line_end).len();
                // Empty lines are no records.
                if !place.is_empty() {
                    records.push(Record { place, line, ends: ends_before..ends.len(), problem: None });
                    stopped = next;
                }
                line += if is_plain { 1 } else { line_ends(at..next) + u64::from(rest[next - 1] != line_end) };
                at = next;
                next_quote = next_quote.filter(|&quote| quote >= at);
                continue;
            }
            Scan::Stray { quote, column } => Some((quote, unclosed(column))),
            Scan::Columns { quote, columns } => Some((quote, other_columns(columns, width))),
            Scan::Unfinished => None,
        };
        ends.truncate(ends_before);
        // Where the line ends in which the quote opened.
        let next = malformed.as_ref().and_then(|(quote, _)| behind_line(at + quote).or(ended.then_some(rest.len())));
        if let (Some((quote, problem)), Some(next)) = (malformed, next) {
            line += line_ends(at..at + quote);
            records.push(Record { place: next..next, line, ends: 0..0, problem: Some(problem) });
            (at, line, next_quote, stopped) = (next, line + 1, None, next);
        } else if at > 0 {
            break;
        } else if rest.len() > 3 * LINE_MAX {
            // A record is no longer than one such line, and what it ends in is another.
            return Err(buffer.line_too_long());
        } else {
            let wanted = (2 * rest.len()).min(rest.len() + LINE_MAX);
            buffer.read_to(wanted)?;
        }
    }
    let last = buffer.ended() && at == buffer.rest().len();
    if last && buffer.truncated() {
        let problem = Some(TRUNCATED.to_owned());
        let is_whole = buffer.rest().last().is_none_or(|&byte| byte == line_end);
        match records.last_mut().filter(|_| !is_whole && stopped == at) {
            Some(record) => record.problem = problem,
            None => records.push(Record { place: at..at, line: line - u64::from(!is_whole), ends: 0..0, problem }),
        }
    }
    let (path, first_line) = (buffer.path(), buffer.line());
    let text = buffer.take(at, line);
    let end = buffer.place();
    Ok(Records { path, dialect, text, first_line, records, ends, end, last })
}

/// Reads one record; none where the file has no more.
///
/// # Errors
/// Those of [`read`].
pub fn next<'a>(buffer: &mut Buffer<'a>, dialect: Dialect) -> Result<Records<'a>, DataError> {
    loop {
        let record = read(buffer, dialect, None, 1)?;
        if !record.is_empty() || record.last {
            return Ok(record);
        }
    }
}

fn unclosed(column: usize) -> String {
    format!("column {column}: a quote opens a value, and none closes it before a delimiter or a line's end")
}

fn other_columns(columns: usize, width: Option<usize>) -> String {
    let width = width.unwrap_or_default();
    let more = if columns > width { " or more" } else { "" };
    format!("{columns}{more} columns, {width} expected, with the value of several lines that a quote opens here")
}

/// Finds the end of the record that begins `text`, whose first line has `first_line` bytes, and adds to `ends` where
/// its values end; `all` says that no more text follows.
fn scan(text: &[u8], first_line: usize, format: Format, all: bool, ends: &mut Vec<usize>) -> Scan {
    let Format { delimiter, line_end, width } = format;
    // The first quote whose value has several lines, and its column.
    let mut across = None;
    let (mut at, mut column) = (0, 0);
    loop {
        column += 1;
        match (across, width) {
            (Some((quote, _)), Some(width)) if column > width => return Scan::Columns { quote, columns: column },
            _ => {}
        }
        if text.get(at) == Some(&QUOTE) {
            let quote = at;
            match closing(text, quote, delimiter, line_end, all) {
                Closing::Before(place) => at = place,
                Closing::Never => return Scan::Stray { quote, column },
                Closing::Unfinished => return Scan::Unfinished,
            }
            if across.is_none() && at > first_line {
                across = Some((quote, column));
            }
        } else {
            at = find(
                text,
                at,
                |byte| byte == delimiter || byte == line_end,
                |rest| memchr::memchr2(delimiter, line_end, rest),
            )
            .unwrap_or(text.len());
        }
        ends.push(at);
        let end = match text.get(at) {
            Some(&byte) if byte == delimiter => {
                at += 1;
                continue;
            }
            Some(&byte) if byte == line_end => at + 1,
            // The carriage return behind a quoted value.
            Some(_) => (at + 2).min(text.len()),
            None if all => at,
            None if text.len() <= LINE_MAX => return Scan::Unfinished,
            None => at,
        };
        return match (across, width) {
            (Some((quote, column)), _) if end > LINE_MAX => Scan::Stray { quote, column },
            (Some((quote, _)), Some(width)) if column != width => Scan::Columns { quote, columns: column },
            (None, _) if end == text.len() && text.last() != Some(&line_end) && !all => Scan::Unfinished,
            _ => Scan::Ends(end),
        };
    }
}

/// Where a quoted value closes.
enum Closing {
    /// Before this place: a delimiter, a line's end, or the end of the file.
    Before(usize),
    /// It does not.
    Never,
    /// More text is needed.
    Unfinished,
}

fn closing(text: &[u8], quote: usize, delimiter: u8, line_end: u8, all: bool) -> Closing {
    let mut at = quote + 1;
    loop {
        let Some(place) = find(text, at, |byte| byte == QUOTE, |rest| memchr::memchr(QUOTE, rest)) else {
            return if all || text.len() > LINE_MAX { Closing::Never } else { Closing::Unfinished };
        };
        at = place + 1;
        if at > LINE_MAX {
            return Closing::Never;
        }
        match text.get(at..) {
            Some([QUOTE, ..]) => at += 1,
            Some([byte, ..]) if *byte == delimiter || *byte == line_end => return Closing::Before(at),
            Some([b'\r', b'\n', ..]) => return Closing::Before(at),
            Some([]) | Some([b'\r']) | None if all => return Closing::Before(at),
            Some([]) | Some([b'\r']) | None => return Closing::Unfinished,
            Some(_) => return Closing::Never,
        }
    }
}

/// The first byte from `from` on that is wanted. Values are short: a few bytes are looked at one by one, before a
/// search that takes many at a time pays.
fn find(
    text: &[u8],
    from: usize,
    is_wanted: impl Fn(u8) -> bool,
    far: impl Fn(&[u8]) -> Option<usize>,
) -> Option<usize> {
    const NEAR: usize = 12;
    let near = &text[from..text.len().min(from + NEAR)];
    match near.iter().position(|&byte| is_wanted(byte)) {
        Some(place) => Some(from + place),
        None => far(&text[from + near.len()..]).map(|place| from + near.len() + place),
    }
}

impl Records<'_> {
    pub(crate) fn path(&self) -> &Path {
        self.path
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Number of the line that record `i` begins in, or of that in which its stray quote stands, from 1.
    pub(crate) fn line(&self, i: usize) -> u64 {
        self.first_line + self.records[i].line
    }

    /// The place behind the last one, and behind the empty lines that follow it.
    pub(crate) fn end(&self) -> Option<Place> {
        self.end
    }

    /// Record `i` as it is written.
    pub(crate) fn text(&self, i: usize) -> &[u8] {
        &self.text[self.records[i].place.clone()]
    }

    /// Fills `ends` with where each value of record `i` ends, in bytes from the record's beginning.
    ///
    /// # Errors
    /// What makes it malformed, whatever columns are wanted.
    pub fn split(&self, i: usize, ends: &mut Vec<usize>) -> Result<(), String> {
        ends.clear();
        let record = &self.records[i];
        if let Some(problem) = &record.problem {
            return Err(problem.clone());
        }
        let text = self.text(i);
        if record.ends.is_empty() {
            check_bytes(text)?;
            ends.extend(memchr::memchr_iter(self.dialect.delimiter, text));
            ends.push(text.len());
            return Ok(());
        }
        ends.extend(&self.ends[record.ends.clone()]);
        // The last one may stand behind the carriage return of a line's end.
        if let Some(end) = ends.last_mut() {
            *end = text.len().min(*end);
        }
        if check_bytes(text).is_ok() {
            return Ok(());
        }
        // A quoted value may have line breaks.
        let starts = [0].into_iter().chain(ends.iter().map(|&end| end + 1));
        let values = starts.zip(ends.iter()).map(|(start, &end)| &text[start..end]);
        values.into_iter().try_for_each(|value| match value.first() {
            Some(&QUOTE) if !value.contains(&0) => Ok(()),
            _ => check_bytes(value),
        })
    }

    /// Value `column` of record `i`, whose values end at `ends`.
    ///
    /// # Errors
    /// It is not UTF-8.
    pub fn value(&self, i: usize, ends: &[usize], column: usize) -> Result<Cow<'_, str>, String> {
        let start = if column == 0 { 0 } else { ends[column - 1] + 1 };
        let value = &self.text(i)[start..ends[column]];
        let text = |bytes| str::from_utf8(bytes).map_err(|e| format!("not UTF-8: {e}"));
        match value {
            [QUOTE, value @ .., QUOTE] if self.dialect.quoting => {
                let value = text(value)?;
                Ok(if value.contains('"') { Cow::Owned(value.replace("\"\"", "\"")) } else { Cow::Borrowed(value) })
            }
            value => text(value).map(Cow::Borrowed),
        }
    }
}

#[cfg(test)]
mod tests;
