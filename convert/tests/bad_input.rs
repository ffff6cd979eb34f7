//! Whatever is wrong with a checkpoint, the error names it; nothing panics.
#![allow(clippy::unwrap_used, reason = "tests stop at the first surprise")]

mod common;

use common::{Parameters, config_with_everything, golden, parameters, random_rows, write_checkpoint};
use xsfm_convert::calibrate::{Activations, calibrate};
use xsfm_convert::{checkpoint, input};
use xsfm_interchange::config::{EmbeddingConfig, Interaction, ModelConfig, Operation, Scales};
use xsfm_interchange::network::Network;
use xsfm_interchange::rows::RowBlock;

/// The error of loading a checkpoint, which must contain all of `words`.
fn refuse(config: &ModelConfig, parameters: &Parameters, words: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    write_checkpoint(folder.path(), config, parameters);
    let message = checkpoint::load(folder.path()).expect_err(&format!("{words:?}")).to_string();
    assert!(words.iter().all(|word| message.contains(word)), "{words:?} expected in: {message}");
    assert!(!message.contains('\n'), "one line: {message}");
}

/// Weights that no part of the model reads would be left out silently.
#[test]
fn tensors_without_a_place() {
    type Change = fn(&mut ModelConfig);
    let config = config_with_everything();
    let all = parameters(&config, 1);
    let mut more = all.clone();
    more.insert("mlp.7.weight".to_owned(), (vec![2, 3], vec![0.5; 6]));
    refuse(&config, &more, &["weights.safetensors", "`mlp.7.weight`", "[2, 3]", "no place", "config.json"]);
    let without: [(Change, &str); 4] = [
        (|c| c.mlp = None, "mlp.0.bias"),
        (|c| c.field_vector = false, "field_vector"),
        (|c| c.feature_weight = false, "feature_weight.0"),
        (|c| c.interaction = Interaction::Unit, "field_matrix"),
    ];
    for (change, tensor) in without {
        let mut config = config.clone();
        change(&mut config);
        refuse(&config, &all, &[&format!("`{tensor}`"), "no place"]);
    }
}

#[test]
fn tensors_that_do_not_fit() {
    let config = config_with_everything();
    let good = parameters(&config, 1);
    for name in good.keys() {
        let mut missing = good.clone();
        missing.remove(name);
        refuse(&config, &missing, &["weights.safetensors", &format!("`{name}` is missing")]);

        let mut longer = good.clone();
        let (shape, values) = longer.get_mut(name).unwrap();
        let row = values.len() / shape[0];
        let (expected, mut found) = (format!("{shape:?}"), shape.clone());
        found[0] += 1;
        values.extend(vec![0.5; row]);
        shape.clone_from(&found);
        refuse(&config, &longer, &["weights.safetensors", name, &expected, &format!("{found:?}")]);

        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut poisoned = good.clone();
            let (shape, values) = poisoned.get_mut(name).unwrap();
            let at = values.len() - 1;
            values[at] = value;
            let position: Vec<usize> = shape.iter().map(|size| size - 1).collect();
            refuse(&config, &poisoned, &[name, &value.to_string(), &format!("{position:?}")]);
        }
    }
    let mut negative = good.clone();
    negative.get_mut("mlp.1.norm.running_var").unwrap().1[3] = -0.5;
    refuse(&config, &negative, &["mlp.1.norm.running_var", "[3]", "negative"]);
}

