//! Sixteen lanes: what a back end must be able to do, and the loops over them that score rows.
//!
//! Layers in tiles (`docs/format.md`): sixteen outputs side by side, so that no sum crosses lanes. Rows that go through
//! a layer together are interleaved, `[input][row]`, so that one pointer walks through the inputs and one through the
//! weights, and safe code needs no bounds check in the loop.

use crate::format::layout::tile::{DEPTH, OUTPUTS};

/// Numbers that a [`Vector`] works on at once.
pub(crate) const LANES: usize = 16;
/// Rows that go through the layers together in a batch.
pub(crate) const GROUP: usize = 8;
/// Rows of a group in f32 mode, whose weights, four times as many bytes, are read half as often for it; and of one
/// whose layers are products of [matrices](Vector::matrix).
pub(crate) const WIDE_GROUP: usize = 2 * GROUP;

/// Rows that go through layers of [`Layout::Dsp`](crate::format::Layout::Dsp) together, on the CPUs that it is for.
pub(crate) const TWINS: usize = 2;
/// Whether this is one of them.
pub(crate) const HAS_TWINS: bool = cfg!(all(xsfm_dsp, not(xsfm_mve)));

/// Rows that are interleaved at once in f32 mode; groups, and the rows that registers have room for, are multiples of
/// it.
pub(crate) const FEW: usize = 4;
/// Groups of [`WIDE_GROUP`] rows that take turns at the weights of a wide layer in f32 mode.
pub(crate) const GROUPS: usize = 4;

/// Two fields' vectors in the lanes of a back end.
pub(crate) type FieldPair = [i16; 2 * LANES];
/// Eight numbers of a field as halves of words: what a microcontroller's back end reads pairs from.
pub(crate) type Spread = [u32; 4];

/// Four i8 or u8 inputs of a layer.
pub(crate) type Quad = [u8; DEPTH];
/// The weights of sixteen outputs for four inputs: `[OUTPUTS][DEPTH]`.
pub(crate) type WeightQuads = [i8; OUTPUTS * DEPTH];

/// Work that any back end can do; `inline(always)` all the way down, so that it is compiled for the back end's
/// instructions.
pub(crate) trait Task {
    type Output;
    fn run<V: Vector>(self, v: V) -> Self::Output;
}

/// A back end's operations on sixteen lanes. All of them are `inline(always)`.
///
/// Integer operations wrap; the limits of the loader keep every final sum in its type. f32 operations are single
/// IEEE-754 operations, but for [`Vector::mul_add_f32`].
pub(crate) trait Vector: Copy {
    /// i32 in each lane.
    type I32: Copy;
    /// f32 in each lane.
    type F32: Copy;
    /// A sum of products for each of sixteen outputs, perhaps in several parts.
    type Dot: Copy;
    /// The back end that takes f32 work: of those that differ in products of integers alone, one, so that such work is
    /// compiled once for all of them.
    type Reals: Vector;
    /// Pairs of i16, one in each lane.
    type Pairs: Copy;

    /// Whether there is more than one lane: otherwise the plain loops of [`super::portable`] serve better.
    const WIDE: bool = true;
    /// Whether rows of a batch go through the layers in groups, which are a second copy of a score: worth it where they
    /// gain by it.
    const GROUPED: bool = Self::WIDE;
    /// Whether [`Vector::dot`] takes u8 inputs; i8 otherwise. The other kind is shifted by 128, which the bias makes up
    /// for.
    const UNSIGNED: bool;
    /// Rows of a group whose sums fit the registers, with how many tiles: (8, 2), (8, 1), (4, 1), (2, 1) or (1, 1).
    const REGISTER_TILE: (usize, usize);
    /// Whether there are instructions for [`Vector::matrix`].
    const MATRIX: bool = false;

    /// Runs `task`, compiled for this back end's instructions.
    fn run<T: Task>(self, task: T) -> T::Output;
    /// Runs layers: as other work, so that rows and items of catalogues share them.
    #[inline(always)]
    fn run_layers<T: Task>(self, task: T) -> T::Output {
        self.run(task)
    }
    /// The token of the back end that takes f32 work.
    fn reals(self) -> Self::Reals;
    /// Asks for the cache line of `bytes[0]`.
    fn prefetch<T>(self, _numbers: &[T]) {}

