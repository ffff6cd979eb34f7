//! Second-order term: `sum_{i<j} r_ij <v_i, v_j>` (FwFM: Pan et al. 2018, arXiv:1806.03514; FM has all `r_ij = 1`).

mod group;
mod low_rank;

use crate::embedding::Vectors;
use crate::format::{limit, triangle};
#[cfg(all(xsfm_dsp, not(xsfm_mve)))]
use crate::kernel::dsp_pairs::pairs as pairs_int8;
#[cfg(xsfm_mve)]
use crate::kernel::mve::pairs as pairs_int8;
use crate::kernel::portable;
#[cfg(not(any(xsfm_dsp, xsfm_mve)))]
use crate::kernel::portable::pairs_int8;
use crate::kernel::vector::{FieldPair, GROUP, LANES, Spread, Vector, load_f32, sixteen, total_f32, widen_i8};
use crate::linear::FirstOrder;

pub(crate) use low_rank::{Coefficient, LowRank};

/// The pairs of fields that interact. `C` is i16 or f32.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FieldInteraction<'a, C: Coefficient> {
    /// None.
    None,
    /// Every pair: the upper triangle, row by row.
    Dense(&'a [C]),
    /// The pairs that pruning left (DeepLight: Deng et al. 2021, arXiv:2002.06987), in ascending order.
    Pruned(&'a [[u8; 2]], &'a [C]),
    /// Every pair, by a few factors.
    LowRank(LowRank<'a, C>),
}

impl<C: Coefficient> FieldInteraction<'_, C> {
    fn is_dense(&self) -> bool {
        matches!(self, FieldInteraction::Dense(_))
    }

    /// Numbers that a context begins for each dimension: those of [`FieldInteraction::begin`].
    pub(crate) fn rank(&self) -> usize {
        if let FieldInteraction::LowRank(low_rank) = self { low_rank.signs.len() } else { 0 }
    }
}

impl FieldInteraction<'_, i16> {
    /// Field pairs of scratch for `rows` rows, one or groups.
    pub(crate) fn scratch_len<V: Vector>(&self, num_fields: usize, dim: usize, rows: usize) -> usize {
        let blocks = if rows == 1 { 1 } else { group::units(dim) };
        match self {
            FieldInteraction::Dense(_) if V::WIDE => num_fields.div_ceil(2) * blocks,
            FieldInteraction::LowRank(_) if V::WIDE => num_fields.div_ceil(2),
            // Whether or not this CPU has the instructions: a host states the scratch of a microcontroller.
            FieldInteraction::Dense(_) => (num_fields * size_of::<Spread>()).div_ceil(size_of::<FieldPair>()),
            _ => 0,
        }
    }

    /// What [`FieldInteraction::accumulate`] gave, with what a context has added, as it enters the logit: within 2^39.
    #[inline(always)]
    pub(crate) fn settled(&self, acc: i64) -> i64 {
        match self {
            FieldInteraction::LowRank(_) => (acc + (1 << (limit::LOW_RANK_SHIFT - 1))) >> limit::LOW_RANK_SHIFT,
            _ => acc,
        }
    }

    /// The largest magnitude that [`FieldInteraction::settled`] takes.
    pub(crate) fn largest(&self) -> i64 {
        match self {
            FieldInteraction::LowRank(_) => limit::SUM << limit::LOW_RANK_SHIFT,
            _ => limit::SUM,
        }
    }

    /// The fields of a context, as [`FieldInteraction::accumulate`]; `begun` \[rank, dim\] is what candidates go on
    /// from.
    #[inline(always)]
    pub(crate) fn begin<V: Vector>(
        &self,
        v: V,
        e: Vectors<'_, i8>,
        scratch: &mut [FieldPair],
        begun: &mut [i32],
    ) -> i64 {
        match self {
            FieldInteraction::LowRank(low_rank) => low_rank.begin(v, e, scratch, begun),
            pairs => pairs.accumulate(v, e, scratch),
        }
    }

    /// e of R rows, scratch [`FieldInteraction::scratch_len`]: sum_{i<j} r_ij <e_i, e_j> of each row
    #[inline(always)]
    pub(crate) fn of_rows<V: Vector, const R: usize>(
        &self,
        v: V,
        e: Vectors<'_, i8>,
        scratch: &mut [FieldPair],
    ) -> [i64; R] {
        let mut sums = [0; R];
        match self {
            FieldInteraction::Dense(r) if V::WIDE && R == GROUP => {
                sums.copy_from_slice(&group::dense_int8(v, e, r, scratch));
            }
            FieldInteraction::Dense(r) if V::WIDE && R > GROUP => {
                for (sums, numbers) in sums.as_chunks_mut::<GROUP>().0.iter_mut().zip(e.groups_of(GROUP)) {
                    *sums = group::dense_int8(v, Vectors { numbers, ..e }, r, scratch);
                }
            }
            _ => {
                for (sum, numbers) in sums.iter_mut().zip(e.groups_of(1)) {
                    *sum = self.accumulate(v, Vectors { numbers, ..e }, scratch);
                }
            }
        }
        sums
    }

    /// e of a row, scratch [`FieldInteraction::scratch_len`]: sum_{i<j} r_ij <e_i, e_j>
    #[inline(always)]
    pub(crate) fn accumulate<V: Vector>(&self, v: V, e: Vectors<'_, i8>, scratch: &mut [FieldPair]) -> i64 {
        match self {
            FieldInteraction::None => 0,
            FieldInteraction::Dense(r) if V::WIDE => dense_int8(v, e, r, scratch),
            FieldInteraction::Dense(r) => pairs_int8(e.numbers, r, e.num_fields, e.dim, scratch),
            FieldInteraction::Pruned(pairs, r) if V::WIDE => pruned_int8(v, e, pairs, r),
            FieldInteraction::Pruned(pairs, r) => portable::listed_pairs_int8(e.numbers, pairs, r, e.dim),
            FieldInteraction::LowRank(low_rank) => low_rank.accumulate(v, e, scratch),
        }
    }
}

