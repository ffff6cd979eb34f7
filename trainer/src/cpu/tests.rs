//! Each part of a step against libtorch's own operations.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use tch::{Device, Kind, Tensor, no_grad};

use super::libtorch::{for_each, map, numbers};
use super::{mlp, pairs};
use crate::model;
use crate::model::layers::{BatchNorm, Linear};
use crate::tensors::size;

/// Numbers in ±1, the same in every run: where a gradient jumps, libtorch's rounding may choose the other side.
fn random(shape: &[usize], seed: u64) -> Tensor {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let numbers: Vec<f32> = (0..shape.iter().product()).map(|_| random.random_range(-1.0..1.0)).collect();
    let shape: Vec<i64> = shape.iter().map(|&n| size(n)).collect();
    Tensor::from_slice(&numbers).view(shape.as_slice())
}

fn trained(shape: &[usize], seed: u64) -> Tensor {
    random(shape, seed).set_requires_grad(true)
}

/// A hidden layer per width, and the output layer.
fn layers(inputs: usize, widths: &[usize], seed: u64) -> Vec<Linear> {
    let mut layers = Vec::new();
    let mut before = inputs;
    for (seed, &width) in (seed..).step_by(10).zip(widths) {
        let norm = BatchNorm {
            weight: trained(&[width], seed + 2),
            bias: trained(&[width], seed + 3),
            running_mean: random(&[width], seed + 4),
            running_var: random(&[width], seed + 5).abs(),
        };
        let options = (Kind::Float, Device::Cpu);
        let bias = Tensor::zeros([size(width)], options);
        layers.push(Linear { weight: trained(&[width, before], seed + 1), bias, norm: Some(norm) });
        before = width;
    }
    layers.push(Linear { weight: trained(&[1, before], seed + 8), bias: trained(&[1], seed + 9), norm: None });
    layers
}

fn hidden(layers: &[Linear]) -> Vec<(&Linear, &BatchNorm)> {
    layers.iter().filter_map(|layer| Some((layer, layer.norm.as_ref()?))).collect()
}

/// The same by libtorch, with the masks of a pass.
fn mlp_by_libtorch(x: &Tensor, layers: &[Linear], masks: &[Option<Tensor>]) -> Tensor {
    let mut x = x.shallow_clone();
    for ((layer, norm), mask) in hidden(layers).iter().zip(masks) {
        let [mean, var] = [&norm.running_mean, &norm.running_var].map(Some);
        let z = x.linear(&layer.weight, None::<&Tensor>);
        x = z.batch_norm(Some(&norm.weight), Some(&norm.bias), mean, var, true, 0.1, 1e-5, false).relu();
        x = mask.as_ref().map_or_else(|| x.shallow_clone(), |mask| &x * mask);
    }
    let output = &layers[layers.len() - 1];
    x.linear(&output.weight, Some(&output.bias)).squeeze_dim(1)
}

fn check(what: &str, found: &Tensor, expected: &Tensor) {
    assert_eq!(found.size(), expected.size(), "{what}");
    // Of all numbers together: where one lies beside ReLU's corner, rounding may choose another side.
    let error = (found - expected).norm().double_value(&[]) / expected.norm().double_value(&[]).max(1e-3);
    assert!(error < 1e-3, "{what}: {error} off");
}

