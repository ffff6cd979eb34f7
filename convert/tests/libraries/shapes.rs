//! Every class that is read, in many shapes, with the plainest sums as oracle.

use safetensors::tensor::Dtype;
use serde_json::{Value, json};
use xsfm_convert::import::{self, Library};

use crate::common::Random;
use crate::folders::{Folder, deepctr, deeplight, fuxictr, pytorch_fm, recbole};
use crate::plain::{Pairs, Plain, norm, numbers};
use crate::{assert_imports, logits};

/// Writes a folder and compares scores of it.
fn check(what: &str, folder: &Folder, plain: &Plain) {
    let place = tempfile::tempdir().unwrap();
    folder.write(place.path());
    let rows = plain.rows(9);
    let expected: Vec<f64> = rows.iter().map(|row| plain.logit(row)).collect();
    assert_imports(what, place.path(), &rows, &expected);
}

/// Models with vectors alone, of several sizes.
fn sizes(seed: u64) -> Vec<Plain> {
    let sizes: [(&[u32], usize); 4] =
        [(&[23, 5, 41, 9], 6), (&[300], 3), (&[2, 1, 1, 7, 30, 4, 4, 60, 3], 1), (&[11, 12, 13], 17)];
    (seed..).zip(sizes).map(|(seed, (dims, width))| Plain::new(dims, width, seed)).collect()
}

/// Hidden widths, and whether they have a BatchNorm.
const DEPTHS: [(&[usize], bool); 5] =
    [(&[8], false), (&[12, 7], true), (&[5, 6, 7, 8], true), (&[40, 1], false), (&[3], true)];

fn upper(fields: usize, seed: u64) -> Vec<f32> {
    numbers(&mut Random(seed | 1), fields * (fields - 1) / 2, 0.1, 0.8)
}

#[test]
fn fuxictr_classes() {
    for plain in sizes(100) {
        let fields = plain.names.len();
        let linear = plain.clone().with_scalars(7);
        check("LR", &fuxictr("LR", &linear), &Plain { vectors: plain.vectors.clone(), ..linear.clone() });
        let fm = Plain { pairs: Pairs::Unit, ..linear.clone() };
        check("FM", &fuxictr("FM", &fm), &fm);
        let weighted = Plain { pairs: Pairs::Upper(upper(fields, 3)), bias: -0.25, ..plain.clone() };
        let lw = Plain { scalars: linear.scalars.clone(), ..weighted.clone() };
        let split = |seed: u64, rows: &dyn Fn(usize) -> usize| -> Vec<Vec<f32>> {
            let mut random = Random(seed);
            (0..fields).map(|f| numbers(&mut random, rows(f) * plain.widths[f], 0.0, 0.6)).collect()
        };
        let filv = Plain { field_vectors: Some(split(5, &|_| 1)), ..weighted.clone() };
        let felv = Plain { feature_vectors: Some(split(7, &|f| plain.dims[f] as usize)), ..weighted.clone() };
        for (kind, word, model) in
            [("LW", "feature_weight", &lw), ("FiLV", "field_vector", &filv), ("FeLV", "feature_vector", &felv)]
        {
            let mut folder = fuxictr("FwFM", model);
            folder.config["options"] = json!({ "linear_type": kind });
            check(kind, &folder, model);
            folder.config.as_object_mut().unwrap().remove("options");
            folder.config["linear"] = json!(format!("{word} (some tensor)"));
            check(kind, &folder, model);
        }
        for (n, (hidden, norms)) in (0..).zip(DEPTHS) {
            let deep = |plain: &Plain| plain.clone().with_layers(hidden, norms, true, 50 + n);
            let dnn = deep(&plain);
            check("DNN", &fuxictr("DNN", &dnn), &dnn);
            let wide = Plain { bias: 0.0, ..deep(&linear) };
            check("WideDeep", &fuxictr("WideDeep", &wide), &wide);
            let deep_fm = deep(&fm);
            check("DeepFM", &fuxictr("DeepFM", &deep_fm), &deep_fm);
            // `bn_only_once`.
            let inputs = plain.widths.iter().sum();
            let once = plain.clone().with_layers(hidden, false, true, 70 + n);
            let once = Plain { norm: Some(norm(&mut Random(9), inputs)), epsilon: 1e-3, ..once };
            check("bn_only_once", &fuxictr("DNN", &once), &once);
        }
    }
}

