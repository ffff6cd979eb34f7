//! What tests of the trainer's programs share. They need libtorch: `cargo xtask test` builds them and says where they
//! are.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// A program named by an environment variable, or none and a loud word.
pub fn program(variable: &str) -> Option<PathBuf> {
    let path = std::env::var_os(variable).map(PathBuf::from);
    if path.is_none() {
        eprintln!("SKIPPED: {variable} does not name a program (cargo xtask test sets it)");
    }
    path
}

/// Runs a command that must succeed; gives its standard output.
///
/// # Panics
/// It fails.
pub fn run(program: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect("a program");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} {arguments:?}: {words}", program.display());
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Both programs, and a folder that they run in.
#[derive(Debug)]
pub struct Bench {
    /// `xsfm-train`.
    pub train: PathBuf,
    /// `xsfm`.
    pub xsfm: PathBuf,
    folder: tempfile::TempDir,
}

impl Bench {
    /// None, said aloud, where the programs are not named.
    ///
    /// # Panics
    /// There is no room for a folder.
    pub fn new() -> Option<Self> {
        let (train, xsfm) = (program("XSFM_TRAIN")?, program("XSFM")?);
        Some(Bench { train, xsfm, folder: tempfile::tempdir().expect("a folder") })
    }

    /// A file in the folder.
    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command line in the folder: `train …` or `xsfm …`.
    fn run(&self, line: &str) -> (bool, [String; 2]) {
        let mut words = line.split_whitespace();
        let program = if words.next() == Some("xsfm") { &self.xsfm } else { &self.train };
        let output = Command::new(program).current_dir(&self.folder).args(words).output().expect("a program");
        let texts = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        (output.status.success(), texts)
    }

    /// Standard output and standard error of a command that must succeed.
    ///
    /// # Panics
    /// It fails.
    pub fn succeed(&self, line: &str) -> [String; 2] {
        let (succeeded, [results, said]) = self.run(line);
        assert!(succeeded, "{line}: {said}");
        [results, said]
    }

    /// What a command that must fail says.
    ///
    /// # Panics
    /// It succeeds, or panics.
    pub fn refused(&self, line: &str) -> String {
        let (succeeded, [_, said]) = self.run(line);
        assert!(!succeeded && !said.contains("panicked"), "{line}: {said}");
        said
    }
}

/// Encodes 3,000 rows with a planted preference to `folder/data`: users of one parity like tags of the same.
///
/// # Panics
/// Files cannot be written, or `prepare` fails.
pub fn prepare_rows(train: &Path, folder: &Path) {
    let mut rng = StdRng::seed_from_u64(11);
    let mut text = String::from("label,user,item,tags,views\n");
    for _ in 0..3000 {
        let (user, item) = (rng.random_range(0..60), rng.random_range(0..40));
        let tags: Vec<u32> = (0..rng.random_range(1..5)).map(|_| rng.random_range(0..12)).collect();
        let views = rng.random_range(0..500);
        let alike = tags.iter().filter(|&tag| tag % 2 == user % 2).count() * 2 > tags.len();
        let label = u8::from(alike ^ rng.random_bool(0.2) ^ (item % 7 == 0));
        let tags: Vec<String> = tags.iter().map(u32::to_string).collect();
        writeln!(text, "{label},u{user},i{item},{},{views}", tags.join("|")).expect("memory");
    }
    let at = |name: &str| folder.join(name).to_str().expect("a path of Unicode").to_owned();
    std::fs::write(at("rows.csv"), text).expect("a file");
    let schema = r#"
label = { column = "label" }
fields = [
  { name = "user", kind = "categorical" },
  { name = "item", kind = "categorical" },
  { name = "tags", kind = "bag" },
  { name = "views", kind = "numeric" },
]
"#;
    std::fs::write(at("rows.toml"), schema).expect("a file");
    run(train, &["prepare", "csv", "--input", &at("rows.csv"), "--schema", &at("rows.toml"), "--out", &at("data")]);
}
