//! What a packed file contains and what it will cost, without scoring a row.

use std::fmt;

use serde::Serialize;
use xsfm_interchange::fingerprint::Vocabulary;
use xsfm_runtime::embedding::Composition;
use xsfm_runtime::format::{self, Arithmetic, Layout, Prefix, SectionKind};
use xsfm_runtime::{Backend, LoadError, Mode, Model, ScratchBlock};

use crate::catalogue::ItemCost;
use crate::vocabulary;

/// Everything that `xsfm inspect` tells.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Program and version that wrote the file.
    pub producer: String,
    /// What a label of 1 means, in words.
    pub label: String,
    /// The fingerprint of the vocabulary that the indices are of; absent where the file does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<Vocabulary>,
    /// `f32`, `int8` or `dynamic`.
    pub mode: &'static str,
    /// Bytes of the file: what it takes in flash.
    pub file_bytes: usize,
    /// Factors of a low-rank interaction; absent where pairs have weights of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<u64>,
    /// How the layers lie: `rows`, or `tiles` of sixteen outputs.
    pub layers: &'static str,
    /// The instructions of this CPU that would score it.
    pub backend: &'static str,
    /// Bytes of scratch that a scorer needs on them, beside its stack: exact.
    pub ram_bytes: usize,
    /// The same on a microcontroller.
    pub ram_bytes_microcontroller: usize,
    /// Bytes that `Model::prepare` takes to lay the layers in tiles.
    pub prepared_bytes: usize,
    /// Bytes of the file that a score reads, of a row with one index in each field: what a call waits for that finds
    /// nothing in the caches.
    pub row_bytes: u64,
    /// Trained numbers.
    pub parameters: usize,
    /// Multiplications and additions in the pairs and layers of one row.
    pub multiply_accumulates: usize,
    /// Length of a field's vector.
    pub embed_dim: usize,
    /// Bytes of an item of a catalogue, where a context was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<ItemCost>,
    /// The fields in the order of a row.
    pub fields: Vec<Field>,
    /// The parts of the file in order; their bytes sum to `file_bytes`.
    pub sections: Vec<Section>,
    /// int8 and dynamic mode: what each part's accumulator is multiplied by on its way into the logit, in logit steps.
    pub terms: Vec<Term>,
}

/// One field.
#[derive(Clone, Debug, Serialize)]
pub struct Field {
    /// Its name in the training data.
    pub name: String,
    /// Valid indices are `0..features`.
    pub features: u32,
    /// Whether a row may have several indices in this field.
    pub bag: bool,
    /// Whether each index has a weight.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub weighted: bool,
    /// How its vectors are stored.
    pub embedding: String,
    /// Numbers in its tables.
    pub parameters: usize,
    /// Bytes by which the file makes indices of its raw values; 0 where it takes indices alone.
    pub vocabulary_bytes: u64,
    /// int8 and dynamic mode: what one step of its vector is worth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<f32>,
}

/// A run of bytes.
#[derive(Clone, Debug, Serialize)]
pub struct Section {
    /// What it holds.
    pub name: String,
    /// First byte; absent for what lies in several places.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// Bytes.
    pub bytes: u64,
}

/// A part's way into the logit.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Term {
    /// The part.
    pub part: &'static str,
    /// Multiplier.
    pub mantissa: i32,
    /// Right shift.
    pub shift: u8,
}

