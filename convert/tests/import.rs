//! Models of the original Python code: folders made here, with the plainest sums as oracle. Real ones are in
//! `libraries`.
#![allow(clippy::unwrap_used, reason = "tests stop at the first surprise")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::{Parameters, Random, random_rows, write_tensors};
use serde_json::{Value, json};
use xsfm_convert::calibrate::{Activations, calibrate};
use xsfm_convert::import;
use xsfm_convert::pack::pack_f32;
use xsfm_interchange::input::{Input, Table, TableField};
use xsfm_interchange::schema::{Field, FieldKind, Schema};
use xsfm_runtime::{Model, Row, Scorer, ScratchBlock};

/// Logits by the runtime in f32 mode.
fn logits(folder: &Path, rows: &[Vec<u32>]) -> Vec<f64> {
    let packed = pack_f32(&import::load(folder).unwrap()).unwrap();
    let model = Model::from_bytes(&packed).unwrap();
    let mut scratch = vec![ScratchBlock::ZERO; model.scratch_blocks()];
    let mut scorer = Scorer::new(&model, &mut scratch).unwrap();
    rows.iter().map(|row| f64::from(scorer.score(Row::new(row)).unwrap().logit)).collect()
}

fn assert_near(what: &str, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (found - expected).abs() / expected.abs().max(1.0);
        assert!(error <= 1e-5, "{what}, row {i}: {found} by the runtime, {expected} is right");
    }
}

/// A state dict of the original, and what a score of it is, made from the same numbers.
#[derive(Clone)]
struct Original {
    architecture: &'static str,
    /// `none`, `feature_weight` or `field_vector`.
    linear: &'static str,
    field_dims: Vec<u32>,
    embed_dim: usize,
    hidden: Vec<usize>,
    batch_norm: bool,
    dropout: bool,
    /// Collisions, threshold, operation.
    qr: Option<(u32, u32, &'static str)>,
    tensors: Parameters,
}

impl Original {
    /// Random numbers in all that the class has.
    fn with_numbers(mut self, seed: u64) -> Self {
        let mut random = Random(seed | 1);
        let mut tensors = Parameters::new();
        let mut add = |name: String, shape: &[usize], middle: f32, spread: f32| {
            let values = (0..shape.iter().product()).map(|_| middle + spread * random.real()).collect();
            tensors.insert(name, (shape.to_vec(), values));
        };
        let (num_fields, dim) = (self.field_dims.len(), self.embed_dim);
        if self.architecture != "mlp" {
            add("linear.fc.weight".into(), &[self.field_dims.iter().sum::<u32>() as usize, 1], 0.0, 0.6);
            add("linear.bias".into(), &[1], 0.3, 0.4);
        }
        if self.is_weighted() {
            add("bias".into(), &[1], -0.4, 0.3);
            add("fwfm_linear.weight".into(), &[num_fields, dim], 0.0, 0.7);
            add("fwfm.field_cov.weight".into(), &[num_fields, num_fields], 0.0, 0.6);
        }
        if let Some(prefix) = self.tables() {
            for (f, &features) in self.field_dims.iter().enumerate() {
                match self.qr_of(features) {
                    None => add(format!("{prefix}.{f}.weight"), &[features as usize, dim], 0.0, 0.8),
                    Some((collisions, operation)) => {
                        let columns = if operation == "concat" { dim / 2 } else { dim };
                        let quotients = features.div_ceil(collisions) as usize;
                        add(format!("{prefix}.{f}.weight_q"), &[quotients, columns], 0.1, 0.8);
                        add(format!("{prefix}.{f}.weight_r"), &[collisions as usize, columns], 0.2, 0.8);
                    }
                }
            }
        }
        let (mut at, mut inputs) = (usize::from(self.dropout), num_fields * dim);
        for (layer, &outputs) in self.hidden.iter().chain([&1]).enumerate().filter(|_| self.is_deep()) {
            add(format!("mlp.mlp.{at}.weight"), &[outputs, inputs], 0.0, 0.5);
            add(format!("mlp.mlp.{at}.bias"), &[outputs], 0.0, 0.3);
            if self.batch_norm && layer < self.hidden.len() {
                at += 1;
                for (name, middle, spread) in
                    [("weight", 1.0, 0.5), ("bias", 0.1, 0.4), ("running_mean", 0.0, 0.4), ("running_var", 1.0, 0.9)]
                {
                    add(format!("mlp.mlp.{at}.{name}"), &[outputs], middle, spread);
                }
            }
            // ReLU, and Dropout.
            at += 2 + usize::from(self.dropout);
            inputs = outputs;
        }
        self.tensors = tensors;
        self
    }

