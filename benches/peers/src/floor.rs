//! The floor: what the arithmetic of one int8 model costs on this CPU when everything else is known beforehand.
//!
//! Written for one shape, 39 fields of 10 numbers and layers of one constant width, for full tables and AVX-512 VNNI:
//! no checks, no layout but the best, no choice at run time. What a general runtime takes beyond it is the price of
//! being general. Its logits are compared with the runtime's, bit for bit.

#![allow(unsafe_code, reason = "a floor has no bounds checks")]

use std::path::Path;

use anyhow::{Result, bail, ensure};
use xsfm_convert::input;
use xsfm_runtime::format::{Arithmetic, FieldRecord, LayerRecord, Layout, SectionKind, Term, Terms, composition};
use xsfm_runtime::{Model, ScratchBlock};
use zerocopy::{FromBytes, IntoBytes};

use crate::engine::Engine;

const FIELDS: usize = 39;
const DIM: usize = 10;
const INPUTS: usize = FIELDS * DIM;
/// Bytes of a row's vectors, with room for whole registers.
const STRIDE: usize = 448;
const PAIRS: usize = FIELDS.div_ceil(2);
/// Rows that go through the layers together.
const GROUP: usize = 8;

/// One layer in tiles, its input's shift by 128 already in its biases.
struct Layer {
    inputs: usize,
    outputs: usize,
    weights: Vec<ScratchBlock>,
    biases: Vec<i32>,
    multipliers: Vec<i32>,
}

/// The model, each number where the loop wants it.
pub(crate) struct Floor {
    tables: Vec<i8>,
    offsets: [usize; FIELDS],
    features: [u32; FIELDS],
    /// `[INPUTS]`, zeros behind.
    vectors: [i16; STRIDE],
    /// The upper triangle row by row, zeros behind.
    pairs: Vec<i16>,
    layers: Vec<Layer>,
    /// `[outputs of the last hidden layer]`, zeros behind.
    output: Vec<i8>,
    output_bias: i32,
    bias: i32,
    terms: Terms,
}

impl Floor {
    /// Takes a packed int8 model apart.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        ensure!(x86::is_available(), "the floor is written for AVX-512 VNNI");
        let packed = input::packed(path)?;
        let model = Model::from_bytes(&packed)?;
        let manifest = model.manifest()?;
        let Arithmetic::Int8 { bias, terms } = manifest.arithmetic else { bail!("{}: not int8", path.display()) };
        ensure!(model.num_fields() == FIELDS && model.embed_dim() == DIM, "another shape than the floor's");
        let bytes = |kind: SectionKind| {
            let section = manifest.sections.iter().find(|section| section.kind == kind as u8);
            section.map_or(&[][..], |section| &packed[section.offset as usize..][..section.len as usize])
        };
        fn numbers<T: FromBytes>(bytes: &[u8]) -> Result<Vec<T>> {
            let one = |bytes| T::read_from_bytes(bytes).map_err(|_| anyhow::anyhow!("a section's size"));
            bytes.chunks(size_of::<T>()).map(one).collect()
        }
        let records = numbers::<FieldRecord>(bytes(SectionKind::Fields))?;
        let (mut offsets, mut features) = ([0; FIELDS], [0; FIELDS]);
        for ((offset, features), record) in offsets.iter_mut().zip(&mut features).zip(&records) {
            ensure!(record.composition == composition::FULL && record.bag == 0, "the floor has full tables alone");
            *offset = record.table_offset.get() as usize;
            *features = record.features.get();
        }
        let mut tables = numbers::<i8>(bytes(SectionKind::Tables))?;
        tables.extend([0; 16]);
        let mut vectors = [0; STRIDE];
        vectors[..INPUTS].copy_from_slice(&numbers::<i16>(bytes(SectionKind::FieldVectors))?);
        let mut pairs = numbers::<i16>(bytes(SectionKind::PairWeights))?;
        pairs.extend([0; 64]);

