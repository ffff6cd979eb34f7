//! Labels, times, numbers and bags.

use std::fs;

use super::{FIELDS, Folder, rows, with_header};

/// Rows whose labels are written anew.
fn labelled(number: usize, label: impl Fn(usize, bool) -> String) -> String {
    let text = rows(number, 11);
    let row = |(i, row): (usize, &String)| {
        let (values, old) = row.trim_end().rsplit_once(',').unwrap();
        format!("{values},{}\n", label(i, old == "1"))
    };
    with_header(&text.iter().enumerate().map(row).collect::<Vec<_>>())
}

fn with_rule(folder: &Folder, rule: &str) {
    folder.write("schema.toml", format!("[label]\ncolumn = \"label\"\n{rule}\n{FIELDS}"));
}

#[test]
fn labels_may_be_floats_and_booleans() {
    let folder = Folder::new();
    let train = |said: &super::Said| (said.rows(), said.malformed());
    folder.csv("plain.csv", labelled(500, |_, y| u8::from(y).to_string()), "");
    let expected = folder.outputs("out");
    for (no, yes) in
        [("0.0", "1.0"), ("0.00", "1.000"), ("False", "True"), ("false", "true"), ("FALSE", "TRUE"), ("-0", "1e0")]
    {
        let said = folder.csv("other.csv", labelled(500, |_, y| if y { yes } else { no }.to_owned()), "");
        assert_eq!(train(&said), (500, 0), "{yes}");
        assert_eq!(folder.outputs("out"), expected, "{yes}");
    }
    let said =
        folder.csv("yes.csv", labelled(500, |i, y| if i == 7 { "yes".into() } else { u8::from(y).to_string() }), "");
    assert!(
        said.examples()[0].contains("yes.csv:9: field \"label\": \"yes\", 0 or 1 expected"),
        "{:?}",
        said.examples()
    );
}

#[test]
fn an_empty_label_is_missing_under_every_rule() {
    let folder = Folder::new();
    for rule in ["", "equals = \"1\"", "at_least = 1", "at_least = 0.5", "equals = \"0\""] {
        with_rule(&folder, rule);
        let text = labelled(500, |i, y| if i % 5 == 2 { String::new() } else { u8::from(y).to_string() });
        let said = folder.csv("rows.csv", text, " --max-bad 0.3");
        assert_eq!((said.rows(), said.malformed()), (400, 100), "{rule}");
        assert!(said.examples()[0].contains("rows.csv:4: field \"label\": an empty label"), "{:?}", said.examples());
    }
    with_rule(&folder, "equals = \"\"");
    assert!(
        folder.csv_fails("rows.csv", labelled(50, |_, _| String::new())).contains("an empty label is a missing one")
    );
}

#[test]
fn labels_of_one_class_are_shown() {
    let folder = Folder::new();
    let count = |yes: bool| rows(300, 11).iter().filter(|row| row.ends_with(",1\n") == yes).count();
    let fails = |rule: &str, no: &str, yes: &str, expected: &[&str]| {
        with_rule(&folder, rule);
        let error = folder.csv_fails("rows.csv", labelled(300, |_, y| if y { yes } else { no }.to_owned()));
        for expected in expected {
            assert!(error.contains(expected), "{expected}: {error}");
        }
    };
    let shown = |text: &str, yes| format!("{text:?} ({} rows)", count(yes));
    fails("equals = \"1\"", "0.0", "1.0", &["no label is 1", &shown("0.0", false), &shown("1.0", true)]);
    fails("equals = \"Click\"", "view", "click", &["no label is 1", "\\\"Click\\\"", &shown("click", true)]);
    fails("at_least = 0", "0", "1", &["every label is 1", &shown("0", false), &shown("1", true)]);
    fails("at_least = 4", "1.5", "3", &["no label is 1", "label is at least 4", &shown("3", true)]);
    fails("", "0", "0", &["no label is 1", "\"0\" (300 rows)"]);
    fails("", "true", "1", &["every label is 1"]);
    // Criteo's file has no rule, but may be a part of one class.
    let text: String = super::criteo(400).into_iter().filter(|row| row.starts_with('0')).collect();
    folder.write("train.txt", text);
    assert!(folder.fails("criteo --source train.txt").contains("no label is 1"));
    // Many different labels are cut short.
    with_rule(&folder, "at_least = 1000");
    let error = folder.csv_fails("rows.csv", labelled(300, |i, _| i.to_string()));
    assert!(error.contains("\"0\" (1 row)") && error.contains(" and 292 more"), "{error}");
}

