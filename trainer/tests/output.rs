//! Every command whose standard output nobody reads, or cannot be written: it does its work, and ends without a panic.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// What a command does with standard output.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Prints {
    Results,
    Nothing,
}
use Prints::{Nothing, Results};

/// Command lines, after which a file is there. `fit` needs `xsfm`, and is tried where both are.
const COMMANDS: [(&str, Prints, &str); 12] = [
    ("generate --out new --rows 300 --numeric 1 --categories 9,300", Results, "new/truth.json"),
    ("prepare csv --input raw/rows.tsv --schema raw/schema.toml --out new", Results, "new/train.arrow"),
    ("prepare csv --input raw/rows.tsv --schema raw/schema.toml --out new --json", Results, "new/train.arrow"),
    ("describe raw/rows.tsv --label 0", Results, "raw"),
    ("describe raw/rows.tsv --label 0 --out new.txt", Nothing, "new.txt"),
    ("fold --data data --min-count 3 --out new", Results, "new/train.arrow"),
    ("fold --data data --min-count 3 --out new --json", Results, "new/train.arrow"),
    ("encode --schema data/schema.json --input raw/rows.tsv --out new.arrow", Results, "new.arrow"),
    ("encode --schema data/schema.json --input raw/rows.tsv --out new.arrow --json", Results, "new.arrow"),
    ("rows --data data/test.arrow -o new.tsv", Nothing, "new.tsv"),
    ("candidates movielens --source films --data ratings --user 1 -o new.tsv --titles new.txt", Nothing, "new.txt"),
    ("help", Results, "raw"),
];
#[cfg(feature = "torch")]
const TRAINING: [(&str, Prints, &str); 13] = [
    ("train --data data --out new --epochs 1 --hidden 4", Nothing, "new/metrics.json"),
    ("distill --data data --out new --epochs 1 --hidden 4 --teacher model", Nothing, "new/metrics.json"),
    ("evaluate --checkpoint model --data data --logits new.txt", Results, "new.txt"),
    ("evaluate --checkpoint model --data data --logits new.txt --json", Results, "new.txt"),
    ("bench --checkpoint model --rows data/test.arrow --batch 8", Results, "raw"),
    ("bench --checkpoint model --rows data/test.arrow --batch 8 --json", Results, "raw"),
    ("devices", Results, "raw"),
    ("devices --json", Results, "raw"),
    ("run row.toml --data data --out new --xsfm true --dry-run", Results, "raw"),
    ("report row.toml --out runs --to new", Nothing, "raw"),
    ("report row.toml --out runs --to new --json", Nothing, "raw"),
    ("train --help", Results, "raw"),
    ("tune --data data --out new --base base.toml --seeds 1 --json", Results, "new/best.toml"),
];
#[cfg(not(feature = "torch"))]
const TRAINING: [(&str, Prints, &str); 0] = [];

fn command(folder: &Path, arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xsfm-train"));
    command.current_dir(folder).args(arguments.split(' ')).stdin(Stdio::null());
    command
}

