//! DeepFwFM in libtorch: `logit = bias + FeatureWeight + FieldVector + FieldInteraction + MLP(concat v_f)`, every part
//! optional (Pan et al. 2018, arXiv:1806.03514; Deng et al. 2021, arXiv:2002.06987). Teachers may have a [`network`]
//! beside or before the MLP.

pub mod embedding;
pub mod layers;
pub mod lookup;
pub mod network;
pub mod parameters;
pub mod role;

use anyhow::Result;
use tch::{Device, Kind, Tensor, no_grad};
use xsfm_interchange::config::{Interaction, ModelConfig};
use xsfm_interchange::rows::RowBlock;

use self::embedding::Layout;
use self::layers::{Linear, Pass, hidden as hidden_layers};
use self::lookup::{DistinctRows, Entries, Uploaded};
use self::parameters::Parameters;
use crate::cpu;
use crate::settings::Initialization;
use crate::tensors::size;

/// A model on a device.
#[derive(Debug)]
pub struct Model {
    /// Architecture.
    pub config: ModelConfig,
    /// Where the tables lie.
    pub layout: Layout,
    /// The trained numbers.
    pub parameters: Parameters,
    /// Whether training multiplies the hidden layers' matrices in bfloat16 (Kalamkar et al. 2019, arXiv:1905.12322):
    /// its exponent is that of f32, so that no loss has to be scaled. Parameters, sums and statistics stay in f32, and
    /// so does evaluation.
    pub mixed_precision: bool,
    device: Device,
}

/// Which numbers are dropped in training; none in evaluation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Dropout {
    /// Probability for the numbers of the fields' vectors.
    pub embedding: f64,
    /// Probability for the outputs of hidden layers.
    pub hidden: f64,
    /// The same inside a teacher's network.
    pub network: f64,
}

/// What a pass gives.
#[derive(Debug)]
pub struct Output {
    /// `[samples]`
    pub logits: Tensor,
    /// `[E, columns]` each: the table rows that the batch used.
    pub used: Vec<Tensor>,
}

impl Output {
    /// Sum of the squares of all table rows that the batch used, over the number of samples.
    pub fn squares(&self) -> Tensor {
        let sum: Tensor = self.used.iter().map(|rows| rows.square().sum(Kind::Float)).sum();
        sum / self.logits.size()[0] as f64
    }
}

/// Intermediate results of a pass, for calibration.
#[derive(Debug, Default)]
pub struct Trace {
    /// `[samples, num_fields, embed_dim]`
    pub vectors: Option<Tensor>,
    /// `[samples, outputs]` of each hidden layer after ReLU.
    pub hidden: Vec<Tensor>,
}

impl Model {
    /// A fresh model from libtorch's current random state.
    ///
    /// # Errors
    /// A configuration that cannot be built.
    pub fn new(config: ModelConfig, initialization: &Initialization, device: Device) -> Result<Self> {
        parameters::check_config(&config)?;
        let layout = Layout::new(&config, device);
        let parameters = no_grad(|| Parameters::initialize(&config, &layout, initialization, device));
        Ok(Model { config, layout, parameters, mixed_precision: false, device })
    }

    /// Draws the tables anew from libtorch's current random state; all else stays (Fan et al. 2023, arXiv:2305.19531).
    ///
    /// # Errors
    /// A configuration that cannot be built.
    pub fn redraw_tables(&self, initialization: &Initialization) -> Result<()> {
        let fresh = Model::new(self.config.clone(), initialization, self.device)?;
        no_grad(|| {
            for (table, fresh) in self.parameters.tables().into_iter().zip(fresh.parameters.tables()) {
                if let Some((table, fresh)) = table.zip(fresh) {
                    table.shallow_clone().copy_(fresh);
                }
            }
        });
        Ok(())
    }

    /// Where the model lives.
    pub fn device(&self) -> Device {
        self.device
    }

    /// A batch as rows of the tables.
    ///
    /// # Errors
    /// Rows that do not fit the model.
    pub fn entries(&self, block: &RowBlock) -> Result<Entries> {
        self.layout.indexer().rows(block)?.entries(self.device)
    }

