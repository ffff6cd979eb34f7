//! The examples in `firmware-examples/c`: compiled strictly, run, and compared
//! with what the project's own programs say.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use fs_err as fs;
use xsfm_runtime::format::{Prefix, VERSION};
use zerocopy::{FromBytes, IntoBytes};

use super::library::{For, folder, library};
use crate::setup::debian;
use crate::targets::rows;
use crate::targets::target::{AARCH64, CORTEX_M4F, X86_64};
use crate::targets::toolchain::Toolchain;
use crate::{cargo, command, workspace};

/// Where the examples are, from the root.
const EXAMPLES: &str = "firmware-examples/c";
/// The rows of the firmware in Rust, and what it prints.
const ROWS: &str = "firmware-examples/programs/rows.tsv";
const SCORES: &str = "firmware-examples/programs/out/score.out";
/// What the sanitizers ask of gcc.
const SANITIZE: &str = "-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all";

/// Fields of the student's context, and how many candidates are wanted.
const CONTEXT: [&str; 2] = ["user,age,gender,occupation", "10"];

/// What all examples score: the student, the firmware examples' rows, and the answers of `xsfm`.
struct Subject {
    xsfm: PathBuf,
    model: PathBuf,
    rows: PathBuf,
    /// `logit<TAB>probability` in hexadecimal.
    scores: Vec<String>,
    /// `rank<TAB>row` of the best.
    ranking: Vec<String>,
    /// Of rows of raw values, scored by the model that has their vocabulary.
    raw_scores: Vec<String>,
    folder: PathBuf,
}

/// Compiles and runs all of them; `bless` writes what the firmware prints.
pub(crate) fn test(bless: bool) -> Result<()> {
    debian::provide("make", "make")?;
    debian::provide("g++", "g++")?;
    debian::install(&["cmake", "g++-aarch64-linux-gnu", "gcc-arm-none-eabi", "qemu-system-arm"])?;
    let subject = Subject::new()?;
    let host = X86_64.set_up()?;
    if host.cpus().is_empty() {
        command::heading("C and C++ on this machine");
        let programs = linux(&host, &[])?;
        subject.check(&host, &programs)?;
        subject.promises(&host, &programs)?;
        subject.refusals(&programs)?;
        command::heading("C and C++ under AddressSanitizer and UndefinedBehaviorSanitizer");
        let out = format!("OUT={}", subject.folder.join("sanitized").display());
        let programs = linux(&host, &[&format!("OPTIMIZE={SANITIZE}"), &out])?;
        subject.check(&host, &programs)?;
        subject.promises(&host, &programs)?;
        subject.refusals(&programs)?;
        command::heading("C where there is too little room");
        subject.too_little_room(&host)?;
        command::heading("CMake");
        cmake(&subject, &host)?;
    }
    command::heading("C and C++ on AArch64");
    let aarch64 = AARCH64.set_up()?;
    let programs = linux(&aarch64, &["CC=aarch64-linux-gnu-gcc", "CXX=aarch64-linux-gnu-g++"])?;
    subject.check(&aarch64, &programs)?;
    subject.promises(&aarch64, &programs)?;
    command::heading("C on a Cortex-M4F");
    subject.firmware(bless)?;
    command::heading("generated Rust");
    subject.generated_rust()
}

/// `make` in the examples' folder.
fn make(arguments: &[&str]) -> Result<()> {
    let mut make = Command::new("make");
    // Always all: what the Makefile does not know of, such as flags, may have changed.
    make.args(["--always-make"]).args(arguments).current_dir(workspace::root().join(EXAMPLES));
    command::run_to_stderr(&mut make)
}

