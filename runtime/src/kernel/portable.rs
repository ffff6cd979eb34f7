//! Plain Rust: [`Portable`] is the back end without vector instructions of its own.
//!
//! It has plain loops where one row lies as it was trained, and arrays of sixteen, which a compiler can vectorise,
//! where weights lie in tiles. Shapes are in the first line of every function.

use core::array::from_fn;

#[cfg(not(any(xsfm_dsp, xsfm_mve)))]
use super::vector::FieldPair;
use super::vector::{LANES, Quad, Task, Vector, WeightQuads};
use crate::format::Layout;
use crate::format::layout::Laid;
use crate::quant::{DYNAMIC_MAX, dynamic_scale, requantize};
use crate::run::{rows, run};

/// Always there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable;

impl Portable {
    #[cfg_attr(
        all(not(feature = "std"), target_feature = "simd128"),
        expect(dead_code, reason = "the other back end is always there")
    )]
    pub(crate) fn new() -> Option<Self> {
        Some(Portable)
    }
}

impl Vector for Portable {
    type I32 = [i32; LANES];
    type F32 = [f32; LANES];
    type Dot = [i32; LANES];
    type Reals = Self;
    type Pairs = [i16; 2 * LANES];

    const WIDE: bool = false;
    const UNSIGNED: bool = false;
    const REGISTER_TILE: (usize, usize) = (1, 1);

    #[inline(always)]
    fn run<T: Task>(self, task: T) -> T::Output {
        task.run(self)
    }

    #[inline(always)]
    fn reals(self) -> Self {
        self
    }

    #[inline(always)]
    fn dot_pairs(self, acc: Self::I32, pairs: Self::Pairs, r: [i16; 2]) -> Self::I32 {
        let [r0, r1] = r.map(i32::from);
        from_fn(|i| acc[i].wrapping_add(i32::from(pairs[2 * i]) * r0).wrapping_add(i32::from(pairs[2 * i + 1]) * r1))
    }

    #[inline(always)]
    fn store_pairs(self, pairs: Self::Pairs, to: &mut [i16; 2 * LANES]) {
        *to = pairs;
    }

    #[inline(always)]
    fn dot(self, acc: Self::Dot, w: &WeightQuads, x: Quad) -> Self::Dot {
        let x = x.map(|x| i32::from(x.cast_signed()));
        let mut sums = acc;
        for (sum, w) in sums.iter_mut().zip(w.as_chunks::<{ size_of::<Quad>() }>().0) {
            let products = [0, 1, 2, 3].map(|d| i32::from(w[d]) * x[d]);
            *sum = sum.wrapping_add(products[0] + products[1] + products[2] + products[3]);
        }
        sums
    }

    operations! { self =>
        splat(value: i32) -> Self::I32 = [value; LANES];
        dot_zero() -> Self::Dot = [0; LANES];
        splat_f32(value: f32) -> Self::F32 = [value; LANES];
        load(values: &[i32; LANES]) -> Self::I32 = *values;
        store(lanes: Self::I32) -> [i32; LANES] = lanes;
        widen_i8(values: &[i8; LANES]) -> Self::I32 = values.map(i32::from);
        widen_i16(values: &[i16; LANES]) -> Self::I32 = values.map(i32::from);
        add(a: Self::I32, b: Self::I32) -> Self::I32 = from_fn(|i| a[i].wrapping_add(b[i]));
        mul(a: Self::I32, b: Self::I32) -> Self::I32 = from_fn(|i| a[i].wrapping_mul(b[i]));
        requantize(acc: Self::I32, multiplier: Self::I32) -> Self::I32 = from_fn(|i| requantize(acc[i], multiplier[i]));
        clamp(a: Self::I32, least: i32, most: i32) -> Self::I32 = a.map(|a| a.max(least).min(most));
        bytes(a: Self::I32) -> [u8; LANES] = a.map(|a| a as u8);
        pairs(a: &[i8; LANES], b: &[i8; LANES]) -> Self::Pairs =
            from_fn(|i| i16::from(if i % 2 == 0 { a[i / 2] } else { b[i / 2] }));
        load_pairs(from: &[i16; 2 * LANES]) -> Self::Pairs = *from;
        first_of(pairs: Self::Pairs) -> Self::I32 = from_fn(|i| pairs[2 * i].into());
        second_of(pairs: Self::Pairs) -> Self::I32 = from_fn(|i| pairs[2 * i + 1].into());
        dot_sum(acc: Self::Dot) -> Self::I32 = acc;
        load_f32(values: &[f32; LANES]) -> Self::F32 = *values;
        store_f32(lanes: Self::F32) -> [f32; LANES] = lanes;
        add_f32(a: Self::F32, b: Self::F32) -> Self::F32 = from_fn(|i| a[i] + b[i]);
        mul_f32(a: Self::F32, b: Self::F32) -> Self::F32 = from_fn(|i| a[i] * b[i]);
        mul_add_f32(a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32 = from_fn(|i| a[i] * b[i] + c[i]);
        at_least(a: Self::F32, least: f32) -> Self::F32 = a.map(|a| if a < least { least } else { a });
        max_f32(a: Self::F32, b: Self::F32) -> Self::F32 = from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] });
        min_f32(a: Self::F32, b: Self::F32) -> Self::F32 = from_fn(|i| if a[i] < b[i] { a[i] } else { b[i] });
        to_f32(a: Self::I32) -> Self::F32 = a.map(|a| a as f32);
        truncate(a: Self::F32) -> Self::I32 = a.map(|a| a as i32);
    }
}

