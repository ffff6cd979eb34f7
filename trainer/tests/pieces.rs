//! `xsfm_trainer::data::pieces`: the bytes of `xsfm-train prepare`, however tasks are divided among machines, in
//! whatever order they run, and where some run twice.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "common/program.rs"]
mod program;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use parquet::data_type::{ByteArray, ByteArrayType, Int32Type, Int64Type};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;
use xsfm_interchange::dataset::{Dataset, Part};
use xsfm_trainer::data::pieces::driver::Preparation;
use xsfm_trainer::data::pieces::worker::{Counting, Sums, Worker};

/// Does the stages of a preparation as `machines` machines would; says how many tasks the last stage had.
fn work(words: &str, machines: usize, seed: u64) -> anyhow::Result<usize> {
    let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut preparation = Preparation::begin(&words, 0)?;
    let mut last = 0;
    while let Some(stage) = preparation.stage()? {
        last = stage.tasks.len();
        let mut order: Vec<usize> = (0..stage.tasks.len()).collect();
        // A task whose machine was lost runs again elsewhere; of counts those of one run are taken alone.
        let again = if stage.has_counts { 0 } else { order.len().div_ceil(3) };
        order.extend_from_within(..again);
        order.shuffle(&mut random);
        let mut results = vec![Vec::new(); stage.tasks.len()];
        let mut shares = BTreeMap::<u32, Vec<Vec<u8>>>::new();
        for of_machine in order.chunks(order.len().div_ceil(machines)) {
            let worker = Worker::open(preparation.folder())?;
            let mut counting = worker.counting();
            let mut drain = |counting: &mut Counting| {
                counting
                    .drain(&worker)
                    .into_iter()
                    .for_each(|(share, bytes)| shares.entry(share).or_default().push(bytes));
            };
            for &task in of_machine {
                let bytes = &stage.tasks[task];
                results[task] = if stage.has_counts { counting.run(&worker, bytes)? } else { worker.run(bytes)? };
                if random.random_range(0..3) == 0 {
                    drain(&mut counting);
                }
            }
            drain(&mut counting);
        }
        // Whole shares go to one of the machines, in any order.
        let worker = Worker::open(preparation.folder())?;
        let mut sums: Vec<Sums> = Vec::new();
        for (share, mut pieces) in shares {
            pieces.shuffle(&mut random);
            let machine = share as usize % machines;
            while sums.len() <= machine {
                sums.push(worker.sums(&stage.tasks[0])?);
            }
            pieces.iter().try_for_each(|bytes| sums[machine].add(bytes))?;
        }
        for bytes in sums.iter_mut().flat_map(Sums::drain) {
            preparation.take_counts(&bytes)?;
        }
        preparation.take(&results)?;
    }
    Ok(last)
}

