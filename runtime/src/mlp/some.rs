//! int8 mode: a first layer over the inputs of some fields alone, whose weights are read where they lie among those of
//! the others. The others' inputs are zeros, and blocks of the layout that have no others are passed over.

use super::Mlp;
use super::fours::Fours;
use crate::error::Scored;
use crate::format::Layout;
use crate::format::layout::strip;
use crate::kernel::portable::{dot_int8, finish_int8};
use crate::run::{rows, run, run_mut};
use crate::scratch::Memory;

/// Blocks of a layer's inputs that are read: the first, and how many from it on.
pub(crate) type Run = [u16; 2];

/// Inputs of a block that is read or passed over.
const fn block(layout: Layout) -> usize {
    match layout {
        // Quads are read two at a time.
        Layout::Dsp => 8,
        Layout::Mve => 16,
        Layout::Rows | Layout::Tiles => 4,
    }
}

impl Mlp<'_, i8, i32, i32> {
    /// The runs of blocks with inputs of some fields, of `dim` numbers each; `is_in` says whether a field is one of
    /// them. None where a layer has a row for each output.
    pub(crate) fn runs<'s>(
        &self,
        dim: usize,
        is_in: impl Fn(usize) -> bool,
        memory: &mut impl Memory<'s>,
    ) -> Scored<&'s [Run]> {
        let first = self.layer(0);
        let size = block(first.layout);
        let is_read = |block: usize| {
            let (from, to) = (block * size, (block * size + size).min(first.inputs));
            let field = |input: usize| input.checked_div(dim).unwrap_or(0);
            (field(from)..=field(to - 1)).any(&is_in)
        };
        let starts = |&block: &usize| is_read(block) && (block == 0 || !is_read(block - 1));
        let blocks = if first.layout == Layout::Rows { 0 } else { first.inputs.div_ceil(size) };
        let count = (0..blocks).filter(starts).count();
        memory.lay(count, |runs: &mut [Run]| {
            for (run, from) in runs.iter_mut().zip((0..blocks).filter(starts)) {
                let count = (from..blocks).take_while(|&block| is_read(block)).count();
                // A layer has at most 2^15 inputs.
                *run = [from as u16, count as u16];
            }
        })
    }

    /// x \[inputs of all fields\] and slack, start \[outputs\], padded, scratch of [`Mlp::fours`]: the accumulator of the
    /// output layer
    ///
    /// `start`: what the first layer's sums begin with, [less those of nothing](Mlp::less_nothing).
    pub(crate) fn fours_of_some(
        &self,
        x: &[i8],
        runs: &[Run],
        start: &[i32],
        (read, h): (&mut [u32], &mut [u8]),
    ) -> i64 {
        let first = self.layer(0);
        let fours = Fours::of_first(&first, x, read);
        let channels = start.as_chunks().0.iter().zip(first.multipliers.as_chunks::<{ strip::OUTPUTS }>().0);
        for (strip, (y, (start, m))) in h.as_chunks_mut::<{ strip::OUTPUTS }>().0.iter_mut().zip(channels).enumerate() {
            let mut sums = *start;
            fours.add_runs(strip, runs, block(first.layout), &mut sums);
            finish_int8(&sums, &[0; strip::OUTPUTS], m, y);
        }
        self.fours_from(1, &[], None, (read, h))
    }

    /// x \[inputs of all fields\] and slack, start \[outputs\], padded: start_o += acc_o, of the whole first layer
    pub(crate) fn begin(&self, x: &[i8], read: &mut [u32], start: &mut [i32]) {
        let first = self.layer(0);
        if first.layout == Layout::Rows {
            for (start, w) in start.iter_mut().zip(rows(first.weights, first.inputs)) {
                *start = start.wrapping_add(dot_int8(run(x, 0, first.inputs), w));
            }
            return;
        }
        let all = [[0, first.inputs.div_ceil(block(first.layout)) as u16]];
        let fours = Fours::of_first(&first, x, read);
        for (strip, start) in start.as_chunks_mut::<{ strip::OUTPUTS }>().0.iter_mut().enumerate() {
            fours.add_runs(strip, &all, block(first.layout), start);
        }
    }

    /// start \[outputs\], padded: less what the runs sum up of zeros, which is not 0 where the layout has the
    /// instructions read other numbers
    pub(crate) fn less_nothing(&self, zeros: &[i8], runs: &[Run], read: &mut [u32], start: &mut [i32]) {
        let first = self.layer(0);
        let fours = Fours::of_first(&first, zeros, read);
        for (strip, start) in start.as_chunks_mut::<{ strip::OUTPUTS }>().0.iter_mut().enumerate() {
            let mut sums = [0; strip::OUTPUTS];
            fours.add_runs(strip, runs, block(first.layout), &mut sums);
            start.iter_mut().zip(&sums).for_each(|(start, &sum)| *start = start.wrapping_sub(sum));
        }
    }

    /// x \[inputs of all fields\], start \[outputs\], h0 and h1 of [`Mlp::rows`]: the same by layers in rows, of the fields
    /// of these numbers
    pub(crate) fn rows_of_some(
        &self,
        x: &[i8],
        (fields, dim): (impl Iterator<Item = usize> + Clone, usize),
        start: &[i32],
        [h0, h1]: [&mut [u8]; 2],
    ) -> i64 {
        let (hidden, _) = self.split();
        let first = self.layer(0);
        let sum = |o: usize, start: i32| {
            let w = run(first.weights, o * first.inputs, first.inputs);
            let of_field = |field: usize| dot_int8(run(x, field * dim, dim), run(w, field * dim, dim));
            start.wrapping_add(fields.clone().map(of_field).sum())
        };
        if hidden == 0 {
            return start.first().map_or(0, |&start| i64::from(sum(0, start)));
        }
        let y = run_mut(h0, 0, first.outputs);
        for (o, ((y, &start), &m)) in y.iter_mut().zip(start).zip(first.multipliers).enumerate() {
            finish_int8(&[sum(o, start)], &[0], &[m], std::slice::from_mut(y));
        }
        self.behind_first(first.outputs, [h0, h1])
    }
}