/// Values, gradients of everything, running statistics; parts that are full, that are not, and a last one of a single
/// row.
#[test]
fn layers_and_their_gradients_are_those_of_libtorch() {
    let shapes: [(usize, usize, &[usize]); 7] = [
        (2, 3, &[4]),
        (64, 2, &[1]),
        (257, 5, &[7, 2, 3]),
        (300, 39, &[40, 17]),
        (512, 20, &[33]),
        (700, 390, &[100, 100, 100]),
        (40, 6, &[]),
    ];
    for (seed, (rows, inputs, widths)) in (100..).step_by(100).zip(shapes) {
        for dropout in [0.0, 0.3] {
            let what = format!("{rows} rows, {inputs} inputs, {widths:?}, dropout {dropout}");
            let x = trained(&[rows, inputs], seed);
            let layers = layers(inputs, widths, seed + 1);
            let statistics = || {
                let all = hidden(&layers).into_iter();
                all.flat_map(|(_, norm)| [norm.running_mean.copy(), norm.running_var.copy()]).collect::<Vec<_>>()
            };
            let before = statistics();
            let kept = |(n, &width): (u64, &usize)| random(&[rows, width], seed + 50 + n).gt(2.0 * dropout - 1.0);
            let mask = |at| (dropout > 0.0).then(|| kept(at).to_kind(Kind::Float) / (1.0 - dropout));
            let masks: Vec<Option<Tensor>> = (0..).zip(widths).map(mask).collect();
            let copies = masks.iter().map(|mask| mask.as_ref().map(Tensor::copy)).collect();
            let (value, pass) = no_grad(|| mlp::Pass::new(&x, &hidden(&layers), &layers[widths.len()], copies));
            let weights = random(&[rows], seed + 7);
            let found = no_grad(|| pass.gradients(&weights));
            let moved = statistics();

            let all = hidden(&layers).into_iter().flat_map(|(_, norm)| [&norm.running_mean, &norm.running_var]);
            no_grad(|| all.zip(&before).for_each(|(running, before)| running.shallow_clone().copy_(before)));
            let expected = mlp_by_libtorch(&x, &layers, &masks);
            check(&what, &value, &expected.detach());
            let mut inputs = vec![&x];
            hidden(&layers).iter().for_each(|(layer, norm)| inputs.extend([&layer.weight, &norm.weight, &norm.bias]));
            inputs.extend([&layers[widths.len()].weight, &layers[widths.len()].bias]);
            let gradients = Tensor::run_backward(&[(expected * &weights).sum(Kind::Float)], &inputs, false, false);
            assert_eq!(found.len(), gradients.len());
            for (n, (found, expected)) in found.iter().zip(&gradients).enumerate() {
                check(&format!("{what}: gradient {n}"), found, expected);
            }
            for (n, (found, expected)) in moved.iter().zip(statistics()).enumerate() {
                check(&format!("{what}: statistic {n}"), found, &expected);
            }
        }
    }
}

/// The share of zeros and the factor of the rest, and masks that differ between layers.
#[test]
fn dropout_keeps_the_mean() {
    let layers = layers(8, &[50, 50], 1);
    let masks: Vec<Tensor> = mlp::masks(1000, &hidden(&layers), 0.2).into_iter().flatten().collect();
    assert!(mlp::masks(1000, &hidden(&layers), 0.0).iter().all(Option::is_none));
    for mask in &masks {
        let kept = mask.gt(0.0).to_kind(Kind::Float);
        assert!((kept.mean(Kind::Float).double_value(&[]) - 0.8).abs() < 0.01);
        assert!((mask - kept * 1.25).abs().max().double_value(&[]) < 1e-6);
    }
    assert!(masks.len() == 2 && masks[0] != masks[1]);
}

/// In the graph of gradients, as a trained pass uses it.
#[test]
fn a_gradient_goes_through_to_what_was_before() {
    let layers = layers(4, &[6], 1);
    let before = trained(&[30, 4], 2);
    let found = mlp::mlp(&(&before * 3.0), &hidden(&layers), &layers[1], 0.0).sum(Kind::Float);
    let expected = mlp_by_libtorch(&(&before * 3.0), &layers, &[None]).sum(Kind::Float);
    let inputs = [&before, &layers[0].weight, &layers[1].bias];
    let [found, expected] = [found, expected].map(|sum| Tensor::run_backward(&[sum], &inputs, false, false));
    for (n, (found, expected)) in found.iter().zip(&expected).enumerate() {
        check(&format!("gradient {n}"), found, expected);
    }
}

/// Large means, a column that is the same in all rows, and numbers that are none.
#[test]
fn hard_columns() {
    let layers = layers(2, &[2], 1);
    no_grad(|| layers[0].weight.shallow_clone().copy_(&Tensor::eye(2, (Kind::Float, Device::Cpu))));
    let varied = random(&[300, 1], 2) * 0.5 + 1000.0;
    let x = Tensor::cat(&[varied, Tensor::full([300, 1], -7.0, (Kind::Float, Device::Cpu))], 1);
    let (_, pass) = no_grad(|| mlp::Pass::new(&x, &hidden(&layers), &layers[1], vec![None]));
    let double = x.to_kind(Kind::Double);
    let normalized = (&double - double.mean_dim([0].as_slice(), false, Kind::Double))
        / (double.var_dim([0].as_slice(), false, false) + 1e-5).sqrt();
    let norm = layers[0].norm.as_ref().expect("a norm");
    let expected = (normalized * &norm.weight + &norm.bias).relu().to_kind(Kind::Float);
    let error = (pass.inputs_of_output() - expected).abs().max().double_value(&[]);
    assert!(error < 1e-4, "a mean of thousands of deviations: {error} off");

    let _ = x.get(17).fill_(f64::NAN);
    let value = mlp::mlp(&x, &hidden(&layers), &layers[1], 0.0);
    assert!(value.isnan().any().int64_value(&[]) == 1, "what is no number was hidden");
}

