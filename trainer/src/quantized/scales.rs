//! Scales of tables, which follow their weights, and whether there is one of everything.

use anyhow::Result;
use tch::{Tensor, no_grad};
use xsfm_interchange::config::{ModelConfig, Scales};

use super::straight_through::to_host;
use crate::model::Model;

/// Scales of all tables from their largest magnitudes: `tables`, and `fields` where nothing is requantised. Others
/// stay.
///
/// # Errors
/// None but libtorch's own.
pub fn refresh_table_scales(model: &Model, scales: &mut Scales) -> Result<()> {
    let parameters = &model.parameters;
    let tables = model.layout.tables();
    let largest: Vec<Tensor> = no_grad(|| {
        let tensor = |second: bool| parameters.second.as_ref().filter(|_| second).unwrap_or(&parameters.first);
        // Two numbers of a table, instead of a table of magnitudes.
        let largest = |(least, most): (Tensor, Tensor)| least.abs().maximum(&most.abs());
        tables.iter().map(|t| largest(tensor(t.is_second).narrow(0, t.from, t.rows).aminmax(None, false))).collect()
    });
    let largest = to_host(&Tensor::stack(&largest, 0))?;
    for (f, field) in model.config.fields.iter().enumerate() {
        let of_field = tables.iter().zip(&largest).filter(|(t, _)| t.field == f).map(|(_, &largest)| largest);
        let mut largest: Vec<f64> = of_field.collect();
        if !field.is_product() {
            // The two tables of a sum share a scale.
            let both = largest.iter().fold(0.0_f64, |m, &v| m.max(v));
            largest.fill(both);
        }
        scales.tables[f] = largest.into_iter().map(|v| scales.table_bits.scale(v)).collect();
        if !field.is_requantized() {
            scales.fields[f] = scales.tables[f][0];
        }
    }
    Ok(())
}

/// Checks that `scales` has one positive number for everything in the configuration.
///
/// # Errors
/// The message says what is missing or not positive.
pub fn check_scales(config: &ModelConfig, scales: &Scales) -> Result<()> {
    let hidden = config.mlp.as_ref().map_or(0, |mlp| mlp.hidden.len());
    let tables = |f: usize| config.fields[f].embedding.table_shapes(1, config.embed_dim).len();
    let expected: Vec<usize> = (0..config.fields.len()).map(tables).collect();
    let found: Vec<usize> = scales.tables.iter().map(Vec::len).collect();
    anyhow::ensure!(found == expected, "quantization.tables has {found:?} scales per field, {expected:?} are needed");
    for (what, found, expected) in
        [("fields", scales.fields.len(), expected.len()), ("activations", scales.activations.len(), hidden)]
    {
        anyhow::ensure!(found == expected, "quantization.{what} has {found} entries, {expected} are needed");
    }
    let mut all = scales.tables.iter().flatten().chain(&scales.fields).chain(&scales.activations);
    if let Some(scale) = all.find(|s| !(s.is_normal() && **s > 0.0)) {
        anyhow::bail!("quantization has a scale of {scale}; scales are positive");
    }
    Ok(())
}