/// Prepares alone and by pieces, and compares all files; says how many pieces there were.
fn compare(folder: &Path, words: &str) -> usize {
    let alone = folder.join("alone");
    program::succeed(folder, &format!("prepare {words} --threads 2 --out {}", alone.display()));
    let mut most = 0;
    for (machines, rows, seed) in [(1, 1_u64 << 40, 1), (2, 1, 2), (5, 4000, 3)] {
        let out = folder.join("together");
        let words = format!("{words} --out {} --rows-per-piece {rows}", out.display());
        let pieces = work(&words, machines, seed).unwrap_or_else(|error| panic!("{words}: {error:#}"));
        most = most.max(pieces);
        assert_eq!(names(&out), names(&alone), "{words}");
        for name in names(&alone) {
            let (found, wanted) = (fs::read(out.join(&name)).unwrap(), fs::read(alone.join(&name)).unwrap());
            assert!(found == wanted, "{words}: {name} differs, {} bytes and {}", found.len(), wanted.len());
        }
        fs::remove_dir_all(out).unwrap();
    }
    fs::remove_dir_all(alone).unwrap();
    most
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn criteo(folder: &Path) -> String {
    let generated = folder.join("generated");
    let words = format!("generate --rows 24000 --threads 2 --out {}", generated.display());
    program::succeed(folder, &words);
    let text = fs::read_to_string(generated.join("rows.tsv")).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let rows = folder.join("rows");
    fs::create_dir(&rows).unwrap();
    for (part, lines) in lines.chunks(6000).enumerate() {
        let mut text = lines.concat();
        if part == 2 {
            text = text.replacen('\t', "\t\t", 3).replacen("\n0\t", "\nno\t", 20);
        }
        match part {
            1 => fs::write(rows.join("day_1.gz"), gzip(text.as_bytes())).unwrap(),
            _ => fs::write(rows.join(format!("day_{part}")), text).unwrap(),
        }
    }
    rows.display().to_string()
}

#[test]
fn lines_are_prepared_alike() {
    let folder = TempDir::new().unwrap();
    let (folder, rows) = (folder.path(), criteo(folder.path()));
    for flags in [
        "",
        "--split random --seed 7 --shares 70:10:20",
        "--min-count 2 --hash C3=50 --oov-buckets C4=20 --split random",
    ] {
        let pieces = compare(folder, &format!("criteo --source {rows} {flags}").trim_end().replace("  ", " "));
        assert!(pieces > 4, "{pieces}: files are divided");
    }
    // What was prepared before goes on.
    let before = folder.join("before");
    program::succeed(folder, &format!("prepare criteo --source {rows}/day_0 --out {}", before.display()));
    compare(folder, &format!("criteo --source {rows} --extend {}", before.display()));
    // A letter for each row, malformed ones too.
    let letters: String = (0..24_000)
        .map(|n| {
            if n % 11 < 8 {
                "t\n"
            } else if n % 11 < 9 {
                "v\n"
            } else {
                "e\n"
            }
        })
        .collect();
    let path = folder.join("letters");
    fs::write(&path, letters).unwrap();
    compare(folder, &format!("criteo --source {rows} --split file --split-file {}", path.display()));
}

const TABLE: &str = r#"
min_count = 2
time = "when"
weight = "cost"

[label]
column = "stars"
at_least = 4

[[fields]]
name = "name"
kind = "categorical"

[[fields]]
name = "tags"
kind = "bag"
separator = "/"
max_bag = 3

[[fields]]
name = "mean"
column = "tags"
kind = "bag"
separator = "/"
combine = "mean"

[[fields]]
name = "price"
kind = "numeric"

[[fields]]
name = "bounds"
column = "price"
kind = "numeric"
bounds = [0, 2.5, 40]

[[fields]]
name = "quantiles"
column = "price"
kind = "numeric"
quantiles = 20

[[fields]]
name = "value"
column = "price"
kind = "numeric"
numbers = "value"

[[fields]]
name = "between"
column = "price"
kind = "numeric"
quantiles = 9
numbers = "interpolated"

[[fields]]
name = "hashed"
column = "name"
kind = "categorical"
buckets = 30

[[fields]]
name = "one"
kind = "numeric"
"#;

/// Values over several lines, quotes in values, stray quotes, and rows with other problems.
fn table(rows: u64) -> String {
    let mut text = "when,cost,stars,name,tags,price,one\n".to_owned();
    let mut random = Xoshiro256PlusPlus::seed_from_u64(5);
    for n in 0..rows {
        let mut below = |end: u64| random.random_range(0..end);
        let name = match below(40) {
            0 => "\"two\nlines, and a \"\"word\"\"\"".to_owned(),
            1 => format!("\"{}\"", "long ".repeat(200)),
            2 if below(20) == 0 => "\"stray".to_owned(),
            3 if below(20) == 0 => "\"many\nlines\n\",too,many".to_owned(),
            n => format!("näme {}", n * below(50)),
        };
        let tags: Vec<String> = (0..below(5)).map(|_| format!("t{}", below(30))).collect();
        let price = match below(9) {
            0 => String::new(),
            1 if below(30) == 0 => "much".to_owned(),
            n => (f64::from(below(100_000) as u32) / f64::from(1 + n as u32 * 7)).to_string(),
        };
        // One token, of numbers that differ.
        let one = 0.1 + below(5) as f64 / 100.0;
        let time = 1_700_000_000 + (n * 7919) % 50_000;
        writeln!(text, "{time},{},{},{name},{},{price},{one}", 1 + n % 3, below(6), tags.join("/")).unwrap();
    }
    text
}

#[test]
fn tables_are_prepared_alike() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let write = |name: &str, text: &[u8]| -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let schema = write("schema.toml", TABLE.as_bytes());
    let text = table(40_000);
    let whole = write("rows.csv", text.as_bytes());
    let words =
        |paths: &str, flags: &str| format!("csv --input {paths} --schema {} --max-bad 0.2{flags}", schema.display());
    for flags in ["", " --split chronological", " --split random --seed 3 --shares 50:25:25"] {
        assert!(compare(folder, &words(&whole.display().to_string(), flags)) > 3, "{flags}");
    }
    // In two files, one of them gzip, with a byte order mark.
    let (header, rows) = text.split_once('\n').unwrap();
    let half = rows[..rows.len() / 2].rfind("\n17").unwrap() + 1;
    let first = write("a.csv", format!("\u{feff}{header}\n{}", &rows[..half]).as_bytes());
    let second = write("b.csv.gz", &gzip(format!("{header}\n{}", &rows[half..]).as_bytes()));
    compare(folder, &words(&format!("{} {}", first.display(), second.display()), ""));
    // Lines that end as those of old Macs.
    let plain: String = text.lines().filter(|line| !line.contains('"')).map(|line| format!("{line}\r")).collect();
    let mac = write("mac.csv", plain.as_bytes());
    compare(folder, &words(&mac.display().to_string(), ""));
}

