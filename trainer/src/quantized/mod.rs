//! int8 mode in libtorch: the arithmetic of `docs/quantization.md` on tensors that hold integers.
//!
//! One code, two kinds. In f64 every integer of the document is exact (all stay below 2^53), so the logit equals that
//! of the packed model, bit for bit. In f32, which trains, sums beyond 2^24 are rounded; weights, tables, multipliers
//! and coefficients are the same integers as in f64, because they are always rounded in f64.
//!
//! | module | has |
//! |---|---|
//! | `straight_through` | integers with the gradients of the real numbers that were rounded |
//! | `parts` | the integers of each part of a model |
//! | [`scales`] | scales of tables, which follow their weights |

mod parts;
pub mod scales;
mod straight_through;

use anyhow::Result;
use tch::{Kind, Tensor, no_grad};
use xsfm_interchange::config::Scales;
use xsfm_interchange::quantization::{LOGIT_STEP, WEIGHT_MAX, limit, logit_bias};

use self::parts::{FeatureWeight, Layer, Part, feature_weight, field_vector, layers, pairs, requantize_vectors};
use self::straight_through::{Requantize, Way, column, integers, straight_through, to_host, weighted};
use crate::model::lookup::{Entries, Lookup};
use crate::model::{Dropout, Model, Output};
use crate::tensors::size;

/// A model's integers, ready for passes; made anew after each step of training.
#[derive(Debug)]
pub struct Quantized<'a> {
    model: &'a Model,
    kind: Kind,
    /// The scales that were used: those wanted, enlarged where a multiplier could not express them.
    pub scales: Scales,
    /// `[num_fields, 1]`, f64: scale of the field's table in the first and in the second tensor.
    table_scales: [Tensor; 2],
    /// `[1, num_fields, 1]`: brings the vectors back to i8.
    vector: Requantize,
    feature_weight: Option<FeatureWeight>,
    /// `[num_fields * embed_dim]`
    field_vector: Option<Part>,
    /// `[num_fields, num_fields]`, upper triangle.
    pairs: Option<Part>,
    layers: Vec<Layer>,
    mlp: Way,
    /// `[1]`, steps of the logit.
    bias: Tensor,
}

impl<'a> Quantized<'a> {
    /// The integers of `model` under `wanted`, in tensors of `kind`: f32 to train, f64 to be exact.
    ///
    /// # Errors
    /// A part of such size that an integer cannot carry it; BatchNorm that has not been folded.
    pub fn new(model: &'a Model, wanted: &Scales, kind: Kind) -> Result<Self> {
        let (config, parameters) = (&model.config, &model.parameters);
        anyhow::ensure!(parameters.layers.iter().all(|l| l.norm.is_none()), "BatchNorm must be folded before int8");
        let mut scales = wanted.clone();
        let vector = requantize_vectors(model, &mut scales, kind)?;
        let num_fields = size(config.fields.len());
        let table_scales = [0, 1].map(|table| {
            // Fields without a second table read its neutral row, whose scale does not matter.
            let of_field = scales.tables.iter().map(|s| *s.get(table).unwrap_or(&1.0));
            column(&of_field.collect::<Vec<f64>>(), &[num_fields, 1], model)
        });
        let (layers, mlp) = layers(model, &mut scales, kind)?;
        Ok(Quantized {
            kind,
            vector,
            table_scales,
            feature_weight: feature_weight(model, kind)?,
            field_vector: field_vector(model, &scales, kind)?,
            pairs: pairs(model, &scales, kind)?,
            layers,
            mlp,
            bias: {
                let exact = f64::from(logit_bias(to_host(&parameters.bias)?[0]));
                let path = parameters.bias.to_kind(kind) / LOGIT_STEP;
                straight_through(&path.full_like(exact), &path)
            },
            scales,
            model,
        })
    }

    /// The model whose integers these are.
    pub fn model(&self) -> &'a Model {
        self.model
    }

    /// entries of n samples -> logits `[n]`, in evaluation
    pub fn logits(&self, entries: &Entries) -> Tensor {
        no_grad(|| self.pass(entries, Dropout::default()).logits)
    }

    /// A pass; dropout is applied to the integers, which are then no integers any more.
    pub fn pass(&self, entries: &Entries, dropout: Dropout) -> Output {
        // entries of n samples, E in all; vectors [n, num_fields, embed_dim]; accumulators [n]
        let (p, layout) = (&self.model.parameters, &self.model.layout);
        let (mut used, field) = (Vec::new(), entries.field());
        let mut gather = |t: &Tensor, lookup: &Lookup, scales: &Tensor| {
            let real = lookup.gather(t);
            let (max, step) = self.scales.table_bits.range();
            let step = f64::from(step);
            let integers = integers(&real, &(scales.index_select(0, &field) * step), max, self.kind) * step;
            used.push(real);
            integers
        };
        let a = gather(&p.first, &entries.first, &self.table_scales[0]);
        let second = p.second.as_ref().zip(entries.second.as_ref());
        let b = second.map(|(t, lookup)| gather(t, lookup, &self.table_scales[1]));
        let of_entries = layout.compose(&a, b.as_ref(), entries, 128.0);
        let acc = layout.sum_bags(&weighted(&of_entries, entries, Tensor::shallow_clone), entries);
        let mut vectors = self.vector.apply(&acc);
        if dropout.embedding > 0.0 {
            vectors = vectors.dropout(dropout.embedding, true);
        }
        let mut steps = self.bias.expand([entries.samples], false);
        if let (Some(part), Some(weights), Some(lookup)) = (&self.feature_weight, &p.feature_weight, &entries.feature) {
            let weights = lookup.gather(weights).view([-1, 1]);
            let integers = integers(&weights, &part.scales.index_select(0, &field), WEIGHT_MAX, self.kind);
            let of_entries = integers * part.coefficients.index_select(0, &field);
            let acc = weighted(&of_entries, entries, |t| layout.sum_bags(t, entries));
            steps = &steps + part.way.steps(&acc.sum_dim_intlist([1, 2].as_slice(), false, self.kind));
            used.push(weights);
        }
        if let Some(part) = &self.field_vector {
            steps = &steps + part.way.steps(&vectors.flatten(1, 2).mv(&part.coefficients));
        }
        if let Some(part) = &self.pairs {
            // sum_d sum_{i<j} R_ij e_id e_jd, R the upper triangle
            let e = vectors.transpose(1, 2);
            let acc = (e.matmul(&part.coefficients.tr()) * e).sum_dim_intlist([1, 2].as_slice(), false, self.kind);
            steps = &steps + part.way.steps(&acc);
        }
        if !self.layers.is_empty() {
            let mut x = vectors.flatten(1, 2);
            for layer in &self.layers {
                x = x.matmul(&layer.weight) + &layer.bias;
                if let Some(requantize) = &layer.requantize {
                    x = requantize.apply(&x);
                    if dropout.hidden > 0.0 {
                        x = x.dropout(dropout.hidden, true);
                    }
                }
            }
            steps = &steps + self.mlp.steps(&x.squeeze_dim(1));
        }
        let limit = limit::LOGIT as f64;
        Output { logits: steps.clamp(-limit, limit) * LOGIT_STEP, used }
    }
}