    fn is_weighted(&self) -> bool {
        self.architecture.ends_with("fwfm")
    }

    fn is_deep(&self) -> bool {
        ["mlp", "deepfm", "deepfwfm"].contains(&self.architecture)
    }

    fn tables(&self) -> Option<&'static str> {
        match self.architecture {
            "lr" => None,
            "fm" | "deepfm" => Some("embedding.embeddings"),
            _ => Some("embeddings.embeddings"),
        }
    }

    fn qr_of(&self, features: u32) -> Option<(u32, &'static str)> {
        self.qr.and_then(|(collisions, threshold, operation)| (features > threshold).then_some((collisions, operation)))
    }

    fn config(&self) -> Value {
        json!({
            "library": "xsDeepFwFM (the seed)",
            "architecture": self.architecture,
            "field_dims": self.field_dims,
            "embed_dim": self.embed_dim,
            "mlp_dims": self.hidden,
            "batch_norm": self.batch_norm,
            "linear": self.linear,
            "qr": self.qr.map(|(collisions, threshold, operation)| {
                json!({ "collisions": collisions, "threshold": threshold, "operation": operation })
            }),
        })
    }

    fn write(&self, folder: &Path, config: &Value) {
        std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
        write_tensors(&folder.join("weights.safetensors"), &self.tensors);
    }

    fn number(&self, name: &str, at: usize) -> f64 {
        f64::from(self.tensors[name].1[at])
    }

