//! `xsfm-train prepare`, `fold`, `candidates` and `rows` as programs.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

fn run(folder: &Path, arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xsfm-train")).current_dir(folder).args(arguments.split(' ')).output().unwrap()
}

fn succeed(folder: &Path, arguments: &str) -> String {
    let output = run(folder, arguments);
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn fail(folder: &Path, arguments: &str, expected: &str) {
    let output = run(folder, arguments);
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && message.contains(expected), "{arguments}: {message}");
    assert!(!message.contains("panicked"), "{message}");
}

fn movielens() -> TempDir {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write(
        "ml-100k.inter",
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n1\t10\t5\t1\n2\t20\t3\t2\n1\t30\t4\t3\n",
    );
    write(
        "ml-100k.user",
        "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n1\t24\tM\twriter\t1\n\
         2\t53\tF\tother\t2\n3\t9\tF\tother\t2\n",
    );
    write(
        "ml-100k.item",
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n10\tToy\t1995\tAnimation Comedy\n\
         20\tGold\t1996\tDrama\n30\tCafé\t1995\t\n40\tNever\t1890\tDrama Comedy\n",
    );
    write("split.txt", "t\nt\ne\n");
    folder
}

#[test]
fn from_ratings_to_candidates() {
    let folder = movielens();
    let folder = folder.path();
    let table = succeed(folder, "prepare movielens --source . --out data --split file --split-file split.txt");
    assert!(table.contains("training") && table.contains("release_year"), "{table}");
    let json = succeed(folder, "prepare movielens --source . --out data --split file --split-file split.txt --json");
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((report["train"]["rows"].as_u64(), report["test"]["rows"].as_u64()), (Some(2), Some(1)));

    succeed(folder, "candidates movielens --source . --data data --user 1 -o c.tsv --titles c.txt");
    // User 1 rated film 10 in training, and 30 only in the test rows. Film 40 has no ratings at all.
    assert_eq!(fs::read_to_string(folder.join("c.txt")).unwrap(), "Gold\nCafé\nNever\n");
    // Drama is the third genre: all occur once, and are ordered by their names.
    assert_eq!(
        fs::read_to_string(folder.join("c.tsv")).unwrap(),
        "1\t2\t1\t2\t2\t2\t3\n1\t0\t1\t2\t2\t1\t0\n1\t0\t1\t2\t2\t0\t3|2\n"
    );

    // The same films as raw values, which the schema makes the same rows.
    succeed(folder, "candidates movielens --source . --data data --user 1 -o c.jsonl --titles raw.txt");
    assert_eq!(fs::read(folder.join("raw.txt")).unwrap(), fs::read(folder.join("c.txt")).unwrap());
    succeed(folder, "encode --schema data/schema.json --input c.jsonl --unlabelled --out c.arrow");
    succeed(folder, "rows --data c.arrow -o again.tsv");
    assert_eq!(fs::read(folder.join("again.tsv")).unwrap(), fs::read(folder.join("c.tsv")).unwrap());

    succeed(folder, "rows --data data/train.arrow -o rows.tsv");
    assert_eq!(fs::read_to_string(folder.join("rows.tsv")).unwrap(), "1\t1\t1\t2\t2\t1\t1|2\n2\t2\t2\t1\t1\t2\t3\n");
    succeed(folder, "rows --data data/train.arrow --limit 1 -o rows.tsv");
    assert_eq!(fs::read_to_string(folder.join("rows.tsv")).unwrap().lines().count(), 1);
}

/// Data sets without a description have hashed fields too, by the schema and by `encode`.
#[test]
fn fields_of_known_data_sets_are_hashed() {
    let folder = movielens();
    let folder = folder.path();
    let prepare = "prepare movielens --source . --split file --split-file split.txt --out";
    succeed(folder, &format!("{prepare} data --hash item=5 --hash genres=3"));
    let schema: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.join("data/schema.json")).unwrap()).unwrap();
    let of = |f: usize| schema["fields"][f].clone();
    assert_eq!(
        (of(1)["encoding"]["hash"]["buckets"].as_u64(), of(1)["vocabulary"].as_array().map(Vec::len)),
        (Some(5), Some(0))
    );
    assert_eq!((of(6)["encoding"]["hash"]["buckets"].as_u64(), of(0)["encoding"].is_null()), (Some(3), true));
    succeed(folder, "encode --schema data/schema.json --input . --out again.arrow");
    succeed(folder, "rows --data again.arrow -o again.tsv");
    let again = fs::read_to_string(folder.join("again.tsv")).unwrap();
    succeed(folder, "rows --data data/train.arrow -o train.tsv");
    succeed(folder, "rows --data data/test.arrow -o test.tsv");
    let parts = ["train.tsv", "test.tsv"].map(|name| fs::read_to_string(folder.join(name)).unwrap());
    assert_eq!(again, parts.concat());
    // A film that training has not seen has a bucket, and a user has none.
    assert!(again.lines().last().unwrap().split('\t').nth(1) != Some("0"), "{again}");

    fail(
        folder,
        &format!("{prepare} x --hash year=5"),
        "field \"year\": there is none of this name; there are user, item",
    );
    fail(folder, &format!("{prepare} x --hash user=0"), "buckets 0, 1 to");
    fail(folder, &format!("{prepare} x --hash user=5 --hash user=6"), "given twice");
    fail(folder, &format!("{prepare} x --hash user"), "FIELD=BUCKETS expected");
    fail(folder, "prepare criteo --source split.txt --out x --hash I1=5", "numbers have bounds or quantiles");
    assert!(!folder.join("x").exists());
}