/// sum_d sum_i e_id t_id with t_id = sum_{j>i} r_ij e_jd, sixteen d at a time, two j and four i together
///
/// What four fields have in common, the pairs of fields behind them, is read once. The inner sums fit an i32:
/// `128^2 * sum|r| < 2^31`. Lanes beyond `dim` hold other fields' numbers and are left out of the total.
#[inline(always)]
fn dense_int8<V: Vector>(v: V, e: Vectors<'_, i8>, r: &[i16], scratch: &mut [FieldPair]) -> i64 {
    let Vectors { numbers: e, num_fields, dim, .. } = e;
    let mut total = 0;
    for first in (0..dim).step_by(LANES) {
        // `e` goes on behind its last number.
        let (mut at, whole) = (first, num_fields / 2);
        for pair in &mut scratch[..whole] {
            let (Some(a), Some(b)) = (sixteen(e, at), sixteen(e, at + dim)) else { break };
            v.store_pairs(v.pairs(a, b), pair);
            at += 2 * dim;
        }
        if let (Some(pair), Some(a)) = (scratch.get_mut(whole), sixteen(e, at)) {
            v.store_pairs(v.pairs(a, &[0; LANES]), pair);
        }
        let mut sum = v.splat(0);
        let (mut rest, mut pairs) = (r, &*scratch);
        let mut behind = num_fields;
        while behind > 4 {
            let [own, next, after @ ..] = pairs else { break };
            behind -= 4;
            let (r_0, after_0) = rest.split_at(behind + 3);
            let (r_1, after_1) = after_0.split_at(behind + 2);
            let (r_2, after_2) = after_1.split_at(behind + 1);
            let (r_3, after_3) = after_2.split_at(behind);
            (rest, pairs) = (after_3, after);
            let (&[r_01, r_02, r_03, ref r_0 @ ..], &[r_12, r_13, ref r_1 @ ..], &[r_23, ref r_2 @ ..]) =
                (r_0, r_1, r_2)
            else {
                break;
            };
            let (own, next) = (v.load_pairs(own), v.load_pairs(next));
            let mut t_0 = v.dot_pairs(v.mul(v.second_of(own), v.splat(r_01.into())), next, [r_02, r_03]);
            let mut t_1 = v.dot_pairs(v.splat(0), next, [r_12, r_13]);
            let mut t_2 = v.mul(v.second_of(next), v.splat(r_23.into()));
            let mut t_3 = v.splat(0);
            let ((twos_0, last_0), (twos_1, last_1)) = (r_0.as_chunks::<2>(), r_1.as_chunks::<2>());
            let ((twos_2, last_2), (twos_3, last_3)) = (r_2.as_chunks::<2>(), r_3.as_chunks::<2>());
            for ((((pair, &r_0), &r_1), &r_2), &r_3) in pairs.iter().zip(twos_0).zip(twos_1).zip(twos_2).zip(twos_3) {
                let pair = v.load_pairs(pair);
                t_0 = v.dot_pairs(t_0, pair, r_0);
                t_1 = v.dot_pairs(t_1, pair, r_1);
                t_2 = v.dot_pairs(t_2, pair, r_2);
                t_3 = v.dot_pairs(t_3, pair, r_3);
            }
            if let (&[r_0], &[r_1], &[r_2], &[r_3], Some(pair)) = (last_0, last_1, last_2, last_3, pairs.last()) {
                let pair = v.load_pairs(pair);
                t_0 = v.dot_pairs(t_0, pair, [r_0, 0]);
                t_1 = v.dot_pairs(t_1, pair, [r_1, 0]);
                t_2 = v.dot_pairs(t_2, pair, [r_2, 0]);
                t_3 = v.dot_pairs(t_3, pair, [r_3, 0]);
            }
            let (a, b) = (v.mul(t_0, v.first_of(own)), v.mul(t_1, v.second_of(own)));
            let (c, d) = (v.mul(t_2, v.first_of(next)), v.mul(t_3, v.second_of(next)));
            sum = v.add(sum, v.add(v.add(a, b), v.add(c, d)));
        }
        // At most four fields are left: six pairs.
        let mut fields = [v.splat(0); 4];
        for (two, pair) in fields.chunks_exact_mut(2).zip(pairs) {
            let pair = v.load_pairs(pair);
            (two[0], two[1]) = (v.first_of(pair), v.second_of(pair));
        }
        let mut weights = rest.iter();
        for i in 0..behind {
            for (j, &r) in (i + 1..behind).zip(&mut weights) {
                sum = v.add(sum, v.mul(v.mul(fields[i], fields[j]), v.splat(r.into())));
            }
        }
        total += total_of_first(v, sum, dim - first);
    }
    total
}