/// Looks into a model that was loaded.
///
/// # Errors
/// None in practice: loading has decoded the same manifest.
pub fn inspect(model: &Model<'_>) -> Result<Report, LoadError> {
    let manifest = model.manifest()?;
    let statistics = model.statistics();
    let is_int8 = statistics.mode != Mode::F32;
    let mut vocabulary_bytes = vocabulary::bytes(model).into_iter();
    let fields = model.fields().map(|field| Field {
        name: field.name.to_owned(),
        features: field.features,
        bag: field.bag,
        weighted: field.weighted,
        embedding: describe(field.composition)
            + if field.four_bits { ", 4 bits" } else { "" }
            + if field.weighted { ", weights" } else { "" },
        parameters: field.parameters,
        vocabulary_bytes: vocabulary_bytes.next().unwrap_or(0),
        scale: is_int8.then_some(field.scale),
    });
    let terms = match manifest.arithmetic {
        Arithmetic::F32 { .. } => Vec::new(),
        Arithmetic::Int8 { terms, .. } | Arithmetic::Dynamic { terms, .. } => [
            ("feature weights", terms.feature_weight),
            ("field vectors", terms.field_vector),
            ("pairs", terms.interaction),
            ("mlp", terms.mlp),
        ]
        .into_iter()
        .filter(|(_, term)| term.mantissa != 0)
        .map(|(part, term)| Term { part, mantissa: term.mantissa, shift: term.shift })
        .collect(),
    };
    let mut sections = vec![Section { name: "Prefix".to_owned(), offset: Some(0), bytes: Prefix::LEN as u64 }];
    let mut end = Prefix::LEN as u64;
    let mut padding = 0;
    for (i, section) in manifest.sections.iter().enumerate() {
        if i == 0 {
            // The manifest runs up to the first section's padding, which is counted with it.
            sections.push(Section {
                name: "Manifest".to_owned(),
                offset: Some(end),
                bytes: u64::from(section.offset) - end,
            });
        } else {
            padding += u64::from(section.offset) - end;
        }
        let name = SectionKind::from_number(section.kind);
        let name = name.map_or_else(|| format!("kind {}", section.kind), |kind| format!("{kind:?}"));
        sections.push(Section { name, offset: Some(section.offset.into()), bytes: section.len.into() });
        end = u64::from(section.offset) + u64::from(section.len);
    }
    padding += statistics.file_bytes as u64 - end;
    sections.push(Section { name: "Padding".to_owned(), offset: None, bytes: padding });
    Ok(Report {
        producer: manifest.producer.to_owned(),
        label: manifest.label.to_owned(),
        vocabulary: Vocabulary::from_bytes(manifest.vocabulary),
        mode: mode_name(statistics.mode),
        file_bytes: statistics.file_bytes,
        // One sign, a byte, for each.
        rank: manifest.sections.iter().find(|s| s.kind == SectionKind::LowRankSigns as u8).map(|s| s.len.into()),
        layers: layout_name(model.layout()),
        backend: model.backend().name(),
        ram_bytes: statistics.scratch_bytes,
        ram_bytes_microcontroller: microcontroller_bytes(model),
        prepared_bytes: model.prepared_blocks() * ScratchBlock::LEN,
        row_bytes: row_bytes(model, &manifest.sections),
        parameters: statistics.parameters,
        multiply_accumulates: statistics.multiply_accumulates,
        embed_dim: statistics.embed_dim,
        item: None,
        fields: fields.collect(),
        sections,
        terms,
    })
}

/// See [`Report::row_bytes`].
fn row_bytes(model: &Model<'_>, sections: &[format::Section]) -> u64 {
    let bytes_of = |wanted: &dyn Fn(u8) -> bool| -> u64 {
        sections.iter().filter(|section| wanted(section.kind)).map(|section| u64::from(section.len)).sum()
    };
    let by_row = [SectionKind::Tables as u8, SectionKind::FeatureWeights as u8];
    // Sections from the encoders on are of raw values.
    let whole = bytes_of(&|kind| kind < SectionKind::Encoders as u8 && !by_row.contains(&kind));
    let statistics = model.statistics();
    let width = if statistics.mode == Mode::F32 { size_of::<f32>() } else { size_of::<i8>() };
    let has_weights = bytes_of(&|kind| kind == SectionKind::FeatureWeights as u8) > 0;
    let of_rows = model.fields().map(|field| {
        let dim = statistics.embed_dim;
        let (rows, numbers) = match field.composition {
            Composition::Mult { .. } | Composition::Add { .. } => (2, dim),
            Composition::Concat { .. } => (2, dim / 2),
            _ => (1, dim),
        };
        // Each row begins at a byte.
        rows * if field.four_bits { numbers.div_ceil(2) } else { numbers * width } + if has_weights { width } else { 0 }
    });
    whole + of_rows.sum::<usize>() as u64
}