#[test]
fn errors_end_with_a_message() {
    let folder = movielens();
    let folder = folder.path();
    fail(folder, "candidates movielens --source . --data data --user 1 -o c.tsv --titles c.txt", "schema.json");
    succeed(folder, "prepare movielens --source . --out data --split file --split-file split.txt");
    fail(folder, "candidates movielens --source . --data data --user 3 -o c.tsv --titles c.txt", "user \"3\"");
    fail(folder, "candidates movielens --source nowhere --data data --user 1 -o c.tsv --titles c.txt", "nowhere");
    assert!(!folder.join("c.tsv").exists() && !folder.join("c.txt").exists());
    fail(folder, "rows --data split.txt -o rows.tsv", "split.txt");
    assert!(!folder.join("rows.tsv").exists());
    fail(folder, "prepare movielens --source . --out x --split file", "--split-file");
    fail(folder, "prepare movielens --source . --out x --split-file split.txt", "go together");
    fail(folder, "prepare movielens --source . --out split.txt", "split.txt");
    fail(folder, "prepare csv --input none.csv --schema none.toml --out x", "none.toml");
    assert!(!folder.join("x").exists());
}

#[test]
fn malformed_rows_are_reported_and_limited() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    succeed(folder, "generate --rows 300 --out raw --seed 3 --threads 1");
    let rows = fs::read_to_string(folder.join("raw/rows.tsv")).unwrap();
    fs::write(folder.join("train.txt"), rows.replacen("\n", "\nnot a row\n", 1)).unwrap();
    let output = run(folder, "prepare criteo --source train.txt --out data --min-count 2 --json");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("malformed: train.txt:2: 1 columns, 40 expected"), "{said}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["malformed_rows"].as_u64(), Some(1));
    // The first 85 % of 301 lines, without the malformed one.
    assert_eq!(report["train"]["rows"].as_u64(), Some(254));
    assert_eq!(fs::read(folder.join("data/prepare.json")).unwrap(), output.stdout);

    fail(folder, "prepare criteo --source train.txt --out x --strict", "train.txt:2: 1 columns, 40 expected");
    fail(
        folder,
        "prepare criteo --source train.txt --out x --max-bad 0.003",
        "1 of 301 rows are malformed, more than the 0.3 %",
    );
    fail(folder, "prepare criteo --source train.txt --out x --max-bad 2", "from 0 to 1");
    fail(folder, "prepare criteo --source train.txt --out x --threads 0", "--threads");
    fail(folder, "prepare criteo --source train.txt --out x --shares 85:10:10", "add up to 105");
    fail(folder, "prepare criteo --source none.txt --out x", "none.txt");
    fail(folder, "generate --rows 0 --out x", "--rows 0");
    assert!(!folder.join("x").exists());
}

#[test]
fn each_engagement_has_its_folder() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let tweet = |i: u32| {
        let engaged = |every| if i.is_multiple_of(every) { "1581515300" } else { "" };
        let engaged = [2, 4, 5, 3].map(engaged).join("|");
        let author = format!("a{}|3|4|true|1500000000", i % 3);
        let row =
            format!("1||t|Photo|||Quote|en|{}|{author}|r|5|6|false|1500000000|true|{engaged}\n", 1_581_515_200 + i);
        row.replace('|', "\u{1}")
    };
    fs::write(folder.join("training.tsv"), (0..100).map(tweet).collect::<String>()).unwrap();
    succeed(folder, "prepare recsys2020 --source training.tsv --label all --out data --min-count 1");
    let report = |label: &str| -> serde_json::Value {
        serde_json::from_slice(&fs::read(folder.join(format!("data/{label}/prepare.json"))).unwrap()).unwrap()
    };
    for (label, positives) in [("reply", 40), ("retweet", 20), ("retweet-with-comment", 16), ("like", 27)] {
        let train = &report(label)["train"];
        assert_eq!((&train["rows"], &train["positives"]), (&80.into(), &positives.into()), "{label}");
    }
    succeed(folder, "prepare recsys2020 --source training.tsv --label reply --out reply --min-count 1");
    assert_eq!(
        fs::read(folder.join("reply/train.arrow")).unwrap(),
        fs::read(folder.join("data/reply/train.arrow")).unwrap()
    );
}

