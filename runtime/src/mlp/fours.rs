//! int8 mode where hidden layers lie in strips, or in tiles without vectors of sixteen: one row of a batch at a time,
//! four outputs together.
//!
//! [`Layout::Dsp`] and [`Layout::Mve`] are for this. A CPU that a layout is not for reads it weight by weight: slow,
//! the same bits. (Where there are vector instructions, [`crate::Model::prepare`] lays such layers in tiles.)

use std::ops::Range;

use zerocopy::IntoBytes;
#[cfg(any(xsfm_dsp, xsfm_mve))]
use zerocopy::{FromBytes, Immutable};

use super::{Layer, Mlp};
use crate::error::Scored;
use crate::format::Layout;
use crate::format::layout::strip;
#[cfg(xsfm_dsp)]
use crate::kernel::dsp;
#[cfg(all(xsfm_dsp, not(xsfm_mve)))]
use crate::kernel::dsp_dots::dot_int8;
#[cfg(xsfm_mve)]
use crate::kernel::mve;
#[cfg(not(all(xsfm_dsp, not(xsfm_mve))))]
use crate::kernel::portable::dot_int8;
use crate::kernel::portable::finish_int8;
use crate::quant::requantize;
use crate::run::{run, run_mut};
use crate::scratch::Memory;
#[cfg(any(xsfm_dsp, xsfm_mve))]
use crate::scratch::Plain;

/// A number of each output of a strip.
type Strip = [i32; strip::OUTPUTS];

/// Words that a layer's inputs take as the instructions of the layout read them.
pub(crate) fn read_len(layout: Layout, inputs: usize) -> usize {
    match layout {
        // Two words for four inputs.
        Layout::Dsp => layout.inputs::<i8>(inputs) / 2,
        _ => layout.inputs::<i8>(inputs) / size_of::<u32>(),
    }
}

impl Mlp<'_, i8, i32, i32> {
    /// read and h of [`Mlp::fours`], for one row or for [twins](crate::kernel::vector::TWINS).
    #[inline(always)]
    pub(crate) fn carve_fours<'s>(
        &self,
        memory: &mut impl Memory<'s>,
        inputs: usize,
        rows: usize,
    ) -> Scored<(&'s mut [u32], &'s mut [u8])> {
        let widest = self.widest();
        let read = read_len(self.layout(), inputs.max(widest));
        Ok((memory.take(rows * read)?, memory.take(rows * widest)?))
    }

    /// e \[inputs\] and slack, read \[[`read_len`] of the widest layer\], h \[[`Mlp::widest`]\]: the accumulator of the
    /// output layer
    pub(crate) fn fours(&self, e: &[i8], start: Option<&[i32]>, (read, h): (&mut [u32], &mut [u8])) -> i64 {
        self.fours_from(0, e, start, (read, h))
    }

    /// sums and start \[outputs of the first layer\], padded: as [`Mlp::fours`], with that layer's sums computed before
    pub(super) fn fours_of_sums(&self, sums: &[i32], start: &[i32], (read, h): (&mut [u32], &mut [u8])) -> i64 {
        finish_int8(sums, start, self.layer(0).multipliers, h);
        self.fours_from(1, &[], None, (read, h))
    }

    /// From layer `first` on, which reads `e` where it is the first of all, else `h`.
    #[inline(always)]
    pub(super) fn fours_from(&self, first: usize, e: &[i8], start: Option<&[i32]>, (read, h): (&mut [u32], &mut [u8])) -> i64 {
        let (hidden, output) = self.split();
        for n in first..hidden {
            let layer = self.layer_from(n, start);
            let x = if n == 0 { e.as_bytes() } else { &*h };
            let fours = Fours::new(&layer, n == 0, x, read);
            fours.layer(layer.biases.as_chunks().0, layer.multipliers.as_chunks().0, h.as_chunks_mut().0);
        }
        output_of(output, h)
    }

    /// Layer `n`, where the first begins with `start`.
    pub(super) fn layer_from<'a>(&'a self, n: usize, start: Option<&'a [i32]>) -> Layer<'a, i8, i32, i32> {
        let layer = self.layer(n);
        match start {
            Some(biases) if n == 0 => Layer { biases, ..layer },
            _ => layer,
        }
    }
}

/// The accumulator of the output layer.
pub(super) fn output_of(output: Layer<'_, i8, i32, i32>, h: &[u8]) -> i64 {
    i64::from(output.biases.first().copied().unwrap_or(0) + dot_int8(run(h, 0, output.inputs), output.weights))
}

/// A layer's sums, four at a time.
pub(crate) struct Fours<'a> {
    layout: Layout,
    is_first: bool,
    inputs: usize,
    weights: &'a [i8],
    read: &'a [u32],
}

impl<'a> Fours<'a> {
    /// x \[inputs\] and what fills a block: i8 for the first layer and u8 for the others; `read` \[[`read_len`]\] is
    /// filled with it.
    pub(crate) fn new(layer: &Layer<'a, i8, i32, i32>, is_first: bool, x: &[u8], read: &'a mut [u32]) -> Self {
        let Layer { inputs, layout, weights, .. } = *layer;
        let read = run_mut(read, 0, read_len(layout, inputs));
        match layout {
            #[cfg(xsfm_dsp)]
            Layout::Dsp => {
                let read = <[dsp::Quad<1>]>::mut_from_bytes(read.as_mut_bytes()).unwrap_or_default();
                dsp::read([x], if is_first { 0x8080_8080 } else { 0 }, read);
            }
            #[cfg(xsfm_mve)]
            Layout::Mve => {
                let flip = if is_first { 0 } else { 0x80 };
                for (to, &x) in read.as_mut_bytes().iter_mut().zip(x) {
                    *to = x ^ flip;
                }
            }
            _ => {
                for (to, &x) in read.as_mut_bytes().iter_mut().zip(x) {
                    *to = x;
                }
            }
        }
        Fours { layout, is_first, inputs, weights, read }
    }

