//! Another scale and bias of the logits, in a packed file: `z' = a z + b` ([`Platt`]), without one more operation where
//! it is scored.
//!
//! | mode | what changes | z' is off by |
//! |---|---|---|
//! | f32 | weights of first-order terms, pairs, output layer, times a; factors, times sqrt(a); bias | rounding of f32 |
//! | int8 | the terms' multipliers, times a; the bias | rounding to steps of 2^-16, half a step a term, twice |
//! | dynamic | the same, and the output layer's multiplier and bias, times a | the same |
//!
//! So scores keep their order but where they are closer than this rounding. With a = 1, int8 and dynamic logits are
//! moved by whole steps, all by the same number, and keep their order exactly.

use xsfm_interchange::metrics::platt::Platt;
use xsfm_interchange::quantization::{LOGIT_STEP, logit_bias, term};
use xsfm_runtime::format::{Arithmetic, LayerRecord, Manifest, SectionKind, Term, Terms};
use xsfm_runtime::{Backend, LoadOptions, Model};
use zerocopy::IntoBytes;

use crate::error::Error;
use crate::pack::{FileWriter, PackError, Packed};
use crate::target::Source;

/// The same model with other logits.
///
/// # Errors
/// Not a model; a scale that is not positive, which would turn the ranking around; numbers that become too large for
/// the format.
pub fn apply(packed: &[u8], platt: Platt) -> Result<Packed, Error> {
    let Platt { scale, bias } = platt;
    if !(scale > 0.0 && scale.is_finite() && bias.is_finite()) {
        return Err(Error::Input(format!(
            "a scale of {scale:?} and a bias of {bias:?}: logits are multiplied with a positive number, and no \
             result is infinite"
        )));
    }
    // Nothing is scored.
    let model = Model::from_bytes_with(packed, LoadOptions::on(Backend::Portable)).map_err(PackError::Refused)?;
    let manifest = model.manifest().map_err(PackError::Refused)?;
    let source = Source { file: packed, manifest: &manifest };
    let (arithmetic, scaled): (_, Sections) = match manifest.arithmetic {
        Arithmetic::F32 { bias } => {
            (Arithmetic::F32 { bias: platt.apply(f64::from(bias)) as f32 }, reals(&source, scale)?)
        }
        Arithmetic::Int8 { bias, terms } => {
            let (bias, terms) = (moved(bias, platt), scaled_terms(terms, scale)?);
            (Arithmetic::Int8 { bias, terms }, vec![output_record(&source, scale)])
        }
        Arithmetic::Dynamic { bias, terms } => {
            let (bias, terms) = (moved(bias, platt), scaled_terms(terms, scale)?);
            let of_output = [SectionKind::LayerBiases, SectionKind::LayerMultipliers]
                .map(|kind| Ok((kind, times(&source, kind, 1, scale)?.as_bytes().to_vec())));
            (Arithmetic::Dynamic { bias, terms }, of_output.into_iter().collect::<Result<_, Error>>()?)
        }
    };
    let mut file = FileWriter::default();
    for section in &manifest.sections {
        let changed = scaled.iter().find(|(kind, _)| *kind as u8 == section.kind);
        file.raw(section.kind, changed.map_or(source.bytes(section.kind), |(_, bytes)| bytes));
    }
    Ok(file.write(Manifest { sections: Default::default(), arithmetic, ..manifest.clone() })?)
}

/// The sections of f32 mode whose sums enter the logit.
fn reals(source: &Source<'_>, scale: f64) -> Result<Sections, Error> {
    let mut scaled = Sections::new();
    for kind in [SectionKind::FeatureWeights, SectionKind::FieldVectors, SectionKind::PairWeights] {
        scaled.push((kind, times(source, kind, usize::MAX, scale)?.as_bytes().to_vec()));
    }
    // The factors enter squared, and the diagonal takes away what they add on it: it is computed from them as they were
    // rounded.
    let factors = times(source, SectionKind::LowRankFactors, usize::MAX, scale.sqrt())?;
    let (num_fields, signs) = (source.manifest.num_fields.into(), source.numbers::<i8>(SectionKind::LowRankSigns));
    let of_field = |field: usize| {
        let of_factors = factors.chunks_exact(num_fields).zip(signs);
        of_factors.map(|(u, &sign)| f64::from(sign) * f64::from(u[field]).powi(2)).sum::<f64>() as f32
    };
    let diagonal: Vec<f32> = (0..num_fields).map(of_field).collect();
    scaled.push((SectionKind::LowRankFactors, factors.as_bytes().to_vec()));
    scaled.push((SectionKind::LowRankDiagonal, diagonal.as_bytes().to_vec()));
    let inputs = source.numbers::<LayerRecord>(SectionKind::Layers).last().map_or(0, |output| output.inputs.get());
    for (kind, count) in [(SectionKind::LayerWeights, inputs as usize), (SectionKind::LayerBiases, 1)] {
        scaled.push((kind, times(source, kind, count, scale)?.as_bytes().to_vec()));
    }
    Ok(scaled)
}

/// What sections become, whether the file has them or not.
type Sections = Vec<(SectionKind, Vec<u8>)>;

/// The f32 of a section, the last `count` of them times a factor: those of the output layer, in sections of layers.
fn times(source: &Source<'_>, kind: SectionKind, count: usize, factor: f64) -> Result<Vec<f32>, Error> {
    let mut numbers = source.numbers::<f32>(kind).to_vec();
    numbers.iter_mut().rev().take(count).for_each(|number| *number = (f64::from(*number) * factor) as f32);
    match numbers.iter().all(|number| number.is_finite()) {
        true => Ok(numbers),
        false => Err(too_large(&format!("{kind:?}"))),
    }
}

/// The layers' records; for people, that of the output layer says what its accumulator's step is worth.
fn output_record(source: &Source<'_>, scale: f64) -> (SectionKind, Vec<u8>) {
    let mut records = source.numbers::<LayerRecord>(SectionKind::Layers).to_vec();
    if let Some(output) = records.last_mut() {
        output.scale = ((f64::from(output.scale.get()) * scale) as f32).into();
    }
    (SectionKind::Layers, records.as_bytes().to_vec())
}

/// A bias in steps of the logit.
fn moved(bias: i32, platt: Platt) -> i32 {
    logit_bias(platt.apply(f64::from(bias) * LOGIT_STEP))
}

fn scaled_terms(terms: Terms, scale: f64) -> Result<Terms, Error> {
    let scaled = |name: &str, old: Term| {
        // Exact: a mantissa has 23 bits.
        let step = f64::from(old.mantissa) * (-f64::from(old.shift)).exp2() * LOGIT_STEP;
        if old.mantissa == 0 { Ok(old) } else { term(step * scale).ok_or_else(|| too_large(name)) }
    };
    Ok(Terms {
        feature_weight: scaled("the feature weights' term", terms.feature_weight)?,
        field_vector: scaled("the field vectors' term", terms.field_vector)?,
        interaction: scaled("the pairs' term", terms.interaction)?,
        mlp: scaled("the output layer's term", terms.mlp)?,
    })
}

fn too_large(what: &str) -> Error {
    Error::Input(format!("{what} becomes too large for the format with that scale"))
}