/// A third of the words occur once or twice; a bag may lose all of its own.
#[test]
fn folded_rows_are_those_of_a_larger_minimum_count() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let mut rows = "label,word,tags,views\n".to_owned();
    for i in 0..600_u32 {
        let word = i * i % 97 % (1 + i % 30);
        rows += &format!("{},w{word},t{}|t{}|t{},{}\n", i % 2, i % 7, i % 201, i % 3, i % 50);
    }
    fs::write(folder.join("rows.csv"), rows).unwrap();
    let schema = |min_count| {
        let field = |name, kind| format!("[[fields]]\nname = '{name}'\nkind = '{kind}'\n");
        let fields = field("word", "categorical") + &field("tags", "bag") + &field("views", "numeric");
        let text = format!("min_count = {min_count}\n[label]\ncolumn = 'label'\n{fields}");
        fs::write(folder.join(format!("{min_count}.toml")), text).unwrap();
    };
    for min_count in [1, 4] {
        schema(min_count);
        succeed(folder, &format!("prepare csv --input rows.csv --schema {min_count}.toml --out from-{min_count}"));
    }
    let table = succeed(folder, "fold --data from-1 --min-count 4 --out folded");
    assert!(table.lines().any(|line| line.starts_with("tags ")), "{table}");
    let bytes = |path: String| fs::read(folder.join(path)).unwrap();
    for name in ["schema.json", "train.arrow", "valid.arrow", "test.arrow"] {
        assert_ne!(bytes(format!("from-1/{name}")), bytes(format!("from-4/{name}")), "{name}: nothing is rare");
        assert_eq!(bytes(format!("folded/{name}")), bytes(format!("from-4/{name}")), "{name}");
    }

    // What is right stays; what is not whole, or of other rows, is made again.
    let changed = || fs::metadata(folder.join("folded/train.arrow")).unwrap().modified().unwrap();
    let before = changed();
    assert_eq!(succeed(folder, "fold --data from-1 --min-count 4 --out folded"), table);
    assert_eq!(changed(), before);
    fs::remove_file(folder.join("folded/schema.json")).unwrap();
    succeed(folder, "fold --data from-1 --min-count 4 --out folded");
    assert_ne!(changed(), before);
    let json = succeed(folder, "fold --data from-4 --min-count 100 --out folded --json");
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    let tags = &report["fields"][1];
    assert!(tags["name"] == "tags" && tags["features"].as_u64() < tags["before"].as_u64(), "{json}");

    fail(folder, "fold --data from-1 --min-count 4 --out from-1", "replaced by their own");
    fail(folder, "fold --data from-1 --min-count 0 --out x", "--min-count");
    fail(folder, "fold --data nowhere --min-count 4 --out x", "nowhere");
    fs::write(folder.join("from-1/valid.arrow"), b"short").unwrap();
    fail(folder, "fold --data from-1 --min-count 3 --out x", "valid.arrow");
    assert!(!folder.join("x/schema.json").exists());
}

#[test]
fn help_shows_a_schema() {
    let folder = TempDir::new().unwrap();
    let help = succeed(folder.path(), "prepare csv --help");
    assert!(help.contains("[[fields]]") && help.contains("Criteo log bucketing"), "{help}");
}

