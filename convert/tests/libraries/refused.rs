//! What is refused, each by its name: classes, parts, tensors and keys.

use safetensors::tensor::Dtype;
use serde_json::{Value, json};
use xsfm_convert::import;

use crate::common::Parameters;
use crate::folders::{Folder, deepctr, deeplight, fuxictr, pytorch_fm, recbole};
use crate::plain::{Pairs, Plain};

/// Why a folder is not read.
fn refusal(folder: &Folder) -> String {
    let place = tempfile::tempdir().unwrap();
    folder.write(place.path());
    match import::load(place.path()) {
        Ok(_) => panic!("taken: {}", folder.config),
        Err(error) => error.to_string(),
    }
}

fn assert_has(message: &str, words: &[&str]) {
    assert!(words.iter().all(|word| message.contains(word)), "{words:?} expected in: {message}");
}

fn deep_fm(output_bias: bool) -> Plain {
    let plain = Plain { pairs: Pairs::Unit, ..Plain::new(&[9, 30, 7], 5, 3).with_scalars(4) };
    plain.with_layers(&[6, 4], true, output_bias, 5)
}

fn deeplight_options() -> Value {
    json!({ "use_fm": 1, "use_fwfm": 0, "use_deep": 1, "use_lw": 0, "use_fwlw": 0, "numerical": 0 })
}

