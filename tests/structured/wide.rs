//! A packed file's numbers, whatever its layout, as the plainest loops in wide integers take them.

use SectionKind::*;
use xsfm_convert::model::{
    LowRank, PairList, Pairs, QuantizedFeatureWeight, QuantizedField, QuantizedFieldVectors, QuantizedLayer,
    QuantizedLayers, QuantizedLowRank, QuantizedModel, QuantizedPairs, Table, TableBits,
};
use xsfm_interchange::config::ModelConfig;
use xsfm_runtime::format::{Arithmetic, FieldRecord, LayerRecord, Layout, Manifest, SectionKind};
use xsfm_runtime::{LoadError, Model};
use zerocopy::{FromBytes, Immutable, KnownLayout};

struct Sections<'a> {
    file: &'a [u8],
    manifest: &'a Manifest<'a>,
}

impl<'a> Sections<'a> {
    fn numbers<T: FromBytes + Immutable + KnownLayout>(&self, kind: SectionKind) -> &'a [T] {
        let Some(section) = self.manifest.sections.iter().find(|section| section.kind == kind as u8) else {
            return &[];
        };
        let bytes = &self.file[section.offset as usize..][..section.len as usize];
        <[T]>::ref_from_bytes(bytes).expect("whole numbers")
    }
}

/// The integers of `file`, from which `model` was loaded and whose fields are those of `config`; for int8 and dynamic
/// mode.
///
/// # Errors
/// None in practice: the file was loaded.
///
/// # Panics
/// Where the model is of f32 mode, or `config` another's.
pub fn integers_of(file: &[u8], model: &Model<'_>, config: &ModelConfig) -> Result<QuantizedModel, LoadError> {
    let manifest = model.manifest()?;
    let sections = Sections { file, manifest: &manifest };
    let (dim, scale) = (config.embed_dim, 1.0);
    let (bias, terms, is_static) = match manifest.arithmetic {
        Arithmetic::Int8 { bias, terms } => (bias, terms, true),
        Arithmetic::Dynamic { bias, terms } => (bias, terms, false),
        Arithmetic::F32 { .. } => panic!("f32 mode has no integers"),
    };
    let vectors = sections.numbers::<i16>(FieldVectors);
    let (weights, signs) = (sections.numbers::<i16>(PairWeights), sections.numbers::<i8>(LowRankSigns));
    let listed = sections.numbers::<[u8; 2]>(PairIndices);
    let list = if listed.is_empty() {
        PairList::Dense
    } else {
        PairList::Pruned(listed.iter().map(|&[i, j]| (i, j)).collect())
    };
    let low_rank = LowRank {
        signs: signs.to_vec(),
        factors: sections.numbers(LowRankFactors).to_vec(),
        diagonal: sections.numbers(LowRankDiagonal).to_vec(),
    };
    let coefficients = sections.numbers::<i16>(FeatureCoefficients).to_vec();
    Ok(QuantizedModel {
        config: config.clone(),
        label: String::new(),
        bias,
        fields: fields(&sections, config, dim),
        feature_weight: (!coefficients.is_empty()).then_some(QuantizedFeatureWeight {
            coefficients,
            scale,
            term: terms.feature_weight,
        }),
        field_vectors: (!vectors.is_empty()).then(|| QuantizedFieldVectors {
            values: vectors.to_vec(),
            scale,
            term: terms.field_vector,
        }),
        pairs: (!weights.is_empty()).then(|| QuantizedPairs {
            pairs: Pairs { list, weights: weights.to_vec() },
            scale,
            term: terms.interaction,
        }),
        low_rank: (!signs.is_empty()).then_some(QuantizedLowRank { low_rank, scale, term: terms.interaction }),
        layers: if is_static {
            let own = |stored: i32, added: i32| stored - added;
            QuantizedLayers::Static { layers: layers::<i32, i32>(&sections, own), term: terms.mlp }
        } else {
            QuantizedLayers::Dynamic(layers::<f32, f32>(&sections, |stored, _| stored))
        },
    })
}

fn fields(sections: &Sections<'_>, config: &ModelConfig, dim: usize) -> Vec<QuantizedField> {
    let (tables, feature_weights) = (sections.numbers::<i8>(Tables), sections.numbers::<i8>(FeatureWeights));
    let of_field = |(record, field): (&FieldRecord, &xsfm_interchange::config::FieldConfig)| {
        let mut at = record.table_offset.get() as usize;
        let table = |(rows, columns): (usize, usize)| {
            let bytes = if record.bits == 0 { columns } else { columns.div_ceil(2) };
            let own = &tables[at..at + rows * bytes];
            at += rows * bytes;
            let number = |row: usize, column: usize| match record.bits {
                0 => own[row * bytes + column],
                _ if column.is_multiple_of(2) => own[row * bytes + column / 2] << 4,
                _ => own[row * bytes + column / 2] & !0x0F,
            };
            let values = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
            Table { rows, columns, values: values.map(|(row, column)| number(row, column)).collect() }
        };
        let shapes = field.embedding.table_shapes(field.features, dim);
        let weights = record.feature_offset.get() as usize..;
        QuantizedField {
            table_bits: if record.bits == 0 { TableBits::Eight } else { TableBits::Four },
            tables: shapes.into_iter().map(table).collect(),
            feature_weights: (!feature_weights.is_empty())
                .then(|| feature_weights[weights][..field.features as usize].to_vec()),
            multiplier: field.is_requantized().then(|| record.multiplier.get()),
            scale: 1.0,
        }
    };
    sections.numbers::<FieldRecord>(Fields).iter().zip(&config.fields).map(of_field).collect()
}

/// The layers, whose biases are `own` of those in the file and of what the layout has added.
fn layers<B, M>(sections: &Sections<'_>, own: impl Fn(B, i32) -> B) -> Vec<QuantizedLayer<B, M>>
where
    B: Copy + FromBytes + Immutable + KnownLayout,
    M: Copy + FromBytes + Immutable + KnownLayout,
{
    let (weights, biases) = (sections.numbers::<i8>(LayerWeights), sections.numbers::<B>(LayerBiases));
    let multipliers = sections.numbers::<M>(LayerMultipliers);
    let of_layer = |(n, record): (usize, &LayerRecord)| {
        let (inputs, outputs) = (record.inputs.get() as usize, record.outputs.get() as usize);
        let layout = Layout::from_number(record.layout.get()).expect("a layout");
        let weights = &weights[record.weight_offset.get() as usize..];
        let channels = record.channel_offset.get() as usize..record.channel_offset.get() as usize + outputs;
        let places = (0..outputs).flat_map(|o| (0..inputs).map(move |i| (o, i)));
        let added = |o| layout.shift(n == 0, weights, inputs, o);
        QuantizedLayer {
            inputs,
            outputs,
            weights: places.map(|(o, i)| layout.weight(weights, inputs, o, i)).collect(),
            biases: biases[channels.clone()].iter().enumerate().map(|(o, &bias)| own(bias, added(o))).collect(),
            multipliers: multipliers[channels].to_vec(),
            accumulator_scales: vec![1.0; outputs],
            scale: 1.0,
        }
    };
    sections.numbers::<LayerRecord>(Layers).iter().enumerate().map(of_layer).collect()
}
