//! Weights of indices: values of libffm, and of bags whose mean is wanted.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;
use std::path::{Path, PathBuf};

use xsfm_interchange::input::{Input, Table};
use xsfm_interchange::rows::RowBlock;
use xsfm_interchange::schema::{Field, FieldKind, Schema, Weights};
use xsfm_readers::by_schema;
use xsfm_readers::encoder::RowEncoder;
use xsfm_readers::error::DataError;
use xsfm_readers::files::Files;
use xsfm_readers::libffm::Libffm;
use xsfm_readers::pass::{All, Reading, Walk, pass};
use xsfm_readers::source::Source;
use xsfm_runtime::Weight;

fn bag(name: &str, weights: Weights, tokens: &[&str]) -> Field {
    let vocabulary = tokens.iter().map(|token| (*token).to_owned()).collect();
    Field { weights: Some(weights), ..Field::new(name, FieldKind::Bag, vocabulary) }
}

fn schema(input: Input, fields: Vec<Field>) -> Schema {
    Schema { version: Schema::VERSION, label: "the label is 1".to_owned(), input: Some(input), fields }
}

fn encode(source: &dyn Source, schema: &Schema) -> (RowBlock, Walk) {
    let encoder = RowEncoder::new(schema, source.has_labels());
    let mut all = encoder.block();
    let reading = Reading { max_bad: 1.0, ..Reading::default() };
    let walk = pass(
        source,
        reading,
        "reading",
        All,
        |rows| encoder.rows(rows),
        |(block, _)| {
            (0..block.len()).for_each(|i| all.push_row_of(&block, i));
            Ok::<(), DataError>(())
        },
    );
    (all, walk.unwrap())
}

fn words(entries: &[(u32, f64)]) -> Vec<u32> {
    entries.iter().flat_map(|&(index, number)| [index, Weight::nearest(number).unwrap().word()]).collect()
}

fn written(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    (folder, path)
}

#[test]
fn values_of_libffm_are_weights() {
    let text = "1 10:a:0.5 2:x:-1 10:b:0.25\n-1\t2:y:3 7:z:1e-9\n0 7:z:1\n1 2:x\n2 2:x:1\n1 2:x:8\n1 2:x:z\n\n";
    let (_folder, path) = written("rows.ffm", text);
    let source = Libffm::open(Files::find(std::slice::from_ref(&path)).unwrap(), 1).unwrap();
    let names: Vec<&str> = source.fields().iter().map(|field| field.name.as_str()).collect();
    assert_eq!(names, ["2", "7", "10"], "in the order of their numbers");
    let given = Weights::Given;
    let fields = vec![bag("2", given, &["x"]), bag("7", given, &["z"]), bag("10", given, &["a", "b"])];
    let schema = schema(source.input(), fields);
    let (block, walk) = encode(&source, &schema);
    assert_eq!((walk.rows, walk.malformed, block.labels.as_slice()), (8, 5, &[1, 0, 0][..]));
    for (example, what) in walk.examples.iter().zip(["rows.ffm:4", "rows.ffm:5", "rows.ffm:6", "rows.ffm:7"]) {
        assert!(example.contains(what), "{example}");
    }
    let absent = words(&[(0, 0.0)]);
    let expected = [
        [words(&[(1, -1.0)]), absent.clone(), words(&[(1, 0.5), (2, 0.25)])],
        [words(&[(0, 3.0)]), words(&[(1, 0.0)]), absent.clone()],
        [absent.clone(), words(&[(1, 1.0)]), absent],
    ];
    for (i, expected) in expected.iter().enumerate() {
        let row = block.row(i);
        assert_eq!((0..3).map(|f| row.field(f).unwrap().to_vec()).collect::<Vec<_>>(), expected, "row {i}");
    }
    // By the schema, also without the labels; a field that it does not have is named.
    let again = by_schema::open(Path::new("schema.json"), &schema, &[path], false).unwrap();
    let (unlabelled, walk) = encode(&*again, &schema);
    assert_eq!((unlabelled.labels.len(), unlabelled.len(), walk.malformed), (0, 4, 4));
    let (_folder, other) = written("other.ffm", "1 2:x:1 3:q:1\n");
    let (_, walk) = encode(&*by_schema::open(Path::new("schema.json"), &schema, &[other], true).unwrap(), &schema);
    assert!(walk.examples[0].contains("field \"3\" is none of the schema's"), "{:?}", walk.examples);
    // JSON lines of the same rows: an object, a list of weights of 1, nothing; and what is no weight.
    let json = concat!(
        "{\"label\":1,\"2\":{\"x\":-1},\"7\":null,\"10\":{\"a\":0.5,\"b\":\"0.25\"}}\n",
        "{\"label\":0,\"2\":{\"y\":3},\"7\":{\"z\":1e-9},\"10\":[]}\n",
        "{\"label\":0,\"2\":{},\"7\":[\"z\"],\"10\":\"\"}\n",
        "{\"label\":0,\"2\":{\"x\":8},\"7\":null,\"10\":null}\n",
        "{\"label\":0,\"2\":{\"x\":[1]},\"7\":null,\"10\":null}\n",
    );
    let (_folder, path) = written("rows.jsonl", json);
    let (objects, walk) = encode(&*by_schema::open(Path::new("schema.json"), &schema, &[path], true).unwrap(), &schema);
    assert_eq!(objects.labels, block.labels);
    for i in 0..3 {
        assert!((0..3).all(|f| objects.row(i).field(f) == block.row(i).field(f)), "row {i}");
    }
    for (example, what) in walk.examples.iter().zip(["field \"2\": value 8,", "field \"2\": an object:"]) {
        assert!(example.contains(what), "{example}");
    }
    assert_eq!((walk.malformed, walk.examples.len()), (2, 2));
    let (_folder, none) = written("none.ffm", "1\n0\n");
    let error = Libffm::open(Files::find(&[none]).unwrap(), 1).unwrap_err().to_string();
    assert!(error.contains("none.ffm") && error.contains("no line has a field"), "{error}");
}