#[test]
fn configurations_that_make_no_model() {
    let good = config_with_everything();
    let tensors = parameters(&good, 1);
    type Case = (fn(&mut ModelConfig), &'static [&'static str]);
    let cases: &[Case] = &[
        (|c| c.version = 9, &["version 9", "1"]),
        (|c| c.fields.clear(), &["number of fields is 0"]),
        (|c| c.embed_dim = 0, &["embed_dim is 0"]),
        (|c| c.embed_dim = usize::MAX, &["embed_dim is 18446744073709551615"]),
        (|c| c.fields[2].features = 0, &["shop", "features is 0"]),
        (|c| c.fields[0].features = u32::MAX, &["embedding.0.full", "4294967295", "50"]),
        (|c| c.embed_dim = 7, &["brand", "odd", "7"]),
        (|c| c.mlp.as_mut().unwrap().hidden = vec![0], &["hidden layer 0", "0"]),
        (|c| c.mlp.as_mut().unwrap().hidden = vec![usize::MAX], &["hidden layer 0", "18446744073709551615"]),
        (
            |c| {
                c.fields[1].embedding =
                    EmbeddingConfig::QuotientRemainder { collisions: 0, operation: Operation::Mult };
            },
            &["item", "collisions is 0"],
        ),
        (|c| c.fields[1].embedding = EmbeddingConfig::Hashed { rows: 0 }, &["item", "rows is 0"]),
        (
            |c| (c.fields[1].features, c.fields[1].embedding) = (u32::MAX, EmbeddingConfig::Hashed { rows: 1 }),
            &["item", "share a hashed row is 4294967295", "65536"],
        ),
        (|c| c.interaction = Interaction::LowRank { rank: 9 }, &["rank is 9", "8"]),
        (|c| c.compressed = vec![4], &["compressed interaction network"]),
        (|c| c.network = Some(Network::Afm { attention_width: 4 }), &["network of its own (AFM)", "distil a student"]),
        (
            |c| c.quantization = Some(Scales { activations: vec![0.1; 2], ..Scales::default() }),
            &["quantization.tables", "0", "8"],
        ),
        (|c| (c.mlp, c.feature_weight, c.field_vector, c.interaction) = nothing(), &["no part"]),
    ];
    for (change, words) in cases {
        let mut config = good.clone();
        change(&mut config);
        refuse(&config, &tensors, words);
    }
    let mut many = good.clone();
    many.fields = vec![good.fields[0].clone(); 129];
    refuse(&many, &tensors, &["number of fields is 129", "128"]);
    for bad in [0.0, -1.0] {
        let mut config = good.clone();
        let tables = |f: usize| vec![0.01; if [0, 4].contains(&f) { 1 } else { 2 }];
        config.quantization = Some(Scales {
            tables: (0..8).map(tables).collect(),
            fields: vec![bad; 8],
            activations: vec![0.1; 2],
            ..Scales::default()
        });
        refuse(&config, &tensors, &["scale of", &bad.to_string()]);
    }
}

fn nothing() -> (Option<xsfm_interchange::config::MlpConfig>, bool, bool, Interaction) {
    (None, false, false, Interaction::None)
}

#[test]
fn files_cut_at_every_length_or_missing() {
    let config = config_with_everything();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    write_checkpoint(folder.path(), &config, &parameters(&config, 1));
    for name in ["weights.safetensors", "config.json"] {
        let whole = std::fs::read(path(name)).unwrap();
        let step = (whole.len() / 300).max(1);
        for len in (0..whole.len()).step_by(step).chain(whole.len() - 20..whole.len()) {
            std::fs::write(path(name), &whole[..len]).unwrap();
            let message = checkpoint::load(folder.path()).expect_err("cut").to_string();
            assert!(message.contains(name), "{message}");
        }
        std::fs::remove_file(path(name)).unwrap();
        let message = checkpoint::load(folder.path()).expect_err("missing").to_string();
        assert!(message.contains(name) && message.contains("No such file"), "{message}");
        std::fs::write(path(name), &whole).unwrap();
    }
    // A header that declares 2^60 bytes must not be believed.
    let header = br#"{"bias":{"dtype":"F32","shape":[288230376151711744],"data_offsets":[0,1152921504606846976]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header);
    std::fs::write(path("weights.safetensors"), &bytes).unwrap();
    assert!(checkpoint::load(folder.path()).expect_err("declared sizes").to_string().contains("weights.safetensors"));
    std::fs::write(path("weights.safetensors"), u64::MAX.to_le_bytes()).unwrap();
    assert!(checkpoint::load(folder.path()).expect_err("header size").to_string().contains("weights.safetensors"));
}

#[test]
fn schemas_that_contradict_the_configuration() {
    let config = config_with_everything();
    let folder = tempfile::tempdir().unwrap();
    write_checkpoint(folder.path(), &config, &parameters(&config, 1));
    let schema = |rename: &str, tokens: usize, kind: &str| {
        let fields: Vec<serde_json::Value> = config
            .fields
            .iter()
            .enumerate()
            .map(|(f, field)| {
                let count = if f == 0 { tokens } else { field.features as usize - 1 };
                let vocabulary: Vec<String> = (0..count).map(|t| format!("t{t}")).collect();
                let name = if f == 0 { rename } else { &field.name };
                let kind = if f == 0 {
                    kind
                } else if field.bag {
                    "bag"
                } else {
                    "categorical"
                };
                serde_json::json!({ "name": name, "kind": kind, "vocabulary": vocabulary })
            })
            .collect();
        let schema = serde_json::json!({ "version": 1, "label": "clicked", "fields": fields });
        std::fs::write(folder.path().join("schema.json"), schema.to_string()).unwrap();
        checkpoint::load(folder.path()).map_err(|error| error.to_string())
    };
    assert_eq!(schema("user", 49, "categorical").unwrap().label, "clicked");
    for (result, words) in [
        (schema("usr", 49, "categorical"), ["usr", "user"]),
        (schema("user", 48, "categorical"), ["49 features", "50"]),
        (schema("user", 49, "bag"), ["a bag", "not a bag"]),
    ] {
        let message = result.unwrap_err();
        assert!(words.iter().all(|word| message.contains(word)), "{words:?} expected in: {message}");
    }
}

