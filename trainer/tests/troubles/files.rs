//! Files that are no CSV in UTF-8, or another one than was said.

use std::fs;

use super::{Folder, HEADER, criteo, gzip, rows, with_header};

const MARK: &[u8] = b"\xef\xbb\xbf";

fn marked(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    [MARK, bytes.as_ref()].concat()
}

#[test]
fn a_byte_order_mark_changes_nothing() {
    let folder = Folder::new();
    let text = with_header(&rows(300, 1));
    let schema = fs::read(folder.path("schema.toml")).unwrap();
    folder.csv("rows.csv", &text, "");
    let expected = folder.outputs("out");
    let check = |name: &str, bytes: Vec<u8>| {
        let said = folder.csv(name, bytes, "");
        assert_eq!(said.malformed(), 0, "{name}: {:?}", said.examples());
        assert_eq!(folder.outputs("out"), expected, "{name}");
    };
    check("mark.csv", marked(&text));
    check("mark.gz", gzip(&marked(&text)));
    check("quoted.csv", marked(text.replacen("user", "\"user\"", 1)));
    folder.write("schema.toml", marked(&schema));
    check("schema.csv", text.clone().into_bytes());
    // Without a header it would be a part of the first value.
    let by_place = "header = false\n[label]\ncolumn = 3\n".to_owned()
        + &["user", "tags", "views"]
            .iter()
            .zip(["categorical", "bag", "numeric"])
            .enumerate()
            .map(|(i, (name, kind))| format!("[[fields]]\nname = \"{name}\"\ncolumn = {i}\nkind = \"{kind}\"\n"))
            .collect::<String>();
    folder.write("schema.toml", by_place);
    let bare = &text[HEADER.len()..];
    folder.csv("bare.csv", bare, "");
    let expected = folder.outputs("out");
    folder.csv("marked.csv", marked(bare), "");
    assert_eq!(folder.outputs("out"), expected);

    let text = criteo(300).concat();
    folder.write("train.txt", &text);
    folder.prepare("criteo --source train.txt --out out --min-count 1");
    let expected = folder.outputs("out");
    for (name, bytes) in [("marked.txt", marked(&text)), ("marked.gz", gzip(&marked(&text)))] {
        folder.write(name, bytes);
        assert_eq!(folder.prepare(&format!("criteo --source {name} --out out --min-count 1")).malformed(), 0);
        assert_eq!(folder.outputs("out"), expected, "{name}");
    }
    // A file of letters for the split.
    folder.write("letters.txt", marked("t\n".repeat(200) + &"v\n".repeat(50) + &"e\n".repeat(50)));
    folder.prepare("criteo --source train.txt --out out --min-count 1 --split file --split-file letters.txt");
}

