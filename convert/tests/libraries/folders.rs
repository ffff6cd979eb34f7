//! The same numbers as each library lays them out: its state dict, and `config.json`.

use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

use crate::common::Parameters;
use crate::plain::{Layer, Norm, Pairs, Plain};

/// A folder to be written.
#[derive(Clone)]
pub(crate) struct Folder {
    pub(crate) config: Value,
    pub(crate) tensors: Parameters,
    /// Those that are no floating-point numbers.
    pub(crate) others: Vec<(String, Dtype, Vec<usize>, Vec<u8>)>,
    /// What the numbers are stored as.
    pub(crate) dtype: Dtype,
}

impl Folder {
    fn new(library: &str, class: &str, plain: &Plain) -> Self {
        let bags = || plain.bags.iter();
        let one = |bag: &bool| if *bag { "bag" } else { "categorical" };
        let sum = json!({ "embedding_pooling": "sum", "linear_pooling": "sum" });
        let bag_names = plain.names.iter().zip(bags()).filter(|(_, bag)| **bag).map(|(name, _)| name.clone());
        let config = json!({
            "library": library,
            "class": class,
            "field_names": plain.names,
            "field_dims": plain.dims,
            "field_types": bags().map(one).collect::<Vec<_>>(),
            "bags": bag_names.map(|name| (name, sum.clone())).collect::<serde_json::Map<_, _>>(),
            "embed_dim": plain.widths[0],
            "hidden": plain.hidden(),
            "batch_norm": plain.norm.is_some() || plain.layers.iter().any(|layer| layer.norm.is_some()),
            "bn_eps": plain.epsilon,
        });
        Folder { config, tensors: Parameters::new(), others: Vec::new(), dtype: Dtype::F32 }
    }

    fn add(&mut self, name: impl Into<String>, shape: &[usize], values: &[f32]) {
        assert_eq!(values.len(), shape.iter().product::<usize>());
        self.tensors.insert(name.into(), (shape.to_vec(), values.to_vec()));
    }

    fn add_norm(&mut self, name: &str, Norm(parts): &Norm) {
        for (part, values) in ["weight", "bias", "running_mean", "running_var"].iter().zip(parts) {
            self.add(format!("{name}.{part}"), &[values.len()], values);
        }
        let counter = format!("{name}.num_batches_tracked");
        self.others.push((counter, Dtype::I64, Vec::new(), 640_i64.to_le_bytes().to_vec()));
    }

    fn add_linear(&mut self, name: &str, layer: &Layer) {
        let inputs = layer.weight.len() / layer.outputs;
        self.add(format!("{name}.weight"), &[layer.outputs, inputs], &layer.weight);
        if let Some(bias) = &layer.bias {
            self.add(format!("{name}.bias"), &[layer.outputs], bias);
        }
    }

    /// Modules of a `Sequential`: dropout before or behind each layer, and the output layer in it or not.
    fn add_sequential(&mut self, prefix: &str, plain: &Plain, before: usize, behind: usize, with_output: bool) {
        let mut at = 0;
        if let Some(norm) = &plain.norm {
            self.add_norm(&format!("{prefix}{at}"), norm);
            at += 1;
        }
        let hidden = plain.layers.len().saturating_sub(1);
        for layer in &plain.layers[..hidden] {
            at += before;
            self.add_linear(&format!("{prefix}{at}"), layer);
            if let Some(norm) = &layer.norm {
                at += 1;
                self.add_norm(&format!("{prefix}{at}"), norm);
            }
            // The ReLU.
            at += 2 + behind;
        }
        if let Some(output) = plain.layers.last().filter(|_| with_output) {
            self.add_linear(&format!("{prefix}{at}"), output);
        }
    }

    /// One table for all fields that are no bags.
    fn add_shared(&mut self, name: &str, plain: &Plain, tables: &[Vec<f32>]) {
        let own = |(table, bag): (&Vec<f32>, &bool)| if *bag { Vec::new() } else { table.clone() };
        let values: Vec<f32> = tables.iter().zip(&plain.bags).flat_map(own).collect();
        let rows: u32 = plain.dims.iter().zip(&plain.bags).filter(|(_, bag)| !**bag).map(|(rows, _)| rows).sum();
        self.add(name, &[rows as usize, values.len() / rows as usize], &values);
    }

