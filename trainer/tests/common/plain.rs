//! A model by the plainest loops over its checkpoint's tensors.

use std::collections::HashMap;

use tch::{Kind, Tensor};
use xsfm_interchange::config::{EmbeddingConfig, FieldConfig, ModelConfig, Operation};
use xsfm_interchange::rows::RowBlock;
use xsfm_runtime::weight;
use xsfm_trainer::model::Model;

/// Tensors of a checkpoint, by name: numbers and shape.
pub(crate) struct Named(HashMap<String, (Vec<f64>, Vec<i64>)>);

impl Named {
    pub(crate) fn of(model: &Model) -> Self {
        let tensors = model.parameters.to_checkpoint(&model.layout).into_iter();
        let host = |t: Tensor| {
            (Vec::try_from(t.detach().to_kind(Kind::Double).contiguous().flatten(0, -1)).unwrap(), t.size())
        };
        Named(tensors.map(|(name, t)| (name, host(t))).collect())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(crate) fn get(&self, name: &str) -> &[f64] {
        &self.0[name].0
    }

    pub(crate) fn row(&self, name: &str, i: u32) -> &[f64] {
        let (values, shape) = &self.0[name];
        let columns = usize::try_from(shape[1]).unwrap();
        &values[i as usize * columns..][..columns]
    }
}

/// The vector of an index.
pub(crate) fn vector(t: &Named, f: usize, field: &FieldConfig, index: u32) -> Vec<f64> {
    let (collisions, operation) = match field.embedding {
        EmbeddingConfig::Full => return t.row(&format!("embedding.{f}.full"), index).to_vec(),
        EmbeddingConfig::Hashed { rows } => return t.row(&format!("embedding.{f}.hashed"), index % rows).to_vec(),
        EmbeddingConfig::QuotientRemainder { collisions, operation } => (collisions, operation),
    };
    let q = t.row(&format!("embedding.{f}.quotient"), index / collisions);
    let r = t.row(&format!("embedding.{f}.remainder"), index % collisions);
    match operation {
        Operation::Mult => q.iter().zip(r).map(|(q, r)| q * r).collect(),
        Operation::Add => q.iter().zip(r).map(|(q, r)| q + r).collect(),
        Operation::Concat => [q, r].concat(),
    }
}

/// The vectors of a row's fields; those of a bag are summed, with their weights where it has some.
pub(crate) fn vectors(config: &ModelConfig, t: &Named, block: &RowBlock, i: usize) -> Vec<Vec<f64>> {
    let of_field = |(f, field): (usize, &FieldConfig)| {
        let mut sum = vec![0.0; config.embed_dim];
        for (index, weight) in weight::entries(block.row(i).field(f).unwrap(), field.weighted) {
            let w = f64::from(weight.to_f32());
            sum.iter_mut().zip(vector(t, f, field, index)).for_each(|(s, v)| *s += w * v);
        }
        sum
    };
    config.fields.iter().enumerate().map(of_field).collect()
}

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// What BatchNorm `name` makes of a number of channel `c`.
pub(crate) fn normed(t: &Named, name: &str, c: usize, value: f64) -> f64 {
    let norm = |part: &str| t.get(&format!("{name}.{part}"))[c];
    (value - norm("running_mean")) / (norm("running_var") + 1e-5).sqrt() * norm("weight") + norm("bias")
}

/// Layers `name.0`, `name.1`, …: BatchNorm where they have it, ReLU after the first `hidden`.
pub(crate) fn layers(t: &Named, name: &str, mut x: Vec<f64>, hidden: usize) -> Vec<f64> {
    let last = (0..).take_while(|n| t.has(&format!("{name}.{n}.weight"))).count();
    for n in 0..last {
        let output = |(o, bias): (usize, &f64)| {
            let mut value = bias + dot(t.row(&format!("{name}.{n}.weight"), o as u32), &x);
            if t.has(&format!("{name}.{n}.norm.weight")) {
                value = normed(t, &format!("{name}.{n}.norm"), o, value);
            }
            if n < hidden { value.max(0.0) } else { value }
        };
        x = t.get(&format!("{name}.{n}.bias")).iter().enumerate().map(output).collect();
    }
    x
}
