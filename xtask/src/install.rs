//! `cargo xtask install`: `xsfm` and `xsfm-train` on the user's path.
//!
//! `xsfm-train` finds libtorch by its rpath, where it was built with it. Where that is gone, the
//! loader's message names a file that nobody knows: so what lies on the path is a few lines for the
//! shell, which look first, and say what to do.

use std::env;
use std::fs::{File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use fs_err as fs;
use tempfile::NamedTempFile;
use xsfm_interchange::output;

use crate::setup::torch;
use crate::{cargo, workspace};

/// Flags of `cargo xtask install`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Install to DIR/bin; by default to cargo's own folder, $CARGO_HOME or
    /// ~/.cargo, whose bin rustup puts on the path.
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Leave xsfm-train out, and with it libtorch, a download of 3 GB.
    #[arg(long)]
    without_trainer: bool,
    /// Build fast instead of programs that are fast.
    #[arg(long)]
    debug: bool,
}

/// Builds and installs; prints where the programs are.
pub(crate) fn run(args: &Args) -> Result<()> {
    let root = match &args.root {
        Some(root) => std::path::absolute(root).with_context(|| root.display().to_string())?,
        None => cargo_home()?,
    };
    let profile = if args.debug { &[][..] } else { &["--release"] };
    let build = |program: &str| {
        let mut build = cargo::workspace("build");
        build.args(profile).args(["--bin", program]);
        build
    };
    let folder = root.join("bin");
    let mut installed = vec![folder.join("xsfm")];
    place(&cargo::built(&mut build("xsfm"), "xsfm")?, &installed[0])?;
    if !args.without_trainer {
        let torch = torch::set_up()?;
        let built = cargo::built(torch.use_in(&mut build("xsfm-train")), "xsfm-train")?;
        let (program, launcher) = (root.join("lib/xsfm/xsfm-train"), folder.join("xsfm-train"));
        place(&built, &program)?;
        write(&launcher, |file| Ok(file.write_all(text(&program, &torch.library()).as_bytes())?))?;
        installed.push(launcher);
    }
    for program in installed {
        output::say(format_args!("{}", version(&program)?));
        output::line(program.display())?;
    }
    let path = env::var_os("PATH").unwrap_or_default();
    if !env::split_paths(&path).any(|known| known == folder) {
        output::say(format_args!("{0} is not on your path: export PATH=\"{0}:$PATH\"", folder.display()));
    }
    Ok(())
}

/// The programs that tests run, under `root`: nothing is built for this where tests ran before.
pub(crate) fn quickly_into(root: &Path) -> Result<()> {
    run(&Args { root: Some(root.to_owned()), debug: true, ..Args::default() })
}

/// `cargo xtask test docs`: what the README says first. An install works from anywhere, whatever the environment,
/// and says what to do where libtorch is gone.
pub(crate) fn test() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let root = folder.path().join("a user's own");
    quickly_into(&root)?;
    let launcher = root.join("bin/xsfm-train");
    let gone = folder.path().join("no/libtorch.so");
    write(&launcher, |file| Ok(file.write_all(text(&root.join("lib/xsfm/xsfm-train"), &gone).as_bytes())?))?;
    let error = version(&launcher).err().context("xsfm-train runs without libtorch")?.to_string();
    ensure!(error.contains("no/libtorch.so") && error.contains("cargo xtask install"), "{error}");
    Ok(())
}

/// Where `cargo install` puts programs.
fn cargo_home() -> Result<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || absolute("HOME").map(|home| home.join(".cargo"));
    absolute("CARGO_HOME").or_else(home).context("neither CARGO_HOME nor HOME names a folder: give --root DIR")
}

/// Copies a program.
fn place(from: &Path, to: &Path) -> Result<()> {
    let mut program = fs::File::open(from)?;
    write(to, |file| Ok(std::io::copy(&mut program, file).map(|_| ())?))
}

/// Writes a program that appears whole, also in the place of one that runs.
fn write(path: &Path, fill: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    let at = || path.display().to_string();
    let folder = path.parent().with_context(at)?;
    fs::create_dir_all(folder)?;
    let mut file = NamedTempFile::new_in(folder).with_context(at)?;
    fill(file.as_file_mut()).with_context(at)?;
    file.as_file().set_permissions(Permissions::from_mode(0o755)).with_context(at)?;
    file.persist(path).with_context(at)?;
    Ok(())
}

/// What lies on the path in the place of `program`, which needs `library`.
fn text(program: &Path, library: &Path) -> String {
    let [program, library, project] = [program, library, workspace::root()].map(quoted);
    format!(
        "#!/bin/sh
# Written by `cargo xtask install`: looks for libtorch before the loader does.
program={program}
library={library}
project={project}
for file in \"$library\" \"$program\"; do
    if [ ! -e \"$file\" ]; then
        echo \"xsfm-train: $file is gone: run \\`cargo xtask install\\` in $project, which installs it again\" >&2
        exit 1
    fi
done
exec \"$program\" \"$@\"
"
    )
}

/// A word of the shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

/// What a program says of itself, without anything from our environment, and from elsewhere.
fn version(program: &Path) -> Result<String> {
    let output = Command::new(program).arg("--version").env_clear().current_dir("/").output();
    let output = output.with_context(|| program.display().to_string())?;
    if !output.status.success() {
        bail!("{}: {}", program.display(), String::from_utf8_lossy(&output.stderr).trim_end());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn what_lies_on_the_path_looks_for_libtorch_first() {
        let folder = tempfile::tempdir().unwrap();
        let [program, library, launcher] =
            ["it's $HOME/program", "lib torch.so", "launcher"].map(|n| folder.path().join(n));
        let script = "#!/bin/sh\nfor word in \"$@\"; do echo \"[$word]\"; done\nexit 7\n";
        write(&program, |file| Ok(file.write_all(script.as_bytes())?)).unwrap();
        write(&launcher, |file| Ok(file.write_all(text(&program, &library).as_bytes())?)).unwrap();
        let run = || Command::new(&launcher).args(["--name", "two words", "$HOME"]).env_clear().output().unwrap();

        let output = run();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(message.contains("lib torch.so is gone: run `cargo xtask install` in "), "{message}");
        assert!(output.stdout.is_empty() && message.lines().count() == 1, "{message}");

        fs::write(&library, "").unwrap();
        let output = run();
        assert_eq!(output.status.code(), Some(7));
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "[--name]\n[two words]\n[$HOME]\n");
    }

    #[test]
    fn programs_take_the_place_of_older_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bin/program");
        for text in ["#!/bin/sh\necho one\n", "#!/bin/sh\necho two\n"] {
            write(&path, |file| Ok(file.write_all(text.as_bytes())?)).unwrap();
        }
        assert_eq!(version(&path).unwrap(), "two");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
