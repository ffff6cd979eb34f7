//! Knowledge distillation (Hinton et al. 2015, arXiv:1503.02531): a student learns the labels and its teachers' probabilities.

use anyhow::{Result, bail};
use tch::{Kind, Reduction, Tensor};
use xsfm_interchange::rows::RowBlock;

use crate::evaluate::Scorer;
use crate::model::Model;

/// What training minimises, apart from regularisation.
#[derive(Debug, Default)]
pub struct Objective {
    /// Teachers whose logits are averaged; none for plain training.
    pub teachers: Vec<Model>,
    /// Weight of the labels; the teachers have `1 - alpha`.
    pub alpha: f64,
    /// Both logits are divided by it before they are compared.
    pub temperature: f64,
}

impl Objective {
    /// Checks that every teacher reads the same fields as the student.
    ///
    /// # Errors
    /// The message names the field that differs.
    pub fn check(&self, student: &Model) -> Result<()> {
        let fields = |m: &Model| -> Vec<(String, u32, bool)> {
            m.config.fields.iter().map(|f| (f.name.clone(), f.features, f.bag)).collect()
        };
        let ours = fields(student);
        for theirs in self.teachers.iter().map(fields) {
            if theirs.len() != ours.len() {
                bail!("the teacher has {} fields, the data {}", theirs.len(), ours.len());
            }
            if let Some(((name, theirs, _), (_, ours, _))) = theirs.iter().zip(&ours).find(|(a, b)| a != b) {
                bail!("field `{name}` of the teacher ({theirs} features) is not that of the data ({ours} features)");
            }
        }
        Ok(())
    }

    /// logits, labels `[n]` -> mean loss of a batch
    ///
    /// # Errors
    /// Rows that do not fit a teacher.
    pub fn loss(&self, logits: &Tensor, labels: &Tensor, block: &RowBlock) -> Result<Tensor> {
        if self.teachers.is_empty() {
            return Ok(cross_entropy(logits, labels));
        }
        let mut sum = labels.zeros_like();
        for teacher in &self.teachers {
            sum += Scorer::new(teacher)?.logits(block)?.to_kind(Kind::Float);
        }
        let teacher = sum / self.teachers.len() as f64;
        Ok(distillation_loss(logits, labels, &teacher, self.alpha, self.temperature))
    }
}

/// logits, targets `[n]` -> mean of `-y ln p - (1 - y) ln(1 - p)`
pub fn cross_entropy(logits: &Tensor, targets: &Tensor) -> Tensor {
    logits.binary_cross_entropy_with_logits::<Tensor>(targets, None, None, Reduction::Mean)
}

/// logits, labels, teacher `[n]` -> `alpha H(y, s(z)) + (1 - alpha) T^2 KL(s(t / T) || s(z / T))`, means over the batch
///
/// `s` is the sigmoid. The factor `T^2` keeps the gradients' size independent of T. The divergence, not the cross entropy, so
/// that the loss is 0 where the student equals its teacher; the gradients are the same.
pub fn distillation_loss(logits: &Tensor, labels: &Tensor, teacher: &Tensor, alpha: f64, temperature: f64) -> Tensor {
    let teacher = teacher / temperature;
    let soft = teacher.sigmoid();
    let divergence = cross_entropy(&(logits / temperature), &soft) - cross_entropy(&teacher, &soft);
    cross_entropy(logits, labels) * alpha + divergence * ((1.0 - alpha) * temperature * temperature)
}