#[test]
fn deepctr_classes() {
    for plain in sizes(200) {
        let linear = plain.clone().with_scalars(3);
        let fm = Plain { pairs: Pairs::Unit, ..linear.clone() };
        for (n, (hidden, norms)) in (0..).zip(DEPTHS) {
            let deep = |plain: &Plain| plain.clone().with_layers(hidden, norms, false, 10 + n);
            let (wide, deep_fm) = (deep(&linear), deep(&fm));
            check("WDL", &deepctr("WDL", &wide), &wide);
            check("DeepFM", &deepctr("DeepFM", &deep_fm), &deep_fm);
            let mut without_pairs = deepctr("DeepFM", &wide);
            without_pairs.config["options"] = json!({ "use_fm": false });
            check("DeepFM without FM", &without_pairs, &wide);
            let no_norm = Plain { bias: 0.5, ..plain.clone() }.with_layers(hidden, false, false, 20 + n);
            let mut fnn = deepctr("PNN", &no_norm);
            fnn.config["options"] = json!({ "use_inner": false });
            check("PNN without products", &fnn, &no_norm);
        }
        check("FM", &deepctr("DeepFM", &fm), &fm);
        check("LR", &deepctr("WDL", &linear), &linear);
        let mut without_linear = deepctr("DeepFM", &Plain { pairs: Pairs::Unit, ..plain.clone() });
        without_linear.config["linear"] = json!("none");
        check("FM without a linear part", &without_linear, &Plain { pairs: Pairs::Unit, ..plain });
    }
}

#[test]
fn pytorch_fm_classes() {
    for plain in sizes(300) {
        let linear = plain.clone().with_scalars(5);
        let fm = Plain { pairs: Pairs::Unit, ..linear.clone() };
        check("LR", &pytorch_fm("LogisticRegressionModel", &linear), &linear);
        check("FM", &pytorch_fm("FactorizationMachineModel", &fm), &fm);
        for (n, (hidden, _)) in (0..).zip(DEPTHS) {
            let deep = |plain: &Plain| plain.clone().with_layers(hidden, true, true, 30 + n);
            for (class, model) in [
                ("WideAndDeepModel", deep(&linear)),
                ("DeepFactorizationMachineModel", deep(&fm)),
                ("FactorizationSupportedNeuralNetworkModel", deep(&plain)),
            ] {
                check(class, &pytorch_fm(class, &model), &model);
            }
        }
    }
}

#[test]
fn recbole_classes() {
    for plain in sizes(400) {
        let linear = plain.clone().with_scalars(11);
        let fm = Plain { pairs: Pairs::Unit, ..linear.clone() };
        check("LR", &recbole("LR", &linear), &linear);
        check("FM", &recbole("FM", &fm), &fm);
        for (n, (hidden, norms)) in (0..).zip(DEPTHS) {
            let deep = |plain: &Plain| plain.clone().with_layers(hidden, norms, true, 40 + n);
            let (wide, deep_fm) = (deep(&linear), deep(&fm));
            check("WideDeep", &recbole("WideDeep", &wide), &wide);
            check("DeepFM", &recbole("DeepFM", &deep_fm), &deep_fm);
        }
    }
}

/// What the constructor of `DeepFMs` was given.
fn options(pairs: &str, deep: u8, lw: u8, fwlw: u8) -> Value {
    let on = |name: &str| u8::from(name == pairs);
    json!({
        "use_fm": on("use_fm"), "use_fwfm": on("use_fwfm"), "use_logit": on("use_logit"), "use_deep": deep,
        "use_lw": lw, "use_fwlw": fwlw, "numerical": 0,
    })
}