#[test]
fn what_is_no_text_is_named() {
    let folder = Folder::new();
    let text = with_header(&rows(50, 2));
    let utf16 = |order: fn(u16) -> [u8; 2], mark: &str| {
        (mark.to_owned() + &text).encode_utf16().flat_map(order).collect::<Vec<u8>>()
    };
    let utf32 = |order: fn(u32) -> [u8; 4], mark: &str| {
        (mark.to_owned() + &text).chars().flat_map(|c| order(c.into())).collect::<Vec<u8>>()
    };
    let tail = |head: &[u8]| [head, &[7; 600]].concat();
    let mut tar = vec![0; 1024];
    tar[..8].copy_from_slice(b"rows.csv");
    tar[257..262].copy_from_slice(b"ustar");
    let cases: [(Vec<u8>, &str); 24] = [
        (utf16(u16::to_le_bytes, "\u{feff}"), "UTF-16"),
        (utf16(u16::to_be_bytes, "\u{feff}"), "UTF-16"),
        (utf16(u16::to_le_bytes, ""), "UTF-16LE"),
        (utf16(u16::to_be_bytes, ""), "UTF-16BE"),
        (utf32(u32::to_le_bytes, "\u{feff}"), "UTF-32"),
        (utf32(u32::to_be_bytes, ""), "UTF-32BE"),
        (tail(b"PK\x03\x04\x14\0"), "zip"),
        (tail(b"BZh91AY&SY"), "bzip2"),
        (tail(b"\xfd7zXZ\0"), "xz"),
        (tail(b"\x28\xb5\x2f\xfd"), "zstd"),
        (tail(b"\x04\x22\x4d\x18"), "lz4"),
        (tail(b"7z\xbc\xaf\x27\x1c"), "7z"),
        (tail(b"PAR1\x15\x04"), "Parquet"),
        (tail(b"ARROW1\0\0"), "Arrow"),
        (tail(b"FEA1\0"), "Feather"),
        (tail(b"ORC\x0a\x03"), "ORC"),
        (tail(b"Obj\x01\x04"), "Avro"),
        (tail(b"SQLite format 3\0"), "SQLite"),
        (tail(b"\x89HDF\r\n\x1a\n"), "HDF5"),
        (tar, "tar"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 7\n".to_vec(), "git lfs pull"),
        (gzip(&gzip(text.as_bytes())), "gzip"),
        (b"<!DOCTYPE html>\n<html><title>Not found, sorry</title>\n".to_vec(), "HTML"),
        (b"{\"user\": \"u1\", \"label\": 0}\n".to_vec(), "JSON"),
    ];
    for (bytes, expected) in cases {
        for bytes in [bytes.clone(), gzip(&bytes)] {
            let error = folder.csv_fails("rows.csv", bytes);
            assert!(error.contains("rows.csv") && error.contains(expected), "{expected}: {error}");
        }
    }
    // Other sources, and a schema, say the same.
    folder.write("train.txt", tail(b"\x28\xb5\x2f\xfd"));
    assert!(folder.fails("criteo --source train.txt").contains("train.txt: this is zstd: unpack it first"));
    folder.write("training.tsv", utf16(u16::to_le_bytes, "\u{feff}"));
    assert!(folder.fails("recsys2020 --source training.tsv --label like").contains("UTF-16"));
    folder.write("schema.toml", utf16(u16::to_le_bytes, "\u{feff}"));
    assert!(folder.csv_fails("rows.csv", &text).contains("schema.toml: this is text in UTF-16"));
    let folder = Folder::new();
    folder.write("rows.parquet", &text);
    let error = folder.fails("parquet --input rows.parquet --schema schema.toml");
    assert!(error.contains("looks like text, which `xsfm-train prepare csv` reads"), "{error}");
    folder.write("rows.parquet", gzip(text.as_bytes()));
    assert!(folder.fails("parquet --input rows.parquet --schema schema.toml").contains("this is gzip"));
    folder.write("empty.csv", "");
    assert!(folder.fails("csv --input empty.csv --schema schema.toml").contains("empty.csv: an empty file"));
    assert!(folder.fails("criteo --source empty.csv").contains("empty.csv: an empty file"));
}

#[cfg(unix)]
#[test]
fn a_pipe_is_not_read_twice() {
    let folder = Folder::new();
    let error = folder.fails("csv --input /dev/null --schema schema.toml");
    assert!(error.contains("/dev/null: neither a file nor a folder"), "{error}");
}

#[test]
fn another_delimiter_is_guessed() {
    let folder = Folder::new();
    let text = with_header(&rows(50, 3)).replace('|', "/");
    for (delimiter, shown) in
        [(";", "\";\""), ("\t", "\"\\t\""), ("|", "\"|\""), ("\u{1}", "\"\\u0001\""), (" ", "\" \"")]
    {
        let error = folder.csv_fails("rows.csv", text.replace(',', delimiter));
        assert!(error.contains("rows.csv:1: the header has no column \"label\"; it is one column, "), "{error}");
        assert!(error.contains("user") && error.contains("views"), "{error}");
        assert!(error.contains(&format!("with delimiter = {shown} it has all that are wanted")), "{error}");
        // What is advised works.
        let schema = fs::read_to_string(folder.path("schema.toml")).unwrap();
        let schema = schema.replace("kind = \"bag\"", "kind = \"bag\"\nseparator = \"/\"");
        folder.write("advised.toml", format!("delimiter = {shown}\n{schema}"));
        folder.prepare("csv --input rows.csv --schema advised.toml --out out");
    }
    // So it is where columns are found by their places.
    let by_place =
        "header = false\n[label]\ncolumn = 3\n[[fields]]\nname = \"user\"\ncolumn = 0\nkind = \"categorical\"\n";
    folder.write("places.toml", by_place);
    folder.write("places.csv", text[HEADER.len()..].replace(',', ";"));
    let error = folder.fails("csv --input places.csv --schema places.toml");
    assert!(error.contains("column 3 is wanted, but the first line has 1 (from 0); with delimiter = \";\""), "{error}");
    // A header that lacks a column is shown; so is a row where a header should be.
    let error = folder.csv_fails("rows.csv", text.replacen("label", "clicked", 1));
    assert!(error.contains("no column \"label\"; it is \"user\", \"tags\", \"views\", \"clicked\""), "{error}");
    let error = folder.csv_fails("rows.csv", &text[HEADER.len()..]);
    assert!(error.contains("\"u") && error.contains("header = false"), "{error}");
}

#[test]
fn lines_are_those_of_the_file() {
    let folder = Folder::new();
    let well = rows(400, 4);
    let mut text = format!("\n\r\n{HEADER}\n");
    text += &well[..100].concat();
    text += "\n\n \"\n";
    text += &well[100..200].concat();
    text += "\"u\n1\",,1,0\r\n\n\nshort\n";
    let (first, second) = (4 + 100 + 3, 4 + 100 + 3 + 100 + 2 + 2 + 1);
    let said = folder.csv("rows.csv", &text, " --max-bad 0.1");
    let examples = said.examples();
    assert_eq!(examples.len(), 2, "{examples:?}");
    assert!(examples[0].starts_with(&format!("rows.csv:{first}: 1 columns, 4 expected")), "{examples:?}");
    assert!(examples[1].starts_with(&format!("rows.csv:{second}: 1 columns, 4 expected")), "{examples:?}");
}

#[test]
fn bytes_that_no_text_has_are_malformed() {
    let folder = Folder::new();
    let well = rows(400, 5);
    for (bad, expected) in [
        (&b"u1,\0\0\0,1,0\n"[..], "a zero byte"),
        (b"\"u\0\n1\",t1,1,0\n", "a zero byte"),
        (b"\"u1\",t\r1,1,0\n", "a carriage return inside of a line"),
        (b"u1,t\r1,1,0\n", "a carriage return inside of a line"),
        (b"u\xff,t1,1,0\n", "field \"user\": not UTF-8"),
        (b"u1,t1,1\n", "3 columns, 4 expected"),
        (b"u1,t1,1,0,\n", "5 columns, 4 expected"),
    ] {
        let text = [with_header(&well[..9]).as_bytes(), bad, well[9..].concat().as_bytes()].concat();
        let said = folder.csv("rows.csv", text, "");
        assert_eq!((said.rows(), said.malformed()), (400, 1));
        assert!(said.examples()[0].starts_with(&format!("rows.csv:11: {expected}")), "{:?}", said.examples());
    }
    let said = folder.csv("quoted.csv", format!("{}\"u\r\n1\",\"t\r1\",1,0\r\n", with_header(&well)), "");
    assert_eq!((said.rows(), said.malformed()), (401, 0), "{:?}", said.examples());
    // Lines may end in carriage returns alone, the last one in nothing.
    folder.csv("plain.csv", with_header(&well), "");
    let expected = folder.outputs("out");
    assert_eq!(folder.csv("old.csv", with_header(&well).trim_end().replace('\n', "\r"), "").malformed(), 0);
    assert_eq!(folder.outputs("out"), expected);
}

#[test]
fn columns_are_told_apart() {
    let folder = Folder::new();
    let schema = fs::read_to_string(folder.path("schema.toml")).unwrap();
    let text = with_header(&rows(100, 6));
    let fails = |schema: String, text: &str, expected: &str| {
        folder.write("schema.toml", schema);
        let error = folder.csv_fails("rows.csv", text);
        assert!(error.contains(expected), "{error}");
    };
    let again = |name: &str, column: &str, more: &str| {
        format!("{schema}[[fields]]\nname = \"{name}\"\ncolumn = \"{column}\"\nkind = \"categorical\"\n{more}")
    };
    fails(again("leak", "label", ""), &text, "field \"leak\" is the label's column");
    fails(again("user2", "user", ""), &text, "fields \"user\" and \"user2\" are the same column");
    fails(schema.clone(), &text.replacen("views", "user", 1), "the header has column \"user\" twice");
    fails(format!("delimiter = '\"'\n{schema}"), &text, "no quote or line end");
    folder.write("schema.toml", again("initial", "user", "bytes = [0, 1]\n"));
    folder.csv("rows.csv", &text, "");
}

#[test]
fn a_gzip_that_breaks_off_is_one_malformed_row() {
    let folder = Folder::new();
    let text = with_header(&rows(5000, 7));
    let whole = gzip(text.as_bytes());
    let said = folder.csv("cut.csv", &whole[..whole.len() * 2 / 3], "");
    assert!(said.rows() > 1000 && said.malformed() == 1, "{:?}", said.examples());
    assert!(said.examples()[0].starts_with(&format!("cut.csv:{}: the gzip stream ends here", said.rows() + 2)));
    // Several streams, one behind the other, are one file.
    let place = text.len() / 3;
    folder.csv("plain.csv", &text, "");
    let expected = folder.outputs("out");
    folder.csv("two.csv", [gzip(&text.as_bytes()[..place]), gzip(&text.as_bytes()[place..])].concat(), "");
    assert_eq!(folder.outputs("out"), expected);
}