#[test]
fn tokens_of_a_mean_share_a_weight_of_one() {
    let (_folder, path) = written("rows.csv", "label,tags\n1,a|b|c|d\n0,a\n1,\n0,b|x|b\n");
    let description =
        "[label]\ncolumn = 'label'\n[[fields]]\nname = 'tags'\nkind = 'bag'\nmax_bag = 3\ncombine = 'mean'\n";
    let table: Table = toml::from_str(description).unwrap();
    let schema = schema(Input::Table(Box::new(table)), vec![bag("tags", Weights::Mean, &["a", "b"])]);
    let source = by_schema::open(Path::new("schema.json"), &schema, &[path], true).unwrap();
    let (block, walk) = encode(&*source, &schema);
    assert_eq!(walk.malformed, 0);
    let third = 1.0 / 3.0;
    let expected = [
        words(&[(1, third), (2, third), (0, third)]),
        words(&[(1, 1.0)]),
        words(&[(0, 1.0)]),
        words(&[(2, third), (0, third), (2, third)]),
    ];
    for (i, expected) in expected.iter().enumerate() {
        assert_eq!(block.row(i).field(0), Some(&expected[..]), "row {i}");
    }
    let mut other = schema.clone();
    other.fields[0].weights = None;
    let error = by_schema::open(Path::new("s.json"), &other, &[source.files().parts()[0].clone()], true).err().unwrap();
    assert!(error.to_string().contains("with weights: mean"), "{error}");
}

#[test]
fn weights_behind_tokens_of_a_csv() {
    let text = "label,user,tags\n1,ann,a:0.5 b:-2 x\n0,b:3,\n0,ann,a b:0.25 a:1 b:7.5\n1,ann,a:8\n1,ann,a:\n";
    let (_folder, path) = written("rows.csv", text);
    let description = "[label]\ncolumn = 'label'\n[[fields]]\nname = 'user'\nkind = 'categorical'\n[[fields]]\n\
                       name = 'tags'\nkind = 'bag'\nseparator = ' '\nmax_bag = 3\nkeep = 'last'\n\
                       combine = 'weighted'\n";
    let table: Table = toml::from_str(description).unwrap();
    let user = Field::new("user", FieldKind::Categorical, vec!["ann".to_owned(), "b:3".to_owned()]);
    let fields = vec![user, bag("tags", Weights::Given, &["a", "b"])];
    let schema = schema(Input::Table(Box::new(table)), fields);
    let source = by_schema::open(Path::new("schema.json"), &schema, &[path], true).unwrap();
    let (block, walk) = encode(&*source, &schema);
    assert_eq!((walk.rows, walk.malformed), (5, 2), "{:?}", walk.examples);
    let expected = [
        (1, words(&[(1, 0.5), (2, -2.0), (0, 1.0)])),
        (2, words(&[(0, 0.0)])),
        (1, words(&[(2, 0.25), (1, 1.0), (2, 7.5)])),
    ];
    for (i, (user, tags)) in expected.iter().enumerate() {
        let row = block.row(i);
        assert_eq!((row.field(0), row.field(1)), (Some(&[*user][..]), Some(&tags[..])), "row {i}");
    }
}
