//! How a packed file's layers lie, for the CPU that will score it: `docs/format.md`, "Layouts".
//!
//! Every target's file is read everywhere; what differs is who takes the time and the memory to lay layers out.

use std::str::FromStr;

use xsfm_runtime::format::layout::{Bias, Weight};
use xsfm_runtime::format::{Arithmetic, LayerRecord, Layout, Manifest, SectionKind};
use xsfm_runtime::{Backend, LoadOptions, Model};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::error::Error;
use crate::pack::{FileWriter, PackError, Packed, narrow};

/// The CPU that a file is packed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Any: layers lie row by row.
    Neutral,
    /// x86-64: layers lie in tiles.
    X86_64,
    /// 64-bit ARM: layers lie in tiles.
    Aarch64,
    /// Microcontrollers without multiplications of several numbers, Cortex-M0+, M3 and RISC-V: layers lie row by row,
    /// without padding.
    CortexM,
    /// Cortex-M4, M7 and M33: layers of int8 mode lie in strips for SMLAD.
    CortexMDsp,
    /// Cortex-M55: layers of int8 mode lie in strips for VMLADAVA.
    CortexMMve,
}

impl FromStr for Target {
    type Err = Error;

    /// A CPU by the name that `xsfm pack --target` has for it.
    fn from_str(name: &str) -> Result<Self, Error> {
        Ok(match name {
            "neutral" => Target::Neutral,
            "x86-64" => Target::X86_64,
            "aarch64" => Target::Aarch64,
            "cortex-m" | "cortex-m0plus" | "cortex-m3" | "riscv32" => Target::CortexM,
            "cortex-m4f" | "cortex-m4" | "cortex-m7" | "cortex-m33" => Target::CortexMDsp,
            "cortex-m55" | "cortex-m85" => Target::CortexMMve,
            other => {
                let known = "neutral, x86-64, aarch64, cortex-m, cortex-m4f, cortex-m55";
                return Err(Error::Input(format!("target {other:?} is unknown; known are {known}")));
            }
        })
    }
}

impl Target {
    /// The layout of hidden layers with biases of type B.
    fn layout<B: Bias>(self) -> Layout {
        match self {
            Target::Neutral | Target::CortexM => Layout::Rows,
            Target::X86_64 | Target::Aarch64 => Layout::Tiles,
            Target::CortexMDsp if B::IN_STRIPS => Layout::Dsp,
            Target::CortexMMve if B::IN_STRIPS => Layout::Mve,
            Target::CortexMDsp | Target::CortexMMve => Layout::Rows,
        }
    }
}

/// The same model with its layers as `target` wants them; everything else keeps its bytes.
///
/// # Errors
/// Not a model, or one whose padded layers are too large for the format.
pub fn retarget(packed: &[u8], target: Target) -> Result<Packed, PackError> {
    // Nothing is scored.
    let model = Model::from_bytes_with(packed, LoadOptions::on(Backend::Portable)).map_err(PackError::Refused)?;
    let manifest = model.manifest().map_err(PackError::Refused)?;
    let source = Source { file: packed, manifest: &manifest };
    let mut file = FileWriter::default();
    for section in &manifest.sections {
        if !OF_LAYERS.iter().any(|&kind| kind as u8 == section.kind) {
            file.raw(section.kind, source.bytes(section.kind));
        }
    }
    match manifest.arithmetic {
        Arithmetic::F32 { .. } => lay::<f32, f32, f32>(&source, target, &mut file)?,
        Arithmetic::Int8 { .. } => lay::<i8, i32, i32>(&source, target, &mut file)?,
        Arithmetic::Dynamic { .. } => lay::<i8, f32, f32>(&source, target, &mut file)?,
    }
    file.write(Manifest { sections: Default::default(), ..manifest.clone() })
}

/// The sections that a layout changes.
const OF_LAYERS: [SectionKind; 5] = [
    SectionKind::Layers,
    SectionKind::LayerWeights,
    SectionKind::LayerBiases,
    SectionKind::LayerMultipliers,
    SectionKind::LayerSums,
];