#[test]
fn one_class_in_one_part_is_a_warning() {
    let folder = Folder::new();
    let text = labelled(100, |i, _| u8::from(i < 80 && i % 2 == 0).to_string());
    folder.write("letters.txt", "t\n".repeat(80) + &"v\n".repeat(12) + &"e\n".repeat(8));
    let said = folder.csv("rows.csv", text, " --split file --split-file letters.txt");
    assert_eq!(said.warnings(), ["the label of all 12 validation rows is 0", "the label of all 8 test rows is 0"]);
    assert!(said.stderr.contains("warning: the label of all 12 validation rows is 0"), "{}", said.stderr);
    let said = folder.csv("few.csv", labelled(7, |i, _| (i % 2).to_string()), " --split chronological --shares 98:1:1");
    assert_eq!(said.warnings()[0], "no row is for validation, whose share is 1 %");
}

/// Rows with a time each.
fn timed(times: &[String]) -> String {
    let text = rows(times.len(), 12).into_iter().zip(times).map(|(row, time)| format!("{},{time}\n", row.trim_end()));
    format!("user,tags,views,label,when\n{}", text.collect::<String>())
}

fn with_time() -> Folder {
    let folder = Folder::new();
    let schema = fs::read_to_string(folder.path("schema.toml")).unwrap();
    folder.write("schema.toml", format!("time = \"when\"\n{schema}"));
    folder
}

#[test]
fn times_of_iso_8601_are_ordered_by_their_zones() {
    let folder = with_time();
    // The seconds of 500 rows, not in order, each twice.
    let seconds: Vec<i64> = (0..500_i64).map(|i| 1_709_600_000 + (i / 2 * 617 % 250) * 100).collect();
    folder.csv("numbers.csv", timed(&seconds.iter().map(i64::to_string).collect::<Vec<_>>()), " --split chronological");
    let expected = folder.outputs("out");
    let iso = |i: usize, second: i64| {
        // By hand: 1709596800 is the midnight of 2024-03-05 in UTC.
        let write = |second: i64, between: &str, zone: &str| {
            let second = second - 1_709_596_800;
            let (day, second) = (5 + second.div_euclid(86_400), second.rem_euclid(86_400));
            format!("2024-03-{day:02}{between}{:02}:{:02}:{:02}{zone}", second / 3600, second / 60 % 60, second % 60)
        };
        match i % 8 {
            0 => write(second, "T", "Z"),
            1 => write(second + 3600, "T", "+01:00"),
            2 => write(second + 3600, " ", ".000+0100"),
            3 => write(second - 34_200, "T", ".0-09:30"),
            4 => write(second, " ", ""),
            5 => write(second, " ", " UTC"),
            6 => write(second + 50_400, "T", "+14:00"),
            _ => second.to_string(),
        }
    };
    let times: Vec<String> = seconds.iter().enumerate().map(|(i, &second)| iso(i, second)).collect();
    let said = folder.csv("iso.csv", timed(&times), " --split chronological");
    assert_eq!(said.malformed(), 0, "{:?}", said.examples());
    assert_eq!(folder.outputs("out"), expected);
    // Fractions of a second tell rows apart, and so do nanoseconds.
    for digits in [3, 6, 9] {
        let times: Vec<String> = (0..500).map(|i| format!("2024-03-05T10:00:00.{:0digits$}Z", i * 617 % 500)).collect();
        folder.csv("close.csv", timed(&times), " --split chronological");
        let said = folder.prepare("csv --input close.csv --schema schema.toml --out out --split chronological");
        let part = |part: &str| said.report[part]["rows"].as_u64().unwrap();
        assert_eq!((part("train"), part("valid"), part("test")), (400, 50, 50), "{digits}");
    }
}

#[test]
fn a_time_that_is_none_is_malformed() {
    let folder = with_time();
    for bad in
        ["", "yesterday", "2024-02-30", "2024-03-05T10:61:00", "05.03.2024", "2024-03-05T10:00:00 CET", "10:00", "NaN"]
    {
        let times: Vec<String> = (0..300).map(|i| if i == 41 { bad.to_owned() } else { i.to_string() }).collect();
        for split in ["random", "chronological"] {
            let said = folder.csv("rows.csv", timed(&times), &format!(" --split {split}"));
            assert_eq!((said.rows(), said.malformed()), (299, 1), "{bad}");
            let expected = format!("rows.csv:43: field \"time\": {bad:?} is neither a number nor a time of ISO 8601");
            assert_eq!(said.examples(), [expected]);
        }
    }
}