    pub(crate) fn write(&self, folder: &Path) {
        std::fs::write(folder.join("config.json"), self.config.to_string()).unwrap();
        let bytes = |value: &f32| match self.dtype {
            Dtype::F64 => f64::from(*value).to_le_bytes().to_vec(),
            Dtype::F16 => half(*value).to_le_bytes().to_vec(),
            _ => value.to_le_bytes().to_vec(),
        };
        let all: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = self
            .tensors
            .iter()
            .map(|(name, (shape, values))| {
                (name.clone(), self.dtype, shape.clone(), values.iter().flat_map(bytes).collect())
            })
            .chain(self.others.iter().cloned())
            .collect();
        let views = all.iter().map(|(n, dtype, shape, b)| (n, TensorView::new(*dtype, shape.clone(), b).unwrap()));
        std::fs::write(folder.join("weights.safetensors"), safetensors::serialize(views, None).unwrap()).unwrap();
    }
}

/// The bits of a number that f16 has: none here is too small for its exponents.
fn half(value: f32) -> u16 {
    if value == 0.0 {
        return 0;
    }
    let bits = value.to_bits();
    let exponent = (bits >> 23 & 255) + 15 - 127;
    assert!(bits & 0x1fff == 0 && (1..31).contains(&exponent), "{value}");
    (bits >> 16 & 0x8000) as u16 | (exponent << 10) as u16 | (bits >> 13 & 1023) as u16
}

pub(crate) fn fuxictr(class: &str, plain: &Plain) -> Folder {
    let mut folder = Folder::new("fuxictr", class, plain);
    let tables = "embedding_layer.embedding_layers";
    let (linear, bias) = match class {
        "LR" => (format!("lr_layer.embedding_layer.{tables}"), "lr_layer.bias"),
        "WideDeep" => (format!("lr_layer.embedding_layer.{tables}"), ""),
        "FwFM" => (format!("linear_weight_layer.{tables}"), "interaction_weight.bias"),
        "DNN" => (String::new(), ""),
        _ => (format!("fm.lr_layer.embedding_layer.{tables}"), "fm.lr_layer.bias"),
    };
    for (f, name) in plain.names.iter().enumerate() {
        let (rows, width) = (plain.dims[f] as usize, plain.widths[f]);
        if class != "LR" {
            folder.add(format!("embedding_layer.{tables}.{name}.weight"), &[rows, width], &plain.vectors[f]);
        }
        if let Some(scalars) = &plain.scalars {
            folder.add(format!("{linear}.{name}.weight"), &[rows, 1], &scalars[f]);
        }
        if let Some(vectors) = &plain.feature_vectors {
            folder.add(format!("{linear}.{name}.weight"), &[rows, width], &vectors[f]);
        }
    }
    if let Some(vectors) = &plain.field_vectors {
        let all = vectors.concat();
        folder.add("linear_weight_layer.weight", &[1, all.len()], &all);
    }
    if let Pairs::Upper(weights) = &plain.pairs {
        folder.add("interaction_weight.weight", &[1, weights.len()], weights);
        let fields = plain.names.len();
        let mask = (0..fields * fields).map(|at| u8::from(at % fields > at / fields)).collect();
        folder.others.push(("inner_product_layer.triu_mask".to_owned(), Dtype::BOOL, vec![fields; 2], mask));
    }
    if !bias.is_empty() {
        folder.add(bias, &[1], &[plain.bias]);
    }
    folder.add_sequential(if class == "WideDeep" { "dnn.mlp." } else { "mlp.mlp." }, plain, 0, 0, true);
    folder
}

