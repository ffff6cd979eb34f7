//! RecSys 2020, Avazu, MovieLens-1M and Parquet: what each becomes, and what is said of rows that do not fit.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use tempfile::TempDir;
use xsfm_interchange::rows::RowsReader;
use xsfm_interchange::schema::Schema;
use xsfm_readers::csv::CsvSource;
use xsfm_readers::movielens::MovieLens;
use xsfm_readers::parquet::ParquetSource;
use xsfm_readers::pass::Reading;
use xsfm_readers::recsys::{Engagement, RecSys};
use xsfm_readers::source::Source;
use xsfm_trainer::data::prepare::prepare;
use xsfm_trainer::data::report::Report;
use xsfm_trainer::data::split::Split;

const LENIENT: Reading = Reading { strict: false, max_bad: 1.0, threads: 2 };

/// A folder whose rows are all for training, and what they became: label and tokens of each.
fn decoded(source: &dyn Source, rows: usize, folder: &Path) -> (Report, Vec<(u8, Vec<String>)>) {
    let letters = folder.join("letters.txt");
    fs::write(&letters, "t\n".repeat(rows)).unwrap();
    let out = folder.join("out");
    let report = prepare(source, &Split::File(letters), LENIENT, &out).unwrap();
    let schema = Schema::load(&out.join("schema.json")).unwrap();
    let mut decoded = Vec::new();
    for block in RowsReader::open(&out.join("train.arrow")).unwrap().blocks() {
        let block = block.unwrap();
        for i in 0..block.len() {
            let row = block.row(i);
            let field = |f: usize| {
                let token = |&i: &u32| if i == 0 { "-" } else { &schema.fields[f].vocabulary[i as usize - 1] };
                row.field(f).unwrap().iter().map(token).collect::<Vec<_>>().join("|")
            };
            decoded.push((block.labels[i], (0..schema.fields.len()).map(field).collect()));
        }
    }
    (report, decoded)
}