/// Number of dimensions that [`pairs_int8`] sums side by side: a register's worth on small and large CPUs.
const SIDE_BY_SIDE: usize = 8;

/// acc\[d\] += 128 * q\[d\]
pub(crate) fn add_row(acc: &mut [i32], q: &[i8]) {
    for (a, &q) in acc.iter_mut().zip(q) {
        *a += i32::from(q) << 7;
    }
}

/// acc\[d\] += q\[d\] * r\[d\]
pub(crate) fn add_product(acc: &mut [i32], q: &[i8], r: &[i8]) {
    for ((a, &q), &r) in acc.iter_mut().zip(q).zip(r) {
        *a += i32::from(q) * i32::from(r);
    }
}

/// out\[d\] = clamp(requantize(q\[d\] * r\[d\], multiplier), -127, 127), or of 128 * (q\[d\] + r\[d\])
#[inline(never)]
pub(crate) fn compose(q: &[i8], r: &[i8], is_product: bool, multiplier: i32, out: &mut [i8]) {
    for ((o, &q), &r) in out.iter_mut().zip(q).zip(r) {
        let (q, r) = (i32::from(q), i32::from(r));
        let sum = if is_product { q * r } else { (q + r) << 7 };
        *o = requantize(sum, multiplier).clamp(-127, 127) as i8;
    }
}

/// out\[d\] = clamp(requantize(acc\[d\], multiplier), -127, 127)
pub(crate) fn requantize_row(acc: &[i32], multiplier: i32, out: &mut [i8]) {
    for (o, &a) in out.iter_mut().zip(acc) {
        *o = requantize(a, multiplier).clamp(-127, 127) as i8;
    }
}

/// sum_d e\[d\] * u\[d\]; the loader has checked that it fits: `128 * sum|u| < 2^31`.
pub(crate) fn dot_coefficients_int8(e: &[i8], u: &[i16]) -> i32 {
    e.iter().zip(u).map(|(&e, &u)| i32::from(e) * i32::from(u)).sum()
}