#[test]
fn deeplight_switches() {
    for plain in sizes(500) {
        let (fields, width) = (plain.names.len(), plain.widths[0]);
        let with_scalars = plain.clone().with_scalars(13);
        let vectors = (0..fields).map(|f| numbers(&mut Random(31 + f as u64), width, 0.0, 0.6)).collect();
        let with_vectors = Plain { field_vectors: Some(vectors), bias: 0.125, ..plain.clone() };
        let matrix = Pairs::Matrix(numbers(&mut Random(77), fields * fields, 0.0, 0.6));
        let scales = numbers(&mut Random(99), fields, 0.5, 0.8);
        for (switch, pairs) in [("use_fm", Pairs::Unit), ("use_fwfm", matrix)] {
            for (fwlw, first) in [(0, &with_scalars), (1, &with_vectors)] {
                for lw in [0, 1] {
                    let scales = if lw == 1 { scales.clone() } else { vec![1.0; fields] };
                    let shallow = Plain { pairs: pairs.clone(), scales, ..first.clone() };
                    let what = format!("{switch}, use_lw {lw}, use_fwlw {fwlw}");
                    check(&what, &deeplight(&shallow, options(switch, 0, lw, fwlw), 1), &shallow);
                    for (n, (hidden, norms)) in (0..).zip(DEPTHS) {
                        let deep = shallow.clone().with_layers(hidden, norms, false, 60 + n);
                        check(&what, &deeplight(&deep, options(switch, 1, lw, fwlw), 1), &deep);
                    }
                }
            }
        }
        check("use_logit", &deeplight(&with_scalars, options("use_logit", 0, 0, 0), 1), &with_scalars);
    }
}

/// Of several stacks of layers the last one counts; LR with layers adds none of them.
#[test]
fn deeplight_adds_the_last_stack() {
    let plain = Plain { pairs: Pairs::Unit, ..Plain::new(&[9, 8, 7], 4, 5).with_scalars(6) };
    let deep = |seed: u64| plain.clone().with_layers(&[5], false, false, seed);
    let mut folder = deeplight(&deep(2), options("use_fm", 1, 0, 0), 2);
    folder.tensors.extend(deeplight(&deep(1), options("use_fm", 1, 0, 0), 1).tensors);
    folder.config["options"]["num_deeps"] = json!(2);
    check("two stacks", &folder, &deep(2));
    let logit = Plain { pairs: Pairs::None, ..deep(1) };
    let mut folder = deeplight(&logit, options("use_logit", 1, 0, 0), 1);
    folder.tensors.insert("fm_2nd_embeddings.0.weight".to_owned(), (vec![9, 4], vec![3.0; 36]));
    folder.config["hidden"] = json!([]);
    check("LR with layers", &folder, &Plain { layers: Vec::new(), ..logit });
}

#[test]
fn bags_that_are_sums() {
    let plain = Plain { pairs: Pairs::Unit, ..Plain::new(&[9, 30, 7, 12], 5, 15).with_scalars(16) };
    let bags = plain.with_bag(1).with_bag(3);
    // RecBole reads bags before the others, DeepCTR-Torch behind them, FuxiCTR as they come.
    let recbole_order = Plain { order: vec![1, 3, 0, 2], ..bags.clone() };
    let deepctr_order = Plain { order: vec![0, 2, 1, 3], ..bags.clone() };
    for (what, folder, model) in [
        ("FuxiCTR", fuxictr as fn(&str, &Plain) -> Folder, &bags),
        ("DeepCTR-Torch", deepctr, &deepctr_order),
        ("RecBole", recbole, &recbole_order),
    ] {
        let deep = model.clone().with_layers(&[6, 4], true, what != "DeepCTR-Torch", 3);
        check(what, &folder("DeepFM", &deep), &deep);
        // Said in so many words.
        let mut said = folder("DeepFM", &deep);
        said.config["mlp_input_order"] = deep.order.iter().map(|&f| deep.names[f].clone()).collect();
        check(what, &said, &deep);
    }
    // A linear part sums whatever is done with vectors, which LR has not.
    let lr = Plain { pairs: Pairs::None, ..bags };
    for (folder, what) in [(fuxictr("LR", &lr), "FuxiCTR"), (recbole("LR", &lr), "RecBole")] {
        let mut folder = folder;
        for name in ["column_1", "column_3"] {
            folder.config["bags"][name]["embedding_pooling"] = json!("mean over the indices that are not 0");
        }
        check(what, &folder, &lr);
    }
}

