//! Field vectors and pairs of fields in training: `<f, v> + sum_{i<j} r_ij <v_i, v_j> = <f, v> + tr(E^T R E) / 2`, E = v of a sample.
//!
//! libtorch multiplies by R, which is one product for all samples where the fields are the last dimension: `e [n, embed_dim, F]`. The
//! rest is here. The gradient of v is `f + R E`, as R is symmetric: what the forward pass computed.

use multiversion::multiversion;
use tch::{Tensor, no_grad};

use super::libtorch::{for_each, map, numbers, numbers_mut, with_gradient};

/// Samples that a thread takes at a time.
const SAMPLES: usize = 64;
/// Sums side by side, for vector instructions.
const LANES: usize = 16;

/// What a pass leaves for the gradients.
#[derive(Debug)]
struct Pass {
    /// `[n, embed_dim, F]`: v with the fields last, and its products with R.
    e: Tensor,
    products: Tensor,
    /// `[embed_dim, F]`
    field_vectors: Tensor,
}

/// v `[n, F, embed_dim]`, r `[F, F]` symmetric with a diagonal of zeros, f `[F, embed_dim]` -> `[n]`
pub(crate) fn interactions(v: &Tensor, r: &Tensor, field_vectors: &Tensor) -> Tensor {
    let (sum, pass) = no_grad(|| {
        let v = v.contiguous();
        let (n, num_fields, dim) = v.size3().expect("samples, fields, numbers");
        let mut e = Tensor::empty([n, dim, num_fields], (v.kind(), v.device()));
        let width = (num_fields * dim) as usize;
        let chunks = numbers_mut(&mut e).chunks_mut(SAMPLES * width).zip(numbers(&v).chunks(SAMPLES * width));
        for_each(chunks, |(e, v)| transpose(v, dim as usize, width, e));
        let products = e.matmul(r);
        let field_vectors = field_vectors.tr().contiguous();
        let mut sum = Tensor::empty([n], (v.kind(), v.device()));
        let factors = numbers(&e).chunks(SAMPLES * width).zip(numbers(&products).chunks(SAMPLES * width));
        let f = numbers(&field_vectors);
        for_each(numbers_mut(&mut sum).chunks_mut(SAMPLES).zip(factors), |(sum, (e, products))| {
            sum_products(e, products, f, sum);
        });
        (sum, Pass { e, products, field_vectors })
    });
    with_gradient(&sum, &[v, r, field_vectors], |gradient| pass.gradients(gradient))
}

impl Pass {
    /// Those of v, of r and of the field vectors, by the gradient of the sum.
    fn gradients(self, gradient: &Tensor) -> Vec<Tensor> {
        let Pass { mut products, e, field_vectors } = self;
        let (n, dim, num_fields) = e.size3().expect("samples, numbers, fields");
        let width = (num_fields * dim) as usize;
        let gradient = gradient.contiguous();
        let mut of_v = Tensor::empty([n, num_fields, dim], (e.kind(), e.device()));
        // The products are needed no more: in their place comes g e.
        let chunks = numbers_mut(&mut products).chunks_mut(SAMPLES * width).zip(numbers(&e).chunks(SAMPLES * width));
        let chunks = chunks.zip(numbers_mut(&mut of_v).chunks_mut(SAMPLES * width));
        let chunks = chunks.zip(numbers(&gradient).chunks(SAMPLES));
        let f = numbers(&field_vectors);
        let partial = map(chunks, |(((products, e), of_v), gradient)| {
            let mut sums = vec![0.0; width];
            gradients_of_samples(products, e, f, dim as usize, gradient, of_v, &mut sums);
            sums
        });
        let weighted = products.view([-1, num_fields]);
        let of_r = weighted.tr().matmul(&e.view([-1, num_fields])) * 0.5;
        let mut sums = vec![0.0; width];
        for partial in &partial {
            sums.iter_mut().zip(partial).for_each(|(sum, partial)| *sum += partial);
        }
        let of_field_vectors = Tensor::from_slice(&sums).view([dim, num_fields]).tr();
        vec![of_v, of_r, of_field_vectors]
    }
}

/// v `[n, F, dim]` -> e `[n, dim, F]`; `width = F * dim`
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn transpose(v: &[f32], dim: usize, width: usize, e: &mut [f32]) {
    let num_fields = width / dim;
    for (v, e) in v.chunks_exact(width).zip(e.chunks_exact_mut(width)) {
        for (k, e) in e.chunks_exact_mut(num_fields).enumerate() {
            e.iter_mut().zip(v[k..].iter().step_by(dim)).for_each(|(e, v)| *e = *v);
        }
    }
}

/// Of each sample: the sum of `e (p / 2 + f)`.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn sum_products(e: &[f32], products: &[f32], field_vectors: &[f32], sums: &mut [f32]) {
    let width = field_vectors.len();
    for ((e, products), sum) in e.chunks_exact(width).zip(products.chunks_exact(width)).zip(sums) {
        let mut lanes = [0.0; LANES];
        let all = e.chunks(LANES).zip(products.chunks(LANES)).zip(field_vectors.chunks(LANES));
        for ((e, products), field_vectors) in all {
            for (((lane, e), p), f) in lanes.iter_mut().zip(e).zip(products).zip(field_vectors) {
                *lane += e * (p * 0.5 + f);
            }
        }
        *sum = lanes.iter().sum();
    }
}

/// By the gradient g of each sample: `g (p + f)` to `of_v`, `g e` in place of p, and the sums of g e.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn gradients_of_samples(
    products: &mut [f32],
    e: &[f32],
    field_vectors: &[f32],
    dim: usize,
    gradient: &[f32],
    of_v: &mut [f32],
    sums: &mut [f32],
) {
    let width = field_vectors.len();
    let num_fields = width / dim;
    let samples = products.chunks_exact_mut(width).zip(e.chunks_exact(width)).zip(of_v.chunks_exact_mut(width));
    for (((products, e), of_v), &g) in samples.zip(gradient) {
        let rows = products.chunks_exact(num_fields).zip(field_vectors.chunks_exact(num_fields));
        for (k, (products, field_vectors)) in rows.enumerate() {
            let column = of_v[k..].iter_mut().step_by(dim);
            column.zip(products).zip(field_vectors).for_each(|((of_v, p), f)| *of_v = g * (p + f));
        }
        for ((p, e), sum) in products.iter_mut().zip(e).zip(&mut *sums) {
            *p = g * e;
            *sum += *p;
        }
    }
}