/// Rows as Parquet, in row groups of `group` rows.
fn parquet(path: &Path, rows: Range<i64>, group: i64) {
    let columns = "required binary user (UTF8); required int64 size; required int32 label;";
    let schema = Arc::new(parse_message_type(&format!("message rows {{ {columns} }}")).unwrap());
    let mut writer = SerializedFileWriter::new(File::create(path).unwrap(), schema, Arc::default()).unwrap();
    let mut from = rows.start;
    while from < rows.end {
        let numbers: Vec<i64> = (from..rows.end.min(from + group)).collect();
        let mut group = writer.next_row_group().unwrap();
        let users: Vec<ByteArray> =
            numbers.iter().map(|n| ByteArray::from(format!("u{}", n * n % 57).as_str())).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&users, None, None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&numbers, None, None).unwrap();
        column.close().unwrap();
        let labels: Vec<i32> = numbers.iter().map(|n| if n % 977 == 0 { 7 } else { (n % 3 == 0).into() }).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int32Type>().write_batch(&labels, None, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        from = numbers.last().map_or(rows.end, |last| last + 1);
    }
    writer.close().unwrap();
}

#[test]
fn other_files_are_prepared_alike() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let path = |name: &str| folder.join(name).display().to_string();
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();

    let mut random = Xoshiro256PlusPlus::seed_from_u64(11);
    let mut libffm = String::new();
    for n in 0..40_000 {
        write!(libffm, "{}", [1, -1][usize::from(random.random_range(0..4) > 0)]).unwrap();
        for field in 0..random.random_range(0..8) {
            write!(libffm, " {field}:{}:{}", random.random_range(0..900), 0.25 * f64::from(n % 7)).unwrap();
        }
        libffm.push_str(if n % 5000 == 7 { " broken\n" } else { "\n" });
    }
    write("rows.ffm", &libffm);
    assert!(compare(folder, &format!("libffm --source {} --min-count 3", path("rows.ffm"))) > 1);

    let fields = "[[fields]]\nname = \"user\"\nkind = \"categorical\"\n\
                  [[fields]]\nname = \"size\"\nkind = \"numeric\"\nquantiles = 7\n";
    write("schema.toml", &format!("[label]\ncolumn = \"label\"\n{fields}"));
    let rows = (0..30_000).map(|n| match n % 6000 {
        17 => "{\"user\": 1}\n".to_owned(),
        _ => format!("{{\"label\": {}, \"user\": \"ü{}\", \"size\": {}.5}}\n", n % 2, n % 91, n * 31 % 1009),
    });
    write("rows.jsonl", &rows.collect::<String>());
    let described = |kind: &str, paths: &str| format!("{kind} --input {paths} --schema {}", path("schema.toml"));
    assert!(compare(folder, &described("json", &path("rows.jsonl"))) > 1);

    // Groups that end with a block of the reader's, and others.
    fs::create_dir(folder.join("parquet")).unwrap();
    parquet(&folder.join("parquet/part-2.parquet"), 0..9_000, 2048);
    parquet(&folder.join("parquet/part-10.parquet"), 9_000..23_000, 3_001);
    assert!(compare(folder, &described("parquet", &path("parquet"))) > 8);

    fs::create_dir(folder.join("movielens")).unwrap();
    let mut ratings = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n".to_owned();
    for n in 0..40_000_u32 {
        let (user, item) = (n * 7 % 40, if n % 9000 == 5 { 999 } else { n * n % 60 });
        writeln!(ratings, "{user}\t{item}\t{}\t{}", 1 + n * 3 % 5, 880_000_000 + n % 777).unwrap();
    }
    write("movielens/ml-100k.inter", &ratings);
    let users: String = (0..40).map(|n| format!("{n}\t{}\tM\tother\t1\n", n % 9)).collect();
    let header = "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n";
    write("movielens/ml-100k.user", &(header.to_owned() + &users));
    let films: String = (0..60).map(|n| format!("{n}\tFilm {n}\t19{}\tDrama War\n", 10 + n)).collect();
    let header = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n";
    write("movielens/ml-100k.item", &(header.to_owned() + &films));
    for flags in ["", " --split chronological", " --hash item=100"] {
        assert!(compare(folder, &format!("movielens --source {}{flags}", path("movielens"))) > 1);
    }
}