/// The programs in C and C++ for a Linux target.
fn linux(toolchain: &Toolchain, arguments: &[&str]) -> Result<[PathBuf; 2]> {
    let triple = toolchain.target.triple;
    let default = format!("OUT={}", folder("examples").join(triple).display());
    let target = format!("TARGET={triple}");
    let library = format!("LIBRARY={}", library(toolchain.target, None, For::Tests)?.display());
    let given = arguments.iter().copied().find(|argument| argument.starts_with("OUT="));
    let out = given.unwrap_or(&default);
    make(&[&[target.as_str(), &library, out], arguments].concat())?;
    let folder = Path::new(out.trim_start_matches("OUT="));
    Ok([folder.join("linux"), folder.join("linux-cpp")])
}

impl Subject {
    fn new() -> Result<Self> {
        let xsfm = cargo::xsfm()?;
        let model = workspace::pretrained().join("model.xsfm");
        let rows = workspace::root().join(ROWS);
        let folder = workspace::target().join("c/test");
        fs::create_dir_all(&folder)?;
        let text = command::output(Command::new(&xsfm).arg("score").arg(&model).arg("--indices").arg(&rows))?;
        let scores = text.lines().map(bits).collect::<Result<Vec<_>>>()?;
        // Ranked without a context: whole rows.
        let [context, most] = CONTEXT;
        let same_context = folder.join("candidates.tsv");
        candidates(&rows, &same_context)?;
        let mut rank = Command::new(&xsfm);
        rank.arg("rank").arg(&model).arg("--indices").arg(&same_context).args(["--top", most, "--context", context]);
        let ranking = command::output(&mut rank)?;
        let ranking = ranking.lines().skip(1).map(|line| {
            let mut words = line.split_whitespace();
            let number = |word: Option<&str>| word.and_then(|word| word.parse::<usize>().ok());
            let (rank, row) = (number(words.next()), number(words.next()));
            Some(format!("{}\t{}", rank?, row? - 1))
        });
        let ranking = ranking.collect::<Option<Vec<_>>>().context("`xsfm rank` prints no ranking")?;
        ensure!(scores.len() >= 100 && ranking.len() == 10, "too few rows: {} and {}", scores.len(), ranking.len());
        let (raw_rows, columns) = workspace::raw_rows();
        let csv = folder.join("raw.csv");
        rows::write_csv(&raw_rows, columns, &csv)?;
        let mut score = Command::new(&xsfm);
        score.arg("score").arg(workspace::with_vocabulary().join("model.xsfm")).arg("--raw").arg(&csv);
        let raw_scores = command::output(&mut score)?.lines().map(bits).collect::<Result<Vec<_>>>()?;
        ensure!(raw_scores.len() >= 100, "too few rows of raw values: {}", raw_scores.len());
        Ok(Subject { xsfm, model, rows, scores, ranking, raw_scores, folder })
    }

    /// Whether the programs score and rank as `xsfm` does, on each CPU.
    fn check(&self, toolchain: &Toolchain, programs: &[PathBuf; 2]) -> Result<()> {
        for program in programs {
            for (cpu, mut run) in toolchain.runs(program)? {
                let text = command::output(run.args([&self.model, &self.rows]))?;
                ensure!(text.lines().eq(&self.scores), "{}, {cpu}: not the scores of xsfm", program.display());
            }
            for (cpu, mut run) in toolchain.runs(program)? {
                let text = command::output(run.args([&self.model, &self.folder.join("candidates.tsv")]).args(CONTEXT))?;
                let ranking = text.lines().map(|line| line.rsplit_once('\t').map_or(line, |(ranking, _)| ranking));
                ensure!(ranking.eq(&self.ranking), "{}, {cpu}: not the ranking of xsfm:\n{text}", program.display());
            }
            let (raw_rows, _) = workspace::raw_rows();
            for (cpu, mut run) in toolchain.runs(program)? {
                run.arg(workspace::with_vocabulary().join("model.xsfm")).arg(&raw_rows).arg("--raw");
                let text = command::output(&mut run)?;
                ensure!(text.lines().eq(&self.raw_scores), "{}, {cpu}: not xsfm's of raw rows", program.display());
            }
        }
        Ok(())
    }

