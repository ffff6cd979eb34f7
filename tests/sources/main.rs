//! How the sources look and hang together: no line of more than 120 columns, no circles between the files of a crate.
//!
//! A crate is a file that no other names with `mod`, and those that it names, and so on. One file uses another where it
//! names an item that is defined there, by `use` or by a path from `crate`, `super`, `self` or a module that it knows;
//! `use super::*` uses the file above. Three things are no use:
//!
//! - `mod child;`: a tree of modules is not an order of them.
//! - `pub use`, unless the file says the name again: whoever imports it from there uses the file that defines it.
//! - Methods and macros, which are called without a path.

mod graph;
mod tokens;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use graph::Crate;

/// Columns of a line, as rustfmt has it for code.
const COLUMNS: usize = 120;

/// The sources of the repository.
fn sources() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a folder of the repository");
    let (mut found, mut folders) = (Vec::new(), vec![root.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_dir() && !name.starts_with('.') && name != "target" {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn files_of_a_crate_use_each_other_one_way() {
    let crates = Crate::all(&sources());
    assert!(crates.len() > 10, "{} crates", crates.len());
    let circles: BTreeSet<_> = crates.iter().flat_map(Crate::circles).collect();
    assert!(circles.is_empty(), "files that use each other in a circle:\n{}", Vec::from_iter(circles).join("\n"));
}

#[test]
fn circles_are_found_through_what_facades_show() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("a file");
        path
    };
    let root = write("lib.rs", "mod a; mod b; pub use a::A; pub use b::{self, B as C}; // crate::a::A");
    let a = write(
        "a.rs",
        "use std::fmt; pub struct A<'a>(&'a str, char); const C: char = '\"'; fn f() -> fmt::Result { g() }",
    );
    let b = |text: &str| {
        Crate::all(&[root.clone(), a.clone(), write("b.rs", text)]).iter().flat_map(Crate::circles).count()
    };
    assert_eq!(b("use crate::A; pub struct B(A);"), 0);
    write("a.rs", "pub struct A; mod tests { use super::super::b; const SOME: &str = \"crate::b\"; }");
    assert_eq!((b("use crate::A; pub struct B(A);"), b("pub struct B;")), (1, 0));
    write("a.rs", "pub struct A; fn f() { crate::C::new() }");
    assert_eq!((b("pub type B = super::a::A;"), b("/* super::a::A */ pub type B = &'static str;")), (1, 0));
}

#[test]
fn lines_are_short_enough() {
    let mut long = Vec::new();
    for path in sources() {
        let text = fs::read_to_string(&path).expect("a source");
        for (number, line) in text.lines().enumerate().filter(|(_, line)| line.chars().count() > COLUMNS) {
            long.push(format!("{}:{}: {} columns", path.display(), number + 1, line.chars().count()));
        }
    }
    assert!(long.is_empty(), "lines of more than {COLUMNS} columns:\n{}", long.join("\n"));
}
