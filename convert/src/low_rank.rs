//! A field matrix of low rank: Shtoff et al. 2024, arXiv:2408.00801.

use std::iter;

use ndarray::{Array1, Array2, ArrayViewMut1, Zip, s};
use xsfm_runtime::format::limit;

use crate::error::Error;
use crate::model::{FloatModel, LowRank, Pairs};

/// Replaces the pairs of `model` by `rank` factors; gives what they miss: the norm of the error over that of the
/// weights.
///
/// The diagonal of the matrix, which no pair reads, is free. It starts at 0 and becomes that of the approximation,
/// again and again: each round lowers the error off the diagonal, or leaves it.
///
/// # Errors
/// A model without pairs, or a rank that is not between 1 and its number of fields or 64.
pub fn factorize(model: &mut FloatModel, rank: usize) -> Result<f64, Error> {
    let num_fields = model.fields.len();
    let most = num_fields.min(limit::RANK);
    let Some(Pairs { list, weights }) = &model.pairs else {
        return Err(Error::Quantize(format!("rank {rank} is asked for, but the model has no pairs of fields")));
    };
    if !(1..=most).contains(&rank) {
        return Err(Error::Quantize(format!("rank {rank} is asked for, possible are 1 to {most}")));
    }
    // R [num_fields, num_fields]
    let mut matrix = Array2::<f64>::zeros((num_fields, num_fields));
    for ((i, j), &r) in list.pairs(num_fields).into_iter().zip(weights) {
        matrix[[i, j]] = r.into();
        matrix[[j, i]] = r.into();
    }
    let mut round = || {
        let mut largest = eigen(&matrix);
        largest.sort_by(|a, b| b.value.abs().total_cmp(&a.value.abs()));
        largest.truncate(rank);
        let approximation = Array2::from_shape_fn(matrix.dim(), |(i, j)| {
            largest.iter().map(|e| e.value * e.vector[i] * e.vector[j]).sum::<f64>()
        });
        let norm = |matrix: &Array2<f64>| {
            matrix.indexed_iter().filter(|((i, j), _)| i != j).map(|(_, r)| r.powi(2)).sum::<f64>().sqrt()
        };
        let missed = norm(&(&matrix - &approximation)) / norm(&matrix);
        matrix.diag_mut().assign(&approximation.diag());
        (missed, largest)
    };
    (1..ROUNDS).for_each(|_| drop(round()));
    let (error, largest) = round();
    let factors: Vec<f32> = largest.iter().flat_map(|e| e.vector.iter().map(|&v| v as f32)).collect();
    let weights: Vec<f32> = largest.iter().map(|e| e.value as f32).collect();
    model.low_rank = Some(LowRank::from_factors(&factors, &weights));
    model.pairs = None;
    Ok(error)
}

impl LowRank<f32, f32> {
    /// u `[rank, num_fields]`, e `[rank]`: those of `r_ij = sum_rho e_rho u_rho,i u_rho,j`.
    pub(crate) fn from_factors(u: &[f32], e: &[f32]) -> Self {
        let num_fields = u.len() / e.len();
        // The square of a sum has each pair twice.
        let size = |e: f32| (f64::from(e).abs() / 2.0).sqrt();
        let scaled = |(&u, &e): (&f32, &f32)| (f64::from(u) * size(e)) as f32;
        let factors = u.iter().zip(e.iter().flat_map(|e| iter::repeat_n(e, num_fields))).map(scaled).collect();
        let signs: Vec<i8> = e.iter().map(|&e| if e < 0.0 { -1 } else { 1 }).collect();
        let mut low_rank = LowRank { diagonal: Vec::new(), signs, factors };
        let signs = low_rank.signs.iter().map(|&sign| f64::from(sign)).collect::<Array1<f64>>();
        let diagonal = signs.dot(&low_rank.factors().pow2());
        low_rank.diagonal = diagonal.iter().map(|&d| d as f32).collect();
        low_rank
    }

    /// u `[rank, num_fields]`.
    ///
    /// # Panics
    /// Where factors are not a multiple of the signs.
    pub(crate) fn factors(&self) -> Array2<f64> {
        let (rank, factors) = (self.signs.len(), self.factors.iter().map(|&u| u.into()).collect());
        Array2::from_shape_vec((rank, self.factors.len() / rank), factors).expect("as many factors for each sign")
    }
}

/// Rounds that choose the diagonal anew.
const ROUNDS: usize = 50;

/// An eigenvalue and its vector of length 1.
struct Eigen {
    value: f64,
    vector: Array1<f64>,
}

/// Those of a symmetric matrix \[n, n\], by Jacobi's rotations, all pairs of rows in turn.
fn eigen(matrix: &Array2<f64>) -> Vec<Eigen> {
    let n = matrix.nrows();
    let mut a = matrix.clone();
    // Row i is the eigenvector of a_ii.
    let mut vectors = Array2::<f64>::eye(n);
    let norm = a.pow2().sum();
    let pairs = || (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j)));
    // Each sweep about squares what is left; sixty never happen.
    for _ in 0..60 {
        let off: f64 = pairs().map(|(i, j)| a[[i, j]].powi(2)).sum();
        if off <= 1e-26 * norm {
            break;
        }
        for (i, j) in pairs() {
            let a_ij = a[[i, j]];
            if a_ij == 0.0 {
                continue;
            }
            let theta = (a[[j, j]] - a[[i, i]]) / (2.0 * a_ij);
            let tangent = if theta < 0.0 { -1.0 } else { 1.0 } / (theta.abs() + (theta * theta + 1.0).sqrt());
            let cosine = 1.0 / (tangent * tangent + 1.0).sqrt();
            let sine = tangent * cosine;
            let rotate = |x: ArrayViewMut1<'_, f64>, y: ArrayViewMut1<'_, f64>| {
                Zip::from(x).and(y).for_each(|x, y| (*x, *y) = (cosine * *x - sine * *y, sine * *x + cosine * *y));
            };
            let (x, y) = a.multi_slice_mut((s![.., i], s![.., j]));
            rotate(x, y);
            let (x, y) = a.multi_slice_mut((s![i, ..], s![j, ..]));
            rotate(x, y);
            let (x, y) = vectors.multi_slice_mut((s![i, ..], s![j, ..]));
            rotate(x, y);
        }
    }
    a.diag().iter().zip(vectors.rows()).map(|(&value, vector)| Eigen { value, vector: vector.to_owned() }).collect()
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::eigen;

    #[test]
    fn eigenvectors_make_the_matrix_again() {
        let matrix = Array2::from_shape_fn((9, 9), |(i, j)| ((i + j) as f64 * 0.7 + (i * j) as f64).sin() - 0.2);
        let found = eigen(&matrix);
        for ((i, j), expected) in matrix.indexed_iter() {
            let again: f64 = found.iter().map(|e| e.value * e.vector[i] * e.vector[j]).sum();
            assert!((again - expected).abs() < 1e-12, "[{i}, {j}]");
        }
    }
}