    /// What the header promises of failures, with the student: `promises.c` beside the other programs.
    fn promises(&self, toolchain: &Toolchain, programs: &[PathBuf; 2]) -> Result<()> {
        let [program, _] = programs;
        let program = program.with_file_name("promises");
        for (cpu, mut run) in toolchain.runs(&program)? {
            let text = command::output(run.arg(&self.model))?;
            ensure!(text == "every promise was kept\n", "{}, {cpu}: {text}", program.display());
        }
        Ok(())
    }

    /// Damaged files are refused by name, and the programs end with code 1.
    fn refusals(&self, programs: &[PathBuf; 2]) -> Result<()> {
        let bytes = fs::read(&self.model)?;
        let damaged = |name: &str, bytes: &[u8]| {
            let path = self.folder.join(format!("{name}.xsfm"));
            fs::write(&path, bytes)?;
            anyhow::Ok(path)
        };
        let mut corrupted = bytes.clone();
        corrupted[bytes.len() / 2] ^= 1;
        let files = [
            (damaged("corrupted", &corrupted)?, "XSFM_STATUS_CHECKSUM: damaged file: checksum 0x"),
            (damaged("newer", &newer(&bytes)?)?, "XSFM_STATUS_VERSION: format version "),
            (damaged("half", &bytes[..bytes.len() / 2])?, "XSFM_STATUS_TRUNCATED: truncated: "),
            (damaged("empty", &[])?, "XSFM_STATUS_TRUNCATED: truncated: "),
            (damaged("text", b"not a model, but long enough to be one")?, "XSFM_STATUS_NOT_XSFM: not an .xsfm file"),
        ];
        for program in programs {
            for (file, reason) in &files {
                refused(Command::new(program).arg(file).arg(&self.rows), reason)?;
            }
            let wrong = self.folder.join("wrong-rows.tsv");
            fs::write(&wrong, "0\t0\t0\t0\t0\t0\t0\n0\t0\t0\t9\t0\t0\t0\n")?;
            let reason = "XSFM_STATUS_INDEX_OUT_OF_RANGE: row 1: field 3: index 9, but the field has 3 features";
            refused(Command::new(program).arg(&self.model).arg(&wrong), reason)?;
            let raw = |rows: &str, model: &Path, reason| {
                fs::write(&wrong, rows)?;
                refused(Command::new(program).arg(model).arg(&wrong).arg("--raw"), reason)
            };
            let clicks = workspace::with_vocabulary().join("model.xsfm");
            let of_field = "XSFM_STATUS_NOT_A_NUMBER: field 2: not a number that it can have";
            raw("ada\t\tmuch\t2026-03-05T21:00:00\n", &clicks, of_field)?;
            raw("ada\t\t1\n", &clicks, "XSFM_STATUS_FIELD_COUNT: 3 values for 4 fields")?;
            raw("ada\n", &self.model, "XSFM_STATUS_NO_VOCABULARY: argument model: packed without ")?;
        }
        Ok(())
    }

    /// A program with less memory than the model, and one with less than its scratch.
    fn too_little_room(&self, host: &Toolchain) -> Result<()> {
        for (define, reason) in [
            ("-DMODEL_ROOM=4096", "too large: there is room for 4096 bytes"),
            ("-DSCRATCH_BLOCKS=2", "XSFM_STATUS_SCRATCH_TOO_SMALL: scratch too small: "),
        ] {
            let out = format!("OUT={}", self.folder.join(define).display());
            let [program, _] = linux(host, &[&format!("OPTIMIZE=-O1 {define}"), &out])?;
            refused(Command::new(program).arg(&self.model).arg(&self.rows), reason)?;
        }
        Ok(())
    }