        let weights = numbers::<i8>(bytes(SectionKind::LayerWeights))?;
        let (biases, multipliers) =
            (numbers::<i32>(bytes(SectionKind::LayerBiases))?, numbers::<i32>(bytes(SectionKind::LayerMultipliers))?);
        let records = numbers::<LayerRecord>(bytes(SectionKind::Layers))?;
        let mut layers = Vec::new();
        for record in records.split_last().map_or(&[][..], |(_, hidden)| hidden) {
            let (inputs, outputs) = (record.inputs.get() as usize, record.outputs.get() as usize);
            let (weight, channel) = (record.weight_offset.get() as usize, record.channel_offset.get() as usize);
            let rows = &weights[weight..][..inputs * outputs];
            let mut tiles = vec![ScratchBlock::ZERO; Layout::Tiles.weights::<i8>(inputs, outputs) / ScratchBlock::LEN];
            let to = <[i8]>::mut_from_bytes(tiles.as_mut_bytes()).map_err(|_| anyhow::anyhow!("bytes are bytes"))?;
            Layout::Tiles.lay(rows, inputs, to);
            let mut biases = biases[channel..][..outputs].to_vec();
            if layers.is_empty() {
                // Its inputs are i8, but the instruction wants u8: 128 is added to each, and taken away here.
                for (bias, row) in biases.iter_mut().zip(rows.chunks_exact(inputs)) {
                    *bias -= 128 * row.iter().map(|&w| i32::from(w)).sum::<i32>();
                }
            }
            let mut multipliers = multipliers[channel..][..outputs].to_vec();
            biases.resize(Layout::Tiles.channels(outputs), 0);
            multipliers.resize(Layout::Tiles.channels(outputs), 0);
            layers.push(Layer { inputs, outputs, weights: tiles, biases, multipliers });
        }
        let weight = records.last().map_or(0, |record| record.weight_offset.get() as usize);
        let mut output = weights[weight..].to_vec();
        output.extend([0; 16]);
        let output_bias = biases.last().copied().unwrap_or(0);
        Ok(Floor { tables, offsets, features, vectors, pairs, layers, output, output_bias, bias, terms })
    }

    fn logit(&self, vectors: i64, pairs: i64, mlp: i64) -> f32 {
        let steps = |term: Term, acc: i64| (acc * i64::from(term.mantissa) + (1 << (term.shift - 1))) >> term.shift;
        let mut sum = i64::from(self.bias);
        sum += steps(self.terms.field_vector, vectors) + steps(self.terms.interaction, pairs);
        sum += steps(self.terms.mlp, mlp);
        sum.clamp(-(1 << 23), 1 << 23) as f32 / 65_536.0
    }
}

