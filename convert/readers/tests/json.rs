//! JSON lines, beside a CSV of the same rows, and what is wrong with others.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;
use tempfile::TempDir;
use xsfm_interchange::input::{Input, Table};
use xsfm_interchange::schema::{Field, FieldKind, Schema};
use xsfm_readers::by_schema;
use xsfm_readers::error::DataError;
use xsfm_readers::json::is_json_lines;
use xsfm_readers::pass::{All, Reading, pass, pick};
use xsfm_readers::raw::RawRow;

const DESCRIPTION: &str = r#"
    time = "when"
    weight = "cost"
    [label]
    column = "stars"
    at_least = 4
    [[fields]]
    name = "user"
    kind = "categorical"
    [[fields]]
    name = "day"
    column = "when"
    kind = "categorical"
    bytes = [8, 10]
    [[fields]]
    name = "tags"
    kind = "bag"
    separator = " "
    max_bag = 3
    keep = "last"
    [[fields]]
    name = "price"
    kind = "numeric"
"#;

const FIELDS: [(&str, FieldKind); 4] = [
    ("user", FieldKind::Categorical),
    ("day", FieldKind::Categorical),
    ("tags", FieldKind::Bag),
    ("price", FieldKind::Numeric),
];

fn schema(input: Input, fields: &[(&str, FieldKind)]) -> Schema {
    let field = |(name, kind): &(&str, FieldKind)| Field::new(name, *kind, Vec::new());
    let fields = fields.iter().map(field).collect();
    Schema { version: Schema::VERSION, label: "stars".to_owned(), input: Some(input), fields }
}

fn table(description: &str) -> Input {
    Input::Table(Box::new(toml::from_str::<Table>(description).unwrap()))
}

/// Label, weight and the tokens of each field.
fn shown(row: &RawRow, fields: usize) -> String {
    let tokens: Vec<Vec<&str>> = (0..fields).map(|f| row.field(f).collect()).collect();
    format!("{} {:?} {tokens:?}", row.label, row.weight)
}

/// All rows, and what is wrong with the others.
fn read(schema: &Schema, path: &Path, labels: bool) -> Result<(Vec<String>, Vec<String>), DataError> {
    let source = by_schema::open(Path::new("schema.json"), schema, &[path.to_owned()], labels)?;
    let (mut all, reading) = (Vec::new(), Reading { strict: false, max_bad: 1.0, threads: 2 });
    let walk = pass(
        &*source,
        reading,
        "reading",
        All,
        |rows| {
            let mut block = Vec::new();
            rows.each(|(), row| block.push(shown(row, schema.fields.len())));
            block
        },
        |block| {
            all.extend(block);
            Ok::<(), DataError>(())
        },
    )?;
    Ok((all, walk.examples))
}

fn write(folder: &TempDir, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    path
}

const LINES: &str = r#"{"user":"u,1","when":"2026-03-05","tags":["a","b","","c","d"],"price":7.50,"stars":5,"cost":1}
{"cost":0.5,"stars":"3","price":null,"tags":"x  y","when":"2026-03-06T10:00:00","user":"\u00e9\n\"\ud83c\udfac\"","x":1}
 { "user" : 17.0 , "when" : "2026-03-07" , "tags" : null , "price" : -1e3 , "stars" : 4.0 , "cost" : 2 } 
{"user":true,"when":"2026-03-08","tags":[1,true,null,2.50],"price":false,"stars":1,"cost":"3"}
{"user":"","when":"2026-03-09","tags":[],"price":123456789012345678901234567890,"stars":5,"cost":1e0}
"#;

const SAME: &str = "user;when;tags;price;stars;cost
\"u,1\";2026-03-05;a b c d;7.50;5;1
\"é\n\"\"🎬\"\"\";2026-03-06T10:00:00;x  y;;3;0.5
17.0;2026-03-07;;-1e3;4.0;2
1;2026-03-08;1 1 2.50;0;1;3
;2026-03-09;;123456789012345678901234567890;5;1
";