/// e \[fields, dim\], r upper triangle row by row: sum_d sum_{i<j} r_ij e_id e_jd, as sum_d sum_i e_id (sum_{j>i} r_ij
/// e_jd)
///
/// The inner sums fit an i32: `128^2 * sum|r| < 2^31`.
#[cfg(not(any(xsfm_dsp, xsfm_mve)))]
pub(crate) fn pairs_int8(e: &[i8], r: &[i16], num_fields: usize, dim: usize, _: &mut [FieldPair]) -> i64 {
    let e = run(e, 0, num_fields * dim);
    let mut total = 0;
    for first in (0..dim).step_by(SIDE_BY_SIDE) {
        let lanes = SIDE_BY_SIDE.min(dim - first);
        let mut sums = [0_i32; SIDE_BY_SIDE];
        let (mut rest, mut r_rest) = (e, r);
        while let Some((e_i, e_after)) = rest.split_at_checked(dim) {
            let Some((r_i, r_after)) = r_rest.split_at_checked(e_after.len() / dim.max(1)) else { break };
            (rest, r_rest) = (e_after, r_after);
            let mut weighted = [0_i32; SIDE_BY_SIDE];
            for (e_j, &r_ij) in rows(e_after, dim).zip(r_i) {
                for (w, &v) in weighted.iter_mut().zip(run(e_j, first, lanes)) {
                    *w += i32::from(r_ij) * i32::from(v);
                }
            }
            for ((s, &v), w) in sums.iter_mut().zip(run(e_i, first, lanes)).zip(weighted) {
                *s += i32::from(v) * w;
            }
        }
        total += sums.iter().map(|&s| i64::from(s)).sum::<i64>();
    }
    total
}

/// e \[fields, dim\], one weight per listed pair: sum_{(i,j)} r_ij <e_i, e_j>
pub(crate) fn listed_pairs_int8(e: &[i8], pairs: &[[u8; 2]], r: &[i16], dim: usize) -> i64 {
    let row = |f: u8| run(e, usize::from(f) * dim, dim);
    let dot = |a: &[i8], b: &[i8]| -> i32 { a.iter().zip(b).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum() };
    pairs.iter().zip(r).map(|(&[i, j], &r_ij)| i64::from(r_ij) * i64::from(dot(row(i), row(j)))).sum()
}

/// x \[inputs\], w \[outputs, inputs\], b and m \[outputs\]: y\[o\] = clamp(requantize(b_o + sum_i w_oi x_i, m_o), 0,
/// 255), a layer with its ReLU
///
/// `x` is i8 for the first layer and u8 for the others.
#[inline(always)]
pub(crate) fn layer_int8<X: Copy + Into<i32>>(x: &[X], w: &[i8], b: &[i32], m: &[i32], y: &mut [u8]) {
    for (((y, w), &b), &m) in y.iter_mut().zip(rows(w, x.len())).zip(b).zip(m) {
        *y = requantize(b + dot_int8(x, w), m).clamp(0, 255) as u8;
    }
}

/// acc, b and m \[outputs\]: y\[o\] = clamp(requantize(b_o + acc_o, m_o), 0, 255), a layer whose sums were computed
/// before; they wrap, whatever they are
#[inline(always)]
pub(crate) fn finish_int8(acc: &[i32], b: &[i32], m: &[i32], y: &mut [u8]) {
    for (((y, &acc), &b), &m) in y.iter_mut().zip(acc).zip(b).zip(m) {
        *y = requantize(acc.wrapping_add(b), m).clamp(0, 255) as u8;
    }
}

/// e and t \[numbers\]: sum_n e_n t_n
///
/// One SMLAL multiplies and adds on a Cortex-M.
#[inline(always)]
pub(crate) fn dot_across<T: Copy + Into<i64>>(e: &[i8], t: &[T]) -> i64 {
    e.iter().zip(t).map(|(&e, &t)| i64::from(e) * t.into()).sum()
}

/// x and w \[inputs\], b \[1\]: b + sum_i w_i x_i, an output layer
pub(crate) fn output_int8<X: Copy + Into<i32>>(x: &[X], w: &[i8], b: &[i32]) -> i64 {
    b.first().map_or(0, |&b| i64::from(b + dot_int8(x, w)))
}

/// sum_i x\[i\] * w\[i\], over the shorter of the two
pub(crate) fn dot_int8<X: Copy + Into<i32>>(x: &[X], w: &[i8]) -> i32 {
    let of = |x: &[X], w: &[i8]| x.iter().zip(w).map(|(&x, &w)| x.into() * i32::from(w)).sum::<i32>();
    // A compiler for microcontrollers unrolls what it is shown; one with vectors knows better. Small programs do not
    // have it.
    if cfg!(all(any(target_arch = "arm", target_arch = "riscv32"), not(xsfm_small))) {
        // Cut first: the rests of two lengths are not at one place.
        let both = x.len().min(w.len());
        let ((x4, x_rest), (w4, w_rest)) = (x[..both].as_chunks::<4>(), w[..both].as_chunks::<4>());
        return x4.iter().zip(w4).map(|(x, w)| of(x, w)).sum::<i32>() + of(x_rest, w_rest);
    }
    of(x, w)
}

