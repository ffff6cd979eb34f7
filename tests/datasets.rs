//! Data sets that look alike are told apart by every command that two of them meet in.
//!
//! Needs `XSFM_TRAIN` and `XSFM`, the two programs; `cargo xtask test` sets them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::fs;
use std::path::Path;
use std::process::Command;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use xsfm_interchange::dataset::{Dataset, Part};
use xsfm_interchange::rows::RowsWriter;
use xsfm_tests::trainer::Bench;

const SCHEMA: [&str; 3] = ["user", "item", "tags"];

/// The inputs of `../shared/troubles`, in the folder `troubles`; false, said aloud, where they are absent.
fn make_troubles(bench: &Bench) -> bool {
    let make = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/troubles/make.py");
    if !make.exists() {
        eprintln!("NOT TESTED: {} is absent", make.display());
        return false;
    }
    assert!(Command::new("python3").arg(make).arg(bench.at("troubles")).status().unwrap().success());
    true
}

fn prepare(bench: &Bench, name: &str, rows: &str, fields: [&str; 3], seed: u64) {
    fs::write(bench.at("rows.csv"), rows).unwrap();
    let field = |name| {
        format!("[[fields]]\nname = '{name}'\nkind = '{}'\n", if name == "tags" { "bag" } else { "categorical" })
    };
    let schema = "[label]\ncolumn = 'label'\n".to_owned() + &fields.map(field).concat();
    fs::write(bench.at("rows.toml"), schema).unwrap();
    bench.succeed(&format!("train prepare csv --input rows.csv --schema rows.toml --out {name} --seed {seed}"));
}

