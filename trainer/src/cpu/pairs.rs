//! Field vectors and pairs of fields in training: `<f, v> + sum_{i<j} r_ij <v_i, v_j> = <f, v> + tr(E^T R E) / 2`, E =
//! v of a sample.
//!
//! libtorch multiplies by R, which is one product for all samples where the fields are the last dimension: `e [n,
//! embed_dim, F]`. The rest is here. The gradient of v is `f + R E`, as R is symmetric: what the forward pass computed.

use multiversion::multiversion;
use tch::{Kind, Tensor, no_grad};

use super::libtorch::{for_each, map, numbers, numbers_mut, with_gradient};
use super::{SAMPLES, parts};
use crate::tensors::size;

/// Sums side by side, for vector instructions.
const LANES: usize = 16;

/// What a pass leaves for the gradients.
#[derive(Debug)]
struct Pass {
    /// `[n * embed_dim, F]`: v with the fields last, and its products with R.
    e: Tensor,
    products: Tensor,
    /// `[embed_dim, F]`
    field_vectors: Tensor,
}

/// v `[n, F, embed_dim]`, r `[F, F]` symmetric with a diagonal of zeros, f `[F, embed_dim]` -> `[n]`
pub(crate) fn interactions(v: &Tensor, r: &Tensor, field_vectors: &Tensor) -> Tensor {
    let (sum, pass) = no_grad(|| Pass::new(&v.contiguous(), &r.detach(), field_vectors));
    with_gradient(&sum, &[v, r, field_vectors], |gradient| pass.gradients(gradient))
}

impl Pass {
    fn new(v: &Tensor, r: &Tensor, field_vectors: &Tensor) -> (Tensor, Self) {
        let field_vectors = field_vectors.tr().contiguous();
        let (f, dim) = (numbers(&field_vectors), field_vectors.size()[0] as usize);
        let (n, options) = (v.size()[0], (Kind::Float, v.device()));
        let [e, products] = [(); 2].map(|()| Tensor::empty([n * size(dim), r.size()[0]], options));
        let mut sum = Tensor::empty([n], options);
        let all = numbers(v).chunks(SAMPLES * f.len()).zip(numbers_mut(&mut sum).chunks_mut(SAMPLES));
        let all = all.zip(parts(&e, dim)).zip(parts(&products, dim)).map(|part| (part, r.shallow_clone()));
        for_each(all, |((((v, sum), mut e), products), r)| {
            transpose(v, dim, f.len(), numbers_mut(&mut e));
            let _ = e.mm_out(&products, &r);
            sum_products(numbers(&e), numbers(&products), f, sum);
        });
        (sum, Pass { e, products, field_vectors })
    }

    /// Those of v, of r and of the field vectors, by the gradient of the sum.
    fn gradients(self, gradient: &Tensor) -> Vec<Tensor> {
        let (f, dim) = (numbers(&self.field_vectors), self.field_vectors.size()[0] as usize);
        let (gradient, num_fields) = (gradient.contiguous(), self.e.size()[1]);
        let mut of_v = Tensor::empty([gradient.size()[0], num_fields, size(dim)], (Kind::Float, self.e.device()));
        let all = numbers_mut(&mut of_v).chunks_mut(SAMPLES * f.len()).zip(numbers(&gradient).chunks(SAMPLES));
        let all = all.zip(parts(&self.e, dim)).zip(parts(&self.products, dim));
        let partial = map(all, |(((of_v, gradient), e), mut products)| {
            let mut sums = vec![0.0; f.len()];
            // The products are needed no more: in their place comes g e.
            gradients_of_samples(numbers_mut(&mut products), numbers(&e), f, dim, gradient, of_v, &mut sums);
            (products.tr().mm(&e), sums)
        });
        let (of_r, sums): (Vec<Tensor>, Vec<Vec<f32>>) = partial.into_iter().unzip();
        let mut of_field_vectors = vec![0.0; f.len()];
        for sums in sums {
            of_field_vectors.iter_mut().zip(sums).for_each(|(all, part)| *all += part);
        }
        let of_field_vectors = Tensor::from_slice(&of_field_vectors).view([size(dim), num_fields]).tr();
        vec![of_v, of_r.into_iter().sum::<Tensor>() * 0.5, of_field_vectors]
    }
}

/// v `[n, F, dim]` -> e `[n, dim, F]`; `width = F * dim`
#[multiversion(targets = "simd")]
fn transpose(v: &[f32], dim: usize, width: usize, e: &mut [f32]) {
    let num_fields = width / dim;
    for (v, e) in v.chunks_exact(width).zip(e.chunks_exact_mut(width)) {
        for (k, e) in e.chunks_exact_mut(num_fields).enumerate() {
            e.iter_mut().zip(v[k..].iter().step_by(dim)).for_each(|(e, v)| *e = *v);
        }
    }
}

/// Of each sample: the sum of `e (p / 2 + f)`.
#[multiversion(targets = "simd")]
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
#[multiversion(targets = "simd")]
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
