//! BatchNorm and ReLU in training (Ioffe and Szegedy 2015, arXiv:1502.03167, algorithm 1), a few rows of a batch at a
//! time.

use multiversion::multiversion;
use tch::Tensor;
use xsfm_interchange::checkpoint::BATCH_NORM_EPSILON;

use super::libtorch::{numbers, numbers_mut};
use crate::model::layers::{BATCH_NORM_MOMENTUM, BatchNorm};

/// Of each column of some rows.
#[derive(Debug)]
pub(super) struct Moments {
    rows: usize,
    /// Sums are of differences from it, a row of these: squares of large numbers would cancel.
    shift: Vec<f32>,
    sums: Vec<f32>,
    squares: Vec<f32>,
}

/// What a batch's columns are normalised by.
#[derive(Debug)]
pub(super) struct Columns {
    mean: Vec<f32>,
    /// `1 / sqrt(variance + epsilon)`
    inverse: Vec<f32>,
    /// y = relu(scale (z - mean) + offset)
    scale: Vec<f32>,
    offset: Vec<f32>,
}

/// Of each column of some rows: sums of g and of g (z - mean), where g is the gradient before ReLU.
#[derive(Debug)]
pub(super) struct GradientSums {
    sums: Vec<f32>,
    products: Vec<f32>,
}

/// The gradient of z is `scale g + slope (z - mean) + offset`.
#[derive(Debug)]
pub(super) struct Lines {
    slope: Vec<f32>,
    offset: Vec<f32>,
    of_gain: Vec<f32>,
    of_offset: Vec<f32>,
}

impl Moments {
    /// z `[rows, width]`
    pub(super) fn new(z: &[f32], width: usize) -> Self {
        let shift = z[..width].to_vec();
        let (mut sums, mut squares) = (vec![0.0; width], vec![0.0; width]);
        sum_differences(z, &shift, &mut sums, &mut squares);
        Moments { rows: z.len() / width, shift, sums, squares }
    }
}

impl Columns {
    /// Of all parts of a batch; the running statistics move.
    pub(super) fn new(parts: &[Moments], norm: &BatchNorm) -> Self {
        let width = norm.weight.numel();
        let rows: f64 = parts.iter().map(|part| part.rows as f64).sum();
        let gains = numbers(&norm.weight);
        let mut running = [norm.running_mean.shallow_clone(), norm.running_var.shallow_clone()];
        let [running_mean, running_var] = &mut running;
        let (running_mean, running_var) = (numbers_mut(running_mean), numbers_mut(running_var));
        let offset = numbers(&norm.bias).to_vec();
        let mut columns = Columns { mean: Vec::new(), inverse: Vec::new(), scale: Vec::new(), offset };
        for j in 0..width {
            let differences = |part: &Moments| (part.rows as f64, f64::from(part.shift[j]), f64::from(part.sums[j]));
            let mean = parts.iter().map(differences).map(|(rows, shift, sum)| rows * shift + sum).sum::<f64>() / rows;
            // Sum of (z - mean)^2: sums about each part's shift, moved to the mean.
            let squares = parts.iter().map(|part| {
                let (rows, shift, sum) = differences(part);
                let to_mean = shift - mean;
                f64::from(part.squares[j]) + to_mean * (2.0 * sum + rows * to_mean)
            });
            let squares = squares.sum::<f64>().max(0.0);
            let inverse = (squares / rows + BATCH_NORM_EPSILON).sqrt().recip();
            let scale = f64::from(gains[j]) * inverse;
            columns.mean.push(mean as f32);
            columns.inverse.push(inverse as f32);
            columns.scale.push(scale as f32);
            for (running, now) in [(&mut running_mean[j], mean), (&mut running_var[j], squares / (rows - 1.0))] {
                *running += (BATCH_NORM_MOMENTUM * (now - f64::from(*running))) as f32;
            }
        }
        columns
    }

    /// z, y `[rows, width]`
    pub(super) fn normalize(&self, z: &[f32], y: &mut [f32]) {
        normalize(z, self, y);
    }

    /// z and the gradient of y, `[rows, width]`
    pub(super) fn sum_gradients(&self, z: &[f32], gradient: &[f32]) -> GradientSums {
        let width = self.mean.len();
        let mut sums = GradientSums { sums: vec![0.0; width], products: vec![0.0; width] };
        sum_gradients(z, gradient, self, &mut sums);
        sums
    }

