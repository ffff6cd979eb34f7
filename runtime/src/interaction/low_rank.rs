//! Pairs by a few factors (Shtoff et al. 2024, arXiv:2408.00801): `r_ij = 2 sum_rho sign_rho u_rho,i u_rho,j` off the
//! diagonal, so
//!
//! ```text
//! sum_{i<j} r_ij <v_i, v_j> = sum_rho sign_rho |sum_i u_rho,i v_i|^2 - sum_i D_i |v_i|^2
//! D_i = sum_rho sign_rho u_rho,i^2
//! ```
//!
//! `rank * num_fields` products of vectors in place of one per pair.

use crate::embedding::Vectors;
use crate::kernel::vector::{FieldPair, LANES, Vector, load_f32, sixteen};
use crate::run::{rows, run, run_mut};
use crate::scratch::Plain;

/// A number that weighs vectors, and the type of sums of products with it.
pub(crate) trait Coefficient: Copy {
    type Square: Plain + std::fmt::Debug;
}

impl Coefficient for i16 {
    type Square = i32;
}

impl Coefficient for f32 {
    type Square = f32;
}

/// The factors; `C` is i16 or f32.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LowRank<'a, C: Coefficient> {
    /// \[rank\]: 1 or -1.
    pub(crate) signs: &'a [i8],
    /// u \[rank, num_fields\]
    pub(crate) factors: &'a [C],
    /// D \[num_fields\]
    pub(crate) diagonal: &'a [C::Square],
    /// \[rank, dim\]: what the fields of a context have added to the sums that are squared; empty without a context.
    pub(crate) begun: &'a [C::Square],
}

impl<C: Coefficient> LowRank<'_, C> {
    fn num_fields(&self) -> usize {
        self.diagonal.len()
    }
}

impl LowRank<'_, i16> {
    /// e of a row, scratch \[num_fields / 2\]: the sum of the equation above
    #[inline(always)]
    pub(super) fn accumulate<V: Vector>(&self, v: V, e: Vectors<'_, i8>, scratch: &mut [FieldPair]) -> i64 {
        let mut total = -self.diagonal_of(e);
        self.sums(
            v,
            e,
            scratch,
            #[inline(always)]
            |factor, _, sums| {
                let squares: i64 = sums.iter().map(|&sum| i64::from(sum) * i64::from(sum)).sum();
                total += i64::from(self.signs.get(factor).copied().unwrap_or(0)) * squares;
            },
        );
        total
    }

    /// The fields of a context: `begun` \[rank, dim\] becomes what they add to each sum; gives what they add beside the
    /// squares.
    #[inline(always)]
    pub(super) fn begin<V: Vector>(
        &self,
        v: V,
        e: Vectors<'_, i8>,
        scratch: &mut [FieldPair],
        begun: &mut [i32],
    ) -> i64 {
        self.sums(
            v,
            e,
            scratch,
            #[inline(always)]
            |factor, first, sums| {
                let begun = run_mut(begun, factor * e.dim + first, sums.len());
                begun.iter_mut().zip(sums).for_each(|(begun, &sum)| *begun = sum);
            },
        );
        -self.diagonal_of(e)
    }

    /// sum_i D_i sum_d e_id^2
    #[inline(always)]
    fn diagonal_of(&self, e: Vectors<'_, i8>) -> i64 {
        let square = |e: &[i8]| i64::from(e.iter().map(|&e| i32::from(e) * i32::from(e)).sum::<i32>());
        self.diagonal.iter().zip(rows(e.numbers, e.dim)).map(|(&d, e)| i64::from(d) * square(e)).sum()
    }

    /// Gives `each` the sums sum_i u_rho,i e_id: rho, the first d, and at most sixteen d.
    #[inline(always)]
    fn sums<V: Vector>(
        &self,
        v: V,
        e: Vectors<'_, i8>,
        scratch: &mut [FieldPair],
        mut each: impl FnMut(usize, usize, &[i32]),
    ) {
        let (num_fields, Vectors { numbers: e, dim, .. }) = (self.num_fields(), e);
        for first in (0..dim).step_by(LANES) {
            let count = LANES.min(dim - first);
            if V::WIDE {
                // `e` goes on behind its last number.
                let row = |f: usize| {
                    let lanes = if f < num_fields { sixteen(e, f * dim + first) } else { None };
                    lanes.unwrap_or(&[0; LANES])
                };
                for (p, pair) in scratch.iter_mut().enumerate() {
                    v.store_pairs(v.pairs(row(2 * p), row(2 * p + 1)), pair);
                }
            }
            for factor in 0..self.signs.len() {
                let u = run(self.factors, factor * num_fields, num_fields);
                let mut sums = [0; LANES];
                let begun = self.begun.get(factor * dim + first..).unwrap_or_default();
                for (sum, &begun) in sums.iter_mut().zip(begun).take(count) {
                    *sum = begun;
                }
                if V::WIDE {
                    let (twos, last) = u.as_chunks::<2>();
                    let mut acc = v.load(&sums);
                    for (pair, &two) in scratch.iter().zip(twos) {
                        acc = v.dot_pairs(acc, v.load_pairs(pair), two);
                    }
                    if let (&[one], Some(pair)) = (last, scratch.last()) {
                        acc = v.dot_pairs(acc, v.load_pairs(pair), [one, 0]);
                    }
                    sums = v.store(acc);
                } else {
                    for (e, &u) in rows(e, dim).zip(u) {
                        for (sum, &e) in sums.iter_mut().zip(run(e, first, count)) {
                            *sum += i32::from(u) * i32::from(e);
                        }
                    }
                }
                each(factor, first, run(&sums, 0, count));
            }
        }
    }
}

