//! Linear layers and BatchNorm: how they start, what they are called, what they compute.

use tch::{Device, Kind, Tensor};
use xsfm_interchange::checkpoint::BATCH_NORM_EPSILON;

use super::role::Role;
use crate::settings::LayerInit;

/// Momentum of BatchNorm's running statistics, as in PyTorch.
pub(crate) const BATCH_NORM_MOMENTUM: f64 = 0.1;

/// One Linear layer and what follows it.
#[derive(Debug)]
pub struct Linear {
    /// `[outputs, inputs]`
    pub weight: Tensor,
    /// `[outputs]`; 0 and not trained before BatchNorm, which takes it away with the mean (Ioffe and Szegedy 2015,
    /// arXiv:1502.03167, 3.2).
    pub bias: Tensor,
    /// BatchNorm of a hidden layer.
    pub norm: Option<BatchNorm>,
}

/// BatchNorm, all `[outputs]`.
#[derive(Debug)]
pub struct BatchNorm {
    /// Gain.
    pub weight: Tensor,
    /// Offset.
    pub bias: Tensor,
    /// Running mean; moves in training, has no gradient.
    pub running_mean: Tensor,
    /// Running variance; moves in training, has no gradient.
    pub running_var: Tensor,
}

/// How hidden layers are computed.
#[derive(Clone, Copy, Debug)]
pub struct Pass {
    /// In training: the share of outputs that is dropped. BatchNorm then uses and moves with the batch's statistics.
    pub(super) dropout: Option<f64>,
    /// In training: products in bfloat16.
    pub(super) mixed_precision: bool,
}

impl Pass {
    pub(super) fn is_training(self) -> bool {
        self.dropout.is_some()
    }

    /// x, or in training what is left of it.
    pub(super) fn drop(self, x: Tensor) -> Tensor {
        match self.dropout {
            Some(dropout) => x.dropout(dropout, true),
            None => x,
        }
    }
}

/// Numbers between `-bound` and `bound`.
pub(super) fn uniform(shape: &[i64], bound: f64, device: Device) -> Tensor {
    (Tensor::rand(shape, (Kind::Float, device)) * 2.0 - 1.0) * bound
}

/// `[outputs, inputs]` as PyTorch's Linear starts.
pub(super) fn matrix(outputs: i64, inputs: i64, device: Device) -> Tensor {
    uniform(&[outputs, inputs], (inputs as f64).sqrt().recip(), device)
}

impl Linear {
    /// Fresh, from libtorch's current random state.
    pub(super) fn new([inputs, outputs]: [i64; 2], has_norm: bool, init: LayerInit, device: Device) -> Self {
        let options = (Kind::Float, device);
        let normal = |variance: f64| Tensor::randn([outputs, inputs], options) * variance.sqrt();
        let weight = match init {
            LayerInit::Uniform => matrix(outputs, inputs, device),
            LayerInit::XavierNormal => normal(2.0 / (inputs + outputs) as f64),
            LayerInit::KaimingNormal => normal(2.0 / inputs as f64),
        };
        let is_zero = has_norm || init != LayerInit::Uniform;
        let bias = if is_zero {
            Tensor::zeros([outputs], options)
        } else {
            uniform(&[outputs], (inputs as f64).sqrt().recip(), device)
        };
        Linear { weight, bias, norm: has_norm.then(|| BatchNorm::new(outputs, device)) }
    }

    /// Layers of so many outputs, one after another.
    pub(super) fn stack(
        mut inputs: i64,
        widths: &[usize],
        has_norm: bool,
        init: LayerInit,
        device: Device,
    ) -> Vec<Self> {
        let layer = |&width: &usize| {
            let outputs = crate::tensors::size(width);
            let layer = Linear::new([inputs, outputs], has_norm, init, device);
            inputs = outputs;
            layer
        };
        widths.iter().map(layer).collect()
    }

    /// x `[n, inputs]` -> `[n, outputs]`, without BatchNorm.
    pub(super) fn apply(&self, x: &Tensor) -> Tensor {
        x.linear(&self.weight, Some(&self.bias))
    }

    /// Its tensors, with the names that follow `name`.
    pub(super) fn named(&self, name: &str) -> Vec<(String, Tensor, Role)> {
        let role = if self.norm.is_some() { Role::Statistic } else { Role::Other };
        let mut all = vec![
            (format!("{name}.weight"), self.weight.shallow_clone(), Role::Matrix),
            (format!("{name}.bias"), self.bias.shallow_clone(), role),
        ];
        all.extend(self.norm.iter().flat_map(|norm| norm.named(&format!("{name}.norm"))));
        all
    }
}

impl BatchNorm {
    /// The identity of numbers of mean 0 and variance 1.
    pub(super) fn new(outputs: i64, device: Device) -> Self {
        let options = (Kind::Float, device);
        BatchNorm {
            weight: Tensor::ones([outputs], options),
            bias: Tensor::zeros([outputs], options),
            running_mean: Tensor::zeros([outputs], options),
            running_var: Tensor::ones([outputs], options),
        }
    }

    /// x `[n, outputs]` or `[n, outputs, k]`; in training by the batch's statistics, with which its own move.
    pub(super) fn apply(&self, x: &Tensor, is_training: bool) -> Tensor {
        x.batch_norm(
            Some(&self.weight),
            Some(&self.bias),
            Some(&self.running_mean),
            Some(&self.running_var),
            is_training,
            BATCH_NORM_MOMENTUM,
            BATCH_NORM_EPSILON,
            x.device().is_cuda(),
        )
    }

    /// Its tensors, with the names that follow `name`.
    pub(super) fn named(&self, name: &str) -> [(String, Tensor, Role); 4] {
        let of = |part: &str, tensor: &Tensor, role| (format!("{name}.{part}"), tensor.shallow_clone(), role);
        [
            of("weight", &self.weight, Role::Other),
            of("bias", &self.bias, Role::Other),
            of("running_mean", &self.running_mean, Role::Statistic),
            of("running_var", &self.running_var, Role::Statistic),
        ]
    }
}

/// x `[n, inputs]` -> `[n, outputs of the last]`: each layer is Linear, BatchNorm where it has one, ReLU, dropout.
/// `see` is shown what each gives before dropout.
pub(super) fn hidden(layers: &[Linear], mut x: Tensor, pass: Pass, mut see: impl FnMut(&Tensor)) -> Tensor {
    let is_training = pass.is_training();
    for Linear { weight, bias, norm } in layers {
        // It is 0 before BatchNorm; in training two passes over the outputs less.
        let bias = (norm.is_none() || !is_training).then_some(bias);
        x = if pass.mixed_precision && is_training {
            // The outputs stay in bfloat16 up to what reads them; BatchNorm's sums are in f32.
            let bias = bias.map(|bias| bias.to_kind(Kind::BFloat16));
            x.to_kind(Kind::BFloat16).linear(&weight.to_kind(Kind::BFloat16), bias.as_ref())
        } else {
            x.linear(weight, bias)
        };
        if let Some(norm) = norm {
            x = norm.apply(&x, is_training);
        }
        x = x.relu_();
        see(&x);
        x = pass.drop(x);
    }
    x.to_kind(Kind::Float)
}
