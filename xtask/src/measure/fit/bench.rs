//! Programs for one core and one model: built, run in QEMU, and looked at.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail, ensure};
use fs_err as fs;
use object::{Object, ObjectSection};
use xsfm_convert::analyze::target::OPT_LEVELS;
use xsfm_convert::analyze::work::{KINDS, Work};
use xsfm_convert::target::retarget;
use xsfm_convert::{analyze, input};
use xsfm_runtime::{Int8Model, Model};

use crate::measure::plugin;
use crate::setup::debian;
use crate::targets::capi::library::{self, For, HEADER};
use crate::targets::target::{CORTEX_M0PLUS, CORTEX_M3, CORTEX_M4F, CORTEX_M33, Target};
use crate::{cargo, command, workspace};

/// A core, and how to run programs for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Core {
    pub(super) name: &'static str,
    target: Target,
    /// What rustc compiles the library for; `None` for the target's own choice.
    cpu: Option<&'static str>,
    /// Dimensions of integer pairs that its back end sums side by side.
    pub(super) lanes: usize,
    /// How `Int8Model` is compiled to be measured alone.
    pub(super) levels: &'static [&'static str],
    flags: &'static str,
    memory: &'static str,
    machine: &'static str,
    /// QEMU's CPU.
    emulated: &'static str,
}

pub(super) const CORES: [Core; 6] = [
    Core {
        name: "cortex-m0plus",
        target: CORTEX_M0PLUS,
        cpu: None,
        lanes: 8,
        levels: &OPT_LEVELS,
        flags: "-mcpu=cortex-m0plus -mthumb",
        memory: "mps2-an386.ld",
        // There is no larger machine with an M0+; an M3 runs its instructions.
        machine: "mps2-an385",
        emulated: "cortex-m3",
    },
    Core {
        name: "cortex-m3",
        target: CORTEX_M3,
        cpu: None,
        lanes: 8,
        levels: &OPT_LEVELS,
        flags: "-mcpu=cortex-m3 -mthumb",
        memory: "mps2-an386.ld",
        machine: "mps2-an385",
        emulated: "cortex-m3",
    },
    Core {
        name: "cortex-m4f",
        target: CORTEX_M4F,
        cpu: None,
        lanes: 4,
        levels: &OPT_LEVELS,
        flags: "-mcpu=cortex-m4 -mthumb -mfloat-abi=hard -mfpu=fpv4-sp-d16",
        memory: "mps2-an386.ld",
        machine: "mps2-an386",
        emulated: "cortex-m4",
    },
    Core {
        name: "cortex-m7",
        target: CORTEX_M4F,
        cpu: Some("cortex-m7"),
        lanes: 4,
        levels: &OPT_LEVELS,
        flags: "-mcpu=cortex-m7 -mthumb -mfloat-abi=hard -mfpu=fpv5-d16",
        memory: "mps2-an386.ld",
        machine: "mps2-an500",
        emulated: "cortex-m7",
    },
    Core {
        name: "cortex-m33",
        target: CORTEX_M33,
        cpu: Some("cortex-m33"),
        lanes: 4,
        levels: &OPT_LEVELS,
        flags: "-mcpu=cortex-m33 -mthumb -mfloat-abi=hard -mfpu=fpv5-sp-d16",
        memory: "mps2-an505.ld",
        machine: "mps2-an505",
        emulated: "cortex-m33",
    },
    Core {
        name: "cortex-m55",
        target: CORTEX_M33,
        cpu: Some("cortex-m55"),
        lanes: 16,
        // For size, a list of pairs takes half as much again as what is told of it: too far off to be told.
        levels: &["3"],
        flags: "-mcpu=cortex-m55 -mthumb -mfloat-abi=hard",
        memory: "mps3-an547.ld",
        machine: "mps3-an547",
        emulated: "cortex-m55",
    },
];

/// What `measure.c` is linked with.
#[derive(Clone, Debug)]
pub(super) struct Linked {
    /// The folder with `xsfm.h`.
    header: PathBuf,
    archive: PathBuf,
    /// Whether it is `Int8Model`, not the C library.
    alone: bool,
    /// Where programs are built: side by side, ways do not disturb each other.
    folder: String,
}

