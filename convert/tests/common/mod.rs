//! What the tests share: the golden models, where they are, and checkpoints with random numbers in every shape.
#![allow(clippy::unwrap_used, dead_code, reason = "tests stop at the first surprise; no test file uses everything")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, TensorView};
use xsfm_interchange::config::{EmbeddingConfig, FieldConfig, Interaction, MlpConfig, ModelConfig, Operation};
use xsfm_interchange::rows::{Bounds, RowBlock};

/// The four golden models.
pub(crate) const GOLDEN: [&str; 4] = ["deepfwfm", "deepfwfm_qr4", "fwfm", "mlp_student"];

/// The folder of a golden model, or a loud word that the test was not run.
pub(crate) fn golden(name: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/golden").join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("\n*** NOT TESTED: golden model {name}: {} is absent ***\n", folder.display());
    None
}

/// Rows and logits of a golden model.
pub(crate) struct Cases {
    pub(crate) rows: Vec<Vec<u32>>,
    pub(crate) logits: Vec<f64>,
}

impl Cases {
    pub(crate) fn load(folder: &Path) -> Self {
        let bytes = std::fs::read(folder.join("cases.safetensors")).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let words = |name: &str| -> Vec<[u8; 4]> { tensors.tensor(name).unwrap().data().as_chunks::<4>().0.to_vec() };
        let indices: Vec<u32> = words("indices").into_iter().map(u32::from_le_bytes).collect();
        let num_fields = tensors.tensor("indices").unwrap().shape()[1];
        let logits: Vec<f64> = words("logits").into_iter().map(|w| f64::from(f32::from_le_bytes(w))).collect();
        assert_eq!(indices.len(), logits.len() * num_fields);
        Cases { rows: indices.chunks(num_fields).map(<[u32]>::to_vec).collect(), logits }
    }

    pub(crate) fn tsv(&self, rows: std::ops::Range<usize>) -> String {
        let line = |row: &Vec<u32>| row.iter().map(u32::to_string).collect::<Vec<_>>().join("\t") + "\n";
        self.rows[rows].iter().map(line).collect()
    }
}

/// A random generator that any reader can check (xorshift64*).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize) % n
    }

    /// Between -1 and 1.
    pub(crate) fn real(&mut self) -> f32 {
        self.below(20_001) as f32 / 10_000.0 - 1.0
    }
}

/// Every way to store a field, every part.
pub(crate) fn config_with_everything() -> ModelConfig {
    let field = |name: &str, features, bag, operation: Option<Operation>| FieldConfig {
        name: name.to_owned(),
        features,
        bag,
        weighted: false,
        embedding: operation
            .map_or(EmbeddingConfig::Full, |operation| EmbeddingConfig::QuotientRemainder { collisions: 4, operation }),
    };
    ModelConfig {
        version: ModelConfig::VERSION,
        vocabulary: None,
        fields: vec![
            field("user", 50, false, None),
            field("item", 33, false, Some(Operation::Mult)),
            field("shop", 19, false, Some(Operation::Add)),
            field("brand", 21, false, Some(Operation::Concat)),
            field("genres", 12, true, None),
            field("tags", 30, true, Some(Operation::Mult)),
            field("words", 30, true, Some(Operation::Add)),
            field("links", 3, true, Some(Operation::Concat)),
        ],
        embed_dim: 6,
        feature_weight: true,
        field_vector: true,
        interaction: Interaction::FieldWeighted,
        mlp: Some(MlpConfig { hidden: vec![17, 9], batch_norm: true }),
        compressed: Vec::new(),
        network: None,
        quantization: None,
    }
}

/// Tensors by name.
pub(crate) type Parameters = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Random numbers of the shapes that `config` asks for, named as in a checkpoint.
pub(crate) fn parameters(config: &ModelConfig, seed: u64) -> Parameters {
    let mut random = Random(seed | 1);
    let mut all = Parameters::new();
    let mut add = |name: String, shape: &[usize], middle: f32, spread: f32| {
        let values = (0..shape.iter().product()).map(|_| middle + spread * random.real()).collect();
        all.insert(name, (shape.to_vec(), values));
    };
    let (num_fields, dim) = (config.fields.len(), config.embed_dim);
    for (f, field) in config.fields.iter().enumerate() {
        let names: &[&str] =
            if field.embedding == EmbeddingConfig::Full { &["full"] } else { &["quotient", "remainder"] };
        for (name, (rows, columns)) in names.iter().zip(field.embedding.table_shapes(field.features, dim)) {
            add(format!("embedding.{f}.{name}"), &[rows, columns], 0.0, 0.5);
        }
        if config.feature_weight {
            add(format!("feature_weight.{f}"), &[field.features as usize], 0.0, 0.3);
        }
    }
    add("bias".to_owned(), &[1], 0.0, 1.0);
    if config.field_vector {
        add("field_vector".to_owned(), &[num_fields, dim], 0.0, 0.4);
    }
    if config.interaction == Interaction::FieldWeighted {
        add("field_matrix".to_owned(), &[num_fields, num_fields], 0.0, 0.3);
    }
    if let Some(mlp) = &config.mlp {
        let mut inputs = num_fields * dim;
        for (n, &outputs) in mlp.hidden.iter().chain([&1]).enumerate() {
            add(format!("mlp.{n}.weight"), &[outputs, inputs], 0.0, 0.3);
            add(format!("mlp.{n}.bias"), &[outputs], 0.0, 0.2);
            if mlp.batch_norm && n < mlp.hidden.len() {
                add(format!("mlp.{n}.norm.weight"), &[outputs], 1.0, 0.5);
                add(format!("mlp.{n}.norm.bias"), &[outputs], 0.1, 0.3);
                add(format!("mlp.{n}.norm.running_mean"), &[outputs], 0.0, 0.3);
                add(format!("mlp.{n}.norm.running_var"), &[outputs], 1.0, 0.9);
            }
            inputs = outputs;
        }
    }
    all
}

/// Writes tensors as a safetensors file.
pub(crate) fn write_tensors(path: &Path, parameters: &Parameters) {
    let bytes: Vec<(&String, &Vec<usize>, Vec<u8>)> =
        parameters.iter().map(|(n, (s, v))| (n, s, v.iter().flat_map(|v| v.to_le_bytes()).collect())).collect();
    let views = bytes.iter().map(|(n, s, b)| (*n, TensorView::new(Dtype::F32, (*s).clone(), b).unwrap()));
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// Writes a checkpoint folder without schema.
pub(crate) fn write_checkpoint(folder: &Path, config: &ModelConfig, parameters: &Parameters) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("config.json"), serde_json::to_vec_pretty(config).unwrap()).unwrap();
    write_tensors(&folder.join("weights.safetensors"), parameters);
}

/// Random rows that fit `config`.
pub(crate) fn random_rows(config: &ModelConfig, rows: usize, seed: u64) -> RowBlock {
    let mut random = Random(seed | 1);
    let bounds = Bounds::from(config);
    let mut block = RowBlock::new(bounds.columns.len(), bounds.columns.iter().any(|c| c.bag));
    for _ in 0..rows {
        for field in &config.fields {
            let count = if field.bag { 1 + random.below(5) } else { 1 };
            let indices: Vec<u32> = (0..count).map(|_| random.below(field.features as usize) as u32).collect();
            block.push_field(&indices);
        }
    }
    block
}

/// The rows as text.
pub(crate) fn tsv(block: &RowBlock) -> String {
    let mut text = Vec::new();
    (0..block.len()).for_each(|i| xsfm_interchange::rows::write_tsv_row(&mut text, &block.row(i)).unwrap());
    String::from_utf8(text).unwrap()
}