impl LowRank<'_, f32> {
    /// Sixteen sums from dimension `first` on, less D_i e_id^2
    #[inline(always)]
    pub(super) fn diagonal_lanes<V: Vector>(&self, v: V, e: Vectors<'_, f32>, first: usize, mut sum: V::F32) -> V::F32 {
        for (i, &d) in self.diagonal.iter().enumerate() {
            let e_i = load_f32(v, e.numbers, i * e.dim + first);
            sum = v.mul_add_f32(v.mul_f32(e_i, v.splat_f32(-d)), e_i, sum);
        }
        sum
    }

    /// Sixteen sums from dimension `first` on, with sign_rho (sum_i u_rho,i e_id)^2; fields of a context come first in
    /// the inner sums.
    #[inline(always)]
    pub(super) fn square_lanes<V: Vector>(&self, v: V, e: Vectors<'_, f32>, first: usize, mut sum: V::F32) -> V::F32 {
        for (factor, &sign) in self.signs.iter().enumerate() {
            let inner = self.inner(v, e, first, factor);
            sum = v.mul_add_f32(v.mul_f32(inner, v.splat_f32(f32::from(sign))), inner, sum);
        }
        sum
    }

    #[inline(always)]
    fn inner<V: Vector>(&self, v: V, e: Vectors<'_, f32>, first: usize, factor: usize) -> V::F32 {
        let num_fields = self.num_fields();
        let mut inner = load_f32(v, self.begun, factor * e.dim + first);
        for (i, &u) in self.factors[factor * num_fields..][..num_fields].iter().enumerate() {
            inner = v.mul_add_f32(v.splat_f32(u), load_f32(v, e.numbers, i * e.dim + first), inner);
        }
        inner
    }

    /// The fields of a context: `begun` \[rank, dim\] becomes what they add to each sum that is squared.
    #[inline(always)]
    pub(super) fn begin<V: Vector>(&self, v: V, e: Vectors<'_, f32>, begun: &mut [f32]) {
        for (factor, begun) in begun.chunks_exact_mut(e.dim).enumerate() {
            for (n, begun) in begun.chunks_mut(LANES).enumerate() {
                begun.copy_from_slice(&v.store_f32(self.inner(v, e, n * LANES, factor))[..begun.len()]);
            }
        }
    }
}
