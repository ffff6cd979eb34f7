//! Changes of numbers: to the ends of their ranges, and a little beyond; and what other numbers have to be then.

use xsfm_runtime::Mode;
use xsfm_runtime::format::layout::Weight;
use xsfm_runtime::format::{CRC, FieldRecord, LayerRecord, Layout, Prefix, SectionKind, limit};
use zerocopy::{FromBytes, IntoBytes, KnownLayout};

use super::bases::Base;
use super::numbers::Numbers;
use SectionKind::*;

/// Changes some numbers of `file`, a copy of the base's, and in most cases those that depend on them.
pub(super) fn change(base: &Base, file: &mut [u8], numbers: &mut Numbers<'_>) {
    for _ in 0..=numbers.below(6) {
        some_numbers(base, file, numbers);
    }
    // What is left wrong must be refused, by all alike.
    if !numbers.one_in(16) {
        let (zero_padding, clip_biases) = (!numbers.one_in(8), !numbers.one_in(8));
        repair(base, file, zero_padding, clip_biases);
    }
}

/// The numbers of a section.
pub(super) fn numbers_of<'f, T: FromBytes + IntoBytes + KnownLayout>(
    base: &Base,
    file: &'f mut [u8],
    kind: SectionKind,
) -> &'f mut [T] {
    <[T]>::mut_from_bytes(&mut file[base.section(kind)]).expect("whole numbers of a packed file")
}

/// One number of a section, a run of them, all alike, or all anew.
fn spread<T: Copy>(all: &mut [T], numbers: &mut Numbers<'_>, mut value: impl FnMut(&mut Numbers<'_>) -> T) {
    if all.is_empty() {
        return;
    }
    let (first, how) = (numbers.below(all.len()), numbers.below(4));
    let some = match how {
        0 => &mut all[first..=first],
        1 => {
            let count = 1 + numbers.below(all.len() - first);
            &mut all[first..first + count]
        }
        _ => all,
    };
    if how == 3 {
        some.iter_mut().for_each(|number| *number = value(numbers));
    } else {
        some.fill(value(numbers));
    }
}

fn byte(numbers: &mut Numbers<'_>) -> i8 {
    if numbers.one_in(3) { numbers.bits() as i8 } else { numbers.pick(&[i8::MIN, -127, -1, 0, 1, i8::MAX]) }
}

fn short(numbers: &mut Numbers<'_>) -> i16 {
    if numbers.one_in(3) { numbers.bits() as i16 } else { numbers.pick(&[i16::MIN, i16::MAX, -1, 0, 1, 300]) }
}

/// Some of them too large for any layer, or too large for one that is not in strips.
fn bias(numbers: &mut Numbers<'_>) -> i32 {
    const BEYOND: i32 = limit::BIAS + (1 << 29);
    let least = [0, 1, -1, 20_000, -20_000];
    match numbers.below(4) {
        0 => numbers.pick(&[limit::BIAS, -limit::BIAS, limit::BIAS - 1, 1 - limit::BIAS]),
        1 => numbers.pick(&[BEYOND, -BEYOND, BEYOND + 1, i32::MAX, i32::MIN, limit::BIAS + 1]),
        2 => (numbers.bits() >> numbers.below(32)).cast_signed(),
        _ => numbers.pick(&least),
    }
}

fn multiplier(numbers: &mut Numbers<'_>) -> i32 {
    if numbers.one_in(3) {
        return (numbers.bits() >> 1 >> numbers.below(31)).cast_signed();
    }
    numbers.pick(&[0, 1, 1 << 20, 1 << 25, 1 << 30, i32::MAX, -1])
}

/// Within the limits of dynamic mode or not.
fn dynamic_real(numbers: &mut Numbers<'_>) -> f32 {
    let most = limit::DYNAMIC;
    numbers.pick(&[0.0, -0.0, 1e-40, 1e-20, 1e-5, -0.1, 1.0, 1e5, most, -most, 0.999 * most, most.next_up(), f32::NAN])
}

fn real(numbers: &mut Numbers<'_>) -> f32 {
    numbers.pick(&[0.0, -0.0, 1e-40, 0.5, -0.5, 1.0, -3.0, 1e5, -1e19, 1e30, -1e30, f32::MAX, f32::INFINITY, f32::NAN])
}