/// Where no pairs are summed each field may have a length of its own.
#[test]
fn vectors_of_different_lengths() {
    let mut plain = Plain::new(&[9, 30, 7, 12], 1, 25).with_scalars(26);
    plain.widths = vec![3, 1, 8, 5];
    let table = |f: usize| numbers(&mut Random(41 + f as u64), plain.dims[f] as usize * plain.widths[f], 0.0, 0.5);
    let plain = Plain { vectors: (0..4).map(table).collect(), ..plain };
    let deep = plain.clone().with_layers(&[6], false, false, 8);
    let mut folder = deepctr("WDL", &deep);
    folder.config["embed_dim"] = json!([3, 1, 8, 5]);
    check("WDL", &folder, &deep);
    let with_vectors = Plain { scalars: None, bias: 0.0, ..plain }.with_layers(&[6], true, true, 8);
    let mut folder = fuxictr("DNN", &with_vectors);
    folder.config["embed_dim"] = json!([3, 1, 8, 5]);
    check("DNN", &folder, &with_vectors);
    folder.config["class"] = json!("DeepFM");
    let place = tempfile::tempdir().unwrap();
    folder.write(place.path());
    assert!(import::load(place.path()).is_err());
}

#[test]
fn numbers_of_other_types_are_read() {
    let plain = Plain { pairs: Pairs::Unit, ..Plain::new(&[9, 30, 7], 5, 35).with_scalars(36) };
    let deep = plain.with_layers(&[6, 3], true, true, 37);
    for dtype in [Dtype::F64, Dtype::F16] {
        let mut folder = fuxictr("DeepFM", &deep);
        folder.dtype = dtype;
        check(&format!("{dtype:?}"), &folder, &deep);
    }
}

/// Without the key, the library is the one that is asked for.
#[test]
fn the_library_is_asked_for() {
    let plain = Plain { pairs: Pairs::Unit, ..Plain::new(&[9, 30, 7], 5, 45).with_scalars(46) };
    let mut folder = recbole("FM", &plain);
    for name in ["recbole", "RecBole", "RUCAIBox/RecBole", "recbole (1.2.1)"] {
        folder.config["library"] = json!(name);
        check(name, &folder, &plain);
    }
    folder.config.as_object_mut().unwrap().remove("library");
    let place = tempfile::tempdir().unwrap();
    folder.write(place.path());
    let model = import::load_from(place.path(), Some(Library::RecBole)).unwrap();
    let rows = plain.rows(1);
    let found = logits(&xsfm_convert::pack::pack_f32(&model).unwrap(), &rows);
    assert!(rows.iter().zip(found).all(|(row, found)| (plain.logit(row) - found).abs() < 1e-4));
    folder.config["library"] = json!("torchfm");
    folder.write(place.path());
    let message = import::load_from(place.path(), Some(Library::RecBole)).unwrap_err().to_string();
    assert!(["key `library`", "torchfm", "RecBole"].iter().all(|word| message.contains(word)), "{message}");
    // By the program.
    folder.config.as_object_mut().unwrap().remove("library");
    folder.write(place.path());
    let xsfm = |from: &str| {
        let line = format!("import . --from {from} --mode f32 -o m.xsfm");
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_xsfm"));
        let output = command.args(line.split(' ')).current_dir(place.path()).output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    assert!(xsfm("recbole").0 && place.path().join("m.xsfm").exists());
    let (taken, said) = xsfm("libfm");
    assert!(!taken && said.contains("`libfm` are not read") && said.contains("DeepLight"), "{said}");
}
