//! A packed model, borrowed from the bytes it lies in.

use std::fmt;

use crate::embedding::Embedding;
use crate::error::LoadError;
use crate::format::{FieldRecord, Manifest, Terms};
use crate::interaction::FieldInteraction;
use crate::linear::{FeatureWeight, FieldVector};
use crate::load::{self, Body};
use crate::mlp::Mlp;
use crate::schema::Fields;
use crate::score::scratch_blocks;

/// A packed model: views into the bytes, which were checked once. Shared between threads as `&Model`.
#[derive(Clone, Copy)]
pub struct Model<'a> {
    file: &'a [u8],
    pub(crate) fields: &'a [FieldRecord],
    pub(crate) parts: Parts<'a>,
    dim: usize,
}

/// The parts, in one of the two arithmetics.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Parts<'a> {
    F32(Network<'a, f32, f32, f32>),
    Int8(Network<'a, i8, i16, i32>, Terms),
}

/// `bias + FeatureWeight + FieldVector + FieldInteraction + MLP`, every part optional; W weights, C coefficients, B biases.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Network<'a, W, C, B> {
    pub(crate) embedding: Embedding<'a, W>,
    pub(crate) feature_weight: Option<FeatureWeight<'a, W>>,
    pub(crate) field_vector: Option<FieldVector<'a, C>>,
    pub(crate) interaction: FieldInteraction<'a, C>,
    pub(crate) mlp: Option<Mlp<'a, W, B>>,
    pub(crate) bias: B,
}

/// The arithmetic of a packed model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Mode {
    /// Weights and sums in f32.
    F32,
    /// Integers from the table to the logit.
    Int8,
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
    /// # Errors
    /// [`LoadError`] says what is wrong with which bytes.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, LoadError> {
        Self::load(bytes, Body::Verify)
    }

    /// Like [`Model::from_bytes`], but does not read the body for its checksum.
    ///
    /// Everything that scoring relies on is checked all the same: damaged weights can make scores wrong, never unsafe.
    ///
    /// # Errors
    /// [`LoadError`], except `Checksum`.
    pub fn from_bytes_skipping_checksum(bytes: &'a [u8]) -> Result<Self, LoadError> {
        Self::load(bytes, Body::Trust)
    }

    fn load(bytes: &'a [u8], body: Body) -> Result<Self, LoadError> {
        let (file, manifest) = load::manifest(bytes, body)?;
        let (parts, fields) = load::load(file, &manifest)?;
        Ok(Model { file, fields, parts, dim: usize::from(manifest.embed_dim) })
    }

    /// The manifest: producer, label, sections. Decoded anew at each call, so that the model itself stays small.
    ///
    /// # Errors
    /// None in practice: [`Model::from_bytes`] has decoded the same bytes.
    pub fn manifest(&self) -> Result<Manifest<'a>, LoadError> {
        load::manifest(self.file, Body::Trust).map(|(_, manifest)| manifest)
    }

    /// The arithmetic.
    pub fn mode(&self) -> Mode {
        match self.parts {
            Parts::F32(_) => Mode::F32,
            Parts::Int8(..) => Mode::Int8,
        }
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
        let names = self.manifest().map_or(&[][..], |manifest| manifest.field_names);
        Fields { records: self.fields.iter(), names, dim: self.dim }
    }

    /// Blocks of scratch that a [`Scorer`](crate::Scorer) needs.
    pub fn scratch_blocks(&self) -> usize {
        scratch_blocks(&self.parts, self.num_fields())
    }

    /// What the model costs.
    pub fn statistics(&self) -> Statistics {
        let (parameters, multiply_accumulates) = match &self.parts {
            Parts::F32(network) => network.counts(),
            Parts::Int8(network, _) => network.counts(),
        };
        Statistics {
            mode: self.mode(),
            num_fields: self.num_fields(),
            embed_dim: self.dim,
            file_bytes: self.file.len(),
            scratch_bytes: self.scratch_blocks() * crate::ScratchBlock::LEN,
            parameters,
            multiply_accumulates,
        }
    }
}

impl<W, C, B> Network<'_, W, C, B> {
    /// Numbers, and multiply-accumulates of one row in its pairs, field vectors and layers.
    fn counts(&self) -> (usize, usize) {
        let dim = self.embedding.dim;
        let feature_weights = self.feature_weight.as_ref().map_or(0, |part| part.weights.len());
        let field_vectors = self.field_vector.as_ref().map_or(0, |part| part.0.len());
        let pairs = match self.interaction {
            FieldInteraction::None => 0,
            FieldInteraction::Dense(weights) | FieldInteraction::Pruned(_, weights) => weights.len(),
        };
        let (weights, biases) = self.mlp.as_ref().map_or((0, 0), |mlp| (mlp.weights.len(), mlp.biases.len()));
        let parameters = self.embedding.tables.len() + feature_weights + field_vectors + pairs + weights + biases + 1;
        (parameters, field_vectors + pairs * dim + weights)
    }
}
