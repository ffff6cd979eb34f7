//! From a model to the bytes of an `.xsfm` file: layout only, no arithmetic (`docs/format.md`).

use std::fmt;
use std::io;
use std::ops::Deref;
use std::path::Path;

use xsfm_interchange::atomic;
use xsfm_interchange::config::{FieldConfig, ModelConfig, Operation};
use xsfm_interchange::fingerprint::Vocabulary;
use xsfm_runtime::format::{
    Arithmetic, CRC, FieldRecord, LayerRecord, Layout, MAGIC, MAX_SECTIONS, Manifest, Prefix, SECTION_ALIGNMENT,
    Section, SectionKind, Term, Terms, VERSION, composition,
};
use xsfm_runtime::{Backend, LoadError, LoadOptions, Model, ScratchBlock};
use zerocopy::{Immutable, IntoBytes};

use crate::model::{FloatModel, LowRank, PairList, QuantizedLayer, QuantizedLayers, QuantizedModel, Table, TableBits};

/// Program and version that wrote a file.
const PRODUCER: &str = concat!("xsfm-convert ", env!("CARGO_PKG_VERSION"));

/// Why a model cannot be packed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// A count does not fit the 32 bits that the format has for it.
    #[error("{what}: {found} is more than the format can say ({most})")]
    TooLarge {
        /// What is counted.
        what: &'static str,
        /// The count.
        found: usize,
        /// The largest that fits.
        most: usize,
    },
    /// The manifest could not be encoded.
    #[error("manifest: {0}")]
    Manifest(postcard::Error),
    /// The runtime refuses what was packed: the model breaks one of its limits.
    #[error("the runtime would refuse this model: {0}")]
    Refused(LoadError),
}

/// The bytes of a packed file, at an address that suits the runtime.
#[derive(Clone)]
pub struct Packed {
    blocks: Vec<ScratchBlock>,
    len: usize,
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packed").field("len", &self.len).finish_non_exhaustive()
    }
}

impl Packed {
    /// A copy of bytes that lie anywhere, which nobody has checked.
    pub fn new(bytes: &[u8]) -> Self {
        let mut blocks = vec![ScratchBlock::ZERO; bytes.len().div_ceil(ScratchBlock::LEN)];
        blocks.as_mut_bytes()[..bytes.len()].copy_from_slice(bytes);
        Packed { blocks, len: bytes.len() }
    }

    /// Writes the file whole or not at all.
    ///
    /// # Errors
    /// The file system's.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        atomic::write(path, |file| file.write_all(self))
    }
}

impl Deref for Packed {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.blocks.as_bytes()[..self.len]
    }
}

