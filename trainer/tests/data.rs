//! Preparing data: outputs, splits, bad input; batches.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use xsfm_interchange::rows::{Bounds, Column, RowBlock, RowsReader, RowsWriter};
use xsfm_interchange::schema::Schema;
use xsfm_readers::csv::CsvSource;
use xsfm_readers::movielens::MovieLens;
use xsfm_readers::pass::Reading;
use xsfm_runtime::row::Row;
use xsfm_trainer::data::batches::{Batch, Batches, Order};
use xsfm_trainer::data::prepare::{prepare, prepare_after};
use xsfm_trainer::data::report::Report;
use xsfm_trainer::data::split::{Shares, Split};

const OUTPUTS: [&str; 5] = ["schema.json", "train.arrow", "valid.arrow", "test.arrow", "prepare.json"];

/// A folder with a CSV and its schema.
struct Raw {
    folder: TempDir,
}

const SCHEMA: &str = r#"
    time = "when"
    label = { column = "rating", at_least = 4 }
    fields = [
        { name = "user", kind = "categorical" },
        { name = "tags", kind = "bag", separator = " ", max_bag = 3, min_count = 2 },
        { name = "views", column = 3, kind = "numeric" },
    ]
"#;

impl Raw {
    fn new(rows: &[u8], schema: &str) -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("rows.csv"), rows).unwrap();
        fs::write(folder.path().join("schema.toml"), schema).unwrap();
        Raw { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn prepare(&self, split: &Split, reading: Reading, out: &str) -> Result<Report, String> {
        CsvSource::open(&self.path("rows.csv"), &self.path("schema.toml"))
            .and_then(|source| prepare(&source, split, reading, &self.path(out)))
            .map_err(|e| e.to_string())
    }

    fn prepare_after(&self, before: &Schema, out: &str) -> Result<Report, String> {
        CsvSource::open(&self.path("rows.csv"), &self.path("schema.toml"))
            .and_then(|source| prepare_after(&source, &random(1), STRICT, Some(before), &self.path(out)))
            .map_err(|e| e.to_string())
    }

    fn split(&self, letters: &str) -> Split {
        let path = self.path("split.txt");
        fs::write(&path, letters).unwrap();
        Split::File(path)
    }
}

const STRICT: Reading = Reading { strict: true, max_bad: 0.0, threads: 2 };
const LENIENT: Reading = Reading { strict: false, max_bad: 1.0, threads: 2 };

fn random(seed: u64) -> Split {
    Split::Random { seed, shares: Shares::default() }
}

/// 1,000 rows whose times are not in the order of the file.
fn many_rows() -> Vec<u8> {
    let mut text = "user,rating,tags,views,when\n".to_owned();
    for i in 0..1000_u32 {
        let tags = ["", "a", "a b", "b c a"][i as usize % 4];
        text += &format!("u{},{},{tags},{},{}\n", i % 37, i % 6, i * i % 500, (i * 617) % 1000);
    }
    text.into_bytes()
}

fn rows(path: &Path) -> Vec<(u8, Vec<Vec<u32>>)> {
    let mut reader = RowsReader::open(path).unwrap();
    let cells = |row: Row<'_>| (0..row.num_fields()).map(|f| row.field(f).unwrap().to_vec()).collect();
    let of_block =
        |block: RowBlock| (0..block.len()).map(|i| (block.labels[i], cells(block.row(i)))).collect::<Vec<_>>();
    reader.blocks().flat_map(|block| of_block(block.unwrap())).collect()
}

