//! Records of a CSV: where they begin and end, which quotes are stray, and where their values lie.
//!
//! A value that opens with a quote closes with a quote before a delimiter or a line's end, and may have line breaks. Where it does not, or
//! where a record over several lines then has another number of columns, the row is malformed by the line in which the quote opened, and
//! reading goes on at the next line: a stray quote costs one row, not those up to the next quote.
//!
//! Inside of a quoted value every quote that has no twin ends it, well or not. So what was read in vain ends at the next line with a
//! stray quote, or is a value of one of the record's columns: the time for a file full of them is linear in its size.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;

use super::lines::{Buffer, LINE_MAX, check_bytes, without_end};
use super::open::TRUNCATED;
use super::source::DataError;

const QUOTE: u8 = b'"';

/// What separates values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dialect {
    pub(super) delimiter: u8,
    /// Whether values may be quoted.
    pub(super) quoting: bool,
}

/// Some records of a file.
pub(super) struct Records<'a> {
    path: &'a Path,
    dialect: Dialect,
    text: Vec<u8>,
    first_line: u64,
    records: Vec<Record>,
    /// Where values end in records with quotes, from the record's beginning.
    ends: Vec<usize>,
    /// Whether the file has no more.
    pub(super) last: bool,
}

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

/// Reads about a block of records, but no more than `most`. `width` is how many columns they should have, where that is known.
///
/// # Errors
/// The file cannot be read, or has a line of more than 16 MiB.
pub(super) fn read<'a>(
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
    Ok(Records { path, dialect, text, first_line, records, ends, last })
}