fn some_numbers(base: &Base, file: &mut [u8], numbers: &mut Numbers<'_>) {
    let is_f32 = base.mode == Mode::F32;
    let kinds: &[SectionKind] = &[
        Fields,
        Tables,
        FeatureWeights,
        FeatureCoefficients,
        FieldVectors,
        PairWeights,
        LowRankSigns,
        LowRankFactors,
        LayerWeights,
        LayerWeights,
        LayerBiases,
        LayerBiases,
        LayerMultipliers,
    ];
    // One more than there are kinds: the terms.
    let Some(&kind) = kinds.get(numbers.below(kinds.len() + 1)) else { return terms(base, file, numbers) };
    if !base.has(kind) {
        return;
    }
    match kind {
        Fields if !is_f32 => {
            let records = numbers_of::<FieldRecord>(base, file, Fields);
            let changed = numbers.below(records.len());
            // 0 for rows that are copied, where another number is refused.
            if records[changed].multiplier.get() != 0 || numbers.one_in(32) {
                records[changed].multiplier = multiplier(numbers).into();
            }
        }
        Tables | FeatureWeights | LayerWeights if !is_f32 => spread(numbers_of(base, file, kind), numbers, byte),
        FieldVectors | PairWeights | LowRankFactors if !is_f32 => spread(numbers_of(base, file, kind), numbers, short),
        FeatureCoefficients => spread(numbers_of(base, file, kind), numbers, short),
        LowRankSigns => spread(numbers_of(base, file, kind), numbers, |numbers| numbers.pick(&[1_i8, -1])),
        LayerBiases if base.mode == Mode::Int8 => spread(numbers_of(base, file, kind), numbers, bias),
        LayerMultipliers if base.mode == Mode::Int8 => spread(numbers_of(base, file, kind), numbers, multiplier),
        LayerBiases | LayerMultipliers if base.mode == Mode::Dynamic => {
            spread(numbers_of(base, file, kind), numbers, dynamic_real);
        }
        Fields => (),
        _ => spread(numbers_of(base, file, kind), numbers, real),
    }
}

/// The model's bias, or how a part enters the logit, in as many bytes as the number had: zeros may stand in front.
fn terms(base: &Base, file: &mut [u8], numbers: &mut Numbers<'_>) {
    if base.terms.is_empty() {
        return;
    }
    let which = numbers.below(base.terms.len());
    let place = base.terms[which].clone();
    // A shift lies behind its mantissa.
    if which > 0 && numbers.one_in(2) {
        let before = file[place.end];
        let more = before.saturating_add(numbers.below(16) as u8);
        file[place.end] = numbers.pick(&[1, 2, before, more, more, more, 40, 62, 63]);
        return;
    }
    let number = match which {
        0 => bias(numbers),
        _ => numbers.pick(&[0, 1, 1 << 22, (1 << 23) - 1, (1 << 22) + 12_345, 1 << 23, -1]),
    };
    let mut zigzag = (number << 1 ^ number >> 31).cast_unsigned();
    if place.len() < 5 {
        zigzag &= (1 << (7 * place.len())) - 1;
    }
    let last = place.len() - 1;
    for (n, byte) in file[place].iter_mut().enumerate() {
        *byte = (zigzag & 0x7F) as u8 | if n < last { 0x80 } else { 0 };
        zigzag >>= 7;
    }
}

/// What makes most files whole again: sums within their limits, and the numbers that others decide.
fn repair(base: &Base, file: &mut [u8], zero_padding: bool, clip_biases: bool) {
    let records = records(base, file);
    if base.mode == Mode::F32 {
        if zero_padding && base.has(Layers) {
            zero(&records, numbers_of::<f32>(base, file, LayerWeights));
            zero_channels(&records, numbers_of::<f32>(base, file, LayerBiases));
        }
        return;
    }
    within(numbers_of(base, file, FieldVectors), limit::FIELD_VECTOR_SUM);
    within(numbers_of(base, file, PairWeights), limit::PAIR_SUM);
    factors(base, file);
    if !base.has(Layers) {
        return;
    }
    let weights = numbers_of::<i8>(base, file, LayerWeights);
    if base.layout == Layout::Dsp {
        uncouple(&records, weights);
    }
    if zero_padding {
        zero(&records, weights);
    }
    let weights = weights.to_vec();
    if base.mode == Mode::Dynamic {
        let biases = numbers_of::<f32>(base, file, LayerBiases);
        let most = limit::DYNAMIC;
        biases.iter_mut().for_each(|bias| *bias = if bias.is_nan() { -most } else { bias.clamp(-most, most) });
        let multipliers = numbers_of::<f32>(base, file, LayerMultipliers);
        multipliers.iter_mut().for_each(|scale| *scale = scale.abs().min(limit::DYNAMIC));
        if zero_padding {
            zero_channels(&records, numbers_of::<f32>(base, file, LayerBiases));
            zero_channels(&records, numbers_of::<f32>(base, file, LayerMultipliers));
        }
    } else {
        let multipliers = numbers_of::<i32>(base, file, LayerMultipliers);
        multipliers.iter_mut().for_each(|multiplier| *multiplier = (*multiplier).max(0));
        if zero_padding {
            zero_channels(&records, multipliers);
            zero_channels(&records, numbers_of::<i32>(base, file, LayerBiases));
        }
        let biases = numbers_of::<i32>(base, file, LayerBiases);
        for (n, layer) in records.iter().enumerate().filter(|_| clip_biases) {
            for o in 0..layer.outputs {
                let added = i64::from(layer.layout.shift(n == 0, &weights[layer.first_weight..], layer.inputs, o));
                let bias = &mut biases[layer.first_channel + o];
                let own = (i64::from(*bias) - added).clamp(-i64::from(limit::BIAS), limit::BIAS.into());
                *bias = (own + added) as i32;
            }
        }
    }
    if base.has(LayerSums) {
        let sums = numbers_of::<i32>(base, file, LayerSums);
        let (_, hidden) = records.split_last().expect("an output layer");
        for layer in hidden {
            for o in 0..layer.layout.channels(layer.outputs) {
                let weight = |i| i32::from(layer.layout.weight(&weights[layer.first_weight..], layer.inputs, o, i));
                sums[layer.first_channel + o] = (0..layer.layout.inputs::<i8>(layer.inputs)).map(weight).sum();
            }
        }
    }
}