/// 1,200 rows: users of one parity like items of the same. Frequencies of the users differ, so that their order is
/// known.
fn rows() -> String {
    let mut rng = StdRng::seed_from_u64(5);
    let mut text = String::from("label,user,item,tags\n");
    for _ in 0..1200 {
        let user = (0..4).map(|_| rng.random_range(0..20_u32)).min().unwrap();
        let item = rng.random_range(0..15);
        let (tag, noise) = (rng.random_range(0..6), rng.random_bool(0.1));
        text += &format!("{},u{user},i{item},t{tag}|t{}\n", u8::from((user % 2 == item % 2) ^ noise), tag / 2);
    }
    text
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// The folders of data sets that differ from `base`: in the vocabulary, with the words that say where; or in their
/// rows, with the file.
const VOCABULARIES: [(&str, &str); 4] = [
    ("order", "\"user\": the first token that differs is that of index 1"),
    ("more", "\"item\": the first token that differs is that of index 16"),
    ("fields", "field 0 is"),
    ("renamed", "field 1 is"),
];
const ROWS: [(&str, &str); 2] = [("split", ".arrow: other rows"), ("row", "train.arrow: other rows")];

fn bench() -> Option<Bench> {
    let bench = Bench::new()?;
    let base = rows();
    prepare(&bench, "base", &base, SCHEMA, 1);
    // The two most frequent users, the one for the other.
    prepare(&bench, "order", &base.replace(",u0,", ",x,").replace(",u1,", ",u0,").replace(",x,", ",u1,"), SCHEMA, 1);
    prepare(&bench, "more", &(base.clone() + &"1,u0,new,t1\n".repeat(8)), SCHEMA, 1);
    prepare(&bench, "fields", &base, ["item", "user", "tags"], 1);
    prepare(&bench, "renamed", &base.replace(",item,", ",thing,"), ["user", "thing", "tags"], 1);
    // The same rows and vocabulary, but others for validation; and one label in the training rows.
    copy(&bench.at("base"), &bench.at("split"));
    let split =
        |from: Part, to: Part| fs::copy(bench.at("base").join(from.file()), bench.at("split").join(to.file())).unwrap();
    split(Part::Valid, Part::Test);
    split(Part::Test, Part::Valid);
    copy(&bench.at("base"), &bench.at("row"));
    let data = Dataset::open(&bench.at("row")).unwrap();
    let mut block = data.rows(Part::Train).unwrap().read_block(0).unwrap();
    block.labels[77] ^= 1;
    let mut writer = RowsWriter::create(&data.path(Part::Train), &data.bounds()).unwrap();
    writer.push_block(&block).unwrap();
    writer.commit().unwrap();
    bench.succeed(&format!("train train --data base --out model {FLAGS}"));
    bench.succeed("xsfm pack model --mode f32 -o model.xsfm");
    Some(bench)
}

const FLAGS: &str = "--epochs 1 --embed-dim 4 --hidden 8 --batch-size 128";

#[test]
fn other_vocabularies_and_rows_are_refused_by_name() {
    let Some(bench) = bench() else { return };
    // What names a field and a token, since it has both schemas.
    for command in [
        "train evaluate --checkpoint model --data DATA".to_owned(),
        format!("train train --from model --data DATA --out out {FLAGS}"),
        format!("train distill --teacher model --data DATA --out out {FLAGS}"),
        format!("train train --from model --quantize --data DATA --out out {FLAGS}"),
    ] {
        for (data, words) in VOCABULARIES.into_iter().chain(ROWS) {
            let said = bench.refused(&command.replace("DATA", data));
            assert!(said.contains(words) && said.contains(data) && said.contains("model"), "{command}, {data}: {said}");
        }
        assert!(!bench.at("out").exists(), "{command}: a run that never began wrote something");
        for (data, _) in ROWS {
            bench.succeed(&command.replace("DATA", &format!("{data} --other-rows")));
        }
        bench.succeed(&command.replace("DATA", "base"));
        let _ = fs::remove_dir_all(bench.at("out"));
    }
    for command in [
        "xsfm pack model --mode int8 --rows DATA/valid.arrow -o x.xsfm",
        "xsfm validate model.xsfm model --rows DATA/test.arrow",
    ] {
        for (data, words) in VOCABULARIES {
            let said = bench.refused(&command.replace("DATA", data));
            assert!(said.contains(words) && said.contains(data) && said.contains("model"), "{command}, {data}: {said}");
        }
        for (data, words) in ROWS {
            let [_, said] = bench.succeed(&command.replace("DATA", data));
            assert!(said.contains("NOTE") && said.contains(words), "{command}, {data}: {said}");
        }
        assert!(!bench.succeed(&command.replace("DATA", "base"))[1].contains("NOTE"));
    }
    // A packed file has no tokens, but it knows the field.
    for command in [
        "xsfm evaluate model.xsfm --rows DATA/test.arrow",
        "xsfm score model.xsfm --indices DATA/test.arrow",
        "xsfm rank model.xsfm --indices DATA/test.arrow --top 3",
        "xsfm bench model.xsfm --rows DATA/test.arrow",
    ] {
        for (data, words) in
            [("order", "\"user\""), ("more", "\"item\""), ("fields", "field 0 is"), ("renamed", "field 1 is")]
        {
            let said = bench.refused(&command.replace("DATA", data));
            assert!(said.contains(words) && said.contains(data), "{command}, {data}: {said}");
        }
    }
    assert!(!bench.succeed("xsfm evaluate model.xsfm --rows row/test.arrow")[1].contains("NOTE"));
}

/// A folder is prepared anew while something that was begun with it waits.
#[test]
fn what_was_begun_with_other_data_does_not_go_on() {
    let Some(bench) = bench() else { return };
    let becomes = |name: &str| {
        let _ = fs::remove_dir_all(bench.at("live"));
        copy(&bench.at(name), &bench.at("live"));
    };
    becomes("base");
    fs::write(
        bench.at("defaults.toml"),
        "dataset = 'D'\nseeds = [1]\n[train]\nepochs = 1\nembed_dim = 4\nhidden = [8]\n",
    )
    .unwrap();
    fs::write(bench.at("1-row.toml"), "title = 'R'\n").unwrap();
    fs::write(bench.at("space.toml"), "[train]\nepochs = 1\n[try]\nembed_dim = [2]\nhidden = ['none']\n").unwrap();
    let xsfm = bench.xsfm.display();
    let resume = format!("train train --data live --out begun {FLAGS} --resume");
    let run = format!("train run 1-row.toml --data live --out runs --xsfm {xsfm}");
    let fit = format!(
        "train fit --teacher-minutes 0 --data live --out fit --space space.toml --budget 100KiB --trials 1 --seeds 1 \
         --xsfm {xsfm}"
    );
    let commands = [(&resume, "begun"), (&run, "outcome.json"), (&fit, "common.json")];
    commands.iter().for_each(|(command, _)| drop(bench.succeed(command)));
    let field = [("order", "\"user\""), ("more", "\"item\""), ("fields", "\"item\""), ("renamed", "\"thing\"")];
    for (data, words) in field.into_iter().chain(ROWS) {
        becomes(data);
        for (command, owner) in &commands {
            let said = bench.refused(command);
            assert!(said.contains(words) && said.contains("live") && said.contains(owner), "{command}, {data}: {said}");
        }
    }
    // The state remembers the tokens.
    becomes("order");
    assert!(bench.refused(&resume).contains("first token that differs is that of index 1"));
    becomes("base");
    commands.iter().for_each(|(command, _)| drop(bench.succeed(command)));
}

/// Rows of a folder that are not of its schema, and rows of older programs.
#[test]
fn a_folder_is_one_data_set() {
    let Some(bench) = bench() else { return };
    copy(&bench.at("base"), &bench.at("mixed"));
    fs::copy(bench.at("order/valid.arrow"), bench.at("mixed/valid.arrow")).unwrap();
    for command in [
        format!("train train --data mixed --out out {FLAGS}"),
        "train evaluate --checkpoint model --data mixed".to_owned(),
        "train fold --data mixed --min-count 2 --out folded".to_owned(),
    ] {
        let said = bench.refused(&command);
        assert!(said.contains("mixed/valid.arrow") && said.contains("\"user\""), "{said}");
    }
    copy(&bench.at("base"), &bench.at("old"));
    for part in Part::ALL {
        let data = Dataset::open(&bench.at("base")).unwrap();
        let block = data.rows(part).unwrap().read_block(0).unwrap();
        let bounds = xsfm_interchange::rows::Bounds { vocabulary: None, ..data.bounds() };
        let mut writer = RowsWriter::create(&bench.at("old").join(part.file()), &bounds).unwrap();
        writer.push_block(&block).unwrap();
        writer.commit().unwrap();
    }
    let [_, said] = bench.succeed(&format!("train train --data old --out old-model {FLAGS}"));
    assert!(said.contains("NOTE") && said.contains("without a fingerprint"), "{said}");
    let [_, said] = bench.succeed("xsfm evaluate model.xsfm --rows old/test.arrow");
    assert!(said.contains("NOTE") && said.contains("the rows do not say"), "{said}");
}

/// Yesterday's model goes on with today's vocabulary: every token keeps its row.
#[test]
fn tokens_keep_their_rows() {
    let Some(bench) = bench() else { return };
    for flags in ["", "--feature-weight=true", "--hidden none"] {
        bench.succeed(&format!(
            "train train --data base --out before {FLAGS} {flags} --epochs 4 --learning-rate 0.01 --batch-norm=false"
        ));
        // Without BatchNorm, whose averages move, so small a step changes nothing that these digits show.
        let still = format!("{FLAGS} {flags} --learning-rate 1e-12");
        bench.succeed(&format!("train train --from before --map-tokens --data more --out after {still}"));
        bench.succeed("train evaluate --checkpoint before --data base --logits before.txt");
        bench.succeed("train evaluate --checkpoint after --data more --logits after.txt");
        let logits = |name: &str| -> Vec<f64> {
            fs::read_to_string(bench.at(name)).unwrap().lines().map(|line| line.parse().unwrap()).collect()
        };
        // The rows that both have come first in the random split of both, as long as the file's order is the same.
        let (before, after) = (logits("before.txt"), logits("after.txt"));
        assert!(before.len() > 80 && after.len() >= before.len());
        for (row, (before, after)) in before.iter().zip(&after).enumerate() {
            assert!((before - after).abs() < 1e-5 * before.abs().max(1.0), "{flags}: row {row}: {before} and {after}");
        }
    }
    let [_, said] = bench.succeed(&format!("train train --from model --map-tokens --data order --out x {FLAGS}"));
    assert!(said.contains("0 are new, 0 are gone"), "{said}");
    assert!(
        bench
            .refused(&format!("train train --map-tokens --data order --out y {FLAGS}"))
            .contains("--map-tokens is for --from")
    );
    let said = bench.refused(&format!("train train --from model --map-tokens --data fields --out y {FLAGS}"));
    assert!(said.contains("field 0 is"), "{said}");
    bench.succeed(&format!("train train --data base --out shared {FLAGS} --qr-collisions 3 --qr-threshold 5"));
    let said = bench.refused(&format!("train train --from shared --map-tokens --data order --out y {FLAGS}"));
    assert!(said.contains("\"user\" has other tokens, which share rows"), "{said}");
}

/// New tokens start as what they were encoded by before, or as those that are as frequent; buckets keep their rows.
#[test]
fn new_tokens_start_where_it_is_asked() {
    let Some(bench) = Bench::new() else { return };
    let schema = |name: &str| {
        let fields = "[[fields]]\nname = 'user'\nkind = 'categorical'\nmin_count = 60\nbuckets = 3\n\
                      [[fields]]\nname = 'item'\nkind = 'categorical'\n";
        fs::write(bench.at(name), format!("[label]\ncolumn = 'label'\n{fields}")).unwrap();
    };
    schema("rows.toml");
    let prepare = |name: &str, rows: &str| {
        fs::write(bench.at("rows.csv"), rows).unwrap();
        bench.succeed(&format!("train prepare csv --input rows.csv --schema rows.toml --out {name}"));
        Dataset::open(&bench.at(name)).unwrap()
    };
    let base: String = rows().lines().map(|line| format!("{}\n", line.rsplit_once(',').unwrap().0)).collect();
    let before = prepare("before", &base);
    // A user who was rare, an item that is new and about as frequent as others, and one that nobody is like.
    let more =
        (0..200).map(|n| format!("{},u19,{}\n", n % 2, if n < 150 { "often" } else { "new" })).collect::<String>();
    let after = prepare("after", &(base + &more));
    let index = |data: &Dataset, f: usize, token: &str| {
        data.schema().fields[f].vocabulary.iter().position(|known| known == token).map(|place| place + 1)
    };
    assert_eq!((index(&before, 0, "u19"), index(&before, 1, "new")), (None, None));
    let bucket = before.schema().fields[0].encoder().index_of("u19") as usize;
    assert!(bucket > before.schema().fields[0].vocabulary.len());
    bench.succeed(&format!("train train --data before --out model {FLAGS} --learning-rate 0.01 --table-init normal"));
    let tables = |name: &str| {
        let model = xsfm_convert::checkpoint::load(&bench.at(name)).unwrap();
        model.fields.into_iter().map(|field| field.tables.into_iter().next().unwrap()).collect::<Vec<_>>()
    };
    let is_near = |a: &[f32], b: &[f32]| a.len() == 4 && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
    let old = tables("model");
    let still = format!("{FLAGS} --learning-rate 1e-12 --from model --map-tokens --data after");
    let mut starts = Vec::new();
    for start in ["oov", "frequency"] {
        let [_, said] = bench.succeed(&format!("train train {still} --new-tokens {start} --out {start}"));
        assert!(said.contains("field \"item\": 15 tokens keep their rows, 2 are new, 0 are gone"), "{said}");
        let new = tables(start);
        for (f, [old, new]) in old.iter().zip(&new).map(|(old, new)| [old, new]).enumerate() {
            let vocabulary = &before.schema().fields[f].vocabulary;
            for (place, token) in vocabulary.iter().enumerate() {
                assert!(is_near(old.row(place + 1), new.row(index(&after, f, token).unwrap())), "{start} {token}");
            }
            assert!(is_near(old.row(0), new.row(0)));
        }
        // Three buckets behind the tokens, of today and of yesterday.
        for bucket in 1..=3 {
            assert!(is_near(old[0].row(old[0].rows - bucket), new[0].row(new[0].rows - bucket)), "{start} {bucket}");
        }
        starts.push(new);
    }
    let row = |start: usize, f: usize, token: &str| starts[start][f].row(index(&after, f, token).unwrap()).to_vec();
    assert!(is_near(&row(0, 0, "u19"), old[0].row(bucket)), "as its bucket was");
    assert!(is_near(&row(0, 1, "new"), old[1].row(0)) && is_near(&row(0, 1, "often"), old[1].row(0)));
    // The mean of all items that training rows have 32 to 63 times; none is in "often"'s class.
    let train = after.rows(Part::Train).unwrap().read_block(0).unwrap();
    let mut counts = vec![0_u32; 18];
    train.column(1).for_each(|index| counts[index as usize] += 1);
    let class = |token: &str| counts[index(&after, 1, token).unwrap()].ilog2();
    let like: Vec<usize> = (0..15)
        .filter(|&place| class(&before.schema().fields[1].vocabulary[place]) == class("new"))
        .map(|place| place + 1)
        .collect();
    assert!(!like.is_empty() && like.len() < 15 || class("often") != class("new"), "{counts:?}");
    let mean: Vec<f32> =
        (0..4).map(|d| like.iter().map(|&row| old[1].row(row)[d]).sum::<f32>() / like.len() as f32).collect();
    assert!(is_near(&row(1, 1, "new"), if like.is_empty() { old[1].row(0) } else { &mean }), "{like:?}");
    assert!(!is_near(&row(1, 1, "new"), old[1].row(0)));
    assert!(
        bench
            .refused(&format!("train train --data after --out y --new-tokens frequency {FLAGS}"))
            .contains("--map-tokens")
    );
}

/// Two days of the same tokens in another order, and one with fewer, as `../shared/troubles` has them.
#[test]
fn days_of_the_same_tokens_are_told_apart() {
    let Some(bench) = bench() else { return };
    if !make_troubles(&bench) {
        return;
    }
    for day in ["1", "2", "small"] {
        bench.succeed(&format!(
            "train prepare csv --input troubles/days/{day}.csv --schema troubles/base.toml --out day-{day}"
        ));
    }
    bench.succeed(&format!("train train --data day-1 --out on-1 {FLAGS}"));
    bench.succeed("xsfm pack on-1 --mode f32 -o on-1.xsfm");
    for day in ["2", "small"] {
        for command in [
            "train evaluate --checkpoint on-1 --data DAY".to_owned(),
            format!("train train --from on-1 --data DAY --out out {FLAGS}"),
            format!("train distill --teacher on-1 --data DAY --out out {FLAGS}"),
            format!("train train --data DAY --out on-1 --resume {FLAGS}"),
            "xsfm validate on-1.xsfm on-1 --rows DAY/test.arrow".to_owned(),
        ] {
            let said = bench.refused(&command.replace("DAY", &format!("day-{day}")));
            assert!(said.contains("field \"user\": the first token that differs"), "{command}, {day}: {said}");
        }
        let said = bench.refused(&format!("xsfm evaluate on-1.xsfm --rows day-{day}/test.arrow"));
        assert!(said.contains("\"user\" has other tokens"), "{said}");
    }
}

/// Validation rows of one class, and rows to calibrate on that are all the same, as `../shared/troubles` has them.
#[test]
fn rows_that_say_nothing_are_refused_before_anything_is_made() {
    let Some(bench) = bench() else { return };
    if !make_troubles(&bench) {
        return;
    }
    let split = "--split file --split-file troubles/one_class/letters.txt";
    let rows = "--input troubles/one_class/rows.csv --schema troubles/base.toml";
    bench.succeed(&format!("train prepare csv {rows} {split} --out one"));
    let said = bench.refused(&format!("train train --data one --out out {FLAGS}"));
    assert!(said.contains("valid.arrow") && said.contains("all 100 rows have the label 0"), "{said}");
    assert!(!bench.at("out").exists(), "{said}");

    bench.succeed("train prepare csv --input troubles/base.csv --schema troubles/base.toml --out plain");
    bench.succeed(&format!("train train --data plain --out plain-model {FLAGS}"));
    let said = bench.refused("xsfm pack plain-model --mode int8 --rows troubles/calibration/alike.tsv -o x.xsfm");
    assert!(said.contains("alike.tsv") && said.contains("20 were given, 1 of them distinct"), "{said}");
    assert!(!bench.at("x.xsfm").exists(), "{said}");
}