    /// The firmware in QEMU: what it prints is committed, its scores are those of the firmware in Rust.
    fn firmware(&self, bless: bool) -> Result<()> {
        let library = format!("BOARD_LIBRARY={}", library(CORTEX_M4F, None, For::Tests)?.display());
        let out = self.folder.join("firmware");
        let xsfm = format!("XSFM={}", self.xsfm.display());
        let rows = format!("ROWS={}", self.rows.display());
        make(&["firmware", &library, &xsfm, &rows, &format!("BOARD_OUT={}", out.display())])?;
        let elf = out.join("firmware.elf");
        let mut printed = String::new();
        for (word, code) in [("", 0), ("corrupted", 1), ("misaligned", 1), ("newer", 1), ("truncated", 1), ("large", 1)]
        {
            let mut qemu = Command::new("qemu-system-arm");
            qemu.args(["-M", "mps2-an386", "-cpu", "cortex-m4", "-nographic", "-monitor", "none", "-serial", "none"]);
            let semihosting = format!("enable=on,target=native,arg=firmware,arg={word}");
            let output = command::outcome(qemu.args(["-semihosting-config", &semihosting, "-kernel"]).arg(&elf))?;
            let text = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
            ensure!(output.status.code() == Some(code), "{word:?}: {}, {code} expected:\n{text}", output.status);
            printed.push_str(&format!("# {word}\n{text}"));
        }
        let rust = workspace::root().join(SCORES);
        let rust = fs::read_to_string(&rust)?;
        let of_rows = |text: &str| {
            let lines = text.lines().filter(|line| !line.contains("raw row"));
            let lines = lines.map(|line| line.trim_start_matches("INFO").trim_start().to_owned());
            lines.filter(|line| line.starts_with("row ") || line.contains(" rows, checksum ")).collect::<Vec<_>>()
        };
        ensure!(of_rows(&rust).len() > 100, "{SCORES}: no scores");
        ensure!(of_rows(&printed) == of_rows(&rust), "the firmware in C does not score as the one in Rust");
        let raw = |text: &str| text.lines().find_map(|line| Some(line.split_once("raw row 0 ")?.1.to_owned()));
        ensure!(
            raw(&rust).is_some() && raw(&printed) == raw(&rust),
            "the firmware in C has another score of raw values"
        );
        let path = workspace::root().join(EXAMPLES).join("firmware.out");
        if bless {
            return Ok(fs::write(&path, printed)?);
        }
        let known = fs::read_to_string(&path)?;
        ensure!(known == printed, "{}: the firmware prints something else:\n{printed}", path.display());
        Ok(())
    }

    /// `xsfm generate --lang rust` makes a module that compiles and scores with the same bits.
    fn generated_rust(&self) -> Result<()> {
        let package = self.folder.join("generated");
        let source = package.join("src");
        let mut generate = Command::new(&self.xsfm);
        generate.arg("generate").arg(&self.model).args(["--lang", "rust", "--name", "student", "--output"]);
        command::run_to_stderr(generate.arg(&source))?;
        let runtime = workspace::root().join("runtime");
        let manifest = format!(
            "[package]\nname = \"generated\"\nedition = \"2024\"\n\n\
             [dependencies]\nxsfm-runtime = {{ path = {runtime:?} }}\n\n[workspace]\n"
        );
        fs::write(package.join("Cargo.toml"), manifest)?;
        fs::write(source.join("main.rs"), GENERATED_MAIN)?;
        // The same versions as everywhere.
        fs::copy(workspace::root().join("Cargo.lock"), package.join("Cargo.lock"))?;
        let mut run = cargo::command(&["run", "--quiet", "--"]);
        run.arg(&self.rows).current_dir(&package).env("RUSTFLAGS", "-Dwarnings");
        // Its own folder: other flags make everything anew.
        let printed = command::output(run.env("CARGO_TARGET_DIR", package.join("target")))?;
        ensure!(printed.lines().eq(&self.scores), "generated Rust: not the scores of xsfm");
        Ok(())
    }
}

/// Scores the rows of a file.
const GENERATED_MAIN: &str = r#"mod student;