/// Bytes of scratch on the back end without vector instructions.
pub fn microcontroller_bytes(model: &Model<'_>) -> usize {
    model.with_backend(Backend::Portable).unwrap_or(*model).scratch_blocks() * ScratchBlock::LEN
}

fn describe(composition: Composition) -> String {
    match composition {
        Composition::Full => "full".to_owned(),
        Composition::Mult { collisions } => format!("quotient * remainder, {collisions} collisions"),
        Composition::Add { collisions } => format!("quotient + remainder, {collisions} collisions"),
        Composition::Concat { collisions } => format!("quotient | remainder, {collisions} collisions"),
        _ => "unknown".to_owned(),
    }
}

/// The order of layers in words.
fn layout_name(layout: Layout) -> &'static str {
    match layout {
        Layout::Rows => "rows",
        Layout::Tiles => "tiles",
        Layout::Dsp => "strips for Cortex-M's DSP instructions",
        Layout::Mve => "strips for Cortex-M's vector instructions",
    }
}

/// The mode as the command line writes it.
pub fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::F32 => "f32",
        Mode::Int8 => "int8",
        Mode::Dynamic => "dynamic",
        _ => "unknown",
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "mode                  {}", self.mode)?;
        let vocabulary = self.vocabulary.as_ref().map_or("not stated".to_owned(), Vocabulary::to_string);
        writeln!(f, "vocabulary            {vocabulary}")?;
        writeln!(f, "label                 {}", if self.label.is_empty() { "not stated" } else { &self.label })?;
        writeln!(f, "producer              {}", self.producer)?;
        writeln!(f, "file (flash)          {} bytes", self.file_bytes)?;
        if let Some(rank) = self.rank {
            writeln!(f, "pairs                 by {rank} factors")?;
        }
        writeln!(f, "layers                in {}", self.layers)?;
        writeln!(f, "scratch (RAM)         {} bytes on this CPU ({})", self.ram_bytes, self.backend)?;
        writeln!(f, "                      {} bytes on a microcontroller", self.ram_bytes_microcontroller)?;
        if self.prepared_bytes > 0 {
            writeln!(f, "to prepare tiles      {} bytes", self.prepared_bytes)?;
        }
        writeln!(f, "read for a row        {} bytes, one index in each field", self.row_bytes)?;
        writeln!(f, "parameters            {}", self.parameters)?;
        writeln!(f, "multiply-accumulates  {} per row", self.multiply_accumulates)?;
        writeln!(f, "embed_dim             {}", self.embed_dim)?;
        if let Some(item) = &self.item {
            write!(f, "\nIn a catalogue for this context:\n{item}")?;
        }
        let width = self.fields.iter().map(|field| field.name.chars().count()).max().unwrap_or(0).max("field".len());
        let (features, parameters, vocabulary) = ("features", "parameters", "vocabulary");
        writeln!(
            f,
            "\n{:<width$}  {features:>10}  {:>4}  {parameters:>10}  {vocabulary:>10}  embedding",
            "field", "bag"
        )?;
        for field in &self.fields {
            let bag = if field.bag { "yes" } else { "no" };
            let Field { name, features, parameters, vocabulary_bytes, embedding, .. } = field;
            writeln!(
                f,
                "{name:<width$}  {features:>10}  {bag:>4}  {parameters:>10}  {vocabulary_bytes:>10}  {embedding}"
            )?;
        }
        writeln!(f, "\n{:<19}  {:>10}  {:>10}  {:>6}", "section", "offset", "bytes", "share")?;
        for section in &self.sections {
            let share = 100.0 * section.bytes as f64 / self.file_bytes as f64;
            let offset = section.offset.map(|offset| offset.to_string()).unwrap_or_default();
            writeln!(f, "{:<19}  {offset:>10}  {:>10}  {share:>5.1}%", section.name, section.bytes)?;
        }
        Ok(())
    }
}