    /// Of all parts of a batch of `rows`.
    pub(super) fn gradient<'a>(&self, parts: impl Iterator<Item = &'a GradientSums> + Clone, rows: i64) -> Lines {
        let width = self.mean.len();
        let rows = rows as f64;
        let mut lines = Lines { slope: Vec::new(), offset: Vec::new(), of_gain: Vec::new(), of_offset: Vec::new() };
        for j in 0..width {
            let (inverse, scale) = (f64::from(self.inverse[j]), f64::from(self.scale[j]));
            let sum: f64 = parts.clone().map(|part| f64::from(part.sums[j])).sum();
            let product: f64 = parts.clone().map(|part| f64::from(part.products[j])).sum();
            // dz = scale (g - mean(g) - u mean(g u)), u = (z - mean) inverse
            lines.slope.push((-scale * inverse * inverse * product / rows) as f32);
            lines.offset.push((-scale * sum / rows) as f32);
            lines.of_gain.push((product * inverse) as f32);
            lines.of_offset.push(sum as f32);
        }
        lines
    }
}

impl Lines {
    /// The gradient of y becomes that of z, `[rows, width]`.
    pub(super) fn apply(&self, columns: &Columns, z: &[f32], gradient: &mut [f32]) {
        gradient_of_input(z, columns, self, gradient);
    }

    /// `[width]`
    pub(super) fn of_gain(&self) -> Tensor {
        Tensor::from_slice(&self.of_gain)
    }

    /// `[width]`
    pub(super) fn of_offset(&self) -> Tensor {
        Tensor::from_slice(&self.of_offset)
    }
}

#[multiversion(targets = "simd")]
fn sum_differences(z: &[f32], shift: &[f32], sums: &mut [f32], squares: &mut [f32]) {
    for z in z.chunks_exact(shift.len()) {
        for (((z, shift), sum), square) in z.iter().zip(shift).zip(&mut *sums).zip(&mut *squares) {
            let difference = z - shift;
            *sum += difference;
            *square += difference * difference;
        }
    }
}

#[multiversion(targets = "simd")]
fn normalize(z: &[f32], columns: &Columns, y: &mut [f32]) {
    let width = columns.mean.len();
    let (mean, scale, offset) = (&columns.mean[..width], &columns.scale[..width], &columns.offset[..width]);
    for (z, y) in z.chunks_exact(width).zip(y.chunks_exact_mut(width)) {
        for j in 0..width {
            let normalized = (z[j] - mean[j]) * scale[j] + offset[j];
            // Not `max`, which would hide what is no number.
            y[j] = if normalized < 0.0 { 0.0 } else { normalized };
        }
    }
}

#[multiversion(targets = "simd")]
fn sum_gradients(z: &[f32], gradient: &[f32], columns: &Columns, sums: &mut GradientSums) {
    let width = columns.mean.len();
    let (mean, scale, offset) = (&columns.mean[..width], &columns.scale[..width], &columns.offset[..width]);
    let (sums, products) = (&mut sums.sums[..width], &mut sums.products[..width]);
    for (z, gradient) in z.chunks_exact(width).zip(gradient.chunks_exact(width)) {
        for j in 0..width {
            let difference = z[j] - mean[j];
            let g = if difference * scale[j] + offset[j] > 0.0 { gradient[j] } else { 0.0 };
            sums[j] += g;
            products[j] += g * difference;
        }
    }
}

#[multiversion(targets = "simd")]
fn gradient_of_input(z: &[f32], columns: &Columns, lines: &Lines, gradient: &mut [f32]) {
    let width = columns.mean.len();
    let (mean, scale, offset) = (&columns.mean[..width], &columns.scale[..width], &columns.offset[..width]);
    let (slope, shift) = (&lines.slope[..width], &lines.offset[..width]);
    for (z, gradient) in z.chunks_exact(width).zip(gradient.chunks_exact_mut(width)) {
        for j in 0..width {
            let difference = z[j] - mean[j];
            let g = if difference * scale[j] + offset[j] > 0.0 { gradient[j] } else { 0.0 };
            gradient[j] = g * scale[j] + difference * slope[j] + shift[j];
        }
    }
}