impl Linked {
    /// The same with programs in a folder of another name.
    pub(super) fn named(&self, name: &str) -> Self {
        Linked { folder: format!("{}-{name}", self.folder), ..self.clone() }
    }
}

impl Core {
    /// Builds the C library: all modes.
    pub(super) fn library(&self) -> Result<Linked> {
        let header = library::library(self.target, self.cpu, For::Programs)?;
        Ok(Linked { archive: header.join("libxsfm.a"), header, alone: false, folder: self.name.to_owned() })
    }

    /// Builds int8 mode alone.
    pub(super) fn alone(&self, level: &str) -> Result<Linked> {
        // The workspace of the examples has a profile for small programs.
        let profile = if level == "z" { "minimal" } else { "release" };
        let toolchain = self.target.set_up()?;
        let mut build =
            toolchain.cargo(workspace::EXAMPLES, &["build", "--profile", profile, "--package", "c-int8"])?;
        // As the C library: its figures must not depend on the shell's environment.
        build.env("CARGO_INCREMENTAL", "0");
        let mut built = workspace::target_of(workspace::EXAMPLES);
        if let Some(cpu) = self.cpu {
            // Another CPU's objects go to a folder of their own.
            built = workspace::target().join(format!("c-int8-{cpu}"));
            build.env("RUSTFLAGS", format!("-Ctarget-cpu={cpu}")).env("CARGO_TARGET_DIR", &built);
        }
        command::run_to_stderr(&mut build)?;
        let header = workspace::root().join(HEADER).with_file_name("");
        let archive = built.join(self.target.triple).join(profile).join("libc_int8.a");
        Ok(Linked { header, archive, alone: true, folder: format!("{}-int8-{level}", self.name) })
    }
}

/// Numbers of calls, as many digits each: their difference is what is counted.
const CALLS: [u32; 2] = [16, 48];
/// Indices of a bag in the rows of `measure.c`.
const BAG: usize = 4;
/// Models of each mode that `tests/shapes.rs` writes.
pub(super) const SHAPES: usize = 28;

/// What was measured of a model.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) counts: [f64; KINDS.len()],
    pub(super) instructions: f64,
    pub(super) stack: usize,
    pub(super) structs: usize,
    pub(super) code: usize,
}

/// What measuring needs.
pub(super) struct Bench {
    xsfm: PathBuf,
    plugin: PathBuf,
    folder: PathBuf,
}

impl Bench {
    pub(super) fn set_up() -> Result<Self> {
        debian::provide("make", "make")?;
        debian::install(&["gcc-arm-none-eabi", "qemu-system-arm"])?;
        let folder = workspace::target().join("fit");
        fs::create_dir_all(&folder)?;
        let plugin = plugin::compile(&folder, "qemu-system-arm")?;
        let xsfm = cargo::xsfm()?;
        let shapes = cargo::built(cargo::workspace("build").args(["--bin", "shapes"]), "shapes")?;
        command::run_to_stderr(Command::new(shapes).arg(folder.join("models")))?;
        Ok(Bench { xsfm, plugin, folder })
    }