    /// The original's `forward`, in f64.
    fn logit(&self, row: &[u32]) -> f64 {
        let (num_fields, dim) = (row.len(), self.embed_dim);
        let vector = |f: usize| -> Vec<f64> {
            let (Some(prefix), i) = (self.tables(), row[f] as usize) else { return vec![0.0; dim] };
            let row_of = |name: &str, i: usize| {
                let name = format!("{prefix}.{f}.{name}");
                let columns = self.tensors[&name].0[1];
                (0..columns).map(|c| self.number(&name, i * columns + c)).collect::<Vec<f64>>()
            };
            let Some((collisions, operation)) = self.qr_of(self.field_dims[f]) else { return row_of("weight", i) };
            let (q, r) = (row_of("weight_q", i / collisions as usize), row_of("weight_r", i % collisions as usize));
            match operation {
                "mult" => q.iter().zip(&r).map(|(q, r)| q * r).collect(),
                "add" => q.iter().zip(&r).map(|(q, r)| q + r).collect(),
                _ => [q, r].concat(),
            }
        };
        let v: Vec<Vec<f64>> = (0..num_fields).map(vector).collect();
        let dot = |i: usize, j: usize| v[i].iter().zip(&v[j]).map(|(a, b)| a * b).sum::<f64>();
        let pairs = || (0..num_fields).flat_map(|i| (i + 1..num_fields).map(move |j| (i, j)));
        let mut logit = 0.0;
        if self.linear == "feature_weight" {
            let mut first = 0;
            for (f, &features) in self.field_dims.iter().enumerate() {
                logit += self.number("linear.fc.weight", first + row[f] as usize);
                first += features as usize;
            }
            logit += self.number("linear.bias", 0);
        }
        if self.linear == "field_vector" {
            logit += (0..num_fields * dim)
                .map(|at| self.number("fwfm_linear.weight", at) * v[at / dim][at % dim])
                .sum::<f64>();
        }
        match self.architecture {
            "fm" | "deepfm" => logit += pairs().map(|(i, j)| dot(i, j)).sum::<f64>(),
            "fwfm" | "deepfwfm" => {
                let w = |i: usize, j: usize| self.number("fwfm.field_cov.weight", i * num_fields + j);
                logit += pairs().map(|(i, j)| (w(i, j) + w(j, i)) / 2.0 * dot(i, j)).sum::<f64>();
                // DeepFwFM forgets it with `use_lw`.
                if self.architecture == "fwfm" || self.linear != "feature_weight" {
                    logit += self.number("bias", 0);
                }
            }
            _ => (),
        }
        if self.is_deep() {
            let mut x = v.concat();
            let mut at = usize::from(self.dropout);
            for (layer, &outputs) in self.hidden.iter().chain([&1]).enumerate() {
                let (weight, bias) = (format!("mlp.mlp.{at}.weight"), format!("mlp.mlp.{at}.bias"));
                let inputs = x.len();
                let sum =
                    |o: usize| x.iter().enumerate().map(|(i, x)| self.number(&weight, o * inputs + i) * x).sum::<f64>();
                let mut y: Vec<f64> = (0..outputs).map(|o| sum(o) + self.number(&bias, o)).collect();
                if layer == self.hidden.len() {
                    return logit + y[0];
                }
                if self.batch_norm {
                    at += 1;
                    let of = |name: &str, o: usize| self.number(&format!("mlp.mlp.{at}.{name}"), o);
                    for (o, y) in y.iter_mut().enumerate() {
                        *y = (*y - of("running_mean", o)) / (of("running_var", o) + 1e-5).sqrt() * of("weight", o)
                            + of("bias", o);
                    }
                }
                at += 2 + usize::from(self.dropout);
                x = y.into_iter().map(|y| y.max(0.0)).collect();
            }
        }
        logit
    }

    fn rows(&self, seed: u64) -> Vec<Vec<u32>> {
        let mut random = Random(seed | 1);
        let mut row = || self.field_dims.iter().map(|&n| random.below(n as usize) as u32).collect();
        let mut rows: Vec<Vec<u32>> = (0..60).map(|_| row()).collect();
        rows.push(self.field_dims.iter().map(|_| 0).collect());
        rows.push(self.field_dims.iter().map(|n| n - 1).collect());
        rows
    }
}

/// A model of some size, of which tests change what they are about.
fn original(architecture: &'static str, linear: &'static str) -> Original {
    let deep = ["mlp", "deepfm", "deepfwfm"].contains(&architecture);
    Original {
        architecture,
        linear,
        field_dims: vec![23, 5, 41, 9, 60, 1],
        embed_dim: 6,
        hidden: if deep { vec![12, 7] } else { Vec::new() },
        batch_norm: deep,
        dropout: false,
        qr: None,
        tensors: Parameters::new(),
    }
}

/// Every class with every first-order term that its constructor can be given.
const CLASSES: [(&str, &str); 11] = [
    ("lr", "feature_weight"),
    ("fm", "none"),
    ("fm", "feature_weight"),
    ("fwfm", "none"),
    ("fwfm", "feature_weight"),
    ("fwfm", "field_vector"),
    ("mlp", "none"),
    ("deepfm", "feature_weight"),
    ("deepfwfm", "none"),
    ("deepfwfm", "feature_weight"),
    ("deepfwfm", "field_vector"),
];