/// The same sums over a list: r_ij e_j summed for each i, so that a pair costs one product of vectors.
#[inline(always)]
fn pruned_int8<V: Vector>(v: V, e: Vectors<'_, i8>, pairs: &[[u8; 2]], r: &[i16]) -> i64 {
    let mut total = 0;
    for first in (0..e.dim).step_by(LANES) {
        let (mut sum, mut t) = (v.splat(0), v.splat(0));
        let mut before = pairs.first().map_or(0, |&[i, _]| i);
        for (&[i, j], &r) in pairs.iter().zip(r) {
            if i != before {
                sum = v.add(sum, v.mul(t, of_field(v, e, before, first)));
                (t, before) = (v.splat(0), i);
            }
            t = v.add(t, v.mul(of_field(v, e, j, first), v.splat(r.into())));
        }
        sum = v.add(sum, v.mul(t, of_field(v, e, before, first)));
        total += total_of_first(v, sum, e.dim - first);
    }
    total
}

/// `w[at..at + 16]`, or zeros.
#[inline(always)]
fn start_of<V: Vector>(v: V, w: Option<&[f32]>, at: usize) -> V::F32 {
    match w {
        Some(w) => load_f32(v, w, at),
        None => v.splat_f32(0.0),
    }
}

/// sum + sum_f e_fd w_fd
#[inline(always)]
fn of_vectors<V: Vector>(v: V, e: Vectors<'_, f32>, w: Option<&[f32]>, first: usize, mut sum: V::F32) -> V::F32 {
    if let Some(w) = w {
        for f in 0..e.num_fields {
            sum = v.mul_add_f32(real_of_field(v, e, f, first), load_f32(v, w, f * e.dim + first), sum);
        }
    }
    sum
}

/// Sixteen numbers of field `f`.
#[inline(always)]
fn of_field<V: Vector>(v: V, e: Vectors<'_, i8>, f: u8, first: usize) -> V::I32 {
    widen_i8(v, e.numbers, usize::from(f) * e.dim + first)
}

/// The same of f32 mode.
#[inline(always)]
fn real_of_field<V: Vector>(v: V, e: Vectors<'_, f32>, f: usize, first: usize) -> V::F32 {
    load_f32(v, e.numbers, f * e.dim + first)
}

/// The sum of the first `count` lanes.
#[inline(always)]
fn total_of_first<V: Vector>(v: V, sum: V::I32, count: usize) -> i64 {
    let mut sums = v.store(sum);
    sums.get_mut(count..).unwrap_or_default().fill(0);
    sums.into_iter().map(i64::from).sum()
}