/// A layer as its record has it.
pub(super) struct Layer {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) layout: Layout,
    pub(super) first_weight: usize,
    pub(super) first_channel: usize,
}

pub(super) fn records(base: &Base, file: &[u8]) -> Vec<Layer> {
    let records = <[LayerRecord]>::ref_from_bytes(&file[base.section(Layers)]).expect("whole records");
    let layer = |record: &LayerRecord| Layer {
        inputs: record.inputs.get() as usize,
        outputs: record.outputs.get() as usize,
        layout: Layout::from_number(record.layout.get()).expect("a layout"),
        first_weight: record.weight_offset.get() as usize,
        first_channel: record.channel_offset.get() as usize,
    };
    records.iter().map(layer).collect()
}

/// Weights of inputs and outputs that are not the model's become zeros.
fn zero<W: Weight>(records: &[Layer], weights: &mut [W]) {
    for &Layer { inputs, outputs, layout, first_weight, .. } in records {
        let weights = &mut weights[first_weight..];
        for o in 0..layout.channels(outputs) {
            for i in if o < outputs { inputs } else { 0 }..layout.inputs::<W>(inputs) {
                layout.set(weights, inputs, o, i, W::default());
            }
        }
    }
}

/// The same of biases or multipliers.
fn zero_channels<T: Copy + Default>(records: &[Layer], channels: &mut [T]) {
    for &Layer { outputs, layout, first_channel, .. } in records {
        channels[first_channel + outputs..first_channel + layout.channels(outputs)].fill(T::default());
    }
}

/// Coupled weights become ones of -127 to 127.
fn uncouple(records: &[Layer], weights: &mut [i8]) {
    let Some((output, _)) = records.split_last() else { return };
    for two in weights[..output.first_weight].as_chunks_mut().0 {
        let [even, high] = *two;
        let odd = (-i16::from(high) - i16::from(even < 0)).clamp(-127, 127) as i8;
        let even = even.max(-127);
        *two = [even, odd.coupled(even)];
    }
}

/// Numbers whose magnitudes add up to no more than `most`.
fn within(numbers: &mut [i16], mut most: i64) {
    for number in numbers {
        let clipped = i64::from(*number).clamp(-most, most);
        most -= clipped.abs();
        *number = clipped as i16;
    }
}

/// Factors within their limit, and the diagonal that belongs to them.
fn factors(base: &Base, file: &mut [u8]) {
    if !base.has(LowRankFactors) {
        return;
    }
    let num_fields = base.config.fields.len();
    let factors = numbers_of::<i16>(base, file, LowRankFactors);
    factors.chunks_exact_mut(num_fields).for_each(|factor| within(factor, limit::LOW_RANK_SUM));
    let factors = factors.to_vec();
    let signs = numbers_of::<i8>(base, file, LowRankSigns).to_vec();
    for (field, of_field) in numbers_of::<i32>(base, file, LowRankDiagonal).iter_mut().enumerate() {
        let squares = factors.iter().skip(field).step_by(num_fields).zip(&signs);
        // Where it is more than an i32 holds, the file is refused.
        *of_field = squares.map(|(&u, &sign)| i64::from(u) * i64::from(u) * i64::from(sign)).sum::<i64>() as i32;
    }
}

/// Makes the checksums of changed bytes right again, so that the checks behind them are reached.
///
/// # Panics
/// Where there are fewer bytes than a prefix has.
pub fn sign(bytes: &mut [u8]) {
    let crc = CRC.checksum(&bytes[Prefix::LEN..]);
    let (prefix, _) = Prefix::mut_from_prefix(bytes).expect("a prefix");
    prefix.body_crc = crc.into();
    prefix.prefix_crc = prefix.checksum().into();
}