    /// A batch with its rows of the tables, gathered to be trained.
    ///
    /// # Errors
    /// A GPU has no memory for it.
    pub fn train_entries(&self, rows: &DistinctRows) -> Result<Entries> {
        self.gather(rows.upload(self.device)?)
    }

    /// The same of a batch that is on the model's device already.
    ///
    /// # Errors
    /// The batch has no row.
    pub fn gather(&self, rows: Uploaded) -> Result<Entries> {
        rows.entries(self.parameters.tables())
    }

    /// A pass in training: `dropout` applies and BatchNorm uses and moves with the batch's statistics.
    pub fn train_pass(&self, entries: &Entries, dropout: Dropout) -> Output {
        self.pass(entries, Some(dropout), None)
    }

    /// entries of n samples -> logits `[n]`, in evaluation
    pub fn logits(&self, entries: &Entries) -> Tensor {
        no_grad(|| self.pass(entries, None, None).logits)
    }

    /// Intermediate results in evaluation.
    pub fn trace(&self, entries: &Entries) -> Trace {
        let mut trace = Trace::default();
        let _ = no_grad(|| self.pass(entries, None, Some(&mut trace)));
        trace
    }

    fn pass(&self, entries: &Entries, dropout: Option<Dropout>, mut trace: Option<&mut Trace>) -> Output {
        // entries of n samples; vectors [n, num_fields, embed_dim]; logits [n]
        let p = &self.parameters;
        let a = entries.first.gather(&p.first);
        let b = p.second.as_ref().zip(entries.second.as_ref()).map(|(table, lookup)| lookup.gather(table));
        let of_entries = entries.weigh(&self.layout.compose(&a, b.as_ref(), entries, 1.0));
        let mut vectors = self.layout.sum_bags(&of_entries, entries);
        if let Some(trace) = &mut trace {
            trace.vectors = Some(vectors.shallow_clone());
        }
        if let Some(dropout) = dropout {
            vectors = vectors.dropout(dropout.embedding, true);
        }
        let mut logits = p.bias.expand([entries.samples], false);
        let mut used: Vec<Tensor> = [Some(a), b].into_iter().flatten().collect();
        if let (Some(weights), Some(lookup)) = (&p.feature_weight, &entries.feature) {
            let weights = lookup.gather(weights).view([-1, 1]);
            let of_fields = self.layout.sum_bags(&entries.weigh(&weights), entries);
            logits = &logits + of_fields.sum_dim_intlist([1, 2].as_slice(), false, Kind::Float);
            used.push(weights);
        }
        match (&p.field_vector, self.pair_matrix()) {
            // Both in one, with its gradient.
            (Some(field_vectors), Some(r)) if dropout.is_some() && cpu::takes(&vectors) => {
                logits = &logits + cpu::pairs::interactions(&vectors, &r, field_vectors);
            }
            (field_vectors, r) => {
                if let Some(field_vectors) = field_vectors {
                    logits = &logits + vectors.flatten(1, 2).mv(&field_vectors.flatten(0, 1));
                }
                if let Some(r) = r {
                    logits = &logits + pairs(&vectors, &r);
                }
            }
        }
        if !p.compressed.is_empty() {
            logits = &logits + compressed(&p.compressed, &vectors);
        }
        let mut inputs = None;
        if let Some(network) = &p.network {
            let pass = Pass { dropout: dropout.map(|d| d.network), mixed_precision: self.mixed_precision };
            let given = network.pass(&vectors, pass);
            logits = given.logits.map_or_else(|| logits.shallow_clone(), |given| &logits + given);
            inputs = given.inputs;
        }
        if !p.layers.is_empty() {
            logits = &logits + self.mlp(inputs.unwrap_or_else(|| vectors.flatten(1, 2)), dropout, trace);
        }
        Output { logits, used }
    }

