//! What can be asked: the arguments of every command.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use xsfm_convert::generate::Language;
use xsfm_convert::import::Library;
use xsfm_convert::model::TableBits;
use xsfm_convert::packing::PackMode;
use xsfm_convert::target::Target;
use xsfm_convert::vocabulary::{self, FINGERPRINT_BITS};
use xsfm_interchange::metrics::platt::{Platt, negative_rate};
use xsfm_runtime::CatalogueParts;

/// Packs click models into one .xsfm file, and looks at, checks and scores such files.
#[derive(Debug, Parser)]
#[command(
    name = "xsfm",
    version,
    after_help = "\
Rows are an Arrow file (*.arrow, as `xsfm-train prepare` writes it) or a TSV: one row of integer indices per line,
a tab between fields, `|` inside a bag (nothing is index 0); `-` reads a TSV from standard input.

  xsfm pack run/student --rows data/valid.arrow -o student.xsfm
  xsfm inspect student.xsfm
  xsfm validate student.xsfm run/student --rows data/test.arrow
  printf '7\\t42\\t1|5\\n' | xsfm score student.xsfm --indices -

Raw rows (--raw) are a CSV, TSV, Parquet file or JSON lines with the columns of the training data; the packed file
says what their values mean.

  xsfm rank student.xsfm --raw candidates.jsonl --context user --top 10"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Pack a checkpoint folder (config.json, weights.safetensors, schema.json).
    ///
    /// int8 mode uses the scales of quantisation-aware training where config.json has them; otherwise it calibrates on
    /// --rows. Dynamic mode needs no rows unless the model has bags, and calibrates on them where they are given.
    Pack {
        /// Folder that `xsfm-train` wrote.
        checkpoint: PathBuf,
        /// Rows to calibrate int8 or dynamic mode on, best validation rows; the first 2048 are used. Refused where they
        /// do not vary: at least 16 must differ.
        #[arg(long, value_name = "FILE")]
        rows: Option<PathBuf>,
        #[command(flatten)]
        output: Output,
    },
    /// Pack a model trained elsewhere (config.json, weights.safetensors): of xsDeepFwFM, FuxiCTR, DeepCTR-Torch,
    /// pytorch-fm, RecBole or DeepLight; or an ONNX file.
    ///
    /// An ONNX file may compute the score in any way, as long as it is a sum of scalars, of products of the fields'
    /// vectors and of layers with ReLU; a node that does anything else is named.
    ///
    /// The key `library` of config.json names the library, and `class` the model's class: LR, FM, FwFM, MLP, DeepFM,
    /// DeepFwFM, Wide & Deep where the library has them. Every tensor is read or known to be of no influence; others
    /// are an error, and so is a key that contradicts another. What no packed file holds (cross layers, attention,
    /// means of bags, numbers in place of indices, activations other than ReLU) is refused by its name. docs/import.md
    /// has the keys.
    Import {
        /// Folder with the state dict and what config.json says of it, or an ONNX file.
        folder: PathBuf,
        /// The library, where config.json has no key `library`: xsDeepFwFM (the default then), FuxiCTR, DeepCTR-Torch,
        /// pytorch-fm, RecBole, DeepLight.
        #[arg(long, value_name = "LIBRARY")]
        from: Option<Library>,
        /// Names of an ONNX file's fields, in the order of its columns: those of its inputs otherwise.
        #[arg(long, value_name = "NAMES", value_delimiter = ',', conflicts_with = "from")]
        fields: Option<Vec<String>>,
        /// Rows to calibrate int8 or dynamic mode on; the first 2048 are used.
        #[arg(long, value_name = "FILE")]
        calibrate: Option<PathBuf>,
        #[command(flatten)]
        output: Output,
    },
    /// Give a packed model the vocabulary that makes indices of raw values, or another one.
    ///
    /// The schema.json must be that of the model's training data: what is kept of it in the packed file is compared
    /// where that is known. Rows of indices keep their scores, except with --renumber.
    Vocabulary {
        /// Packed model.
        model: PathBuf,
        /// The schema.json of its training data.
        #[arg(long, value_name = "FILE")]
        schema: PathBuf,
        #[command(flatten)]
        kept: Kept,
        /// The new packed file.
        #[arg(short, long, value_name = "M.xsfm")]
        output: PathBuf,
    },
    /// Lay the layers of a packed model out for another CPU; scores of int8 and dynamic mode keep their bits.
    Retarget {
        /// Packed model.
        model: PathBuf,
        /// The CPU that will score it.
        #[arg(long, value_enum)]
        target: TargetArgument,
        /// The packed file.
        #[arg(short, long, value_name = "N.xsfm")]
        output: PathBuf,
    },
    /// Compute once what items add to scores whatever the context, for `rank --catalogue` and `CatalogueRanker`.
    ///
    /// The catalogue is of this packed file alone: with any other, if only calibrated anew, it is refused.
    Catalogue(CatalogueArguments),
    /// Write a packed model as code to compile into a program: its bytes, aligned, with the names of the fields and its
    /// numbers.
    Generate {
        /// Packed model.
        model: PathBuf,
        /// The language.
        #[arg(long, value_enum)]
        lang: LanguageArgument,
        /// What names in the code start with, and the files; the model's file name by default.
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// Fields of a ranker's context, by name: the code then has their numbers, and the memory that a ranker needs.
        #[arg(long, value_name = "FIELD,…", value_delimiter = ',')]
        context: Vec<String>,
        /// Items that are ranked: the code then has the catalogue too, and the memory that a ranker of it needs.
        #[arg(long, value_name = "FILE.xsfc")]
        catalogue: Option<PathBuf>,
        /// Folder for NAME.h and NAME.c, or NAME.rs, NAME.xsfm and NAME.xsfc.
        #[arg(short, long, value_name = "DIR")]
        output: PathBuf,
    },
    /// Write a model for other engines.
    Export {
        /// Folder of a checkpoint, or of a model trained elsewhere.
        folder: PathBuf,
        /// The format.
        #[arg(long, value_enum)]
        to: Format,
        /// The exported file: from `indices`, i64 `[batch, num_fields]`, to `logit` and `probability`, f32 `[batch]`.
        #[arg(short, long, value_name = "M.onnx")]
        output: PathBuf,
        /// Leave the output `probability` out.
        #[arg(long)]
        logit_only: bool,
    },
    /// Show the schema, the sections, bytes by part, parameters, and the RAM that scoring needs.
    Inspect {
        /// Packed model.
        model: PathBuf,
        /// Also tell what an item takes in a catalogue for this context: fields by name.
        #[arg(long, value_name = "FIELD,…", value_delimiter = ',', conflicts_with = "tokens")]
        context: Vec<String>,
        /// Print the tokens of this field in the order of their indices instead, `index<TAB>token`, of a file that was
        /// packed with --keep-tokens.
        #[arg(long, value_name = "FIELD", conflicts_with = "json")]
        tokens: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Tell whether a model fits a microcontroller, packed for it, and what a score takes there; fails where it does
    /// not fit.
    ///
    /// It is scored by the whole library (Model and Scorer of Rust, or xsfm.h), or in int8 mode by Rust's Int8Model
    /// alone, compiled for speed or for size: each way has its price in flash, RAM and instructions, and the model fits
    /// where one of them does.
    Analyze {
        /// Packed model.
        model: PathBuf,
        /// The microcontroller's core: cortex-m0plus, cortex-m3, cortex-m4f, cortex-m7, cortex-m33, cortex-m55.
        #[arg(long, value_name = "CORE")]
        target: String,
        /// Flash for the model and the code that scores, such as 1M or 256K.
        #[arg(long, value_name = "BYTES", value_parser = xsfm_interchange::size::bytes)]
        flash: Option<usize>,
        /// RAM for scoring.
        #[arg(long, value_name = "BYTES", value_parser = xsfm_interchange::size::bytes)]
        ram: Option<usize>,
        /// Indices of a bag, on average.
        #[arg(long, value_name = "N", default_value_t = 4)]
        bag: usize,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Compare a packed model with what it was made from: logit errors; AUC, LogLoss, PRAUC, RCE, calibration before
    /// and after.
    Validate {
        /// Packed model.
        model: PathBuf,
        /// Folder, or ONNX file, that it was packed or imported from.
        checkpoint: PathBuf,
        /// Names of an ONNX file's fields, as for `import`.
        #[arg(long, value_name = "NAMES", value_delimiter = ',')]
        fields: Option<Vec<String>>,
        #[command(flatten)]
        rows: LabelledArguments,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Measure a packed model on labelled rows: LogLoss, AUC, PRAUC, RCE, calibration; by groups: GAUC, MRR, NDCG.
    Evaluate(EvaluateArguments),
    /// Scale and shift the logits of a packed model, so that its probabilities are click rates; scoring costs nothing
    /// more, and the ranking stays.
    ///
    /// Scale and bias are those of Platt scaling on --rows, the share of kept negatives is made up for by its
    /// logarithm. Where the rows have all their negatives, --rows alone makes up for both; where they were thinned out
    /// like the training rows, give both. (The scales of int8 mode are another matter: `xsfm pack --rows` chooses
    /// them.)
    Calibrate(CalibrateArguments),
    /// Print `logit<TAB>probability` of every row, with as many digits as restore the f32 bits.
    Score {
        /// Packed model.
        model: PathBuf,
        #[command(flatten)]
        rows: RowsArguments,
        /// Where to write instead of standard output.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Print the rows with the highest scores.
    Rank(RankArguments),
    /// Measure what a packed model costs on this CPU: getting ready, calls, parts, memory.
    ///
    /// Pin it with `taskset -c 1` for steady figures.
    Bench(BenchArguments),
}

/// Rows to score, one per candidate where they are ranked.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct RowsArguments {
    /// Rows of integer indices; `-` for standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) indices: Option<PathBuf>,
    /// Raw rows of the columns that the training data had: a CSV or TSV as they were, Parquet, or JSON lines (an object
    /// a line), encoded by the vocabulary in the packed file. Labels are not looked at. `-` for standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) raw: Option<PathBuf>,
}

/// Rows with labels.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct LabelledArguments {
    /// Arrow file of rows with labels; `validate` takes a TSV of indices too, without figures that need labels.
    #[arg(long, value_name = "FILE")]
    pub(crate) rows: Option<PathBuf>,
    /// Raw rows with labels, as the training data had them (CSV, TSV, Parquet, JSON lines): encoded by the vocabulary
    /// in the packed file. `-` for standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) raw: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct EvaluateArguments {
    /// Packed model.
    pub(crate) model: PathBuf,
    #[command(flatten)]
    pub(crate) rows: LabelledArguments,
    /// Also measure the ranking of each group, the rows with one index in this field, such as the user: GAUC, MRR,
    /// NDCG.
    #[arg(long, value_name = "FIELD")]
    pub(crate) group_by: Option<String>,
    /// Rows of a group that NDCG counts; several with commas between.
    #[arg(long, value_name = "K", value_delimiter = ',', default_value = "5,10", requires = "group_by")]
    pub(crate) at: Vec<NonZeroUsize>,
    /// Share of the negatives that the training rows kept: probabilities are corrected by its logarithm before they are
    /// measured, on rows that have all their negatives. The ranking and --logits stay as they are.
    #[arg(long, value_name = "SHARE", default_value = "1", value_parser = negative_rate)]
    pub(crate) negative_rate: Platt,
    /// Also draw click rates against predictions.
    #[arg(long, value_name = "FILE.svg")]
    pub(crate) reliability: Option<PathBuf>,
    /// Also write the logits, one per line in the order of the rows; their digits restore the f32 bits.
    #[arg(long, value_name = "FILE")]
    pub(crate) logits: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("how").required(true).multiple(true).args(["rows", "negative_rate"]))]