#[test]
fn a_small_file_is_encoded_as_written() {
    let text = "user,rating,tags,views,when\n\
                ann,4,a b a b,7,1\n\
                bob,3,,,2\n\
                ann,5,c,0,3\n\
                eve,4,a zz,7,4\n\
                ann,1,b,9000,5\n";
    let raw = Raw::new(text.as_bytes(), SCHEMA);
    let report = raw.prepare(&raw.split("t\nt\nt\nv\ne\n"), STRICT, "out").unwrap();
    assert_eq!((report.train.rows, report.valid.rows, report.test.rows), (3, 1, 1));
    assert_eq!((report.train.positives, report.valid.positives, report.test.positives), (2, 1, 0));
    let schema = Schema::load(&raw.path("out/schema.json")).unwrap();
    assert_eq!(schema.label, "rating is at least 4");
    let vocabulary = |f: usize| schema.fields[f].vocabulary.clone();
    assert_eq!(vocabulary(0), ["ann", "bob"], "frequent tokens first, training rows only");
    // The first bag is cut to `a b a`, so that b occurs once, less than the minimum count.
    assert_eq!(vocabulary(1), ["a"]);
    assert_eq!(vocabulary(2), ["", "0", "b3"], "ln(7)^2 = 3.79");
    assert_eq!(report.fields[1].cut_bags, 1);
    assert_eq!(report.fields.iter().map(|f| f.unseen).collect::<Vec<_>>(), [1, 2, 1]);
    assert_eq!(
        rows(&raw.path("out/train.arrow")),
        [
            (1, vec![vec![1], vec![1, 0, 1], vec![3]]),
            (0, vec![vec![2], vec![0], vec![1]]),
            (1, vec![vec![1], vec![0], vec![2]]),
        ]
    );
    assert_eq!(rows(&raw.path("out/valid.arrow")), [(1, vec![vec![0], vec![1, 0], vec![3]])]);
    assert_eq!(rows(&raw.path("out/test.arrow")), [(0, vec![vec![1], vec![0], vec![0]])]);
    let bounds = Bounds::from(&schema);
    assert!(RowsReader::open(&raw.path("out/test.arrow")).unwrap().expecting(bounds).is_ok());
}

#[test]
fn outputs_depend_on_input_and_seed_alone() {
    let raw = Raw::new(&many_rows(), SCHEMA);
    for (out, seed) in [("a", 7), ("b", 7), ("c", 8)] {
        let report = raw.prepare(&random(seed), STRICT, out).unwrap();
        assert_eq!(report.train.rows + report.valid.rows + report.test.rows, 1000);
        for (part, expected) in [(report.train, 800_u64), (report.valid, 100), (report.test, 100)] {
            assert!(part.rows.abs_diff(expected) < 50, "{part:?}");
        }
    }
    let same = |a: &str, b: &str| {
        OUTPUTS.map(|name| fs::read(raw.path(a).join(name)).unwrap() == fs::read(raw.path(b).join(name)).unwrap())
    };
    assert_eq!(same("a", "b"), [true; 5]);
    assert_ne!(same("a", "c"), [true; 5]);
    assert_eq!(fs::read_dir(raw.path("a")).unwrap().count(), 5, "no temporary files are left");
}

#[test]
fn time_orders_a_chronological_split() {
    // The times of `many_rows` are a permutation of 0..1000; user and views identify most rows.
    let raw = Raw::new(&many_rows(), SCHEMA);
    let report = raw.prepare(&Split::Chronological(Shares::default()), STRICT, "time").unwrap();
    assert_eq!((report.train.rows, report.valid.rows, report.test.rows), (800, 100, 100));
    let late = (0..1000_u32).filter(|i| (i * 617) % 1000 >= 900);
    let positives = late.filter(|i| i % 6 >= 4).count() as u64;
    assert_eq!(report.test.positives, positives);

    // Without a time: the order of the file.
    let raw = Raw::new(&many_rows(), &SCHEMA.replace("time = \"when\"", ""));
    let report = raw.prepare(&Split::Chronological(Shares::default()), STRICT, "order").unwrap();
    assert_eq!((report.train.rows, report.valid.rows, report.test.rows), (800, 100, 100));
    let labels: Vec<u8> = rows(&raw.path("order/test.arrow")).into_iter().map(|(label, _)| label).collect();
    assert_eq!(labels, (900..1000).map(|i| u8::from(i % 6 >= 4)).collect::<Vec<_>>());
}

#[test]
fn negative_and_equal_times_are_ordered() {
    let mut text = "user,rating,tags,views,when\n".to_owned();
    for (i, time) in ["-0.5", "1e9", "-3", "0", "-0", "2", "2", "2", "2", "-1e300"].into_iter().enumerate() {
        text += &format!("{time},{},,,{time}\n", 3 + i % 2);
    }
    let raw = Raw::new(text.as_bytes(), SCHEMA);
    let report = raw.prepare(&Split::Chronological(Shares::default()), STRICT, "out").unwrap();
    // Sorted: -1e300 -3 -0.5 0 0 2 2 2 2 1e9. At 80 % lies a 2, and all four stay together.
    assert_eq!((report.train.rows, report.valid.rows, report.test.rows), (5, 4, 1));
}