#[test]
fn what_one_machine_refuses_many_refuse() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let fields = "[[fields]]\nname = \"user\"\nkind = \"categorical\"\n";
    fs::write(folder.join("schema.toml"), format!("time = \"when\"\n[label]\ncolumn = \"label\"\n{fields}")).unwrap();
    let text = |row: &dyn Fn(u32) -> String| -> String {
        let rows = (0..60_000).map(|n| row(n) + "\n");
        "label,user,when\n".to_owned() + &rows.collect::<String>()
    };
    let rows = folder.join("rows.csv");
    let words = format!("csv --input {} --schema {}", rows.display(), folder.join("schema.toml").display());
    for (row, flags) in [
        // One class.
        (&(|n| format!("0.0,u{n},{n}")) as &dyn Fn(u32) -> String, ""),
        // Too many malformed rows: of all of them, and of those up to one that are enough to tell.
        (&|n| format!("{},u{n},{n}", if n % 50 == 0 { 7 } else { n % 2 }), ""),
        (&|n| format!("{},u{n},{n}", if n == 40_000 { 7 } else { n % 2 }), " --strict"),
        // One time.
        (&|n| format!("{},u{n},5", n % 2), " --split chronological"),
    ] {
        fs::write(&rows, text(row)).unwrap();
        let out = folder.join("out");
        let words = format!("{words}{flags} --out {}", out.display());
        let error = work(&format!("{words} --rows-per-piece 1000"), 3, 1).unwrap_err().to_string();
        program::fail(folder, &format!("prepare {words} --threads 1"), &[&error]);
        assert!(names(&out).is_empty(), "{:?}", names(&out));
        fs::remove_dir_all(out).unwrap();
    }
}

#[test]
fn parts_in_several_files_are_read_as_one() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let fields = "[[fields]]\nname = \"user\"\nkind = \"categorical\"\n[[fields]]\nname = \"tags\"\nkind = \"bag\"\n\
                  separator = \"/\"\n";
    fs::write(folder.join("schema.toml"), format!("[label]\ncolumn = \"label\"\n{fields}")).unwrap();
    let rows: String = (0..1_320_000_u32).map(|n| format!("{},{},{}/{}\n", n % 2, n % 77, n % 5, n % 3)).collect();
    fs::write(folder.join("rows.csv"), "label,user,tags\n".to_owned() + &rows).unwrap();
    let (alone, together) = (folder.join("alone"), folder.join("together"));
    let words = format!("csv --input {0}/rows.csv --schema {0}/schema.toml", folder.display());
    program::succeed(folder, &format!("prepare {words} --out {}", alone.display()));
    work(&format!("{words} --out {} --rows-per-piece 130000 --parts", together.display()), 2, 4).unwrap();
    for name in ["schema.json", "prepare.json"] {
        assert_eq!(fs::read(together.join(name)).unwrap(), fs::read(alone.join(name)).unwrap(), "{name}");
    }
    assert!(together.join("train-000001.arrow").exists() && !together.join("train.arrow").exists());
    let [one, several] = [&alone, &together].map(|folder| Dataset::open(folder).unwrap());
    assert_eq!(one.fingerprint(), several.fingerprint());
    for part in Part::ALL {
        let (mut one, mut several) = (one.rows(part).unwrap(), several.rows(part).unwrap());
        assert_eq!((one.num_rows(), one.num_blocks()), (several.num_rows(), several.num_blocks()), "{part:?}");
        for block in 0..one.num_blocks() {
            assert_eq!(one.block_rows(block), several.block_rows(block));
            assert!(one.read_block(block).unwrap() == several.read_block(block).unwrap(), "{part:?}, block {block}");
        }
    }
    // One file takes the place of several.
    let few: String = rows.split_inclusive('\n').take(1000).collect();
    fs::write(folder.join("rows.csv"), "label,user,tags\n".to_owned() + &few).unwrap();
    program::succeed(folder, &format!("prepare {words} --out {}", together.display()));
    assert_eq!(names(&together), names(&alone));
    let data = Dataset::open(&together).unwrap();
    assert_eq!(Part::ALL.map(|part| data.rows(part).unwrap().num_rows()).iter().sum::<u64>(), 1000);
}
