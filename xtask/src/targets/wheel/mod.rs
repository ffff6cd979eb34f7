//! `cargo xtask wheel`: the Python package as wheels that pip installs without a compiler, on any Linux whose glibc is
//! at least 2.17. Each is installed and scores: on this machine, or under QEMU by Debian's Python of AArch64.

mod check;
mod machine;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use fs_err as fs;
use xsfm_interchange::output;

use self::machine::{Machine, policy};
use crate::setup::package::PACKAGE;
use crate::setup::wheels::{self, Tools};
use crate::{command, workspace};

/// Flags of `cargo xtask wheel`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Machines to build for.
    #[arg(value_enum, default_values_t = [Machine::X86_64, Machine::Aarch64])]
    machines: Vec<Machine>,
    /// Folder for the wheels; target/wheels by default.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Builds, checks, and prints where the wheels are.
pub(crate) fn run(args: &Args) -> Result<()> {
    let tools = wheels::tools()?;
    let out = args.out.clone().unwrap_or_else(|| workspace::target().join("wheels"));
    let out = std::path::absolute(&out).with_context(|| out.display().to_string())?;
    let mut built = Vec::new();
    for &machine in &args.machines {
        command::heading(&format!("wheel for {}", machine.tag()));
        let wheel = build(&tools, machine, &out)?;
        check::needs(&tools, &wheel, machine)?;
        built.push((machine, wheel));
    }
    let expected = check::expected()?;
    for (machine, wheel) in &built {
        command::heading(&format!("scores of {}", machine.tag()));
        check::scores(wheel, *machine, &expected)?;
    }
    for (_, wheel) in built {
        output::say(format_args!("{} bytes", fs::metadata(&wheel)?.len()));
        output::line(wheel.display())?;
    }
    Ok(())
}

/// Builds one in a folder of its own, so that no wheel of before is taken for it, and moves it to `out`.
fn build(tools: &Tools, machine: Machine, out: &Path) -> Result<PathBuf> {
    let target = machine.target();
    target.set_up()?;
    fs::create_dir_all(out)?;
    let folder = tempfile::tempdir_in(out)?;
    let mut maturin = tools.command("maturin")?;
    maturin.args(["build", "--release", "--locked", "--zig", "--compatibility", &policy(), "--target", target.triple]);
    maturin.arg("--manifest-path").arg(workspace::root().join(PACKAGE).join("Cargo.toml"));
    maturin.arg("--out").arg(folder.path()).current_dir(workspace::root());
    command::run_to_stderr(&mut maturin)?;
    let mut wheels = fs::read_dir(folder.path())?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    ensure!(wheels.len() == 1, "maturin wrote {wheels:?}, one wheel expected");
    let wheel = wheels.remove(0);
    let name = wheel.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // Of every Python from 3.9 on, on any Linux of the policy, which may have an older name beside.
    let expected = format!("{}_{}", policy(), machine.tag());
    let platforms = name.strip_suffix(".whl").and_then(|name| name.split_once("-cp39-abi3-"));
    if !platforms.is_some_and(|(_, platforms)| platforms.split('.').any(|platform| platform == expected)) {
        bail!("the wheel is {name}, of cp39-abi3 and {expected} expected");
    }
    let place = out.join(name);
    fs::rename(wheel, &place)?;
    Ok(place)
}