#[test]
fn malformed_rows_are_named_or_counted() {
    let good = "user,rating,tags,views,when\nann,4,a,7,1\n";
    let cases: [(&[u8], &str); 6] = [
        (b"bob,4,a,7\n", "rows.csv:3: 4 columns, 5 expected"),
        (b"bob,x,a,7,1\n", "rows.csv:3: field \"label\": \"x\" is not a number"),
        (b"bob,4,a,seven,1\n", "rows.csv:3: field \"views\": \"seven\" is not a number"),
        (b"bob,4,a,7,late\n", "rows.csv:3: field \"time\": \"late\""),
        (b"b\xffb,4,a,7,1\n", "rows.csv:3: field \"user\": not UTF-8"),
        (b"bob,4,a,7,NaN\n", "rows.csv:3: field \"time\": \"NaN\""),
    ];
    for (line, expected) in cases {
        let text = [good.as_bytes(), line, b"ann,3,a,7,1\n"].concat();
        let raw = Raw::new(&text, SCHEMA);
        let split = raw.split("t\nt\ne\n");
        let error = raw.prepare(&split, STRICT, "out").unwrap_err();
        assert!(error.contains(expected), "{error}");
        assert!(!raw.path("out").exists(), "nothing is written");

        // The malformed row has its letter too: the last row stays a test row.
        let report = raw.prepare(&split, LENIENT, "out").unwrap();
        assert_eq!((report.train.rows, report.test.rows, report.malformed_rows), (1, 1, 1));
        assert!(report.malformed_examples[0].contains(expected));
        let saved: Report = serde_json::from_slice(&fs::read(raw.path("out/prepare.json")).unwrap()).unwrap();
        assert_eq!(saved, report);
    }
}

#[test]
fn bad_files_are_named() {
    let good: &[u8] = b"user,rating,tags,views,when\nann,4,a,7,1\n";
    let random = random(1);
    let cases: [(&[u8], String, &str); 11] = [
        (b"", SCHEMA.to_owned(), "rows.csv: an empty file"),
        (b"user,rating,tags,views,when\n", SCHEMA.to_owned(), "rows.csv: 0 rows"),
        (b"user,rating,tags\n", SCHEMA.to_owned(), "rows.csv:1: the header has no column \"when\""),
        (good, SCHEMA.replace("column = 3", "column = 5"), "column 5 is wanted"),
        (b"user,user,rating,tags,when\n", SCHEMA.to_owned(), "\"user\" twice"),
        (good, "delimiter = 7".to_owned(), "schema.toml: not a schema"),
        (good, SCHEMA.replace("max_bag = 3", "max_bag = 1025"), "schema.toml: field \"tags\": max_bag 1025"),
        (good, SCHEMA.replace("separator = \" \"", "separator = \"\""), "field \"tags\": an empty separator"),
        (good, SCHEMA.replace("\"user\"", "\"label\""), "field \"label\": this name is taken"),
        (good, SCHEMA.replace("kind = \"numeric\"", "kind = \"image\""), "image"),
        (good, format!("header = false\n{SCHEMA}"), "by name, but header = false"),
    ];
    for (rows, schema, expected) in cases {
        let raw = Raw::new(rows, &schema);
        let error = raw.prepare(&random, STRICT, "out").unwrap_err();
        assert!(error.contains(expected), "{error}");
        assert!(!raw.path("out").exists());
    }
    let raw = Raw::new(good, SCHEMA);
    for name in ["rows.csv", "schema.toml"] {
        fs::rename(raw.path(name), raw.path("away")).unwrap();
        let error = raw.prepare(&random, STRICT, "out").unwrap_err();
        assert!(error.contains(name), "{error}");
        fs::rename(raw.path("away"), raw.path(name)).unwrap();
    }
}