/// Ten films of which training knows four: the others share index 0, and one that a user has rated hides no other.
#[test]
fn films_that_training_does_not_know_hide_no_other() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
    // User, film, rating, part. Films 1 to 4 have three training rows each; 5 to 8 fewer; 9 and 10 none.
    let mut ratings: Vec<(u32, u32, u32, char)> = Vec::new();
    for user in 1..=3 {
        ratings.extend((1..=4).filter(|film| (user, *film) != (1, 4)).map(|film| (user, film, 4, 't')));
    }
    ratings.push((4, 4, 2, 't'));
    ratings.extend([(1, 5, 5, 't'), (2, 6, 1, 't'), (1, 7, 5, 'e'), (1, 8, 3, 't'), (1, 9, 5, 'e'), (3, 5, 5, 't')]);
    let lines: String = ratings.iter().map(|(u, i, r, _)| format!("{u}\t{i}\t{r}\t1\n")).collect();
    write("ml-100k.inter", &format!("user_id:token\titem_id:token\trating:float\ttimestamp:float\n{lines}"));
    write("split.txt", &ratings.iter().map(|r| format!("{}\n", r.3)).collect::<String>());
    let users: String = (1..=4).map(|u| format!("{u}\t24\tM\twriter\t1\n")).collect();
    let header = "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n";
    write("ml-100k.user", &format!("{header}{users}"));
    let films: String =
        (1..=10).map(|i| format!("{i}\tFilm {i}\t{}\tDrama\n", if i > 6 { 1990 } else { 1980 })).collect();
    write(
        "ml-100k.item",
        &format!("item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n{films}"),
    );
    succeed(folder, "prepare movielens --source . --out all --split file --split-file split.txt");
    succeed(folder, "fold --data all --min-count 3 --out data");

    let titles = |data: &str, user: &str| {
        succeed(
            folder,
            &format!("candidates movielens --source . --data {data} --user {user} -o c.tsv --titles c.txt"),
        );
        let (titles, rows) = ["c.txt", "c.tsv"].map(|name| fs::read_to_string(folder.join(name)).unwrap()).into();
        assert_eq!(titles.lines().count(), rows.lines().count());
        titles.replace("Film ", "").split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ")
    };
    // User 1 rated 1, 2, 3, 5 and 8 in training, and 7 and 9, which are of the year of 8, in the test rows.
    assert_eq!(titles("data", "1"), "4 6 7 9 10");
    assert_eq!(titles("data", "2"), "5 7 8 9 10");
    assert_eq!(titles("data", "3"), "6 7 8 9 10");
    fail(
        folder,
        "candidates movielens --source . --data data --user 4 -o c.tsv --titles c.txt",
        "user \"4\" has no row",
    );

    // With every token of training known, only what training has not seen shares index 0.
    assert_eq!(titles("all", "1"), "4 6 7 9 10");
}

/// Whoever folds to a folder in which another is at work waits, and a process that was killed there leaves nothing to
/// wait for.
#[test]
fn folds_to_one_folder_take_turns() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let row = |i: u64| format!("{},u{},i{}\n", i % 2, i * i % 97, i * 7 % (i % 300 + 1));
    let rows: String = (0..6000).map(row).collect();
    fs::write(folder.join("rows.csv"), format!("label,user,item\n{rows}")).unwrap();
    let fields = ["user", "item"].map(|name| format!("{{ name = \"{name}\", kind = \"categorical\" }}")).join(", ");
    fs::write(folder.join("rows.toml"), format!("label = {{ column = \"label\" }}\nfields = [{fields}]\n")).unwrap();
    succeed(folder, "prepare csv --input rows.csv --schema rows.toml --out data");
    let spawn = |min_count: u64| {
        let arguments = format!("fold --data data --min-count {min_count} --out few");
        let mut command = Command::new(env!("CARGO_BIN_EXE_xsfm-train"));
        command.current_dir(folder).args(arguments.split(' ')).stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    fs::create_dir(folder.join("few")).unwrap();
    let lock = fs::File::create(folder.join("few/lock")).unwrap();
    lock.lock().unwrap();
    let mut waiting = [spawn(10), spawn(30)];
    for child in &mut waiting {
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains("another fold is at work here"), "{line}");
    }
    let mut killed = spawn(10);
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(waiting.iter_mut().all(|child| child.try_wait().unwrap().is_none()));
    assert!(!folder.join("few/schema.json").exists());
    drop(lock);
    waiting.into_iter().for_each(|mut child| assert!(child.wait().unwrap().success()));

    // Many at once: the rows and the schema are of one of them.
    let folded = |min_count: u64| {
        succeed(folder, &format!("fold --data data --min-count {min_count} --out alone-{min_count}"));
        ["schema.json", "train.arrow", "valid.arrow"]
            .map(|name| fs::read(folder.join(format!("alone-{min_count}")).join(name)).unwrap())
    };
    let alone = [folded(10), folded(30)];
    assert!(alone[0][1] != alone[1][1]);
    for round in 0..4 {
        for child in [10, 30, 10].map(spawn) {
            assert!(child.wait_with_output().unwrap().status.success());
        }
        let found =
            ["schema.json", "train.arrow", "valid.arrow"].map(|name| fs::read(folder.join("few").join(name)).unwrap());
        assert!(alone.contains(&found), "round {round}: files of two folds");
    }
}
