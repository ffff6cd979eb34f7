//! All pairs for the rows of a group, side by side: the lanes of a vector are eight rows with two dimensions each.
//!
//! A weight is read once for the whole group, and no lane is idle where a field's vector is shorter than a register.
//! The sums are those of one row alone, number by number and in the same order, so their bits are too.

use crate::embedding::Vectors;
use crate::format::triangle;
use crate::kernel::vector::{FieldPair, GROUP, LANES, Vector, sixteen, total_f32};
use crate::linear::FirstOrder;

/// Dimensions of a unit: what one vector holds for each row of a group.
const UNIT: usize = LANES / GROUP;
/// Units whose numbers lie in sixteen consecutive dimensions.
const UNITS: usize = LANES / UNIT;

/// Units of a field's vector.
pub(super) const fn units(dim: usize) -> usize {
    dim.div_ceil(UNIT)
}

/// Calls `$run` with constants that add up to `$units`, and what came before each.
macro_rules! in_blocks {
    ($V:ty, $units:expr, $run:ident($($argument:expr),*)) => {{
        let mut done = 0;
        while done < $units {
            let left = $units - done;
            if <$V>::REGISTER_TILE == (8, 2) && left == 5 {
                $run::<$V, 5>(done, $($argument),*);
                done += 5;
            } else if <$V>::REGISTER_TILE == (8, 2) && left >= 4 {
                $run::<$V, 4>(done, $($argument),*);
                done += 4;
            } else if left >= 2 {
                $run::<$V, 2>(done, $($argument),*);
                done += 2;
            } else {
                $run::<$V, 1>(done, $($argument),*);
                done += 1;
            }
        }
    }};
}

/// e of GROUP rows, r upper triangle row by row, scratch \[num_fields / 2, units\]: sum_{i<j} r_ij <e_i, e_j> of each
/// row
#[inline(always)]
pub(super) fn dense_int8<V: Vector>(v: V, e: Vectors<'_, i8>, r: &[i16], scratch: &mut [FieldPair]) -> [i64; GROUP] {
    let (Vectors { num_fields, dim, .. }, units) = (e, units(e.dim));
    for (p, pairs) in scratch.chunks_exact_mut(units).enumerate() {
        for (n, blocks) in pairs.chunks_mut(UNITS).enumerate() {
            let at = 2 * p * dim + n * LANES;
            let mut rows = [[[0; 2 * UNIT]; UNITS]; GROUP];
            for (row, e) in rows.iter_mut().zip(e.groups_of(1)) {
                let first = sixteen(e, at).unwrap_or(&[0; LANES]);
                let second = if 2 * p + 1 < num_fields { sixteen(e, at + dim) } else { None };
                if let Some(row) = row.as_flattened_mut().first_chunk_mut() {
                    v.store_pairs(v.pairs(first, second.unwrap_or(&[0; LANES])), row);
                }
            }
            transpose(&rows, blocks);
        }
    }
    let mut totals = [0; GROUP];
    in_blocks!(V, units, block_int8(v, scratch, r, num_fields, dim, &mut totals));
    totals
}

/// rows \[GROUP, UNITS\] to blocks \[up to UNITS\]\[GROUP\]: the rows of a unit side by side
#[inline(always)]
fn transpose<T: Copy, const U: usize, const B: usize>(rows: &[[[T; U]; UNITS]; GROUP], blocks: &mut [[T; B]]) {
    for (u, block) in blocks.iter_mut().enumerate().take(UNITS) {
        for (unit, row) in block.as_chunks_mut::<U>().0.iter_mut().zip(rows) {
            *unit = row[u];
        }
    }
}

/// Adds to each row's total what N units from `first` on give.
#[inline(always)]
fn block_int8<V: Vector, const N: usize>(
    first: usize,
    v: V,
    blocks: &[FieldPair],
    r: &[i16],
    num_fields: usize,
    dim: usize,
    totals: &mut [i64; GROUP],
) {
    let units = units(dim);
    let mut sums = [v.splat(0); N];
    let (mut rest, mut fields) = (r, blocks);
    for i in (0..num_fields.saturating_sub(1)).step_by(2) {
        let behind = num_fields - 2 - i;
        let Some((&r_next, after)) = rest.split_first() else { break };
        let ((r_i, after), (own, fields_after)) = (after.split_at(behind), fields.split_at(units));
        let (r_j, after) = after.split_at(behind);
        (rest, fields) = (after, fields_after);
        let own = &own[first..first + N];
        let (mut t_i, mut t_j) = ([v.splat(0); N], [v.splat(0); N]);
        for (t_i, own) in t_i.iter_mut().zip(own) {
            *t_i = v.mul(v.second_of(v.load_pairs(own)), v.splat(r_next.into()));
        }
        let twos = r_i.chunks(2).zip(r_j.chunks(2));
        for (pair, (r_i, r_j)) in fields.chunks_exact(units).zip(twos) {
            // The last may be alone; its pair has zeros then.
            let two = |r: &[i16]| [r[0], r.get(1).copied().unwrap_or(0)];
            let (r_i, r_j) = (two(r_i), two(r_j));
            let pair = &pair[first..first + N];
            for u in 0..N {
                let pair = v.load_pairs(&pair[u]);
                t_i[u] = v.dot_pairs(t_i[u], pair, r_i);
                t_j[u] = v.dot_pairs(t_j[u], pair, r_j);
            }
        }
        for u in 0..N {
            let own = v.load_pairs(&own[u]);
            sums[u] = v.add(sums[u], v.mul(v.first_of(own), t_i[u]));
            sums[u] = v.add(sums[u], v.mul(v.second_of(own), t_j[u]));
        }
    }
    for (u, sum) in sums.into_iter().enumerate() {
        let dimensions = (dim - (first + u) * UNIT).min(UNIT);
        for (total, of_row) in totals.iter_mut().zip(v.store(sum).as_chunks::<UNIT>().0) {
            *total += of_row[..dimensions].iter().map(|&sum| i64::from(sum)).sum::<i64>();
        }
    }
}