impl FieldInteraction<'_, f32> {
    /// Vectors of scratch for `rows` rows, one or groups.
    pub(crate) fn scratch_len(&self, num_fields: usize, dim: usize, rows: usize) -> usize {
        if rows > 1 && self.is_dense() { num_fields * group::units(dim) } else { 0 }
    }

    /// e of R rows, scratch [`FieldInteraction::scratch_len`]: [`FieldInteraction::accumulate`] of each row
    #[inline(always)]
    pub(crate) fn of_rows<V: Vector, const R: usize>(
        &self,
        v: V,
        e: Vectors<'_, f32>,
        first_order: FirstOrder<'_>,
        scratch: &mut [[f32; LANES]],
    ) -> [f32; R] {
        let mut sums = [0.0; R];
        match self {
            FieldInteraction::Dense(r) if R >= GROUP => {
                for (sums, numbers) in sums.as_chunks_mut::<GROUP>().0.iter_mut().zip(e.groups_of(GROUP)) {
                    *sums = group::dense_f32(v, Vectors { numbers, ..e }, r, first_order, scratch);
                }
            }
            _ => {
                for (sum, numbers) in sums.iter_mut().zip(e.groups_of(1)) {
                    *sum = self.accumulate(v, Vectors { numbers, ..e }, first_order);
                }
            }
        }
        sums
    }

    /// e of a row, w \[num_fields, dim\], carry \[dim\]: sum_d (carry_d + sum_j e_jd (w_jd + sum_{i<j} r_ij e_id));
    /// `w` and `carry` may be absent
    ///
    /// The first-order vectors `w` and what earlier fields gave, `carry`, come first in each sum: fields that are
    /// scored before the others (`crate::rank`) then leave the same bits as all of them together, where every pair
    /// interacts.
    #[inline(always)]
    pub(crate) fn accumulate<V: Vector>(
        &self,
        v: V,
        e: Vectors<'_, f32>,
        FirstOrder { w, carry }: FirstOrder<'_>,
    ) -> f32 {
        let mut total = 0.0;
        for first in (0..e.dim).step_by(LANES) {
            let mut sum = self.lanes_of(v, e, w, first, load_f32(v, carry, first));
            if let FieldInteraction::LowRank(low_rank) = self {
                sum = low_rank.square_lanes(v, e, first, sum);
            }
            let mut sum = v.store_f32(sum);
            sum[LANES.min(e.dim - first)..].fill(0.0);
            total += total_f32(sum);
        }
        total
    }

    /// The fields of a context: `begun` \[rank, dim\] is what candidates go on from, beside
    /// [`FieldInteraction::lanes_of`].
    #[inline(always)]
    pub(crate) fn begin<V: Vector>(&self, v: V, e: Vectors<'_, f32>, begun: &mut [f32]) {
        if let FieldInteraction::LowRank(low_rank) = self {
            low_rank.begin(v, e, begun);
        }
    }

    /// The sixteen sums from dimension `first` on, without the squares of low rank, given what they begin with.
    #[inline(always)]
    pub(crate) fn lanes_of<V: Vector>(
        &self,
        v: V,
        e: Vectors<'_, f32>,
        w: Option<&[f32]>,
        first: usize,
        mut sum: V::F32,
    ) -> V::F32 {
        let Vectors { num_fields, dim, .. } = e;
        match *self {
            FieldInteraction::Dense(r) => {
                // Two j together: each sum alone would wait for its last product.
                for j in (0..num_fields).step_by(2) {
                    let (mut t_0, mut t_1) = (start_of(v, w, j * dim + first), start_of(v, w, (j + 1) * dim + first));
                    // r_ij lies num_fields - i - 2 behind r_{i-1,j}.
                    let mut at = j.wrapping_sub(1);
                    for i in 0..j {
                        let e_i = real_of_field(v, e, i, first);
                        t_0 = v.mul_add_f32(v.splat_f32(r[at]), e_i, t_0);
                        if j + 1 < num_fields {
                            t_1 = v.mul_add_f32(v.splat_f32(r[at + 1]), e_i, t_1);
                        }
                        at = (at + num_fields).wrapping_sub(i + 2);
                    }
                    sum = v.mul_add_f32(real_of_field(v, e, j, first), t_0, sum);
                    if j + 1 < num_fields {
                        t_1 = v.mul_add_f32(
                            v.splat_f32(r[triangle(num_fields, j, j + 1)]),
                            real_of_field(v, e, j, first),
                            t_1,
                        );
                        sum = v.mul_add_f32(real_of_field(v, e, j + 1, first), t_1, sum);
                    }
                }
                sum
            }
            FieldInteraction::Pruned(pairs, r) => {
                sum = of_vectors(v, e, w, first, sum);
                for (&[i, j], &r) in pairs.iter().zip(r) {
                    let weighted = v.mul_f32(real_of_field(v, e, j.into(), first), v.splat_f32(r));
                    sum = v.mul_add_f32(real_of_field(v, e, i.into(), first), weighted, sum);
                }
                sum
            }
            FieldInteraction::None => of_vectors(v, e, w, first, sum),
            FieldInteraction::LowRank(low_rank) => {
                low_rank.diagonal_lanes(v, e, first, of_vectors(v, e, w, first, sum))
            }
        }
    }
}
