//! A field matrix of low rank: Shtoff et al. 2024, arXiv:2408.00801.

use xsfm_runtime::format::limit;

use crate::error::Error;
use crate::model::{FloatModel, LowRank, Pairs};

/// Replaces the pairs of `model` by `rank` factors; gives what they miss: the norm of the error over that of the weights.
///
/// The diagonal of the matrix, which no pair reads, is free. It starts at 0 and becomes that of the approximation, again and again:
/// each round lowers the error off the diagonal, or leaves it.
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
    let mut matrix = vec![0.0; num_fields * num_fields];
    for ((i, j), &r) in list.pairs(num_fields).into_iter().zip(weights) {
        matrix[i * num_fields + j] = f64::from(r);
        matrix[j * num_fields + i] = f64::from(r);
    }
    let off_diagonal = || (0..num_fields).flat_map(|i| (0..num_fields).map(move |j| (i, j))).filter(|(i, j)| i != j);
    let mut round = || {
        let mut largest = eigen(&matrix, num_fields);
        largest.sort_by(|a, b| b.value.abs().total_cmp(&a.value.abs()));
        largest.truncate(rank);
        let at = |i: usize, j: usize| largest.iter().map(|e| e.value * e.vector[i] * e.vector[j]).sum::<f64>();
        let missed: f64 = off_diagonal().map(|(i, j)| (matrix[i * num_fields + j] - at(i, j)).powi(2)).sum();
        let all: f64 = off_diagonal().map(|(i, j)| matrix[i * num_fields + j].powi(2)).sum();
        let diagonal: Vec<f64> = (0..num_fields).map(|i| at(i, i)).collect();
        (0..num_fields).for_each(|i| matrix[i * num_fields + i] = diagonal[i]);
        ((missed / all).sqrt(), largest)
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
        let factors: Vec<f32> = u
            .chunks_exact(num_fields)
            .zip(e)
            .flat_map(|(u, &e)| u.iter().map(move |&u| (f64::from(u) * size(e)) as f32))
            .collect();
        let signs: Vec<i8> = e.iter().map(|&e| if e < 0.0 { -1 } else { 1 }).collect();
        let diagonal = (0..num_fields).map(|i| {
            let of_field = factors.iter().skip(i).step_by(num_fields).zip(&signs);
            of_field.map(|(&u, &sign)| f64::from(sign) * f64::from(u).powi(2)).sum::<f64>() as f32
        });
        LowRank { diagonal: diagonal.collect(), signs, factors }
    }
}

/// Rounds that choose the diagonal anew.
const ROUNDS: usize = 50;

/// An eigenvalue and its vector of length 1.
struct Eigen {
    value: f64,
    vector: Vec<f64>,
}

/// Those of a symmetric matrix \[n, n\], by Jacobi's rotations, all pairs of rows in turn.
fn eigen(matrix: &[f64], n: usize) -> Vec<Eigen> {
    let mut a = matrix.to_vec();
    // Row i is the eigenvector of a_ii.
    let mut vectors = vec![0.0; n * n];
    (0..n).for_each(|i| vectors[i * n + i] = 1.0);
    let norm: f64 = a.iter().map(|a| a * a).sum();
    // Each sweep about squares what is left; sixty never happen.
    for _ in 0..60 {
        let off: f64 = (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| a[i * n + j].powi(2)).sum();
        if off <= 1e-26 * norm {
            break;
        }
        for (i, j) in (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j))) {
            let a_ij = a[i * n + j];
            if a_ij == 0.0 {
                continue;
            }
            let theta = (a[j * n + j] - a[i * n + i]) / (2.0 * a_ij);
            let tangent = if theta < 0.0 { -1.0 } else { 1.0 } / (theta.abs() + (theta * theta + 1.0).sqrt());
            let cosine = 1.0 / (tangent * tangent + 1.0).sqrt();
            let sine = tangent * cosine;
            let rotate = |values: &mut [f64], at_i: usize, at_j: usize| {
                let (x, y) = (values[at_i], values[at_j]);
                (values[at_i], values[at_j]) = (cosine * x - sine * y, sine * x + cosine * y);
            };
            for k in 0..n {
                rotate(&mut a, k * n + i, k * n + j);
            }
            for k in 0..n {
                rotate(&mut a, i * n + k, j * n + k);
                rotate(&mut vectors, i * n + k, j * n + k);
            }
        }
    }
    (0..n).map(|i| Eigen { value: a[i * n + i], vector: vectors[i * n..(i + 1) * n].to_vec() }).collect()
}

#[cfg(test)]
mod tests {
    use super::eigen;

    #[test]
    fn eigenvectors_make_the_matrix_again() {
        let n = 9;
        let matrix: Vec<f64> = (0..n * n).map(|at| ((at / n + at % n) as f64 * 0.7).sin() - 0.2).collect();
        let found = eigen(&matrix, n);
        for (i, j) in (0..n).flat_map(|i| (0..n).map(move |j| (i, j))) {
            let again: f64 = found.iter().map(|e| e.value * e.vector[i] * e.vector[j]).sum();
            assert!((again - matrix[i * n + j]).abs() < 1e-12, "[{i}, {j}]");
        }
    }
}