#[test]
fn objects_are_the_rows_of_a_csv() {
    let folder = TempDir::new().unwrap();
    let schema = schema(table(&format!("delimiter = ';'\n{DESCRIPTION}")), &FIELDS);
    let csv = write(&folder, "rows.csv", SAME);
    for labels in [true, false] {
        let (expected, problems) = read(&schema, &csv, labels).unwrap();
        assert_eq!((expected.len(), problems.len()), (5, 0), "{problems:?}");
        let mut zip = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        zip.write_all(LINES.as_bytes()).unwrap();
        let zipped = zip.finish().unwrap();
        let windows = format!("\u{feff}{}", LINES.replace('\n', "\r\n"));
        for (name, text) in [
            ("rows.jsonl", LINES.as_bytes()),
            ("rows", LINES.trim_end().as_bytes()),
            ("rows.gz", &zipped[..]),
            ("rows.NDJSON", windows.as_bytes()),
        ] {
            let (found, problems) = read(&schema, &write(&folder, name, text), labels).unwrap();
            assert_eq!(found, expected, "{name}: {problems:?}");
        }
    }
    // As they are written, one by one.
    let source =
        by_schema::open(Path::new("s"), &schema, &[write(&folder, "rows.jsonl", LINES.repeat(30_000))], true).unwrap();
    let picked = pick(&*source, &[0, 3, 5, 149_998]).unwrap();
    let price = |row: &RawRow| row.field(3).next().unwrap().to_owned();
    assert_eq!(picked.iter().map(price).collect::<Vec<_>>(), ["7.50", "0", "7.50", "0"]);
    assert_eq!(picked[3].number, 149_998);
    assert!(pick(&*source, &[150_000]).unwrap_err().to_string().contains("no row 150001"));
    let Input::Table(input) = schema.input.as_ref().unwrap() else { panic!() };
    assert!(by_schema::unknown_columns(&Input::Table(input.clone()), &*source).is_empty());
}

