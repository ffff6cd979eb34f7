//! Plain Rust, written so that a compiler can vectorise it. Shapes are in the first line of every function.

use crate::quant::requantize;

/// Number of dimensions that [`pairs_int8`] sums side by side: a register's worth on small and large CPUs.
const LANES: usize = 8;

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

/// e \[fields, dim\], r upper triangle row by row: sum_d sum_{i<j} r_ij e_id e_jd, as sum_d sum_i e_id (sum_{j>i} r_ij e_jd)
///
/// The inner sums fit an i32: `128^2 * sum|r| < 2^31`.
pub(crate) fn pairs_int8(e: &[i8], r: &[i16], dim: usize) -> i64 {
    let mut total = 0;
    for first in (0..dim).step_by(LANES) {
        let lanes = LANES.min(dim - first);
        let mut sums = [0_i32; LANES];
        let (mut rest, mut r_rest) = (e, r);
        while let Some((e_i, e_after)) = rest.split_at_checked(dim) {
            let (r_i, r_after) = r_rest.split_at(e_after.len() / dim);
            (rest, r_rest) = (e_after, r_after);
            let mut weighted = [0_i32; LANES];
            for (e_j, &r_ij) in e_after.chunks_exact(dim).zip(r_i) {
                for (w, &v) in weighted.iter_mut().zip(&e_j[first..first + lanes]) {
                    *w += i32::from(r_ij) * i32::from(v);
                }
            }
            for ((s, &v), w) in sums.iter_mut().zip(&e_i[first..first + lanes]).zip(weighted) {
                *s += i32::from(v) * w;
            }
        }
        total += sums.iter().map(|&s| i64::from(s)).sum::<i64>();
    }
    total
}

/// e \[fields, dim\], one weight per listed pair: sum_{(i,j)} r_ij <e_i, e_j>
pub(crate) fn listed_pairs_int8(e: &[i8], pairs: &[[u8; 2]], r: &[i16], dim: usize) -> i64 {
    let row = |f: u8| &e[usize::from(f) * dim..][..dim];
    let dot = |a: &[i8], b: &[i8]| -> i32 { a.iter().zip(b).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum() };
    pairs.iter().zip(r).map(|(&[i, j], &r_ij)| i64::from(r_ij) * i64::from(dot(row(i), row(j)))).sum()
}

/// x \[inputs\], w \[outputs, inputs\], b \[outputs\]: gives acc_o = b_o + sum_i w_oi x_i for o = 0, 1, …
///
/// `x` is i8 for the first layer and u8 for the others. Inlined, so that a back end can compile it for its instructions.
#[inline(always)]
pub(crate) fn accumulators_int8<'a, X: Copy + Into<i32>>(
    x: &'a [X],
    w: &'a [i8],
    b: &'a [i32],
) -> impl Iterator<Item = i32> + 'a {
    w.chunks_exact(x.len())
        .zip(b)
        .map(move |(w, &b)| b + w.iter().zip(x).map(|(&w, &x)| i32::from(w) * x.into()).sum::<i32>())
}

/// y\[o\] = clamp(requantize(acc_o, m_o), 0, 255): a layer with its ReLU.
#[inline(always)]
pub(crate) fn layer_int8<X: Copy + Into<i32>>(x: &[X], w: &[i8], b: &[i32], m: &[i32], y: &mut [u8]) {
    for ((y, acc), &m) in y.iter_mut().zip(accumulators_int8(x, w, b)).zip(m) {
        *y = requantize(acc, m).clamp(0, 255) as u8;
    }
}

/// sum_d a\[d\] * b\[d\], in eight partial sums that a compiler can keep in one register
pub(crate) fn dot_f32(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for ((s, a), b) in sums.iter_mut().zip(a).zip(b) {
            *s += a * b;
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// e \[fields, dim\], r upper triangle row by row: sum_{i<j} r_ij <e_i, e_j>
pub(crate) fn pairs_f32(e: &[f32], r: &[f32], dim: usize) -> f32 {
    let (mut rest, mut r_rest) = (e, r);
    let mut total = 0.0;
    while let Some((e_i, e_after)) = rest.split_at_checked(dim) {
        let (r_i, r_after) = r_rest.split_at(e_after.len() / dim);
        (rest, r_rest) = (e_after, r_after);
        for (e_j, r_ij) in e_after.chunks_exact(dim).zip(r_i) {
            total += r_ij * dot_f32(e_i, e_j);
        }
    }
    total
}

/// e \[fields, dim\], one weight per listed pair: sum_{(i,j)} r_ij <e_i, e_j>
pub(crate) fn listed_pairs_f32(e: &[f32], pairs: &[[u8; 2]], r: &[f32], dim: usize) -> f32 {
    let row = |f: u8| &e[usize::from(f) * dim..][..dim];
    pairs.iter().zip(r).map(|(&[i, j], r_ij)| r_ij * dot_f32(row(i), row(j))).sum()
}

/// x \[inputs\], w \[outputs, inputs\], b \[outputs\]: y_o = max(0, b_o + <w_o, x>), where not-a-number stays so
pub(crate) fn layer_f32(x: &[f32], w: &[f32], b: &[f32], y: &mut [f32]) {
    for ((y, w), b) in y.iter_mut().zip(w.chunks_exact(x.len())).zip(b) {
        let sum = b + dot_f32(w, x);
        *y = if sum < 0.0 { 0.0 } else { sum };
    }
}