    /// r `[num_fields, num_fields]`, symmetric with a diagonal of zeros; `None` without a second-order term
    pub fn pair_matrix(&self) -> Option<Tensor> {
        let num_fields = size(self.config.fields.len());
        let matrix = match self.config.interaction {
            Interaction::None => return None,
            Interaction::Unit => Tensor::ones([num_fields, num_fields], (Kind::Float, self.device)),
            Interaction::FieldWeighted => {
                let w = self.parameters.field_matrix.as_ref()?;
                (w + w.tr()) * 0.5
            }
            Interaction::LowRank { .. } => {
                let [u, e] = self.parameters.field_factors.as_ref()?;
                u.tr().matmul(&(u * e.view([-1, 1])))
            }
        };
        let eye = Tensor::eye(num_fields, (Kind::Float, self.device));
        Some(&matrix * (1.0 - eye))
    }

    /// x `[n, inputs]` -> `[n]`
    fn mlp(&self, x: Tensor, dropout: Option<Dropout>, mut trace: Option<&mut Trace>) -> Tensor {
        let Some((output, hidden)) = self.parameters.layers.split_last() else {
            return x.zeros_like().sum_dim_intlist([1].as_slice(), false, None);
        };
        let normed: Option<Vec<_>> = hidden.iter().map(|layer| Some((layer, layer.norm.as_ref()?))).collect();
        if let (Some(hidden), Some(dropout), false) = (normed, dropout, self.mixed_precision)
            && cpu::takes(&x)
        {
            return cpu::mlp::mlp(&x, &hidden, output, dropout.hidden);
        }
        let pass = Pass { dropout: dropout.map(|d| d.hidden), mixed_precision: self.mixed_precision };
        let x = hidden_layers(hidden, x, pass, |outputs| {
            if let Some(trace) = &mut trace {
                trace.hidden.push(outputs.shallow_clone());
            }
        });
        // By a vector, not by a matrix of one row: the gradient of x takes half the time.
        x.mv(&output.weight.squeeze_dim(0)) + &output.bias
    }
}

/// v `[n, F, k]` -> `[n]`: the compressed interaction network (Lian et al. 2018, arXiv:1803.05170, eq. 6 and 8)
///
/// `x^h_m = relu(b_m + sum_ij W_mij x^{h-1}_i * v_j)`, products of numbers of the same dimension; every layer's sum
/// over the dimensions goes to the output.
fn compressed(layers: &[Linear], v: &Tensor) -> Tensor {
    let Some((output, hidden)) = layers.split_last() else {
        return v.zeros_like().sum_dim_intlist([1, 2].as_slice(), false, None);
    };
    let (n, dim) = (v.size()[0], v.size()[2]);
    let mut x = v.shallow_clone();
    let mut sums = Vec::with_capacity(hidden.len());
    for layer in hidden {
        // [n, width, 1, k] * [n, 1, F, k] -> [n, width * F, k]
        let products = (x.unsqueeze(2) * v.unsqueeze(1)).view([n, -1, dim]);
        x = (layer.weight.matmul(&products) + layer.bias.view([-1, 1])).relu();
        sums.push(x.sum_dim_intlist([2].as_slice(), false, None::<Kind>));
    }
    Tensor::cat(&sums, 1).linear(&output.weight, Some(&output.bias)).squeeze_dim(1)
}

/// v `[n, F, k]`, r `[F, F]` symmetric with a diagonal of zeros -> `[n]`: sum_{i<j} r_ij <v_i, v_j> = tr(E^T R E) / 2,
/// E = v of a sample
pub fn pairs(v: &Tensor, r: &Tensor) -> Tensor {
    // One copy: the product would make it, and its gradient two more.
    let e = v.transpose(1, 2).contiguous();
    // d/dE tr(E^T R E) / 2 = R E, as R is symmetric: differentiating both factors would compute it twice. So one of
    // them is constant, and the sum counts once for E; the other half of its value, and of the gradient of R, is taken
    // back.
    let product = e.detach().matmul(&((r + r.detach()) * 0.5));
    let twice = (product * e).sum_dim_intlist([1, 2].as_slice(), false, None::<Kind>);
    &twice - twice.detach() * 0.5
}