#[test]
fn what_is_wrong_with_a_line_is_told() {
    let folder = TempDir::new().unwrap();
    let schema = schema(table(DESCRIPTION), &FIELDS);
    let whole = r#"{"user":"u","when":"2026-03-05","tags":[],"price":1,"stars":1,"cost":1}"#;
    let with = |from: &str, to: &str| whole.replace(from, to);
    for (line, words) in [
        (with(r#""price":1"#, r#""prise":1"#), &["no key \"price\"", "not read are \"prise\""][..]),
        (with("{", r#"{"user":1,"#), &["key \"user\" is there twice"]),
        (with(r#""u""#, r#"["u"]"#), &["field \"user\": a list"]),
        (with(r#""u""#, r#"{"id":1}"#), &["field \"user\": an object"]),
        (with("[]", "[[]]"), &["field \"tags\": a list of lists"]),
        (with("[]", r#"[{"a":1}]"#), &["field \"tags\": an object"]),
        (with(r#""price":1"#, r#""price":"1,5""#), &["field \"price\": \"1,5\" is not a number"]),
        (with(r#""stars":1"#, r#""stars":null"#), &["field \"label\": an empty label"]),
        (with("1}", "1"), &["not an object of JSON in one line", "at byte"]),
        (with("1}", "01}"), &["not an object of JSON in one line: invalid number"]),
        (with(r#""u""#, r#""\ud800""#), &["field \"user\""]),
        (with(r#""u""#, "\"\t\""), &["not an object of JSON", "control character"]),
        (whole.to_owned() + " {}", &["trailing characters"]),
        ("[1]".to_owned(), &["expected an object"]),
        (String::new(), &["not an object of JSON in one line: EOF"]),
        ("[".repeat(100_000), &["not an object"]),
        (with("[]", &"[".repeat(100_000)), &["not an object"]),
    ] {
        let path = write(&folder, "bad.jsonl", format!("{whole}\n{line}\n{whole}\n"));
        let (found, problems) = read(&schema, &path, true).unwrap();
        let [problem] = &problems[..] else { panic!("{line}: {problems:?}") };
        assert_eq!(found.len(), 2);
        assert!(problem.contains("bad.jsonl:2: "), "{problem}");
        assert!(words.iter().all(|word| problem.contains(word)), "{line}: {problem}");
    }
    let mut bytes = format!("{whole}\n").into_bytes();
    bytes.extend(b"{\"user\":\"\xff\"}\n");
    let (_, problems) = read(&schema, &write(&folder, "bad.jsonl", bytes), true).unwrap();
    assert!(problems[0].contains("not UTF-8"), "{problems:?}");
    // What nobody has described.
    let path = write(&folder, "more.jsonl", with("{", r#"{"id":7,"page":null,"#));
    let source = by_schema::open(Path::new("s"), &schema, &[path], false).unwrap();
    assert_eq!(by_schema::unknown_columns(schema.input.as_ref().unwrap(), &*source), ["id", "page"]);
    assert!(read(&schema, &write(&folder, "empty.jsonl", ""), true).unwrap_err().to_string().contains("empty"));
}

#[test]
fn files_are_known_by_name_or_by_their_first_bytes() {
    let folder = TempDir::new().unwrap();
    for (name, text, expected) in [
        ("a.jsonl", "what\n", true),
        ("a.ndjson.gz", "what\n", true),
        ("a", "{\"user\": 1}\n", true),
        ("a.txt", "\u{feff} { \"user\": 1}\n", true),
        ("a.csv", "user,item\n{\"a\": 1},2\n", false),
        // Some programs write identifiers so.
        ("a.csv", "{0F2C6A5E-1D},3\n", false),
        ("a.json", "[{\"user\": 1}]\n", false),
    ] {
        assert_eq!(is_json_lines(&write(&folder, name, text)).unwrap(), expected, "{name}: {text}");
    }
}

/// Where columns had no names of their own, or came from several files, keys are the fields' names.
#[test]
fn keys_are_the_fields_where_columns_have_no_names() {
    let folder = TempDir::new().unwrap();
    let places = "header = false\n[label]\ncolumn = 2\n[[fields]]\nname = \"a\"\ncolumn = 0\nkind = \"categorical\"\n";
    let positions = schema(table(places), &[("a", FieldKind::Categorical)]);
    let path = write(&folder, "rows.jsonl", "{\"a\":\"x\",\"label\":1}\n");
    let csv = write(&folder, "rows.csv", "x,y,1\n");
    assert_eq!(read(&positions, &path, true).unwrap(), read(&positions, &csv, true).unwrap());

    let genres = [("item", FieldKind::Categorical), ("age", FieldKind::Numeric), ("genres", FieldKind::Bag)];
    let films = schema(Input::Movielens, &genres);
    let path = write(&folder, "rows.jsonl", "{\"item\":12,\"age\":30,\"genres\":\"Drama|Western\"}\n");
    let (rows, _) = read(&films, &path, false).unwrap();
    assert_eq!(rows, ["0 None [[\"12\"], [\"b11\"], [\"Drama\", \"Western\"]]"]);

    let names: Vec<String> = (1..=13).map(|i| format!("I{i}")).chain((1..=26).map(|i| format!("C{i}"))).collect();
    let kind = |name: &str| if name.starts_with('I') { FieldKind::Numeric } else { FieldKind::Categorical };
    let fields: Vec<(&str, FieldKind)> = names.iter().map(|name| (name.as_str(), kind(name))).collect();
    let criteo = schema(Input::Criteo, &fields);
    let values: Vec<String> =
        names.iter().enumerate().map(|(n, _)| if n % 5 == 0 { String::new() } else { format!("{n}") }).collect();
    let object: Vec<String> = names.iter().zip(&values).map(|(name, value)| format!("{name:?}:{value:?}")).collect();
    let json = write(&folder, "rows.jsonl", format!("{{\"label\":\"1\",{}}}\n", object.join(",")));
    let tsv = write(&folder, "rows.tsv", format!("1\t{}\n", values.join("\t")));
    for labels in [true, false] {
        assert_eq!(read(&criteo, &json, labels).unwrap(), read(&criteo, &tsv, labels).unwrap());
    }
}