/// A DeepFM of each library.
fn all_libraries() -> [(&'static str, Folder); 5] {
    [
        ("FuxiCTR", fuxictr("DeepFM", &deep_fm(true))),
        ("DeepCTR-Torch", deepctr("DeepFM", &deep_fm(false))),
        ("pytorch-fm", pytorch_fm("DeepFactorizationMachineModel", &deep_fm(true))),
        ("RecBole", recbole("DeepFM", &deep_fm(true))),
        ("DeepLight", deeplight(&deep_fm(false), deeplight_options(), 1)),
    ]
}

#[test]
fn classes_that_no_packed_file_holds() {
    let of_library = |name: &str| match name {
        "FuxiCTR" => {
            "AFM AFN AOANet APG_DCNv2 APG_DeepFM AutoInt BST CCPM DCN DCNv2 DCNv3 DESTINE DIEN DIN DLRM DMIN DMR DSSM \
             DeepCrossing DeepIM DualMLP EDCN EulerNet FFM FFMv2 FGCNN FLEN FiBiNET FiGNN FinalMLP FinalNet FmFM GDCN \
             HFM HOFM InterHAt LorentzFM MMoE MaskNet NFM ONN ONNv2 PEPNet PLE PNN PPNet QNN QNN_alpha SAM ShareBottom \
             TransAct WuKong xDeepFM"
        }
        "DeepCTR-Torch" => {
            "AFM AFN AutoInt CCPM DCN DCNMix DIEN DIFM DIN ESMM FiBiNET IFM MLR MMOE NFM ONN PLE PNN SharedBottom \
             xDeepFM"
        }
        "pytorch-fm" => {
            "AdaptiveFactorizationNetwork AttentionalFactorizationMachineModel AutomaticFeatureInteractionModel \
             DeepCrossNetworkModel ExtremeDeepFactorizationMachineModel FieldAwareFactorizationMachineModel \
             FieldAwareNeuralFactorizationMachineModel HighOrderFactorizationMachineModel NeuralCollaborativeFiltering \
             NeuralFactorizationMachineModel ProductNeuralNetworkModel"
        }
        "RecBole" => "AFM AutoInt DCN DCNV2 DIEN DIN DSSM EulerNet FFM FNN FiGNN FwFM KD_DAGFM NFM PNN xDeepFM",
        _ => "NFM",
    };
    for (library, mut folder) in all_libraries() {
        for class in of_library(library).split_whitespace() {
            folder.config["class"] = json!(class);
            let message = refusal(&folder);
            assert_has(&message, &["key `class`", &format!("`{class}`"), "no packed file holds"]);
        }
        folder.config["class"] = json!("Perceptron");
        assert_has(&refusal(&folder), &["key `class`", "`Perceptron`", library, "is not known; read are", "D"]);
        folder.config["class"] = json!(7);
        assert_has(&refusal(&folder), &["key `class`", "string"]);
    }
    // RecBole's reason is another one.
    let mut folder = recbole("FM", &deep_fm(true));
    folder.config["class"] = json!("FwFM");
    assert_has(&refusal(&folder), &["are no parameters"]);
}

/// A change to a folder that was right.
type Change = fn(&mut Value, &mut Parameters);

#[test]
fn what_is_wrong_in_any_library() {
    let cases: Vec<(Change, &[&str])> = vec![
        (|c, _| c["library"] = json!("libfm"), &["key `library`", "`libfm`", "FuxiCTR", "DeepLight"]),
        (|c, _| drop_key(c, "class"), &["key `class`", "missing"]),
        (|c, _| drop_key(c, "field_dims"), &["key `field_dims`", "missing"]),
        (|c, _| drop_key(c, "embed_dim"), &["key `embed_dim`", "missing"]),
        (|c, _| drop_key(c, "hidden"), &["key `mlp_dims`", "`hidden`", "missing"]),
        (|c, _| c["field_dims"] = json!([]), &["key `field_dims`", "number of fields is 0"]),
        (|c, _| c["field_dims"] = json!([9, 0, 7]), &["key `field_dims`", "column_1", "features is 0"]),
        (|c, _| c["field_dims"] = json!([9, 30]), &["key `field_names`", "3 entries", "has 2"]),
        (|c, _| c["field_dims"] = json!([9, 31, 7]), &["weights.safetensors", "has shape"]),
        (|c, _| c["field_names"] = json!(["a", "b", "a"]), &["key `field_names`", "`a`"]),
        (|c, _| c["embed_dim"] = json!(6), &["weights.safetensors", "5]", "6]"]),
        (|c, _| c["embed_dim"] = json!(0), &["key `embed_dim`", "is 0"]),
        (|c, _| c["embed_dim"] = json!(1_u64 << 62), &["key `embed_dim`", "possible are 1 to"]),
        (|c, _| c["hidden"] = json!([6, 5]), &["weights.safetensors", "4", "5"]),
        (|c, _| c["hidden"] = json!([6, 1_u64 << 62]), &["key `hidden`", "hidden layer 1"]),
        (|c, _| c["mlp_dims"] = json!([4, 6]), &["key `hidden`", "[6, 4]", "[4, 6]"]),
        (|c, _| c["bn_eps"] = json!(-1.0), &["key `bn_eps`", "-1"]),
        (|c, _| c["activation"] = json!("PReLU"), &["key `activation`", "`PReLU`", "relu"]),
        (|c, _| c["activation"] = json!("dice"), &["key `activation`", "`dice`", "relu"]),
        (|c, _| c["activation"] = json!(["relu", "tanh"]), &["key `activation`", "`tanh`", "relu"]),
        (|c, _| c["linear"] = json!("wide"), &["key `linear`", "`wide`", "feature_weight"]),
        (|c, _| c["interaction"] = json!("pair weights"), &["key `interaction`", "pair weights", "unit"]),
        (|c, _| c["bias_tensors"] = json!(["beta"]), &["key `bias_tensors`", "`beta`", "bias"]),
        (|c, _| c["bias_tensors"] = json!([]), &["bias`", "no place"]),
        (|c, _| c["unused_tensors"] = json!(["embedding"]), &["key `unused_tensors`", "embedding"]),
        (|c, _| c["field_types"] = json!(["categorical", "numeric", "bag"]), &["key `field_types`", "`numeric`"]),
        (|c, _| c["field_types"] = json!(["categorical", "dense", "bag"]), &["key `field_types`", "`dense`"]),
        (|c, _| c["field_types"] = json!(["categorical", "image", "bag"]), &["key `field_types`", "`image`"]),
        (|c, _| c["field_types"] = json!(["categorical"]), &["key `field_types`", "1 entries"]),
        (|_, t| drop(t.insert("cross.0.weight".into(), (vec![1, 2], vec![1.0; 2]))), &["`cross.0.weight`", "no place"]),
        (|_, t| each(t, |name| name.ends_with("bias"), |values| values[0] = f32::NAN), &["bias`", "NaN"]),
        (|_, t| each(t, |name| name.contains("running_var"), |values| values[1] = -1.0), &["running_var", "[1]"]),
    ];
    for (library, right) in all_libraries() {
        for (n, (change, words)) in cases.iter().enumerate() {
            let mut wrong = right.clone();
            change(&mut wrong.config, &mut wrong.tensors);
            let message = refusal(&wrong);
            assert!(words.iter().all(|word| message.contains(word)), "{library} {n}: {words:?} expected in: {message}");
        }
        // Each tensor is needed, in its own shape, and of a type that is a number.
        for name in right.tensors.keys() {
            let mut wrong = right.clone();
            wrong.tensors.remove(name);
            let message = refusal(&wrong);
            assert!(
                message.contains("missing") || message.contains("layers") || message.contains("Linear"),
                "{message}"
            );
            let mut wrong = right.clone();
            let (shape, values) = wrong.tensors.get_mut(name).unwrap();
            (shape[0], *values) = (shape[0] + 1, [values.as_slice(), &vec![0.5; values.len() / shape[0]]].concat());
            assert_has(&refusal(&wrong), &[name.as_str(), "has shape"]);
            let mut wrong = right.clone();
            let (shape, values) = wrong.tensors.remove(name).unwrap();
            wrong.others.push((name.clone(), Dtype::I32, shape, vec![0; 4 * values.len()]));
            assert_has(&refusal(&wrong), &[name.as_str(), "I32", "F16"]);
        }
        cut_files_are_refused(&right);
    }
}

fn drop_key(config: &mut Value, key: &str) {
    config.as_object_mut().unwrap().remove(key).unwrap();
}

/// Changes the first tensor whose name is wanted.
fn each(tensors: &mut Parameters, wanted: fn(&str) -> bool, change: fn(&mut Vec<f32>)) {
    let (_, (_, values)) = tensors.iter_mut().find(|(name, _)| wanted(name)).unwrap();
    change(values);
}

fn cut_files_are_refused(right: &Folder) {
    let place = tempfile::tempdir().unwrap();
    right.write(place.path());
    for name in ["weights.safetensors", "config.json"] {
        let path = place.path().join(name);
        let whole = std::fs::read(&path).unwrap();
        for length in [0, 7, 8, 9, whole.len() / 2, whole.len() - 1] {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert_has(&import::load(place.path()).unwrap_err().to_string(), &[name]);
        }
        std::fs::remove_file(&path).unwrap();
        assert_has(&import::load(place.path()).unwrap_err().to_string(), &[name]);
        std::fs::write(&path, &whole).unwrap();
    }
}

/// Cases of one library: the folder that was right, what is done to it, what the error must have.
#[test]
fn what_is_wrong_in_one_library() {
    let fwfm = Plain { pairs: Pairs::Upper(vec![0.5; 3]), ..Plain::new(&[9, 30, 7], 5, 3).with_scalars(4) };
    let fwfm = fuxictr("FwFM", &fwfm);
    let [(_, fuxi), (_, deepctr_fm), (_, torchfm), (_, recbole_fm), (_, light)] = all_libraries();
    let with_bag = |folder: fn(&str, &Plain) -> Folder, bias| folder("DeepFM", &deep_fm(bias).with_bag(1));
    let (fuxi_bag, recbole_bag) = (with_bag(fuxictr, true), with_bag(recbole, true));
    let cases: Vec<(&Folder, Change, &[&str])> = vec![
        (&fuxi, |c, _| drop_key(c, "field_names"), &["key `field_names`", "missing"]),
        (&fuxi, |c, _| c["architecture"] = json!("fm"), &["key `architecture`", "`fm`", "deepfm"]),
        (&fuxi, |c, _| c["batch_norm"] = json!(false), &["mlp.mlp.0", "BatchNorm", "none"]),
        (&fuxi, |_, t| prelu(t), &["mlp.mlp.2.weight", "PReLU"]),
        (&fwfm, |c, _| c["options"] = json!({ "linear_type": "XX" }), &["key `options`", "XX", "FeLV"]),
        (
            &fwfm,
            |c, _| {
                c["options"] = json!({ "linear_type": "LW" });
                c["linear"] = json!("field_vector");
            },
            &["key `linear`", "field_vector", "feature_weight"],
        ),
        (&fwfm, |_, _| (), &["linear_weight_layer.weight", "missing"]),
        (&fuxi_bag, |c, _| drop_key(c, "bags"), &["key `bags`", "missing"]),
        (&fuxi_bag, |c, _| c["bags"] = json!({}), &["key `bags`", "column_1"]),
        (&fuxi_bag, |c, _| c["padding_index"] = json!(3), &["key `padding_index`", "is 3"]),
        (
            &fuxi_bag,
            |c, _| c["bags"]["column_1"]["embedding_pooling"] = json!("mean over the indices that are not 0"),
            &["key `bags`", "column_1", "a mean", "would be rounded"],
        ),
        (
            &recbole_bag,
            |c, _| c["bags"]["column_1"]["embedding_pooling"] = json!("max"),
            &["key `bags`", "column_1", "`max`"],
        ),
        (
            &recbole_bag,
            |c, _| c["bags"]["column_1"]["linear_pooling"] = json!("mean"),
            &["key `bags`", "linear_pooling", "column_1", "a mean"],
        ),
        (
            &fuxi_bag,
            |_, t| each(t, |n| n.contains("column_1"), |values| values[0] = 1.0),
            &["column_1", "padding of a bag", "not zero"],
        ),
        (&recbole_bag, |c, _| c["offsets"] = json!([0, 9, 39]), &["key `offsets`", "field 1", "null"]),
        (&recbole_fm, |c, _| c["offsets"] = json!([0, 9, 38]), &["key `offsets`", "field 2", "38", "39"]),
        (&recbole_fm, |c, _| c["mlp_input_order"] = json!(["column_0"]), &["key `mlp_input_order`", "1 entries"]),
        (
            &recbole_fm,
            |c, _| c["mlp_input_order"] = json!(["column_0", "column_1", "column_1"]),
            &["key `mlp_input_order`", "each of `field_names`"],
        ),
        (&torchfm, |c, _| c["padding_index"] = json!(0), &["key `padding_index`", "pytorch-fm"]),
        (
            &torchfm,
            |c, _| c["field_types"] = json!(["categorical", "bag", "categorical"]),
            &["key `field_types`", "field 1", "pytorch-fm"],
        ),
        (&torchfm, |c, _| c["batch_norm"] = json!(false), &["mlp.mlp.0", "BatchNorm"]),
        (
            &deepctr_fm,
            |_, t| drop(t.insert("linear_model.weight".into(), (vec![2, 1], vec![1.0; 2]))),
            &["`linear_model.weight`", "[2, 1]", "dense features"],
        ),
        (
            &deepctr_fm,
            |_, t| drop(t.insert("dnn.activation_layers.0.weight".into(), (vec![1], vec![0.25]))),
            &["dnn.activation_layers.0.weight", "no place"],
        ),
        (&deepctr_fm, |c, _| c["class"] = json!("PNN"), &["key `class`", "`use_inner`", "products"]),
        (
            &deepctr_fm,
            |c, _| {
                c["class"] = json!("PNN");
                c["options"] = json!({ "use_inner": false, "use_outter": true });
            },
            &["key `class`", "`use_outter`", "products"],
        ),
        (&deepctr_fm, |c, _| c["options"] = json!({ "use_fm": "no" }), &["key `options`", "`use_fm`", "switch"]),
        (&light, |c, _| c["options"]["use_ffm"] = json!(1), &["key `options`", "use_ffm"]),
        (&light, |c, _| c["options"]["use_fm"] = json!(0), &["key `options`", "use_fwfm", "must be on"]),
        (&light, |c, _| c["options"]["numerical"] = json!(2), &["key `options`", "`numerical` is 2", "column_0"]),
        (
            &light,
            |c, _| {
                drop_key(&mut c["options"], "numerical");
                drop_key(c, "field_types");
            },
            &["key `options`", "`numerical`", "missing"],
        ),
        (&light, |c, _| c["options"]["num_deeps"] = json!(0), &["key `options`", "`num_deeps` is 0"]),
        (&light, |c, _| c["options"]["num_deeps"] = json!(2), &["net_2_linear_1.weight", "missing"]),
        (&light, |c, _| c["options"]["is_batch_norm"] = json!(false), &["key `batch_norm`", "is_batch_norm"]),
        (&light, |c, _| c["options"]["use_lw"] = json!(1), &["fm_1st.weight", "missing"]),
        (&light, |c, _| c["options"]["use_fwlw"] = json!(1), &["fwfm_linear.weight", "missing"]),
        (&light, |c, _| c["hidden"] = json!([]), &["key `hidden`", "`use_deep`"]),
    ];
    for (n, (right, change, words)) in cases.into_iter().enumerate() {
        let mut wrong = right.clone();
        change(&mut wrong.config, &mut wrong.tensors);
        let message = refusal(&wrong);
        assert!(words.iter().all(|word| message.contains(word)), "case {n}: {words:?} expected in: {message}");
    }
    let mut mask = fwfm.clone();
    mask.config["options"] = json!({ "linear_type": "LW" });
    for (name, _, _, bytes) in &mut mask.others {
        assert_eq!(name, "inner_product_layer.triu_mask");
        bytes.reverse();
    }
    assert_has(&refusal(&mask), &["inner_product_layer.triu_mask", "above the diagonal"]);
}

/// A PReLU, whose one number lies where a ReLU is.
fn prelu(tensors: &mut Parameters) {
    tensors.insert("mlp.mlp.2.weight".to_owned(), (vec![1], vec![0.25]));
}

/// FeLV's vectors of a bag: a product of two sums is no sum over the bag.
#[test]
fn felv_of_a_bag() {
    let plain = Plain::new(&[9, 30, 7], 5, 3).with_bag(1);
    let felv = Plain { feature_vectors: Some(plain.vectors.clone()), pairs: Pairs::Upper(vec![0.5; 3]), ..plain };
    let mut folder = fuxictr("FwFM", &felv);
    folder.config["options"] = json!({ "linear_type": "FeLV" });
    assert_has(&refusal(&folder), &["key `linear`", "column_1", "FeLV"]);
}