fn write(folder: &TempDir, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

/// 2020-02-12 13:46:40 UTC, a Wednesday.
const TWEET: [&str; 24] = [
    "101\t56898",
    "AAA\tBBB",
    "T1",
    "Photo\tPhoto",
    "",
    "D1",
    "TopLevel",
    "L1",
    "1581515200",
    "author1",
    "1000",
    "2",
    "true",
    "1549979200",
    "reader1",
    "0",
    "77",
    "false",
    "1581515100",
    "false",
    "",
    "1581515300",
    "",
    "1581516000",
];

#[test]
fn tweets_become_fields() {
    let folder = TempDir::new().unwrap();
    let mut quiet = TWEET;
    (quiet[1], quiet[20], quiet[21], quiet[22], quiet[23]) = ("", "1581515200", "", "1581515200", "");
    let text = format!("{}\n{}\n", TWEET.join("\u{1}"), quiet.join("\u{1}"));
    let input = write(&folder, "training.tsv", text);
    let labels = |engagement| {
        let source = RecSys::new(&input, engagement, 1);
        assert_eq!(source.label(), engagement.name());
        decoded(&source, 2, folder.path()).1.into_iter().map(|(label, _)| label).collect::<Vec<_>>()
    };
    assert_eq!(Engagement::ALL.map(labels), [[0, 1], [1, 0], [0, 1], [1, 0]]);
    let (report, rows) = decoded(&RecSys::new(&input, Engagement::Like, 1), 2, folder.path());
    let names: Vec<&str> = report.fields.iter().map(|f| f.name.as_str()).collect();
    let expected = [
        ("hashtags", "AAA|BBB"),
        ("media", "Photo|Photo"),
        ("links", "-"),
        ("domains", "D1"),
        ("tweet_type", "TopLevel"),
        ("language", "L1"),
        ("hour", "13"),
        ("weekday", "2"),
        ("author", "author1"),
        // ln(1000)^2 = 47.7, 365 days: ln(365)^2 = 34.8, ln(77)^2 = 18.9.
        ("author_followers", "b47"),
        ("author_following", "2"),
        ("author_verified", "true"),
        ("author_age", "b34"),
        ("reader", "reader1"),
        ("reader_followers", "0"),
        ("reader_following", "b18"),
        ("reader_verified", "false"),
        ("reader_age", "0"),
        ("author_follows_reader", "false"),
    ];
    assert_eq!(names, expected.map(|(name, _)| name));
    assert_eq!(rows[0].1, expected.map(|(_, token)| token));
    assert_eq!(rows[1].1[0], "-", "no hashtags");
}

#[test]
fn malformed_tweets_are_named() {
    let change = |column: usize, value: &'static str| {
        let mut cells = TWEET;
        cells[column] = value;
        cells.join("\u{1}")
    };
    let cases = [
        (TWEET[..20].join("\u{1}"), "20 columns, 24 expected: a file without engagements has no labels"),
        (TWEET[..23].join("\u{1}"), "23 columns, 24 expected"),
        (TWEET.join("\t"), "1 columns, 24 expected"),
        (change(8, "noon"), "field \"timestamp\": \"noon\" is not a time in seconds"),
        (change(23, "yes"), "field \"like\": \"yes\" is not a time in seconds"),
        (change(10, "-1"), "field \"author_followers\": \"-1\", a count expected"),
        (change(17, "False"), "field \"reader_verified\": \"False\", true or false expected"),
        (change(18, ""), "field \"reader_age\": \"\" is not a time in seconds"),
    ];
    let folder = TempDir::new().unwrap();
    let mut text = format!("{}\n{}\n", TWEET.join("\u{1}"), change(23, ""));
    cases.iter().for_each(|(line, _)| text += &format!("{line}\n"));
    let input = write(&folder, "training.tsv", text);
    let source = RecSys::new(&input, Engagement::Like, 1);
    let (report, rows) = decoded(&source, cases.len() + 2, folder.path());
    assert_eq!((rows.len(), report.malformed_rows), (2, cases.len() as u64));
    for (i, (example, (_, expected))) in report.malformed_examples.iter().zip(&cases).enumerate() {
        assert_eq!(*example, format!("{}:{}: {expected}", input.display(), i + 3));
    }
    // The rest of them, one by one.
    for (line, expected) in &cases[5..] {
        fs::write(&input, line).unwrap();
        let strict = Reading { strict: true, ..LENIENT };
        let split = Split::Random { seed: 1, shares: Default::default() };
        let error = prepare(&source, &split, strict, &folder.path().join("none")).unwrap_err().to_string();
        assert!(error.ends_with(expected), "{error}");
    }
}

#[test]
fn avazu_has_the_hour_of_the_day() {
    let folder = TempDir::new().unwrap();
    let header = "id,click,hour,C1,banner_pos,site_id,site_domain,site_category,app_id,app_domain,app_category,\
                  device_id,device_ip,device_model,device_type,device_conn_type,C14,C15,C16,C17,C18,C19,C20,C21";
    let row = "1000009418151094273,0,14102123,1005,0,1fbe01fe,f3845767,28905ebd,ecad2386,7801e8d9,07d7df22,a99f214a,\
               ddd2926e,44956a24,1,2,15706,320,50,1722,0,35,-1,79";
    let clicked = row.replace(",0,14102123,", ",1,14102200,");
    let short = row.replace(",14102123,", ",141,");
    let input = write(&folder, "train.csv", format!("{header}\n{row}\n{clicked}\n{short}\n"));
    let source = CsvSource::avazu(&input, 1).unwrap();
    assert!(source.has_time());
    let (report, rows) = decoded(&source, 3, folder.path());
    assert_eq!(report.fields.len(), 22);
    assert_eq!((rows[0].0, &rows[0].1[0][..], &rows[0].1[21][..]), (0, "23", "79"));
    assert_eq!((rows[1].0, &rows[1].1[0][..], &rows[1].1[1][..]), (1, "00", "1005"));
    assert!(report.malformed_examples[0].ends_with("train.csv:4: field \"hour\": \"141\" has no bytes 6 to 8"));
    let input = write(&folder, "other.csv", "id,click\n1,0\n");
    let error = CsvSource::avazu(&input, 1).unwrap_err().to_string();
    assert!(error.contains("other.csv:1: the header has no column"), "{error}");
}