pub(crate) struct CalibrateArguments {
    /// Packed model.
    pub(crate) model: PathBuf,
    /// Arrow file of rows with labels that the model did not learn: validation rows.
    #[arg(long, value_name = "FILE")]
    pub(crate) rows: Option<PathBuf>,
    /// Share of the negatives that the training rows kept, and --rows.
    #[arg(long, value_name = "SHARE", value_parser = negative_rate)]
    pub(crate) negative_rate: Option<Platt>,
    /// The packed file.
    #[arg(short, long, value_name = "N.xsfm")]
    pub(crate) output: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("of").required(true).args(["items", "indices"]))]
pub(crate) struct CatalogueArguments {
    /// Packed model.
    pub(crate) model: PathBuf,
    /// Raw rows of items, one each: the columns of the training data but for those of the context, as for `score
    /// --raw`.
    #[arg(long, value_name = "FILE")]
    pub(crate) items: Option<PathBuf>,
    /// Rows of integer indices of an item's fields; `-` for standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) indices: Option<PathBuf>,
    /// The fields of the context, by name: items have the others.
    #[arg(long, value_name = "FIELD,…", value_delimiter = ',', required = true)]
    pub(crate) context: Vec<String>,
    /// What is kept of each item.
    #[arg(long, value_enum, default_value_t = PartsArgument::LayerSums)]
    pub(crate) parts: PartsArgument,
    /// The catalogue.
    #[arg(short, long, value_name = "ITEMS.xsfc")]
    pub(crate) output: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum PartsArgument {
    /// Its own sums, its vectors, and its sums of the first layer, which then costs nothing.
    LayerSums,
    /// Its own sums and its vectors: far fewer bytes where the first layer is wide.
    Vectors,
}

impl From<PartsArgument> for CatalogueParts {
    fn from(argument: PartsArgument) -> Self {
        match argument {
            PartsArgument::LayerSums => CatalogueParts::LayerSums,
            PartsArgument::Vectors => CatalogueParts::Vectors,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct RankArguments {
    /// Packed model.
    pub(crate) model: PathBuf,
    #[command(flatten)]
    pub(crate) rows: RowsArguments,
    /// Rank the items of this catalogue, which `xsfm catalogue` has made of the model: --indices or --raw then has one
    /// row, of the context's fields.
    #[arg(long, value_name = "ITEMS.xsfc", conflicts_with = "context")]
    pub(crate) catalogue: Option<PathBuf>,
    /// Names to print, one line per row, or per item.
    #[arg(long, value_name = "FILE")]
    pub(crate) names: Option<PathBuf>,
    /// Fields that are the same in all rows, by name: what they add to the scores is computed once.
    #[arg(long, value_name = "FIELD,…", value_delimiter = ',')]
    pub(crate) context: Vec<String>,
    /// How many to print.
    #[arg(long, default_value_t = 10)]
    pub(crate) top: usize,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BenchArguments {
    /// Packed model.
    pub(crate) model: PathBuf,
    /// Rows to score, the first 1024; without them, random ones, a few features often and most rarely.
    #[arg(long, value_name = "FILE")]
    pub(crate) rows: Option<PathBuf>,
    /// The same of raw rows, encoded by the vocabulary in the packed file before anything is measured.
    #[arg(long, value_name = "FILE", conflicts_with = "rows")]
    pub(crate) raw: Option<PathBuf>,
    /// Rows of a call.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(crate) batch: u32,
    /// Threads that score at the same time, for the rows per second; so do 1, 2, 4, … of them.
    #[arg(long, value_name = "T", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) threads: u32,
    /// The instructions: portable, sse4.1, avx2, avx-vnni, avx512-vnni, avx512-amx, neon, neon-dotprod, neon-i8mm,
    /// simd128; the best by default.
    #[arg(long, value_name = "B")]
    pub(crate) backend: Option<String>,
    /// Score the layers as they are packed instead of laying them in tiles first.
    #[arg(long)]
    pub(crate) as_packed: bool,
    /// Also time single calls that find nothing in the caches: before each, twice the largest cache is written to.
    #[arg(long)]
    pub(crate) cold: bool,
    /// Also watch single calls for so long, and tell how far the slowest 1 % are from the median.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) soak: Option<u32>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Output {
    /// Arithmetic of the packed model.
    #[arg(long, value_enum, default_value_t = ModeArgument::Int8)]
    pub(crate) mode: ModeArgument,
    /// Bits of a number in the tables of int8 and dynamic mode: those of training, or 8. With others than in training,
    /// scales are found anew.
    #[arg(long, value_enum)]
    pub(crate) table_bits: Option<BitsArgument>,
    /// Replace the field matrix by this many factors: cheaper than one weight per pair where it is well below half the
    /// fields.
    #[arg(long, value_name = "K")]
    pub(crate) rank: Option<usize>,
    /// The CPU that the layers are laid out for. Any CPU reads any file; one packed for it starts faster and takes less
    /// memory.
    #[arg(long, value_enum, default_value_t = TargetArgument::Neutral)]
    pub(crate) target: TargetArgument,
    /// The schema.json whose vocabulary and rules make indices of raw values, to be packed too; by default the
    /// checkpoint's own.
    #[arg(long, value_name = "FILE")]
    pub(crate) vocabulary: Option<PathBuf>,
    /// Leave the vocabulary out: the packed model takes indices alone.
    #[arg(long, conflicts_with_all = ["vocabulary", "fingerprint_bits", "renumber", "keep_tokens"])]
    pub(crate) without_vocabulary: bool,
    #[command(flatten)]
    pub(crate) kept: Kept,
    /// The packed file.
    #[arg(short, long, value_name = "M.xsfm")]
    pub(crate) output: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a packed file keeps of its vocabulary.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Kept {
    /// Bits of each token's fingerprint, 0 to 24: one unseen token of 2^BITS is taken for a known one.
    #[arg(long, value_name = "BITS", default_value_t = FINGERPRINT_BITS)]
    fingerprint_bits: u8,
    /// Number the rows of full tables anew, which takes half of the vocabulary's bytes; tokens that are integers and
    /// lie close together then take a bit each. The packed model takes raw values, and no rows of indices.
    #[arg(long)]
    renumber: bool,
    /// Keep the tokens' text too: `inspect` and `rank` print names for indices, and no unseen token is taken for a
    /// known one, whatever the fingerprints.
    #[arg(long)]
    keep_tokens: bool,
}

impl From<Kept> for vocabulary::Options {
    fn from(Kept { fingerprint_bits, renumber, keep_tokens }: Kept) -> Self {
        vocabulary::Options { fingerprint_bits, renumber, keep_tokens }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum ModeArgument {
    /// Weights and sums in f32.
    F32,
    /// Integers from the table to the logit: a quarter of the bytes, the same bits on every CPU.
    Int8,
    /// As int8, but the outputs of layers get a scale of their own for each row: packs without rows, closer to f32,
    /// slower.
    Dynamic,
}

impl From<ModeArgument> for PackMode {
    fn from(argument: ModeArgument) -> Self {
        match argument {
            ModeArgument::F32 => PackMode::F32,
            ModeArgument::Int8 => PackMode::Int8,
            ModeArgument::Dynamic => PackMode::Dynamic,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum BitsArgument {
    /// One number per byte.
    #[value(name = "8")]
    Eight,
    /// Two numbers per byte.
    #[value(name = "4")]
    Four,
}

impl From<BitsArgument> for TableBits {
    fn from(argument: BitsArgument) -> Self {
        match argument {
            BitsArgument::Eight => TableBits::Eight,
            BitsArgument::Four => TableBits::Four,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum TargetArgument {
    /// Any CPU: layers lie row by row.
    Neutral,
    /// x86-64: layers lie in tiles, as vector instructions want them.
    #[value(name = "x86-64")]
    X86_64,
    /// 64-bit ARM: layers lie in tiles.
    Aarch64,
    /// Cortex-M0+, Cortex-M3, RISC-V: layers lie row by row, without padding.
    #[value(aliases = ["cortex-m0plus", "cortex-m3", "riscv32"])]
    CortexM,
    /// Cortex-M4, M7, M33: layers of int8 mode lie in strips for their DSP instructions.
    #[value(name = "cortex-m4f", aliases = ["cortex-m4", "cortex-m7", "cortex-m33"])]
    CortexMDsp,
    /// Cortex-M55: layers of int8 mode lie in strips for its vector instructions.
    #[value(name = "cortex-m55", alias = "cortex-m85")]
    CortexMMve,
}

impl From<TargetArgument> for Target {
    fn from(argument: TargetArgument) -> Self {
        match argument {
            TargetArgument::Neutral => Target::Neutral,
            TargetArgument::X86_64 => Target::X86_64,
            TargetArgument::Aarch64 => Target::Aarch64,
            TargetArgument::CortexM => Target::CortexM,
            TargetArgument::CortexMDsp => Target::CortexMDsp,
            TargetArgument::CortexMMve => Target::CortexMMve,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LanguageArgument {
    /// A module for xsfm-runtime.
    Rust,
    /// A header and a source file for xsfm.h.
    C,
}

impl From<LanguageArgument> for Language {
    fn from(argument: LanguageArgument) -> Self {
        match argument {
            LanguageArgument::Rust => Language::Rust,
            LanguageArgument::C => Language::C,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Format {
    /// ONNX, operator set 17, f32.
    Onnx,
}
