//! What the smallest scorer takes from the flash, beside the model: `firmware-examples/minimal`.
//!
//! That nothing in it panics is the linker's to find; that it neither formats nor
//! calculates with a float library is found here.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use fs_err as fs;
use object::{Object, ObjectSection, ObjectSymbol};

use crate::record::{Figures, Record};
use crate::targets::target::{CORTEX_M0PLUS, CORTEX_M4F, Target, bare};
use crate::{cargo, command, workspace};

/// From the smallest instruction set on.
const TARGETS: [Target; 3] = [CORTEX_M0PLUS, CORTEX_M4F, bare("riscv32imac-unknown-none-elf")];
/// Programs, and what tells their figures.
const PROGRAMS: [(&str, &str); 3] = [("minimal", ""), ("minimal-raw", ", raw values"), ("minimal-rank", ", ranking")];
/// Most bytes of the flash that raw values, and ranking, may take with the smallest scorer on a Cortex-M4F.
const MOST: (Target, [(&str, u64); 2]) = (CORTEX_M4F, [("raw values", 16 << 10), ("ranking", 30 << 10)]);
/// Sections that lie in the flash.
const SECTIONS: [&str; 2] = [".text", ".rodata"];
/// Parts of the names of formatting and panics, which must not be linked.
const UNWANTED: [&str; 2] = ["core3fmt", "panicking"];

const HEADER: &str = "\
# Bytes that the smallest scorer takes from the flash: `cargo xtask test size`; `--bless` rewrites this file.
";

pub(crate) fn run(bless: bool) -> Result<()> {
    let folder = format!("{}/minimal", workspace::EXAMPLES);
    let mut figures = Figures::new();
    for target in TARGETS {
        let toolchain = target.set_up()?;
        for (name, of) in PROGRAMS {
            let build = ["build", "--profile", "minimal", "--bin", name];
            let program = cargo::built(&mut toolchain.cargo(&folder, &build)?, name)?;
            figures.insert(format!("{}{of}", target.triple), sizes(&program)?);
        }
    }
    let (target, limits) = MOST;
    for (of, most) in limits {
        let all = figures[&format!("{}, {of}", target.triple)]["all"];
        ensure!(all <= most, "{}: {all} bytes with {of}, at most {most} are wanted", target.triple);
    }
    command::heading("size");
    let record = Record {
        path: workspace::root().join(folder).join("sizes.toml"),
        header: HEADER,
        tolerance: 0.05,
        bless: "cargo xtask test size --bless",
    };
    record.judge(&figures, bless)
}

/// Bytes of each section, and of all.
fn sizes(program: &Path) -> Result<BTreeMap<String, u64>> {
    let shown = || program.display().to_string();
    let bytes = fs::read(program).with_context(shown)?;
    let file = object::File::parse(&*bytes).with_context(shown)?;
    let mut sizes = BTreeMap::new();
    for name in SECTIONS {
        let section = file.section_by_name(name).with_context(|| format!("{}: no section {name}", shown()))?;
        sizes.insert(name.to_owned(), section.size());
    }
    sizes.insert("all".to_owned(), sizes.values().sum());
    let names: Vec<&str> = file.symbols().filter_map(|symbol| symbol.name().ok()).collect();
    ensure!(names.iter().any(|name| name.contains("xsfm_runtime")), "{}: without its symbols", shown());
    let unwanted: Vec<&str> = names
        .into_iter()
        .filter(|name| UNWANTED.iter().any(|part| name.contains(part)) || calculates_with_floats(name))
        .collect();
    ensure!(unwanted.is_empty(), "{}: should do without {}", shown(), unwanted.join(", "));
    Ok(sizes)
}

/// Whether a function of the compiler's library calculates with an emulated float:
/// `__aeabi_fadd`, `__muldf3`, `__floatsisf`.
///
/// These names are C's, never mangled: a mangled one may have such letters in its hash.
fn calculates_with_floats(name: &str) -> bool {
    let Some(name) = name.strip_prefix("__") else { return false };
    match name.strip_prefix("aeabi_") {
        Some(name) => {
            ["f", "d", "i2f", "i2d", "ui2f", "ui2d", "l2f", "l2d"].iter().any(|first| name.starts_with(first))
        }
        None => name.starts_with("float") || name.starts_with("fix") || name.contains("sf") || name.contains("df"),
    }
}

#[cfg(test)]
mod tests {
    use super::calculates_with_floats;

    #[test]
    fn floats_are_told_by_the_names_of_c() {
        for name in ["__aeabi_fadd", "__aeabi_d2iz", "__aeabi_i2f", "__muldf3", "__addsf3", "__floatsisf", "__fixsfsi"]
        {
            assert!(calculates_with_floats(name), "{name}");
        }
        let hash = "_ZN12xsfm_runtime3mlp6layout17hcb04df32f8d8bf78E";
        for name in [hash, "__aeabi_memcpy", "__aeabi_idiv", "__aeabi_lmul", "__aeabi_uidiv", "__muldi3", "__clzsi2"] {
            assert!(!calculates_with_floats(name), "{name}");
        }
    }
}