#[test]
fn split_files_must_fit() {
    let raw = Raw::new(b"user,rating,tags,views,when\nann,4,a,7,1\nbob,4,a,7,1\n", SCHEMA);
    let error = |letters: &str| raw.prepare(&raw.split(letters), STRICT, "out").unwrap_err();
    assert!(error("t\nx\n").contains("split.txt:2: \"x\" is not one of t, v, e"));
    assert!(error("t\n").contains("split.txt: 1 letters, but row 2 needs one"));
    assert!(error("t\nt\nv\n").contains("split.txt: 3 letters for 2 rows"));
    assert!(error("e\nv\n").contains("none of them for training"));
    let missing = raw.prepare(&Split::File(raw.path("none.txt")), STRICT, "out").unwrap_err();
    assert!(missing.contains("none.txt"));
    assert!(!raw.path("out").exists());
}

#[test]
fn a_failure_leaves_earlier_outputs() {
    let raw = Raw::new(&many_rows(), SCHEMA);
    raw.prepare(&random(1), STRICT, "out").unwrap();
    let before = OUTPUTS.map(|name| fs::read(raw.path("out").join(name)).unwrap());
    fs::write(raw.path("rows.csv"), [many_rows().as_slice(), b"short\n"].concat()).unwrap();
    assert!(raw.prepare(&random(1), STRICT, "out").is_err());
    assert_eq!(OUTPUTS.map(|name| fs::read(raw.path("out").join(name)).unwrap()), before);
    assert_eq!(fs::read_dir(raw.path("out")).unwrap().count(), 5);
}

/// Writes both layouts of the same three users, films and ratings.
fn movielens(folder: &Path, grouplens: bool) {
    let write = |name: &str, text: &[u8]| fs::write(folder.join(name), text).unwrap();
    let ratings = "1\t10\t5\t100\n2\t10\t3\t101\n1\t20\t4\t102\n2\t30\t1\t103\n";
    if grouplens {
        write("u.data", ratings.as_bytes());
        write("u.user", b"1|24|M|writer|1\n2|53|F|other|2\n");
        let film = |id: &str, title: &[u8], date: &str, flags: &str| {
            [id.as_bytes(), b"|", title, b"|", date.as_bytes(), b"||url|", flags.as_bytes(), b"\n"].concat()
        };
        let items = [
            film("10", b"Toy", "01-Jan-1995", "0|0|0|1|0|1|0|0|0|0|0|0|0|0|0|0|0|0|0"),
            film("20", b"Mis\xe9rables", "", "0|0|0|0|0|0|0|0|1|0|0|0|1|0|0|0|0|0|0"),
            film("30", b"Caf\xe9", "02-Feb-1996", "0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0"),
        ];
        write("u.item", &items.concat());
    } else {
        write(
            "ml-100k.inter",
            format!("user_id:token\titem_id:token\trating:float\ttimestamp:float\n{ratings}").as_bytes(),
        );
        let users = b"user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n\
                      1\t24\tM\twriter\t1\n2\t53\tF\tother\t2\n";
        write("ml-100k.user", users);
        write(
            "ml-100k.item",
            "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n10\tToy\t1995\tAnimation \
             Comedy\n20\tMisérables\t\tDrama Musical\n30\tCafé\t1996\t\n"
                .as_bytes(),
        );
    }
}

#[test]
fn both_layouts_of_movielens_agree() {
    let folder = TempDir::new().unwrap();
    let mut outputs = Vec::new();
    for grouplens in [false, true] {
        let raw = folder.path().join(format!("raw{grouplens}"));
        fs::create_dir(&raw).unwrap();
        movielens(&raw, grouplens);
        let source = MovieLens::open(&raw).unwrap();
        assert_eq!(source.films()[2].title, "Café");
        let out = folder.path().join(format!("out{grouplens}"));
        let report = prepare(&source, &Split::Chronological(Shares::default()), STRICT, &out).unwrap();
        assert_eq!((report.train.rows, report.train.positives), (3, 2));
        assert_eq!(rows(&out.join("train.arrow"))[0].1[6].len(), 2, "a film of two genres");
        outputs.push(OUTPUTS.map(|name| fs::read(out.join(name)).unwrap()));
    }
    assert_eq!(outputs[0], outputs[1]);
}

