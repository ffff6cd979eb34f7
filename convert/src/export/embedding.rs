//! The part of the graph from indices to vectors.
//!
//! Fields whose vectors are made alike form a group. A group has one table, its fields' tables on top of each other,
//! and so one Gather (quotient-remainder: two), however many fields it has. Groups follow each other, so the vectors
//! may come in another order than the fields: [`Vectors::order`] says which, and whoever reads the vectors permutes its
//! constants.

use xsfm_interchange::config::Operation;

use super::graph::{Builder, INDICES, Value, signed};
use crate::model::{FloatModel, Table};

/// `[batch, num_fields, embed_dim]`.
pub(super) struct Vectors {
    /// The vectors.
    pub(super) value: Value,
    /// Field of the vector at each place.
    pub(super) order: Vec<usize>,
}

/// How the vectors of a group are made.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Full,
    QuotientRemainder(Operation),
}

/// Adds the nodes that look every field's vector up.
pub(super) fn vectors(graph: &mut Builder, model: &FloatModel) -> Vectors {
    let kind = |f: usize| match model.config.fields[f].embedding.quotient_remainder() {
        None => Kind::Full,
        Some((_, operation)) => Kind::QuotientRemainder(operation),
    };
    let kinds = [
        Kind::Full,
        Kind::QuotientRemainder(Operation::Mult),
        Kind::QuotientRemainder(Operation::Add),
        Kind::QuotientRemainder(Operation::Concat),
    ];
    let groups = kinds.map(|k| (k, (0..model.fields.len()).filter(|&f| kind(f) == k).collect::<Vec<_>>()));
    let parts: Vec<Value> = groups
        .iter()
        .filter(|(_, fields)| !fields.is_empty())
        .map(|(kind, fields)| {
            let indices = columns(graph, model, *kind, fields);
            match kind {
                Kind::Full => lookup(graph, model, "full", fields, 0, &indices),
                Kind::QuotientRemainder(operation) => compose(graph, model, *operation, fields, &indices),
            }
        })
        .collect();
    let value = match parts.as_slice() {
        [only] => only.clone(),
        several => {
            graph.node("vectors", "Concat", &several.iter().map(String::as_str).collect::<Vec<_>>(), &[("axis", 1)])
        }
    };
    Vectors { value, order: groups.into_iter().flat_map(|(_, fields)| fields).collect() }
}

/// `[batch, fields]`: the indices of a group's fields.
fn columns(graph: &mut Builder, model: &FloatModel, kind: Kind, fields: &[usize]) -> Value {
    if fields.len() == model.fields.len() {
        return INDICES.to_owned();
    }
    let name = match kind {
        Kind::Full => "full",
        Kind::QuotientRemainder(operation) => operation_name(operation),
    };
    let columns = graph.integers(&format!("{name}_columns"), &fields.iter().map(|&f| signed(f)).collect::<Vec<_>>());
    graph.node(&format!("{name}_indices"), "Gather", &[INDICES, &columns], &[("axis", 1)])
}

/// Rows of the fields' tables number `table`: `[batch, fields]` to `[batch, fields, columns]`.
fn lookup(graph: &mut Builder, model: &FloatModel, name: &str, fields: &[usize], table: usize, indices: &str) -> Value {
    let tables: Vec<&Table<f32>> = fields.iter().map(|&f| &model.fields[f].tables[table]).collect();
    let rows = tables.iter().map(|table| table.rows).sum();
    let columns = tables.first().map_or(0, |table| table.columns);
    let values = tables.iter().map(|table| table.values.as_slice()).collect::<Vec<_>>().concat();
    let stacked = graph.floats(&format!("{name}_table"), &[rows, columns], &values);
    let rows = stacked_rows(graph, name, &tables.iter().map(|table| table.rows).collect::<Vec<_>>(), indices);
    graph.node(&format!("{name}_vectors"), "Gather", &[&stacked, &rows], &[])
}

/// Where each field's rows lie in a stack of tables with these many rows each: `[batch, fields]` to `[batch, fields]`.
pub(super) fn stacked_rows(graph: &mut Builder, name: &str, rows: &[usize], indices: &str) -> Value {
    let first_rows = rows.iter().scan(0, |next, &rows| {
        let first = *next;
        *next += signed(rows);
        Some(first)
    });
    let first_rows = graph.integers(&format!("{name}_first_rows"), &first_rows.collect::<Vec<_>>());
    graph.node(&format!("{name}_rows"), "Add", &[indices, &first_rows], &[])
}

/// Row `i / collisions` of one table and row `i % collisions` of another.
fn compose(graph: &mut Builder, model: &FloatModel, operation: Operation, fields: &[usize], indices: &str) -> Value {
    let name = operation_name(operation);
    let collisions = fields.iter().map(|&f| {
        let (collisions, _) = model.config.fields[f].embedding.quotient_remainder().unwrap_or((1, operation));
        i64::from(collisions)
    });
    let collisions = graph.integers(&format!("{name}_collisions"), &collisions.collect::<Vec<_>>());
    let quotients = graph.node(&format!("{name}_quotients"), "Div", &[indices, &collisions], &[]);
    let remainders = graph.node(&format!("{name}_remainders"), "Mod", &[indices, &collisions], &[]);
    let quotient = lookup(graph, model, &format!("{name}_quotient"), fields, 0, &quotients);
    let remainder = lookup(graph, model, &format!("{name}_remainder"), fields, 1, &remainders);
    let (op, attributes): (_, &[_]) = match operation {
        Operation::Mult => ("Mul", &[]),
        Operation::Add => ("Add", &[]),
        Operation::Concat => ("Concat", &[("axis", 2)]),
    };
    graph.node(&format!("{name}_vectors"), op, &[&quotient, &remainder], attributes)
}

fn operation_name(operation: Operation) -> &'static str {
    match operation {
        Operation::Mult => "mult",
        Operation::Add => "add",
        Operation::Concat => "concat",
    }
}
