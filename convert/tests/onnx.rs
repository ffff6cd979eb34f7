//! Graphs that PyTorch's exporters wrote of other libraries' models, `fixtures/onnx/make.py`.
#![allow(clippy::unwrap_used, reason = "tests stop at the first surprise")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use xsfm_convert::import::onnx;
use xsfm_convert::model::FloatModel;
use xsfm_convert::reference::float_forward;
use xsfm_interchange::rows::RowBlock;

#[derive(Deserialize)]
struct Cases {
    rows: Vec<Vec<u32>>,
    logits: BTreeMap<String, Vec<f64>>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/onnx")
}

fn cases() -> Cases {
    serde_json::from_slice(&std::fs::read(folder().join("cases.json")).unwrap()).unwrap()
}

fn load(name: &str) -> Result<FloatModel, String> {
    onnx::load(&folder().join(name), None).map_err(|error| error.to_string())
}

#[test]
fn what_pytorch_writes_of_other_libraries_scores_as_they_do() {
    let Cases { rows, logits } = cases();
    assert!(logits.len() >= 14, "{}", logits.len());
    for (name, logits) in &logits {
        for exporter in ["script", "dynamo"] {
            let what = format!("{name}.{exporter}.onnx");
            if !folder().join(&what).exists() && exporter == "dynamo" && name == "fuxictr_fwfm" {
                // This exporter has no operator for what the library does.
                continue;
            }
            let model = load(&what).unwrap_or_else(|error| panic!("{error}"));
            for (row, expected) in rows.iter().zip(logits) {
                let mut block = RowBlock::new(row.len(), false);
                row.iter().for_each(|&index| block.push_field(&[index]));
                let logit = float_forward(&model, block.row(0)).unwrap().logit;
                let most = 1e-5 * expected.abs().max(1.0);
                assert!((logit - expected).abs() <= most, "{what}, {row:?}: {logit}, not {expected}");
            }
        }
    }
}

#[test]
fn what_no_packed_file_holds_is_named() {
    let expected = [
        ("torchfm_dcn", &["multiplies more than two numbers", "Mul"][..]),
        ("torchfm_nfm", &["unit 0 of the layer before node", "reads products of vectors"]),
        ("deepctr_dense", &["column 4 of the input", "indices alone are read"]),
        ("deepctr_dcn", &["(Einsum)", "is no operator"]),
        ("deepctr_ipnn", &["reads products of vectors"]),
        ("deepctr_prelu", &["(PRelu)", "is no operator"]),
        ("fuxictr_tanh", &["(Tanh)", "is no operator"]),
    ];
    for (name, expected) in expected {
        let message = load(&format!("{name}.script.onnx")).unwrap_err();
        for part in expected {
            assert!(message.contains(part), "{name}: {message}");
        }
    }
    assert_eq!(std::fs::read_dir(folder()).unwrap().count(), 2 * cases().logits.len() - 1 + expected.len() + 2);
}

#[test]
fn fields_have_the_names_that_are_given() {
    let path = folder().join("torchfm_fm.script.onnx");
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let of = |model: FloatModel| model.config.fields.into_iter().map(|field| field.name).collect::<Vec<_>>();
    assert_eq!(of(onnx::load(&path, None).unwrap()), ["x_0", "x_1", "x_2", "x_3"]);
    let given = names(&["user", "item", "hour", "page"]);
    assert_eq!(of(onnx::load(&path, Some(&given)).unwrap()), given);
    let message = onnx::load(&path, Some(&given[1..])).unwrap_err().to_string();
    assert!(message.contains("3 names of fields, but its inputs have 4 columns"), "{message}");
    let message = onnx::load(&path, Some(&names(&["a", "b", "c", "a"]))).unwrap_err().to_string();
    assert!(message.contains("two fields are named `a`"), "{message}");
}

#[test]
fn damaged_files_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    let mut random = 1_u64;
    let mut below = |most: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % most
    };
    let mut errors = 0;
    for name in ["torchfm_deepfm.script.onnx", "deepctr_deepfm.dynamo.onnx", "fuxictr_fwfm.script.onnx"] {
        let whole = std::fs::read(self::folder().join(name)).unwrap();
        for _ in 0..400 {
            let mut bytes = whole.clone();
            for _ in 0..1 + below(3) {
                let at = below(bytes.len());
                bytes[at] = below(256) as u8;
            }
            if below(4) == 0 {
                bytes.truncate(below(bytes.len()));
            }
            std::fs::write(&path, bytes).unwrap();
            errors += usize::from(onnx::load(&path, None).is_err());
        }
    }
    assert!(errors > 300, "{errors}");
}

#[test]
fn the_program_imports_and_validates_graphs() {
    let out = tempfile::tempdir().unwrap();
    let (packed, rows) = (out.path().join("m.xsfm"), out.path().join("rows.tsv"));
    let text: Vec<String> =
        cases().rows.iter().map(|row| row.iter().map(u32::to_string).collect::<Vec<_>>().join("\t")).collect();
    std::fs::write(&rows, text.join("\n")).unwrap();
    let xsfm = |arguments: &[&std::ffi::OsStr]| {
        let run = std::process::Command::new(env!("CARGO_BIN_EXE_xsfm")).args(arguments).output().unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        String::from_utf8(run.stdout).unwrap()
    };
    let graph = folder().join("torchfm_deepfm.dynamo.onnx");
    for (mode, most) in [("f32", 1e-5), ("int8", 0.01)] {
        let fixed = ["import", "--mode", mode, "--fields", "user,item,hour,page", "--calibrate"].map(AsRef::as_ref);
        xsfm(&[&fixed[..], &[rows.as_ref(), graph.as_ref(), "-o".as_ref(), packed.as_ref()]].concat());
        assert!(xsfm(&["inspect".as_ref(), packed.as_ref()]).contains("page"));
        let said = xsfm(
            &["validate", "--json", "--fields", "user,item,hour,page", "--rows"]
                .map(AsRef::as_ref)
                .iter()
                .copied()
                .chain([rows.as_ref(), packed.as_ref(), graph.as_ref()])
                .collect::<Vec<_>>(),
        );
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert!(said["logit_error_relative"].as_f64().unwrap() < most, "{mode}: {said}");
        assert_eq!(said["rows"], cases().rows.len());
    }
}
