//! int8 mode alone, for programs that must be small.

use std::fmt;

use crate::error::{LoadError, ScoreError};
use crate::format::{Layout, Terms};
use crate::kernel::portable::Portable;
use crate::kernel::vector::{FieldPair, Task};
use crate::load::{self, Body};
use crate::mlp::Mlp;
use crate::network::Fwfm;
use crate::quant::logit_steps;
use crate::row::Row;
use crate::score::{GatherIntegers, IntegerSizes};
use crate::scratch::{Scratch, ScratchBlock, blocks_of};

/// An int8 model that is scored row by row, in integers to the end.
///
/// What it takes from the flash is a fraction of what [`Model`](crate::Model) and [`Scorer`](crate::Scorer) take: no other arithmetic, no
/// back ends, no names, and neither floating point nor a panic in the program. Layers packed for this CPU
/// (`xsfm pack --target`) are as fast as with those.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let packed = include_bytes!("../../tests/fixtures/movielens-student/model.xsfm");
/// use xsfm_runtime::{Aligned, Int8Model, Row, ScratchBlock};
///
/// # let bytes = Aligned(*packed); let bytes = &bytes.0;
/// let model = Int8Model::from_bytes(bytes)?;
/// let mut scratch = [ScratchBlock::ZERO; 20]; // at least model.scratch_blocks()
/// let row = Row::with_bags(&[7, 42, 1, 1, 3, 5, 2, 9], &[0, 1, 2, 3, 4, 5, 6, 8]);
/// let steps = model.score(row, &mut scratch)?;
/// println!("logit {}", steps as f32 / 65_536.0);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy)]
pub struct Int8Model<'a> {
    fwfm: Fwfm<'a, i8, i16>,
    mlp: Option<Mlp<'a, i8, i32, i32>>,
    bias: i32,
    terms: Terms,
}

/// Its shape; not its weights.
impl fmt::Debug for Int8Model<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Int8Model").field("num_fields", &self.num_fields()).finish_non_exhaustive()
    }
}

impl<'a> Int8Model<'a> {
    /// As [`Model::from_bytes`](crate::Model::from_bytes), for files of int8 mode.
    ///
    /// # Errors
    /// [`LoadError`]; `Value` where the file is of another mode.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, LoadError> {
        Self::load(bytes, Body::Verify)
    }

    /// As [`Model::from_bytes_skipping_checksum`](crate::Model::from_bytes_skipping_checksum), for files of int8 mode.
    ///
    /// # Errors
    /// [`LoadError`], except `Checksum`.
    pub fn from_bytes_skipping_checksum(bytes: &'a [u8]) -> Result<Self, LoadError> {
        Self::load(bytes, Body::Trust)
    }

    fn load(bytes: &'a [u8], body: Body) -> Result<Self, LoadError> {
        let (file, head) = load::head(bytes, body)?;
        let (fwfm, mlp, bias, terms) = load::load_int8(file, &head)?;
        Ok(Int8Model { fwfm, mlp, bias, terms })
    }

    /// Number of fields of a row.
    pub fn num_fields(&self) -> usize {
        self.fwfm.embedding.fields.len()
    }

    /// Blocks of scratch that [`Int8Model::score`] needs: all the RAM beside the stack.
    pub fn scratch_blocks(&self) -> usize {
        let sizes = self.sizes();
        let layers = match &self.mlp {
            None => 0,
            Some(mlp) if mlp.layout() == Layout::Rows => 2 * blocks_of::<u8>(sizes.widest),
            Some(mlp) => blocks_of::<u32>(mlp.strip_len(self.inputs())) + blocks_of::<u8>(sizes.widest),
        };
        let pairs = blocks_of::<FieldPair>(sizes.pairs);
        blocks_of::<i32>(self.fwfm.embedding.dim) + blocks_of::<i8>(sizes.stride) + pairs.max(layers)
    }

    fn inputs(&self) -> usize {
        self.num_fields() * self.fwfm.embedding.dim
    }

    fn sizes(&self) -> IntegerSizes {
        IntegerSizes::new::<Portable>(&self.fwfm, self.mlp.as_ref().map_or(0, Mlp::widest), 1)
    }

    /// The logit of a row in steps of 2^-16, within ±2^23: [`Score::logit`](crate::Score::logit) times 65536.
    ///
    /// # Errors
    /// Any [`ScoreError`] of the row, and `ScratchTooSmall`.
    pub fn score(&self, row: Row<'_>, scratch: &mut [ScratchBlock]) -> Result<i32, ScoreError> {
        let Int8Model { fwfm, mlp, bias, terms } = self;
        let (num_fields, dim, sizes) = (self.num_fields(), fwfm.embedding.dim, self.sizes());
        let mut scratch = Scratch::new(scratch);
        let acc = scratch.take::<i32>(dim)?;
        let e = scratch.take::<i8>(sizes.stride)?;
        let feature_weight = GatherIntegers { fwfm, row, acc, e: &mut *e, small: true }.run(Portable)?;
        let field_vector = fwfm.field_vector.as_ref().map_or(0, |vectors| vectors.accumulate(Portable, e));
        let pairs = scratch.for_now().take(sizes.pairs)?;
        let interaction = fwfm.interaction.accumulate(Portable, e, num_fields, dim, pairs);
        let layers = match mlp {
            None => 0,
            Some(mlp) if mlp.layout() == Layout::Rows => {
                let (h0, h1) = (scratch.take(sizes.widest)?, scratch.take(sizes.widest)?);
                mlp.rows(e.get(..self.inputs()).unwrap_or_default(), None, h0, h1)
            }
            Some(mlp) => {
                let (read, h) = (scratch.take(mlp.strip_len(self.inputs()))?, scratch.take(sizes.widest)?);
                mlp.strips(e, None, read, h)
            }
        };
        let parts = [
            terms.feature_weight.steps(feature_weight),
            terms.field_vector.steps(field_vector),
            terms.interaction.steps(fwfm.interaction.settled(interaction)),
            terms.mlp.steps(layers),
        ];
        Ok(logit_steps(*bias, parts))
    }
}