pub(crate) fn deepctr(class: &str, plain: &Plain) -> Folder {
    let mut folder = Folder::new("deepctr-torch", class, plain);
    for (f, name) in plain.names.iter().enumerate() {
        let rows = plain.dims[f] as usize;
        folder.add(format!("embedding_dict.{name}.weight"), &[rows, plain.widths[f]], &plain.vectors[f]);
        if let Some(scalars) = &plain.scalars {
            folder.add(format!("linear_model.embedding_dict.{name}.weight"), &[rows, 1], &scalars[f]);
        }
    }
    folder.add("out.bias", &[1], &[plain.bias]);
    if let Some((output, hidden)) = plain.layers.split_last() {
        for (n, layer) in hidden.iter().enumerate() {
            folder.add_linear(&format!("dnn.linears.{n}"), layer);
            if let Some(norm) = &layer.norm {
                folder.add_norm(&format!("dnn.bn.{n}"), norm);
            }
        }
        folder.add_linear("dnn_linear", output);
    }
    folder
}

pub(crate) fn pytorch_fm(class: &str, plain: &Plain) -> Folder {
    let mut folder = Folder::new("torchfm", class, plain);
    if class != "LogisticRegressionModel" {
        folder.add_shared("embedding.embedding.weight", plain, &plain.vectors);
    }
    if let Some(scalars) = &plain.scalars {
        folder.add_shared("linear.fc.weight", plain, scalars);
        folder.add("linear.bias", &[1], &[plain.bias]);
    }
    folder.add_sequential("mlp.mlp.", plain, 0, 1, true);
    folder
}

pub(crate) fn recbole(class: &str, plain: &Plain) -> Folder {
    let mut folder = Folder::new("recbole", class, plain);
    for (prefix, tables) in [("", Some(&plain.vectors)), ("first_order_linear.", plain.scalars.as_ref())] {
        let Some(tables) = tables else { continue };
        folder.add_shared(&format!("{prefix}token_embedding_table.embedding.weight"), plain, tables);
        for (n, f) in (0..plain.names.len()).filter(|&f| plain.bags[f]).enumerate() {
            let rows = plain.dims[f] as usize;
            let mut table = tables[f].clone();
            // [PAD], which is trained like others where it is not masked.
            let columns = table.len() / rows;
            table[..columns].fill(7.0);
            folder.add(format!("{prefix}token_seq_embedding_table.{n}.weight"), &[rows, columns], &table);
        }
    }
    folder.add("first_order_linear.bias", &[1], &[plain.bias]);
    if let Some(output) = plain.layers.last() {
        folder.add_sequential("mlp_layers.mlp_layers.", plain, 1, 0, false);
        folder.add_linear("deep_predict_layer", output);
    }
    folder
}

/// `net`: which stack of layers counts.
pub(crate) fn deeplight(plain: &Plain, options: Value, net: usize) -> Folder {
    let mut folder = Folder::new("DeepLight", "DeepFMs", plain);
    let on = |name: &str| options[name] == 1 || options[name] == true;
    let fields = plain.names.len();
    for f in 0..fields {
        let rows = plain.dims[f] as usize;
        if !on("use_logit") {
            folder.add(format!("fm_2nd_embeddings.{f}.weight"), &[rows, plain.widths[f]], &plain.vectors[f]);
        }
        if let Some(scalars) = &plain.scalars {
            folder.add(format!("fm_1st_embeddings.{f}.weight"), &[rows, 1], &scalars[f]);
        }
    }
    if let Some(vectors) = &plain.field_vectors {
        folder.add("fwfm_linear.weight", &[fields, plain.widths[0]], &vectors.concat());
    }
    if on("use_lw") && !on("use_logit") {
        folder.add("fm_1st.weight", &[1, fields], &plain.scales);
    }
    if let Pairs::Matrix(matrix) = &plain.pairs {
        folder.add("field_cov.weight", &[fields, fields], matrix);
    }
    folder.add("bias", &[1], &[plain.bias]);
    if let Some((output, hidden)) = plain.layers.split_last() {
        for (n, layer) in (1..).zip(hidden) {
            folder.add_linear(&format!("net_{net}_linear_{n}"), layer);
            if let Some(norm) = &layer.norm {
                folder.add_norm(&format!("net_{net}_batch_norm_{n}"), norm);
            }
        }
        folder.add_linear(&format!("net_{net}_fc"), output);
    }
    folder.config["options"] = options;
    folder
}