    /// The models of a mode, in the order of their numbers.
    pub(super) fn models(&self, mode: &str) -> Result<Vec<PathBuf>> {
        let folder = self.folder.join("models");
        let entries = fs::read_dir(&folder)?;
        let ending = format!("-{mode}.xsfm");
        let mut models: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.to_string_lossy().ends_with(&ending))
            .collect();
        models.sort();
        ensure!(models.len() == SHAPES, "{}: {} models of {mode}, {SHAPES} expected", folder.display(), models.len());
        Ok(models)
    }

    pub(super) fn samples(&self, core: &Core, linked: &Linked, models: &[PathBuf]) -> Result<Vec<Sample>> {
        models.iter().map(|model| self.sample(core, linked, model)).collect()
    }

    /// Builds `measure.c` with a model and runs it twice.
    pub(super) fn sample(&self, core: &Core, linked: &Linked, model: &Path) -> Result<Sample> {
        let failed = |error| anyhow!("{}: {error}", model.display());
        let packed = retarget(&input::packed(model)?, analyze::target::layout(core.name)).map_err(failed)?;
        let folder = self.folder.join(&linked.folder);
        fs::create_dir_all(&folder)?;
        let laid = folder.join("model.xsfm");
        packed.write(&laid).with_context(|| laid.display().to_string())?;
        let loaded = input::load(&laid, &packed)?;
        let counts = Work::of(&loaded, &packed, BAG, core.lanes)?.0;

        let mut make = Command::new("make");
        make.args(["--always-make", "--silent", "measure"]).current_dir(workspace::root().join("firmware-examples/c"));
        make.arg(format!("BOARD_LIBRARY={}", linked.header.display())).arg(format!("BOARD_OUT={}", folder.display()));
        make.arg(format!("BOARD_ARCHIVE={}", linked.archive.display()));
        if linked.alone {
            write_int8_header(&loaded, &packed, &folder.join("int8.h"))?;
            make.arg("BOARD_DEFINES=-DINT8_ALONE");
        }
        make.arg(format!("BOARD_FLAGS={}", core.flags)).arg(format!("BOARD_MEMORY={}", core.memory));
        make.arg(format!("MODEL={}", laid.display())).arg(format!("XSFM={}", self.xsfm.display()));
        command::quiet_output(&mut make)?;

        let out = folder.join("instructions");
        let (instructions, printed) = plugin::difference(&out, CALLS, |calls| {
            let mut qemu = Command::new("qemu-system-arm");
            qemu.args(["-M", core.machine, "-cpu", core.emulated, "-nographic", "-monitor", "none", "-serial", "none"]);
            qemu.arg("-plugin").arg(format!("{},out={}", self.plugin.display(), out.display()));
            qemu.args(["-semihosting-config", &format!("enable=on,target=native,arg=measure,arg={calls}"), "-kernel"]);
            let output = qemu.arg(folder.join("measure.elf")).output().context("qemu-system-arm")?;
            let printed =
                String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
            ensure!(output.status.success(), "{} on {}: {printed}", model.display(), core.name);
            Ok(printed)
        })?;
        let figure = |name: &str| {
            let line = printed.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<usize>().ok());
            line.with_context(|| format!("measure.c prints no {name}: {printed}"))
        };
        Ok(Sample {
            counts,
            instructions: instructions as f64 / f64::from(CALLS[1] - CALLS[0]),
            stack: figure("load")?.max(figure("score")?),
            structs: figure("structs")?,
            code: code(&folder)?,
        })
    }
}

/// Bytes of code and constants that the library brought: those of the program, without those of the examples' own
/// files. The model lies in a section of its own, names and all.
fn code(folder: &Path) -> Result<usize> {
    let program = folder.join("measure.elf");
    let shown = || program.display().to_string();
    let bytes = fs::read(&program).with_context(shown)?;
    let file = object::File::parse(&*bytes).with_context(shown)?;
    let section = |name| file.section_by_name(name).map_or(0, |section| section.size() as usize);
    let own = ["measure.o", "board.o"].map(|file| folder.join(file));
    let text = command::quiet_output(Command::new("arm-none-eabi-size").args(&own))?;
    let sizes = text.lines().skip(1).map(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    match sizes.collect::<Option<Vec<_>>>().as_deref() {
        Some([measure, board]) => Ok(section(".text") + section(".data") - measure - board),
        _ => bail!("arm-none-eabi-size says {text:?}"),
    }
}

/// What `measure.c` cannot ask `Int8Model` for, which has no names, kinds or sizes of its own; and the scratch that
/// this machine says it needs, of which there is no more.
fn write_int8_header(model: &Model<'_>, packed: &[u8], path: &Path) -> Result<()> {
    let blocks = Int8Model::from_bytes_skipping_checksum(packed).map_err(|error| anyhow!("{error}"))?.scratch_blocks();
    let bags: Vec<&str> = model.fields().map(|field| if field.bag { "1" } else { "0" }).collect();
    let text = format!(
        "#define INT8_SCRATCH_BLOCKS {blocks}u\nstatic const uint8_t bags[MODEL_NUM_FIELDS] = {{{}}};\n",
        bags.join(", ")
    );
    Ok(fs::write(path, text)?)
}
