//! The trained numbers of a model: how they start, what they are called, how they become a checkpoint's tensors and
//! return.

use std::collections::HashMap;

use anyhow::{Context, Result, bail};
use tch::{Device, Kind, Tensor, no_grad};
use xsfm_interchange::config::{EmbeddingConfig, Interaction, ModelConfig, Operation};
use xsfm_interchange::quantization::limit;

use super::embedding::Layout;
use super::layers::{Linear, uniform};
use super::network::{self, Network};
use super::role::Role;
use crate::settings::{Initialization, LayerInit, TableInit};
use crate::tensors::size;

/// The trained numbers of a model. Shapes are in the fields' first lines.
#[derive(Debug)]
pub struct Parameters {
    /// `[1]`
    pub bias: Tensor,
    /// `[rows, embed_dim]`: full and quotient tables of all fields.
    pub first: Tensor,
    /// `[rows, embed_dim]`: remainder tables of all fields, after one neutral row.
    pub second: Option<Tensor>,
    /// `[num_features]`
    pub feature_weight: Option<Tensor>,
    /// `[num_fields, embed_dim]`
    pub field_vector: Option<Tensor>,
    /// `[num_fields, num_fields]`: W of `r = (W + W^T) / 2`.
    pub field_matrix: Option<Tensor>,
    /// `[rank, num_fields]` and `[rank]`: u and e of `r_ij = sum_k e_k u_ki u_kj`.
    pub field_factors: Option<[Tensor; 2]>,
    /// Hidden layers, then the output layer; empty without an MLP.
    pub layers: Vec<Linear>,
    /// Layers of the compressed interaction network, `[width, width before * num_fields]`; its output, `[1, sum of
    /// widths]`, last.
    pub compressed: Vec<Linear>,
    /// A teacher's network over the fields' vectors.
    pub network: Option<Box<dyn Network>>,
}

impl Parameters {
    /// Fresh parameters from libtorch's current random state.
    ///
    /// The two factors of a product share the deviation of table entries (its root each), so that a composed vector
    /// starts as large as a full one. First-order scalars start at 0.
    pub fn initialize(config: &ModelConfig, layout: &Layout, initialization: &Initialization, device: Device) -> Self {
        let &Initialization { init_std, table_init, layer_init } = initialization;
        let options = (Kind::Float, device);
        let (dim, num_fields) = (size(config.embed_dim), size(config.fields.len()));
        // Of mean 0 and deviation 1, before each table has its own.
        let unit = |rows: i64| match table_init {
            TableInit::Normal | TableInit::XavierNormal => Tensor::randn([rows, dim], options),
            TableInit::Uniform | TableInit::XavierUniform => {
                (Tensor::rand([rows, dim], options) * 2.0 - 1.0) * 3_f64.sqrt()
            }
        };
        let first = unit(layout.first_rows());
        let second = (layout.second_rows() > 0).then(|| unit(layout.second_rows()));
        for table in layout.tables() {
            let config = &config.fields[table.field];
            let tensor = if table.is_second { second.as_ref() } else { Some(&first) };
            let Some(rows) = tensor.map(|t| t.narrow(0, table.from, table.rows)) else { continue };
            let _ = rows.narrow(1, 0, table.columns.0).zero_();
            let end = table.columns.0 + table.columns.1;
            let _ = rows.narrow(1, end, dim - end).zero_();
            let deviation = match table_init {
                TableInit::Normal | TableInit::Uniform => init_std,
                TableInit::XavierNormal | TableInit::XavierUniform => {
                    (2.0 / (table.rows + table.columns.1) as f64).sqrt()
                }
            };
            let deviation = if config.is_product() { deviation.sqrt() } else { deviation };
            let _ = rows.shallow_clone().g_mul_scalar_(deviation);
        }
        if let Some(second) = &second {
            let _ = second.get(0).zero_();
        }
        let layers = config.mlp.iter().flat_map(|mlp| {
            let inputs = size(network::mlp_inputs(config));
            let mut layers = Linear::stack(inputs, &mlp.hidden, mlp.batch_norm, layer_init, device);
            let inputs = mlp.hidden.last().map_or(inputs, |&width| size(width));
            layers.push(Linear::new([inputs, 1], false, layer_init, device));
            layers
        });
        let layers = layers.collect();
        let mut compressed = Vec::new();
        let mut width = num_fields;
        for outputs in config.compressed.iter().map(|&w| size(w)) {
            compressed.push(Linear::new([width * num_fields, outputs], false, LayerInit::Uniform, device));
            width = outputs;
        }
        if !compressed.is_empty() {
            let inputs = config.compressed.iter().map(|&w| size(w)).sum();
            compressed.push(Linear::new([inputs, 1], false, LayerInit::Uniform, device));
        }
        let field_factors = match config.interaction {
            Interaction::LowRank { rank } => {
                // A pair's weight starts as large as that of a full matrix: rank b^4 / 9 = 1 / (2 num_fields).
                let bound = (4.5 / (num_fields * size(rank)) as f64).powf(0.25);
                let signs: Vec<f32> = (0..rank).map(|k| if k % 2 == 0 { 1.0 } else { -1.0 }).collect();
                Some([uniform(&[size(rank), num_fields], bound, device), Tensor::from_slice(&signs).to_device(device)])
            }
            _ => None,
        };
        let parameters = Parameters {
            bias: Tensor::zeros([1], options),
            first,
            second,
            feature_weight: config.feature_weight.then(|| Tensor::zeros([layout.num_features()], options)),
            field_vector: config.field_vector.then(|| Tensor::randn([num_fields, dim], options) * init_std),
            // Glorot's bound for a square matrix.
            field_matrix: (config.interaction == Interaction::FieldWeighted)
                .then(|| uniform(&[num_fields, num_fields], (3.0 / num_fields as f64).sqrt(), device)),
            field_factors,
            layers,
            compressed,
            network: config.network.as_ref().map(|network| network::new(network, config, layer_init, device)),
        };
        parameters.track_gradients();
        parameters
    }

