//! The smallest model with given fields, to put a vocabulary to.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use xsfm_convert::model::{FloatField, FloatModel, Table, TableBits};
use xsfm_convert::pack::{Packed, pack_f32};
use xsfm_interchange::config::{EmbeddingConfig, FieldConfig, Interaction, ModelConfig};
use xsfm_interchange::input::Input;
use xsfm_interchange::schema::{Field, Schema};

/// The smallest model with these fields.
pub(crate) fn model_of(schema: &Schema) -> Packed {
    let config = ModelConfig {
        version: ModelConfig::VERSION,
        vocabulary: None,
        fields: schema
            .fields
            .iter()
            .map(|field| FieldConfig {
                name: field.name.clone(),
                features: field.features(),
                bag: field.has_several(),
                weighted: field.is_weighted(),
                embedding: EmbeddingConfig::Full,
            })
            .collect(),
        embed_dim: 1,
        feature_weight: true,
        field_vector: true,
        interaction: Interaction::None,
        mlp: None,
        compressed: Vec::new(),
        network: None,
        quantization: None,
    };
    // Each index has numbers of its own.
    let table = |field: &Field| {
        let rows = field.features() as usize;
        let numbers = |step: f32| (0..rows).map(|row| row as f32 * step).collect();
        FloatField {
            tables: vec![Table { rows, columns: 1, values: numbers(0.5) }],
            feature_weights: Some(numbers(-2.0)),
        }
    };
    let model = FloatModel {
        bias: 0.0,
        label: schema.label.clone(),
        fields: schema.fields.iter().map(table).collect(),
        field_vectors: Some(vec![1.0; config.fields.len()]),
        pairs: None,
        low_rank: None,
        table_bits: TableBits::Eight,
        config,
        layers: Vec::new(),
    };
    pack_f32(&model).unwrap()
}

/// These fields, and how their columns are read.
pub(crate) fn schema(fields: Vec<Field>, input: Option<Input>) -> Schema {
    Schema { version: Schema::VERSION, label: "clicked".to_owned(), input, fields }
}