impl AsRef<[u8]> for Packed {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// Packs a model for f32 mode.
///
/// # Errors
/// [`PackError`].
pub fn pack_f32(model: &FloatModel) -> Result<Packed, PackError> {
    let mut file = FileWriter::default();
    let tables: Vec<_> = model.fields.iter().map(|field| field.tables.as_slice()).collect();
    file.fields(&model.config, &tables, |_| (TableBits::Eight, 0, 0.0))?;
    let feature_weights = model.fields.iter().filter_map(|field| field.feature_weights.as_deref());
    file.optional(SectionKind::FeatureWeights, &feature_weights.collect::<Vec<_>>().concat());
    file.optional(SectionKind::FieldVectors, model.field_vectors.as_deref().unwrap_or_default());
    if let Some(pairs) = &model.pairs {
        file.pairs(&pairs.list, &pairs.weights);
    }
    if let Some(low_rank) = &model.low_rank {
        file.low_rank(low_rank);
    }
    file.layers(model.layers.iter().map(|layer| LayerShape {
        inputs: layer.inputs,
        outputs: layer.outputs,
        scale: 0.0,
    }))?;
    let all = |part: fn(&crate::model::FloatLayer) -> &[f64]| -> Vec<f32> {
        model.layers.iter().flat_map(|layer| to_f32(part(layer))).collect()
    };
    file.optional(SectionKind::LayerWeights, &all(|layer| &layer.weights));
    file.optional(SectionKind::LayerBiases, &all(|layer| &layer.biases));
    file.finish(&model.config, &model.label, Arithmetic::F32 { bias: model.bias })
}

/// Packs a model for int8 or dynamic mode, whichever its layers are for.
///
/// # Errors
/// [`PackError`].
pub fn pack_int8(model: &QuantizedModel) -> Result<Packed, PackError> {
    let mut file = FileWriter::default();
    let tables: Vec<_> = model.fields.iter().map(|field| field.tables.as_slice()).collect();
    file.fields(&model.config, &tables, |f| {
        let field = &model.fields[f];
        (field.table_bits, field.multiplier.unwrap_or(0), field.scale as f32)
    })?;
    if let Some(part) = &model.feature_weight {
        let weights = model.fields.iter().filter_map(|field| field.feature_weights.as_deref());
        file.optional(SectionKind::FeatureWeights, &weights.collect::<Vec<_>>().concat());
        file.optional(SectionKind::FeatureCoefficients, &part.coefficients);
    }
    if let Some(part) = &model.field_vectors {
        file.optional(SectionKind::FieldVectors, &part.values);
    }
    if let Some(part) = &model.pairs {
        file.pairs(&part.pairs.list, &part.pairs.weights);
    }
    if let Some(part) = &model.low_rank {
        file.low_rank(&part.low_rank);
    }
    let mlp = match &model.layers {
        QuantizedLayers::Static { layers, term } => {
            file.quantized_layers(layers)?;
            *term
        }
        QuantizedLayers::Dynamic(layers) => {
            file.quantized_layers(layers)?;
            Term::ABSENT
        }
    };
    let of_pairs = model.pairs.as_ref().map(|part| part.term);
    let interaction = of_pairs.or(model.low_rank.as_ref().map(|part| part.term)).unwrap_or(Term::ABSENT);
    let terms = Terms {
        feature_weight: model.feature_weight.as_ref().map_or(Term::ABSENT, |part| part.term),
        field_vector: model.field_vectors.as_ref().map_or(Term::ABSENT, |part| part.term),
        interaction,
        mlp,
    };
    let bias = model.bias;
    let arithmetic = match model.layers {
        QuantizedLayers::Static { .. } => Arithmetic::Int8 { bias, terms },
        QuantizedLayers::Dynamic(_) => Arithmetic::Dynamic { bias, terms },
    };
    file.finish(&model.config, &model.label, arithmetic)
}

fn to_f32(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

/// What a [`LayerRecord`] cannot derive from its neighbours.
struct LayerShape {
    inputs: usize,
    outputs: usize,
    scale: f32,
}

/// The sections so far.
#[derive(Default)]
pub(crate) struct FileWriter {
    /// Kind and bytes.
    sections: Vec<(u8, Vec<u8>)>,
}

/// `value` in the 32 bits that the format has for it.
pub(crate) fn narrow(what: &'static str, value: usize) -> Result<u32, PackError> {
    u32::try_from(value).map_err(|_| PackError::TooLarge { what, found: value, most: u32::MAX as usize })
}

impl FileWriter {
    /// A section, unless it is empty.
    pub(crate) fn optional<T: IntoBytes + Immutable>(&mut self, kind: SectionKind, values: &[T]) {
        if !values.is_empty() {
            self.raw(kind as u8, values.as_bytes());
        }
    }

    /// A section as it is.
    pub(crate) fn raw(&mut self, kind: u8, bytes: &[u8]) {
        self.sections.push((kind, bytes.to_vec()));
    }

    /// Field records and tables; `integers` gives a field's bits, multiplier and scale.
    fn fields<T: IntoBytes + Immutable>(
        &mut self,
        config: &ModelConfig,
        tables: &[&[Table<T>]],
        integers: impl Fn(usize) -> (TableBits, i32, f32),
    ) -> Result<(), PackError> {
        let (mut records, mut numbers, mut features, mut table_offset) = (vec![], vec![], 0, 0);
        for (f, (field, tables)) in config.fields.iter().zip(tables).enumerate() {
            let (composition, collisions) = composition_of(field);
            let (table_bits, multiplier, scale) = integers(f);
            records.push(FieldRecord {
                composition,
                bag: field.bag.into(),
                bits: if table_bits == TableBits::Four { 4 } else { 0 },
                reserved: 0,
                features: if field.weighted { 0 } else { field.features }.into(),
                collisions: collisions.into(),
                table_offset: narrow("numbers in all tables", table_offset)?.into(),
                feature_offset: narrow("features of all fields", features)?.into(),
                multiplier: multiplier.into(),
                scale: scale.into(),
                weighted_features: if field.weighted { field.features } else { 0 }.into(),
            });
            features += field.features as usize;
            for table in tables.iter() {
                let bytes = table.values.as_bytes();
                match table_bits {
                    TableBits::Eight => numbers.extend_from_slice(bytes),
                    // Each is a multiple of 16: the low half of a byte is free for a neighbour.
                    TableBits::Four => numbers.extend(
                        bytes
                            .chunks(table.columns)
                            .flat_map(|row| row.chunks(2).map(|two| two[0] >> 4 | two.get(1).unwrap_or(&0))),
                    ),
                }
            }
            table_offset = numbers.len() / size_of::<T>();
        }
        self.optional(SectionKind::Fields, &records);
        self.raw(SectionKind::Tables as u8, &numbers);
        Ok(())
    }

    fn pairs<C: IntoBytes + Immutable>(&mut self, list: &PairList, weights: &[C]) {
        if let PairList::Pruned(pairs) = list {
            self.optional(SectionKind::PairIndices, &pairs.iter().map(|&(i, j)| [i, j]).collect::<Vec<_>>());
        }
        self.optional(SectionKind::PairWeights, weights);
    }

    fn low_rank<C: IntoBytes + Immutable, D: IntoBytes + Immutable>(&mut self, low_rank: &LowRank<C, D>) {
        self.optional(SectionKind::LowRankSigns, &low_rank.signs);
        self.optional(SectionKind::LowRankFactors, &low_rank.factors);
        self.optional(SectionKind::LowRankDiagonal, &low_rank.diagonal);
    }

    fn layers(&mut self, layers: impl Iterator<Item = LayerShape>) -> Result<(), PackError> {
        let (mut records, mut weight_offset, mut channel_offset) = (vec![], 0, 0);
        for layer in layers {
            records.push(LayerRecord {
                inputs: narrow("inputs of a layer", layer.inputs)?.into(),
                outputs: narrow("outputs of a layer", layer.outputs)?.into(),
                weight_offset: narrow("weights of all layers", weight_offset)?.into(),
                channel_offset: narrow("channels of all layers", channel_offset)?.into(),
                scale: layer.scale.into(),
                layout: Layout::Rows.number().into(),
                reserved: [0.into(); 2],
            });
            weight_offset += layer.inputs * layer.outputs;
            channel_offset += layer.outputs;
        }
        self.optional(SectionKind::Layers, &records);
        Ok(())
    }

    fn quantized_layers<B, M>(&mut self, layers: &[QuantizedLayer<B, M>]) -> Result<(), PackError>
    where
        B: Copy + IntoBytes + Immutable,
        M: Copy + Default + IntoBytes + Immutable,
    {
        self.layers(layers.iter().map(|layer| LayerShape {
            inputs: layer.inputs,
            outputs: layer.outputs,
            scale: layer.scale as f32,
        }))?;
        let weights: Vec<i8> = layers.iter().flat_map(|layer| layer.weights.iter().copied()).collect();
        let biases: Vec<B> = layers.iter().flat_map(|layer| layer.biases.iter().copied()).collect();
        // An output layer that keeps its accumulator has its place filled, so that biases and multipliers share their
        // offsets.
        let padded = |layer: &QuantizedLayer<B, M>| {
            let mut multipliers = layer.multipliers.clone();
            multipliers.resize(layer.outputs, M::default());
            multipliers
        };
        let multipliers: Vec<M> = layers.iter().flat_map(padded).collect();
        self.optional(SectionKind::LayerWeights, &weights);
        self.optional(SectionKind::LayerBiases, &biases);
        self.optional(SectionKind::LayerMultipliers, &multipliers);
        Ok(())
    }

    /// The file of a model.
    fn finish(self, config: &ModelConfig, label: &str, arithmetic: Arithmetic) -> Result<Packed, PackError> {
        let mut field_names = Vec::new();
        for field in &config.fields {
            field_names = postcard::to_extend(&field.name, field_names).map_err(PackError::Manifest)?;
        }
        let short = |what, value: usize| {
            u16::try_from(value).map_err(|_| PackError::TooLarge { what, found: value, most: u16::MAX.into() })
        };
        self.write(Manifest {
            producer: PRODUCER,
            label,
            num_fields: short("fields", config.fields.len())?,
            embed_dim: short("embed_dim", config.embed_dim)?,
            arithmetic,
            field_names: &field_names,
            sections: heapless::Vec::new(),
            vocabulary: &config.vocabulary.as_ref().map(Vocabulary::to_bytes).unwrap_or_default(),
        })
    }

    /// Prefix, manifest and sections in one piece, which the runtime has accepted. The manifest's table is made here.
    pub(crate) fn write(mut self, mut manifest: Manifest<'_>) -> Result<Packed, PackError> {
        self.sections.sort_by_key(|&(kind, _)| kind);
        // Offsets are varints inside the manifest whose length they depend on: two or three rounds settle it.
        let mut encoded = Vec::new();
        let end = loop {
            let (sections, end) = self.table(Prefix::LEN + encoded.len())?;
            manifest.sections = sections;
            let before = encoded.len();
            encoded = postcard::to_extend(&manifest, Vec::new()).map_err(PackError::Manifest)?;
            if encoded.len() == before {
                break end;
            }
        };
        let mut file = vec![0; end];
        file[Prefix::LEN..][..encoded.len()].copy_from_slice(&encoded);
        for (section, (_, bytes)) in manifest.sections.iter().zip(&self.sections) {
            file[section.offset as usize..][..bytes.len()].copy_from_slice(bytes);
        }
        let mut prefix = Prefix {
            magic: MAGIC,
            version: VERSION.into(),
            reserved: 0.into(),
            manifest_len: narrow("bytes of the manifest", encoded.len())?.into(),
            file_len: (end as u64).into(),
            body_crc: CRC.checksum(&file[Prefix::LEN..]).into(),
            prefix_crc: 0.into(),
        };
        prefix.prefix_crc = prefix.checksum().into();
        file[..Prefix::LEN].copy_from_slice(prefix.as_bytes());
        let packed = Packed::new(&file);
        // Nothing is scored.
        Model::from_bytes_with(&packed, LoadOptions::on(Backend::Portable)).map_err(PackError::Refused)?;
        Ok(packed)
    }

    /// The section table when sections may start at `free_from`, and where the last one ends.
    #[allow(clippy::type_complexity, reason = "a table and a number")]
    fn table(&self, mut free_from: usize) -> Result<(heapless::Vec<Section, MAX_SECTIONS>, usize), PackError> {
        let entry = |(kind, bytes): &(u8, Vec<u8>)| {
            let offset = free_from.next_multiple_of(SECTION_ALIGNMENT);
            free_from = offset + bytes.len();
            let (offset, len) = (narrow("bytes of the file", offset)?, narrow("bytes of a section", bytes.len())?);
            Ok(Section { kind: *kind, offset, len })
        };
        // Fewer kinds exist than the table has room for.
        let table = self.sections.iter().map(entry).collect::<Result<_, PackError>>()?;
        Ok((table, free_from))
    }
}

/// A field's composition and collisions as the format writes them.
fn composition_of(field: &FieldConfig) -> (u8, u32) {
    match field.embedding.quotient_remainder() {
        None => (composition::FULL, 0),
        Some((collisions, operation)) => {
            let composition = match operation {
                Operation::Mult => composition::MULT,
                Operation::Add => composition::ADD,
                Operation::Concat => composition::CONCAT,
            };
            (composition, collisions)
        }
    }
}
