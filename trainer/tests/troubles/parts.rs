//! Rows in several files: folders, patterns, lists.

use std::fs;

use super::{FIELDS, Folder, HEADER, criteo, gzip, rows, with_header};

#[test]
fn parts_of_a_csv_are_read_in_the_order_of_their_names() {
    let folder = Folder::new();
    let well = rows(1200, 21);
    folder.csv("all.csv", with_header(&well), "");
    let expected = folder.outputs("out");
    // Twelve parts, whose numbers have no leading zeros; one is gzip, one has a byte order mark, one lacks its last
    // line end.
    for (i, part) in well.chunks(100).enumerate() {
        let text = with_header(part);
        let bytes = match i {
            3 => gzip(text.as_bytes()),
            7 => format!("\u{feff}{text}").into_bytes(),
            9 => text.trim_end().as_bytes().to_vec(),
            _ => text.into_bytes(),
        };
        folder.write(&format!("parts/day_{i}.csv"), bytes);
    }
    for other in ["_SUCCESS", ".day_3.csv.crc", "_committed_7"] {
        folder.write(&format!("parts/{other}"), "no rows");
    }
    let listed: Vec<String> = (0..12).map(|i| format!("parts/day_{i}.csv")).collect();
    let inputs = [
        "parts",
        "parts/",
        "parts/day_*.csv",
        "parts/*",
        "p?rts/day_*",
        "parts/day_?.csv parts/day_1?.csv",
        &listed.join(" "),
    ];
    for (input, threads) in inputs.into_iter().zip([1, 2, 3, 4, 5, 6, 7]) {
        let said = folder.prepare(&format!("csv --input {input} --schema schema.toml --out out --threads {threads}"));
        assert_eq!((said.rows(), said.malformed()), (1200, 0), "{input}");
        assert_eq!(folder.outputs("out"), expected, "{input}");
    }
    // By the order of the files, where rows have no time.
    folder.prepare("csv --input all.csv --schema schema.toml --out all --split chronological");
    folder.prepare("csv --input parts --schema schema.toml --out out --split chronological");
    assert_eq!(folder.outputs("out"), folder.outputs("all"));
}

#[test]
fn malformed_rows_of_parts_are_named_by_file_and_line() {
    let folder = Folder::new();
    let mut well = rows(900, 22);
    (well[310], well[405], well[899]) = ("short\n".to_owned(), format!("\"{}", well[405]), "u,t,x,1\n".to_owned());
    for (i, part) in well.chunks(300).enumerate() {
        folder.write(&format!("parts/{}.csv", ["a", "b", "c"][i]), with_header(part));
    }
    let mut all = Vec::new();
    for threads in [1, 4] {
        let said = folder.prepare(&format!("csv --input parts --schema schema.toml --out out --threads {threads}"));
        let starts = [
            "parts/b.csv:12: 1 columns",
            "parts/b.csv:107: column 1: a quote opens",
            "parts/c.csv:301: field \"views\"",
        ];
        assert_eq!((said.rows(), said.examples().len()), (897, 3));
        for (example, start) in said.examples().iter().zip(starts) {
            assert!(example.starts_with(start), "{example}");
        }
        all.push(folder.outputs("out"));
    }
    assert_eq!(all[0], all[1]);
    assert!(folder.fails("csv --input parts --schema schema.toml --strict").contains("parts/b.csv:12: 1 columns"));
}

#[test]
fn parts_that_do_not_fit_are_named() {
    let folder = Folder::new();
    let text = with_header(&rows(50, 23));
    folder.write("parts/1.csv", &text);
    let fails = |name: &str, bytes: &[u8], input: &str, expected: &str| {
        folder.write(name, bytes);
        let error = folder.fails(&format!("csv --input {input} --schema schema.toml"));
        assert!(error.contains(expected), "{error}");
        fs::remove_file(folder.path(name)).unwrap();
    };
    let swapped = text.replacen("user,tags", "tags,user", 1);
    fails(
        "parts/2.csv",
        swapped.as_bytes(),
        "parts",
        "parts/2.csv:1: the header is \"tags\", \"user\", \"views\", \"label\", and that of parts/1.csv is \"user\"",
    );
    fails("parts/2.csv", &text.as_bytes()[HEADER.len()..], "parts", "parts/2.csv:1: the header is \"u");
    fails("parts/2.csv", b"", "parts", "parts/2.csv: an empty file");
    fails("parts/2.csv", b"PK\x03\x04\x14\0\0\0", "parts", "parts/2.csv: this is a zip");
    fails("parts/more/2.csv", text.as_bytes(), "parts", "parts/more: a folder among the files");
    fails("x", b"", "parts/*.tsv", "parts/*.tsv: neither a file, nor a pattern that a file fits");
    fails("x", b"", "parts/1.csv parts/1.csv", "parts/1.csv: this file is named twice");
    fails("x", b"", "parts/[", "parts/[: no pattern");
    fs::remove_dir_all(folder.path("parts/more")).unwrap();
    fs::remove_file(folder.path("parts/1.csv")).unwrap();
    folder.write("parts/_SUCCESS", "");
    assert!(folder.fails("csv --input parts --schema schema.toml").contains("parts: a folder without files"));
    assert!(folder.fails("csv --input nowhere.csv --schema schema.toml").contains("nowhere.csv"));
    // A file whose name looks like a pattern is a file.
    folder.csv("rows[1].csv", &text, "");
}

