//! Small random models and rows, and a data set with a planted truth.
#![allow(dead_code, reason = "each test file uses a part")]

pub(crate) mod plain;

use std::path::Path;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use tch::{Device, Tensor, no_grad};
use xsfm_interchange::config::{EmbeddingConfig, FieldConfig, Interaction, MlpConfig, ModelConfig, Operation};
use xsfm_interchange::rows::{Bounds, RowBlock, RowsWriter};
use xsfm_interchange::schema::{Field, FieldKind, Schema};
use xsfm_runtime::{Row, Weight};
use xsfm_trainer::model::Model;
use xsfm_trainer::settings::Initialization;

pub(crate) fn rng(seed: u64) -> Xoshiro256PlusPlus {
    Xoshiro256PlusPlus::seed_from_u64(seed)
}

pub(crate) fn qr(collisions: u32, operation: Operation) -> EmbeddingConfig {
    EmbeddingConfig::QuotientRemainder { collisions, operation }
}

pub(crate) fn field(name: &str, features: u32, bag: bool, embedding: EmbeddingConfig) -> FieldConfig {
    FieldConfig { name: name.to_owned(), features, bag, weighted: false, embedding }
}

/// Every way of storing a field, in bags and out of them.
pub(crate) fn all_kinds() -> Vec<FieldConfig> {
    use Operation::{Add, Concat, Mult};
    vec![
        field("full", 7, false, EmbeddingConfig::Full),
        field("mult", 23, false, qr(4, Mult)),
        field("add", 11, false, qr(3, Add)),
        field("concat", 10, false, qr(5, Concat)),
        field("bag", 9, true, EmbeddingConfig::Full),
        field("bag_mult", 13, true, qr(2, Mult)),
        field("bag_add", 5, true, qr(9, Add)),
        field("bag_concat", 12, true, qr(4, Concat)),
        field("hashed", 14, false, EmbeddingConfig::Hashed { rows: 5 }),
        field("bag_hashed", 8, true, EmbeddingConfig::Hashed { rows: 3 }),
    ]
}

/// The same, and bags whose indices have weights.
pub(crate) fn with_weights() -> Vec<FieldConfig> {
    let bags = all_kinds().into_iter().filter(|field| field.bag);
    let weighted = |f: FieldConfig| FieldConfig { name: format!("weighted_{}", f.name), weighted: true, ..f };
    all_kinds().into_iter().chain(bags.map(weighted)).collect()
}

pub(crate) fn config(fields: Vec<FieldConfig>, embed_dim: usize) -> ModelConfig {
    ModelConfig {
        version: ModelConfig::VERSION,
        vocabulary: None,
        fields,
        embed_dim,
        feature_weight: true,
        field_vector: true,
        interaction: Interaction::FieldWeighted,
        mlp: Some(MlpConfig { hidden: vec![12, 5], batch_norm: true }),
        compressed: Vec::new(),
        network: None,
        quantization: None,
    }
}

/// Configurations that between them have every part and lack every part.
pub(crate) fn configurations() -> Vec<(&'static str, ModelConfig)> {
    let everything = config(all_kinds(), 6);
    let no_bags = config(all_kinds().into_iter().filter(|f| !f.bag).collect(), 4);
    let full = |n: u32| field(&format!("f{n}"), 3 + n, false, EmbeddingConfig::Full);
    let shallow = ModelConfig { mlp: None, ..everything.clone() };
    let only_mlp = ModelConfig {
        feature_weight: false,
        field_vector: false,
        interaction: Interaction::None,
        mlp: Some(MlpConfig { hidden: vec![9], batch_norm: false }),
        ..config((0..5).map(full).collect(), 3)
    };
    let fm = ModelConfig { interaction: Interaction::Unit, mlp: None, ..config((0..4).map(full).collect(), 8) };
    let linear = ModelConfig { interaction: Interaction::None, mlp: None, ..config(all_kinds(), 2) };
    let one_layer = ModelConfig { mlp: Some(MlpConfig { hidden: vec![], batch_norm: false }), ..no_bags.clone() };
    vec![
        ("everything", everything),
        ("no bags", no_bags),
        ("no MLP", shallow),
        ("MLP alone", only_mlp),
        ("FM", fm),
        ("first order", linear),
        ("no hidden layer", one_layer),
        ("weights", config(with_weights(), 6)),
    ]
}

