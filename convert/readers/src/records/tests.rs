//! The rule, letter by letter, on any text; cases; limits.

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
    const PIECES: [&str; 16] =
        ["\"", "\"", "\"\"", ",", ",", ",", "\n", "\n", "\r\n", "a", "bc", "a,b,c\n", "\"a\",b,c\n", "\"", "\r", "é"];
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
        assert_eq!(found.iter().filter(|(_, values)| values.is_none()).count(), 1 + usize::from(false), "{closing}");
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
