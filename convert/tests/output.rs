//! Every command whose standard output nobody reads, or cannot be written: it does its work, and ends without a panic.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "tests stop at the first surprise")]

mod common;

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::{config_with_everything, golden, parameters, random_rows, tsv, write_checkpoint};
use tempfile::TempDir;
use xsfm_interchange::config::FieldConfig;
use xsfm_interchange::rows::{Bounds, RowsWriter};
use xsfm_interchange::schema::{Field, FieldKind, Schema};

/// Command lines, after which a file is there, and whether they print.
const COMMANDS: [(&str, &str, bool); 28] = [
    ("pack run --mode f32 -o new.xsfm", "new.xsfm", true),
    ("pack run --rows rows.arrow -o new.xsfm", "new.xsfm", true),
    ("pack run --mode f32 -o new.xsfm --json", "new.xsfm", true),
    ("import original --mode f32 -o new.xsfm", "new.xsfm", true),
    ("vocabulary m.xsfm --schema schema.json -o new.xsfm", "new.xsfm", true),
    ("retarget m.xsfm --target x86-64 -o new.xsfm", "new.xsfm", false),
    ("calibrate m.xsfm --rows rows.arrow -o new.xsfm", "new.xsfm", true),
    ("calibrate m.xsfm --rows rows.arrow -o new.xsfm --json", "new.xsfm", true),
    ("catalogue m.xsfm --indices items.tsv --context user -o new.xsfc", "new.xsfc", true),
    ("catalogue m.xsfm --indices items.tsv --context user -o new.xsfc --json", "new.xsfc", true),
    // The second of the files is written after the first was printed.
    ("generate m.xsfm --lang c -o new", "new/m.h", true),
    ("generate m.xsfm --lang rust -o new", "new/m.rs", true),
    ("export plain --to onnx -o new.onnx", "new.onnx", true),
    ("inspect m.xsfm", "m.xsfm", true),
    ("inspect m.xsfm --json", "m.xsfm", true),
    ("analyze m.xsfm --target cortex-m4f", "m.xsfm", true),
    ("analyze m.xsfm --target cortex-m4f --json", "m.xsfm", true),
    ("analyze m.xsfm --target cortex-m4f --flash 100", "m.xsfm", true),
    ("validate m.xsfm run --rows rows.arrow --json", "m.xsfm", true),
    ("evaluate m.xsfm --rows rows.arrow", "m.xsfm", true),
    ("evaluate m.xsfm --rows rows.arrow --json", "m.xsfm", true),
    ("score m.xsfm --indices rows.tsv", "m.xsfm", true),
    ("score m.xsfm --indices rows.tsv -o new.tsv", "new.tsv", false),
    ("rank m.xsfm --indices rows.tsv --top 900", "m.xsfm", true),
    ("rank m.xsfm --indices rows.tsv --json", "m.xsfm", true),
    ("rank m.xsfm --indices context.tsv --catalogue m.xsfc --top 900", "m.xsfm", true),
    ("bench m.xsfm --json", "m.xsfm", true),
    ("help", "m.xsfm", true),
];

fn command(folder: &Path, arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xsfm"));
    command.current_dir(folder).args(arguments.split(' ')).stdin(Stdio::null());
    command
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
    let config = config_with_everything();
    write_checkpoint(&at.join("run"), &config, &parameters(&config, 11));
    // ONNX has no bags here.
    let mut plain = config.clone();
    plain.fields.retain(|field| !field.bag);
    write_checkpoint(&at.join("plain"), &plain, &parameters(&plain, 12));
    let schema_of = |field: &FieldConfig| {
        let kind = if field.bag { FieldKind::Bag } else { FieldKind::Categorical };
        Field::new(&field.name, kind, (1..field.features).map(|index| format!("token {index}")).collect())
    };
    let fields = config.fields.iter().map(schema_of).collect();
    let schema = Schema { version: Schema::VERSION, label: "click".to_owned(), input: None, fields };
    fs::write(at.join("schema.json"), serde_json::to_vec(&schema).unwrap()).unwrap();
    let rows = random_rows(&config, 900, 5);
    fs::write(at.join("rows.tsv"), tsv(&rows)).unwrap();
    let mut writer = RowsWriter::create(&at.join("rows.arrow"), &Bounds::from(&config)).unwrap();
    for i in 0..rows.len() {
        writer.push(u8::from(i % 3 == 0), &rows.row(i)).unwrap();
    }
    writer.commit().unwrap();
    if let Some(original) = golden("fwfm") {
        std::os::unix::fs::symlink(original, at.join("original")).unwrap();
    }
    assert!(command(at, "pack run --rows rows.arrow -o m.xsfm").output().unwrap().status.success());
    // The first field is the context's.
    let text = tsv(&rows);
    let (users, items): (Vec<&str>, Vec<&str>) = text.lines().map(|line| line.split_once('\t').unwrap()).unzip();
    fs::write(at.join("items.tsv"), items.join("\n")).unwrap();
    fs::write(at.join("context.tsv"), users[0]).unwrap();
    let made = command(at, "catalogue m.xsfm --indices items.tsv --context user -o m.xsfc").output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    folder
}

