//! Pruning as DeepLight does it (Deng et al. 2021, arXiv:2002.06987, section 4.3): numbers of small magnitude become 0,
//! a few more with each step, at a rate of its own for the tables, the field matrix and the layers.
//!
//! The share grows as `S (1 - (1 - t / T)^3)` (Zhu and Gupta 2017, arXiv:1710.01878): fast while there is much to
//! spare, slow in the end, and exactly S after T steps. What was pruned stays 0.

use tch::{Kind, Tensor, no_grad};

use crate::model::Model;
use crate::model::layers::Linear;
use crate::settings::Pruning;

/// So many times the shares grow.
const STAGES: u64 = 100;

/// Keeps a model's small numbers at 0.
#[derive(Debug)]
pub struct Pruner {
    groups: Vec<Group>,
    epochs: u64,
    /// Steps so far, and in all while the shares grow.
    step: u64,
    steps: u64,
}

/// Numbers that are ranked together.
#[derive(Debug)]
struct Group {
    /// Final share of zeros.
    share: f64,
    /// They share memory with the parameters.
    tensors: Vec<Tensor>,
    /// 1 for what is kept.
    masks: Vec<Tensor>,
    /// W of r = (W + W^T) / 2: a pair is pruned in both places.
    is_matrix: bool,
}

impl Pruner {
    /// Prunes while training; `None` where nothing shall be.
    pub fn gradual(model: &Model, pruning: &Pruning) -> Option<Self> {
        let shares = [pruning.prune_tables, pruning.prune_pairs, pruning.prune_layers];
        pruning.is_some().then(|| Pruner {
            groups: groups(model, shares),
            epochs: pruning.prune_epochs,
            step: 0,
            steps: 0,
        })
    }

    /// Keeps the zeros that a model has.
    pub fn constant(model: &Model) -> Self {
        Pruner { groups: groups(model, [1.0; 3]), epochs: 0, step: 0, steps: 0 }
    }

    /// Takes the zeros that the model has, after `step` steps of epochs of `epoch_steps`.
    pub fn start(&mut self, step: u64, epoch_steps: u64) {
        (self.step, self.steps) = (step, self.epochs * epoch_steps);
        for group in &mut self.groups {
            group.masks = group.magnitudes().iter().map(|m| m.gt(0.0).to_kind(Kind::Float)).collect();
        }
    }

    /// After a step of the optimiser.
    pub fn step(&mut self) {
        self.step += 1;
        let every = (self.steps / STAGES).max(1);
        let is_stage = self.step <= self.steps && (self.step.is_multiple_of(every) || self.step == self.steps);
        let done = self.step as f64 / self.steps.max(1) as f64;
        for group in &mut self.groups {
            if is_stage {
                group.choose(group.share * (1.0 - (1.0 - done).powi(3)));
            }
            no_grad(|| {
                for (tensor, mask) in group.tensors.iter_mut().zip(&group.masks) {
                    let _ = tensor.g_mul_(mask);
                }
            });
        }
    }

    /// How many trained numbers are 0.
    pub fn zeros(&self) -> usize {
        let zeros = |group: &Group| -> i64 {
            let count = |m: &Tensor| m.eq(0.0).sum(Kind::Int64).int64_value(&[]);
            let all: i64 = group.magnitudes().iter().map(count).sum();
            // The diagonal of a matrix of pairs is no number, and each pair is there twice.
            if group.is_matrix { (all - group.tensors[0].size()[0]) / 2 } else { all }
        };
        usize::try_from(self.groups.iter().map(zeros).sum::<i64>()).unwrap_or(0)
    }
}

impl Group {
    /// Of each tensor: |w|, or |r| with a diagonal of zeros.
    fn magnitudes(&self) -> Vec<Tensor> {
        let magnitude = |t: &Tensor| {
            if self.is_matrix {
                let r = (t + t.tr()).abs();
                r.triu(1) + r.tril(-1)
            } else {
                t.abs()
            }
        };
        no_grad(|| self.tensors.iter().map(magnitude).collect())
    }

    /// Masks the `share` of smallest magnitude.
    fn choose(&mut self, share: f64) {
        let magnitudes = self.magnitudes();
        let all: Vec<Tensor> = if self.is_matrix {
            // Each pair once; beside the upper triangle there are only zeros.
            let n = magnitudes[0].size()[0];
            let upper = Tensor::ones([n, n], (Kind::Bool, magnitudes[0].device())).triu(1);
            vec![magnitudes[0].masked_select(&upper)]
        } else {
            magnitudes.iter().map(|m| m.flatten(0, -1)).collect()
        };
        let all = Tensor::cat(&all, 0);
        let rank = (share * all.numel() as f64).round() as i64;
        if rank == 0 {
            return;
        }
        let (threshold, _) = all.kthvalue(rank, 0, false);
        self.masks = magnitudes.iter().map(|m| m.gt_tensor(&threshold).to_kind(Kind::Float)).collect();
    }
}

/// The tables together, the field matrix, and each hidden layer.
fn groups(model: &Model, [tables, pairs, layers]: [f64; 3]) -> Vec<Group> {
    let parameters = &model.parameters;
    let group = |share, tensors, is_matrix| Group { share, tensors, masks: Vec::new(), is_matrix };
    let of_tables = no_grad(|| parameters.to_checkpoint(&model.layout)).into_iter();
    let of_tables: Vec<Tensor> = of_tables.filter(|(name, _)| name.starts_with("embedding.")).map(|(_, t)| t).collect();
    let hidden = parameters.layers.len().saturating_sub(1);
    let mut groups = Vec::new();
    if tables > 0.0 {
        groups.push(group(tables, of_tables, false));
    }
    if let (Some(matrix), true) = (&parameters.field_matrix, pairs > 0.0) {
        groups.push(group(pairs, vec![matrix.shallow_clone()], true));
    }
    if layers > 0.0 {
        let layer = |l: &Linear| group(layers, vec![l.weight.shallow_clone()], false);
        groups.extend(parameters.layers.iter().take(hidden).map(layer));
    }
    groups
}
