//! The C interface: its header and its static libraries; [`examples`] runs the programs that use them.

mod examples;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use xsfm_interchange::output;

use crate::cross::{self, AARCH64, CORTEX_M4F, CORTEX_M33, Target, X86_64};
use crate::{command, workspace};

/// Flags of `cargo xtask capi`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// The library for this target alone; by default for all of them.
    #[arg(long)]
    target: Option<String>,
    /// The CPU that a library for --target is made for, as rustc names it: cortex-m7, cortex-m55, neoverse-n1.
    #[arg(long, requires = "target")]
    cpu: Option<String>,
    /// Write xsfm.h anew after the interface has changed, and what the examples print.
    #[arg(long)]
    bless: bool,
}

/// What libraries are built for.
const TARGETS: [Target; 4] = [CORTEX_M4F, CORTEX_M33, AARCH64, X86_64];
const BUILD: [&str; 5] = ["build", "--profile", "capi", "--package", "xsfm-capi"];
/// The header, from the root.
pub(crate) const HEADER: &str = "runtime/capi/include/xsfm.h";

/// `cargo xtask capi`: libraries and header in `target/c/<target>`.
pub(crate) fn run(args: &Args) -> Result<()> {
    header(args.bless)?;
    let targets: Vec<Target> = match &args.target {
        None => TARGETS.to_vec(),
        Some(triple) => {
            let known = TARGETS.map(|target| target.triple).join(", ");
            let found = TARGETS.into_iter().find(|target| target.triple == triple);
            vec![found.with_context(|| format!("no recipe for {triple:?}: {known} are known"))?]
        }
    };
    for target in targets {
        output::line(format_args!("{}", library(target, args.cpu.as_deref())?.display()))?;
    }
    if args.bless { examples::test(true) } else { Ok(()) }
}

/// Compares the committed header with what cbindgen makes of the crate; writes it where that is wanted.
fn header(bless: bool) -> Result<()> {
    let path = workspace::root().join(HEADER);
    let source = workspace::root().join("runtime/capi");
    let config = cbindgen::Config::from_file(source.join("cbindgen.toml")).map_err(|error| anyhow!("{error}"))?;
    let bindings = cbindgen::Builder::new().with_crate(&source).with_config(config).generate()?;
    let mut made = Vec::new();
    bindings.write(&mut made);
    if bless {
        return fs::write(&path, made).with_context(|| HEADER);
    }
    let committed = fs::read(&path).with_context(|| HEADER)?;
    ensure!(
        committed == made,
        "{HEADER} is not what cbindgen makes of runtime/capi: `cargo xtask capi --bless` writes it"
    );
    Ok(())
}

/// Builds the library for a target, and gives the folder with `libxsfm.a` and `xsfm.h`.
pub(crate) fn library(target: Target, cpu: Option<&str>) -> Result<PathBuf> {
    let toolchain = target.set_up()?;
    let mut build = toolchain.cargo("", &BUILD)?;
    // A shell that asks for incremental builds would get another library: more code, and a deeper stack, than what is known of it.
    build.env("CARGO_INCREMENTAL", "0");
    let mut name = target.triple.to_owned();
    let mut built = workspace::target();
    if let Some(cpu) = cpu {
        // Another CPU's objects go to a folder of their own.
        name = format!("{name}-{cpu}");
        built = built.join(format!("capi-{cpu}"));
        build.env("RUSTFLAGS", format!("-Ctarget-cpu={cpu}")).env("CARGO_TARGET_DIR", &built);
    }
    command::run_to_stderr(&mut build)?;
    let folder = folder(&name);
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let library = built.join(target.triple).join("capi/libxsfm_capi.a");
    copy(&library, &folder.join("libxsfm.a"))?;
    copy(&workspace::root().join(HEADER), &folder.join("xsfm.h"))?;
    Ok(folder)
}

/// Where the library for a target lies.
fn folder(name: &str) -> PathBuf {
    workspace::target().join("c").join(name)
}

/// `cargo xtask test capi`: the header is up to date, libraries are built, and the examples work.
pub(crate) fn test() -> Result<()> {
    header(false)?;
    let toolchains = [AARCH64, X86_64].into_iter().map(Target::set_up).collect::<Result<Vec<_>>>()?;
    // Those of Linux take long. With microcontrollers in the same command, all would get the features that Linux asks for.
    cross::build_ahead(&toolchains, "", &BUILD);
    for target in TARGETS {
        library(target, None)?;
    }
    examples::test(false)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if !from.exists() {
        bail!("{} was not built", from.display());
    }
    fs::copy(from, to).with_context(|| format!("{} to {}", from.display(), to.display()))?;
    Ok(())
}