    /// y\[o\] = clamp(requantize(acc_o + bias\[o\], multiplier\[o\]), 0, 255)
    fn layer(&self, biases: &[Strip], multipliers: &[Strip], y: &mut [[u8; strip::OUTPUTS]]) {
        match self.layout {
            #[cfg(xsfm_dsp)]
            Layout::Dsp => dsp::layer(in_place(self.read), in_place(self.weights), biases, multipliers, y),
            #[cfg(xsfm_mve)]
            Layout::Mve => {
                mve::layer(in_place(self.read.as_bytes()), in_place(self.weights), biases, multipliers, y);
            }
            _ => {
                for (strip, ((y, bias), multiplier)) in y.iter_mut().zip(biases).zip(multipliers).enumerate() {
                    let sums = self.weight_by_weight(strip);
                    for (((y, &sum), &bias), &multiplier) in y.iter_mut().zip(&sums).zip(bias).zip(multiplier) {
                        *y = requantize(sum.wrapping_add(bias), multiplier).clamp(0, 255) as u8;
                    }
                }
            }
        }
    }

    /// start\[o\] += acc_o
    pub(crate) fn add_to(&self, start: &mut [Strip]) {
        match self.layout {
            #[cfg(xsfm_dsp)]
            Layout::Dsp => dsp::add(in_place(self.read), in_place(self.weights), start),
            #[cfg(xsfm_mve)]
            Layout::Mve => mve::add(in_place(self.read.as_bytes()), in_place(self.weights), start),
            _ => {
                for (strip, start) in start.iter_mut().enumerate() {
                    for (start, &sum) in start.iter_mut().zip(&self.weight_by_weight(strip)) {
                        *start = start.wrapping_add(sum);
                    }
                }
            }
        }
    }

    /// The first layer's, whose inputs are as they are.
    pub(super) fn of_first(layer: &Layer<'a, i8, i32, i32>, x: &[i8], read: &'a mut [u32]) -> Self {
        Fours::new(layer, true, x.as_bytes(), read)
    }

    /// sums_o += the share of some blocks of inputs: runs of `block` inputs each, by the first and how many
    pub(super) fn add_runs(&self, strip: usize, runs: &[[u16; 2]], block: usize, sums: &mut Strip) {
        for &[first, count] in runs {
            let (first, count) = (usize::from(first), usize::from(count));
            match self.layout {
                #[cfg(xsfm_dsp)]
                Layout::Dsp => {
                    let (x, w) = (in_place::<dsp::Quad<1>>(self.read), in_place::<[u32; 4]>(self.weights));
                    // Quads of a block.
                    let (from, len) = (first * block / 4, count * block / 4);
                    let w = run(w, strip * x.len() + from, len);
                    dsp::add(run(x, from, len), w, std::slice::from_mut(sums));
                }
                #[cfg(xsfm_mve)]
                Layout::Mve => {
                    let x = in_place::<[i8; mve::BLOCK]>(self.read.as_bytes());
                    let w = in_place::<[i8; 4 * mve::BLOCK]>(self.weights);
                    let w = run(w, strip * x.len() + first, count);
                    mve::add(run(x, first, count), w, std::slice::from_mut(sums));
                }
                _ => {
                    let inputs = first * block..(first + count) * block;
                    for (sum, &more) in sums.iter_mut().zip(&self.sums_over(strip, inputs)) {
                        *sum = sum.wrapping_add(more);
                    }
                }
            }
        }
    }

    /// The same on any CPU: the oracle of the others.
    fn weight_by_weight(&self, strip: usize) -> Strip {
        self.sums_over(strip, 0..self.inputs)
    }

    /// Of some of the inputs.
    fn sums_over(&self, strip: usize, inputs: Range<usize>) -> Strip {
        let (first, count) = (inputs.start, inputs.end.min(self.inputs).saturating_sub(inputs.start));
        let x = run(self.read.as_bytes(), first, count);
        // What the instructions of the layout read, which biases make up for: `Layout::shift`.
        let input = |i: usize, x: u8| match (self.layout, self.is_first) {
            (Layout::Dsp, true) if i % 2 == 1 => i32::from(x.cast_signed()) + 128,
            (_, true) => i32::from(x.cast_signed()),
            (Layout::Dsp, false) if i.is_multiple_of(2) => i32::from(x) - 128,
            (Layout::Mve, false) => i32::from(x) - 128,
            (_, false) => i32::from(x),
        };
        let mut sums = [0; strip::OUTPUTS];
        for (o, sum) in sums.iter_mut().enumerate() {
            for (i, &x) in (first..).zip(x) {
                let weight = self.layout.weight(self.weights, self.inputs, strip * strip::OUTPUTS + o, i);
                *sum += i32::from(weight) * input(i, x);
            }
        }
        sums
    }
}

/// The numbers as whole words or vectors: none are left over, and the loader has seen that weights are aligned.
#[cfg(any(xsfm_dsp, xsfm_mve))]
pub(super) fn in_place<T: Plain>(numbers: &(impl IntoBytes + Immutable + ?Sized)) -> &[T] {
    <[T]>::ref_from_bytes(numbers.as_bytes()).unwrap_or_default()
}
