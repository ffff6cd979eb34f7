//! What is known while a graph is gone through, and a node with its inputs.

use tract_onnx::pb::{AttributeProto, NodeProto};

use super::polynomial::Polynomial;
use super::value::{Atoms, Outcome, Value};

/// A hidden layer: for each row, what its units are the positive part of.
#[derive(Debug)]
pub(super) struct Hidden {
    /// The node.
    pub(super) name: String,
    pub(super) rows: Vec<Vec<Polynomial>>,
}

/// What is known while a graph is gone through.
#[derive(Debug, Default)]
pub(super) struct Graph {
    pub(super) atoms: Atoms,
    pub(super) layers: Vec<Hidden>,
    /// Rows that are gone through at once.
    pub(super) rows: usize,
}

/// A node and its inputs.
pub(super) struct Call<'g> {
    pub(super) node: &'g NodeProto,
    /// Nothing for an optional one that is left out.
    pub(super) inputs: Vec<Option<&'g Value>>,
}

impl Call<'_> {
    pub(super) fn attribute(&self, name: &str) -> Option<&AttributeProto> {
        self.node.attribute.iter().find(|attribute| attribute.name == name)
    }

    pub(super) fn integer(&self, name: &str, default: i64) -> i64 {
        self.attribute(name).map_or(default, |attribute| attribute.i)
    }

    pub(super) fn real(&self, name: &str, default: f64) -> f64 {
        self.attribute(name).map_or(default, |attribute| f64::from(attribute.f))
    }

    pub(super) fn optional(&self, at: usize) -> Option<&Value> {
        self.inputs.get(at).copied().flatten()
    }

    pub(super) fn input(&self, at: usize) -> Outcome<&Value> {
        self.optional(at).ok_or_else(|| format!("has no input {at}"))
    }

    /// A list of integers: an input since operator set 13, an attribute before.
    pub(super) fn list(&self, at: usize, name: &str) -> Outcome<Option<Vec<i64>>> {
        match self.optional(at) {
            Some(value) => value.known().map(Some),
            None => Ok(self.attribute(name).map(|attribute| attribute.ints.clone())),
        }
    }
}
