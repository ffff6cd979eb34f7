//! What each part of a model costs: by scoring models that lack it.
//!
//! Nothing is timed inside the kernels, where a clock would cost more than what it measures. Instead models are made of
//! the file's own sections, each with one part more than the one before: tables alone, then first-order terms, then
//! pairs, then layer by layer, each time with an output layer. A part's time is the difference of two such models'
//! fastest rounds. Parts overlap on a CPU, so a difference can be smaller than what the part would take alone, even
//! negative.

use xsfm_runtime::format::{LayerRecord, Layout, Manifest, Section, SectionKind};
use xsfm_runtime::{Backend, LoadOptions, Mode, Model, Row, ScratchBlock};
use zerocopy::FromBytes;

use super::options::{Options, no_room, not_loaded, scratch};
use super::report::Part;
use super::time::Calls;
use crate::error::Error;
use crate::pack::{FileWriter, Packed};

/// Rounds of each model, in turn with the others.
const ROUNDS: usize = 25;

/// Up to which part a model is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Upto {
    Gather,
    Linear,
    Pairs,
    /// So many hidden layers, and the output layer.
    Layers(usize),
}

/// Models with ever more of a model's parts, in the order in which a row goes through them; the last has all.
///
/// # Errors
/// What packing them finds wrong.
pub fn parts(file: &[u8]) -> Result<Vec<(String, Packed)>, Error> {
    let sections = Sections::new(file)?;
    let mut models = vec![("gather".to_owned(), sections.kept(Upto::Gather)?)];
    let has = |kind| sections.bytes(kind).is_some();
    if has(SectionKind::FeatureWeights) || has(SectionKind::FieldVectors) {
        models.push(("first-order terms".to_owned(), sections.kept(Upto::Linear)?));
    }
    if sections.manifest.sections.iter().any(|section| is_of_pairs(section.kind)) {
        models.push(("pairs".to_owned(), sections.kept(Upto::Pairs)?));
    }
    let layers = sections.layers()?;
    for n in 1..layers.len() {
        let LayerRecord { inputs, outputs, .. } = layers[n - 1];
        let with = if n == 1 { " and the output layer" } else { "" };
        models.push((format!("layer {n}, {inputs}x{outputs}{with}"), sections.kept(Upto::Layers(n))?));
    }
    if layers.len() == 1 {
        models.push(("output layer".to_owned(), sections.kept(Upto::Layers(0))?));
    }
    Ok(models)
}

/// The nanoseconds per row of every part, in the order in which a row goes through them.
pub(super) fn profile(file: &[u8], whole: &Model<'_>, rows: &[Row<'_>], options: &Options) -> Result<Vec<Part>, Error> {
    let models = parts(file)?;
    let mut memories = vec![Vec::new(); models.len()];
    let mut times = vec![Vec::new(); models.len()];
    let mut loaded = Vec::new();
    for ((_, file), memory) in models.iter().zip(&mut memories) {
        // The CPU has it: the whole model uses it.
        let model = Model::from_bytes_with(file, LoadOptions::on(whole.backend())).map_err(not_loaded)?;
        memory.resize(if options.prepare { model.prepared_blocks() } else { 0 }, ScratchBlock::ZERO);
        loaded.push(if options.prepare { model.prepare(memory).map_err(no_room)? } else { model });
    }
    for round in 0..=ROUNDS {
        for (model, times) in loaded.iter().zip(&mut times) {
            let mut scratch = scratch(model, options.batch);
            let mut calls = Calls::new(model, rows, options.batch, &mut scratch)?;
            let time = calls.round()?;
            // The first round finds cold caches.
            if round > 0 {
                times.push(time);
            }
        }
    }
    let mut before = 0.0;
    let parts = models.into_iter().zip(&times).map(|((name, _), times)| {
        let upto_ns = times.iter().copied().fold(f64::INFINITY, f64::min);
        let part = Part { name, ns: upto_ns - before, upto_ns };
        before = upto_ns;
        part
    });
    Ok(parts.collect())
}

