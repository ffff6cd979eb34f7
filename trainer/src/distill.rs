//! Knowledge distillation (Hinton et al. 2015, arXiv:1503.02531): a student learns the labels and its teachers'
//! probabilities.

use tch::{Reduction, Tensor};

/// What training minimises, apart from regularisation.
#[derive(Clone, Debug)]
pub enum Objective {
    /// The labels' cross entropy.
    Labels,
    /// [`distillation_loss`].
    Distill {
        /// The teachers' mean logit of every training row, in the order of the file.
        teacher: Vec<f32>,
        /// Weight of the labels; the teachers have `1 - alpha`.
        alpha: f64,
        /// Both logits are divided by it before they are compared.
        temperature: f64,
    },
}

impl Objective {
    /// The teachers' logits of rows, by their numbers in the file; nothing where the labels alone are learned.
    pub fn teacher(&self, numbers: &[u64]) -> Option<Vec<f32>> {
        match self {
            Objective::Labels => None,
            Objective::Distill { teacher, .. } => {
                Some(numbers.iter().map(|&number| teacher[number as usize]).collect())
            }
        }
    }

    /// logits, labels, weights `[n]`, those of [`teacher`](Self::teacher) -> mean loss of a batch, each row's times its
    /// weight
    pub fn loss(&self, logits: &Tensor, labels: &Tensor, weights: Option<&Tensor>, teacher: Option<&Tensor>) -> Tensor {
        match (self, teacher) {
            (Objective::Distill { alpha, temperature, .. }, Some(teacher)) => {
                distillation_loss(logits, labels, weights, teacher, *alpha, *temperature)
            }
            _ => cross_entropy(logits, labels, weights),
        }
    }
}

/// logits, targets, weights `[n]` -> mean of `w (-y ln p - (1 - y) ln(1 - p))`, w = 1 without weights
pub fn cross_entropy(logits: &Tensor, targets: &Tensor, weights: Option<&Tensor>) -> Tensor {
    logits.binary_cross_entropy_with_logits(targets, weights, None, Reduction::Mean)
}

/// logits, labels, weights, teacher `[n]` -> `alpha H(y, s(z)) + (1 - alpha) T^2 KL(s(t / T) || s(z / T))`, means over
/// the batch, each row's terms times its weight
///
/// `s` is the sigmoid. The factor `T^2` keeps the gradients' size independent of T. The divergence, not the cross
/// entropy, so that the loss is 0 where the student equals its teacher; the gradients are the same.
pub fn distillation_loss(
    logits: &Tensor,
    labels: &Tensor,
    weights: Option<&Tensor>,
    teacher: &Tensor,
    alpha: f64,
    temperature: f64,
) -> Tensor {
    let teacher = teacher / temperature;
    let soft = teacher.sigmoid();
    let divergence = cross_entropy(&(logits / temperature), &soft, weights) - cross_entropy(&teacher, &soft, weights);
    cross_entropy(logits, labels, weights) * alpha + divergence * ((1.0 - alpha) * temperature * temperature)
}
