//! What each field and each pair of fields adds to a row's logit.
//!
//! In int8 and dynamic mode a part's accumulator is rounded to steps of the logit once. What a field adds is the step
//! in which the accumulator with it differs from that without it, field after field: each is an integer, off by less
//! than one step, and they sum to the part's own, `round(a + b) - round(a)` after `round(a)`.
//!
//! A crate of its own, which needs the runtime alone: a page has it too.

pub mod pairs;

use std::fmt;

use SectionKind::*;
use xsfm_runtime::format::{Arithmetic, FieldRecord, SectionKind, Term, composition, limit};
use xsfm_runtime::quant::requantize;
use xsfm_runtime::{LoadError, Model, Row, ScoreError, Scorer, ScratchBlock, Weight, weight};
use zerocopy::{FromBytes, Immutable, KnownLayout};

use pairs::{STEPS, integer_weights, number, numbers, pairs_of, real_weights};

/// What sums of f32 mode are rounded to, so that they are exact in any order.
const GRID: f64 = 4_294_967_296.0;

/// A logit, and what it is the sum of: in int8 and dynamic mode exactly, whatever the order; in f32 mode to the last
/// bit of an f32.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// As it is scored.
    pub logit: f32,
    /// The model's own.
    pub bias: f64,
    /// `[num_fields]`: the first-order terms.
    pub fields: Vec<f64>,
    /// The second-order term: pairs of fields in the order of the file, all pairs where it is of low rank.
    pub pairs: Vec<((usize, usize), f64)>,
    /// What is left: the layers. In f32 mode also what the scorer rounds otherwise, and in the others what a logit at
    /// the ends of its range was cut by.
    pub layers: f64,
}

/// Why there is no explanation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ExplainError {
    /// The row does not fit the model, or has no score.
    Score(ScoreError),
    /// None in practice: whoever loaded the model has decoded the same manifest.
    Load(LoadError),
}