/// Whether a section is neither a table, a first-order term nor a layer.
fn is_of_pairs(kind: u8) -> bool {
    use SectionKind::*;
    let others = [Fields, Tables, FeatureWeights, FeatureCoefficients, FieldVectors];
    !others.into_iter().any(|other| other as u8 == kind)
        && !is_of_layers(kind)
        && kind < xsfm_runtime::format::FIRST_OPTIONAL_KIND
}

fn is_of_layers(kind: u8) -> bool {
    use SectionKind::*;
    [Layers, LayerWeights, LayerBiases, LayerMultipliers, LayerSums].into_iter().any(|other| other as u8 == kind)
}

/// A file's sections.
struct Sections<'f> {
    file: &'f [u8],
    manifest: Manifest<'f>,
    mode: Mode,
}

impl<'f> Sections<'f> {
    fn new(file: &'f [u8]) -> Result<Self, Error> {
        // Nothing is scored.
        let options = LoadOptions { skip_checksum: true, backend: Some(Backend::Portable) };
        let model = Model::from_bytes_with(file, options).map_err(not_loaded)?;
        let manifest = model.manifest().map_err(not_loaded)?;
        Ok(Sections { file, manifest, mode: model.mode() })
    }

    fn bytes(&self, kind: SectionKind) -> Option<&'f [u8]> {
        self.manifest.sections.iter().find(|section| section.kind == kind as u8).map(|section| self.of(section))
    }

    /// The bytes of a section, which the runtime has accepted.
    fn of(&self, section: &Section) -> &'f [u8] {
        &self.file[section.offset as usize..][..section.len as usize]
    }

    fn layers(&self) -> Result<&'f [LayerRecord], Error> {
        let bytes = self.bytes(SectionKind::Layers).unwrap_or_default();
        <[LayerRecord]>::ref_from_bytes(bytes).map_err(|error| Error::Input(error.to_string()))
    }

    /// The model up to a part.
    fn kept(&self, upto: Upto) -> Result<Packed, Error> {
        use SectionKind::*;
        let mut kept = FileWriter::default();
        for section in &self.manifest.sections {
            let is_table = [Fields, Tables].into_iter().any(|kind| kind as u8 == section.kind);
            let is_pairs = is_of_pairs(section.kind);
            let wanted = match upto {
                _ if is_of_layers(section.kind) => false,
                Upto::Gather => is_table,
                Upto::Linear => !is_pairs,
                Upto::Pairs | Upto::Layers(_) => true,
            };
            if wanted {
                kept.raw(section.kind, self.of(section));
            }
        }
        if let Upto::Layers(hidden) = upto {
            self.keep_layers(hidden, &mut kept)?;
        }
        Ok(kept.write(self.manifest.clone())?)
    }

    /// The first `hidden` layers, and the output layer, of zeros where its inputs are others.
    fn keep_layers(&self, hidden: usize, kept: &mut FileWriter) -> Result<(), Error> {
        use SectionKind::*;
        let layers = self.layers()?;
        if hidden + 1 == layers.len() {
            for section in self.manifest.sections.iter().filter(|section| is_of_layers(section.kind)) {
                kept.raw(section.kind, self.of(section));
            }
            return Ok(());
        }
        let mut records = layers[..=hidden].to_vec();
        let weight_size = if self.mode == Mode::F32 { size_of::<f32>() } else { size_of::<i8>() };
        // The layer after the kept ones starts where the output layer will.
        let output = &mut records[hidden];
        (output.outputs, output.layout) = (1.into(), Layout::Rows.number().into());
        let (weights, channels) = (output.weight_offset.get() as usize, output.channel_offset.get() as usize);
        let width = output.inputs.get() as usize;
        kept.optional(Layers, &records);
        let mut keep = |kind: SectionKind, before: usize, zeros: usize| {
            if let Some(bytes) = self.bytes(kind) {
                kept.raw(kind as u8, &[&bytes[..before], &vec![0; zeros][..]].concat());
            }
        };
        keep(LayerWeights, weights * weight_size, width * weight_size);
        for kind in [LayerBiases, LayerMultipliers, LayerSums] {
            keep(kind, channels * size_of::<i32>(), size_of::<i32>());
        }
        Ok(())
    }
}
