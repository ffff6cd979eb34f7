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
