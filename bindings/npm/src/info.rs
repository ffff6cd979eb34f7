//! What the file holds, as `model.info` has it.

use serde::Serialize;
use xsfm_runtime::embedding::Composition;
use xsfm_runtime::format::SectionKind;
use xsfm_runtime::{Encoder, LoadError, Mode, Model};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Info<'a> {
    producer: &'a str,
    label: &'a str,
    mode: &'static str,
    /// The instructions of this module.
    backend: &'static str,
    file_bytes: usize,
    embed_dim: usize,
    parameters: usize,
    multiply_accumulates: usize,
    has_vocabulary: bool,
    fields: Vec<Field<'a>>,
    sections: Vec<Section>,
    /// How raw rows were read, as the file has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_input: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Field<'a> {
    name: &'a str,
    features: u32,
    bag: bool,
    /// Whether its raw values are numbers; false where the file has no vocabulary.
    numeric: bool,
    embedding: &'static str,
    /// Of quotient-remainder tables; 0 elsewhere.
    collisions: u32,
    bits: u32,
    parameters: usize,
}

#[derive(Serialize)]
struct Section {
    name: String,
    offset: u32,
    bytes: u32,
}

impl<'a> Info<'a> {
    pub(crate) fn new(model: &Model<'a>, encoder: Option<&Encoder<'_>>) -> Result<Self, LoadError> {
        let (manifest, statistics) = (model.manifest()?, model.statistics());
        let mode = match statistics.mode {
            Mode::F32 => "f32",
            Mode::Int8 => "int8",
            Mode::Dynamic => "dynamic",
            _ => "unknown",
        };
        let fields = model.fields().enumerate().map(|(number, field)| {
            let (embedding, collisions) = match field.composition {
                Composition::Full => ("full", 0),
                Composition::Mult { collisions } => ("mult", collisions),
                Composition::Add { collisions } => ("add", collisions),
                Composition::Concat { collisions } => ("concat", collisions),
                _ => ("unknown", 0),
            };
            Field {
                name: field.name,
                features: field.features,
                bag: field.bag,
                numeric: encoder.is_some_and(|encoder| encoder.is_number(number)),
                embedding,
                collisions,
                bits: match (mode, field.four_bits) {
                    ("f32", _) => 32,
                    (_, true) => 4,
                    (_, false) => 8,
                },
                parameters: field.parameters,
            }
        });
        let sections = manifest.sections.iter().map(|section| Section {
            name: SectionKind::from_number(section.kind)
                .map_or_else(|| format!("kind {}", section.kind), |kind| format!("{kind:?}")),
            offset: section.offset,
            bytes: section.len,
        });
        Ok(Info {
            producer: manifest.producer,
            label: manifest.label,
            mode,
            backend: model.backend().name(),
            file_bytes: statistics.file_bytes,
            embed_dim: statistics.embed_dim,
            parameters: statistics.parameters,
            multiply_accumulates: statistics.multiply_accumulates,
            has_vocabulary: encoder.is_some(),
            fields: fields.collect(),
            sections: sections.collect(),
            raw_input: model.section(SectionKind::RawInput).and_then(|section| str::from_utf8(section).ok()),
        })
    }
}
