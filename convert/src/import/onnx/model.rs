//! From the polynomial that a logit is to a model's parts.

use std::collections::{BTreeMap, BTreeSet};

use xsfm_interchange::config::Operation;

use super::form::{Columns, Form, Number, Part, Products, Reader, Rows};
use super::graph::Graph;
use super::polynomial::Polynomial;
use super::value::{Outcome, check_size};
use crate::import::builder::{Builder, Embedding, Field, Layers, Linear, PairWeights};
use crate::model::Table;

/// Below this share of the largest weight of a pair, what is left of a field with itself is what rounding left.
const ROUNDING: f64 = 1e-9;

/// How a field's vectors are made.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Vectors {
    Full(Rows),
    QuotientRemainder { quotient: Rows, remainder: Rows, collisions: i64, operation: Operation },
}
/// The model whose logits these are, one for each row that went through the graph.
pub(super) fn builder(graph: &Graph, columns: &Columns, logits: &[Polynomial]) -> Outcome<Builder> {
    let reader = Reader::new(graph, columns);
    let logit = reader.form(logits, || "the score".to_owned())?;
    let layers = reader.layers(&logit)?;
    let first = layers.first().map_or(&[][..], Vec::as_slice);
    let mut vectors = reader.vectors(&logit, first)?;
    let mut builder = Builder { bias: logit.constant, ..Builder::default() };
    let (pairs, own) = reader.pairs(&logit, &vectors)?;
    builder.pairs = pairs;
    builder.field_vectors = reader.field_vectors(&logit, &vectors);
    builder.fields = (0..columns.0.len())
        .map(|column| reader.field(column, vectors.remove(&column), &logit, &own))
        .collect::<Outcome<_>>()?;
    if !layers.is_empty() {
        builder.layers = Some(Layers { linears: reader.linears(&logit, &layers, &builder)?, ..Layers::default() });
    }
    Ok(builder)
}
impl Reader<'_> {
    /// The vectors of the fields that have some: what pairs and the first layer read.
    fn vectors(&self, logit: &Form, first: &[Form]) -> Outcome<BTreeMap<usize, Vectors>> {
        let mut parts: BTreeMap<usize, BTreeSet<Part>> = BTreeMap::new();
        let in_pairs = logit.pairs.iter().filter(|((a, b), _)| a.column != b.column);
        let numbers = in_pairs
            .flat_map(|&((a, b), _)| [a, b])
            .chain(first.iter().flat_map(|form| form.linear.iter().map(|&(number, _)| number)));
        for Number { column, part, .. } in numbers {
            parts.entry(column).or_default().insert(part);
        }
        parts.into_iter().map(|(column, parts)| Ok((column, self.vectors_of(column, &parts)?))).collect()
    }

    fn vectors_of(&self, column: usize, parts: &BTreeSet<Part>) -> Outcome<Vectors> {
        let parts: Vec<Part> = parts.iter().copied().collect();
        let quotient_remainder = |(quotient, c), (remainder, d), operation| {
            (c == d).then_some(Vectors::QuotientRemainder { quotient, remainder, collisions: c, operation })
        };
        let vectors = match parts[..] {
            [Part::Whole(rows)] => Some(Vectors::Full(rows)),
            [Part::Composed { quotient, remainder, product }] => {
                quotient_remainder(quotient, remainder, if product { Operation::Mult } else { Operation::Add })
            }
            [Part::Quotient(quotient, c), Part::Remainder(remainder, d)] => {
                quotient_remainder((quotient, c), (remainder, d), Operation::Concat)
            }
            _ => None,
        };
        let tables = || {
            let names = parts.iter().flat_map(|part| match *part {
                Part::Whole(rows) | Part::Quotient(rows, _) | Part::Remainder(rows, _) => vec![rows],
                Part::Composed { quotient, remainder, .. } => vec![quotient.0, remainder.0],
            });
            names.map(|rows| format!("`{}`", self.table_name(rows))).collect::<Vec<_>>().join(", ")
        };
        vectors.ok_or_else(|| {
            format!("field `{}` has vectors from {}; a packed file has one table for it", self.name(column), tables())
        })
    }

    /// Which number of a field's vector this is.
    fn place(&self, number: Number, vectors: Vectors) -> Option<usize> {
        let dim = number.dim as usize;
        match (number.part, vectors) {
            (Part::Whole(rows), Vectors::Full(own)) => (rows == own).then_some(dim),
            (Part::Quotient(..), Vectors::QuotientRemainder { operation: Operation::Concat, .. }) => Some(dim),
            (Part::Remainder(..), Vectors::QuotientRemainder { operation: Operation::Concat, quotient, .. }) => {
                Some(self.width(quotient) + dim)
            }
            (Part::Composed { quotient, remainder, product }, Vectors::QuotientRemainder { operation, .. }) => {
                let own = if product { Operation::Mult } else { Operation::Add };
                (operation == own && self.vectors_are(quotient.0, remainder.0, vectors)).then_some(dim)
            }
            _ => None,
        }
    }

    fn vectors_are(&self, q: Rows, r: Rows, vectors: Vectors) -> bool {
        matches!(vectors, Vectors::QuotientRemainder { quotient, remainder, .. } if (q, r) == (quotient, remainder))
    }

    fn vector_width(&self, vectors: Vectors) -> usize {
        match vectors {
            Vectors::Full(rows) => self.width(rows),
            Vectors::QuotientRemainder { quotient, remainder, operation: Operation::Concat, .. } => {
                self.width(quotient) + self.width(remainder)
            }
            Vectors::QuotientRemainder { quotient, .. } => self.width(quotient),
        }
    }

    /// The weights of pairs of fields, and what fields have with themselves, which is a scalar of each feature.
    fn pairs(&self, logit: &Form, vectors: &BTreeMap<usize, Vectors>) -> Outcome<(PairWeights, Products)> {
        let largest = logit.pairs.iter().fold(0.0, |largest: f64, (_, weight)| largest.max(weight.abs()));
        let mut own = Vec::new();
        let mut weights: BTreeMap<(usize, usize), Vec<f64>> = BTreeMap::new();
        for &((a, b), weight) in &logit.pairs {
            if a.column == b.column {
                own.extend((weight.abs() > ROUNDING * largest).then_some(((a, b), weight)));
                continue;
            }
            let place = |number: Number| vectors.get(&number.column).and_then(|&of| self.place(number, of));
            let (Some(p), Some(q)) = (place(a), place(b)) else {
                return Err(format!("fields `{}` and `{}`: no vectors", self.name(a.column), self.name(b.column)));
            };
            if p != q {
                return Err(format!(
                    "multiplies number {p} of field `{}`'s vector with number {q} of `{}`'s",
                    self.name(a.column),
                    self.name(b.column)
                ));
            }
            let width = self.vector_width(vectors[&a.column]).max(self.vector_width(vectors[&b.column]));
            weights.entry((a.column, b.column)).or_insert_with(|| vec![0.0; width])[p] = weight;
        }
        if weights.is_empty() {
            return Ok((PairWeights::None, own));
        }
        let num_fields = self.columns.0.len();
        let mut upper = Vec::with_capacity(num_fields * num_fields.saturating_sub(1) / 2);
        let mut is_unit = true;
        for i in 0..num_fields {
            for j in i + 1..num_fields {
                let weight = match weights.get(&(i, j)) {
                    None => 0.0,
                    Some(dims) => self.same(dims, (i, j))?,
                };
                let both = vectors.contains_key(&i) && vectors.contains_key(&j);
                is_unit &= weight == 1.0 || !both;
                upper.push(weight as f32);
            }
        }
        Ok((if is_unit { PairWeights::Unit } else { PairWeights::Upper(upper) }, own))
    }

    /// The weight that all numbers of two vectors have.
    fn same(&self, dims: &[f64], (i, j): (usize, usize)) -> Outcome<f64> {
        let first = dims[0];
        match dims.iter().find(|&&other| (other - first).abs() > ROUNDING * first.abs()) {
            None => Ok(first),
            Some(other) => Err(format!(
                "weights the products of `{}` and `{}` by {first} and by {other}: one weight for a pair is read",
                self.name(i),
                self.name(j)
            )),
        }
    }

    /// What the logit adds of the vectors' own numbers.
    fn field_vectors(&self, logit: &Form, vectors: &BTreeMap<usize, Vectors>) -> Option<Vec<f32>> {
        let mut starts = BTreeMap::new();
        let mut length = 0;
        for (&column, &of) in vectors {
            starts.insert(column, length);
            length += self.vector_width(of);
        }
        let mut all = vec![0.0; length];
        let mut any = false;
        for &(number, weight) in &logit.linear {
            let place = vectors.get(&number.column).and_then(|&of| self.place(number, of));
            if let Some(place) = place {
                all[starts[&number.column] + place] = weight as f32;
                any = true;
            }
        }
        any.then_some(all)
    }

    fn field(
        &self,
        column: usize,
        vectors: Option<Vectors>,
        logit: &Form,
        own: &[((Number, Number), f64)],
    ) -> Outcome<Field> {
        let name = self.name(column).to_owned();
        let in_vectors = |number: Number| vectors.is_some_and(|of| self.place(number, of).is_some());
        let scalars: Vec<(Number, f64)> = logit
            .linear
            .iter()
            .copied()
            .filter(|&(number, _)| number.column == column && !in_vectors(number))
            .collect();
        let own: Vec<_> = own.iter().copied().filter(|((a, _), _)| a.column == column).collect();
        let parts = scalars.iter().map(|(number, _)| number.part);
        let parts = parts.chain(own.iter().flat_map(|((a, b), _)| [a.part, b.part]));
        let features = self.features(column, vectors, parts)?;
        let embedding = vectors.map(|of| self.embedding(of, features)).transpose()?;
        let weight = |index: usize| {
            let linear: f64 = scalars.iter().map(|&(number, weight)| weight * self.value(number, index)).sum();
            let squares = own.iter().map(|&((a, b), w)| w * self.value(a, index) * self.value(b, index));
            (linear + squares.sum::<f64>()) as f32
        };
        let has_weights = !scalars.is_empty() || !own.is_empty();
        let weights = has_weights.then(|| (0..features).map(weight).collect());
        let features = u32::try_from(features).map_err(|_| format!("field `{name}` has {features} features"))?;
        Ok(Field { name, features, bag: false, embedding, weights })
    }

    /// How many indices a field has: the rows of its tables, which have to agree.
    fn features(&self, column: usize, vectors: Option<Vectors>, parts: impl Iterator<Item = Part>) -> Outcome<usize> {
        let of_vectors = vectors.map(|of| match of {
            Vectors::Full(rows) => Part::Whole(rows),
            Vectors::QuotientRemainder { quotient, remainder, collisions, .. } => {
                Part::Composed { quotient: (quotient, collisions), remainder: (remainder, collisions), product: true }
            }
        });
        let (mut whole, mut quotient, mut remainder): (Option<Rows>, _, _) = (None, None, None);
        let parts: Vec<Part> = of_vectors.into_iter().chain(parts).collect();
        for &part in &parts {
            match part {
                Part::Whole(rows) => {
                    let other = *whole.get_or_insert(rows);
                    if self.rows(other) != self.rows(rows) {
                        return Err(format!(
                            "field `{}` has {} rows of `{}`, but {} of `{}`",
                            self.name(column),
                            self.rows(other),
                            self.table_name(other),
                            self.rows(rows),
                            self.table_name(rows)
                        ));
                    }
                }
                Part::Quotient(rows, collisions) => quotient = Some((rows, collisions)),
                Part::Remainder(rows, _) => remainder = Some(rows),
                Part::Composed { quotient: q, remainder: r, .. } => (quotient, remainder) = (Some(q), Some(r.0)),
            }
        }
        // Of a quotient and a remainder there may be as many as their rows can tell apart.
        let told_apart = || {
            let ((quotient, collisions), remainder) = (quotient?, remainder?);
            let collisions = usize::try_from(collisions).ok()?;
            let remainders = self.rows(remainder);
            Some(if remainders < collisions { remainders } else { self.rows(quotient).saturating_mul(collisions) })
        };
        let features = whole.map(|rows| self.rows(rows)).or_else(told_apart).filter(|&features| features > 0);
        let features = features.ok_or_else(|| {
            format!("column `{}` of the input looks nothing up: export the graph without it", self.name(column))
        })?;
        check_size(&[features])?;
        let too_short = |(rows, needed): (Rows, usize)| (self.rows(rows) < needed).then_some((rows, needed));
        match parts.iter().flat_map(|part| part.needs(features)).find_map(too_short) {
            None => Ok(features),
            Some((rows, needed)) => Err(format!(
                "field `{}` needs {needed} rows of `{}` for its {features} features, which has {}",
                self.name(column),
                self.table_name(rows),
                self.rows(rows)
            )),
        }
    }

    fn embedding(&self, vectors: Vectors, features: usize) -> Outcome<Embedding> {
        let table = |rows: Rows, number: usize| {
            let number = number.min(self.rows(rows));
            let columns = self.width(rows);
            let entries = (0..number).flat_map(|at| (0..columns).map(move |dim| (at, dim)));
            Table { rows: number, columns, values: entries.map(|(at, dim)| self.entry(rows, at, dim) as f32).collect() }
        };
        Ok(match vectors {
            Vectors::Full(rows) => Embedding::Full(table(rows, features)),
            Vectors::QuotientRemainder { quotient, remainder, collisions, operation } => {
                let collisions = u32::try_from(collisions).map_err(|_| format!("{collisions} collisions"))?;
                Embedding::QuotientRemainder {
                    collisions,
                    operation,
                    quotient: table(quotient, features.div_ceil(collisions as usize)),
                    remainder: table(remainder, features.min(collisions as usize)),
                }
            }
        })
    }

    /// The layers' weights; the first layer reads the vectors in the order of the fields.
    fn linears(&self, logit: &Form, layers: &[Vec<Form>], builder: &Builder) -> Outcome<Vec<Linear>> {
        let mut vectors = self.vectors(logit, &layers[0])?;
        let mut starts = BTreeMap::new();
        let mut inputs = 0;
        for (column, field) in builder.fields.iter().enumerate().filter(|(_, field)| field.embedding.is_some()) {
            let of = vectors.remove(&column).ok_or_else(|| format!("field `{}` has no vectors", field.name))?;
            starts.insert(column, (inputs, of));
            inputs += self.vector_width(of);
        }
        let mut linears = Vec::with_capacity(layers.len() + 1);
        for (n, forms) in layers.iter().enumerate() {
            let mut linear = zeros(inputs, forms.len());
            for (form, (weights, bias)) in
                forms.iter().zip(linear.weight.chunks_exact_mut(inputs.max(1)).zip(&mut linear.bias))
            {
                *bias = form.constant as f32;
                for &(number, weight) in &form.linear {
                    let place = starts.get(&number.column).and_then(|&(at, of)| Some(at + self.place(number, of)?));
                    weights[place.ok_or_else(|| format!("layer {n} reads what is no vector"))?] = weight as f32;
                }
                form.hidden.iter().for_each(|&(_, unit, weight)| weights[unit as usize] = weight as f32);
            }
            inputs = forms.len();
            linears.push(linear);
        }
        let mut output = zeros(inputs, 1);
        logit.hidden.iter().for_each(|&(_, unit, weight)| output.weight[unit as usize] = weight as f32);
        linears.push(output);
        Ok(linears)
    }
}

fn zeros(inputs: usize, outputs: usize) -> Linear {
    Linear { inputs, outputs, weight: vec![0.0; inputs * outputs], bias: vec![0.0; outputs], norm: None }
}
