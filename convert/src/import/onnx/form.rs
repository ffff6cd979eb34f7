//! What polynomials say of one row, whichever row it is, and of hidden layers.

use std::collections::{BTreeMap, BTreeSet};

use super::graph::Graph;
use super::polynomial::{Atom, Polynomial};
use super::value::{Atoms, Outcome, Source, Way};

/// Names of the inputs' columns.
pub(super) struct Columns(pub(super) Vec<String>);

/// A table from some row on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rows {
    pub(super) table: u32,
    pub(super) offset: i64,
}

/// What an index of a column looks up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Whole(Rows),
    Quotient(Rows, i64),
    Remainder(Rows, i64),
    Composed { quotient: (Rows, i64), remainder: (Rows, i64), product: bool },
}

impl Part {
    /// How many rows of its tables so many features look up.
    pub(super) fn needs(self, features: usize) -> Vec<(Rows, usize)> {
        let of = |collisions: i64| usize::try_from(collisions).unwrap_or(1).max(1);
        let quotient = |(rows, collisions): (Rows, i64)| (rows, features.div_ceil(of(collisions)));
        let remainder = |(rows, collisions): (Rows, i64)| (rows, features.min(of(collisions)));
        match self {
            Part::Whole(rows) => vec![(rows, features)],
            Part::Quotient(rows, collisions) => vec![quotient((rows, collisions))],
            Part::Remainder(rows, collisions) => vec![remainder((rows, collisions))],
            Part::Composed { quotient: q, remainder: r, .. } => vec![quotient(q), remainder(r)],
        }
    }
}

/// One number of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Number {
    pub(super) column: usize,
    pub(super) part: Part,
    pub(super) dim: u32,
}

/// Products of two numbers, with their weights.
pub(super) type Products = Vec<((Number, Number), f64)>;

/// A polynomial of one row, whichever row that is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Form {
    pub(super) constant: f64,
    pub(super) linear: Vec<(Number, f64)>,
    pub(super) pairs: Products,
    /// Layer, unit and weight.
    pub(super) hidden: Vec<(u32, u32, f64)>,
}
/// Where the rows of each field's table end: where another's begin.
fn ranges(atoms: &Atoms) -> BTreeMap<u32, BTreeSet<i64>> {
    let mut ranges: BTreeMap<u32, BTreeSet<i64>> = BTreeMap::new();
    for source in atoms.sources() {
        if let Source::Entry { table, offset, .. } = *source {
            ranges.entry(table).or_default().insert(offset);
        }
    }
    ranges
}
pub(super) struct Reader<'g> {
    pub(super) graph: &'g Graph,
    pub(super) columns: &'g Columns,
    ranges: BTreeMap<u32, BTreeSet<i64>>,
}

impl<'g> Reader<'g> {
    pub(super) fn new(graph: &'g Graph, columns: &'g Columns) -> Self {
        Reader { graph, columns, ranges: ranges(&graph.atoms) }
    }

    pub(super) fn name(&self, column: usize) -> &str {
        &self.columns.0[column]
    }

    pub(super) fn table_name(&self, rows: Rows) -> &str {
        &self.graph.atoms.tables[rows.table as usize].0
    }

    pub(super) fn width(&self, rows: Rows) -> usize {
        self.graph.atoms.tables[rows.table as usize].1.shape().get(1).copied().unwrap_or(1)
    }

    /// How many rows of a table a field has.
    pub(super) fn rows(&self, rows: Rows) -> usize {
        let all = self.graph.atoms.tables[rows.table as usize].1.shape()[0];
        let next = self.ranges[&rows.table].range(rows.offset.saturating_add(1)..).next();
        let end = next.map_or(all, |&next| usize::try_from(next).map_or(0, |next| next.min(all)));
        end.saturating_sub(usize::try_from(rows.offset).unwrap_or(all))
    }

    pub(super) fn entry(&self, rows: Rows, at: usize, dim: usize) -> f64 {
        let row = usize::try_from(rows.offset).map_or(at, |offset| offset + at);
        let table = &self.graph.atoms.tables[rows.table as usize].1;
        if table.ndim() == 1 { table[[row]] } else { table[[row, dim]] }
    }

    /// What a number is for an index.
    pub(super) fn value(&self, number: Number, index: usize) -> f64 {
        let dim = number.dim as usize;
        let quotient = |(rows, collisions): (Rows, i64)| self.entry(rows, index / collisions as usize, dim);
        let remainder = |(rows, collisions): (Rows, i64)| self.entry(rows, index % collisions as usize, dim);
        match number.part {
            Part::Whole(rows) => self.entry(rows, index, dim),
            Part::Quotient(rows, collisions) => quotient((rows, collisions)),
            Part::Remainder(rows, collisions) => remainder((rows, collisions)),
            Part::Composed { quotient: q, remainder: r, product: true } => quotient(q) * remainder(r),
            Part::Composed { quotient: q, remainder: r, product: false } => quotient(q) + remainder(r),
        }
    }

