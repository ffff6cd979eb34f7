//! A packed model, borrowed from the bytes it lies in.

use std::fmt;

use zerocopy::FromBytes;

use crate::encode::Encoder;
use crate::error::{LoadError, ScoreError};
use crate::format::{FieldRecord, Layout, Manifest, Mode, Prefix, Reader, SectionKind};
use crate::kernel::vector::{Task, Vector};
use crate::kernel::{Backend, BackendToken};
use crate::load::{self, Body};
use crate::network::Network;
use crate::schema::Fields;
use crate::score::{integer_blocks, real_blocks};
use crate::scratch::{Measure, Scratch, ScratchBlock, check_room};

/// A packed model: views into the bytes, which were checked once. Shared between threads as `&Model`.
#[derive(Clone, Copy)]
pub struct Model<'a> {
    file: &'a [u8],
    pub(crate) fields: &'a [FieldRecord],
    pub(crate) network: Network<'a>,
    dim: usize,
    pub(crate) token: BackendToken,
}

/// What a model costs: known before the first row is scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Statistics {
    /// The arithmetic.
    pub mode: Mode,
    /// Fields of a row.
    pub num_fields: usize,
    /// Length of a field's vector.
    pub embed_dim: usize,
    /// Bytes of the file.
    pub file_bytes: usize,
    /// Bytes of scratch that a scorer needs: all the RAM beside the stack.
    pub scratch_bytes: usize,
    /// Numbers of the model: tables, feature weights, field vectors, pair weights, layers and biases.
    pub parameters: usize,
    /// Multiplications with additions in the field vectors, pairs and layers of one row.
    pub multiply_accumulates: usize,
}

/// How [`Model::from_bytes_with`] loads a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LoadOptions {
    /// Whether not to read the body for its checksum, as [`Model::from_bytes_skipping_checksum`].
    pub skip_checksum: bool,
    /// The instructions that score the model; `None` for the fastest that the CPU has, of which [`Backend::Avx512Amx`]
    /// changes the process.
    pub backend: Option<Backend>,
}

impl LoadOptions {
    /// Those of [`Model::from_bytes`], on other instructions.
    pub const fn on(backend: Backend) -> Self {
        LoadOptions { skip_checksum: false, backend: Some(backend) }
    }
}

/// What it costs; not its weights, which may be megabytes.
impl fmt::Debug for Model<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").field("statistics", &self.statistics()).finish_non_exhaustive()
    }
}

