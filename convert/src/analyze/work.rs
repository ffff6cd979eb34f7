//! What a score does, counted: the same whatever the CPU.

use xsfm_runtime::embedding::Composition;
use xsfm_runtime::format::{LayerRecord, Layout, SectionKind};
use xsfm_runtime::{LoadError, Model};
use zerocopy::FromBytes;

/// What is counted, in the order of [`Work`].
pub const KINDS: [&str; 16] = [
    "scores",
    "fields",
    "numbers copied from tables",
    "numbers multiplied of two rows",
    "numbers of sums of rows",
    "numbers taken from bytes of two",
    "further indices of bags",
    "numbers added in bags",
    "feature weights",
    "multiply-accumulates of field vectors",
    "pairs",
    "runs of pairs",
    "multiply-accumulates of pairs",
    "outputs of layers",
    "multiply-accumulates of layers",
    "multiply-accumulates of the output layer",
];

/// How many of each of [`KINDS`] a score has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Work(pub [f64; KINDS.len()]);

impl Work {
    /// Counts for rows with `bag` indices in each bag; `file` is what the model lies in. `lanes`: dimensions of integer
    /// pairs that the CPU sums side by side; padding counts.
    ///
    /// # Errors
    /// None in practice: loading has decoded the same manifest.
    pub fn of(model: &Model<'_>, file: &[u8], bag: usize, lanes: usize) -> Result<Self, LoadError> {
        let manifest = model.manifest()?;
        let bytes = |kind: SectionKind| {
            let section = manifest.sections.iter().find(|section| section.kind == kind as u8);
            section.map_or(&[][..], |section| &file[section.offset as usize..][..section.len as usize])
        };
        let (num_fields, dim) = (model.num_fields(), model.embed_dim());
        let [mut copied, mut products, mut sums, mut halves, mut further, mut indices] = [0; 6];
        for field in model.fields() {
            let count = if field.bag { bag.max(1) } else { 1 };
            indices += count;
            further += count - 1;
            if field.four_bits {
                let rows =
                    if let Composition::Mult { .. } | Composition::Add { .. } = field.composition { 2 } else { 1 };
                halves += count * rows * dim;
            }
            match field.composition {
                // A weight multiplies as the second row of a product does.
                _ if field.weighted => products += count * dim,
                Composition::Mult { .. } => products += count * dim,
                Composition::Full | Composition::Concat { .. } if count == 1 => copied += dim,
                _ => sums += dim,
            }
        }
        let has = |kind| !bytes(kind).is_empty();
        let rank = bytes(SectionKind::LowRankSigns).len();
        let weight = if model.mode() == xsfm_runtime::Mode::F32 { 4 } else { 2 };
        // A factor does for each field what a pair does, and is squared once.
        let pairs = bytes(SectionKind::PairWeights).len() / weight + rank * (num_fields + 1);
        let layers = <[LayerRecord]>::ref_from_bytes(bytes(SectionKind::Layers)).unwrap_or_default();
        let (output, hidden) =
            layers.split_last().map_or((0, layers), |(output, hidden)| (output.inputs.get(), hidden));
        let sizes = |layer: &LayerRecord| {
            let (inputs, outputs) = (layer.inputs.get() as usize, layer.outputs.get() as usize);
            let layout = Layout::from_number(layer.layout.get()).unwrap_or(Layout::Rows);
            let inputs = if weight == 4 { layout.inputs::<f32>(inputs) } else { layout.inputs::<i8>(inputs) };
            (inputs, layout.channels(outputs))
        };
        let outputs: usize = hidden.iter().map(|layer| sizes(layer).1).sum();
        let of_layers: usize = hidden.iter().map(sizes).map(|(inputs, outputs)| inputs * outputs).sum();
        // f32 mode has arrays of sixteen everywhere.
        let lanes = if weight == 4 { 16 } else { lanes };
        let runs = if pairs == 0 { 0 } else { num_fields * dim.div_ceil(lanes) };
        let feature_weights = if has(SectionKind::FeatureWeights) { indices } else { 0 };
        let of_field_vectors = if has(SectionKind::FieldVectors) { num_fields * dim } else { 0 };
        let counts = [
            1,
            num_fields,
            copied,
            products,
            sums,
            halves,
            further,
            further * dim,
            feature_weights,
            of_field_vectors,
            pairs,
            runs,
            pairs * dim.next_multiple_of(lanes),
            outputs,
            of_layers,
            output as usize,
        ];
        Ok(Work(counts.map(|count| count as f64)))
    }
}
