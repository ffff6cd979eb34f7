//! `xsfm catalogue` and `rank --catalogue`: the ranking of whole rows, from indices and from raw values.
#![allow(clippy::unwrap_used, reason = "tests stop at the first surprise")]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::{config_with_everything, parameters, random_rows, tsv, write_checkpoint};
use serde_json::Value;
use tempfile::TempDir;

fn xsfm(folder: &Path, arguments: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xsfm"));
    command.current_dir(folder).args(arguments.split(' ')).stdin(Stdio::null()).output().unwrap()
}

fn run(folder: &Path, arguments: &str) -> String {
    let output = xsfm(folder, arguments);
    assert!(output.status.success(), "xsfm {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn refuse(folder: &Path, arguments: &str, words: &[&str]) {
    let output = xsfm(folder, arguments);
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "xsfm {arguments}: {message}");
    assert!(words.iter().all(|word| message.contains(word)), "xsfm {arguments}: {words:?} expected in: {message}");
}

/// Rank, row and logit of each.
fn places(json: &str) -> Vec<(u64, u64, f32)> {
    let ranked: Vec<Value> = serde_json::from_str(json).unwrap();
    let place = |entry: &Value| {
        (entry["rank"].as_u64().unwrap(), entry["row"].as_u64().unwrap(), entry["logit"].as_f64().unwrap() as f32)
    };
    ranked.iter().map(place).collect()
}

#[test]
fn items_of_indices_rank_as_whole_rows() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let config = config_with_everything();
    write_checkpoint(&folder.join("run"), &config, &parameters(&config, 11));
    let rows = random_rows(&config, 300, 5);
    let text = tsv(&rows);
    fs::write(folder.join("rows.tsv"), &text).unwrap();
    // Brand, the fourth, and user, the first, are the context's.
    let cells: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    let [mut whole, mut items, mut context] = [const { String::new() }; 3];
    for cells_of_row in &cells {
        let mut own = cells_of_row.clone();
        (own[0], own[3]) = (cells[7][0], cells[7][3]);
        whole += &(own.join("\t") + "\n");
        items += &([&own[1..3], &own[4..]].concat().join("\t") + "\n");
        context = [own[0], own[3]].join("\t") + "\n";
    }
    for (name, text) in [("whole.tsv", whole), ("items.tsv", items), ("context.tsv", context)] {
        fs::write(folder.join(name), text).unwrap();
    }
    let names: String = (0..300).map(|n| format!("item {n}\n")).collect();
    fs::write(folder.join("names.txt"), names).unwrap();
    for (mode, of_sums) in [("int8", 24), ("dynamic", 24), ("f32", 4)] {
        run(folder, &format!("pack run --mode {mode} --rows rows.tsv -o {mode}.xsfm"));
        let whole = places(&run(folder, &format!("rank {mode}.xsfm --indices whole.tsv --top 20 --json")));
        for parts in ["layer-sums", "vectors"] {
            let make = format!(
                "catalogue {mode}.xsfm --indices items.tsv --context brand,user --parts {parts} -o {parts}.xsfc --json"
            );
            let report: Value = serde_json::from_str(&run(folder, &make)).unwrap();
            assert_eq!(report["items"], 300);
            assert_eq!(report["context"], serde_json::json!(["user", "brand"]));
            assert_eq!(report["sums_bytes"], of_sums);
            // 6 fields of 6 numbers, 17 outputs: both to a multiple of 16.
            assert_eq!(report["vectors_bytes"], 48 * if mode == "f32" { 4 } else { 1 });
            assert_eq!(report["layer_sums_bytes"], if parts == "vectors" { 0 } else { 32 * 4 });
            let bytes = fs::metadata(folder.join(format!("{parts}.xsfc"))).unwrap().len();
            assert_eq!(report["file_bytes"], bytes);
            let rank = format!(
                "rank {mode}.xsfm --indices context.tsv --catalogue {parts}.xsfc --top 20 --names names.txt --json"
            );
            let ranked = run(folder, &rank);
            for (found, expected) in places(&ranked).into_iter().zip(&whole) {
                let is_close = (found.2 - expected.2).abs() < 1e-5 && found.0 == expected.0;
                assert!(found == *expected || (mode == "f32" && is_close), "{mode}, {parts}: {found:?}, {expected:?}");
            }
            assert_eq!(places(&ranked).len(), 20);
            assert!(ranked.contains(&format!("item {}", places(&ranked)[0].1 - 1)), "{ranked}");
        }
    }
    let told = run(folder, "inspect int8.xsfm --context brand,user");
    assert!(told.contains("an item               200 bytes"), "{told}");
    let told = run(folder, "catalogue int8.xsfm --indices items.tsv --context brand,user -o again.xsfc");
    assert!(told.contains("first layer's sums  128 bytes") && told.contains("300 of item, shop, genres"), "{told}");
    refuse(
        folder,
        "rank dynamic.xsfm --indices context.tsv --catalogue again.xsfc",
        &["again.xsfc", "made of a model of"],
    );
    refuse(folder, "rank int8.xsfm --indices items.tsv --catalogue again.xsfc", &["items.tsv"]);
    refuse(folder, "rank int8.xsfm --indices context.tsv --catalogue int8.xsfm", &["int8.xsfm", "not a catalogue"]);
    fs::write(folder.join("two.tsv"), "1\t2\n1\t3\n").unwrap();
    refuse(folder, "rank int8.xsfm --indices two.tsv --catalogue again.xsfc", &["two.tsv: 2 rows"]);
    fs::write(folder.join("none.tsv"), "").unwrap();
    refuse(folder, "catalogue int8.xsfm --indices none.tsv --context user -o new.xsfc", &["none.tsv: 0 items"]);
    refuse(folder, "catalogue int8.xsfm --indices items.tsv --context nobody -o new.xsfc", &["no field `nobody`"]);
    let names = "rank int8.xsfm --indices context.tsv --catalogue again.xsfc --names two.tsv";
    refuse(folder, names, &["2 names, but 300 items"]);
    let mut damaged = fs::read(folder.join("again.xsfc")).unwrap();
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(folder.join("damaged.xsfc"), damaged).unwrap();
    refuse(folder, "rank int8.xsfm --indices context.tsv --catalogue damaged.xsfc", &["damaged.xsfc", "checksum"]);
    assert!(!folder.join("new.xsfc").exists());
}