#[test]
fn calibration_needs_rows() {
    let config = config_with_everything();
    let folder = tempfile::tempdir().unwrap();
    write_checkpoint(folder.path(), &config, &parameters(&config, 1));
    let model = checkpoint::load(folder.path()).unwrap();
    let message =
        calibrate(&model, Activations::Static, &random_rows(&config, 3, 1), &mut |_, _| ()).unwrap_err().to_string();
    assert!(message.contains("at least 16 rows, 3 given"), "{message}");
    let mut other = config.clone();
    other.fields[0].features = 500;
    let message =
        calibrate(&model, Activations::Static, &random_rows(&other, 100, 1), &mut |_, _| ()).unwrap_err().to_string();
    assert!(message.contains("field 0") && message.contains("50 features"), "{message}");
}

/// Rows that hardly differ, in many ways, say nothing of the others; rows of a model that says the same of everything
/// are no such rows.
#[test]
fn calibration_needs_rows_that_vary() {
    let config = config_with_everything();
    let folder = tempfile::tempdir().unwrap();
    write_checkpoint(folder.path(), &config, &parameters(&config, 1));
    let model = checkpoint::load(folder.path()).unwrap();
    let try_rows = |model, rows: &RowBlock, mode| calibrate(model, mode, rows, &mut |_, _| ());
    let of = |row: &dyn Fn(usize) -> Vec<Vec<u32>>, count: usize| {
        let mut block = RowBlock::new(8, true);
        (0..count).for_each(|i| row(i).iter().for_each(|indices| block.push_field(indices)));
        block
    };
    let one = |user: usize, rest: u32| -> Vec<Vec<u32>> {
        (0..8).map(|f| vec![if f == 0 { user as u32 } else { rest }]).collect()
    };
    for (what, rows, words) in [
        ("all zeros", of(&|_| one(0, 0), 20), "20 were given, 1 of them distinct"),
        ("one row, again and again", of(&|_| one(17, 2), 300), "300 were given, 1 of them distinct"),
        ("two rows in turn", of(&|i| one(3 + i % 2, 1), 64), "64 were given, 2 of them distinct"),
        ("fifteen", of(&|i| one(i % 15, 1), 2048), "2048 were given, 15 of them distinct"),
        ("a single one", of(&|_| one(1, 1), 1), "at least 16 rows, 1 given"),
        ("none", of(&|_| one(1, 1), 0), "at least 16 rows, 0 given"),
    ] {
        for mode in [Activations::Static, Activations::Dynamic] {
            let message = try_rows(&model, &rows, mode).expect_err(what).to_string();
            assert!(message.contains("calibration needs") && message.contains(words), "{what}: {message}");
        }
    }
    // Sixteen will do, in any order and number.
    assert_eq!(try_rows(&model, &of(&|i| one(i % 16, 1), 40), Activations::Static).unwrap().distinct_rows, 16);

    // Fifty users of whom the model says nearly the same, though it tells other rows apart.
    let mut alike = parameters(&config, 1);
    for name in ["embedding.0.full", "feature_weight.0"] {
        let (shape, values) = alike.get_mut(name).unwrap();
        let columns = if shape.len() == 2 { shape[1] } else { 1 };
        for i in columns..values.len() {
            values[i] = values[i % columns] + 1e-6 * (i / columns) as f32;
        }
    }
    write_checkpoint(folder.path(), &config, &alike);
    let users_alike = checkpoint::load(folder.path()).unwrap();
    let message = try_rows(&users_alike, &of(&|i| one(i % 50, 1), 200), Activations::Static).unwrap_err().to_string();
    assert!(message.contains("rows whose logits vary") && message.contains("50 of them distinct"), "{message}");

    // A model that says the same of every row is packed, and says so.
    let mut constant = parameters(&config, 1);
    constant.iter_mut().filter(|(name, _)| *name != "bias").for_each(|(_, (_, values))| {
        values.fill(0.0);
    });
    write_checkpoint(folder.path(), &config, &constant);
    let constant = checkpoint::load(folder.path()).unwrap();
    let found = try_rows(&constant, &random_rows(&config, 100, 1), Activations::Static).unwrap();
    assert_eq!((found.logit_deviation, found.distinct_rows), (0.0, 100));
}

#[test]
fn golden_weights_cut_short() {
    let Some(folder) = golden("fwfm") else { return };
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(folder.join("config.json"), copy.path().join("config.json")).unwrap();
    let whole = std::fs::read(folder.join("weights.safetensors")).unwrap();
    for len in (0..whole.len()).step_by(whole.len() / 50) {
        std::fs::write(copy.path().join("weights.safetensors"), &whole[..len]).unwrap();
        let message = input::float_model(copy.path(), None).expect_err("cut").to_string();
        assert!(message.contains("weights.safetensors"), "{message}");
    }
}