#[test]
fn one_time_is_no_order() {
    let folder = with_time();
    for (time, shown) in [("1700000000", "1700000000"), ("2024-03-05", "1709596800"), ("0.5", "0.5"), ("-3", "-3")] {
        folder.write("rows.csv", timed(&vec![time.to_owned(); 200]));
        let error = folder.fails("csv --input rows.csv --schema schema.toml --split chronological");
        assert!(error.contains(&format!("rows.csv: all 200 rows have one time, {shown}:")), "{error}");
        folder.prepare("csv --input rows.csv --schema schema.toml --out out");
    }
}

#[test]
fn numbers_of_one_token_are_warned_of() {
    let folder = Folder::new();
    let write = |value: &dyn Fn(usize) -> String| {
        let rows = rows(400, 13).into_iter().enumerate().map(|(i, row)| {
            let mut values: Vec<String> = row.trim_end().split(',').map(str::to_owned).collect();
            values[2] = value(i);
            values.join(",") + "\n"
        });
        folder.csv("rows.csv", with_header(&rows.collect::<Vec<_>>()), " --threads 2")
    };
    for (value, token) in [
        (&(|i: usize| format!("0.{:06}", i * 37)) as &dyn Fn(usize) -> String, "\"0\""),
        (&|i| if i % 3 == 0 { String::new() } else { format!("{}", 0.5 + i as f64 / 1000.0) }, "\"0\""),
        (&|i| format!("-{:.3}", 0.001 + i as f64 / 1000.0), "\"-1\""),
        (&|i| (1_000_000 + i).to_string(), "\"b190\""),
    ] {
        let said = write(value);
        let [warning] = said.warnings()[..] else { panic!("{:?}", said.warnings()) };
        assert!(warning.contains("field \"views\": its values differ") && warning.contains(token), "{warning}");
        assert!(said.stderr.contains(warning), "{}", said.stderr);
    }
    // Values that are the same number, or that have several tokens.
    for value in [
        &(|i: usize| ["0", "0.0", "-0"][i % 3].to_owned()) as &dyn Fn(usize) -> String,
        &|_| "7".to_owned(),
        &|i| i.to_string(),
        &|_| String::new(),
        &|i| format!("{}", i as f64 / 200.0),
    ] {
        let said = write(value);
        assert_eq!(said.warnings(), [""; 0]);
    }
}

#[test]
fn long_bags_keep_their_first_or_last_tokens() {
    let folder = Folder::new();
    let text = "user,tags,views,label\na,x|y||z,1,0\nb,y|z,1,1\nc,,1,1\nd,z|x|w|v,1,0\n";
    let schema = |more: &str| {
        let fields = FIELDS.replace("kind = \"bag\"", &format!("kind = \"bag\"\n{more}"));
        folder.write("schema.toml", format!("[label]\ncolumn = \"label\"\n{fields}"));
    };
    let mut outputs = Vec::new();
    for (more, same) in [
        ("max_bag = 2", "a,x|y,1,0\nb,y|z,1,1\nc,,1,1\nd,z|x,1,0\n"),
        ("max_bag = 2\nkeep = \"first\"", "a,x|y,1,0\nb,y|z,1,1\nc,,1,1\nd,z|x,1,0\n"),
        ("max_bag = 2\nkeep = \"last\"", "a,y|z,1,0\nb,y|z,1,1\nc,,1,1\nd,w|v,1,0\n"),
        ("max_bag = 1\nkeep = \"last\"", "a,z,1,0\nb,z,1,1\nc,,1,1\nd,v,1,0\n"),
        ("keep = \"last\"", &text[22..]),
    ] {
        schema(more);
        let said = folder.csv("rows.csv", text, " --shares 100:0:0");
        outputs.push(folder.outputs("out"));
        let cut = said.report["fields"][1]["cut_bags"].as_u64();
        assert_eq!(
            cut,
            Some(if more.contains("max_bag = 2") {
                2
            } else if more.contains('1') {
                3
            } else {
                0
            }),
            "{more}"
        );
        // What is kept is what a file would have that has no more, its order too.
        schema("");
        folder.csv("same.csv", format!("user,tags,views,label\n{same}"), " --shares 100:0:0");
        let [cut, same] = [&outputs[outputs.len() - 1], &folder.outputs("out")].map(|all| all[1..].to_vec());
        assert!(cut == same, "{more}: other rows");
    }
    assert_ne!(outputs[1], outputs[2]);
    schema("keep = \"newest\"");
    assert!(folder.csv_fails("rows.csv", text).contains("newest"));
    folder.write(
        "schema.toml",
        format!("[label]\ncolumn = \"label\"\n{}", FIELDS.replace("\"numeric\"", "\"numeric\"\nkeep = \"last\"")),
    );
    assert!(folder.csv_fails("rows.csv", text).contains("separator, max_bag, keep and combine are for bags"));
}