/// Tables that have the columns of one side alone.
#[test]
fn items_of_raw_values_rank_as_whole_rows() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/raw-values/model.xsfm");
    fs::copy(fixture, folder.join("m.xsfm")).unwrap();
    let items = ["western|comedy,30", "comedy,7.75", ",4", "drama,1e3", "comedy,30"];
    let of_row = |item: &&str| format!("ben,{item},2026-03-04T14:00:00\n");
    let whole = "user,genres,price,when\n".to_owned() + &items.iter().map(of_row).collect::<String>();
    fs::write(folder.join("whole.csv"), whole).unwrap();
    fs::write(folder.join("items.csv"), "genres,price\n".to_owned() + &items.join("\n") + "\n").unwrap();
    fs::write(folder.join("context.csv"), "when,user\n2026-03-04T14:00:00,ben\n").unwrap();
    fs::write(folder.join("context.jsonl"), r#"{"user": "ben", "when": "2026-03-04T14:00:00"}"#).unwrap();
    let whole = places(&run(folder, "rank m.xsfm --raw whole.csv --json"));
    assert_eq!(whole.len(), items.len());
    // With the context's columns too, which are not looked at.
    for file in ["items.csv", "whole.csv"] {
        let made = xsfm(folder, &format!("catalogue m.xsfm --items {file} --context user,hour -o items.xsfc"));
        let notes = String::from_utf8(made.stderr).unwrap();
        assert!(made.status.success() && !notes.contains("did not have"), "{notes}");
        for context in ["context.csv", "context.jsonl"] {
            let ranked = run(folder, &format!("rank m.xsfm --raw {context} --catalogue items.xsfc --json"));
            assert_eq!(places(&ranked), whole, "{file}, {context}");
        }
    }
    refuse(folder, "catalogue m.xsfm --items context.csv --context user,hour -o new.xsfc", &["context.csv", "genres"]);
}