    /// What the polynomials of all rows are alike.
    pub(super) fn form(&self, rows: &[Polynomial], what: impl Fn() -> String) -> Outcome<Form> {
        let mut forms = rows.iter().enumerate().map(|(row, polynomial)| self.form_of(polynomial, row));
        let first = forms.next().ok_or("no rows")?.ok_or_else(|| format!("{} depends on other rows", what()))?;
        match forms.all(|form| form.as_ref() == Some(&first)) {
            true => Ok(first),
            false => Err(format!("{} is another one for another row", what())),
        }
    }

    fn form_of(&self, polynomial: &Polynomial, row: usize) -> Option<Form> {
        let mut form = Form { constant: polynomial.constant, ..Form::default() };
        for &(atom, weight) in &polynomial.linear {
            match self.graph.atoms.source(atom) {
                Source::Hidden { row: own, layer, unit } if own as usize == row => {
                    form.hidden.push((layer, unit, weight));
                }
                _ => form.linear.push((self.number(atom, row)?, weight)),
            }
        }
        for &((a, b), weight) in &polynomial.quadratic {
            let (a, b) = (self.number(a, row)?, self.number(b, row)?);
            form.pairs.push(((a.min(b), a.max(b)), weight));
        }
        form.linear.sort_by_key(|&(number, _)| number);
        form.pairs.sort_by_key(|&(pair, _)| pair);
        Some(form)
    }

    /// What a row looks up; nothing where another row does.
    fn number(&self, atom: Atom, row: usize) -> Option<Number> {
        let entry = |atom: Atom| match self.graph.atoms.source(atom) {
            Source::Entry { row: own, column, table, offset, way, dim } if own as usize == row => {
                Some((column as usize, Rows { table, offset }, way, dim))
            }
            _ => None,
        };
        if let Source::Composed { quotient, remainder, product } = self.graph.atoms.source(atom) {
            let ((column, quotient, Way::Quotient(c), dim), (_, remainder, Way::Remainder(d), _)) =
                (entry(quotient)?, entry(remainder)?)
            else {
                return None;
            };
            let part = Part::Composed { quotient: (quotient, c), remainder: (remainder, d), product };
            return Some(Number { column, part, dim });
        }
        let (column, rows, way, dim) = entry(atom)?;
        let part = match way {
            Way::Whole => Part::Whole(rows),
            Way::Quotient(collisions) => Part::Quotient(rows, collisions),
            Way::Remainder(collisions) => Part::Remainder(rows, collisions),
        };
        Some(Number { column, part, dim })
    }

    /// Hidden layers, the first one first: a form for each unit.
    pub(super) fn layers(&self, logit: &Form) -> Outcome<Vec<Vec<Form>>> {
        let mut layers: Vec<Vec<Form>> = Vec::new();
        let mut reads = self.layer_of(std::slice::from_ref(logit), "the score")?;
        while let Some(layer) = reads {
            let hidden = &self.graph.layers[layer as usize];
            let what = |unit: usize| format!("unit {unit} of the layer before node `{}`", hidden.name);
            let units = hidden.rows.first().map_or(0, Vec::len);
            let forms = (0..units)
                .map(|unit| {
                    let rows: Vec<Polynomial> = hidden.rows.iter().map(|row| row[unit].clone()).collect();
                    self.form(&rows, || what(unit))
                })
                .collect::<Outcome<Vec<_>>>()?;
            reads = self.layer_of(&forms, &format!("the layer before node `{}`", hidden.name))?;
            for (unit, form) in forms.iter().enumerate() {
                if !form.pairs.is_empty() {
                    return Err(format!("{} reads products of vectors", what(unit)));
                }
                if reads.is_some() && !form.linear.is_empty() {
                    return Err(format!("{} reads vectors beside another layer", what(unit)));
                }
            }
            layers.insert(0, forms);
        }
        Ok(layers)
    }

    /// The layer that these read.
    fn layer_of(&self, forms: &[Form], what: &str) -> Outcome<Option<u32>> {
        let mut layers = forms.iter().flat_map(|form| &form.hidden).map(|&(layer, ..)| layer);
        let Some(first) = layers.next() else { return Ok(None) };
        let name = |layer: u32| self.graph.layers[layer as usize].name.as_str();
        match layers.find(|&layer| layer != first) {
            None => Ok(Some(first)),
            Some(other) => {
                Err(format!("{what} reads two hidden layers, those of nodes `{}` and `{}`", name(first), name(other)))
            }
        }
    }
}