#[test]
fn every_class_in_many_shapes() {
    let folder = tempfile::tempdir().unwrap();
    let mut seed = 100;
    for (architecture, linear) in CLASSES {
        let plain = original(architecture, linear);
        let mut variants = vec![plain.clone()];
        variants.push(Original { field_dims: vec![300], embed_dim: 1, ..plain.clone() });
        variants.push(Original { field_dims: (1..30).collect(), embed_dim: 11, ..plain.clone() });
        // LR and DeepFM have full tables in the original, but nothing else would be read wrongly.
        for operation in ["mult", "add", "concat"] {
            for (collisions, threshold) in [(4, 10), (3, 0), (70, 22)] {
                let qr = Some((collisions, threshold, operation));
                variants.push(Original { qr, ..plain.clone() });
            }
        }
        if !plain.hidden.is_empty() {
            for (batch_norm, dropout) in [(false, false), (false, true), (true, true)] {
                variants.push(Original { batch_norm, dropout, ..plain.clone() });
            }
            for hidden in [vec![], vec![1], vec![40], vec![9, 8, 7, 6, 5]] {
                variants.push(Original { hidden, ..plain.clone() });
            }
            variants.push(Original { hidden: vec![], dropout: true, ..plain.clone() });
        }
        for variant in variants {
            seed += 1;
            let variant = variant.with_numbers(seed);
            variant.write(folder.path(), &variant.config());
            let rows = variant.rows(seed);
            let expected: Vec<f64> = rows.iter().map(|row| variant.logit(row)).collect();
            let what = format!("{architecture} {linear} {:?} {:?}", variant.qr, variant.hidden);
            assert_near(&what, &logits(folder.path(), &rows), &expected);
            // Integers take it too.
            let model = import::load(folder.path()).unwrap();
            calibrate(&model, Activations::Static, &random_rows(&model.config, 40, seed), &mut |_, _| ()).unwrap();
        }
    }
}

#[test]
fn names_of_fields_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let model = original("fm", "none").with_numbers(3);
    let mut config = model.config();
    config["field_names"] = json!(["user", "item", "Größe", "d", "e", "f"]);
    model.write(folder.path(), &config);
    let names: Vec<String> = import::load(folder.path()).unwrap().config.fields.into_iter().map(|f| f.name).collect();
    assert_eq!(names, ["user", "item", "Größe", "d", "e", "f"]);
}

/// Libraries number tokens from 0 and keep them elsewhere. A schema lists those from index 1 on; whatever it does not
/// have, as the token of index 0, has index 0.
#[test]
fn a_vocabulary_from_elsewhere_is_packed_too() {
    let folder = tempfile::tempdir().unwrap();
    let model = original("deepfwfm", "field_vector").with_numbers(8);
    let names = ["user", "item", "Größe", "d", "e", "f"];
    let mut config = model.config();
    config["field_names"] = json!(names);
    model.write(folder.path(), &config);
    let schema = |dims: &[u32]| {
        let fields = || names.iter().zip(dims);
        let tokens = |name: &str, dim: u32| (1..dim).map(|index| format!("{name} {index}")).collect();
        let field = |(name, &dim): (&&str, &u32)| Field::new(name, FieldKind::Categorical, tokens(name, dim));
        let columns = fields().map(|(name, _)| TableField::new(name, FieldKind::Categorical)).collect();
        let input = Some(Input::Table(Box::new(Table::new("click", columns))));
        Schema { version: Schema::VERSION, label: "click".to_owned(), input, fields: fields().map(field).collect() }
    };
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("schema.json", &serde_json::to_string(&schema(&model.field_dims)).unwrap());
    let rows = model.rows(5);
    let line =
        |row: &Vec<u32>| names.iter().zip(row).map(|(name, index)| format!("{name} {index}")).collect::<Vec<_>>();
    let lines: Vec<String> = rows.iter().map(|row| line(row).join(",")).collect();
    write("rows.csv", &format!("{}\n{}\n", names.join(","), lines.join("\n")));
    let xsfm = |line: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_xsfm"));
        let output = command.args(line.split_whitespace()).current_dir(folder.path()).output().unwrap();
        let [results, said] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        (output.status.success(), results, said)
    };
    let (packs, _, said) = xsfm("import . --mode f32 --vocabulary schema.json --fingerprint-bits 24 -o model.xsfm");
    assert!(packs, "{said}");
    let (_, scores, said) = xsfm("score model.xsfm --raw rows.csv");
    let found: Vec<f64> = scores.lines().map(|line| line.split('\t').next().unwrap().parse().unwrap()).collect();
    assert_near(&said, &found, &rows.iter().map(|row| model.logit(row)).collect::<Vec<_>>());
    // A file without one gets it afterwards, and is the same then.
    let bytes = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    assert!(xsfm("import . --mode f32 -o bare.xsfm").0);
    let (gives, told, said) = xsfm("vocabulary bare.xsfm --schema schema.json --fingerprint-bits 24 -o later.xsfm");
    assert!(gives && told.starts_with("later.xsfm: ") && bytes("later.xsfm") == bytes("model.xsfm"), "{told}{said}");
    // Another choice replaces what was there.
    assert!(xsfm("vocabulary model.xsfm --schema schema.json --keep-tokens -o named.xsfm").0);
    assert!(xsfm("inspect named.xsfm --tokens user").1.contains("user 1"));
    // Rows that were numbered anew are those of no schema.
    assert!(xsfm("vocabulary bare.xsfm --schema schema.json --renumber -o anew.xsfm").0);
    let (gives, _, said) = xsfm("vocabulary anew.xsfm --schema schema.json -o again.xsfm");
    assert!(!gives && said.contains("schema.json: the schema is not the model's"), "{said}");
    assert!(!folder.path().join("again.xsfm").exists());
    // One token less is the vocabulary of another model.
    let fewer: Vec<u32> = model.field_dims.iter().map(|&dim| if dim == 41 { 40 } else { dim }).collect();
    write("schema.json", &serde_json::to_string(&schema(&fewer)).unwrap());
    let (packs, _, said) = xsfm("import . --mode f32 --vocabulary schema.json -o model.xsfm");
    assert!(!packs && said.contains("the schema is not the model's: field 2"), "{said}");
}