/// Runs a command after which what it writes is there anew, whatever becomes of its output.
fn tried(folder: &Path, arguments: &str, file: &str, stdout: Stdio, stderr: Stdio) -> Output {
    for left in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if left.file_name().unwrap().to_string_lossy().starts_with("new") {
            if left.is_dir() { fs::remove_dir_all(left).unwrap() } else { fs::remove_file(left).unwrap() }
        }
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
    for (arguments, file, prints) in COMMANDS {
        if arguments.starts_with("import") && !folder.join("original").exists() {
            continue;
        }
        let usual = tried(folder, arguments, file, Stdio::piped(), Stdio::piped());
        let words = String::from_utf8_lossy(&usual.stderr).into_owned();
        // A model that does not fit is no success, whoever reads.
        assert_eq!(usual.status.success(), !arguments.contains("--flash 100"), "{arguments}: {words}");
        assert_eq!(!usual.stdout.is_empty(), prints, "{arguments}");

        let output = tried(folder, arguments, file, closed(), Stdio::piped());
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status, usual.status, "{arguments}, output closed: {words}");
        assert_eq!(output.stderr, usual.stderr, "{arguments}, output closed: {words}");
        let output = tried(folder, arguments, file, closed(), closed());
        assert_eq!(output.status, usual.status, "{arguments}, all closed");

        let (Some(disk), Some(other)) = (full(), full()) else {
            eprintln!("NOTE: there is no /dev/full");
            continue;
        };
        let output = tried(folder, arguments, file, disk, Stdio::piped());
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!words.contains("panicked"), "{arguments}, disk full: {words}");
        if prints {
            assert_eq!(output.status.code(), Some(1), "{arguments}, disk full: {words}");
            assert!(words.contains(": standard output: No space left"), "{arguments}, disk full: {words}");
        } else {
            assert_eq!(output.status, usual.status, "{arguments}, disk full: {words}");
        }
        let output = tried(folder, arguments, file, Stdio::null(), other);
        assert_eq!(output.status, usual.status, "{arguments}, no room for messages");
    }
}

/// Rows without end, of which a reader wants the first.
#[test]
fn scores_end_where_their_reader_does() {
    let folder = prepared();
    let line = fs::read_to_string(folder.path().join("rows.tsv")).unwrap().lines().next().unwrap().to_owned();
    let mut yes = Command::new("yes").arg(line).stdout(Stdio::piped()).spawn().unwrap();
    let mut score = command(folder.path(), "score m.xsfm --indices -");
    score.stdin(yes.stdout.take().unwrap()).stdout(closed()).stderr(Stdio::piped());
    let output = score.spawn().unwrap().wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    // Its end of the pipe is the last.
    drop(score);
    yes.wait().unwrap();
}

#[test]
fn no_command_is_forgotten() {
    let output = command(Path::new("."), "--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names =
        commands.filter_map(|line| line.strip_prefix("  ")?.strip_prefix(char::is_alphabetic).map(|_| line.trim()));
    for name in names.filter_map(|line| line.split(' ').next()) {
        let is_tried = COMMANDS.iter().any(|(arguments, ..)| arguments.split(' ').next() == Some(name));
        assert!(is_tried, "`{name}` is not among the commands that are tried here");
    }
}