fn succeed(folder: &Path, arguments: &str) {
    let output = command(folder, arguments).output().unwrap();
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A pipe that nobody reads.
fn closed() -> Stdio {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    writer.into()
}

/// A disk that is full, where the system has one.
fn full() -> Option<Stdio> {
    File::options().write(true).open("/dev/full").ok().map(Stdio::from)
}

/// What the commands read.
fn prepared() -> TempDir {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    succeed(at, "generate --out raw --rows 900 --numeric 1 --categories 9,300");
    succeed(at, "prepare csv --input raw/rows.tsv --schema raw/schema.toml --out data");
    let write = |name: &str, text: &str| {
        File::create(at.join(name)).unwrap().write_all(text.as_bytes()).unwrap();
    };
    fs::create_dir(at.join("films")).unwrap();
    write(
        "films/ml-100k.inter",
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n1\t10\t5\t1\n2\t20\t3\t2\n1\t30\t4\t3\n",
    );
    write(
        "films/ml-100k.user",
        "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n1\t24\tM\twriter\t1\n\
         2\t53\tF\tother\t2\n",
    );
    write(
        "films/ml-100k.item",
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n10\tToy\t1995\tDrama\n\
         20\tGold\t1996\tDrama\n30\tCafé\t1995\t\n",
    );
    // Nothing is left to search.
    let all = "table_l2 = 0\ndropout = 0\nhidden = [4]\nembed_dim = 4\nlearning_rate = 0.01\nembedding_dropout = 0\n\
               epochs = 1\n";
    write("base.toml", all);
    write("split.txt", "t\nt\ne\n");
    write("row.toml", "title = 'T'\ntable = 'A'\n[train]\nhidden = [4]\n");
    succeed(at, "prepare movielens --source films --out ratings --split file --split-file split.txt");
    if cfg!(feature = "torch") {
        succeed(at, "train --data data --out model --epochs 1 --hidden 4");
    }
    folder
}

/// Runs a command after which what it writes is there anew, whatever becomes of its output.
fn tried(folder: &Path, arguments: &str, file: &str, stdout: Stdio, stderr: Stdio) -> Output {
    for left in ["new", "new.tsv", "new.txt", "new.arrow"] {
        let left = folder.join(left);
        let _ = if left.is_dir() { fs::remove_dir_all(left) } else { fs::remove_file(left) };
    }
    let child = command(folder, arguments).stdout(stdout).stderr(stderr).spawn().unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(folder.join(file).exists(), "{arguments}: {file} was not written");
    output
}

#[test]
fn every_command_ends_quietly_where_nobody_reads() {
    let folder = prepared();
    let folder = folder.path();
    for (arguments, prints, file) in COMMANDS.into_iter().chain(TRAINING) {
        let usual = tried(folder, arguments, file, Stdio::piped(), Stdio::piped());
        let has_output = !usual.stdout.is_empty();
        assert!(!has_output || prints == Results, "{arguments} prints");
        if usual.status.success() {
            assert_eq!(has_output, prints == Results, "{arguments} prints");
        }

        let output = tried(folder, arguments, file, closed(), Stdio::piped());
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status, usual.status, "{arguments}, output closed: {words}");
        assert!(!words.contains("panicked") && !words.contains("pipe"), "{arguments}, output closed: {words}");

        // Messages that nobody can read.
        let output = tried(folder, arguments, file, Stdio::null(), closed());
        assert_eq!(output.status, usual.status, "{arguments}, messages closed");
        let output = tried(folder, arguments, file, closed(), closed());
        assert_eq!(output.status, usual.status, "{arguments}, all closed");

        let (Some(disk), Some(other)) = (full(), full()) else {
            eprintln!("NOTE: there is no /dev/full");
            continue;
        };
        let output = tried(folder, arguments, file, disk, Stdio::piped());
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!words.contains("panicked"), "{arguments}, disk full: {words}");
        if usual.status.success() && prints == Results {
            assert_eq!(output.status.code(), Some(1), "{arguments}, disk full: {words}");
            assert!(words.contains("error: standard output: No space left"), "{arguments}, disk full: {words}");
        } else {
            assert_eq!(output.status, usual.status, "{arguments}, disk full: {words}");
        }
        let output = tried(folder, arguments, file, Stdio::null(), other);
        assert_eq!(output.status, usual.status, "{arguments}, no room for messages");
    }
}

#[test]
fn no_command_is_forgotten() {
    let output = command(Path::new("."), "--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // Names stand two columns from the edge, what they do further in.
    let names =
        commands.filter_map(|line| line.strip_prefix("  ")?.strip_prefix(char::is_alphabetic).map(|_| line.trim()));
    for name in names.filter_map(|line| line.split(' ').next()) {
        let is_tried =
            COMMANDS.iter().chain(&TRAINING).any(|(arguments, ..)| arguments.split(' ').next() == Some(name));
        assert!(is_tried || name == "fit", "`{name}` is not among the commands that are tried here");
    }
}