/// A change to a folder that was right.
type Change = fn(&mut Value, &mut Parameters);

fn drop_key(config: &mut Value, key: &str) {
    config.as_object_mut().unwrap().remove(key).unwrap();
}

fn rename(tensors: &mut Parameters, from: &str, to: &str) {
    let tensor = tensors.remove(from).unwrap();
    tensors.insert(to.to_owned(), tensor);
}

#[test]
fn what_is_wrong_is_named() {
    // A DeepFwFM with everything; what is done to it; what the one error must have.
    let cases: Vec<(Change, &[&str])> = vec![
        (|c, _| drop_key(c, "architecture"), &["config.json", "key `architecture`"]),
        (|c, _| drop_key(c, "field_dims"), &["config.json", "key `field_dims`"]),
        (|c, _| drop_key(c, "embed_dim"), &["config.json", "key `embed_dim`"]),
        (|c, _| drop_key(c, "mlp_dims"), &["config.json", "key `mlp_dims`"]),
        (|c, _| drop_key(c, "linear"), &["config.json", "key `linear`", "field_vector"]),
        (|c, _| drop_key(c, "batch_norm"), &["mlp.mlp.0", "BatchNorm", "batch_norm"]),
        (|c, _| drop_key(c, "qr"), &["embeddings.embeddings.0.weight", "missing"]),
        (|c, _| c["architecture"] = json!("xdeepfm"), &["key `architecture`", "`xdeepfm`", "deepfwfm"]),
        (|c, _| c["architecture"] = json!(7), &["key `architecture`", "string"]),
        (|c, _| c["architecture"] = json!("fwfm"), &["key `mlp_dims`", "[12, 7]"]),
        (|c, _| c["architecture"] = json!("fm"), &["key `linear`", "field_vector"]),
        (|c, _| c["architecture"] = json!("mlp"), &["key `linear`", "field_vector"]),
        (|c, _| c["library"] = json!("libfm"), &["key `library`", "`libfm`", "xsDeepFwFM"]),
        (|c, _| c["library"] = json!(["xsDeepFwFM"]), &["key `library`", "string"]),
        (|c, _| c["linear"] = json!("wide"), &["key `linear`", "`wide`", "feature_weight"]),
        (|c, _| c["field_dims"] = json!([23, 5, 41, 9, 60]), &["fwfm_linear.weight", "[6, 6]", "[5, 6]"]),
        (
            |c, _| c["field_dims"] = json!([23, 5, 41, 9, 60, 2]),
            &["embeddings.embeddings.5.weight", "[1, 6]", "[2, 6]"],
        ),
        (|c, _| c["field_dims"] = json!([23, 5, -41, 9, 60, 1]), &["key `field_dims`", "-41"]),
        (|c, _| c["field_dims"] = json!([]), &["number of fields is 0"]),
        (|c, _| c["field_dims"] = json!([23, 0, 41, 9, 60, 1]), &["field_1", "0"]),
        (|c, _| c["embed_dim"] = json!(8), &["embeddings.embeddings.0.weight_r", "[4, 6]", "[4, 8]"]),
        (|c, _| c["embed_dim"] = json!("6"), &["key `embed_dim`", "6"]),
        (|c, _| c["mlp_dims"] = json!([12]), &["3 Linear layers", "asks for 2"]),
        (|c, _| c["mlp_dims"] = json!([12, 8]), &["mlp.mlp.3.weight", "[7, 12]", "[8, 12]"]),
        (|c, _| c["hidden"] = json!([7, 12]), &["key `hidden`", "[7, 12]", "[12, 7]"]),
        (|c, _| c["activation"] = json!("tanh"), &["key `activation`", "`tanh`", "relu"]),
        (|c, _| c["bn_eps"] = json!(1e-3), &["key `bn_eps`", "0.001", "0.00001"]),
        (|c, _| c["batch_norm"] = json!("yes"), &["key `batch_norm`", "yes"]),
        (|c, _| c["qr"]["operation"] = json!("mul"), &["key `qr`", "mul", "mult"]),
        (|c, _| drop_key(&mut c["qr"], "threshold"), &["key `qr`", "threshold"]),
        (|c, _| c["qr"]["threshold"] = json!(23), &["embeddings.embeddings.0.weight", "missing"]),
        (|c, _| c["qr"]["collisions"] = json!(5), &["embeddings.embeddings.0.weight_r", "[4, 6]", "[5, 6]"]),
        (|c, _| c["qr"]["collisions"] = json!(0), &["field_0", "collisions is 0"]),
        (|c, _| c["qr"]["operation"] = json!("concat"), &["embeddings.embeddings.0.weight_r", "[4, 6]", "[4, 3]"]),
        (|c, _| c["field_names"] = json!(["a", "b"]), &["key `field_names`", "2 entries", "has 6"]),
        (|c, _| c["field_names"] = json!(["a", "b", "c", "b", "e", "f"]), &["key `field_names`", "`b`"]),
        (
            |c, _| c["field_types"] = json!(["categorical", "bag", "bag", "bag", "bag", "bag"]),
            &["key `field_types`", "field 1", "`bag`"],
        ),
        (
            |c, _| c["linear_offsets"] = json!([0, 23, 28, 69, 79, 138]),
            &["key `linear_offsets`", "field 4", "79", "78"],
        ),
        (|c, _| c["padding_index"] = json!(0), &["key `padding_index`"]),
        (|c, _| c["options"] = json!({ "use_lw": true }), &["key `linear`", "field_vector", "feature_weight"]),
        (|c, _| c["bias_tensors"] = json!(["bias", "linear.bias"]), &["key `bias_tensors`", "linear.bias", "[bias]"]),
        (|c, _| c["unused_tensors"] = json!(["linear.bias"]), &["key `unused_tensors`", "linear.fc.weight"]),
        (|_, t| drop(t.remove("bias")), &["weights.safetensors", "tensor `bias`", "missing"]),
        (|_, t| drop(t.remove("fwfm.field_cov.weight")), &["fwfm.field_cov.weight", "missing"]),
        (|_, t| drop(t.remove("mlp.mlp.1.running_mean")), &["mlp.mlp.1.weight", "no Linear"]),
        (|_, t| drop(t.remove("mlp.mlp.1.running_var")), &["mlp.mlp.1.running_var", "missing"]),
        (|_, t| drop(t.insert("mlp.mlp.0.scale".into(), (vec![1], vec![2.0]))), &["`mlp.mlp.0.scale`", "no place"]),
        (
            |_, t| drop(t.insert("cin.weight".into(), (vec![2, 1], vec![2.0; 2]))),
            &["`cin.weight`", "[2, 1]", "no place"],
        ),
        (
            |_, t| drop(t.insert("embeddings.embeddings.6.weight".into(), (vec![1, 6], vec![2.0; 6]))),
            &["embeddings.embeddings.6.weight", "no place"],
        ),
        (
            |_, t| rename(t, "embeddings.embeddings.1.weight", "embedding.embeddings.1.weight"),
            &["embeddings.embeddings.1.weight", "missing"],
        ),
        // A BatchNorm behind the ReLU is another model; so are two Linear without one between them.
        (
            |_, t| {
                for name in ["weight", "bias", "running_mean", "running_var"] {
                    rename(t, &format!("mlp.mlp.4.{name}"), &format!("mlp.mlp.5.{name}"));
                }
            },
            &["BatchNorm `mlp.mlp.5`", "directly"],
        ),
        (
            |_, t| {
                for name in ["weight", "bias"] {
                    rename(t, &format!("mlp.mlp.6.{name}"), &format!("mlp.mlp.5.{name}"));
                }
            },
            &["no ReLU", "mlp.mlp.3", "mlp.mlp.5"],
        ),
        (|_, t| t.get_mut("mlp.mlp.1.running_var").unwrap().1[2] = -1.0, &["mlp.mlp.1.running_var", "[2]"]),
        (|_, t| t.get_mut("bias").unwrap().1[0] = f32::NAN, &["`bias`", "NaN"]),
    ];
    let right = Original { qr: Some((4, 20, "mult")), ..original("deepfwfm", "field_vector") }.with_numbers(5);
    let folder = tempfile::tempdir().unwrap();
    for (n, (change, words)) in cases.into_iter().enumerate() {
        let (mut config, mut wrong) = (right.config(), right.clone());
        change(&mut config, &mut wrong.tensors);
        wrong.write(folder.path(), &config);
        let message = match import::load(folder.path()) {
            Ok(_) => panic!("case {n} is taken: {config}"),
            Err(error) => error.to_string(),
        };
        assert!(words.iter().all(|word| message.contains(word)), "case {n}: {words:?} expected in: {message}");
    }
}