/// Reads one record; none where the file has no more.
///
/// # Errors
/// Those of [`read`].
pub(super) fn next<'a>(buffer: &mut Buffer<'a>, dialect: Dialect) -> Result<Records<'a>, DataError> {
    loop {
        let record = read(buffer, dialect, None, 1)?;
        if record.len() > 0 || record.last {
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

/// Finds the end of the record that begins `text`, whose first line has `first_line` bytes, and adds to `ends` where its
/// values end; `all` says that no more text follows.
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

/// The first byte from `from` on that is wanted. Values are short: a few bytes are looked at one by one, before a search that takes many at a
/// time pays.
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
    pub(super) fn path(&self) -> &Path {
        self.path
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Number of the line that record `i` begins in, or of that in which its stray quote stands, from 1.
    pub(super) fn line(&self, i: usize) -> u64 {
        self.first_line + self.records[i].line
    }

    /// Record `i` as it is written.
    pub(super) fn text(&self, i: usize) -> &[u8] {
        &self.text[self.records[i].place.clone()]
    }

    /// Fills `ends` with where each of its values ends in [`text`](Self::text).
    ///
    /// # Errors
    /// What makes it malformed, whatever columns are wanted.
    pub(super) fn split(&self, i: usize, ends: &mut Vec<usize>) -> Result<(), String> {
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
    pub(super) fn value(&self, i: usize, ends: &[usize], column: usize) -> Result<Cow<'_, str>, String> {
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
mod tests {
    use std::fs;
    use std::time::{Duration, Instant};

    use indicatif::ProgressBar;
    use rand::rngs::Xoshiro256PlusPlus;
    use rand::{RngExt, SeedableRng};
    use tempfile::TempDir;

    use super::*;

    const WIDTH: usize = 3;

    /// Line and values of each record; none of a malformed one.
    type Found = Vec<(u64, Option<Vec<String>>)>;

    fn found(text: &[u8]) -> Found {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("rows.csv");
        fs::write(&path, text).expect("a file");
        let mut buffer = Buffer::open(&path, &ProgressBar::hidden()).expect("text");
        let dialect = Dialect { delimiter: b',', quoting: true };
        let (mut found, mut ends) = (Vec::new(), Vec::new());
        loop {
            let records = read(&mut buffer, dialect, Some(WIDTH), usize::MAX).expect("no line of 16 MiB");
            for i in 0..records.len() {
                let values = records.split(i, &mut ends).ok().filter(|()| ends.len() == WIDTH).and_then(|()| {
                    (0..WIDTH).map(|column| Some(records.value(i, &ends, column).ok()?.into_owned())).collect()
                });
                found.push((records.line(i), values));
            }
            if records.last {
                return found;
            }
        }
    }

    /// The rule as it is written, letter by letter.
    fn slow(text: &[u8]) -> Found {
        let mut found = Vec::new();
        let (mut at, mut line) = (0, 1);
        while at < text.len() {
            let end_of_line =
                |from: usize| text[from..].iter().position(|&b| b == b'\n').map_or(text.len(), |p| from + p + 1);
            if matches!(&text[at..end_of_line(at)], b"\n" | b"\r\n" | b"\r") {
                (at, line) = (end_of_line(at), line + 1);
                continue;
            }
            let line_of = |place: usize| line + text[at..place].iter().filter(|&&b| b == b'\n').count() as u64;
            let malformed_at = match slow_record(&text[at..]) {
                Ok((length, values, across)) if across.is_none() || values.len() == WIDTH => {
                    let is_well = values.len() == WIDTH && values.iter().all(|value| value.is_some());
                    found.push((line, is_well.then(|| values.into_iter().flatten().collect())));
                    (at, line) = (at + length, line_of(at + length));
                    continue;
                }
                Ok((_, _, across)) => at + across.unwrap_or_default(),
                Err(quote) => at + quote,
            };
            found.push((line_of(malformed_at), None));
            (at, line) = (end_of_line(malformed_at), line_of(malformed_at) + 1);
        }
        found
    }

    /// Length, values, and the first quote over several lines; or the stray quote.
    #[allow(clippy::type_complexity, reason = "a test's own")]
    fn slow_record(text: &[u8]) -> Result<(usize, Vec<Option<String>>, Option<usize>), usize> {
        let (mut at, mut values, mut across) = (0, Vec::new(), None);
        let ends_line = |at: usize| match &text[at..] {
            [] => Some(0),
            [b'\n', ..] => Some(1),
            [b'\r', b'\n', ..] => Some(2),
            [b'\r'] => Some(1),
            _ => None,
        };
        loop {
            // As the reader does: what lies beyond the wanted columns may be anything.
            if let Some(quote) = across
                && values.len() >= WIDTH
            {
                return Err(quote);
            }
            let mut value = Vec::new();
            if text.get(at) == Some(&b'"') {
                let quote = at;
                at += 1;
                loop {
                    match text.get(at) {
                        None => return Err(quote),
                        Some(b'"') if text.get(at + 1) == Some(&b'"') => at += 1,
                        Some(b'"') => break,
                        Some(_) => {}
                    }
                    value.push(text[at]);
                    at += 1;
                }
                at += 1;
                if value.contains(&b'\n') && across.is_none() {
                    across = Some(quote);
                }
                if text.get(at) != Some(&b',') && ends_line(at).is_none() {
                    return Err(quote);
                }
                values.push(String::from_utf8(value).ok());
            } else {
                while text.get(at) != Some(&b',') && ends_line(at).is_none() {
                    value.push(text[at]);
                    at += 1;
                }
                values.push(String::from_utf8(value).ok().filter(|value| !value.contains(['\r', '\0'])));
            }
            match ends_line(at) {
                Some(length) => return Ok((at + length, values, across)),
                None => at += 1,
            }
        }
    }

    /// Text in which quotes, delimiters and lines' ends stand anywhere.
    fn any_text(random: &mut Xoshiro256PlusPlus, pieces: usize) -> Vec<u8> {
        const PIECES: [&str; 16] = [
            "\"",
            "\"",
            "\"\"",
            ",",
            ",",
            ",",
            "\n",
            "\n",
            "\r\n",
            "a",
            "bc",
            "a,b,c\n",
            "\"a\",b,c\n",
            "\"",
            "\r",
            "é",
        ];
        (0..pieces).flat_map(|_| PIECES[random.random_range(0..PIECES.len())].bytes()).collect()
    }

    #[test]
    fn any_text_is_read_by_the_rule() {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(7);
        for _ in 0..4000 {
            let pieces = random.random_range(1..30);
            let mut text = any_text(&mut random, pieces);
            // Where there is no other, a carriage return ends a line.
            text.extend(if text.contains(&b'\n') { "".bytes() } else { "\n".bytes() });
            assert_eq!(found(&text), slow(&text), "{:?}", String::from_utf8_lossy(&text));
        }
        // Over several blocks: whole rows, some of several lines, and now and then anything.
        for rows in [20_000_u32, 40_000] {
            let mut text = Vec::new();
            for i in 0..rows {
                match random.random_range(0..2000) {
                    0..3 => text.extend(any_text(&mut random, 12)),
                    3..20 => text.extend(format!("\"{}\n\"\"{i}\",b,c\r\n", "long ".repeat(300)).bytes()),
                    _ => text.extend(format!("row number {i},\"b, quoted\",c\n").bytes()),
                }
            }
            assert!(found(&text) == slow(&text), "{rows} rows");
        }
    }

    #[test]
    fn a_stray_quote_costs_one_row() {
        let well = |values: [&str; 3]| Some(values.map(str::to_owned).to_vec());
        let abc = || well(["a", "b", "c"]);
        let cases: [(&str, Found); 13] = [
            ("\"a,b,c\na,b,c\n\"a,b,c\na,b,c\n", vec![(1, None), (2, abc()), (3, None), (4, abc())]),
            ("a,b,\"c\na,b,c\n", vec![(1, None), (2, abc())]),
            ("a,b,\"c\r\na,b,c\r\n", vec![(1, None), (2, abc())]),
            ("a,b,c\na,b,\"", vec![(1, abc()), (2, None)]),
            ("a,\",c\na,b,c", vec![(1, None), (2, abc())]),
            ("a,\"b\" x,c\na,b,c", vec![(1, None), (2, abc())]),
            ("a\"b,c\"\"d,\"e\"\na,b,c", vec![(1, well(["a\"b", "c\"\"d", "e"])), (2, abc())]),
            ("\"a\nb\",\"\"\"\",\"\"\na,b,c", vec![(1, well(["a\nb", "\"", ""])), (3, abc())]),
            // The first value is whole, the second opens in the second line.
            ("\"a\na\",\"b,c\na,b,c\na,b,c\n", vec![(2, None), (3, abc()), (4, abc())]),
            // By chance followed by a delimiter: another number of columns.
            ("\"a,b,c\na,b,c\na\",b,c,d\n", vec![(1, None), (2, abc()), (3, None)]),
            ("\n\r\n\na,\"b,c\n\na,b,c\n", vec![(4, None), (6, abc())]),
            ("a,b\na,b,c,\"d\nd\"\na,b,c", vec![(1, None), (2, None), (3, None), (4, abc())]),
            ("a,b,c\n\"\"\"a,b,c\na,b,c\n", vec![(1, abc()), (2, None), (3, abc())]),
        ];
        for (text, expected) in cases {
            assert_eq!(found(text.as_bytes()), expected, "{text:?}");
            assert_eq!(slow(text.as_bytes()), expected, "{text:?}: the oracle");
        }
    }

    #[test]
    fn carriage_returns_end_the_lines_of_a_file_that_has_no_other() {
        let well = |values: [&str; 3]| Some(values.map(str::to_owned).to_vec());
        let text = "a,b,c\r\"d\re\",f,g\r\"h,i,j\rk,l,m";
        let expected =
            vec![(1, well(["a", "b", "c"])), (2, well(["d\re", "f", "g"])), (4, None), (5, well(["k", "l", "m"]))];
        assert_eq!(found(text.as_bytes()), expected);
    }

    #[test]
    fn a_quote_is_followed_for_16_mib_and_no_further() {
        let row = "a,bbbbbbbbbbbbbbbbbbbbbbbb,c\n";
        let rows = (LINE_MAX + (3 << 20)) / row.len();
        // Open to the end, and closed too late; each time nothing but its own row is lost.
        for (closing, more) in [("", 0), ("x\",b,c\n", 1)] {
            let text = format!("{row}\"a,b,c\n{}{closing}", row.repeat(rows));
            let found = found(text.as_bytes());
            assert_eq!(found.len(), rows + 2 + more);
            assert_eq!(found[1], (2, None));
            assert_eq!(
                found.iter().filter(|(_, values)| values.is_none()).count(),
                1 + usize::from(false),
                "{closing}"
            );
        }
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("rows.csv");
        let value = "v".repeat(LINE_MAX);
        for (text, line) in [(format!("{row}{value},b,c\n"), 2), (format!("{row}\"{value}\",b,c\n{row}"), 2)] {
            fs::write(&path, text).expect("a file");
            let mut buffer = Buffer::open(&path, &ProgressBar::hidden()).expect("text");
            let dialect = Dialect { delimiter: b',', quoting: true };
            let error = loop {
                match read(&mut buffer, dialect, Some(WIDTH), usize::MAX) {
                    Ok(records) => assert!(!records.last, "an error"),
                    Err(error) => break error.to_string(),
                }
            };
            assert!(error.contains(&format!("rows.csv:{line}: a line of more than 16777216 bytes")), "{error}");
        }
    }

    #[test]
    fn stray_quotes_everywhere_take_linear_time() {
        for line in [
            "\"a,b,c\n",
            "a,\"\n",
            "\",\"\n",
            "\"\"\",b\n",
            "a,\"b\"\",c\n",
            ",\"x\",\"\n",
            "\"\"\"\"\"x\n",
            "\"a\"\"\n\"\"b\n",
        ] {
            let text = line.repeat((4 << 20) / line.len());
            let start = Instant::now();
            let found = found(text.as_bytes());
            assert!(found.len() > 100 && start.elapsed() < Duration::from_secs(30), "{line:?}: {:?}", start.elapsed());
        }
    }
}