#[test]
fn logs_without_a_header_come_in_parts_too() {
    let folder = Folder::new();
    let all = criteo(900);
    folder.write("train.txt", all.concat());
    folder.prepare("criteo --source train.txt --out all --min-count 1");
    for (i, part) in all.chunks(300).enumerate() {
        folder.write(&format!("days/day_{}.gz", 9 + i), gzip(part.concat().as_bytes()));
    }
    folder.prepare("criteo --source days/day_*.gz --out out --min-count 1");
    assert_eq!(folder.outputs("out"), folder.outputs("all"));
    folder.prepare("criteo --source days --out out --min-count 1 --split chronological");
    assert_eq!(folder.outputs("out"), folder.outputs("all"));
    // A stream that breaks off costs what follows in its file alone.
    let whole = gzip(all[300..600].concat().as_bytes());
    folder.write("days/day_10.gz", &whole[..whole.len() / 2]);
    let said = folder.prepare("criteo --source days --out out --min-count 1");
    assert!(said.examples()[0].starts_with("days/day_10.gz:") && said.malformed() == 1, "{:?}", said.examples());
    assert!((601..890).contains(&said.rows()), "{}", said.rows());

    let tweet = |i: usize| {
        let like = if i.is_multiple_of(3) { "1581515300" } else { "" };
        let row = format!(
            "1|#|t|Photo|||Quote|en|{}|a{}|3|4|true|1500000000|r|5|6|false|1500000000|true||||{like}\n",
            1_581_515_200 + i,
            i % 5
        );
        row.replace('|', "\u{1}")
    };
    let tweets: Vec<String> = (0..300).map(tweet).collect();
    folder.write("training.tsv", tweets.concat());
    folder.write("tweets/part-1", tweets[..120].concat());
    folder.write("tweets/part-2", tweets[120..].concat());
    folder.prepare("recsys2020 --source training.tsv --label like --out all --min-count 1");
    folder.prepare("recsys2020 --source tweets/part-* --label like --out out --min-count 1");
    assert_eq!(folder.outputs("out"), folder.outputs("all"));

    let header = "id,click,hour,C1,banner_pos,site_id,site_domain,site_category,app_id,app_domain,app_category,\
                  device_id,device_ip,device_model,device_type,device_conn_type,C14,C15,C16,C17,C18,C19,C20,C21\n";
    let click = |i: usize| {
        format!(
            "{i},{},141021{:02},1,0,s{},d,c,a,b,c,d,e,f,1,2,3,4,5,6,7,8,9,10\n",
            usize::from(i.is_multiple_of(4)),
            i % 24,
            i % 9
        )
    };
    let clicks: Vec<String> = (0..240).map(click).collect();
    folder.write("train.csv", header.to_owned() + &clicks.concat());
    folder.write("avazu/1.csv", header.to_owned() + &clicks[..100].concat());
    folder.write("avazu/2.csv", header.to_owned() + &clicks[100..].concat());
    folder.prepare("avazu --source train.csv --out all");
    folder.prepare("avazu --source avazu --out out");
    assert_eq!(folder.outputs("out"), folder.outputs("all"));
}

#[test]
fn an_interrupted_run_goes_on_with_the_same_parts_alone() {
    let folder = Folder::new();
    let well = rows(400, 24);
    let write = |name: &str, rows: &[String]| folder.write(&format!("parts/{name}.csv"), with_header(rows));
    write("a", &well[..200]);
    write("b", &well[200..]);
    // A folder where a file must go ends the run behind its last pass.
    let interrupt = || {
        drop(fs::remove_file(folder.path("out/train.arrow")));
        fs::create_dir_all(folder.path("out/train.arrow/in the way")).unwrap();
        folder.run("csv --input parts --schema schema.toml --out out").unwrap_err();
        fs::remove_dir_all(folder.path("out/train.arrow")).unwrap();
        let kept = fs::read_to_string(folder.path("out/counted.json.part")).unwrap();
        folder.write("out/counted.json.part", kept.replacen("\"u1\"", "\"kept\"", 1));
    };
    let is_kept = || {
        folder.prepare("csv --input parts --schema schema.toml --out out");
        fs::read_to_string(folder.path("out/schema.json")).unwrap().contains("\"kept\"")
    };
    interrupt();
    assert!(is_kept());
    for change in [0, 1, 2] {
        interrupt();
        match change {
            0 => write("c", &well[..3]),
            1 => fs::rename(folder.path("parts/c.csv"), folder.path("parts/0.csv")).unwrap(),
            _ => write("b", &well[201..]),
        }
        assert!(!is_kept(), "{change}");
    }
    // So does another use of the same file.
    interrupt();
    folder.write(
        "schema.toml",
        format!("[label]\ncolumn = \"label\"\n{}", FIELDS.replace("\"bag\"", "\"bag\"\nkeep = \"last\"")),
    );
    assert!(!is_kept());
}