/// What else a class keeps in its state dict is left out on purpose; of the other classes, it has no place.
#[test]
fn tensors_of_other_classes_have_no_place() {
    let folder = tempfile::tempdir().unwrap();
    let whole = original("deepfwfm", "none").with_numbers(8).tensors;
    for (architecture, linear) in CLASSES {
        let model = original(architecture, linear).with_numbers(8);
        let surplus: BTreeMap<_, _> = whole.iter().filter(|(name, _)| !model.tensors.contains_key(*name)).collect();
        for (name, tensor) in surplus {
            let mut wrong = model.clone();
            wrong.tensors.insert(name.clone(), tensor.clone());
            wrong.write(folder.path(), &wrong.config());
            let message = import::load(folder.path()).unwrap_err().to_string();
            let words = [name.as_str(), "no place"];
            assert!(words.iter().all(|word| message.contains(word)), "{architecture} {linear}: {message}");
        }
    }
}

#[test]
fn a_key_that_is_there_twice_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let model = original("fm", "none").with_numbers(2);
    model.write(folder.path(), &model.config());
    let text = model.config().to_string().replacen('{', r#"{"embed_dim": 7,"#, 1);
    std::fs::write(folder.path().join("config.json"), text).unwrap();
    let message = import::load(folder.path()).unwrap_err().to_string();
    assert!(message.contains("config.json") && message.contains("`embed_dim` is there twice"), "{message}");
}
