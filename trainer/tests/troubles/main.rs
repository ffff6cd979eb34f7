//! `xsfm-train prepare` on inputs that people have trouble with: what is wrong is named or read, and never silently
//! something else.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod files;
mod parquet;
mod parts;
mod quotes;
mod shared;
mod values;

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use tempfile::TempDir;

/// What decides what a model sees: the same bytes are the same rows.
const OUTPUTS: [&str; 4] = ["schema.json", "train.arrow", "valid.arrow", "test.arrow"];

/// Fields of [`rows`].
const FIELDS: &str = r#"
[[fields]]
name = "user"
kind = "categorical"
[[fields]]
name = "tags"
kind = "bag"
[[fields]]
name = "views"
kind = "numeric"
"#;

/// A folder with inputs and outputs.
struct Folder(TempDir);

/// What a run said.
#[derive(Debug)]
struct Said {
    report: Value,
    stderr: String,
}

impl Folder {
    fn new() -> Self {
        let folder = Folder(TempDir::new().unwrap());
        folder.write("schema.toml", format!("[label]\ncolumn = \"label\"\n{FIELDS}"));
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Runs `prepare`; what it said, where it ended well or not.
    fn run(&self, arguments: &str) -> Result<Said, String> {
        let output = Command::new(env!("CARGO_BIN_EXE_xsfm-train"))
            .current_dir(self.0.path())
            .arg("prepare")
            .args(arguments.split(' '))
            .arg("--json")
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!stderr.contains("panicked"), "{arguments}: {stderr}");
        if !output.status.success() {
            return Err(stderr);
        }
        Ok(Said { report: serde_json::from_slice(&output.stdout).unwrap(), stderr })
    }

    fn prepare(&self, arguments: &str) -> Said {
        self.run(arguments).unwrap_or_else(|stderr| panic!("{arguments}: {stderr}"))
    }

    /// Prepares a CSV that is written first, with `schema.toml`, to `out`.
    fn csv(&self, name: &str, bytes: impl AsRef<[u8]>, more: &str) -> Said {
        self.write(name, bytes);
        self.prepare(&format!("csv --input {name} --schema schema.toml --out out{more}"))
    }

    /// The message of a run that fails and writes nothing.
    fn fails(&self, arguments: &str) -> String {
        assert!(!self.path("none").exists());
        let stderr = self.run(&format!("{arguments} --out none")).expect_err(arguments);
        assert!(!self.path("none").exists(), "{arguments}: something is written");
        stderr
    }

    fn csv_fails(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        self.write(name, bytes);
        self.fails(&format!("csv --input {name} --schema schema.toml"))
    }

    fn outputs(&self, out: &str) -> [Vec<u8>; 4] {
        OUTPUTS.map(|name| fs::read(self.path(out).join(name)).unwrap())
    }
}

impl Said {
    /// Rows of all parts.
    fn rows(&self) -> u64 {
        ["train", "valid", "test"].iter().map(|part| self.report[part]["rows"].as_u64().unwrap()).sum()
    }

    fn malformed(&self) -> u64 {
        self.report["malformed_rows"].as_u64().unwrap()
    }

    fn examples(&self) -> Vec<&str> {
        self.report["malformed_examples"].as_array().unwrap().iter().map(|example| example.as_str().unwrap()).collect()
    }

    fn warnings(&self) -> Vec<&str> {
        self.report["warnings"].as_array().unwrap().iter().map(|warning| warning.as_str().unwrap()).collect()
    }
}

/// Rows of user, tags, views, label, without a header; each well.
fn rows(number: usize, seed: u64) -> Vec<String> {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut row = |_| {
        let tags: Vec<String> =
            (0..random.random_range(0..4)).map(|_| format!("t{}", random.random_range(0..9))).collect();
        let (user, views) = (random.random_range(0..40), random.random_range(0..500));
        format!("u{user},{},{views},{}\n", tags.join("|"), u8::from(random.random_range(0..3) == 0))
    };
    (0..number).map(&mut row).collect()
}

const HEADER: &str = "user,tags,views,label\n";

fn with_header(rows: &[String]) -> String {
    HEADER.to_owned() + &rows.concat()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Rows of Criteo's layout.
fn criteo(number: u32) -> Vec<String> {
    let row = |i: u32| {
        let numbers = (0..13).map(|f| format!("\t{}", i * (f + 1) % 97)).collect::<String>();
        let categories =
            (0..26).map(|f| format!("\t{:08x}", (i % (3 + f)).wrapping_mul(2_654_435_761))).collect::<String>();
        format!("{}{numbers}{categories}\n", u8::from(i.is_multiple_of(4)))
    };
    (0..number).map(row).collect()
}