    /// Every tensor with its name in a training state and its role; shallow clones.
    pub fn named(&self) -> Vec<(String, Tensor, Role)> {
        let mut all = Vec::new();
        let mut add = |name: String, tensor: &Tensor, role| all.push((name, tensor.shallow_clone(), role));
        add("bias".to_owned(), &self.bias, Role::Other);
        add("first".to_owned(), &self.first, Role::Other);
        let optional = [
            ("second", &self.second),
            ("feature_weight", &self.feature_weight),
            ("field_vector", &self.field_vector),
            ("field_matrix", &self.field_matrix),
        ];
        for (name, tensor) in optional {
            if let Some(tensor) = tensor {
                add(name.to_owned(), tensor, Role::Other);
            }
        }
        if let Some([factors, weights]) = &self.field_factors {
            add("field_factors".to_owned(), factors, Role::Other);
            add("field_factor_weights".to_owned(), weights, Role::Other);
        }
        for (part, layers) in [("compressed", &self.compressed), ("mlp", &self.layers)] {
            all.extend(layers.iter().enumerate().flat_map(|(n, layer)| layer.named(&format!("{part}.{n}"))));
        }
        let network = self.network.iter().flat_map(|network| network.named());
        all.extend(network.map(|(name, tensor, role)| (format!("network.{name}"), tensor, role)));
        all
    }

    /// Those of which a batch uses some rows: the first tensor, the second, the features' weights.
    pub fn tables(&self) -> [Option<&Tensor>; 3] {
        [Some(&self.first), self.second.as_ref(), self.feature_weight.as_ref()]
    }

    fn track_gradients(&self) {
        for (_, tensor, role) in self.named() {
            let _ = tensor.set_requires_grad(role != Role::Statistic);
        }
    }

    /// A copy of every number, on the CPU.
    pub fn snapshot(&self) -> Vec<(String, Tensor)> {
        self.named()
            .into_iter()
            .map(|(name, tensor, _)| (name, tensor.detach().to_device(Device::Cpu).copy()))
            .collect()
    }

    /// Takes all numbers from a [`snapshot`](Self::snapshot).
    ///
    /// # Errors
    /// A tensor is missing or has another shape.
    pub fn restore(&self, snapshot: &HashMap<String, Tensor>) -> Result<()> {
        for (name, mut tensor, _) in self.named() {
            let saved = snapshot.get(&name).with_context(|| format!("tensor `{name}` is missing"))?;
            check_shape(&name, saved, &tensor.size())?;
            no_grad(|| tensor.copy_(saved));
        }
        self.move_biases();
        Ok(())
    }

    /// What a layer of another program adds before BatchNorm is kept in the mean that is subtracted there.
    fn move_biases(&self) {
        let named: HashMap<String, Tensor> = self.named().into_iter().map(|(name, t, _)| (name, t)).collect();
        for (name, mean) in &named {
            let layer = name.strip_suffix(".norm.running_mean");
            if let Some(bias) = layer.and_then(|layer| named.get(&format!("{layer}.bias"))) {
                no_grad(|| {
                    let _ = mean.shallow_clone().g_sub_(bias);
                    let _ = bias.shallow_clone().zero_();
                });
            }
        }
    }

    /// Number of trained numbers that scoring uses, BatchNorm folded, neutral and padding entries not counted.
    pub fn count(&self, config: &ModelConfig) -> usize {
        let tables: usize = config
            .fields
            .iter()
            .flat_map(|f| f.embedding.table_shapes(f.features, config.embed_dim))
            .map(|(rows, columns)| rows * columns)
            .sum();
        let num_fields = config.fields.len();
        let pairs = if self.field_matrix.is_some() { num_fields * (num_fields - 1) / 2 } else { 0 };
        let factors: usize = self.field_factors.iter().flatten().map(Tensor::numel).sum();
        let size = |t: &Option<Tensor>| t.as_ref().map_or(0, Tensor::numel);
        let layers = self.layers.iter().chain(&self.compressed);
        let layers: usize = layers.map(|l| l.weight.numel() + l.bias.numel()).sum();
        // BatchNorm is folded into what comes before or after it.
        let network = self.network.iter().flat_map(|network| network.named());
        let network: usize = network.filter(|(name, ..)| !name.contains("norm.")).map(|(_, t, _)| t.numel()).sum();
        1 + tables + pairs + factors + size(&self.feature_weight) + size(&self.field_vector) + layers + network
    }