impl<'a> Model<'a> {
    /// Borrows a model from `bytes`, which may be longer than the file, after checking them and their checksum.
    ///
    /// The bytes must start at an address that is a multiple of 4, best of 64: see [`Aligned`](crate::Aligned).
    ///
    /// It is scored by the fastest instructions that the CPU has, which are looked for once in a process. Where that is
    /// AMX, Linux is asked for it, which changes the process: see [`Backend::Avx512Amx`], and
    /// [`Model::from_bytes_with`] for how not to.
    ///
    /// # Errors
    /// [`LoadError`] says what is wrong with which bytes.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, LoadError> {
        Self::load(bytes, Body::Verify, None)
    }

    /// Like [`Model::from_bytes`], but does not read the body for its checksum.
    ///
    /// Everything that scoring relies on is checked all the same: damaged weights can make scores wrong, never unsafe.
    ///
    /// # Errors
    /// [`LoadError`], except `Checksum`.
    pub fn from_bytes_skipping_checksum(bytes: &'a [u8]) -> Result<Self, LoadError> {
        Self::load(bytes, Body::Trust, None)
    }

    /// Like [`Model::from_bytes`], with what is chosen before: nothing is asked of the CPU or the system but whether
    /// the chosen instructions are there.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let packed = include_bytes!("../../tests/fixtures/movielens-student/model.xsfm");
    /// use xsfm_runtime::{Aligned, Backend, LoadOptions, Model};
    ///
    /// # let bytes = Aligned(*packed); let bytes = &bytes.0;
    /// // A process with a seccomp filter, or small signal stacks.
    /// let model = Model::from_bytes_with(bytes, LoadOptions::on(Backend::detect_without_amx()))?;
    /// assert_ne!(model.backend(), Backend::Avx512Amx);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`LoadError`]; `Backend` where the CPU lacks the instructions.
    pub fn from_bytes_with(bytes: &'a [u8], options: LoadOptions) -> Result<Self, LoadError> {
        Self::load(bytes, if options.skip_checksum { Body::Trust } else { Body::Verify }, options.backend)
    }

    /// Reads the body for its checksum: what [`Model::from_bytes_skipping_checksum`] has left for later.
    ///
    /// # Errors
    /// [`LoadError::Checksum`].
    pub fn verify_checksum(&self) -> Result<(), LoadError> {
        load::head(self.file, Body::Verify).map(|_| ())
    }

    fn load(bytes: &'a [u8], body: Body, backend: Option<Backend>) -> Result<Self, LoadError> {
        let (file, head) = load::head(bytes, body)?;
        let (network, fields) = load::load(file, &head)?;
        let token = match backend {
            None => BackendToken::detect(),
            Some(backend) => BackendToken::new(backend).ok_or(LoadError::Backend { backend })?,
        };
        Ok(Model { file, fields, network, dim: usize::from(head.embed_dim), token })
    }

    /// The manifest: producer, label, sections. Decoded anew at each call, so that the model itself stays small.
    ///
    /// # Errors
    /// None in practice: [`Model::from_bytes`] has decoded the same bytes.
    pub fn manifest(&self) -> Result<Manifest<'a>, LoadError> {
        let (_, head) = load::head(self.file, Body::Trust)?;
        head.manifest().ok_or(LoadError::Manifest)
    }

    /// Bytes of the file, and the checksum of what is behind its prefix: what tells it from another.
    pub(crate) fn identity(&self) -> (u64, u32) {
        let crc = Prefix::ref_from_prefix(self.file).map_or(0, |(prefix, _)| prefix.body_crc.get());
        (self.file.len() as u64, crc)
    }

    /// The arithmetic.
    pub fn mode(&self) -> Mode {
        self.network.mode()
    }

    /// Number of fields of a row.
    pub fn num_fields(&self) -> usize {
        self.fields.len()
    }

    /// Length of a field's vector.
    pub fn embed_dim(&self) -> usize {
        self.dim
    }

    /// The fields in the order of a row.
    pub fn fields(&self) -> Fields<'a> {
        let names = load::head(self.file, Body::Trust).map_or(&[][..], |(_, head)| head.field_names);
        Fields { records: self.fields.iter(), names: Reader(names), dim: self.dim }
    }

    /// The bytes of a section, as they are; `None` where the file lacks it.
    pub fn section(&self, kind: SectionKind) -> Option<&'a [u8]> {
        let (_, head) = load::head(self.file, Body::Trust).ok()?;
        load::section(self.file, &head, kind)
    }

    /// What makes indices of raw values; `None` where the file was packed without it.
    ///
    /// # Errors
    /// [`LoadError`]: a section of it contradicts itself or the others. The model can be scored all the same.
    pub fn encoder(&self) -> Result<Option<Encoder<'a>>, LoadError> {
        Encoder::of_model(self.file, self.fields)
    }

    /// The instructions that score this model: the fastest that the CPU has, unless [`Model::with_backend`] chose
    /// others.
    pub fn backend(&self) -> Backend {
        self.token.backend()
    }

    /// The same model on other instructions; `None` where the CPU lacks them. To keep AMX from being asked for, choose
    /// while [loading](Model::from_bytes_with). int8 and dynamic scores have the same bits on all.
    pub fn with_backend(&self, backend: Backend) -> Option<Self> {
        BackendToken::new(backend).map(|token| Model { token, ..*self })
    }

    /// How the weights of hidden layers lie: as packed, or prepared. Rows where there are none.
    pub fn layout(&self) -> Layout {
        self.network.layout()
    }

    /// Whether weights lie as vector instructions want them: packed so, or prepared.
    pub fn is_prepared(&self) -> bool {
        self.network.is_prepared()
    }

    /// Blocks of memory that [`Model::prepare`] needs: 0 where there is nothing to do, or no
    /// vector instructions that would gain by it.
    pub fn prepared_blocks(&self) -> usize {
        if self.backend() == Backend::Portable {
            return 0;
        }
        Measure::of(|memory| self.network.prepare(memory))
    }

    /// The same model with its layers in tiles, which are laid out in `memory` of at least [`Model::prepared_blocks`]
    /// blocks.
    ///
    /// Scores are several times as fast on CPUs with vector instructions, and
    /// [`Scorer::score_batch`](crate::Scorer::score_batch) takes rows together. int8 and dynamic scores keep their
    /// bits; f32 sums run in another order.
    ///
    /// # Errors
    /// [`ScoreError::ScratchTooSmall`].
    pub fn prepare<'p>(&self, memory: &'p mut [ScratchBlock]) -> Result<Model<'p>, ScoreError>
    where
        'a: 'p,
    {
        let needed = self.prepared_blocks();
        check_room(needed, memory)?;
        if needed == 0 {
            return Ok(*self);
        }
        Ok(Model { network: self.network.prepare(&mut Scratch::new(memory))?, ..*self })
    }

    /// Blocks of scratch that a [`Scorer`](crate::Scorer) needs for one row at a time, on this model's back end.
    pub fn scratch_blocks(&self) -> usize {
        self.token.run(ScratchBlocks { network: &self.network, in_groups: false })
    }

    /// Blocks of scratch with which a [`Scorer`](crate::Scorer) takes rows of a batch together.
    pub fn batch_scratch_blocks(&self) -> usize {
        self.token.run(ScratchBlocks { network: &self.network, in_groups: true })
    }

    /// What the model costs.
    pub fn statistics(&self) -> Statistics {
        let (parameters, multiply_accumulates) = self.network.counts();
        Statistics {
            mode: self.mode(),
            num_fields: self.num_fields(),
            embed_dim: self.dim,
            file_bytes: self.file.len(),
            scratch_bytes: self.scratch_blocks() * ScratchBlock::LEN,
            parameters,
            multiply_accumulates,
        }
    }
}

/// Blocks that scores take, one by one or in groups.
struct ScratchBlocks<'t> {
    network: &'t Network<'t>,
    in_groups: bool,
}

impl Task for ScratchBlocks<'_> {
    type Output = usize;

    #[inline(always)]
    fn run<V: Vector>(self, _: V) -> usize {
        match self.network {
            Network::Int8 { fwfm, layers, .. } => integer_blocks::<V>(fwfm, layers, self.in_groups),
            Network::F32 { fwfm, mlp, .. } => real_blocks::<V>(fwfm, mlp.as_ref(), self.in_groups),
        }
    }
}