#[test]
fn movielens_1m_is_read() {
    let folder = TempDir::new().unwrap();
    write(&folder, "users.dat", "1::F::1::10::48067\n2::M::56::16::70072\n");
    write(&folder, "movies.dat", b"1::Toy Story (1995)::Animation|Children's\n2::Mis\xe9rables, Les (1998)::Drama\n");
    write(&folder, "ratings.dat", "1::2::5::978300760\n2::1::3::978300000\n2::9::3::978300000\n");
    let source = MovieLens::open(folder.path()).unwrap();
    assert_eq!(source.films()[1].title, "Misérables, Les (1998)");
    let (report, rows) = decoded(&source, 3, folder.path());
    assert_eq!(rows[0], (1, ["1", "2", "1", "F", "10", "1998", "Drama"].map(str::to_owned).to_vec()));
    assert_eq!(rows[1], (0, ["2", "1", "56", "M", "16", "1995", "Animation|Children's"].map(str::to_owned).to_vec()));
    assert!(report.malformed_examples[0].ends_with("ratings.dat:3: field \"item_id\": no film \"9\""));
    write(&folder, "movies.dat", "1::Toy Story::Animation\n");
    let error = MovieLens::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("movies.dat:1: title \"Toy Story\": no year"), "{error}");
}

const DESCRIPTION: &str = r#"
    time = "when"
    label = { column = "clicked" }
    fields = [
        { name = "user", kind = "categorical" },
        { name = "tags", kind = "bag", max_bag = 2 },
        { name = "price", kind = "numeric" },
    ]
"#;

/// Five rows in two groups: a missing user, an empty list, a list of three, and bytes that are not UTF-8 at last.
fn parquet(path: &Path) {
    let schema = "message rows {
        required int64 when; required boolean clicked; optional binary user; required int64 unused;
        required group tags (LIST) { repeated group list { required binary element (UTF8); } }
        required double price;
    }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = Arc::new(WriterProperties::builder().set_compression(parquet::basic::Compression::SNAPPY).build());
    let mut writer = SerializedFileWriter::new(File::create(path).unwrap(), schema, properties).unwrap();
    let bytes = |values: &[&str]| values.iter().map(|v| ByteArray::from(*v)).collect::<Vec<_>>();
    for group in 0..2_i64 {
        let rows = if group == 0 { 3 } else { 2 };
        let mut columns = writer.next_row_group().unwrap();
        for column in 0..6 {
            let mut column_writer = columns.next_column().unwrap().unwrap();
            let numbers: Vec<i64> = (0..rows).map(|i| 100 - group * 10 - i).collect();
            match (column, group) {
                (0 | 3, _) => {
                    column_writer.typed::<Int64Type>().write_batch(&numbers, None, None).unwrap();
                }
                (1, _) => {
                    let clicked: Vec<bool> = numbers.iter().map(|n| n % 2 == 0).collect();
                    column_writer.typed::<BoolType>().write_batch(&clicked, None, None).unwrap();
                }
                (2, 0) => {
                    let typed = column_writer.typed::<ByteArrayType>();
                    typed.write_batch(&bytes(&["ann", "bob"]), Some(&[1, 0, 1]), None).unwrap();
                }
                (2, _) => {
                    let values = [ByteArray::from("ann"), ByteArray::from(vec![0xff, 0xfe])];
                    column_writer.typed::<ByteArrayType>().write_batch(&values, Some(&[1, 1]), None).unwrap();
                }
                (4, 0) => {
                    let typed = column_writer.typed::<ByteArrayType>();
                    typed
                        .write_batch(
                            &bytes(&["x", "y", "x", "y", "z"]),
                            Some(&[1, 1, 0, 1, 1, 1]),
                            Some(&[0, 1, 0, 0, 1, 1]),
                        )
                        .unwrap();
                }
                (4, _) => {
                    let typed = column_writer.typed::<ByteArrayType>();
                    typed.write_batch(&bytes(&["z", "z"]), Some(&[1, 1]), Some(&[0, 0])).unwrap();
                }
                _ => {
                    let prices: Vec<f64> = (0..rows).map(|i| i as f64 * 2.5).collect();
                    column_writer.typed::<DoubleType>().write_batch(&prices, None, None).unwrap();
                }
            }
            column_writer.close().unwrap();
        }
        columns.close().unwrap();
    }
    writer.close().unwrap();
}

