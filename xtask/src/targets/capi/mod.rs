//! The C interface: its header and its static libraries; [`examples`] runs the programs that use them.

mod examples;
pub(crate) mod library;

use anyhow::{Context, Result, anyhow, ensure};
use fs_err as fs;
use xsfm_interchange::output;

use self::library::{For, HEADER, ahead_for_tests, library};
use super::target::{AARCH64, CORTEX_M4F, CORTEX_M33, Target, X86_64};
use crate::workspace;

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
        output::line(format_args!("{}", library(target, args.cpu.as_deref(), For::Programs)?.display()))?;
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
        return Ok(fs::write(&path, made)?);
    }
    let committed = fs::read(&path)?;
    ensure!(
        committed == made,
        "{HEADER} is not what cbindgen makes of runtime/capi: `cargo xtask capi --bless` writes it"
    );
    Ok(())
}

/// `cargo xtask test capi`: the header is up to date, libraries are built, and the examples work.
pub(crate) fn test() -> Result<()> {
    header(false)?;
    let toolchains = [AARCH64, X86_64].into_iter().map(Target::set_up).collect::<Result<Vec<_>>>()?;
    // Those of Linux take long. With microcontrollers in the same command, all
    // would get the features that Linux asks for.
    ahead_for_tests(&toolchains);
    for target in TARGETS {
        library(target, None, For::Tests)?;
    }
    examples::test(false)
}