    fn splat(self, value: i32) -> Self::I32;
    fn load(self, values: &[i32; LANES]) -> Self::I32;
    fn store(self, lanes: Self::I32) -> [i32; LANES];
    fn widen_i8(self, values: &[i8; LANES]) -> Self::I32;
    fn widen_i16(self, values: &[i16; LANES]) -> Self::I32;
    fn add(self, a: Self::I32, b: Self::I32) -> Self::I32;
    fn mul(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// [`crate::quant::requantize`] in each lane.
    fn requantize(self, acc: Self::I32, multiplier: Self::I32) -> Self::I32;
    fn clamp(self, a: Self::I32, least: i32, most: i32) -> Self::I32;
    /// The low byte of each lane.
    fn bytes(self, a: Self::I32) -> [u8; LANES];

    /// (a, b) in each lane.
    fn pairs(self, a: &[i8; LANES], b: &[i8; LANES]) -> Self::Pairs;
    /// acc + a * r\[0\] + b * r\[1\]
    fn dot_pairs(self, acc: Self::I32, pairs: Self::Pairs, r: [i16; 2]) -> Self::I32;
    /// To memory as a, b of the first lane, a, b of the second, …
    fn store_pairs(self, pairs: Self::Pairs, to: &mut FieldPair);
    fn load_pairs(self, from: &FieldPair) -> Self::Pairs;
    /// a of (a, b) in each lane.
    fn first_of(self, pairs: Self::Pairs) -> Self::I32;
    /// b of (a, b) in each lane.
    fn second_of(self, pairs: Self::Pairs) -> Self::I32;

    fn dot_zero(self) -> Self::Dot;
    /// acc\[o\] += sum_d w\[o\]\[d\] x\[d\]
    fn dot(self, acc: Self::Dot, w: &WeightQuads, x: Quad) -> Self::Dot;
    fn dot_sum(self, acc: Self::Dot) -> Self::I32;
    /// w \[inputs / 4\], x \[inputs / 4\]: the sums of one tile for one row.
    #[inline(always)]
    fn dot_run(self, w: &[WeightQuads], x: &[Quad]) -> Self::I32 {
        dot_run(self, w, x)
    }
    /// w \[inputs / 4\], x \[inputs / 4, R\]: the sums of one tile for rows FIRST to FIRST + N.
    #[inline(always)]
    fn dot_rows<const R: usize, const FIRST: usize, const N: usize>(
        self,
        w: &[WeightQuads],
        x: &[[Quad; R]],
    ) -> [Self::Dot; N] {
        dot_rows(self, [self.dot_zero(); N], w, x, FIRST)
    }

    /// w \[tiles, depth\], x in [runs](place): calls `each` with every tile and its sums for each row.
    #[inline(always)]
    fn matrix<const R: usize>(
        self,
        _w: &[WeightQuads],
        _depth: usize,
        _x: &[[Quad; R]],
        _each: impl FnMut(usize, &[[i32; LANES]; R]),
    ) {
    }

    fn splat_f32(self, value: f32) -> Self::F32;
    fn load_f32(self, values: &[f32; LANES]) -> Self::F32;
    fn store_f32(self, lanes: Self::F32) -> [f32; LANES];
    /// Of each lane its number in every row.
    #[inline(always)]
    fn columns(self, rows: [Self::F32; FEW]) -> [[f32; FEW]; LANES] {
        let mut columns = [[0.0; FEW]; LANES];
        for (row, lanes) in rows.into_iter().enumerate() {
            for (column, value) in columns.iter_mut().zip(self.store_f32(lanes)) {
                column[row] = value;
            }
        }
        columns
    }
    fn add_f32(self, a: Self::F32, b: Self::F32) -> Self::F32;
    fn mul_f32(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// a * b + c, rounded once where the back end has such an instruction.
    fn mul_add_f32(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// `if a < least { least } else { a }`: what is not a number stays so.
    fn at_least(self, a: Self::F32, least: f32) -> Self::F32;
    /// The larger, where both are numbers.
    fn max_f32(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// The smaller, where both are numbers.
    fn min_f32(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// Rounded to nearest, ties to even.
    fn to_f32(self, a: Self::I32) -> Self::F32;
    /// Truncated; `a` is between -2^31 and 2^31.
    fn truncate(self, a: Self::F32) -> Self::I32;
}

/// [`Vector::dot_run`], quad by quad.
#[inline(always)]
pub(super) fn dot_run<V: Vector>(v: V, w: &[WeightQuads], x: &[Quad]) -> V::I32 {
    let mut acc = v.dot_zero();
    for (w, &x) in w.iter().zip(x) {
        acc = v.dot(acc, w, x);
    }
    v.dot_sum(acc)
}

/// [`Vector::dot_rows`], quad by quad, going on from `acc`.
#[inline(always)]
pub(super) fn dot_rows<V: Vector, const R: usize, const N: usize>(
    v: V,
    mut acc: [V::Dot; N],
    w: &[WeightQuads],
    x: &[[Quad; R]],
    first: usize,
) -> [V::Dot; N] {
    for (w, x) in w.iter().zip(x) {
        for (row, acc) in acc.iter_mut().enumerate() {
            *acc = v.dot(*acc, w, x[first + row]);
        }
    }
    acc
}

/// Both weights of [`Vector::dot_pairs`] as the instructions read them: halves of a word.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_feature = "simd128"))]
#[inline(always)]
pub(super) fn both([low, high]: [i16; 2]) -> i32 {
    i32::from(low.cast_unsigned()) | i32::from(high) << 16
}

/// `values[at..at + 16]`; `None` where they end before.
#[inline(always)]
pub(crate) fn sixteen<T>(values: &[T], at: usize) -> Option<&[T; LANES]> {
    values.get(at..).and_then(<[T]>::first_chunk)
}

/// `values[at..at + 16]`, zeros for what is beyond their end.
#[cold]
#[inline(never)]
fn padded<T: Copy + Default>(values: &[T], at: usize) -> [T; LANES] {
    let mut lanes = [T::default(); LANES];
    lanes.iter_mut().zip(values.iter().skip(at)).for_each(|(lane, &value)| *lane = value);
    lanes
}

/// The operations that fill lanes, from anywhere: `values[at..at + 16]`, zeros for what is beyond their end.
macro_rules! from_anywhere {
    ($($name:ident($number:ty) -> $lanes:ident;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<V: Vector>(v: V, values: &[$number], at: usize) -> V::$lanes {
            match sixteen(values, at) {
                Some(values) => v.$name(values),
                None => v.$name(&padded(values, at)),
            }
        }
    )*};
}

from_anywhere! {
    widen_i8(i8) -> I32;
    widen_i16(i16) -> I32;
    load_f32(f32) -> F32;
}

/// `from[at..at + len]` to the start of `out`; whole vectors where there is room for them on both sides.
#[inline(always)]
pub(crate) fn copy<T: Copy>(from: &[T], at: usize, len: usize, out: &mut [T]) {
    if len <= LANES
        && let (Some(from), Some(out)) = (sixteen(from, at), out.first_chunk_mut::<LANES>())
    {
        *out = *from;
        return;
    }
    let whole = len.next_multiple_of(LANES);
    match (from.get(at..at + whole), out.get_mut(..whole)) {
        (Some(from), Some(out)) => {
            for (out, from) in out.as_chunks_mut::<LANES>().0.iter_mut().zip(from.as_chunks::<LANES>().0) {
                *out = *from;
            }
        }
        _ => out[..len].copy_from_slice(&from[at..at + len]),
    }
}

/// Outputs of the widest layer from which on products of matrices are faster than groups of [`GROUP`] rows.
pub(crate) const MATRIX_OUTPUTS: usize = 64;
/// Quads of a row that lie side by side where layers are products of matrices.
pub(crate) const RUN: usize = 16;

/// Whether the layers of R rows are products of [matrices](Vector::matrix).
pub(crate) const fn is_matrix<V: Vector, const R: usize>() -> bool {
    V::MATRIX && R == WIDE_GROUP
}

/// Where a row's quad lies among the `quads` of a layer's inputs for products of matrices: in runs,
/// `[quads / RUN, R, RUN]`, the last as long as what is left.
#[inline(always)]
pub(crate) fn place<const R: usize>(quad: usize, row: usize, quads: usize) -> usize {
    let run = quad / RUN * RUN;
    run * R + row * RUN.min(quads - run) + quad % RUN
}

/// What goes on between the tiles of a layer: asking for memory that will be needed, a little at a time.
pub(crate) trait Prefetch {
    fn step<V: Vector>(&mut self, v: V);
}

/// Nothing.
impl Prefetch for () {
    #[inline(always)]
    fn step<V: Vector>(&mut self, _: V) {}
}

/// What becomes of a tile's sums.
pub(crate) trait Finish<V: Vector> {
    /// What all rows share: the numbers of a tile's sixteen channels.
    type Channels: Copy;
    fn channels(&self, v: V, tile: usize) -> Self::Channels;
    fn row(&mut self, v: V, channels: Self::Channels, tile: usize, row: usize, acc: V::I32);
}

/// w \[tiles, depth\], x \[depth, R\] with R 1 or [`GROUP`], or \[depth and more, R\] in [runs](place) for products of
/// matrices: gives `finish` the sums of every tile for every row
#[inline(always)]
pub(crate) fn layer_int8<V: Vector, const R: usize>(
    v: V,
    w: &[WeightQuads],
    depth: usize,
    x: &[[Quad; R]],
    finish: &mut impl Finish<V>,
    ahead: &mut impl Prefetch,
) {
    if depth == 0 {
        return;
    }
    if R == 1 {
        for (tile, w) in w.chunks_exact(depth).enumerate() {
            let acc = v.dot_run(w, x.as_flattened());
            let channels = finish.channels(v, tile);
            finish.row(v, channels, tile, 0, acc);
        }
        return;
    }
    if is_matrix::<V, R>() {
        return v.matrix(
            w,
            depth,
            x,
            #[inline(always)]
            |tile, sums| {
                ahead.step(v);
                let channels = finish.channels(v, tile);
                for (row, sums) in sums.iter().enumerate() {
                    finish.row(v, channels, tile, row, v.load(sums));
                }
            },
        );
    }
    let mut tile = 0;
    let mut rest = w;
    if V::REGISTER_TILE == (8, 2) {
        let mut two = w.chunks_exact(2 * depth);
        for w in &mut two {
            ahead.step(v);
            let (w0, w1) = w.split_at(depth);
            let acc = two_tiles::<V, R, 8>(v, w0, w1, x);
            for (t, acc) in acc.into_iter().enumerate() {
                finish_rows(v, finish, finish.channels(v, tile + t), tile + t, 0, acc);
            }
            tile += 2;
        }
        rest = two.remainder();
    }
    for w in rest.chunks_exact(depth) {
        ahead.step(v);
        let channels = finish.channels(v, tile);
        /// So many rows together, from each of these on.
        macro_rules! rows {
            ($count:literal from $($first:literal)*) => {{
                $(finish_rows(v, finish, channels, tile, $first, v.dot_rows::<R, $first, $count>(w, x));)*
            }};
        }
        match V::REGISTER_TILE.0 {
            8 => rows!(8 from 0),
            4 => rows!(4 from 0 4),
            2 => rows!(2 from 0 2 4 6),
            _ => {
                for row in 0..R {
                    finish_rows(v, finish, channels, tile, row, dot_rows(v, [v.dot_zero()], w, x, row));
                }
            }
        }
        tile += 1;
    }
}

#[inline(always)]
fn finish_rows<V: Vector, F: Finish<V>, const N: usize>(
    v: V,
    finish: &mut F,
    channels: F::Channels,
    tile: usize,
    first: usize,
    acc: [V::Dot; N],
) {
    for (row, acc) in acc.into_iter().enumerate() {
        finish.row(v, channels, tile, first + row, v.dot_sum(acc));
    }
}

/// The sums of two tiles for N rows.
#[inline(always)]
fn two_tiles<V: Vector, const R: usize, const N: usize>(
    v: V,
    w0: &[WeightQuads],
    w1: &[WeightQuads],
    x: &[[Quad; R]],
) -> [[V::Dot; N]; 2] {
    let mut acc = [[v.dot_zero(); N]; 2];
    for ((x, w0), w1) in x.iter().zip(w0).zip(w1) {
        for row in 0..N {
            acc[0][row] = v.dot(acc[0][row], w0, x[row]);
            acc[1][row] = v.dot(acc[1][row], w1, x[row]);
        }
    }
    acc
}

/// y \[LANES, R\]: rows `first` to `first` + N of the group, N being one or a multiple of [`FEW`]
#[inline(always)]
pub(crate) fn interleave_f32<V: Vector, const R: usize, const N: usize>(
    v: V,
    rows: [V::F32; N],
    first: usize,
    y: &mut [[f32; R]; LANES],
) {
    if N == 1 {
        for (y, value) in y.iter_mut().zip(v.store_f32(rows[0])) {
            y[first] = value;
        }
    }
    for (n, &rows) in rows.as_chunks().0.iter().enumerate() {
        for (y, column) in y.iter_mut().zip(v.columns(rows)) {
            if let Some(y) = y.get_mut(first + FEW * n..).and_then(<[f32]>::first_chunk_mut) {
                *y = column;
            }
        }
    }
}

/// What becomes of a tile's sums in f32 mode.
pub(crate) trait FinishReal<V: Vector> {
    /// acc: of rows `first` to `first` + N of the group.
    fn rows<const N: usize>(&mut self, v: V, group: usize, tile: usize, first: usize, acc: [V::F32; N]);
}

/// w \[tiles, inputs\], start \[tiles\], of each group x \[inputs, R\] with R 1, [`GROUP`] or [`WIDE_GROUP`]: gives
/// `finish` the sums of every tile for every row
///
/// Each sum begins with its number of `start` and takes the inputs in their order, whatever the tile, the group or the
/// CPU. Groups take turns at a tile, so that its weights come from far away once for all of them.
#[inline(always)]
pub(crate) fn layer_f32<'x, V: Vector, const R: usize>(
    v: V,
    w: &[[f32; LANES]],
    start: &[[f32; LANES]],
    groups: impl Iterator<Item = &'x [[f32; R]]> + Clone,
    finish: &mut impl FinishReal<V>,
    ahead: &mut impl Prefetch,
) {
    let Some(x) = groups.clone().next().filter(|x| !x.is_empty()) else { return };
    if R == 1 {
        return single_f32(v, w, start, x.as_flattened(), finish);
    }
    let (inputs, mut tile) = (x.len(), 0);
    let mut rest = w;
    if V::REGISTER_TILE == (8, 2) {
        let mut two = w.chunks_exact(2 * inputs);
        for w in &mut two {
            for (group, x) in groups.clone().enumerate() {
                ahead.step(v);
                two_tiles_f32::<V, R, 0>(v, w, start, x, group, tile, finish);
                if R == WIDE_GROUP {
                    two_tiles_f32::<V, R, GROUP>(v, w, start, x, group, tile, finish);
                }
            }
            tile += 2;
        }
        rest = two.remainder();
    }
    for w in rest.chunks_exact(inputs) {
        for (group, x) in groups.clone().enumerate() {
            ahead.step(v);
            if V::REGISTER_TILE.0 == 8 {
                rows_f32::<V, R, 0, 8>(v, w, start, x, group, tile, finish);
                if R == WIDE_GROUP {
                    rows_f32::<V, R, 8, 8>(v, w, start, x, group, tile, finish);
                }
            } else {
                rows_f32::<V, R, 0, 4>(v, w, start, x, group, tile, finish);
                rows_f32::<V, R, 4, 4>(v, w, start, x, group, tile, finish);
                if R == WIDE_GROUP {
                    rows_f32::<V, R, 8, 4>(v, w, start, x, group, tile, finish);
                    rows_f32::<V, R, 12, 4>(v, w, start, x, group, tile, finish);
                }
            }
        }
        tile += 1;
    }
}

/// [`layer_f32`] of one row.
#[inline(always)]
fn single_f32<V: Vector>(v: V, w: &[[f32; LANES]], start: &[[f32; LANES]], x: &[f32], finish: &mut impl FinishReal<V>) {
    let (inputs, mut tile) = (x.len(), 0);
    // Several tiles side by side: each sum alone would wait for its last product.
    let mut four = w.chunks_exact(4 * inputs);
    for w in &mut four {
        let (w0, w) = w.split_at(inputs);
        let (w1, w) = w.split_at(inputs);
        let (w2, w3) = w.split_at(inputs);
        let mut acc = [v.splat_f32(0.0); 4];
        for (acc, start) in acc.iter_mut().zip(&start[tile..]) {
            *acc = v.load_f32(start);
        }
        for ((((x, w0), w1), w2), w3) in x.iter().zip(w0).zip(w1).zip(w2).zip(w3) {
            let x = v.splat_f32(*x);
            acc[0] = v.mul_add_f32(x, v.load_f32(w0), acc[0]);
            acc[1] = v.mul_add_f32(x, v.load_f32(w1), acc[1]);
            acc[2] = v.mul_add_f32(x, v.load_f32(w2), acc[2]);
            acc[3] = v.mul_add_f32(x, v.load_f32(w3), acc[3]);
        }
        for (t, acc) in acc.into_iter().enumerate() {
            finish.rows(v, 0, tile + t, 0, [acc]);
        }
        tile += 4;
    }
    for w in four.remainder().chunks_exact(inputs) {
        rows_f32::<V, 1, 0, 1>(v, w, start, x.as_chunks().0, 0, tile, finish);
        tile += 1;
    }
}

/// Two tiles for rows FIRST to FIRST + 8.
#[inline(always)]
fn two_tiles_f32<V: Vector, const R: usize, const FIRST: usize>(
    v: V,
    w: &[[f32; LANES]],
    start: &[[f32; LANES]],
    x: &[[f32; R]],
    group: usize,
    tile: usize,
    finish: &mut impl FinishReal<V>,
) {
    let (w0, w1) = w.split_at(x.len());
    let mut acc = [[v.load_f32(&start[tile]); GROUP], [v.load_f32(&start[tile + 1]); GROUP]];
    for ((x, w0), w1) in x.iter().zip(w0).zip(w1) {
        let (w0, w1) = (v.load_f32(w0), v.load_f32(w1));
        for row in 0..GROUP {
            let x = v.splat_f32(x[FIRST + row]);
            acc[0][row] = v.mul_add_f32(x, w0, acc[0][row]);
            acc[1][row] = v.mul_add_f32(x, w1, acc[1][row]);
        }
    }
    for (t, acc) in acc.into_iter().enumerate() {
        finish.rows(v, group, tile + t, FIRST, acc);
    }
}

/// One tile for rows FIRST to FIRST + N.
#[inline(always)]
fn rows_f32<V: Vector, const R: usize, const FIRST: usize, const N: usize>(
    v: V,
    w: &[[f32; LANES]],
    start: &[[f32; LANES]],
    x: &[[f32; R]],
    group: usize,
    tile: usize,
    finish: &mut impl FinishReal<V>,
) {
    let mut acc = [v.load_f32(&start[tile]); N];
    for (x, w) in x.iter().zip(w) {
        let w = v.load_f32(w);
        for (row, acc) in acc.iter_mut().enumerate() {
            *acc = v.mul_add_f32(v.splat_f32(x[FIRST + row]), w, *acc);
        }
    }
    finish.rows(v, group, tile, FIRST, acc);
}

/// The sum of sixteen numbers, always in the same order.
#[inline(always)]
pub(crate) fn total_f32(mut values: [f32; LANES]) -> f32 {
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            values[i] += values[half + i];
        }
    }
    values[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_fill_their_place_and_are_consecutive() {
        for quads in 1..70 {
            let mut taken = [false; 70 * 3];
            for (quad, row) in (0..quads).flat_map(|quad| (0..3).map(move |row| (quad, row))) {
                let at = place::<3>(quad, row, quads);
                assert!(at < 3 * quads && !core::mem::replace(&mut taken[at], true), "{quad} of {quads}, row {row}");
                let is_first = quad % RUN == 0;
                assert!(is_first || at == place::<3>(quad - 1, row, quads) + 1, "{quad} of {quads}, row {row}");
            }
        }
    }
}