use std::fs;

use xsfm_runtime::{Backend, Model, Row, Scorer, ScratchBlock};

fn main() {
    assert_eq!(student::FIELD_NAMES[student::field::GENRES], "genres");
    let model = Model::from_bytes(&student::MODEL.0).expect("a model");
    assert_eq!((model.num_fields(), model.embed_dim()), (student::NUM_FIELDS, student::EMBED_DIM));
    assert!(model.fields().map(|field| field.features).eq(student::FEATURES));
    let model = model.with_backend(Backend::Portable).expect("it is everywhere");
    let mut scratch = [ScratchBlock::ZERO; student::SCRATCH_BLOCKS];
    let mut scorer = Scorer::new(&model, &mut scratch).expect("enough scratch");
    let path = std::env::args().nth(1).expect("a file of rows");
    for line in fs::read_to_string(path).expect("rows").lines() {
        let (mut indices, mut offsets) = (Vec::new(), vec![0]);
        for cell in line.split('\t') {
            indices.extend(cell.split('|').map(|index| index.parse::<u32>().expect("an index")));
            offsets.push(indices.len() as u32);
        }
        let score = scorer.score(Row::with_bags(&indices, &offsets)).expect("a row");
        println!("{:08x}\t{:08x}", score.logit.to_bits(), score.probability().to_bits());
    }
}
"#;

/// Configures and builds by CMake, whose programs must score too.
fn cmake(subject: &Subject, host: &Toolchain) -> Result<()> {
    let build = subject.folder.join("cmake");
    let mut configure = Command::new("cmake");
    configure.arg("-S").arg(workspace::root().join(EXAMPLES)).arg("-B").arg(&build);
    configure.arg(format!("-DXSFM_LIBRARY={}", library(X86_64, None, For::Tests)?.display()));
    command::run_to_stderr(configure.arg(format!("-DXSFM={}", subject.xsfm.display())))?;
    command::run_to_stderr(Command::new("cmake").arg("--build").arg(&build))?;
    subject.check(host, &[build.join("linux"), build.join("linux-cpp")])
}

/// Whether a program refuses something with that reason and ends with code 1.
fn refused(program: &mut Command, reason: &str) -> Result<()> {
    let output = command::outcome(program)?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(1), "{}, code 1 expected: {text}", output.status);
    ensure!(text.contains(reason), "{reason:?} expected, it says {text:?}");
    Ok(())
}

/// `logit<TAB>probability` as bits in hexadecimal.
fn bits(line: &str) -> Result<String> {
    let (logit, probability) = line.split_once('\t').with_context(|| format!("not a score: {line:?}"))?;
    let [logit, probability] = [logit.parse::<f32>()?, probability.parse::<f32>()?].map(f32::to_bits);
    Ok(format!("{logit:08x}\t{probability:08x}"))
}

/// The rows as candidates of one context: user, age, gender and occupation of the first row in all of them.
fn candidates(rows: &Path, output: &Path) -> Result<()> {
    let text = fs::read_to_string(rows)?;
    let first: Vec<&str> = text.lines().next().unwrap_or_default().split('\t').collect();
    let mut candidates = String::new();
    for line in text.lines() {
        let mut cells: Vec<&str> = line.split('\t').collect();
        for field in [0, 2, 3, 4] {
            cells[field] = first[field];
        }
        candidates.push_str(&(cells.join("\t") + "\n"));
    }
    Ok(fs::write(output, candidates)?)
}

/// The file of a format version that is not there yet, otherwise whole.
fn newer(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = bytes.to_vec();
    let prefix = bytes.get_mut(..Prefix::LEN).context("too short")?;
    let mut changed = Prefix::read_from_bytes(prefix).ok().context("no prefix")?;
    changed.version = (VERSION + 1).into();
    changed.prefix_crc = changed.checksum().into();
    prefix.copy_from_slice(changed.as_bytes());
    Ok(bytes)
}