#[test]
fn parquet_has_columns_by_name() {
    let folder = TempDir::new().unwrap();
    let input = folder.path().join("rows.parquet");
    parquet(&input);
    let schema = write(&folder, "schema.toml", DESCRIPTION);
    let source = ParquetSource::open(&input, &schema).unwrap();
    let (report, rows) = decoded(&source, 5, folder.path());
    let row = |label, cells: [&str; 3]| (label, cells.map(str::to_owned).to_vec());
    assert_eq!(
        rows,
        [
            row(1, ["ann", "x|y", "0"]),
            row(0, ["", "-", "b0"]),
            // ln(2.5)^2 = 0.8, ln(5)^2 = 2.6. The third tag is cut off.
            row(1, ["bob", "x|y", "b2"]),
            row(1, ["ann", "z", "0"]),
        ]
    );
    assert_eq!((report.malformed_rows, report.fields[1].cut_bags), (1, 1));
    let example = &report.malformed_examples[0];
    assert!(example.contains("rows.parquet:5: field \"user\"") && example.contains("UTF-8"), "{example}");

    for (from, to, expected) in [
        ("\"user\"", "\"nobody\"", "rows.parquet: there is no column \"nobody\""),
        ("\"when\"", "3", "schema.toml: column 3: columns of Parquet files have names"),
    ] {
        let schema = write(&folder, "schema.toml", DESCRIPTION.replace(from, to));
        let error = ParquetSource::open(&input, &schema).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    // A list where one value belongs.
    let schema =
        write(&folder, "schema.toml", DESCRIPTION.replace("kind = \"bag\", max_bag = 2", "kind = \"categorical\""));
    let source = ParquetSource::open(&input, &schema).unwrap();
    let split = Split::Random { seed: 1, shares: Default::default() };
    let strict = Reading { strict: true, ..LENIENT };
    let error = prepare(&source, &split, strict, &folder.path().join("none")).unwrap_err().to_string();
    assert!(error.contains("rows.parquet:1: field \"tags\": a list, one value expected"), "{error}");
}

#[test]
fn damaged_parquet_is_an_error() {
    let folder = TempDir::new().unwrap();
    let input = folder.path().join("rows.parquet");
    parquet(&input);
    let schema = write(&folder, "schema.toml", DESCRIPTION);
    let whole = fs::read(&input).unwrap();
    let split = Split::Random { seed: 1, shares: Default::default() };
    let out = folder.path().join("out");
    let mut failed = 0;
    let mut attempt = |bytes: &[u8]| {
        fs::write(&input, bytes).unwrap();
        let result = ParquetSource::open(&input, &schema).and_then(|source| prepare(&source, &split, LENIENT, &out));
        if let Err(error) = result {
            assert!(error.to_string().contains("rows.parquet"), "{error}");
            failed += 1;
        }
    };
    for length in (0..whole.len()).step_by(5) {
        attempt(&whole[..length]);
    }
    for place in (0..whole.len()).step_by(5) {
        let mut changed = whole.clone();
        changed[place] ^= 0x81;
        attempt(&changed);
    }
    assert!(failed > whole.len() / 5, "{failed}");
}