/// e of GROUP rows, r upper triangle row by row, w \[num_fields, dim\], carry \[dim\], scratch \[num_fields,
/// units\]: of each row sum_d (carry_d + sum_j e_jd (w_jd + sum_{i<j} r_ij e_id)); `w` and `carry` may be absent
#[inline(always)]
pub(super) fn dense_f32<V: Vector>(
    v: V,
    e: Vectors<'_, f32>,
    r: &[f32],
    first_order: FirstOrder<'_>,
    scratch: &mut [[f32; LANES]],
) -> [f32; GROUP] {
    let (Vectors { num_fields, dim, .. }, units) = (e, units(e.dim));
    for (f, own) in scratch.chunks_exact_mut(units).enumerate() {
        for (n, blocks) in own.chunks_mut(UNITS).enumerate() {
            // The last unit of an odd `dim` takes a number of the next field, which is left out of the total.
            let mut rows = [[[0.0; UNIT]; UNITS]; GROUP];
            for (row, e) in rows.iter_mut().zip(e.groups_of(1)) {
                if let (Some(row), Some(e)) =
                    (row.as_flattened_mut().first_chunk_mut(), sixteen(e, f * dim + n * LANES))
                {
                    *row = *e;
                }
            }
            transpose(&rows, blocks);
        }
    }
    let mut totals = [0.0; GROUP];
    // [row][dimension], sixteen dimensions at a time.
    let mut sums = [[0.0; LANES]; GROUP];
    for n in 0..units.div_ceil(UNITS) {
        let count = UNITS.min(units - n * UNITS);
        in_blocks!(V, count, block_f32(v, n * UNITS, scratch, r, [num_fields, dim], first_order, &mut sums));
        for (total, sums) in totals.iter_mut().zip(&mut sums) {
            sums[LANES.min(dim - n * LANES)..].fill(0.0);
            *total += total_f32(*sums);
        }
    }
    totals
}

/// The sums of N units from `base + first` on, for each row.
#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "one step of `dense_f32`, whose arguments these are")]
fn block_f32<V: Vector, const N: usize>(
    first: usize,
    v: V,
    base: usize,
    blocks: &[[f32; LANES]],
    r: &[f32],
    [num_fields, dim]: [usize; 2],
    FirstOrder { w, carry }: FirstOrder<'_>,
    sums: &mut [[f32; LANES]; GROUP],
) {
    let units = units(dim);
    let field = |f: usize| &blocks[f * units + base + first..][..N];
    let at = (base + first) * UNIT;
    let mut acc = for_all_rows::<V, N>(v, carry, at);
    for j in (0..num_fields).step_by(2) {
        let two = j + 1 < num_fields;
        let (mut t_0, mut t_1) = ([v.splat_f32(0.0); N], [v.splat_f32(0.0); N]);
        if let Some(w) = w {
            t_0 = for_all_rows(v, w, j * dim + at);
            t_1 = for_all_rows(v, w, (j + 1) * dim + at);
        }
        // r_ij lies num_fields - i - 2 behind r_{i-1,j}; of the last field alone there is no second.
        let mut r_at = j.wrapping_sub(1);
        for (i, e_i) in blocks.chunks_exact(units).take(j).enumerate() {
            let e_i = &e_i[base + first..][..N];
            let (r_0, r_1) = (v.splat_f32(r[r_at]), v.splat_f32(r.get(r_at + 1).copied().unwrap_or(0.0)));
            for u in 0..N {
                let e_i = v.load_f32(&e_i[u]);
                t_0[u] = v.mul_add_f32(r_0, e_i, t_0[u]);
                t_1[u] = v.mul_add_f32(r_1, e_i, t_1[u]);
            }
            r_at = (r_at + num_fields).wrapping_sub(i + 2);
        }
        let e_j = field(j);
        for u in 0..N {
            acc[u] = v.mul_add_f32(v.load_f32(&e_j[u]), t_0[u], acc[u]);
        }
        if two {
            let (r_j, e_next) = (v.splat_f32(r[triangle(num_fields, j, j + 1)]), field(j + 1));
            for u in 0..N {
                let t_1 = v.mul_add_f32(r_j, v.load_f32(&e_j[u]), t_1[u]);
                acc[u] = v.mul_add_f32(v.load_f32(&e_next[u]), t_1, acc[u]);
            }
        }
    }
    for (u, acc) in acc.into_iter().enumerate() {
        for (sums, &unit) in sums.iter_mut().zip(v.store_f32(acc).as_chunks::<UNIT>().0) {
            sums.as_chunks_mut::<UNIT>().0[first + u] = unit;
        }
    }
}

/// Numbers of N units from `values[at]` on, the same for every row; zeros beyond their end.
#[inline(always)]
fn for_all_rows<V: Vector, const N: usize>(v: V, values: &[f32], at: usize) -> [V::F32; N] {
    let mut units = [v.splat_f32(0.0); N];
    let Some(values) = values.get(at..) else { return units };
    for (unit, values) in units.iter_mut().zip(values.chunks(UNIT)) {
        let mut rows = [0.0; LANES];
        for row in rows.as_chunks_mut::<UNIT>().0 {
            row[0] = values[0];
            row[1] = values.get(1).copied().unwrap_or(0.0);
        }
        *unit = v.load_f32(&rows);
    }
    units
}
