//! int8 mode alone, for programs that must be small.

use std::fmt;

use crate::encode::SmallEncoder;
use crate::error::{LoadError, ScoreError};
use crate::format::{Head, Layout, Terms};
use crate::kernel::portable::Portable;
use crate::kernel::vector::Task;
use crate::load::{self, Body};
use crate::mlp::Mlp;
use crate::network::Fwfm;
use crate::quant::logit_steps;
use crate::row::Row;
use crate::score::GatherIntegers;
use crate::scratch::{Measure, Scratch, ScratchBlock};

/// An int8 model that is scored row by row, in integers to the end.
///
/// What it takes from the flash is a fraction of what [`Model`](crate::Model) and [`Scorer`](crate::Scorer) take: no
/// other arithmetic, no back ends, no names, and neither floating point nor a panic in the program. Layers packed for
/// this CPU (`xsfm pack --target`) are as fast as with those.
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
    pub(crate) fwfm: Fwfm<'a, i8, i16>,
    pub(crate) mlp: Option<Mlp<'a, i8, i32, i32>>,
    pub(crate) bias: i32,
    pub(crate) terms: Terms,
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

    /// As [`Int8Model::from_bytes_skipping_checksum`], with what raw values mean, which
    /// [`SmallEncoder::from_bytes`] gives too: a program that reads both together is smaller.
    ///
    /// # Errors
    /// [`LoadError`], except `Checksum`.
    pub fn with_encoder_skipping_checksum(bytes: &'a [u8]) -> Result<(Self, Option<SmallEncoder<'a>>), LoadError> {
        let (file, head) = load::head(bytes, Body::Trust)?;
        Ok((Self::new(file, &head)?, SmallEncoder::of_head(file, &head)?))
    }

    fn load(bytes: &'a [u8], body: Body) -> Result<Self, LoadError> {
        let (file, head) = load::head(bytes, body)?;
        Self::new(file, &head)
    }

    fn new(file: &'a [u8], head: &Head<'a>) -> Result<Self, LoadError> {
        let (fwfm, mlp, bias, terms) = load::load_int8(file, head)?;
        Ok(Int8Model { fwfm, mlp, bias, terms })
    }

    /// Number of fields of a row.
    pub fn num_fields(&self) -> usize {
        self.fwfm.embedding.fields.len()
    }

    /// Blocks of scratch that [`Int8Model::score`] needs: all the RAM beside the stack.
    pub fn scratch_blocks(&self) -> usize {
        Measure::of(|memory| {
            self.fwfm.carve_vectors(memory, 1)?;
            self.fwfm.carve_pairs::<Portable>(memory, 1)?;
            match &self.mlp {
                None => Ok(()),
                Some(mlp) if mlp.layout() == Layout::Rows => mlp.carve_rows(memory).map(drop),
                Some(mlp) => mlp.carve_fours(memory, self.fwfm.embedding.inputs(), 1).map(drop),
            }
        })
    }

    /// The logit of a row in steps of 2^-16, within ±2^23: [`Score::logit`](crate::Score::logit) times 65536.
    ///
    /// # Errors
    /// Any [`ScoreError`] of the row, and `ScratchTooSmall`.
    pub fn score(&self, row: Row<'_>, scratch: &mut [ScratchBlock]) -> Result<i32, ScoreError> {
        let Int8Model { fwfm, mlp, bias, terms } = self;
        let inputs = fwfm.embedding.inputs();
        let mut memory = Scratch::new(scratch);
        let (acc, e) = fwfm.carve_vectors(&mut memory, 1)?;
        let feature_weight = GatherIntegers { fwfm, row, acc, e: &mut *e, small: true }.run(Portable)?;
        let field_vector = fwfm.field_vectors(Portable, e);
        let pairs = fwfm.carve_pairs::<Portable>(&mut memory, 1)?;
        let interaction = fwfm.interaction.accumulate(Portable, fwfm.embedding.vectors(e), pairs);
        let of_layers = match mlp {
            None => 0,
            Some(mlp) if mlp.layout() == Layout::Rows => {
                let h = mlp.carve_rows(&mut memory)?;
                mlp.rows(e.get(..inputs).unwrap_or_default(), None, h)
            }
            Some(mlp) => mlp.fours(e, None, mlp.carve_fours(&mut memory, inputs, 1)?),
        };
        let sums = [feature_weight, field_vector, interaction];
        Ok(logit_steps(*bias, fwfm.steps(terms, sums), terms.mlp.steps(of_layers)))
    }
}