/// A model all of whose numbers are away from where they start: BatchNorm statistics and feature weights too.
pub(crate) fn random_model(config: ModelConfig, seed: i64) -> Model {
    tch::set_num_threads(1);
    tch::manual_seed(seed);
    let model = Model::new(config, &Initialization::of_deviation(0.3), Device::Cpu).unwrap();
    no_grad(|| {
        for (name, mut tensor, _) in model.parameters.named() {
            if name.ends_with("running_var") || name.ends_with("norm.weight") {
                tensor.copy_(&(Tensor::rand_like(&tensor) + 0.5));
            } else if name.contains("norm") || name == "feature_weight" || name == "bias" {
                tensor.copy_(&(Tensor::randn_like(&tensor) * 0.3));
            }
        }
    });
    model
}

pub(crate) fn random_rows(config: &ModelConfig, rows: usize, seed: u64) -> RowBlock {
    let mut rng = rng(seed);
    let mut block = RowBlock::new(config.fields.len(), config.fields.iter().any(|f| f.bag));
    for _ in 0..rows {
        block.labels.push(rng.random_range(0..2));
        for field in &config.fields {
            let count = if field.bag { rng.random_range(1..6) } else { 1 };
            let mut words = Vec::new();
            for _ in 0..count {
                words.push(rng.random_range(0..field.features));
                words.extend(field.weighted.then(|| Weight::of_steps(rng.random_range(-8192..8192)).unwrap().word()));
            }
            block.push_field(&words);
        }
    }
    block
}

/// Users, items and tags; a click is likelier where the hidden tastes of user, item and tags agree. No field alone says
/// much.
pub(crate) fn planted_data(folder: &Path, rows: usize) -> Schema {
    let vocabulary = |prefix: &str, n: u32| (1..n).map(|i| format!("{prefix}{i}")).collect::<Vec<_>>();
    let field = |name: &str, kind, n| Field::new(name, kind, vocabulary(name, n));
    let schema = Schema {
        version: Schema::VERSION,
        input: None,
        label: "planted".to_owned(),
        fields: vec![
            field("user", FieldKind::Categorical, 40),
            field("item", FieldKind::Categorical, 30),
            field("tags", FieldKind::Bag, 10),
        ],
    };
    schema.save(&folder.join("schema.json")).unwrap();
    let mut rng = rng(7);
    let taste = |index: u32, salt: u32| {
        if index.wrapping_mul(2_654_435_761).wrapping_add(salt).count_ones().is_multiple_of(2) { 1.0 } else { -1.0 }
    };
    for (name, rows) in [("train", rows), ("valid", rows / 4), ("test", rows / 4)] {
        let bounds = Bounds::from(&schema);
        let mut writer = RowsWriter::create(&folder.join(format!("{name}.arrow")), &bounds).unwrap();
        for _ in 0..rows {
            let (user, item) = (rng.random_range(0..40), rng.random_range(0..30));
            let tags: Vec<u32> = (0..rng.random_range(1..4)).map(|_| rng.random_range(0..10)).collect();
            let tag_taste: f64 = tags.iter().map(|&t| taste(t, 3)).sum();
            let logit: f64 = taste(user, 1) * (1.5 * taste(item, 2) + 0.8 * tag_taste);
            let label = u8::from(rng.random_range(0.0..1.0) < 1.0 / (1.0 + (-logit).exp()));
            let mut indices = vec![user, item];
            indices.extend(&tags);
            let offsets = [0, 1, 2, indices.len() as u32];
            writer.push(label, &Row::with_bags(&indices, &offsets)).unwrap();
        }
        writer.commit().unwrap();
    }
    schema
}