/// A file that the runtime has accepted.
pub(crate) struct Source<'a> {
    pub(crate) file: &'a [u8],
    pub(crate) manifest: &'a Manifest<'a>,
}

impl<'a> Source<'a> {
    /// A section; nothing where there is none.
    pub(crate) fn bytes(&self, kind: u8) -> &'a [u8] {
        let section = self.manifest.sections.iter().find(|section| section.kind == kind);
        section.map_or(&[], |section| &self.file[section.offset as usize..][..section.len as usize])
    }

    /// Its numbers, which lie as the runtime could read them.
    pub(crate) fn numbers<T: FromBytes + Immutable + KnownLayout>(&self, kind: SectionKind) -> &'a [T] {
        <[T]>::ref_from_bytes(self.bytes(kind as u8)).unwrap_or_default()
    }
}

/// Writes the layers' sections anew: W weights, B biases, M multipliers.
fn lay<W, B, M>(source: &Source<'_>, target: Target, file: &mut FileWriter) -> Result<(), PackError>
where
    W: Weight + FromBytes + IntoBytes + Immutable + KnownLayout,
    B: Bias + FromBytes + IntoBytes + Immutable + KnownLayout,
    M: Copy + Default + FromBytes + IntoBytes + Immutable + KnownLayout,
{
    let records = source.numbers::<LayerRecord>(SectionKind::Layers);
    let all_weights = source.numbers::<W>(SectionKind::LayerWeights);
    let all_biases = source.numbers::<B>(SectionKind::LayerBiases);
    let all_multipliers = source.numbers::<M>(SectionKind::LayerMultipliers);
    let (mut laid, mut weights, mut biases, mut multipliers, mut sums) = (vec![], vec![], vec![], vec![], vec![]);
    for (l, record) in records.iter().enumerate() {
        let (inputs, outputs) = (record.inputs.get() as usize, record.outputs.get() as usize);
        let (first_weight, first) = (record.weight_offset.get() as usize, record.channel_offset.get() as usize);
        let found = Layout::from_number(record.layout.get()).unwrap_or(Layout::Rows);
        let found_weights = &all_weights[first_weight..][..found.weights::<W>(inputs, outputs)];
        let places = (0..outputs).flat_map(|o| (0..inputs).map(move |i| (o, i)));
        let rows: Vec<W> = places.map(|(o, i)| found.weight(found_weights, inputs, o, i)).collect();
        let layout = if l + 1 < records.len() { target.layout::<B>() } else { Layout::Rows };
        laid.push(LayerRecord {
            weight_offset: narrow("weights of all layers", weights.len())?.into(),
            channel_offset: narrow("channels of all layers", biases.len())?.into(),
            layout: layout.number().into(),
            ..*record
        });
        multipliers.extend_from_slice(all_multipliers.get(first..first + outputs).unwrap_or_default());
        let mut of_layer = vec![W::default(); layout.weights::<W>(inputs, outputs)];
        layout.lay(&rows, inputs, &mut of_layer);
        let end = biases.len() + layout.channels(outputs);
        for (o, bias) in all_biases[first..][..outputs].iter().enumerate() {
            let shift = |layout: Layout, weights: &[W]| layout.shift(l == 0, weights, inputs, o);
            biases.push(bias.shifted(shift(layout, &of_layer) - shift(found, found_weights)));
        }
        biases.resize(end, B::default());
        if layout == Layout::Tiles {
            sums.extend(rows.chunks_exact(inputs).map(|row| row.iter().map(|w| w.integer()).sum::<i32>()));
        }
        weights.extend(of_layer);
        if !all_multipliers.is_empty() {
            multipliers.resize(biases.len(), M::default());
        }
        sums.resize(biases.len(), 0);
    }
    let has_sums = W::DEPTH > 1 && records.len() > 1 && target.layout::<B>() == Layout::Tiles;
    file.optional(SectionKind::Layers, &laid);
    file.optional(SectionKind::LayerWeights, &weights);
    file.optional(SectionKind::LayerBiases, &biases);
    file.optional(SectionKind::LayerMultipliers, &multipliers);
    file.optional(SectionKind::LayerSums, if has_sums { &sums } else { &[] });
    Ok(())
}