#[test]
fn bad_movielens_files_are_named() {
    let cases: [(&str, &[u8], &str); 8] = [
        (
            "ml-100k.inter",
            b"user_id:token\titem_id:token\trating:float\ttimestamp:float\n1\t10\t5\n",
            "ml-100k.inter:2: 3 columns, 4 expected",
        ),
        (
            "ml-100k.inter",
            b"user_id\titem_id\trating\ttimestamp\n1\t10\tgood\t7\n",
            "field \"rating\": \"good\" is not a number",
        ),
        ("ml-100k.inter", b"user_id\titem_id\trating\ttimestamp\n9\t10\t5\t7\n", "no user \"9\""),
        ("ml-100k.inter", b"user_id\titem_id\trating\ttimestamp\n1\t99\t5\t7\n", "no film \"99\""),
        ("ml-100k.inter", b"user_id\trating\titem_id\ttimestamp\n", "column \"rating\", \"item_id\" expected"),
        ("ml-100k.item", b"", "ml-100k.item: an empty file"),
        ("ml-100k.item", b"item_id\tmovie_title\trelease_year\tclass\n1\t\xff\t\t\n", "ml-100k.item:2: not UTF-8"),
        (
            "ml-100k.user",
            b"user_id\tage\tgender\toccupation\tzip_code\n1\t\t\t\t\n1\t\t\t\t\n",
            "ml-100k.user:3: user 1 comes twice",
        ),
    ];
    for (name, text, expected) in cases {
        let folder = TempDir::new().unwrap();
        movielens(folder.path(), false);
        fs::write(folder.path().join(name), text).unwrap();
        let out = folder.path().join("out");
        let result = MovieLens::open(folder.path()).and_then(|s| prepare(&s, &random(1), STRICT, &out));
        let error = result.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!out.exists());
    }
    let empty = TempDir::new().unwrap();
    assert!(MovieLens::open(empty.path()).unwrap_err().to_string().contains("neither ml-100k.inter"));
}

/// A file of `rows` rows with one index per row, its number.
fn numbered(folder: &Path, rows: u32) -> (PathBuf, Bounds) {
    let path = folder.join("rows.arrow");
    let bounds = Bounds {
        columns: vec![Column { name: "n".to_owned(), bag: false, weighted: false }],
        features: vec![rows],
        vocabulary: None,
    };
    let mut writer = RowsWriter::create(&path, &bounds).unwrap();
    (0..rows).for_each(|i| writer.push((i % 2) as u8, &Row::new(&[i])).unwrap());
    writer.commit().unwrap();
    (path, bounds)
}

#[test]
fn every_epoch_has_every_row_in_its_own_order() {
    let folder = TempDir::new().unwrap();
    let (path, bounds) = numbered(folder.path(), 600_001);
    let mut batches = Batches::open(&path, bounds, 1000).unwrap();
    assert_eq!((batches.num_rows(), batches.num_batches()), (600_001, 601));
    let mut pass = |order| {
        let mut numbers = Vec::new();
        let mut sizes = Vec::new();
        for batch in batches.pass(order) {
            let Batch { rows: batch, numbers: own } = batch.unwrap();
            assert!(own.iter().zip(&batch.indices).all(|(&number, &index)| number == u64::from(index)));
            assert!(batch.labels.iter().zip(&batch.indices).all(|(&y, &i)| u32::from(y) == i % 2));
            sizes.push(batch.len());
            numbers.extend(batch.indices);
        }
        assert!(sizes[..600].iter().all(|&size| size == 1000) && sizes[600..] == [1]);
        numbers
    };
    let sequential = pass(Order::Sequential);
    assert_eq!(sequential, (0..600_001).collect::<Vec<_>>());
    let orders = [(1, 0), (1, 1), (2, 0), (2, 1)].map(|(seed, epoch)| pass(Order::Shuffled { seed, epoch }));
    for (i, order) in orders.iter().enumerate() {
        assert_eq!(order.iter().collect::<HashSet<_>>().len(), 600_001);
        // Shuffled thoroughly: neighbours are far apart, and a batch comes from all blocks of the window.
        let near = order.windows(2).filter(|w| w[0].abs_diff(w[1]) < 1000).count();
        assert!(near < 600_001 / 50, "{near} neighbours are near");
        assert!(orders[..i].iter().all(|other| other != order));
    }
    // A resumed run asks for the same epoch and sees the same rows.
    assert_eq!(pass(Order::Shuffled { seed: 1, epoch: 1 }), orders[1]);
}