    /// The tensors of `weights.safetensors`, named as `xsfm_interchange::checkpoint` says.
    pub fn to_checkpoint(&self, layout: &Layout) -> Vec<(String, Tensor)> {
        let mut tensors = Vec::new();
        for table in layout.tables() {
            let tensor = if table.is_second { self.second.as_ref() } else { Some(&self.first) };
            let part = |t: &Tensor| t.narrow(0, table.from, table.rows).narrow(1, table.columns.0, table.columns.1);
            tensors.extend(tensor.map(|t| (table.name.clone(), part(t))));
        }
        if let Some(weights) = &self.feature_weight {
            let fields = layout.features().enumerate();
            tensors.extend(fields.map(|(f, (from, n))| (format!("feature_weight.{f}"), weights.narrow(0, from, n))));
        }
        tensors.extend(self.other_tensors());
        tensors
    }

    /// Takes the tensors of `weights.safetensors`.
    ///
    /// # Errors
    /// A tensor is missing, unknown, or has another shape than the configuration says; the message names it.
    pub fn load_checkpoint(&self, layout: &Layout, mut tensors: HashMap<String, Tensor>) -> Result<()> {
        // The names and shapes that saving would give are those to be read; the slices share memory with the
        // parameters.
        for (name, mut target) in self.to_checkpoint(layout) {
            let saved = tensors.remove(&name).with_context(|| format!("tensor `{name}` is missing"))?;
            check_shape(&name, &saved, &target.size())?;
            no_grad(|| target.copy_(&saved));
        }
        if let Some(name) = tensors.keys().min() {
            bail!("tensor `{name}` does not belong to this configuration");
        }
        self.move_biases();
        Ok(())
    }

    /// Those whose name and shape are the same in a training state and in a checkpoint.
    fn other_tensors(&self) -> impl Iterator<Item = (String, Tensor)> {
        let is_split = |name: &str| ["first", "second", "feature_weight"].contains(&name);
        self.named().into_iter().filter(move |(name, ..)| !is_split(name)).map(|(name, tensor, _)| (name, tensor))
    }
}

fn check_shape(name: &str, found: &Tensor, expected: &[i64]) -> Result<()> {
    if found.size() != expected {
        bail!("tensor `{name}` has shape {:?}, the configuration says {expected:?}", found.size());
    }
    Ok(())
}

/// Checks what the layout relies on.
///
/// # Errors
/// A size of zero, an odd `embed_dim` under `concat`, another version; the message names the field.
pub fn check_config(config: &ModelConfig) -> Result<()> {
    if config.version != ModelConfig::VERSION {
        bail!("version is {}, this program reads {}", config.version, ModelConfig::VERSION);
    }
    let (num_fields, dim) = (config.fields.len(), config.embed_dim);
    if !(1..=limit::FIELDS).contains(&num_fields) {
        bail!("there are {num_fields} fields; a model has 1 to {}", limit::FIELDS);
    }
    if !(1..=limit::EMBED_DIM).contains(&dim) {
        bail!("embed_dim is {dim}; it is 1 to {}", limit::EMBED_DIM);
    }
    for field in &config.fields {
        let name = &field.name;
        if field.features == 0 {
            bail!("field `{name}` has no features");
        }
        if field.embedding == (EmbeddingConfig::Hashed { rows: 0 }) {
            bail!("field `{name}` has 0 rows; it needs at least 1");
        }
        if let EmbeddingConfig::QuotientRemainder { collisions, operation } = field.embedding {
            if collisions == 0 {
                bail!("field `{name}` has 0 collisions; it needs at least 1");
            }
            if operation == Operation::Concat && dim % 2 != 0 {
                bail!("field `{name}` is a concatenation of two halves, but embed_dim is {dim}, which is odd");
            }
        }
    }
    if let Interaction::LowRank { rank } = config.interaction
        && !(1..=limit::RANK.min(num_fields)).contains(&rank)
    {
        bail!("rank is {rank}; it is 1 to {}", limit::RANK.min(num_fields));
    }
    for (n, &width) in config.compressed.iter().enumerate() {
        if !(1..=limit::LAYER_INPUTS).contains(&width) {
            bail!("compressed layer {n} has a width of {width}; it is 1 to {}", limit::LAYER_INPUTS);
        }
    }
    let widths = config.mlp.iter().flat_map(|mlp| &mlp.hidden);
    for (n, &width) in widths.enumerate() {
        if !(1..=limit::LAYER_INPUTS).contains(&width) {
            bail!("hidden layer {n} has a width of {width}; it is 1 to {}", limit::LAYER_INPUTS);
        }
    }
    if config.mlp.is_some() && num_fields * dim > limit::LAYER_INPUTS {
        bail!("{num_fields} fields of {dim} numbers are more inputs than a layer may have ({})", limit::LAYER_INPUTS);
    }
    config.network.as_ref().map_or(Ok(()), |network| network::check(network, config))
}