impl fmt::Display for ExplainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExplainError::Score(error) => error.fmt(f),
            ExplainError::Load(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ExplainError {}

/// Explains the score of a row.
///
/// # Errors
/// A row that does not fit the model, and what the runtime would refuse.
pub fn explain(model: &Model<'_>, row: Row<'_>) -> Result<Explanation, ExplainError> {
    let mut scratch = vec![ScratchBlock::ZERO; model.scratch_blocks()];
    let mut scorer = Scorer::new(model, &mut scratch).map_err(ExplainError::Score)?;
    // The row fits, from here on.
    let logit = scorer.score(row).map_err(ExplainError::Score)?.logit;
    let manifest = model.manifest().map_err(ExplainError::Load)?;
    let (bias, fields, pairs) = match manifest.arithmetic {
        Arithmetic::F32 { bias } => {
            let parts = File { model, row }.real();
            (f64::from(bias), parts.0, parts.1)
        }
        Arithmetic::Int8 { bias, terms } | Arithmetic::Dynamic { bias, terms } => {
            let parts = [terms.feature_weight, terms.field_vector, terms.interaction];
            let (fields, pairs) = File { model, row }.integer(parts);
            let real = |steps: i128| steps as f64 / STEPS;
            (real(bias.into()), fields.into_iter().map(real).collect(), pairs.into_iter().map(real).collect())
        }
    };
    let rest = bias + fields.iter().sum::<f64>() + pairs.iter().sum::<f64>();
    let pairs = pairs_of(model).into_iter().zip(pairs).collect();
    Ok(Explanation { logit, bias, fields, pairs, layers: f64::from(logit) - rest })
}

/// An accumulator in steps of the logit. Sums over some of the pairs may be larger than those of all.
fn steps(term: Term, acc: i128) -> i128 {
    (acc * i128::from(term.mantissa) + (1 << (term.shift - 1))) >> term.shift
}

/// `(t w + 2^11) >> 12`.
fn weighted(number: i32, weight: Weight) -> i32 {
    (number * i32::from(weight.steps()) + 2048) >> 12
}

/// What the scalars of a field's indices add, each times the field's coefficient.
fn scalars_of_field(scalars: impl Iterator<Item = (i128, Weight)>, is_weighted: bool) -> i128 {
    if !is_weighted {
        return scalars.map(|(scalar, _)| scalar).sum();
    }
    let sum: i128 = scalars.map(|(scalar, weight)| scalar * i128::from(weight.steps())).sum();
    ((sum + 2048) >> 12).clamp(-(1 << 32), 1 << 32)
}

/// What sums are rounded to as they grow, so that what each adds is exact.
#[derive(Default)]
struct Growing {
    sum: i128,
    rounded: i128,
}

impl Growing {
    /// What `more` adds, in steps.
    fn add(&mut self, more: i128, round: impl Fn(i128) -> i128) -> i128 {
        self.sum += more;
        let before = std::mem::replace(&mut self.rounded, round(self.sum));
        self.rounded - before
    }
}

/// A loaded file, and a row that fits it.
struct File<'m, 'r> {
    model: &'m Model<'m>,
    row: Row<'r>,
}

impl File<'_, '_> {
    fn numbers<T: FromBytes + Immutable + KnownLayout>(&self, kind: SectionKind) -> &[T] {
        numbers(self.model, kind)
    }

    /// Steps of each field, and of each pair.
    fn integer(&self, [feature_weight, field_vector, interaction]: [Term; 3]) -> (Vec<i128>, Vec<i128>) {
        let dim = self.model.embed_dim();
        let vectors = self.integer_vectors();
        let vector = |f: usize| vectors.get(f * dim..(f + 1) * dim).unwrap_or_default();
        let dot = |i: usize, j: usize| -> i128 { vector(i).iter().zip(vector(j)).map(|(&a, &b)| a * b).sum() };
        let mut fields = vec![0; self.model.num_fields()];
        let (weights, coefficients) = (self.numbers::<i8>(FeatureWeights), self.numbers::<i16>(FeatureCoefficients));
        let mut growing = Growing::default();
        for ((f, record), &coefficient) in self.numbers::<FieldRecord>(Fields).iter().enumerate().zip(coefficients) {
            let first = record.feature_offset.get() as usize;
            let scalar = |index: u32| i128::from(coefficient) * i128::from(number(weights, first + index as usize));
            let scalars = self.entries(f, record).map(|(index, weight)| (scalar(index), weight));
            let of_field = scalars_of_field(scalars, record.is_weighted());
            fields[f] += growing.add(of_field, |acc| steps(feature_weight, acc));
        }
        let mut growing = Growing::default();
        for (f, of_field) in self.numbers::<i16>(FieldVectors).chunks_exact(dim).enumerate() {
            let acc = of_field.iter().zip(vector(f)).map(|(&u, &e)| i128::from(u) * e).sum();
            fields[f] += growing.add(acc, |acc| steps(field_vector, acc));
        }
        let mut growing = Growing::default();
        let half = 1 << (limit::LOW_RANK_SHIFT - 1);
        let is_low_rank = self.model.section(LowRankSigns).is_some();
        let round =
            |acc: i128| steps(interaction, if is_low_rank { (acc + half) >> limit::LOW_RANK_SHIFT } else { acc });
        let pairs = pairs_of(self.model).into_iter().zip(integer_weights(self.model));
        let pairs = pairs.map(|((i, j), r)| growing.add(r * dot(i, j), round)).collect();
        (fields, pairs)
    }

    /// `[num_fields, embed_dim]`, i8.
    fn integer_vectors(&self) -> Vec<i128> {
        let (dim, tables) = (self.model.embed_dim(), self.numbers::<i8>(Tables));
        let mut vectors = Vec::with_capacity(self.model.num_fields() * dim);
        for (f, record) in self.numbers::<FieldRecord>(Fields).iter().enumerate() {
            let at = |table: usize, row: usize, column: usize| {
                let first = place(record, dim, table, row);
                let byte = number(tables, first + if record.bits == 0 { column } else { column / 2 });
                i32::from(match (record.bits, column.is_multiple_of(2)) {
                    (0, _) => byte,
                    (_, true) => byte << 4,
                    (_, false) => byte & !0x0F,
                })
            };
            let is_requantized = record.bag != 0 || matches!(record.composition, composition::MULT | composition::ADD);
            vectors.extend((0..dim).map(|d| {
                let number = |index: u32| match rows(record, index, d, dim) {
                    Rows::One(table, row, column) => 128 * at(table, row, column),
                    Rows::Product(q, r) => at(0, q, d) * at(1, r, d),
                    Rows::Sum(q, r) => 128 * (at(0, q, d) + at(1, r, d)),
                };
                let entries = self.entries(f, record);
                let acc: i32 = entries.map(|(index, weight)| weighted(number(index), weight)).sum();
                let multiplier = record.multiplier.get();
                i128::from(if is_requantized { requantize(acc, multiplier).clamp(-127, 127) } else { acc / 128 })
            }));
        }
        vectors
    }

    /// What each field, and each pair, adds.
    fn real(&self) -> (Vec<f64>, Vec<f64>) {
        let (dim, tables) = (self.model.embed_dim(), self.numbers::<f32>(Tables));
        let records = self.numbers::<FieldRecord>(Fields);
        let mut vectors = Vec::with_capacity(records.len() * dim);
        for (f, record) in records.iter().enumerate() {
            let at = |table: usize, row: usize, column: usize| {
                f64::from(number(tables, place(record, dim, table, row) + column))
            };
            vectors.extend((0..dim).map(|d| {
                let number = |index: u32| match rows(record, index, d, dim) {
                    Rows::One(table, row, column) => at(table, row, column),
                    Rows::Product(q, r) => at(0, q, d) * at(1, r, d),
                    Rows::Sum(q, r) => at(0, q, d) + at(1, r, d),
                };
                let entries = self.entries(f, record);
                entries.map(|(index, weight)| f64::from(weight.to_f32()) * number(index)).sum::<f64>()
            }));
        }
        let vector = |f: usize| vectors.get(f * dim..(f + 1) * dim).unwrap_or_default();
        let dot = |i: usize, j: usize| vector(i).iter().zip(vector(j)).map(|(a, b)| a * b).sum::<f64>();
        let round = |real: f64| (real * GRID).round() / GRID;
        let (weights, mut of_fields) =
            (self.numbers::<f32>(FeatureWeights), self.numbers::<f32>(FieldVectors).chunks_exact(dim));
        let fields = records.iter().enumerate().map(|(f, record)| {
            let first = record.feature_offset.get() as usize;
            let scalar = |index: u32| f64::from(number(weights, first + index as usize));
            let entries = self.entries(f, record);
            let features: f64 = entries.map(|(index, weight)| f64::from(weight.to_f32()) * scalar(index)).sum();
            let of_field = of_fields.next().unwrap_or_default();
            round(features + of_field.iter().zip(vector(f)).map(|(&w, v)| f64::from(w) * v).sum::<f64>())
        });
        let fields = fields.collect();
        let pairs = pairs_of(self.model).into_iter().zip(real_weights(self.model));
        let pairs = pairs.map(|((i, j), r)| round(r * dot(i, j)));
        (fields, pairs.collect())
    }

    /// The indices of a field, each with its weight.
    fn entries(&self, field: usize, record: &FieldRecord) -> impl Iterator<Item = (u32, Weight)> + Clone {
        weight::entries(self.row.field(field).unwrap_or_default(), record.is_weighted())
    }
}

/// Which rows of a field's tables make number `d` of a feature's vector.
enum Rows {
    /// Table, row, column.
    One(usize, usize, usize),
    /// Quotient row times remainder row.
    Product(usize, usize),
    /// Quotient row plus remainder row.
    Sum(usize, usize),
}

fn rows(record: &FieldRecord, index: u32, d: usize, dim: usize) -> Rows {
    let collisions = record.collisions.get().max(1);
    let (q, r) = ((index / collisions) as usize, (index % collisions) as usize);
    match record.composition {
        composition::MULT => Rows::Product(q, r),
        composition::ADD => Rows::Sum(q, r),
        composition::CONCAT if d < dim / 2 => Rows::One(0, q, d),
        composition::CONCAT => Rows::One(1, r, d - dim / 2),
        _ => Rows::One(0, index as usize, d),
    }
}

/// Where a row of a field's tables begins.
fn place(record: &FieldRecord, dim: usize, table: usize, row: usize) -> usize {
    let columns = if record.composition == composition::CONCAT { dim / 2 } else { dim };
    let len = if record.bits == 0 { columns } else { columns.div_ceil(2) };
    let quotients = match table {
        0 => 0,
        _ => record.num_features().div_ceil(record.collisions.get().max(1)) as usize,
    };
    record.table_offset.get() as usize + (quotients + row) * len
}
