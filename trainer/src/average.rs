//! An exponential moving average of the weights over the steps (Polyak and Juditsky 1992, doi:10.1137/0330046): what
//! single batches pulled the weights to, one way and the other, is averaged away, and the model that is measured
//! differs less from one evaluation to the next.

use std::collections::HashMap;

use anyhow::{Context, Result};
use tch::{Tensor, no_grad};

use crate::model::parameters::Parameters;

/// Steps from one average to the next: it goes over all tables.
const EVERY: u64 = 8;

/// The average of a model's numbers, BatchNorm's statistics included.
#[derive(Debug)]
pub struct Average {
    /// Of the average before, in each new one.
    keeps: f64,
    numbers: Vec<(String, Tensor)>,
}

impl Average {
    /// Of the weights before the first step, over about so many steps: weights of `steps` ago count `1 / e` of what the
    /// last do. None where there are no steps.
    pub fn new(parameters: &Parameters, steps: f64) -> Option<Self> {
        let keeps = (-(EVERY as f64) / steps).exp();
        (steps > 0.0).then(|| Average { keeps, numbers: copy_of(parameters) })
    }

    /// After so many steps of the optimiser, from 1.
    pub fn step(&mut self, parameters: &Parameters, steps: u64) {
        if !steps.is_multiple_of(EVERY) {
            return;
        }
        // The first weights are random, and count the less the younger the average is.
        let times = steps / EVERY;
        let keeps = self.keeps.min(times as f64 / (times as f64 + 9.0));
        no_grad(|| {
            for ((_, average), (_, now, _)) in self.numbers.iter_mut().zip(parameters.named()) {
                let _ = average.lerp_(&now, 1.0 - keeps);
            }
        });
    }

    /// What is 0 in the weights is so in their average: a pruned weight has been another number for as long as the
    /// average remembers.
    pub fn prune(&mut self, parameters: &Parameters) {
        no_grad(|| {
            for ((_, average), (_, now, _)) in self.numbers.iter_mut().zip(parameters.named()) {
                let _ = average.masked_fill_(&now.eq(0.0), 0.0);
            }
        });
    }

    /// The numbers, which share memory with the average's own.
    pub fn numbers(&self) -> Vec<(String, Tensor)> {
        self.numbers.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect()
    }

    /// Takes numbers that were saved.
    ///
    /// # Errors
    /// One is missing or has another shape.
    pub fn restore(&mut self, saved: &HashMap<String, Tensor>) -> Result<()> {
        for (name, tensor) in &mut self.numbers {
            let saved = saved.get(name).with_context(|| format!("`average.{name}` is missing"))?;
            tensor.f_copy_(saved).with_context(|| format!("`average.{name}`"))?;
        }
        Ok(())
    }
}

fn copy_of(parameters: &Parameters) -> Vec<(String, Tensor)> {
    parameters.named().into_iter().map(|(name, tensor, _)| (name, tensor.detach().copy())).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use tch::{Device, Kind};
    use xsfm_interchange::config::{EmbeddingConfig, FieldConfig, Interaction, ModelConfig};

    use super::*;
    use crate::model::Model;
    use crate::settings::Initialization;

    /// One number of a model that goes through given values, against the sum that defines an average.
    #[test]
    fn an_average_is_that_of_its_equation() {
        let field = FieldConfig {
            name: "f".to_owned(),
            features: 1,
            bag: false,
            weighted: false,
            embedding: EmbeddingConfig::Full,
        };
        let config = ModelConfig {
            version: ModelConfig::VERSION,
            vocabulary: None,
            fields: vec![field],
            embed_dim: 1,
            feature_weight: false,
            field_vector: false,
            interaction: Interaction::None,
            mlp: None,
            compressed: vec![],
            network: None,
            quantization: None,
        };
        let model = Model::new(config, &Initialization::of_deviation(0.0), Device::Cpu).unwrap();
        let set = |value: f64| no_grad(|| model.parameters.bias.shallow_clone().fill_(value));
        let value = |step: u64| (step as f64 * 0.7).sin();
        assert!(Average::new(&model.parameters, 0.0).is_none());
        let mut average = Average::new(&model.parameters, 200.0).unwrap();
        let mut expected = 0.0;
        for step in 1..=4000 {
            let _ = set(value(step));
            average.step(&model.parameters, step);
            if step % EVERY == 0 {
                let n = (step / EVERY) as f64;
                let keeps = (-8.0_f64 / 200.0).exp().min(n / (n + 9.0));
                expected = keeps * expected + (1.0 - keeps) * value(step);
            }
        }
        let found = average.numbers().into_iter().find(|(name, _)| name == "bias").unwrap().1;
        assert!((found.double_value(&[0]) - expected).abs() < 1e-5);

        let _ = set(0.0);
        average.prune(&model.parameters);
        assert!(average.numbers().iter().all(|(name, tensor)| name != "bias" || tensor.double_value(&[0]) == 0.0));
        let _ = set(0.5);
        average.step(&model.parameters, EVERY);

        // What was saved comes back, and is not shared with the model.
        let saved: HashMap<String, Tensor> = average.numbers().into_iter().map(|(n, t)| (n, t.copy())).collect();
        let mut other = Average::new(&model.parameters, 200.0).unwrap();
        other.restore(&saved).unwrap();
        let _ = set(7.0);
        assert!(other.numbers().iter().zip(average.numbers()).all(|((_, a), (_, b))| *a == b));
        assert_eq!(saved["bias"].kind(), Kind::Float);
        assert!(other.restore(&HashMap::new()).unwrap_err().to_string().contains("is missing"));
    }
}