/// x \[inputs\], w \[outputs, inputs\], start, m and b \[outputs\]: y\[o\] = clamp((start_o + acc_o) * m_o * scale +
/// b_o, 0, 2^40), a hidden layer of dynamic mode; gives the largest
#[inline(always)]
pub(crate) fn layer_dynamic<X: Copy + Into<i32>>(
    x: &[X],
    scale: f32,
    start: Option<&[i32]>,
    w: Laid<'_, i8>,
    m: &[f32],
    b: &[f32],
    y: &mut [f32],
) -> f32 {
    let mut largest = 0.0_f32;
    for (o, y) in y.iter_mut().enumerate() {
        let acc = match w.layout {
            Layout::Rows => dot_int8(x, &w.weights[o * x.len()..]),
            _ => w.row(o).zip(x).map(|(w, &x)| x.into() * i32::from(w)).sum(),
        };
        let acc = acc.wrapping_add(start.map_or(0, |start| start[o]));
        let real = acc as f32 * m[o] * scale + b[o];
        *y = real.clamp(0.0, DYNAMIC_MAX);
        largest = largest.max(*y);
    }
    largest
}

/// acc, start, m and b \[outputs\]: y\[o\] = clamp((start_o + acc_o) * m_o + b_o, 0, 2^40), as [`layer_dynamic`] where
/// its sums were computed before; gives the largest
#[inline(always)]
pub(crate) fn finish_dynamic(acc: &[i32], start: &[i32], m: &[f32], b: &[f32], y: &mut [f32]) -> f32 {
    let mut largest = 0.0_f32;
    for ((((y, &acc), &start), &m), &b) in y.iter_mut().zip(acc).zip(start).zip(m).zip(b) {
        *y = (acc.wrapping_add(start) as f32 * m + b).clamp(0.0, DYNAMIC_MAX);
        largest = largest.max(*y);
    }
    largest
}

/// y\[o\] = the nearest u8 of real\[o\], given the largest of them; gives what a step is worth
#[inline(always)]
pub(crate) fn quantize_dynamic(real: &[f32], largest: f32, y: &mut [u8]) -> f32 {
    let (inverse, scale) = dynamic_scale(largest);
    for (y, real) in y.iter_mut().zip(real) {
        *y = (real * inverse + 0.5) as u8;
    }
    scale
}

/// sum_d a\[d\] * b\[d\], in eight partial sums that a compiler can keep in one register
#[inline(always)]
pub(crate) fn dot_f32(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; SIDE_BY_SIDE];
    let ((a_chunks, a_rest), (b_chunks, b_rest)) = (a.as_chunks::<SIDE_BY_SIDE>(), b.as_chunks::<SIDE_BY_SIDE>());
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for ((s, a), b) in sums.iter_mut().zip(a).zip(b) {
            *s += a * b;
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// sum + <w, x>, term by term: the order in which layers in tiles are summed
pub(crate) fn going_on_f32(sum: f32, w: impl Iterator<Item = f32>, x: &[f32]) -> f32 {
    w.zip(x).fold(sum, |sum, (w, x)| w * x + sum)
}

/// x \[inputs\], w \[outputs, inputs\], b \[outputs\]: y_o = max(0, b_o + <w_o, x>), where not-a-number stays so
#[inline(always)]
pub(crate) fn layer_f32(x: &[f32], w: Laid<'_, f32>, b: &[f32], y: &mut [f32]) {
    for (o, (y, &b)) in y.iter_mut().zip(b).enumerate() {
        let sum = match w.layout {
            Layout::Rows => b + dot_f32(&w.weights[o * x.len()..][..x.len()], x),
            _ => going_on_f32(b, w.row(o), x),
        };
        *y = if sum < 0.0 { 0.0 } else { sum };
    }
}