#[test]
fn field_vectors_and_pairs_are_those_of_libtorch() {
    for (seed, (rows, fields, dim)) in
        (1..).step_by(10).zip([(1, 1, 1), (2, 2, 3), (65, 39, 10), (200, 7, 16), (64, 5, 1)])
    {
        let what = format!("{rows} rows, {fields} fields of {dim}");
        let v = trained(&[rows, fields, dim], seed);
        let w = trained(&[fields, fields], seed + 1);
        let field_vectors = trained(&[fields, dim], seed + 2);
        let weights = random(&[rows], seed + 3);
        let r = (&w + w.tr()) * (1.0 - Tensor::eye(size(fields), (Kind::Float, Device::Cpu)));
        let found = pairs::interactions(&v, &r, &field_vectors);
        // One pair after another, as the equation says.
        let mut expected = (&v * &field_vectors).sum_dim_intlist([1, 2].as_slice(), false, Kind::Float);
        for j in 0..size(fields) {
            for i in 0..j {
                let product = (v.select(1, i) * v.select(1, j)).sum_dim_intlist([1].as_slice(), false, Kind::Float);
                expected = &expected + product * r.get(i).get(j);
            }
        }
        check(&what, &found.detach(), &expected.detach());
        let of_libtorch =
            model::pairs(&v, &r) + (&v * &field_vectors).sum_dim_intlist([1, 2].as_slice(), false, Kind::Float);
        let gradients = [found, of_libtorch, expected].map(|sum| {
            Tensor::run_backward(&[(sum * &weights).sum(Kind::Float)], &[&v, &w, &field_vectors], true, false)
        });
        let [found, of_libtorch, expected] = &gradients;
        for (n, ((found, of_libtorch), expected)) in found.iter().zip(of_libtorch).zip(expected).enumerate() {
            // A single field has no pair, and its matrix no gradient.
            if expected.defined() {
                check(&format!("{what}: gradient {n}"), found, expected);
                check(&format!("{what}: gradient {n} of libtorch"), of_libtorch, expected);
            }
        }
    }
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let layers = layers(20, &[30, 12], 1);
    let (x, weights) = (random(&[900, 20], 2), random(&[900], 3));
    let (v, r, field_vectors) = (trained(&[900, 7, 5], 4), random(&[7, 7], 5), random(&[7, 5], 6));
    let r = &r + r.tr();
    let run = |threads| {
        tch::set_num_threads(threads);
        let (value, pass) = no_grad(|| mlp::Pass::new(&x, &hidden(&layers), &layers[2], vec![None, None]));
        let mut all = no_grad(|| pass.gradients(&weights));
        let sum = pairs::interactions(&v, &r, &field_vectors);
        all.extend([value, sum.detach()]);
        all.extend(Tensor::run_backward(&[(sum * &weights).sum(Kind::Float)], &[&v], false, false));
        all
    };
    let one = run(1);
    for threads in [2, 3, 5] {
        for (n, (found, expected)) in run(threads).iter().zip(&one).enumerate() {
            // Matrices' gradients are sums over all samples, which libtorch divides as it likes.
            assert!(found == expected || [1, 4, 7].contains(&n), "tensor {n} on {threads} threads");
        }
    }
}

#[test]
fn every_item_is_done_once_and_results_keep_their_order() {
    for count in [0, 1, 2, 7, 1000] {
        let mut done = vec![0; count];
        for_each(done.iter_mut().enumerate(), |(n, done)| *done += n + 1);
        assert_eq!(done, (1..=count).collect::<Vec<_>>());
        assert_eq!(map(0..count, |n| n * n), (0..count).map(|n| n * n).collect::<Vec<_>>());
    }
}

#[test]
fn a_view_with_gaps_is_refused() {
    let all = random(&[4, 6], 1);
    assert_eq!(numbers(&all.narrow(0, 1, 2)).len(), 12);
    for wrong in [all.narrow(1, 0, 3), all.to_kind(Kind::Double)] {
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| numbers(&wrong).len())).is_err());
    }
    assert!(numbers(&Tensor::empty([0, 3], (Kind::Float, Device::Cpu))).is_empty());
}