impl Engine for Floor {
    fn run(&mut self, indices: &[u32], logits: &mut [f32]) -> Result<()> {
        ensure!(indices.len() == FIELDS * logits.len(), "rows of {FIELDS} fields");
        for row in indices.chunks_exact(FIELDS) {
            let fits = row.iter().zip(&self.features).fold(true, |fits, (index, features)| fits & (index < features));
            ensure!(fits, "an index out of range");
        }
        // SAFETY: `load` has asked the CPU for the features, and every index is a feature of its field, as was just
        // seen.
        unsafe { x86::run(self, indices, logits) };
        Ok(())
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod x86 {
    pub(super) fn is_available() -> bool {
        false
    }

    /// Never called: there is no floor to load.
    pub(super) unsafe fn run(_: &super::Floor, _: &[u32], _: &mut [f32]) {}
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use core::arch::x86_64::*;

    use super::{DIM, FIELDS, Floor, GROUP, INPUTS, Layer, PAIRS, STRIDE};

    /// Bytes of the widest layer's inputs for a group, interleaved.
    const WIDEST: usize = 512 * GROUP;

    #[repr(align(64))]
    struct Aligned<T>(T);

    pub(super) fn is_available() -> bool {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni")
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    pub(super) unsafe fn run(floor: &Floor, indices: &[u32], logits: &mut [f32]) {
        // SAFETY: the caller's.
        unsafe {
            let (groups, rest) = indices.as_chunks::<{ FIELDS * GROUP }>();
            let (group_logits, rest_logits) = logits.split_at_mut(groups.len() * GROUP);
            for (group, logits) in groups.iter().zip(group_logits.as_chunks_mut::<GROUP>().0) {
                rows::<GROUP>(floor, group, logits);
            }
            for (row, logit) in rest.as_chunks::<FIELDS>().0.iter().zip(rest_logits) {
                rows::<1>(floor, row, std::array::from_mut(logit));
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    unsafe fn rows<const R: usize>(floor: &Floor, indices: &[u32], logits: &mut [f32; R]) {
        let mut e = Aligned([[0_i8; STRIDE]; R]);
        let (mut x, mut y) = (Aligned([0_u8; WIDEST]), Aligned([0_u8; WIDEST]));
        // SAFETY: offsets and indices stay inside the tables, which end with 16 spare bytes; vectors inside their
        // stride.
        unsafe {
            for (r, e) in e.0.iter_mut().enumerate() {
                for f in 0..FIELDS {
                    let at = floor.offsets[f] + indices[r * FIELDS + f] as usize * DIM;
                    let row = _mm_loadu_si128(floor.tables.as_ptr().add(at).cast());
                    _mm_storeu_si128(e.as_mut_ptr().add(f * DIM).cast(), row);
                }
            }
            let mut of_mlp = [0_i64; R];
            if let Some((last, others)) = floor.layers.split_last() {
                for (r, e) in e.0.iter().enumerate() {
                    for (q, quad) in e[..INPUTS.next_multiple_of(4)].as_chunks::<4>().0.iter().enumerate() {
                        let quad = u32::from_ne_bytes(quad.map(i8::cast_unsigned)) ^ 0x8080_8080;
                        x.0.as_mut_ptr().cast::<u32>().add(q * R + r).write(quad);
                    }
                }
                let (mut from, mut to) = (&mut x, &mut y);
                for layer in others {
                    hidden::<R>(layer, &from.0, |tile, r, y| {
                        let bytes = _mm512_cvtepi32_epi8(y);
                        let quads: [u32; 4] = core::mem::transmute(bytes);
                        for (q, quad) in quads.into_iter().enumerate() {
                            to.0.as_mut_ptr().cast::<u32>().add((tile * 4 + q) * R + r).write(quad);
                        }
                    });
                    (from, to) = (to, from);
                }
                let mut sums = [_mm512_setzero_si512(); R];
                hidden::<R>(last, &from.0, |tile, r, y| {
                    let w = _mm_loadu_si128(floor.output.as_ptr().add(tile * 16).cast());
                    sums[r] = _mm512_add_epi32(sums[r], _mm512_mullo_epi32(y, _mm512_cvtepi8_epi32(w)));
                });
                for (of_mlp, sums) in of_mlp.iter_mut().zip(sums) {
                    *of_mlp = i64::from(_mm512_reduce_add_epi32(sums) + floor.output_bias);
                }
            }
            for (r, e) in e.0.iter().enumerate() {
                logits[r] = floor.logit(vectors(floor, e), pairs(floor, e), of_mlp[r]);
            }
        }
    }

    /// The first-order term.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    unsafe fn vectors(floor: &Floor, e: &[i8; STRIDE]) -> i64 {
        let mut sum = _mm512_setzero_si512();
        for at in (0..INPUTS).step_by(32) {
            // SAFETY: both are STRIDE long, which is a multiple of 32.
            unsafe {
                let e = _mm512_cvtepi8_epi16(_mm256_loadu_si256(e.as_ptr().add(at).cast()));
                let u = _mm512_loadu_si512(floor.vectors.as_ptr().add(at).cast());
                sum = _mm512_add_epi32(sum, _mm512_madd_epi16(e, u));
            }
        }
        i64::from(_mm512_reduce_add_epi32(sum))
    }

    /// The second-order term: four fields at a time with all pairs of fields behind them.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    unsafe fn pairs(floor: &Floor, e: &[i8; STRIDE]) -> i64 {
        let mut two = [_mm512_setzero_si512(); PAIRS];
        // SAFETY: fields lie inside `e`, with 16 bytes behind the last; weights inside theirs, with 64 behind the last.
        unsafe {
            let field = |f: usize| _mm512_cvtepi8_epi32(_mm_loadu_si128(e.as_ptr().add(f * DIM).cast()));
            for (p, two) in two.iter_mut().enumerate() {
                let second = if 2 * p + 1 < FIELDS { field(2 * p + 1) } else { _mm512_setzero_si512() };
                *two = _mm512_mask_blend_epi16(0xAAAA_AAAA, field(2 * p), _mm512_slli_epi32::<16>(second));
            }
            let mut sum = _mm512_setzero_si512();
            for i in 0..FIELDS - 1 {
                // Weight of (i, j) at `row + j`; pairs from the first that has a field behind i.
                let row = floor.pairs.as_ptr().wrapping_add(i * (2 * FIELDS - i - 1) / 2).wrapping_sub(i + 1);
                let mut t = if i % 2 == 0 {
                    let next = _mm512_srai_epi32::<16>(two[i / 2]);
                    _mm512_mullo_epi32(next, _mm512_set1_epi32((*row.wrapping_add(i + 1)).into()))
                } else {
                    _mm512_setzero_si512()
                };
                for (p, two) in two.iter().enumerate().skip(i / 2 + 1) {
                    let r = row.wrapping_add(2 * p).cast::<i32>().read_unaligned();
                    t = _mm512_dpwssd_epi32(t, *two, _mm512_set1_epi32(r));
                }
                sum = _mm512_add_epi32(sum, _mm512_mullo_epi32(t, field(i)));
            }
            let mut lanes = [0_i32; 16];
            _mm512_storeu_si512(lanes.as_mut_ptr().cast(), sum);
            lanes[..DIM].iter().map(|&lane| i64::from(lane)).sum()
        }
    }

    /// Gives `finish` the outputs of sixteen channels for each row.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    unsafe fn hidden<const R: usize>(layer: &Layer, x: &[u8], mut finish: impl FnMut(usize, usize, __m512i)) {
        let depth = layer.inputs.div_ceil(4);
        let (w, x) = (layer.weights.as_ptr().cast::<i8>(), x.as_ptr().cast::<i32>());
        // SAFETY: tiles are `depth` blocks of 64 bytes each, as many as 16 channels go into the outputs; x has `depth`
        // quads a row.
        unsafe {
            let tiles = layer.outputs.div_ceil(16);
            let mut tile = 0;
            while R == GROUP && tile + 1 < tiles {
                let mut acc = [[_mm512_setzero_si512(); GROUP]; 2];
                let (w0, w1) = (w.add(tile * depth * 64), w.add((tile + 1) * depth * 64));
                for k in 0..depth {
                    let (w0, w1) =
                        (_mm512_loadu_si512(w0.add(k * 64).cast()), _mm512_loadu_si512(w1.add(k * 64).cast()));
                    let [acc_0, acc_1] = &mut acc;
                    for (r, (acc_0, acc_1)) in acc_0.iter_mut().zip(acc_1).enumerate() {
                        let x = _mm512_set1_epi32(*x.add(k * GROUP + r));
                        *acc_0 = _mm512_dpbusd_epi32(*acc_0, x, w0);
                        *acc_1 = _mm512_dpbusd_epi32(*acc_1, x, w1);
                    }
                }
                for (t, acc) in acc.into_iter().enumerate() {
                    for (r, acc) in acc.into_iter().enumerate() {
                        finish(tile + t, r, requantize(layer, tile + t, acc));
                    }
                }
                tile += 2;
            }
            while tile < tiles {
                let w = w.add(tile * depth * 64);
                for r in 0..R {
                    let mut acc = [_mm512_setzero_si512(); 4];
                    let step = |acc, k: usize| {
                        let x = _mm512_set1_epi32(*x.add(k * R + r));
                        _mm512_dpbusd_epi32(acc, x, _mm512_loadu_si512(w.add(k * 64).cast()))
                    };
                    for k in (0..depth / 4 * 4).step_by(4) {
                        acc[0] = step(acc[0], k);
                        acc[1] = step(acc[1], k + 1);
                        acc[2] = step(acc[2], k + 2);
                        acc[3] = step(acc[3], k + 3);
                    }
                    for k in depth / 4 * 4..depth {
                        acc[0] = step(acc[0], k);
                    }
                    let sum = _mm512_add_epi32(_mm512_add_epi32(acc[0], acc[1]), _mm512_add_epi32(acc[2], acc[3]));
                    finish(tile, r, requantize(layer, tile, sum));
                }
                tile += 1;
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    unsafe fn requantize(layer: &Layer, tile: usize, acc: __m512i) -> __m512i {
        // SAFETY: both have sixteen numbers for each tile.
        let (bias, multiplier) = unsafe {
            (
                _mm512_loadu_si512(layer.biases.as_ptr().add(tile * 16).cast()),
                _mm512_loadu_si512(layer.multipliers.as_ptr().add(tile * 16).cast()),
            )
        };
        let acc = _mm512_add_epi32(acc, bias);
        let half = _mm512_set1_epi64(1 << 31);
        let even = _mm512_add_epi64(_mm512_mul_epi32(acc, multiplier), half);
        let odd = _mm512_mul_epi32(_mm512_srli_epi64::<32>(acc), _mm512_srli_epi64::<32>(multiplier));
        let y = _mm512_mask_blend_epi32(0xAAAA, _mm512_srli_epi64::<32>(even), _mm512_add_epi64(odd, half));
        _mm512_min_epi32(_mm512_max_epi32(y, _mm512_setzero_si512()), _mm512_set1_epi32(255))
    }
}
