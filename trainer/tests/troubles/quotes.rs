//! Stray quotes, and quotes that are none.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::{Folder, gzip, rows, with_header};

/// Replaces the value in column `column` of a row by what `change` makes of it.
fn changed(row: &str, column: usize, change: impl Fn(&str) -> String) -> String {
    let mut values: Vec<String> = row.trim_end().split(',').map(str::to_owned).collect();
    values[column] = change(&values[column]);
    values.join(",") + "\n"
}

#[test]
fn a_stray_quote_costs_its_row_wherever_it_is() {
    let folder = Folder::new();
    let well = rows(3000, 1);
    let mut random = Xoshiro256PlusPlus::seed_from_u64(2);
    for strays in [1, 2, 7, 20] {
        let mut text = well.clone();
        let mut lines: Vec<usize> = (0..strays).map(|_| random.random_range(0..well.len())).collect();
        lines.sort_unstable();
        lines.dedup();
        for &line in &lines {
            // The last column too, where the line's end follows.
            text[line] = changed(&well[line], random.random_range(0..4), |value| format!("\"{value}"));
        }
        let without: Vec<String> =
            well.iter().enumerate().filter(|(i, _)| !lines.contains(i)).map(|(_, row)| row.clone()).collect();
        let text = with_header(&text);
        // Lines' ends, threads and packing change nothing.
        let variants = [
            ("a.csv", text.clone().into_bytes(), 1),
            ("b.csv", text.replace('\n', "\r\n").into_bytes(), 3),
            ("c.csv", gzip(text.as_bytes()), 2),
            ("d.csv", text.trim_end().as_bytes().to_vec(), 7),
        ];
        let mut reports = Vec::new();
        for (name, bytes, threads) in variants {
            let said = folder.csv(name, bytes, &format!(" --shares 100:0:0 --max-bad 0.1 --threads {threads}"));
            assert_eq!((said.malformed(), said.rows()), (lines.len() as u64, without.len() as u64), "{name}");
            for (example, line) in said.examples().iter().zip(&lines) {
                let expected = format!("{name}:{}: ", line + 2);
                assert!(example.starts_with(&expected) && example.contains("a quote opens"), "{example}, {expected}");
            }
            reports.push(folder.outputs("out"));
        }
        assert!(reports.iter().all(|outputs| *outputs == reports[0]));
        // The other rows are what they are without it.
        folder.csv("without.csv", with_header(&without), " --shares 100:0:0");
        assert_eq!(folder.outputs("out"), reports[0]);
    }
}

#[test]
fn strict_ends_at_the_line_of_the_quote() {
    let folder = Folder::new();
    let mut text = rows(500, 3);
    (text[123], text[130]) = (format!("\"{}", text[123]), format!("\"{}", text[130]));
    folder.write("rows.csv", with_header(&text));
    let error = folder.fails("csv --input rows.csv --schema schema.toml --strict");
    assert!(error.contains("rows.csv:125: column 1: a quote opens a value, and none closes it"), "{error}");
}

#[test]
fn quotes_over_blocks_are_followed() {
    // Rows of 2 MB, of which every hundredth has a value of several lines, and some a quote that swallows nothing.
    let folder = Folder::new();
    let well = rows(100_000, 4);
    let legal = |i: usize, row: &String| match i % 100 {
        50 => changed(row, 0, |user| format!("\"{user}\nsays \"\"{i}\"\"\r\n\n\"")),
        _ => row.clone(),
    };
    let legal: Vec<String> = well.iter().enumerate().map(|(i, row)| legal(i, row)).collect();
    let said = folder.csv("legal.csv", with_header(&legal), " --shares 100:0:0 --threads 2");
    assert_eq!((said.rows(), said.malformed()), (100_000, 0));
    let mut stray = legal.clone();
    for i in [10, 40_010, 40_011, 99_999] {
        stray[i] = changed(&well[i], 2, |views| format!("\"{views}"));
    }
    let line_of = |i: usize| 2 + stray[..i].concat().matches('\n').count();
    let mut outputs = Vec::new();
    for threads in [1, 4] {
        let said = folder.csv("stray.csv", with_header(&stray), &format!(" --shares 100:0:0 --threads {threads}"));
        assert_eq!((said.rows(), said.malformed()), (99_996, 4));
        for (example, i) in said.examples().iter().zip([10, 40_010, 40_011, 99_999]) {
            assert!(example.starts_with(&format!("stray.csv:{}: column 3: a quote", line_of(i))), "{example}");
        }
        outputs.push(folder.outputs("out"));
    }
    assert_eq!(outputs[0], outputs[1]);
}

#[test]
fn a_tsv_has_quotes_where_they_are_wanted() {
    let folder = Folder::new();
    let schema = std::fs::read_to_string(folder.path("schema.toml")).unwrap();
    let text = with_header(&rows(200, 5)).replace(',', "\t").replacen("u", "\"u", 3);
    // No quoting by default: a quote is a letter.
    folder.write("schema.toml", format!("delimiter = \"\\t\"\n{schema}"));
    let header = text.replacen("\"user", "user", 1);
    assert_eq!(folder.csv("rows.tsv", &header, " --shares 100:0:0").malformed(), 0);
    folder.write("schema.toml", format!("delimiter = \"\\t\"\nquoting = true\n{schema}"));
    let said = folder.csv("rows.tsv", &header, " --shares 100:0:0");
    assert_eq!(said.malformed(), 2, "{:?}", said.examples());
    // A quote in the header is an error of the file.
    assert!(folder.csv_fails("rows.tsv", &text).contains("rows.tsv:1: column 1: a quote opens"));
}