#[test]
fn batches_keep_bags() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("rows.arrow");
    let column = |name: &str, bag| Column { name: name.to_owned(), bag, weighted: false };
    let bounds =
        Bounds { columns: vec![column("a", false), column("b", true)], features: vec![1000, 1004], vocabulary: None };
    let mut writer = RowsWriter::create(&path, &bounds).unwrap();
    for i in 0..1000_u32 {
        let indices = [i, i, i + 1, i + 2, i + 3];
        writer.push(1, &Row::with_bags(&indices, &[0, 1, 2 + i % 4])).unwrap();
    }
    writer.commit().unwrap();
    let mut seen = HashSet::new();
    for batch in Batches::open(&path, bounds, 64).unwrap().pass(Order::Shuffled { seed: 3, epoch: 0 }) {
        let batch = batch.unwrap().rows;
        for r in 0..batch.len() {
            let row = batch.row(r);
            let i = row.field(0).unwrap()[0];
            assert_eq!(row.field(1).unwrap(), (i..=i + i % 4).collect::<Vec<_>>());
            assert!(seen.insert(i));
        }
    }
    assert_eq!(seen.len(), 1000);
}

/// A day's rows: users from one number on, of whom some have more rows than others, and prices.
fn day(first_user: u32, last_price: u32) -> Vec<u8> {
    let mut text = "user,click,price\n".to_owned();
    for i in 0..400_u32 {
        let user = first_user + (i * i) % 20;
        text += &format!("u{user},{},{}\n", i % 3 / 2, f64::from(i % last_price) / 4.0);
    }
    text.into_bytes()
}

#[test]
fn tokens_of_a_day_before_keep_their_indices() {
    let schema = |kind: &str| {
        format!(
            "label = {{ column = \"click\" }}\nfields = [\n  {{ name = \"user\", {kind} }},\n  \
             {{ name = \"price\", kind = \"numeric\", quantiles = 4 }},\n]\n"
        )
    };
    let yesterday = Raw::new(&day(100, 40), &schema("kind = \"categorical\", min_count = 2"));
    yesterday.prepare(&random(1), STRICT, "out").unwrap();
    let before = Schema::load(&yesterday.path("out/schema.json")).unwrap();
    let today = Raw::new(&day(110, 90), &schema("kind = \"categorical\""));
    today.prepare(&random(1), STRICT, "alone").unwrap();
    today.prepare_after(&before, "out").unwrap();
    let [alone, now] = ["alone", "out"].map(|out| Schema::load(&today.path(out).join("schema.json")).unwrap());
    let known = &before.fields[0].vocabulary;
    let (kept, new) = now.fields[0].vocabulary.split_at(known.len());
    assert_eq!(kept, known);
    // In the order of their frequency today, as those of a vocabulary of today alone.
    let order: Vec<&String> = alone.fields[0].vocabulary.iter().filter(|token| !known.contains(token)).collect();
    assert!(order.len() > 3, "{order:?}");
    assert_eq!(new.iter().collect::<Vec<_>>(), order);
    assert_eq!(now.fields[1].encoding, before.fields[1].encoding);
    assert_ne!(now.fields[1].encoding, alone.fields[1].encoding);
    // Rows have those indices: what was yesterday's token is what it was.
    let text = |schema: &Schema, index: u32| schema.fields[0].vocabulary[index as usize - 1].clone();
    let of_users = |schema: &Schema, out: &str| -> Vec<String> {
        rows(&today.path(out).join("train.arrow")).iter().map(|(_, row)| text(schema, row[0][0])).collect()
    };
    assert_eq!(of_users(&now, "out"), of_users(&alone, "alone"));

    // The same once more is the same, whatever came in between.
    let again = Raw::new(&day(100, 40), &schema("kind = \"categorical\", min_count = 2"));
    again.prepare_after(&before, "out").unwrap();
    assert_eq!(Schema::load(&again.path("out/schema.json")).unwrap().fields, before.fields);

    for (kind, says) in [
        ("kind = \"bag\"", "the categorical field \"user\", not the bag field"),
        ("kind = \"categorical\", buckets = 8", "another hash, of field \"user\""),
        ("kind = \"categorical\", bytes = [0, 2]", "other rules for the values of field \"user\""),
    ] {
        let message = Raw::new(&day(1, 9), &schema(kind)).prepare_after(&before, "out").unwrap_err();
        assert!(message.contains(says), "{kind}: {message}");
    }
}
